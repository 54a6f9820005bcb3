"""How often the intervals of ``fervid study`` cover the true mean.

    python -m tests.benchmarks.study_intervals

For each number of participants and each distribution of their values, 4,000 studies are drawn. Printed is the share
whose interval covers the true mean, which should be 95 %, and beside it that of the percentile bootstrap.
"""

from __future__ import annotations

import numpy as np

from fervid.studies.statistics import bootstrap_t, draws
from fervid.types import DoubleArray

STUDIES, REPETITIONS = 4000, 1999
TRUTH = 0.0


def values(distribution: str, count: int, random: np.random.Generator) -> DoubleArray:
    """Values of one study, whose true mean is TRUTH."""
    if distribution == "normal":
        return random.normal(TRUTH, 1, count)
    return random.gamma(2, 1, count) - 2


def coverage(distribution: str, count: int, studies: int = STUDIES, repetitions: int = REPETITIONS) -> float:
    """The share of studies whose interval covers the true mean."""
    random = np.random.default_rng(5)
    hits = 0
    for _ in range(studies):
        low, high = bootstrap_t([values(distribution, count, random)], repetitions, seed=7)
        hits += low <= TRUTH <= high
    return hits / studies


def percentile_coverage(distribution: str, count: int) -> float:
    """The same of the percentile bootstrap, for comparison."""
    random = np.random.default_rng(5)
    drawn = draws(count, REPETITIONS, 7) / count
    hits = 0
    for _ in range(STUDIES):
        low, high = np.quantile(drawn @ values(distribution, count, random), [0.025, 0.975])
        hits += low <= TRUTH <= high
    return hits / STUDIES


if __name__ == "__main__":
    print("participants  values   bootstrap-t  percentile")
    for number in (5, 12, 40):
        for name in ("normal", "gamma"):
            print(f"{number:12}  {name:6}  {coverage(name, number):11.1%}  {percentile_coverage(name, number):10.1%}")
