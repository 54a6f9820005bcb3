"""Correction for classes that are rarer or more frequent in use than among the training labels.

A network's output includes the share of each class among the training labels. If another share is expected, the
logarithm of their ratio is added to the logit (Menon et al., 2021, "Long-tail learning via logit adjustment").
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fervid.training.last_layer import LAYER
from fervid.training.range_checks import check_range
from fervid.types import EMOTIONS


@dataclass(frozen=True)
class ClassShares:
    """Expected frequency of each class, as a multiple of its share of the training labels.

    Only the ratios between the seven values matter. The values apply to the network's own probabilities. The
    temperature T, which is fitted afterwards, raises them to the power 1/T.
    """

    angry: float = 1.0
    disgust: float = 1.0
    fear: float = 1.0
    happy: float = 1.0
    sad: float = 1.0
    surprise: float = 1.0
    neutral: float = 1.0

    def __post_init__(self) -> None:
        check_range(self, EMOTIONS, 0.001, 1000, "shares.")


def adjust(network: Any, shares: ClassShares) -> None:
    """Add the natural logarithms of class shares to the biases of a network's last layer.

    Args:
        network: The Keras model, changed in place.
        shares: The expected frequency of each class.
    """
    layer = network.get_layer(LAYER)
    kernel, bias = layer.get_weights()
    layer.set_weights([kernel, bias + np.log([getattr(shares, name) for name in EMOTIONS]).astype(bias.dtype)])
