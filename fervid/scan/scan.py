"""Scanning one video: decode, sample, detect, track and crop. Nothing here loads TensorFlow."""

from __future__ import annotations

import time as clock
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from fervid.errors import BadWeights, UnreadableVideo
from fervid.faces.crop import SIZE, CropGeometry
from fervid.faces.detect_and_crop import FaceNetworks
from fervid.faces.detectors import FaceDetector, create_detector
from fervid.faces.embedding import FaceEmbedder
from fervid.files.scratch import CropFile
from fervid.runtime.opencv import cv2
from fervid.scan.between_samples import analyze_frames
from fervid.scan.frame_analysis import FrameAnalyzer
from fervid.scan.picture_changes import picture_notes, with_usual_picture
from fervid.scan.track_assembly import TrackBuilder
from fervid.scan.types import Scan, TrackedFaces
from fervid.settings import ScanSettings
from fervid.types import Frame, Track, VideoInfo
from fervid.video.needed_packets import SkippingFailed
from fervid.video.reader import SkippingReader, VideoReader
from fervid.video.sampling import SeekPoint
from fervid.video.seeking_reader import SeekingReader, seek_plan

SKIPS_FRAMES = True
"""Whether scans decode only the frames that they need. The results are the same (docs/benchmarks.md, "Shots")."""

MAX_JUMPS = 3
"""So many jumps of the clock are named in the manifest."""


def scan_video(path: Path, video_id: str, settings: ScanSettings, geometry: CropGeometry, scratch: Path) -> Scan:
    """Decode, sample, detect, track and crop one video.

    Args:
        path: The file.
        video_id: Its fingerprint.
        settings: What to sample and how to detect.
        geometry: How the classifier wants faces cropped.
        scratch: File to write the crops to.

    Returns:
        The scan.

    Raises:
        UnreadableVideo: The file cannot be decoded, or no frame lies between `start` and `end`.
        OutputError: ``scratch`` cannot be written.
    """
    started = clock.monotonic()
    cv2.setNumThreads(1)
    embedder, refused = cached_embedder()
    for skip in (True, False):
        try:
            with open_reader(path, settings, skip) as reader:
                tracked = track_faces(reader, settings, geometry, cached_detector(settings), scratch, embedder)
                notes = [*reader_notes(reader, settings), *refused]
                info = replace(reader.info, duration=reader.duration)
            break
        except SkippingFailed:  # never without ``skip``
            continue
    return scan_result(video_id, settings, info, tracked, notes, scratch, clock.monotonic() - started)


def open_reader(
    path: Path,
    settings: ScanSettings,
    skip: bool,
    seek_point: SeekPoint | None = None,
    stop: float | None = None,
) -> VideoReader:
    """Open a video as the settings of a scan say.

    Args:
        path: The file.
        settings: The settings of the scan.
        skip: Whether frames that are not needed may be left out.
        seek_point: Where reading begins; None: at the start.
        stop: Time in seconds at which the next segment of the video begins; None: there is none.

    Returns:
        The reader.

    Raises:
        UnreadableVideo: The file cannot be decoded.
        SkippingFailed: It must be opened again without ``skip``.
    """
    how: dict[str, Any] = {
        "fps": settings.fps, "start": settings.start, "end": settings.end, "threads": 1,
        "options": settings.open_options,
    }  # fmt: skip
    if skip and settings.seek_samples and seek_point is None and (plan := seek_plan(path, settings)):
        return SeekingReader(path, plan, **how)
    if skip and SKIPS_FRAMES:
        return SkippingReader(path, stop=stop, seek_point=seek_point, **how)
    return VideoReader(path, seek_point=seek_point, **how)


def scan_result(
    video_id: str,
    settings: ScanSettings,
    info: VideoInfo,
    tracked: TrackedFaces,
    notes: list[str],
    scratch: Path,
    seconds: float,
) -> Scan:
    """Build the Scan of a video.

    Args:
        video_id: Fingerprint of the file.
        settings: The settings of the scan.
        info: What the container says.
        tracked: The sampled frames and the faces in them.
        notes: Problems that did not end the scan, but for changes of the picture's size.
        scratch: The file with the crops of all tracks.
        seconds: Processing time.

    Returns:
        The scan.

    Raises:
        UnreadableVideo: No frame was sampled.
    """
    frames, times, tracks = tracked.frames, tracked.times, tracked.tracks
    if not len(times):
        where = "between `start` and `end`" if settings.start or settings.end is not None else "in the file"
        raise UnreadableVideo(f"no frame can be decoded {where}")
    crops = CropFile(scratch, 0, sum(len(track.times) for track in tracks), SIZE)
    info, hints = with_usual_picture(info, tracked.runs), rotation_hint(tracks, settings.rotate)
    notes = [*notes, *picture_notes(tracked.runs), *hints]
    return Scan(
        video_id, info, frames, times, tracked.sizes, tracks, notes, crops, seconds, tracked.cuts, tracked.doubts
    )


