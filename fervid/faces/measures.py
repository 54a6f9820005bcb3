"""Geometric measures of a face: where the head is turned, and how far eyes, mouth and gaze are moved.

A face's own axes are x to the person's left, y up, and z forward. The unit of length is the distance between the outer
corners of the eyes. The canonical face, a mean of many faces, has these axes. A similarity transform maps it onto the
points of a mesh that expressions move least. Its rotation is the pose of the head. Its inverse turns the mesh back to
a frontal face of standard size, on which the other measures are taken.

These are measures of geometry. They are no codes of the Facial Action Coding System.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, fields
from functools import lru_cache

import numpy as np

from fervid.faces.mesh import MIN_EYE, MIN_PRESENCE, POINTS, Mesh
from fervid.runtime.weights import FOLDER
from fervid.types import MEASURES, DoubleArray, FloatArray, HalfArray

CANONICAL_FILE = FOLDER / "canonical-face.json"
"""Made by ``python -m fervid.training.canonical_face``."""

LIPS = ((82, 87), (13, 14), (312, 317))
"""Points of the inner edge of the upper and the lower lip that face each other."""
MOUTH_CORNERS = (61, 291)
LID_PAIRS = ((11, 3), (12, 4), (13, 5))
"""Points of the middle of the upper and of the lower lid that face each other; see mesh.LIDS."""
DEPTH_GAIN = 1.2
"""By how much more the depth of a mesh counts in the fit than in the canonical face. The network turns heads that look
far to the side or up too little. Chosen on rendered heads: tests.benchmarks.measures_rendered."""
MAX_YAW = 45.0
"""Degrees of yaw beyond which angles and eyes are not measured: on rendered heads that were turned by up to 75 degrees,
those that seemed to be turned further than this had mean errors of 11 degrees of yaw, 12 of pitch and 9 of roll."""
PACKED = 3 * POINTS + 3
"""Length of a packed mesh."""


@dataclass(frozen=True)
class FaceMeasures:
    """What is measured of one face.

    Angles are relative to the line from the camera to the face: a head that faces the camera has yaw and pitch 0,
    wherever it is in the image. So they need no knowledge of the camera. Turning an image adds to the roll alone.

    A measure is NaN if ``presence`` is below MIN_PRESENCE. The angles of the head and the measures of the eyes are also
    NaN beyond MAX_YAW, and those of an eye if it is shorter than MIN_EYE.

    Attributes:
        head_yaw: Degrees, positive to the person's left.
        head_pitch: Degrees, positive upwards.
        head_roll: Degrees, positive towards the person's right shoulder.
        eyes_open: Distance of the lids of the nearer eye, as a share of the eye's length; see ``measure``.
        eye_open_right: The same of the person's right eye; NaN if it was not looked at.
        eye_open_left: The same of the left eye; NaN if it was not looked at.
        mouth_open: Distance of the lips, in distances of the outer corners of the eyes.
        smile: Width of the mouth in the same unit.
        gaze_x: How far the iris of the nearer eye is from the middle of the eye to the person's left, as a share of the
            eye's length.
        gaze_y: The same upwards.
        turned: Degrees between the line of the face and the line to the camera, also beyond MAX_YAW, where it is rough.
        presence: How sure the network is that it sees a face, 0 to 1.
        residual: Root mean square distance of the mesh's points from the canonical face, in distances of the outer
            corners of the eyes.
    """

    head_yaw: float
    head_pitch: float
    head_roll: float
    eyes_open: float
    eye_open_right: float
    eye_open_left: float
    mouth_open: float
    smile: float
    gaze_x: float
    gaze_y: float
    turned: float
    presence: float
    residual: float


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


def measure(mesh: Mesh) -> FaceMeasures:
    """Measure a face.

    The openness of an eye is the distance of its lids, as the iris network sees them, at three places in the middle,
    divided by the distance of the eye's corners. Length and height are corrected for yaw and pitch.

    Args:
        mesh: The mesh of the face.

    Returns:
        The measures.
    """
    pose = head_pose(mesh)
    if mesh.presence < MIN_PRESENCE:
        unknown = dict.fromkeys((one.name for one in fields(FaceMeasures)), math.nan)
        return FaceMeasures(**unknown | {"presence": mesh.presence, "residual": pose.residual})
    yaw, pitch, roll = angles(pose.rotation)
    turned = math.degrees(math.acos(min(max(float(pose.rotation[2, 2]), -1.0), 1.0)))
    right = left = (math.nan, math.nan, math.nan)
    if abs(yaw) > MAX_YAW:
        yaw = pitch = roll = math.nan
    else:
        right, left = (_eye(mesh, place, pose) for place in (0, 1))
    openness, gaze_x, gaze_y = left if mesh.nearer else right
    front = pose.frontal
    return FaceMeasures(
        head_yaw=yaw,
        head_pitch=pitch,
        head_roll=roll,
        eyes_open=openness,
        eye_open_right=right[0],
        eye_open_left=left[0],
        mouth_open=sum(max(float(front[above, 1] - front[below, 1]), 0.0) for above, below in LIPS) / len(LIPS),
        smile=math.dist(*front[list(MOUTH_CORNERS)].tolist()),
        gaze_x=gaze_x,
        gaze_y=gaze_y,
        turned=turned,
        presence=mesh.presence,
        residual=pose.residual,
    )


def values_of(measures: FaceMeasures | None) -> FloatArray:
    """List the measures that are columns of the timeline.

    Args:
        measures: The measures of a face; None if it was not measured.

    Returns:
        (8,) float32 in the order of fervid.types.MEASURES; NaN where a measure is unknown.
    """
    return np.array([math.nan if measures is None else getattr(measures, name) for name in MEASURES], np.float32)


def packed(mesh: Mesh, measures: FaceMeasures) -> HalfArray:
    """Make a row of the mesh table.

    Args:
        mesh: The mesh of a face.
        measures: What is measured of it.

    Returns:
        (1407,) float16: x, y and depth of each point, the openness of the right and the left eye, and the presence.
    """
    more = (measures.eye_open_right, measures.eye_open_left, mesh.presence)
    limit = float(np.finfo(np.float16).max)
    return np.concatenate([mesh.points.ravel(), more]).clip(-limit, limit).astype(np.float16)


def head_pose(mesh: Mesh) -> Pose:
    """Fit the canonical face to a mesh with least squared error (Umeyama, 1991).

    Args:
        mesh: The mesh of a face.

    Returns:
        The pose.
    """
    shape = _canonical()
    points = mesh.points.astype(np.float64) * (1.0, -1.0, -shape.factor)
    centred = points - shape.weights @ points
    left, sizes, right = np.linalg.svd(shape.weighted.T @ centred)
    signs = np.array([1.0, 1.0, np.sign(np.linalg.det(left @ right))])
    rotation = (right.T * signs) @ left.T
    scale = max(float(sizes @ signs) / shape.spread, 1e-6)
    frontal = centred @ (rotation / scale)
    frontal += shape.middle
    off = frontal - shape.points
    residual = math.sqrt(float((shape.weights @ (off * off)).sum()))
    return Pose(rotation, scale, frontal, residual)


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


def _eye(mesh: Mesh, place: int, pose: Pose) -> tuple[float, float, float]:
    """Openness of an eye, and how far its iris is off the middle, to the person's left and upwards.

    The points lie in the image. Their distances along the axes of the face are those that a plane through the eyes
    would have.
    """
    if not math.dist(mesh.lids[place, 0].tolist(), mesh.lids[place, 8].tolist()) >= MIN_EYE:  # also if it is NaN
        return math.nan, math.nan, math.nan
    (a, b), (c, d) = pose.rotation[:2, :2].tolist()
    area = (a * d - b * c) * pose.scale or 1e-9
    plane = np.array([(d, b), (-c, -a)]) / area  # from the image, whose rows run downwards, to the axes of the face
    lids, iris = mesh.lids[place].astype(np.float64) @ plane.T, plane @ mesh.irises[place, 0].astype(np.float64)
    (outer_x, outer_y), (inner_x, inner_y), (iris_x, iris_y) = lids[0].tolist(), lids[8].tolist(), iris.tolist()
    length = max(math.hypot(outer_x - inner_x, outer_y - inner_y), 1e-6)
    gap = sum(float(lids[above, 1] - lids[below, 1]) for above, below in LID_PAIRS) / len(LID_PAIRS)
    x, y = (iris_x - (outer_x + inner_x) / 2) / length, (iris_y - (outer_y + inner_y) / 2) / length
    return max(gap / length, 0.0), x, y


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
