"""How far a face crop can be trusted."""

from __future__ import annotations

import numpy as np

from fervid.faces.crop import SIZE, normalize
from fervid.runtime.opencv import cv2
from fervid.types import ByteArray, Face

ASPECT = 0.72
"""Usual ratio of a face box's width to its height: the median over the faces that no border cuts."""
EDGE = 2.0
"""A box this near to the border of the picture, in pixels, may be cut off by it."""


def face_quality(face: Face, crop: ByteArray, width: int, height: int) -> float:
    """How far to trust a face's crop, 0 to 1: the product of six terms, each 0 to 1 but at least 0.02.

    Size: the box's smaller side against 48 pixels. Sharpness: the standard deviation of the crop's Laplacian
    after normalisation, from 0.15 (nothing but outlines) to 0.45 (eyelids and teeth can be seen). Contrast:
    the crop's standard deviation against 16 gray levels. Pose: how centred the nose is between the eyes,
    against three quarters of the way; 0 in profile, 1 where the detector gives no landmarks. Completeness:
    the share of the face inside the picture of ``width`` x ``height`` pixels. Score: the detector's. The
    limits were set on real crops: a frontal close-up is near 1, a face of 20 pixels, one of which half is
    outside, and one in profile are below 0.45.
    """
    sharpness = float(cv2.Laplacian(normalize(crop[None])[0, :, :, 0], cv2.CV_32F).std())
    terms = (
        min(face.width, face.height) / SIZE,
        (sharpness - 0.15) / 0.3,
        float(crop.std()) / 16,
        _frontal(face) / 0.75,
        _complete(face, width, height),
        face.score,
    )
    return float(np.prod(np.clip(terms, 0.02, 1.0)))


def _frontal(face: Face) -> float:
    """1 where the nose lies midway between the eyes along their line, 0 where it lies beyond one of them."""
    if len(face.landmarks) < 3:
        return 1.0
    right, left, nose = (np.asarray(point) for point in face.landmarks[:3])
    line = left - right
    along = float((nose - right) @ line / max(float(line @ line), 1e-6))
    return float(np.clip(1 - 2 * abs(along - 0.5), 0, 1))


def _complete(face: Face, width: int, height: int) -> float:
    """The share of the face that is inside the picture, 0 to 1.

    Detectors draw the box around what they see of a face that the border cuts off; its other side then says
    how long the missing one would be.
    """
    inside_x = max(0.0, min(face.x + face.width, width) - max(face.x, 0))
    inside_y = max(0.0, min(face.y + face.height, height) - max(face.y, 0))
    full_x, full_y = max(face.width, 1e-6), max(face.height, 1e-6)
    if face.x < EDGE or face.x + face.width > width - EDGE:
        full_x = max(full_x, ASPECT * face.height)
    if face.y < EDGE or face.y + face.height > height - EDGE:
        full_y = max(full_y, face.width / ASPECT)
    return min(1.0, inside_x / full_x) * min(1.0, inside_y / full_y)
