"""One video → its tracks and crops: the whole job of a worker process. Never loads TensorFlow."""

from __future__ import annotations

import hashlib
import stat
import time as clock
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from fervid.config import ScanSettings
from fervid.crop import CropGeometry, crop_face, face_quality, normalize
from fervid.detect import FaceDetector, create_detector
from fervid.errors import UnreadableVideo
from fervid.opencv import cv2
from fervid.track import CutDetector, FaceTracker
from fervid.types import ByteArray, DoubleArray, Face, FloatArray, Frame, Track, VideoInfo
from fervid.video import VideoReader

_APPEARANCE_SIDE = 16


@dataclass(frozen=True, eq=False)
class Scan:
    """What a video shows, before any emotion is judged.

    ``frames`` (n,) int64 and ``times`` (n,) float64 seconds: every sampled frame, with or without a face.
    ``tracks``: faces, ids from 0 in order of appearance. ``notes``: what went wrong without ending the
    scan, in words.
    """

    video_id: str
    info: VideoInfo
    frames: npt.NDArray[np.int64]
    times: DoubleArray
    tracks: list[Track]
    notes: list[str]
    seconds: float


def fingerprint(path: Path) -> str:
    """32 hex digits of the SHA-256 of a file's content. Raises UnreadableVideo."""
    digest = hashlib.sha256()
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise UnreadableVideo("a folder that cannot be listed")
        if not stat.S_ISREG(mode):
            raise UnreadableVideo("not a regular file")  # a named pipe would never end
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    except OSError as error:
        raise UnreadableVideo(error.strerror or str(error)) from error
    return digest.hexdigest()[:32]


def scan(path: Path, settings: ScanSettings, geometry: CropGeometry) -> Scan:
    """Decode, sample, detect, track and crop one video; raises UnreadableVideo."""
    started = clock.monotonic()
    video_id = fingerprint(path)
    cv2.setNumThreads(1)
    with VideoReader(path, settings.fps, settings.start, settings.end, threads=1) as reader:
        samples = _Samples(settings, geometry, _detector(settings))
        for frame in _shots(reader, samples):
            samples.add(frame)
        notes = _notes(reader)
        info = reader.info
    if not samples.times:
        where = "in the chosen span" if settings.start or settings.end is not None else "in the file"
        raise UnreadableVideo(f"no frame can be decoded {where}")
    tracks = samples.tracks()
    frames = np.array(samples.frames, np.int64)
    return Scan(video_id, info, frames, np.array(samples.times), tracks, notes, clock.monotonic() - started)


@lru_cache(maxsize=1)
def _detector(settings: ScanSettings) -> FaceDetector:
    return create_detector(settings)


def _shots(reader: VideoReader, samples: _Samples) -> Iterator[Frame]:
    """The sampled frames; tells ``samples`` where a cut lies between two of them."""
    cuts = CutDetector()
    for frame in reader.frames():
        if cuts.update(frame.time, frame.thumbnail):
            samples.cut()
        if frame.sampled:
            yield frame


def _notes(reader: VideoReader) -> list[str]:
    notes = []
    if reader.truncated:
        notes.append("the file ends early; what could be decoded is kept")
    if reader.corrupt:
        notes.append(f"{reader.corrupt} damaged packets or frames skipped")
    if reader.repaired:
        notes.append(f"{reader.repaired} missing or backward frame times repaired")
    return notes


class _Samples:
    """The sampled frames seen so far, with their faces."""

    def __init__(self, settings: ScanSettings, geometry: CropGeometry, detector: FaceDetector) -> None:
        self._settings, self._geometry, self._detector = settings, geometry, detector
        self._tracker = FaceTracker(settings.max_gap, settings.min_track)
        self.frames: list[int] = []
        self.times: list[float] = []
        self._faces: list[list[Face]] = []
        self._crops: list[list[ByteArray]] = []
        self._qualities: list[list[float]] = []

    def cut(self) -> None:
        self._tracker.cut()

    def add(self, frame: Frame) -> None:
        image = frame.bgr
        height, width = image.shape[:2]
        found = self._detector.detect(image)
        faces = [face for face in found if min(face.width, face.height) >= self._settings.min_face]
        gray = np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), np.uint8) if faces else np.zeros((1, 1), np.uint8)
        crops = [crop_face(gray, face, self._geometry) for face in faces]
        self._tracker.update(frame.time, faces, [_appearance(crop) for crop in crops])
        self.frames.append(frame.index)
        self.times.append(frame.time)
        self._faces.append(faces)
        self._crops.append(crops)
        self._qualities.append([face_quality(f, c, width, height) for f, c in zip(faces, crops, strict=True)])

    def tracks(self) -> list[Track]:
        """The tracks with enough evidence, ids from 0 in order of appearance."""
        return [self._track(face_id, samples) for face_id, samples in enumerate(self._tracker.finish())]

    def _track(self, face_id: int, samples: list[tuple[int, int]]) -> Track:
        faces = [self._faces[sample][position] for sample, position in samples]
        return Track(
            face_id,
            np.array([self.frames[sample] for sample, _ in samples], np.int64),
            np.array([self.times[sample] for sample, _ in samples]),
            np.array([face.box for face in faces], np.float32),
            np.array([face.score for face in faces], np.float32),
            np.array([self._qualities[sample][position] for sample, position in samples], np.float32),
            np.stack([self._crops[sample][position] for sample, position in samples]),
        )


def _appearance(crop: ByteArray) -> FloatArray:
    """A unit vector (256,) that changes little between two looks at one face: the crop, small and normalised."""
    small = cv2.resize(crop, (_APPEARANCE_SIDE, _APPEARANCE_SIDE), interpolation=cv2.INTER_AREA)
    values = normalize(np.asarray(small, np.uint8)[None]).ravel()
    return np.asarray(values / max(float(np.linalg.norm(values)), 1e-6), np.float32)
