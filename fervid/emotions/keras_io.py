"""The emotion CNN's weights as Keras has them: saving, loading to train on, and the network on a GPU.

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
from pathlib import Path
from typing import Any

import numpy as np

from fervid.emotions.architecture import Architecture
from fervid.emotions.keras_network import backend, build, folded, silence
from fervid.emotions.sidecar import Sidecar, read_sidecar, sidecar_path
from fervid.emotions.weights import Arrays
from fervid.errors import BadWeights, UsageError
from fervid.faces.crop import CropGeometry
from fervid.files.atomic import writing
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


def network_on_gpu(layers: Arrays, architecture: Architecture, required: bool) -> Any | None:
    """The network of these arrays, which ``folding.fold`` gives, on the backend's GPU; None where it finds none.

    Must come before the first tensor. Backends but TensorFlow choose their own device, and are used where a GPU is
    ``required``. Raises UsageError where it is and TensorFlow can use none.
    """
    if backend() != "tensorflow":
        return folded(layers, architecture) if required else None
    with silence():
        import tensorflow as tf

        found = tf.config.list_physical_devices("GPU")
    if not found:
        if required:
            raise UsageError("no GPU that TensorFlow can use; pip install 'fervid[gpu]', or choose --device cpu")
        return None
    for gpu in found:
        tf.config.experimental.set_memory_growth(gpu, True)
    return folded(layers, architecture)


def devices() -> list[str]:
    """What TensorFlow could compute on, such as ``CPU`` and ``GPU:0 NVIDIA H100``."""
    with silence():
        import tensorflow as tf

        found = tf.config.list_physical_devices()
        names = {device.name: tf.config.experimental.get_device_details(device).get("device_name") for device in found}
    return [" ".join(filter(None, (name.removeprefix("/physical_device:"), text))) for name, text in names.items()]


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
