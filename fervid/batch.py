"""Many videos: discover → scan in worker processes → score in one batcher → finish → tables."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fervid.config import AnalyzeSettings, TimelineSettings, to_mapping
from fervid.detect import describe_detector
from fervid.discover import Source, discover, refuse_overwriting, shown_name
from fervid.engines import Engine, LocalEngine, ScanTask
from fervid.errors import FervidError, UsageError, batch_exit_code
from fervid.scan import Scan
from fervid.sidecar import SHIPPED, read_sidecar
from fervid.summarize import FaceSummary, summarize_face
from fervid.tables import SCHEMA_VERSION, ResultsWriter, output_paths, timeline_table
from fervid.timeline import Episode, episodes, smooth
from fervid.types import EMOTIONS, FloatArray
from fervid.version import __version__

if TYPE_CHECKING:
    from fervid.classify import Batcher


@dataclass(frozen=True)
class VideoReport:
    """The manifest row of one video. ``status``: ok, no_face, failed or skipped."""

    video: str
    status: str
    error: str | None = None
    message: str | None = None
    faces: int = 0
    frames_sampled: int = 0
    duration: float = 0.0


@dataclass(frozen=True)
class BatchReport:
    """What became of every input, in input order."""

    videos: tuple[VideoReport, ...]

    def count(self, status: str) -> int:
        """How many videos ended with that status."""
        return sum(video.status == status for video in self.videos)

    @property
    def exit_code(self) -> int:
        """0 when nothing failed, 3 when some inputs failed, 4 when all did."""
        return batch_exit_code(self.count("failed"), len(self.videos))


Listener = Callable[[VideoReport], None]


def analyze(
    paths: Iterable[str | os.PathLike[str]] | str | os.PathLike[str],
    out: str | os.PathLike[str],
    settings: AnalyzeSettings | None = None,
    listener: Listener = lambda report: None,
    start: Callable[[int], None] = lambda count: None,
    engine: Engine | None = None,
) -> BatchReport:
    """Analyse videos, files or folders, and write the four tables to ``out``.

    ``out`` ends in .parquet or .csv, or is a folder. ``start`` is called once with the number of videos,
    ``listener`` with each video's report as it is done. A video that cannot be read costs nothing but its
    own rows. Raises UsageError and OutputError.
    """
    settings = settings or AnalyzeSettings()
    given = [paths] if isinstance(paths, (str, os.PathLike)) else list(paths)
    sources = discover(given)
    if not sources:
        raise UsageError(f"no videos in {', '.join(map(str, given))}")
    refuse_overwriting(sources, output_paths(Path(out)))
    weights = SHIPPED if settings.run.model is None else Path(settings.run.model)
    sidecar = read_sidecar(weights)
    detector, detector_sha256 = describe_detector(settings.scan)
    metadata = {
        "schema_version": str(SCHEMA_VERSION),
        "version": __version__,
        "settings": json.dumps(to_mapping(settings)),
        "weights_sha256": sidecar.weights_sha256,
        "detector": detector,
        "detector_sha256": detector_sha256,
    }
    engine = engine or LocalEngine(min(settings.run.workers, len(sources)), settings.run.timeout)
    reports: dict[int, VideoReport] = {}
    tasks = (ScanTask(position, source.path) for position, source in enumerate(sources))
    scanning = engine.run(tasks, settings.scan, sidecar.geometry)
    # closing: workers end with the batch, however it ends
    with ResultsWriter(Path(out), metadata) as writer, contextlib.closing(scanning) as scans:
        start(len(sources))
        for position, outcome in _score(_once(scans, sources), weights, settings):
            report = _finish(writer, position, sources[position], outcome, settings.timeline)
            reports[position] = report
            listener(report)
    return BatchReport(tuple(reports[position] for position in sorted(reports)))


@dataclass(frozen=True)
class _Duplicate:
    """A video whose content was already met under another name."""

    scan: Scan
    of: str


_Scanned = Scan | _Duplicate | FervidError
_Scored = tuple[Scan, FloatArray] | _Duplicate | FervidError


def _once(
    scans: Iterable[tuple[ScanTask, Scan | FervidError]], sources: list[Source]
) -> Iterator[tuple[int, _Scanned]]:
    """Outcomes by position; of several files with one content the first in input order is kept.

    Which copy is scanned first is chance, so a copy waits until all files before it are known.
    """
    arrived: dict[int, Scan | FervidError] = {}
    names: dict[str, str] = {}
    due = 0
    for task, outcome in scans:
        arrived[task.position] = outcome
        while due in arrived:
            ready = arrived.pop(due)
            if isinstance(ready, Scan) and ready.video_id in names:
                yield due, _Duplicate(ready, names[ready.video_id])
            else:
                if isinstance(ready, Scan):
                    names[ready.video_id] = shown_name(sources[due].name)
                yield due, ready
            due += 1


def _score(
    scans: Iterable[tuple[int, _Scanned]], weights: Path, settings: AnalyzeSettings
) -> Iterator[tuple[int, _Scored]]:
    """Give every scan its probabilities. TensorFlow is loaded when the first face has been found."""
    batcher: Batcher[int] | None = None
    waiting: dict[int, Scan] = {}
    for position, outcome in scans:
        if not isinstance(outcome, Scan):
            yield position, outcome
        elif not outcome.tracks:
            yield position, (outcome, np.zeros((0, len(EMOTIONS)), np.float32))
        else:
            batcher = batcher or _create_batcher(weights, settings)
            waiting[position] = outcome
            for done, probabilities in batcher.add(position, np.concatenate([track.crops for track in outcome.tracks])):
                yield done, (waiting.pop(done), probabilities)
    for done, probabilities in batcher.flush() if batcher else ():
        yield done, (waiting.pop(done), probabilities)


def _create_batcher(weights: Path, settings: AnalyzeSettings) -> Batcher[int]:
    from fervid.classify import Batcher
    from fervid.model import load, select_device

    select_device(settings.run.device)
    return Batcher(load(weights), settings.run.batch_size)


def _finish(
    writer: ResultsWriter, position: int, source: Source, outcome: _Scored, settings: TimelineSettings
) -> VideoReport:
    """Hand one video's rows to the writer."""
    name = shown_name(source.name)
    if isinstance(outcome, FervidError):
        report = VideoReport(name, "failed", type(outcome).__name__, str(outcome))
        writer.add(position, "", None, videos=[_manifest_row(report, None)])
    elif isinstance(outcome, _Duplicate):
        report = VideoReport(name, "skipped", message=f"same content as {outcome.of}")
        writer.add(position, "", None, videos=[_manifest_row(report, outcome.scan)])
    else:
        scan, probabilities = outcome
        report = VideoReport(
            name,
            "ok" if scan.tracks else "no_face",
            message="; ".join(scan.notes) or None,
            faces=len(scan.tracks),
            frames_sampled=len(scan.times),
            duration=float(scan.times[-1] - scan.times[0]) + _step(scan),
        )
        timeline, small = _tables(name, scan, probabilities, settings)
        writer.add(position, scan.video_id, timeline, **small, videos=[_manifest_row(report, scan)])
    return report


