"""What a worker process does with a task: a whole video, or one piece of a long one."""

from __future__ import annotations

from pathlib import Path

from fervid.batch.tasks import Division, JoinTask, Known, ScanJob, ScanTask, SpanTask, WholeTask, records
from fervid.errors import FervidError
from fervid.files.fingerprint import fingerprint
from fervid.scan.frame_analysis import PERIOD
from fervid.scan.scan import scan
from fervid.scan.segments import divide, join, scan_span
from fervid.scan.types import Scan, ScannedSpan


def work(task: ScanTask, job: ScanJob) -> Scan | Known:
    """What a worker does with a whole video; raises UnreadableVideo and OutputError."""
    video_id = fingerprint(task.path)
    return Known(video_id) if job.settled(video_id) else _whole(task, video_id, job)


def work_in_pieces(task: ScanTask, job: ScanJob) -> Scan | Known | Division | ScannedSpan:
    """What a worker does with a video that may be divided, and with each piece of one; raises as ``work``."""
    if isinstance(task, SpanTask):
        return scan_span(task.path, task.span, job.settings, job.geometry, records(task, job))
    if isinstance(task, JoinTask):
        return join(task.spans, task.video_id, job.settings, _crops(task, job), job.threads)
    if isinstance(task, WholeTask):
        return _whole(task, task.video_id, job)
    video_id = fingerprint(task.path)
    if job.settled(video_id):
        return Known(video_id)
    spans = divide(task.path, job.settings, PERIOD, job.span) if job.span else []
    return Division(video_id, tuple(spans)) if spans else _whole(task, video_id, job)


def _whole(task: ScanTask, video_id: str, job: ScanJob) -> Scan:
    try:
        return scan(task.path, video_id, job.settings, job.geometry, _crops(task, job))
    except FervidError as error:
        error.video_id = video_id
        raise


def _crops(task: ScanTask, job: ScanJob) -> Path:
    return job.spool / f"{task.position}.crops"
