"""How fast faces are classified on each device of this machine, and which device ``auto`` chooses."""

from __future__ import annotations

import time
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from fervid.emotions.classifier import EmotionClassifier, load_classifier
from fervid.emotions.sidecar import SHIPPED, keras_path
from fervid.runtime.platform import gpu_driver

BATCH = 256
"""Faces that are classified at once, as in an analysis."""

SECONDS = 3.0
"""How long each device is measured."""


@dataclass(frozen=True)
class Choice:
    """What ``auto`` chooses, and the speed of each device.

    Attributes:
        device: ``cpu`` or ``gpu``.
        reason: Why.
        speeds: Device → faces per second. The GPU is missing if there is none that can be used.
    """

    device: str
    reason: str
    speeds: dict[str, float]


def benchmark(weights: Path = SHIPPED, seconds: float = SECONDS) -> Choice:
    """Measure how fast faces are classified, and find out what ``auto`` chooses.

    Each batch holds BATCH crops of random pixels, because the speed does not depend on what a crop shows.

    Args:
        weights: The weights, named by their `.onnx` or `.keras` file.
        seconds: How long each device is measured.

    Returns:
        The choice and the speeds.

    Raises:
        BadWeights: A file of the weights is missing or damaged.
    """
    chosen = load_classifier(weights, "auto")  # first: a GPU must be set up before TensorFlow makes a tensor
    speeds = {"cpu": faces_per_second(load_classifier(weights, "cpu"), seconds)}
    if chosen.device != "cpu":
        speeds[chosen.device] = faces_per_second(chosen, seconds)
    return Choice(chosen.device, _reason(weights, chosen.device), speeds)


def _reason(weights: Path, device: str) -> str:
    """Why ``auto`` chooses a device."""
    driver = gpu_driver()
    if not keras_path(weights).is_file():
        return f"a GPU needs {keras_path(weights).name}, which is not beside the weights"
    if driver is None:
        return "this machine has no driver of a GPU that TensorFlow can use"
    if find_spec("tensorflow") is None:
        return f"there is a GPU driver ({driver}), but TensorFlow is not installed"
    if device == "cpu":
        return f"there is a GPU driver ({driver}), but TensorFlow finds no GPU; pip install 'fervid[gpu]'"
    return f"there is a GPU driver ({driver}), and TensorFlow finds a GPU"


def faces_per_second(classifier: EmotionClassifier, seconds: float = SECONDS) -> float:
    """Measure how fast a classifier is.

    Args:
        classifier: The classifier.
        seconds: How long it is measured, after one batch that is not counted. At least one batch is.

    Returns:
        Faces per second of wall-clock time.
    """
    crops = np.random.default_rng(0).integers(0, 256, (BATCH, 48, 48), np.uint8)
    classifier.probabilities(crops)
    faces, start = 0, time.perf_counter()
    while (spent := time.perf_counter() - start) < seconds or not faces:
        classifier.probabilities(crops)
        faces += len(crops)
    return faces / spent
