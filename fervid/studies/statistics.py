"""Means, differences and effect sizes over participants, with bootstrap intervals.

Intervals are 95 % intervals of the bootstrap-t (Efron and Tibshirani 1993, "An Introduction to the Bootstrap", section
12.5): participants are drawn with replacement, never single frames or events, and the mean of each draw is divided by
its own standard error. It covers the true mean better than the percentile bootstrap if participants are few.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fervid.types import DoubleArray

CONFIDENCE = 0.95
"""Share of repetitions of a study in which an interval covers the true value."""

MIN_PARTICIPANTS = 5
"""With fewer participants there is no interval: too many draws would have a standard error of 0."""


_ROUNDING = 1e-6
"""Relative spread that is rounding of float32 alone."""


@dataclass(frozen=True)
class Estimate:
    """A mean or a difference of means over participants.

    Attributes:
        participants: Number of participants with a value.
        value: The mean or the difference.
        low: Lower end of the interval; NaN if there are too few participants.
        high: Its upper end.
        sd: Standard deviation over participants; NaN for one participant. Of a difference between groups: the pooled
            one.
    """

    participants: int
    value: float
    low: float
    high: float
    sd: float

    def effect_size(self, degrees: int) -> float:
        """Compute the difference in standard deviations, with the correction of Hedges (1981).

        Args:
            degrees: Degrees of freedom of the standard deviation.

        Returns:
            The effect size; NaN if the standard deviation is 0 or unknown.
        """
        if not self.sd > _ROUNDING * abs(self.value) or degrees < 1:
            return float("nan")
        return self.value / self.sd * (1 - 3 / (4 * degrees - 1))


def mean_estimate(values: DoubleArray, repetitions: int, seed: int) -> Estimate:
    """Estimate a mean.

    Args:
        values: (n,) one value per participant; NaN where there is none.
        repetitions: Repetitions of the bootstrap.
        seed: Seed of its random numbers.

    Returns:
        The estimate.
    """
    values = values[~np.isnan(values)]
    count = len(values)
    if not count:
        return Estimate(0, np.nan, np.nan, np.nan, np.nan)
    value, sd = float(values.mean()), float(values.std(ddof=1)) if count > 1 else np.nan
    if count < MIN_PARTICIPANTS:
        return Estimate(count, value, np.nan, np.nan, sd)
    low, high = bootstrap_t([values], repetitions, seed)
    return Estimate(count, value, low, high, sd)


def difference_estimate(one: DoubleArray, other: DoubleArray, repetitions: int, seed: int) -> Estimate:
    """Estimate the difference of the means of two groups of different participants.

    Args:
        one: (n,) one value per participant of the first group; NaN where there is none.
        other: (m,) the same of the second group.
        repetitions: Repetitions of the bootstrap.
        seed: Seed of its random numbers.

    Returns:
        First minus second.
    """
    one, other = one[~np.isnan(one)], other[~np.isnan(other)]
    count = len(one) + len(other)
    if not len(one) or not len(other):
        return Estimate(count, np.nan, np.nan, np.nan, np.nan)
    value = float(one.mean() - other.mean())
    squares = ((one - one.mean()) ** 2).sum() + ((other - other.mean()) ** 2).sum()
    sd = float(np.sqrt(squares / (count - 2))) if count > 2 else np.nan
    if min(len(one), len(other)) < MIN_PARTICIPANTS:
        return Estimate(count, value, np.nan, np.nan, sd)
    low, high = bootstrap_t([one, other], repetitions, seed)
    return Estimate(count, value, low, high, sd)


def bootstrap_t(samples: Sequence[DoubleArray], repetitions: int, seed: int) -> tuple[float, float]:
    """Compute the bootstrap-t interval of a mean, or of the difference of two means.

    Args:
        samples: One sample, or two independent ones; each (n,) with n of at least 2.
        repetitions: Number of draws.
        seed: Seed of the random numbers.

    Returns:
        Lower and upper end. If all values of each sample are equal, both are the estimate. If so many are equal that
        the interval would not be finite, both are NaN.
    """
    value = float(samples[0].mean() - (samples[1].mean() if len(samples) > 1 else 0.0))
    error = float(np.sqrt(sum(sample.var(ddof=1) / len(sample) for sample in samples)))
    if error <= _ROUNDING * max(float(np.abs(sample).max()) for sample in samples):
        return value, value
    shifts, squared = np.zeros(repetitions), np.zeros(repetitions)
    for number, sample in enumerate(samples):
        count = len(sample)
        drawn, centred = draws(count, repetitions, seed + number), sample - sample.mean()
        means = drawn @ centred / count
        shifts += -means if number else means
        squared += np.maximum(drawn @ centred**2 - count * means**2, 0.0) / (count - 1) / count
    usable = squared > (1e-6 * error) ** 2
    # a draw of equal values has no standard error: its ratio is infinite, to the side where its mean lies
    ratios = np.where(shifts < 0, -np.inf, np.inf)
    ratios[usable] = shifts[usable] / np.sqrt(squared[usable])
    tail = (1 - CONFIDENCE) / 2
    lowest, highest = np.quantile(ratios, [tail, 1 - tail], method="inverted_cdf")
    if not np.isfinite([lowest, highest]).all():
        return np.nan, np.nan
    return value - float(highest) * error, value - float(lowest) * error


@functools.lru_cache(maxsize=8)
def draws(count: int, repetitions: int, seed: int) -> DoubleArray:
    """Draw participants with replacement.

    Args:
        count: Number of participants.
        repetitions: Number of draws.
        seed: Seed of the random numbers.

    Returns:
        (repetitions, count): how often each participant is in each draw.
    """
    random = np.random.default_rng([seed, count])
    return random.multinomial(count, np.full(count, 1 / count), repetitions).astype(np.float64)
