"""The settings of an analysis, as frozen dataclasses that check their values."""

from __future__ import annotations

import dataclasses
import functools
import numbers
import os
import re
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from fervid.errors import ConfigError

Device = Literal["auto", "cpu", "gpu"]
DecoderName = Literal["cpu", "nvdec"]
DetectorName = Literal["retinaface", "centerface", "yunet"]
Smoother = Literal["adaptive", "gaussian"]
LockKind = Literal["system", "soft"]
EngineName = Literal["local", "ray"]


def check(condition: bool, message: str) -> None:
    """Refuse a setting unless a condition holds.

    Args:
        condition: What must be true.
        message: The text of the error. It names the setting in backticks.

    Raises:
        ConfigError: The condition is false.
    """
    if not condition:
        raise ConfigError(message)


_TYPES = {float: "a number", int: "a whole number", bool: "true or false", str: "text"}


def convert(kind: Any, value: Any, where: str) -> Any:
    """Check that a value has the type of a setting.

    An integer is accepted as a float, a number of NumPy as a number, a path object as text, and a list as a tuple.

    Args:
        kind: The type of the setting.
        value: The value.
        where: Names the setting; it begins the text of an error.

    Returns:
        The value as a plain Python value, which JSON can hold.

    Raises:
        ConfigError: The value has another type, or is not one of the choices.
    """
    origin, choices = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in choices:
            return None
        (kind,) = (choice for choice in choices if choice is not type(None))
        return convert(kind, value, where)
    if origin is Literal:
        if not isinstance(value, str) or value not in choices:
            raise ConfigError(f"{where} must be one of {', '.join(map(str, choices))}, not {_shown(value)}")
        return choices[choices.index(value)]
    if origin is dict:
        if not isinstance(value, Mapping):
            raise ConfigError(f"{where} must be a table, not {_shown(value)}")
        return dict(value)
    if origin in (tuple, list):
        if not isinstance(value, (list, tuple)):
            raise ConfigError(f"{where} must be a list, not {_shown(value)}")
        return origin(convert(choices[0], item, where) for item in value)
    converted = _converted(kind, value)
    if converted is None:
        raise ConfigError(f"{where} must be {_TYPES.get(kind, f'of type {kind.__name__}')}, not {_shown(value)}")
    return converted


def _converted(kind: type, value: Any) -> Any:
    """The value as an instance of a class, or None if its type does not fit."""
    is_bool = isinstance(value, (bool, np.bool_))
    if kind is bool:
        return bool(value) if is_bool else None
    if kind is int:
        return int(value) if isinstance(value, numbers.Integral) and not is_bool else None
    if kind is float:
        try:
            return float(value) if isinstance(value, numbers.Real) and not is_bool else None
        except OverflowError:
            return None
    if kind is str:
        return str(value) if isinstance(value, str) else os.fsdecode(value) if isinstance(value, os.PathLike) else None
    return value if isinstance(value, kind) else None


def _shown(value: Any) -> str:
    """The value on one line."""
    text = " ".join(repr(value).split())
    return text if len(text) <= 200 else f"{text[:200]}..."


@functools.cache
def _field_types(cls: type) -> dict[str, Any]:
    return typing.get_type_hints(cls)


def convert_fields(settings: Any) -> None:
    """Check the types of all fields of a new settings object, and convert them to plain Python values.

    Args:
        settings: An instance of a frozen dataclass, in its ``__post_init__``.

    Raises:
        ConfigError: A value has the wrong type, or is not one of the choices.
    """
    cls: Any = type(settings)
    for field in dataclasses.fields(cls):
        kind = _field_types(cls)[field.name]
        value = getattr(settings, field.name)
        converted = convert(kind, value, f"`{field.name}`")
        if type(value) is not int:  # an integer stays one, so that metadata record it as it was given
            object.__setattr__(settings, field.name, converted)


@dataclass(frozen=True)
class OpenOptions:
    """How a video file is opened. These are settings of ScanSettings, where they are checked and described.

    Whatever reads the pictures of a video again, such as annotated videos and thumbnails, needs the same options.
    """

    decoder: DecoderName = "cpu"
    stream: int | None = None
    fps_in: float | None = None
    rotate: int = 0

    @classmethod
    def of(cls, metadata: Mapping[str, Any]) -> OpenOptions:
        """Find the options with which the videos of results were opened.

        Args:
            metadata: The metadata of the results; empty if they have none.

        Returns:
            The options. The decoder is the CPU, which opens every video that a GPU opens.
        """
        scan = metadata.get("settings", {}).get("scan", {})
        names = {field.name for field in dataclasses.fields(cls)} - {"decoder"}
        return cls(**{name: scan[name] for name in names & scan.keys()})


