"""Smoothing: invariants over made timelines, then exact results."""

from __future__ import annotations

import itertools
from typing import get_args

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.linalg import expm

from fervid.settings import Smoother
from fervid.timeline.gaps import median, segments
from fervid.timeline.smoothing import (
    CORRELATION_LENGTH,
    EXPRESSION_LENGTH,
    SHARPNESS,
    seconds_each,
    smooth,
    smooth_each,
    stay_probabilities,
)
from fervid.types import DoubleArray, FloatArray
from tests.support.synthetic_timelines import MAX_GAP, probabilities, seeds, times_of, weighing

widths = st.sampled_from([0.1, 0.5, 1.0, 1.5, 4.0])
smoothers = st.sampled_from(get_args(Smoother))


# segments


def test_segments_break_where_a_step_is_longer_than_the_gap() -> None:
    times = np.array([0.0, 0.5, 1.5, 2.6, 2.7, 9.0])
    assert segments(times, 1.0) == [slice(0, 3), slice(3, 5), slice(5, 6)]
    assert segments(times, 10.0) == [slice(0, 6)]
    assert segments(times[:0], 1.0) == []
    assert segments(times[:1], 1.0) == [slice(0, 1)]


@given(times=times_of)
def test_segments_cover_every_sample_once(times: DoubleArray) -> None:
    parts = segments(times, MAX_GAP)
    assert [row for part in parts for row in range(part.start, part.stop)] == list(range(len(times)))
    for part in parts:
        assert np.all(np.diff(times[part]) <= MAX_GAP + 1e-8)
    for before, after in itertools.pairwise(parts):
        assert times[after.start] - times[before.stop - 1] > MAX_GAP


@given(values=st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=30))
def test_the_median_is_that_of_numpy(values: list[float]) -> None:
    for kind in (np.float32, np.float64):
        assert median(np.array(values, kind)) == np.median(np.array(values, kind))


# what a sample stands for


def test_a_sample_is_weighted_by_half_the_distance_to_each_neighbour() -> None:
    assert seconds_each(np.array([0.2, 0.4, 0.4])) == pytest.approx([0.2, 0.3, 0.4, 0.4])
    assert seconds_each(np.zeros(0)).tolist() == [1.0]
    assert (seconds_each(np.zeros(3)) > 0).all()


# smoothing


def stays_by_definition(steps: DoubleArray, rows: DoubleArray, trust: DoubleArray, width: float) -> DoubleArray:
    """P(state at i + 1 = state at i | all rows), by matrix exponentials and explicit messages."""
    count = rows.shape[1]
    rates = (np.ones((count, count)) / count - np.eye(count)) * count / (count - 1) / (EXPRESSION_LENGTH * width)
    moves = expm(rates * steps[:, None, None])
    exponents = trust * np.minimum(seconds_each(steps) / (CORRELATION_LENGTH * width), 1)
    likely = np.maximum(rows, 1e-3) ** exponents[:, None]
    ahead, behind = [likely[0]], [np.ones(count)]
    for move, here in zip(moves, likely[1:], strict=True):
        ahead.append(here * (ahead[-1] @ move))
        ahead[-1] = ahead[-1] / ahead[-1].sum()
    for move, here in zip(moves[::-1], likely[:0:-1], strict=True):
        behind.insert(0, move @ (here * behind[0]))
        behind[0] = behind[0] / behind[0].sum()
    joints = [ahead[i][:, None] * moves[i] * (likely[i + 1] * behind[i + 1])[None] for i in range(len(steps))]
    return np.array([np.trace(joint) / joint.sum() for joint in joints])


@given(steps=st.lists(st.floats(0.001, 2.0), min_size=1, max_size=20), seed=seeds, width=widths)
@settings(max_examples=60)
def test_the_search_for_changes_is_exact_forward_backward(steps: list[float], seed: int, width: float) -> None:
    rows = probabilities(len(steps) + 1, seed).astype(np.float64)
    trust = weighing(len(rows), seed).astype(np.float64)
    fast = stay_probabilities(np.array(steps), rows, trust, width)
    assert fast == pytest.approx(stays_by_definition(np.array(steps), rows, trust, width), abs=1e-9)


