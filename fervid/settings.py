"""Settings: frozen dataclasses, and one reader that turns a mapping or a TOML file into them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from fervid.errors import ConfigError

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
