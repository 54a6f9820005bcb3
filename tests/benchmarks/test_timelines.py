"""The timeline benchmark computes correct scores, and the default smoother reaches its targets."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from fervid.settings import TimelineSettings
from fervid.types import EMOTIONS, FloatArray
from tests.benchmarks.smoothers import Smoother, candidates, exponential, kernel, markov, raw, shipped
from tests.benchmarks.timeline_scoring import (
    agreement,
    change_when_halved,
    contains,
    find_episodes,
    matches,
    onset_errors,
    score,
    share_right,
)
from tests.benchmarks.timeline_sequences import LONGEST, SHORTEST, Bank, State, Timeline, make, make_states, named
from tests.benchmarks.timelines import classify

PRIOR = np.full(len(EMOTIONS), 1 / len(EMOTIONS))


def default() -> Smoother:
    return shipped(TimelineSettings().smoother, TimelineSettings().smooth)


def made_bank() -> Bank:
    """Rows of a simulated classifier: calibrated, and about as accurate as fervid's. Copies have no jitter."""
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(len(EMOTIONS)), 400)
    evidence = rng.normal(0, 1, (len(labels), len(EMOTIONS)))
    evidence[np.arange(len(labels)), labels] += 1.7
    exponentials = np.exp(1.7 * evidence)  # the ratio of the two densities, so that it is calibrated
    rows = (exponentials / exponentials.sum(axis=1, keepdims=True)).astype(np.float32)
    return Bank(labels, rows, np.repeat(rows[:, None], 3, axis=1))


def test_the_simulated_classifier_has_the_expected_accuracy() -> None:
    bank = made_bank()
    assert (bank.probabilities.argmax(axis=1) == bank.labels).mean() == pytest.approx(0.65, abs=0.03)


def perfect(sequence: Timeline) -> FloatArray:
    rows = np.zeros((len(sequence.times), len(EMOTIONS)), np.float32)
    rows[np.arange(len(rows)), [min(right) for right in sequence.truths]] = 1
    return rows


@pytest.mark.parametrize("dwell", ["uniform", "log-uniform"])
def test_states_are_contiguous_and_have_the_given_lengths(dwell: str) -> None:
    states = make_states(np.random.default_rng(0), 600, dwell)
    assert states[0].start == 0
    assert states[-1].stop == 600
    for before, after in itertools.pairwise(states):
        assert before.stop == after.start
        assert before.emotion != after.emotion
    lengths = [state.stop - state.start for state in states if state.whole]
    assert min(lengths) >= SHORTEST
    assert max(lengths) <= LONGEST
    assert any(state.brief for state in states)


@pytest.mark.parametrize("kind", ["plain", "held"])
def test_frames_are_images_of_the_state_at_any_rate(kind: str) -> None:
    bank = made_bank()
    tagged = Bank(
        bank.labels, np.eye(7, dtype=np.float32)[bank.labels], np.eye(7, dtype=np.float32)[bank.labels][:, None]
    )
    slow, fast = (make(tagged, kind, fps, 1, seconds=20)[0] for fps in (5, 25))
    assert slow.states == fast.states
    for sequence in (slow, fast):
        assert (sequence.raw == perfect(sequence)).all()


def test_a_held_sequence_changes_its_image_rarely() -> None:
    bank = made_bank()
    plain, held = (make(bank, kind, 25, 1, seconds=30)[0] for kind in ("plain", "held"))
    changes = [int((np.diff(sequence.raw, axis=0) != 0).any(axis=1).sum()) for sequence in (plain, held)]
    assert changes[1] < 60 < changes[0]


def test_the_ground_truth_has_perfect_scores() -> None:
    sequences = make(made_bank(), "plain", 25, 2)
    ideal = [Timeline(s.name, s.times, perfect(s), s.truths, s.states) for s in sequences]
    best = score(ideal, raw)
    assert (best.accuracy, best.macro_f1, best.missed) == (1.0, 1.0, 0.0)
    assert best.surprise == pytest.approx(0, abs=1e-5)
    assert best.onset_error < 0.05
    assert (best.brief, best.contained, best.wrong) == (1.0, 1.0, 0.0)
    assert best.flips == pytest.approx(sum(len(s.states) - 1 for s in sequences) / 2, rel=0.05)


def test_onset_errors_are_of_the_longest_run() -> None:
    times = np.arange(10) / 5
    states = (State(0, 0, 1.0), State(3, 1.0, 2.0))
    sequence = Timeline("", times, np.zeros((10, 7), np.float32), (frozenset[int](),) * 10, states)
    assert onset_errors(sequence, np.array([0, 0, 0, 0, 0, 0, 3, 3, 3, 3])) == pytest.approx([0.2])
    assert onset_errors(sequence, np.array([0, 0, 0, 3, 3, 3, 3, 3, 3, 3])) == pytest.approx([0.4])
    assert onset_errors(sequence, np.array([0, 0, 0, 0, 0, 3, 0, 3, 3, 3])) == pytest.approx([0.4])
    assert onset_errors(sequence, np.zeros(10, np.intp)) == [None]


