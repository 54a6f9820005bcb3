"""Training the emotion CNN: one loop over Keras' train step, resumable.

Runs on Keras' TensorFlow, JAX and PyTorch backends alike. A run folder holds the settings, one CSV row of
metrics an epoch, a checkpoint from which training goes on exactly, and the best weights.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
import sys
import time
import zipfile
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import keras
import numpy as np
from tqdm import tqdm

from fervid.emotions.architecture import Architecture
from fervid.emotions.classifier import softmax
from fervid.emotions.keras_io import load_network, save
from fervid.emotions.keras_network import VOTES, KerasNetwork, build
from fervid.errors import BadDataset, ConfigError
from fervid.faces.crop import CropGeometry, normalize
from fervid.files.atomic import writing
from fervid.settings import check
from fervid.settings_io import to_mapping
from fervid.training.augment import AugmentSettings, augment, mix
from fervid.training.class_prior import ClassShares, adjust
from fervid.training.dataset import Dataset, split
from fervid.training.distillation import hashes, soft_targets
from fervid.training.evaluate import fit_temperature, predict
from fervid.training.last_layer import refit
from fervid.training.onnx_export import export, require_onnx
from fervid.training.plots import plot_curves
from fervid.types import EMOTIONS, FloatArray

STATISTICS_BATCHES = 24
"""Batches over which the statistics of batch normalisation are measured after an epoch."""


@dataclass(frozen=True)
class TrainSettings:
    """A recipe. ``epochs`` sets the length of the cosine schedule; shortening a run means a new schedule."""

    epochs: int = 100
    batch_size: int = 128
    optimizer: Literal["adamw", "adam", "sgd"] = "adamw"
    learning_rate: float = 0.002
    """Peak, after ``warmup`` epochs of linear growth; then a cosine to zero."""
    warmup: int = 2
    weight_decay: float = 0.02
    label_smoothing: float = 0.05
    votes: float = 0.5
    """Weight of the auxiliary loss on the annotators' votes (FER+); 0 leaves the head out."""
    balance: Literal["none", "sampler", "weights"] = "none"
    """Draw or weight classes by 1/sqrt(their count)."""
    ema: float = 0.998
    """Decay, per step, of the exponential moving average of the weights; 0 keeps no average."""
    crop: int = 44
    """Side of the random crop that is trained on; inference sees the whole 48."""
    mixed_precision: bool = True
    """Compute in bfloat16, keep weights in float32."""
    holdout: float = 0.05
    """Share of every class kept out of training: half of it may choose the epoch, half fits the temperature."""
    select: Literal["best", "last"] = "best"
    """Which epoch is kept. With ``last`` nothing is chosen and all of the holdout fits the temperature."""
    begin_with: str = ""
    """Weights of the same architecture, but for ``enlarge`` and ``dropout``, to begin with, instead of random ones."""
    teachers: tuple[str, ...] = ()
    """Weights whose mean judgement of each training image becomes a part of its target (distillation)."""
    distill: float = 0.5
    """Share of the teachers in the target; the label has the rest."""
    refit: float = 0.0
    """Ridge by which the last layer, fitted anew at the end, is held to what was trained; 0 leaves it as it is."""
    shares: ClassShares = field(default_factory=ClassShares)
    """How frequent each class is taken to be in use, as a multiple of its share of the labels; applied at the end."""
    seed: int = 0
    architecture: Architecture = field(default_factory=Architecture)
    augment: AugmentSettings = field(default_factory=AugmentSettings)

    def __post_init__(self) -> None:
        check(self.epochs >= 1, f"epochs must be at least 1: {self.epochs}")
        check(self.batch_size >= 2, f"batch-size must be at least 2: {self.batch_size}")
        check(self.learning_rate > 0, f"learning-rate must be positive: {self.learning_rate}")
        check(0 < self.holdout < 0.9, f"holdout must lie between 0 and 0.9: {self.holdout}")
        check(0 <= self.label_smoothing < 1, f"label-smoothing must lie between 0 and 1: {self.label_smoothing}")
        check(0 <= self.votes <= 100, f"votes must lie between 0 and 100: {self.votes}")
        check(0 <= self.weight_decay < 1, f"weight-decay must lie between 0 and 1: {self.weight_decay}")
        check(0 <= self.ema < 1, f"ema must lie between 0 and 1: {self.ema}")
        check(0 <= self.distill <= 1, f"distill must lie between 0 and 1: {self.distill}")
        check(0 <= self.refit < np.inf, f"refit must not be negative: {self.refit}")
        check(0 <= self.seed < 2**32, f"seed must lie between 0 and {2**32 - 1}: {self.seed}")
        check(16 <= self.crop <= 48, f"crop must lie between 16 and 48: {self.crop}")
        whole = self.crop == 48 or not self.architecture.enlarge
        check(whole, f"where crops are enlarged, crop must be the whole 48, as in use: {self.crop}")


