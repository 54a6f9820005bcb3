"""The values that the page draws of a face: thinned, with gaps, and encoded compactly."""

from __future__ import annotations

import base64
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fervid.timeline.gaps import gaps, median_step
from fervid.types import DoubleArray, FloatArray

MAX_ROWS = 240_000
"""So many rows the page draws in all, about 6 MB; more are thinned."""

MIN_ROWS = 60
"""No face is thinned to fewer rows than this."""

MAX_FACES = MAX_ROWS // MIN_ROWS
"""So many faces have a chart: those with the most samples."""

STEPS = 254
"""Probabilities are drawn in steps of 1/254; 255 stands for a gap."""


@dataclass(frozen=True)
class Course:
    """One face through time, for drawing.

    ``times`` (n,) seconds; ``values`` (n, k) in [0, 1], NaN in the rows that stand for a gap; ``seen``: the
    spans (start, end) in seconds without a gap; ``thinned``: how many samples one drawn pair stands for, 1
    where all are drawn.
    """

    times: DoubleArray
    values: FloatArray
    seen: tuple[tuple[float, float], ...]
    thinned: int


def course(
    times: DoubleArray, values: FloatArray, sampled: DoubleArray, max_gap: float, limit: int = MAX_ROWS
) -> Course:
    """Choose what to draw of a face.

    Above ``limit`` rows, each run of samples becomes two rows with the lowest and the highest value of every column,
    in the order in which they occurred. Peaks stay, shifted by at most one run. Gaps shorter than a run are then not
    drawn.

    Args:
        times: (n,) increasing times of the face in seconds.
        values: (n, k) values in [0, 1].
        sampled: (m,) times of all sampled frames of the video.
        max_gap: See ``gaps.gap_threshold``.
        limit: Largest number of rows to draw without thinning.

    Returns:
        The rows to draw and the gaps between them.
    """
    run = 1 if len(times) <= limit else max(3, -(-2 * len(times) // limit))
    broken = gaps(times, sampled, max_gap)
    if run > 1:
        broken &= np.diff(times) > run * median_step(times)
    edges = [0, *(np.flatnonzero(broken) + 1).tolist(), len(times)]
    spans = list(itertools.pairwise(edges))
    drawn_times: list[DoubleArray] = []
    drawn: list[FloatArray] = []
    for start, end in spans:
        if drawn_times:
            drawn_times.append(np.array([(times[start - 1] + times[start]) / 2]))
            drawn.append(np.full((1, values.shape[1]), np.nan, np.float32))
        part = _thin(times[start:end], values[start:end], run)
        drawn_times.append(part[0])
        drawn.append(part[1])
    seen = tuple((float(times[start]), float(times[end - 1])) for start, end in spans)
    return Course(np.concatenate(drawn_times), np.concatenate(drawn), seen, run)


def _thin(times: DoubleArray, values: FloatArray, run: int) -> tuple[DoubleArray, FloatArray]:
    """Two rows for every ``run`` of them."""
    count = len(times)
    if run < 3 or count < 3:
        return times, values
    runs = -(-count // run)
    rows = np.minimum(np.arange(runs * run), count - 1).reshape(runs, run)
    blocks = values[rows]
    low, high = blocks.min(axis=1), blocks.max(axis=1)
    rising = blocks.argmin(axis=1) <= blocks.argmax(axis=1)
    pairs = np.stack([np.where(rising, low, high), np.where(rising, high, low)], axis=1)
    ends = times[rows[:, [0, -1]]]
    keep = np.ones(2 * runs, bool)
    keep[1:] = np.diff(ends.ravel()) > 0  # a last run of one sample needs one row
    return ends.ravel()[keep], pairs.reshape(2 * runs, -1)[keep]


def share_rows(counts: Sequence[int], total: int = MAX_ROWS, least: int = MIN_ROWS) -> int:
    """Compute the largest number of rows per face, so that all faces together stay within ``total``.

    Args:
        counts: Number of samples of each face.
        total: Largest number of rows of all faces.
        least: Smallest number of rows of a thinned face.

    Returns:
        The number of rows.
    """
    left, faces = total, len(counts)
    for count in sorted(counts):
        if count * faces > left:
            return max(least, left // faces)
        left -= count
        faces -= 1
    return max([least, *counts])


def encode(course: Course) -> dict[str, Any]:
    """Encode the rows of a face for the page.

    Args:
        course: The rows.

    Returns:
        Base64 of float32 times and of uint8 values, column after column, and the periods without gaps.
    """
    steps = np.where(np.isnan(course.values), 255, np.round(np.clip(course.values, 0, 1) * STEPS))
    return {
        "n": len(course.times),
        "t": _base64(course.times.astype("<f4")),
        "v": _base64(np.asarray(steps.T, np.uint8)),
        "seen": [[round(start, 3), round(end, 3)] for start, end in course.seen],
        "thinned": course.thinned,
    }


def _base64(values: npt.NDArray[Any]) -> str:
    return base64.b64encode(np.ascontiguousarray(values).tobytes()).decode("ascii")
