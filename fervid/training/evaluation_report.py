"""An evaluation as text, JSON and files."""

from __future__ import annotations

import csv
import json
from pathlib import Path

from fervid.files.atomic import atomic_path, write_text_atomically, writing
from fervid.training.evaluate import Evaluation, View, class_scores
from fervid.training.plots import plot_confusion, plot_reliability
from fervid.types import EMOTIONS


def format_evaluation(evaluation: Evaluation, as_json: bool = False) -> str:
    """Format the measures of an evaluation.

    Args:
        evaluation: The evaluation.
        as_json: Whether to give one JSON object instead of a table.

    Returns:
        The text, without a newline at its end.
    """
    if as_json:
        return json.dumps(evaluation.to_json(), indent=2)
    single, flipped = evaluation.single, evaluation.flipped
    lines = [f"n = {evaluation.count}", "", f"{'':18}{'single view':>24}{'flip-averaged':>24}"]
    for name in ("accuracy", "macro_f1", "weighted_f1"):
        lines.append(f"{name:18}{_interval(single, name):>24}{_interval(flipped, name):>24}")
    for name in ("macro_precision", "macro_recall"):
        lines.append(f"{name:18}{single.scores[name]:>24.4f}{flipped.scores[name]:>24.4f}")
    lines += [f"{name:18}{getattr(single, name):>24.4f}{getattr(flipped, name):>24.4f}" for name in ("nll", "brier")]
    lines.append(f"{'ece':18}{single.reliability.ece:>24.4f}{flipped.reliability.ece:>24.4f}")
    lines.append(f"{'ece, temperature 1':18}{evaluation.uncalibrated.reliability.ece:>24.4f}")
    lines += ["", f"{'single view':18}{'precision':>12}{'recall':>12}{'f1':>12}{'images':>12}"]
    scores = class_scores(single.confusion)
    for index, name in enumerate(EMOTIONS):
        row = "".join(f"{scores[key][index]:>12.4f}" for key in ("precision", "recall", "f1"))
        lines.append(f"{name:18}{row}{int(scores['support'][index]):>12}")
    return "\n".join(lines)


def _interval(view: View, name: str) -> str:
    low, high = view.intervals[name]
    return f"{view.scores[name]:.4f} [{low:.3f}, {high:.3f}]"


def write_evaluation(evaluation: Evaluation, folder: Path) -> None:
    """Write ``evaluation.json``, ``confusion.csv``, ``confusion.png`` and ``reliability.png``.

    Args:
        evaluation: The evaluation.
        folder: The folder to write to; created if it is missing.

    Raises:
        OutputError: A file cannot be written.
    """
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    write_text_atomically(folder / "evaluation.json", json.dumps(evaluation.to_json(), indent=2) + "\n")
    with atomic_path(folder / "confusion.csv") as partial, partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["labelled", *EMOTIONS])
        writer.writerows([name, *counts] for name, counts in zip(EMOTIONS, evaluation.single.confusion, strict=True))
    plot_confusion(evaluation.single.confusion, folder / "confusion.png")
    plot_reliability(evaluation, folder / "reliability.png")
