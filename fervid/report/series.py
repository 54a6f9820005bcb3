"""The values of a face that the page draws: thinned, with gaps, and encoded compactly."""

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
"""Largest number of rows that a page draws, about 7 MB. If there are more, timelines are thinned."""

BYTES_PER_ROW = 23
"""Bytes of a drawn row: a time, seven smoothed and seven raw values, the quality, and four measures."""

MIN_ROWS = 60
"""Smallest number of rows to which a face is thinned."""

MAX_FACES = MAX_ROWS // MIN_ROWS
"""Largest number of faces with a chart. If there are more, those with the most samples have one."""

STEPS = 254
"""Probabilities are drawn in steps of 1/254; 255 stands for a gap."""


@dataclass(frozen=True)
class ChartSeries:
    """The rows of one face to draw.

    Attributes:
        times: (n,) seconds.
        values: (n, k) in [0, 1]; NaN in the rows that stand for a gap.
        seen: (start, end) in seconds of each period without a gap.
        thinned: Number of samples that one drawn pair of rows stands for; 1 where all samples are drawn.
    """

    times: DoubleArray
    values: FloatArray
    seen: tuple[tuple[float, float], ...]
    thinned: int


def chart_series(
    times: DoubleArray, values: FloatArray, sampled: DoubleArray, threshold: float, limit: int = MAX_ROWS
) -> ChartSeries:
    """Choose the rows of a face to draw.

    Above ``limit`` rows, each run of samples becomes two rows with the lowest and the highest value of every column,
    in the order in which they occurred. Peaks stay, shifted by at most one run. Gaps shorter than a run are then not
    drawn.

    Args:
        times: (n,) increasing times of the face in seconds.
        values: (n, k) values in [0, 1].
        sampled: (m,) times of all sampled frames of the video.
        threshold: Longest step in seconds that is not a gap. See ``gaps.gap_threshold``.
        limit: Largest number of rows to draw without thinning.

    Returns:
        The rows to draw and the gaps between them.
    """
    run = 1 if len(times) <= limit else max(3, -(-2 * len(times) // limit))
    breaks = gaps(times, sampled, threshold)
    if run > 1:
        breaks &= np.diff(times) > run * median_step(times)
    edges = [0, *(np.flatnonzero(breaks) + 1).tolist(), len(times)]
    periods = list(itertools.pairwise(edges))
    drawn_times: list[DoubleArray] = []
    drawn_values: list[FloatArray] = []
    for start, end in periods:
        if drawn_times:
            drawn_times.append(np.array([(times[start - 1] + times[start]) / 2]))
            drawn_values.append(np.full((1, values.shape[1]), np.nan, np.float32))
        thinned = _thin(times[start:end], values[start:end], run)
        drawn_times.append(thinned[0])
        drawn_values.append(thinned[1])
    seen = tuple((float(times[start]), float(times[end - 1])) for start, end in periods)
    return ChartSeries(np.concatenate(drawn_times), np.concatenate(drawn_values), seen, run)


def _thin(times: DoubleArray, values: FloatArray, run: int) -> tuple[DoubleArray, FloatArray]:
    """Replace each run of ``run`` rows by two rows: the lowest and the highest values."""
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


def share_rows(counts: Sequence[int], total: int = MAX_ROWS, minimum: int = MIN_ROWS) -> int:
    """Compute the largest number of rows per face, so that all faces together stay within ``total``.

    Args:
        counts: Number of samples of each face.
        total: Largest number of rows of all faces.
        minimum: Smallest number of rows of a thinned face.

    Returns:
        The number of rows.
    """
    left, faces = total, len(counts)
    for count in sorted(counts):
        if count * faces > left:
            return max(minimum, left // faces)
        left -= count
        faces -= 1
    return max([minimum, *counts])


def encode(series: ChartSeries) -> dict[str, Any]:
    """Encode the rows of a face for the page.

    Args:
        series: The rows.

    Returns:
        Base64 of float32 times and of uint8 values, column after column, and the periods without gaps.
    """
    steps = np.where(np.isnan(series.values), 255, np.round(np.clip(series.values, 0, 1) * STEPS))
    return {
        "n": len(series.times),
        "t": _base64(series.times.astype("<f4")),
        "v": _base64(np.asarray(steps.T, np.uint8)),
        "seen": [[round(start, 3), round(end, 3)] for start, end in series.seen],
        "thinned": series.thinned,
    }


def _base64(values: npt.NDArray[Any]) -> str:
    return base64.b64encode(np.ascontiguousarray(values).tobytes()).decode("ascii")
