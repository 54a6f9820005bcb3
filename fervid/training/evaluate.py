"""How good a classifier is, and how far its probabilities can be believed."""

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
    """Of the images that weights were trained with, those that their training held out, and by which it fitted the
    temperature (and, with ``select = "best"``, chose the epoch): no test, but what recipes may be compared on.

    Raises BadWeights where the sidecar does not say which, BadDataset where they were trained with other images.
    """
    settings = sidecar.training.get("settings")
    kinds = {"holdout": float, "seed": int}
    if not isinstance(settings, dict) or any(type(settings.get(name)) is not kind for name, kind in kinds.items()):
        raise BadWeights("the sidecar does not say what was held out of the weights' training")
    counts = dict(zip(EMOTIONS, map(int, data.counts()), strict=True))
    if sidecar.training.get("class_counts") != counts:
        trained = sidecar.training.get("images", "an unknown number of")
        raise BadDataset(f"the weights were trained with other images: {trained}, here are {len(data)} to train with")
    return split(data, settings["holdout"], settings["seed"])[1]


def predict(network: Network, images: ByteArray, batch_size: int = 256) -> FloatArray:
    """Images (n, 48, 48) uint8 → what ``network`` says of each, (n, its outputs) float32: logits, for a whole one."""
    parts = [network.logits(normalize(images[i : i + batch_size])) for i in range(0, len(images), batch_size)]
    return np.concatenate(parts) if parts else np.zeros((0, len(EMOTIONS)), np.float32)


def confusion_matrix(labels: Labels, predicted: Labels) -> npt.NDArray[np.int64]:
    """(7, 7) counts; row: true class, column: predicted class."""
    size = len(EMOTIONS)
    return np.bincount(labels * size + predicted, minlength=size * size).reshape(size, size).astype(np.int64)


def class_scores(confusion: npt.NDArray[np.int64]) -> dict[str, DoubleArray]:
    """``precision``, ``recall``, ``f1`` and ``support``, each (7,); 0 where a class has no such images."""
    hits, support, called = np.diag(confusion).astype(float), confusion.sum(axis=1), confusion.sum(axis=0)
    precision, recall = hits / np.maximum(called, 1), hits / np.maximum(support, 1)
    f1 = 2 * hits / np.maximum(support + called, 1)
    return {"precision": precision, "recall": recall, "f1": f1, "support": support.astype(float)}


def summary_scores(confusion: npt.NDArray[np.int64]) -> dict[str, float]:
    """Accuracy, and precision, recall and F1 as macro mean (over the classes that have images) and weighted mean."""
    scores = class_scores(confusion)
    support = scores["support"]
    there = support > 0
    values = {"accuracy": float(np.diag(confusion).sum() / max(support.sum(), 1))}
    for name in ("precision", "recall", "f1"):
        values[f"macro_{name}"] = float(scores[name][there].mean()) if there.any() else 0.0
        values[f"weighted_{name}"] = float((scores[name] * support).sum() / max(support.sum(), 1))
    return values


def negative_log_likelihood(probabilities: DoubleArray, labels: Labels) -> float:
    """Mean of -log p(label), in nats. ``probabilities`` (n, 7), ``labels`` (n,)."""
    return float(-np.log(np.maximum(probabilities[np.arange(len(labels)), labels], 1e-12)).mean())


def brier_score(probabilities: DoubleArray, labels: Labels) -> float:
    """Mean over images of the squared distance to the one-hot label, 0 to 2 (Brier, 1950)."""
    return float(((probabilities - np.eye(len(EMOTIONS))[labels]) ** 2).sum(axis=1).mean())


@dataclass(frozen=True, eq=False)
class Reliability:
    """Per confidence bin: number of images, mean confidence, accuracy; each (15,), 0 where a bin is empty."""

    count: npt.NDArray[np.int64]
    confidence: DoubleArray
    accuracy: DoubleArray

    @property
    def ece(self) -> float:
        """Expected calibration error (Naeini et al., 2015): mean gap of confidence and accuracy by bin share."""
        gaps = np.abs(self.confidence - self.accuracy)
        return float((self.count * gaps).sum() / max(int(self.count.sum()), 1))


def reliability(probabilities: DoubleArray, labels: Labels) -> Reliability:
    """Sort predictions into bins of equal width by the probability of the predicted class."""
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
    """The temperature that minimises the negative log likelihood (Guo et al., 2017), by golden section."""
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
    """95 % intervals of accuracy, macro-F1 and weighted F1: percentiles over resampled sets of images."""
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
    """The figures of one way to look at the images: single, or averaged with the mirror image."""

    confusion: npt.NDArray[np.int64]
    scores: dict[str, float]
    intervals: dict[str, tuple[float, float]]
    nll: float
    brier: float
    reliability: Reliability

    def to_json(self) -> dict[str, Any]:
        """The figures as plain numbers."""
        classes = class_scores(self.confusion)
        per_class = {
            name: {key: float(values[index]) for key, values in classes.items()} for index, name in enumerate(EMOTIONS)
        }
        intervals = {f"{name}_95": list(span) for name, span in self.intervals.items()}
        calibration = {"nll": self.nll, "brier": self.brier, "ece": self.reliability.ece}
        return {**self.scores, **intervals, "per_class": per_class, **calibration}


@dataclass(frozen=True, eq=False)
class Evaluation:
    """``single`` and ``flipped`` are calibrated; ``uncalibrated`` is the single view at temperature 1."""

    count: int
    single: View
    uncalibrated: View
    flipped: View

    def to_json(self) -> dict[str, Any]:
        """One object: the single view's figures, the flip-averaged ones under ``flip_averaged``."""
        plain = {f"{key}_uncalibrated": self.uncalibrated.to_json()[key] for key in ("nll", "brier", "ece")}
        return {"n": self.count, **self.single.to_json(), **plain, "flip_averaged": self.flipped.to_json()}


def evaluate(model: EmotionClassifier, data: Dataset) -> Evaluation:
    """Measure a model on labelled images, by single view and averaged with the mirror image."""
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
