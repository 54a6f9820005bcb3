"""Sampling in absolute time: which frames are sampled, and the periods for work that is not done on every sample.

The result depends on the time of a frame, not on where reading began. So a video that is scanned in segments gives the
same samples as one that is scanned in one go.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

TIME_TOLERANCE = 0.0006
"""A frame at most this many seconds before a tick counts as on it, because containers may round times to
milliseconds."""


class SamplingGrid:
    """The sampling grid: a tick at ``start`` and every 1/fps seconds after it.

    At each tick the first frame at or after it is sampled, but no frame twice. With fps 0 every frame from ``start`` on
    is sampled.

    Attributes:
        tick: Time of the next tick in seconds.
    """

    def __init__(self, fps: float, start: float, tick: float | None = None) -> None:
        """Start at a tick.

        Args:
            fps: Samples per second; 0 samples every frame.
            start: Time of the first tick in seconds.
            tick: The tick to begin with, for a reader that begins in the middle of a video. None: ``start``.
        """
        self._fps, self._start = fps, start
        self.tick = start if tick is None else tick

    def takes(self, time: float) -> bool:
        """Decide whether a frame is sampled. Call this once for each frame, in order.

        Args:
            time: Time of the frame in seconds.

        Returns:
            Whether it is sampled.
        """
        taken = time >= self.tick - TIME_TOLERANCE
        if taken and self._fps > 0:
            ticks = math.floor((time + TIME_TOLERANCE - self._start) * self._fps) + 1
            self.tick = self._start + ticks / self._fps
        return taken


def period_index(time: float, period: float) -> int:
    """Number the periods of a fixed length and find the one that contains a time.

    Periods nest exactly: the start of a period of 3 s is also the start of one of 0.6 s and of 1 s.

    Args:
        time: Time in seconds.
        period: Length of the periods in seconds, a whole number of milliseconds.

    Returns:
        Number of the period; period 0 begins at time 0.
    """
    return math.floor((time + TIME_TOLERANCE) * 1000) // round(period * 1000)


@dataclass(frozen=True)
class SeekPoint:
    """Where to start reading a video from a frame other than its first.

    Attributes:
        seek: Presentation time, in units of the stream's time base, of a keyframe from which the frame can be decoded.
        index: Index of the frame.
        time: Time of the frame in seconds.
        tick: Next tick of the sampling grid in seconds.
    """

    seek: int
    index: int
    time: float
    tick: float
