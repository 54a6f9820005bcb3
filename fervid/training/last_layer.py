"""The last layer of a trained network fitted anew, on frozen features and with the classes as frequent as they are.

A sampler or a mixup that helps a network to learn its features also shifts what its last layer says of each class.
Kang et al. (2020), "Decoupling representation and classifier for long-tailed recognition", train that layer anew.
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


def refit(network: Any, data: Dataset, strength: float) -> None:
    """Replace the weights of ``network``'s last layer by a multinomial logistic regression on ``data``.

    The features are those of each image and of its mirror image, undisturbed; the targets are the labels alone.
    ``strength`` times the squared distance to the trained weights is added to the mean cross-entropy, in nats.
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
    """The ``kernel`` (channels, 7) and ``bias`` (7,) that minimise the mean cross-entropy of ``labels`` (n,), plus
    ``strength`` times the squared distance of the kernel to the one given; by L-BFGS (Liu and Nocedal, 1989)."""
    rows = np.arange(len(labels))
    truth = np.eye(len(EMOTIONS))[labels]

    def loss(values: DoubleArray) -> tuple[float, DoubleArray]:
        weights, shift = values[: kernel.size].reshape(kernel.shape), values[kernel.size :]
        chance = softmax(features @ weights + shift)
        error = (chance - truth) / len(labels)
        away = weights - kernel
        cost = -np.log(np.maximum(chance[rows, labels], 1e-300)).mean() + strength * (away**2).sum()
        slope = [(features.T @ error + 2 * strength * away).ravel(), error.sum(axis=0)]
        return float(cost), np.concatenate(slope)

    begin = np.concatenate([kernel.ravel(), bias])
    found = minimize(loss, begin, jac=True, method="L-BFGS-B", options={"maxiter": ITERATIONS}).x
    return found[: kernel.size].reshape(kernel.shape), found[kernel.size :]
