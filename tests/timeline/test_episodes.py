"""Episodes: exact results for made timelines, then invariants."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fervid.settings import Smoother, TimelineSettings
from fervid.timeline.episodes import Episode, episodes, evidence
from fervid.timeline.gaps import segments
from fervid.timeline.smoothing import smooth
from fervid.types import DoubleArray, FloatArray
from tests.support.synthetic_timelines import MAX_GAP, probabilities, seeds, times_after_steps, times_of, weighing

ONSET, OFFSET = 0.5, 0.35


def one_emotion(values: list[float], emotion: int = 3) -> FloatArray:
    """Rows in which one emotion has the given values and the other six share the rest."""
    rows = np.repeat((1 - np.array(values))[:, None] / 6, 7, axis=1)
    rows[:, emotion] = values
    return rows.astype(np.float32)


def found(times: DoubleArray, values: FloatArray, min_duration: float = 0.0) -> list[Episode]:
    return episodes(times, values, ONSET, OFFSET, min_duration, MAX_GAP)


def test_an_episode_reaches_onset_and_lasts_while_at_offset_on_both_sides() -> None:
    values = one_emotion([0.1, 0.45, 0.5, 0.9, 0.6, 0.4, 0.36, 0.3, 0.45, 0.1])
    (episode,) = found(np.arange(10) / 5, values)
    assert (episode.emotion, episode.onset, episode.apex, episode.offset) == pytest.approx((3, 0.2, 0.6, 1.4))
    assert episode.peak == pytest.approx(0.9)
    assert episode.mean == pytest.approx(np.mean([0.45, 0.5, 0.9, 0.6, 0.4, 0.36]))


def test_the_last_sample_of_a_run_lasts_one_usual_step() -> None:
    (episode,) = found(np.arange(5) / 4, one_emotion([0.1, 0.1, 0.8, 0.8, 0.8]))
    assert (episode.onset, episode.offset) == pytest.approx((0.5, 1.25))


def test_no_episode_lasts_beyond_the_video() -> None:
    (episode,) = episodes(np.arange(5) / 4, one_emotion([0.8] * 5), ONSET, OFFSET, 0.0, MAX_GAP, end=1.1)
    assert episode.offset == 1.1


def test_another_emotion_that_reaches_onset_ends_an_episode() -> None:
    values = np.concatenate([one_emotion([0.8] * 5, 3), one_emotion([0.8] * 5, 0)])
    first, second = found(np.arange(10) / 5, values)
    assert (first.emotion, first.onset, first.offset) == pytest.approx((3, 0.0, 1.0))
    assert (second.emotion, second.onset, second.offset) == pytest.approx((0, 1.0, 2.0))


def test_adjacent_episodes_are_split_where_both_lose_least() -> None:
    rows = np.full((6, 7), 0.02, np.float32)
    rows[:, 3] = [0.8, 0.47, 0.46, 0.42, 0.37, 0.1]
    rows[:, 0] = [0.1, 0.36, 0.4, 0.45, 0.46, 0.8]
    first, second = found(np.arange(6) / 5, rows)
    assert (first.emotion, second.emotion) == (3, 0)
    assert first.offset == second.onset == pytest.approx(0.6)


def test_another_emotion_that_leads_below_onset_does_not_end_an_episode() -> None:
    rows = np.full((3, 7), 0.02, np.float32)
    rows[:, 3], rows[:, 0] = (0.8, 0.42, 0.8), (0.1, 0.48, 0.1)
    assert [episode.emotion for episode in found(np.arange(3) / 5, rows)] == [3]


def test_brief_episodes_are_dropped() -> None:
    values = one_emotion([0.1, 0.8, 0.1, 0.1, 0.8, 0.8, 0.1])
    times = np.arange(7) / 5
    assert len(found(times, values)) == 2
    assert [episode.onset for episode in found(times, values, 0.4)] == pytest.approx([0.8])
    assert found(times, values, 0.41) == []


def test_a_gap_splits_an_episode() -> None:
    times = np.concatenate([np.arange(5) / 5, 4 + np.arange(5) / 5])
    first, second = found(times, one_emotion([0.8] * 10))
    assert (first.onset, first.offset) == pytest.approx((0.0, 1.0))
    assert (second.onset, second.offset) == pytest.approx((4.0, 5.0))


def test_no_sample_and_one_sample() -> None:
    assert found(np.zeros(0), np.zeros((0, 7), np.float32)) == []
    assert found(np.array([1.0]), one_emotion([0.4])) == []
    assert [episode.offset for episode in found(np.array([1.0]), one_emotion([0.9]))] == [1.0]
    assert found(np.array([1.0]), one_emotion([0.9]), 0.3) == []


@pytest.mark.parametrize("rate", [5, 25])
@pytest.mark.parametrize(("smoother", "seconds"), [("adaptive", 0.4), ("adaptive", 0.8), ("gaussian", 0.6)])
def test_a_brief_smile_is_an_episode(rate: int, smoother: Smoother, seconds: float) -> None:
    """With default settings at any sampling rate, even if it never leads in the smoothed values."""
    times = np.arange(0, 6, 1 / rate)
    raw = np.full((len(times), 7), 0.02, np.float32)
    smiling = (times >= 3 - 1e-9) & (times < 3 + seconds - 1e-9)
    raw[smiling, 3] = raw[~smiling, 6] = 0.88
    defaults, ones = TimelineSettings(), np.ones(len(times), np.float32)
    smoothed = smooth(times, raw, ones, defaults.smooth, MAX_GAP, smoother)
    values = evidence(times, raw, smoothed, ones, defaults.min_episode, MAX_GAP)
    result = episodes(times, values, defaults.onset, defaults.offset, defaults.min_episode, MAX_GAP)
    assert [episode.emotion for episode in result] == [6, 3, 6]
    assert result[1].onset == pytest.approx(3.0, abs=0.2)
    assert result[1].offset == pytest.approx(3.0 + seconds, abs=0.2)


@given(times=times_of, seed=seeds)
def test_evidence_sums_to_one_and_lies_between_raw_and_smoothed(times: DoubleArray, seed: int) -> None:
    raw, weights = probabilities(len(times), seed), weighing(len(times), seed)
    smoothed = smooth(times, raw, weights, 1.5, MAX_GAP)
    values = evidence(times, raw, smoothed, weights, 0.3, MAX_GAP)
    assert np.abs(values.sum(axis=1) - 1).max() < 1e-5
    assert np.abs(evidence(times, raw, smoothed, weights, 0.0, MAX_GAP) - (2 * raw + smoothed) / 3).max() < 1e-6
    for part in segments(times, MAX_GAP):
        assert np.all(values[part] <= raw[part].max(axis=0) + 1e-6)


@given(times=times_of, seed=seeds, min_duration=st.sampled_from([0.0, 0.3, 1.0]))
def test_episode_invariants(times: DoubleArray, seed: int, min_duration: float) -> None:
    values = probabilities(len(times), seed)
    result = found(times, values, min_duration)
    for episode in result:
        assert episode.onset <= episode.apex <= episode.offset
        assert episode.offset - episode.onset >= min_duration - 1e-6
        assert episode.onset in times
        assert episode.apex in times
        assert ONSET <= episode.peak <= 1
        assert OFFSET - 1e-6 <= episode.mean <= episode.peak + 1e-6
    for before, after in itertools.pairwise(result):
        assert before.offset <= after.onset
    for last, first in itertools.pairwise(times):
        if first - last > MAX_GAP + 1e-6:
            assert not any(episode.onset <= last and episode.offset >= first for episode in result)


@given(times=st.lists(st.floats(0.01, 1.5), max_size=40).map(times_after_steps), seed=seeds)
def test_episodes_hold_exactly_the_right_samples(times: DoubleArray, seed: int) -> None:
    values = probabilities(len(times), seed)
    result = found(times, values)
    for row, time in enumerate(times):
        within = [episode for episode in result if episode.onset <= time < episode.offset]
        leader = int(values[row].argmax())
        alone = row + 1 == len(times) or times[row + 1] - time > MAX_GAP + 1e-9
        if values[row, leader] >= ONSET and not (alone and not within):
            assert [episode.emotion for episode in within] == [leader]
        for episode in within:
            assert values[row, episode.emotion] >= OFFSET
    for episode in result:
        rows = np.flatnonzero((times >= episode.onset) & (times < max(episode.offset, episode.onset + 1e-9)))
        leading_values = values[rows, episode.emotion]
        assert episode.peak == pytest.approx(leading_values.max())
        assert episode.mean == pytest.approx(leading_values.mean(), abs=1e-6)
        assert leading_values.max() >= ONSET
        assert values[times == episode.apex, episode.emotion].max() == pytest.approx(episode.peak)


@given(times=st.lists(st.floats(0.01, 0.5), max_size=40).map(times_after_steps), seed=seeds)
def test_an_episode_cannot_be_longer(times: DoubleArray, seed: int) -> None:
    """The sample before an episode is below the offset, belongs to another episode, or does not exist."""
    values = probabilities(len(times), seed)
    result = found(times, values)
    for episode in result:
        before = int(np.flatnonzero(times == episode.onset)[0]) - 1
        taken = any(other.onset <= times[before] < other.offset for other in result)
        assert before < 0 or taken or values[before, episode.emotion] < OFFSET


@given(times=st.lists(st.floats(0.01, 0.5), min_size=1, max_size=40).map(times_after_steps), seed=seeds)
def test_a_timeline_reversed_in_time_has_the_reversed_episodes(times: DoubleArray, seed: int) -> None:
    values = probabilities(len(times), seed)

    def rows(result: list[Episode], clock: DoubleArray) -> list[tuple[int, int, int]]:
        starts = [int(np.searchsorted(clock, episode.onset)) for episode in result]
        stops = [int(np.searchsorted(clock, episode.offset)) for episode in result]
        return [(e.emotion, start, stop) for e, start, stop in zip(result, starts, stops, strict=True)]

    mirrored = -times[::-1]
    count = len(times)
    forward, backward = rows(found(times, values), times), rows(found(mirrored, values[::-1]), mirrored)
    assert forward == [(emotion, count - stop, count - start) for emotion, start, stop in reversed(backward)]
