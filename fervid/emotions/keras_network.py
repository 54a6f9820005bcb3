"""The emotion CNN's layers, in two families; the numbers of a sidecar say which and how large."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt

from fervid.emotions.architecture import Architecture
from fervid.emotions.weights import EPSILON
from fervid.types import EMOTIONS


@contextlib.contextmanager
def silence() -> Iterator[None]:
    """Keep what C++ libraries print while they load off the user's terminal."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.stderr.flush()
    kept = os.dup(2)
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


with silence():
    import keras
    from keras import layers, ops

logging.getLogger("tensorflow").setLevel(logging.ERROR)  # it warns of what a second batch in one process costs

VOTES = (*EMOTIONS, "contempt")
"""Classes of the auxiliary head that learns the annotators' votes (FER+) in training."""


def backend() -> str:
    """What Keras computes with: tensorflow, torch or jax."""
    return str(keras.backend.backend())


class FusedBatchNormalization(layers.BatchNormalization):  # type: ignore[misc]
    """Batch normalisation of (n, c, h, w) by PyTorch's own kernel, for training on Keras' PyTorch backend.

    Keras composes it there from separate operations, which makes training 3 times slower on a CPU.
    """

    def call(self, x: Any, training: bool | None = None, mask: Any = None) -> Any:
        """Normalise by the batch's statistics where ``training``, else as Keras does."""
        if not training:
            return super().call(x, training=training, mask=mask)
        import torch

        return torch.nn.functional.batch_norm(
            x.contiguous(memory_format=torch.channels_last),
            self.moving_mean.value,
            self.moving_variance.value,
            self.gamma.value,
            self.beta.value,
            training=True,
            momentum=1 - self.momentum,
            eps=self.epsilon,
        )


class AtMostOne(keras.constraints.Constraint):  # type: ignore[misc]
    """Keeps weights at 1 or below."""

    def __call__(self, w: Any) -> Any:
        """The weights, those above 1 made 1."""
        return ops.minimum(w, 1)


class ChannelPReLU(layers.Layer):  # type: ignore[misc]
    """A parametric ReLU (He et al., 2015) with one slope, of at most 1, for each channel: max(x, slope * x).

    Keras' own is composed of five operations, which take longer than the convolution before it, and keeps its slopes
    in a shape that depends on the order of axes.
    """

    def __init__(self, channels_first: bool, **options: Any) -> None:
        super().__init__(**options)
        self._channels_first = channels_first

    def build(self, shape: Any) -> None:
        """Make the slopes, (channels,), all of them 0 at first."""
        channels = shape[1 if self._channels_first else -1]
        self.slopes = self.add_weight((channels,), "zeros", constraint=AtMostOne(), name="slopes")

    def call(self, inputs: Any) -> Any:
        """The activation of ``inputs``."""
        slopes = ops.cast(self.slopes, inputs.dtype)
        if self._channels_first:  # PyTorch, whose gradient of a maximum is slow
            return ops.relu(inputs) - ops.relu(-inputs) * slopes[:, None, None]
        return ops.maximum(inputs, inputs * slopes)


