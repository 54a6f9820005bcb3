"""Scanning a long video in segments, in several processes at once, with the same result as scanning it in one go."""

from __future__ import annotations

import hashlib
import time as clock
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from fervid.errors import UnreadableVideo
from fervid.faces.crop import CropGeometry
from fervid.files.scratch import RecordFile
from fervid.runtime.opencv import cv2
from fervid.scan.between_samples import analyze_frames
from fervid.scan.frame_analysis import FrameAnalyzer
from fervid.scan.records import read_frame_results, write_result
from fervid.scan.scan import (
    cached_detector,
    cached_embedder,
    cached_networks,
    open_reader,
    reader_notes,
    scan_result,
)
from fervid.scan.track_assembly import TrackBuilder
from fervid.scan.types import SEGMENT_SECONDS, Scan, ScannedSegment, Segment
from fervid.settings import ScanSettings
from fervid.types import Frame
from fervid.video.index import VideoIndex, read_index
from fervid.video.needed_packets import SkippingFailed
from fervid.video.sampling import TIME_TOLERANCE, SamplingGrid, SeekPoint, period_index
from fervid.video.seeking_reader import plan_seeking

MAX_SPLIT_DEVIATION = 0.25
"""Largest deviation of a split point from its target, and largest pre-roll decoded before it, as a fraction of the
segment length."""


def divide_video(path: Path, settings: ScanSettings, period: float, seconds: float = SEGMENT_SECONDS) -> list[Segment]:
    """Divide a video into segments of about equal length.

    Args:
        path: The file.
        settings: Which frames are sampled.
        period: Segments start at the first sample of a period of this many seconds, because schedules restart there.
            Not longer than ``seconds``.
        seconds: Wanted length of a segment.

    Returns:
        The segments in order; none if the video is too short, or cannot be decoded safely from its middle.
    """
    end = np.inf if settings.end is None else settings.end
    if end < 2 * seconds:
        return []
    index = read_index(path, 2 * seconds, settings.stream)
    if index is None or (settings.seek_samples and plan_seeking(index, settings)):
        return []
    count = int(np.searchsorted(index.times, end + TIME_TOLERANCE, "right"))
    starts = _split_points(index, count, settings, period, seconds)
    segments = []
    for number, begin in enumerate([None, *starts]):
        first, stop = begin.index if begin else 0, starts[number] if number < len(starts) else None
        last = stop.index if stop else count
        segments.append(Segment(number, begin, last - first, stop.time if stop else None))
    return segments if starts else []


@dataclass(frozen=True)
class _SplitPoint:
    """A frame at which a segment may start; ``preroll``: seconds that must be decoded before it."""

    begin: SeekPoint
    preroll: float


def _split_points(
    index: VideoIndex, count: int, settings: ScanSettings, period: float, seconds: float
) -> list[SeekPoint]:
    """The starts of all segments but the first: near equal distances, with the shortest pre-roll."""
    times = index.times[:count]
    parts = int((times[-1] - times[0]) / seconds) if count else 0
    tolerance = max(MAX_SPLIT_DEVIATION * seconds, period / 2)
    points = [point for point in _candidates(index, times.tolist(), settings, period) if point.preroll <= tolerance]
    chosen = []
    for target in np.linspace(times[0], times[-1], parts + 1)[1:-1] if parts else ():
        low, high = (
            bisect_right(points, target + side, key=lambda point: point.begin.time) for side in (-tolerance, tolerance)
        )
        if low < high:
            best = min(points[low:high], key=lambda point: (point.preroll, abs(point.begin.time - target)))
            chosen.append(best.begin)
    return chosen


def _candidates(index: VideoIndex, times: list[float], settings: ScanSettings, period: float) -> Iterator[_SplitPoint]:
    """The first sample of each period, and before the first sample of the video the first frame of each period."""
    grid, any_sampled, previous = SamplingGrid(settings.fps, settings.start), False, None
    for number, time in enumerate(times):
        tick = grid.tick
        sampled = grid.takes(time)
        any_sampled |= sampled
        if any_sampled and not sampled:
            continue
        current = period_index(time, period)
        key = bisect_right(index.key_times, time) - 1
        if previous not in (None, current) and key >= 0:
            begin = SeekPoint(int(index.keys[key]), number, time, tick)
            yield _SplitPoint(begin, time - float(index.key_times[key]))
        previous = current