def slowly(times: DoubleArray, values: FloatArray, weights: FloatArray, width: float, smoother: str) -> DoubleArray:
    """The definition: a weighted mean with a Gaussian of standard deviation width / 2, cut at three of them."""
    rows = np.zeros((len(times), 7))
    for part in segments(times, MAX_GAP):
        steps = np.round(np.diff(times[part]), 9)
        trust = np.maximum(weights[part].astype(np.float64), 1e-3)
        seconds = seconds_each(steps)
        stays = np.ones(len(steps))
        if smoother == "adaptive":
            stays = stays_by_definition(steps, values[part].astype(np.float64), trust, width)
        for row in range(len(trust)):
            total = 0.0
            for other in range(len(trust)):
                first, last = min(row, other), max(row, other)
                distance = np.round(steps[first:last].sum(), 9) / (width / 2)
                if distance <= 3 + 1e-9:
                    share = trust[other] * seconds[other] * np.exp(-0.5 * distance**2)
                    share *= np.prod(stays[first:last]) ** SHARPNESS
                    rows[part.start + row] += share * values[part.start + other].astype(float)
                    total += share
            rows[part.start + row] /= total
    return np.asarray(rows / rows.sum(axis=1, keepdims=True))


@given(times=times_of, seed=seeds, width=widths, smoother=smoothers)
@settings(max_examples=60)
def test_smoothing_equals_its_definition(times: DoubleArray, seed: int, width: float, smoother: Smoother) -> None:
    values, weights = probabilities(len(times), seed), weighing(len(times), seed)
    fast = smooth(times, values, weights, width, MAX_GAP, smoother)
    assert np.abs(fast - slowly(times, values, weights, width, smoother)).max() < 1e-5


@given(times=times_of, seed=seeds, width=widths, smoother=smoothers)
def test_smoothed_rows_are_probabilities_within_those_of_their_segment(
    times: DoubleArray, seed: int, width: float, smoother: Smoother
) -> None:
    values = probabilities(len(times), seed)
    smoothed = smooth(times, values, weighing(len(times), seed), width, MAX_GAP, smoother)
    assert smoothed.shape == values.shape
    assert smoothed.dtype == np.float32
    assert np.abs(smoothed.sum(axis=1) - 1).max() < 1e-5
    for part in segments(times, MAX_GAP):
        assert np.all(smoothed[part] >= values[part].min(axis=0) - 1e-6)
        assert np.all(smoothed[part] <= values[part].max(axis=0) + 1e-6)


@given(times=times_of, seed=seeds, width=widths, smoother=smoothers)
def test_a_constant_stays_constant(times: DoubleArray, seed: int, width: float, smoother: Smoother) -> None:
    values = np.repeat(probabilities(1, seed), len(times), axis=0)
    smoothed = smooth(times, values, weighing(len(times), seed), width, MAX_GAP, smoother)
    assert np.abs(smoothed - values).max() < 1e-6


@given(times=times_of, seed=seeds, width=widths, shift=st.floats(-100_000, 100_000), smoother=smoothers)
def test_moving_all_times_changes_nothing(
    times: DoubleArray, seed: int, width: float, shift: float, smoother: Smoother
) -> None:
    times = np.round(times, 6)  # microseconds, the finest resolution of containers
    values, weights = probabilities(len(times), seed), weighing(len(times), seed)
    still = smooth(times, values, weights, width, MAX_GAP, smoother)
    assert np.array_equal(smooth(times + shift, values, weights, width, MAX_GAP, smoother), still)


@given(times=times_of, seed=seeds, width=widths, smoother=smoothers)
def test_smoothing_is_symmetric_in_time(times: DoubleArray, seed: int, width: float, smoother: Smoother) -> None:
    values, weights = probabilities(len(times), seed), weighing(len(times), seed)
    forward = smooth(times, values, weights, width, MAX_GAP, smoother)
    backward = smooth(-times[::-1], values[::-1], weights[::-1], width, MAX_GAP, smoother)
    assert np.abs(backward[::-1] - forward).max() < 1e-5


