"""Intervals, effect sizes and differences."""

from __future__ import annotations

import numpy as np
import pytest

from fervid.studies.statistics import bootstrap_t, difference_estimate, mean_estimate
from tests.benchmarks.study_intervals import coverage


@pytest.mark.parametrize("count", [12, 40])
@pytest.mark.parametrize("distribution", ["normal", "gamma"])
def test_intervals_cover_the_truth_in_95_of_100_studies(distribution: str, count: int) -> None:
    assert 0.935 <= coverage(distribution, count, studies=4000, repetitions=999) <= 0.965


def test_intervals_of_differences_between_groups_cover_the_truth() -> None:
    random = np.random.default_rng(1)
    hits = 0
    for _ in range(2000):
        samples = [random.normal(0.3, 1, 20), random.normal(0, 2, 15)]
        low, high = bootstrap_t(samples, 999, 3)
        hits += low <= 0.3 <= high
    assert 0.93 <= hits / 2000 <= 0.97


def test_a_mean_and_its_effect_size_are_those_of_the_textbook() -> None:
    estimate = mean_estimate(np.array([1.0, 2, 3, 4, 5, np.nan]), 500, 1)
    assert (estimate.participants, estimate.value) == (5, 3)
    assert estimate.sd == pytest.approx(np.sqrt(2.5))
    assert estimate.low < 3 < estimate.high
    assert estimate.effect_size(4) == pytest.approx(3 / np.sqrt(2.5) * (1 - 3 / 15))


def test_a_difference_between_groups_has_the_pooled_standard_deviation() -> None:
    one, other = np.array([1.0, 3, 5]), np.array([2.0, 2, 2, 6])
    estimate = difference_estimate(one, other, 500, 1)
    assert estimate.value == pytest.approx(3 - 3)
    assert estimate.sd == pytest.approx(np.sqrt((8 + 12) / 5))
    assert np.isnan(estimate.low)


@pytest.mark.parametrize("values", [[], [1.0], [1.0, 2, 3, 4]])
def test_few_participants_have_no_interval(values: list[float]) -> None:
    estimate = mean_estimate(np.array(values), 500, 1)
    assert np.isnan([estimate.low, estimate.high]).all()
    assert estimate.participants == len(values)


def test_equal_values_have_an_interval_without_width_and_no_effect_size() -> None:
    estimate = mean_estimate(np.full(10, 0.12, np.float32).astype(np.float64) + 1e-9 * np.arange(10), 500, 1)
    assert estimate.low == estimate.high == estimate.value
    assert np.isnan(estimate.effect_size(9))


def test_values_that_are_nearly_all_equal_have_no_interval() -> None:
    estimate = mean_estimate(np.array([0.0] * 11 + [1]), 500, 1)
    assert np.isnan([estimate.low, estimate.high]).all()


def test_the_same_seed_gives_the_same_interval_and_the_order_of_repetition_does_not_matter() -> None:
    values = np.random.default_rng(2).normal(0, 1, 20)
    assert bootstrap_t([values], 500, 1) == bootstrap_t([values], 500, 1)
    shifted = bootstrap_t([values + 10], 500, 1)
    assert shifted == pytest.approx([end + 10 for end in bootstrap_t([values], 500, 1)])
