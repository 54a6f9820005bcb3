"""The emotion classifier: crops to calibrated probabilities, with onnxruntime on a CPU and with Keras on a GPU."""

from __future__ import annotations

import os
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol

import numpy as np

from fervid.emotions.onnx_graph import check_file
from fervid.emotions.onnx_network import OnnxNetwork
from fervid.emotions.sidecar import (
    SHIPPED,
    Sidecar,
    keras_path,
    mismatch,
    onnx_path,
    read_checked,
    read_onnx,
    read_sidecar,
)
from fervid.errors import BadWeights, DeviceMemoryError
from fervid.faces.array_checks import as_crops
from fervid.faces.crop import normalize
from fervid.runtime.machine import usable_cores
from fervid.runtime.platform import gpu_driver
from fervid.settings import Device, convert
from fervid.types import EMOTIONS, ByteArray, DoubleArray, FloatArray

_MEMORY_ERRORS = {"ResourceExhaustedError", "OutOfMemoryError", "MemoryError"}
"""Names of the errors by which TensorFlow, PyTorch and Python report a lack of memory."""


class Network(Protocol):
    """A network that computes logits, with Keras or with onnxruntime."""

    def logits(self, inputs: FloatArray) -> FloatArray:
        """Compute logits.

        Args:
            inputs: Normalised crops (n, 48, 48, 1) float32; n is at least 1.

        Returns:
            Logits (n, 7) float32, in the order of EMOTIONS.
        """
        ...


@dataclass(frozen=True, eq=False)
class EmotionClassifier:
    """A loaded network with its sidecar.

    Attributes:
        network: The network.
        sidecar: Describes the weights: architecture, preprocessing and temperature.
        device: Where it computes: ``cpu`` or ``gpu``.
    """

    network: Network
    sidecar: Sidecar
    device: str = "cpu"

    def logits(self, crops: ByteArray) -> FloatArray:
        """Compute the logits of crops.

        On a CPU the logits of a crop are the same, bit for bit, whatever else is in the batch.

        Args:
            crops: Gray face crops (n, 48, 48) uint8; n may be 0.

        Returns:
            Logits (n, 7) float32, in the order of EMOTIONS.

        Raises:
            UsageError: ``crops`` has another shape or type.
            DeviceMemoryError: The crops do not fit into the device's memory.
        """
        crops = as_crops(crops)
        if not len(crops):
            return np.zeros((0, len(EMOTIONS)), np.float32)
        try:
            return self.network.logits(normalize(crops))
        except Exception as error:
            if type(error).__name__ in _MEMORY_ERRORS or "RESOURCE_EXHAUSTED" in str(error):
                raise DeviceMemoryError(f"the device's memory does not hold {len(crops)} faces at once") from error
            raise

    def probabilities(self, crops: ByteArray) -> FloatArray:
        """Compute the calibrated probabilities of crops.

        Args:
            crops: Gray face crops (n, 48, 48) uint8; n may be 0.

        Returns:
            Probabilities (n, 7) float32, in the order of EMOTIONS; each row sums to 1.

        Raises:
            UsageError: ``crops`` has another shape or type.
            DeviceMemoryError: The crops do not fit into the device's memory.
        """
        return softmax(self.logits(crops), self.sidecar.temperature).astype(np.float32)


def softmax(logits: FloatArray | DoubleArray, temperature: float = 1.0) -> DoubleArray:
    """Compute the softmax of ``logits / temperature`` along the last axis.

    Args:
        logits: Logits (..., classes).
        temperature: Divisor of the logits.

    Returns:
        Probabilities of the same shape, float64.
    """
    scaled = np.asarray(logits, np.float64) / temperature
    scaled = np.exp(scaled - scaled.max(axis=-1, keepdims=True))
    return np.asarray(scaled / scaled.sum(axis=-1, keepdims=True))


def load_classifier(path: str | os.PathLike[str] | None = None, device: Device = "auto") -> EmotionClassifier:
    """Load an emotion classifier.

    A CPU uses the `.onnx` file of the weights, a GPU their `.keras` file.

    Args:
        path: The weights, named by their `.onnx` or `.keras` file; None uses the shipped ones.
        device: ``cpu``, ``gpu``, or ``auto``, which uses a GPU if there is one and the `.keras` file exists.

    Returns:
        The classifier.

    Raises:
        BadWeights: A file of the weights is missing, damaged, or does not fit the sidecar.
        ConfigError: ``device`` is not one of the choices.
        UsageError: ``device`` is ``gpu`` and TensorFlow can use none.
        MissingLibrary: ``device`` is ``gpu`` and TensorFlow is not installed.
    """
    convert(Device, device, "`device`")
    path = SHIPPED if path is None else Path(path)
    sidecar = read_sidecar(path)
    _require_file_for(device, path)
    if device == "gpu" or (device == "auto" and keras_path(path).is_file() and may_have_gpu()):
        from fervid.emotions.keras_io import network_on_gpu  # imports Keras, which takes seconds

        network = network_on_gpu(path, sidecar, required=device == "gpu")
        if network is not None:
            return EmotionClassifier(network, sidecar, "gpu")
    return EmotionClassifier(load_onnx(path, sidecar), sidecar)


def _require_file_for(device: Device, weights: Path) -> None:
    """Refuse weights without the file that a GPU needs, if a GPU is required; raises BadWeights."""
    if device == "gpu" and not keras_path(weights).is_file():
        raise BadWeights(
            f"a GPU needs the .keras file of the same name beside {weights}, and there is no {keras_path(weights)}"
        )


def load_onnx(path: Path, sidecar: Sidecar, threads: int | None = None) -> OnnxNetwork:
    """Load the network of an `.onnx` file after checking that it holds exactly what the sidecar describes.

    Args:
        path: The weights, named by their `.onnx` or `.keras` file.
        sidecar: Their sidecar.
        threads: Number of cores to use; None uses all usable ones.

    Returns:
        The network.

    Raises:
        BadWeights: The `.onnx` file is missing or does not fit the sidecar.
    """
    graph = read_onnx(path, sidecar)
    try:
        check_file(graph, sidecar.architecture)
    except ValueError as error:
        raise mismatch(onnx_path(path), error) from error
    return OnnxNetwork(graph, threads or usable_cores())


def check_weights(path: Path, device: Device = "auto") -> Sidecar:
    """Check that the weights' files are there and unchanged, without loading the network.

    Args:
        path: The weights, named by their `.onnx` or `.keras` file.
        device: The device that will use them, as for ``load_classifier``.

    Returns:
        The sidecar.

    Raises:
        BadWeights: A file that the device needs is missing or does not fit the sidecar.
    """
    sidecar = read_sidecar(path)
    _require_file_for(device, path)
    may_use_gpu = device == "gpu" or (device == "auto" and keras_path(path).is_file() and may_have_gpu())
    if may_use_gpu:
        read_checked(keras_path(path), sidecar.weights_sha256, sidecar.architecture)
    if not may_use_gpu or (device == "auto" and onnx_path(path).is_file()):
        read_onnx(path, sidecar)
    return sidecar


def may_have_gpu() -> bool:
    """Check whether importing TensorFlow to ask for a GPU is worthwhile.

    Returns:
        Whether this machine has a GPU driver, and TensorFlow is installed.
    """
    return gpu_driver() is not None and find_spec("tensorflow") is not None
