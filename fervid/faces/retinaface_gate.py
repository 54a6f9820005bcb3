"""A gate that restricts RetinaFace's branch for small faces to the parts of an image where it may find one.

That branch is two fifths of the network's work, and in most images it finds nothing. The gate is a logistic regression
on the 64 channels of the branch's input map. It predicts whether any anchor of a cell scores above GATE_SCORE.
``python -m tests.benchmarks.fit_retinaface_gate`` fits it to synthetic scenes.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from fervid.runtime.opencv import cv2
from fervid.runtime.weights import FOLDER
from fervid.types import Face, FloatArray

GATE_FILE = FOLDER / "retinaface-gate.json"
GATE_SCORE = 0.3
"""Faces of a lower score may be missed by the gate."""
LIMIT = 2.0
"""Log-odds above which the gate fires. Both classes had equal weight. In the synthetic and real images that were used
to set it, the gate fires for every small face, at 2.8 or more."""
REACH = 2
"""Anchors count within this many cells of a cell that fires."""
HALO = 4
"""Cells around these that the branch must also see to give the same output as on the whole map."""
STRIDE = 8
"""Pixels of the image to a cell of the map."""
SURE_SCORE, SURE_SIDE = 0.99, 96.0
"""Lowest score, and shortest side in pixels, of a large face inside which no small face is searched. Non-maximum
suppression would remove it: it lies in the large face and has a lower score."""
INSIDE = 24.0
"""So many pixels from the edges of a large face a cell is inside it. The branch finds faces of up to about 60 pixels.
Wherever their middle is that far inside, at least 0.8 of them is."""
MAX_SHARE = 0.7
"""Share of the map above which the branch runs on the whole map."""

Window = tuple[int, int]
"""Half-open range of rows or columns."""


def windows(merged: FloatArray, large: Sequence[Face] = ()) -> list[tuple[Window, Window, Window, Window]]:
    """Find the parts of the map on which the branch must run.

    Args:
        merged: (64, h, w) float32, the branch's input map.
        large: Faces that the other branches found. What fires inside a sure large one is passed over.

    Returns:
        For each part: rows to compute, columns to compute, and the rows and columns in which anchors count, all as
        indices into the map. A part at the border of the map ends there, so the network pads it as it pads the map.
    """
    height, width = merged.shape[1:]
    weights, bias = _gate()
    fires = (np.tensordot(weights, merged, 1) + bias > LIMIT).astype(np.uint8)
    for face in large:
        if face.score >= SURE_SCORE and min(face.width, face.height) >= SURE_SIDE:
            fires[_inside(face.y, face.height), _inside(face.x, face.width)] = 0
    grown = cv2.dilate(fires, np.ones((2 * REACH + 1, 2 * REACH + 1), np.uint8))
    count, _, boxes, _ = cv2.connectedComponentsWithStats(grown)
    parts = []
    for left, top, across, down, _ in boxes[1:count].tolist():
        rows, columns = (top, top + down), (left, left + across)
        parts.append((_with_halo(rows, height), _with_halo(columns, width), rows, columns))
    cells = sum((bottom - top) * (right - left) for (top, bottom), (left, right), _, _ in parts)
    return [2 * ((0, height), (0, width))] if cells > MAX_SHARE * height * width else parts


@lru_cache(maxsize=1)
def _gate() -> tuple[FloatArray, float]:
    content = json.loads(GATE_FILE.read_text(encoding="utf-8"))
    return np.asarray(content["weights"], np.float32), float(content["bias"])


def _inside(begin: float, length: float) -> slice:
    """The rows or columns of cells whose middle lies well inside a face."""
    first = math.ceil((begin + INSIDE) / STRIDE - 0.5)
    last = math.floor((begin + length - INSIDE) / STRIDE - 0.5)
    return slice(max(0, first), max(0, last + 1))


def _with_halo(window: Window, end: int) -> Window:
    return max(0, window[0] - HALO), min(end, window[1] + HALO)
