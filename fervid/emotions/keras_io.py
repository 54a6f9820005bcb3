"""The emotion network's weights with Keras: saving them, loading them to train on, and computing on a GPU.

A `.keras` file holds the arrays in half precision. The network is always built from the sidecar's numbers, so a weights
file cannot carry code.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from fervid.emotions.architecture import Architecture
from fervid.emotions.keras_file import read_arrays
from fervid.emotions.keras_network import KerasNetwork, backend, build, silence
from fervid.emotions.sidecar import Sidecar, read_sidecar, sidecar_path
from fervid.errors import BadWeights, UsageError
from fervid.faces.crop import CropGeometry
from fervid.files.atomic import atomic_path, temporary_files_beside, write_text_atomically, writing
from fervid.files.fingerprint import sha256
from fervid.settings_io import to_mapping


def save(
    model: Any,
    path: Path,
    architecture: Architecture,
    geometry: CropGeometry,
    temperature: float = 1.0,
    training: dict[str, Any] | None = None,
) -> Sidecar:
    """Write a `.keras` file in half precision and its sidecar, which names no `.onnx` file yet.

    Layers that inference does not need, such as the votes head, are left out.

    Args:
        model: The Keras model.
        path: The `.keras` file to write.
        architecture: The network's settings.
        geometry: How a face is cut from a frame.
        temperature: Divisor of the logits.
        training: How the weights were trained.

    Returns:
        The sidecar.

    Raises:
        BadWeights: ``path`` does not end in .keras.
        OutputError: The files cannot be written.
    """
    if path.suffix != ".keras":
        raise BadWeights(f"{path}: the file to write must end in .keras")
    half = build(architecture, dtype="float16")
    for layer in half.layers:
        layer.set_weights([np.asarray(w, np.float32) for w in model.get_layer(layer.name).get_weights()])
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as partial, temporary_files_beside(partial):
        half.save(partial)
    sidecar = Sidecar(sha256(path), architecture, geometry, temperature, training=training or {})
    write_sidecar(sidecar, path)
    return sidecar


def write_sidecar(sidecar: Sidecar, weights: Path) -> None:
    """Write the sidecar of weights.

    Args:
        sidecar: What to write.
        weights: The weights, named by any of their files.

    Raises:
        OutputError: The file cannot be written.
    """
    write_text_atomically(sidecar_path(weights), json.dumps(to_mapping(sidecar), indent=2) + "\n")


def load_network(path: Path) -> tuple[Sidecar, Any]:
    """Load weights as a Keras model, with batch normalisation, as they were trained.

    Args:
        path: The weights, named by their `.keras` or `.onnx` file. The `.keras` file is read.

    Returns:
        The sidecar and the model.

    Raises:
        BadWeights: A file is missing or does not fit the other.
    """
    sidecar = read_sidecar(path)
    return sidecar, _filled(path, sidecar)


def _filled(path: Path, sidecar: Sidecar) -> Any:
    """The model with the arrays of the `.keras` file."""
    arrays = read_arrays(path, sidecar)
    model = build(sidecar.architecture)
    for layer in model.layers:
        layer.set_weights(arrays.get(layer.name, []))
    return model


def network_on_gpu(path: Path, sidecar: Sidecar, required: bool) -> KerasNetwork | None:
    """Load weights on the GPU of Keras' backend.

    It must run before TensorFlow makes its first tensor. Backends other than TensorFlow choose their own device and are
    used only if a GPU is required.

    Args:
        path: The weights, named by their `.keras` or `.onnx` file. The `.keras` file is read.
        sidecar: Their sidecar.
        required: Whether a missing GPU is an error.

    Returns:
        The network; None if there is no GPU and none is required.

    Raises:
        BadWeights: The `.keras` file is missing or does not fit the sidecar.
        UsageError: A GPU is required and TensorFlow can use none.
    """
    if backend() != "tensorflow":
        return KerasNetwork(_filled(path, sidecar)) if required else None
    with silence():
        import tensorflow as tf

        found = tf.config.list_physical_devices("GPU")
    if not found:
        if required:
            raise UsageError("TensorFlow finds no GPU; pip install 'fervid[gpu]', or set `device` to cpu")
        return None
    for gpu in found:
        tf.config.experimental.set_memory_growth(gpu, True)
    return KerasNetwork(_filled(path, sidecar))


def devices() -> list[str]:
    """List what TensorFlow can compute on.

    Returns:
        One text for each device, such as ``CPU`` or ``GPU:0 NVIDIA H100``.
    """
    with silence():
        import tensorflow as tf

        found = tf.config.list_physical_devices()
        names = {device.name: tf.config.experimental.get_device_details(device).get("device_name") for device in found}
    return [" ".join(filter(None, (name.removeprefix("/physical_device:"), text))) for name, text in names.items()]
