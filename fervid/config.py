"""Settings: frozen dataclasses, and one reader that turns a mapping or a TOML file into them."""

from __future__ import annotations

import dataclasses
import difflib
import glob
import os
import re
import tomllib
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, TypeVar

from fervid.errors import ConfigError, InputNotFound

T = TypeVar("T")

Device = Literal["auto", "cpu", "gpu"]
DecoderName = Literal["cpu", "nvdec"]
DetectorName = Literal["retinaface", "centerface", "yunet"]
Smoother = Literal["adaptive", "gaussian"]
EngineName = Literal["local", "ray"]


def check(condition: bool, message: str) -> None:
    """Raise ConfigError with ``message`` unless ``condition`` holds."""
    if not condition:
        raise ConfigError(message)


@dataclass(frozen=True)
class ScanSettings:
    """How one video becomes tracks and crops. Times in seconds, sizes in pixels of the shown picture."""

    fps: float = 5.0
    """Sampling rate; 0 takes every frame."""
    decoder: DecoderName = "cpu"
    """Where videos are decoded: nvdec takes an NVIDIA GPU where there is one, and says so where there is not."""
    start: float = 0.0
    end: float | None = None
    min_face: float = 20.0
    """Faces whose shorter box side is below this are ignored."""
    detector: DetectorName = "retinaface"
    detector_weights: str | None = None
    score_threshold: float = 0.65
    long_side: int = 640
    """Frames are shrunk to this long side before detection (never enlarged)."""
    adaptive: bool = False
    """Look for faces only where one may be: where one was, and where the picture has changed; the whole picture every
    few seconds, and where that leaves a doubt (retinaface only)."""
    max_gap: float = 1.0
    """A face unseen for longer than this ends its track."""
    min_track: float = 0.4
    """A track needs evidence for this long (and three samples where the rate allows) to count."""

    def __post_init__(self) -> None:
        check(0 <= self.fps <= 1000, f"fps must lie between 0 and 1000, not {self.fps}")
        check(self.start >= 0, f"start must not be negative: {self.start}")
        check(self.end is None or self.end > self.start, f"end ({self.end}) must be after start ({self.start})")
        check(self.min_face >= 0, f"min-face must not be negative: {self.min_face}")
        check(0 < self.score_threshold < 1, f"score-threshold must lie between 0 and 1: {self.score_threshold}")
        check(64 <= self.long_side <= 4096, f"long-side must lie between 64 and 4096: {self.long_side}")
        check(self.max_gap > 0, f"max-gap must be positive: {self.max_gap}")
        check(self.min_track >= 0, f"min-track must not be negative: {self.min_track}")


@dataclass(frozen=True)
class TimelineSettings:
    """How a face's raw probabilities become a smoothed timeline and episodes. All times in seconds."""

    smooth: float = 1.5
    """Width of the centred smoothing window, twice its Gaussian's standard deviation; 0 leaves the raw values."""
    smoother: Smoother = "adaptive"
    """Whether the window ends where the expression changes, or is the same everywhere."""
    max_gap: float = 1.0
    """Samples further apart than this never influence each other."""
    min_episode: float = 0.3
    """Shortest episode, and width of the window in which raw values count as evidence of one."""
    onset: float = 0.4
    """Evidence, a mixture of smoothed and raw probability, that an episode reaches."""
    offset: float = 0.3
    """Evidence below which it ends."""

    def __post_init__(self) -> None:
        check(0 <= self.smooth <= 60, f"smooth must lie between 0 and 60 seconds: {self.smooth}")
        check(self.max_gap > 0, f"max-gap must be positive: {self.max_gap}")
        check(self.min_episode >= 0, f"min-episode must not be negative: {self.min_episode}")
        check(0 < self.offset <= self.onset < 1, "offset must be above 0 and at most onset, which is below 1")


