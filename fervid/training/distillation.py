"""Knowledge distillation: targets that trained networks give (Hinton, Vinyals and Dean, 2015)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fervid.emotions.classifier import load_classifier, softmax
from fervid.emotions.sidecar import read_sidecar
from fervid.training.dataset import Dataset
from fervid.training.evaluate import predict
from fervid.types import EMOTIONS, FloatArray


def soft_targets(teachers: Sequence[Path], data: Dataset, cache: Path) -> FloatArray:
    """(n, 7) float32: the mean of the teachers' calibrated probabilities, each over an image and its mirror image.

    ``cache``: a file that keeps them, so that a run that goes on has the same. Raises BadWeights.
    """
    if cache.exists():
        kept = np.load(cache, allow_pickle=False)
        if kept.shape == (len(data), len(EMOTIONS)):
            return np.asarray(kept, np.float32)
    total = np.zeros((len(data), len(EMOTIONS)))
    for path in teachers:
        teacher = load_classifier(path)
        for images in (data.images, np.ascontiguousarray(data.images[:, :, ::-1])):
            total += softmax(predict(teacher.network, images), teacher.sidecar.temperature)
    targets = (total / (2 * len(teachers))).astype(np.float32)
    with cache.with_suffix(".tmp").open("wb") as file:
        np.save(file, targets)
    cache.with_suffix(".tmp").replace(cache)
    return targets


def hashes(teachers: Sequence[Path]) -> list[str]:
    """The SHA-256 of each teacher's weights; raises BadWeights."""
    return [read_sidecar(path).weights_sha256 for path in teachers]
