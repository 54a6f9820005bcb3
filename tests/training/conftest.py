"""Images to train on."""

from __future__ import annotations

import numpy as np
import pytest

from fervid.training.dataset import Dataset


@pytest.fixture(scope="package")
def faces() -> Dataset:
    """Images of seven patterns that even a tiny network can classify."""
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(7), 20)
    rows = np.arange(48)
    images = [128 + 80 * np.sin(rows[:, None] * (label + 1) / 4) + rng.normal(0, 15, (48, 48)) for label in labels]
    votes = np.eye(8, dtype=np.float32)[labels]
    return Dataset(np.clip(images, 0, 255).astype(np.uint8), labels, np.array(["Training"] * len(labels)), votes)
