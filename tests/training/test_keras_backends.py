"""Training on Keras' other backends, each in a process of its own; skipped where it is not installed."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fervid.emotions.classifier import load_classifier

SCRIPT = """
import sys
from pathlib import Path
import numpy as np
from fervid.faces.crop import FER2013_GEOMETRY
from fervid.emotions.keras_network import backend, build
from fervid.emotions.architecture import Architecture
from fervid.training.augment import AugmentSettings
from fervid.training.dataset import Dataset
from fervid.training.recipe import TrainSettings
from fervid.training.train import train

small = Architecture(widths=(4, 8), pairs=(2,), dropout=0.0)
plain, quick = build(small, votes=True), build(small, votes=True, training=True)
rng = np.random.default_rng(0)
for layer in plain.layers:
    weights = [rng.uniform(0.5, 1.5, w.shape) for w in layer.get_weights()]
    layer.set_weights(weights)
    quick.get_layer(layer.name).set_weights(weights)
crops = rng.normal(size=(6, 20, 20, 1)).astype(np.float32)
for mode in (False, True, False):  # the second pass moves the running statistics, the third uses them
    for first, second in zip(plain(crops, training=mode).values(), quick(crops, training=mode).values(), strict=True):
        a, b = (np.asarray(value.detach() if hasattr(value, "detach") else value) for value in (first, second))
        assert np.allclose(a, b, rtol=0.02, atol=0.02 * np.abs(a).max()), (mode, a, b)

labels = np.repeat(np.arange(7), 20)
rows = np.arange(48)
images = [128 + 80 * np.sin(rows[:, None] * (label + 1) / 4) + rng.normal(0, 15, (48, 48)) for label in labels]
names, votes = np.array(["Training"] * 140), np.eye(8, dtype="f4")[labels]
data = Dataset(np.clip(images, 0, 255).astype(np.uint8), labels, names, votes)
settings = TrainSettings(epochs=4, batch_size=16, warmup=1, learning_rate=0.02, ema=0.5, holdout=0.3, optimizer="sgd",
    weight_decay=0.005, refit=0.01, sharpness=0.0 if backend() == "jax" else 0.01,
    architecture=Architecture((4, 8), (1,), 0.0),
    augment=AugmentSettings(shift=0.0, erase=0.0, degrade=0.0))
result = train(data, Path(sys.argv[1]), FER2013_GEOMETRY, settings)
assert result.history[-1]["loss"] < result.history[0]["loss"]
"""


@pytest.mark.parametrize("backend", ["torch", "jax"])
def test_training_runs_alike_on_other_backends(backend: str, tmp_path: Path) -> None:
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    environment = os.environ | {"KERAS_BACKEND": backend}
    out = tmp_path / "model.keras"
    done = subprocess.run([sys.executable, "-c", SCRIPT, str(out)], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert load_classifier(out).sidecar.training["backend"].endswith(backend)  # weights written there load here
