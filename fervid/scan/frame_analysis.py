"""What the frames of a video show, one after another: faces, their looks, crops and embeddings.

A frame is judged by itself; what is not done for every sample is on a schedule of absolute time that begins
anew at each multiple of ``PERIOD``. So a film can be observed in spans that begin there, side by side.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from fervid.faces.appearance import appearance
from fervid.faces.boxes import FaceDetector, scaled, shrink
from fervid.faces.crop import CropGeometry, crop_face
from fervid.faces.embedding import SIDE as PORTRAIT_SIDE
from fervid.faces.embedding import FaceEmbedder, portrait
from fervid.faces.identity import EVERY, MIN_QUALITY, MIN_SIDE
from fervid.faces.quality import face_quality
from fervid.faces.retinaface import RetinaFace
from fervid.faces.roi_detector import AdaptiveDetector
from fervid.runtime.opencv import cv2
from fervid.settings import ScanSettings
from fervid.types import ByteArray, Face, FloatArray, Frame
from fervid.video.sampling import cell

LOOK_SIDE = 48
"""Shorter side in pixels from which a face shows how it looks."""
PERIOD = 3.0
"""Seconds after which every schedule here begins anew; a multiple of each of their own periods."""


@dataclass(frozen=True, eq=False)
class Sample:
    """The faces of the sampled frame ``index``; of each its look (d,) float32, its crop (48, 48) uint8, its quality
    in [0, 1]; ``portraits``: (112, 112, 3) uint8 by position, of some of them, for telling who they are."""

    index: int
    faces: list[Face] = field(default_factory=list)
    looks: list[FloatArray] = field(default_factory=list)
    crops: list[ByteArray] = field(default_factory=list)
    qualities: list[float] = field(default_factory=list)
    portraits: dict[int, ByteArray] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Observation:
    """One frame: ``time`` in seconds, ``thumbnail`` (h, w) uint8, and what it shows, None where it is not sampled."""

    time: float
    thumbnail: ByteArray
    sample: Sample | None


class Observer:
    """Looks at frames in order of time. Without an ``embedder`` no portraits are made."""

    def __init__(
        self,
        settings: ScanSettings,
        geometry: CropGeometry,
        detector: FaceDetector,
        embedder: FaceEmbedder | None = None,
    ) -> None:
        self._settings, self._geometry, self._detector, self._embedder = settings, geometry, detector, embedder
        self._adaptive: AdaptiveDetector | None = None
        if settings.adaptive and isinstance(detector, RetinaFace):
            self._adaptive = AdaptiveDetector(detector)
        self._portrayed: int | None = None

    def observe(self, frame: Frame) -> Observation:
        """What ``frame`` shows."""
        return Observation(frame.time, frame.thumbnail, self._sample(frame) if frame.sampled else None)

    def _sample(self, frame: Frame) -> Sample:
        image = frame.bgr
        height, width = image.shape[:2]
        small, factor = shrink(image, self._settings.long_side)
        if self._adaptive is None:
            found = self._detector.detect(image, (small, factor))
        else:
            found = [scaled(face, factor) for face in self._adaptive.detect(frame.time, small)]
        faces = [face for face in found if min(face.width, face.height) >= self._settings.min_face]
        if not faces:
            return Sample(frame.index)
        whole, reduced = _View(image, 1.0), _View(small, factor)
        looks = [appearance(*_nearest(whole, reduced, face, LOOK_SIDE).of(face)) for face in faces]
        crops = [crop_face(whole.gray, face, self._geometry) for face in faces]
        qualities = [face_quality(face, crop, width, height) for face, crop in zip(faces, crops, strict=True)]
        portraits = {}
        for position in self._portrayed_now(frame.time, faces, qualities):
            view = _nearest(whole, reduced, faces[position], PORTRAIT_SIDE)
            portraits[position] = portrait(view.image, scaled(faces[position], 1 / view.factor))
        return Sample(frame.index, faces, looks, crops, qualities, portraits)

    def _portrayed_now(self, time: float, faces: list[Face], qualities: list[float]) -> list[int]:
        """The positions of the good faces, in the first sample of each stretch of ``EVERY`` seconds that has any."""
        due = cell(time, EVERY)
        if self._embedder is None or due == self._portrayed:
            return []
        good = [
            position
            for position, (face, quality) in enumerate(zip(faces, qualities, strict=True))
            if quality >= MIN_QUALITY and min(face.width, face.height) >= MIN_SIDE
        ]
        if good:
            self._portrayed = due
        return good


@dataclass(frozen=True, eq=False)
class _View:
    """A picture (h, w, 3) uint8 blue-green-red, ``factor`` times smaller than the frame."""

    image: ByteArray
    factor: float

    @cached_property
    def gray(self) -> ByteArray:
        """The same without its colours, (h, w)."""
        return np.asarray(cv2.cvtColor(self.image, cv2.COLOR_BGR2GRAY), np.uint8)

    def of(self, face: Face) -> tuple[ByteArray, ByteArray, Face]:
        """Picture, gray picture and where the face lies in them."""
        return self.image, self.gray, scaled(face, 1 / self.factor)


def _nearest(whole: _View, reduced: _View, face: Face, side: int) -> _View:
    """The smaller picture, where a face of the frame is still as large there as is asked for."""
    return reduced if min(face.width, face.height) >= side * reduced.factor else whole
