"""Face boxes: overlap, non-maximum suppression, and scaling between image sizes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from fervid.runtime.opencv import cv2
from fervid.types import ByteArray, DoubleArray, Face, FloatArray

NMS_THRESHOLD = 0.4
"""Intersection over union above which two boxes show the same face."""

CONTAINMENT_THRESHOLD = 0.65
"""Share of the smaller box inside the larger one above which two boxes show the same face."""

ScaledImage = tuple[ByteArray, float]
"""An image, and the factor from its pixels to those of the image that it was made from."""


def shrink(image: ByteArray, long_side: int) -> ScaledImage:
    """Shrink an image to a long side. A smaller image is returned unchanged.

    Args:
        image: (h, w, 3) or (h, w) uint8.
        long_side: Largest allowed side in pixels.

    Returns:
        The image, and the factor from its pixels to those of ``image``.
    """
    height, width = image.shape[:2]
    factor = max(height, width) / long_side
    if factor <= 1:
        return image, 1.0
    size = (max(1, round(width / factor)), max(1, round(height / factor)))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8), factor


def select_boxes(
    corners: FloatArray, sizes: FloatArray, scores: FloatArray, landmarks: FloatArray, factor: float
) -> list[Face]:
    """Apply greedy non-maximum suppression, then scale the boxes that are left.

    Args:
        corners: (n, 2) float32 left and top, in pixels of the shrunk image.
        sizes: (n, 2) float32 width and height, in the same pixels.
        scores: (n,) float32 in [0, 1].
        landmarks: (n, 5, 2) float32 x and y, in the same pixels.
        factor: Factor from these pixels to those of the result.

    Returns:
        The faces, best score first.
    """
    edges = np.hstack([corners, corners + sizes]).astype(np.float64)
    suppressed = np.zeros(len(edges), bool)
    faces = []
    for i in np.argsort(-scores, kind="stable").tolist():
        if suppressed[i]:
            continue
        suppressed |= _same_face(edges[i : i + 1], edges)[0]
        (x, y), (width, height) = corners[i] * factor, sizes[i] * factor
        points = tuple((float(px), float(py)) for px, py in landmarks[i] * factor)
        faces.append(Face(float(x), float(y), float(width), float(height), float(np.clip(scores[i], 0, 1)), points))
    return faces


def scale_face(face: Face, scale_x: float, scale_y: float | None = None, left: float = 0.0, top: float = 0.0) -> Face:
    """Scale the coordinates of a face, then shift them.

    Args:
        face: The face.
        scale_x: Factor for horizontal coordinates.
        scale_y: Factor for vertical coordinates; None uses ``scale_x``.
        left: Pixels to add to horizontal coordinates.
        top: Pixels to add to vertical coordinates.

    Returns:
        The face with new coordinates.
    """
    scale_y = scale_x if scale_y is None else scale_y
    return replace(
        face,
        x=face.x * scale_x + left,
        y=face.y * scale_y + top,
        width=face.width * scale_x,
        height=face.height * scale_y,
        landmarks=tuple((x * scale_x + left, y * scale_y + top) for x, y in face.landmarks),
    )


def centres_and_sizes(boxes: npt.ArrayLike) -> tuple[DoubleArray, DoubleArray]:
    """Compute where faces are and how large they are.

    Args:
        boxes: (n, 4) x, y, width, height.

    Returns:
        The centres (n, 2), and the geometric means of the sides (n,), float64.
    """
    found = np.asarray(boxes, np.float64).reshape(-1, 4)
    return found[:, :2] + found[:, 2:] / 2, np.sqrt(np.maximum(found[:, 2] * found[:, 3], 1e-6))


def iou(first: npt.ArrayLike, second: npt.ArrayLike) -> DoubleArray:
    """Compute the intersection over union of each pair of boxes.

    Args:
        first: (N, 4) x, y, width and height.
        second: (M, 4), likewise.

    Returns:
        (N, M) float64 in [0, 1].
    """
    one, other = (np.asarray(boxes, np.float64).reshape(-1, 4) for boxes in (first, second))
    shared = _intersection(*(np.hstack([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]]) for boxes in (one, other)))
    areas = [np.prod(boxes[:, 2:], axis=1) for boxes in (one, other)]
    union = areas[0][:, None] + areas[1][None] - shared
    return np.asarray(shared / np.maximum(union, 1e-9), np.float64)


def is_same_face(face: Face, others: Sequence[Face]) -> npt.NDArray[np.bool_]:
    """Test which boxes show the same face as another one, by the rule of non-maximum suppression.

    Args:
        face: A face.
        others: n faces.

    Returns:
        (n,) bool.
    """
    edges = [(other.x, other.y, other.x + other.width, other.y + other.height) for other in (face, *others)]
    result: npt.NDArray[np.bool_] = _same_face(np.array(edges[:1]), np.array(edges[1:]).reshape(-1, 4))[0]
    return result


def _same_face(first: DoubleArray, second: DoubleArray) -> npt.NDArray[np.bool_]:
    """(N, M): whether boxes (N, 4) and (M, 4), left, top, right and bottom, show the same face.

    They do if they overlap enough, or if one lies mostly inside the other. The second test removes the false box that
    some detectors draw across two neighbouring faces.
    """
    shared = _intersection(first, second)
    one, other = ((edges[:, 2] - edges[:, 0]) * (edges[:, 3] - edges[:, 1]) for edges in (first, second))
    union = one[:, None] + other[None] - shared
    smaller = np.minimum(one[:, None], other[None])
    return np.asarray((shared > NMS_THRESHOLD * union) | (shared > CONTAINMENT_THRESHOLD * smaller))


def _intersection(first: DoubleArray, second: DoubleArray) -> DoubleArray:
    """(N, M) shared areas of boxes (N, 4) and (M, 4), left, top, right and bottom."""
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:], second[None, :, 2:])
    return np.asarray(np.prod(np.maximum(high - low, 0), axis=2))