@dataclass(frozen=True)
class _Builder:
    """The blocks of the network, in one dtype and one order of axes; ``fold``: without batch normalisation."""

    dtype: str
    channels_first: bool
    fold: bool

    @property
    def axes(self) -> dict[str, Any]:
        return {"data_format": "channels_first" if self.channels_first else "channels_last", "dtype": self.dtype}

    def convolution(self, x: Any, width: int, kernel: int, name: str) -> Any:
        x = layers.Conv2D(
            width,
            kernel,
            padding="same",
            use_bias=self.fold,
            kernel_initializer="he_normal",
            name=f"{name}_conv",
            **self.axes,
        )(x)
        return self.normalized(x, name)

    def normalized(self, x: Any, name: str) -> Any:
        if self.fold:
            return x
        if self.channels_first:
            return FusedBatchNormalization(axis=1, epsilon=EPSILON, dtype=self.dtype, name=f"{name}_bn")(x)
        return layers.BatchNormalization(axis=-1, epsilon=EPSILON, dtype=self.dtype, name=f"{name}_bn")(x)

    def residual_pair(self, x: Any, width: int, name: str) -> Any:
        channels = x.shape[1 if self.channels_first else -1]
        shortcut = x if channels == width else self.convolution(x, width, 1, f"{name}_shortcut")
        x = self.convolution(x, width, 3, f"{name}_a")
        x = layers.ReLU(dtype=self.dtype, name=f"{name}_a_relu")(x)
        x = self.convolution(x, width, 3, f"{name}_b")
        x = layers.Add(dtype=self.dtype, name=f"{name}_add")([x, shortcut])
        return layers.ReLU(dtype=self.dtype, name=f"{name}_relu")(x)

    def separable_pair(self, x: Any, width: int, stride: int, name: str) -> Any:
        x = self.prelu(self.depthwise(x, stride, f"{name}_depthwise"), f"{name}_depthwise")
        return self.prelu(self.convolution(x, width, 1, f"{name}_pointwise"), f"{name}_pointwise")

    def depthwise(self, x: Any, stride: int, name: str) -> Any:
        """A 3x3 convolution of each channel by itself; with a stride it keeps every second row and column, from the
        first on, of what it would give without."""
        thin = stride > 1 and self.channels_first  # PyTorch's strided one trains ten times slower on a CPU
        if stride > 1 and not thin:
            x = layers.ZeroPadding2D(1, name=f"{name}_stride", **self.axes)(x)
        x = layers.DepthwiseConv2D(
            3,
            strides=1 if thin else stride,
            padding="same" if thin or stride == 1 else "valid",
            use_bias=self.fold,
            depthwise_initializer="he_normal",
            name=f"{name}_conv",
            **self.axes,
        )(x)
        if thin:
            x = layers.MaxPooling2D(1, stride, name=f"{name}_stride", **self.axes)(x)
        return self.normalized(x, name)

    def prelu(self, x: Any, name: str) -> Any:
        return ChannelPReLU(self.channels_first, dtype=self.dtype, name=f"{name}_prelu")(x)

    def residual(self, x: Any, architecture: Architecture) -> Any:
        x = self.convolution(x, architecture.widths[0], 3, "stem")
        x = layers.ReLU(dtype=self.dtype, name="stem_relu")(x)
        for stage, (width, pairs) in enumerate(zip(architecture.widths[1:], architecture.pairs, strict=True), 1):
            x = layers.MaxPooling2D(2, name=f"stage{stage}_pool", **self.axes)(x)
            for pair in range(pairs):
                x = self.residual_pair(x, width, f"stage{stage}_{pair}")
        return x

    def separable(self, x: Any, architecture: Architecture) -> Any:
        x = self.prelu(self.convolution(x, architecture.widths[0], 3, "stem"), "stem")
        for stage, (width, pairs) in enumerate(zip(architecture.widths[1:], architecture.pairs, strict=True), 1):
            for pair in range(pairs):
                stride = 2 if stage > 1 and pair == 0 else 1
                x = self.separable_pair(x, width, stride, f"stage{stage}_{pair}")
        return x


def build(
    architecture: Architecture,
    votes: bool = False,
    dtype: str = "float32",
    seed: int | None = None,
    training: bool = False,
    fold: bool = False,
) -> Any:
    """A Keras model from (n, h, w, 1) normalised crops to (n, 7) float32 logits.

    With ``votes`` it returns a dict of ``emotion`` (n, 7) and ``votes`` (n, 8) logits, for training.
    ``dtype`` is a Keras dtype policy such as ``mixed_bfloat16``. Any h and w of at least 16 fit.
    ``training`` lays the axes out as the backend trains fastest; the weights are the same. ``fold`` gives the
    convolutions biases in place of batch normalisation, see ``folded``.
    """
    block = _Builder(dtype, training and backend() == "torch", fold)
    inputs = x = keras.Input((None, None, 1), name="crop")
    if architecture.enlarge:
        side = architecture.enlarge
        x = layers.Resizing(side, side, "bilinear", data_format="channels_last", dtype="float32", name="enlarge")(x)
    if block.channels_first:
        x = layers.Permute((3, 1, 2), dtype=dtype, name="channels_first")(x)
    x = (block.separable if architecture.family == "separable" else block.residual)(x, architecture)
    x = layers.GlobalAveragePooling2D(name="pool", **block.axes)(x)
    x = layers.Dropout(architecture.dropout, seed=seed, dtype=dtype, name="dropout")(x)
    half = dtype if dtype == "float16" else "float32"
    outputs = layers.Dense(len(EMOTIONS), dtype=half, name="emotion")(x)
    if votes:
        outputs = {"emotion": outputs, "votes": layers.Dense(len(VOTES), dtype=half, name="votes")(x)}
    return keras.Model(inputs, outputs, name="fervid")


def folded(layers: Mapping[str, list[npt.NDArray[Any]]], architecture: Architecture) -> Any:
    """The network whose arrays ``folding.fold`` gives, without batch normalisation."""
    twin = build(architecture, fold=True)
    for layer in twin.layers:
        layer.set_weights(layers.get(layer.name, []))
    return twin
