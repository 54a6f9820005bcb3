"""What the annotators' votes (FER+) say about the label of a training image.

Label and votes come from different people. A network that has seen the label of a training image learns little from
its own prediction for it, but the votes tell which images show something else than their label says.
"""

from __future__ import annotations

import numpy as np

from fervid.emotions.classifier import softmax
from fervid.training.dataset import Dataset
from fervid.training.last_layer import regression
from fervid.types import EMOTIONS, DoubleArray, FloatArray

RIDGE = 1e-4
"""Weight of the squared coefficients in the regression."""
SMALLEST = 0.05
"""Added to each share of the votes before its logarithm is taken."""


def label_chances(data: Dataset) -> FloatArray:
    """Predict the label of each image from its votes, by a logistic regression on the same images.

    Args:
        data: Images with labels and votes.

    Returns:
        Chances (n, 7) float32; equal ones for an image without votes.
    """
    voted = data.votes.sum(axis=1) > 0
    chances = np.full((len(data), len(EMOTIONS)), 1 / len(EMOTIONS))
    if voted.any():
        features = _features(data.votes[voted])
        nothing = np.zeros((features.shape[1], len(EMOTIONS)))
        kernel, bias = regression(features, data.labels[voted], nothing, np.zeros(len(EMOTIONS)), RIDGE)
        chances[voted] = softmax(features @ kernel + bias)
    return np.asarray(chances, np.float32)


def multiply(teachers: FloatArray, chances: FloatArray, power: float) -> FloatArray:
    """Multiply the teachers' prediction by a power of the votes' chances (a product of experts; Hinton, 2002).

    Args:
        teachers: Probabilities (n, 7).
        chances: Result of ``label_chances`` (n, 7).
        power: The power, at least 0.

    Returns:
        Probabilities (n, 7) float32.
    """
    product = teachers.astype(np.float64) * chances.astype(np.float64) ** power
    return np.asarray(product / product.sum(axis=1, keepdims=True), np.float32)


def _features(votes: FloatArray) -> DoubleArray:
    shares = votes.astype(np.float64)
    return np.concatenate([shares, np.log(shares + SMALLEST)], axis=1)
