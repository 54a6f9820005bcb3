"""RetinaFace (Deng et al., 2020) with a MobileNet-0.25 backbone."""

from __future__ import annotations

import math
from functools import cached_property, lru_cache
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from fervid.faces.array_checks import check_image
from fervid.faces.boxes import ScaledImage, select_boxes, shrink
from fervid.faces.retinaface_gate import GATE_SCORE, SURE_SCORE, windows
from fervid.runtime.onnx_editing import with_outputs
from fervid.runtime.onnx_session import open_session
from fervid.runtime.opencv import cv2
from fervid.runtime.weights import ShippedFile
from fervid.types import ByteArray, Face, FloatArray

WEIGHTS = ShippedFile("retinaface.onnx", "b7a7acab55e104dce6f32cdfff929bd83946da5cd869b9e2e9bdffafd1b7e4a5")

BRANCH_INPUT = "/fpn/Add_1_output_0"
"""The tensor (1, 64, h / 8, w / 8) that is the input of the branch for small faces."""

SmallFaces = Literal["all", "gated", "none"]
"""How much of the branch for small faces is computed: all, the parts where the gate fires, or nothing."""

Outputs = tuple[FloatArray, FloatArray, FloatArray, FloatArray]
"""Offsets (n, 4), scores (n,), landmarks (n, 10) and anchors (n, 4)."""


class RetinaFace:
    """RetinaFace with a MobileNet-0.25 backbone and five landmarks. See FaceDetector.

    Attributes:
        score_threshold: Lowest score of a face.
        long_side: Images are shrunk to this long side, in pixels.
    """

    name = "retinaface"
    sha256 = WEIGHTS.sha256
    _strides = (8, 16, 32)
    _sizes = ((16, 32), (64, 128), (256, 512))
    _mean = (104.0, 117.0, 127.0)
    _heads = ("bbox_head", "class_head", "landmark_head")
    _coarse = tuple(f"/{head}/Reshape_{stride}_output_0" for head in _heads for stride in (1, 2))
    """Output tensors of each head at strides 16 and 32."""
    _fine = tuple(f"/{head}/Reshape_output_0" for head in _heads)
    """Output tensors of each head at stride 8, the branch for small faces."""

    def __init__(
        self, score_threshold: float = 0.65, long_side: int = 640, weights: str | None = None, gate: bool = True
    ) -> None:
        """Read the weights. Each part of the network is loaded when it is first needed.

        Args:
            score_threshold: See above.
            long_side: See above.
            weights: Path of the weights; None takes the shipped ones.
            gate: Whether the branch for small faces is computed only where the gate fires.

        Raises:
            BadWeights: The file is damaged or another one.
        """
        self._model = WEIGHTS.read(weights)
        self._gate = gate
        self.score_threshold, self.long_side = score_threshold, long_side

    def detect(self, image: ByteArray, shrunk: ScaledImage | None = None) -> list[Face]:
        """See FaceDetector.detect."""
        check_image(image)
        small, factor = shrunk or shrink(image, self.long_side)
        small_faces: SmallFaces = "gated" if self.score_threshold >= GATE_SCORE else "all"
        return self.detect_unscaled(small, self.score_threshold, factor, small_faces)

    def detect_unscaled(
        self, image: ByteArray, threshold: float, factor: float = 1.0, small_faces: SmallFaces = "all"
    ) -> list[Face]:
        """Find the faces of an image without shrinking it first.

        Args:
            image: (h, w, 3) uint8, blue-green-red.
            threshold: Lowest score of a face.
            factor: Factor from pixels of the image to those of the result.
            small_faces: How much of the branch for small faces is computed. It is two fifths of the network's work.
                Faces above about 60 pixels (geometric mean of the box's sides) do not depend on it. Without the gate,
                "gated" is "all".

        Returns:
            The faces, best score first.
        """
        height, width = image.shape[:2]
        pixels = self._pixels(image)
        if small_faces == "all" or (small_faces == "gated" and not self._gate):
            offsets, probabilities, points = (output[0] for output in self._session.run(None, {"input": pixels}))
            outputs = offsets, probabilities[:, 1], points, _anchors(height, width, self._strides, self._sizes)
        else:
            outputs = self._run_branches(pixels, height, width, small_faces == "gated")
        keep = np.flatnonzero(outputs[1] >= threshold)
        return _decode(outputs, keep, factor)

    def _run_branches(self, pixels: FloatArray, height: int, width: int, gated: bool) -> Outputs:
        """The outputs of strides 16 and 32. With ``gated`` also those of stride 8 where the gate fires."""
        found = (self._gated_session if gated else self._coarse_session).run(None, {"input": pixels})
        parts = [[output[0] for output in found[stride : stride + 5 : 2]] for stride in (0, 1)]
        offsets, logits, points = (np.concatenate(outputs) for outputs in zip(*parts, strict=True))
        coarse = offsets, _scores(logits), points, _anchors(height, width, self._strides[1:], self._sizes[1:])
        return self._with_small_faces(coarse, found[-1], height, width) if gated else coarse

    def _with_small_faces(self, coarse: Outputs, merged: FloatArray, height: int, width: int) -> Outputs:
        """The outputs of strides 16 and 32, and those of stride 8 where the gate fires. ``merged``: (1, 64, h, w)."""
        sure = np.flatnonzero(coarse[1] >= SURE_SCORE)
        large = _decode(coarse, sure) if len(sure) else []
        fine = _anchors(height, width, self._strides[:1], self._sizes[:1]).reshape(*merged.shape[2:], 2, 4)
        parts = [coarse]
        for (top, bottom), (left, right), rows, columns in windows(merged[0], large):
            part = np.ascontiguousarray(merged[:, :, top:bottom, left:right])
            inside = slice(rows[0] - top, rows[1] - top), slice(columns[0] - left, columns[1] - left)
            shape = bottom - top, right - left, 2, -1
            outputs = self._fine_session.run(None, {BRANCH_INPUT: part})
            cells = [output.reshape(shape)[inside] for output in outputs]
            offsets, logits, points = (values.reshape(-1, values.shape[-1]) for values in cells)
            parts.append((offsets, _scores(logits), points, fine[slice(*rows), slice(*columns)].reshape(-1, 4)))
        offsets, scores, points, anchors = (np.concatenate(values) for values in zip(*parts, strict=True))
        return offsets, scores, points, anchors

    def _pixels(self, image: ByteArray) -> FloatArray:
        """The network's input (1, 3, h, w). OpenCV's ``blobFromImage`` takes twice as long."""
        pixels = np.empty((1, 3, *image.shape[:2]), np.float32)
        for plane, values, mean in zip(pixels[0], cv2.split(image), self._mean, strict=True):
            np.subtract(values, np.float32(mean), out=plane)
        return pixels

    @cached_property
    def _session(self) -> Any:
        return open_session(self._model)

    @cached_property
    def _coarse_session(self) -> Any:
        return open_session(with_outputs(self._model, self._coarse))

    @cached_property
    def _gated_session(self) -> Any:
        return open_session(with_outputs(self._model, (*self._coarse, BRANCH_INPUT)))

    @cached_property
    def _fine_session(self) -> Any:
        return open_session(with_outputs(self._model, self._fine, (BRANCH_INPUT, (1, 64, None, None))))


