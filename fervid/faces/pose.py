"""How a head is turned: a canonical face, fitted to the points of a mesh.

A face's own axes are x to the person's left, y up, and z forward. The unit of length is the distance between the outer
corners of the eyes. The canonical face, a mean of many faces, has these axes. A similarity transform maps it onto the
points of a mesh that expressions move least. Its rotation is the pose of the head.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from fervid.faces.roll import relative_eye_distance
from fervid.runtime.weights import FOLDER
from fervid.types import DoubleArray, Face, FloatArray

CANONICAL_FILE = FOLDER / "canonical-face.json"
"""Made by ``python -m fervid.training.canonical_face``."""

DEPTH_GAIN = 1.2
"""By how much more the depth of a mesh counts in the fit than in the canonical face. The network turns heads that look
far to the side or up too little. Chosen on rendered heads: tests.benchmarks.measures_rendered."""
MAX_YAW = 45.0
"""Degrees of yaw beyond which angles and eyes are not measured: on rendered heads that were turned by up to 75 degrees,
those that seemed to be turned further than this had mean errors of 11 degrees of yaw, 12 of pitch and 9 of roll."""

SURE_PRESENCE, MIN_EYES = 0.95, 0.7
"""Smallest presence, and smallest distance of the eyes in distances of the eyes from the mouth, of faces whose angles
and eyes are measured. Chosen on rendered heads: tests.benchmarks.measures_rendered."""


@dataclass(frozen=True, eq=False)
class Pose:
    """How the canonical face is turned and scaled onto a mesh.

    Attributes:
        rotation: (3, 3) float64, from the axes of the face to those of the camera: x to the right of the image, y up, z
            towards the camera.
        scale: Pixels per distance of the outer corners of the eyes.
        frontal: (468, 3) float64, the mesh turned back, in the axes and the unit of the canonical face.
        residual: See FaceMeasures.
    """

    rotation: DoubleArray
    scale: float
    frontal: DoubleArray
    residual: float


def head_pose(points: FloatArray) -> Pose:
    """Fit the canonical face to a mesh with least squared error (Umeyama, 1991).

    Args:
        points: (468, 3) float32, see fervid.faces.mesh.Mesh.

    Returns:
        The pose.
    """
    shape = _canonical()
    placed = points.astype(np.float64) * (1.0, -1.0, -shape.factor)
    centred = placed - shape.weights @ placed
    left, sizes, right = np.linalg.svd(shape.weighted.T @ centred)
    signs = np.array([1.0, 1.0, np.sign(np.linalg.det(left @ right))])
    rotation = (right.T * signs) @ left.T
    scale = max(float(sizes @ signs) / shape.spread, 1e-6)
    frontal = centred @ (rotation / scale)
    frontal += shape.middle
    off = frontal - shape.points
    residual = math.sqrt(float((shape.weights @ (off * off)).sum()))
    return Pose(rotation, scale, frontal, residual)


def is_known(pose: Pose, presence: float, face: Face) -> bool:
    """Tell whether a pose can be right.

    The mesh network turns heads in profile to the front. Its presence, and the landmarks of the detector, give away
    most of them.

    Args:
        pose: The pose.
        presence: How sure the network of the mesh is that it sees a face, 0 to 1.
        face: The face with the detector's landmarks.

    Returns:
        Whether it has at most MAX_YAW degrees of yaw, the network is sure (SURE_PRESENCE), and the landmarks are not
        those of a profile (MIN_EYES). Without landmarks the last condition does not count.
    """
    if abs(angles(pose.rotation)[0]) > MAX_YAW or presence < SURE_PRESENCE:
        return False
    eyes = relative_eye_distance(face)
    return eyes is None or eyes >= MIN_EYES


def angles(rotation: DoubleArray) -> tuple[float, float, float]:
    """Read yaw, pitch and roll from a rotation.

    The rotation is that of the pitch, then of the yaw, then of the roll: ``rotation_of`` is the inverse.

    Args:
        rotation: (3, 3), see Pose.

    Returns:
        Yaw, pitch and roll in degrees with the signs of FaceMeasures. Yaw is between -90 and 90, the others are
        between -180 and 180.
    """
    (across, _, _), (up, _, _), (x, y, z) = rotation.tolist()
    yaw, pitch, roll = math.asin(min(max(-x, -1.0), 1.0)), math.atan2(-y, z), math.atan2(up, across)
    return math.degrees(yaw), math.degrees(pitch), math.degrees(roll)


def rotation_of(yaw: float, pitch: float, roll: float) -> DoubleArray:
    """Make the rotation of a head.

    Args:
        yaw: Degrees, with the signs of FaceMeasures.
        pitch: Degrees.
        roll: Degrees.

    Returns:
        (3, 3) float64, see Pose.
    """
    (cy, cp, cr), (sy, sp, sr) = np.cos(np.radians([yaw, pitch, roll])), np.sin(np.radians([yaw, pitch, roll]))
    about_z = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_x = np.array([[1, 0, 0], [0, cp, sp], [0, -sp, cp]])
    return np.asarray(about_z @ about_y @ about_x, np.float64)


@dataclass(frozen=True, eq=False)
class _Canonical:
    """The canonical face.

    ``points``: (468, 3). ``weights``: (468,), with the sum 1. ``factor``: of the depth of a mesh. ``middle``: weighted
    mean of the points. ``weighted``: (468, 3), the points from the middle, times their weights. ``spread``: weighted
    mean of the squared distances from the middle.
    """

    points: DoubleArray
    weights: DoubleArray
    factor: float
    middle: DoubleArray
    weighted: DoubleArray
    spread: float


@lru_cache(maxsize=1)
def _canonical() -> _Canonical:
    content = json.loads(CANONICAL_FILE.read_text(encoding="utf-8"))
    weights = np.asarray(content["weights"], np.float64)
    weights /= weights.sum()
    points = np.asarray(content["points"], np.float64)
    middle = weights @ points
    weighted = weights[:, None] * (points - middle)
    factor = DEPTH_GAIN * float(content["depth_factor"])
    return _Canonical(points, weights, factor, middle, weighted, float((weighted * (points - middle)).sum()))
