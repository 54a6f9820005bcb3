"""What makes a file the same file, wherever it lies."""

from __future__ import annotations

import hashlib
import stat
from pathlib import Path

from fervid.errors import UnreadableVideo


def fingerprint(path: Path) -> str:
    """32 hex digits of the SHA-256 of a file's content. Raises UnreadableVideo."""
    digest = hashlib.sha256()
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise UnreadableVideo("a folder that cannot be listed")
        if not stat.S_ISREG(mode):
            raise UnreadableVideo("not a regular file")  # a named pipe would never end
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    except OSError as error:
        raise UnreadableVideo(error.strerror or str(error)) from error
    return digest.hexdigest()[:32]


def sha256(path: Path) -> str:
    """Hex SHA-256 of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
