"""Synchrony: how alike the changes of two participants in one recording are, against a shuffled null."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fervid.studies.series import Series
from fervid.types import DoubleArray

STEP = 0.2
"""Seconds between two points at which both are compared."""

MIN_SECONDS = 10.0
"""Both must be seen together for at least this long."""

SHUFFLES = 200
"""How often one of the two is shifted in time for the null."""


@dataclass(frozen=True)
class Synchrony:
    """The synchrony of two participants in one measure.

    Attributes:
        seconds: Time for which both were observed at lag 0.
        correlation: Largest correlation (Pearson) over all lags, by amount.
        lag: Lag in seconds at which it occurs; above 0 if the second follows the first.
        at_zero: Correlation at lag 0.
        null_mean: Mean of the largest correlation by amount under the null.
        null_high: What 95 % of the null stays below, by amount.
        null_share: Share of the null that is at least as large, by amount.
    """

    seconds: float
    correlation: float
    lag: float
    at_zero: float
    null_mean: float
    null_high: float
    null_share: float


def synchrony(one: Series, other: Series, measure: int, max_lag: float, seed: int) -> Synchrony | None:
    """Compute the synchrony of two participants.

    The null shifts the second participant in a circle by a random time of at least twice the largest lag and one tenth
    of the recording, which keeps its own rhythm and breaks what ties it to the first (Moulder and others 2018,
    "Determining synchrony between behavioral time series").

    Args:
        one: The first participant.
        other: The second, in the same recording.
        measure: Position of the measure.
        max_lag: Largest lag in seconds.
        seed: Seed of the null.

    Returns:
        The synchrony; None if they are seen together too briefly, or one of them does not change.
    """
    begin, end = min(one.begin, other.begin), max(one.end, other.end)
    grid = np.arange(begin, end, STEP)
    first, second = (_on_grid(series, measure, grid) for series in (one, other))
    together = int((~np.isnan(first) & ~np.isnan(second)).sum())
    lags = round(max_lag / STEP)
    least = max(2 * lags + 1, len(grid) // 10)
    if together * STEP < MIN_SECONDS or len(grid) < 2 * least + 1:
        return None
    found = _correlations(first, second, lags)
    if np.isnan(found).all() or np.isnan(found[lags]):
        return None
    best = int(np.nanargmax(np.abs(found)))
    random = np.random.default_rng(seed)
    shifts = random.integers(least, len(grid) - least + 1, SHUFFLES)
    amounts = _shifted(first, second)[(shifts[:, None] + np.arange(-lags, lags + 1)) % len(grid)].max(axis=1)
    amounts, largest = amounts[amounts > -1], abs(float(found[best]))
    if not len(amounts):
        return None
    return Synchrony(
        together * STEP,
        float(found[best]),
        (best - lags) * STEP,
        float(found[lags]),
        float(amounts.mean()),
        float(np.quantile(amounts, 0.95)),
        float((amounts >= largest).mean()),
    )


def _on_grid(series: Series, measure: int, grid: DoubleArray) -> DoubleArray:
    """The values at the points of the grid; NaN where the participant was not observed."""
    values = np.full(len(grid), np.nan)
    if not len(series.times):
        return values
    places = np.searchsorted(series.ends, grid, "right").clip(max=len(series.times) - 1)
    inside = (series.starts[places] <= grid) & (grid < series.ends[places])
    known = ~np.isnan(series.values[:, measure])
    if known.any():
        values = np.interp(grid, series.times[known], series.values[known, measure])
    values[~(inside & known[places])] = np.nan
    return values


def _correlations(first: DoubleArray, second: DoubleArray, lags: int) -> DoubleArray:
    """(2 lags + 1,) correlations at each lag; NaN where fewer than MIN_SECONDS are shared or one does not change."""
    found = np.full(2 * lags + 1, np.nan)
    count = len(first)
    for lag in range(-lags, lags + 1):
        one = first[max(0, -lag) : count - max(0, lag)]
        two = second[max(0, lag) : count - max(0, -lag)]
        both = ~np.isnan(one) & ~np.isnan(two)
        if both.sum() * STEP < MIN_SECONDS:
            continue
        one, two = one[both] - one[both].mean(), two[both] - two[both].mean()
        scale = np.sqrt((one @ one) * (two @ two))
        if scale > 1e-12:
            found[lag + lags] = (one @ two) / scale
    return found


def _shifted(first: DoubleArray, second: DoubleArray) -> DoubleArray:
    """(n,) amount of the correlation with the second shifted in a circle by each number of steps; -1 where unknown."""
    known = [~np.isnan(values) for values in (first, second)]
    one, other = (
        np.where(seen, values - values[seen].mean(), 0.0) for values, seen in zip((first, second), known, strict=True)
    )

    def circular(a: DoubleArray, b: DoubleArray) -> DoubleArray:
        return np.fft.irfft(np.conj(np.fft.rfft(a)) * np.fft.rfft(b), len(a))

    seen_one, seen_other = (seen.astype(np.float64) for seen in known)
    count = np.maximum(circular(seen_one, seen_other), 1.0)
    sum_one, sum_other = circular(one, seen_other), circular(seen_one, other)
    spread_one = circular(one**2, seen_other) - sum_one**2 / count
    spread_other = circular(seen_one, other**2) - sum_other**2 / count
    scale = np.sqrt(np.maximum(spread_one * spread_other, 0.0))
    usable = (count * STEP >= MIN_SECONDS - STEP / 2) & (scale > 1e-9)
    amounts = np.full(len(first), -1.0)
    amounts[usable] = np.abs(circular(one, other) - sum_one * sum_other / count)[usable] / scale[usable]
    return np.asarray(np.minimum(amounts, 1.0))
