"""The small values that travel between stages."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

import numpy as np
import numpy.typing as npt

EMOTIONS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
"""The seven classes in FER2013's own order; every probability column and axis uses it."""

FloatArray = npt.NDArray[np.float32]
DoubleArray = npt.NDArray[np.float64]
ByteArray = npt.NDArray[np.uint8]

Box = tuple[float, float, float, float]
"""x, y, width and height in pixels of the frame as shown. A box may extend beyond the frame."""


@dataclass(frozen=True)
class VideoInfo:
    """What a container says about its first video stream.

    ``width`` and ``height`` are those of the picture as shown: rotation and sample aspect ratio applied.
    ``rotation`` is in degrees clockwise. ``duration`` is in seconds, None where the container is silent.
    """

    width: int
    height: int
    rotation: int
    codec: str
    duration: float | None
    sample_aspect_ratio: float = 1.0


@dataclass(eq=False)
class Frame:
    """One decoded frame.

    ``index``: 0-based position in decode (presentation) order. ``time``: presentation time in seconds on
    the player's clock. ``sampled``: whether the sampling grid takes it. ``thumbnail``: (h, w) uint8, a
    small gray picture for cut detection. ``image`` converts the picture, as shown, on first use.
    """

    index: int
    time: float
    sampled: bool
    thumbnail: ByteArray
    convert: Callable[[], ByteArray] = field(repr=False)

    @cached_property
    def image(self) -> ByteArray:
        """The picture as shown: (height, width, 3) uint8, blue-green-red."""
        return self.convert()


@dataclass(frozen=True)
class Face:
    """One detected face, in pixels of the picture as shown; the box may reach over its border."""

    x: float
    y: float
    width: float
    height: float
    score: float
    landmarks: tuple[tuple[float, float], ...] = ()
    """Right eye, left eye, nose, right and left mouth corner (the person's right), as (x, y)."""

    @property
    def box(self) -> Box:
        """(x, y, width, height)."""
        return (self.x, self.y, self.width, self.height)


class Crops(Protocol):
    """Crops (n, 48, 48) uint8: an array, or something that reads the rows of a slice when asked."""

    def __len__(self) -> int: ...

    def __getitem__(self, rows: slice, /) -> ByteArray: ...


@dataclass(eq=False)
class Track:
    """One face followed through time.

    ``frames`` (n,) int64, ``times`` (n,) float64 seconds, ``boxes`` (n, 4) float32 x, y, width, height,
    ``scores`` (n,) float32, ``qualities`` (n,) float32 in [0, 1], ``crops`` (n, 48, 48) uint8. ``person``:
    shared by the tracks of one person within the video, None where unknown.
    """

    face_id: int
    frames: npt.NDArray[np.int64]
    times: DoubleArray
    boxes: FloatArray
    scores: FloatArray
    qualities: FloatArray
    crops: Crops
    person: int | None = None


@dataclass(frozen=True)
class Progress:
    """One step of a long job, as told to an ``on_progress`` callback.

    ``step`` names the job, such as ``analyze`` or ``annotate``. ``done`` and ``total`` count ``unit`` (videos, seconds,
    images, epochs); ``total`` is None where it is unknown. ``message`` is a sentence for a person, None where there is
    nothing to say. ``outcome`` is what the step ended with, such as the VideoReport of a video; None otherwise.
    """

    step: str
    done: float
    total: float | None
    unit: str
    message: str | None = None
    outcome: object = None

    def __str__(self) -> str:
        count = f"{self.done:g}" if self.total is None else f"{self.done:g} of {self.total:g}"
        return f"{self.step}: {count} {self.unit}{f': {self.message}' if self.message else ''}"


ProgressCallback = Callable[[Progress], object]
"""What a caller passes as ``on_progress``."""


def ignore_progress(progress: Progress) -> None:
    """The ``on_progress`` of a caller who does not want to hear."""
