"""Presentation times of decoded frames, repaired where they are missing, doubled, far off or backward."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from av.video.frame import VideoFrame

WINDOW = 16
"""Number of frames that are examined together where a time is doubtful. At most half as many far-off times in a row are
sure to be recognised."""

MAX_WINDOW_BYTES = 2**28
"""Decoded frames that wait in the window take no more memory than this, but the window has at least 4 frames."""

MIN_JUMP = 10.0
"""A step of the clock of more than this many seconds is reported, if its neighbours are much shorter."""

MAX_HOLD = 600.0
"""A copy of a video shows a frame for at most this many seconds where the clock jumps."""

MIN_CONTINUATION = 4
"""So many of the latest frames of a window must continue the times before it to show that others are far off."""

Stated = tuple[float | None, VideoFrame]


@dataclass(frozen=True)
class ClockJump:
    """A place where the stated times jump.

    Attributes:
        time: Time of the frame before the jump in seconds.
        seconds: Length of the jump. Forward: the times are kept as stated. Backward (negative): the later times are
            moved, so that the video goes on at ``time`` plus ``step``.
        step: Usual time from one frame to the next, in seconds.
    """

    time: float
    seconds: float
    step: float

    def __str__(self) -> str:
        length = f"{abs(self.seconds):.0f}" if abs(self.seconds) >= 100 else f"{abs(self.seconds):.3g}"
        return f"the clock jumps {'by' if self.seconds > 0 else 'back by'} {length} s at {self.time:.1f} s"


class ClosedJumps:
    """The clock of a copy that leaves out long jumps, because no player waits for hours and MP4 cannot store it."""

    def __init__(self, jumps: Sequence[ClockJump], moved: Callable[[], float] = lambda: 0.0) -> None:
        """Take the jumps.

        Args:
            jumps: The jumps, such as ``VideoReader.jumps``. Later ones may be added while the video is read.
            moved: Tells how many seconds are added to the stated times because the clock jumped back, such as
                ``VideoReader.moved``.
        """
        self._jumps, self.moved = jumps, moved

    @property
    def closed(self) -> list[ClockJump]:
        """The jumps that are left out."""
        return [jump for jump in self._jumps if jump.seconds > MAX_HOLD]

    def gap(self, time: float) -> float:
        """Get how much is left out before a time.

        Args:
            time: Time in the video, in seconds.

        Returns:
            Seconds. Each jump is left out but for the usual step from one frame to the next.
        """
        return sum(jump.seconds - jump.step for jump in self.closed if time > jump.time + jump.seconds / 2)


class FrameTimes:
    """Gives each decoded frame of a stream its presentation time in seconds.

    Only the offending frames are repaired: stated times count again as soon as they fit. Where the clock jumps back and
    stays, the distances of the stated times are kept. Where it jumps forward and stays, the times are kept.

    Attributes:
        shift: Seconds that were added to all times, because the first frame's time was not as stated.
        repaired: Number of times that were not as stated.
        jumps: The jumps of the clock.
    """

    def __init__(self, period: float) -> None:
        """Begin before the first frame.

        Args:
            period: Usual time from one frame to the next, in seconds.
        """
        self.shift = 0.0
        self.repaired = 0
        self.jumps: list[ClockJump] = []
        self._near = min(1.0, max(0.2, 5 * period))
        self._step = period
        self._last = -math.inf
        self._offset = self._moved = 0.0
        self._window: deque[Stated] = deque()

    @property
    def moved(self) -> float:
        """Seconds that are added to the stated times, because the clock jumped back, at the frame given out last."""
        return self._moved

    def assign(self, stated: Iterable[Stated]) -> Iterator[tuple[float, VideoFrame]]:
        """Assign times. One frame is held back, and more only where a time is doubtful.

        Args:
            stated: Stated time in seconds (None: missing) and frame, in order of presentation.

        Yields:
            Time and frame; times increase.
        """
        source, window = iter(stated), self._window
        while self._fill(source, 2):
            if self._plain():
                time, frame = window.popleft()
                yield self._accept((time or 0.0) + self.shift + self._offset, self._step), frame
            else:
                self._fill(source, _window_length(window[0][1]))
                yield from self._settle()

    def _fill(self, source: Iterator[Stated], count: int) -> bool:
        """Fill the window up to ``count`` frames; whether it has any."""
        while len(self._window) < count and (item := next(source, None)) is not None:
            self._window.append(item)
        return bool(self._window)

    def _plain(self) -> bool:
        """Whether the first time of the window continues those before it, and the next one continues it."""
        times = self._times(self._offset)
        if times[0] is None or (len(times) > 1 and times[1] is None):
            return False
        following = times[1] if len(times) > 1 else None
        if self._last == -math.inf:
            return following is not None and 0 < following - times[0] <= self._near
        return 0 < times[0] - self._last <= self._near and (following is None or following > times[0])

    def _times(self, offset: float) -> list[float | None]:
        return [None if time is None else time + self.shift + offset for time, _ in self._window]

    def _settle(self) -> Iterator[tuple[float, VideoFrame]]:
        """Give times to the first frames of a full window: to all before the first time that fits, or to that one."""
        times, kept = self._fitting()
        first = next(iter(kept), None)
        if first is None:
            placed = [self._start() + self._step * number for number in range(len(times))]
        elif first > 0:
            placed = self._between(times[first] or 0.0, first)
        else:
            placed = [times[0] or 0.0]
        ahead = (times[kept[1]] or 0.0) - (times[kept[0]] or 0.0) if len(kept) > 1 else None
        repaired = first != 0
        for time in placed:
            frame = self._window.popleft()[1]
            self.repaired += repaired and not self._offset
            yield self._accept(time, ahead), frame

    def _fitting(self) -> tuple[list[float | None], list[int]]:
        """The times of the window, and the positions of those that fit. The clock's offset is changed if need be."""
        times = self._times(self._offset)
        kept = longest_increasing(times, self._last, self._near)
        if self._offset:
            stated = self._times(0.0)
            fitting = longest_increasing(stated, self._last, self._near)
            if len(fitting) >= len(kept) and fitting:
                self._offset, times, kept = 0.0, stated, fitting
        if not kept and any(time is not None for time in times):  # the clock jumped back
            kept = longest_increasing(times, -math.inf, self._near)
            target = self._last + self._step * (kept[0] + 1)
            change = target - (times[kept[0]] or 0.0)
            if len(kept) > 1:
                self.jumps.append(ClockJump(self._last, -change, self._step))
            self._offset += change
            times = [None if time is None else time + change for time in times]
            times[kept[0]] = target
        return times, kept

    def _start(self) -> float:
        """The time for a frame without a usable time that follows the last one."""
        return 0.0 if self._last == -math.inf else self._last + self._step

    def _between(self, following: float, count: int) -> list[float]:
        """Times for ``count`` frames before a frame at ``following``."""
        if self._last == -math.inf:
            begin = following - count * self._step
            if begin < 0:  # the time of the first frame was taken for the start of the file
                self.shift -= begin
                begin = 0.0
            return [begin + self._step * number for number in range(count)]
        step = (following - self._last) / (count + 1)
        if step > self._near:  # frames are missing; these follow those before them
            step = min(step, self._step)
        return [self._last + step * number for number in range(1, count + 1)]

    def _accept(self, time: float, ahead: float | None) -> float:
        """Note a time, and the jump that leads to it; ``ahead``: the step after it."""
        time = max(time, math.nextafter(self._last, math.inf))  # steps may be too small to add to a large time
        self.repaired += bool(self._offset)
        self._moved = self._offset
        step = time - self._last
        if MIN_JUMP < step < math.inf and step > 5 * max(self._step, ahead or 0.0):
            self.jumps.append(ClockJump(self._last, step, self._step))
        elif step < math.inf:
            self._step = step
        self._last = time
        return time


