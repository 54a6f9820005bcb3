"""The emotion network as an ONNX graph, and the check that a file holds exactly this graph.

The graph is made from the list of the network's layers. Training writes it with the package ``onnx``. Inference
compares a file with it before onnxruntime loads the file: a file with any other operation, attribute or tensor, or with
data outside the file, is refused.

Weights are stored in half precision, as in the `.keras` file, and cast to float32. onnxruntime computes the casts once,
when it loads the graph, and merges batch normalisation into the convolutions.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from fervid.emotions.architecture import INPUT, Architecture, Layer, Shape, list_layers
from fervid.faces.crop import SIZE
from fervid.runtime.onnx_editing import fields, integers

OUTPUT = "emotion"
"""The graph's output: logits (n, 7, 1, 1). Its input is ``INPUT``: normalised crops (n, 1, 48, 48)."""

EPSILON = 1e-3
"""What batch normalisation adds to a variance."""

OPSET, IR_VERSION = 17, 9
FLOAT, HALF = 1, 10
"""ONNX's codes of the types float32 and float16."""

Attribute = int | float | str | tuple[int, ...] | tuple[float, ...]

_ARRAYS = {
    "convolution": ("kernel",),
    "depthwise": ("kernel",),
    "batch_norm": ("scale", "shift", "mean", "variance"),
    "prelu": ("slopes",),
    "dense": ("kernel", "bias"),
}
"""Names of a layer's arrays, by its kind, in Keras' order."""

_AXES = {4: (3, 2, 0, 1), 2: (1, 0), 1: (0,)}
"""Keras' axes in ONNX's order, by the number of axes; (rows, columns, in, out) becomes (out, in, rows, columns)."""


@dataclass(frozen=True)
class Node:
    """One operation of the graph. It has one output, which is also the name of the operation."""

    kind: str
    inputs: tuple[str, ...]
    output: str
    attributes: dict[str, Attribute] = field(default_factory=dict)


@dataclass(frozen=True)
class Weight:
    """One stored array, in half precision.

    Attributes:
        name: Its name in the graph.
        layer: The layer that it belongs to.
        index: Its place among the layer's arrays in Keras' order.
    """

    name: str
    layer: Layer
    index: int

    @property
    def axes(self) -> tuple[int, ...]:
        """Keras' axes in ONNX's order."""
        return (2, 3, 0, 1) if self.layer.kind == "depthwise" else _AXES[len(self.layer.shapes[self.index])]

    @property
    def shape(self) -> Shape:
        """Its shape in the graph. Kernels and slopes have four axes."""
        stored = self.layer.shapes[self.index]
        shape = tuple(stored[axis] for axis in self.axes)
        is_kernel = self.name.endswith(("_kernel", "_slopes"))
        return (*shape, *[1] * (4 - len(shape))) if is_kernel else shape


def make_graph(architecture: Architecture) -> tuple[list[Node], list[Weight]]:
    """Make the graph of a network.

    Args:
        architecture: The network's settings.

    Returns:
        The operations, each after those whose outputs it takes, and the stored arrays. The array ``NAME`` is stored as
        ``NAME_half``, and an operation casts it to ``NAME``.
    """
    nodes: list[Node] = []
    weights: list[Weight] = []
    renamed: dict[str, str] = {}  # dropout does nothing at inference and has no operation
    for layer in list_layers(architecture):
        names = _ARRAYS.get(layer.kind, ())
        arrays = [Weight(f"{layer.name}_{name}", layer, index) for index, name in enumerate(names)]
        weights += arrays
        nodes += [Node("Cast", (f"{array.name}_half",), array.name, {"to": FLOAT}) for array in arrays]
        inputs = [renamed.get(name, name) for name in layer.inputs]
        if layer.kind == "dropout":
            renamed[layer.name] = inputs[0]
        else:
            nodes += _operations(layer, inputs, [array.name for array in arrays])
    return nodes, weights


def _operations(layer: Layer, inputs: Sequence[str], arrays: Sequence[str]) -> list[Node]:
    """The operations of one layer."""
    name, given = layer.name, (*inputs, *arrays)
    if layer.kind == "resize":
        factor = float(np.float32(layer.size / SIZE))
        scales = Node("Constant", (), f"{name}_scales", {"value_floats": (1.0, 1.0, factor, factor)})
        options: dict[str, Attribute] = {"mode": "linear", "coordinate_transformation_mode": "half_pixel"}
        return [scales, Node("Resize", (*inputs, "", scales.output), name, options)]
    if layer.kind == "prelu":
        return _prelu(layer, inputs[0], arrays[0])
    if layer.kind == "batch_norm":
        return [Node("BatchNormalization", given, name, {"epsilon": float(np.float32(EPSILON))})]
    if layer.kind == "max_pool":
        return [Node("MaxPool", given, name, {"kernel_shape": (2, 2), "strides": (2, 2)})]
    if layer.kind in ("convolution", "depthwise", "dense"):
        # the last layer is a convolution too: a matrix product rounds differently for a single row
        return [_convolution(layer, given, name, layer.channels if layer.kind == "depthwise" else 1)]
    return [Node({"relu": "Relu", "add": "Add", "mean": "GlobalAveragePool"}[layer.kind], given, name)]


def _convolution(layer: Layer, inputs: Sequence[str], output: str, group: int) -> Node:
    size, stride, padding = layer.size, layer.stride, layer.size // 2
    shape = {"kernel_shape": (size, size), "strides": (stride, stride), "pads": (padding,) * 4}
    return Node("Conv", tuple(inputs), output, {"group": group, **shape})


