"""Geometric measures of a face: where the head is turned, and how far eyes, mouth and gaze are moved.

The pose is that of the canonical face fitted to the mesh (see fervid.faces.pose, also for the axes and the unit). The
inverse of the fit turns the mesh back to a frontal face of standard size, on which the other measures are taken.

These are measures of geometry. They are no codes of the Facial Action Coding System.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import numpy as np

from fervid.faces.mesh import MIN_EYE, MIN_PRESENCE, POINTS, Mesh
from fervid.faces.pose import Pose, angles
from fervid.types import MEASURES, FloatArray, HalfArray

LIPS = ((82, 87), (13, 14), (312, 317))
"""Points of the inner edge of the upper and the lower lip that face each other."""
MOUTH_CORNERS = (61, 291)
LID_PAIRS = ((11, 3), (12, 4), (13, 5))
"""Points of the middle of the upper and of the lower lid that face each other; see mesh.LIDS."""
PACKED = 3 * POINTS + 3
"""Length of a packed mesh."""


@dataclass(frozen=True)
class FaceMeasures:
    """What is measured of one face.

    Angles are relative to the line from the camera to the face: a head that faces the camera has yaw and pitch 0,
    wherever it is in the image. So they need no knowledge of the camera. Turning an image adds to the roll alone.

    A measure is NaN if ``presence`` is below MIN_PRESENCE. The angles of the head and the measures of the eyes are also
    NaN if the pose is not known (see fervid.faces.pose.is_known), and those of an eye if it is shorter than MIN_EYE.

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
        turned: Degrees between the line of the face and the line to the camera, also if the pose is not known. Then it
            is rough.
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


def measure(mesh: Mesh) -> FaceMeasures:
    """Measure a face.

    The openness of an eye is the distance of its lids, as the iris network sees them, at three places in the middle,
    divided by the distance of the eye's corners. Length and height are corrected for yaw and pitch.

    Args:
        mesh: The mesh of the face.

    Returns:
        The measures.
    """
    pose = mesh.pose
    if mesh.presence < MIN_PRESENCE:
        unknown = dict.fromkeys((one.name for one in fields(FaceMeasures)), math.nan)
        return FaceMeasures(**unknown | {"presence": mesh.presence, "residual": pose.residual})
    yaw, pitch, roll = angles(pose.rotation)
    turned = math.degrees(math.acos(min(max(float(pose.rotation[2, 2]), -1.0), 1.0)))
    right = left = (math.nan, math.nan, math.nan)
    if mesh.pose_known:
        right, left = (_eye(mesh, place, pose) for place in (0, 1))
    else:
        yaw = pitch = roll = math.nan
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
