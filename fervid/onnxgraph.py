"""Small changes to ONNX files as bytes, so that nothing but onnxruntime is needed to run them.

Field numbers are those of onnx.proto: ModelProto.graph 7; GraphProto.node 1, .initializer 5, .input 11,
.output 12; NodeProto.input 1, .output 2, .op_type 4; TensorProto.name 8; ValueInfoProto.name 1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

_GRAPH, _NODE, _INITIALIZER, _INPUT, _OUTPUT = 7, 1, 5, 11, 12
_NODE_INPUT, _NODE_OUTPUT, _NODE_TYPE, _TENSOR_NAME, _VALUE_NAME = 1, 2, 4, 8, 1

Field = tuple[int, bytes, bytes]
"""Number, the whole field, its content."""


def with_inputs(model: bytes, names: Sequence[str]) -> bytes:
    """The model with a graph that asks for the inputs ``names`` only.

    Some files list the names of their weights as inputs, though nodes of their own compute them.
    """
    wanted = {name.encode() for name in names}

    def kept(graph: list[Field]) -> list[bytes]:
        return [whole for number, whole, content in graph if number != _INPUT or _texts(content, _VALUE_NAME) <= wanted]

    return _with_graph(model, kept)


def with_outputs(model: bytes, names: Sequence[str]) -> bytes:
    """The model with a graph that gives ``names``, tensors anywhere in it, and computes nothing else.

    onnxruntime would compute all the rest too. Nodes must come in the order of their work, as ONNX asks.
    Raises ValueError for a tensor that no node gives.
    """

    def kept(graph: list[Field]) -> list[bytes]:
        needed = {name.encode() for name in names}
        missing = needed - {name for number, _, content in graph if number == _NODE for name in _outputs(content)}
        if missing:
            raise ValueError(f"the graph has no tensor {sorted(missing)[0].decode()}")
        nodes = []
        for number, whole, content in reversed(graph):
            if number == _NODE and needed & _outputs(content):
                nodes.append(whole)
                needed.update(_texts(content, _NODE_INPUT))
        rest = [
            whole
            for number, whole, content in graph
            if number not in (_NODE, _OUTPUT) and (number != _INITIALIZER or _texts(content, _TENSOR_NAME) <= needed)
        ]
        return [*nodes[::-1], *rest, *(_field(_OUTPUT, _field(_VALUE_NAME, name.encode())) for name in names)]

    return _with_graph(model, kept)


def with_plain_activations(model: bytes) -> bytes:
    """The model with each PRelu, for which onnxruntime has no fast code, as the same of operators for which it has.

    PRelu(x) = r + slope * (x - r) with r = Relu(x), exactly; slopes are (channels, 1, 1).
    """

    def changed(graph: list[Field]) -> list[bytes]:
        parts = []
        for number, whole, content in graph:
            inner = list(fields(content)) if number == _NODE else []
            if (_NODE_TYPE, b"PRelu") not in [(one, text) for one, _, text in inner]:
                parts.append(whole)
                continue
            x, slope = (text for one, _, text in inner if one == _NODE_INPUT)
            (y,) = _outputs(content)
            above, below, part = y + b"/above", y + b"/below", y + b"/part"
            parts += [
                _node(b"Relu", [x], above),
                _node(b"Sub", [x, above], below),
                _node(b"Mul", [below, slope], part),
                _node(b"Add", [above, part], y),
            ]
        return parts

    return _with_graph(model, changed)


def _node(kind: bytes, inputs: Sequence[bytes], output: bytes) -> bytes:
    given = b"".join(_field(_NODE_INPUT, name) for name in inputs)
    return _field(_NODE, given + _field(_NODE_OUTPUT, output) + _field(_NODE_TYPE, kind))


def _with_graph(model: bytes, change: Callable[[list[Field]], list[bytes]]) -> bytes:
    parts = []
    for number, whole, content in fields(model):
        parts.append(_field(_GRAPH, b"".join(change(list(fields(content))))) if number == _GRAPH else whole)
    return b"".join(parts)


def _outputs(node: bytes) -> set[bytes]:
    return _texts(node, _NODE_OUTPUT)


def _texts(message: bytes, wanted: int) -> set[bytes]:
    return {content for number, _, content in fields(message) if number == wanted}


def fields(message: bytes) -> Iterator[Field]:
    """(number, the whole field, its content) of each field of a protocol buffers message."""
    at = 0
    while at < len(message):
        begin = at
        key, at = _number(message, at)
        kind = key & 7
        if kind == 2:
            length, at = _number(message, at)
            end = at + length
        elif kind == 0:
            end = _number(message, at)[1]
        else:
            end = at + (8 if kind == 1 else 4)
        yield key >> 3, message[begin:end], message[at:end]
        at = end


def _field(number: int, content: bytes) -> bytes:
    """A field of the wire type for texts and messages."""
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _number(data: bytes, at: int) -> tuple[int, int]:
    """A variable-length integer at ``at``, and where it ends."""
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value, at


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 127:
        encoded.append(value & 127 | 128)
        value >>= 7
    return bytes([*encoded, value])
