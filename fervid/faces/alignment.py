"""Turning faces upright at a standard size."""

from __future__ import annotations

import numpy as np

from fervid.runtime.opencv import cv2
from fervid.types import ByteArray, DoubleArray, Face

TEMPLATE = np.array([(38.3, 51.7), (73.5, 51.5), (56.0, 71.7), (41.5, 92.4), (70.7, 92.2)], np.float64)
"""Where eyes, nose and mouth corners lie in an aligned face of 112x112 pixels (Deng et al., 2019: ArcFace)."""


def align(image: ByteArray, face: Face, side: int) -> ByteArray:
    """The face, turned and scaled so that its landmarks lie on ``TEMPLATE`` as well as they can.

    ``image`` (h, w) or (h, w, 3) uint8; returns (side, side) or (side, side, 3). Without landmarks, the
    square around the box.
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
        # averaging first: a warp alone would skip pixels
        image, matrix = _halved(image, face, matrix, scale)
    return np.asarray(cv2.warpAffine(image, matrix, (side, side), borderMode=cv2.BORDER_REPLICATE), np.uint8)


def _halved(image: ByteArray, face: Face, matrix: DoubleArray, scale: float) -> tuple[ByteArray, DoubleArray]:
    """The picture around a face, shrunk by ``scale``, and the transform from there."""
    height, width = image.shape[:2]
    margin = 0.5 * max(face.width, face.height)  # enough for a square turned by any angle
    left, top = int(np.clip(face.x - margin, 0, width - 1)), int(np.clip(face.y - margin, 0, height - 1))
    right = int(np.clip(face.x + face.width + margin, left + 1, width))
    bottom = int(np.clip(face.y + face.height + margin, top + 1, height))
    size = max(1, round((right - left) * scale)), max(1, round((bottom - top) * scale))
    small = reduced(image[top:bottom, left:right], size)
    moved = matrix.copy()
    moved[:, 2] += matrix[:, :2] @ (left, top)
    moved[:, 0] *= (right - left) / size[0]
    moved[:, 1] *= (bottom - top) / size[1]
    return small, moved


def reduced(image: ByteArray, size: tuple[int, int]) -> ByteArray:
    """The picture at the size (width, height), averaged over what each pixel covers; halved first as long as it can
    be, which is many times faster."""
    while image.shape[1] >= 4 * size[0] and image.shape[0] >= 4 * size[1]:
        half = (image.shape[1] // 2, image.shape[0] // 2)
        image = np.asarray(cv2.resize(image, half, interpolation=cv2.INTER_AREA), np.uint8)
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)


def similarity_transform(source: DoubleArray, target: DoubleArray) -> DoubleArray:
    """(2, 3): the turn, scale and shift that bring points (n, 2) nearest to ``target`` (Umeyama, 1991)."""
    one, other = source - source.mean(axis=0), target - target.mean(axis=0)
    spread = max(float((one**2).sum()), 1e-6)
    along = float((one * other).sum()) / spread
    across = float((one[:, 0] * other[:, 1] - one[:, 1] * other[:, 0]).sum()) / spread
    turn = np.array([[along, -across], [across, along]])
    return np.hstack([turn, (target.mean(axis=0) - turn @ source.mean(axis=0))[:, None]])
