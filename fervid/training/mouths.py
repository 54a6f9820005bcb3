"""Mouths of neutral faces opened by a warp, as training images of faces that talk.

Most neutral faces of FER2013 keep their mouth closed. A network that is trained on them takes the open mouth of a
talking face for anger or surprise. The face mesh finds the mouth and the chin; lower lip and jaw are moved down.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from fervid.faces.crop import SIZE
from fervid.faces.mesh import MIN_PRESENCE, FaceMesher, Square
from fervid.runtime.opencv import cv2
from fervid.training.kept_array import kept_array
from fervid.types import ByteArray, FloatArray

POINTS = (13, 14, 61, 291, 152)
"""Points of the mesh: the inner edge of the upper and of the lower lip, both corners of the mouth, the chin."""
SQUARE = 1.3
"""Side of the square in which the mesh is looked for, divided by the side of the image."""
JAW_WIDTH = 1.6
"""Half the width of the part of the jaw that moves, divided by half the width of the mouth."""
AMOUNTS = (0.05, 0.5)
"""Range of the height of the gap in training, divided by the width of the mouth."""
DARKNESS = (0.25, 0.75)
"""Range of the gray value in the gap in training, divided by the median of the face."""


def find_mouths(images: ByteArray, wanted: npt.NDArray[np.bool_], cache: Path | None = None) -> FloatArray:
    """Find the mouths of training images.

    Args:
        images: Gray faces (n, 48, 48) uint8.
        wanted: (n,) bool, which images to look at.
        cache: A .npy file that keeps the result, so that a continued run need not look again.

    Returns:
        x, y (n, 5, 2) float32 of POINTS in pixels of the image; NaN for an image that was not wanted or shows no face.

    Raises:
        OutputError: The cache cannot be written.
    """

    def look() -> FloatArray:
        mouths = np.full(shape, np.nan, np.float32)
        mesher, square = FaceMesher(), Square(SIZE / 2, SIZE / 2, SQUARE * SIZE, 0.0)
        for row in np.flatnonzero(wanted):
            [(points, presence)] = mesher.points(np.asarray(cv2.cvtColor(images[row], cv2.COLOR_GRAY2BGR)), [square])
            if presence >= MIN_PRESENCE:
                mouths[row] = points[list(POINTS), :2]
        return mouths

    shape = (len(images), len(POINTS), 2)
    return look() if cache is None else kept_array(cache, shape, look)


def open_mouth(image: ByteArray, mouth: FloatArray, amount: float, darkness: float) -> ByteArray:
    """Open the mouth of a face.

    Below the middle of the lips each pixel moves down, most at the lower lip, less towards the sides of the jaw and
    below the chin. The gap gets the shape of half an ellipse between the corners of the mouth.

    Args:
        image: Gray face (h, w) uint8.
        mouth: x, y (5, 2) of POINTS in pixels.
        amount: Height of the gap, divided by the width of the mouth.
        darkness: Gray value in the gap, divided by the median of the face.

    Returns:
        The changed image (h, w) uint8. An image whose mouth is less than 4 pixels wide is returned unchanged.
    """
    upper, lower, right, left, chin = np.asarray(mouth, np.float64)
    across = left - right
    width = float(np.hypot(*across))
    if not width >= 4:
        return image
    along = across / width
    down = np.array([-along[1], along[0]])  # from the lips to the chin, in a face that stands upright
    middle = (upper + lower) / 2
    rows, columns = np.mgrid[: image.shape[0], : image.shape[1]].astype(np.float64)
    offsets = np.stack([columns - middle[0], rows - middle[1]], axis=-1)
    side = (offsets @ along) / (width / 2)
    depth = offsets @ down
    gap = amount * width * np.sqrt(np.maximum(0.0, 1 - side**2))
    jaw = amount * width * np.exp(-((side / JAW_WIDTH) ** 2))
    length = max(float((chin - middle) @ down), width / 2)
    towards_chin = np.clip((depth - gap) / length, 0, 1)
    fading = np.clip(1 - (depth - length - jaw) / length, 0, 1)
    shift = np.where(depth > 0, (gap * (1 - towards_chin) + jaw * towards_chin) * fading, 0.0)
    shift = np.minimum(shift, np.maximum(depth, 0.0))
    source_x, source_y = (columns - shift * down[0]).astype(np.float32), (rows - shift * down[1]).astype(np.float32)
    moved = cv2.remap(image, source_x, source_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE).astype(np.float64)
    # one pixel of smooth edge
    inside = np.clip(depth + 0.15 * gap + 0.5, 0, 1) * np.clip(gap - depth + 0.5, 0, 1) * (np.abs(side) < 1)
    hole = darkness * float(np.median(image))
    return np.asarray(np.clip(np.rint(moved * (1 - inside) + hole * inside), 0, 255), np.uint8)


def open_mouths(images: ByteArray, mouths: FloatArray, share: float, rng: np.random.Generator) -> ByteArray:
    """Open the mouths of some of the images.

    Args:
        images: Gray faces (n, h, w) uint8.
        mouths: Their mouths (n, 5, 2), NaN where none was found; see find_mouths.
        share: Probability that a mouth is opened.
        rng: Source of randomness.

    Returns:
        A changed copy of the images.
    """
    opened = images.copy()
    for row in np.flatnonzero(np.isfinite(mouths).all(axis=(1, 2))):
        if rng.random() < share:
            opened[row] = open_mouth(images[row], mouths[row], rng.uniform(*AMOUNTS), rng.uniform(*DARKNESS))
    return opened
