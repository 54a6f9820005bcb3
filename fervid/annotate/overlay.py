"""What is drawn on each frame: boxes, labels, bars, and a strip with the timelines. Sizes scale with the frame."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from fervid.annotate.head import draw_head
from fervid.annotate.text import FAINT, INK, WARNING, Word, chip, label, pixels, plate, text_width, write
from fervid.annotate.timeline_strip import TimelineStrip
from fervid.annotate.yuv_canvas import Canvas, Color, Point, Sprite, sprite
from fervid.colors import EMOTION_COLORS, rgb
from fervid.timeline.interpolation import FaceState, FaceTimeline
from fervid.types import EMOTIONS, Box

Style = Literal["minimal", "full", "head"]

STYLES: dict[str, Style] = {"minimal": "minimal", "full": "full", "head": "head"}
"""The accepted styles: boxes and labels only, or with bars and timelines, or with the axes of the head."""

FACE_COLORS: tuple[Color, ...] = tuple(
    rgb(color)
    for color in (
        "#99ddff", "#eedd88", "#ffaabb", "#44bb99", "#ee8866", "#bbcc33", "#77aadd", "#dddddd", "#aaaa00",
    )
)  # fmt: skip
"""Colours of the faces, from Paul Tol's "light" scheme: distinguishable with any of the common colour blindnesses, and
black text on them is readable."""

BAR_COLORS: tuple[Color, ...] = tuple(rgb(EMOTION_COLORS[name]) for name in EMOTIONS)
"""Colours of the seven bars."""

DARK: Color = (12, 12, 16)
"""Outline around boxes and the cursor, so that they are visible on any background."""

EMPTY_BAR: Color = (84, 84, 92)
"""Background of a bar."""

MAX_PANELS = 3
"""Largest number of faces with a panel of named bars."""

MIN_PANEL_FACE = 0.2
"""A face gets a panel only if its height is at least this fraction of the frame's height."""

LABEL_SETTLE_SECONDS = 0.8
"""A better position for a label must be free for this many seconds before the label moves there."""

MAX_COVERED = 0.12
"""Largest fraction of a panel that may cover a face."""


def face_color(face_id: int) -> Color:
    """Get the colour of a face's box and number.

    Args:
        face_id: Number of the face.

    Returns:
        (red, green, blue); faces with adjacent numbers have different colours.
    """
    return FACE_COLORS[face_id % len(FACE_COLORS)]


def type_size(width: int, height: int) -> int:
    """Choose the font size for a frame.

    Args:
        width: Width of the frame in pixels.
        height: Height of the frame in pixels.

    Returns:
        Height of the letters in pixels: 11 at 240p, about 18 at 720p, 55 at 4K.
    """
    return max(11, round(0.019 * math.sqrt(width * height)))


@dataclass(frozen=True)
class _Area:
    """A rectangle in pixels of the frame."""

    x: float
    y: float
    width: float
    height: float

    def covered_by(self, other: _Area) -> float:
        """The fraction of this area that the other covers."""
        across = min(self.x + self.width, other.x + other.width) - max(self.x, other.x)
        down = min(self.y + self.height, other.y + other.height) - max(self.y, other.y)
        return max(0.0, across) * max(0.0, down) / max(self.width * self.height, 1e-6)


@dataclass(frozen=True, eq=False)
class _VisibleFace:
    """A face in the current frame."""

    timeline: FaceTimeline
    state: FaceState
    area: _Area

    @property
    def trusted(self) -> bool:
        return self.timeline.trust == "ok"

    @property
    def color(self) -> Color:
        color = face_color(self.timeline.first)
        return color if self.trusted else _mix(color, (150, 150, 150))


class _PanelShape:
    """Measures of a panel in pixels. Bars lie on even pixels, because chroma has half the resolution.

    Attributes:
        pad: Margin.
        row: Height of a row.
        left: Left edge of the bars.
        full: Length of a full bar.
        thick: Thickness of a bar.
        tops: Upper edge of each bar.
    """

    def __init__(self, size: int) -> None:
        names = max(text_width(name, size, bold=True) for name in EMOTIONS)
        self.pad, self.row = round(0.6 * size), round(1.45 * size)
        self.left = 2 * round(self.pad + names / 2)
        self.full, self.thick = 2 * round(2.1 * size), 2 * max(2, round(0.3 * size))
        middles = [self.pad - 0.15 * size + (index + 0.5) * self.row for index in range(len(EMOTIONS))]
        self.tops = [2 * round((middle - self.thick / 2) / 2) for middle in middles]


