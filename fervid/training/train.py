"""Training of the emotion network: one loop over Keras' train step, which can be continued.

It runs on Keras' backends TensorFlow, JAX and PyTorch. A run folder holds the settings, a CSV file with the metrics of
each epoch, a checkpoint from which training continues exactly, and the best weights.
"""

from __future__ import annotations

import csv
import hashlib
import json
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np

from fervid.emotions.classifier import softmax
from fervid.emotions.keras_io import load_network, save
from fervid.emotions.keras_network import VOTES, KerasNetwork, build
from fervid.errors import BadDataset, ConfigError
from fervid.faces.crop import CropGeometry, normalize
from fervid.files.atomic import atomic_path, remove_abandoned, write_text_atomically, writing
from fervid.files.locks import locked_temporarily
from fervid.settings_io import to_mapping
from fervid.training.batches import Epoch
from fervid.training.checkpoint import Checkpoint, History
from fervid.training.class_prior import adjust
from fervid.training.dataset import Dataset, split
from fervid.training.distillation import hashes, soft_targets
from fervid.training.evaluate import fit_temperature, predict
from fervid.training.last_layer import refit
from fervid.training.mouths import find_mouths
from fervid.training.onnx_export import export, require_onnx
from fervid.training.plots import plot_curves
from fervid.training.recipe import TrainSettings
from fervid.training.sharpness import sharpness_aware
from fervid.training.votes import label_chances, multiply
from fervid.types import EMOTIONS, FloatArray, Progress, ProgressCallback, ignore_progress

LOCK = ".fervid-train.lock"
"""Lock file in the run folder, and the end of the name of that beside the weights. They exist during training."""

RUN_FILES = ("best.keras", "best.json", "checkpoint.npz", "curves.png", "metrics.csv", "mouths.npy", "teachers.npy")
"""What a run folder holds in addition to its settings and the hash of its data."""

STATISTICS_BATCHES = 24
"""Number of batches on which the statistics of batch normalisation are measured after an epoch."""


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
    kind = sharpness_aware(settings.sharpness) if settings.sharpness else keras.Model
    votes = bool(settings.votes)
    network = build(settings.architecture, votes, dtype=dtype, seed=settings.seed, training=True, kind=kind)
    _freeze(network, settings)

    def cross_entropy() -> Any:
        return keras.losses.CategoricalCrossentropy(from_logits=True)

    network.compile(
        _optimizer(settings, steps),
        {"emotion": cross_entropy(), "votes": cross_entropy()} if settings.votes else cross_entropy(),
        loss_weights={"emotion": 1.0, "votes": settings.votes} if settings.votes else None,
        jit_compile=False if keras.backend.backend() == "tensorflow" else "auto",
    )
    network.optimizer.build(network.trainable_variables)
    _build_losses(network, settings.crop)
    if settings.begin_with:
        _copy_weights(network, settings)
    return network


def _freeze(network: Any, settings: TrainSettings) -> None:
    """Freeze the blocks that keep their weights; ConfigError for an unknown block."""
    if not settings.freeze:
        return
    numbers = [number for number, layer in enumerate(network.layers, 1) if layer.name.startswith(f"{settings.freeze}_")]
    if not numbers:
        raise ConfigError(f"freeze: the network has no block {settings.freeze}")
    for layer in network.layers[: max(numbers)]:
        layer.trainable = False


def _build_losses(network: Any, crop: int) -> None:
    """Make the variables of the losses. Made in the first step, they would have TensorFlow trace the step twice."""
    outputs = network(np.zeros((1, crop, crop, 1), np.float32))
    network.compute_loss(y=keras.tree.map_structure(keras.ops.zeros_like, outputs), y_pred=outputs)


def _copy_weights(network: Any, settings: TrainSettings) -> None:
    """Copy the weights that a run starts from; ConfigError if their architecture differs."""
    sidecar, given = load_network(Path(settings.begin_with))
    wanted = settings.architecture
    if replace(sidecar.architecture, dropout=wanted.dropout, enlarge=wanted.enlarge) != wanted:
        raise ConfigError(f"begin_with: {settings.begin_with} has another architecture")
    for layer in given.layers:
        if layer.weights:
            network.get_layer(layer.name).set_weights(layer.get_weights())


@dataclass(frozen=True)
class TrainResult:
    """The outcome of a training run.

    Attributes:
        epoch: The epoch that was kept, from 1.
        temperature: Divisor of the logits.
        history: The metrics of every epoch.
    """

    epoch: int
    temperature: float
    history: History


@dataclass(frozen=True, eq=False)
class _Parts:
    """The images of a run: all of them, those trained on, and those that choose the epoch and fit the temperature."""

    all: Dataset
    trained: Dataset
    choice: Dataset
    calibration: Dataset


