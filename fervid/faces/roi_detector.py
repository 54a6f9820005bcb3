"""Looking for faces only where one can be: where one was a moment ago, and where the picture has changed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fervid.faces.boxes import is_same_face, scale_face
from fervid.faces.retinaface import RetinaFace
from fervid.runtime.opencv import cv2
from fervid.types import Box, ByteArray, Face, FloatArray
from fervid.video.sampling import period_index

PERIOD = 3.0
"""In the first sample of each stretch of so many seconds of a film the whole picture is looked at."""
STRIDE = 32
"""The network's coarsest step, in pixels: parts of a picture begin and end at multiples of it, so that its anchors
lie where they lie for the whole picture."""
BLOCK = 16
"""Side of the blocks, in pixels of the shrunk picture, whose mean light says whether something has changed."""
CHANGE = 6.0
"""Gray levels by which a block's mean light must change, beyond what the light of all blocks does."""
CUT = 20.0
"""Mean change over all blocks, in gray levels, after which nothing is taken to be where it was."""
BODY = 1.5
"""What moves below a very large face, to either side of its middle by so many of its widths, is its own body."""
CONTEXT = 32
"""Pixels looked at around what has changed."""
MARGIN, LEAST_MARGIN = 0.75, 48.0
"""What is looked at around a face: so much of its size (geometric mean of its box's sides), and pixels at least."""
COARSE = 64.0
"""Size in pixels from which a face is found without the part of the network for small ones; it is as large at least
where it is looked for at half the resolution, or a quarter."""
SLACK = 0.8
"""What of that size it must have at least to be taken as seen there."""
LARGE_MARGIN = 0.5
"""What of the size of such a face is looked at around it."""
SMALL = 45.0
"""Size below which a face may not be found at half the resolution. In a stretch that shows such, what has changed is
looked at in full; elsewhere at half the resolution, and in full where that shows anything."""
UNSURE = 0.3
"""Score from which the place of what may be a face is watched."""
DOUBT = 0.1
"""A score so near to the threshold, to either side, is judged in the whole picture."""
REMEMBER = 1.0
"""Seconds for which it is still looked for where it was, in the same stretch, when it is gone."""
BORDER = 0.1
"""A face this near to where a look ends, as a share of its size, may be cut off there."""
LOOK_WORK = 6000.0
"""Cost of a look apart from its pixels, in pixels."""
MOST_WORK = 0.6
"""Share of the work of a look at the whole picture from which it is that which is looked at."""


@dataclass(frozen=True)
class _Area:
    """A part of the shrunk picture, in pixels; ``coarse``: it is looked at for large faces alone; ``step``: 1, or by
    what it is shrunk further, 2 or 4."""

    left: int
    top: int
    right: int
    bottom: int
    coarse: bool
    step: int = 1

    @property
    def work(self) -> float:
        """Cost of looking at it, in pixels of a whole picture."""
        pixels = (self.right - self.left) * (self.bottom - self.top) / self.step**2
        return LOOK_WORK + pixels * (0.6 if self.coarse else 1.0)

    def meets(self, other: _Area) -> bool:
        """Whether one look at both at once is needed, or costs less."""
        if self.step != other.step:
            return False
        across = min(self.right, other.right) - max(self.left, other.left)
        down = min(self.bottom, other.bottom) - max(self.top, other.top)
        return min(across, down) > 0 or self.joined(other).work <= self.work + other.work

    def joined(self, other: _Area) -> _Area:
        """The smallest area that holds both."""
        return _Area(
            min(self.left, other.left),
            min(self.top, other.top),
            max(self.right, other.right),
            max(self.bottom, other.bottom),
            self.coarse and other.coarse,
            self.step,
        )


