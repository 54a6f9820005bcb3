"""One video → its tracks and crops: the whole job of a worker process. Never loads TensorFlow."""

from __future__ import annotations

import time as clock
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from fervid.errors import BadWeights, UnreadableVideo
from fervid.faces.crop import SIZE, CropGeometry
from fervid.faces.detectors import FaceDetector, create_detector
from fervid.faces.embedding import FaceEmbedder, load_embedder
from fervid.files.scratch import CropFile
from fervid.runtime.opencv import cv2
from fervid.scan.frame_analysis import FrameAnalyzer
from fervid.scan.track_assembly import TrackBuilder
from fervid.scan.types import Scan
from fervid.settings import ScanSettings
from fervid.types import DoubleArray, Frame, Track, VideoInfo
from fervid.video.reader import VideoReader


def scan_video(path: Path, video_id: str, settings: ScanSettings, geometry: CropGeometry, scratch: Path) -> Scan:
    """Decode, sample, detect, track and crop one video, of fingerprint ``video_id``.

    The crops go to the file ``scratch``. Raises UnreadableVideo, and OutputError where the disk is full.
    """
    started = clock.monotonic()
    cv2.setNumThreads(1)
    with VideoReader(
        path, fps=settings.fps, start=settings.start, end=settings.end, threads=1, decoder=settings.decoder
    ) as reader:
        embedder, refused = cached_embedder()
        found = track_faces(reader.frames(), settings, geometry, cached_detector(settings), scratch, embedder)
        notes = [*reader_notes(reader, settings), *refused]
        info = reader.info
    return scan_result(video_id, settings, info, found, notes, scratch, clock.monotonic() - started)


def scan_result(
    video_id: str,
    settings: ScanSettings,
    info: VideoInfo,
    found: tuple[npt.NDArray[np.int64], DoubleArray, list[Track]],
    notes: list[str],
    scratch: Path,
    seconds: float,
) -> Scan:
    """The Scan made of what was found; raises UnreadableVideo where no frame was decoded."""
    frames, times, tracks = found
    if not len(times):
        where = "in the chosen span" if settings.start or settings.end is not None else "in the file"
        raise UnreadableVideo(f"no frame can be decoded {where}")
    crops = CropFile(scratch, 0, sum(len(track.times) for track in tracks), SIZE)
    return Scan(video_id, info, frames, times, tracks, notes, crops, seconds)


def track_faces(
    frames: Iterable[Frame],
    settings: ScanSettings,
    geometry: CropGeometry,
    detector: FaceDetector,
    scratch: Path | None = None,
    embedder: FaceEmbedder | None = None,
) -> tuple[npt.NDArray[np.int64], DoubleArray, list[Track]]:
    """Detect and track in every sampled one of ``frames``, find cuts in all of them.

    Returns the indices (n,) and times (n,) in seconds of the sampled frames, and the tracks, ids from 0 in
    order of appearance. Their crops go to the file ``scratch``, or stay in memory without one. Without an
    ``embedder`` no track is given a person.
    """
    analyzer = FrameAnalyzer(settings, geometry, detector, embedder)
    builder = TrackBuilder(settings, scratch, embedder)
    for frame in frames:
        builder.add(analyzer.analyze_frame(frame))
    return builder.finish()


@lru_cache(maxsize=1)
def cached_detector(settings: ScanSettings) -> FaceDetector:
    """The detector of the settings, loaded once per process."""
    return create_detector(settings)


@lru_cache(maxsize=1)
def cached_embedder() -> tuple[FaceEmbedder | None, list[str]]:
    """The embedder, where there is one, and a note where its weights are refused: faces can do without."""
    try:
        return load_embedder(), []
    except BadWeights as error:
        return None, [f"no person is told apart: {error}"]


def reader_notes(reader: VideoReader, settings: ScanSettings) -> list[str]:
    """What went wrong while reading, in words."""
    notes = []
    if settings.decoder == "nvdec" and not reader.accelerated:
        notes.append("no NVIDIA decoder for this video; decoded on the CPU")
    if reader.truncated:
        notes.append("the file ends early; what could be decoded is kept")
    if reader.corrupt:
        notes.append(f"{reader.corrupt} damaged packets or frames skipped")
    if reader.repaired:
        notes.append(f"{reader.repaired} missing or backward frame times repaired")
    return notes
