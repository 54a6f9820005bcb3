"""Faces detected on a grid of times, and followed in the frames between, for ``follow_faces``.

What is found in a frame depends only on the frames from the last multiple of GRID_PERIOD to the first frame after the
next one. So a segment of a video gives what the whole gives, if it also reads the first frame after it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from fervid.faces.boxes import ScaledImage, shrink
from fervid.faces.following import FacesBetween
from fervid.types import ByteArray, Face, Frame
from fervid.video.sampling import period_index

GRID_PERIOD = 0.1
"""Seconds from one detection to the next, at most. The grid is absolute: a period begins at each multiple of this, and
faces are detected in its first sample."""
MAX_INTERVAL = 0.25
"""Seconds between two detections above which nothing is followed, as where frames are missing."""
MAX_HELD, MAX_HELD_PIXELS = 24, 36_000_000
"""Most samples between two detections, and most pixels of them, because they wait in memory."""
SCENE_CHANGE = 20.0
"""Mean difference of the thumbnail in gray levels, from those of both detections, from which a frame may show something
else than they do."""


@dataclass(eq=False)
class Look:
    """A frame, and what is known of its faces.

    Attributes:
        frame: The frame.
        long_side: The detector's long side in pixels.
        faces: Its upright faces in its own pixels, as the detector would give them; None if they are not known yet.
        followed: Whether they were followed.
    """

    frame: Frame
    long_side: int
    faces: list[Face] | None = None
    followed: bool = field(default=False)

    @cached_property
    def shrunk(self) -> ScaledImage:
        """Its image, shrunk for the detector. It is made on first use."""
        return shrink(self.frame.image, self.long_side)


class DetectionGrid:
    """Decides in which samples of one video faces are detected, and follows them in the others.

    Args:
        detect: Finds the upright faces of a frame. It is called for the frames of the grid, in order.
        long_side: The detector's long side in pixels.
        threshold: Lowest score of a face.
    """

    def __init__(self, detect: Callable[[Look], list[Face]], long_side: int, threshold: float) -> None:
        self._detect, self._long_side, self._threshold = detect, long_side, threshold

    def looks(self, frames: Iterable[Frame]) -> Iterator[Look]:
        """Find the faces of the frames of a video. Frames are held back until the next detection.

        Args:
            frames: The frames in order.

        Yields:
            All frames in their order. The faces are unknown in frames that are not sampled, and in those where they
            must be detected after all.
        """
        before: Look | None = None
        held: list[Look] = []
        for frame in frames:
            look = Look(frame, self._long_side)
            if before is None and not frame.sampled:
                yield look
            elif before is None or (frame.sampled and self._is_due(before, held, frame)):
                look.faces = self._detect(look)
                yield from self._followed(before, held, look)
                yield look
                before, held = look, []
            else:
                held.append(look)
        last = next((number for number in reversed(range(len(held))) if held[number].frame.sampled), None)
        if last is not None:
            held[last].faces = self._detect(held[last])
            yield from self._followed(before, held[:last], held[last])
            held = held[last:]
        yield from held

    def _is_due(self, before: Look, held: list[Look], frame: Frame) -> bool:
        """Whether the faces of a sample are detected."""
        room = min(MAX_HELD, MAX_HELD_PIXELS // max(frame.width * frame.height, 1))
        return (
            period_index(frame.time, GRID_PERIOD) != period_index(before.frame.time, GRID_PERIOD)
            or frame.shape != before.frame.shape
            or len(held) >= room
        )

    def _followed(self, before: Look | None, held: list[Look], after: Look) -> Iterator[Look]:
        """The frames between two detections, with their faces where they can be followed."""
        if before is not None and any(look.frame.sampled for look in held):
            self._follow(before, held, after)
        yield from held

    def _follow(self, before: Look, held: list[Look], after: Look) -> None:
        begin, end = before.frame, after.frame
        if end.time - begin.time > MAX_INTERVAL or begin.shape != end.shape:
            return
        assert before.faces is not None
        assert after.faces is not None
        between = FacesBetween(begin.image, before.faces, end.image, after.faces, self._threshold)
        if not between.can_follow:
            return
        for look in held:
            frame = look.frame
            if frame.sampled and frame.shape == begin.shape and not _is_other(frame, begin, end):
                look.faces = between.at(frame.image, (frame.time - begin.time) / (end.time - begin.time))
                look.followed = look.faces is not None


def _is_other(frame: Frame, begin: Frame, end: Frame) -> bool:
    """Whether a frame is so unlike both ends that it may show another scene."""
    return min(_difference(frame.thumbnail, one.thumbnail) for one in (begin, end)) > SCENE_CHANGE


def _difference(first: ByteArray, second: ByteArray) -> float:
    if first.shape != second.shape:
        return np.inf
    return float(np.abs(first.astype(np.int16) - second).mean())
