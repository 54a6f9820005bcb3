"""Roll: how far a face is turned within the plane of the image, read from its landmarks."""

from __future__ import annotations

import math

from fervid.types import Face

MAX_ROLL = 30.0
"""Roll in degrees, to either side, up to which a face counts as upright. The emotion network is trained up to it."""
MIN_DISTANCE = 0.2
"""Smallest distance of the eyes, and of the eyes from the mouth, that is plausible; a share of the face's size, which
is the geometric mean of its box's sides. Frontal faces have about 0.4 for both, faces in profile less for the eyes."""
MAX_DISAGREEMENT = 25.0
"""Largest plausible difference, in degrees, between the roll of the eyes' line and that of the line to the mouth."""

Axis = tuple[float, float]
"""A direction in the image: across and down, in pixels."""


def roll_of(face: Face) -> float | None:
    """Measure the roll of a face by its eyes.

    Args:
        face: The face.

    Returns:
        Degrees clockwise, above -180 and at most 180: the angle of the line from the right eye to the left one. None
        without five plausible landmarks: both distances must be at least MIN_DISTANCE, and the mouth must lie at a
        right angle to the eyes, up to MAX_DISAGREEMENT.
    """
    eyes, mouth = _axes(face)
    shortest = MIN_DISTANCE * math.sqrt(max(face.width * face.height, 0.0))
    if eyes is None or mouth is None or not min(math.hypot(*eyes), math.hypot(*mouth)) >= max(shortest, 1e-6):
        return None
    roll = _angle(eyes)
    return roll if abs(turned_by(roll, -_angle(_quarter_back(mouth)))) <= MAX_DISAGREEMENT else None


def approximate_roll(face: Face) -> float | None:
    """Measure the roll of a face by the line from its eyes to its mouth, which is also known in profile.

    It is rough where ``roll_of`` gives None.

    Args:
        face: The face.

    Returns:
        Degrees clockwise, above -180 and at most 180; None without five landmarks or if they coincide.
    """
    mouth = _axes(face)[1]
    return None if mouth is None or not math.hypot(*mouth) > 1e-6 else _angle(_quarter_back(mouth))


def relative_eye_distance(face: Face) -> float | None:
    """Measure how far apart the eyes are in the image. The turn of the head to the side shortens this.

    Args:
        face: The face.

    Returns:
        The distance of the eyes, divided by that of their middle from the middle of the mouth; about 1 in a frontal
        face. None without five landmarks or if eyes and mouth coincide.
    """
    eyes, mouth = _axes(face)
    if eyes is None or mouth is None or not math.hypot(*mouth) > 1e-6:
        return None
    return math.hypot(*eyes) / math.hypot(*mouth)


def looks_turned(face: Face) -> bool:
    """Tell whether the landmarks speak for a roll beyond MAX_ROLL.

    Args:
        face: The face.

    Returns:
        True if its eyes are turned further than that, or its eyes and mouth if the eyes are not plausible.
    """
    roll = roll_of(face)
    if roll is None:
        roll = approximate_roll(face)
    return roll is not None and abs(roll) > MAX_ROLL


def turned_by(roll: float, degrees: float) -> float:
    """Add two angles.

    Args:
        roll: Degrees.
        degrees: Degrees to add.

    Returns:
        The sum, above -180 and at most 180.
    """
    return 180.0 - (180.0 - roll - degrees) % 360.0


def _axes(face: Face) -> tuple[Axis | None, Axis | None]:
    """From the right eye to the left one, and from the middle of the eyes to that of the mouth; None if unknown."""
    points = face.landmarks
    if len(points) != 5 or not math.isfinite(sum(map(sum, points))):
        return None, None
    right, left, _, mouth_right, mouth_left = points
    across, down = ((mouth_right[axis] + mouth_left[axis]) / 2 - (right[axis] + left[axis]) / 2 for axis in (0, 1))
    return (left[0] - right[0], left[1] - right[1]), (across, down)


def _quarter_back(axis: Axis) -> Axis:
    """The axis turned by 90 degrees anticlockwise, in an image whose y axis points down."""
    return axis[1], -axis[0]


def _angle(axis: Axis) -> float:
    return turned_by(math.degrees(math.atan2(axis[1], axis[0])), 0.0)
