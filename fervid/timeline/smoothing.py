"""Smoothing of one face's probabilities over time. Pure numpy; all times in seconds.

The result depends on differences of times, rounded to nanoseconds, so that shifting a whole timeline changes nothing.
It depends on seconds, not on counts of samples, so that the sampling rate has little influence.
"""

from __future__ import annotations

import numpy as np

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
    if width <= 0 or len(times) < 2:
        return np.array(probabilities, np.float32)
    result = np.empty((len(times), probabilities.shape[1]), np.float64)
    for part in segments(times, max_gap):
        rows = np.asarray(probabilities[part], np.float64)
        trust = np.clip(np.asarray(weights[part], np.float64), _MINIMUM, 1.0)
        distances = steps(times[part])
        adaptive = smoother == "adaptive"
        stays = stay_probabilities(distances, rows, trust, width) if adaptive else np.ones(len(distances))
        result[part] = _weighted_means(distances, rows, trust * seconds_each(distances), stays, width / 2)
    return np.asarray(result / result.sum(axis=1, keepdims=True), np.float32)


def seconds_each(steps: DoubleArray) -> DoubleArray:
    """Compute the seconds that each sample stands for: half of the step to either neighbour.

    The first and the last sample stand for as long on their outer side as on their inner side.

    Args:
        steps: (n - 1,) seconds between the samples.

    Returns:
        (n,) seconds, at least 0.001 each; 1 for a single sample.
    """
    if not len(steps):
        return np.ones(1)
    return np.asarray(np.maximum((np.append(steps[0], steps) + np.append(steps, steps[-1])) / 2, _MINIMUM))


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
    states = rows.shape[1]
    same = np.exp(-states / (states - 1) * steps / (EXPRESSION_LENGTH * width))
    exponents = trust * np.minimum(seconds_each(steps) / (CORRELATION_LENGTH * width), 1.0)
    evidence = np.exp(exponents[:, None] * np.log(np.maximum(rows, _MINIMUM)))
    # the chain is reversible: its backward pass is the forward pass over the reversed timeline
    before, after = _filtered(evidence, same)[:-1], _filtered(evidence[::-1], same[::-1])[::-1][1:]
    agreeing = (before * after).sum(axis=1)
    stayed = (same + (1 - same) / states) * agreeing
    either = same * agreeing + (1 - same) / states * before.sum(axis=1) * after.sum(axis=1)
    return np.asarray(np.clip(stayed / np.maximum(either, 1e-300), 1e-12, 1.0))


def _filtered(evidence: DoubleArray, same: DoubleArray) -> DoubleArray:
    """(n, k) probability of each state, given the rows up to and including each sample."""
    states = evidence.shape[1]
    result = np.empty_like(evidence)
    belief = np.full(states, 1 / states)
    for row, kept in enumerate(np.append(1.0, same)):
        belief = evidence[row] * (kept * belief + (1 - kept) / states)
        belief /= belief.sum()
        result[row] = belief
    return result


def _weighted_means(
    steps: DoubleArray, values: DoubleArray, weights: DoubleArray, stays: DoubleArray, deviation: float
) -> DoubleArray:
    """The weighted mean around each row; the weight of a row is multiplied by ``stays`` (n - 1,) at each step."""
    since = np.round(np.append(0.0, np.cumsum(steps)), 9)
    passed = SHARPNESS * np.append(0.0, np.cumsum(np.log(stays)))
    reach = WINDOW_DEVIATIONS * deviation + 1e-9
    total, weight = weights[:, None] * values, weights.copy()
    for apart in range(1, len(values)):
        distance = since[apart:] - since[:-apart]
        if distance.min() > reach:
            break
        kernel = np.exp(passed[apart:] - passed[:-apart] - 0.5 * (distance / deviation) ** 2) * (distance <= reach)
        later, earlier = kernel * weights[apart:], kernel * weights[:-apart]
        total[:-apart] += later[:, None] * values[apart:]
        total[apart:] += earlier[:, None] * values[:-apart]
        weight[:-apart] += later
        weight[apart:] += earlier
    return np.asarray(total / weight[:, None])
