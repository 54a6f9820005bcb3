"""Faces between two detections: each moves evenly from one box to the other, where the images agree.

A box is tested before it is taken: the face inside it must look like those inside both detected boxes, and must lie at
the same place inside the box, as phase correlation finds it (Kuglin and Hines, 1975).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fervid.faces.boxes import iou
from fervid.runtime.opencv import cv2
from fervid.types import ByteArray, Face, FloatArray

MIN_OVERLAP = 0.65
"""Intersection over union of the two detected boxes of a face, at least: a face that moves faster is detected in every
frame."""
MAX_SCALE = 1.15
"""Ratio of the sizes of the two boxes, at most."""
BORDER, BORDER_OVERLAP = 0.04, 0.9
"""A box this near to the edge of the image, as a share of its size, or beyond it, may be cut off. Then both boxes must
overlap by this much."""
APART = 0.25
"""Distance from each other, as a share of the larger one's size, that boxes of two faces must have, at least."""
SCORE_MARGIN = 0.1
"""How far the scores of both detections must lie above the detector's threshold."""
SIDE = 32
"""Side in pixels of the small images of a face that are compared."""
MIN_SIDE = 24.0
"""Shorter side in pixels of a box whose content can be compared."""
MIN_CORRELATION = 0.88
"""Correlation of two of these images, at least."""
MAX_SHIFT = 0.025
"""Distance that one must be moved to fit the other, at most, as a share of the box."""

_WINDOW = cv2.createHanningWindow((SIDE, SIDE), cv2.CV_32F)


@dataclass(frozen=True, eq=False)
class _Followed:
    """A face that was detected at both ends of an interval, and what its two boxes show."""

    first: Face
    last: Face
    shown: tuple[FloatArray, FloatArray]


class FacesBetween:
    """The faces of an interval between two frames in which faces were detected.

    Args:
        first: (h, w, 3) uint8, blue-green-red: the image at its beginning.
        faces: The faces detected there, in pixels of the image.
        last: The image at its end, of the same size.
        later: The faces detected there.
        threshold: Lowest score of a face.
    """

    def __init__(
        self, first: ByteArray, faces: Sequence[Face], last: ByteArray, later: Sequence[Face], threshold: float
    ) -> None:
        height, width = first.shape[:2]
        pairs = _pairs(faces, later)
        calm = pairs is not None and all(_is_calm(*pair, width, height, threshold) for pair in pairs)
        self._faces: list[_Followed] | None = None
        if pairs is not None and calm and _are_apart(faces) and _are_apart(later):
            self._faces = [_Followed(one, other, (_inside(first, one), _inside(last, other))) for one, other in pairs]

    @property
    def can_follow(self) -> bool:
        """Whether both ends show the same faces, none of them moves fast, is cut off or is near another."""
        return self._faces is not None

    def at(self, image: ByteArray, share: float) -> list[Face] | None:
        """Find the faces of a frame in the interval.

        Args:
            image: The frame, of the same size as those at both ends.
            share: Its place in the interval, 0 to 1.

        Returns:
            The faces, best score first, with the lower one of both scores; None if the image disagrees with one.
        """
        if self._faces is None:
            return None
        found = []
        for one in self._faces:
            face = _between(one.first, one.last, share)
            here = _inside(image, face)
            if not all(_fits(here, other) for other in one.shown):
                return None
            found.append(face)
        return sorted(found, key=lambda face: -face.score)


def _pairs(faces: Sequence[Face], later: Sequence[Face]) -> list[tuple[Face, Face]] | None:
    """The same face at both ends; None if a face has no partner."""
    if len(faces) != len(later):
        return None
    if not faces:
        return []
    overlaps = iou([face.box for face in faces], [face.box for face in later])
    partners = overlaps.argmax(axis=1).tolist()
    if len(set(partners)) < len(partners) or overlaps.max(axis=1).min() < MIN_OVERLAP:
        return None
    return [(face, later[partner]) for face, partner in zip(faces, partners, strict=True)]


def _is_calm(first: Face, last: Face, width: int, height: int, threshold: float) -> bool:
    """Whether a face can be followed from one box to the other."""
    size, other = (float(np.sqrt(face.width * face.height)) for face in (first, last))
    margin = BORDER * max(size, other)
    inside = all(
        min(face.x, face.y, width - face.x - face.width, height - face.y - face.height) >= margin
        for face in (first, last)
    )
    return (
        min(first.score, last.score) >= threshold + SCORE_MARGIN
        and len(first.landmarks) == len(last.landmarks)
        and min(first.width, first.height, last.width, last.height) >= MIN_SIDE
        and max(size, other) <= MAX_SCALE * min(size, other)
        and (inside or float(iou([first.box], [last.box])[0, 0]) >= BORDER_OVERLAP)
    )


def _are_apart(faces: Sequence[Face]) -> bool:
    """Whether no face is near another one."""
    for number, face in enumerate(faces):
        for other in faces[:number]:
            across = max(face.x, other.x) - min(face.x + face.width, other.x + other.width)
            down = max(face.y, other.y) - min(face.y + face.height, other.y + other.height)
            if max(across, down) < APART * max(face.width, other.width):
                return False
    return True


def _between(first: Face, last: Face, share: float) -> Face:
    """The face on its way from one place to the other."""

    def mean(begin: float, end: float) -> float:
        return (1 - share) * begin + share * end

    points = zip(first.landmarks, last.landmarks, strict=True)
    return Face(
        mean(first.x, last.x),
        mean(first.y, last.y),
        mean(first.width, last.width),
        mean(first.height, last.height),
        min(first.score, last.score),
        tuple((mean(x, later_x), mean(y, later_y)) for (x, y), (later_x, later_y) in points),
        followed=True,
    )


def _inside(image: ByteArray, face: Face) -> FloatArray:
    """(SIDE, SIDE) the green channel inside the box of a face, as the difference from its mean."""
    step = max(1, int(min(face.width, face.height) / (2 * SIDE)))
    scale = np.array([[face.width / SIDE, 0.0, face.x], [0.0, face.height / SIDE, face.y]]) / step
    green = image[::step, ::step, 1]
    left, top = (int(np.clip(np.floor(scale[axis, 2]), 0, green.shape[1 - axis] - 1)) for axis in (0, 1))
    right, bottom = (
        int(np.clip(np.ceil(scale[axis, 2] + scale[axis, axis] * SIDE) + 1, low + 1, green.shape[1 - axis]))
        for axis, low in ((0, left), (1, top))
    )
    scale[:, 2] -= left, top
    part = np.ascontiguousarray(green[top:bottom, left:right])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    small = np.asarray(cv2.warpAffine(part, scale, (SIDE, SIDE), flags=flags, borderMode=cv2.BORDER_REPLICATE))
    values = small.astype(np.float32)
    return np.asarray(values - values.mean(), np.float32)


def _fits(here: FloatArray, there: FloatArray) -> bool:
    """Whether two boxes show the same face at the same place."""
    spread = float(np.sqrt((here * here).sum() * (there * there).sum()))
    if float((here * there).sum()) < MIN_CORRELATION * max(spread, 1.0):
        return False
    shift, _ = cv2.phaseCorrelate(there.copy(), here.copy(), _WINDOW)  # OpenCV 5 changes its arguments
    return max(map(abs, shift)) <= MAX_SHIFT * SIDE
