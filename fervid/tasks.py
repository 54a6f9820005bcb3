"""What a worker process is asked to do, and what it does then: a whole video, or one piece of a long one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fervid.config import ScanSettings
from fervid.crop import CropGeometry
from fervid.errors import FervidError
from fervid.fingerprint import fingerprint
from fervid.observe import PERIOD
from fervid.scan import Scan, ScannedSpan, join, scan, scan_span
from fervid.spans import Span, divide


@dataclass(frozen=True)
class ScanTask:
    """One video to scan; ``position`` is its place in the batch."""

    position: int
    path: Path


@dataclass(frozen=True)
class SpanTask(ScanTask):
    """One span of it."""

    span: Span


@dataclass(frozen=True)
class JoinTask(ScanTask):
    """The spans of it, all scanned, to be made its scan."""

    video_id: str
    spans: tuple[ScannedSpan, ...]


@dataclass(frozen=True)
class WholeTask(ScanTask):
    """A video that proved unfit to be divided."""

    video_id: str


@dataclass(frozen=True)
class ScanJob:
    """What all tasks of a batch share; it travels to the workers. ``settled`` tells of a video's fingerprint
    whether its outcome is known already; ``spool`` is a folder for what is too big to travel; ``span``: seconds
    of video in the pieces of a divided one, 0: none is divided."""

    settings: ScanSettings
    geometry: CropGeometry
    settled: Callable[[str], bool]
    spool: Path
    span: float = 0.0


@dataclass(frozen=True)
class Known:
    """A video whose content an earlier run, or another file of this one, has settled."""

    video_id: str


@dataclass(frozen=True)
class Division:
    """A video that is long enough to be scanned in ``spans``."""

    video_id: str
    spans: tuple[Span, ...]


def work(task: ScanTask, job: ScanJob) -> Scan | Known:
    """What a worker does with a whole video; raises UnreadableVideo and OutputError."""
    video_id = fingerprint(task.path)
    return Known(video_id) if job.settled(video_id) else _whole(task, video_id, job)


def work_in_pieces(task: ScanTask, job: ScanJob) -> Scan | Known | Division | ScannedSpan:
    """What a worker does with a video that may be divided, and with each piece of one; raises as ``work``."""
    if isinstance(task, SpanTask):
        return scan_span(task.path, task.span, job.settings, job.geometry, records(task, job))
    if isinstance(task, JoinTask):
        return join(task.spans, task.video_id, job.settings, _crops(task, job))
    if isinstance(task, WholeTask):
        return _whole(task, task.video_id, job)
    video_id = fingerprint(task.path)
    if job.settled(video_id):
        return Known(video_id)
    spans = divide(task.path, job.settings, PERIOD, job.span) if job.span else []
    return Division(video_id, tuple(spans)) if spans else _whole(task, video_id, job)


def records(task: SpanTask, job: ScanJob) -> Path:
    """The file in which a span's observations are left."""
    return job.spool / f"{task.position}.{task.span.number}.span"


def _whole(task: ScanTask, video_id: str, job: ScanJob) -> Scan:
    try:
        return scan(task.path, video_id, job.settings, job.geometry, _crops(task, job))
    except FervidError as error:
        error.video_id = video_id
        raise


def _crops(task: ScanTask, job: ScanJob) -> Path:
    return job.spool / f"{task.position}.crops"
