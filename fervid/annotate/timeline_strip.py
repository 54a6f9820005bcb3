"""The strip at the bottom of a frame: the stacked emotions of each face over time, and a cursor at the current time."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image

from fervid.annotate.text import FAINT, INK, chip, pixels, plate, text_width, write
from fervid.annotate.yuv_canvas import Canvas, Color, Sprite, sprite
from fervid.colors import EMOTION_COLORS, rgb
from fervid.timeline.interpolation import FaceTimeline
from fervid.timeline.time_format import clock
from fervid.types import EMOTIONS, ByteArray

MAX_LANES = 3
"""Largest number of lanes in a strip."""

_OVERSAMPLING = 4
"""Colours are computed for this many rows per pixel, for smooth borders."""


def lanes(faces: Sequence[FaceTimeline], limit: int = MAX_LANES) -> list[list[FaceTimeline]]:
    """Assign faces to lanes, so that the faces of one lane are never seen at the same time.

    The faces of one person are in one lane, unless they are seen at the same time.

    Args:
        faces: The faces of a video.
        limit: Largest number of lanes. If more would be needed, the faces with the least area times duration are
            left out.

    Returns:
        The faces of each lane, in order of time.
    """
    found: list[list[FaceTimeline]] = []
    for own in sorted(_people(faces), key=lambda own: (-sum(map(_weight, own)), own[0].face_id)):
        lane = next(
            (lane for lane in found if not any(_same_time(face, other) for face in own for other in lane)), None
        )
        if lane is not None:
            lane.extend(own)
        elif len(found) < limit:
            found.append(list(own))
    for lane in found:
        lane.sort(key=lambda face: float(face.times[0]))
    return sorted(found, key=lambda lane: lane[0].face_id)


def _people(faces: Sequence[FaceTimeline]) -> list[list[FaceTimeline]]:
    """The faces of each person, by number; a face that is seen while another one of its person is seen is apart."""
    people: dict[int, list[FaceTimeline]] = {}
    apart: list[list[FaceTimeline]] = []
    for face in sorted(faces, key=lambda face: face.face_id):
        own = people.setdefault(face.first, [])
        if any(_same_time(face, other) for other in own):
            apart.append([face])
        else:
            own.append(face)
    return [*people.values(), *apart]


def _weight(face: FaceTimeline) -> float:
    """Median area times duration."""
    return float(np.median(face.boxes[:, 2] * face.boxes[:, 3]) * (face.times[-1] - face.times[0]))


def _same_time(one: FaceTimeline, other: FaceTimeline) -> bool:
    return bool(one.times[0] <= other.times[-1] and other.times[0] <= one.times[-1])


class TimelineStrip:
    """Draws the strip of one video.

    Args:
        faces: The faces of the video.
        width: Width of the frames in pixels.
        height: Height of the frames in pixels.
        end: Length of the video in seconds; the strip shows all of it.
        code: H.273 matrix code of the frames.
        size: Font size of the overlay in pixels.
        color: Number of a person's first face → colour.

    Attributes:
        height: Height of the strip in pixels.
    """

    def __init__(
        self,
        faces: Sequence[FaceTimeline],
        width: int,
        height: int,
        end: float,
        code: int,
        size: int,
        color: Callable[[int], Color],
    ) -> None:
        self._lanes = lanes(faces)
        self._end, self._code, self._color = max(end, 1e-3), code, color
        self._size = max(9, round(0.72 * size))
        self._pad = round(0.7 * self._size)
        self._row = round(2.0 * self._size)
        self._bottom = height
        self._time_width = text_width(f"{clock(end)} / {clock(end)}", self._size) + self._pad
        numbers = [text_width(face.short, self._size, True) for lane in self._lanes for face in lane]
        self._left = 2 * self._pad + max([round(1.35 * self._size), *numbers]) + round(0.7 * self._size)
        self._chart = max(1, width - 2 * self._pad - self._left - self._time_width - self._pad)
        self._plate_height = len(self._lanes) * self._row + self._pad
        self.height = self._plate_height + self._pad
        self._background = self._draw_background(width - 2 * self._pad)
        self._numbered: dict[frozenset[int], Sprite] = {}
        self._clocks: dict[str, Sprite] = {}

    def draw(self, canvas: Canvas, time: float, visible: set[int]) -> None:
        """Draw the strip on one frame.

        Args:
            canvas: The frame; changed in place.
            time: Its time in seconds, where the cursor stands.
            visible: Numbers of the faces in this frame, which the strip shows.
        """
        x, y = self._pad, self._bottom - self.height
        canvas.draw_sprite(self._with_numbers(frozenset(visible)), x, y)
        x, y = 2 * round(x / 2), 2 * round(y / 2)
        cursor = x + self._left + min(max(time / self._end, 0.0), 1.0) * self._chart
        thick = max(2, 2 * round(self._size / 12))
        top = y + round(0.25 * self._pad)
        height = self._plate_height - round(0.5 * self._pad)
        canvas.fill(2 * round((cursor - thick / 2) / 2) - 2, top, thick + 4, height, (12, 12, 16))
        canvas.fill(2 * round((cursor - thick / 2) / 2), top, thick, height, (255, 255, 255))
        shown = self._clock(f"{clock(time)} / {clock(self._end)}")
        left = x + self._left + self._chart + self._pad
        canvas.draw_sprite(shown, left, y + (self._plate_height - shown.size[1]) / 2)

    def _draw_background(self, width: int) -> Image.Image:
        """Draw everything but the cursor, the clock and the numbers."""
        image = plate(width, self._plate_height, 0.5 * self._size)
        for row, lane in enumerate(self._lanes):
            top = round(self._pad / 2 + row * self._row + 0.25 * self._size)
            chart = np.zeros((round(1.5 * self._size), self._chart, 4), np.uint8)
            for face in lane:
                self._draw_timeline(chart, face)
            image.alpha_composite(Image.fromarray(chart, "RGBA"), (self._left, top))
        return image

    def _draw_timeline(self, chart: ByteArray, face: FaceTimeline) -> None:
        """Draw the stacked probabilities of a face, and a line in its colour below; gaps stay empty."""
        height, width = chart.shape[:2]
        line = max(2, round(height / 9))
        colors = np.array([rgb(EMOTION_COLORS[name]) for name in EMOTIONS])
        levels = (np.arange((height - line - 1) * _OVERSAMPLING) + 0.5) / ((height - line - 1) * _OVERSAMPLING)
        first, last = (int(time / self._end * width) for time in (face.times[0], face.times[-1]))
        columns = np.arange(min(max(0, first), width - 1), max(1, min(width, last + 1)))
        times = np.clip((columns + 0.5) / width * self._end, face.times[0], face.times[-1])
        shown, values = face.sample_at(times)
        columns, values = columns[shown], values[shown]
        if not len(columns):
            return
        index = (levels[:, None, None] > np.cumsum(values, axis=1)[None, :, :-1]).sum(axis=2)
        stacked = colors[index].reshape(-1, _OVERSAMPLING, len(columns), 3).mean(axis=1)
        chart[: height - line - 1, columns, :3] = stacked[::-1]
        chart[height - line :, columns, :3] = self._color(face.first)
        chart[: height - line - 1, columns, 3] = 235 if face.trust == "ok" else 110
        chart[height - line :, columns, 3] = 255

    def _with_numbers(self, visible: frozenset[int]) -> Sprite:
        """The background with the numbers of the visible faces."""
        if visible not in self._numbered:
            if len(self._numbered) > 16:
                self._numbered.clear()
            image = self._background.copy()
            for row, lane in enumerate(self._lanes):
                for face in lane:
                    if face.face_id in visible:
                        hollow = face.trust != "ok"
                        number = chip(face.short, self._color(face.first), self._size, hollow)
                        top = self._pad / 2 + row * self._row + 0.3 * self._size
                        image.alpha_composite(number, (self._pad, round(top)))
            self._numbered[visible] = sprite(pixels(image), self._code)
        return self._numbered[visible]

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