class Overlay:
    """Draws the faces of one video on its frames, which must come in order of time.

    Args:
        faces: The faces.
        width: Width of the frames in pixels.
        height: Height of the frames in pixels.
        end: Length of the video in seconds.
        code: H.273 matrix code of the frames.
        style: What to draw.
    """

    def __init__(
        self, faces: Sequence[FaceTimeline], width: int, height: int, end: float, code: int, style: Style
    ) -> None:
        self._faces, self._code, self._full, self._heads = faces, code, style == "full", style == "head"
        self._width, self._height = width, height
        self._size = type_size(width, height)
        self._small = max(9, round(0.72 * self._size))
        self._shape = _PanelShape(self._small)
        self._thick = max(2, round(self._size / 8))
        self._tags: dict[tuple[object, ...], Sprite] = {}
        self._panels: dict[int, Sprite] = {}
        self._places: dict[tuple[int, str], tuple[str, float]] = {}
        """(face_id, "label" or "panel") → its position by name, and until when that was the best one."""
        self._wording: dict[int, int] = {}
        """face_id → index of the wording of its label in the previous frame."""
        shown = self._full and bool(faces) and width > 16 * self._size and height > 10 * self._size
        self._strip = TimelineStrip(faces, width, height, end, code, self._size, face_color) if shown else None
        self._floor = height - (self._strip.height if self._strip else 0)

    def draw(self, canvas: Canvas, time: float) -> None:
        """Draw the overlay of one frame.

        Args:
            canvas: The frame; changed in place.
            time: Its time in seconds.
        """
        states = ((face, face.at(time)) for face in self._faces)
        faces = [_VisibleFace(face, state, _Area(*state.box)) for face, state in states if state is not None]
        faces.sort(key=lambda face: -face.area.width * face.area.height)
        for face in reversed(faces):
            self._draw_box(canvas, face)
            if self._heads:
                draw_head(canvas, face.state, self._thick)
        if self._strip is not None:
            self._strip.draw(canvas, time, {face.timeline.face_id for face in faces})
        taken: list[_Area] = []
        panels = set(self._draw_panels(canvas, faces, taken, time)) if self._full else set()
        for face in faces:
            self._draw_label(canvas, face, faces, taken, self._full and face.timeline.face_id not in panels, time)

    def _draw_box(self, canvas: Canvas, face: _VisibleFace) -> None:
        """Draw the box: a light line on a dark one, dashed if the trust is low."""
        path = _rounded(face.state.box)
        dash = 2.2 * self._size
        paths = [path] if face.trusted else list(_dashes([*path, path[0]], min(dash, face.area.width / 4)))
        canvas.lines(paths, DARK, self._thick + 2, closed=face.trusted)
        canvas.lines(paths, face.color, self._thick, closed=face.trusted)

    # labels

    def _draw_label(
        self, canvas: Canvas, face: _VisibleFace, faces: list[_VisibleFace], taken: list[_Area], bars: bool, time: float
    ) -> None:
        """Draw the name or the number of a face, and as many words and bars beside it as fit."""
        before = self._wording.get(face.timeline.face_id, -1)
        for index, (name, words, size, extra) in enumerate(self._named_wordings(face, bars)):
            tag = self._tag(face, name, words, size, extra)
            width, height = tag.size
            # the previous wording may be a little too wide, so that labels do not flicker between two wordings
            if (words or name != face.timeline.short) and width > self._max_width(face, len(faces), size) * (
                1.15 if index == before else 1.0
            ):
                continue
            places = dict(self._label_places(face.area, width, height))
            area = self._place(face, "label", places, faces, taken, time, 0.02 if words else 0.5)
            if area is not None:
                self._wording[face.timeline.face_id] = index
                taken.append(area)
                canvas.draw_sprite(tag, area.x, area.y)
                if extra:
                    right = 2 * round(area.x / 2) + width - 0.35 * size
                    self._draw_small_bars(canvas, face.state, right - extra, 2 * round(area.y / 2), height, extra)
                return

    def _max_width(self, face: _VisibleFace, count: int, size: int) -> float:
        """Largest width of a face's label: about that of the face, or more if there are few faces."""
        alone = self._width / 2 if count <= 2 and size == self._size else 0
        return max((1.2 if size == self._size else 2.0) * face.area.width, alone)

    def _named_wordings(self, face: _VisibleFace, bars: bool) -> Iterator[tuple[str, tuple[Word, ...], int, int]]:
        """The wordings with the whole name, each followed by the same with the short name if there is one."""
        for wording in self._wordings(face, bars):
            for name in dict.fromkeys((face.timeline.name, face.timeline.short)):
                yield name, *wording

    def _wordings(self, face: _VisibleFace, bars: bool) -> Iterator[tuple[tuple[Word, ...], int, int]]:
        """Words, font size and width of the bars of each possible label, the longest first."""
        emotion, percent = EMOTIONS[face.state.emotion], f"{100 * face.state.confidence:.0f} %"
        name, number = (emotion, INK, True), (percent, FAINT, False)
        doubt: tuple[Word, ...] = () if face.trusted else (("low trust", WARNING, False),)
        extra = 7 * _step(self._size) if bars else 0
        if extra:
            yield (name, number, *doubt), self._size, extra
        yield (name, number, *doubt), self._size, 0
        if doubt:  # a percentage without "low trust" would look certain
            yield (name, *doubt), self._small, 0
            yield doubt, self._small, 0
            yield (), self._small, 0
            return
        if extra:
            yield (name, number), self._small, 7 * _step(self._small)
        yield (name, number), self._small, 0
        yield (name,), self._small, 0
        yield (), self._small, 0

    def _tag(self, face: _VisibleFace, name: str, words: tuple[Word, ...], size: int, extra: int) -> Sprite:
        key = (face.timeline.face_id, name, words, size, extra)
        if key not in self._tags:
            if len(self._tags) > 4096:
                self._tags.clear()
            number = chip(name, face.color, size, hollow=not face.trusted)
            self._tags[key] = sprite(pixels(label(number, words, size, extra)), self._code)
        return self._tags[key]

    def _label_places(self, box: _Area, width: float, height: float) -> Iterator[tuple[str, _Area]]:
        """Possible positions of a label, the best first: above, below, or inside the box."""
        gap = self._thick + 1
        x = min(max(box.x, 0), self._width - width)
        for name, y in (
            ("above", box.y - height - gap),
            ("below", box.y + box.height + gap),
            ("inside", max(box.y, 0) + 2 * gap),
        ):
            if 0 <= y <= self._floor - height:
                yield name, _Area(x, y, width, height)

    def _draw_small_bars(self, canvas: Canvas, state: FaceState, x: float, y: float, height: float, width: int) -> None:
        """Draw seven vertical bars at the end of a label."""
        step, x = width // 7, 2 * round(x / 2)
        full = 2 * round(0.34 * height)
        base = 2 * round((y + 0.84 * height) / 2)
        for index, probability in enumerate(state.probabilities.tolist()):
            length = max(1.0, probability * full)
            canvas.fill(x + index * step, base - full, step - 2, full, EMPTY_BAR)
            canvas.fill(x + index * step, base - length, step - 2, length, BAR_COLORS[index])

    # panels

    def _draw_panels(self, canvas: Canvas, faces: list[_VisibleFace], taken: list[_Area], time: float) -> Iterator[int]:
        """Draw seven named bars beside each of the largest faces; yields the ids of the faces that have a panel."""
        large = [face for face in faces if face.area.height >= MIN_PANEL_FACE * self._height][:MAX_PANELS]
        for face in large:
            panel = self._panel(int(face.state.probabilities.argmax()))
            places = dict(self._panel_places(face.area, *panel.size))
            area = self._place(face, "panel", places, faces, taken, time, MAX_COVERED)
            if area is None:
                continue
            taken.append(area)
            canvas.draw_sprite(panel, area.x, area.y)
            self._draw_bars(canvas, face.state, area)
            yield face.timeline.face_id

    def _panel_places(self, box: _Area, width: float, height: float) -> Iterator[tuple[str, _Area]]:
        """Possible positions of a panel, the best first: right or left of the box, or below it."""
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
        for name, area in sorted(places, key=lambda place: place[1].covered_by(box) > 0):
            if area.covered_by(box) <= MAX_COVERED:
                yield name, area

    def _panel(self, leading: int) -> Sprite:
        """The panel with the seven names, the leading one in bold, and empty bars."""
        if leading not in self._panels:
            size, shape = self._small, self._shape
            height = 7 * shape.row + 2 * shape.pad - round(0.3 * size)
            image = plate(shape.left + shape.full + shape.pad, height, 0.4 * self._size)
            for index, name in enumerate(EMOTIONS):
                bold = index == leading
                middle = shape.pad + (index + 0.5) * shape.row - 0.15 * size
                write(image, shape.pad, middle, (name, INK if bold else FAINT, bold), size)
                top = shape.tops[index]
                image.paste((*EMPTY_BAR, 255), (shape.left, top, shape.left + shape.full, top + shape.thick))
            self._panels[leading] = sprite(pixels(image), self._code)
        return self._panels[leading]

    def _draw_bars(self, canvas: Canvas, state: FaceState, area: _Area) -> None:
        shape = self._shape
        x, y = 2 * round(area.x / 2) + shape.left, 2 * round(area.y / 2)
        for top, probability, color in zip(shape.tops, state.probabilities.tolist(), BAR_COLORS, strict=True):
            canvas.fill(x, y + top, max(2.0, shape.full * probability), shape.thick, color)

    def _place(
        self,
        face: _VisibleFace,
        kind: str,
        places: dict[str, _Area],
        faces: list[_VisibleFace],
        taken: list[_Area],
        time: float,
        max_covered: float,
    ) -> _Area | None:
        """The best of ``places`` that covers nothing drawn before, and other faces by at most ``max_covered``.

        The position of the previous frame is kept until a better one has been free for a while, so that nothing jumps
        back and forth.
        """
        key = (face.timeline.face_id, kind)
        others = [other.area for other in faces if other is not face]
        free = [
            name
            for name, area in places.items()
            if not any(area.covered_by(other) for other in taken)
            and sum(area.covered_by(other) for other in others) <= max_covered
        ]
        if not free:
            return None
        name, since = self._places.get(key, ("", time))
        if name not in free or time - since > LABEL_SETTLE_SECONDS:
            name = free[0]
        self._places[key] = (name, time if name == free[0] else since)
        return places[name]


