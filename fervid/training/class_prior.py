"""Classes that are rarer or more frequent in use than among the labels that a network was trained on.

Menon et al. (2021), "Long-tail learning via logit adjustment": what a network says of a class carries that class's
share of the training labels; where another share is to be expected, the logarithm of their ratio is added to the logit.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np

from fervid.settings import check
from fervid.training.last_layer import LAYER
from fervid.types import EMOTIONS


@dataclass(frozen=True)
class ClassShares:
    """How frequent each class is taken to be, as a multiple of its share of the training labels (the seven need not
    come to any sum: only their ratios count). It holds for the network's own probabilities; a temperature, which is
    fitted afterwards, raises it to the power of its reciprocal."""

    angry: float = 1.0
    disgust: float = 1.0
    fear: float = 1.0
    happy: float = 1.0
    sad: float = 1.0
    surprise: float = 1.0
    neutral: float = 1.0

    def __post_init__(self) -> None:
        for name, share in dataclasses.asdict(self).items():
            check(1e-3 <= share <= 1e3, f"shares: {name} must lie between 0.001 and 1000: {share}")


def adjust(network: Any, shares: ClassShares) -> None:
    """Move the biases of ``network``'s last layer by the natural logarithms of ``shares``."""
    layer = network.get_layer(LAYER)
    kernel, bias = layer.get_weights()
    layer.set_weights([kernel, bias + np.log([getattr(shares, name) for name in EMOTIONS]).astype(bias.dtype)])