class Epoch:
    """The batches of one epoch; what they hold depends on the seed, the epoch and the batch alone."""

    def __init__(self, data: Dataset, settings: TrainSettings, epoch: int, soft: FloatArray | None = None) -> None:
        self._data, self._settings, self._epoch, self._soft = data, settings, epoch, soft
        rng = np.random.default_rng((settings.seed, epoch))
        share = 1 / np.sqrt(np.maximum(data.counts(), 1))
        self._class_weight = (share / (share * data.counts()).sum() * len(data)).astype(np.float32)
        if settings.balance == "sampler":
            chance = share[data.labels]
            self._order = rng.choice(len(data), len(data), p=chance / chance.sum())
        else:
            self._order = rng.permutation(len(data))

    @property
    def number(self) -> int:
        """Which epoch this is, from 0."""
        return self._epoch

    def __len__(self) -> int:
        return max(1, len(self._order) // self._settings.batch_size)

    def _targets(self, rows: Any) -> FloatArray:
        """(n, 7) float32: the labels, smoothed, mixed with what teachers say."""
        smooth = self._settings.label_smoothing
        labels = np.eye(len(EMOTIONS), dtype=np.float32)[self._data.labels[rows]]
        labels = labels * (1 - smooth) + smooth / len(EMOTIONS)
        if self._soft is not None:
            labels = labels * (1 - self._settings.distill) + self._settings.distill * self._soft[rows]
        return np.asarray(labels, np.float32)

    def __getitem__(self, index: int) -> tuple[FloatArray, Any]:
        settings = self._settings
        rng = np.random.default_rng((settings.seed, self._epoch, index))
        rows = self._order[index * settings.batch_size : (index + 1) * settings.batch_size]
        crops = augment(self._data.images[rows], settings.augment, rng, settings.crop)
        labels = self._targets(rows)
        if settings.balance == "weights":
            labels = labels * self._class_weight[self._data.labels[rows]][:, None]
        targets = (labels, self._data.votes[rows]) if settings.votes else (labels,)
        inputs, mixed = mix(normalize(crops), targets, settings.augment.mixup, rng)
        return inputs, {"emotion": mixed[0], "votes": mixed[1]} if settings.votes else mixed[0]

    def __iter__(self) -> Iterator[tuple[FloatArray, Any]]:
        """The batches in order, the next one prepared by a thread while the caller works on this one."""
        with ThreadPoolExecutor(1) as pool:
            waiting = deque(pool.submit(self.__getitem__, index) for index in range(min(2, len(self))))
            for index in range(2, len(self) + 2):
                batch = waiting.popleft().result()
                if index < len(self):
                    waiting.append(pool.submit(self.__getitem__, index))
                yield batch


def _optimizer(settings: TrainSettings, steps: int) -> Any:
    schedule = keras.optimizers.schedules.CosineDecay(
        settings.learning_rate / 100,
        decay_steps=max(1, (settings.epochs - settings.warmup) * steps),
        warmup_target=settings.learning_rate,
        warmup_steps=max(1, min(settings.warmup, settings.epochs - 1) * steps),
    )
    average = {"use_ema": bool(settings.ema), "ema_momentum": settings.ema or 0.99}
    if settings.optimizer == "adam":
        return keras.optimizers.Adam(schedule, **average)
    decay: dict[str, Any] = {"weight_decay": settings.weight_decay, **average}
    if settings.optimizer == "sgd":
        optimizer = keras.optimizers.SGD(schedule, momentum=0.9, nesterov=True, **decay)
    else:
        optimizer = keras.optimizers.AdamW(schedule, **decay)
    optimizer.exclude_from_weight_decay(var_names=["gamma", "beta", "bias"])
    return optimizer


def _compile(settings: TrainSettings, steps: int) -> Any:
    keras.utils.set_random_seed(settings.seed)
    dtype = "mixed_bfloat16" if settings.mixed_precision else "float32"
    network = build(settings.architecture, votes=bool(settings.votes), dtype=dtype, seed=settings.seed, training=True)

    def cross_entropy() -> Any:
        return keras.losses.CategoricalCrossentropy(from_logits=True)

    network.compile(
        _optimizer(settings, steps),
        {"emotion": cross_entropy(), "votes": cross_entropy()} if settings.votes else cross_entropy(),
        loss_weights={"emotion": 1.0, "votes": settings.votes} if settings.votes else None,
        jit_compile=False if keras.backend.backend() == "tensorflow" else "auto",
    )
    network.optimizer.build(network.trainable_variables)
    if settings.begin_with:
        _begin_with(network, settings)
    return network


def _begin_with(network: Any, settings: TrainSettings) -> None:
    """Copy the weights that a run begins with; raises BadWeights, and ConfigError where they are of another shape."""
    sidecar, given = load_network(Path(settings.begin_with))
    wanted = settings.architecture
    if replace(sidecar.architecture, dropout=wanted.dropout, enlarge=wanted.enlarge) != wanted:
        raise ConfigError(f"begin-with: {settings.begin_with} is of another architecture")
    for layer in given.layers:
        if layer.weights:
            network.get_layer(layer.name).set_weights(layer.get_weights())


class Checkpoint:
    """The whole state of a run in one file: all variables of network and optimizer, epoch and history."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def save(self, network: Any, epoch: int, history: list[dict[str, float]]) -> None:
        """Write the state after ``epoch`` epochs, beside and renamed."""
        arrays = {str(i): np.asarray(keras.ops.convert_to_numpy(v.value)) for i, v in enumerate(_state(network))}
        beside = self._path.with_suffix(".tmp")
        with beside.open("wb") as file:
            np.savez(file, allow_pickle=False, epoch=np.int64(epoch), history=np.array(json.dumps(history)), **arrays)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(self._path)

    def restore(self, network: Any) -> tuple[int, list[dict[str, float]]]:
        """Put a saved state back; returns epochs done and their metrics, (0, []) where there is none."""
        if not self._path.exists():
            return 0, []
        try:
            with np.load(self._path, allow_pickle=False) as saved:
                values = dict(saved)
        except (OSError, ValueError, zipfile.BadZipFile) as error:
            raise ConfigError(f"{self._path} is damaged; remove it to start over") from error
        variables = _state(network)
        if len(values) != len(variables) + 2:
            raise ConfigError(f"{self._path} belongs to another network; choose another run folder")
        for i, variable in enumerate(variables):
            variable.assign(values[str(i)])
        return int(values["epoch"]), json.loads(str(values["history"]))


def _state(network: Any) -> list[Any]:
    return [*network.variables, *network.optimizer.variables]


@dataclass(frozen=True)
class TrainResult:
    """Epoch kept (1-based), temperature, and the metrics of every epoch."""

    epoch: int
    temperature: float
    history: list[dict[str, float]]


def train(
    data: Dataset,
    out: Path,
    geometry: CropGeometry,
    settings: TrainSettings,
    run: Path | None = None,
    notify: Callable[[str], None] = lambda message: None,
) -> TrainResult:
    """Train on ``data`` and write weights with their sidecar to ``out``.

    ``run`` is the run folder (``out`` without its suffix, where None). If it holds a checkpoint of the
    same settings, training goes on from there. Raises BadDataset, ConfigError, OutputError.
    """
    require_onnx()
    empty = [name for name, count in zip(EMOTIONS, data.counts(), strict=True) if count < 2]
    if empty:
        raise BadDataset(f"fewer than two training images of: {', '.join(empty)}")
    rest, held = split(data, settings.holdout, settings.seed)
    calibration, choice = split(held, 0.5, settings.seed) if settings.select == "best" else (held, held)
    if not (len(choice) and len(calibration)):
        share = f"a holdout of {settings.holdout:g} of {len(data)} images"
        raise BadDataset(f"{share} leaves too few to choose the epoch and fit the temperature; raise holdout")
    run = run or out.with_suffix("")
    _open_run(run, settings, data)
    network = _compile(settings, len(Epoch(rest, settings, 0)))
    checkpoint = Checkpoint(run / "checkpoint.npz")
    done, history = checkpoint.restore(network)
    notify(
        f"{len(rest)} training images, {len(held)} held out, {network.count_params():,} parameters, epoch {done} done"
    )
    teachers = [Path(name) for name in settings.teachers]
    soft = soft_targets(teachers, rest, run / "teachers.npy") if teachers else None
    averaged = build(settings.architecture, training=True)
    best = max((row["accuracy"] for row in history), default=-1.0)
    for epoch in range(done, settings.epochs):
        batches = Epoch(rest, settings, epoch, soft)
        history.append(_run_epoch(network, averaged, batches, rest, choice, settings))
        if settings.select == "last" or history[-1]["accuracy"] > best:
            best = history[-1]["accuracy"]
            save(averaged, run / "best.keras", settings.architecture, geometry, training={"epoch": epoch + 1})
        checkpoint.save(network, epoch + 1, history)
        _write_history(run / "metrics.csv", history)
        plot_curves(history, run / "curves.png")
        notify(" ".join(f"{key} {value:.4g}" for key, value in history[-1].items()))
    return _finish(run, out, geometry, settings, data, rest, calibration, history)


def _open_run(run: Path, settings: TrainSettings, data: Dataset) -> None:
    """Make the run folder, or check that it belongs to the same recipe and the same images."""
    digest = hashlib.sha256(data.images.tobytes() + data.labels.tobytes() + data.votes.tobytes()).hexdigest()
    texts = {"settings.json": json.dumps(to_mapping(settings), indent=2) + "\n", "data.sha256": digest + "\n"}
    with writing(f"the run folder {run}"):
        run.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            file = run / name
            if file.exists() and file.read_text(encoding="utf-8") != text:
                raise ConfigError(f"{run} holds a run with other settings or data; choose another folder or remove it")
            file.write_text(text, encoding="utf-8")


def _run_epoch(
    network: Any, averaged: Any, batches: Epoch, data: Dataset, choice: Dataset, settings: TrainSettings
) -> dict[str, float]:
    """One epoch of training; leaves the averaged weights in ``averaged`` and measures them on ``choice``."""
    started = time.monotonic()
    title = f"epoch {batches.number + 1}/{settings.epochs}"
    total = 0.0
    with tqdm(batches, desc=title, leave=False, disable=not sys.stderr.isatty()) as bar:
        for inputs, targets in bar:
            # not fit(): at its end Keras overwrites the weights with their moving average
            loss = float(network.train_on_batch(inputs, targets, return_dict=True)["loss"])
            if not np.isfinite(loss):
                raise ConfigError("the training loss is no longer finite; try a smaller learning-rate")
            total += loss
            bar.set_postfix(loss=f"{loss:.3f}", refresh=False)
    _copy_average(network, averaged, bool(settings.ema))
    _measure_statistics(averaged, data, settings)
    probabilities = softmax(predict(KerasNetwork(averaged), choice.images))
    truth = probabilities[np.arange(len(choice)), choice.labels]
    return {
        "epoch": batches.number + 1,
        "loss": total / len(batches),
        "accuracy": float((probabilities.argmax(axis=1) == choice.labels).mean()),
        "nll": float(-np.log(np.maximum(truth, 1e-12)).mean()),
        "seconds": time.monotonic() - started,
    }


def _copy_average(network: Any, averaged: Any, use_ema: bool) -> None:
    """Copy the moving average of the weights into ``averaged``, leaving ``network`` as it was."""
    # copies: on some backends the array is a view of the variable's own memory
    current = [np.array(keras.ops.convert_to_numpy(v.value)) for v in network.trainable_variables]
    if use_ema:
        network.optimizer.finalize_variable_values(network.trainable_variables)
    for layer in averaged.layers:
        layer.set_weights(network.get_layer(layer.name).get_weights())
    for variable, value in zip(network.trainable_variables, current, strict=True):
        variable.assign(value)


def _measure_statistics(network: Any, data: Dataset, settings: TrainSettings) -> None:
    """Set the batch normalisations' means and variances to those of clean training images.

    Their running averages belong to weights on the way, not to the averaged ones, and are too slow in a
    short run (Wu and Johnson, 2021, "PreciseBN"): each is the plain mean over some batches.
    """
    normalizations = [layer for layer in network.layers if isinstance(layer, keras.layers.BatchNormalization)]
    rows = np.random.default_rng(settings.seed).permutation(len(data))
    starts = range(0, max(1, len(rows) - settings.batch_size + 1), settings.batch_size)[:STATISTICS_BATCHES]
    for number, start in enumerate(starts):
        for layer in normalizations:
            layer.momentum = number / (number + 1)
        network(normalize(data.images[rows[start : start + settings.batch_size]]), training=True)


def _write_history(path: Path, history: list[dict[str, float]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, history[0].keys())
        writer.writeheader()
        writer.writerows(history)


def _finish(
    run: Path,
    out: Path,
    geometry: CropGeometry,
    settings: TrainSettings,
    data: Dataset,
    rest: Dataset,
    calibration: Dataset,
    history: list[dict[str, float]],
) -> TrainResult:
    """Fit the last layer (on ``rest``), adjust it, fit the temperature, and write the kept weights to ``out``."""
    kept = build(settings.architecture)
    kept.load_weights(run / "best.keras")
    if settings.refit:
        refit(kept, rest, settings.refit)
    adjust(kept, settings.shares)
    temperature = fit_temperature(predict(KerasNetwork(kept), calibration.images), calibration.labels)
    rows = [row["accuracy"] for row in history]
    epoch = 1 + (int(np.argmax(rows)) if settings.select == "best" else len(rows) - 1)
    provenance = {
        "settings": to_mapping(settings),
        "images": len(data),
        "class_counts": dict(zip(EMOTIONS, map(int, data.counts()), strict=True)),
        "votes": list(VOTES) if settings.votes else None,
        "epoch": epoch,
        "teachers_sha256": hashes([Path(name) for name in settings.teachers]),
        "backend": f"keras {keras.__version__} on {keras.backend.backend()}",
    }
    save(kept, out, settings.architecture, geometry, temperature, provenance)
    export(out)
    return TrainResult(epoch, temperature, history)
