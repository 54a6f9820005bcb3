"""What the frames of a video show, one after another: faces, their looks, crops and embeddings.

A frame is judged by itself; what is not done for every sample is on a schedule of absolute time that begins
anew at each multiple of ``PERIOD``. So a film can be observed in spans that begin there, side by side.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from fervid.faces.appearance import appearance
from fervid.faces.boxes import scale_face, shrink
from fervid.faces.crop import CropGeometry
from fervid.faces.detectors import FaceDetector
from fervid.faces.embedding import ALIGNED_SIDE as ALIGNED_SIDE
from fervid.faces.embedding import FaceEmbedder, aligned_face
from fervid.faces.find import find_faces
from fervid.faces.identity import EMBEDDING_PERIOD, MIN_QUALITY, MIN_SIDE
from fervid.faces.retinaface import RetinaFace
from fervid.faces.roi_detector import RegionDetector
from fervid.runtime.opencv import cv2
from fervid.settings import ScanSettings
from fervid.types import ByteArray, Face, FloatArray, Frame
from fervid.video.sampling import period_index

DESCRIPTOR_MIN_SIDE = 48
"""Shorter side in pixels from which a face shows how it looks."""
SCHEDULE_PERIOD = 3.0
"""Seconds after which every schedule here begins anew; a multiple of each of their own periods."""


@dataclass(frozen=True, eq=False)
class FaceDetections:
    """The faces of the sampled frame ``index``; of each its look (d,) float32, its crop (48, 48) uint8, its quality
    in [0, 1]; ``aligned_faces``: (112, 112, 3) uint8 by position, of some of them, for telling who they are."""

    index: int
    faces: list[Face] = field(default_factory=list)
    descriptors: list[FloatArray] = field(default_factory=list)
    crops: list[ByteArray] = field(default_factory=list)
    qualities: list[float] = field(default_factory=list)
    aligned_faces: dict[int, ByteArray] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class FrameResult:
    """One frame: ``time`` in seconds, ``thumbnail`` (h, w) uint8, and what it shows, None where it is not sampled."""

    time: float
    thumbnail: ByteArray
    sample: FaceDetections | None


class FrameAnalyzer:
    """Looks at frames in order of time. Without an ``embedder`` no portraits are made."""

    def __init__(
        self,
        settings: ScanSettings,
        geometry: CropGeometry,
        detector: FaceDetector,
        embedder: FaceEmbedder | None = None,
    ) -> None:
        self._settings, self._geometry, self._detector, self._embedder = settings, geometry, detector, embedder
        self._region_detector: RegionDetector | None = None
        if settings.adaptive and isinstance(detector, RetinaFace):
            self._region_detector = RegionDetector(detector)
        self._aligned_number: int | None = None

    def analyze_frame(self, frame: Frame) -> FrameResult:
        """What ``frame`` shows."""
        return FrameResult(frame.time, frame.thumbnail, self._sample(frame) if frame.sampled else None)

    def _sample(self, frame: Frame) -> FaceDetections:
        small, factor = shrink(frame.image, self._settings.long_side)

        def detect(image: ByteArray) -> list[Face]:
            if self._region_detector is None:
                return self._detector.detect(image, (small, factor))
            return [scale_face(face, factor) for face in self._region_detector.detect(frame.time, small)]

        found = find_faces(frame.image, detect, self._geometry, self._settings.min_face)
        whole, reduced = _View(frame.image, 1.0, found.gray), _View(small, factor)
        descriptors = [
            appearance(*_nearest(whole, reduced, face, DESCRIPTOR_MIN_SIDE).of(face)) for face in found.faces
        ]
        aligned_faces = {}
        for position in self._faces_to_embed(frame.time, found.faces, found.qualities):
            face = found.faces[position]
            view = _nearest(whole, reduced, face, ALIGNED_SIDE)
            aligned_faces[position] = aligned_face(view.image, scale_face(face, 1 / view.factor))
        return FaceDetections(frame.index, found.faces, descriptors, found.crops, found.qualities, aligned_faces)

    def _faces_to_embed(self, time: float, faces: list[Face], qualities: list[float]) -> list[int]:
        """The positions of the good faces, in the first sample of each stretch of ``EVERY`` seconds that has any."""
        due = period_index(time, EMBEDDING_PERIOD)
        if self._embedder is None or due == self._aligned_number:
            return []
        good = [
            position
            for position, (face, quality) in enumerate(zip(faces, qualities, strict=True))
            if quality >= MIN_QUALITY and min(face.width, face.height) >= MIN_SIDE
        ]
        if good:
            self._aligned_number = due
        return good


@dataclass(frozen=True, eq=False)
class _View:
    """The frame, ``factor`` times smaller: (h, w, 3) uint8 blue-green-red. ``known_gray``: the same in gray."""

    image: ByteArray
    factor: float
    known_gray: ByteArray | None = None

    @cached_property
    def gray(self) -> ByteArray:
        """The image in gray, (h, w) uint8."""
        if self.known_gray is not None:
            return self.known_gray
        return np.asarray(cv2.cvtColor(self.image, cv2.COLOR_BGR2GRAY), np.uint8)

    def of(self, face: Face) -> tuple[ByteArray, ByteArray, Face]:
        """The image, the gray image, and the face in their pixels."""
        return self.image, self.gray, scale_face(face, 1 / self.factor)


def _nearest(whole: _View, reduced: _View, face: Face, side: int) -> _View:
    """The smaller picture, where a face of the frame is still as large there as is asked for."""
    return reduced if min(face.width, face.height) >= side * reduced.factor else whole
