"""The first layers of SFace, a face recognition network, as starting weights for the emotion network.

``python -m fervid.training.sface_init OUT.keras`` writes weights that ``begin-with`` in a recipe can name: the first
twelve blocks, or all fourteen with ``--all-blocks``. SFace (Zhong et al., 2021, "SFace: Sigmoid-constrained hypersphere
loss for robust face recognition") is licensed under the Apache License 2.0. The package ``onnx`` reads its weights: pip
install 'fervid[train]'.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from fervid.emotions.architecture import Architecture
from fervid.emotions.keras_io import save
from fervid.emotions.keras_network import build
from fervid.errors import MissingLibrary
from fervid.faces.crop import FER2013_GEOMETRY
from fervid.faces.embedding import SFACE
from fervid.training.single_path import run_on_path
from fervid.types import FloatArray

ARCHITECTURE = Architecture(widths=(32, 64, 128, 256, 512), pairs=(1, 2, 2, 6), dropout=0.3, family="separable")
"""SFace up to its twelfth block. The two blocks after it, of 1,024 channels, hold half of all its weights."""

ALL_BLOCKS = replace(ARCHITECTURE, widths=(*ARCHITECTURE.widths, 1024), pairs=(*ARCHITECTURE.pairs, 2))
"""All fourteen blocks of SFace."""

DEVIATION = 54 / 128
"""Standard deviation of SFace's input, (gray - 127.5) / 128. That of a normalised crop is 1, and that of the mean
FER2013 training image is 54 gray levels."""


def begin(out: Path, architecture: Architecture = ARCHITECTURE) -> None:
    """Write the weights, with an untrained last layer, and their sidecar.

    Args:
        out: The `.keras` file to write.
        architecture: ARCHITECTURE or ALL_BLOCKS.

    Raises:
        MissingLibrary: The package ``onnx`` is not installed.
        BadWeights: The weights file of SFace is damaged.
        OutputError: The files cannot be written.
    """
    tensors = _tensors()
    network = build(architecture, seed=0)
    names = dict(_names(architecture))
    for layer in network.layers:
        if weights := _weights(layer.name, names, tensors):
            layer.set_weights(weights)
    source = {"begun_with": {"name": "sface", "sha256": SFACE.sha256, "licence": "Apache-2.0"}}
    save(network, out, architecture, FER2013_GEOMETRY, training=source)


def _tensors() -> dict[str, FloatArray]:
    """The weights of SFace, float32, by SFace's names."""
    try:
        import onnx
        from onnx import numpy_helper
    except ImportError as error:
        raise MissingLibrary("reading SFace's weights needs the package onnx: pip install 'fervid[train]'") from error
    graph = onnx.load_from_string(SFACE.read()).graph
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
    """Repeat each value ``block`` times along ``axis``, cut to the shape of ``over``."""
    return np.repeat(values, block, axis)[tuple(map(slice, over.shape))]


def _weights(layer: str, names: dict[str, str], tensors: dict[str, FloatArray]) -> list[FloatArray]:
    """The weights of one layer of the emotion network; empty where SFace does not have the layer. See _names."""
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
    if block == "stem":  # red, green and blue of a gray image are equal
        kernel = kernel.sum(axis=2, keepdims=True) * DEVIATION
    elif kernel.shape[2] == 1:  # depthwise: Keras stores the channels on the input axis
        kernel = kernel.transpose(0, 1, 3, 2)
    return [np.asarray(kernel, np.float32)]


def _names(architecture: Architecture) -> Iterator[tuple[str, str]]:
    """The blocks of the emotion network, each with SFace's name for it."""
    yield "stem", "conv_1"
    number = 2
    for stage, pairs in enumerate(architecture.pairs, 1):
        for pair in range(pairs):
            yield f"stage{stage}_{pair}_depthwise", f"conv_{number}_dw"
            yield f"stage{stage}_{pair}_pointwise", f"conv_{number}"
            number += 1


def main(arguments: list[str]) -> int | str:
    """Write the weights to the file that the command line names.

    Args:
        arguments: The command line without the program's name.

    Returns:
        0, or a sentence that says what went wrong.
    """
    paths = [argument for argument in arguments if argument != "--all-blocks"]
    architecture = ARCHITECTURE if paths == arguments else ALL_BLOCKS
    usage = "python -m fervid.training.sface_init OUT.keras [--all-blocks]"
    return run_on_path(paths, usage, lambda out: begin(out, architecture))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