def _prelu(layer: Layer, x: str, slopes: str) -> list[Node]:
    """max(x, slopes * x) = slopes * x + relu((1 - slopes) * x), for slopes of at most 1.

    The products are depthwise convolutions, because onnxruntime keeps the memory layout of the convolutions before and
    after. Its own PRelu makes the network take twice as long.
    """
    name = layer.name
    return [
        Node("Constant", (), f"{name}_one", {"value_floats": (1.0,)}),
        Node("Sub", (f"{name}_one", slopes), f"{name}_rest"),
        _convolution(layer, (x, f"{name}_rest"), f"{name}_above", layer.channels),
        Node("Relu", (f"{name}_above",), f"{name}_positive"),
        _convolution(layer, (x, slopes), f"{name}_below", layer.channels),
        Node("Add", (f"{name}_below", f"{name}_positive"), name),
    ]


def check_file(data: bytes, architecture: Architecture) -> None:
    """Check that an ONNX file holds exactly the graph of a network.

    Args:
        data: The file's content.
        architecture: The network's settings.

    Raises:
        ValueError: The file holds something else; the message says what.
    """
    try:
        _check_model(data, architecture)
    except (IndexError, UnicodeDecodeError, TypeError) as error:
        raise ValueError("it is not an ONNX file") from error


# Field numbers of onnx.proto, and the codes of an attribute's type
_KINDS = {"float": 1, "integer": 2, "text": 3, "floats": 6, "integers": 7}
_IR_FIELD, _GRAPH_FIELD, _OPSET_FIELD = 1, 7, 8
_NODE_FIELD, _NAME_FIELD, _INITIALIZER_FIELD, _INPUT_FIELD, _OUTPUT_FIELD = 1, 2, 5, 11, 12


def _check_model(data: bytes, architecture: Architecture) -> None:
    parts = _parts(data, {_IR_FIELD, _GRAPH_FIELD, _OPSET_FIELD}, "model")
    if len(parts[_GRAPH_FIELD]) != 1:
        raise ValueError("it is not an ONNX file with one graph")
    allowed = {_NODE_FIELD, _NAME_FIELD, _INITIALIZER_FIELD, _INPUT_FIELD, _OUTPUT_FIELD}
    graph = _parts(parts[_GRAPH_FIELD][0], allowed, "graph")
    nodes, weights = make_graph(architecture)
    found = [_read_node(content) for content in graph[_NODE_FIELD]]
    for node, expected in zip(found, nodes, strict=False):
        if node != expected:
            raise ValueError(f"operation {node.output} is not the expected {expected.output}")
    if len(found) != len(nodes):
        raise ValueError(f"it has {len(found)} operations, not {len(nodes)}")
    shapes = [(f"{weight.name}_half", weight.shape) for weight in weights]
    if [_read_tensor(content) for content in graph[_INITIALIZER_FIELD]] != shapes:
        raise ValueError("its arrays have other names or shapes")
    for number, name in ((_INPUT_FIELD, INPUT), (_OUTPUT_FIELD, OUTPUT)):
        if [next(iter(fields(content)))[2] for content in graph[number]] != [name.encode()]:
            raise ValueError(f"its input is not {INPUT} or its output is not {OUTPUT}")


def _parts(message: bytes, allowed: set[int], what: str) -> dict[int, list[bytes]]:
    """The contents of a message's fields by their number; ValueError for a field that is not allowed."""
    parts: dict[int, list[bytes]] = {number: [] for number in allowed}
    for number, _, content in fields(message):
        if number not in allowed:
            raise ValueError(f"field {number} of the {what} is not allowed")
        parts[number].append(content)
    return parts


def _read_node(message: bytes) -> Node:
    parts = _parts(message, {1, 2, 4, 5}, "operation")  # inputs, outputs, type, attributes
    inputs = tuple(text.decode() for text in parts[1])
    if (len(parts[2]), len(parts[4])) != (1, 1):
        raise ValueError("an operation has several outputs or none")
    attributes = dict(_read_attribute(text) for text in parts[5])
    return Node(parts[4][0].decode(), inputs, parts[2][0].decode(), attributes)


def _read_attribute(message: bytes) -> tuple[str, Attribute]:
    parts = _parts(message, {1, 2, 3, 4, 7, 8, 20}, "attribute")  # name, float, integer, text, floats, integers, type
    name, kind = parts[1][0].decode(), integers(parts[20][0])[0]
    one, text, several = b"".join(parts[2]), b"".join(parts[4]), b"".join(parts[7])
    if kind == _KINDS["float"]:
        return name, float(np.frombuffer(one, "<f4")[0])
    if kind == _KINDS["integer"]:
        return name, integers(b"".join(parts[3]))[0]
    if kind == _KINDS["floats"]:
        return name, tuple(map(float, np.frombuffer(several, "<f4")))
    if kind == _KINDS["integers"]:
        return name, tuple(integers(b"".join(parts[8])))
    return name, text.decode()


def _read_tensor(message: bytes) -> tuple[str, Shape]:
    """Name and shape of an array; ValueError if it is not half precision, lies elsewhere, or is not finite."""
    parts = _parts(message, {1, 2, 8, 9}, "array")  # dimensions, type, name, data
    name, shape = parts[8][0].decode(), tuple(integers(b"".join(parts[1])))
    data = parts[9][0] if len(parts[9]) == 1 else b""
    if integers(b"".join(parts[2])) != [HALF] or len(data) != 2 * math.prod(shape):
        raise ValueError(f"array {name} is not of half precision")
    if not np.isfinite(np.frombuffer(data, "<f2")).all():
        raise ValueError(f"layer {name} holds values that are not finite")
    return name, shape
