"""The sidecar of weights: what must be known to use them, readable without loading a network.

Weights are three files of one stem in one folder. The `.onnx` file is what a CPU computes with. The `.keras` file is
what a GPU computes with and what training starts from. The `.json` file, the sidecar, holds the label order, the
preprocessing, the crop geometry, the architecture, the temperature, and the SHA-256 of the other two.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fervid.emotions.architecture import Architecture, array_shapes
from fervid.errors import BadWeights, ConfigError
from fervid.faces.crop import SIZE, CropGeometry
from fervid.runtime.weights import FOLDER, read_weights
from fervid.settings_io import from_mapping
from fervid.types import EMOTIONS

SHIPPED = FOLDER / "fer2013.onnx"
"""The weights that fervid ships."""

NORMALIZATION = "per-image"

EXPORT_COMMAND = "python -m fervid.training.onnx_export"
"""The command that makes the `.onnx` file of weights that have none."""


@dataclass(frozen=True)
class Sidecar:
    """What must be known about weights to use them.

    Attributes:
        weights_sha256: SHA-256 of the `.keras` file, which names the weights.
        architecture: The shape of the network.
        geometry: How a face is cut from a frame.
        temperature: Divisor of the logits that calibrates the probabilities (Guo et al., 2017).
        onnx_sha256: SHA-256 of the `.onnx` file; empty if none was made yet.
        emotions: The classes in the order of the logits.
        input_size: Side of a crop in pixels.
        normalization: How a crop is normalised.
        format: Version of the sidecar's format.
        training: How the weights were trained.
    """

    weights_sha256: str
    architecture: Architecture
    geometry: CropGeometry
    temperature: float
    onnx_sha256: str = ""
    emotions: tuple[str, ...] = EMOTIONS
    input_size: int = SIZE
    normalization: str = NORMALIZATION
    format: int = 1
    training: dict[str, Any] = field(default_factory=dict)


def sidecar_path(weights: Path) -> Path:
    """Name the sidecar of weights.

    Args:
        weights: Any file of the weights.

    Returns:
        The path of the sidecar, whether it exists or not.
    """
    return weights.with_suffix(".json")


def keras_path(weights: Path) -> Path:
    """Name the `.keras` file of weights.

    Args:
        weights: Any file of the weights.

    Returns:
        The path of the `.keras` file, whether it exists or not.
    """
    return weights.with_suffix(".keras")


def onnx_path(weights: Path) -> Path:
    """Name the `.onnx` file of weights.

    Args:
        weights: Any file of the weights.

    Returns:
        The path of the `.onnx` file, whether it exists or not.
    """
    return weights.with_suffix(".onnx")


def read_sidecar(weights: Path) -> Sidecar:
    """Read the sidecar of weights. The weights themselves are not read.

    Args:
        weights: The weights, named by their `.onnx` or `.keras` file, which must exist.

    Returns:
        The sidecar.

    Raises:
        BadWeights: The file or its sidecar is missing, or this version of fervid cannot use what the sidecar describes.
    """
    if weights.suffix not in (".onnx", ".keras"):
        raise BadWeights(f"{weights}: a weights file ends in .onnx or .keras")
    if not weights.is_file():
        raise BadWeights(f"no such weights file: {weights}")
    path = sidecar_path(weights)
    if not path.is_file():
        raise BadWeights(f"{weights} has no sidecar; expected {path}")
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        sidecar = from_mapping(Sidecar, values, str(path))
    except OSError as error:
        raise BadWeights(f"cannot read {path}: {error.strerror}") from error
    except (ConfigError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise BadWeights(f"{path} is not a sidecar of fervid: {error}") from error
    supported = (1, EMOTIONS, SIZE, NORMALIZATION)
    if (sidecar.format, sidecar.emotions, sidecar.input_size, sidecar.normalization) != supported:
        raise BadWeights(f"{path} describes weights that this version of fervid cannot use")
    if not 0.05 <= sidecar.temperature <= 20:
        raise BadWeights(f"{path}: temperature {sidecar.temperature} is out of range")
    return sidecar


def read_onnx(weights: Path, sidecar: Sidecar) -> bytes:
    """Read the `.onnx` file of weights.

    Args:
        weights: The weights, named by their `.onnx` or `.keras` file.
        sidecar: Their sidecar.

    Returns:
        The file's content, whose SHA-256 is the one in the sidecar.

    Raises:
        BadWeights: The file is missing or does not match the sidecar.
    """
    path = onnx_path(weights)
    if not (sidecar.onnx_sha256 and path.is_file()):
        missing = f"{path} is missing" if sidecar.onnx_sha256 else f"{sidecar_path(weights)} names no .onnx file"
        raise BadWeights(f"{missing}; make it with: {EXPORT_COMMAND} {keras_path(weights)}")
    return read_checked(path, sidecar.onnx_sha256, sidecar.architecture)


def read_checked(path: Path, sha256: str, architecture: Architecture) -> bytes:
    """Read a file of weights and check its size and its hash.

    Args:
        path: The file.
        sha256: The SHA-256 that it must have.
        architecture: The network that it holds, which limits its size.

    Returns:
        The file's content.

    Raises:
        BadWeights: The file cannot be read, is too large, or has another hash.
    """
    if not path.is_file():
        raise BadWeights(f"no such weights file: {path}")
    if path.stat().st_size > size_limit(architecture):
        raise BadWeights(f"{path} is too large for the network that its sidecar describes")
    data = read_weights(path)
    if hashlib.sha256(data).hexdigest() != sha256:
        raise BadWeights(f"{path} does not match the SHA-256 in its sidecar; one of the two was changed")
    return data


def size_limit(architecture: Architecture) -> int:
    """Compute the largest size that a file of a network's weights can reasonably have.

    Args:
        architecture: The network's settings.

    Returns:
        The size in bytes.
    """
    numbers = sum(math.prod(shape) for shapes in array_shapes(architecture).values() for shape in shapes)
    return 4 * numbers + 2**24


def mismatch(path: Path, error: Exception) -> BadWeights:
    """Make the error for a weights file that holds another network than its sidecar describes.

    Args:
        path: The weights file.
        error: What was wrong with its content.

    Returns:
        The error to raise.
    """
    reason = (str(error).splitlines() or [""])[0]
    return BadWeights(f"{path} does not hold the network that its sidecar describes: {reason}")
