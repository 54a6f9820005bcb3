"""Telling animations from still images, by the first bytes of a file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

MAX_CHUNKS = 64
"""Number of chunks of a PNG file that are looked at. The mark of an animation comes before the first pixels."""


def is_animated(path: Path) -> bool:
    """Whether a GIF, WebP, PNG or AVIF file is an animation, as far as its header says.

    Sources: the RIFF container of WebP (flag A of the chunk VP8X), PNG third edition 11.3.6.1 (chunk acTL), AVIF 1.1
    section 6.3 (brand avis). Every GIF file counts, because only the whole file tells how many pictures it has.

    Args:
        path: A regular file.

    Returns:
        True if it is an animation; False if it is a still image, another file, or cannot be read.
    """
    try:
        if not path.is_file():
            return False
        with path.open("rb") as file:
            start = file.read(24)
            if start[:4] == b"RIFF" and start[8:16] == b"WEBPVP8X":
                return len(start) > 20 and bool(start[20] & 2)
            if start[:8] == b"\x89PNG\r\n\x1a\n":
                file.seek(8)
                return b"acTL" in _chunks_before_pixels(file)
            if start[4:8] == b"ftyp":
                file.seek(8)
                brands = file.read(min(256, int.from_bytes(start[:4], "big")))
                return b"avis" in (brands[place : place + 4] for place in range(0, len(brands), 4))
            return start[:4] == b"GIF8"
    except OSError:
        return False


def _chunks_before_pixels(file: BinaryIO) -> Iterator[bytes]:
    """The types of the chunks of a PNG file, up to the first that holds pixels."""
    for _ in range(MAX_CHUNKS):
        header = file.read(8)
        if len(header) < 8 or header[4:] == b"IDAT":
            return
        yield header[4:]
        file.seek(int.from_bytes(header[:4], "big") + 4, 1)
