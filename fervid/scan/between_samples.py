"""Frames between two samples, which are looked at where two faces meet. Two faces that pass each other cannot be
followed in samples 0.2 s apart.

Whether an interval is looked at depends only on the samples at its two ends. So a segment of a video gives what the
whole gives, if it also looks at the first sample after it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from fervid.faces.boxes import centres_and_sizes
from fervid.faces.tracklets import MAX_DISPLACEMENT, MAX_DISPLACEMENT_PER_SECOND
from fervid.scan.frame_analysis import FrameAnalyzer, FrameResult
from fervid.types import DoubleArray, Face, Frame

MAX_FRAMES = 16
"""Most frames that are kept between two samples. If there are more, every second one is dropped, again and again."""
MAX_KEPT_PIXELS = 36_000_000
"""Most pixels of the frames that are kept."""
MAX_RESULTS = 1024
"""If more frames than this lie between two samples, none of them is looked at."""
TOUCH = 1.0
"""Distance between the centres of two faces, in face sizes, below which they meet in any case."""
CLEAR = 0.5
"""A match is clear if its distance, in face sizes, is smaller by this than that of any alternative."""
NEAR = 2.0
"""Distance in face sizes from another face within which a face that comes or goes may be hidden by that one."""


def analyze_frames(frames: Iterable[Frame], analyzer: FrameAnalyzer) -> Iterator[FrameResult]:
    """Analyse frames, and find the faces of frames between two samples where faces meet.

    Args:
        frames: The frames in order.
        analyzer: Analyses single frames.

    Yields:
        The result of each frame in order. Results are held back until the next sample is known.
    """
    waiting = _Waiting()
    previous: list[Face] | None = None
    for frame in frames:
        result = analyzer.analyze_frame(frame)
        if result.sample is None:
            waiting.add(result, frame if previous else None)
            if len(waiting.results) > MAX_RESULTS:
                yield from waiting.release()
                previous = None
            continue
        faces = result.sample.faces
        if waiting.frames and previous and may_meet(previous, faces, frame.time - waiting.begin):
            waiting.look(analyzer)
        yield from waiting.release()
        waiting.begin, previous = frame.time, faces
        yield result
    yield from waiting.release()


class _Waiting:
    """The results since the last sample, and some of their frames. ``begin``: time of the last sample in seconds."""

    def __init__(self) -> None:
        self.results: list[FrameResult] = []
        self.frames: list[tuple[int, Frame]] = []
        """Place among the results, and the frame."""
        self.begin = 0.0
        self._stride = 1

    def add(self, result: FrameResult, frame: Frame | None) -> None:
        if frame is not None and len(self.results) % self._stride == 0:
            self.frames.append((len(self.results), frame))
            pixels = frame.width * frame.height
            while len(self.frames) > min(MAX_FRAMES, max(1, MAX_KEPT_PIXELS // max(pixels, 1))):
                self._stride *= 2
                self.frames = self.frames[::2]
        self.results.append(result)

    def look(self, analyzer: FrameAnalyzer) -> None:
        for place, frame in self.frames:
            self.results[place] = replace(self.results[place], between=analyzer.look_between(frame))

    def release(self) -> list[FrameResult]:
        results, self.results, self.frames, self._stride = self.results, [], [], 1
        return results


def may_meet(before: Sequence[Face], after: Sequence[Face], elapsed: float) -> bool:
    """Decide whether the faces of two successive samples may have been exchanged.

    Args:
        before: Faces of a sample.
        after: Faces of the next one.
        elapsed: Seconds between the two.

    Returns:
        Whether two faces touch, a match between the samples has an alternative, or a face comes or goes beside another.
    """
    if max(len(before), len(after)) < 2:
        return False
    centres, sizes = centres_and_sizes([face.box for face in before])
    later, later_sizes = centres_and_sizes([face.box for face in after])
    if _touch(centres, sizes) or _touch(later, later_sizes):
        return True
    if not before or not after:
        return False
    distance = _distances(centres, sizes, later, later_sizes)
    reach = MAX_DISPLACEMENT + MAX_DISPLACEMENT_PER_SECOND * min(elapsed, 1.0)
    for table in (distance, distance.T):
        ranked = np.sort(table, axis=1)[:, :2]
        if ranked.shape[1] == 2 and bool(((ranked[:, 1] < reach) & (ranked[:, 1] < ranked[:, 0] + CLEAR)).any()):
            return True
    gone, come = distance.min(axis=1) > CLEAR, distance.min(axis=0) > CLEAR
    return bool((distance[gone] < NEAR).any() or (distance[:, come] < NEAR).any())


def _distances(centres: DoubleArray, sizes: DoubleArray, others: DoubleArray, other_sizes: DoubleArray) -> DoubleArray:
    """(n, m) distances between centres, in mean sizes of both faces."""
    apart = np.linalg.norm(centres[:, None] - others[None], axis=2)
    return np.asarray(apart / ((sizes[:, None] + other_sizes[None]) / 2))


def _touch(centres: DoubleArray, sizes: DoubleArray) -> bool:
    distance = _distances(centres, sizes, centres, sizes)
    np.fill_diagonal(distance, np.inf)
    return bool((distance < TOUCH).any())
