"""What a scan gives back."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from fervid.files.scratch import CropFile
from fervid.types import DoubleArray, Track, VideoInfo
from fervid.video.sampling import SeekPoint

SEGMENT_SECONDS = 60.0
"""Seconds of video that a worker scans at once, about; a video of twice that is divided."""


@dataclass(frozen=True)
class Segment:
    """``count`` frames of a video; ``begin``: where they begin, None at the start of the film; ``stop``: time in
    seconds of the first frame after them, None at its end."""

    number: int
    begin: SeekPoint | None
    count: int
    stop: float | None


@dataclass(frozen=True)
class ScannedSegment:
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
    crops: CropFile
    seconds: float

    def discard(self) -> None:
        """Remove the crops; they have been judged."""
        self.crops.path.unlink(missing_ok=True)
