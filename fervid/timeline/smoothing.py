"""Raw probabilities of one face → smoothed ones. Pure numpy; all times in seconds.

Everything depends on differences of times, rounded to nanoseconds, so that moving a whole timeline changes
nothing, and on seconds rather than on counts of samples, so that the sampling rate matters little.
"""

from __future__ import annotations

import numpy as np

from fervid.settings import Smoother
from fervid.timeline.gaps import _steps, segments
from fervid.types import DoubleArray, FloatArray

DWELL = 3.0
"""Expected length of one expression, in widths of the window: what the search for changes assumes."""
EVIDENCE = 0.13
"""Looks that are closer than this, in widths of the window, tell one thing: 0.2 s at the default width. In real
clips the noise of frames so far apart is still correlated by about 0.4."""
SHARPNESS = 1.5
"""Exponent of the probability that nothing changed between two samples: above 1, doubtful borders count more."""
REACH = 3.0
"""Standard deviations at which the window ends."""
_LEAST = 1e-3
"""Smallest weight, probability and share of a second that counts: no sample is without any say."""


def smooth(
    times: DoubleArray,
    probabilities: FloatArray,
    weights: FloatArray,
    width: float,
    max_gap: float,
    smoother: Smoother = "adaptive",
) -> FloatArray:
    """Centred weighted mean of the rows around each row, itself summing to 1 and within their bounds.

    ``times`` (n,) in increasing order, ``probabilities`` (n, 7), ``weights`` (n,) in [0, 1]: how far each
    sample is to be trusted. A row counts by its weight, by the seconds for which it stands, and by a Gaussian
    of its distance in time whose standard deviation is half of ``width``. ``adaptive`` also multiplies by the
    probability that the expression did not change in between, to the power of ``SHARPNESS``, so that the
    window ends where an expression does; ``gaussian`` leaves that out. ``width`` 0 returns the input. Samples
    on two sides of a gap longer than ``max_gap`` never influence each other.
    """
    if width <= 0 or len(times) < 2:
        return np.array(probabilities, np.float32)
    result = np.empty((len(times), probabilities.shape[1]), np.float64)
    for part in segments(times, max_gap):
        rows = np.asarray(probabilities[part], np.float64)
        trust = np.clip(np.asarray(weights[part], np.float64), _LEAST, 1.0)
        steps = _steps(times[part])
        stays = stay_probabilities(steps, rows, trust, width) if smoother == "adaptive" else np.ones(len(steps))
        result[part] = _window(steps, rows, trust * seconds_each(steps), stays, width / 2)
    return np.asarray(result / result.sum(axis=1, keepdims=True), np.float32)


def seconds_each(steps: DoubleArray) -> DoubleArray:
    """(n,) seconds for which each of the samples ``steps`` (n - 1,) apart stands: half of the way to either
    neighbour; the outermost reach as far out as in. Not less than a millisecond."""
    if not len(steps):
        return np.ones(1)
    return np.asarray(np.maximum((np.append(steps[0], steps) + np.append(steps, steps[-1])) / 2, _LEAST))


def stay_probabilities(steps: DoubleArray, rows: DoubleArray, trust: DoubleArray, width: float) -> DoubleArray:
    """(n - 1,) probability, given all rows, that the expression at a sample is still that of the one before.

    Forward-backward (Rabiner, 1989) over a Markov chain in continuous time that leaves each of its states at
    the rate 1 / (``DWELL`` x ``width``) for any other alike. ``exp(Q step)`` then is c I + (1 - c) / k with
    c = exp(-k / (k - 1) x step x rate), right for any step. A row of calibrated probabilities is the evidence
    of its sample, raised to an exponent of at most its ``trust``: neighbouring frames repeat each other, so
    together those within ``EVIDENCE`` x ``width`` seconds count as one look, however many there are.
    """
    states = rows.shape[1]
    same = np.exp(-states / (states - 1) * steps / (DWELL * width))
    exponents = trust * np.minimum(seconds_each(steps) / (EVIDENCE * width), 1.0)
    evidence = np.exp(exponents[:, None] * np.log(np.maximum(rows, _LEAST)))
    # the chain is reversible: its backward pass is the forward pass over the mirrored timeline
    before, after = _filtered(evidence, same)[:-1], _filtered(evidence[::-1], same[::-1])[::-1][1:]
    agreeing = (before * after).sum(axis=1)
    stayed = (same + (1 - same) / states) * agreeing
    either = same * agreeing + (1 - same) / states * before.sum(axis=1) * after.sum(axis=1)
    return np.asarray(np.clip(stayed / np.maximum(either, 1e-300), 1e-12, 1.0))


def _filtered(evidence: DoubleArray, same: DoubleArray) -> DoubleArray:
    """(n, k) probability of each state given the rows up to and with each sample."""
    states = evidence.shape[1]
    result = np.empty_like(evidence)
    belief = np.full(states, 1 / states)
    for row, kept in enumerate(np.append(1.0, same)):
        belief = evidence[row] * (kept * belief + (1 - kept) / states)
        belief /= belief.sum()
        result[row] = belief
    return result


def _window(
    steps: DoubleArray, values: DoubleArray, weights: DoubleArray, stays: DoubleArray, deviation: float
) -> DoubleArray:
    """The weighted mean around each row; ``stays`` (n - 1,) is what a step lets through of a sample's weight."""
    since = np.round(np.append(0.0, np.cumsum(steps)), 9)
    passed = SHARPNESS * np.append(0.0, np.cumsum(np.log(stays)))
    reach = REACH * deviation + 1e-9
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
