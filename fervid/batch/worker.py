"""What a worker process does with a task: a whole video, or one piece of a long one."""

from __future__ import annotations

from pathlib import Path

from fervid.batch.tasks import Division, JoinTask, Known, ScanJob, ScanTask, SegmentTask, WholeTask, records_path
from fervid.errors import FervidError
from fervid.files.fingerprint import fingerprint
from fervid.scan.frame_analysis import SCHEDULE_PERIOD
from fervid.scan.scan import scan_video
from fervid.scan.segments import divide_video, join_segments, scan_segment
from fervid.scan.types import Scan, ScannedSegment


def scan_whole(task: ScanTask, job: ScanJob) -> Scan | Known:
    """What a worker does with a whole video; raises UnreadableVideo and OutputError."""
    video_id = fingerprint(task.path)
    return Known(video_id) if job.settled(video_id) else _scan_whole(task, video_id, job)


def scan_or_divide(task: ScanTask, job: ScanJob) -> Scan | Known | Division | ScannedSegment:
    """What a worker does with a video that may be divided, and with each piece of one; raises as ``work``."""
    if isinstance(task, SegmentTask):
        return scan_segment(task.path, task.span, job.settings, job.geometry, records_path(task, job))
    if isinstance(task, JoinTask):
        return join_segments(task.spans, task.video_id, job.settings, _crops_path(task, job), job.threads)
    if isinstance(task, WholeTask):
        return _scan_whole(task, task.video_id, job)
    video_id = fingerprint(task.path)
    if job.settled(video_id):
        return Known(video_id)
    spans = divide_video(task.path, job.settings, SCHEDULE_PERIOD, job.span) if job.span else []
    return Division(video_id, tuple(spans)) if spans else _scan_whole(task, video_id, job)


def _scan_whole(task: ScanTask, video_id: str, job: ScanJob) -> Scan:
    try:
        return scan_video(task.path, video_id, job.settings, job.geometry, _crops_path(task, job))
    except FervidError as error:
        error.video_id = video_id
        raise


def _crops_path(task: ScanTask, job: ScanJob) -> Path:
    return job.scratch / f"{task.position}.crops"
