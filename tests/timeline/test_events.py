"""Events of made measures: what must be found, what must not, and invariants."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fervid.timeline.events import (
    BLINK,
    EVENT_KINDS,
    LONGEST_STEP,
    NOD,
    SHAKE,
    SPEAKING,
    Event,
    EventTotals,
    FaceSeries,
    events,
    observed_seconds,
    sum_totals,
)
from fervid.types import DoubleArray, FloatArray

OPEN, SHUT = 0.3, 0.08


def measures(times: DoubleArray, **values: DoubleArray | FloatArray | float) -> FaceSeries:
    """The measures of a still face with open eyes and a closed mouth, but for ``values``."""
    still = {"eyes_open": OPEN, "mouth_open": 0.02, "yaw": 0.0, "pitch": 0.0} | values
    full = {name: np.broadcast_to(np.asarray(one, np.float32), times.shape).copy() for name, one in still.items()}
    return FaceSeries(times, **full)


def clock(seconds: float, rate: float) -> DoubleArray:
    return np.arange(round(seconds * rate)) / rate


def closing(times: DoubleArray, *spans: tuple[float, float], shut: float = SHUT) -> DoubleArray:
    """Eyes that are shut in these spans."""
    closed = np.zeros(len(times), bool)
    for start, stop in spans:
        closed |= (times >= start - 1e-9) & (times < stop - 1e-9)
    return np.where(closed, shut, OPEN)


def of_kind(found: list[Event], kind: str) -> list[Event]:
    return [one for one in found if one.kind == kind]


@pytest.mark.parametrize("rate", [15.0, 24.0, 30000 / 1001, 60.0])
def test_short_closures_are_blinks(rate: float) -> None:
    times = clock(10, rate)
    spans = [(2.0, 2.2), (2.6, 2.75), (7.0, 7.4)]
    found = events(measures(times, eyes_open=closing(times, *spans)))
    assert [one.kind for one in found] == [BLINK] * 3
    for one, (start, stop) in zip(found, spans, strict=True):
        assert one.onset == pytest.approx(start, abs=1 / rate)
        assert one.offset == pytest.approx(stop, abs=1 / rate)
        assert one.peak == pytest.approx(1 - SHUT / OPEN, abs=1e-3)


def test_a_closure_of_one_frame_is_a_blink() -> None:
    times = clock(4, 30)
    (blink,) = events(measures(times, eyes_open=closing(times, (2.0, 2.03))))
    assert (blink.onset, blink.apex, blink.offset) == pytest.approx((2.0, 2.0, 2 + 1 / 30))


def test_half_the_rate_of_ntsc_video_is_enough_and_less_is_not() -> None:
    for rate, count in ((30000 / 1001 / 2, 1), (14.5, 0), (12.5, 0), (5.0, 0)):
        times = clock(8, rate)
        made = measures(times, eyes_open=closing(times, (4.0, 4.3)))
        assert len(events(made)) == count
        assert (observed_seconds(made, BLINK) > 0) == bool(count)


def test_long_closures_slow_changes_and_small_dips_are_no_blinks() -> None:
    times = clock(12, 30)
    for eyes in (
        closing(times, (3.0, 4.0)),
        closing(times, (3.0, 9.0)),
        closing(times, (3.0, 3.2), shut=0.2),
        OPEN - 0.2 * np.clip((times - 3) / 4, 0, 1),
        closing(times, (0.0, 0.2), (11.8, 12.0)),
        np.full(len(times), 0.08) - 0.05 * ((times >= 3) & (times < 3.2)),
    ):
        assert events(measures(times, eyes_open=eyes)) == []


def test_narrow_eyes_and_eyes_that_narrow_slowly_blink() -> None:
    times = clock(12, 30)
    usual = 0.25 - 0.1 * times / 12
    eyes = np.where(closing(times, (2.0, 2.2), (10.0, 10.2)) < OPEN, 0.3 * usual, usual)
    assert [round(one.onset, 2) for one in events(measures(times, eyes_open=eyes))] == [2.0, 10.0]


def test_a_gap_in_a_closure_makes_no_blink() -> None:
    times = clock(8, 30)
    eyes = closing(times, (4.0, 4.3))
    kept = (times < 4.05) | (times > 4.35)
    assert events(measures(times[kept], eyes_open=eyes[kept])) == []
    unknown = np.where(kept, eyes, np.nan)
    assert events(measures(times, eyes_open=unknown)) == []


def test_eyes_of_a_profile_are_not_looked_at() -> None:
    times = clock(8, 30)
    made = measures(times, eyes_open=closing(times, (4.0, 4.2)), yaw=50.0)
    assert events(made) == []
    assert observed_seconds(made, BLINK) == 0


@pytest.mark.parametrize(("kind", "axis"), [(NOD, "pitch"), (SHAKE, "yaw")])
@pytest.mark.parametrize("rate", [10.0, 25.0])
def test_a_head_that_turns_to_and_fro(kind: str, axis: str, rate: float) -> None:
    times = clock(10, rate)
    swing = np.where((times >= 4) & (times < 6), 8 * np.sin(2 * np.pi * 1.5 * (times - 4)), 0.0)
    (found,) = events(measures(times, **{axis: swing}))
    assert found.kind == kind
    assert 3.9 <= found.onset <= 4.4 <= 5.5 <= found.offset <= 6.2
    assert 10 < found.peak <= 16.01


def test_looking_down_and_turning_are_no_nods_and_no_shakes() -> None:
    times = clock(10, 25)
    step = np.where((times >= 4) & (times < 6), 20.0, 0.0)
    small = 1.5 * np.sin(2 * np.pi * 2 * times)
    slow = 20 * np.sin(2 * np.pi * 0.3 * times)
    both = 8 * np.sin(2 * np.pi * 1.5 * times)
    for pitch, yaw in ((step, 0.0), (0.0, step), (small, small), (slow, slow), (both, both)):
        assert events(measures(times, pitch=pitch, yaw=yaw)) == []


def test_a_head_is_not_followed_below_ten_samples_a_second() -> None:
    times = clock(10, 5)
    made = measures(times, pitch=8 * np.sin(2 * np.pi * 1.1 * times))
    assert events(made) == []
    assert observed_seconds(made, NOD) == 0


@pytest.mark.parametrize("rate", [5.0, 10.0, 25.0])
def test_a_mouth_that_opens_and_closes_again_and_again_speaks(rate: float) -> None:
    times = clock(20, rate)
    rng = np.random.default_rng(1)
    syllables = 0.02 + 0.1 * np.abs(np.interp(times, np.arange(0, 20, 0.13), rng.uniform(0, 1, 154)))
    mouth = np.where((times >= 5) & (times < 12), syllables, 0.02)
    found = of_kind(events(measures(times, mouth_open=mouth)), SPEAKING)
    covered = sum(min(one.offset, 12.0) - max(one.onset, 5.0) for one in found)
    assert covered > 5
    assert all(one.onset >= 4.7 and one.offset <= 12.3 for one in found)


def test_an_open_mouth_a_yawn_and_a_smile_are_no_speech() -> None:
    times = clock(20, 25)
    for mouth in (0.15, 0.2 * np.exp(-((times - 8) ** 2)), 0.02 + 0.1 * (times > 9), 0.05 + 0.01 * np.sin(12 * times)):
        assert events(measures(times, mouth_open=mouth)) == []


def test_speech_does_not_cross_a_gap() -> None:
    times = clock(12, 10)
    mouth = 0.06 + 0.05 * np.sin(2 * np.pi * 2.2 * times)
    kept = (times < 5) | (times > 5.8)
    found = events(measures(times[kept], mouth_open=mouth[kept]))
    assert len(found) == 2
    assert found[0].offset < 5 < 5.8 < found[1].onset


def test_totals_are_rates_over_the_time_in_which_something_could_be_seen() -> None:
    one = EventTotals({BLINK: 3}, {BLINK: 30.0, SPEAKING: 30.0}, 6.0)
    two = EventTotals({}, {SPEAKING: 30.0}, 0.0)
    assert one.per_minute(BLINK) == 6
    assert two.per_minute(BLINK) is None
    both = sum_totals([one, two])
    assert (both.per_minute(BLINK), both.per_minute(NOD), both.speaking_share) == (6, None, 0.1)


@given(st.integers(0, 10_000), st.sampled_from([4.0, 10.0, 15.0, 25.0]))
def test_events_never_overlap_within_a_kind_or_cross_a_gap(seed: int, rate: float) -> None:
    rng = np.random.default_rng(seed)
    times = np.sort(rng.choice(clock(30, rate), int(30 * rate * rng.uniform(0.5, 1)), replace=False))
    noise = {name: rng.normal(0, 1, len(times)).cumsum() for name in ("yaw", "pitch")}
    made = measures(times, eyes_open=rng.uniform(0.05, 0.3, len(times)), mouth_open=rng.uniform(0, 0.2, len(times)))
    made = FaceSeries(times, made.eyes_open, made.mouth_open, *(noise[name].astype(np.float32) for name in noise))
    found = events(made)
    assert [one.onset for one in found] == sorted(one.onset for one in found)
    for kind in EVENT_KINDS:
        of = of_kind(found, kind)
        assert all(one.onset <= one.apex <= one.offset > one.onset for one in of)
        assert all(a.offset <= b.onset for a, b in itertools.pairwise(of))
        for one in of:
            within = times[(times >= one.onset) & (times <= one.offset)]
            assert np.diff(within).max() <= LONGEST_STEP[kind] + 1e-9
        observed = observed_seconds(made, kind)
        assert sum(one.offset - one.onset for one in of) <= observed + 1e-6


@given(st.integers(0, 10_000), st.floats(-1e5, 1e5))
def test_shifting_the_clock_changes_nothing(seed: int, shift: float) -> None:
    rng = np.random.default_rng(seed)
    times = clock(10, 25)
    values = {"eyes_open": rng.uniform(0.05, 0.3, len(times)), "mouth_open": rng.uniform(0, 0.2, len(times))}
    here, there = events(measures(times, **values)), events(measures(times + shift, **values))
    assert [one.kind for one in here] == [one.kind for one in there]
    assert [one.onset + shift for one in here] == pytest.approx([one.onset for one in there], abs=1e-6)


def test_no_samples_and_unknown_measures_give_no_events() -> None:
    unknown = dict.fromkeys(("eyes_open", "mouth_open", "yaw", "pitch"), np.nan)
    for made in (measures(np.zeros(0)), measures(np.zeros(1)), measures(clock(5, 25), **unknown)):
        assert events(made) == []
        assert all(observed_seconds(made, kind) == 0 for kind in EVENT_KINDS)
