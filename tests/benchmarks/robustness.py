"""Accuracy of emotion weights on degraded face crops, as they occur in video.

The images of a split are blurred, shrunk and enlarged, compressed as JPEG, covered with noise, tilted, or cropped with
an inaccurate box. Each image has its own random seed, so that all weights see the same degraded images. Rows are
degradations, columns are weights.

    python -m tests.benchmarks.robustness --data FER2013 [--model plain.keras --model robust.keras]

With ``--holdout`` the images are those that training with that share and ``--seed`` holds out; PublicTest is not used.
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

Degradation = Callable[[ByteArray, np.random.Generator], ByteArray]

MARGIN = 24
"""Pixels of repeated edge added around an image, for inaccurate boxes."""

FULL_IMAGE = CropGeometry(1.0, 0.0, 0.0)


def blurred(sigma: float) -> Degradation:
    """Gaussian blur with a standard deviation of ``sigma`` pixels, in an image of 48 pixels."""
    return lambda image, rng: np.asarray(cv2.GaussianBlur(image, (0, 0), sigma), np.uint8)


def shrunk(side: int) -> Degradation:
    """Shrink to ``side`` pixels and enlarge to 48."""

    def degrade(image: ByteArray, rng: np.random.Generator) -> ByteArray:
        small = cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)
        return np.asarray(cv2.resize(small, (48, 48), interpolation=cv2.INTER_LINEAR), np.uint8)

    return degrade


def compressed(quality: int) -> Degradation:
    """JPEG compression of the given quality."""

    def degrade(image: ByteArray, rng: np.random.Generator) -> ByteArray:
        _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
        return np.asarray(cv2.imdecode(data, cv2.IMREAD_GRAYSCALE), np.uint8)

    return degrade


def noisy(deviation: float) -> Degradation:
    """Gaussian noise with a standard deviation in gray levels."""
    return lambda image, rng: np.clip(np.rint(image + rng.normal(0, deviation, image.shape)), 0, 255).astype(np.uint8)


def tilted(degrees: float) -> Degradation:
    """Rotation by a random angle of up to ``degrees`` in both directions."""

    def degrade(image: ByteArray, rng: np.random.Generator) -> ByteArray:
        matrix = cv2.getRotationMatrix2D((23.5, 23.5), rng.uniform(-degrees, degrees), 1.0)
        return np.asarray(cv2.warpAffine(image, matrix, (48, 48), borderMode=cv2.BORDER_REPLICATE), np.uint8)

    return degrade


def misplaced(share: float) -> Degradation:
    """Crop with a box whose centre and size have a normally distributed error of ``share`` of its side."""

    def degrade(image: ByteArray, rng: np.random.Generator) -> ByteArray:
        framed = cv2.copyMakeBorder(image, MARGIN, MARGIN, MARGIN, MARGIN, cv2.BORDER_REPLICATE)
        x, y, change = np.clip(rng.normal(0, share, 3), -2.5 * share, 2.5 * share)
        side = 48 * np.exp(change)
        corner = MARGIN + 24 - side / 2
        face = Face(corner + 48 * x, corner + 48 * y, side, side, 1.0)
        return crop_face(np.asarray(framed, np.uint8), face, FULL_IMAGE)

    return degrade


def chained(*degradations: Degradation) -> Degradation:
    """Several degradations in sequence."""

    def degrade(image: ByteArray, rng: np.random.Generator) -> ByteArray:
        for step in degradations:
            image = step(image, rng)
        return image

    return degrade


DEGRADATIONS: dict[str, Degradation] = {
    "none": lambda image, rng: image,
    "blur, sigma 1": blurred(1.0),
    "blur, sigma 1.5": blurred(1.5),
    "face of 24 pixels": shrunk(24),
    "face of 16 pixels": shrunk(16),
    "JPEG, quality 30": compressed(30),
    "JPEG, quality 15": compressed(15),
    "noise, 8 gray levels": noisy(8),
    "tilt, up to 15 degrees": tilted(15),
    "box off by 5 %": misplaced(0.05),
    "box off by 10 %": misplaced(0.10),
    "24 pixels, JPEG 30, tilt 10, box 5 %": chained(shrunk(24), compressed(30), tilted(10), misplaced(0.05)),
}


def apply(images: ByteArray, degrade: Degradation) -> ByteArray:
    """Degrade images (n, 48, 48) uint8, each with its own seed."""
    return np.stack([degrade(image, np.random.default_rng(number)) for number, image in enumerate(images)])


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, action="append", required=True)
    parser.add_argument("--model", type=Path, action="append", help="weights; default: the shipped ones")
    parser.add_argument("--split", default="PublicTest")
    parser.add_argument("--holdout", type=float, help="use the images that training with this share holds out")
    parser.add_argument("--seed", type=int, default=1, help="seed of that training")
    arguments = parser.parse_args()
    if arguments.holdout:
        _, data = split(read(arguments.data, "Training"), arguments.holdout, arguments.seed)
        title = "held out of Training"
    else:
        data, title = read(arguments.data, arguments.split), arguments.split
    networks = {path.stem if path else "shipped": load_classifier(path).network for path in arguments.model or [None]}
    print(f"{title}, n = {len(data)}; accuracy in %\n")
    print(f"| degradation | {' | '.join(networks)} |\n|---|{'---|' * len(networks)}")
    for name, degrade in DEGRADATIONS.items():
        images = apply(data.images, degrade)
        hits = [predict(network, images).argmax(axis=1) == data.labels for network in networks.values()]
        print(f"| {name} | {' | '.join(f'{100 * hit.mean():.1f}' for hit in hits)} |", flush=True)


if __name__ == "__main__":
    main()
