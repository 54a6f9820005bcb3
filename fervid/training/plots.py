"""Figures of a training run and of an evaluation, as PNG."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from fervid.files.atomic import atomic_path
from fervid.training.evaluate import BINS, Evaluation, Reliability
from fervid.types import EMOTIONS


def _save(figure: Figure, path: Path) -> None:
    with atomic_path(path) as partial:
        figure.savefig(partial, format="png", dpi=120)


def plot_curves(history: list[dict[str, float]], path: Path) -> None:
    """Plot the training loss and the accuracy on held-out images over the epochs.

    Args:
        history: The metrics of each epoch.
        path: The PNG to write.

    Raises:
        OutputError: The file cannot be written.
    """
    figure = Figure(figsize=(7, 4), layout="constrained")
    left: Any = figure.subplots()
    epochs = [row["epoch"] for row in history]
    left.plot(epochs, [row["loss"] for row in history], color="#d55e00", label="training loss")
    left.set(xlabel="epoch", ylabel="training loss")
    right = left.twinx()
    right.plot(epochs, [row["accuracy"] for row in history], color="#0072b2", label="held-out accuracy")
    right.set(ylabel="held-out accuracy", ylim=(0, 1))
    figure.legend(loc="outside upper center", ncols=2, frameon=False)
    _save(figure, path)


def plot_confusion(confusion: npt.NDArray[np.int64], path: Path) -> None:
    """Plot a confusion matrix, each row as shares of its true class.

    Args:
        confusion: Counts (7, 7); rows are true classes.
        path: The PNG to write.

    Raises:
        OutputError: The file cannot be written.
    """
    shares = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    figure = Figure(figsize=(6.4, 5.6), layout="constrained")
    axes: Any = figure.subplots()
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.set(xlabel="predicted", ylabel="labelled", xticks=range(len(EMOTIONS)), yticks=range(len(EMOTIONS)))
    axes.set_xticklabels(EMOTIONS, rotation=40, ha="right")
    axes.set_yticklabels(EMOTIONS)
    for row, column in np.ndindex(*shares.shape):
        colour = "white" if shares[row, column] > 0.5 else "black"
        text = f"{shares[row, column]:.2f}\n{confusion[row, column]}"
        axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=8)
    figure.colorbar(image, ax=axes, shrink=0.8, label="share of the labelled class")
    _save(figure, path)


def plot_reliability(evaluation: Evaluation, path: Path) -> None:
    """Plot accuracy against confidence before and after calibration, with the number of images in each bin.

    Args:
        evaluation: The evaluation.
        path: The PNG to write.

    Raises:
        OutputError: The file cannot be written.
    """
    figure = Figure(figsize=(6, 6), layout="constrained")
    axes: Any
    lower: Any
    axes, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    axes.plot([0, 1], [0, 1], color="0.7", linewidth=1)
    before, after = evaluation.uncalibrated.reliability, evaluation.single.reliability
    _draw_bins(axes, before, "#d55e00", f"temperature 1, ECE {before.ece:.3f}")
    _draw_bins(axes, after, "#0072b2", f"calibrated, ECE {after.ece:.3f}")
    axes.set(ylabel="accuracy", ylim=(0, 1), xlim=(0, 1))
    axes.legend(frameon=False)
    lower.bar((np.arange(BINS) + 0.5) / BINS, after.count, width=0.9 / BINS, color="#0072b2")
    lower.set(xlabel="confidence", ylabel="images")
    _save(figure, path)


def _draw_bins(axes: Any, bins: Reliability, colour: str, label: str) -> None:
    filled = bins.count > 0
    axes.plot(bins.confidence[filled], bins.accuracy[filled], "o-", color=colour, label=label)