@dataclass(frozen=True)
class ScanSettings:
    """How a video becomes face tracks and crops.

    Times are in seconds. Sizes are in pixels of the frame as shown.
    """

    fps: float = 5.0
    """Frames analysed per second of video; 0 analyses every frame."""
    decoder: DecoderName = "cpu"
    """Where videos are decoded. nvdec uses an NVIDIA GPU; a video that it cannot decode is decoded on the CPU, and the
    manifest says so."""
    stream: int | None = None
    """Number of the video stream that is analysed, as ffprobe counts all streams of a file, from 0. None takes the
    default video stream that is not a still picture."""
    fps_in: float | None = None
    """Images per second of image sequences: inputs such as ``frame_%05d.png``. If it is set, numbered images in folders
    are sequences too. It is also the frame rate of bare streams that state none, such as ``.mjpeg``. It has no effect
    on other videos."""
    start: float = 0.0
    """Time at which the analysis starts, in seconds."""
    end: float | None = None
    """Time at which the analysis stops, in seconds; None analyses to the end."""
    rotate: int = 0
    """Degrees by which every frame is turned clockwise, beyond the rotation that the file states: 0, 90, 180 or 270."""
    min_face: float = 20.0
    """Faces whose shorter box side is below this number of pixels are ignored."""
    detector: DetectorName = "retinaface"
    """Face detector."""
    detector_weights: str | None = None
    """Path of the detector's weights; None uses those that its package installs."""
    score_threshold: float = 0.65
    """Detections with a lower score are ignored; between 0 and 1."""
    long_side: int = 640
    """Frames are shrunk to this long side, in pixels, before detection. They are never enlarged."""
    adaptive: bool = False
    """Run RetinaFace only on regions that may hold a face: around known faces and where the image changed. The whole
    frame is searched every few seconds and in case of doubt. This is faster for steady cameras."""
    follow_faces: bool = False
    """Detect faces ten times a second only, and in the frames between two detections take each face to move evenly from
    one to the other, as far as the images agree. Where they do not, faces are detected in every frame. This matters
    above ten samples per second."""
    seek_samples: bool = False
    """Where samples are so far apart that it pays, seek to each of them instead of decoding all frames between. Cuts
    between them are then not known, so each sample begins a shot, and only embeddings tell that two of them show one
    person."""
    gate: bool = True
    """Run the part of RetinaFace that finds small faces only where a quick test on its input says that one may be.
    False runs it everywhere. This is slower, and gave the same faces wherever both were compared."""
    measures: bool = True
    """Find the mesh of each face, and measure head, eyes, mouth and gaze by it. False leaves these columns empty, and
    rates the quality of a face without them."""
    mesh: bool = False
    """Also keep all points of each mesh, in the file ``results.mesh.parquet``."""
    max_gap: float = 1.0
    """A track ends when its face is not seen for longer than this, in seconds."""
    min_track: float = 0.4
    """Shorter tracks are dropped, in seconds. A track also needs three samples if the sampling rate allows them."""

    def __post_init__(self) -> None:
        convert_fields(self)
        check(0 <= self.fps <= 1000, f"`fps` must be between 0 and 1000, not {self.fps}")
        rate = self.fps_in is None or 0.001 <= self.fps_in <= 1000
        check(rate, f"`fps_in` must be between 0.001 and 1000, not {self.fps_in}")
        check(self.stream is None or self.stream >= 0, f"`stream` must not be negative: {self.stream}")
        check(self.start >= 0, f"`start` must not be negative: {self.start}")
        later = self.end is None or self.end > self.start
        check(later, f"`end` ({self.end}) must be later than `start` ({self.start})")
        check(self.rotate in (0, 90, 180, 270), f"`rotate` must be 0, 90, 180 or 270, not {self.rotate}")
        check(self.min_face >= 0, f"`min_face` must not be negative: {self.min_face}")
        check(0 < self.score_threshold < 1, f"`score_threshold` must be between 0 and 1: {self.score_threshold}")
        check(64 <= self.long_side <= 4096, f"`long_side` must be between 64 and 4096: {self.long_side}")
        check(self.measures or not self.mesh, "`mesh` needs `measures`")
        check(self.max_gap > 0, f"`max_gap` must be positive: {self.max_gap}")
        check(self.min_track >= 0, f"`min_track` must not be negative: {self.min_track}")

    @property
    def open_options(self) -> OpenOptions:
        """How the files are opened."""
        return OpenOptions(**{field.name: getattr(self, field.name) for field in dataclasses.fields(OpenOptions)})


