"""Schedules in absolute time: which frames are sampled, and when what is not done at every sample is due.

Each depends on where a frame lies in the film, not on where reading began, so that a film that is scanned
in spans is scanned as one that is not.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

TIME_TOLERANCE = 0.0006
"""Containers round times to as little as a millisecond; a frame this much before a tick is still at it. Seconds."""


class SamplingGrid:
    """The sampling grid: a tick at ``start`` and every 1/fps seconds after it; at each tick the first frame at or
    after it is taken, none twice. With fps 0 every frame from ``start`` on is taken.

    ``tick``: the tick that is waited for, where the frames before it have been looked at elsewhere.
    """

    def __init__(self, fps: float, start: float, tick: float | None = None) -> None:
        self._fps, self._start = fps, start
        self.tick = start if tick is None else tick

    def takes(self, time: float) -> bool:
        """Whether the frame at ``time`` seconds is sampled; asked once for every frame, in order."""
        taken = time >= self.tick - TIME_TOLERANCE
        if taken and self._fps > 0:
            ticks = math.floor((time + TIME_TOLERANCE - self._start) * self._fps) + 1
            self.tick = self._start + ticks / self._fps
        return taken


def period_index(time: float, period: float) -> int:
    """Which of the stretches of ``period`` seconds, a whole number of milliseconds, ``time`` lies in.

    Stretches nest without rounding: a new one of 3 s is always a new one of 0.6 s and of 1 s too.
    """
    return math.floor((time + TIME_TOLERANCE) * 1000) // round(period * 1000)


@dataclass(frozen=True)
class SeekPoint:
    """Where a reader begins that is responsible for a film from one of its frames on.

    ``seek``: presentation time, in the stream's own units, of a keyframe from which that frame can be decoded.
    ``index`` and ``time`` (seconds) are those of the frame, ``tick`` is what the sampling grid waits for.
    """

    seek: int
    index: int
    time: float
    tick: float
