"""Smoothing and episodes: invariants over made timelines, then numbers."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fervid.timeline import Episode, episodes, segments, smooth
from fervid.types import DoubleArray, FloatArray

MAX_GAP = 1.0


def course(steps: list[float]) -> DoubleArray:
    return np.cumsum(np.array([3.0, *steps]))


def probabilities(count: int, seed: int) -> FloatArray:
    """A made run of seven probabilities that wanders as a face does."""
    random = np.random.default_rng(seed)
    logits = np.cumsum(random.normal(0, 1.2, (count, 7)), axis=0) + random.normal(0, 0.5, (count, 7))
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(exponentials / exponentials.sum(axis=1, keepdims=True), np.float32)


def weighing(count: int, seed: int) -> FloatArray:
    return np.asarray(np.random.default_rng(seed + 1000).uniform(0, 1, count), np.float32)


# steps that are usual, none at all, and longer than the longest gap
step = st.one_of(st.floats(0.01, 0.5), st.just(0.0), st.sampled_from([1.0, 1.001, 5.0]))
times_of = st.lists(step, max_size=40).map(course)
seeds = st.integers(0, 10_000)
# no kernel ends just at a round distance, where a rounding error would decide
widths = st.sampled_from([0.1003, 0.5003, 1.0003, 4.0003])


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
        assert np.all(np.diff(times[part]) <= MAX_GAP)
    for before, after in itertools.pairwise(parts):
        assert times[after.start] - times[before.stop - 1] > MAX_GAP


# smoothing


def slowly(times: DoubleArray, values: FloatArray, weights: FloatArray, width: float) -> DoubleArray:
    """The definition: a weighted mean with a Gaussian of standard deviation width / 2, cut at three of them."""
    rows = np.zeros((len(times), 7))
    for part in segments(times, MAX_GAP):
        for row in range(part.start, part.stop):
            total = 0.0
            for other in range(part.start, part.stop):
                distance = abs(times[other] - times[row]) / (width / 2)
                if distance <= 3:
                    share = max(float(weights[other]), 1e-3) * np.exp(-0.5 * distance**2)
                    rows[row] += share * values[other].astype(float)
                    total += share
            rows[row] /= total
    return np.asarray(rows / rows.sum(axis=1, keepdims=True))


@given(times=times_of, seed=seeds, width=widths)
@settings(max_examples=60)
def test_smoothing_equals_its_definition(times: DoubleArray, seed: int, width: float) -> None:
    values, weights = probabilities(len(times), seed), weighing(len(times), seed)
    fast = smooth(times, values, weights, width, MAX_GAP)
    assert np.abs(fast - slowly(times, values, weights, width)).max() < 1e-5


@given(times=times_of, seed=seeds, width=widths)
def test_smoothed_rows_are_probabilities_within_those_of_their_segment(
    times: DoubleArray, seed: int, width: float
) -> None:
    values = probabilities(len(times), seed)
    smoothed = smooth(times, values, weighing(len(times), seed), width, MAX_GAP)
    assert smoothed.shape == values.shape
    assert smoothed.dtype == np.float32
    assert np.abs(smoothed.sum(axis=1) - 1).max() < 1e-5
    for part in segments(times, MAX_GAP):
        assert np.all(smoothed[part] >= values[part].min(axis=0) - 1e-6)
        assert np.all(smoothed[part] <= values[part].max(axis=0) + 1e-6)


@given(times=times_of, seed=seeds, width=widths)
def test_a_constant_stays_constant(times: DoubleArray, seed: int, width: float) -> None:
    values = np.repeat(probabilities(1, seed), len(times), axis=0)
    assert np.abs(smooth(times, values, weighing(len(times), seed), width, MAX_GAP) - values).max() < 1e-6


@given(times=times_of, seed=seeds, width=widths, shift=st.floats(-1000, 1000))
def test_moving_all_times_changes_nothing(times: DoubleArray, seed: int, width: float, shift: float) -> None:
    times = np.round(times, 3)  # so that no step lies within a rounding error of the longest gap
    gap, values, weights = MAX_GAP + 1e-4, probabilities(len(times), seed), weighing(len(times), seed)
    moved = smooth(times + shift, values, weights, width, gap)
    assert np.abs(moved - smooth(times, values, weights, width, gap)).max() < 1e-5


@given(times=times_of, seed=seeds, width=widths)
def test_time_runs_both_ways_alike(times: DoubleArray, seed: int, width: float) -> None:
    values, weights = probabilities(len(times), seed), weighing(len(times), seed)
    forward = smooth(times, values, weights, width, MAX_GAP + 1e-6)
    backward = smooth(-times[::-1], values[::-1], weights[::-1], width, MAX_GAP + 1e-6)
    assert np.abs(backward[::-1] - forward).max() < 1e-5


@given(times=times_of, seed=seeds, width=widths, gap=st.floats(1.001, 8.0))
def test_nothing_reaches_across_a_gap(times: DoubleArray, seed: int, width: float, gap: float) -> None:
    later = times + (times[-1] - times[0]) + gap
    both = np.concatenate([times, later])
    first, second, other = (probabilities(len(times), seed + add) for add in range(3))
    weights = weighing(2 * len(times), seed)
    one = smooth(both, np.concatenate([first, second]), weights, width, MAX_GAP)
    two = smooth(both, np.concatenate([first, other]), weights, width, MAX_GAP)
    assert np.array_equal(one[: len(times)], two[: len(times)])
    alone = smooth(times, first, weights[: len(times)], width, MAX_GAP)
    assert np.abs(one[: len(times)] - alone).max() < 1e-6


@given(times=times_of, seed=seeds)
def test_without_a_width_the_raw_values_come_back_as_a_copy(times: DoubleArray, seed: int) -> None:
    values = probabilities(len(times), seed)
    same = smooth(times, values, weighing(len(times), seed), 0.0, MAX_GAP)
    assert np.array_equal(same, values)
    assert not np.shares_memory(same, values)


@given(times=times_of, seed=seeds, width=widths)
def test_the_input_is_left_as_it_was(times: DoubleArray, seed: int, width: float) -> None:
    values, weights = probabilities(len(times), seed), weighing(len(times), seed)
    kept_times, kept_values, kept_weights = times.copy(), values.copy(), weights.copy()
    smooth(times, values, weights, width, MAX_GAP)
    assert np.array_equal(times, kept_times)
    assert np.array_equal(values, kept_values)
    assert np.array_equal(weights, kept_weights)


def test_one_sample_and_none() -> None:
    value = probabilities(1, 0)
    assert np.array_equal(smooth(np.array([5.0]), value, np.ones(1, np.float32), 1.0, MAX_GAP), value)
    empty = smooth(np.zeros(0), np.zeros((0, 7), np.float32), np.zeros(0, np.float32), 1.0, MAX_GAP)
    assert empty.shape == (0, 7)


def test_samples_of_one_time_get_one_value() -> None:
    smoothed = smooth(np.array([1.0, 1.0, 1.0]), probabilities(3, 4), np.ones(3, np.float32), 1.0, MAX_GAP)
    assert np.abs(smoothed - smoothed[0]).max() < 1e-6


def test_a_doubtful_sample_counts_less() -> None:
    times, values = np.arange(5) / 5, np.repeat(probabilities(1, 1), 5, axis=0)
    values[2] = np.eye(7, dtype=np.float32)[0]
    distances = []
    for trust in (1.0, 0.5, 0.1, 0.0):
        weights = np.array([1, 1, trust, 1, 1], np.float32)
        distances.append(float(np.abs(smooth(times, values, weights, 1.0, MAX_GAP) - values[0]).max()))
    assert distances == sorted(distances, reverse=True)
    assert distances[-1] < 0.01


def test_samples_without_any_weight_count_alike() -> None:
    times, values = np.arange(5) / 5, probabilities(5, 1)
    nothing = smooth(times, values, np.zeros(5, np.float32), 1.0, MAX_GAP)
    assert np.abs(nothing - smooth(times, values, np.ones(5, np.float32), 1.0, MAX_GAP)).max() < 1e-6


def test_a_wider_window_is_smoother() -> None:
    times, values = np.arange(100) / 5, probabilities(100, 2)
    ones = np.ones(100, np.float32)
    moves = [float(np.abs(np.diff(smooth(times, values, ones, w, MAX_GAP), axis=0)).sum()) for w in (0, 0.5, 1, 2, 5)]
    assert moves == sorted(moves, reverse=True)
    assert moves[-1] < moves[0] / 2


# episodes

ONSET, OFFSET = 0.5, 0.35


def one_emotion(course: list[float], emotion: int = 3) -> FloatArray:
    """Rows in which one emotion takes the given course and the rest share what is left."""
    rows = np.repeat((1 - np.array(course))[:, None] / 6, 7, axis=1)
    rows[:, emotion] = course
    return rows.astype(np.float32)


def found(times: DoubleArray, values: FloatArray, least: float = 0.0) -> list[Episode]:
    return episodes(times, values, ONSET, OFFSET, least, MAX_GAP)


def test_an_episode_begins_at_onset_and_ends_below_offset() -> None:
    values = one_emotion([0.1, 0.45, 0.5, 0.9, 0.6, 0.4, 0.36, 0.3, 0.45, 0.1])
    (episode,) = found(np.arange(10) / 5, values)
    assert (episode.emotion, episode.onset, episode.apex, episode.offset) == pytest.approx((3, 0.4, 0.6, 1.4))
    assert episode.peak == pytest.approx(0.9)
    assert episode.mean == pytest.approx(np.mean([0.5, 0.9, 0.6, 0.4, 0.36]))


def test_the_last_sample_of_a_run_lasts_one_usual_step() -> None:
    (episode,) = found(np.arange(5) / 4, one_emotion([0.1, 0.1, 0.8, 0.8, 0.8]))
    assert (episode.onset, episode.offset) == pytest.approx((0.5, 1.25))


def test_another_emotion_that_reaches_onset_ends_an_episode() -> None:
    values = np.concatenate([one_emotion([0.8] * 5, 3), one_emotion([0.8] * 5, 0)])
    first, second = found(np.arange(10) / 5, values)
    assert (first.emotion, first.onset, first.offset) == pytest.approx((3, 0.0, 1.0))
    assert (second.emotion, second.onset, second.offset) == pytest.approx((0, 1.0, 2.0))


def test_another_emotion_that_leads_below_onset_does_not() -> None:
    rows = np.full((3, 7), 0.02, np.float32)
    rows[:, 3], rows[:, 0] = (0.8, 0.42, 0.8), (0.1, 0.48, 0.1)
    assert [episode.emotion for episode in found(np.arange(3) / 5, rows)] == [3]


def test_brief_episodes_are_dropped() -> None:
    values = one_emotion([0.1, 0.8, 0.1, 0.1, 0.8, 0.8, 0.1])
    times = np.arange(7) / 5
    assert len(found(times, values)) == 2
    assert [episode.onset for episode in found(times, values, 0.4)] == pytest.approx([0.8])
    assert found(times, values, 0.41) == []


def test_a_gap_parts_an_episode() -> None:
    times = np.concatenate([np.arange(5) / 5, 4 + np.arange(5) / 5])
    first, second = found(times, one_emotion([0.8] * 10))
    assert (first.onset, first.offset) == pytest.approx((0.0, 1.0))
    assert (second.onset, second.offset) == pytest.approx((4.0, 5.0))


def test_no_sample_no_episode() -> None:
    assert found(np.zeros(0), np.zeros((0, 7), np.float32)) == []
    assert found(np.array([1.0]), one_emotion([0.4])) == []
    assert [episode.offset for episode in found(np.array([1.0]), one_emotion([0.9]))] == [1.0]
    assert found(np.array([1.0]), one_emotion([0.9]), 0.3) == []


@given(times=times_of, seed=seeds, least=st.sampled_from([0.0, 0.3, 1.0]))
def test_episode_invariants(times: DoubleArray, seed: int, least: float) -> None:
    values = probabilities(len(times), seed)
    result = found(times, values, least)
    for episode in result:
        assert episode.onset <= episode.apex <= episode.offset
        assert episode.offset - episode.onset >= least - 1e-6
        assert episode.onset in times
        assert episode.apex in times
        assert ONSET <= episode.peak <= 1
        assert OFFSET - 1e-6 <= episode.mean <= episode.peak + 1e-6
    for before, after in itertools.pairwise(result):
        assert before.offset <= after.onset
    for last, first in itertools.pairwise(times):
        if first - last > MAX_GAP:
            assert not any(episode.onset <= last and episode.offset >= first for episode in result)


@given(times=st.lists(st.floats(0.01, 1.5), max_size=40).map(course), seed=seeds)
def test_episodes_hold_just_the_samples_that_they_should(times: DoubleArray, seed: int) -> None:
    values = probabilities(len(times), seed)
    result = found(times, values)
    for row, time in enumerate(times):
        within = [episode for episode in result if episode.onset <= time < episode.offset]
        leader = int(values[row].argmax())
        alone = row + 1 == len(times) or times[row + 1] - time > MAX_GAP
        if values[row, leader] >= ONSET and not (alone and not within):
            assert [episode.emotion for episode in within] == [leader]
        for episode in within:
            assert values[row, episode.emotion] >= OFFSET
    for episode in result:
        rows = np.flatnonzero((times >= episode.onset) & (times < max(episode.offset, episode.onset + 1e-9)))
        course_of = values[rows, episode.emotion]
        assert episode.peak == pytest.approx(course_of.max())
        assert episode.mean == pytest.approx(course_of.mean(), abs=1e-6)
        assert values[rows[0], episode.emotion] >= ONSET
        assert values[times == episode.apex, episode.emotion].max() == pytest.approx(episode.peak)
