"""The shape of the emotion network: its settings, and the list of its layers.

The list is the only description of the network. The Keras model, the ONNX file and the shapes of the stored arrays are
all made from it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from fervid.settings import check
from fervid.types import EMOTIONS


@dataclass(frozen=True)
class Architecture:
    """The settings of a convolutional network that ends in global average pooling and one dense layer.

    The network begins with a 3x3 convolution, the stem. Each further width adds a stage. Batch normalisation follows
    every convolution.

    In the family ``residual``, a stage is a max-pooling and then pairs of 3x3 convolutions with a shortcut around each
    pair (He et al., 2016). In the family ``separable``, a stage is pairs of a depthwise 3x3 and a pointwise
    convolution with parametric ReLUs (Howard et al., 2017; SFace, Zhong et al., 2021). The first depthwise convolution
    of each stage but the first has a stride of 2.
    """

    widths: tuple[int, ...] = (32, 64, 128, 256)
    """Channels of the stem and of each stage."""
    pairs: tuple[int, ...] = (1, 1, 1)
    """Pairs of convolutions in each stage."""
    dropout: float = 0.2
    family: Literal["residual", "separable"] = "residual"
    enlarge: int = 0
    """Side in pixels to which a crop is enlarged before the stem; 0 leaves the crop as it is."""

    def __post_init__(self) -> None:
        check(len(self.pairs) == len(self.widths) - 1 >= 1, "architecture: widths must hold one number more than pairs")
        check(
            all(1 <= n <= 4096 for n in (*self.widths, *self.pairs)),
            "architecture: widths and pairs must lie between 1 and 4096",
        )
        check(0 <= self.dropout < 1, f"architecture: dropout must lie between 0 and 1: {self.dropout}")
        check(
            self.enlarge == 0 or 48 <= self.enlarge <= 224,
            f"architecture: enlarge must be 0 or lie between 48 and 224: {self.enlarge}",
        )


Shape = tuple[int, ...]

Kind = Literal[
    "resize", "convolution", "depthwise", "batch_norm", "relu", "prelu", "max_pool", "add", "mean", "dropout", "dense"
]

INPUT = "crops"
"""What the first layer takes: normalised crops of one channel."""

STEM = "stem_conv"
"""Name of the first convolution."""


@dataclass(frozen=True)
class Layer:
    """One layer of the network.

    Attributes:
        kind: What the layer computes. ``mean`` is global average pooling.
        name: Its name in Keras and in weights files.
        inputs: Names of the layers whose outputs it takes.
        channels_in: Channels of its first input.
        channels: Channels of its output.
        size: Side of its kernel or window; for ``resize``, the side of the output in pixels.
        stride: Step of its kernel or window in pixels.
    """

    kind: Kind
    name: str
    inputs: tuple[str, ...]
    channels_in: int
    channels: int
    size: int = 1
    stride: int = 1

    @property
    def shapes(self) -> list[Shape]:
        """The shapes of the layer's arrays in Keras' order; empty for a layer that has none.

        A kernel is (rows, columns, channels in, channels out), a depthwise one (rows, columns, channels, 1). Batch
        normalisation has scale, shift, mean and variance.
        """
        if self.kind == "convolution":
            return [(self.size, self.size, self.channels_in, self.channels)]
        if self.kind == "depthwise":
            return [(self.size, self.size, self.channels, 1)]
        if self.kind == "batch_norm":
            return [(self.channels,)] * 4
        if self.kind == "prelu":
            return [(self.channels,)]
        if self.kind == "dense":
            return [(self.channels_in, self.channels), (self.channels,)]
        return []


def list_layers(architecture: Architecture) -> list[Layer]:
    """List the layers of a network, each after the layers that it takes its inputs from.

    Args:
        architecture: The network's settings.

    Returns:
        The layers, from the one that takes ``INPUT`` to ``emotion``, which gives the logits.
    """
    walk = _Walk()
    x = Layer("resize", INPUT, (), 1, 1)  # stands for the input and is not listed
    if architecture.enlarge:
        x = walk.add("resize", "enlarge", [x], size=architecture.enlarge)
    x = walk.convolution(x, "stem", architecture.widths[0], size=3)
    x = walk.activation(x, "stem", architecture)
    for stage, (width, pairs) in enumerate(zip(architecture.widths[1:], architecture.pairs, strict=True), 1):
        if architecture.family == "residual":
            x = walk.add("max_pool", f"stage{stage}_pool", [x], size=2, stride=2)
        for pair in range(pairs):
            name = f"stage{stage}_{pair}"
            if architecture.family == "residual":
                x = walk.residual_pair(x, name, width)
            else:
                x = walk.separable_pair(x, name, width, stride=2 if stage > 1 and pair == 0 else 1)
    x = walk.add("mean", "pool", [x])
    x = walk.add("dropout", "dropout", [x])
    walk.add("dense", "emotion", [x], channels=len(EMOTIONS))
    return walk.layers


def array_shapes(architecture: Architecture) -> dict[str, list[Shape]]:
    """Return the shapes of all arrays of a network.

    Args:
        architecture: The network's settings.

    Returns:
        For each layer that has arrays, by its name, their shapes in Keras' order (see ``Layer.shapes``).
    """
    return {layer.name: layer.shapes for layer in list_layers(architecture) if layer.shapes}


class _Walk:
    """Collects layers; each method returns the last layer that it added."""

    def __init__(self) -> None:
        self.layers: list[Layer] = []

    def add(
        self, kind: Kind, name: str, inputs: list[Layer], channels: int | None = None, size: int = 1, stride: int = 1
    ) -> Layer:
        before = inputs[0].channels
        names = tuple(layer.name for layer in inputs)
        self.layers.append(Layer(kind, name, names, before, channels or before, size, stride))
        return self.layers[-1]

    def convolution(self, x: Layer, name: str, channels: int, size: int) -> Layer:
        x = self.add("convolution", f"{name}_conv", [x], channels, size)
        return self.add("batch_norm", f"{name}_bn", [x])

    def activation(self, x: Layer, name: str, architecture: Architecture) -> Layer:
        kind: Kind = "relu" if architecture.family == "residual" else "prelu"
        return self.add(kind, f"{name}_{kind}", [x])

    def residual_pair(self, x: Layer, name: str, width: int) -> Layer:
        shortcut = x if x.channels == width else self.convolution(x, f"{name}_shortcut", width, size=1)
        x = self.convolution(x, f"{name}_a", width, size=3)
        x = self.add("relu", f"{name}_a_relu", [x])
        x = self.convolution(x, f"{name}_b", width, size=3)
        x = self.add("add", f"{name}_add", [x, shortcut])
        return self.add("relu", f"{name}_relu", [x])

    def separable_pair(self, x: Layer, name: str, width: int, stride: int) -> Layer:
        x = self.add("depthwise", f"{name}_depthwise_conv", [x], size=3, stride=stride)
        x = self.add("batch_norm", f"{name}_depthwise_bn", [x])
        x = self.add("prelu", f"{name}_depthwise_prelu", [x])
        x = self.convolution(x, f"{name}_pointwise", width, size=1)
        return self.add("prelu", f"{name}_pointwise_prelu", [x])
