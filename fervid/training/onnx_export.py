"""Writes the `.onnx` file of trained weights.

``python -m fervid.training.onnx_export WEIGHTS.keras`` makes it for weights that have none. The package ``onnx`` is
needed: pip install 'fervid[train]'.
"""

from __future__ import annotations

import hashlib
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np

from fervid.emotions import onnx_graph
from fervid.emotions.architecture import INPUT, Architecture
from fervid.emotions.keras_file import Arrays
from fervid.emotions.keras_io import load_network, write_sidecar
from fervid.emotions.onnx_network import OnnxNetwork
from fervid.emotions.sidecar import EXPORT_COMMAND, Sidecar, mismatch, onnx_path
from fervid.errors import BadWeights, MissingLibrary
from fervid.faces.crop import SIZE, normalize
from fervid.files.atomic import atomic_path
from fervid.training.single_path import run_on_path
from fervid.types import EMOTIONS

TOLERANCE = 1e-4
"""Largest difference between the logits of Keras and of the `.onnx` file; relative if logits exceed 1."""

CHECKED_CROPS = 64
"""Crops whose logits are compared."""


def require_onnx() -> Any:
    """Import the package ``onnx``.

    Returns:
        The package.

    Raises:
        MissingLibrary: It is not installed.
    """
    try:
        import onnx
    except ImportError as error:
        raise MissingLibrary("training needs the package onnx: pip install 'fervid[train]'") from error
    return onnx


def to_onnx(arrays: Arrays, architecture: Architecture) -> bytes:
    """Make the ONNX file of a network.

    Args:
        arrays: The arrays of each layer in Keras' order, whose values fit half precision.
        architecture: The network's settings.

    Returns:
        The file's content.

    Raises:
        MissingLibrary: The package ``onnx`` is not installed.
    """
    onnx = require_onnx()
    helper = onnx.helper
    nodes, weights = onnx_graph.make_graph(architecture)
    made = [helper.make_node(node.kind, node.inputs, [node.output], **node.attributes) for node in nodes]
    tensors = []
    for weight in weights:
        values = np.asarray(arrays[weight.layer.name][weight.index]).transpose(weight.axes).reshape(weight.shape)
        tensors.append(onnx.numpy_helper.from_array(values.astype(np.float16), f"{weight.name}_half"))
    given = helper.make_tensor_value_info(INPUT, onnx_graph.FLOAT, ["n", 1, SIZE, SIZE])
    result = helper.make_tensor_value_info(onnx_graph.OUTPUT, onnx_graph.FLOAT, ["n", len(EMOTIONS), 1, 1])
    graph = helper.make_graph(made, "fervid", [given], [result], tensors)
    opset = helper.make_opsetid("", onnx_graph.OPSET)
    model = helper.make_model(graph, opset_imports=[opset], ir_version=onnx_graph.IR_VERSION)
    return bytes(model.SerializeToString())


def export(path: Path) -> Sidecar:
    """Write the `.onnx` file of weights beside their `.keras` file, and its hash into their sidecar.

    The file is kept only if its logits equal those of Keras.

    Args:
        path: The weights, named by their `.keras` file.

    Returns:
        The new sidecar.

    Raises:
        BadWeights: The `.keras` file does not fit its sidecar, or the logits differ by more than ``TOLERANCE``.
        MissingLibrary: The package ``onnx`` is not installed.
        OutputError: The files cannot be written.
    """
    require_onnx()
    sidecar, model = load_network(path)
    graph = to_onnx({layer.name: layer.get_weights() for layer in model.layers}, sidecar.architecture)
    _compare(graph, sidecar, model, onnx_path(path))
    with atomic_path(onnx_path(path)) as partial:
        partial.write_bytes(graph)
    sidecar = replace(sidecar, onnx_sha256=hashlib.sha256(graph).hexdigest())
    write_sidecar(sidecar, path)
    return sidecar


def _compare(graph: bytes, sidecar: Sidecar, model: Any, path: Path) -> None:
    """Raise BadWeights if onnxruntime and Keras do not give the same logits for random crops."""
    try:
        onnx_graph.check_file(graph, sidecar.architecture)
    except ValueError as error:
        raise mismatch(path, error) from error
    crops = np.random.default_rng(0).integers(0, 256, (CHECKED_CROPS, SIZE, SIZE)).astype(np.uint8)
    inputs = normalize(crops)
    expected = np.asarray(
        keras.ops.convert_to_numpy(model(inputs, training=False))
    )  # a graph would not pay for one call
    found = OnnxNetwork(graph, 1).logits(inputs)
    difference = float(np.abs(found - expected).max())
    if not difference <= TOLERANCE * max(1.0, float(np.abs(expected).max())):
        raise BadWeights(f"{path} is not written: its logits would differ from those of Keras by {difference:.2g}")


def main(arguments: list[str]) -> int | str:
    """Write the `.onnx` file of the weights that the only argument names.

    Args:
        arguments: The command line without the program's name.

    Returns:
        0, or a sentence that says what went wrong.
    """
    return run_on_path(arguments, f"{EXPORT_COMMAND} WEIGHTS.keras", export)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
