"""The emotion CNN on a CPU: its Keras weights as an ONNX graph for onnxruntime.

The same numbers as Keras gives to about 1e-5 of a logit, in two thirds of its processor time, without the seconds and
the memory that importing TensorFlow takes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt

from fervid.emotions.architecture import Architecture
from fervid.faces.crop import SIZE
from fervid.runtime.onnx_graph import model, node, prelu, tensor
from fervid.runtime.onnx_session import open_session
from fervid.types import FloatArray

AT_ONCE = 4
"""So many crops one core computes at a time, so that what layers hand on stays in its cache."""


class OnnxNetwork:
    """Crops → logits, on ``threads`` cores. ``layers``: arrays as ``folding.fold`` gives them.

    A crop's logits are the same, bit for bit, whatever else is in the batch.
    """

    def __init__(self, layers: Mapping[str, list[npt.NDArray[Any]]], architecture: Architecture, threads: int) -> None:
        self._session = open_session(to_onnx(layers, architecture))  # cores share out crops, not a crop's channels
        self._threads = threads
        self._pool = ThreadPoolExecutor(threads, "onnx") if threads > 1 else None

    def predict_on_batch(self, inputs: FloatArray) -> FloatArray:
        """Normalised crops (n, 48, 48, 1) float32 → raw logits (n, 7) float32."""
        pictures = np.ascontiguousarray(inputs, np.float32).reshape(len(inputs), 1, *inputs.shape[1:3])
        step = min(AT_ONCE, -(-len(pictures) // self._threads))
        parts = [pictures[at : at + step] for at in range(0, len(pictures), step)]
        run = map if self._pool is None or len(parts) == 1 else self._pool.map
        return np.concatenate(list(run(self._logits, parts)))

    def _logits(self, pictures: FloatArray) -> FloatArray:
        (found,) = self._session.run(None, {"crops": pictures})
        return np.asarray(found, np.float32).reshape(len(pictures), -1)


def to_onnx(layers: Mapping[str, list[npt.NDArray[Any]]], architecture: Architecture) -> bytes:
    """An ONNX model from ``crops`` (n, 1, 48, 48) to ``logits`` (n, 7, 1, 1)."""
    graph = _Graph(layers)
    x = graph.enlarged("crops", architecture.enlarge) if architecture.enlarge else "crops"
    x = graph.separable(x, architecture) if architecture.family == "separable" else graph.residual(x, architecture)
    kernel, bias = layers["emotion"]
    x = graph.add("GlobalAveragePool", [x], "pool")
    # as a convolution: a product of matrices takes another path, to other last bits, for a single row
    x = graph.convolved(x, "logits", kernel.T[:, :, None, None], bias)
    return model(graph.nodes, graph.tensors, ("crops", (None, 1, SIZE, SIZE)), (x, (None, kernel.shape[1], 1, 1)))


class _Graph:
    """Nodes and tensors, one after another. Methods return the name of what they add."""

    def __init__(self, layers: Mapping[str, list[npt.NDArray[Any]]]) -> None:
        self._layers = layers
        self.nodes: list[bytes] = []
        self.tensors: list[bytes] = []

    def add(self, kind: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        self.nodes.append(node(kind, inputs, output, **attributes))
        return output

    def constant(self, name: str, values: npt.NDArray[Any]) -> str:
        self.tensors.append(tensor(name, values))
        return name

    def enlarged(self, x: str, side: int) -> str:
        factors = self.constant("enlarge_by", np.array([1, 1, side / SIZE, side / SIZE], np.float32))
        return self.add(
            "Resize", [x, "", factors], "enlarge", mode="linear", coordinate_transformation_mode="half_pixel"
        )

    def convolved(
        self,
        x: str,
        name: str,
        kernel: npt.NDArray[Any],
        bias: npt.NDArray[Any] | None = None,
        stride: int = 1,
        by_depth: bool = False,
    ) -> str:
        """``kernel``: (channels out, channels in, rows, columns); ``by_depth``: (channels, 1, rows, columns)."""
        given = [x, self.constant(f"{name}_kernel", kernel)]
        if bias is not None:
            given.append(self.constant(f"{name}_bias", bias))
        side = kernel.shape[2]
        shape = {"kernel_shape": [side, side], "strides": [stride, stride], "pads": [side // 2] * 4}
        return self.add("Conv", given, name, group=len(kernel) if by_depth else 1, **shape)

    def convolution(self, x: str, name: str, stride: int = 1) -> str:
        kernel, bias = self._layers[f"{name}_conv"]
        by_depth = "depthwise" in name
        return self.convolved(
            x, name, kernel.transpose((2, 3, 0, 1) if by_depth else (3, 2, 0, 1)), bias, stride, by_depth
        )

    def prelu(self, x: str, name: str) -> str:
        nodes, tensors = prelu(x, f"{name}_prelu", self._layers[f"{name}_prelu"][0])
        self.nodes += nodes
        self.tensors += tensors
        return f"{name}_prelu"

    def separable(self, x: str, architecture: Architecture) -> str:
        x = self.prelu(self.convolution(x, "stem"), "stem")
        for stage, pairs in enumerate(architecture.pairs, 1):
            for pair in range(pairs):
                depthwise, pointwise = (f"stage{stage}_{pair}_{kind}" for kind in ("depthwise", "pointwise"))
                stride = 2 if stage > 1 and pair == 0 else 1
                x = self.prelu(self.convolution(x, depthwise, stride), depthwise)
                x = self.prelu(self.convolution(x, pointwise), pointwise)
        return x

    def residual(self, x: str, architecture: Architecture) -> str:
        x = self.add("Relu", [self.convolution(x, "stem")], "stem_relu")
        for stage, pairs in enumerate(architecture.pairs, 1):
            x = self.add("MaxPool", [x], f"stage{stage}_pool", kernel_shape=[2, 2], strides=[2, 2])
            for pair in range(pairs):
                x = self._pair(x, f"stage{stage}_{pair}")
        return x

    def _pair(self, x: str, name: str) -> str:
        shortcut = self.convolution(x, f"{name}_shortcut") if f"{name}_shortcut_conv" in self._layers else x
        x = self.add("Relu", [self.convolution(x, f"{name}_a")], f"{name}_a_relu")
        x = self.add("Add", [self.convolution(x, f"{name}_b"), shortcut], f"{name}_add")
        return self.add("Relu", [x], f"{name}_relu")
