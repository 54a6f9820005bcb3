"""Summaries of one face and of a whole video."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fervid.timeline.gaps import longest_absence
from fervid.timeline.summary import VideoSummary, summarize_face, summarize_video
from fervid.types import EMOTIONS, DoubleArray, FloatArray, Track

FULL = np.arange(101) / 5
"""Times of all sampled frames: 20 seconds at 5 a second."""


def track(times: DoubleArray, size: float = 120.0, quality: float = 0.9, **changes: Any) -> Track:
    count = len(times)
    boxes = np.tile(np.array([10, 10, size, size * 1.25], np.float32), (count, 1))
    values: dict[str, Any] = {
        "face_id": 4,
        "frames": np.arange(count, dtype=np.int64),
        "times": times,
        "boxes": boxes,
        "scores": np.full(count, 0.9, np.float32),
        "qualities": np.full(count, quality, np.float32),
        "crops": np.zeros((count, 48, 48), np.uint8),
    }
    return Track(**values | changes)


def led_by(*emotions: str, probability: float = 0.7) -> FloatArray:
    """Rows that the named emotions lead."""
    rows = np.full((len(emotions), 7), (1 - probability) / 6, np.float32)
    rows[np.arange(len(emotions)), [EMOTIONS.index(emotion) for emotion in emotions]] = probability
    return rows


def constant(count: int) -> FloatArray:
    return led_by(*["happy"] * count)


def test_a_face_that_is_there_all_the_time() -> None:
    summary = summarize_face(track(FULL), constant(101), FULL)
    assert (summary.face_id, summary.first_seen, summary.last_seen, summary.samples) == (4, 0.0, 20.0, 101)
    assert summary.coverage == 1.0
    assert (summary.longest_gap, summary.low_quality_share) == (0.0, 0.0)
    assert summary.dominant == "happy"
    assert summary.transitions_per_minute == 0.0
    assert summary.mean_quality == pytest.approx(0.9)
    assert summary.trust == "ok"
    assert summary.shares == tuple(float(emotion == "happy") for emotion in EMOTIONS)
    assert summary.means[EMOTIONS.index("happy")] == pytest.approx(0.7)


def test_shares_count_leaders_and_means_average_probabilities() -> None:
    rows = np.concatenate([led_by("sad", "sad", "sad", probability=0.4), led_by("angry", "angry", probability=0.95)])
    summary = summarize_face(track(FULL[:5]), rows, FULL)
    assert summary.shares[EMOTIONS.index("sad")] == pytest.approx(0.6)
    assert summary.shares[EMOTIONS.index("angry")] == pytest.approx(0.4)
    assert summary.means == pytest.approx(tuple(rows.mean(axis=0)))
    assert summary.dominant == "angry"  # the highest mean, not the most samples


def test_transitions_are_changes_of_the_leading_emotion_per_minute() -> None:
    rows = led_by("happy", "happy", "sad", "happy", "happy", "fear")
    times = np.array([0.0, 2.0, 4.0, 6.0, 8.0, 10.0])
    assert summarize_face(track(times), rows, times).transitions_per_minute == pytest.approx(3 / (10 / 60))


def test_coverage_counts_sampled_frames_from_first_to_last_seen() -> None:
    seen = FULL[(FULL >= 4) & (FULL <= 12)]
    assert summarize_face(track(seen), constant(len(seen)), FULL).coverage == 1.0
    every_other = seen[::2]
    coverage = summarize_face(track(every_other), constant(len(every_other)), FULL).coverage
    assert coverage == pytest.approx(len(every_other) / len(seen))


def test_the_longest_gap_is_an_absence_at_any_sampling_rate() -> None:
    """Away from 4.0 to 6.6 s, and for a moment at 10 s."""
    for rate in (5, 10, 25):
        sampled = np.arange(20 * rate + 1) / rate
        away = ((sampled >= 4.0 - 1e-9) & (sampled < 6.6 - 1e-9)) | (np.abs(sampled - 10) < 1e-9)
        seen = sampled[~away]
        assert summarize_face(track(seen), constant(len(seen)), sampled).longest_gap == pytest.approx(2.6)
        kept = sampled[np.abs(sampled - 10) > 1e-9]
        moment = summarize_face(track(kept), constant(len(kept)), sampled).longest_gap
        assert moment == pytest.approx(1 / rate)


def test_missing_frames_of_the_video_are_no_absence() -> None:
    holed = np.concatenate([FULL[:20], FULL[60:]])
    assert summarize_face(track(holed), constant(len(holed)), holed).longest_gap == 0.0


def test_the_share_of_rows_of_low_quality() -> None:
    qualities = np.where(np.arange(101) < 60, 0.3, 0.95).astype(np.float32)
    summary = summarize_face(track(FULL, qualities=qualities), constant(101), FULL)
    assert summary.low_quality_share == pytest.approx(60 / 101)
    assert summary.mean_quality > 0.45
    assert summary.trust == "low picture quality or a turned face"


def test_a_single_sample() -> None:
    summary = summarize_face(track(FULL[7:8]), constant(1), FULL)
    assert (summary.first_seen, summary.last_seen, summary.samples) == (FULL[7], FULL[7], 1)
    assert (summary.coverage, summary.longest_gap, summary.transitions_per_minute) == (1.0, 0.0, 0.0)
    assert summary.trust != "ok"


# trust


def trust_of(seen: DoubleArray, **changes: Any) -> str:
    return summarize_face(track(seen, **changes), constant(len(seen)), FULL).trust


@pytest.mark.parametrize(
    ("seen", "changes", "reason"),
    [
        (FULL[:5], {}, "seen for only 0.8 s in 5 samples"),
        (FULL[:90:30], {}, "seen for only"),
        (FULL, {"size": 39.0}, "only 39 pixels wide"),
        (FULL[::2], {}, "seen in only 50 % of the samples of its span"),
        (FULL, {"quality": 0.4}, "low picture quality or a turned face"),
    ],
)
def test_each_reason_for_doubt_is_named(seen: DoubleArray, changes: dict[str, Any], reason: str) -> None:
    assert reason in trust_of(seen, **changes)


def test_one_reason_for_doubt_causes_no_other() -> None:
    assert trust_of(FULL[:5]) == "seen for only 0.8 s in 5 samples"
    assert trust_of(FULL, size=39.0) == "only 39 pixels wide"
    assert trust_of(FULL[::2]) == "seen in only 50 % of the samples of its span"
    assert trust_of(FULL, quality=0.4) == "low picture quality or a turned face"


def test_all_reasons_for_doubt_are_listed() -> None:
    assert trust_of(FULL[:8:2], size=20.0, quality=0.2).count(";") == 3


@pytest.mark.parametrize("changes", [{"size": 40.0}, {"quality": 0.46}])
def test_values_at_the_limits_are_ok(changes: dict[str, Any]) -> None:
    assert trust_of(FULL[:6], **changes) == "ok"


# videos


def video_of(tracks: list[Track], sampled: DoubleArray = FULL) -> VideoSummary:
    faces = [summarize_face(one, constant(len(one.times)), sampled) for one in tracks]
    return summarize_video(tracks, faces, sampled)


def test_a_video_with_a_face_throughout() -> None:
    assert video_of([track(FULL)]) == VideoSummary(1.0, 0.0, 0.0, "ok")


def test_a_video_without_a_face() -> None:
    nothing = video_of([])
    assert (nothing.coverage, nothing.low_quality_share, nothing.trust) == (0.0, None, "no face")
    assert nothing.longest_gap == pytest.approx(20.2)
    assert video_of([], FULL[:1]).longest_gap == 0.0


def test_coverage_of_a_video_combines_its_faces() -> None:
    summary = video_of([track(FULL[:30]), track(FULL[20:61], face_id=1), track(FULL[91:], face_id=2)])
    assert summary.coverage == pytest.approx(71 / 101)
    assert summary.longest_gap == pytest.approx(6.0)
    assert summary.trust == "ok"


def test_a_briefly_seen_face_does_not_reduce_the_trust_in_a_video() -> None:
    assert video_of([track(FULL), track(FULL[:3], face_id=1)]).trust == "ok"


def test_the_time_before_the_first_face_and_after_the_last_is_a_gap() -> None:
    assert video_of([track(FULL[30:])]).longest_gap == pytest.approx(6.0)
    assert video_of([track(FULL[:61])]).longest_gap == pytest.approx(20.0 + 0.2 - 12.2)


@pytest.mark.parametrize(
    ("tracks", "reason"),
    [
        ([track(FULL[:50])], "a face in only 50 % of the samples"),
        ([track(FULL, size=20.0)], "1 of 1 faces doubtful"),
        ([track(FULL), track(FULL[:3]), track(FULL, size=20.0)], "2 of 3 faces doubtful"),
        ([track(FULL[:50]), track(FULL, quality=0.2)], "67 % of its rows are of low quality"),
    ],
)
def test_each_reason_to_doubt_a_video_is_named(tracks: list[Track], reason: str) -> None:
    assert reason in video_of(tracks).trust.split("; ")


# invariants


@given(present=st.lists(st.booleans(), min_size=1, max_size=60), seed=st.integers(0, 10_000))
def test_absence_invariants(present: list[bool], seed: int) -> None:
    times = np.cumsum(np.random.default_rng(seed).uniform(0.01, 0.5, len(present)))
    shown = np.array(present)
    gap = longest_absence(times, shown)
    step = float(np.median(np.diff(times))) if len(times) > 1 else 0.0
    assert 0 <= gap <= times[-1] - times[0] + step + 1e-9
    assert (gap == 0) == bool(shown.all() or len(times) == 1)
    assert longest_absence(times + 1000, shown) == pytest.approx(gap)
    ended = longest_absence(times, shown, float(times[-1]) + step / 4)
    assert gap - step <= ended <= gap
    assert ended <= times[-1] + step / 4 - times[0] + 1e-9
    assert longest_absence(times, shown, 0.0) <= ended, "an end before the last sample is ignored"
    for row in np.flatnonzero(shown):
        fewer = shown.copy()
        fewer[row] = False
        assert longest_absence(times, fewer) >= gap


@given(seed=st.integers(0, 10_000), chosen=st.sets(st.integers(0, 100), min_size=1))
def test_summary_invariants(seed: int, chosen: set[int]) -> None:
    seen = FULL[sorted(chosen)]
    random = np.random.default_rng(seed)
    rows = random.dirichlet(np.full(7, 0.5), len(seen)).astype(np.float32)
    summary = summarize_face(track(seen, quality=float(random.uniform())), rows, FULL)
    assert sum(summary.shares) == pytest.approx(1)
    assert sum(summary.means) == pytest.approx(1, abs=1e-5)
    assert 0 < summary.coverage <= 1
    assert summary.first_seen <= summary.last_seen
    assert 0 <= summary.longest_gap <= summary.last_seen - summary.first_seen + 1e-9
    assert summary.transitions_per_minute >= 0
    assert summary.dominant == EMOTIONS[int(np.argmax(summary.means))]
    assert summary.trust
    assert 0 <= summary.low_quality_share <= 1
    whole = summarize_video([track(seen)], [summary], FULL)
    assert whole.coverage == pytest.approx(len(seen) / len(FULL))
    assert whole.longest_gap >= summary.longest_gap - 1e-9
    assert (whole.trust == "ok") == (summary.trust == "ok" and whole.coverage >= 0.6)
