"""Knowledge distillation: training targets from trained networks, the teachers (Hinton, Vinyals and Dean, 2015)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fervid.emotions.classifier import load_classifier, softmax
from fervid.emotions.sidecar import read_sidecar
from fervid.training.dataset import Dataset
from fervid.training.evaluate import predict
from fervid.training.kept_array import kept_array
from fervid.types import EMOTIONS, FloatArray


def soft_targets(teachers: Sequence[Path], data: Dataset, cache: Path) -> FloatArray:
    """Compute the teachers' mean calibrated probabilities for training images and their mirror images.

    Args:
        teachers: Weights of the teachers.
        data: The training images.
        cache: A .npy file that keeps the result, so that a continued run uses the same one.

    Returns:
        Probabilities (n, 7) float32, the mean over all teachers and both views of each image.

    Raises:
        BadWeights: A teacher's weights cannot be used.
        OutputError: The cache cannot be written.
    """

    def ask() -> FloatArray:
        total = np.zeros((len(data), len(EMOTIONS)))
        for path in teachers:
            teacher = load_classifier(path)
            for images in (data.images, np.ascontiguousarray(data.images[:, :, ::-1])):
                total += softmax(predict(teacher.network, images), teacher.sidecar.temperature)
        return (total / (2 * len(teachers))).astype(np.float32)

    return kept_array(cache, (len(data), len(EMOTIONS)), ask)


def hashes(teachers: Sequence[Path]) -> list[str]:
    """Read which weights the teachers have.

    Args:
        teachers: Weights of the teachers.

    Returns:
        The SHA-256 of each teacher's `.keras` file.

    Raises:
        BadWeights: A sidecar cannot be used.
    """
    return [read_sidecar(path).weights_sha256 for path in teachers]
