"""The emotion CNN: architecture, weights file, sidecar.

Weights are a `.keras` archive in half precision; beside it lies a JSON sidecar of the same stem. The
network is always rebuilt from the sidecar's numbers and only arrays are read from the archive, so a
weights file can carry no code.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sys
import tempfile
import warnings
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fervid.config import Device, to_mapping
from fervid.crop import CropGeometry, normalize
from fervid.errors import BadWeights, DeviceMemoryError, UsageError, writing
from fervid.sidecar import SHIPPED, Architecture, Sidecar, read_sidecar, sha256, sidecar_path
from fervid.types import EMOTIONS, ByteArray, DoubleArray, FloatArray


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Keep what C++ libraries print while they load off the user's terminal."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.stderr.flush()
    kept = os.dup(2)
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


with _silence():
    import keras
    from keras import layers

logging.getLogger("tensorflow").setLevel(logging.ERROR)  # it warns of what a second batch in one process costs

VOTES = (*EMOTIONS, "contempt")
"""Classes of the auxiliary head that learns the annotators' votes (FER+) in training."""


class FusedBatchNormalization(layers.BatchNormalization):  # type: ignore[misc]
    """Batch normalisation of (n, c, h, w) by PyTorch's own kernel, for training on Keras' PyTorch backend.

    Keras composes it there from separate operations, which makes training 3 times slower on a CPU.
    """

    def call(self, x: Any, training: bool | None = None, mask: Any = None) -> Any:
        """Normalise by the batch's statistics where ``training``, else as Keras does."""
        if not training:
            return super().call(x, training=training, mask=mask)
        import torch

        return torch.nn.functional.batch_norm(
            x.contiguous(memory_format=torch.channels_last),
            self.moving_mean.value,
            self.moving_variance.value,
            self.gamma.value,
            self.beta.value,
            training=True,
            momentum=1 - self.momentum,
            eps=self.epsilon,
        )


@dataclass(frozen=True)
class _Builder:
    """The blocks of the network, in one dtype and one order of axes."""

    dtype: str
    channels_first: bool

    @property
    def axes(self) -> dict[str, Any]:
        return {"data_format": "channels_first" if self.channels_first else "channels_last", "dtype": self.dtype}

    def convolution(self, x: Any, width: int, kernel: int, name: str) -> Any:
        x = layers.Conv2D(
            width,
            kernel,
            padding="same",
            use_bias=False,
            kernel_initializer="he_normal",
            name=f"{name}_conv",
            **self.axes,
        )(x)
        if self.channels_first:
            return FusedBatchNormalization(axis=1, dtype=self.dtype, name=f"{name}_bn")(x)
        return layers.BatchNormalization(axis=-1, dtype=self.dtype, name=f"{name}_bn")(x)

    def residual_pair(self, x: Any, width: int, name: str) -> Any:
        channels = x.shape[1 if self.channels_first else -1]
        shortcut = x if channels == width else self.convolution(x, width, 1, f"{name}_shortcut")
        x = self.convolution(x, width, 3, f"{name}_a")
        x = layers.ReLU(dtype=self.dtype, name=f"{name}_a_relu")(x)
        x = self.convolution(x, width, 3, f"{name}_b")
        x = layers.Add(dtype=self.dtype, name=f"{name}_add")([x, shortcut])
        return layers.ReLU(dtype=self.dtype, name=f"{name}_relu")(x)


