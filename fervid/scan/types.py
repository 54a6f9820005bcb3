"""Results of scanning a video or a segment of one."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from fervid.files.scratch import CropFile
from fervid.scan.picture_changes import PictureRun
from fervid.settings import ScanSettings
from fervid.types import DoubleArray, Doubt, Track, VideoInfo
from fervid.video.sampling import SeekPoint

SEGMENT_SECONDS = 60.0
"""Approximate length of a segment in seconds. Videos of at least twice this length are divided."""
DENSE_SEGMENT_SECONDS, DENSE_FPS = 15.0, 10.0
"""The same if more than this many frames of each second are sampled, or every frame: a second then takes several times
as long, so that a shorter video is worth dividing."""


def segment_length(settings: ScanSettings, seconds: float) -> float:
    """Choose the length of segments.

    Args:
        settings: Which frames are sampled.
        seconds: The usual length in seconds; 0: videos are not divided.

    Returns:
        The length in seconds.
    """
    dense = settings.fps == 0 or settings.fps > DENSE_FPS
    return min(seconds, DENSE_SEGMENT_SECONDS) if dense else seconds


@dataclass(frozen=True)
class Segment:
    """A run of consecutive frames of a video.

    Attributes:
        number: Place among the video's segments, from 0.
        begin: The first frame, and how decoding gets there; None: the start of the video.
        count: Number of frames.
        stop: Time in seconds of the first frame after the segment; None: the segment ends with the video.
    """

    number: int
    begin: SeekPoint | None
    count: int
    stop: float | None


@dataclass(frozen=True)
class ScannedSegment:
    """The result of scanning one segment.

    Attributes:
        records: File with a FrameResult for each frame.
        info: What the container says about the video; None if it could not be opened.
        intact: Whether exactly the frames of the segment were decoded, without any error.
        first_digest: Hash of the first frame; None if there is none.
        next_digest: Hash of the first frame after the segment; None if there is none.
        notes: See Scan.
        seconds: See Scan.
        duration: Length of the video, which only the last segment can correct; see VideoReader.
    """

    records: Path
    info: VideoInfo | None = None
    intact: bool = False
    first_digest: str | None = None
    next_digest: str | None = None
    notes: tuple[str, ...] = ()
    seconds: float = 0.0
    duration: float | None = None

    def discard(self) -> None:
        """Delete the file of records."""
        self.records.unlink(missing_ok=True)


@dataclass(frozen=True, eq=False)
class TrackedFaces:
    """The sampled frames of a video and the faces in them over time.

    Attributes:
        frames: (n,) int64, 0-based index of every sampled frame.
        times: (n,) float64, presentation time of each of them in seconds.
        sizes: (n, 2) int32, width and height of each of them as shown.
        tracks: The faces, ids from 0 in order of appearance.
        runs: The sizes and orientations of all frames.
        cuts: Times in seconds of the first frame of each shot except the first.
        doubts: What speaks against the figures of single faces.
    """

    frames: npt.NDArray[np.int64]
    times: DoubleArray
    sizes: npt.NDArray[np.int32]
    tracks: list[Track]
    runs: list[PictureRun]
    cuts: list[float]
    doubts: list[Doubt] = field(default_factory=list)


@dataclass(frozen=True, eq=False)
class Scan:
    """The faces of one video, before any emotion is classified.

    Attributes:
        video_id: Fingerprint of the file.
        info: What the container says about the video, with the size and orientation of most samples.
        frames: (n,) int64, 0-based index of every sampled frame, with or without a face.
        times: (n,) float64, presentation time of each of them in seconds.
        sizes: (n, 2) int32, width and height of each of them as shown.
        tracks: The faces over time, ids from 0 in order of appearance.
        notes: Problems that did not end the scan, as sentences.
        crops: (m, 48, 48) uint8, the crops of all tracks, one track after another.
        seconds: Processing time.
        cuts: See TrackedFaces.
        doubts: See TrackedFaces.
    """

    video_id: str
    info: VideoInfo
    frames: npt.NDArray[np.int64]
    times: DoubleArray
    sizes: npt.NDArray[np.int32]
    tracks: list[Track]
    notes: list[str]
    crops: CropFile
    seconds: float
    cuts: list[float]
    doubts: list[Doubt] = field(default_factory=list)

    def discard(self) -> None:
        """Delete the files of crops and meshes, which are not needed once the video is finished."""
        for path in (self.crops.path, meshes_path(self.crops.path)):
            path.unlink(missing_ok=True)


def meshes_path(crops: Path) -> Path:
    """Name the file that holds the meshes of a video.

    Args:
        crops: The file that holds its crops.

    Returns:
        A path beside it.
    """
    return crops.with_name(f"{crops.name}.meshes")
