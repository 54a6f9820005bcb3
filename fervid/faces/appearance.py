"""Appearance descriptors: vectors that distinguish the faces of one shot for a few seconds.

They do not identify a person, because clothing, light and pose change them.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from fervid.faces.alignment import align, area_resize, widened
from fervid.runtime.opencv import cv2
from fervid.types import ByteArray, Face, FloatArray

SIDE = 32
"""Side of the aligned face in pixels."""
CELLS, DIRECTIONS = 4, 8
"""Cells along each side of the aligned face, and gradient directions per cell."""
COLOURS = (4, 6, 6)
"""Histogram bins of lightness, green-red and blue-yellow."""
LIGHTNESS, CHROMA = 100.0, 42.0
"""Range of the bins in CIELAB: lightness from 0 to this, each chroma axis from minus this to plus this."""
HEAD_SIZE = (24, 32)
"""Width and height to which the head is shrunk before its colours are counted."""
SHAPE_SHARE = 0.75
"""Weight of the gradients; the colours have the rest. Set by the variance of both between and within faces."""

_STEPS = np.arange(256) / 255
_LINEAR = np.where(_STEPS <= 0.04045, _STEPS / 12.92, ((_STEPS + 0.055) / 1.055) ** 2.4)
"""Light of each of the 256 values of a channel (sRGB), 0 to 1."""
_TO_XYZ = np.array([[0.180423, 0.072169, 0.950227], [0.357580, 0.715160, 0.119193], [0.412453, 0.212671, 0.019334]]) / (
    0.950456,
    1.0,
    1.088754,
)
"""From blue, green and red light to CIE X, Y and Z, in shares of white (D65)."""
_SCALES = np.array(COLOURS) / (LIGHTNESS, 2 * CHROMA, 2 * CHROMA)
_TO_BINS = np.array([[0.0, 500.0, 0.0], [116.0, -500.0, 200.0], [0.0, 0.0, -200.0]]) * _SCALES
_FIRST_BIN = np.array([-16.0, CHROMA, CHROMA]) * _SCALES
"""From the cube roots of X, Y and Z to lightness, green-red and blue-yellow, in bins."""

_BIN_STEPS = np.array([COLOURS[1] * COLOURS[2], COLOURS[2], 1])
"""From the bins of the three to the number of the colour."""

_ROWS, _COLUMNS = np.divmod(np.arange(SIDE * SIDE), SIDE)
_CELL_BINS = (_ROWS * CELLS // SIDE * CELLS + _COLUMNS * CELLS // SIDE) * DIRECTIONS
"""First histogram bin of each pixel's cell."""


def appearance(image: ByteArray, gray: ByteArray, face: Face) -> FloatArray:
    """Describe the appearance of a face.

    The descriptor joins two histograms: gradient directions in 4x4 cells of the aligned face (Dalal and Triggs, 2005),
    and colours of the head. Both hold square roots of shares, so a dot product is a Bhattacharyya coefficient.

    Args:
        image: (h, w, 3) uint8, blue-green-red.
        gray: (h, w) uint8, the same image in gray.
        face: The face, in pixels of the image.

    Returns:
        (272,) float32 unit vector. The dot product of two is about 0.97 for one face within seconds and about 0.76
        for two faces.
    """
    parts = np.concatenate(
        [SHAPE_SHARE**0.5 * _shape(align(gray, face, SIDE)), (1 - SHAPE_SHARE) ** 0.5 * _colours(image, face)]
    )
    return np.asarray(parts, np.float32)


def _shape(face: ByteArray) -> FloatArray:
    """(128,) unit vector: square roots of the gradient magnitudes by cell and direction."""
    values = face.astype(np.float32)
    dx = np.asarray(cv2.Sobel(values, cv2.CV_32F, 1, 0, ksize=1))
    dy = np.asarray(cv2.Sobel(values, cv2.CV_32F, 0, 1, ksize=1))
    magnitude = np.hypot(dx, dy).ravel()
    angle = (np.arctan2(dy, dx) % np.pi).ravel() / np.pi * DIRECTIONS
    low = np.floor(angle).astype(int)
    bins = CELLS * CELLS * DIRECTIONS
    total = np.bincount(_CELL_BINS + low % DIRECTIONS, magnitude * (low + 1 - angle), bins)
    total += np.bincount(_CELL_BINS + (low + 1) % DIRECTIONS, magnitude * (angle - low), bins)
    return _root(total)


def _colours(image: ByteArray, face: Face) -> FloatArray:
    """(144,) unit vector: square roots of the shares of colours in the head, hair included."""
    height, width = image.shape[:2]
    left, right = int(face.x - 0.15 * face.width), int(face.x + 1.15 * face.width)
    top, bottom = int(face.y - 0.3 * face.height), int(face.y + 1.1 * face.height)
    left, right, top, bottom = max(0, left), min(width, right), max(0, top), min(height, bottom)
    if left >= right or top >= bottom:
        return _root(np.zeros(int(np.prod(COLOURS))))
    left, top, right, bottom = widened((left, top, right, bottom), (width, height), HEAD_SIZE)
    return _root(_count_colours(area_resize(image[top:bottom, left:right], HEAD_SIZE)))


def _count_colours(image: ByteArray) -> npt.NDArray[np.int64]:
    """(144,): how many pixels have each colour of CIELAB.

    OpenCV's conversion from bytes scaled to 0..1 gives nearly the same, but fills a table first, which takes as long as
    1,500 faces.
    """
    shares = _LINEAR[image.reshape(-1, 3)] @ _TO_XYZ
    roots = np.where(shares > 0.008856, np.cbrt(shares), 7.787 * shares + 16 / 116)
    places = np.clip((roots @ _TO_BINS + _FIRST_BIN).astype(int), 0, np.array(COLOURS) - 1)
    return np.bincount(places @ _BIN_STEPS, minlength=int(np.prod(COLOURS)))


def _root(counts: npt.ArrayLike) -> FloatArray:
    """Square roots of the shares of the counts; equal shares if all counts are 0."""
    values = np.asarray(counts, np.float64)
    total = float(values.sum())
    shares = values / total if total > 0 else np.full(len(values), 1 / len(values))
    return np.asarray(np.sqrt(shares), np.float32)
