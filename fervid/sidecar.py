"""The sidecar: what must be known about weights to use them, readable without loading a network.

It is a JSON file beside the weights, of the same stem: label order, preprocessing, crop geometry,
architecture, temperature, and the SHA-256 of the weights that it belongs to.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from fervid.config import check, from_mapping
from fervid.crop import SIZE, CropGeometry
from fervid.errors import BadWeights, ConfigError
from fervid.types import EMOTIONS

SHIPPED = Path(__file__).parent / "weights" / "fer2013.keras"
"""The weights that fervid ships."""

NORMALIZATION = "per-image"


@dataclass(frozen=True)
class Architecture:
    """A CNN: a 3x3 stem, for each further width a stage, global average pooling, one dense layer; batch
    normalisation after every convolution.

    ``residual``: a stage is a max-pooling and so many pairs of 3x3 convolutions with a shortcut (He et al., 2016).
    ``separable``: a stage is so many depthwise 3x3 and pointwise convolutions with parametric ReLUs (Howard et al.,
    2017, as SFace has them; Zhong et al., 2021), the first with a stride of 2, though not in the first stage.
    """

    widths: tuple[int, ...] = (32, 64, 128, 256)
    pairs: tuple[int, ...] = (1, 1, 1)
    """Pairs of convolutions in each stage."""
    dropout: float = 0.2
    family: Literal["residual", "separable"] = "residual"
    enlarge: int = 0
    """Side in pixels to which a crop is enlarged before the stem; 0: it is left as it is."""

    def __post_init__(self) -> None:
        check(len(self.pairs) == len(self.widths) - 1 >= 1, "architecture: one more of widths than of pairs is needed")
        check(
            all(1 <= n <= 4096 for n in (*self.widths, *self.pairs)), "architecture: widths and pairs must be positive"
        )
        check(0 <= self.dropout < 1, f"architecture: dropout must lie between 0 and 1: {self.dropout}")
        check(
            self.enlarge == 0 or 48 <= self.enlarge <= 224, f"architecture: enlarge to 48 to 224 pixels: {self.enlarge}"
        )


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


def sha256(path: Path) -> str:
    """Hex SHA-256 of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


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
