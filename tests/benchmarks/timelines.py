"""Smoothing and episodes on timelines with known ground truth: benefit and cost of each smoother.

Synthetic sequences consist of states of 0.4 to 6 s. The seven emotions are equally frequent. Frames are images of
FER2013's PublicTest with the label of the state, classified by the given weights (the shipped ones if none are given).

* ``plain``: each frame is a new random image. Errors of consecutive frames are independent, which favours all
  smoothers, most of all at high frame rates.
* ``held``: an image stays for 0.5 to 2 s with small shifts, blur and noise, like consecutive frames of one person. No
  smoother can correct a wrong classification of the image.

Dwell times are ``uniform`` or ``log-uniform`` (more short ones). Real sequences are clips with expressions in
``ground_truth.json``.

    python -m tests.benchmarks.timelines --out timelines/
"""

from __future__ import annotations

import argparse
import importlib.metadata
import platform
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from fervid.emotions.classifier import load_classifier
from fervid.emotions.sidecar import SHIPPED, read_sidecar
from fervid.training.augment import AugmentSettings, augment
from fervid.training.dataset import read
from fervid.types import EMOTIONS, DoubleArray
from tests.benchmarks.smoothers import Smoother, candidates, default, raw, scaled_markov, shipped
from tests.benchmarks.timeline_scoring import HEADER, Score, agreement, change_when_halved, line, minutes, score
from tests.benchmarks.timeline_sequences import Bank, Timeline, make, real

JITTER = AugmentSettings(
    flip=0, rotation=2, scale=0.03, stretch=0.01, shift=1.5, gamma=0.1, erase=0, degrade=0.3, mixup=0
)
COPIES = 6
WIDTHS = (0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0)


def classify(data: Path, model: Path) -> Bank:
    """Classify PublicTest and its jittered copies. The result is cached in the temporary folder of the system."""
    key = read_sidecar(model).weights_sha256[:16]
    kept = Path(tempfile.gettempdir()) / f"fervid-timelines-{key}.npz"
    if not kept.exists():
        images, network = read([data], "PublicTest"), load_classifier(model)
        rng = np.random.default_rng(0)
        size = images.images.shape[1]
        copies = [network.probabilities(augment(images.images, JITTER, rng, size)) for _ in range(COPIES)]
        np.savez(
            kept,
            labels=images.labels,
            probabilities=network.probabilities(images.images),
            copies=np.stack(copies, axis=1),
        )
    with np.load(kept) as found:
        return Bank(found["labels"], found["probabilities"], found["copies"])


def table(title: str, sequences: Sequence[Timeline], smoothers: Mapping[str, Smoother]) -> str:
    """A Markdown table of all smoothers on these sequences."""
    scores = {name: score(sequences, smoother) for name, smoother in smoothers.items()}
    first = scores["raw"]
    brief = f"; {first.brief_count} brief states in the raw evidence, {100 * first.contained:.0f} % of all brief ones"
    rows = [line(name, values) for name, values in scores.items()]
    return "\n".join([f"### {title}{brief if first.brief_count else ''}", "", HEADER, *rows, ""])


def truth_flips(sequences: Sequence[Timeline]) -> float:
    """Changes of state per minute."""
    return sum(len(sequence.states) - 1 for sequence in sequences) / minutes(sequences)


def stability(sets: Mapping[str, Sequence[Timeline]], smoothers: Mapping[str, Smoother]) -> str:
    """Changes when a random half of the samples is dropped: mean / mean of the largest change per row."""
    lines = ["| half of the samples dropped | " + " | ".join(smoothers) + " |", "|---" * (len(smoothers) + 1) + "|"]
    for name, sequences in sets.items():
        changes = [change_when_halved(sequences, smoother) for smoother in smoothers.values()]
        lines.append(f"| {name} | " + " | ".join(f"{mean:.3f} / {most:.3f}" for mean, most in changes) + " |")
    return "\n".join(lines) + "\n"


def rates(slow: Sequence[Timeline], fast: Sequence[Timeline], smoothers: Mapping[str, Smoother]) -> str:
    """Agreement of two sampling rates of the same clips."""
    lines = ["| smoother | 5 fps against every frame: difference | same leader, % |", "|---|---|---|"]
    for name, smoother in smoothers.items():
        difference, same = agreement(slow, fast, smoother)
        lines.append(f"| {name} | {difference:.3f} | {100 * same:.1f} |")
    return "\n".join(lines) + "\n"


Curves = dict[str, dict[str, list[Score]]]


def trade_off(sets: Mapping[str, Sequence[Timeline]]) -> Curves:
    """Scores at each of ``WIDTHS``, by set and smoother."""
    kinds: dict[str, Callable[[float], Smoother]] = {
        "adaptive": lambda width: shipped("adaptive", width),
        "Gaussian": lambda width: shipped("gaussian", width),
        "HMM posterior": scaled_markov,
    }
    return {
        name: {kind: [score(sequences, build(width)) for width in WIDTHS] for kind, build in kinds.items()}
        for name, sequences in sets.items()
    }