@dataclass(frozen=True)
class InputSettings:
    """Which of the videos that are found are taken."""

    exclude: tuple[str, ...] = ()
    """Patterns (``*_proxy.mp4``, ``raw/*``) of names, relative to their input folder, to leave out."""
    follow_links: bool = False
    """Take links that lead out of the input folder too."""
    settle: float = 0.0
    """A file changed less than so many seconds ago may still be growing: it is left for the next run."""
    shard: str = ""
    """``i/n``: only the i-th of n parts of the videos, 1 to n, divided by their names."""

    def __post_init__(self) -> None:
        check(self.settle >= 0, f"settle must not be negative: {self.settle}")
        check(not self.shard or self.part is not None, f"shard must read i/n with 1 <= i <= n: {self.shard!r}")

    @property
    def part(self) -> tuple[int, int] | None:
        """``shard`` as numbers."""
        match = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", self.shard)
        if not match:
            return None
        number, count = int(match[1]), int(match[2])
        return (number, count) if 1 <= number <= count else None


@dataclass(frozen=True)
class RunSettings:
    """How a batch is carried out; none of these may change a result."""

    engine: EngineName = "local"
    """Where videos are scanned: in processes on this machine, or on the nodes of a Ray cluster."""
    address: str = "auto"
    """The Ray cluster: `host:port` of its head, `auto` for the one that RAY_ADDRESS names or this machine is a
    node of, `local` to start one on this machine."""
    device: Device = "auto"
    workers: int = 0
    """Scan processes; 0 takes one for each usable core."""
    batch_size: int = 256
    timeout: float = 0.0
    """Seconds one video may take to scan; 0 sets no limit."""
    model: str | None = None
    """Weights (`.keras` with its sidecar); none takes those that fervid ships."""
    worker_memory: float = 0.0
    """Gigabytes that a scan process may use; 0: an equal share of the machine's, at least 2."""
    retry_failed: bool = False
    """Try again what failed in an earlier run."""
    overwrite: bool = False
    """Do everything anew, also where the output was made with other settings or weights."""

    def __post_init__(self) -> None:
        check(0 <= self.worker_memory < 1e6, f"worker-memory must lie between 0 and 1000000: {self.worker_memory}")
        check(0 <= self.workers <= 1024, f"workers must lie between 0 and 1024: {self.workers}")
        check(1 <= self.batch_size <= 65536, f"batch-size must lie between 1 and 65536: {self.batch_size}")
        check(self.timeout >= 0, f"timeout must not be negative: {self.timeout}")


@dataclass(frozen=True)
class AnalyzeSettings:
    """All settings of ``fervid analyze``."""

    scan: ScanSettings = ScanSettings()
    timeline: TimelineSettings = TimelineSettings()
    inputs: InputSettings = InputSettings()
    run: RunSettings = RunSettings()


@dataclass(frozen=True)
class Job:
    """A job file: everything that ``fervid run`` needs. Relative paths start at the file's own folder."""

    paths: tuple[str, ...]
    """Video files, folders or glob patterns."""
    out: str
    """``results.parquet``, ``results.csv`` or a folder; ``%Y``, ``%m``, ``%d`` and the like stand for the date."""
    annotate: str | None = None
    """Folder for annotated videos; dates as in ``out``."""
    report: str | None = None
    """HTML report to write; dates as in ``out``."""
    scan: ScanSettings = ScanSettings()
    timeline: TimelineSettings = TimelineSettings()
    inputs: InputSettings = InputSettings()
    run: RunSettings = RunSettings()

    def __post_init__(self) -> None:
        check(len(self.paths) > 0, "paths must name at least one file, folder or pattern")
        check(all(self.paths), "paths must not hold an empty name")
        check(bool(self.out), "out must name a file or a folder")

    @property
    def settings(self) -> AnalyzeSettings:
        """The settings of the analysis alone."""
        return AnalyzeSettings(self.scan, self.timeline, self.inputs, self.run)


