"""Decoding still images."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from fervid.runtime.opencv import cv2
from fervid.types import ByteArray


def decode_image(data: bytes, flags: int) -> ByteArray | None:
    """Decode the content of an image file with OpenCV.

    OpenCV turns images as their EXIF data say. AVIF files state their orientation elsewhere, which it does not know.

    Args:
        data: The file's content.
        flags: OpenCV's ``IMREAD_`` flags, which choose the colour mode and the orientation.

    Returns:
        Pixels, uint8: (height, width, 3) in blue-green-red order, or (height, width) for a grayscale flag. None if
        ``data`` is not an image that OpenCV can decode.
    """
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flags) if data else None
    except cv2.error:
        return None
    if image is None:
        return None
    pixels = np.asarray(image, np.uint8)
    return _turned(pixels, data) if data[4:8] == b"ftyp" and not flags & cv2.IMREAD_IGNORE_ORIENTATION else pixels


def _turned(pixels: ByteArray, data: bytes) -> ByteArray:
    """Turn, and then mirror, the pixels of an AVIF file as it says (ISO/IEC 23008-12, 6.5.10 and 6.5.12)."""
    properties = dict(_properties(data))
    pixels = np.rot90(pixels, properties.get(b"irot", 0) & 3)  # anticlockwise
    if b"imir" in properties:  # 0: top and bottom change places; 1: left and right
        pixels = np.flip(pixels, properties[b"imir"] & 1)
    return np.ascontiguousarray(pixels)


def _properties(data: bytes) -> Iterator[tuple[bytes, int]]:
    """Type and first byte of the image properties of an AVIF file: the boxes in ``meta``, ``iprp``, ``ipco``."""
    part = data
    for wanted in (b"meta", b"iprp", b"ipco"):
        part = next((content for kind, content in _boxes(part) if kind == wanted), b"")
        part = part[4:] if wanted == b"meta" else part  # after its version and flags
    yield from ((kind, content[0]) for kind, content in _boxes(part) if content)


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Type and content of the boxes in a part of a file, as far as they are complete."""
    place = 0
    while place + 8 <= len(data):
        size, start = int.from_bytes(data[place : place + 4], "big"), place + 8
        if size == 1:
            size, start = int.from_bytes(data[start : start + 8], "big"), start + 8
        size = size or len(data) - place
        if size < start - place:
            return
        yield data[place + 4 : place + 8], data[start : place + size]
        place += size
