"""The sidecar: what must be known about weights to use them, readable without loading a network.

It is a JSON file beside the weights, of the same stem: label order, preprocessing, crop geometry,
architecture, temperature, and the SHA-256 of the weights that it belongs to.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fervid.emotions.architecture import Architecture
from fervid.errors import BadWeights, ConfigError
from fervid.faces.crop import SIZE, CropGeometry
from fervid.files.fingerprint import sha256
from fervid.settings_io import from_mapping
from fervid.types import EMOTIONS

SHIPPED = Path(__file__).parent.parent / "weights" / "fer2013.keras"
"""The weights that fervid ships."""

NORMALIZATION = "per-image"


@dataclass(frozen=True)
class Sidecar:
    """What must be known about weights to use them. ``temperature`` divides the logits (Guo et al., 2017)."""

    weights_sha256: str
    architecture: Architecture
    geometry: CropGeometry
    temperature: float
    emotions: tuple[str, ...] = EMOTIONS
    input_size: int = SIZE
    normalization: str = NORMALIZATION
    format: int = 1
    training: dict[str, Any] = field(default_factory=dict)


def sidecar_path(weights: Path) -> Path:
    """Where the sidecar of a weights file lies: beside it, same stem, `.json`."""
    return weights.with_suffix(".json")


def read_sidecar(weights: Path) -> Sidecar:
    """Read the sidecar of a weights file and check that the two belong together; raises BadWeights."""
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
    except (ConfigError, ValueError, TypeError, AttributeError) as error:
        raise BadWeights(f"{path} is not a sidecar of fervid: {error}") from error
    if (sidecar.format, sidecar.emotions, sidecar.input_size, sidecar.normalization) != (
        1,
        EMOTIONS,
        SIZE,
        NORMALIZATION,
    ):
        raise BadWeights(f"{path} describes weights that this version of fervid cannot use")
    if not 0.05 <= sidecar.temperature <= 20:
        raise BadWeights(f"{path}: temperature {sidecar.temperature} is out of range")
    if sha256(weights) != sidecar.weights_sha256:
        raise BadWeights(f"{weights} does not match the SHA-256 in its sidecar; one of the two was changed")
    return sidecar
