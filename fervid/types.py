"""Small types that several packages share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

import numpy as np
import numpy.typing as npt

EMOTIONS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
"""The seven emotions in the order of FER2013, which every probability column and axis has."""

MEASURES = ("head_yaw", "head_pitch", "head_roll", "eyes_open", "mouth_open", "smile", "gaze_x", "gaze_y")
"""The measures of a face in the order of their columns; fervid.faces.measures defines them."""

FloatArray = npt.NDArray[np.float32]
DoubleArray = npt.NDArray[np.float64]
HalfArray = npt.NDArray[np.float16]
ByteArray = npt.NDArray[np.uint8]

Box = tuple[float, float, float, float]
"""x, y, width and height in pixels of the frame as shown. A box may extend beyond the frame."""


@dataclass(frozen=True)
class VideoInfo:
    """What a container says about its first video stream.

    Attributes:
        width: Width of a frame as shown, in pixels, with rotation and sample aspect ratio applied.
        height: Height of a frame as shown, in pixels.
        rotation: Degrees clockwise.
        codec: Name of the codec.
        duration: Length in seconds; None if the container does not state it.
        sample_aspect_ratio: Width of a stored pixel divided by its height.
        mirrored: Whether left and right are exchanged, before the rotation.
    """

    width: int
    height: int
    rotation: int
    codec: str
    duration: float | None
    sample_aspect_ratio: float = 1.0
    mirrored: bool = False


@dataclass(frozen=True)
class PictureShape:
    """What turns a stored frame into the image as shown. It may change within a video.

    Attributes:
        stored: Width and height with square pixels, before mirroring and rotation.
        rotation: Degrees clockwise: 0, 90, 180 or 270.
        aspect: Width of a stored pixel divided by its height.
        mirrored: Whether left and right are exchanged, before the rotation.
    """

    stored: tuple[int, int]
    rotation: int = 0
    aspect: float = 1.0
    mirrored: bool = False

    @property
    def shown(self) -> tuple[int, int]:
        """Width and height of the image as shown."""
        width, height = self.stored
        return (height, width) if self.rotation in (90, 270) else (width, height)

    @property
    def layout(self) -> tuple[int, int, int, bool]:
        """Width and height as shown, rotation and mirroring: what must agree for two frames to be compared."""
        return (*self.shown, self.rotation, self.mirrored)


@dataclass(eq=False)
class Frame:
    """One decoded frame.

    Attributes:
        index: 0-based number of the frame, in the order of presentation.
        time: Presentation time in seconds, on the player's clock.
        sampled: Whether the sampling rate selects this frame for analysis.
        thumbnail: (h, w) uint8, a small gray image for the detection of cuts.
        shape: Size and orientation of this frame.
        convert: Makes ``image``.
        skipped: Times in seconds of the frames directly before this one that were not decoded.
        after_seek: Whether the reader passed over these by seeking, so that anything may have happened there.
    """

    index: int
    time: float
    sampled: bool
    thumbnail: ByteArray
    shape: PictureShape
    convert: Callable[[], ByteArray] = field(repr=False)
    skipped: tuple[float, ...] = ()
    after_seek: bool = False

    @cached_property
    def image(self) -> ByteArray:
        """The frame as shown: (height, width, 3) uint8, blue-green-red. It is converted on first use."""
        return self.convert()

    @property
    def width(self) -> int:
        """Width of ``image`` in pixels."""
        return self.shape.shown[0]

    @property
    def height(self) -> int:
        """Height of ``image`` in pixels."""
        return self.shape.shown[1]


@dataclass(frozen=True)
class Face:
    """One detected face, in pixels of the frame as shown. Its box may extend beyond the frame.

    Attributes:
        x: Left edge of the box.
        y: Top edge of the box.
        width: Width of the box.
        height: Height of the box.
        score: Score of the detector, between 0 and 1.
        landmarks: (x, y) of the right eye, the left eye, the nose, the right and the left corner of the mouth. Right
            and left are the person's own. Empty if the detector finds none.
        followed: Whether the box was not detected in this frame, but follows from those detected before and after it.
            The score is then the lower one of these two.
    """

    x: float
    y: float
    width: float
    height: float
    score: float
    landmarks: tuple[tuple[float, float], ...] = ()
    followed: bool = False

    @property
    def box(self) -> Box:
        """(x, y, width, height)."""
        return (self.x, self.y, self.width, self.height)


class Crops(Protocol):
    """Face crops (n, 48, 48) uint8: an array, or an object that reads the rows of a slice from disk."""

    def __len__(self) -> int: ...

    def __getitem__(self, rows: slice, /) -> ByteArray: ...


class Meshes(Protocol):
    """The meshes of a track: reading them gives (n, 1407) float16, see fervid.faces.measures.packed."""

    def __len__(self) -> int: ...

    def __getitem__(self, rows: slice, /) -> HalfArray: ...


@dataclass(eq=False)
class Track:
    """One face over time, within one shot.

    Attributes:
        face_id: Number of the track within its video.
        frames: (n,) int64, frame indices.
        times: (n,) float64, seconds.
        boxes: (n, 4) float32: x, y, width, height in pixels.
        scores: (n,) float32, scores of the detector; NaN where the box was followed.
        qualities: (n,) float32, face quality between 0 and 1.
        crops: (n, 48, 48) uint8, gray.
        person: Number that all tracks of one person in the video share; None if unknown.
        rolls: (n,) float32, degrees clockwise by which the face is turned in the image; NaN where unknown. None if it
            was not measured.
        covered: (n,) float32, how likely it is that something covers the face, 0 to 1. None if it is not known.
        measures: (n, 8) float32 in the order of MEASURES; NaN where there is no mesh, or its part is too small. None if
            faces were not measured.
        meshes: The mesh of each sample; None unless they are kept.
    """

    face_id: int
    frames: npt.NDArray[np.int64]
    times: DoubleArray
    boxes: FloatArray
    scores: FloatArray
    qualities: FloatArray
    crops: Crops
    person: int | None = None
    rolls: FloatArray | None = None
    covered: FloatArray | None = None
    measures: FloatArray | None = None
    meshes: Meshes | None = None


TWO_PEOPLE = "may hold two people"
"""The reason of a doubt whose ``start`` is the moment at which another person may have taken over the face."""


COVERED = "partly covered"
"""The reason of a doubt about a face of which something, such as a hand, covers a part for much of the time."""


@dataclass(frozen=True)
class Doubt:
    """Something that was seen during a scan and speaks against the figures of a face.

    Attributes:
        face_id: The face.
        start: Time in seconds of the first sample that it concerns.
        end: Time in seconds of the last sample that it concerns.
        reason: What it is, such as TWO_PEOPLE or COVERED. Every other reason says that the face may be no person's own
            face.
    """

    face_id: int
    start: float
    end: float
    reason: str


@dataclass(frozen=True)
class Progress:
    """The progress of a long job, as an ``on_progress`` callback gets it. Printing it gives a readable line.

    Example:
        >>> print(fervid.Progress("analyze", 3, 10, "videos"))
        analyze: 3 of 10 videos

    Attributes:
        step: Name of the job, such as ``analyze`` or ``annotate``.
        done: How much is done, in ``unit``.
        total: How much there is to do; None if unknown.
        unit: What is counted: videos, seconds, images or epochs.
        message: A message for the user; None if there is nothing to report.
        outcome: The result of one item, such as the VideoReport of a finished video; None otherwise.
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
"""The type of an ``on_progress`` argument."""


def ignore_progress(progress: Progress) -> None:
    """Do nothing: the default of ``on_progress``.

    Args:
        progress: Ignored.
    """
