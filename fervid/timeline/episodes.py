"""Episodes: periods in which one emotion leads in a face's timeline. Pure numpy; all times in seconds."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fervid.timeline.gaps import median_step, segments
from fervid.timeline.smoothing import smooth_each
from fervid.types import DoubleArray, FloatArray

NEARBY_WEIGHT = 2 / 3
"""Weight of the narrowly smoothed probabilities in the evidence. This is the smallest weight at which a clear
expression of 0.4 s becomes an episode, at 5 or at 25 samples a second."""


@dataclass(frozen=True)
class Episode:
    """A period in which one emotion leads; onset <= apex <= offset.

    Attributes:
        emotion: Index of the emotion.
        onset: Time of the first sample, in seconds.
        apex: Time of the sample with the largest evidence, in seconds.
        offset: Time of the first sample after the episode, in seconds.
        peak: Largest evidence, a probability.
        mean: Mean evidence over the samples, a probability.
    """

    emotion: int
    onset: float
    apex: float
    offset: float
    peak: float
    mean: float


@dataclass(frozen=True)
class _Run:
    """Rows ``start`` to ``stop`` (exclusive) of one emotion."""

    emotion: int
    start: int
    stop: int


def evidence(
    times: DoubleArray,
    raw: FloatArray,
    smoothed: FloatArray,
    weights: FloatArray,
    min_duration: float,
    max_gap: float,
) -> FloatArray:
    """Compute the evidence in which episodes are found.

    It is the weighted mean of the smoothed probabilities and, twice as heavy, the raw ones smoothed by a Gaussian
    window as wide as the shortest episode. The smoothed probabilities alone would miss an expression of half a
    second; single frames alone would turn noise into episodes.

    Args:
        times: (n,) increasing times in seconds.
        raw: (n, 7) probabilities of each frame alone.
        smoothed: (n, 7) smoothed probabilities.
        weights: (n,) reliability of each sample, in [0, 1].
        min_duration: Length of the shortest episode in seconds.
        max_gap: Longest step in seconds that is not a gap.

    Returns:
        (n, 7) float32; each row sums to 1.
    """
    return evidence_each([times], [raw], [smoothed], [weights], min_duration, max_gap)[0]


def evidence_each(
    times: Sequence[DoubleArray],
    raw: Sequence[FloatArray],
    smoothed: Sequence[FloatArray],
    weights: Sequence[FloatArray],
    min_duration: float,
    max_gap: float,
) -> list[FloatArray]:
    """Compute the evidence of several timelines, which do not influence each other.

    Args:
        times: The times of each; see ``evidence``.
        raw: The probabilities of each frame alone.
        smoothed: The smoothed probabilities.
        weights: The weights of each.
        min_duration: See ``evidence``.
        max_gap: See ``evidence``.

    Returns:
        What ``evidence`` gives for each of them.
    """
    nearby = smooth_each(times, raw, weights, min_duration, max_gap, "gaussian")
    return [
        np.asarray((1 - NEARBY_WEIGHT) * wide + NEARBY_WEIGHT * narrow, np.float32)
        for wide, narrow in zip(smoothed, nearby, strict=True)
    ]


def episodes(
    times: DoubleArray,
    values: FloatArray,
    onset: float,
    offset: float,
    min_duration: float,
    max_gap: float,
    end: float = np.inf,
) -> list[Episode]:
    """Find episodes by hysteresis.

    An episode begins where the leading emotion reaches ``onset``. It extends to both sides while that emotion
    stays at ``offset`` or above and no other episode begins. If two neighbouring episodes claim the same rows,
    the rows are divided so that both together lose as little evidence as possible. Episodes never overlap and never
    extend over a gap.

    Args:
        times: (n,) increasing times in seconds.
        values: (n, 7) evidence.
        onset: Probability that starts an episode.
        offset: Probability below which an episode ends.
        min_duration: Shorter episodes are left out, in seconds.
        max_gap: Longest step in seconds that is not a gap.
        end: End of the video in seconds; no episode lasts longer.

    Returns:
        The episodes, in order of time.
    """
    found = []
    for part in segments(times, max_gap):
        for run in _runs(values[part], onset, offset):
            found.append(_episode(times[part], values[part], run, end))
    return [episode for episode in found if episode.offset - episode.onset >= min_duration - 1e-9]


def _runs(values: FloatArray, onset: float, offset: float) -> list[_Run]:
    """The episodes of one segment as runs of rows, in order."""
    cores = _cores(values, onset)
    if not cores:
        return []
    start = cores[0].start - _rows_above(values[: cores[0].start][::-1, cores[0].emotion], offset)
    runs = []
    for core, following in itertools.pairwise(cores):
        between = values[core.stop : following.start]
        ahead = _rows_above(between[:, core.emotion], offset)
        if core.emotion == following.emotion and ahead == len(between):
            continue
        back = _rows_above(between[::-1, following.emotion], offset)
        if ahead + back > len(between):
            ahead = _split(between[:, core.emotion], between[:, following.emotion], len(between) - back, ahead)
            back = len(between) - ahead
        runs.append(_Run(core.emotion, start, core.stop + ahead))
        start = following.start - back
    last = cores[-1]
    runs.append(_Run(last.emotion, start, last.stop + _rows_above(values[last.stop :, last.emotion], offset)))
    return runs


def _cores(values: FloatArray, onset: float) -> list[_Run]:
    """The longest runs of rows in which one emotion leads with at least ``onset``."""
    leading = np.where(values.max(axis=1) >= onset, values.argmax(axis=1), -1)
    edges = [0, *(np.flatnonzero(np.diff(leading)) + 1).tolist(), len(leading)]
    runs = (_Run(int(leading[start]), start, stop) for start, stop in itertools.pairwise(edges))
    return [run for run in runs if run.emotion >= 0]


def _rows_above(column: FloatArray, offset: float) -> int:
    """How many rows from the first on stay at ``offset`` or above."""
    below = np.flatnonzero(column < offset)
    return int(below[0]) if len(below) else len(column)


def _split(earlier: FloatArray, later: FloatArray, minimum: int, maximum: int) -> int:
    """How many of the rows between two episodes the earlier one keeps, so that their total evidence is largest."""
    gain = np.append(0.0, np.cumsum(earlier - later, dtype=np.float64))
    return minimum + int(gain[minimum : maximum + 1].argmax())


def _episode(times: DoubleArray, values: FloatArray, run: _Run, end: float) -> Episode:
    column = values[run.start : run.stop, run.emotion]
    apex = run.start + int(column.argmax())
    stop = float(times[run.stop]) if run.stop < len(times) else float(times[-1] + median_step(times))
    return Episode(
        emotion=run.emotion,
        onset=float(times[run.start]),
        apex=float(times[apex]),
        offset=min(stop, end),
        peak=float(column.max()),
        mean=float(column.mean(dtype=np.float64)),
    )
