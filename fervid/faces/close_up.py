"""Close-ups: the part of an image around one face, turned back by a known angle, for a second look."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from fervid.faces.alignment import area_resize, widened
from fervid.faces.boxes import iou
from fervid.faces.roll import roll_of, turned_by
from fervid.runtime.opencv import cv2
from fervid.types import ByteArray, DoubleArray, Face

MARGIN = 0.6
"""Margin around the face, as a fraction of its longer side."""
SIDE = 224
"""Largest side of a close-up in pixels."""
MAX_SIZE_RATIO = 1.5
"""Largest ratio of the sizes that a face has in the close-up and before. A greater one means another face."""
MIN_OVERLAP = 0.3
"""Smallest intersection over union of the boxes before and in the close-up. A smaller one means another face."""
MAX_ROLL_IN_CLOSE_UP = 60.0
"""Largest roll, in degrees, at which landmarks in a close-up are believed at all."""
SURE_ROLL = 25.0
"""A close-up that shows a larger roll than this, in degrees, is turned by it too, and looked at again."""


def upright_close_up(
    image: ByteArray, face: Face, roll: float, detect: Callable[[ByteArray], list[Face]]
) -> Face | None:
    """Detect a face again in a close-up that is turned back.

    Args:
        image: (h, w, 3) uint8.
        face: The face, in pixels of the image.
        roll: Degrees clockwise by which the face is thought to be turned.
        detect: Finds upright faces in an image.

    Returns:
        The face as the close-up shows it, in pixels of the image; None if it is not upright there.
    """
    for _ in range(2):
        close_up = _CloseUp.of(image, face, roll)
        found = close_up.face_in_the_middle(detect)
        left = None if found is None else roll_of(found)
        if found is None or left is None or abs(left) > MAX_ROLL_IN_CLOSE_UP:
            return None
        if abs(left) <= SURE_ROLL:
            close = close_up.mapped_back(found)
            return close if iou([close.box], [face.box])[0, 0] >= MIN_OVERLAP else None
        roll = turned_by(roll, left)
    return None


@dataclass(frozen=True, eq=False)
class _CloseUp:
    """A part of an image.

    ``image``: (side, side, 3) uint8. ``matrix``: (2, 3), from its pixels to those of the whole image. ``roll``: degrees
    by which it is turned back. ``size``: expected size of the face, the geometric mean of its box's sides.
    """

    image: ByteArray
    matrix: DoubleArray
    roll: float
    size: float

    @classmethod
    def of(cls, image: ByteArray, face: Face, roll: float) -> _CloseUp:
        height, width = image.shape[:2]
        centre = np.array([face.x + face.width / 2, face.y + face.height / 2])
        half = (0.5 + MARGIN) * max(face.width, face.height, 1.0)
        reach = half * math.sqrt(2)  # at any angle
        left = int(np.clip(centre[0] - reach, 0, width - 1))
        top = int(np.clip(centre[1] - reach, 0, height - 1))
        right = int(np.clip(math.ceil(centre[0] + reach), left + 1, width))
        bottom = int(np.clip(math.ceil(centre[1] + reach), top + 1, height))
        scale = min(1.0, SIDE / (2 * half))
        size = max(1, round((right - left) * scale)), max(1, round((bottom - top) * scale))
        left, top, right, bottom = widened((left, top, right, bottom), (width, height), size)
        part = image[top:bottom, left:right]
        if scale < 1:  # a warp alone would skip pixels
            size = max(1, round(part.shape[1] * scale)), max(1, round(part.shape[0] * scale))
            part = area_resize(part, size)
        factors = (right - left) / part.shape[1], (bottom - top) / part.shape[0]
        side = max(1, round(2 * half * scale))
        angle = math.radians(roll)
        turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
        inside = np.array([(centre[0] - left) / factors[0], (centre[1] - top) / factors[1]])
        to_part = np.column_stack([turn, inside - turn @ (side / 2, side / 2)])
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        warped = cv2.warpAffine(part, to_part, (side, side), flags=flags, borderMode=cv2.BORDER_REPLICATE)
        to_image = to_part * np.array(factors)[:, None]
        to_image[:, 2] += left, top
        return cls(np.asarray(warped, np.uint8), to_image, roll, scale * math.sqrt(max(face.width * face.height, 0.0)))

    def face_in_the_middle(self, detect: Callable[[ByteArray], list[Face]]) -> Face | None:
        """The best face of about the expected size whose box contains the middle of the close-up."""
        middle = self.image.shape[0] / 2
        for face in detect(self.image):
            ratio = math.sqrt(max(face.width * face.height, 0.0)) / max(self.size, 1e-6)
            if not 1 / MAX_SIZE_RATIO < ratio < MAX_SIZE_RATIO:
                continue
            if abs(face.x + face.width / 2 - middle) < face.width / 2 and face.y < middle < face.y + face.height:
                return face
        return None

    def mapped_back(self, face: Face) -> Face:
        """The face in pixels of the image. Its box has the same area, and the proportions that it has there."""
        sine, cosine = abs(math.sin(math.radians(self.roll))), abs(math.cos(math.radians(self.roll)))
        width, height = cosine * face.width + sine * face.height, sine * face.width + cosine * face.height
        scale = math.hypot(*self.matrix[:, 0]) * math.sqrt(face.width * face.height / max(width * height, 1e-6))
        width, height = width * scale, height * scale
        x, y = self._mapped(face.x + face.width / 2, face.y + face.height / 2)
        landmarks = tuple(self._mapped(*point) for point in face.landmarks)
        return replace(face, x=x - width / 2, y=y - height / 2, width=width, height=height, landmarks=landmarks)

    def _mapped(self, x: float, y: float) -> tuple[float, float]:
        mapped_x, mapped_y = self.matrix @ (x, y, 1.0)
        return float(mapped_x), float(mapped_y)
