"""Made timelines for the tests of smoothing and episodes."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from fervid.types import DoubleArray, FloatArray

MAX_GAP = 1.0


def times_after_steps(steps: list[float]) -> DoubleArray:
    return np.cumsum(np.array([3.0, *steps]))


def probabilities(count: int, seed: int) -> FloatArray:
    """Seven made probabilities per sample that change slowly, like those of a real face."""
    random = np.random.default_rng(seed)
    logits = np.cumsum(random.normal(0, 1.2, (count, 7)), axis=0) + random.normal(0, 0.5, (count, 7))
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(exponentials / exponentials.sum(axis=1, keepdims=True), np.float32)


def weighing(count: int, seed: int) -> FloatArray:
    return np.asarray(np.random.default_rng(seed + 1000).uniform(0, 1, count), np.float32)


# usual steps, steps of 0, and steps around and above MAX_GAP
step = st.one_of(st.floats(0.01, 0.5), st.just(0.0), st.sampled_from([1.0, 1.001, 5.0]))
times_of = st.lists(step, max_size=40).map(times_after_steps)
seeds = st.integers(0, 10_000)