def rotation_hint(tracks: Sequence[Track], rotate: int) -> list[str]:
    """Find out whether most faces of a video lie on one side or upside down.

    Args:
        tracks: The faces of the video.
        rotate: The setting ``rotate`` of the scan.

    Returns:
        A sentence that says which angle would show more than half of the faces upright, or nothing.
    """
    rolls = np.concatenate([np.zeros(0, np.float32), *(track.rolls for track in tracks if track.rolls is not None)])
    quarters = np.round(np.nan_to_num(rolls) / 90).astype(int) % 4
    for quarter in (1, 2, 3):
        if 2 * (quarters == quarter).sum() > len(quarters):
            right = (rotate - 90 * quarter) % 360
            how = f"with --rotate {right}" if right else "without --rotate"
            return [f"most faces {'are upside down' if quarter == 2 else 'lie on their side'}; analyse again {how}"]
    return []


def track_faces(
    frames: Iterable[Frame] | VideoReader,
    settings: ScanSettings,
    geometry: CropGeometry,
    detector: FaceDetector,
    scratch: Path | None = None,
    embedder: FaceEmbedder | None = None,
) -> TrackedFaces:
    """Detect and track faces in the sampled frames, and find cuts in all frames.

    Args:
        frames: All frames of a video in order, or its reader, which may leave out some.
        settings: How to detect and track.
        geometry: How the classifier wants faces cropped.
        detector: The face detector.
        scratch: File to write the crops to; None keeps them in memory.
        embedder: The face embedder; None: tracks are not assigned to persons.

    Returns:
        The sampled frames and the tracks.

    Raises:
        UnreadableVideo: ``frames`` cannot be decoded.
        SkippingFailed: The video must be read again with every frame decoded.
        OutputError: ``scratch`` cannot be written.
    """
    analyzer = FrameAnalyzer(settings, geometry, detector, embedder, cached_networks(settings.measures))
    builder = TrackBuilder(settings, scratch, embedder)
    reader = frames if isinstance(frames, VideoReader) else None
    given = frames.frames() if isinstance(frames, VideoReader) else frames
    try:
        for result in analyze_frames(analyzer.look_ahead(given), analyzer, reader):
            builder.add(result)
    except BaseException:
        builder.discard()
        raise
    return builder.finish()


@lru_cache(maxsize=1)
def cached_detector(settings: ScanSettings) -> FaceDetector:
    """Load the detector that the settings choose, once per process.

    Args:
        settings: The settings of the scan.

    Returns:
        The detector.

    Raises:
        MissingLibrary: The package that carries the detector's weights is not installed.
        BadWeights: The weights cannot be used.
    """
    return create_detector(settings)


@lru_cache(maxsize=1)
def cached_networks(measures: bool) -> FaceNetworks | None:
    """Load the networks that measure faces, once per process.

    Args:
        measures: The setting of that name.

    Returns:
        The networks; None if faces are not measured.

    Raises:
        BadWeights: Their weights cannot be used.
    """
    return FaceNetworks() if measures else None


@lru_cache(maxsize=1)
def cached_embedder() -> tuple[FaceEmbedder | None, list[str]]:
    """Load the face embedder, once per process. A scan can do without it.

    Returns:
        The embedder, or None and a note if its weights cannot be used.
    """
    try:
        return FaceEmbedder(), []
    except BadWeights as error:
        return None, [f"person identities not computed: {error}"]


def reader_notes(reader: VideoReader, settings: ScanSettings) -> list[str]:
    """Describe problems of reading that did not end the scan.

    Args:
        reader: The reader, after its last frame.
        settings: The settings of the scan.

    Returns:
        Sentences for the manifest.
    """
    notes = [reader.stream_note] if reader.stream_note else []
    if isinstance(reader, SeekingReader):
        notes.append(
            f"{reader.plan.decoded} of {reader.plan.count} frames decoded; cuts between samples are not known, so "
            "each sample after others that were left out begins a shot"
        )
    if settings.decoder == "nvdec" and not reader.accelerated:
        notes.append("no NVIDIA decoder for this video; decoded on the CPU")
    if reader.truncated:
        notes.append("the file ends early; what could be decoded is kept")
    if reader.corrupt:
        notes.append(f"{reader.corrupt} damaged packets or frames skipped")
    if reader.repaired:
        notes.append(f"{reader.repaired} missing, doubled, far-off or backward frame times repaired")
    notes += [str(jump) for jump in reader.jumps[:MAX_JUMPS]]
    if len(reader.jumps) > MAX_JUMPS:
        notes.append(f"{len(reader.jumps) - MAX_JUMPS} more jumps of the clock")
    return notes
