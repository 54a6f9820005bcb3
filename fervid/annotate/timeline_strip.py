"""The strip under a film: each face's timeline as stacked emotions, and a cursor at the present."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image

from fervid.annotate.text import FAINT, INK, chip, pixels, plate, text_width, write
from fervid.annotate.yuv_canvas import Canvas, Color, Sprite, sprite
from fervid.colors import EMOTION_COLORS, rgb
from fervid.timeline.interpolation import FaceTimeline
from fervid.types import EMOTIONS, ByteArray

MAX_LANES = 3

_FINER = 4


def lanes(courses: Sequence[FaceTimeline], limit: int = MAX_LANES) -> list[list[FaceTimeline]]:
    """Faces in rows, those that are never seen at the same time in one row.

    Where there are too many, the large and long ones stay: those with the most pixels times seconds.
    """
    found: list[list[FaceTimeline]] = []
    for course in sorted(courses, key=lambda course: (-_weight(course), course.face_id)):
        lane = next((lane for lane in found if not any(_overlap(course, other) for other in lane)), None)
        if lane is not None:
            lane.append(course)
        elif len(found) < limit:
            found.append([course])
    for lane in found:
        lane.sort(key=lambda course: float(course.times[0]))
    return sorted(found, key=lambda lane: lane[0].face_id)


def _weight(course: FaceTimeline) -> float:
    return float(np.median(course.boxes[:, 2] * course.boxes[:, 3]) * (course.times[-1] - course.times[0]))


def _overlap(one: FaceTimeline, other: FaceTimeline) -> bool:
    return bool(one.times[0] <= other.times[-1] and other.times[0] <= one.times[-1])


def clock(seconds: float) -> str:
    """Minutes and seconds as players show them."""
    whole = max(0, math.floor(seconds))
    hours, minutes, rest = whole // 3600, whole // 60 % 60, whole % 60
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


class Strip:
    """``end``: the film's length in seconds, the width of the strip. ``height``: pixels that it takes."""

    def __init__(
        self,
        courses: Sequence[FaceTimeline],
        width: int,
        height: int,
        end: float,
        code: int,
        size: int,
        color: Callable[[int], Color],
    ) -> None:
        self._lanes = lanes(courses)
        self._end, self._code, self._color = max(end, 1e-3), code, color
        self._size = max(9, round(0.72 * size))
        self._pad = round(0.7 * self._size)
        self._row = round(2.0 * self._size)
        self._bottom = height
        self._time_width = text_width(f"{clock(end)} / {clock(end)}", self._size) + self._pad
        numbers = [text_width(str(course.face_id), self._size, True) for lane in self._lanes for course in lane]
        self._left = 2 * self._pad + max([round(1.35 * self._size), *numbers]) + round(0.7 * self._size)
        self._chart = max(1, width - 2 * self._pad - self._left - self._time_width - self._pad)
        self._plate_height = len(self._lanes) * self._row + self._pad
        self.height = self._plate_height + self._pad
        self._ground = self._draw_ground(width - 2 * self._pad)
        self._grounds: dict[frozenset[int], Sprite] = {}
        self._clocks: dict[str, Sprite] = {}

    def draw(self, canvas: Canvas, time: float, visible: set[int]) -> None:
        """The strip at ``time`` seconds, with the numbers of the faces that are visible."""
        x, y = self._pad, self._bottom - self.height
        canvas.lay(self._with_chips(frozenset(visible)), x, y)
        x, y = 2 * round(x / 2), 2 * round(y / 2)
        at = x + self._left + min(max(time / self._end, 0.0), 1.0) * self._chart
        thick = max(2, 2 * round(self._size / 12))
        top = y + round(0.25 * self._pad)
        tall = self._plate_height - round(0.5 * self._pad)
        canvas.fill(2 * round((at - thick / 2) / 2) - 2, top, thick + 4, tall, (12, 12, 16))
        canvas.fill(2 * round((at - thick / 2) / 2), top, thick, tall, (255, 255, 255))
        shown = self._clock(f"{clock(time)} / {clock(self._end)}")
        canvas.lay(shown, x + self._left + self._chart + self._pad, y + (self._plate_height - shown.size[1]) / 2)

    def _draw_ground(self, width: int) -> Image.Image:
        image = plate(width, self._plate_height, 0.5 * self._size)
        for row, lane in enumerate(self._lanes):
            top = round(self._pad / 2 + row * self._row + 0.25 * self._size)
            chart = np.zeros((round(1.5 * self._size), self._chart, 4), np.uint8)
            for course in lane:
                self._fill_in(chart, course)
            image.alpha_composite(Image.fromarray(chart, "RGBA"), (self._left, top))
        return image

    def _fill_in(self, chart: ByteArray, course: FaceTimeline) -> None:
        """Stack a face's emotions over the columns of its time, over a line of its own colour."""
        height, width = chart.shape[:2]
        line = max(2, round(height / 9))
        colors = np.array([rgb(EMOTION_COLORS[name]) for name in EMOTIONS])
        levels = (np.arange((height - line - 1) * _FINER) + 0.5) / ((height - line - 1) * _FINER)
        first, last = (int(time / self._end * width) for time in (course.times[0], course.times[-1]))
        columns = np.arange(min(max(0, first), width - 1), max(1, min(width, last + 1)))
        shown, values = course.over(np.clip((columns + 0.5) / width * self._end, course.times[0], course.times[-1]))
        columns, values = columns[shown], values[shown]
        if not len(columns):
            return
        index = (levels[:, None, None] > np.cumsum(values, axis=1)[None, :, :-1]).sum(axis=2)
        stacked = colors[index].reshape(-1, _FINER, len(columns), 3).mean(axis=1)
        chart[: height - line - 1, columns, :3] = stacked[::-1]
        chart[height - line :, columns, :3] = self._color(course.face_id)
        chart[: height - line - 1, columns, 3] = 235 if course.trust == "ok" else 110
        chart[height - line :, columns, 3] = 255

    def _with_chips(self, visible: frozenset[int]) -> Sprite:
        """The strip without its cursor, the faces that are visible numbered."""
        if visible not in self._grounds:
            if len(self._grounds) > 16:
                self._grounds.clear()
            image = self._ground.copy()
            for row, lane in enumerate(self._lanes):
                for course in lane:
                    if course.face_id in visible:
                        hollow = course.trust != "ok"
                        number = chip(str(course.face_id), self._color(course.face_id), self._size, hollow)
                        top = self._pad / 2 + row * self._row + 0.3 * self._size
                        image.alpha_composite(number, (self._pad, round(top)))
            self._grounds[visible] = sprite(pixels(image), self._code)
        return self._grounds[visible]

    def _clock(self, text: str) -> Sprite:
        if text not in self._clocks:
            self._clocks.clear()
            image = plate(self._time_width, round(1.6 * self._size), 0, (16, 17, 22, 0))
            first, rest = text.split(" / ")
            write(image, 0, image.height / 2, (first, INK, True), self._size)
            write(
                image, text_width(first, self._size, True), image.height / 2, (f" / {rest}", FAINT, False), self._size
            )
            self._clocks[text] = sprite(pixels(image), self._code)
        return self._clocks[text]
