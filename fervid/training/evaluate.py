"""Measures of a classifier on labelled images: accuracy, F1 and calibration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fervid.emotions.classifier import EmotionClassifier, Network, softmax
from fervid.emotions.sidecar import Sidecar
from fervid.errors import BadDataset, BadWeights
from fervid.faces.crop import normalize
from fervid.training.dataset import Dataset, split
from fervid.types import EMOTIONS, ByteArray, DoubleArray, FloatArray

Labels = npt.NDArray[np.int64]

BINS = 15
"""Equal-width confidence bins of the expected calibration error."""


def held_out(sidecar: Sidecar, data: Dataset) -> Dataset:
    """Select the images that the training of weights held out.

    They were used to fit the temperature and, with ``select = "best"``, to choose the epoch. They are not a test set,
    but recipes can be compared on them.

    Args:
        sidecar: The sidecar of the weights.
        data: The images that the weights were trained with.

    Returns:
        The held-out images.

    Raises:
        BadWeights: The sidecar does not say which images were held out.
        BadDataset: The weights were trained with other images.
    """
    settings = sidecar.training.get("settings")
    kinds = {"holdout": float, "seed": int}
    if not isinstance(settings, dict) or any(type(settings.get(name)) is not kind for name, kind in kinds.items()):
        raise BadWeights("the sidecar does not say which images were held out of the weights' training")
    counts = dict(zip(EMOTIONS, map(int, data.counts()), strict=True))
    if sidecar.training.get("class_counts") != counts:
        trained = sidecar.training.get("images", "an unknown number of")
        raise BadDataset(f"the weights were trained with other images: {trained}, here are {len(data)}")
    seed = settings.get("holdout_seed")
    return split(data, settings["holdout"], settings["seed"] if type(seed) is not int else seed)[1]


def predict(network: Network, images: ByteArray, batch_size: int = 256) -> FloatArray:
    """Compute a network's output for images, batch by batch.

    Args:
        network: The network.
        images: Gray face crops (n, 48, 48) uint8.
        batch_size: Number of images in a batch.

    Returns:
        The output (n, channels) float32; logits (n, 7) for a whole network.
    """
    parts = [network.logits(normalize(images[i : i + batch_size])) for i in range(0, len(images), batch_size)]
    return np.concatenate(parts) if parts else np.zeros((0, len(EMOTIONS)), np.float32)


def confusion_matrix(labels: Labels, predicted: Labels) -> npt.NDArray[np.int64]:
    """Count predictions by true class and predicted class.

    Args:
        labels: True classes (n,) int64.
        predicted: Predicted classes (n,) int64.

    Returns:
        Counts (7, 7) int64; rows are true classes, columns predicted ones.
    """
    size = len(EMOTIONS)
    return np.bincount(labels * size + predicted, minlength=size * size).reshape(size, size).astype(np.int64)


def class_scores(confusion: npt.NDArray[np.int64]) -> dict[str, DoubleArray]:
    """Compute precision, recall, F1 and support of each class.

    Args:
        confusion: Counts (7, 7) as from ``confusion_matrix``.

    Returns:
        ``precision``, ``recall``, ``f1`` and ``support``, each (7,) float64; 0 if a class has no such images.
    """
    hits, support, called = np.diag(confusion).astype(float), confusion.sum(axis=1), confusion.sum(axis=0)
    precision, recall = hits / np.maximum(called, 1), hits / np.maximum(support, 1)
    f1 = 2 * hits / np.maximum(support + called, 1)
    return {"precision": precision, "recall": recall, "f1": f1, "support": support.astype(float)}


def summary_scores(confusion: npt.NDArray[np.int64]) -> dict[str, float]:
    """Compute accuracy, and the macro and weighted means of precision, recall and F1.

    Args:
        confusion: Counts (7, 7) as from ``confusion_matrix``.

    Returns:
        The measures by name. A macro mean is over the classes that have images.
    """
    scores = class_scores(confusion)
    support = scores["support"]
    present = support > 0
    values = {"accuracy": float(np.diag(confusion).sum() / max(support.sum(), 1))}
    for name in ("precision", "recall", "f1"):
        values[f"macro_{name}"] = float(scores[name][present].mean()) if present.any() else 0.0
        values[f"weighted_{name}"] = float((scores[name] * support).sum() / max(support.sum(), 1))
    return values


def negative_log_likelihood(probabilities: DoubleArray, labels: Labels) -> float:
    """Compute the mean of -log p(label).

    Args:
        probabilities: Probabilities (n, 7).
        labels: True classes (n,) int64.

    Returns:
        The mean in nats.
    """
    return float(-np.log(np.maximum(probabilities[np.arange(len(labels)), labels], 1e-12)).mean())


def brier_score(probabilities: DoubleArray, labels: Labels) -> float:
    """Compute the mean squared distance of the probabilities to the one-hot label (Brier, 1950).

    Args:
        probabilities: Probabilities (n, 7).
        labels: True classes (n,) int64.

    Returns:
        The score, between 0 and 2.
    """
    return float(((probabilities - np.eye(len(EMOTIONS))[labels]) ** 2).sum(axis=1).mean())


@dataclass(frozen=True, eq=False)
class Reliability:
    """Confidence and accuracy of predictions, by bin of confidence.

    Attributes:
        count: Number of images in each bin (15,).
        confidence: Mean probability of the predicted class (15,); 0 if a bin is empty.
        accuracy: Share of correct predictions (15,); 0 if a bin is empty.
    """

    count: npt.NDArray[np.int64]
    confidence: DoubleArray
    accuracy: DoubleArray

    @property
    def ece(self) -> float:
        """Expected calibration error: the mean gap between confidence and accuracy (Naeini et al., 2015)."""
        gaps = np.abs(self.confidence - self.accuracy)
        return float((self.count * gaps).sum() / max(int(self.count.sum()), 1))


def reliability(probabilities: DoubleArray, labels: Labels) -> Reliability:
    """Sort predictions into bins of equal width by the probability of the predicted class.

    Args:
        probabilities: Probabilities (n, 7).
        labels: True classes (n,) int64.

    Returns:
        The bins.
    """
    confidence = probabilities.max(axis=1)
    correct = probabilities.argmax(axis=1) == labels
    bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
    count = np.bincount(bins, minlength=BINS)
    total = np.maximum(count, 1)
    return Reliability(
        count.astype(np.int64),
        np.bincount(bins, confidence, minlength=BINS) / total,
        np.bincount(bins, correct, minlength=BINS) / total,
    )


def fit_temperature(logits: FloatArray, labels: Labels) -> float:
    """Find the temperature that minimises the negative log likelihood (Guo et al., 2017).

    Args:
        logits: Logits (n, 7) float32.
        labels: True classes (n,) int64.

    Returns:
        The temperature, between 0.1 and 10, found by golden-section search.
    """
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


def bootstrap(labels: Labels, predicted: Labels, rounds: int = 1000, seed: int = 0) -> dict[str, tuple[float, float]]:
    """Compute 95 % intervals of accuracy, macro-F1 and weighted F1 by resampling the images.

    Args:
        labels: True classes (n,) int64.
        predicted: Predicted classes (n,) int64.
        rounds: Number of resampled sets.
        seed: Seed of the resampling.

    Returns:
        The lower and upper limit of each measure, by its name.
    """
    rng = np.random.default_rng(seed)
    names = ("accuracy", "macro_f1", "weighted_f1")
    drawn = []
    for _ in range(rounds):
        rows = rng.integers(0, len(labels), len(labels))
        scores = summary_scores(confusion_matrix(labels[rows], predicted[rows]))
        drawn.append([scores[name] for name in names])
    low, high = np.percentile(np.asarray(drawn), [2.5, 97.5], axis=0)
    return {name: (float(low[i]), float(high[i])) for i, name in enumerate(names)}


@dataclass(frozen=True, eq=False)
class View:
    """The measures of one kind of prediction: from the image alone, or averaged with its mirror image."""

    confusion: npt.NDArray[np.int64]
    scores: dict[str, float]
    intervals: dict[str, tuple[float, float]]
    nll: float
    brier: float
    reliability: Reliability

    def to_json(self) -> dict[str, Any]:
        """Convert the measures to plain numbers.

        Returns:
            A dict ready for JSON.
        """
        classes = class_scores(self.confusion)
        per_class = {
            name: {key: float(values[index]) for key, values in classes.items()} for index, name in enumerate(EMOTIONS)
        }
        intervals = {f"{name}_95": list(span) for name, span in self.intervals.items()}
        calibration = {"nll": self.nll, "brier": self.brier, "ece": self.reliability.ece}
        return {**self.scores, **intervals, "per_class": per_class, **calibration}


@dataclass(frozen=True, eq=False)
class Evaluation:
    """The measures of a classifier on a data set.

    Attributes:
        count: Number of images.
        single: Calibrated predictions from the image alone.
        uncalibrated: The same at temperature 1.
        flipped: Calibrated predictions, averaged with those from the mirror image.
    """

    count: int
    single: View
    uncalibrated: View
    flipped: View

    def to_json(self) -> dict[str, Any]:
        """Convert the measures to plain numbers.

        Returns:
            A dict ready for JSON; the measures with the mirror image are under ``flip_averaged``.
        """
        plain = {f"{key}_uncalibrated": self.uncalibrated.to_json()[key] for key in ("nll", "brier", "ece")}
        return {"n": self.count, **self.single.to_json(), **plain, "flip_averaged": self.flipped.to_json()}


def evaluate(model: EmotionClassifier, data: Dataset) -> Evaluation:
    """Measure a classifier on labelled images.

    Args:
        model: The classifier.
        data: The labelled images.

    Returns:
        The measures.
    """
    logits = predict(model.network, data.images)
    mirrored = predict(model.network, np.ascontiguousarray(data.images[:, :, ::-1]))
    temperature = model.sidecar.temperature
    single = softmax(logits, temperature)
    both = (single + softmax(mirrored, temperature)) / 2
    return Evaluation(
        len(data), _view(single, data.labels), _view(softmax(logits), data.labels), _view(both, data.labels)
    )


def _view(probabilities: DoubleArray, labels: Labels) -> View:
    predicted = probabilities.argmax(axis=1).astype(np.int64)
    confusion = confusion_matrix(labels, predicted)
    return View(
        confusion,
        summary_scores(confusion),
        bootstrap(labels, predicted),
        negative_log_likelihood(probabilities, labels),
        brier_score(probabilities, labels),
        reliability(probabilities, labels),
    )
