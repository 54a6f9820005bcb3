"""What fervid draws over a film: boxes, labels, bars, and a strip with the timelines. Scales with the picture."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from fervid.annotate.text import FAINT, INK, WARNING, Word, chip, pixels, plate, tag, text_width, write
from fervid.annotate.timeline_strip import Strip
from fervid.annotate.yuv_canvas import Canvas, Color, Point, Sprite, sprite
from fervid.colors import EMOTION_COLORS, rgb
from fervid.timeline.interpolation import Box, FaceState, FaceTimeline
from fervid.types import EMOTIONS

Style = Literal["minimal", "full"]

STYLES: dict[str, Style] = {"minimal": "minimal", "full": "full"}
"""Boxes and labels alone, or with bars and timelines."""

FACE_COLORS: tuple[Color, ...] = tuple(
    rgb(color)
    for color in (
        "#99ddff", "#eedd88", "#ffaabb", "#44bb99", "#ee8866", "#bbcc33", "#77aadd", "#dddddd", "#aaaa00",
    )
)  # fmt: skip
"""Paul Tol's "light" scheme: told apart with any of the common colour blindnesses, and black text is read on it."""

BAR_COLORS: tuple[Color, ...] = tuple(rgb(EMOTION_COLORS[name]) for name in EMOTIONS)

DARK: Color = (12, 12, 16)
TRACK: Color = (84, 84, 92)

MAX_PANELS = 3
MIN_PANEL_FACE = 0.2
"""Faces lower than this part of the picture's height get no panel of their own."""

LABEL_SETTLE_SECONDS = 0.8
"""Seconds that a better place for a label must be free before the label moves there."""

MAX_COVERED = 0.12
"""At most this part of a panel may lie on a face."""


def face_color(face_id: int) -> Color:
    """The colour of a face's box and number; neighbours in number differ."""
    return FACE_COLORS[face_id % len(FACE_COLORS)]


def type_size(width: int, height: int) -> int:
    """Height of the letters, in pixels, for a picture of that size: 11 at 240p, about 18 at 720p, 55 at 4K."""
    return max(11, round(0.019 * math.sqrt(width * height)))


@dataclass(frozen=True)
class _Area:
    """A rectangle of the picture."""

    x: float
    y: float
    width: float
    height: float

    def shared(self, other: _Area) -> float:
        """The part of this area that the other covers."""
        across = min(self.x + self.width, other.x + other.width) - max(self.x, other.x)
        down = min(self.y + self.height, other.y + other.height) - max(self.y, other.y)
        return max(0.0, across) * max(0.0, down) / max(self.width * self.height, 1e-6)


@dataclass(frozen=True, eq=False)
class _Seen:
    """A face of the present frame."""

    course: FaceTimeline
    moment: FaceState
    area: _Area

    @property
    def trusted(self) -> bool:
        return self.course.trust == "ok"

    @property
    def color(self) -> Color:
        color = face_color(self.course.face_id)
        return color if self.trusted else _mix(color, (150, 150, 150))


class _PanelShape:
    """Measures of a panel with letters of ``size`` pixels: margin, height of a row, where the bars begin, the
    length of a full one, their thickness and upper edges. Bars lie on even pixels, as chroma has them."""

    def __init__(self, size: int) -> None:
        names = max(text_width(name, size, bold=True) for name in EMOTIONS)
        self.pad, self.row = round(0.6 * size), round(1.45 * size)
        self.left = 2 * round(self.pad + names / 2)
        self.full, self.thick = 2 * round(2.1 * size), 2 * max(2, round(0.3 * size))
        middles = [self.pad - 0.15 * size + (index + 0.5) * self.row for index in range(len(EMOTIONS))]
        self.tops = [2 * round((middle - self.thick / 2) / 2) for middle in middles]


