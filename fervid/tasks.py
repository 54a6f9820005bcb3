"""What a batch and its workers tell each other: tasks one way, what came of them the other.

The batch's own process needs no more of a scan than this; decoding and detecting are loaded by those who do it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from fervid.config import ScanSettings
from fervid.crop import CropGeometry
from fervid.grid import Begin
from fervid.spool import SpooledCrops
from fervid.types import DoubleArray, Track, VideoInfo

SPAN = 60.0
"""Seconds of video that a worker scans at once, about; a video of twice that is divided."""


@dataclass(frozen=True)
class ScanTask:
    """One video to scan; ``position`` is its place in the batch."""

    position: int
    path: Path


@dataclass(frozen=True)
class Span:
    """``count`` frames of a video; ``begin``: where they begin, None at the start of the film; ``stop``: time in
    seconds of the first frame after them, None at its end."""

    number: int
    begin: Begin | None
    count: int
    stop: float | None


@dataclass(frozen=True)
class SpanTask(ScanTask):
    """One span of it."""

    span: Span


@dataclass(frozen=True)
class ScannedSpan:
    """What came of one span: its observations are in the file ``records``, and ``info`` is what the reader says.

    ``whole``: whether every frame of it, and nothing else, was decoded without a fault. ``first`` and ``after``:
    digests of its first frame and of the one that follows it, None where there is none. ``notes`` and
    ``seconds`` as in Scan.
    """

    records: Path
    info: VideoInfo | None = None
    whole: bool = False
    first: str | None = None
    after: str | None = None
    notes: tuple[str, ...] = ()
    seconds: float = 0.0

    def discard(self) -> None:
        """Remove the file."""
        self.records.unlink(missing_ok=True)


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
    of video in the pieces of a divided one, 0: none is divided; ``threads``: so many may work on what joins them."""

    settings: ScanSettings
    geometry: CropGeometry
    settled: Callable[[str], bool]
    spool: Path
    span: float = 0.0
    threads: int = 1


@dataclass(frozen=True, eq=False)
class Scan:
    """What a video shows, before any emotion is judged.

    ``frames`` (n,) int64 and ``times`` (n,) float64 seconds: every sampled frame, with or without a face.
    ``tracks``: faces, ids from 0 in order of appearance. ``notes``: what went wrong without ending the
    scan, in words. ``crops``: those of all tracks, one after another. ``seconds``: what the scan took.
    """

    video_id: str
    info: VideoInfo
    frames: npt.NDArray[np.int64]
    times: DoubleArray
    tracks: list[Track]
    notes: list[str]
    crops: SpooledCrops
    seconds: float

    def discard(self) -> None:
        """Remove the crops; they have been judged."""
        self.crops.path.unlink(missing_ok=True)


@dataclass(frozen=True)
class Known:
    """A video whose content an earlier run, or another file of this one, has settled."""

    video_id: str


@dataclass(frozen=True)
class Division:
    """A video that is long enough to be scanned in ``spans``."""

    video_id: str
    spans: tuple[Span, ...]


def records(task: SpanTask, job: ScanJob) -> Path:
    """The file in which a span's observations are left."""
    return job.spool / f"{task.position}.{task.span.number}.span"