def _step(size: int) -> int:
    """Pixels from one vertical bar to the next; even, because chroma has half the resolution."""
    return 2 * max(2, round(0.26 * size))


def _mix(one: Color, other: Color) -> Color:
    red, green, blue = ((a + b) // 2 for a, b in zip(one, other, strict=True))
    return red, green, blue


_CIRCLE = [(math.cos(math.radians(angle)), math.sin(math.radians(angle))) for angle in range(-90, 271, 15)]
"""Points on a circle, clockwise from its top, six steps per quarter."""


def _rounded(box: Box) -> list[Point]:
    """The outline of a box with rounded corners."""
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
        for across, down in _CIRCLE[quarter : quarter + 7]
    ]


def _dashes(path: Sequence[Point], length: float) -> Iterator[list[Point]]:
    """Dashes and gaps of about ``length`` pixels along a line; returns the dashes."""
    length = max(length, 2.0)
    steps = [math.dist(one, other) for one, other in itertools.pairwise(path)]
    along = np.concatenate([[0.0], np.cumsum(steps)])
    total = float(along[-1])
    count = max(4, 2 * round(total / (2 * length)))
    xs, ys = zip(*path, strict=True)
    for index in range(0, count, 2):
        begin, end = index * total / count, (index + 1) * total / count
        dash = np.array([begin, *along[(along > begin) & (along < end)], end])
        yield list(zip(np.interp(dash, along, xs).tolist(), np.interp(dash, along, ys).tolist(), strict=True))
