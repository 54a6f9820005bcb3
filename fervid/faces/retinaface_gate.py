"""Where the part of RetinaFace that finds small faces is worth computing: near cells at which a linear gate fires.

That part is two fifths of the network's work and silent over most of most pictures. The gate is a logistic regression
on the 64 channels of the map that the part begins with, fitted by ``python -m tests.benchmarks.gate`` to made scenes:
does any anchor of a cell score above .3?
"""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path

import numpy as np

from fervid.runtime.opencv import cv2
from fervid.types import FloatArray

GATE_FILE = Path(__file__).parent.parent / "weights" / "retinaface-gate.json"
LIMIT = 2.0
"""Log-odds from which the gate fires; classes were weighted alike. In the pictures that chose it, made and real, it
fires for every small face, the least certain at 2.8."""
REACH = 2
"""Cells around one that fires whose anchors count."""
HALO = 4
"""Cells around those that the network's part must see to say of them what it says in the whole map."""
MOST = 0.7
"""Share of the map from which all of it is computed at once."""

Window = tuple[int, int]
"""First row or column, and the one after the last."""


def windows(merged: FloatArray) -> list[tuple[Window, Window, Window, Window]]:
    """The parts of the map ``merged`` (64, h, w) float32 that are to be computed.

    Of each: rows and columns to compute, and those of them whose anchors count, counted within the map. At the map's
    borders a part ends with the map, whose padding then is the part's own.
    """
    height, width = merged.shape[1:]
    weights, bias = _gate()
    fires = (np.tensordot(weights, merged, 1) + bias > LIMIT).astype(np.uint8)
    grown = cv2.dilate(fires, np.ones((2 * REACH + 1, 2 * REACH + 1), np.uint8))
    count, _, boxes, _ = cv2.connectedComponentsWithStats(grown)
    parts = []
    for left, top, across, down, _ in boxes[1:count].tolist():
        rows, columns = (top, top + down), (left, left + across)
        parts.append((_wider(rows, height), _wider(columns, width), rows, columns))
    cells = sum((bottom - top) * (right - left) for (top, bottom), (left, right), _, _ in parts)
    return [2 * ((0, height), (0, width))] if cells > MOST * height * width else parts


@lru_cache(maxsize=1)
def _gate() -> tuple[FloatArray, float]:
    content = json.loads(GATE_FILE.read_text())
    return np.asarray(content["weights"], np.float32), float(content["bias"])


def _wider(span: Window, end: int) -> Window:
    return max(0, span[0] - HALO), min(end, span[1] + HALO)
