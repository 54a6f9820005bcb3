"""Scores of a smoother on timelines with known ground truth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fervid.settings import TimelineSettings
from fervid.timeline.episodes import Episode, episodes, evidence
from fervid.types import EMOTIONS, DoubleArray
from tests.benchmarks.smoothers import MAX_GAP, Smoother
from tests.benchmarks.timeline_sequences import State, Timeline

MATCH = 0.5
"""Smallest temporal intersection over union at which an episode matches a state, as in the MEGC spotting challenges for
micro-expressions (See et al., 2019)."""


@dataclass(frozen=True)
class Score:
    """Scores of a smoother. Shares are in [0, 1], times in seconds.

    Attributes:
        accuracy: Accuracy of the leading emotion over all samples with known ground truth.
        macro_f1: Macro-averaged F1 score of the same.
        surprise: Mean negative logarithm of the probability of the true emotion.
        flips: Changes of the leading emotion per minute.
        onset_error: Median distance between the start of a state and the start of the longest overlapping run of its
            emotion.
        missed: Share of states without such a run.
        brief: Share of findable brief states that an episode of their emotion matches. A state is brief below one
            second, and findable if its emotion leads the mean of the raw rows during it.
        brief_count: Number of findable brief states.
        contained: Their share of all brief states.
        wrong: Episodes per minute that lie less than half in states of their emotion.
    """

    accuracy: float
    macro_f1: float
    surprise: float
    flips: float
    onset_error: float
    missed: float
    brief: float
    brief_count: int
    contained: float
    wrong: float


HEADER = (
    "| smoother | accuracy, % | macro-F1, % | -log p | flips/min | onset error, s | missed, % | brief found, % "
    "| wrong episodes/min |\n|---|---|---|---|---|---|---|---|---|"
)


def line(name: str, score: Score) -> str:
    """A row of a table with ``HEADER``."""
    return (
        f"| {name} | {100 * score.accuracy:.1f} | {100 * score.macro_f1:.1f} | {score.surprise:.2f} "
        f"| {score.flips:.1f} | {score.onset_error:.2f} | {100 * score.missed:.0f} | {100 * score.brief:.0f} "
        f"| {score.wrong:.1f} |"
    )


def score(sequences: Sequence[Timeline], smoother: Smoother) -> Score:
    """Pool all sequences. Scores that need states use only the sequences that have them."""
    confusion = np.zeros((len(EMOTIONS), len(EMOTIONS)))
    surprise, flips, wrong, brief = 0.0, 0, 0, 0
    errors: list[float | None] = []
    found: list[bool] = []
    for sequence in sequences:
        rows = smoother(sequence.times, sequence.raw)
        leading = rows.argmax(axis=1)
        flips += int((np.diff(leading) != 0).sum())
        for row, right in enumerate(sequence.truths):
            if right:
                confusion[leading[row] if leading[row] in right else min(right), leading[row]] += 1
                surprise -= float(np.log(max(rows[row, list(right)].sum(), 1e-6)))
        if not sequence.states:
            continue
        spans = find_episodes(sequence, rows)
        errors += onset_errors(sequence, leading)
        wrong += sum(share_right(sequence.states, span) < 0.5 for span in spans)
        brief += sum(state.brief for state in sequence.states)
        shown = [state for state in sequence.states if state.brief and contains(sequence, state)]
        found += [any(matches(state, span) for span in spans) for state in shown]
    hits, total = np.diag(confusion), confusion.sum(axis=0) + confusion.sum(axis=1)
    onsets = [error for error in errors if error is not None]
    return Score(
        accuracy=float(hits.sum() / confusion.sum()),
        macro_f1=float((2 * hits[total > 0] / total[total > 0]).mean()),
        surprise=surprise / float(confusion.sum()),
        flips=flips / minutes(sequences),
        onset_error=float(np.median(onsets)) if onsets else float("nan"),
        missed=1 - len(onsets) / len(errors) if errors else float("nan"),
        brief=float(np.mean(found)) if found else float("nan"),
        brief_count=len(found),
        contained=len(found) / brief if brief else float("nan"),
        wrong=wrong / minutes([sequence for sequence in sequences if sequence.states]) if errors else float("nan"),
    )


def minutes(sequences: Sequence[Timeline]) -> float:
    """Total length of the sequences."""
    return float(sum(sequence.times[-1] - sequence.times[0] for sequence in sequences)) / 60


def find_episodes(sequence: Timeline, rows: DoubleArray, settings: TimelineSettings | None = None) -> list[Episode]:
    """The episodes of ``fervid analyze`` with default settings."""
    settings = settings or TimelineSettings()
    ones, least = np.ones(len(sequence.times), np.float32), settings.min_episode
    values = evidence(sequence.times, sequence.raw, rows.astype(np.float32), ones, least, MAX_GAP)
    return episodes(sequence.times, values, settings.onset, settings.offset, least, MAX_GAP)


def overlap(state: State, start: float, stop: float) -> float:
    """Temporal intersection of a state and an interval in seconds."""
    return max(0.0, min(state.stop, stop) - max(state.start, start))


def matches(state: State, episode: Episode) -> bool:
    """Whether an episode has the emotion of a state and matches it in time."""
    union = max(state.stop, episode.offset) - min(state.start, episode.onset)
    return episode.emotion == state.emotion and overlap(state, episode.onset, episode.offset) >= MATCH * union


def contains(sequence: Timeline, state: State) -> bool:
    """Whether the emotion of the state leads the mean of the raw rows during it."""
    rows = sequence.raw[(sequence.times >= state.start) & (sequence.times < state.stop)]
    return len(rows) > 0 and int(rows.mean(axis=0).argmax()) == state.emotion


def share_right(states: Sequence[State], episode: Episode) -> float:
    """Share of an episode that lies in states of its emotion."""
    inside = sum(overlap(s, episode.onset, episode.offset) for s in states if s.emotion == episode.emotion)
    return inside / max(episode.offset - episode.onset, 1e-9)


def onset_errors(sequence: Timeline, leading: npt.NDArray[np.intp]) -> list[float | None]:
    """Onset error of each state but the first; None where no run matches."""
    starts = np.append(0, np.flatnonzero(np.diff(leading)) + 1)
    begins = sequence.times[starts]
    ends = np.append(begins[1:], sequence.times[-1] + np.median(np.diff(sequence.times)))
    errors: list[float | None] = []
    for state in sequence.states[1:]:
        shared = np.minimum(ends, state.stop) - np.maximum(begins, state.start)
        shared[leading[starts] != state.emotion] = -1
        best = int(shared.argmax())
        errors.append(abs(float(begins[best]) - state.start) if shared[best] > 0 else None)
    return errors


def change_when_halved(sequences: Sequence[Timeline], smoother: Smoother, seeds: int = 3) -> tuple[float, float]:
    """Change of the smoothed probabilities when a random half of the samples is dropped.

    Returns the mean absolute change, and the mean of the largest change in each row.
    """
    changes = []
    for sequence in sequences:
        whole = smoother(sequence.times, sequence.raw)
        for seed in range(seeds):
            kept = np.sort(np.random.default_rng(seed).permutation(len(whole))[: (len(whole) + 1) // 2])
            changes.append(np.abs(smoother(sequence.times[kept], sequence.raw[kept]) - whole[kept]))
    rows = np.concatenate(changes)
    return float(rows.mean()), float(rows.max(axis=1).mean())


def agreement(slow: Sequence[Timeline], fast: Sequence[Timeline], smoother: Smoother) -> tuple[float, float]:
    """Agreement of two samplings of the same videos at their common times.

    Returns the mean absolute difference, and the share of rows with the same leading emotion.
    """
    differences, same = [], []
    for one, other in zip(slow, fast, strict=True):
        rows = np.clip(np.searchsorted(other.times, one.times - 1e-6), 0, len(other.times) - 1)
        shared = np.abs(other.times[rows] - one.times) < 1e-3
        first, second = smoother(one.times, one.raw)[shared], smoother(other.times, other.raw)[rows[shared]]
        differences.append(np.abs(first - second))
        same.append(first.argmax(axis=1) == second.argmax(axis=1))
    return float(np.concatenate(differences).mean()), float(np.concatenate(same).mean())