def scan_segment(
    path: Path, segment: Segment, settings: ScanSettings, geometry: CropGeometry, records: Path
) -> ScannedSegment:
    """Analyse the frames of one segment of a video.

    Args:
        path: The file.
        segment: Which frames.
        settings: What to sample and how to detect.
        geometry: How the classifier wants faces cropped.
        records: File to write the frame results to.

    Returns:
        The result. It is not ``intact`` if the file cannot be decoded; scanning the video in one go then says why.

    Raises:
        OutputError: ``records`` cannot be written.
    """
    started = clock.monotonic()
    cv2.setNumThreads(1)
    try:
        try:
            return _scan_segment(path, segment, settings, geometry, records, skip=True)
        except SkippingFailed:
            return _scan_segment(path, segment, settings, geometry, records, skip=False)
    except UnreadableVideo:
        return ScannedSegment(records, seconds=clock.monotonic() - started)


def _scan_segment(
    path: Path, segment: Segment, settings: ScanSettings, geometry: CropGeometry, records: Path, skip: bool
) -> ScannedSegment:
    started = clock.monotonic()
    embedder, refused = cached_embedder()
    analyzer = FrameAnalyzer(
        settings, geometry, cached_detector(settings), embedder, cached_networks(settings.measures)
    )
    ends = _Ends(segment.stop)
    with open_reader(path, settings, skip, segment.begin, segment.stop) as reader, RecordFile(records) as file:
        for result in analyze_frames(analyzer.look_ahead(ends.frames(reader.frames())), analyzer, reader):
            if not ends.after(result.time):
                write_result(file, result)
        intact = ends.count == segment.count and not reader.corrupt and not reader.repaired
        notes, seconds = (*reader_notes(reader, settings), *refused), clock.monotonic() - started
        return ScannedSegment(
            records, reader.info, intact, ends.first_digest, ends.next_digest, notes, seconds, reader.duration
        )


class _Ends:
    """Ends a segment, one frame after its last: that frame shows whether two faces meet before it.

    ``count``: frames of the segment, with those that were left out. ``first_digest`` and ``next_digest``: see
    ScannedSegment.
    """

    def __init__(self, stop: float | None) -> None:
        self._stop = stop
        self.count = 0
        self.first_digest: str | None = None
        self.next_digest: str | None = None

    def after(self, time: float) -> bool:
        """Whether a frame lies after the segment."""
        return self._stop is not None and time >= self._stop

    def frames(self, frames: Iterable[Frame]) -> Iterator[Frame]:
        """The frames of the segment and the next one."""
        for frame in frames:
            self.count += len(frame.skipped)
            if self.after(frame.time):
                self.next_digest = _digest(frame)
                yield frame
                return
            self.first_digest = self.first_digest or _digest(frame)
            self.count += 1
            yield frame


def join_segments(
    segments: Sequence[ScannedSegment], video_id: str, settings: ScanSettings, scratch: Path, threads: int = 1
) -> Scan:
    """Join the segments of a video into its scan, which equals that of ``scan_video``.

    Args:
        segments: All segments in order; ``segments_match`` holds for them.
        video_id: Fingerprint of the file.
        settings: The settings with which they were scanned.
        scratch: File to write the crops to.
        threads: Number of threads that embed faces.

    Returns:
        The scan. Its ``seconds`` include those of the segments.

    Raises:
        UnreadableVideo: No frame was decoded.
        OutputError: ``scratch`` cannot be written.
    """
    started = clock.monotonic()
    first = segments[0].info
    assert first is not None
    info = replace(first, duration=segments[-1].duration)
    builder = TrackBuilder(settings, scratch, cached_embedder()[0])
    for segment in segments:
        for result in read_frame_results(segment.records):
            builder.add(result)
    tracked = builder.finish(threads)
    seconds = sum(segment.seconds for segment in segments) + clock.monotonic() - started
    return scan_result(video_id, settings, info, tracked, list(segments[-1].notes), scratch, seconds)


def _digest(frame: Frame) -> str:
    """A hash of the frame's index, time and pixels."""
    return hashlib.sha256(f"{frame.index} {frame.time}".encode() + frame.image.tobytes()).hexdigest()
