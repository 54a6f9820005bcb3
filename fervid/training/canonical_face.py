"""Makes the canonical face: the mean shape of the face mesh over the images of FER2013.

``python -m fervid.training.canonical_face DATA`` writes ``canonical-face.json`` beside the data; DATA is FER2013 as
``fervid train`` reads it. Only the mean over thousands of faces is kept.

The faces are aligned by generalized Procrustes analysis (Gower, 1975), and the mean is made symmetric. The network's
depth is proportional to the true depth, but its unit differs a little. Its factor is the one with which the two rows
of the affine maps from the mean shape to the points of each image become orthogonal and of equal length, as a camera
far away maps a rigid shape (Tomasi and Kanade, 1992).
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment

from fervid.faces.crop import FER2013_GEOMETRY, SIZE
from fervid.faces.mesh import MARGIN, FaceMesher, Square
from fervid.faces.pose import CANONICAL_FILE
from fervid.faces.quality import ASPECT
from fervid.files.atomic import atomic_path
from fervid.runtime.opencv import cv2
from fervid.training.dataset import read, sample
from fervid.training.single_path import run_on_path
from fervid.types import ByteArray, DoubleArray

SAMPLE = 8000
"""Number of images."""
MIN_PRESENCE = 0.999
"""Images in which the network is less sure of a face are left out."""
MIN_YAW = 15.0
"""Degrees of yaw above which a face counts for the unit of depth."""
KEPT = 0.8
"""Share of the faces, those nearest to the mean shape, that the mean is made of."""
EYE_CORNERS = (33, 263)
MOVABLE = 0.45
"""Points lower than this below the middle of the face, in its root mean square radius, move with the jaw."""


def make(data: Path) -> None:
    """Write the canonical face.

    Args:
        data: FER2013.

    Raises:
        BadDataset: The data cannot be read.
        OutputError: The file cannot be written.
    """
    chosen = sample(read([data], "Training"), SAMPLE, seed=0)
    points = _meshes(chosen.images)
    mean, _ = _symmetric(_mean_shape(points))
    turned, _ = _aligned(points, mean)
    factor = _depth_factor(points, mean, np.degrees(np.arctan2(-turned[:, 2, 0], turned[:, 2, 2])))
    weights = np.where(mean[:, 1] < MOVABLE, 1.0, 0.0)
    right, left = mean[list(EYE_CORNERS)]
    shape = (mean - (right + left) / 2) * (1, -1, -factor) / np.linalg.norm(left - right)
    content = {
        "source": f"mean of the face mesh over {len(points)} training images of FER2013; "
        "python -m fervid.training.canonical_face",
        "depth_factor": round(factor, 3),
        "points": np.round(shape, 4).tolist(),
        "weights": np.round(weights / weights.sum(), 6).tolist(),
    }
    with atomic_path(data.with_name(CANONICAL_FILE.name)) as partial:
        partial.write_text(json.dumps(content) + "\n", encoding="utf-8")


def _meshes(images: ByteArray) -> DoubleArray:
    """The points of the faces that the network is sure of, (n, 468, 3)."""
    mesher = FaceMesher()
    width = SIZE / FER2013_GEOMETRY.scale * ASPECT**0.5
    middle = SIZE * (0.5 - FER2013_GEOMETRY.shift_x)
    square = Square(middle, middle, MARGIN * width / ASPECT, 0.0)
    found = []
    for image in images:
        colours = np.asarray(cv2.cvtColor(image, cv2.COLOR_GRAY2BGR), np.uint8)
        found += [points for points, presence in mesher.points(colours, [square]) if presence > MIN_PRESENCE]
    return np.array(found)


def _mean_shape(points: DoubleArray) -> DoubleArray:
    """The mean shape with root mean square radius 1."""
    mean = _normalized(points.mean(axis=0))
    for _ in range(10):
        _, aligned = _aligned(points, mean)
        distance = ((aligned - mean) ** 2).sum(axis=(1, 2))
        mean = _normalized(aligned[distance <= np.quantile(distance, KEPT)].mean(axis=0))
    return mean


def _normalized(shape: DoubleArray) -> DoubleArray:
    centred = shape - shape.mean(axis=0)
    return np.asarray(centred / np.sqrt((centred**2).sum(axis=1).mean()))


def _aligned(points: DoubleArray, shape: DoubleArray) -> tuple[DoubleArray, DoubleArray]:
    """Rotations, and the points turned, scaled and shifted onto the shape with least squared error (Umeyama, 1991)."""
    centred = points - points.mean(axis=1, keepdims=True)
    middle = shape.mean(axis=0)
    left, sizes, right = np.linalg.svd(np.einsum("npi,pj->nij", centred, shape - middle))
    signs = np.ones((len(points), 3))
    signs[:, 2] = np.sign(np.linalg.det(left @ right))
    turns = np.einsum("nki,nk,njk->nij", right, signs, left)
    scales = (sizes * signs).sum(axis=1) / (centred**2).sum(axis=(1, 2))
    return turns, scales[:, None, None] * np.einsum("nij,npj->npi", turns, centred) + middle


def _symmetric(shape: DoubleArray) -> tuple[DoubleArray, npt.NDArray[np.intp]]:
    """The shape made symmetric, with x from the right to the left; and for each point the one on the other side."""
    mirror = _pairs(shape)
    _, (other,) = _aligned((shape * (-1, 1, 1))[mirror][None], shape)
    mean = (shape + other) / 2
    across = ((mean[mirror] - mean) * np.sign(mean[mirror] - mean)[:, :1]).sum(axis=0)
    across /= np.linalg.norm(across)
    depth = np.array([0.0, 0.0, 1.0]) - across * across[2]
    depth /= np.linalg.norm(depth)
    mean = _normalized(mean @ np.stack([across, np.cross(depth, across), depth]).T)
    mirror = _pairs(mean)
    return (mean + (mean * (-1, 1, 1))[mirror]) / 2, mirror


def _pairs(shape: DoubleArray) -> npt.NDArray[np.intp]:
    """For each point the one that is nearest to its mirror image."""
    distances = (((shape * (-1, 1, 1))[:, None] - shape) ** 2).sum(axis=2)
    return np.asarray(linear_sum_assignment(distances + distances.T)[1])


def _depth_factor(points: DoubleArray, shape: DoubleArray, yaws: DoubleArray) -> float:
    """True depth divided by the network's, by the turned faces."""
    places = points[np.abs(yaws) > MIN_YAW, :, :2]
    maps = np.einsum("npi,pj->nij", places, shape) @ np.linalg.inv(shape.T @ shape)
    factors = np.linspace(0.5, 2.0, 301)
    errors = []
    for factor in factors:
        rows = maps / (1, 1, factor)
        lengths = (rows**2).sum(axis=2)
        both = lengths.mean(axis=1)
        crossed = (rows[:, 0] * rows[:, 1]).sum(axis=1)
        errors.append(np.median(((lengths[:, 0] - lengths[:, 1]) / both) ** 2 + (2 * crossed / both) ** 2))
    return float(factors[int(np.argmin(errors))])


def main(arguments: list[str]) -> int | str:
    """Write the file beside the data that the only argument names.

    Args:
        arguments: The command line without the program's name.

    Returns:
        0, or a sentence that says what went wrong.
    """
    return run_on_path(arguments, "python -m fervid.training.canonical_face DATA", make)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
