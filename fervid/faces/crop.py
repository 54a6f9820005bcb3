"""From a face box to the input of the emotion network. Training and inference share this geometry and normalisation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fervid.faces.roll import MAX_ROLL, roll_of
from fervid.runtime.opencv import cv2
from fervid.settings import check
from fervid.types import ByteArray, Face, FloatArray

SIZE = 48
"""Side of a crop in pixels, the same as in FER2013."""


@dataclass(frozen=True)
class CropGeometry:
    """The square around a detected face box that frames the face as FER2013 does.

    FER2013 holds face crops. Running the detector on padded FER2013 images shows where its box lies inside such a
    crop; this geometry is the inverse.

    Attributes:
        scale: Side of the square divided by the geometric mean of the box's sides.
        shift_x: Shift of the square's centre to the right of the box's centre, as a fraction of the square's side.
        shift_y: The same downwards.
    """

    scale: float
    shift_x: float
    shift_y: float

    def __post_init__(self) -> None:
        check(0.2 <= self.scale <= 5, f"crop geometry: scale must lie between 0.2 and 5: {self.scale}")
        check(max(abs(self.shift_x), abs(self.shift_y)) <= 1, "crop geometry: shifts must lie between -1 and 1")

    def square(self, face: Face) -> tuple[float, float, float]:
        """Compute the square to crop.

        Args:
            face: The face, in pixels of an image.

        Returns:
            Left, top and side of the square, in the same pixels.
        """
        side = self.scale * float(np.sqrt(face.width * face.height))
        x = face.x + face.width / 2 + self.shift_x * side - side / 2
        y = face.y + face.height / 2 + self.shift_y * side - side / 2
        return x, y, side


FER2013_GEOMETRY = CropGeometry(scale=1.122, shift_x=-0.007, shift_y=-0.007)
"""Median over 1,500 training images of FER2013 with RetinaFace. Each image was padded by 16 pixels on all sides by
repeating its edge. ``python -m fervid.training.measure_crop_geometry DATA`` measures it again."""


def crop_face(gray: ByteArray, face: Face, geometry: CropGeometry) -> ByteArray:
    """Crop a face from a gray image.

    A face whose eyes are turned by more than ``roll.MAX_ROLL`` is turned upright. Outside the image its edge is
    repeated. Shrinking averages over the area that each crop pixel covers, which avoids aliasing. Enlarging is
    bilinear.

    Args:
        gray: (h, w) uint8.
        face: The face, in pixels of the image.
        geometry: The square to crop around the face box.

    Returns:
        (48, 48) uint8.
    """
    roll = roll_of(face)
    if roll is not None and abs(roll) > MAX_ROLL:
        return _upright_crop(gray, face, geometry, roll)
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


def _upright_crop(gray: ByteArray, face: Face, geometry: CropGeometry, roll: float) -> ByteArray:
    """The crop of a face that is turned clockwise by ``roll`` degrees, turned back around the middle of its box."""
    x, y, side = geometry.square(face)
    centre_x, centre_y = face.x + face.width / 2, face.y + face.height / 2
    size = max(1, round(side))
    matrix = np.asarray(cv2.getRotationMatrix2D((centre_x, centre_y), roll, size / side), np.float64)
    matrix[:, 2] += (centre_x - x) * size / side - centre_x, (centre_y - y) * size / side - centre_y
    square = cv2.warpAffine(gray, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return _resize(np.asarray(square, np.uint8), side)


def fit_square(gray: ByteArray) -> ByteArray:
    """Turn an image that already is a face crop into network input: take its central square and resize it.

    Args:
        gray: (h, w) uint8.

    Returns:
        (48, 48) uint8.
    """
    height, width = gray.shape
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return _resize(gray[top : top + side, left : left + side], side)


def _resize(square: ByteArray, side: float) -> ByteArray:
    interpolation = cv2.INTER_AREA if side >= SIZE else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(square, (SIZE, SIZE), interpolation=interpolation), dtype=np.uint8)


def normalize(crops: ByteArray) -> FloatArray:
    """Normalise each crop to mean 0 and standard deviation 1, which removes exposure and contrast.

    Standard deviations below 4 gray levels count as 4, so that the noise of a flat crop is not amplified.

    Args:
        crops: (n, h, w) uint8.

    Returns:
        (n, h, w, 1) float32.
    """
    values = crops.astype(np.float32)
    mean = values.mean(axis=(1, 2), keepdims=True)
    deviation = np.maximum(values.std(axis=(1, 2), keepdims=True), 4.0)
    return np.asarray(((values - mean) / deviation)[..., None], dtype=np.float32)