@given(times=times_of, seed=seeds, width=widths, gap=st.floats(1.001, 8.0), smoother=smoothers)
def test_nothing_reaches_across_a_gap(
    times: DoubleArray, seed: int, width: float, gap: float, smoother: Smoother
) -> None:
    later = times + (times[-1] - times[0]) + gap
    both = np.concatenate([times, later])
    first, second, other = (probabilities(len(times), seed + add) for add in range(3))
    weights = weighing(2 * len(times), seed)
    one = smooth(both, np.concatenate([first, second]), weights, width, MAX_GAP, smoother)
    two = smooth(both, np.concatenate([first, other]), weights, width, MAX_GAP, smoother)
    assert np.array_equal(one[: len(times)], two[: len(times)])
    alone = smooth(times, first, weights[: len(times)], width, MAX_GAP, smoother)
    assert np.abs(one[: len(times)] - alone).max() < 1e-6


@given(times=times_of, seed=seeds, smoother=smoothers)
def test_without_a_width_the_raw_values_come_back_as_a_copy(times: DoubleArray, seed: int, smoother: Smoother) -> None:
    values = probabilities(len(times), seed)
    same = smooth(times, values, weighing(len(times), seed), 0.0, MAX_GAP, smoother)
    assert np.array_equal(same, values)
    assert not np.shares_memory(same, values)


@given(times=times_of, seed=seeds, width=widths, smoother=smoothers)
def test_the_input_is_not_changed(times: DoubleArray, seed: int, width: float, smoother: Smoother) -> None:
    values, weights = probabilities(len(times), seed), weighing(len(times), seed)
    kept_times, kept_values, kept_weights = times.copy(), values.copy(), weights.copy()
    smooth(times, values, weights, width, MAX_GAP, smoother)
    assert np.array_equal(times, kept_times)
    assert np.array_equal(values, kept_values)
    assert np.array_equal(weights, kept_weights)


