"""Analysing single frames: detected faces, their appearance descriptors, crops and aligned faces.

The result for a frame does not depend on where reading started. Work that is not done for every sample follows a
schedule in presentation time that restarts at each multiple of SCHEDULE_PERIOD. So a video can be analysed in segments
that start at these times.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from fervid.faces.appearance import appearance
from fervid.faces.boxes import ScaledImage, iou, scale_face, shrink
from fervid.faces.crop import CropGeometry
from fervid.faces.detect_and_crop import FaceNetworks, find_faces
from fervid.faces.detectors import FaceDetector
from fervid.faces.embedding import ALIGNED_SIDE, FaceEmbedder, aligned_face
from fervid.faces.following import MIN_OVERLAP
from fervid.faces.identity import EMBEDDING_PERIOD, MIN_QUALITY, MIN_SIDE
from fervid.faces.measures import packed, values_of
from fervid.faces.retinaface import RetinaFace
from fervid.faces.roi_detector import RegionDetector, detect_around
from fervid.faces.roll import approximate_roll, roll_of
from fervid.faces.turned_faces import TurnedFaceDetector
from fervid.runtime.opencv import cv2
from fervid.scan.detection_grid import DetectionGrid, Look
from fervid.scan.turned_looks import TurnedLooks
from fervid.settings import ScanSettings
from fervid.types import ByteArray, Face, FloatArray, Frame, HalfArray, PictureShape
from fervid.video.sampling import period_index

DESCRIPTOR_MIN_SIDE = 48
"""Shorter side, in pixels, that a face should have in the image from which its appearance descriptor is taken."""

SCHEDULE_PERIOD = 3.0
"""Seconds after which every schedule restarts. A multiple of the period of each schedule."""


@dataclass(frozen=True, eq=False)
class FaceDetections:
    """The faces of one sampled frame.

    Attributes:
        index: 0-based index of the frame.
        faces: The detected faces, in pixels of the frame as shown.
        descriptors: For each face, its appearance descriptor, (d,) float32.
        crops: For each face, the classifier's input, (48, 48) uint8, gray.
        qualities: For each face, its quality, 0 to 1.
        rolls: For each face, its roll in degrees clockwise as far as it is known, otherwise NaN.
        measures: For each face, its measures, (8,) float32; see fervid.types.MEASURES.
        covered: For each face, how likely it is that something covers it, 0 to 1; 0 if it was not looked for.
        meshes: For each face, its mesh, (1407,) float16; see fervid.faces.measures.packed. Empty unless they are kept.
        aligned_faces: Position of a face → the face aligned for the embedder, (112, 112, 3) uint8, blue-green-red. Only
            for the faces that may be embedded.
    """

    index: int
    faces: list[Face] = field(default_factory=list)
    descriptors: list[FloatArray] = field(default_factory=list)
    crops: list[ByteArray] = field(default_factory=list)
    qualities: list[float] = field(default_factory=list)
    rolls: list[float] = field(default_factory=list)
    measures: list[FloatArray] = field(default_factory=list)
    covered: list[float] = field(default_factory=list)
    meshes: list[HalfArray] = field(default_factory=list)
    aligned_faces: dict[int, ByteArray] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class FrameResult:
    """The result for one frame.

    Attributes:
        time: Presentation time in seconds.
        thumbnail: Small gray image for finding cuts, (h, w) uint8.
        shape: Size and orientation of the frame.
        sample: The faces; None if the frame is not sampled.
        between: The faces of a frame that is not sampled, without crops, if it was looked at to follow faces that meet.
        skipped: Times in seconds of the frames directly before it that were not decoded.
        is_cut: Whether a shot certainly begins with the frame. False says nothing.
    """

    time: float
    thumbnail: ByteArray
    shape: PictureShape
    sample: FaceDetections | None
    between: FaceDetections | None = None
    skipped: tuple[float, ...] = ()
    is_cut: bool = False


class FrameAnalyzer:
    """Analyses the frames of one video, in order of time.

    Args:
        settings: How to detect.
        geometry: How the classifier wants faces cropped.
        detector: The face detector.
        embedder: The face embedder; None: no aligned faces are kept.
        networks: Measure the faces; None: they are not measured.
    """

    def __init__(
        self,
        settings: ScanSettings,
        geometry: CropGeometry,
        detector: FaceDetector,
        embedder: FaceEmbedder | None = None,
        networks: FaceNetworks | None = None,
    ) -> None:
        self._settings, self._geometry, self._detector, self._embedder = settings, geometry, detector, embedder
        self._networks = networks
        self._region_detector: RegionDetector | None = None
        if settings.adaptive and isinstance(detector, RetinaFace):
            self._region_detector = RegionDetector(detector)
        self._turned_looks = TurnedLooks(TurnedFaceDetector(detector, settings.score_threshold, settings.long_side))
        self._embedded_period: int | None = None
        self._grid: DetectionGrid | None = None
        if settings.follow_faces:
            self._grid = DetectionGrid(self._upright, settings.long_side, settings.score_threshold)
        self._look: Look | None = None
        """What is known of the faces of the frame that ``look_ahead`` has given out."""
        self._described: FaceDetections | None = None
        """The last sample whose faces were not followed."""

    def look_ahead(self, frames: Iterable[Frame]) -> Iterator[Frame]:
        """Decide for each frame whether its faces are detected. With ``follow_faces`` some frames are read ahead.

        Args:
            frames: The frames of the video in order.

        Yields:
            The same frames. ``analyze_frame`` must be called with each before the next one is asked for.
        """
        if self._grid is None:
            yield from frames
            return
        for look in self._grid.looks(frames):
            self._look = look
            yield look.frame

    def analyze_frame(self, frame: Frame) -> FrameResult:
        """Analyse the next frame.

        Args:
            frame: The frame.

        Returns:
            Its thumbnail, its shape and, if it is sampled, its faces.
        """
        look = self._look
        if look is None or look.frame is not frame:
            look = Look(frame, self._settings.long_side)
        sample = self._sample(look) if frame.sampled else None
        return FrameResult(
            frame.time, frame.thumbnail, frame.shape, sample, skipped=frame.skipped, is_cut=frame.after_seek
        )

    def _upright(self, look: Look) -> list[Face]:
        """The upright faces of a frame, in its pixels. The frames must come in order."""
        if self._region_detector is None:
            return self._detector.detect(look.frame.image, look.shrunk)
        small, factor = look.shrunk
        return [scale_face(face, factor) for face in self._region_detector.detect(look.frame.time, small)]

    def _sample(self, look: Look) -> FaceDetections:
        frame = look.frame

        def upright() -> list[Face]:
            if look.faces is not None:
                return look.faces
            if self._grid is not None:  # it has read ahead, which the detector of regions must not notice
                return self._detector.detect(frame.image, look.shrunk)
            return self._upright(look)

        def detect(_: ByteArray) -> list[Face]:
            return self._turned_looks.faces(frame, lambda: look.shrunk, upright)

        how = self._geometry, self._settings.min_face, self._networks, self._settings.mesh
        found = find_faces(frame.image, detect, *how)
        full, reduced = _View(lambda: (frame.image, 1.0), found.gray), _View(lambda: look.shrunk)
        descriptors = self._known_descriptors(found.faces) or _descriptors(full, reduced, found.faces)
        aligned_faces = {}
        for position in self._faces_to_embed(frame.time, found.faces, found.qualities):
            face = found.faces[position]
            image, factor = _nearest(full, reduced, face, ALIGNED_SIDE).scaled
            aligned_faces[position] = aligned_face(image, scale_face(face, 1 / factor))
        rolls = list(map(_known_roll, found.faces))
        measures = [values_of(one) for one in found.measures] or [values_of(None)] * len(found.faces)
        kept = zip(found.meshes, found.measures, strict=True) if self._settings.mesh else ()
        meshes = [packed(mesh, one) for mesh, one in kept]
        result = FaceDetections(
            frame.index,
            found.faces,
            descriptors,
            found.crops,
            found.qualities,
            rolls,
            measures,
            found.covered or [0.0] * len(found.faces),
            meshes,
            aligned_faces,
        )
        if not look.followed:
            self._described = result
        return result

    def _known_descriptors(self, faces: list[Face]) -> list[FloatArray]:
        """The descriptors of the last detection, if all faces were followed from there; otherwise none."""
        known = self._described
        if known is None or not known.faces or not faces or not all(face.followed for face in faces):
            return []
        overlaps = iou([face.box for face in faces], [face.box for face in known.faces])
        if overlaps.max(axis=1).min() < MIN_OVERLAP:
            return []
        return [known.descriptors[place] for place in overlaps.argmax(axis=1).tolist()]

    def look_between(self, frame: Frame, meeting: Sequence[Face]) -> FaceDetections:
        """Find the faces of a frame between two samples, where some faces meet. This changes nothing for the samples.

        Args:
            frame: The frame.
            meeting: These faces of the two samples, in pixels of the frame.

        Returns:
            The upright faces with their descriptors, without crops. Faces elsewhere may be missing.
        """
        small, factor = shrink(frame.image, self._settings.long_side)

        def detect(part: ByteArray) -> list[Face]:
            return self._detector.detect(part, (part, 1.0))

        around = [scale_face(face, 1 / factor) for face in meeting]
        found = [scale_face(face, factor) for face in detect_around(detect, small, around)]
        faces = [face for face in found if min(face.width, face.height) >= self._settings.min_face]
        full, reduced = _View(lambda: (frame.image, 1.0)), _View(lambda: (small, factor))
        return FaceDetections(frame.index, faces, _descriptors(full, reduced, faces))

    def _faces_to_embed(self, time: float, faces: list[Face], qualities: list[float]) -> list[int]:
        """Positions of the good faces, in the first sample of each EMBEDDING_PERIOD that has any."""
        period = period_index(time, EMBEDDING_PERIOD)
        if self._embedder is None or period == self._embedded_period:
            return []
        good = [
            position
            for position, (face, quality) in enumerate(zip(faces, qualities, strict=True))
            if quality >= MIN_QUALITY and min(face.width, face.height) >= MIN_SIDE
        ]
        if good:
            self._embedded_period = period
        return good


def _known_roll(face: Face) -> float:
    exact, rough = roll_of(face), approximate_roll(face)
    return exact if exact is not None else np.nan if rough is None else rough


class _View:
    """A copy of the frame, (h, w, 3) uint8 blue-green-red, that is smaller by a factor. It is made on first use."""

    def __init__(self, make: Callable[[], ScaledImage], gray: ByteArray | None = None) -> None:
        self._make, self._known_gray = make, gray

    @cached_property
    def scaled(self) -> ScaledImage:
        """The image, and the factor from its pixels to those of the frame."""
        return self._make()

    @cached_property
    def gray(self) -> ByteArray:
        """The image in gray, (h, w) uint8."""
        if self._known_gray is not None:
            return self._known_gray
        return np.asarray(cv2.cvtColor(self.scaled[0], cv2.COLOR_BGR2GRAY), np.uint8)

    def of(self, face: Face) -> tuple[ByteArray, ByteArray, Face]:
        """The image, the gray image, and the face in their pixels."""
        image, factor = self.scaled
        return image, self.gray, scale_face(face, 1 / factor)


def _descriptors(full: _View, reduced: _View, faces: list[Face]) -> list[FloatArray]:
    """The appearance descriptors of faces."""
    return [appearance(*_nearest(full, reduced, face, DESCRIPTOR_MIN_SIDE).of(face)) for face in faces]


def _nearest(full: _View, reduced: _View, face: Face, side: int) -> _View:
    """The reduced copy if the face has at least ``side`` pixels there, otherwise the full one."""
    return reduced if min(face.width, face.height) >= side * reduced.scaled[1] else full
