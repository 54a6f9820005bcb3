"""Smoothing methods that ``tests.benchmarks.timelines`` compares. fervid ships two of them.

A smoother takes times (n,) in seconds and raw probabilities (n, 7), and returns smoothed probabilities (n, 7) float64.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.linalg import expm

from fervid.settings import Smoother as Shipped
from fervid.settings import TimelineSettings
from fervid.timeline.smoothing import seconds_each, smooth
from fervid.types import DoubleArray, FloatArray

Smoother = Callable[[DoubleArray, FloatArray], DoubleArray]

MAX_GAP = 1.0
_FLOOR = 1e-3


def raw(times: DoubleArray, rows: FloatArray) -> DoubleArray:
    """No smoothing."""
    return np.asarray(rows, np.float64)


def shipped(kind: Shipped, width: float) -> Smoother:
    """A smoother of fervid, with quality 1 for all rows."""

    def apply(times: DoubleArray, rows: FloatArray) -> DoubleArray:
        ones = np.ones(len(times), np.float32)
        return np.asarray(smooth(times, rows, ones, width, MAX_GAP, kind), np.float64)

    return apply


def kernel(shape: str, width: float, logits: bool = False) -> Smoother:
    """Centred mean of probabilities or of their logarithms.

    The window is a ``gaussian`` with standard deviation width / 2, or a ``box`` of full width ``width``.
    """

    def apply(times: DoubleArray, rows: FloatArray) -> DoubleArray:
        values = np.log(np.maximum(rows, _FLOOR)) if logits else np.asarray(rows, np.float64)
        result = np.empty_like(values, dtype=np.float64)
        reach = 1.5 * width if shape == "gaussian" else width / 2
        for row, time in enumerate(times):
            near = slice(*np.searchsorted(times, [time - reach - 1e-9, time + reach + 1e-9]))
            apart = times[near] - time
            weights = np.exp(-2 * (apart / width) ** 2) if shape == "gaussian" else np.ones(len(apart))
            result[row] = weights @ values[near] / weights.sum()
        return _softmax(result) if logits else result

    return apply


def exponential(constant: float, margin: float) -> Smoother:
    """Causal exponential mean with hysteresis.

    The label changes only when another class leads by ``margin``. Until then the two classes swap their probabilities,
    so that the largest probability is that of the label.
    """

    def apply(times: DoubleArray, rows: FloatArray) -> DoubleArray:
        result = np.array(rows, np.float64)
        shares = 1 - np.exp(-np.diff(times) / constant)
        for row, share in enumerate(shares, 1):
            result[row] = (1 - share) * result[row - 1] + share * result[row]
        label = int(result[0].argmax()) if len(result) else 0
        for values in result:
            leader = int(values.argmax())
            if values[leader] > values[label] + margin:
                label = leader
            values[[label, leader]] = values[[leader, label]]
        return result

    return apply


def markov(
    dwell: float, evidence: float, stages: int = 1, prior: DoubleArray | None = None, exponent: float = 0.0
) -> Smoother:
    """Posterior of a hidden Markov chain in continuous time (forward-backward algorithm).

    ``dwell``: mean dwell time in seconds. ``stages`` > 1 gives each state an Erlang dwell time, a semi-Markov chain.
    Samples within ``evidence`` seconds count as one. Probabilities are divided by ``prior`` to the power ``exponent``.
    """

    def apply(times: DoubleArray, rows: FloatArray) -> DoubleArray:
        states = rows.shape[1]
        steps = np.round(np.diff(times), 6)
        moves = {step: expm(_rates(states, stages, dwell) * step) for step in set(steps.tolist())}
        logs = np.log(np.maximum(rows, _FLOOR)).astype(np.float64)
        if prior is not None:
            logs -= exponent * np.log(prior)
        logs *= np.minimum(seconds_each(np.diff(times)) / evidence, 1.0)[:, None]
        likely = np.repeat(np.exp(logs - logs.max(axis=1, keepdims=True)), stages, axis=1)
        ahead, behind = np.empty_like(likely), np.ones_like(likely)
        belief = likely[0] / likely[0].sum()
        ahead[0] = belief
        for row, step in enumerate(steps.tolist(), 1):
            belief = likely[row] * (belief @ moves[step])
            ahead[row] = belief = belief / belief.sum()
        for row in range(len(times) - 2, -1, -1):
            message = moves[float(steps[row])] @ (likely[row + 1] * behind[row + 1])
            behind[row] = message / message.sum()
        joint = (ahead * behind).reshape(len(times), states, stages).sum(axis=2)
        return np.asarray(joint / joint.sum(axis=1, keepdims=True))

    return apply


def _rates(states: int, stages: int, dwell: float) -> DoubleArray:
    """Generator matrix of the chain: each state passes its stages, then moves to the first stage of another state."""
    rates = np.zeros((states * stages, states * stages))
    for state in range(states):
        for stage in range(stages - 1):
            rates[state * stages + stage, state * stages + stage + 1] = stages / dwell
        last = state * stages + stages - 1
        others = [other * stages for other in range(states) if other != state]
        rates[last, others] = stages / dwell / len(others)
    return rates - np.diag(rates.sum(axis=1))


def _softmax(logs: DoubleArray) -> DoubleArray:
    values = np.exp(logs - logs.max(axis=1, keepdims=True))
    return np.asarray(values / values.sum(axis=1, keepdims=True))


def candidates(prior: DoubleArray) -> dict[str, Smoother]:
    """The compared smoothers by name. ``prior`` (7,): class shares in the training data."""
    return {
        "raw": raw,
        **{f"Gaussian, {width:g} s": shipped("gaussian", width) for width in (0.5, 1.0, 2.0)},
        "Gaussian of logits, 1 s": kernel("gaussian", 1.0, logits=True),
        **{f"box, {width:g} s": kernel("box", width) for width in (1.0, 2.0)},
        "box of logits, 1 s": kernel("box", 1.0, logits=True),
        "exponential with hysteresis, 0.5 s": exponential(0.5, 0.1),
        "HMM posterior, 1.5 s": scaled_markov(1.5),
        "HMM posterior, 1.5 s, evidence / prior": scaled_markov(1.5, prior=prior),
        "semi-Markov posterior (Erlang 2), 1.5 s": scaled_markov(1.5, stages=2),
        f"**{default()}** (default)": shipped(TimelineSettings().smoother, TimelineSettings().smooth),
    }


def default() -> str:
    """Name of the default smoother of ``fervid analyze``."""
    return f"{TimelineSettings().smoother}, {TimelineSettings().smooth:g} s"


def scaled_markov(width: float, stages: int = 1, prior: DoubleArray | None = None) -> Smoother:
    """The hidden Markov posterior with time constants proportional to ``width``; the factors are the best of a grid."""
    return markov(1.5 * width, 0.2 * width, stages, prior, 0.0 if prior is None else 1.0)
