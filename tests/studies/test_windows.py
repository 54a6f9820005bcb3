"""Windows, baselines, coverage and episodes, against values computed by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fervid.studies.baselines import BaselineSums, add_baseline, log_odds, merged
from fervid.studies.catalog import Recording
from fervid.studies.series import Series
from fervid.studies.settings import BaselineSettings
from fervid.studies.synchrony import _shifted, synchrony
from fervid.studies.windows import Window, event_courses, window_values
from fervid.timeline.gaps import periods
from fervid.types import EMOTIONS, DoubleArray

HAPPY = EMOTIONS.index("happy")


def series(times: DoubleArray, values: DoubleArray, onsets: tuple[float, ...] = (), name: str = "Ann") -> Series:
    """A participant whose only measure is happy."""
    starts, ends = periods(times, 1.0)
    leading = np.where(values > 0.5, HAPPY, EMOTIONS.index("neutral"))
    recording = Recording(Path("r"), "a.mp4", "a" * 32, float(times[-1]) + 0.1, "")
    return Series(name, recording, ("happy",), times, starts, ends, values[:, None], np.full(len(times), 0.5), leading,
                  {"happy": np.array(onsets)}, float(times[0]), recording.end or 0.0)  # fmt: skip


def figures(one: Series, start: float, end: float, origin: float | None = None) -> dict[str, float]:
    values = window_values(one, [Window("event", start, end, start if origin is None else origin)])
    found = {name: float(numbers[0, 0]) for name, numbers in values.figures.items()}
    return found | {"seconds": float(values.seconds[0, 0]), "coverage": float(values.coverage[0, 0])}


@pytest.mark.filterwarnings("error")
def test_a_single_sample_stands_for_no_time() -> None:
    found = figures(series(np.array([1.0]), np.array([0.8])), 0.0, 2.0)
    assert (found["seconds"], found["coverage"]) == (0, 0)
    assert np.isnan([found[name] for name in ("mean", "maximum", "area", "share_leading", "episodes")]).all()


TIMES = np.array([0.0, 1.0, 2.0, 2.5, 3.0, 6.0, 7.0])
VALUES = np.array([0.0, 0.8, 0.4, 0.6, 0.2, 1.0, 0.0])
"""Samples with a gap from 3 to 6 s. Their periods end at 0.5, 1.5, 2.25, 2.75, 3.5 (half a median step after 3), and,
after the gap, last from 5.5 to 6.5 and 7.5."""


def test_periods_reach_half_way_and_stop_beside_gaps() -> None:
    starts, ends = periods(TIMES, 1.0)
    assert starts.tolist() == [-0.5, 0.5, 1.5, 2.25, 2.75, 5.5, 6.5]
    assert ends.tolist() == [0.5, 1.5, 2.25, 2.75, 3.5, 6.5, 7.5]


def test_the_figures_of_a_window_are_weighted_by_true_time() -> None:
    found = figures(series(TIMES, VALUES, (1.0, 2.5, 6.0)), 1.0, 6.0)
    weighted = 0.5 * 0.8 + 0.75 * 0.4 + 0.5 * 0.6 + 0.75 * 0.2 + 0.5 * 1.0
    assert found["seconds"] == pytest.approx(3.0)
    assert found["coverage"] == pytest.approx(0.6)
    assert found["area"] == pytest.approx(weighted)
    assert found["mean"] == pytest.approx(weighted / 3)
    assert found["maximum"] == pytest.approx(0.8)
    assert found["share_leading"] == pytest.approx((0.5 + 0.5 + 0.5) / 3)
    assert (found["episodes"], found["episodes_per_minute"], found["latency"]) == (2, 40, 0)


def test_a_latency_after_unobserved_time_is_not_given() -> None:
    one = series(TIMES, VALUES, (6.0,))
    assert np.isnan(figures(one, 1.0, 7.0)["latency"])
    assert figures(one, 5.5, 7.0)["latency"] == pytest.approx(0.5)
    assert figures(one, 4.5, 7.0, origin=5.6)["latency"] == pytest.approx(0.4)


def test_a_window_without_samples_has_no_values() -> None:
    found = figures(series(TIMES, VALUES), 4.0, 5.0)
    assert found["seconds"] == found["coverage"] == 0
    assert all(np.isnan(found[name]) for name in ("mean", "maximum", "area", "share_leading", "episodes", "latency"))


def test_the_course_is_empty_where_less_than_half_of_a_step_was_observed() -> None:
    course = event_courses(series(TIMES, VALUES), np.array([2.0]), np.array([-1.0, 0, 1, 2, 3, 4]))[0, :, 0]
    assert course[:2] == pytest.approx([0.5 * 0.8 + 0.5 * 0.4, 0.25 * 0.4 + 0.5 * 0.6 + 0.25 * 0.2])
    assert np.isnan(course[3])
    assert course[2] == pytest.approx(0.2)
    assert course[4] == pytest.approx(1.0)


@given(st.integers(0, 10_000), st.floats(0, 30), st.floats(2, 10), st.sampled_from([(5, 25), (4, 30), (10, 12.5)]))
def test_results_do_not_depend_on_the_sampling_rate(
    seed: int, start: float, length: float, rates: tuple[float, float]
) -> None:
    random = np.random.default_rng(seed)
    phase, speed = random.uniform(0, 6, 2), random.uniform(0.2, 1.5, 2)
    means = []
    for rate in rates:
        times = np.arange(round(45 * rate)) / rate + random.uniform(0, 0.5 / rate)
        values = 0.5 + 0.25 * np.sin(speed[0] * times + phase[0]) + 0.2 * np.sin(speed[1] * times + phase[1])
        found = figures(series(times, values), start, start + length)
        means.append((found["mean"], found["maximum"], found["area"] / length))
        assert found["coverage"] > 0.9
    assert means[0][0] == pytest.approx(means[1][0], abs=0.01)
    assert means[0][1] == pytest.approx(means[1][1], abs=0.1)


@given(st.integers(0, 10_000), st.lists(st.floats(0.01, 3), min_size=1, max_size=30))
def test_periods_never_overlap_and_hold_their_sample(seed: int, steps: list[float]) -> None:
    times = np.cumsum(np.array([seed / 100, *steps]))
    starts, ends = periods(times, 1.0)
    assert (starts <= times).all()
    assert (times <= ends).all()
    assert (ends[:-1] <= starts[1:] + 1e-9).all()
    whole = figures(series(times, np.full(len(times), 0.3)), starts[0], ends[-1])
    middle = times[-1] / 2 + starts[0] / 2
    halves = [
        figures(series(times, np.full(len(times), 0.3)), *span)["seconds"]
        for span in ((starts[0], middle), (middle, ends[-1]))
    ]
    assert whole["seconds"] == pytest.approx(sum(halves))
    assert whole["mean"] == pytest.approx(0.3)


def test_a_baseline_is_the_mean_over_its_time_with_its_spread() -> None:
    sums = BaselineSums(1)
    add_baseline(sums, series(TIMES, VALUES), [(0.5, 1.5), (1.0, 2.25), (4.0, 5.0)], BaselineSettings(event="rest"))
    assert (sums.asked, sums.observed) == (2.75, 1.75)
    mean = (0.8 * 1 + 0.4 * 0.75) / 1.75
    assert sums.mean[0] == pytest.approx(mean)
    assert sums.spread[0] == pytest.approx(np.sqrt((1 * (0.8 - mean) ** 2 + 0.75 * (0.4 - mean) ** 2) / 1.75))
    assert sums.missing(1.75) == ""
    assert sums.missing(2.0) == "its baseline was observed for 1.8 s, less than 2 s"
    assert sums.trust == "ok"
    assert BaselineSums(1).missing(1) == "there is no baseline"


def test_the_lowest_part_of_a_recording_is_its_lowest_time() -> None:
    sums = BaselineSums(1)
    add_baseline(sums, series(TIMES, VALUES), [], BaselineSettings(lowest=0.5))
    total = 1 + 1 + 0.75 + 0.5 + 0.75 + 1 + 1
    assert sums.observed == pytest.approx(total / 2)
    # 2 s of 0.0, then 0.75 s of 0.2, then the rest of 0.4
    assert sums.sums[0] == pytest.approx(0.75 * 0.2 + (total / 2 - 2.75) * 0.4)


def test_spans_that_overlap_count_once() -> None:
    assert merged([(5, 6), (0, 2), (1, 3), (3, 4), (7, 7)]) == [(0, 4), (5, 6)]


def test_log_odds_stay_finite() -> None:
    assert log_odds(np.array([0.5, 0.0, 1.0])) == pytest.approx([0, -np.log(9999), np.log(9999)])


def test_synchrony_finds_the_lag_and_beats_its_null() -> None:
    times = np.arange(0, 120, 0.2)
    signal = np.cumsum(np.random.default_rng(4).normal(0, 1, 700))
    signal = 0.5 + 0.1 * np.tanh(signal - np.convolve(signal, np.ones(51) / 51, "same"))
    one, other = series(times, signal[50:650]), series(times, signal[45:645], name="Ben")
    found = synchrony(one, other, 0, 2.0, 1)
    assert found is not None
    assert found.lag == pytest.approx(1.0)
    assert found.correlation > 0.95
    assert found.null_share == 0
    assert found.null_mean < found.null_high < found.correlation
    reverse = synchrony(other, one, 0, 2.0, 1)
    assert reverse is not None
    assert reverse.lag == pytest.approx(-1.0)


def test_independent_participants_are_within_their_null() -> None:
    shares = []
    for seed in range(40):
        random = np.random.default_rng(seed)
        times = np.arange(0, 60, 0.2)
        pair = [series(times, 0.5 + 0.05 * np.convolve(random.normal(0, 1, 310), np.ones(11) / 3, "valid"), name=name)
                for name in ("Ann", "Ben")]  # fmt: skip
        found = synchrony(pair[0], pair[1], 0, 2.0, seed)
        assert found is not None
        shares.append(found.null_share)
    assert sum(share < 0.05 for share in shares) <= 7
    assert 0.3 < np.mean(shares) < 0.7


def test_the_null_is_that_of_shifting_in_a_circle() -> None:
    random = np.random.default_rng(8)
    first, second = random.normal(0, 1, 200), random.normal(0, 1, 200)
    first[20:50] = second[100:110] = np.nan
    shift = 60
    rolled = np.roll(second, -shift)
    both = ~np.isnan(first) & ~np.isnan(rolled)
    expected = abs(np.corrcoef(first[both], rolled[both])[0, 1])
    assert _shifted(first, second)[shift] == pytest.approx(expected)


def test_participants_who_are_not_seen_together_have_no_synchrony() -> None:
    times = np.arange(0, 9, 0.2)
    one = series(times, np.sin(times) / 3 + 0.5)
    assert synchrony(one, one, 0, 1.0, 1) is None
    long = np.arange(0, 60, 0.2)
    assert synchrony(series(long, np.full(300, 0.5)), series(long, np.full(300, 0.5)), 0, 1.0, 1) is None