def test_an_episode_matches_at_half_the_union() -> None:
    times = np.arange(50) / 10
    rows = np.full((50, 7), 0.02)
    rows[:, 6] = 0.88
    rows[20:28, 6], rows[20:28, 3] = 0.02, 0.88
    states = (State(6, 0, 2.0), State(3, 2.0, 2.8), State(6, 2.8, 5.0))
    sequence = Timeline(
        "", times, rows.astype(np.float32), tuple(frozenset([3 if 20 <= i < 28 else 6]) for i in range(50)), states
    )
    smile = next(episode for episode in find_episodes(sequence, rows) if episode.emotion == 3)
    assert matches(State(3, 2.0, 2.8), smile)
    assert matches(State(3, 1.6, 2.8), smile)
    assert not matches(State(3, 1.0, 2.8), smile)
    assert not matches(State(6, 2.0, 2.8), smile)
    assert contains(sequence, states[1])
    assert not contains(sequence, State(6, 2.0, 2.8))
    assert share_right(states, smile) == pytest.approx(1, abs=0.01)
    assert share_right(states[:1], smile) == 0


def test_descriptions_are_parsed() -> None:
    assert named("sad or angry: a frown") == {EMOTIONS.index("sad"), EMOTIONS.index("angry")}
    assert named("sad, a hand over part of the face") == {EMOTIONS.index("sad")}
    assert named("puffed cheeks, no basic emotion") == set()


@pytest.mark.parametrize("name", candidates(PRIOR))
def test_every_candidate_gives_probabilities(name: str) -> None:
    (sequence,) = make(made_bank(), "plain", 5, 1, seconds=10)
    rows = candidates(PRIOR)[name](sequence.times, sequence.raw)
    assert rows.shape == sequence.raw.shape
    assert np.abs(rows.sum(axis=1) - 1).max() < 1e-5
    assert rows.min() >= -1e-9


def test_candidates_match_their_names() -> None:
    (sequence,) = make(made_bank(), "plain", 5, 1, seconds=10)
    times, rows = sequence.times, sequence.raw
    assert np.abs(kernel("gaussian", 1.0)(times, rows) - shipped("gaussian", 1.0)(times, rows)).max() < 1e-5
    assert np.abs(kernel("box", 0.4)(times, rows)[1:-1] - (rows[:-2] + rows[1:-1] + rows[2:]) / 3).max() < 1e-6
    one, erlang = (markov(2.0, 0.3, stages)(times, rows) for stages in (1, 2))
    assert np.abs(one - erlang).max() > 1e-3
    lazy = exponential(0.5, 0.99)(times, rows).argmax(axis=1)
    assert (lazy == rows[0].argmax()).all()


@pytest.mark.parametrize("fps", [5, 25])
def test_the_default_smoother_helps_with_a_simulated_classifier(fps: int) -> None:
    assert_worth_it(made_bank(), "uniform", fps)


@pytest.mark.slow
@pytest.mark.parametrize("dwell", ["uniform", "log-uniform"])
@pytest.mark.parametrize("fps", [5, 25])
def test_the_default_smoother_helps_on_publictest(shared_data: Path, dwell: str, fps: int) -> None:
    from fervid.emotions.sidecar import SHIPPED

    assert_worth_it(classify(shared_data, SHIPPED), dwell, fps)


def assert_worth_it(bank: Bank, dwell: str, fps: int) -> None:
    sequences = make(bank, "plain", fps, 20, dwell)
    before, after = score(sequences, raw), score(sequences, default())
    assert after.macro_f1 >= before.macro_f1 + 0.08
    assert after.flips <= 0.2 * before.flips
    assert after.onset_error <= 0.4
    assert before.brief_count >= 15
    assert after.brief >= 0.6


@pytest.mark.parametrize("kind", ["plain", "held"])
@pytest.mark.parametrize("fps", [5, 25])
def test_half_of_the_samples_give_similar_results(kind: str, fps: int) -> None:
    mean, _ = change_when_halved(make(made_bank(), kind, fps, 3), default())
    assert mean < 0.05


def test_sampling_rates_agree() -> None:
    fast = make(made_bank(), "held", 25, 3)
    slow = [Timeline(s.name, s.times[::5], s.raw[::5], s.truths[::5], s.states) for s in fast]
    difference, same = agreement(slow, fast, default())
    assert difference < 0.05
    assert same > 0.85
