"""Messages between a batch and its workers: the tasks, and the outcomes that are not scans.

This module imports neither decoding nor detection, because the process that runs a batch needs neither.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fervid.faces.crop import CropGeometry
from fervid.scan.types import ScannedSegment, Segment
from fervid.settings import ScanSettings


@dataclass(frozen=True)
class ScanTask:
    """A video to scan. A worker may answer with a Division, if the job allows segments.

    Attributes:
        position: Place of the video in the batch, from 0.
        path: The file.
    """

    position: int
    path: Path


@dataclass(frozen=True)
class SegmentTask(ScanTask):
    """One segment of a video to scan."""

    segment: Segment


@dataclass(frozen=True)
class JoinTask(ScanTask):
    """Join the scanned segments of a video, all of them in order, into its scan."""

    video_id: str
    segments: tuple[ScannedSegment, ...]


@dataclass(frozen=True)
class UndividedTask(ScanTask):
    """A video whose segments did not match, to be scanned in one go."""

    video_id: str


@dataclass(frozen=True)
class ScanJob:
    """What all tasks of a batch share. It is sent to every worker.

    Attributes:
        settings: What to sample and how to detect.
        geometry: How the classifier wants faces cropped.
        is_done: Given a fingerprint, whether the outcome of that video is stored already.
        scratch: Folder for data that is too large to send between processes.
        segment_seconds: Length of the segments of a long video in seconds; 0: videos are not divided.
        threads: Number of threads that embed faces when segments are joined.
    """

    settings: ScanSettings
    geometry: CropGeometry
    is_done: Callable[[str], bool]
    scratch: Path
    segment_seconds: float = 0.0
    threads: int = 1


@dataclass(frozen=True)
class AlreadyDone:
    """Outcome of a task: this content was analysed by an earlier run, or under another name in this one."""

    video_id: str


@dataclass(frozen=True)
class Division:
    """Outcome of a task: the video is long enough to be scanned in these segments."""

    video_id: str
    segments: tuple[Segment, ...]


def records_path(task: SegmentTask, job: ScanJob) -> Path:
    """Name the file in which a worker leaves the frame results of a segment.

    Args:
        task: The segment's task.
        job: The batch's job.

    Returns:
        A path in the job's scratch folder.
    """
    return job.scratch / f"{task.position}.{task.segment.number}.segment"