def build(
    architecture: Architecture,
    votes: bool = False,
    dtype: str = "float32",
    seed: int | None = None,
    training: bool = False,
) -> Any:
    """A Keras model from (n, h, w, 1) normalised crops to (n, 7) float32 logits.

    With ``votes`` it returns a dict of ``emotion`` (n, 7) and ``votes`` (n, 8) logits, for training.
    ``dtype`` is a Keras dtype policy such as ``mixed_bfloat16``. Any h and w of at least 16 fit.
    ``training`` lays the axes out as the backend trains fastest; the weights are the same.
    """
    block = _Builder(dtype, channels_first=training and keras.backend.backend() == "torch")
    inputs = x = keras.Input((None, None, 1), name="crop")
    if block.channels_first:
        x = layers.Permute((3, 1, 2), dtype=dtype, name="channels_first")(x)
    x = block.convolution(x, architecture.widths[0], 3, "stem")
    x = layers.ReLU(dtype=dtype, name="stem_relu")(x)
    for stage, (width, pairs) in enumerate(zip(architecture.widths[1:], architecture.pairs, strict=True), 1):
        x = layers.MaxPooling2D(2, name=f"stage{stage}_pool", **block.axes)(x)
        for pair in range(pairs):
            x = block.residual_pair(x, width, f"stage{stage}_{pair}")
    x = layers.GlobalAveragePooling2D(name="pool", **block.axes)(x)
    x = layers.Dropout(architecture.dropout, seed=seed, dtype=dtype, name="dropout")(x)
    half = dtype if dtype == "float16" else "float32"
    outputs = layers.Dense(len(EMOTIONS), dtype=half, name="emotion")(x)
    if votes:
        outputs = {"emotion": outputs, "votes": layers.Dense(len(VOTES), dtype=half, name="votes")(x)}
    return keras.Model(inputs, outputs, name="fervid")


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


_MEMORY_ERRORS = {"ResourceExhaustedError", "OutOfMemoryError", "MemoryError"}
"""What TensorFlow, PyTorch and Python call it."""


@dataclass(frozen=True, eq=False)
class EmotionModel:
    """Loaded weights with their sidecar."""

    network: Any
    sidecar: Sidecar

    def logits(self, crops: ByteArray) -> FloatArray:
        """Crops (n, 48, 48) uint8 → raw logits (n, 7) float32; raises DeviceMemoryError.

        On a CPU a crop's logits are the same, bit for bit, whatever else is in the batch.
        """
        inputs = normalize(crops)
        if len(inputs) == 1:  # a product of a matrix and a single row takes another path, and other last bits
            inputs = np.repeat(inputs, 2, axis=0)
        try:
            return np.asarray(self.network.predict_on_batch(inputs), dtype=np.float32)[: len(crops)]
        except Exception as error:
            if type(error).__name__ in _MEMORY_ERRORS or "RESOURCE_EXHAUSTED" in str(error):
                raise DeviceMemoryError(f"the device's memory does not hold {len(crops)} faces at once") from error
            raise

    def probabilities(self, crops: ByteArray) -> FloatArray:
        """Crops (n, 48, 48) uint8 → calibrated probabilities (n, 7) float32, rows summing to 1."""
        return softmax(self.logits(crops), self.sidecar.temperature).astype(np.float32)


def softmax(logits: FloatArray, temperature: float = 1.0) -> DoubleArray:
    """Row-wise softmax of ``logits / temperature``, float64."""
    scaled = np.asarray(logits, np.float64) / temperature
    scaled = np.exp(scaled - scaled.max(axis=-1, keepdims=True))
    return np.asarray(scaled / scaled.sum(axis=-1, keepdims=True))


def select_device(device: Device) -> None:
    """Let the TensorFlow backend use a GPU (``gpu``), none (``cpu``) or what is there (``auto``).

    Must come before the first tensor. Raises UsageError where ``gpu`` is asked for and none is usable.
    """
    if keras.backend.backend() != "tensorflow":
        return
    with _silence():
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
    with _silence():
        import tensorflow as tf

        found = tf.config.list_physical_devices()
        names = {device.name: tf.config.experimental.get_device_details(device).get("device_name") for device in found}
    return [" ".join(filter(None, (name.removeprefix("/physical_device:"), text))) for name, text in names.items()]


def load(path: Path | None = None) -> EmotionModel:
    """Load weights (those that fervid ships where ``path`` is None); raises BadWeights."""
    path = path or SHIPPED
    sidecar = read_sidecar(path)
    network = build(sidecar.architecture)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)  # Keras warns where it would leave a layer untrained
            network.load_weights(path)
    except (OSError, ValueError, KeyError, UserWarning, zipfile.BadZipFile) as error:
        reason = str(error).splitlines()[0]
        raise BadWeights(f"{path} does not hold the network that its sidecar describes: {reason}") from error
    return EmotionModel(network, sidecar)
