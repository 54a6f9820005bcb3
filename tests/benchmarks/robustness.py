"""Accuracy of emotion weights under what video does to a face crop.

The images of a split are blurred, shrunk and enlarged, packed as JPEG, covered with noise, tilted, and cut
as a wandering detector box would cut them; each loss is drawn by a seed of its own, so all weights meet the
same pictures. Rows are the losses, columns the weights.

    python -m tests.benchmarks.robustness --data FER2013 [--model plain.keras --model robust.keras]

With ``--holdout`` the images are those that training with that share and ``--seed`` holds out: PublicTest stays unseen.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np

from fervid.emotions.classifier import load_classifier
from fervid.faces.crop import CropGeometry, crop_face
from fervid.runtime.opencv import cv2
from fervid.training.dataset import read, split
from fervid.training.evaluate import predict
from fervid.types import ByteArray, Face

Loss = Callable[[ByteArray, np.random.Generator], ByteArray]

MARGIN = 24
"""Pixels of repeated edge around an image, from which a strayed box cuts."""

WHOLE = CropGeometry(1.0, 0.0, 0.0)


def blurred(sigma: float) -> Loss:
    """A Gaussian blur of ``sigma`` pixels of 48."""
    return lambda image, rng: np.asarray(cv2.GaussianBlur(image, (0, 0), sigma), np.uint8)


def shrunk(side: int) -> Loss:
    """A face of ``side`` pixels, enlarged to 48."""

    def loss(image: ByteArray, rng: np.random.Generator) -> ByteArray:
        small = cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)
        return np.asarray(cv2.resize(small, (48, 48), interpolation=cv2.INTER_LINEAR), np.uint8)

    return loss


def packed(quality: int) -> Loss:
    """Block coding, as a JPEG of that quality."""

    def loss(image: ByteArray, rng: np.random.Generator) -> ByteArray:
        _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
        return np.asarray(cv2.imdecode(data, cv2.IMREAD_GRAYSCALE), np.uint8)

    return loss


def noisy(deviation: float) -> Loss:
    """Sensor noise of that standard deviation, in gray levels."""
    return lambda image, rng: np.clip(np.rint(image + rng.normal(0, deviation, image.shape)), 0, 255).astype(np.uint8)


def tilted(degrees: float) -> Loss:
    """A head turned by up to so many degrees, either way."""

    def loss(image: ByteArray, rng: np.random.Generator) -> ByteArray:
        matrix = cv2.getRotationMatrix2D((23.5, 23.5), rng.uniform(-degrees, degrees), 1.0)
        return np.asarray(cv2.warpAffine(image, matrix, (48, 48), borderMode=cv2.BORDER_REPLICATE), np.uint8)

    return loss


def strayed(share: float) -> Loss:
    """A box whose centre and size are off by a normal deviate of ``share`` of its side."""

    def loss(image: ByteArray, rng: np.random.Generator) -> ByteArray:
        framed = cv2.copyMakeBorder(image, MARGIN, MARGIN, MARGIN, MARGIN, cv2.BORDER_REPLICATE)
        x, y, change = np.clip(rng.normal(0, share, 3), -2.5 * share, 2.5 * share)
        side = 48 * np.exp(change)
        corner = MARGIN + 24 - side / 2
        face = Face(corner + 48 * x, corner + 48 * y, side, side, 1.0)
        return crop_face(np.asarray(framed, np.uint8), face, WHOLE)

    return loss


def chained(*losses: Loss) -> Loss:
    """One after the other."""

    def loss(image: ByteArray, rng: np.random.Generator) -> ByteArray:
        for step in losses:
            image = step(image, rng)
        return image

    return loss


LOSSES: dict[str, Loss] = {
    "none": lambda image, rng: image,
    "blur, sigma 1": blurred(1.0),
    "blur, sigma 1.5": blurred(1.5),
    "face of 24 pixels": shrunk(24),
    "face of 16 pixels": shrunk(16),
    "JPEG, quality 30": packed(30),
    "JPEG, quality 15": packed(15),
    "noise, 8 gray levels": noisy(8),
    "tilt, up to 15 degrees": tilted(15),
    "box off by 5 %": strayed(0.05),
    "box off by 10 %": strayed(0.10),
    "24 pixels, JPEG 30, tilt 10, box 5 %": chained(shrunk(24), packed(30), tilted(10), strayed(0.05)),
}


def apply(images: ByteArray, loss: Loss) -> ByteArray:
    """Images (n, 48, 48) uint8 → the same under ``loss``, image by image with a seed of its own."""
    return np.stack([loss(image, np.random.default_rng(number)) for number, image in enumerate(images)])


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, action="append", required=True)
    parser.add_argument("--model", type=Path, action="append", help="weights; default: the shipped ones")
    parser.add_argument("--split", default="PublicTest")
    parser.add_argument("--holdout", type=float, help="what training with this share held out of Training, instead")
    parser.add_argument("--seed", type=int, default=1, help="that training's")
    arguments = parser.parse_args()
    if arguments.holdout:
        _, data = split(read(arguments.data, "Training"), arguments.holdout, arguments.seed)
        title = "held out of Training"
    else:
        data, title = read(arguments.data, arguments.split), arguments.split
    networks = {path.stem if path else "shipped": load_classifier(path).network for path in arguments.model or [None]}
    print(f"{title}, n = {len(data)}; accuracy in %\n")
    print(f"| loss | {' | '.join(networks)} |\n|---|{'---|' * len(networks)}")
    for name, loss in LOSSES.items():
        images = apply(data.images, loss)
        hits = [predict(network, images).argmax(axis=1) == data.labels for network in networks.values()]
        print(f"| {name} | {' | '.join(f'{100 * hit.mean():.1f}' for hit in hits)} |", flush=True)


if __name__ == "__main__":
    main()
