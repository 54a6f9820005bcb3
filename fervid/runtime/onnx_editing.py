"""Editing ONNX models as bytes, so that no package but onnxruntime is needed.

Field numbers are those of onnx.proto: ModelProto.ir_version 1, .graph 7, .opset_import 8; GraphProto.node 1, .name 2,
.initializer 5, .input 11, .output 12; NodeProto.input 1, .output 2, .op_type 4, .attribute 5; AttributeProto.name 1,
.i 3, .ints 8, .type 20; TensorProto.dims 1, .data_type 2, .float_data 4, .name 8, .raw_data 9;
ValueInfoProto.name 1, .type 2; TypeProto.tensor_type 1; its elem_type 1, .shape 2; TensorShapeProto.dim 1; its
dim_value 1, .dim_param 2.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

_GRAPH, _NODE, _INITIALIZER, _INPUT, _OUTPUT = 7, 1, 5, 11, 12
_NODE_INPUT, _NODE_OUTPUT, _NODE_TYPE, _NODE_ATTRIBUTE, _TENSOR_NAME, _VALUE_NAME = 1, 2, 4, 5, 8, 1
_FLOAT = 1
"""TensorProto's code of 32-bit floating point."""

Field = tuple[int, bytes, bytes]
"""A field of a protocol buffers message: its number, its bytes with the header, and its content."""


def with_inputs(model: bytes, names: Sequence[str]) -> bytes:
    """Keep only some of a model's inputs. Some files list their weights as inputs, though they contain the values.

    Args:
        model: The content of an .onnx file.
        names: The inputs to keep.

    Returns:
        The changed model.
    """
    wanted = {name.encode() for name in names}

    def kept(graph: list[Field]) -> list[bytes]:
        return [entry for number, entry, content in graph if number != _INPUT or _texts(content, _VALUE_NAME) <= wanted]

    return _with_graph(model, kept)


def with_outputs(model: bytes, names: Sequence[str], given: Value | None = None) -> bytes:
    """Make inner tensors the outputs of a model, and remove everything that they do not need.

    onnxruntime would compute the rest too.

    Args:
        model: The content of an .onnx file, whose nodes are in topological order, as ONNX requires.
        names: Tensors anywhere in the graph, the new outputs.
        given: Name and shape of a float32 tensor anywhere in the graph that becomes the only input; None: the model
            keeps its inputs.

    Returns:
        The changed model.

    Raises:
        ValueError: No node computes one of ``names``.
    """
    begin = given[0].encode() if given else b""

    def kept(graph: list[Field]) -> list[bytes]:
        needed = {name.encode() for name in names}
        missing = needed - {name for number, _, content in graph if number == _NODE for name in _outputs(content)}
        if missing:
            raise ValueError(f"the graph has no tensor {sorted(missing)[0].decode()}")
        nodes = []
        for number, entry, content in reversed(graph):
            if number == _NODE and (needed - {begin}) & _outputs(content):
                nodes.append(entry)
                needed.update(_texts(content, _NODE_INPUT))
        rest = [
            entry
            for number, entry, content in graph
            if number not in (_NODE, _OUTPUT)
            and (number != _INITIALIZER or _texts(content, _TENSOR_NAME) <= needed)
            and not (given and number == _INPUT)
        ]
        inputs = [_field(_INPUT, _value(*given))] if given else []
        return [*nodes[::-1], *rest, *inputs, *(_field(_OUTPUT, _field(_VALUE_NAME, name.encode())) for name in names)]

    return _with_graph(model, kept)


def with_plain_activations(model: bytes) -> bytes:
    """Replace PRelu nodes, for which onnxruntime has no fast code, by faster nodes with the same result.

    A PRelu stays if its slopes are not a constant of shape (channels, 1, 1).

    Args:
        model: The content of an .onnx file.

    Returns:
        The changed model.
    """

    def changed(graph: list[Field]) -> list[bytes]:
        slopes = dict(_slopes(content) for number, _, content in graph if number == _INITIALIZER)
        parts = []
        for number, entry, content in graph:
            inner = list(fields(content)) if number == _NODE else []
            given = [text.decode() for field, _, text in inner if field == _NODE_INPUT]
            if (_NODE_TYPE, b"PRelu") in [(field, text) for field, _, text in inner] and len(slopes.get(given[1], ())):
                (y,) = _outputs(content)
                nodes, tensors = _prelu(given[0], y.decode(), slopes[given[1]])
                parts += [_field(_NODE, new) for new in nodes] + [_field(_INITIALIZER, new) for new in tensors]
            else:
                parts.append(entry)
        return parts

    return _with_graph(model, changed)


def _slopes(content: bytes) -> tuple[str, npt.NDArray[np.float32]]:
    """Name and values of a constant; no values if they cannot be slopes."""
    found = list(fields(content))
    (name,) = _texts(content, _TENSOR_NAME)
    raw = [text for number, _, text in found if number in (4, 9)]  # packed floats and raw bytes have the same encoding
    sides = [_number(text, 0)[0] for number, _, text in found if number == 1]
    plain = sides[1:] == [1, 1] and len(raw) == 1 and len(raw[0]) == 4 * sides[0]
    return name.decode(), np.frombuffer(raw[0] if plain else b"", "<f4")