@given(
    rate=st.sampled_from([5.0, 12.5, 25.0]),
    period=st.floats(2.0, 20.0),
    phase=st.floats(0, 6.28),
    seed=seeds,
    smoother=smoothers,
)
def test_losing_a_random_half_of_the_samples_changes_little(
    rate: float, period: float, phase: float, seed: int, smoother: Smoother
) -> None:
    times = np.arange(0, 20, 1 / rate)
    happy = 0.5 + 0.4 * np.sin(2 * np.pi * times / period + phase)
    values = np.repeat(((1 - happy) / 6)[:, None], 7, axis=1).astype(np.float32)
    values[:, 3] = happy
    kept = np.sort(np.random.default_rng(seed).permutation(len(times))[: len(times) // 2])
    assume(np.diff(times[kept]).max() <= MAX_GAP)
    ones = np.ones(len(times), np.float32)
    whole = smooth(times, values, ones, 1.5, MAX_GAP, smoother)[kept]
    half = smooth(times[kept], values[kept], ones[kept], 1.5, MAX_GAP, smoother)
    assert np.abs(half - whole).mean() < 0.025
    assert np.abs(half - whole)[:, 3].mean() < 0.05


@pytest.mark.parametrize("smoother", get_args(Smoother))
def test_the_sampling_rate_matters_little(smoother: Smoother) -> None:
    """Neutral, a smile of 0.8 s, neutral; sampled 5 and 25 times a second."""
    results = []
    for rate in (5, 25):
        times = np.arange(0, 6, 1 / rate)
        values = np.full((len(times), 7), 0.04, np.float32)
        smiling = (times >= 3 - 1e-9) & (times < 3.8 - 1e-9)
        values[smiling, 3] = values[~smiling, 6] = 0.76
        smoothed = smooth(times, values, np.ones(len(times), np.float32), 1.5, MAX_GAP, smoother)
        results.append(smoothed[:: rate // 5])
    assert np.abs(results[0] - results[1]).mean() < 0.02


def test_one_sample_and_no_sample() -> None:
    value = probabilities(1, 0)
    assert np.array_equal(smooth(np.array([5.0]), value, np.ones(1, np.float32), 1.0, MAX_GAP), value)
    empty = smooth(np.zeros(0), np.zeros((0, 7), np.float32), np.zeros(0, np.float32), 1.0, MAX_GAP)
    assert empty.shape == (0, 7)


@given(times=times_of.filter(lambda times: len(times) > 1), copies=st.integers(2, 4), seed=seeds, smoother=smoothers)
def test_samples_of_one_time_get_one_value(times: DoubleArray, copies: int, seed: int, smoother: Smoother) -> None:
    times = np.repeat(times, copies)
    values = probabilities(len(times), seed)
    smoothed = smooth(times, values, weighing(len(times), seed), 1.0, MAX_GAP, smoother)
    assert np.isfinite(smoothed).all()
    same = np.diff(times) == 0
    assert np.abs(np.diff(smoothed, axis=0)[same]).max() < 1e-6


def test_the_window_ends_where_the_expression_does() -> None:
    times = np.arange(40) / 5
    values = np.full((40, 7), 0.05, np.float32)
    values[:20, 6] = values[20:, 3] = 0.7
    ones = np.ones(40, np.float32)
    sharp, soft = (smooth(times, values, ones, 1.5, MAX_GAP, kind) for kind in get_args(Smoother))
    assert np.abs(sharp - values).max() < 0.15
    assert np.abs(soft - values).max() > 0.25


def test_a_single_outlier_is_no_change_of_expression() -> None:
    times = np.arange(41) / 5
    values = np.full((41, 7), 0.05, np.float32)
    values[:, 6] = 0.7
    values[20] = np.roll(values[20], 4)
    smoothed = smooth(times, values, np.ones(41, np.float32), 1.5, MAX_GAP)
    assert (smoothed.argmax(axis=1) == 6).all()


@pytest.mark.parametrize("smoother", get_args(Smoother))
def test_a_doubtful_sample_counts_less(smoother: Smoother) -> None:
    times, values = np.arange(5) / 5, np.repeat(probabilities(1, 1), 5, axis=0)
    values[2] = np.eye(7, dtype=np.float32)[0]
    distances = []
    for trust in (1.0, 0.5, 0.1, 0.0):
        weights = np.array([1, 1, trust, 1, 1], np.float32)
        smoothed = smooth(times, values, weights, 1.0, MAX_GAP, smoother)
        distances.append(float(np.abs(smoothed - values[0]).max()))
    assert distances == sorted(distances, reverse=True)
    assert distances[-1] < 0.01


def test_samples_of_weight_zero_count_equally() -> None:
    times, values = np.arange(5) / 5, probabilities(5, 1)
    nothing = smooth(times, values, np.zeros(5, np.float32), 1.0, MAX_GAP, "gaussian")
    assert np.abs(nothing - smooth(times, values, np.ones(5, np.float32), 1.0, MAX_GAP, "gaussian")).max() < 1e-6


@pytest.mark.parametrize("smoother", get_args(Smoother))
def test_a_wider_window_is_smoother(smoother: Smoother) -> None:
    times, values = np.arange(100) / 5, probabilities(100, 2)
    ones = np.ones(100, np.float32)
    rows = [smooth(times, values, ones, width, MAX_GAP, smoother) for width in (0, 0.5, 1, 2, 5)]
    moves = [float(np.abs(np.diff(row, axis=0)).sum()) for row in rows]
    assert moves == sorted(moves, reverse=True)
    assert moves[-1] < moves[0] / 2


def test_a_long_timeline_stays_finite() -> None:
    """Half an hour at 25 frames a second that jumps between certain emotions."""
    values = np.eye(7, dtype=np.float32)[np.random.default_rng(0).integers(7, size=45_000)]
    smoothed = smooth(np.arange(45_000) / 25, values, np.ones(45_000, np.float32), 1.5, MAX_GAP)
    assert np.isfinite(smoothed).all()
    assert np.abs(smoothed.sum(axis=1) - 1).max() < 1e-5


@given(counts=st.lists(st.integers(0, 40), min_size=1, max_size=8), width=widths, smoother=smoothers)
def test_many_timelines_get_the_same_bits_as_each_alone(counts: list[int], width: float, smoother: Smoother) -> None:
    generator = np.random.default_rng(sum(counts))
    times = [np.cumsum(generator.choice([0.04, 0.2, 0.2, 1.5], count)) for count in counts]
    values = [generator.dirichlet(np.ones(7), count).astype(np.float32).reshape(count, 7) for count in counts]
    weights = [generator.uniform(0, 1, count).astype(np.float32) for count in counts]
    together = smooth_each(times, values, weights, width, MAX_GAP, smoother)
    for own, found in zip(zip(times, values, weights, strict=True), together, strict=True):
        assert np.array_equal(found, smooth(*own, width, MAX_GAP, smoother))
