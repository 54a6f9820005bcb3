"""How good a classifier is, and how far its probabilities can be believed."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from fervid.crop import normalize
from fervid.model import softmax
from fervid.types import ByteArray, DoubleArray, FloatArray

Labels = npt.NDArray[np.int64]


def predict_logits(network: Any, images: ByteArray, batch_size: int = 256) -> FloatArray:
    """Images (n, 48, 48) uint8 → logits (n, 7) float32."""
    parts = [
        np.asarray(network.predict_on_batch(normalize(images[i : i + batch_size])), np.float32)
        for i in range(0, len(images), batch_size)
    ]
    return np.concatenate(parts)


def negative_log_likelihood(probabilities: DoubleArray, labels: Labels) -> float:
    """Mean of -log p(label), in nats. ``probabilities`` (n, 7), ``labels`` (n,)."""
    return float(-np.log(np.maximum(probabilities[np.arange(len(labels)), labels], 1e-12)).mean())


def fit_temperature(logits: FloatArray, labels: Labels) -> float:
    """The temperature that minimises the negative log likelihood (Guo et al., 2017), by golden section."""
    low, high, ratio = np.log(0.1), np.log(10.0), (np.sqrt(5) - 1) / 2
    for _ in range(60):
        left, right = high - ratio * (high - low), low + ratio * (high - low)
        if _nll_at(logits, labels, left) < _nll_at(logits, labels, right):
            high = right
        else:
            low = left
    return float(np.exp((low + high) / 2))


def _nll_at(logits: FloatArray, labels: Labels, log_temperature: float) -> float:
    return negative_log_likelihood(softmax(logits, float(np.exp(log_temperature))), labels)
