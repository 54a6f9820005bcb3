"""Frames between two samples, which are looked at where two faces meet. Two faces that pass each other cannot
always be followed in samples 0.2 s apart. Only the parts of a frame around faces whose match is open are searched.

Whether an interval is looked at depends only on the samples at its two ends and the thumbnails of the frames between
them. So a segment of a video gives what the whole gives, if it also looks at the first sample after it.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from fervid.faces.boxes import centres_and_sizes
from fervid.faces.tracklets import (
    APPEARANCE_SCALE,
    MAX_APPEARANCE_COST,
    MAX_COST,
    MAX_DISPLACEMENT,
    MAX_DISPLACEMENT_PER_SECOND,
    difference,
)
from fervid.runtime.opencv import cv2
from fervid.scan.doubtful_stretches import AGAIN, DoubtfulStretches
from fervid.scan.frame_analysis import FaceDetections, FrameAnalyzer, FrameResult
from fervid.types import ByteArray, DoubleArray, Face, Frame
from fervid.video.reader import SkippingReader, VideoReader

MIN_STEP = 0.06
"""Seconds between two frames that are kept, at least: at 25 frames per second every second one is."""
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
CUT_CHANGE, CUT_RATIO = 20.0, 4.0
"""Mean change of the thumbnail from one frame to the next, in gray levels, and its ratio to any other change between
two samples, from which a cut lies between them. No track continues over a cut, so nothing is looked at."""
CUT_CORRELATION = 0.4
"""Correlation of both thumbnails below which that change is a cut and no flash of light."""
SURE_DIFFERENCE = 0.35
"""Largest difference in appearance at which a match counts as sure."""
SURE_MARGIN = 0.5
"""How much more than a sure match every alternative must cost. The costs are those of the first pass of tracking."""


def analyze_frames(
    frames: Iterable[Frame], analyzer: FrameAnalyzer, reader: VideoReader | None = None
) -> Iterator[FrameResult]:
    """Analyse frames, and find the faces of frames between two samples where faces meet.

    Args:
        frames: The frames in order.
        analyzer: Analyses single frames.
        reader: The reader of the frames; None if it left out none. A SkippingReader decodes those again that are
            needed where faces meet, and where there may be a cut.

    Yields:
        The result of each frame in order. Results are held back until the next sample is known, and for some seconds if
        frames were left out.

    Raises:
        SkippingFailed: The frames that were left out cannot be decoded.
    """
    source = reader if isinstance(reader, SkippingReader) and reader.skips else None
    if source is None:
        yield from _with_meetings(frames, analyzer, None, None)
        return
    stretches = DoubtfulStretches(analyzer, source)
    for result in _with_meetings(frames, analyzer, source, stretches):
        yield from stretches.add(result)
    yield from stretches.finish()


def _with_meetings(
    frames: Iterable[Frame],
    analyzer: FrameAnalyzer,
    source: SkippingReader | None,
    stretches: DoubtfulStretches | None,
) -> Iterator[FrameResult]:
    """The result of each frame, with the faces of those between two samples where faces meet."""
    waiting = _Waiting()
    previous: FaceDetections | None = None
    any_sampled, met = False, -math.inf
    for frame in frames:
        result = analyzer.analyze_frame(frame)
        any_sampled |= result.sample is not None
        waiting.add(result, frame, previous is not None and bool(previous.faces))
        if result.sample is not None:
            if previous and previous.faces and waiting.may_be_looked_at:
                meeting = faces_that_meet(previous, result.sample, frame.time - waiting.begin)
                if meeting:
                    met = frame.time
                    waiting.look(analyzer, meeting, source)
        elif any_sampled and previous and waiting.count <= MAX_RESULTS:
            continue
        yield from waiting.release()
        previous = result.sample
        if source is not None and stretches is not None:
            source.decode_everything(frame.time < met + AGAIN or stretches.doubtful)
    yield from waiting.release()


class _Waiting:
    """The results since the last sample, and some of their frames.

    ``begin``: time of the last sample in seconds. ``count``: number of results, and of frames that were left out.
    """

    def __init__(self) -> None:
        self.begin = 0.0
        self.count = 0
        self._results: list[FrameResult] = []
        self._frames = _KeptFrames(0.0)
        self._before: FrameResult | None = None
        """The last result before these."""
        self._before_index = self._index = 0
        """Index of its frame, and of that of the last result."""

    @property
    def may_be_looked_at(self) -> bool:
        """Whether frames between the samples were kept or left out."""
        return bool(self._frames.kept) or self.count > len(self._results)

    def add(self, result: FrameResult, frame: Frame, keep: bool) -> None:
        """Add the result of the next frame. ``keep``: whether the frame may be looked at."""
        if keep and result.sample is None:
            self._frames.add(len(self._results), frame)
        self._results.append(result)
        self._index = frame.index
        self.count += 1 + len(frame.skipped)

    def look(self, analyzer: FrameAnalyzer, meeting: list[Face], source: SkippingReader | None) -> None:
        """Look at the frames between two samples, unless a cut lies there."""
        if source is not None and self.count > len(self._results):
            if self._holds_cut(between_neighbours=True):
                return
            self._complete(analyzer, source)
        if not self._holds_cut():
            for place, frame in self._frames.kept:
                self._results[place] = replace(self._results[place], between=analyzer.look_between(frame, meeting))

    def _holds_cut(self, between_neighbours: bool = False) -> bool:
        """Whether a hard cut lies between the two samples, or even directly before a frame that was decoded after its
        neighbour."""
        results = self._results if self._before is None else [self._before, *self._results]
        place = _place_of_cut([result.thumbnail for result in results])
        return place is not None and not (between_neighbours and results[place].skipped)

    def _complete(self, analyzer: FrameAnalyzer, source: SkippingReader) -> None:
        """Decode all frames between the two samples."""
        sample = self._results[-1]
        self._results, self._frames = [], _KeptFrames(self.begin)
        for frame in source.frames_between(self._before_index, self._index):
            self._frames.add(len(self._results), frame)
            self._results.append(analyzer.analyze_frame(frame))
        self._results.append(replace(sample, skipped=()))

    def release(self) -> Iterator[FrameResult]:
        """Give out the results."""
        results = self._results
        if results:
            self._before, self._before_index, self.begin = results[-1], self._index, results[-1].time
        self._results, self.count, self._frames = [], 0, _KeptFrames(self.begin)
        yield from results


class _KeptFrames:
    """Some frames between two samples, evenly spread.

    ``kept``: place among the results, and the frame.
    """

    def __init__(self, begin: float) -> None:
        self.kept: list[tuple[int, Frame]] = []
        self._last = begin
        """Time of the last frame that was far enough from the one before, or of the sample."""
        self._count, self._stride = 0, 1

    def add(self, place: int, frame: Frame) -> None:
        if frame.time - self._last >= MIN_STEP:
            self._last = frame.time
            if self._count % self._stride == 0:
                self.kept.append((place, frame))
            self._count += 1
            pixels = frame.width * frame.height
            while len(self.kept) > min(MAX_FRAMES, max(1, MAX_KEPT_PIXELS // max(pixels, 1))):
                self._stride *= 2
                self.kept = self.kept[::2]


def faces_that_meet(before: FaceDetections, after: FaceDetections, elapsed: float) -> list[Face]:
    """Find the faces of two successive samples that may have been exchanged.

    Args:
        before: The faces of a sample.
        after: Those of the next one.
        elapsed: Seconds between the two.

    Returns:
        The faces of both samples that touch, whose match has an alternative, or beside which a face comes or goes, but
        for those whose match is sure, because position and appearance agree; and all faces near these.
    """
    if max(len(before.faces), len(after.faces)) < 2:
        return []
    centres, sizes = centres_and_sizes([face.box for face in before.faces])
    later, later_sizes = centres_and_sizes([face.box for face in after.faces])
    near = [_touch(centres, sizes), _touch(later, later_sizes)]
    if before.faces and after.faces:
        distance = _distances(centres, sizes, later, later_sizes)
        reach = MAX_DISPLACEMENT + MAX_DISPLACEMENT_PER_SECOND * min(elapsed, 1.0)
        near[0] |= _has_alternative(distance, reach)
        near[1] |= _has_alternative(distance.T, reach)
        for side, table in enumerate((distance, distance.T)):
            changed = table.min(axis=1) > CLEAR
            near[side] |= changed & (table < NEAR).any(axis=1)
            near[1 - side] |= (table[changed] < NEAR).any(axis=0)
        sure = _sure(distance / reach, before, after)
        decided = sure.any(axis=1, keepdims=True) | sure.any(axis=0, keepdims=True)
        possible = (distance < reach) & ~decided
        near[0] &= possible.any(axis=1)
        near[1] &= possible.any(axis=0)
    faces, is_open = [*before.faces, *after.faces], np.concatenate(near)
    # With only one face of a group in a frame, those that were left out could be taken for it.
    places = np.concatenate([centres, later]), np.concatenate([sizes, later_sizes])
    beside = np.asarray((_distances(*places, *places)[:, is_open] < NEAR).any(axis=1))
    return [face for face, searched in zip(faces, beside, strict=True) if searched]


def _place_of_cut(thumbnails: Sequence[ByteArray]) -> int | None:
    """The first frame after a hard cut between successive frames: one change that is much larger than all others."""
    for place, (one, other) in enumerate(itertools.pairwise(thumbnails)):
        if one.shape != other.shape:
            return place + 1
    changes = [cv2.norm(one, other, cv2.NORM_L1) / one.size for one, other in itertools.pairwise(thumbnails)]
    place = int(np.argmax(changes))
    largest = changes.pop(place)
    if largest <= max(CUT_CHANGE, CUT_RATIO * max(changes, default=0.0)):
        return None
    before, after = (thumbnails[number].ravel().astype(np.float64) for number in (place, place + 1))
    spread = float(before.std() * after.std())
    correlated = float(((before - before.mean()) * (after - after.mean())).mean()) >= CUT_CORRELATION * spread
    return None if correlated else place + 1


def _has_alternative(distance: DoubleArray, reach: float) -> npt.NDArray[np.bool_]:
    """(n,): whether another match of a face is nearly as good as the best one."""
    ranked = np.sort(distance, axis=1)[:, :2]
    if ranked.shape[1] < 2:
        return np.zeros(len(distance), bool)
    return np.asarray((ranked[:, 1] < reach) & (ranked[:, 1] < ranked[:, 0] + CLEAR))


def _sure(distance: DoubleArray, before: FaceDetections, after: FaceDetections) -> npt.NDArray[np.bool_]:
    """(n, m): whether two faces of both samples are one and the same, as position and appearance agree.

    ``distance``: (n, m) in the distance that costs 1.
    """
    if not before.descriptors or not after.descriptors:
        return np.zeros(distance.shape, bool)
    differs = difference(np.stack(before.descriptors) @ np.stack(after.descriptors).T)
    cost = distance**2 + np.minimum((differs / APPEARANCE_SCALE) ** 2, MAX_APPEARANCE_COST)
    sure = (differs <= SURE_DIFFERENCE) & (cost <= MAX_COST)
    for row, column in np.argwhere(sure).tolist():
        others = np.concatenate([np.delete(cost[row], column), np.delete(cost[:, column], row)])
        sure[row, column] = cost[row, column] + SURE_MARGIN <= others.min(initial=np.inf)
    return np.asarray(sure)


def _distances(centres: DoubleArray, sizes: DoubleArray, others: DoubleArray, other_sizes: DoubleArray) -> DoubleArray:
    """(n, m) distances between centres, in mean sizes of both faces."""
    apart = np.linalg.norm(centres[:, None] - others[None], axis=2)
    return np.asarray(apart / ((sizes[:, None] + other_sizes[None]) / 2))


def _touch(centres: DoubleArray, sizes: DoubleArray) -> npt.NDArray[np.bool_]:
    """(n,): whether a face touches another one."""
    distance = _distances(centres, sizes, centres, sizes)
    np.fill_diagonal(distance, np.inf)
    return np.asarray((distance < TOUCH).any(axis=1))