def curve_table(curves: Curves) -> str:
    """The trade-off as a Markdown table: macro-F1 / brief found / onset error."""
    lines = ["| sequences | smoother | " + " | ".join(f"{w:g} s" for w in WIDTHS) + " |"]
    lines.append("|---" * (len(WIDTHS) + 2) + "|")
    for name, kinds in curves.items():
        for kind, scores in kinds.items():
            cells = (f"{100 * s.macro_f1:.1f} / {100 * s.brief:.0f} / {s.onset_error:.2f}" for s in scores)
            lines.append(f"| {name} | {kind} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def draw(curves: Curves, path: Path) -> None:
    """The trade-off as a figure with a row for each kind of sequence."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 3.2 * len(curves)), layout="constrained")
    axes = figure.subplots(len(curves), 4, squeeze=False, sharex=True)
    for row, (name, kinds) in zip(axes, curves.items(), strict=True):
        for kind, scores in kinds.items():
            columns = [
                [100 * s.macro_f1 for s in scores],
                [100 * s.brief for s in scores],
                [s.onset_error for s in scores],
                [s.flips for s in scores],
            ]
            for axis, values in zip(row, columns, strict=True):
                axis.plot(WIDTHS, values, marker="o", markersize=3, label=kind)
        titles = ("macro-F1, %", "brief episodes found, %", "median onset error, s", "flips per minute")
        for axis, title in zip(row, titles, strict=True):
            axis.set_title(f"{name}: {title}", fontsize=9)
            axis.set_xscale("log")
            axis.set_xticks(WIDTHS, [f"{width:g}" for width in WIDTHS])
            axis.minorticks_off()
            axis.grid(alpha=0.3)
    axes[0][0].legend(fontsize=8)
    for axis in axes[-1]:
        axis.set_xlabel("window width, s")
    figure.savefig(path, dpi=110)


def report(bank: Bank | None, media: Path | None, model: Path, prior: DoubleArray, count: int, out: Path | None) -> str:
    """The complete comparison as Markdown."""
    smoothers = candidates(prior)
    both = {"raw": raw, "Gaussian, 1 s": smoothers["Gaussian, 1 s"], default(): smoothers[f"**{default()}** (default)"]}
    parts, steady = [], dict[str, list[Timeline]]()
    if bank is not None:
        for kind, dwell in (("plain", "uniform"), ("plain", "log-uniform"), ("held", "uniform")):
            for fps in (5, 25):
                sequences = make(bank, kind, fps, count, dwell)
                steady[f"{kind}, {dwell}, {fps} fps"] = sequences
                title = f"{kind}, dwell {dwell}, {fps} fps; {truth_flips(sequences):.1f} true changes per minute"
                parts.append(table(title, sequences, smoothers))
    if media is not None:
        with tempfile.TemporaryDirectory() as work:
            slow, fast = (real(media, Path(work), fps, model) for fps in (5, 0))
        note = "states are known for one clip of 8 s"
        parts.append(table(f"real clips, 5 fps; {note}", slow, smoothers))
        parts.append(table(f"real clips, every frame; {note}", fast, smoothers))
        parts.append(rates(slow, fast, both))
        steady |= {"real clips, 5 fps": slow, "real clips, every frame": fast}
    parts.append(stability(steady, {name: both[name] for name in list(both)[1:]}))
    if bank is not None:
        shown = ("plain, uniform, 5 fps", "plain, uniform, 25 fps", "held, uniform, 25 fps")
        curves = trade_off({name: steady[name] for name in shown})
        parts += ["### Trade-off: macro-F1, % / brief found, % / onset error, s by width", "", curve_table(curves)]
        if out is not None:
            draw(curves, out / "trade-off.png")
    return "\n".join(parts)


def main() -> None:
    """Print the tables, and write them and the curves to ``--out``."""
    shared = Path(__file__).resolve().parents[3] / "shared"
    parser = argparse.ArgumentParser(description="Smoothing and episodes on timelines with known ground truth.")
    parser.add_argument("--data", type=Path, default=shared / "data", help="FER2013 in any layout, with PublicTest")
    parser.add_argument("--media", type=Path, default=shared / "media", help="folder with clips and ground_truth.json")
    parser.add_argument("--model", type=Path, default=SHIPPED)
    parser.add_argument("--sequences", type=int, default=20, help="minutes of each kind of sequence")
    parser.add_argument("--out", type=Path, help="folder for timelines.md and trade-off.png")
    given = parser.parse_args()
    counts = read_sidecar(given.model).training.get("class_counts", dict.fromkeys(EMOTIONS, 1))
    prior = np.array([counts[name] for name in EMOTIONS], float) / sum(counts.values())
    bank = classify(given.data, given.model) if given.data.exists() else None
    media = given.media if (given.media / "ground_truth.json").exists() else None
    if given.out:
        given.out.mkdir(parents=True, exist_ok=True)
    versions = f"Python {platform.python_version()}, numpy {importlib.metadata.version('numpy')}"
    head = f"weights {read_sidecar(given.model).weights_sha256[:8]}, {given.sequences} min of each kind, {versions}\n\n"
    text = head + report(bank, media, given.model, prior, given.sequences, given.out)
    print(text)
    if given.out:
        (given.out / "timelines.md").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
