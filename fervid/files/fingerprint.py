"""Fingerprints: the identity of a file's content, independent of its name and place."""

from __future__ import annotations

import hashlib
import stat
from pathlib import Path

from fervid.errors import UnreadableVideo
from fervid.files.sequences import images_of, is_sequence, places_of


def fingerprint(path: Path) -> str:
    """Identify a video by its content.

    Args:
        path: A regular file, or the pattern of an image sequence.

    Returns:
        The first 32 hex digits of the content's SHA-256. For an image sequence it covers all images and their places.

    Raises:
        UnreadableVideo: The file cannot be read, or is not a regular file.
    """
    try:
        if is_sequence(path):
            return _sequence_fingerprint(path)
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise UnreadableVideo("a folder that cannot be listed")
        if not stat.S_ISREG(mode):
            raise UnreadableVideo("not a regular file")  # reading a named pipe would never end
        return sha256(path)[:32]
    except OSError as error:
        raise UnreadableVideo(error.strerror or str(error)) from error


def sha256(path: Path) -> str:
    """Hash a file's content in blocks, so that memory does not grow with its size.

    Args:
        path: The file.

    Returns:
        64 hex digits.

    Raises:
        OSError: The file cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sequence_fingerprint(pattern: Path) -> str:
    images = images_of(pattern)
    if not images:
        raise UnreadableVideo("no image fits the pattern")
    digest = hashlib.sha256(b"image sequence")
    for place, (_, file) in zip(places_of(number for number, _ in images), images, strict=True):
        if not file.is_file():
            raise UnreadableVideo(f"{file.name} is not a regular file")
        digest.update(f" {place} {sha256(file)}".encode())
    return digest.hexdigest()[:32]