@dataclass(frozen=True)
class TimelineSettings:
    """How the probabilities of a face become a smoothed timeline and episodes. Times are in seconds."""

    smooth: float = 1.5
    """Width of the centred smoothing window in seconds, twice the standard deviation of its Gaussian; 0 turns smoothing
    off."""
    smoother: Smoother = "adaptive"
    """adaptive shortens the window where the expression changes; gaussian uses the same window everywhere."""
    max_gap: float = 1.0
    """Samples further apart than this do not influence each other."""
    min_episode: float = 0.3
    """Shortest episode, and width of the window in which raw values count as evidence of an episode."""
    onset: float = 0.4
    """Evidence at which an episode starts. Evidence is a mixture of smoothed and raw probability, between 0 and 1."""
    offset: float = 0.3
    """Evidence below which an episode ends."""

    def __post_init__(self) -> None:
        convert_fields(self)
        check(0 <= self.smooth <= 60, f"`smooth` must be between 0 and 60 seconds: {self.smooth}")
        check(self.max_gap > 0, f"`max_gap` must be positive: {self.max_gap}")
        check(self.min_episode >= 0, f"`min_episode` must not be negative: {self.min_episode}")
        check(
            0 < self.offset <= self.onset < 1,
            f"`offset` ({self.offset}) must be above 0 and at most `onset` ({self.onset}), which must be below 1",
        )


@dataclass(frozen=True)
class InputSettings:
    """Which of the videos in the input folders are analysed."""

    exclude: tuple[str, ...] = ()
    """Skip files whose name, relative to their input folder, matches one of these patterns, such as ``*_proxy.mp4`` or
    ``raw/*``."""
    follow_links: bool = False
    """Follow symbolic links that point outside the input folder."""
    settle: float = 0.0
    """Skip files modified within this number of seconds, because they may still be growing. The next run takes them."""
    shard: str = ""
    """``i/n`` analyses the i-th of n parts of the videos, with i from 1 to n. A video's name decides its part."""

    def __post_init__(self) -> None:
        convert_fields(self)
        check(self.settle >= 0, f"`settle` must not be negative: {self.settle}")
        check(not self.shard or self.part is not None, f"`shard` must be i/n with 1 <= i <= n, not {self.shard!r}")

    @property
    def part(self) -> tuple[int, int] | None:
        """``shard`` as the numbers (i, n); None if it is empty or not valid."""
        match = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", self.shard)
        if not match:
            return None
        number, count = int(match[1]), int(match[2])
        return (number, count) if 1 <= number <= count else None


@dataclass(frozen=True)
class RunSettings:
    """How a batch runs. None of these settings changes a result."""

    engine: EngineName = "local"
    """Where videos are scanned: local uses processes on this machine, ray the nodes of a Ray cluster."""
    address: str = "auto"
    """The Ray cluster: ``host:port`` of its head, ``auto`` for the cluster that RAY_ADDRESS names or that this machine
    belongs to, ``local`` to start one on this machine."""
    device: Device = "auto"
    """Where faces are classified; auto uses a GPU if TensorFlow finds one."""
    workers: int = 0
    """Number of scan processes; 0 starts one per usable core."""
    batch_size: int = 256
    """Number of faces classified at once."""
    timeout: float = 0.0
    """Longest time that the scan of one video may take, in seconds; 0 sets no limit."""
    model: str | None = None
    """Path of the weights of the emotion network, with their sidecar beside them; None uses those that fervid ships."""
    worker_memory: float = 0.0
    """Memory that one scan process may use, in gigabytes; 0 divides the machine's memory equally, at least 2 each."""
    retry_failed: bool = False
    """Analyse videos again that failed in an earlier run."""
    overwrite: bool = False
    """Recompute everything, even if the output was made with other settings or weights."""
    lock: LockKind = "system"
    """How the output is locked: system uses the locks of the file system, soft a file, for file systems without."""

    def __post_init__(self) -> None:
        convert_fields(self)
        check(0 <= self.worker_memory < 1e6, f"`worker_memory` must be between 0 and 1000000: {self.worker_memory}")
        check(0 <= self.workers <= 1024, f"`workers` must be between 0 and 1024: {self.workers}")
        check(1 <= self.batch_size <= 65536, f"`batch_size` must be between 1 and 65536: {self.batch_size}")
        check(self.timeout >= 0, f"`timeout` must not be negative: {self.timeout}")


@dataclass(frozen=True)
class AnalyzeSettings:
    """All settings of an analysis.

    Attributes:
        scan: How videos become face tracks.
        timeline: How probabilities become timelines and episodes.
        inputs: Which videos are analysed.
        run: How the batch runs.
    """

    scan: ScanSettings = ScanSettings()
    timeline: TimelineSettings = TimelineSettings()
    inputs: InputSettings = InputSettings()
    run: RunSettings = RunSettings()

    def __post_init__(self) -> None:
        convert_fields(self)