class Overlay:
    """Draws the faces of one film. ``end``: its length in seconds; ``code``: the H.273 matrix to draw with."""

    def __init__(
        self, courses: Sequence[FaceTimeline], width: int, height: int, end: float, code: int, style: Style
    ) -> None:
        self._courses, self._code, self._full = courses, code, style == "full"
        self._width, self._height = width, height
        self._size = type_size(width, height)
        self._small = max(9, round(0.72 * self._size))
        self._shape = _PanelShape(self._small)
        self._thick = max(2, round(self._size / 8))
        self._tags: dict[tuple[object, ...], Sprite] = {}
        self._panels: dict[int, Sprite] = {}
        self._places: dict[tuple[int, str], tuple[str, float]] = {}
        self._wording: dict[int, int] = {}
        shown = self._full and bool(courses) and width > 16 * self._size and height > 10 * self._size
        self._strip = Strip(courses, width, height, end, code, self._size, face_color) if shown else None
        self._floor = height - (self._strip.height if self._strip else 0)

    def draw(self, canvas: Canvas, time: float) -> None:
        """Draw what is known of ``time`` seconds."""
        moments = ((course, course.at(time)) for course in self._courses)
        faces = [_Seen(course, moment, _Area(*moment.box)) for course, moment in moments if moment is not None]
        faces.sort(key=lambda face: -face.area.width * face.area.height)
        for face in reversed(faces):
            self._frame(canvas, face)
        if self._strip is not None:
            self._strip.draw(canvas, time, {face.course.face_id for face in faces})
        taken: list[_Area] = []
        panels = set(self._draw_panels(canvas, faces, taken, time)) if self._full else set()
        for face in faces:
            self._label(canvas, face, faces, taken, self._full and face.course.face_id not in panels, time)

    def _frame(self, canvas: Canvas, face: _Seen) -> None:
        """The box: a light line on a dark one; dashed where the face is not to be trusted."""
        path = _rounded(face.moment.box)
        dash = 2.2 * self._size
        paths = [path] if face.trusted else list(_dashes([*path, path[0]], min(dash, face.area.width / 4)))
        canvas.lines(paths, DARK, self._thick + 2, closed=face.trusted)
        canvas.lines(paths, face.color, self._thick, closed=face.trusted)

    # labels

    def _label(
        self, canvas: Canvas, face: _Seen, faces: list[_Seen], taken: list[_Area], bars: bool, time: float
    ) -> None:
        """The number, and as much beside it as there is room for."""
        before = self._wording.get(face.course.face_id, -1)
        for index, (words, size, extra) in enumerate(self._wordings(face, bars)):
            picture = self._tag(face, words, size, extra)
            width, height = picture.size
            if words and width > self._room(face, len(faces), size) * (1.15 if index == before else 1.0):
                continue
            places = dict(self._beside(face.area, width, height))
            area = self._place(face, "label", places, faces, taken, time, 0.02 if words else 0.5)
            if area is not None:
                self._wording[face.course.face_id] = index
                taken.append(area)
                canvas.lay(picture, area.x, area.y)
                if extra:
                    right = 2 * round(area.x / 2) + width - 0.35 * size
                    self._little_bars(canvas, face.moment, right - extra, 2 * round(area.y / 2), height, extra)
                return

    def _room(self, face: _Seen, count: int, size: int) -> float:
        """How wide a face's label may be: about as the face, or wider where there are few."""
        alone = self._width / 2 if count <= 2 and size == self._size else 0
        return max((1.2 if size == self._size else 2.0) * face.area.width, alone)

    def _wordings(self, face: _Seen, bars: bool) -> Iterator[tuple[tuple[Word, ...], int, int]]:
        """Words, letter size and room for bars, the fullest first."""
        emotion, percent = EMOTIONS[face.moment.emotion], f"{100 * face.moment.confidence:.0f} %"
        name, number = (emotion, INK, True), (percent, FAINT, False)
        doubt: tuple[Word, ...] = () if face.trusted else (("low trust", WARNING, False),)
        extra = 7 * _step(self._size) if bars else 0
        if extra:
            yield (name, number, *doubt), self._size, extra
        yield (name, number, *doubt), self._size, 0
        if doubt:  # which the figure would belie
            yield (name, *doubt), self._small, 0
            yield doubt, self._small, 0
            yield (), self._small, 0
            return
        if extra:
            yield (name, number), self._small, 7 * _step(self._small)
        yield (name, number), self._small, 0
        yield (name,), self._small, 0
        yield (), self._small, 0

    def _tag(self, face: _Seen, words: tuple[Word, ...], size: int, extra: int) -> Sprite:
        key = (face.course.face_id, words, size, extra)
        if key not in self._tags:
            if len(self._tags) > 4096:
                self._tags.clear()
            number = chip(str(face.course.face_id), face.color, size, hollow=not face.trusted)
            self._tags[key] = sprite(pixels(tag(number, words, size, extra)), self._code)
        return self._tags[key]

    def _beside(self, box: _Area, width: float, height: float) -> Iterator[tuple[str, _Area]]:
        """Where a label may stand: above, below, or inside the box."""
        gap = self._thick + 1
        x = min(max(box.x, 0), self._width - width)
        for name, y in (
            ("above", box.y - height - gap),
            ("below", box.y + box.height + gap),
            ("inside", max(box.y, 0) + 2 * gap),
        ):
            if 0 <= y <= self._floor - height:
                yield name, _Area(x, y, width, height)

    def _little_bars(self, canvas: Canvas, moment: FaceState, x: float, y: float, height: float, width: int) -> None:
        """Seven upright bars at the end of a label."""
        step, x = width // 7, 2 * round(x / 2)
        room = 2 * round(0.34 * height)
        base = 2 * round((y + 0.84 * height) / 2)
        for index, share in enumerate(moment.probabilities.tolist()):
            high = max(1.0, share * room)
            canvas.fill(x + index * step, base - room, step - 2, room, TRACK)
            canvas.fill(x + index * step, base - high, step - 2, high, BAR_COLORS[index])

    # panels

    def _draw_panels(self, canvas: Canvas, faces: list[_Seen], taken: list[_Area], time: float) -> Iterator[int]:
        """Seven named bars beside each of the largest faces; yields the ids of those that got them."""
        large = [face for face in faces if face.area.height >= MIN_PANEL_FACE * self._height][:MAX_PANELS]
        for face in large:
            picture = self._panel(int(face.moment.probabilities.argmax()))
            width, height = picture.size
            area = self._place(
                face, "panel", dict(self._aside(face.area, width, height)), faces, taken, time, MAX_COVERED
            )
            if area is None:
                continue
            taken.append(area)
            canvas.lay(picture, area.x, area.y)
            self._bars(canvas, face.moment, area)
            yield face.course.face_id

    def _aside(self, box: _Area, width: float, height: float) -> Iterator[tuple[str, _Area]]:
        """Where a panel may stand: to the right or left of the box, level with it, or below."""
        gap = 2 * self._thick + 2
        right, floor = self._width - width - 2, self._floor - height - 2
        if right < 2 or floor < 2:
            return
        y = min(max(box.y, 2), floor)
        places = [
            ("right", _Area(min(box.x + box.width + gap, right), y, width, height)),
            ("left", _Area(max(box.x - width - gap, 2), y, width, height)),
            ("below", _Area(min(max(box.x, 2), right), min(box.y + box.height + gap, floor), width, height)),
        ]
        for name, area in sorted(places, key=lambda place: place[1].shared(box) > 0):
            if area.shared(box) <= MAX_COVERED:
                yield name, area

    def _panel(self, leading: int) -> Sprite:
        """The plate with the seven names, the leading one stressed, and the empty bars."""
        if leading not in self._panels:
            size, shape = self._small, self._shape
            height = 7 * shape.row + 2 * shape.pad - round(0.3 * size)
            image = plate(shape.left + shape.full + shape.pad, height, 0.4 * self._size)
            for index, name in enumerate(EMOTIONS):
                bold = index == leading
                middle = shape.pad + (index + 0.5) * shape.row - 0.15 * size
                write(image, shape.pad, middle, (name, INK if bold else FAINT, bold), size)
                top = shape.tops[index]
                image.paste((*TRACK, 255), (shape.left, top, shape.left + shape.full, top + shape.thick))
            self._panels[leading] = sprite(pixels(image), self._code)
        return self._panels[leading]

    def _bars(self, canvas: Canvas, moment: FaceState, area: _Area) -> None:
        shape = self._shape
        x, y = 2 * round(area.x / 2) + shape.left, 2 * round(area.y / 2)
        for top, share, color in zip(shape.tops, moment.probabilities.tolist(), BAR_COLORS, strict=True):
            canvas.fill(x, y + top, max(2.0, shape.full * share), shape.thick, color)

    def _place(
        self,
        face: _Seen,
        what: str,
        places: dict[str, _Area],
        faces: list[_Seen],
        taken: list[_Area],
        time: float,
        covered: float,
    ) -> _Area | None:
        """The best place that covers nothing drawn before, and has at most so much of it on faces; or None.

        The place of the frame before is kept until a better one has been free for a while, so that nothing
        jumps to and fro.
        """
        key = (face.course.face_id, what)
        others = [other.area for other in faces if other is not face]
        free = [
            name
            for name, area in places.items()
            if not any(area.shared(other) for other in taken) and sum(area.shared(other) for other in others) <= covered
        ]
        if not free:
            return None
        name, since = self._places.get(key, ("", time))
        if name not in free or time - since > LABEL_SETTLE_SECONDS:
            name = free[0]
        self._places[key] = (name, time if name == free[0] else since)
        return places[name]