def _prelu(x: str, y: str, slopes: npt.NDArray[np.float32]) -> tuple[list[bytes], list[bytes]]:
    """Nodes and constants of a parametric ReLU from tensor ``x`` to ``y``, with a slope for each channel.

    y = slope * x + (1 - slope) * relu(x). The products are depthwise convolutions, which keep the memory layout that
    onnxruntime uses for the convolutions before and after. With PRelu nodes, a network of separable convolutions takes
    twice as long. If no slope exceeds 1, the last term is relu((1 - slope) * x), which onnxruntime computes at once.
    """
    by_depth: dict[str, int | list[int]] = {"kernel_shape": [1, 1], "group": len(slopes)}
    kernels = {f"{y}_above": 1 - slopes, f"{y}_below": slopes}
    above, below, positive = f"{y}_above", f"{y}_below", f"{y}_positive"
    if (slopes <= 1).all():
        first = _make_node("Conv", [x, f"{above}_kernel"], above, **by_depth), _make_node("Relu", [above], positive)
        added = positive
    else:
        first = _make_node("Relu", [x], positive), _make_node("Conv", [positive, f"{above}_kernel"], above, **by_depth)
        added = above
    second = _make_node("Conv", [x, f"{below}_kernel"], below, **by_depth), _make_node("Add", [below, added], y)
    constants = [_tensor(f"{name}_kernel", values[:, None, None, None]) for name, values in kernels.items()]
    return [*first, *second], constants


def _make_node(kind: str, inputs: Sequence[str], output: str, **attributes: int | list[int]) -> bytes:
    """An operation with one output."""
    given = b"".join(_field(_NODE_INPUT, name.encode()) for name in inputs)
    plain = given + _field(_NODE_OUTPUT, output.encode()) + _field(_NODE_TYPE, kind.encode())
    return plain + b"".join(_field(_NODE_ATTRIBUTE, _attribute(name, value)) for name, value in attributes.items())


def _attribute(name: str, value: int | list[int]) -> bytes:
    if isinstance(value, int):
        content, kind = _integer(3, value), 2
    else:
        content, kind = b"".join(_integer(8, item) for item in value), 7
    return _field(1, name.encode()) + content + _integer(20, kind)


def _tensor(name: str, values: npt.NDArray[Any]) -> bytes:
    """A float32 constant."""
    sides = b"".join(_integer(1, side) for side in values.shape)
    data = np.ascontiguousarray(values, "<f4").tobytes()
    return sides + _integer(2, _FLOAT) + _field(_TENSOR_NAME, name.encode()) + _field(9, data)


Value = tuple[str, Sequence[int | None]]
"""Name and shape of an input or output; None stands for an axis of any length."""


def _value(name: str, shape: Sequence[int | None]) -> bytes:
    """A ValueInfoProto for a float32 tensor."""
    sides = b"".join(
        _field(1, _field(2, f"n{place}".encode()) if side is None else _integer(1, side))
        for place, side in enumerate(shape)
    )
    kind = _field(1, _integer(1, _FLOAT) + _field(2, sides))
    return _field(_VALUE_NAME, name.encode()) + _field(2, kind)


def _with_graph(model: bytes, change: Callable[[list[Field]], list[bytes]]) -> bytes:
    """The model with the fields of its graph changed."""
    parts = []
    for number, entry, content in fields(model):
        parts.append(_field(_GRAPH, b"".join(change(list(fields(content))))) if number == _GRAPH else entry)
    return b"".join(parts)


def _outputs(node: bytes) -> set[bytes]:
    """The names of a node's outputs."""
    return _texts(node, _NODE_OUTPUT)


def _texts(message: bytes, wanted: int) -> set[bytes]:
    """The contents of all fields with this number."""
    return {content for number, _, content in fields(message) if number == wanted}


def fields(message: bytes) -> Iterator[Field]:
    """Split a protocol buffers message into its fields.

    Args:
        message: The encoded message.

    Yields:
        For each field its number, its bytes with the header, and its content.
    """
    offset = 0
    while offset < len(message):
        begin = offset
        key, offset = _number(message, offset)
        kind = key & 7
        if kind == 2:
            length, offset = _number(message, offset)
            end = offset + length
        elif kind == 0:
            end = _number(message, offset)[1]
        else:
            end = offset + (8 if kind == 1 else 4)
        yield key >> 3, message[begin:end], message[offset:end]
        offset = end


def _field(number: int, content: bytes) -> bytes:
    """Encode a text or a message as a field."""
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _integer(number: int, value: int) -> bytes:
    """Encode an integer, which must not be negative, as a field."""
    return _varint(number << 3) + _varint(value)


def integers(content: bytes) -> list[int]:
    """Decode a packed field of integers.

    Args:
        content: Variable-length integers, one after another.

    Returns:
        The integers.
    """
    values, offset = [], 0
    while offset < len(content):
        value, offset = _number(content, offset)
        values.append(value)
    return values


def _number(data: bytes, offset: int) -> tuple[int, int]:
    """Decode the variable-length integer at ``offset``. Returns it and the offset after it. Raises ValueError if it is
    longer than 64 bits."""
    value = shift = 0
    while shift < 70:
        byte = data[offset]
        offset += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value, offset
    raise ValueError("an integer has more than 64 bits")


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 127:
        encoded.append(value & 127 | 128)
        value >>= 7
    return bytes([*encoded, value])
