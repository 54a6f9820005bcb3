"""Fingerprints: the identity of a file's content, independent of its name and place."""

from __future__ import annotations

import hashlib
import stat
import time
from pathlib import Path

from fervid.errors import UnreadableVideo
from fervid.files.sequences import images_of, is_sequence, places_of

BLOCK = 1 << 20
"""Bytes that are read at once if there is a limit."""


def content_size(path: Path) -> int:
    """Get the size of a video, by which most other files can be told from it without reading them.

    Args:
        path: A file, or the pattern of an image sequence.

    Returns:
        Bytes; of all images together for an image sequence.

    Raises:
        UnreadableVideo: The file cannot be examined.
    """
    try:
        files = [file for _, file in images_of(path)] if is_sequence(path) else [path]
        return sum(file.stat().st_size for file in files)
    except OSError as error:
        raise UnreadableVideo(error.strerror or str(error)) from error


def fingerprint(path: Path, limit: float = 0.0) -> str:
    """Identify a video by its content.

    Args:
        path: A regular file, or the pattern of an image sequence.
        limit: Seconds that reading may take; 0: no limit.

    Returns:
        The first 32 hex digits of the content's SHA-256. For an image sequence it covers all images and their places.

    Raises:
        UnreadableVideo: The file cannot be read, is not a regular file, or reading takes too long.
    """
    end = time.monotonic() + limit if limit else None
    try:
        if is_sequence(path):
            return _sequence_fingerprint(path, end)
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise UnreadableVideo("a folder that cannot be listed")
        if not stat.S_ISREG(mode):
            raise UnreadableVideo("not a regular file")  # reading a named pipe would never end
        return _sha256_until(path, end)[:32]
    except TimeoutError as error:
        raise UnreadableVideo(f"its content is not read within {limit:g} s; `timeout` sets the limit") from error
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


def _sha256_until(path: Path, end: float | None) -> str:
    """The hash of a file's content. Raises TimeoutError at a point in time of the monotonic clock."""
    if end is None:
        return sha256(path)
    digest, block = hashlib.sha256(), memoryview(bytearray(BLOCK))
    with path.open("rb", buffering=0) as file:
        while count := file.readinto(block):
            digest.update(block[:count])
            if time.monotonic() > end:
                raise TimeoutError
    return digest.hexdigest()


def _sequence_fingerprint(pattern: Path, end: float | None) -> str:
    images = images_of(pattern)
    if not images:
        raise UnreadableVideo("no image fits the pattern")
    digest = hashlib.sha256(b"image sequence")
    for place, (_, file) in zip(places_of(number for number, _ in images), images, strict=True):
        if not file.is_file():
            raise UnreadableVideo(f"{file.name} is not a regular file")
        digest.update(f" {place} {_sha256_until(file, end)}".encode())
    return digest.hexdigest()[:32]
