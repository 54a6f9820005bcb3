"""The work of one worker process: scan a video, scan a segment of a long one, or join its segments."""

from __future__ import annotations

from pathlib import Path

from fervid.batch.tasks import (
    AlreadyDone,
    Division,
    JoinTask,
    ScanJob,
    ScanTask,
    SegmentTask,
    UndividedTask,
    records_path,
)
from fervid.errors import FervidError
from fervid.files.fingerprint import fingerprint
from fervid.scan.frame_analysis import SCHEDULE_PERIOD
from fervid.scan.scan import scan_video
from fervid.scan.segments import divide_video, join_segments, scan_segment
from fervid.scan.types import Scan, ScannedSegment


def scan_undivided(task: ScanTask, job: ScanJob) -> Scan | AlreadyDone:
    """Scan a video in one go, unless its outcome is stored already.

    Args:
        task: The video.
        job: The batch's job.

    Returns:
        The scan, or AlreadyDone.

    Raises:
        UnreadableVideo: The file cannot be decoded.
        OutputError: The scratch folder cannot be written.
    """
    video_id = fingerprint(task.path)
    return AlreadyDone(video_id) if job.is_done(video_id) else _scan(task, video_id, job)


def scan_or_divide(task: ScanTask, job: ScanJob) -> Scan | AlreadyDone | Division | ScannedSegment:
    """Do any task. A ScanTask for a long video is answered with its segments.

    Args:
        task: The video, one of its segments, or its scanned segments.
        job: The batch's job.

    Returns:
        A ScannedSegment for a SegmentTask, a Scan for a JoinTask or an UndividedTask. For a ScanTask: a Scan, a
        Division, or AlreadyDone.

    Raises:
        UnreadableVideo: The file cannot be decoded.
        OutputError: The scratch folder cannot be written.
    """
    if isinstance(task, SegmentTask):
        return scan_segment(task.path, task.segment, job.settings, job.geometry, records_path(task, job))
    if isinstance(task, JoinTask):
        return join_segments(task.segments, task.video_id, job.settings, _crops_path(task, job), job.threads)
    if isinstance(task, UndividedTask):
        return _scan(task, task.video_id, job)
    video_id = fingerprint(task.path)
    if job.is_done(video_id):
        return AlreadyDone(video_id)
    segments = (
        divide_video(task.path, job.settings, SCHEDULE_PERIOD, job.segment_seconds) if job.segment_seconds else []
    )
    return Division(video_id, tuple(segments)) if segments else _scan(task, video_id, job)


def _scan(task: ScanTask, video_id: str, job: ScanJob) -> Scan:
    """Scan a video in one go; an error carries its fingerprint."""
    try:
        return scan_video(task.path, video_id, job.settings, job.geometry, _crops_path(task, job))
    except FervidError as error:
        error.video_id = video_id
        raise


def _crops_path(task: ScanTask, job: ScanJob) -> Path:
    return job.scratch / f"{task.position}.crops"
