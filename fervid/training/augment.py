"""Random variation of training images: framing, light, occlusion, and the degradation typical of video.

Everything works on uint8 images before normalisation, so that training and inference share the same preprocessing.
Randomness comes from one generator per batch.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fervid.runtime.opencv import cv2
from fervid.training.range_checks import check_range
from fervid.types import ByteArray, FloatArray


@dataclass(frozen=True)
class AugmentSettings:
    """Strength of each variation of training images."""

    flip: float = 0.5
    """Probability of mirroring."""
    rotation: float = 10.0
    """Standard deviation of the angle in degrees; the angle is limited to 2.5 times this."""
    scale: float = 0.12
    """Largest relative change of size, up or down."""
    stretch: float = 0.06
    """Largest relative change of the aspect ratio, up or down."""
    shift: float = 4.0
    """Largest shift along each axis, in pixels."""
    gamma: float = 0.4
    """Largest absolute value of the gamma's natural logarithm."""
    erase: float = 0.5
    """Probability that a square is covered (cutout; DeVries and Taylor, 2017)."""
    erase_size: int = 16
    """Largest side of the covered square, in pixels."""
    degrade: float = 0.4
    """Probability that the image is degraded by blur, low resolution, JPEG or noise."""
    open_mouth: float = 0.0
    """Probability that the mouth of a neutral face is opened, as if it talked."""
    mixup: float = 0.2
    """Parameter of mixup's beta distribution (Zhang et al., 2018); 0 turns mixup off."""

    def __post_init__(self) -> None:
        check_range(self, ("flip", "erase", "degrade", "open_mouth"), 0, 1, "augment.")
        check_range(self, ("scale", "stretch"), 0, 1, "augment.", open_end=True)
        check_range(self, ("erase_size",), 1, 48, "augment.")
        for name, high in (("rotation", 180), ("shift", 48), ("gamma", 5), ("mixup", 100)):
            check_range(self, (name,), 0, high, "augment.")


def augment(images: ByteArray, settings: AugmentSettings, rng: np.random.Generator, size: int) -> ByteArray:
    """Vary training images at random.

    Args:
        images: Gray images (n, h, w) uint8.
        settings: Strength of each variation.
        rng: Source of randomness.
        size: Side of the crops in pixels.

    Returns:
        Crops (n, size, size) uint8 around the centre of each image.
    """
    return np.stack([_vary(image, settings, rng, size) for image in images])


def _vary(image: ByteArray, settings: AugmentSettings, rng: np.random.Generator, size: int) -> ByteArray:
    if rng.random() < settings.degrade:
        image = degrade(image, rng)
    image = _move(image, settings, rng, size)
    if settings.gamma:
        exponent = np.exp(rng.uniform(-settings.gamma, settings.gamma))
        image = np.asarray(cv2.LUT(image, (255 * (np.arange(256) / 255) ** exponent).astype(np.uint8)))
    if rng.random() < settings.erase:
        image = _erase(image, settings.erase_size, rng)
    return image


def _move(image: ByteArray, settings: AugmentSettings, rng: np.random.Generator, size: int) -> ByteArray:
    """Flip, rotate, scale, stretch and shift with one interpolation."""
    angle = np.radians(np.clip(rng.normal(0, 1), -2.5, 2.5) * settings.rotation)
    zoom = 1 + rng.uniform(-settings.scale, settings.scale)
    ratio = 1 + rng.uniform(-settings.stretch, settings.stretch)
    mirror = -1 if rng.random() < settings.flip else 1
    shift = rng.uniform(-settings.shift, settings.shift, 2)
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    linear = rotation @ np.diag([mirror * zoom * ratio, zoom / ratio])
    height, width = image.shape
    centre = np.array([(width - 1) / 2, (height - 1) / 2])
    offset = np.full(2, (size - 1) / 2) + shift - linear @ centre
    matrix = np.hstack([linear, offset[:, None]])
    moved = cv2.warpAffine(image, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(moved, np.uint8)


def degrade(image: ByteArray, rng: np.random.Generator) -> ByteArray:
    """Degrade an image as video does, in one of four ways: blur, low resolution, JPEG or noise.

    Args:
        image: Gray image (h, w) uint8.
        rng: Source of randomness.

    Returns:
        The changed image (h, w) uint8.
    """
    height, width = image.shape
    kind = rng.integers(4)
    if kind == 0:
        result = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.4, 1.6))
    elif kind == 1:
        factor = rng.uniform(1.3, 3.0)
        small = cv2.resize(image, (round(width / factor), round(height / factor)), interpolation=cv2.INTER_AREA)
        result = cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)
    elif kind == 2:
        _, packed = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(12, 60))])
        result = np.asarray(cv2.imdecode(packed, cv2.IMREAD_GRAYSCALE))
    else:
        result = np.clip(np.rint(image + rng.normal(0, rng.uniform(2, 10), image.shape)), 0, 255)
    return np.asarray(result, dtype=np.uint8)


def _erase(image: ByteArray, largest: int, rng: np.random.Generator) -> ByteArray:
    side = int(rng.integers(largest // 2, largest + 1))
    top, left = rng.integers(-side // 2, image.shape[0] - side // 2, 2)
    image = image.copy()
    image[max(top, 0) : top + side, max(left, 0) : left + side] = rng.integers(0, 256)
    return image


def mix(
    inputs: FloatArray, targets: tuple[FloatArray, ...], alpha: float, rng: np.random.Generator
) -> tuple[FloatArray, tuple[FloatArray, ...]]:
    """Blend each row of a batch with another one (mixup; Zhang et al., 2018).

    Args:
        inputs: Network inputs (n, ...) float32.
        targets: Arrays of targets (n, classes) float32, blended with the same shares.
        alpha: Parameter of the beta distribution of the shares; nothing is blended if it is 0.
        rng: Source of randomness.

    Returns:
        The blended inputs and targets. Each row keeps a share of at least one half.
    """
    if alpha <= 0:
        return inputs, targets
    share = rng.beta(alpha, alpha, len(inputs)).astype(np.float32)
    share = np.maximum(share, 1 - share)
    partner = rng.permutation(len(inputs))

    def blend(values: FloatArray) -> FloatArray:
        own = share.reshape(-1, *([1] * (values.ndim - 1)))
        return own * values + (1 - own) * values[partner]

    return blend(inputs), tuple(blend(target) for target in targets)
