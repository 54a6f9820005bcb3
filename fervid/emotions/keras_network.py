"""The emotion network as a Keras model, built from the list of its layers."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from fervid.emotions.architecture import INPUT, STEM, Architecture, Layer, list_layers
from fervid.emotions.onnx_graph import EPSILON
from fervid.errors import MissingLibrary
from fervid.types import EMOTIONS, FloatArray


@contextlib.contextmanager
def silence() -> Iterator[None]:
    """Hide what C++ libraries print to stderr while they load.

    Yields:
        Nothing.
    """
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


try:
    with silence():
        import keras
        from keras import layers, ops
except ModuleNotFoundError as error:
    raise MissingLibrary(
        f"training and GPUs need Keras and TensorFlow ({error.name} is missing): pip install keras tensorflow; "
        "TensorFlow has no release for Python 3.14 yet"
    ) from error

logging.getLogger("tensorflow").setLevel(logging.ERROR)  # it warns about retracing

VOTES = (*EMOTIONS, "contempt")
"""Classes of the extra head that learns the annotators' votes (FER+) in training."""


def backend() -> str:
    """Name the library that Keras computes with.

    Returns:
        ``tensorflow``, ``torch`` or ``jax``.
    """
    return str(keras.backend.backend())


class FusedBatchNormalization(layers.BatchNormalization):  # type: ignore[misc]
    """Batch normalisation of (n, c, h, w) with PyTorch's own kernel, for training on Keras' PyTorch backend.

    Keras composes it from separate operations there, which makes training 3 times slower on a CPU.
    """

    def call(self, x: Any, training: bool | None = None, mask: Any = None) -> Any:
        """See keras.layers.Layer.call."""
        if not (training and self.trainable):
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


class _AtMostOne(keras.constraints.Constraint):  # type: ignore[misc]
    """Keeps weights at 1 or below."""

    def __call__(self, w: Any) -> Any:
        return ops.minimum(w, 1)


class ChannelPReLU(layers.Layer):  # type: ignore[misc]
    """A parametric ReLU (He et al., 2015) with one slope of at most 1 for each channel: max(x, slope * x).

    Keras' own layer consists of five operations, which take longer than the convolution before it, and the shape of
    its slopes depends on the order of axes.
    """

    def __init__(self, channels_first: bool, **options: Any) -> None:
        super().__init__(**options)
        self._channels_first = channels_first

    def build(self, shape: Any) -> None:
        """See keras.layers.Layer.build."""
        channels = shape[1 if self._channels_first else -1]
        self.slopes = self.add_weight((channels,), "zeros", constraint=_AtMostOne(), name="slopes")

    def call(self, inputs: Any) -> Any:
        """See keras.layers.Layer.call."""
        slopes = ops.cast(self.slopes, inputs.dtype)
        if self._channels_first:  # PyTorch computes the gradient of a maximum slowly
            return ops.relu(inputs) - ops.relu(-inputs) * slopes[:, None, None]
        return ops.maximum(inputs, inputs * slopes)


class KerasNetwork:
    """A Keras model that gives logits as the other networks do."""

    def __init__(self, model: Any) -> None:
        self.model = model

    def logits(self, inputs: FloatArray) -> FloatArray:
        """Compute the model's output.

        Args:
            inputs: Normalised crops (n, 48, 48, 1) float32.

        Returns:
            The output (n, channels) float32; logits (n, 7) for a whole network.
        """
        return np.asarray(self.model.predict_on_batch(inputs), np.float32)