def _window_length(frame: VideoFrame) -> int:
    size = max(1, frame.width * frame.height * 3 // 2)
    return max(4, min(WINDOW, MAX_WINDOW_BYTES // size))


def longest_increasing(times: Sequence[float | None], last: float, near: float) -> list[int]:
    """Find the times that fit: the longest sequence of increasing ones.

    Where it begins with a step of more than ``near``, a shorter one is preferred that begins nearer and contains the
    latest times, because the times in between are far off then.

    Args:
        times: Times in seconds; None: missing.
        last: All found times are later than this.
        near: Largest step in seconds from one frame to the next that needs no proof.

    Returns:
        Positions in ``times``, increasing. Of several sequences of one length, that of the smallest times.
    """
    found = _longest(times, last, math.inf)
    if not found or last == -math.inf or (times[found[0]] or 0.0) - last <= near:
        return found
    latest = next((time for time in reversed(times) if time is not None), -math.inf)
    other = _longest(times, last, latest)
    if len(other) >= MIN_CONTINUATION and (times[other[0]] or 0.0) - last <= near * (other[0] + 1):
        return other
    return found


def _longest(times: Sequence[float | None], last: float, end: float) -> list[int]:
    """The longest increasing sequence of times that are later than ``last`` and not later than ``end``."""
    usable = [(number, time) for number, time in enumerate(times) if time is not None and last < time <= end]
    lengths: dict[int, int] = {}
    for place in range(len(usable) - 1, -1, -1):
        number, time = usable[place]
        lengths[number] = 1 + max((lengths[later] for later, other in usable[place + 1 :] if other > time), default=0)
    found: list[int] = []
    wanted, least = max(lengths.values(), default=0), -math.inf
    while wanted:
        after = found[-1] if found else -1
        candidates = [
            (time, number) for number, time in usable if number > after and time > least and lengths[number] == wanted
        ]
        least, chosen = min(candidates)
        found.append(chosen)
        wanted -= 1
    return found