def _tables(
    name: str, scan: Scan, probabilities: FloatArray, settings: TimelineSettings
) -> tuple[Any, dict[str, list[dict[str, Any]]]]:
    """Smooth, find episodes, summarise: one video's timeline and its rows of ``episodes`` and ``summary``."""
    edges = np.cumsum([len(track.times) for track in scan.tracks])[:-1]
    raw = np.split(probabilities, edges) if scan.tracks else []
    # the step of a slow sampling grid is no gap
    gap = max(settings.max_gap, 1.5 * _step(scan))
    end = max(scan.info.duration or np.inf, float(scan.times[-1]))
    key = {"video": name, "video_id": scan.video_id}
    smoothed, found, summaries = [], [], []
    for track, values in zip(scan.tracks, raw, strict=True):
        calm = smooth(track.times, values, track.qualities, settings.smooth, gap)
        spans = episodes(track.times, calm, settings.onset, settings.offset, settings.min_episode, gap, end)
        found += [{**key, "face_id": track.face_id, **_episode_row(episode)} for episode in spans]
        summaries.append({**key, **_summary_row(summarize_face(track, calm, scan.times, gap))})
        smoothed.append(calm)
    timeline = timeline_table(name, scan.video_id, scan.frames, scan.times, scan.tracks, raw, smoothed)
    return timeline, {"episodes": found, "summary": summaries}


def _step(scan: Scan) -> float:
    """The usual time between two samples, seconds; 0 where there is only one."""
    return float(np.median(np.diff(scan.times))) if len(scan.times) > 1 else 0.0


def _episode_row(episode: Episode) -> dict[str, Any]:
    return {
        "emotion": EMOTIONS[episode.emotion],
        "onset": episode.onset,
        "apex": episode.apex,
        "offset": episode.offset,
        "duration": episode.offset - episode.onset,
        "peak": episode.peak,
        "mean": episode.mean,
    }


def _summary_row(summary: FaceSummary) -> dict[str, Any]:
    row = to_mapping(summary)
    shares, means = row.pop("shares"), row.pop("means")
    for index, name in enumerate(EMOTIONS):
        row[f"share_{name}"], row[f"mean_{name}"] = shares[index], means[index]
    return row


def _manifest_row(report: VideoReport, scan: Scan | None) -> dict[str, Any]:
    row: dict[str, Any] = {
        "video": report.video,
        "status": report.status,
        "error": report.error,
        "message": report.message,
        "frames_sampled": report.frames_sampled,
        "faces": report.faces,
        "finished_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    if scan is not None:
        info = scan.info
        row |= {"video_id": scan.video_id, "duration": info.duration, "width": info.width, "height": info.height}
        row |= {"rotation": info.rotation, "codec": info.codec, "seconds": scan.seconds}
    return row
