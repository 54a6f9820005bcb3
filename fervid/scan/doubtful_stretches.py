"""Decoding the frames that were left out, where they are needed to find cuts."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace

from fervid.scan.frame_analysis import FrameAnalyzer, FrameResult
from fervid.video.cut_screening import SEARCHED_SECONDS, CutScreening, Verdict
from fervid.video.reader import SkippingReader
from fervid.video.shots import FLASH_SECONDS, HISTORY_SECONDS, REMEMBERED

LEAD = 0.3
"""Seconds by which a gradual transition may end before the frame at which it is suspected."""

TAIL = FLASH_SECONDS + 0.1
"""Seconds after a doubt in which every frame is needed, because it may be a flash or the begin of a transition."""

AGAIN = 1.0
"""Seconds after a doubt in which every frame is decoded at once, because there will probably be another one."""


@dataclass
class _Held:
    """A result that waits.

    ``index``: index of its frame. ``wanted``: whether the frames are needed that were left out directly before it.
    """

    result: FrameResult
    index: int
    wanted: bool


class DoubtfulStretches:
    """Holds results back for two seconds, and inserts those of frames that were left out where there may be a cut.

    Args:
        analyzer: Analyses single frames.
        source: The reader of the frames.
    """

    def __init__(self, analyzer: FrameAnalyzer, source: SkippingReader) -> None:
        self._analyzer, self._source = analyzer, source
        self._screening = CutScreening()
        self._held: deque[_Held] = deque()
        self._index = self._released = source.first_index - 1
        """Indices of the frames whose results were added and given out last."""
        self._last, self._doubt = -math.inf, -math.inf
        """Times of the last result and of the last doubt."""
        self._left_out = -math.inf
        """Time of the last result directly before which frames were left out."""

    @property
    def doubtful(self) -> bool:
        """Whether there was a doubt shortly before."""
        return self._last < self._doubt + AGAIN

    def add(self, result: FrameResult) -> Iterator[FrameResult]:
        """Add the next result.

        Args:
            result: The result of the next frame that was decoded.

        Yields:
            Earlier results in order.

        Raises:
            SkippingFailed: Frames that were left out cannot be decoded.
        """
        if result.skipped:
            self._left_out = result.time
        # a transition among frames that are all there is found without doubting it
        search = not self._source.rests or result.time - self._left_out <= SEARCHED_SECONDS
        verdict = self._screening.add(result.time, result.thumbnail, result.shape, len(result.skipped), search)
        before = self._index
        if verdict is Verdict.CUT:
            result = replace(result, is_cut=True)
        self._index += 1 + len(result.skipped)
        self._held.append(_Held(result, self._index, self._last < self._doubt + TAIL))
        self._last = result.time
        early = next(held.index for held in self._held if held.result.time >= self._last - LEAD)
        if verdict in (Verdict.JUMP, Verdict.TRANSITION):
            self._doubt = result.time
            for held in reversed(self._held):
                unneeded = self._precedes(held, before) if verdict is Verdict.JUMP else self._is_early(held, early)
                if unneeded or held.result.is_cut:
                    break
                held.wanted = True
        while self._is_early(self._held[0], early):
            yield from self._release()

    def finish(self) -> Iterator[FrameResult]:
        """Give out the last results.

        Yields:
            Them in order.

        Raises:
            SkippingFailed: Likewise.
        """
        while self._held:
            yield from self._release()

    def _is_early(self, held: _Held, begin: int) -> bool:
        """Whether a frame and those before it have no bearing on a transition that ends at ``begin`` or later."""
        return held.result.time <= self._last - LEAD - HISTORY_SECONDS and self._precedes(held, begin)

    def _precedes(self, held: _Held, begin: int) -> bool:
        """Whether a frame and those before it have no bearing on a jump after the frame ``begin``."""
        return held.index + REMEMBERED < begin

    def _release(self) -> Iterator[FrameResult]:
        held = self._held.popleft()
        result = held.result
        if held.wanted and result.skipped:
            yield from map(self._analyzer.analyze_frame, self._source.frames_between(self._released, held.index))
            result = replace(result, skipped=())
        self._released = held.index
        self._source.forget(held.index)
        yield result
