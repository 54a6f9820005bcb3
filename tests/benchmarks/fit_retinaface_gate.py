"""Fit the gate of ``fervid/faces/retinaface_gate.py`` to synthetic scenes, and report the faces that it misses.

A cell of RetinaFace's map at stride 8 is positive if one of its anchors scores above 0.3. Both classes have equal
weight in the logistic regression. A small face is a connected group of cells with scores above 0.65. It is missed if
the gate does not fire in any of these cells and their neighbours. The last column is of the shipped gate.

    python -m tests.benchmarks.fit_retinaface_gate [CLIP ...] [--out GATE.json]
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize

from fervid.faces import retinaface_gate as gate
from fervid.faces.boxes import shrink
from fervid.faces.retinaface import BRANCH_INPUT, RetinaFace
from fervid.runtime.onnx_editing import with_outputs
from fervid.runtime.onnx_session import open_session
from fervid.runtime.opencv import cv2
from fervid.types import ByteArray, DoubleArray, FloatArray
from fervid.video.reader import VideoReader
from tests.benchmarks.composites import draw, sampled_frames
from tests.benchmarks.scenes import SCENES, with_other_heads

FITTED, TESTED = (1, 2), (0, 3, 4)
"""Sets of heads, numbered as in ``tests.benchmarks.tracking --heads``."""
IMAGES = 250
"""Images from each set of scenes."""
NEGATIVES = 150
"""Negative cells training_cells from each image."""
POSITIVE, FACE = 0.3, 0.65
"""Score of a positive cell, and of a cell of a face."""
RIDGE = 1e-4
"""Weight of the L2 penalty."""


class CellScorer:
    """Gives the map at stride 8 of an image (64, h, w), and the best anchor score of each cell (h, w)."""

    def __init__(self) -> None:
        self._detector = RetinaFace()
        names = [BRANCH_INPUT, "/class_head/Reshape_output_0"]
        self._session: Any = open_session(with_outputs(self._detector._model, names))

    def __call__(self, image: ByteArray) -> tuple[FloatArray, FloatArray]:
        small, _ = shrink(image, self._detector.long_side)
        merged, logits = self._session.run(None, {"input": self._detector._pixels(small)})
        odds = (logits[0, :, 1] - logits[0, :, 0]).reshape(*merged.shape[2:], 2).max(axis=2)
        return merged[0], np.asarray(1 / (1 + np.exp(-odds)), np.float32)


def scenes(heads: int, rng: np.random.Generator) -> Iterator[ByteArray]:
    """A random selection of images from all synthetic scenes at 5 per second."""
    made = [with_other_heads(make(), heads) for make in SCENES]
    places = [(scene, scene.times[index]) for scene in made for index in sampled_frames(scene.times, 5.0)]
    for place in rng.choice(len(places), IMAGES, replace=False):
        yield draw(*places[place])[0]


def clip_images(path: Path) -> Iterator[ByteArray]:
    """One frame per second of a clip."""
    with VideoReader(path, fps=1.0) as reader:
        yield from (frame.image for frame in reader.frames() if frame.sampled)


def fit(cells: DoubleArray, positive: npt.NDArray[np.bool_]) -> tuple[DoubleArray, float]:
    """Fit a logistic regression to ``cells`` (n, 64); return weights (64,) and bias."""
    middle, spread = cells.mean(axis=0), cells.std(axis=0) + 1e-6
    inputs = np.column_stack([(cells - middle) / spread, np.ones(len(cells))])
    share = np.where(positive, 5 / positive.sum(), 5 / (~positive).sum())

    def loss(values: DoubleArray) -> tuple[float, DoubleArray]:
        odds = inputs @ values
        cost = float((share * (np.logaddexp(0, odds) - positive * odds)).sum() + RIDGE * (values @ values))
        return cost, inputs.T @ (share * (1 / (1 + np.exp(-odds)) - positive)) + 2 * RIDGE * values

    found = minimize(loss, np.zeros(inputs.shape[1]), jac=True, method="L-BFGS-B", options={"maxiter": 300}).x
    weights = found[:-1] / spread
    return weights, float(found[-1] - weights @ middle)


def training_cells(scorer: CellScorer, rng: np.random.Generator) -> tuple[DoubleArray, npt.NDArray[np.bool_]]:
    """Training cells (n, 64), and whether each is positive."""
    cells, labels = [], []
    for heads in FITTED:
        for image in scenes(heads, rng):
            merged, scores = scorer(image)
            positive = scores.ravel() > POSITIVE
            chosen = np.concatenate([np.flatnonzero(positive), rng.choice(positive.size, NEGATIVES, replace=False)])
            cells.append(merged.reshape(len(merged), -1).T[chosen])
            labels.append(positive[chosen])
    return np.concatenate(cells).astype(np.float64), np.concatenate(labels)


def report(name: str, images: Iterator[ByteArray], scorer: CellScorer, weights: DoubleArray, bias: float) -> str:
    """A row of the table."""
    best, computed = [], []
    for image in images:
        merged, scores = scorer(image)
        odds = np.tensordot(weights, merged, 1) + bias
        count, labels = cv2.connectedComponents((scores > FACE).astype(np.uint8))
        for face in range(1, count):
            near = cv2.dilate((labels == face).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
            best.append(float(odds[near].max()))
        parts = gate.windows(merged)
        cells = sum((bottom - top) * (right - left) for (top, bottom), (left, right), _, _ in parts)
        computed.append(cells / scores.size)
    missed, lowest = sum(odds <= gate.LIMIT for odds in best), f"{min(best):.1f}" if best else ""
    return f"| {name} | {len(computed)} | {len(best)} | {missed} | {lowest} | {100 * np.mean(computed):.0f} % |"


def main() -> None:
    """Fit, write and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", nargs="*", type=Path)
    parser.add_argument(
        "--out", type=Path, help=f"output file for the fitted gate; the shipped one is {gate.GATE_FILE.name}"
    )
    arguments = parser.parse_args()
    scorer, rng = CellScorer(), np.random.default_rng(0)
    weights, bias = fit(*training_cells(scorer, rng))
    content = {"weights": [round(float(value), 6) for value in weights], "bias": round(bias, 6)}
    if arguments.out:
        arguments.out.write_text(json.dumps(content) + "\n")
    print("| | images | small faces | missed | lowest log-odds | computed |\n|---|---|---|---|---|---|")
    for heads in TESTED:
        print(report(f"scenes, heads {heads}", scenes(heads, rng), scorer, weights, bias), flush=True)
    for clip in arguments.clips:
        print(report(clip.name, clip_images(clip), scorer, weights, bias), flush=True)


if __name__ == "__main__":
    main()
