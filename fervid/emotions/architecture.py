"""The shape of the emotion network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from fervid.settings import check
from fervid.types import EMOTIONS


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


Shape = tuple[int, ...]


def layer_shapes(architecture: Architecture) -> dict[str, list[Shape]]:
    """The layers of a network that hold arrays, in the order of their work, and the shapes of these in Keras' order:
    kernels (rows, columns, channels in, channels out), depthwise ones (rows, columns, channels, 1)."""
    shapes: dict[str, list[Shape]] = {}

    def convolution(name: str, kernel: Shape, channels: int) -> None:
        shapes[f"{name}_conv"], shapes[f"{name}_bn"] = [kernel], [(channels,)] * 4
        if architecture.family == "separable":
            shapes[f"{name}_prelu"] = [(channels,)]

    before = architecture.widths[0]
    convolution("stem", (3, 3, 1, before), before)
    for stage, (width, pairs) in enumerate(zip(architecture.widths[1:], architecture.pairs, strict=True), 1):
        for pair in range(pairs):
            name = f"stage{stage}_{pair}"
            if architecture.family == "separable":
                convolution(f"{name}_depthwise", (3, 3, before, 1), before)
                convolution(f"{name}_pointwise", (1, 1, before, width), width)
            else:
                if before != width:
                    convolution(f"{name}_shortcut", (1, 1, before, width), width)
                convolution(f"{name}_a", (3, 3, before, width), width)
                convolution(f"{name}_b", (3, 3, width, width), width)
            before = width
    shapes["emotion"] = [(before, len(EMOTIONS)), (len(EMOTIONS),)]
    return shapes
