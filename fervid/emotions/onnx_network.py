"""The emotion network on a CPU, computed by onnxruntime."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from fervid.emotions.architecture import INPUT
from fervid.runtime.onnx_session import open_session
from fervid.types import FloatArray

CROPS_PER_CALL = 4
"""Crops that one core computes at a time; more would push the activations out of its cache."""


class OnnxNetwork:
    """The network of an `.onnx` file.

    The logits of a crop are the same, bit for bit, whatever else is in the batch and however many threads compute it.
    """

    def __init__(self, graph: bytes, threads: int) -> None:
        """Load a network.

        Args:
            graph: The content of an `.onnx` file, already checked by ``onnx_graph.check_file``.
            threads: Number of cores to use; the crops of a batch are divided among them.

        Raises:
            BadWeights: onnxruntime refuses the file.
        """
        self._session = open_session(graph)
        self._threads = threads
        self._pool = ThreadPoolExecutor(threads, "onnx") if threads > 1 else None

    def logits(self, inputs: FloatArray) -> FloatArray:
        """Compute logits.

        Args:
            inputs: Normalised crops (n, 48, 48, 1) float32; n is at least 1.

        Returns:
            Logits (n, 7) float32.
        """
        crops = np.ascontiguousarray(inputs, np.float32).reshape(len(inputs), 1, *inputs.shape[1:3])
        step = min(CROPS_PER_CALL, -(-len(crops) // self._threads))
        parts = [crops[start : start + step] for start in range(0, len(crops), step)]
        run = map if self._pool is None or len(parts) == 1 else self._pool.map
        return np.concatenate(list(run(self._compute, parts)))

    def _compute(self, crops: FloatArray) -> FloatArray:
        (found,) = self._session.run(None, {INPUT: crops})
        return np.asarray(found, np.float32).reshape(len(crops), -1)
