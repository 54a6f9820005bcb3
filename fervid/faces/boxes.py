"""What all face detectors do with pictures and boxes: shrink the ones, select among the others, scale back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np

from fervid.runtime.opencv import cv2
from fervid.types import ByteArray, DoubleArray, Face, FloatArray

NMS_THRESHOLD = 0.4
CONTAINMENT_THRESHOLD = 0.65

Shrunk = tuple[ByteArray, float]
"""A picture, and the factor from its pixels to those of what it was made of."""

Box = tuple[float, float, float, float]
"""x, y, width and height, in pixels."""


def shrink(image: ByteArray, long_side: int) -> Shrunk:
    """(picture with at most that long side, factor from its pixels back to those of ``image``)."""
    height, width = image.shape[:2]
    factor = max(height, width) / long_side
    if factor <= 1:
        return image, 1.0
    size = (max(1, round(width / factor)), max(1, round(height / factor)))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8), factor


def select_boxes(
    corners: FloatArray, sides: FloatArray, scores: FloatArray, landmarks: FloatArray, factor: float
) -> list[Face]:
    """Non-maximum suppression, then scaling back by ``factor``; best score first.

    float32, in pixels of the shrunk picture: ``corners`` (n, 2) left and top, ``sides`` (n, 2) width and height,
    ``scores`` (n,) in [0, 1], ``landmarks`` (n, 5, 2).
    """
    boxes = np.hstack([corners, corners + sides]).tolist()
    kept: list[int] = []
    for candidate in np.argsort(-scores, kind="stable").tolist():
        if not any(_covers(boxes[candidate], boxes[other]) for other in kept):
            kept.append(candidate)
    faces = []
    for i in kept:
        (x, y), (width, height) = corners[i] * factor, sides[i] * factor
        points = tuple((float(px), float(py)) for px, py in landmarks[i] * factor)
        faces.append(Face(float(x), float(y), float(width), float(height), float(np.clip(scores[i], 0, 1)), points))
    return faces


def scale_face(face: Face, across: float, down: float | None = None, left: float = 0.0, top: float = 0.0) -> Face:
    """The face with its coordinates multiplied, by one factor where ``down`` is None, and then shifted."""
    down = across if down is None else down
    return replace(
        face,
        x=face.x * across + left,
        y=face.y * down + top,
        width=face.width * across,
        height=face.height * down,
        landmarks=tuple((x * across + left, y * down + top) for x, y in face.landmarks),
    )


def overlap(one: Box, other: Box) -> float:
    """Intersection over union."""
    across = min(one[0] + one[2], other[0] + other[2]) - max(one[0], other[0])
    down = min(one[1] + one[3], other[1] + other[3]) - max(one[1], other[1])
    shared = max(across, 0.0) * max(down, 0.0)
    return shared / (one[2] * one[3] + other[2] * other[3] - shared)


def covers(one: Face, other: Face) -> bool:
    """Whether two faces are one by the rule of ``_covers``."""
    first, second = ((face.x, face.y, face.x + face.width, face.y + face.height) for face in (one, other))
    return _covers(first, second)


def _covers(first: Sequence[float], second: Sequence[float]) -> bool:
    """Whether two boxes (left, top, right, bottom) show one face: by intersection over union, or one mostly inside
    the other.

    The second test removes the ghost box that appears across two adjacent faces.
    """
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    shared = max(width, 0.0) * max(height, 0.0)
    one, other = ((box[2] - box[0]) * (box[3] - box[1]) for box in (first, second))
    return shared > NMS_THRESHOLD * (one + other - shared) or shared > CONTAINMENT_THRESHOLD * min(one, other)


class FaceDetector(Protocol):
    """Finds faces in a picture."""

    name: str
    sha256: str
    """Of the weights."""

    def detect(self, image: ByteArray, shrunk: Shrunk | None = None) -> list[Face]:
        """Faces in ``image`` (h, w, 3) uint8 blue-green-red, best score first, in pixels of ``image``.

        ``shrunk``: what ``shrink`` makes of it for the detector's long side, where the caller has that.
        """
        ...


def pairwise_overlaps(boxes: DoubleArray) -> DoubleArray:
    """(n, n) intersection over union of boxes (n, 4) x, y, width, height; 0 for a box and itself."""
    low = np.maximum(boxes[:, None, :2], boxes[None, :, :2])
    high = np.minimum(boxes[:, None, :2] + boxes[:, None, 2:], boxes[None, :, :2] + boxes[None, :, 2:])
    shared = np.prod(np.maximum(high - low, 0), axis=2)
    areas = np.prod(boxes[:, 2:], axis=1)
    union = areas[:, None] + areas[None] - shared
    result = shared / np.maximum(union, 1e-9)
    np.fill_diagonal(result, 0.0)
    return np.asarray(result, np.float64)