def train(
    data: Dataset,
    out: Path,
    geometry: CropGeometry,
    settings: TrainSettings,
    run: Path | None = None,
    on_progress: ProgressCallback = ignore_progress,
) -> TrainResult:
    """Train a network and write its weights: `.keras`, `.onnx` and sidecar.

    If the run folder holds a checkpoint of the same settings and data, training continues from it.

    Args:
        data: The training images.
        out: The `.keras` file to write; the other files go beside it.
        geometry: How a face is cut from a frame, for the sidecar.
        settings: The recipe.
        run: Folder for checkpoint, metrics and best weights; None takes ``out`` without its suffix.
        on_progress: Called after each step and each epoch.

    Returns:
        The epoch that was kept, the temperature, and the metrics of every epoch.

    Raises:
        MissingLibrary: The package ``onnx`` is not installed.
        BadDataset: There are too few images of a class, or too few to hold out.
        BadWeights: Weights that the recipe names cannot be used.
        ConfigError: The run folder belongs to another run, or the loss is no longer finite.
        OutputLocked: Another training uses the run folder or writes these weights.
        OutputError: A file cannot be written.
    """
    require_onnx()
    parts = _divide(data, settings)
    run = run or out.with_suffix("")
    with locked_temporarily(out.with_name(f".{out.stem}{LOCK}")), locked_temporarily(run / LOCK):
        _open_run(run, settings, data)
        history = _fit(parts, run, geometry, settings, on_progress)
        return _finish(run / "best.keras", out, geometry, settings, parts, history)


def _fit(
    parts: _Parts, run: Path, geometry: CropGeometry, settings: TrainSettings, on_progress: ProgressCallback
) -> History:
    """Train the epochs that are not done yet. Returns the metrics of all epochs."""
    steps = len(Epoch(parts.trained, settings, 0))
    network = _compile(settings, steps)
    checkpoint = Checkpoint(run / "checkpoint.npz")
    done, history = checkpoint.restore(network)
    reporter = _Reporter(on_progress, steps, settings.epochs)
    held_out = len(parts.all) - len(parts.trained)
    counts = f"{len(parts.trained)} training images, {held_out} held out, {network.count_params():,} parameters"
    reporter.report(done, message=f"{counts}, epochs done: {done}")
    soft, mouths = _soft_targets(parts.trained, run, settings), None
    if settings.augment.open_mouth:
        neutral = parts.trained.labels == EMOTIONS.index("neutral")
        mouths = find_mouths(parts.trained.images, neutral, run / "mouths.npy")
    averaged = build(settings.architecture, training=True)
    _freeze(averaged, settings)
    best = max((row["accuracy"] for row in history), default=-1.0)
    if history:  # a killed run may have saved its state and not these
        _write_metrics(run, history)
    for epoch in range(done, settings.epochs):
        batches = Epoch(parts.trained, settings, epoch, soft, mouths)
        history.append(_run_epoch(network, averaged, batches, parts, settings, reporter))
        if settings.select == "last" or history[-1]["accuracy"] > best:
            best = history[-1]["accuracy"]
            save(averaged, run / "best.keras", settings.architecture, geometry, training={"epoch": epoch + 1})
        checkpoint.save(network, epoch + 1, history)
        _write_metrics(run, history)
        metrics = " ".join(f"{key} {value:.4g}" for key, value in history[-1].items())
        reporter.report(epoch + 1, message=metrics)
    return history


def _soft_targets(data: Dataset, run: Path, settings: TrainSettings) -> FloatArray | None:
    """What the teachers, and the votes, say of the training images (n, 7); None without teachers."""
    if not settings.teachers:
        return None
    soft = soft_targets([Path(name) for name in settings.teachers], data, run / "teachers.npy")
    return multiply(soft, label_chances(data), settings.votes_power) if settings.votes_power else soft


@dataclass(frozen=True)
class _Reporter:
    """Reports the progress of a run in steps."""

    on_progress: ProgressCallback
    steps: int
    epochs: int

    def report(self, epoch: int, step: int = 0, message: str | None = None) -> None:
        """Report that ``epoch`` epochs and ``step`` steps of the next one are done."""
        done, total = epoch * self.steps + step, self.epochs * self.steps
        self.on_progress(Progress("train", done, total, "steps", message))


def _divide(data: Dataset, settings: TrainSettings) -> _Parts:
    """Hold images out; BadDataset if too few are left."""
    lacking = [name for name, count in zip(EMOTIONS, data.counts(), strict=True) if count < 2]
    if lacking:
        raise BadDataset(f"fewer than two training images of: {', '.join(lacking)}")
    trained, held = split(data, settings.holdout, settings.split_seed)
    calibration, choice = split(held, 0.5, settings.split_seed) if settings.select == "best" else (held, held)
    if not (len(choice) and len(calibration)):
        share = f"a holdout of {settings.holdout:g} of {len(data)} images"
        raise BadDataset(f"{share} leaves too few to choose the epoch and fit the temperature; raise holdout")
    return _Parts(data, trained, choice, calibration)


