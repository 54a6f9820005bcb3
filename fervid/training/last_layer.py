"""Refitting the last layer of a trained network, on fixed features and with the natural class frequencies.

A sampler or mixup helps a network to learn features, but biases its last layer towards some classes. Kang et al. (2020,
"Decoupling representation and classifier for long-tailed recognition") therefore train that layer again.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from scipy.optimize import minimize

from fervid.emotions.classifier import softmax
from fervid.emotions.keras_network import KerasNetwork
from fervid.training.dataset import Dataset
from fervid.training.evaluate import predict
from fervid.types import EMOTIONS, DoubleArray

LAYER = "emotion"
"""The layer that is fitted."""

ITERATIONS = 200
"""Largest number of steps of the fit."""


def refit(network: Any, data: Dataset, strength: float) -> None:
    """Replace the weights of a network's last layer by a multinomial logistic regression.

    The features are those of each unvaried image and of its mirror image. The targets are the labels.

    Args:
        network: The Keras model, changed in place.
        data: The training images.
        strength: Weight of the squared distance to the trained kernel, which is added to the mean cross-entropy in
            nats.
    """
    images = np.concatenate([data.images, data.images[:, :, ::-1]])
    kernel, bias = (np.asarray(w, np.float64) for w in network.get_layer(LAYER).get_weights())
    body = keras.Model(network.input, network.get_layer("pool").output)
    features = predict(KerasNetwork(body), images).astype(np.float64)
    fitted = regression(features, np.tile(data.labels, 2), kernel, bias, strength)
    network.get_layer(LAYER).set_weights(list(fitted))


def regression(
    features: DoubleArray, labels: Any, kernel: DoubleArray, bias: DoubleArray, strength: float
) -> tuple[DoubleArray, DoubleArray]:
    """Fit a multinomial logistic regression by L-BFGS (Liu and Nocedal, 1989).

    Args:
        features: Features (n, channels) float64.
        labels: True classes (n,) int64.
        kernel: Kernel (channels, 7) to start from. Departing from it is penalised.
        bias: Bias (7,) to start from.
        strength: Weight of the squared distance to ``kernel``, added to the mean cross-entropy in nats.

    Returns:
        The fitted kernel (channels, 7) and bias (7,).
    """
    rows = np.arange(len(labels))
    truth = np.eye(len(EMOTIONS))[labels]

    def loss(values: DoubleArray) -> tuple[float, DoubleArray]:
        weights, shift = values[: kernel.size].reshape(kernel.shape), values[kernel.size :]
        chance = softmax(features @ weights + shift)
        error = (chance - truth) / len(labels)
        change = weights - kernel
        cost = -np.log(np.maximum(chance[rows, labels], 1e-300)).mean() + strength * (change**2).sum()
        gradient = [(features.T @ error + 2 * strength * change).ravel(), error.sum(axis=0)]
        return float(cost), np.concatenate(gradient)

    begin = np.concatenate([kernel.ravel(), bias])
    found = minimize(loss, begin, jac=True, method="L-BFGS-B", options={"maxiter": ITERATIONS}).x
    return found[: kernel.size].reshape(kernel.shape), found[kernel.size :]
