"""What a batch and its workers tell each other: tasks one way, what came of them the other.

The batch's own process needs no more of a scan than this; decoding and detecting are loaded by those who do it.
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
    """One video to scan; ``position`` is its place in the batch."""

    position: int
    path: Path


@dataclass(frozen=True)
class SegmentTask(ScanTask):
    """One span of it."""

    span: Segment


@dataclass(frozen=True)
class JoinTask(ScanTask):
    """The spans of it, all scanned, to be made its scan."""

    video_id: str
    spans: tuple[ScannedSegment, ...]


@dataclass(frozen=True)
class WholeTask(ScanTask):
    """A video that proved unfit to be divided."""

    video_id: str


@dataclass(frozen=True)
class ScanJob:
    """What all tasks of a batch share; it travels to the workers. ``settled`` tells of a video's fingerprint
    whether its outcome is known already; ``scratch`` is a folder for what is too big to travel; ``span``: seconds
    of video in the pieces of a divided one, 0: none is divided; ``threads``: so many may work on what joins them."""

    settings: ScanSettings
    geometry: CropGeometry
    settled: Callable[[str], bool]
    scratch: Path
    span: float = 0.0
    threads: int = 1


@dataclass(frozen=True)
class Known:
    """A video whose content an earlier run, or another file of this one, has settled."""

    video_id: str


@dataclass(frozen=True)
class Division:
    """A video that is long enough to be scanned in ``spans``."""

    video_id: str
    spans: tuple[Segment, ...]


def records_path(task: SegmentTask, job: ScanJob) -> Path:
    """The file in which a span's observations are left."""
    return job.scratch / f"{task.position}.{task.span.number}.span"