class RegionDetector:
    """Finds the faces of successive samples of a film.

    The first sample of each ``PERIOD`` is looked at as a whole. After it only those parts of the picture are: the
    surroundings of each face, and of what may be one; and what has changed since it was looked at last. The whole
    picture is looked at again where such parts make up most of it (as after a cut), where a face has gone, and where
    a score is near the threshold or a face near the border of its part. A very large face is found at half the
    resolution.

    After a cut nothing is known any more, as at the beginning.

    What is found in a sample depends on the samples since the last multiple of ``PERIOD`` in the film's time,
    and on nothing before it: a scan that begins there finds what one finds that came from before.
    """

    def __init__(self, detector: RetinaFace) -> None:
        self._detector = detector
        self._due: int | None = None
        self._light: FloatArray = np.zeros((0, 0), np.float32)
        """Of each block, when it was looked at last."""
        self._watched: list[Face] = []
        """What is or may be a face, in pixels of the shrunk picture."""
        self._lost: list[tuple[float, Face]] = []
        """Faces that are gone, and when that was noticed."""
        self._small = False
        """Whether a small one was among them in this stretch."""

    def detect(self, time: float, small: ByteArray) -> list[Face]:
        """Faces in ``small``, best score first, in its pixels: the picture (h, w, 3) uint8 blue-green-red of the sample
        at ``time`` seconds, shrunk to the detector's long side. Samples come in order of time."""
        light, due, found = _light(small), period_index(time, PERIOD), None
        if due != self._due or light.shape != self._light.shape:
            self._forget()
        else:
            found = self._look_where_needed(small, light)
        if found is None:
            found = self._detector.look(small, UNSURE, fine="gated")
            self._light = light
        lost = [*self._lost, *((time, face) for face in self._watched if self._counts(face))]
        self._lost = [(since, face) for since, face in lost if time - since <= REMEMBER and _is_new(face, found)]
        self._small |= any(_size(face) < SMALL for face in found)
        self._due, self._watched = due, found
        return [face for face in found if self._counts(face)]

    def _forget(self) -> None:
        self._watched, self._lost, self._small = [], [], False

    def _look_where_needed(self, small: ByteArray, light: FloatArray) -> list[Face] | None:
        """What is or may be a face, best score first; None where the whole picture must be looked at."""
        height, width = small.shape[:2]
        changed = self._changed(light, width, height)
        if changed is None:
            self._forget()
            return None
        step = 1 if self._small else 2
        places = [*self._watched, *(face for _, face in self._lost)]
        around = [_around(face, width, height) for face in places]
        areas = _merged([*around, *_parts(changed, width, height, step)])
        if sum(area.work for area in areas) > MOST_WORK * width * height:
            return None
        found: list[Face] = []
        for area in sorted(areas, key=lambda area: (-area.step, not area.coarse)):
            seen = self._look_at(small, area)
            if area.step > 1 and any(_is_new(face, self._watched) for face in seen):
                return None
            fit = [face for face in seen if area.step == 1 or _size(face) >= SLACK * COARSE * area.step]
            # what is in two areas may be cut in the second
            faces = [face for face in fit if _is_new(face, found)]
            if any(_is_cut(face, area, width, height) or self._is_doubtful(face) for face in faces):
                return None
            found += faces
        if any(_is_new(face, found) for face in self._watched if self._counts(face)):
            return None
        return sorted(found, key=lambda face: -face.score)

    def _look_at(self, small: ByteArray, area: _Area) -> list[Face]:
        part = small[area.top : area.bottom, area.left : area.right]
        height, width = part.shape[:2]
        if area.step > 1:
            size = (max(1, round(width / area.step)), max(1, round(height / area.step)))
            part = np.asarray(cv2.resize(part, size, interpolation=cv2.INTER_AREA), np.uint8)
        faces = self._detector.look(part, UNSURE, fine="none" if area.coarse else "gated")
        across, down = width / part.shape[1], height / part.shape[0]
        return [scale_face(face, across, down, area.left, area.top) for face in faces]

    def _counts(self, face: Face) -> bool:
        return face.score >= self._detector.score_threshold

    def _is_doubtful(self, face: Face) -> bool:
        return abs(face.score - self._detector.score_threshold) < DOUBT

    def _changed(self, light: FloatArray, width: int, height: int) -> npt.NDArray[np.bool_] | None:
        """Blocks (rows, columns) outside the watched faces in which something has changed since they were looked at,
        which they are now about to be; None after a cut."""
        difference = light - self._light
        overall = np.median(difference)
        known = np.zeros(light.shape, bool)
        rows, columns = light.shape
        for face in self._watched:
            left, right = (round(x * columns / width) for x in (face.x, face.x + face.width))
            top, bottom = (round(y * rows / height) for y in (face.y, face.y + face.height))
            known[max(0, top) : max(0, bottom), max(0, left) : max(0, right)] = True
            if _step(face) > 1 and self._counts(face):
                wide = round((BODY - 0.5) * (right - left))
                known[max(0, bottom) :, max(0, left - wide) : max(0, right + wide)] = True
        size = np.where(known, 0.0, np.abs(difference - overall))
        if size.sum() > CUT * (~known).sum():
            return None
        changed: npt.NDArray[np.bool_] = size > CHANGE
        self._light = np.where(changed, light, self._light + overall).astype(np.float32)
        return changed


