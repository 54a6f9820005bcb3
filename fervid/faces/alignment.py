"""Face alignment: rotate and scale a face to a standard position and size."""

from __future__ import annotations

import numpy as np

from fervid.runtime.opencv import cv2
from fervid.types import ByteArray, DoubleArray, Face

TEMPLATE = np.array([(38.3, 51.7), (73.5, 51.5), (56.0, 71.7), (41.5, 92.4), (70.7, 92.2)], np.float64)
"""(5, 2) x, y of eyes, nose and mouth corners in an aligned face of 112x112 pixels (Deng et al., 2019: ArcFace)."""


def align(image: ByteArray, face: Face, side: int) -> ByteArray:
    """Rotate, scale and shift a face so that its landmarks match ``TEMPLATE`` as closely as possible.

    Args:
        image: (h, w) or (h, w, 3) uint8.
        face: The face, in pixels of the image. Without landmarks the square around its box is taken.
        side: Side of the result in pixels.

    Returns:
        (side, side) or (side, side, 3) uint8.
    """
    target = TEMPLATE * side / 112
    if len(face.landmarks) == len(TEMPLATE):
        source = np.array(face.landmarks, np.float64)
    else:
        centre = np.array([face.x + face.width / 2, face.y + face.height / 2])
        source = centre + (TEMPLATE - 56) / 112 * max(face.width, face.height)
    matrix = similarity_transform(source, target)
    scale = float(np.hypot(*matrix[0, :2]))
    if scale < 0.5:
        # A warp alone would skip pixels; average them first.
        image, matrix = _shrink_around(image, face, matrix, scale)
    return np.asarray(cv2.warpAffine(image, matrix, (side, side), borderMode=cv2.BORDER_REPLICATE), np.uint8)


def _shrink_around(image: ByteArray, face: Face, matrix: DoubleArray, scale: float) -> tuple[ByteArray, DoubleArray]:
    """The part of the image around a face, scaled by ``scale``, and the transform adapted to it."""
    height, width = image.shape[:2]
    margin = 0.5 * max(face.width, face.height)  # enough for a square at any angle
    left, top = int(min(max(face.x - margin, 0), width - 1)), int(min(max(face.y - margin, 0), height - 1))
    right = int(min(max(face.x + face.width + margin, left + 1), width))
    bottom = int(min(max(face.y + face.height + margin, top + 1), height))
    size = max(1, round((right - left) * scale)), max(1, round((bottom - top) * scale))
    left, top, right, bottom = widened((left, top, right, bottom), (width, height), size)
    size = max(1, round((right - left) * scale)), max(1, round((bottom - top) * scale))
    small = area_resize(image[top:bottom, left:right], size)
    moved = matrix.copy()
    moved[:, 2] += matrix[:, :2] @ (left, top)
    moved[:, 0] *= (right - left) / size[0]
    moved[:, 1] *= (bottom - top) / size[1]
    return small, moved


def area_resize(image: ByteArray, size: tuple[int, int]) -> ByteArray:
    """Shrink an image. Each new pixel is the mean of the pixels that it covers.

    Halving the image first, as often as possible, makes this many times faster, and most of all if its sides are even
    each time.

    Args:
        image: (h, w) or (h, w, 3) uint8.
        size: New width and height.

    Returns:
        The smaller image, uint8.
    """
    for _ in range(_halvings(image.shape[1], image.shape[0], size)):
        half = (image.shape[1] // 2, image.shape[0] // 2)
        image = np.asarray(cv2.resize(image, half, interpolation=cv2.INTER_AREA), np.uint8)
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)


def widened(
    part: tuple[int, int, int, int], image: tuple[int, int], size: tuple[int, int]
) -> tuple[int, int, int, int]:
    """Extend a part of an image by a few pixels, so that ``area_resize`` shrinks it fast.

    Args:
        part: Left, top, right and bottom of the part.
        image: Width and height of the image.
        size: New width and height.

    Returns:
        The part, extended within the image so that its sides are even each time that they are halved. A side that fills
        the image stays as it is.
    """
    left, top, right, bottom = part
    step = 2 ** _halvings(right - left, bottom - top, size)
    (left, right), (top, bottom) = _extended(left, right, image[0], step), _extended(top, bottom, image[1], step)
    return left, top, right, bottom


def _halvings(width: int, height: int, size: tuple[int, int]) -> int:
    """How often an image is halved before it is shrunk to a size."""
    count = 0
    while width >= 4 * size[0] and height >= 4 * size[1]:
        width, height, count = width // 2, height // 2, count + 1
    return count


def _extended(begin: int, end: int, limit: int, step: int) -> tuple[int, int]:
    """A range, extended to a multiple of ``step`` if there is room."""
    missing = -(end - begin) % step
    if end + missing <= limit:
        return begin, end + missing
    return (begin - missing, end) if begin >= missing else (begin, end)


def similarity_transform(source: DoubleArray, target: DoubleArray) -> DoubleArray:
    """Fit the rotation, scale and shift that map points onto others with least squared error (Umeyama, 1991).

    Args:
        source: (n, 2) x, y.
        target: (n, 2) x, y.

    Returns:
        (2, 3) float64, the affine matrix.
    """
    source_middle, target_middle = source.mean(axis=0), target.mean(axis=0)
    one, other = source - source_middle, target - target_middle
    variance = max(float((one**2).sum()), 1e-6)
    cosine = float((one * other).sum()) / variance
    sine = float((one[:, 0] * other[:, 1] - one[:, 1] * other[:, 0]).sum()) / variance
    rotation = np.array([[cosine, -sine], [sine, cosine]])
    return np.hstack([rotation, (target_middle - rotation @ source_middle)[:, None]])