def _open_run(run: Path, settings: TrainSettings, data: Dataset) -> None:
    """Check that the run folder belongs to the same recipe and the same images, and remove what a killed run left."""
    digest = hashlib.sha256(data.images.tobytes() + data.labels.tobytes() + data.votes.tobytes()).hexdigest()
    texts = {"settings.json": json.dumps(to_mapping(settings), indent=2) + "\n", "data.sha256": digest + "\n"}
    with writing(f"the run folder {run}"):
        for name, text in texts.items():
            file = run / name
            if not file.exists():
                write_text_atomically(file, text)
            elif file.read_text(encoding="utf-8", errors="replace") != text:
                raise ConfigError(f"{run} holds a run with other settings or data; choose another folder or remove it")
    for name in (*texts, *RUN_FILES):
        remove_abandoned(run / name)


def _run_epoch(
    network: Any, averaged: Any, batches: Epoch, parts: _Parts, settings: TrainSettings, reporter: _Reporter
) -> dict[str, float]:
    """Train for one epoch, put the averaged weights into ``averaged``, and measure them."""
    started = time.monotonic()
    choice, total = parts.choice, 0.0
    for step, (inputs, targets) in enumerate(batches, 1):
        # not fit(): at its end Keras overwrites the weights with their moving average
        loss = float(network.train_on_batch(inputs, targets, return_dict=True)["loss"])
        if not np.isfinite(loss):
            raise ConfigError("the training loss is no longer finite; try a smaller `learning_rate`")
        total += loss
        if step < len(batches):
            reporter.report(batches.number, step)
    _copy_average(network, averaged, bool(settings.ema))
    _measure_statistics(averaged, parts.trained, settings)
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
    """Copy the moving average of the weights into ``averaged``; ``network`` stays as it was."""
    # copies: on some backends the array is a view of the variable's own memory
    current = [np.array(keras.ops.convert_to_numpy(v.value)) for v in network.trainable_variables]
    if use_ema:
        network.optimizer.finalize_variable_values(network.trainable_variables)
    for layer in averaged.layers:
        layer.set_weights(network.get_layer(layer.name).get_weights())
    for variable, value in zip(network.trainable_variables, current, strict=True):
        variable.assign(value)


def _measure_statistics(network: Any, data: Dataset, settings: TrainSettings) -> None:
    """Set the means and variances of batch normalisation to those of clean training images.

    The running averages of training belong to other weights than the averaged ones and change too slowly in a short
    run. Each value is the plain mean over some batches instead (Wu and Johnson, 2021, "PreciseBN").
    """
    normalizations = [
        layer for layer in network.layers if isinstance(layer, keras.layers.BatchNormalization) and layer.trainable
    ]
    rows = np.random.default_rng(settings.seed).permutation(len(data))
    starts = range(0, max(1, len(rows) - settings.batch_size + 1), settings.batch_size)[:STATISTICS_BATCHES]
    for number, start in enumerate(starts):
        for layer in normalizations:
            layer.momentum = number / (number + 1)
        network(normalize(data.images[rows[start : start + settings.batch_size]]), training=True)


def _mix_in(network: Any, data: Dataset, settings: TrainSettings) -> None:
    """Replace the weights by their mean with those that the run began with, ``keep`` being the share of the latter."""
    _freeze(network, settings)
    _, given = load_network(Path(settings.begin_with))
    for layer in given.layers:
        pairs = zip(layer.get_weights(), network.get_layer(layer.name).get_weights(), strict=True)
        mixed = [settings.keep * begun + (1 - settings.keep) * trained for begun, trained in pairs]
        network.get_layer(layer.name).set_weights(mixed)
    _measure_statistics(network, data, settings)


def _write_metrics(run: Path, history: History) -> None:
    """Write the metrics of all epochs into the run folder, as a table and as a figure."""
    with atomic_path(run / "metrics.csv") as partial, partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, history[0].keys())
        writer.writeheader()
        writer.writerows(history)
    plot_curves(history, run / "curves.png")


def _finish(
    best: Path, out: Path, geometry: CropGeometry, settings: TrainSettings, parts: _Parts, history: History
) -> TrainResult:
    """Mix in the weights from the start, refit the last layer, apply the class shares, fit the temperature, and write
    the weights."""
    kept = build(settings.architecture)
    kept.load_weights(best)
    if settings.keep:
        _mix_in(kept, parts.trained, settings)
    if settings.refit:
        refit(kept, parts.trained, settings.refit)
    adjust(kept, settings.shares)
    temperature = fit_temperature(predict(KerasNetwork(kept), parts.calibration.images), parts.calibration.labels)
    accuracies = [row["accuracy"] for row in history]
    epoch = 1 + (int(np.argmax(accuracies)) if settings.select == "best" else len(accuracies) - 1)
    provenance = {
        "settings": to_mapping(settings),
        "images": len(parts.all),
        "class_counts": dict(zip(EMOTIONS, map(int, parts.all.counts()), strict=True)),
        "votes": list(VOTES) if settings.votes else None,
        "epoch": epoch,
        "teachers_sha256": hashes([Path(name) for name in settings.teachers]),
        "backend": f"keras {keras.__version__} on {keras.backend.backend()}",
    }
    save(kept, out, settings.architecture, geometry, temperature, provenance)
    export(out)
    return TrainResult(epoch, temperature, history)
