"""What is said about one face over a whole video."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fervid.summarize import summarize_face
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
    assert summary.longest_gap == pytest.approx(0.2)
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


def test_transitions_are_changes_of_the_leader_a_minute() -> None:
    rows = led_by("happy", "happy", "sad", "happy", "happy", "fear")
    times = np.array([0.0, 2.0, 4.0, 6.0, 8.0, 10.0])
    assert summarize_face(track(times), rows, times).transitions_per_minute == pytest.approx(3 / (10 / 60))


def test_coverage_counts_the_sampled_frames_of_its_own_span() -> None:
    seen = FULL[(FULL >= 4) & (FULL <= 12)]
    assert summarize_face(track(seen), constant(len(seen)), FULL).coverage == 1.0
    every_other = seen[::2]
    coverage = summarize_face(track(every_other), constant(len(every_other)), FULL).coverage
    assert coverage == pytest.approx(len(every_other) / len(seen))


def test_the_longest_gap_is_the_longest_time_between_two_looks() -> None:
    seen = np.concatenate([FULL[:20], FULL[33:60]])
    assert summarize_face(track(seen), constant(len(seen)), FULL).longest_gap == pytest.approx(FULL[33] - FULL[19])


def test_a_single_look() -> None:
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
        (FULL[:5], {}, "seen for only 0.8 s"),
        (FULL[:90:30], {}, "seen for only"),
        (FULL, {"size": 39.0}, "only 39 pixels wide"),
        (FULL[::2], {}, "seen in only 50 % of the samples of its span"),
        (FULL, {"quality": 0.4}, "low picture quality or a turned face"),
    ],
)
def test_each_doubt_is_named(seen: DoubleArray, changes: dict[str, Any], reason: str) -> None:
    assert reason in trust_of(seen, **changes)


def test_one_doubt_brings_no_other() -> None:
    assert trust_of(FULL[:5]) == "seen for only 0.8 s"
    assert trust_of(FULL, size=39.0) == "only 39 pixels wide"
    assert trust_of(FULL[::2]) == "seen in only 50 % of the samples of its span"
    assert trust_of(FULL, quality=0.4) == "low picture quality or a turned face"


def test_all_doubts_are_listed() -> None:
    assert trust_of(FULL[:8:2], size=20.0, quality=0.2).count(";") == 3


@pytest.mark.parametrize("changes", [{"size": 40.0}, {"quality": 0.46}])
def test_what_just_suffices_is_ok(changes: dict[str, Any]) -> None:
    assert trust_of(FULL[:6], **changes) == "ok"


# invariants


@given(seed=st.integers(0, 10_000), chosen=st.sets(st.integers(0, 100), min_size=1))
def test_invariants(seed: int, chosen: set[int]) -> None:
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