def _decode(outputs: Outputs, places: npt.NDArray[np.int64], factor: float = 1.0) -> list[Face]:
    """The faces of the anchors at ``places`` (m,), best score first, in pixels times ``factor``."""
    offsets, scores, points, anchors = (np.asarray(values[places], np.float32) for values in outputs)
    centres = anchors[:, :2] + offsets[:, :2] * 0.1 * anchors[:, 2:]
    sides = anchors[:, 2:] * np.exp(np.minimum(offsets[:, 2:] * 0.2, 4))
    landmarks = np.asarray(anchors[:, None, :2] + points.reshape(-1, 5, 2) * 0.1 * anchors[:, None, 2:], np.float32)
    return select_boxes(np.asarray(centres - sides / 2, np.float32), sides, scores, landmarks, factor)


def _scores(logits: FloatArray) -> FloatArray:
    """(n,) scores of logits (n, 2)."""
    return np.asarray(1 / (1 + np.exp(logits[:, 0] - logits[:, 1])), np.float32)


@lru_cache(maxsize=64)
def _anchors(height: int, width: int, strides: tuple[int, ...], sizes: tuple[tuple[int, ...], ...]) -> FloatArray:
    """(n, 4) float32 anchor boxes: centre x, centre y, width, height in pixels."""
    blocks = []
    for stride, sides in zip(strides, sizes, strict=True):
        columns, rows = np.meshgrid(np.arange(math.ceil(width / stride)), np.arange(math.ceil(height / stride)))
        centres = (np.stack([columns.ravel(), rows.ravel()], 1) + 0.5) * stride
        centres = np.repeat(centres, len(sides), axis=0)
        lengths = np.tile(np.asarray(sides, float), columns.size)
        blocks.append(np.column_stack([centres, lengths, lengths]))
    return np.concatenate(blocks).astype(np.float32)
