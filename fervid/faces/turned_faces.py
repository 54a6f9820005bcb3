"""Faces that lie on their side or upside down: a second look at the image, turned by quarter turns.

Detectors are trained on upright faces. They miss turned ones, or find them with landmarks in the wrong places.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from fervid.faces.boxes import iou, is_same_face, scale_face, shrink
from fervid.faces.close_up import upright_close_up
from fervid.faces.detectors import FaceDetector
from fervid.faces.roll import MAX_ROLL, approximate_roll, looks_turned, roll_of, turned_by
from fervid.runtime.opencv import cv2
from fervid.types import ByteArray, Face

TURNS = (180, 90, 270)
"""Degrees clockwise by which an image is turned, in the order of the looks: detectors miss faces upside down most."""
MAX_ROLL_IN_LOOK = 60.0
"""A face counts in a turned image or close-up if its roll there, in degrees, is at most this."""
RELIABLE_ROLL = 45.0
"""A face with a larger roll than this, in degrees to either side, is no upright face."""
DOUBTFUL_SCORE = {"yunet": 0.9, "retinaface": 0.9}
"""Score of a detector below which a face may be turned although its landmarks say that it is upright. YuNet draws
upright landmarks into most turned faces, with scores of 0.7 to 0.87, RetinaFace into some. Clear upright faces have
0.93 or more. CenterFace never does so."""
DOUBTFUL_PROFILE = {"yunet": 0.9, "retinaface": 0.97}
"""The same for a face whose eyes are implausible, as they are in profile."""
SURE_SCORE = 0.93
"""Score of an upright close-up from which no other angle is tried."""
SCORE_GAIN = 0.05
"""How much a close-up must beat those at earlier angles."""
DOUBTFUL_LARGE = {"retinaface": 0.999}
"""The same as DOUBTFUL_SCORE for large faces, whatever their eyes. RetinaFace draws upright landmarks into three of
five large faces that are upside down, with scores up to 0.998. Four of five large upright faces have 0.999 or more."""
LARGE = 1 / 8
"""A face is large if its shorter side is at least this share of the image's longer side."""
UPRIGHT_GAIN = {"yunet": 0.03, "retinaface": -0.005}
"""How much a turned close-up must beat the detection itself, if the landmarks there say that the face is upright. With
RetinaFace it may fall a little short, because turned close-ups of upright faces show no face, or one that is worse."""
UPRIGHT_SHAPE = {"retinaface": 0.78}
"""A face with upright landmarks whose box is narrower than this share of its height, and whose roll is smaller than
UPRIGHT_ROLL degrees, does not lie on its side: none of 81 faces there that were read as upright did."""
UPRIGHT_ROLL = 8.0
SAME_PLACE = 0.3
"""Smallest intersection over union with a known upright face at which a face is taken for the same one."""

_ROTATIONS = {90: cv2.ROTATE_90_CLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_COUNTERCLOCKWISE}


