"""The emotion CNN in use: crops → calibrated probabilities, on a CPU by onnxruntime, on a GPU by Keras."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from fervid.emotions.onnx_network import OnnxNetwork
from fervid.emotions.sidecar import SHIPPED, Sidecar, read_sidecar
from fervid.emotions.weights import fold, read_layers
from fervid.errors import DeviceMemoryError
from fervid.faces.crop import normalize
from fervid.runtime.machine import usable_cores
from fervid.settings import Device
from fervid.types import EMOTIONS, ByteArray, DoubleArray, FloatArray

GPU_DRIVERS = ("/proc/driver/nvidia", "/dev/nvidiactl", "/dev/dxg", "/dev/kfd")
"""Where a system has a driver that TensorFlow may use (NVIDIA's, the same under Windows, AMD's)."""

_MEMORY_ERRORS = {"ResourceExhaustedError", "OutOfMemoryError", "MemoryError"}
"""What TensorFlow, PyTorch and Python call it."""


class Network(Protocol):
    """What computes: Keras or onnxruntime."""

    def predict_on_batch(self, inputs: FloatArray) -> Any:
        """Normalised crops (n, 48, 48, 1) float32 → raw logits (n, 7)."""
        ...


@dataclass(frozen=True, eq=False)
class EmotionClassifier:
    """Loaded weights with their sidecar. ``device``: ``cpu`` or ``gpu``."""

    network: Network
    sidecar: Sidecar
    device: str = "cpu"

    def logits(self, crops: ByteArray) -> FloatArray:
        """Crops (n, 48, 48) uint8 → raw logits (n, 7) float32; raises DeviceMemoryError.

        On a CPU a crop's logits are the same, bit for bit, whatever else is in the batch.
        """
        if not len(crops):
            return np.zeros((0, len(EMOTIONS)), np.float32)
        try:
            return np.asarray(self.network.predict_on_batch(normalize(crops)), np.float32)
        except Exception as error:
            if type(error).__name__ in _MEMORY_ERRORS or "RESOURCE_EXHAUSTED" in str(error):
                raise DeviceMemoryError(f"the device's memory does not hold {len(crops)} faces at once") from error
            raise

    def probabilities(self, crops: ByteArray) -> FloatArray:
        """Crops (n, 48, 48) uint8 → calibrated probabilities (n, 7) float32, rows summing to 1."""
        return softmax(self.logits(crops), self.sidecar.temperature).astype(np.float32)


def softmax(logits: FloatArray | DoubleArray, temperature: float = 1.0) -> DoubleArray:
    """Row-wise softmax of ``logits / temperature``, float64."""
    scaled = np.asarray(logits, np.float64) / temperature
    scaled = np.exp(scaled - scaled.max(axis=-1, keepdims=True))
    return np.asarray(scaled / scaled.sum(axis=-1, keepdims=True))


def load_classifier(path: Path | None = None, device: Device = "auto") -> EmotionClassifier:
    """Load weights, those that fervid ships where ``path`` is None, for a ``device``: ``auto`` takes a GPU where there
    is one. Raises BadWeights, and UsageError where ``gpu`` is asked for and none is usable."""
    path = path or SHIPPED
    sidecar = read_sidecar(path)
    layers = fold(read_layers(path, sidecar.architecture))
    if device == "gpu" or (device == "auto" and may_have_gpu()):
        from fervid.emotions.keras_io import network_on_gpu  # Keras, which takes seconds to import

        network = network_on_gpu(layers, sidecar.architecture, required=device == "gpu")
        if network is not None:
            return EmotionClassifier(network, sidecar, "gpu")
    return EmotionClassifier(OnnxNetwork(layers, sidecar.architecture, usable_cores()), sidecar)


def may_have_gpu() -> bool:
    """Whether this machine has a GPU's driver, so that it is worth asking TensorFlow."""
    return any(Path(place).exists() for place in GPU_DRIVERS)
