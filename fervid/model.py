"""The emotion CNN's weights: file, sidecar, loading and what they say of crops.

Weights are a `.keras` archive in half precision; beside it lies a JSON sidecar of the same stem. The
network is always rebuilt from the sidecar's numbers and only arrays are read from the archive, so a
weights file can carry no code.
"""

from __future__ import annotations

import json
import os
import tempfile
import warnings
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fervid.config import Device, to_mapping
from fervid.crop import CropGeometry, normalize
from fervid.errors import BadWeights, DeviceMemoryError, UsageError, writing
from fervid.network import backend, build, folded, silence
from fervid.sidecar import SHIPPED, Architecture, Sidecar, read_sidecar, sha256, sidecar_path
from fervid.types import EMOTIONS, ByteArray, DoubleArray, FloatArray


def save(
    model: Any,
    path: Path,
    architecture: Architecture,
    geometry: CropGeometry,
    temperature: float = 1.0,
    training: dict[str, Any] | None = None,
) -> Sidecar:
    """Write weights (half precision) and sidecar, each under its name only when complete.

    Layers that inference does not need, such as the votes head, are left out. Raises OutputError.
    """
    twin = build(architecture, dtype="float16")
    for layer in twin.layers:
        layer.set_weights([np.asarray(w, np.float32) for w in model.get_layer(layer.name).get_weights()])
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".fervid-") as folder:
            weights, sidecar_file = Path(folder) / "weights.keras", Path(folder) / "weights.json"
            twin.save(weights)
            sidecar = Sidecar(sha256(weights), architecture, geometry, temperature, training=training or {})
            sidecar_file.write_text(json.dumps(to_mapping(sidecar), indent=2) + "\n", encoding="utf-8")
            os.replace(weights, path)
            os.replace(sidecar_file, sidecar_path(path))
    return sidecar


CROPS_A_CORE = 8
"""So many crops for each core does a CPU compute at a time: with 128 a separable network takes a tenth longer."""

_MEMORY_ERRORS = {"ResourceExhaustedError", "OutOfMemoryError", "MemoryError"}
"""What TensorFlow, PyTorch and Python call it."""


@dataclass(frozen=True, eq=False)
class EmotionModel:
    """Loaded weights with their sidecar."""

    network: Any
    sidecar: Sidecar
    at_once: int | None = None
    """So many crops are computed at a time; None: all that are handed in."""

    def logits(self, crops: ByteArray) -> FloatArray:
        """Crops (n, 48, 48) uint8 → raw logits (n, 7) float32; raises DeviceMemoryError.

        On a CPU a crop's logits are the same, bit for bit, whatever else is in the batch.
        """
        if not len(crops):
            return np.zeros((0, len(EMOTIONS)), np.float32)
        inputs = normalize(crops)
        step = self.at_once or len(inputs) + 1
        if len(inputs) % step == 1 or len(inputs) == 1:
            # a product of a matrix and a single row takes another path, and other last bits
            inputs = np.concatenate([inputs, inputs[-1:]])
        try:
            found = [self.network.predict_on_batch(inputs[at : at + step]) for at in range(0, len(inputs), step)]
            return np.concatenate([np.asarray(part, np.float32) for part in found])[: len(crops)]
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


def select_device(device: Device) -> None:
    """Let the TensorFlow backend use a GPU (``gpu``), none (``cpu``) or what is there (``auto``).

    Must come before the first tensor. Raises UsageError where ``gpu`` is asked for and none is usable.
    """
    if backend() != "tensorflow":
        return
    with silence():
        import tensorflow as tf

        found = tf.config.list_physical_devices("GPU")
    if device == "gpu" and not found:
        raise UsageError("no GPU that TensorFlow can use; pip install 'fervid[gpu]', or choose --device cpu")
    if device == "cpu":
        tf.config.set_visible_devices([], "GPU")
    for gpu in found if device != "cpu" else ():
        tf.config.experimental.set_memory_growth(gpu, True)


def devices() -> list[str]:
    """What TensorFlow could compute on, such as ``CPU`` and ``GPU:0 NVIDIA H100``."""
    with silence():
        import tensorflow as tf

        found = tf.config.list_physical_devices()
        names = {device.name: tf.config.experimental.get_device_details(device).get("device_name") for device in found}
    return [" ".join(filter(None, (name.removeprefix("/physical_device:"), text))) for name, text in names.items()]


def load(path: Path | None = None) -> EmotionModel:
    """Load weights (those that fervid ships where ``path`` is None), batch normalisation folded into the
    convolutions before it; raises BadWeights."""
    sidecar, network = load_network(path or SHIPPED)
    return EmotionModel(folded(network, sidecar.architecture), sidecar, _at_once())


def _at_once() -> int | None:
    """How many crops a CPU computes at a time, so that what layers hand on stays in its cache; None on a GPU."""
    if backend() != "tensorflow":
        return None
    with silence():
        import tensorflow as tf

        on_gpu = bool(tf.config.get_visible_devices("GPU"))
    return None if on_gpu else CROPS_A_CORE * (os.cpu_count() or 1)


def load_network(path: Path) -> tuple[Sidecar, Any]:
    """The sidecar of weights and their network, layer by layer as it was trained; raises BadWeights."""
    sidecar = read_sidecar(path)
    network = build(sidecar.architecture)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)  # Keras warns where it would leave a layer untrained
            network.load_weights(path)
    except (OSError, ValueError, KeyError, UserWarning, zipfile.BadZipFile) as error:
        reason = str(error).splitlines()[0]
        raise BadWeights(f"{path} does not hold the network that its sidecar describes: {reason}") from error
    return sidecar, network
