"""Decoding still images."""

from __future__ import annotations

import numpy as np

from fervid.runtime.opencv import cv2
from fervid.types import ByteArray


def decode_image(data: bytes, flags: int) -> ByteArray | None:
    """Decode the content of an image file with OpenCV.

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
    return None if image is None else np.asarray(image, np.uint8)
