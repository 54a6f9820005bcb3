"""Thumbnails: a small square image of a face, and its form inside a page."""

from __future__ import annotations

import base64
from dataclasses import dataclass

import numpy as np

from fervid.runtime.opencv import cv2
from fervid.types import Box, ByteArray

SIDE = 112
"""Width and height of a thumbnail in pixels: twice the 56 at which it is shown, for dense screens."""

MARGIN = 0.3
"""Margin around the box on each side, as a fraction of its longer side."""


@dataclass(frozen=True)
class WantedFace:
    """A thumbnail to make.

    Attributes:
        face_id: Number of the face.
        frame: Index of the frame that shows it.
        time: Time of that frame in seconds.
        box: The face, in pixels of the frame as shown.
    """

    face_id: int
    frame: int
    time: float
    box: Box


def cut_out(image: ByteArray, box: Box) -> ByteArray:
    """Cut out the square around a face, with a margin.

    Args:
        image: (h, w, 3) uint8 frame, in any colour order.
        box: The face.

    Returns:
        (SIDE, SIDE, 3) uint8 in the same colour order. Beyond the frame, its border pixels are repeated.
    """
    x, y, width, height = box
    side = max(2.0, (1 + 2 * MARGIN) * max(width, height))
    left, top = x + width / 2 - side / 2, y + height / 2 - side / 2
    if side > SIDE:  # shrinking needs the mean over an area, which an affine warp does not compute
        rows, columns = image.shape[:2]
        square = cv2.copyMakeBorder(
            image[max(0, int(top)) : int(top + side) + 1, max(0, int(left)) : int(left + side) + 1],
            max(0, -int(top)),
            max(0, int(top + side) + 1 - rows),
            max(0, -int(left)),
            max(0, int(left + side) + 1 - columns),
            cv2.BORDER_REPLICATE,
        )
        return np.asarray(cv2.resize(square, (SIDE, SIDE), interpolation=cv2.INTER_AREA), np.uint8)
    scale = SIDE / side
    matrix = np.array([[scale, 0, -left * scale], [0, scale, -top * scale]])
    shown = cv2.warpAffine(image, matrix, (SIDE, SIDE), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(shown, np.uint8)


def data_uri(image: ByteArray) -> str:
    """Encode an image for a page that needs no other file.

    Args:
        image: (h, w, 3) uint8, blue-green-red.

    Returns:
        A JPEG as a data URI.

    Raises:
        ValueError: It cannot be encoded.
    """
    done, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 78, cv2.IMWRITE_JPEG_OPTIMIZE, 1])
    if not done:
        raise ValueError("a face cannot be encoded as JPEG")
    return "data:image/jpeg;base64," + base64.b64encode(data.tobytes()).decode("ascii")
