"""Decoding still images."""

from __future__ import annotations

import numpy as np

from fervid.runtime.opencv import cv2
from fervid.types import ByteArray


def decode_image(data: bytes, flags: int) -> ByteArray | None:
    """An image file's content as uint8 pixels, by OpenCV's ``IMREAD_`` flags; None where it is no image."""
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flags) if data else None
    except cv2.error:
        return None
    return None if image is None else np.asarray(image, np.uint8)