@dataclass(frozen=True)
class _LayerFactory:
    """Makes Keras layers in one dtype and one order of axes."""

    dtype: str
    channels_first: bool
    dropout: float
    seed: int | None

    @property
    def axes(self) -> dict[str, Any]:
        return {"data_format": "channels_first" if self.channels_first else "channels_last", "dtype": self.dtype}

    def apply(self, layer: Layer, inputs: list[Any]) -> Any:
        """The output of a new layer for the symbolic ``inputs``."""
        x, name, dtype = inputs[0], layer.name, self.dtype
        match layer.kind:
            case "resize":
                axes = {"data_format": "channels_last", "dtype": "float32"}
                return layers.Resizing(layer.size, layer.size, "bilinear", name=name, **axes)(x)
            case "convolution":
                options = {"padding": "same", "use_bias": False, "kernel_initializer": "he_normal"}
                return layers.Conv2D(layer.channels, layer.size, name=name, **options, **self.axes)(x)
            case "depthwise":
                return self._depthwise(layer, x)
            case "batch_norm" if self.channels_first:
                return FusedBatchNormalization(axis=1, epsilon=EPSILON, dtype=dtype, name=name)(x)
            case "batch_norm":
                return layers.BatchNormalization(axis=-1, epsilon=EPSILON, dtype=dtype, name=name)(x)
            case "relu":
                return layers.ReLU(dtype=dtype, name=name)(x)
            case "prelu":
                return ChannelPReLU(self.channels_first, dtype=dtype, name=name)(x)
            case "max_pool":
                return layers.MaxPooling2D(layer.size, layer.stride, name=name, **self.axes)(x)
            case "add":
                return layers.Add(dtype=dtype, name=name)(inputs)
            case "mean":
                return layers.GlobalAveragePooling2D(name=name, **self.axes)(x)
            case "dropout":
                return layers.Dropout(self.dropout, seed=self.seed, dtype=dtype, name=name)(x)
            case "dense":
                return self.dense(x, layer.channels, name)

    def dense(self, x: Any, channels: int, name: str) -> Any:
        """A dense layer that computes in float32, unless all weights are to be stored in half precision."""
        return layers.Dense(channels, dtype="float16" if self.dtype == "float16" else "float32", name=name)(x)

    def _depthwise(self, layer: Layer, x: Any) -> Any:
        """A depthwise convolution. A stride keeps every second row and column, from the first on, of its output."""
        stride, name = layer.stride, f"{layer.name.removesuffix('_conv')}_stride"
        thin_out = stride > 1 and self.channels_first  # PyTorch trains a strided one ten times slower on a CPU
        if stride > 1 and not thin_out:
            x = layers.ZeroPadding2D(1, name=name, **self.axes)(x)
        x = layers.DepthwiseConv2D(
            layer.size,
            strides=1 if thin_out else stride,
            padding="same" if thin_out or stride == 1 else "valid",
            use_bias=False,
            depthwise_initializer="he_normal",
            name=layer.name,
            **self.axes,
        )(x)
        return layers.MaxPooling2D(1, stride, name=name, **self.axes)(x) if thin_out else x


def build(
    architecture: Architecture,
    votes: bool = False,
    dtype: str = "float32",
    seed: int | None = None,
    training: bool = False,
    kind: Any = keras.Model,
) -> Any:
    """Build the Keras model of a network.

    Args:
        architecture: The network's settings.
        votes: Add the head that learns the annotators' votes, for training.
        dtype: A Keras dtype policy such as ``mixed_bfloat16``.
        seed: Seed of the dropout; random if None.
        training: Order the axes as the backend trains fastest. The weights are the same.
        kind: The class of the model, ``keras.Model`` or one that is derived from it.

    Returns:
        A model from normalised crops (n, h, w, 1) to logits (n, 7) float32; h and w are at least 16. With ``votes`` its
        output is a dict of ``emotion`` (n, 7) and ``votes`` (n, 8).
    """
    factory = _LayerFactory(dtype, training and backend() == "torch", architecture.dropout, seed)
    crops = keras.Input((None, None, 1), name="crop")
    outputs = {INPUT: crops}
    for layer in list_layers(architecture):
        inputs = [outputs[name] for name in layer.inputs]
        if layer.name == STEM and factory.channels_first:
            inputs = [layers.Permute((3, 1, 2), dtype=dtype, name="channels_first")(inputs[0])]
        outputs[layer.name] = factory.apply(layer, inputs)
    logits = outputs["emotion"]
    if votes:
        logits = {"emotion": logits, "votes": factory.dense(outputs["dropout"], len(VOTES), "votes")}
    return kind(crops, logits, name="fervid")