def _step(size: int) -> int:
    """Pixels from one upright bar to the next, even as chroma has it."""
    return 2 * max(2, round(0.26 * size))


def _mix(one: Color, other: Color) -> Color:
    red, green, blue = ((a + b) // 2 for a, b in zip(one, other, strict=True))
    return red, green, blue


_ROUND = [(math.cos(math.radians(turn)), math.sin(math.radians(turn))) for turn in range(-90, 271, 15)]
"""A circle from its top on, clockwise, six steps a quarter."""


def _rounded(box: Box) -> list[Point]:
    """The outline of a box, its corners rounded."""
    x, y, width, height = box
    radius = 0.12 * min(width, height)
    centers = [
        (x + width - radius, y + radius, 0),
        (x + width - radius, y + height - radius, 6),
        (x + radius, y + height - radius, 12),
        (x + radius, y + radius, 18),
    ]
    return [
        (cx + radius * across, cy + radius * down)
        for cx, cy, quarter in centers
        for across, down in _ROUND[quarter : quarter + 7]
    ]


def _dashes(path: Sequence[Point], length: float) -> Iterator[list[Point]]:
    """Every other stretch of ``length`` pixels along a line."""
    length = max(length, 2.0)
    steps = [math.dist(one, other) for one, other in itertools.pairwise(path)]
    along = np.concatenate([[0.0], np.cumsum(steps)])
    total = float(along[-1])
    count = max(4, 2 * round(total / (2 * length)))
    xs, ys = zip(*path, strict=True)
    for index in range(0, count, 2):
        begin, end = index * total / count, (index + 1) * total / count
        stretch = np.array([begin, *along[(along > begin) & (along < end)], end])
        yield list(zip(np.interp(stretch, along, xs).tolist(), np.interp(stretch, along, ys).tolist(), strict=True))
