"""Presentation times of decoded frames: restored where a container has only decode times, repaired where they are
missing or run backward."""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Iterator
from fractions import Fraction

from av.video.frame import VideoFrame

REORDER_DEPTH = 16
"""Largest number of frames between decode order and presentation order in H.264 and H.265."""


class FrameTimes:
    """Gives each decoded frame of a stream its presentation time in seconds.

    Attributes:
        origin: Time 0 on the container's own clock, in seconds.
        repaired: Number of times that were not as stated.
    """

    def __init__(self, base: Fraction, origin: Fraction, period: float, sort: bool) -> None:
        """Begin before the first frame.

        Args:
            base: Time base of the stream in seconds.
            origin: Time 0 on the container's own clock, in seconds.
            period: Usual time from one frame to the next, in seconds.
            sort: The container stores only decode times, so that the times are permuted within the reordering window.
                Sorting them within the window restores them. Time 0 is the first frame then.
        """
        self.origin = float(origin)
        self.repaired = 0
        self._base, self._origin, self._period, self._sort = base, origin, period, sort

    def assign(self, frames: Iterable[VideoFrame]) -> Iterator[tuple[float, VideoFrame]]:
        """Assign times.

        Args:
            frames: The decoded frames in the decoder's order.

        Yields:
            Time and frame, in order of presentation; times increase. A missing or backward time becomes the time
            before plus one frame period.
        """
        last = -math.inf
        for time, frame in self._sorted(frames) if self._sort else self._stated(frames):
            if time is None or not time > last:
                time = 0.0 if last == -math.inf else last + self._period
                self.repaired += 1
            last = time
            yield time, frame

    def _stated(self, frames: Iterable[VideoFrame]) -> Iterator[tuple[float | None, VideoFrame]]:
        for frame in frames:
            yield (None if frame.pts is None else float(frame.pts * self._base - self._origin)), frame

    def _sorted(self, frames: Iterable[VideoFrame]) -> Iterator[tuple[float | None, VideoFrame]]:
        waiting: list[VideoFrame] = []
        stamps: list[int] = []
        first: int | None = None

        def release() -> tuple[float | None, VideoFrame]:
            nonlocal first
            frame = waiting.pop(0)
            stamp = heapq.heappop(stamps) if stamps else None
            if first is None and stamp is not None:
                first, self.origin = stamp, float(stamp * self._base)
            if stamp != frame.pts:
                self.repaired += 1
            return (None if stamp is None or first is None else float((stamp - first) * self._base)), frame

        for frame in frames:
            waiting.append(frame)
            if frame.pts is not None:
                heapq.heappush(stamps, frame.pts)
            if len(waiting) > REORDER_DEPTH:
                yield release()
        while waiting:
            yield release()
