"""A regular grid of times for samples of a video, without computing any new value."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fervid.timeline.gaps import median_step
from fervid.types import DoubleArray

REGULAR = 1e-3
"""Seconds by which samples may be off the grid and still count as regular: times of some containers are whole ms."""

MAX_ROWS = 20
"""Largest number of rows per sample. A grid that needs more is almost empty."""

_DIGITS = 9
"""Decimals of rates and starts. The error after ten hours is below a microsecond."""


@dataclass(frozen=True, eq=False)
class RegularGrid:
    """Rows at a constant rate, and the row of each sample.

    Attributes:
        start: Time of the first row in seconds.
        rate: Rows per second.
        rows: (n,) int64 row of each sample; no two samples share one.
        shift: Largest time between a sample and its row, in seconds; at most half the time between two rows.
    """

    start: float
    rate: float
    rows: npt.NDArray[np.int64]
    shift: float

    @property
    def count(self) -> int:
        """Number of rows."""
        return int(self.rows[-1]) + 1

    @property
    def regular(self) -> bool:
        """Whether the samples are as far apart as the rows, or a whole number of times that."""
        return self.shift <= REGULAR


def regular_grid(times: DoubleArray) -> RegularGrid | None:
    """Find a grid on which every sample has a row of its own, at most half a row from its time.

    The rate is that of the usual step between samples, by least squares, if all steps are about a whole number of it.
    Otherwise it is that of the shortest step.

    Args:
        times: (n,) increasing times in seconds.

    Returns:
        The grid; None for fewer than two samples, and if a grid needs more than MAX_ROWS rows per sample.
    """
    if len(times) < 2:
        return None
    between, usual = np.diff(times), median_step(times)
    step = float(between[between <= 1.5 * usual].mean())  # the median of times in whole ms would be off after a gap
    grids = (_fitted(times, step), _nearest(times, float(between.min())))
    return next((grid for grid in grids if grid is not None), None)


def _fitted(times: DoubleArray, step: float) -> RegularGrid | None:
    """The grid whose steps are nearest to those of the samples."""
    if not step > 0 or np.diff(times).max() / step > MAX_ROWS * len(times):
        return None
    rows = np.append(0, np.cumsum(np.rint(np.diff(times) / step))).astype(np.int64)
    centred = rows - rows.mean()
    slope = float(centred @ (times - times.mean()) / max(float(centred @ centred), 1.0))
    if not slope > 0:
        return None
    start = round(float(times.mean() - slope * rows.mean()), _DIGITS) + 0.0  # no -0.0
    return _checked(times, rows, start, slope)


def _nearest(times: DoubleArray, step: float) -> RegularGrid | None:
    """The grid that begins with the first sample and has this step."""
    if not step > 0 or (times[-1] - times[0]) / step > MAX_ROWS * len(times):
        return None
    rows = np.floor((times - times[0]) / step + 0.5).astype(np.int64)
    return _checked(times, rows, float(times[0]), step)


def _checked(times: DoubleArray, rows: npt.NDArray[np.int64], start: float, step: float) -> RegularGrid | None:
    """The grid, if it is as ``regular_grid`` says."""
    rate = round(1 / step, _DIGITS)
    shift = float(np.abs(times - (start + rows / rate)).max()) if rate > 0 else float("inf")
    fits = bool((np.diff(rows) > 0).all()) and rows[-1] < MAX_ROWS * len(times)
    return RegularGrid(start, rate, rows, shift) if fits and shift <= 0.5 / rate + 1e-6 else None