class TurnedFaceDetector:
    """Finds turned faces with a detector of upright ones.

    Nothing here depends on earlier images.
    """

    def __init__(self, detector: FaceDetector, score_threshold: float, long_side: int) -> None:
        """Take a detector.

        Args:
            detector: Finds upright faces.
            score_threshold: Lowest score of a face. Faces of a turned image need a score halfway between it and 1.
            long_side: Images are shrunk to this long side, in pixels. A first search takes half of it.
        """
        self._detector, self._threshold, self._long_side = detector, score_threshold, long_side
        self._good_score = (1 + score_threshold) / 2
        self._doubtful_score = DOUBTFUL_SCORE.get(detector.name, 0.0)
        self._doubtful_profile = DOUBTFUL_PROFILE.get(detector.name, 0.0)
        self._doubtful_large = DOUBTFUL_LARGE.get(detector.name, 0.0)
        self._upright_gain = UPRIGHT_GAIN.get(detector.name, 0.0)
        self._upright_shape = UPRIGHT_SHAPE.get(detector.name, 0.0)

    def is_good(self, face: Face) -> bool:
        """Tell whether a face speaks against a search of the turned image.

        Args:
            face: The face.

        Returns:
            True if its score is good and it is upright, or nearly so.
        """
        roll = roll_of(face)
        upright = not looks_turned(face) if roll is None else abs(roll) <= RELIABLE_ROLL
        return face.score >= self._good_score and upright

    def refine(self, image: ByteArray, faces: Sequence[Face], turn: int = 0, known: Sequence[Face] = ()) -> list[Face]:
        """Look again, from near, at each face that may be turned.

        Args:
            image: (h, w, 3) uint8, blue-green-red.
            faces: The faces that the detector found in it, in its pixels.
            turn: Degrees clockwise by which the image was turned to find them.
            known: Faces of an earlier image of the same scene that were found to be upright. A face in the place of one
                of them is not looked at again, if its landmarks say that it is upright.

        Returns:
            The faces in the same order. Where a turned close-up shows a face better, it stands in place of the first.
        """
        large = LARGE * max(image.shape[:2])
        return [
            self._closer(image, face)
            if self._may_be_misread(face, turn, large) and (looks_turned(face) or not _is_in_place(face, known))
            else face
            for face in faces
        ]

    def search(self, image: ByteArray, turn: int) -> list[Face]:
        """Look for faces in an image that is turned.

        Args:
            image: (h, w, 3) uint8, blue-green-red.
            turn: 90, 180 or 270: degrees clockwise by which the image is turned before detection.

        Returns:
            The faces that stand upright then, best score first, in pixels of ``image``.
        """
        small, factor = shrink(image, self._long_side)
        found = [face for face in self._upright_in(small, turn) if face.score >= self._good_score]
        return [scale_face(face, factor) for face in self.refine(small, found, turn)]

    def may_show_faces(self, image: ByteArray, turn: int) -> bool:
        """Look for faces as ``search`` does, at half the resolution, which is four times faster and misses small ones.

        Args:
            image: (h, w, 3) uint8, blue-green-red.
            turn: See ``search``.

        Returns:
            Whether ``search`` is likely to find a face.
        """
        return bool(self._upright_in(shrink(image, self._long_side // 2)[0], turn))

    def complete(self, image: ByteArray, faces: Sequence[Face]) -> list[Face]:
        """Look again at a single image: from near, and at the whole of it if it shows no good upright face.

        Args:
            image: (h, w, 3) uint8, blue-green-red.
            faces: The faces that the detector found in it, in its pixels.

        Returns:
            The faces, in the same pixels.
        """
        refined = self.refine(image, faces)
        return refined if any(map(self.is_good, refined)) else self.merge(refined, self.search_all(image, refined)[1])

    def search_all(self, image: ByteArray, faces: Sequence[Face] = ()) -> tuple[int, list[Face]]:
        """Look for faces in the image turned by 180, 90 and 270 degrees, until one of them shows some.

        Args:
            image: (h, w, 3) uint8, blue-green-red.
            faces: Turned faces that are known. The turn that makes the first of them upright is tried first.

        Returns:
            The turn that shows faces, and the faces as ``search`` returns them; 0 and none if there are none.
        """
        known = (roll_of(face) or approximate_roll(face) or 0.0 for face in faces)
        likely = [turn for roll in known if (turn := round(-roll / 90) * 90 % 360)]
        for turn in dict.fromkeys((*likely, *TURNS)):
            if self.may_show_faces(image, turn) and (found := self.search(image, turn)):
                return turn, found
        return 0, []

    def merge(self, faces: Sequence[Face], turned: Sequence[Face]) -> list[Face]:
        """Join the faces of the image itself and those of a turned one.

        Args:
            faces: The faces of the image.
            turned: The faces of a turned image, in pixels of the image.

        Returns:
            The faces, best score first. Of two at one place the turned one is kept, unless the other is upright and
            has nearly as high a score.
        """
        kept = [face for face in faces if not any(self._replaces(new, face) for new in _at(face, turned))]
        new = [face for face in turned if not _at(face, kept)]
        return sorted([*kept, *new], key=lambda face: -face.score)

    def add(self, image: ByteArray, faces: Sequence[Face], turned: Sequence[Face]) -> list[Face]:
        """Join the faces of a turned image, and those that the image itself shows at other places.

        Args:
            image: (h, w, 3) uint8, blue-green-red.
            faces: The faces that the detector found in it, not refined, in its pixels.
            turned: The faces of the turned image, in pixels of the image.

        Returns:
            The faces, best score first.
        """
        others = self.refine(image, [face for face in faces if not _at(face, turned)])
        new = [face for face in others if not _at(face, turned)]
        return sorted([*turned, *new], key=lambda face: -face.score)

    def _replaces(self, turned: Face, face: Face) -> bool:
        return not self.is_good(face) and (looks_turned(face) or turned.score >= face.score + SCORE_GAIN)

    def _may_be_misread(self, face: Face, turn: int, large: float) -> bool:
        roll = roll_of(face)
        if turn == 0 and min(face.width, face.height) >= large and face.score < self._doubtful_large:
            return True
        if roll is None:
            return looks_turned(face) or face.score < self._doubtful_profile
        return abs(turned_by(roll, turn)) > MAX_ROLL or face.score < self._doubtful_score

    def _closer(self, image: ByteArray, face: Face) -> Face:
        """What the clearest close-up shows in place of a face, or the face itself.

        If no close-up shows the face and its landmarks say that it is turned, they are refuted.
        """
        upright = not looks_turned(face)
        wanted = max(face.score + self._upright_gain, self._doubtful_profile) if upright else self._threshold
        best: Face | None = None
        tried: list[float] = []
        for roll in self._rolls_to_try(face, upright):
            if any(abs(turned_by(roll, -other)) < RELIABLE_ROLL for other in tried):
                continue
            tried.append(roll)
            close = upright_close_up(image, face, roll, lambda part: self._detector.detect(part, (part, 1.0)))
            if close is not None and upright and not looks_turned(close):
                continue
            if close is not None and (best is None or close.score >= best.score + SCORE_GAIN):
                best = close
            if best is not None and best.score >= max(SURE_SCORE, wanted):
                break
        if best is not None and best.score >= wanted:
            return _with_box_of(face, best) if self._is_sure(face, best) else best
        roll_now = roll_of(face)
        return face if roll_now is None or abs(roll_now) <= RELIABLE_ROLL else _without_eyes(face)

    def _is_sure(self, face: Face, close: Face) -> bool:
        """Whether a face that leans a little was found well, as the close-up says. Its box is then that of the upright
        image, like those before and after it."""
        roll, seen = roll_of(face), roll_of(close)
        return self.is_good(face) and roll is not None and seen is not None and abs(turned_by(roll, -seen)) <= MAX_ROLL

    def _rolls_to_try(self, face: Face, upright: bool) -> tuple[float, ...]:
        """Angles at which close-ups of a face are made, in degrees clockwise. ``upright``: what its landmarks say."""
        rough = approximate_roll(face)
        if not upright:
            return rough or 0.0, 0.0, 180.0, -90.0, 90.0
        narrow = face.width < self._upright_shape * face.height
        return (180.0,) if narrow and rough is not None and abs(rough) < UPRIGHT_ROLL else (180.0, -90.0, 90.0)

    def _upright_in(self, image: ByteArray, turn: int) -> list[Face]:
        """The faces that stand upright in an image turned clockwise, in pixels of the image before the turn."""
        turned = np.asarray(cv2.rotate(image, _ROTATIONS[turn]), np.uint8)
        upright = [face for face in self._detector.detect(turned, (turned, 1.0)) if _is_upright(face)]
        return [_turned_back(face, turn, turned.shape[1], turned.shape[0]) for face in upright]


def _with_box_of(face: Face, close: Face) -> Face:
    return replace(close, x=face.x, y=face.y, width=face.width, height=face.height, followed=face.followed)


def _is_in_place(face: Face, known: Sequence[Face]) -> bool:
    return bool((iou([face.box], [other.box for other in known]) >= SAME_PLACE).any())


def _without_eyes(face: Face) -> Face:
    """The face with both eyes in their middle, so that ``roll_of`` gives None."""
    (right_x, right_y), (left_x, left_y) = face.landmarks[:2]
    middle = (right_x + left_x) / 2, (right_y + left_y) / 2
    return replace(face, landmarks=(middle, middle, *face.landmarks[2:]))


def _is_upright(face: Face) -> bool:
    roll = roll_of(face)
    return roll is not None and abs(roll) <= MAX_ROLL_IN_LOOK


def _at(face: Face, others: Sequence[Face]) -> list[Face]:
    """Those of the others that show the same face."""
    return [other for other, same in zip(others, is_same_face(face, others), strict=True) if same]


def _turned_back(face: Face, turn: int, width: int, height: int) -> Face:
    """A face of an image of ``width`` x ``height`` pixels, in pixels of the image before it was turned clockwise."""
    for _ in range(turn // 90):
        face = replace(
            face,
            x=face.y,
            y=width - face.x - face.width,
            width=face.height,
            height=face.width,
            landmarks=tuple((y, width - x) for x, y in face.landmarks),
        )
        width, height = height, width
    return face
