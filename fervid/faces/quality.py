"""Quality of a face crop: how far its classification can be trusted."""

from __future__ import annotations

import math

import numpy as np

from fervid.faces.crop import SIZE, normalize
from fervid.faces.measures import FaceMeasures
from fervid.faces.roll import MAX_ROLL, approximate_roll, roll_of
from fervid.runtime.opencv import cv2
from fervid.types import ByteArray, Face

ASPECT = 0.72
"""Typical ratio of a face box's width to its height: the median over faces that lie fully inside the image."""
FRONTAL, TURNED_AWAY = 15.0, 50.0
"""Degrees between the line of the face and the line to the camera: up to which a face counts as frontal, and from which
as turned away."""
LEAST_COVERED, MOST_COVERED = 0.7, 0.93
"""Output of the network that looks for covers: up to which a face counts as free, and from which as covered."""
COVERED = 0.3
"""Quality of a covered face that is otherwise perfect: low, but not so low that the smoothing fills it with what lies
seconds away."""
EDGE = 2.0
"""A box within this many pixels of the image border may be cut off by it."""


def face_quality(
    face: Face,
    crop: ByteArray,
    width: int,
    height: int,
    measures: FaceMeasures | None = None,
    covered: float = 0.0,
) -> float:
    """Rate a face crop by the product of nine terms, each limited to 0.02 to 1.

    - Size: the shorter side of the box relative to 48 pixels.
    - Sharpness: the standard deviation of the Laplacian of the normalised crop, from 0.15 (only outlines visible) to
      0.45 (eyelids and teeth visible).
    - Contrast: the standard deviation of the crop relative to 16 gray levels.
    - Pose: the angle between the line of the face and the line to the camera, by the yaw and pitch of the mesh: 1 up
      to FRONTAL degrees, falling to 0 at TURNED_AWAY. Without a mesh, how centred the nose is between the eyes,
      relative to three quarters; 0 in profile, 1 without landmarks.
    - Roll that cannot be undone: 1 up to ``roll.MAX_ROLL`` and where ``crop_face`` turns the face upright, falling to 0
      at twice that. Without landmarks, boxes wider than high count as faces on their side.
    - Presence: how sure the network of the mesh is that it sees a face; 1 without a mesh.
    - Cover: how likely it is that something covers the face; 1 up to LEAST_COVERED, falling to COVERED at
      MOST_COVERED.
    - Completeness: the share of the face inside the image.
    - Score: the detector's.

    The limits were set on real crops. A frontal close-up is near 1. A face of 20 pixels, a face half outside the image
    and a profile are below 0.45.

    Args:
        face: The face, in pixels of the image.
        crop: (48, 48) uint8, its crop.
        width: Width of the image in pixels.
        height: Height of the image in pixels.
        measures: What the face's mesh says; None if there is none.
        covered: How likely it is that something covers the face, 0 to 1; see fervid.faces.covered.

    Returns:
        Quality between 0 and 1.
    """
    sharpness = float(cv2.Laplacian(normalize(crop[None])[0, :, :, 0], cv2.CV_32F).std())
    terms = (
        min(face.width, face.height) / SIZE,
        (sharpness - 0.15) / 0.3,
        float(crop.std()) / 16,
        _frontal(face) / 0.75 if measures is None or math.isnan(measures.turned) else _towards(measures),
        _upright(face),
        1.0 if measures is None else measures.presence,
        uncovered_term(covered),
        _complete(face, width, height),
        face.score,
    )
    return math.prod(min(max(term, 0.02), 1.0) for term in terms)


def _frontal(face: Face) -> float:
    """1 if the nose is midway between the eyes along their line, 0 if it is beyond one of them."""
    if len(face.landmarks) < 3:
        return 1.0
    right_eye, left_eye, nose = (np.asarray(point) for point in face.landmarks[:3])
    line = left_eye - right_eye
    position = float((nose - right_eye) @ line / max(float(line @ line), 1e-6))
    return float(np.clip(1 - 2 * abs(position - 0.5), 0, 1))


def _towards(measures: FaceMeasures) -> float:
    """1 if the face is turned to the camera by up to FRONTAL degrees, 0 if it is turned away by TURNED_AWAY."""
    return (TURNED_AWAY - measures.turned) / (TURNED_AWAY - FRONTAL)


def uncovered_term(covered: float) -> float:
    """Rate a face by what may cover it.

    Args:
        covered: How likely it is that something covers the face, 0 to 1.

    Returns:
        1 if nothing covers the face, COVERED if something does.
    """
    free = (MOST_COVERED - covered) / (MOST_COVERED - LEAST_COVERED)
    return COVERED + (1 - COVERED) * min(max(free, 0.0), 1.0)


def _upright(face: Face) -> float:
    """1 if the crop stands upright, 0 if it is turned by twice MAX_ROLL."""
    rough = approximate_roll(face)
    if rough is None and face.landmarks:
        return 1.0
    if rough is None:
        return (1 / ASPECT - face.width / max(face.height, 1e-6)) / (1 / ASPECT - 1.0)
    return 1.0 if roll_of(face) is not None else 2.0 - abs(rough) / MAX_ROLL


def _complete(face: Face, width: int, height: int) -> float:
    """Share of the face that is inside the image, 0 to 1.

    If the border cuts a face off, detectors box only its visible part. The uncut side then gives the length of the
    cut one.
    """
    inside_x = max(0.0, min(face.x + face.width, width) - max(face.x, 0))
    inside_y = max(0.0, min(face.y + face.height, height) - max(face.y, 0))
    full_x, full_y = max(face.width, 1e-6), max(face.height, 1e-6)
    if face.x < EDGE or face.x + face.width > width - EDGE:
        full_x = max(full_x, ASPECT * face.height)
    if face.y < EDGE or face.y + face.height > height - EDGE:
        full_y = max(full_y, face.width / ASPECT)
    return min(1.0, inside_x / full_x) * min(1.0, inside_y / full_y)
