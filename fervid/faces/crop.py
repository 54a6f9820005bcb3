"""Face box → model input: the one geometry and the one normalisation, for training and inference."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fervid.runtime.opencv import cv2
from fervid.settings import check
from fervid.types import ByteArray, Face, FloatArray

SIZE = 48
"""Side of a crop in pixels; FER2013's own."""


@dataclass(frozen=True)
class CropGeometry:
    """Where a detected box lies inside a FER2013 image, inverted.

    FER2013 images are face crops with a framing of their own. Running the detector over enlarged FER2013
    images gives the box that it would draw inside that framing; the square around a new box follows by
    inverting it: its side is ``scale`` times the geometric mean of the box's sides, its centre is the
    box's centre moved by ``shift_x`` and ``shift_y`` (fractions of the square's side, right and down).
    """

    scale: float
    shift_x: float
    shift_y: float

    def __post_init__(self) -> None:
        check(0.2 <= self.scale <= 5, f"crop geometry: scale must lie between 0.2 and 5: {self.scale}")
        check(max(abs(self.shift_x), abs(self.shift_y)) <= 1, "crop geometry: shifts must lie between -1 and 1")

    def square(self, face: Face) -> tuple[float, float, float]:
        """The square (x, y, side) in pixels of the picture that corresponds to a FER2013 image."""
        side = self.scale * float(np.sqrt(face.width * face.height))
        x = face.x + face.width / 2 + self.shift_x * side - side / 2
        y = face.y + face.height / 2 + self.shift_y * side - side / 2
        return x, y, side


FER2013_GEOMETRY = CropGeometry(scale=1.122, shift_x=-0.007, shift_y=-0.007)
"""Median over 1,500 training images of FER2013, each with its edge repeated by 16 pixels around, RetinaFace;
``python -m fervid.training.crop_geometry DATA`` measures it again."""


def crop_face(gray: ByteArray, face: Face, geometry: CropGeometry) -> ByteArray:
    """Cut the face out of ``gray`` (h, w) uint8 as a (48, 48) uint8 crop.

    What lies outside the picture repeats its edge. Shrinking averages over the area that each crop pixel
    covers, so that fine texture does not alias; enlarging is bilinear.
    """
    x, y, side = geometry.square(face)
    left, top = int(np.floor(x)), int(np.floor(y))
    right, bottom = max(left + 1, int(np.ceil(x + side))), max(top + 1, int(np.ceil(y + side)))
    height, width = gray.shape
    rows = slice(min(max(top, 0), height - 1), max(min(bottom, height), 1))
    columns = slice(min(max(left, 0), width - 1), max(min(right, width), 1))
    inner = gray[rows, columns]
    pads = (max(0, -top), max(0, bottom - height), max(0, -left), max(0, right - width))
    if any(pads):
        inner = np.asarray(cv2.copyMakeBorder(inner, *pads, borderType=cv2.BORDER_REPLICATE), np.uint8)
    return _resize(inner, side)


def fit_square(gray: ByteArray) -> ByteArray:
    """A ready face crop (h, w) uint8 as model input (48, 48): its central square, resized like a detected face."""
    height, width = gray.shape
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return _resize(gray[top : top + side, left : left + side], side)


def _resize(square: ByteArray, side: float) -> ByteArray:
    interpolation = cv2.INTER_AREA if side >= SIZE else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(square, (SIZE, SIZE), interpolation=interpolation), dtype=np.uint8)


def normalize(crops: ByteArray) -> FloatArray:
    """Crops (n, h, w) uint8 → (n, h, w, 1) float32, each with its own mean 0 and standard deviation 1.

    Exposure and contrast of a scene thereby cancel. The standard deviation counts as at least 4 gray
    levels, so that the noise of a flat picture is not blown up.
    """
    values = crops.astype(np.float32)
    mean = values.mean(axis=(1, 2), keepdims=True)
    deviation = np.maximum(values.std(axis=(1, 2), keepdims=True), 4.0)
    return np.asarray(((values - mean) / deviation)[..., None], dtype=np.float32)