def from_mapping(cls: type[T], values: Mapping[str, Any], where: str = "settings") -> T:
    """Build the settings dataclass ``cls`` from plain values, nested mappings included.

    Keys may be spelt with dashes. Raises ConfigError for an unknown key (naming the nearest known one)
    and for a value of the wrong kind.
    """
    hints = typing.get_type_hints(cls)
    known = {field.name for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    arguments: dict[str, Any] = {}
    for key, value in values.items():
        name = key.replace("-", "_")
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.0)
            raise ConfigError(f"{where}: unknown key {key!r}; did you mean {near[0]!r}?")
        arguments[name] = _convert(hints[name], value, f"{where}: {key}")
    missing = [field.name for field in dataclasses.fields(cls) if field.name not in arguments and _required(field)]  # type: ignore[arg-type]
    if missing:
        raise ConfigError(f"{where}: {', '.join(missing)} must be given")
    return cls(**arguments)


def _required(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _convert(kind: Any, value: Any, where: str) -> Any:
    """``value`` as ``kind``, or ConfigError. Integers pass as floats; nothing else is coerced."""
    if dataclasses.is_dataclass(kind):
        if not isinstance(value, Mapping):
            raise ConfigError(f"{where} must be a table of settings, not {value!r}")
        return from_mapping(typing.cast(type, kind), value, where)
    origin, choices = typing.get_origin(kind), typing.get_args(kind)
    if origin is Literal:
        if value not in choices:
            raise ConfigError(f"{where} must be one of {', '.join(map(str, choices))}, not {value!r}")
        return value
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in choices:
            return None
        (inner,) = (choice for choice in choices if choice is not type(None))
        return _convert(inner, value, where)
    if origin is dict:
        if not isinstance(value, Mapping):
            raise ConfigError(f"{where} must be a table, not {value!r}")
        return dict(value)
    if kind is float and type(value) is int:
        return float(value)
    if origin in (tuple, list):
        if not isinstance(value, (list, tuple)):
            raise ConfigError(f"{where} must be a list, not {value!r}")
        return origin(_convert(choices[0], item, where) for item in value)
    if type(value) is not kind:
        raise ConfigError(f"{where} must be {kind.__name__}, not {value!r}")
    return value


def read_job(path: Path, today: datetime | None = None) -> Job:
    """A job file, its relative paths made absolute and its dates filled in; InputNotFound or ConfigError.

    ``today``: the date that ``%Y`` and the like stand for, the present one where None.
    """
    job = from_mapping(Job, read_toml(path), str(path))
    home, today = path.absolute().parent, today or datetime.now()

    def dated(name: str | None) -> str | None:
        return None if name is None else os.path.normpath(home / today.strftime(name))

    out = dated(job.out)
    assert out is not None
    paths = tuple(_placed(home, name) for name in job.paths)
    run, scan = job.run, job.scan
    if run.model is not None:
        run = dataclasses.replace(run, model=os.path.normpath(home / run.model))
    if scan.detector_weights is not None:
        scan = dataclasses.replace(scan, detector_weights=os.path.normpath(home / scan.detector_weights))
    annotate, report = dated(job.annotate), dated(job.report)
    return dataclasses.replace(job, paths=paths, out=out, annotate=annotate, report=report, run=run, scan=scan)


def _placed(home: Path, name: str) -> str:
    """A path or pattern relative to ``home``, whose own name is no pattern."""
    path = os.path.normpath(home / name)
    if os.path.lexists(path) or os.path.isabs(name) or not glob.has_magic(name):
        return path
    return os.path.normpath(os.path.join(glob.escape(str(home)), name))


def to_mapping(settings: Any) -> dict[str, Any]:
    """The settings dataclass as plain nested dicts, ready for JSON."""
    return dataclasses.asdict(settings)


def read_toml(path: Path) -> dict[str, Any]:
    """The content of a TOML file; InputNotFound or ConfigError where it cannot be read."""
    try:
        with path.open("rb") as file:
            return tomllib.load(file)
    except FileNotFoundError as error:
        raise InputNotFound(f"no such file: {path}") from error
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: {error}") from error