def _light(small: ByteArray) -> FloatArray:
    """Mean gray level of each block of a picture (h, w, 3)."""
    light, block = small, 1
    while block < BLOCK:  # halving is what OpenCV is fast at
        size = (max(1, light.shape[1] // 2), max(1, light.shape[0] // 2))
        light, block = np.asarray(cv2.resize(light, size, interpolation=cv2.INTER_AREA), np.uint8), 2 * block
    return np.asarray(cv2.cvtColor(light, cv2.COLOR_BGR2GRAY), np.float32)


def _is_new(face: Face, others: list[Face]) -> bool:
    """Whether a face is none of the others."""
    return not is_same_face(face, others).any()


def _step(face: Face) -> int:
    """By what a picture may be shrunk in which this face is looked for."""
    return next((step for step in (4, 2) if _size(face) >= step * COARSE), 1)


def _around(face: Face, width: int, height: int) -> _Area:
    """Where a face is looked for again in a picture of ``width`` x ``height`` pixels."""
    size, step = _size(face), _step(face)
    margin = LARGE_MARGIN * size if step > 1 else max(MARGIN * size, LEAST_MARGIN)
    return _area(face.box, margin, width, height, size >= COARSE, step)


def _parts(changed: npt.NDArray[np.bool_], width: int, height: int, step: int) -> Iterator[_Area]:
    """The connected parts of what has changed."""
    rows, columns = changed.shape
    count, _, boxes, _ = cv2.connectedComponentsWithStats(changed.astype(np.uint8))
    for left, top, across, down, _ in boxes[1:count].tolist():
        box = (left * width / columns, top * height / rows, across * width / columns, down * height / rows)
        yield _area(box, CONTEXT, width, height, False, step)


def _area(box: Box, margin: float, width: int, height: int, coarse: bool, step: int = 1) -> _Area:
    """The box (x, y, width, height) with a margin, grown to multiples of ``STRIDE``, inside the picture."""
    x, y, across, down = box
    unit = STRIDE * step
    left, top = (max(0, int((low - margin) // unit) * unit) for low in (x, y))
    right, bottom = (-int(-(high + margin) // unit) * unit for high in (x + across, y + down))
    left, top = min(left, (width - 1) // unit * unit), min(top, (height - 1) // unit * unit)
    return _Area(left, top, max(left + 1, min(right, width)), max(top + 1, min(bottom, height)), coarse, step)


def _merged(areas: list[_Area]) -> list[_Area]:
    """Areas that hold the given ones, no two of which meet."""
    apart: list[_Area] = []
    for area in areas:
        while meeting := next((other for other in apart if area.meets(other)), None):
            apart.remove(meeting)
            area = area.joined(meeting)
        apart.append(area)
    return apart


def _is_cut(face: Face, area: _Area, width: int, height: int) -> bool:
    """Whether a face is so near to where its area ends, and the picture does not, that it may go on there."""
    near = BORDER * _size(face)
    return (
        (face.x - near < area.left and area.left > 0)
        or (face.y - near < area.top and area.top > 0)
        or (face.x + face.width + near > area.right and area.right < width)
        or (face.y + face.height + near > area.bottom and area.bottom < height)
    )


def _size(face: Face) -> float:
    return float(np.sqrt(max(face.width * face.height, 0.0)))
