"""Smoothing of one face's probabilities over time. Pure numpy; all times in seconds.

The result depends on differences of times, rounded to nanoseconds, so that shifting a whole timeline changes nothing.
It depends on seconds, not on counts of samples, so that the sampling rate has little influence.
Many timelines are smoothed at once, because numpy is slow with short ones. Each gets the same bits as alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from fervid.settings import Smoother
from fervid.timeline.gaps import segments, steps
from fervid.types import DoubleArray, FloatArray

EXPRESSION_LENGTH = 3.0
"""Expected length of one expression, in window widths; assumed by the search for changes."""
CORRELATION_LENGTH = 0.13
"""Samples closer than this, in window widths, count as one observation: 0.2 s at the default width. In real clips the
noise of frames that far apart is still correlated by about 0.4."""
SHARPNESS = 1.5
"""Exponent of the probability that nothing changed between two samples. Above 1, uncertain changes weigh more."""
WINDOW_DEVIATIONS = 3.0
"""Standard deviations at which the window ends."""
_MINIMUM = 1e-3
"""Lower bound for weights, probabilities and seconds, so that every sample contributes."""


def smooth(
    times: DoubleArray,
    probabilities: FloatArray,
    weights: FloatArray,
    width: float,
    max_gap: float,
    smoother: Smoother = "adaptive",
) -> FloatArray:
    """Replace each row by the weighted mean of the rows around it.

    A row counts by its weight, by the seconds that it stands for, and by a Gaussian of its distance in time with a
    standard deviation of half of ``width``. ``adaptive`` also multiplies by the probability that the expression did
    not change in between, raised to ``SHARPNESS``, so that the window ends where an expression does. ``gaussian``
    leaves that factor out. Samples on two sides of a gap never influence each other.

    Args:
        times: (n,) increasing times in seconds.
        probabilities: (n, k) rows that sum to 1.
        weights: (n,) reliability of each sample, in [0, 1].
        width: Width of the window in seconds; 0 returns the input.
        max_gap: Longest step in seconds that is not a gap.
        smoother: ``adaptive`` or ``gaussian``.

    Returns:
        (n, k) float32; each row sums to 1 and lies within the bounds of the input.
    """
    return smooth_each([times], [probabilities], [weights], width, max_gap, smoother)[0]


def smooth_each(
    times: Sequence[DoubleArray],
    probabilities: Sequence[FloatArray],
    weights: Sequence[FloatArray],
    width: float,
    max_gap: float,
    smoother: Smoother = "adaptive",
) -> list[FloatArray]:
    """Smooth several timelines, which do not influence each other.

    Args:
        times: The times of each; see ``smooth``.
        probabilities: The rows of each, with the same number of columns.
        weights: The weights of each.
        width: See ``smooth``.
        max_gap: See ``smooth``.
        smoother: See ``smooth``.

    Returns:
        What ``smooth`` gives for each of them.
    """
    chosen = [index for index, own in enumerate(times) if width > 0 and len(own) > 1]
    results = [np.array(rows, np.float32) for rows in probabilities]
    if not chosen:
        return results
    parts = _Parts.of([times[index] for index in chosen], max_gap)
    rows = np.concatenate([probabilities[index] for index in chosen]).astype(np.float64)
    trust = np.clip(np.concatenate([weights[index] for index in chosen]).astype(np.float64), _MINIMUM, 1.0)
    stays = _stays(parts, rows, trust, width) if smoother == "adaptive" else np.ones(len(rows))
    means = _weighted_means(parts, rows, trust * parts.seconds, stays, width / 2)
    smoothed = np.asarray(means / means.sum(axis=1, keepdims=True), np.float32)
    edges = np.cumsum([len(times[index]) for index in chosen])[:-1]
    for index, own in zip(chosen, np.split(smoothed, edges), strict=True):
        results[index] = own
    return results


@dataclass(frozen=True, eq=False)
class _Parts:
    """Runs of samples without a gap, one after another. Those of one part influence each other.

    Attributes:
        steps: (n,) seconds since the sample before; 0 for the first one of a part.
        starts: (p,) the first sample of each part, in increasing order; not empty.
    """

    steps: DoubleArray
    starts: npt.NDArray[np.int64]

    @classmethod
    def of(cls, timelines: Sequence[DoubleArray], max_gap: float) -> _Parts:
        """Divide timelines at their gaps."""
        times = np.concatenate(timelines)
        begins = np.cumsum([0, *map(len, timelines)])[:-1].tolist()
        starts = {*begins, *(part.start for part in segments(times, max_gap))}
        return cls.between(np.append(0.0, steps(times)), sorted(starts))

    @classmethod
    def between(cls, steps: DoubleArray, starts: Sequence[int]) -> _Parts:
        """Build parts from the step before each sample. The steps before first samples do not count."""
        first = np.array(starts, np.int64)
        own = np.array(steps, np.float64)
        own[first] = 0.0
        return cls(own, first)

    @cached_property
    def lengths(self) -> npt.NDArray[np.int64]:
        """(p,) number of samples of each part."""
        return np.diff(np.append(self.starts, len(self.steps)))

    @cached_property
    def number(self) -> npt.NDArray[np.int64]:
        """(n,) the part of each sample."""
        return np.repeat(np.arange(len(self.starts)), self.lengths)

    @cached_property
    def seconds(self) -> DoubleArray:
        """(n,) the seconds that each sample stands for; see ``seconds_each``."""
        last = self.starts + self.lengths - 1
        before, after = self.steps.copy(), np.append(self.steps[1:], 0.0)
        before[self.starts], after[last] = after[self.starts], before[last]
        before[last[self.lengths == 1]] = after[last[self.lengths == 1]] = 1.0
        return np.asarray(np.maximum((before + after) / 2, _MINIMUM))

    def summed(self, values: DoubleArray) -> DoubleArray:
        """(n,) the sum of the values of the part up to each sample."""
        result = np.empty_like(values)
        for start, length in zip(self.starts.tolist(), self.lengths.tolist(), strict=True):
            np.cumsum(values[start : start + length], out=result[start : start + length])
        return result


def seconds_each(steps: DoubleArray) -> DoubleArray:
    """Compute the seconds that each sample stands for: half of the step to either neighbour.

    The first and the last sample stand for as long on their outer side as on their inner side.

    Args:
        steps: (n - 1,) seconds between the samples.

    Returns:
        (n,) seconds, at least 0.001 each; 1 for a single sample.
    """
    return _Parts.between(np.append(0.0, steps), [0]).seconds


def stay_probabilities(steps: DoubleArray, rows: DoubleArray, trust: DoubleArray, width: float) -> DoubleArray:
    """Compute the probability that the expression did not change from one sample to the next, given all rows.

    Forward-backward (Rabiner, 1989) over a Markov chain in continuous time that leaves each of its k states at the
    rate 1 / (``EXPRESSION_LENGTH`` x ``width``), for any other state with equal probability. Then ``exp(Q step)`` is
    c I + (1 - c) / k with c = exp(-k / (k - 1) x step x rate), for any step. A row of calibrated probabilities is
    the evidence of its sample, raised to an exponent of at most its ``trust``. Neighbouring frames repeat each other,
    so all samples within ``CORRELATION_LENGTH`` x ``width`` seconds together count as one observation.

    Args:
        steps: (n - 1,) seconds between the samples.
        rows: (n, k) probabilities.
        trust: (n,) reliability of each sample, in (0, 1].
        width: Width of the smoothing window in seconds.

    Returns:
        (n - 1,) probabilities above 0.
    """
    return _stays(_Parts.between(np.append(0.0, steps), [0]), rows, trust, width)[1:]


def _stays(parts: _Parts, rows: DoubleArray, trust: DoubleArray, width: float) -> DoubleArray:
    """(n,) probability that nothing changed since the sample before; 1 for the first one of a part."""
    states = rows.shape[1]
    same = np.exp(-states / (states - 1) * parts.steps / (EXPRESSION_LENGTH * width))
    exponents = trust * np.minimum(parts.seconds / (CORRELATION_LENGTH * width), 1.0)
    before, after = _filtered(parts, np.exp(exponents[:, None] * np.log(np.maximum(rows, _MINIMUM))), same)
    before, after, same = before[:-1], after[1:], same[1:]
    agreeing = (before * after).sum(axis=1)
    stayed = (same + (1 - same) / states) * agreeing
    either = same * agreeing + (1 - same) / states * before.sum(axis=1) * after.sum(axis=1)
    result = np.append(1.0, np.clip(stayed / np.maximum(either, 1e-300), 1e-12, 1.0))
    result[parts.starts] = 1.0
    return np.asarray(result)


def _filtered(parts: _Parts, evidence: DoubleArray, same: DoubleArray) -> tuple[DoubleArray, DoubleArray]:
    """(n, k) probability of each state, given the rows of the part up to each sample; and given those from it on.

    The chain is reversible: its backward pass is the forward pass over the reversed part. Both passes go through all
    parts at once, the longest first, so that the parts which go on are always at the beginning.
    """
    states = evidence.shape[1]
    place = np.arange(len(evidence)) - parts.starts[parts.number]
    rank = np.argsort(np.argsort(-parts.lengths, kind="stable"))[parts.number]
    forward = np.lexsort((rank, place))
    backward = np.lexsort((rank, parts.lengths[parts.number] - 1 - place))
    after = np.append(same[1:], 1.0)
    after[parts.starts[1:] - 1] = 1.0
    kept = np.stack([same[forward], after[backward]], axis=1)[:, :, None]
    moved = (1 - kept) / states
    seen = np.stack([evidence[forward], evidence[backward]], axis=1)
    beliefs = np.empty_like(seen)
    belief, start = np.full((len(parts.starts), 2, states), 1 / states), 0
    for count in np.bincount(place).tolist():
        now = slice(start, start + count)
        belief = np.multiply(kept[now], belief[:count], out=beliefs[now])
        belief += moved[now]
        belief *= seen[now]
        belief /= belief.sum(axis=2, keepdims=True)
        start += count
    result = np.empty_like(beliefs)
    result[forward, 0], result[backward, 1] = beliefs[:, 0], beliefs[:, 1]
    return result[:, 0], result[:, 1]


def _weighted_means(
    parts: _Parts, values: DoubleArray, weights: DoubleArray, stays: DoubleArray, deviation: float
) -> DoubleArray:
    """The weighted mean around each row; the weight of a row is multiplied by ``stays`` (n,) at each step."""
    since = np.round(parts.summed(parts.steps), 9)
    passed = SHARPNESS * parts.summed(np.log(stays))
    reach = WINDOW_DEVIATIONS * deviation + 1e-9
    total, weight = weights[:, None] * values, weights.copy()
    for apart in range(1, int(parts.lengths.max())):
        distance = since[apart:] - since[:-apart]
        near = (distance <= reach) & (parts.number[apart:] == parts.number[:-apart])
        if not near.any():
            break
        exponent = passed[apart:] - passed[:-apart] - 0.5 * (distance / deviation) ** 2
        kernel = np.exp(np.where(near, exponent, -np.inf))
        later, earlier = kernel * weights[apart:], kernel * weights[:-apart]
        total[:-apart] += later[:, None] * values[apart:]
        total[apart:] += earlier[:, None] * values[:-apart]
        weight[:-apart] += later
        weight[apart:] += earlier
    return np.asarray(total / weight[:, None])
