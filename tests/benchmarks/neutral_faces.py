"""Mean probability of anger on neutral faces outside FER2013, and on faces of FER2013 that seem to talk.

The real clips of ``--media`` have spans that a viewer labelled neutral. They are analysed at 5 samples a second, with
each of the weights in turn, and the raw probabilities are averaged over the samples in these spans. The neutral images
that training held out have their mouths opened by a warp, the same for all weights. Everything is split in halves: one
may be used to choose between weights, and the other is reported.

    python -m tests.benchmarks.neutral_faces --media ../shared/media --data FER2013 [--model a.keras --model b.keras]
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

import fervid
from fervid.emotions.classifier import EmotionClassifier, load_classifier, softmax
from fervid.emotions.sidecar import SHIPPED
from fervid.training.dataset import read, split
from fervid.training.evaluate import predict
from fervid.training.mouths import find_mouths, open_mouths
from fervid.types import EMOTIONS, ByteArray, FloatArray

HALVES = {
    "choice": ("d9_vfr.mp4", "emo7_neutral.mp4"),
    "report": ("d13_rot90.mov", "d19_h264_longgop.mkv"),
}
"""The clips of each half."""

MARGIN = 0.2
"""Seconds around a smile that do not count as neutral."""

FPS = 5.0
NEUTRAL, ANGRY = EMOTIONS.index("neutral"), EMOTIONS.index("angry")


def spans(media: Path, clip: str, end: float) -> Iterator[tuple[float, float]]:
    """The seconds of a clip that a viewer labelled neutral; ``end`` is the clip's last second."""
    truth = json.loads((media / "ground_truth.json").read_text())
    said = truth["clips"][clip]
    said = truth.get(said.get("same_as", ""), said)
    if said.get("dominant") == "neutral":
        yield 0, end
    elif said.get("otherwise") == "neutral":
        begin = 0.0
        for first, last, _ in [*said["timeline"], (end + MARGIN, end + MARGIN, "")]:
            yield begin, first - MARGIN
            begin = last + MARGIN
    else:
        yield from ((first, last) for first, last, label in said["timeline"] if label.split(",")[0] == "neutral")


def on_clip(media: Path, clip: str, model: Path) -> FloatArray:
    """Raw probabilities (n, 7) of the samples of one clip that are labelled neutral."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "results.parquet"
        fervid.analyze(media / clip, out, fps=FPS, model=model, measures=False)
        faces = fervid.read_results(out).timeline.dropna(subset=["angry"])
    chosen = np.zeros(len(faces), bool)
    for first, last in spans(media, clip, float(faces.time.max())):
        chosen |= faces.time.between(first, last).to_numpy()
    return np.asarray(faces.loc[chosen, list(EMOTIONS)], np.float32)


def talking(data: Path, holdout: float, seed: int) -> ByteArray:
    """Held-out neutral images (n, 48, 48) whose mouths are opened; those without a mouth are left out."""
    held = split(read([data], "Training"), holdout, seed)[1]
    images = held.images[held.labels == NEUTRAL]
    mouths = find_mouths(images, np.ones(len(images), bool))
    found = np.isfinite(mouths[:, 0, 0])
    return open_mouths(images[found], mouths[found], 1.0, np.random.default_rng(0))


def ask(model: EmotionClassifier, images: ByteArray) -> FloatArray:
    """Calibrated probabilities (n, 7)."""
    return np.asarray(softmax(predict(model.network, images), model.sidecar.temperature), np.float32)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--media", type=Path, required=True, help="folder with the real clips")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", type=Path, action="append", help="weights to measure (default: shipped)")
    parser.add_argument("--holdout", type=float, default=0.05)
    parser.add_argument("--seed", type=int, default=1, help="seed of the choice of the held-out images")
    arguments = parser.parse_args()
    models = arguments.model or [SHIPPED]
    opened = talking(arguments.data, arguments.holdout, arguments.seed)
    print("angry / neutral, mean probability\n")
    print("| half | what | n |", " | ".join(model.stem for model in models), "|")
    print("|---|---|---|" + "---|" * len(models))
    for number, (half, clips) in enumerate(HALVES.items()):
        rows = {clip: [on_clip(arguments.media, clip, model) for model in models] for clip in clips}
        rows["all of its clips"] = [np.concatenate(found) for found in zip(*rows.values(), strict=True)]
        rows["opened mouths"] = [ask(load_classifier(model), opened[number::2]) for model in models]
        for what, found in rows.items():
            cells = (f"{one[:, ANGRY].mean():.3f} / {one[:, NEUTRAL].mean():.3f}" for one in found)
            print(f"| {half} | {what} | {len(found[0])} |", " | ".join(cells), "|", flush=True)


if __name__ == "__main__":
    main()
