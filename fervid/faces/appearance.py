"""How a face looks, in a form that tells the faces of one shot apart; seconds, not days, and no identity."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from fervid.faces.alignment import align, reduced
from fervid.runtime.opencv import cv2
from fervid.types import ByteArray, Face, FloatArray

SIDE = 32
"""Side of the aligned face, pixels."""
CELLS, DIRECTIONS = 4, 8
COLOURS = (4, 6, 6)
"""Bins of lightness, green-red and blue-yellow."""
LIGHTNESS, CHROMA = 100.0, 42.0
"""Range of the bins: lightness from 0, chroma to either side of gray."""
SHAPE_SHARE = 0.75
"""Weight of the shape against the colours, from the spread of either between and within faces."""


def appearance(image: ByteArray, gray: ByteArray, face: Face) -> FloatArray:
    """A unit vector (272,) float32: dot products are about .97 for one face within seconds, .76 for two.

    ``image`` (h, w, 3) uint8 blue-green-red and the same as ``gray`` (h, w). The vector joins the face's
    gradients, by direction in 4x4 cells (Dalal and Triggs, 2005), after turning eyes and mouth upright, with
    the colours of the head (square roots of their shares, so that the product is the Bhattacharyya coefficient).
    """
    parts = np.concatenate(
        [SHAPE_SHARE**0.5 * _shape(align(gray, face, SIDE)), (1 - SHAPE_SHARE) ** 0.5 * _colours(image, face)]
    )
    return np.asarray(parts, np.float32)


def _shape(face: ByteArray) -> FloatArray:
    """Unit vector (128,): square roots of gradient strength by cell and direction."""
    values = face.astype(np.float32)
    dx = np.asarray(cv2.Sobel(values, cv2.CV_32F, 1, 0, ksize=1))
    dy = np.asarray(cv2.Sobel(values, cv2.CV_32F, 0, 1, ksize=1))
    strength = np.hypot(dx, dy).ravel()
    angle = (np.arctan2(dy, dx) % np.pi).ravel() / np.pi * DIRECTIONS
    low = np.floor(angle).astype(int)
    rows, columns = np.divmod(np.arange(SIDE * SIDE), SIDE)
    cell = (rows * CELLS // SIDE * CELLS + columns * CELLS // SIDE) * DIRECTIONS
    bins = CELLS * CELLS * DIRECTIONS
    total = np.bincount(cell + low % DIRECTIONS, strength * (low + 1 - angle), bins)
    total += np.bincount(cell + (low + 1) % DIRECTIONS, strength * (angle - low), bins)
    return _root(total)


def _colours(image: ByteArray, face: Face) -> FloatArray:
    """Unit vector (144,): square roots of the shares of colours in the head, hair included."""
    height, width = image.shape[:2]
    left, right = int(face.x - 0.15 * face.width), int(face.x + 1.15 * face.width)
    top, bottom = int(face.y - 0.3 * face.height), int(face.y + 1.1 * face.height)
    part = image[max(0, top) : max(0, min(height, bottom)), max(0, left) : max(0, min(width, right))]
    if not part.size:
        return _root(np.zeros(int(np.prod(COLOURS))))
    small = reduced(part, (24, 32)).astype(np.float32) / 255
    lab = np.asarray(cv2.cvtColor(small, cv2.COLOR_BGR2LAB), np.float64).reshape(-1, 3)
    scaled = (lab - (0, -CHROMA, -CHROMA)) / (LIGHTNESS, 2 * CHROMA, 2 * CHROMA) * COLOURS
    places = np.clip(scaled.astype(int), 0, np.array(COLOURS) - 1)
    return _root(np.bincount(np.ravel_multi_index(tuple(places.T), COLOURS), minlength=int(np.prod(COLOURS))))


def _root(counts: npt.ArrayLike) -> FloatArray:
    """Square roots of the shares; all alike where there is nothing to share."""
    total = np.asarray(counts, np.float64)
    whole = float(total.sum())
    shares = total / whole if whole > 0 else np.full(len(total), 1 / len(total))
    return np.asarray(np.sqrt(shares), np.float32)
