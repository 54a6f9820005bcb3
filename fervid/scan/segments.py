"""Dividing a long video into spans that are scanned side by side, as if it were scanned as a whole."""

from __future__ import annotations

import hashlib
import time as clock
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fervid.errors import UnreadableVideo
from fervid.faces.crop import CropGeometry
from fervid.files.scratch import RecordFile, read_records
from fervid.runtime.opencv import cv2
from fervid.scan.frame_analysis import FrameAnalyzer
from fervid.scan.scan import cached_detector, cached_embedder, reader_notes, scan_result
from fervid.scan.track_assembly import TrackBuilder
from fervid.scan.types import SEGMENT_SECONDS, Scan, ScannedSegment, Segment
from fervid.settings import ScanSettings
from fervid.types import Frame
from fervid.video.index import VideoIndex, read_index
from fervid.video.reader import VideoReader
from fervid.video.sampling import TIME_TOLERANCE, SamplingGrid, SeekPoint, period_index

MAX_SPLIT_DEVIATION = 0.25
"""Share of a span by which a seam may lie off, and of it that may be decoded in vain before one."""


def divide_video(path: Path, settings: ScanSettings, period: float, seconds: float = SEGMENT_SECONDS) -> list[Segment]:
    """Spans of about so many ``seconds``, each from a multiple of ``period`` on, which is not longer; none where the
    video had better be whole."""
    end = np.inf if settings.end is None else settings.end
    if end < 2 * seconds:
        return []
    found = read_index(path, 2 * seconds)
    if found is None:
        return []
    count = int(np.searchsorted(found.times, end + TIME_TOLERANCE, "right"))
    seams = _split_points(found, count, settings, period, seconds)
    spans = []
    for number, begin in enumerate([None, *seams]):
        first, stop = begin.index if begin else 0, seams[number] if number < len(seams) else None
        last = stop.index if stop else count
        spans.append(Segment(number, begin, last - first, stop.time if stop else None))
    return spans if seams else []


@dataclass(frozen=True)
class _SplitPoint:
    """A frame at which a span may begin; ``lead``: seconds that must be decoded before it."""

    begin: SeekPoint
    lead: float


def _split_points(
    found: VideoIndex, count: int, settings: ScanSettings, period: float, seconds: float
) -> list[SeekPoint]:
    """Where all spans but the first begin: near equal parts, where little is decoded in vain."""
    times = found.times[:count]
    parts = int((times[-1] - times[0]) / seconds) if count else 0
    near = max(MAX_SPLIT_DEVIATION * seconds, period / 2)
    possible = [seam for seam in _candidates(found, times.tolist(), settings, period) if seam.lead <= near]
    seams = []
    for target in np.linspace(times[0], times[-1], parts + 1)[1:-1] if parts else ():
        low, high = (bisect_right(possible, target + side, key=lambda seam: seam.begin.time) for side in (-near, near))
        if low < high:
            seams.append(min(possible[low:high], key=lambda seam: (seam.lead, abs(seam.begin.time - target))).begin)
    return seams


def _candidates(found: VideoIndex, times: list[float], settings: ScanSettings, period: float) -> Iterator[_SplitPoint]:
    """The first sample of each stretch of ``period`` seconds; before all samples, its first frame."""
    grid, sampled, before = SamplingGrid(settings.fps, settings.start), False, None
    for index, time in enumerate(times):
        tick = grid.tick
        taken = grid.takes(time)
        sampled |= taken
        if sampled and not taken:
            continue
        stretch = period_index(time, period)
        key = bisect_right(found.key_times, time) - 1
        if before not in (None, stretch) and key >= 0:
            yield _SplitPoint(SeekPoint(int(found.keys[key]), index, time, tick), time - float(found.key_times[key]))
        before = stretch


def scan_segment(
    path: Path, span: Segment, settings: ScanSettings, geometry: CropGeometry, records: Path
) -> ScannedSegment:
    """Observe the frames of one span of a video. Raises OutputError where the disk is full."""
    started = clock.monotonic()
    cv2.setNumThreads(1)
    embedder, refused = cached_embedder()
    analyzer = FrameAnalyzer(settings, geometry, cached_detector(settings), embedder)
    count, first, after = 0, None, None
    try:
        with (
            VideoReader(
                path,
                fps=settings.fps,
                start=settings.start,
                end=settings.end,
                threads=1,
                seek_point=span.begin,
                decoder=settings.decoder,
            ) as reader,
            RecordFile(records) as file,
        ):
            for frame in reader.frames():
                if span.stop is not None and frame.time >= span.stop:
                    after = _digest(frame)
                    break
                first = first or _digest(frame)
                file.add(analyzer.analyze_frame(frame))
                count += 1
            whole = count == span.count and not reader.corrupt and not reader.repaired
            notes = (*reader_notes(reader, settings), *refused)
            return ScannedSegment(records, reader.info, whole, first, after, notes, clock.monotonic() - started)
    except UnreadableVideo:  # for the scan of the whole to judge
        return ScannedSegment(records, seconds=clock.monotonic() - started)


def join_segments(
    spans: Sequence[ScannedSegment], video_id: str, settings: ScanSettings, scratch: Path, threads: int = 1
) -> Scan:
    """The scan of the whole video from those of all its spans, which ``fit``; as ``scan``, which it equals."""
    started = clock.monotonic()
    info = spans[0].info
    assert info is not None
    assembly = TrackBuilder(settings, scratch, cached_embedder()[0])
    for span in spans:
        for seen in read_records(span.records):
            assembly.add(seen)
    found = assembly.finish(threads)
    seconds = sum(span.seconds for span in spans) + clock.monotonic() - started
    return scan_result(video_id, settings, info, found, list(spans[-1].notes), scratch, seconds)


def _digest(frame: Frame) -> str:
    """What tells a frame from any other: when it is shown, and every pixel."""
    return hashlib.sha256(f"{frame.index} {frame.time}".encode() + frame.image.tobytes()).hexdigest()
