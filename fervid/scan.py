"""One video → its tracks and crops: the whole job of a worker process. Never loads TensorFlow."""

from __future__ import annotations

import time as clock
from array import array
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from fervid.appearance import appearance
from fervid.config import ScanSettings
from fervid.crop import SIZE, CropGeometry, crop_face, face_quality
from fervid.cuts import CutDetector
from fervid.detect import FaceDetector, create_detector
from fervid.errors import BadWeights, UnreadableVideo
from fervid.opencv import cv2
from fervid.persons import EVERY, MIN_QUALITY, MIN_SIDE, FaceEmbedder, join_tracks, load_embedder
from fervid.spool import RowSpool, SpooledCrops, arrange
from fervid.track import FaceTracker
from fervid.types import ByteArray, DoubleArray, Face, FloatArray, Frame, Track, VideoInfo
from fervid.video import VideoReader


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


def scan(path: Path, video_id: str, settings: ScanSettings, geometry: CropGeometry, spool: Path) -> Scan:
    """Decode, sample, detect, track and crop one video, of fingerprint ``video_id``.

    The crops go to the file ``spool``. Raises UnreadableVideo, and OutputError where the disk is full.
    """
    started = clock.monotonic()
    cv2.setNumThreads(1)
    with VideoReader(path, settings.fps, settings.start, settings.end, threads=1) as reader:
        embedder, refused = _embedder()
        frames, times, tracks = follow(reader.frames(), settings, geometry, _detector(settings), spool, embedder)
        notes = [*_notes(reader), *refused]
        info = reader.info
    if not len(times):
        where = "in the chosen span" if settings.start or settings.end is not None else "in the file"
        raise UnreadableVideo(f"no frame can be decoded {where}")
    crops = SpooledCrops(spool, 0, sum(len(track.times) for track in tracks), SIZE)
    return Scan(video_id, info, frames, times, tracks, notes, crops, clock.monotonic() - started)


def follow(
    frames: Iterable[Frame],
    settings: ScanSettings,
    geometry: CropGeometry,
    detector: FaceDetector,
    spool: Path | None = None,
    embedder: FaceEmbedder | None = None,
) -> tuple[npt.NDArray[np.int64], DoubleArray, list[Track]]:
    """Detect and track in every sampled one of ``frames``, find cuts in all of them.

    Returns the indices (n,) and times (n,) in seconds of the sampled frames, and the tracks, ids from 0 in
    order of appearance. Their crops go to the file ``spool``, or stay in memory without one. Without an
    ``embedder`` no track is given a person.
    """
    samples, cuts = _Samples(settings, geometry, detector, spool, embedder), CutDetector()
    for frame in frames:
        cuts.update(frame.time, frame.thumbnail)
        if frame.sampled:
            samples.add(frame)
    tracks = samples.tracks(cuts.finish())
    return np.array(samples.frames, np.int64), np.array(samples.times), tracks


@lru_cache(maxsize=1)
def _detector(settings: ScanSettings) -> FaceDetector:
    return create_detector(settings)


@lru_cache(maxsize=1)
def _embedder() -> tuple[FaceEmbedder | None, list[str]]:
    """The embedder, where there is one, and a note where its weights are refused: faces can do without."""
    try:
        return load_embedder(), []
    except BadWeights as error:
        return None, [f"no person is told apart: {error}"]


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
    """The sampled frames seen so far, with their faces: numbers in flat arrays, crops and looks on disk."""

    def __init__(
        self,
        settings: ScanSettings,
        geometry: CropGeometry,
        detector: FaceDetector,
        spool: Path | None,
        embedder: FaceEmbedder | None,
    ) -> None:
        self._settings, self._geometry, self._detector, self._spool = settings, geometry, detector, spool
        folder = spool.parent if spool else None
        self._tracker = FaceTracker(settings.max_gap, settings.min_track, folder)
        self._crops = RowSpool(folder, (SIZE, SIZE), np.uint8)
        self._faces = array("f")
        """Box, score and quality of every face, one after another, in the order of the crops."""
        self._first = array("q")
        """Number of the first face of each sample."""
        self.frames = array("q")
        self.times = array("d")
        self._embedder, self._embedded = embedder, -np.inf
        self._embeddings: dict[int, FloatArray] = {}

    def add(self, frame: Frame) -> None:
        image = frame.bgr
        height, width = image.shape[:2]
        found = self._detector.detect(image)
        faces = [face for face in found if min(face.width, face.height) >= self._settings.min_face]
        gray = np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), np.uint8) if faces else np.zeros((1, 1), np.uint8)
        self._tracker.update(frame.time, faces, [appearance(image, gray, face) for face in faces])
        self.frames.append(frame.index)
        self.times.append(frame.time)
        self._first.append(len(self._crops))
        qualities = []
        for face in faces:
            crop = crop_face(gray, face, self._geometry)
            self._crops.add(crop)
            qualities.append(face_quality(face, crop, width, height))
            self._faces.extend((*face.box, face.score, qualities[-1]))
        if self._embedder is not None and frame.time - self._embedded >= EVERY - 1e-6:
            self._embed(image, faces, qualities, self._embedder)

    def _embed(self, image: ByteArray, faces: list[Face], qualities: list[float], embedder: FaceEmbedder) -> None:
        """Keep what the good faces of the newest sample say about who they are."""
        for number, (face, quality) in enumerate(zip(faces, qualities, strict=True), self._first[-1]):
            if quality >= MIN_QUALITY and min(face.width, face.height) >= MIN_SIDE:
                self._embeddings[number] = embedder.embed(image, face)
                self._embedded = self.times[-1]

    def tracks(self, cuts: list[float]) -> list[Track]:
        """The tracks with enough evidence, ids from 0 in order of appearance; none reaches over a cut."""
        found = self._tracker.finish(cuts)
        numbers = [[self._first[sample] + position for sample, position in samples] for samples in found]
        crops = arrange(self._crops, numbers, self._spool, SIZE)
        self._crops.close()
        faces = np.array(self._faces, np.float32).reshape(-1, 6)
        frames, times = np.array(self.frames, np.int64), np.array(self.times)
        tracks = []
        for face_id, samples in enumerate(found):
            at, rows = [sample for sample, _ in samples], faces[numbers[face_id]]
            seen = (rows[:, :4], rows[:, 4], rows[:, 5])
            tracks.append(Track(face_id, frames[at], times[at], *seen, crops[face_id]))
        known = [[self._embeddings[number] for number in one if number in self._embeddings] for one in numbers]
        vectors = [np.array(rows, np.float32) for rows in known]
        for track, person in zip(tracks, join_tracks(vectors, [track.frames for track in tracks]), strict=True):
            track.person = person
        return tracks
