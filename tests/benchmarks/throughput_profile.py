"""Where the time of one analysis goes: a fresh process that scans and scores one video by itself.

A timer interrupts the process a thousand times a second; the time since the last interruption goes to the stage
whose function is running, which the innermost frame of fervid's on the stack tells by its file. The interpreter
handles the interruption when the library that is computing returns, so that a long computation is counted in full,
and nothing is slowed by being traced. What comes before the first of these functions, all importing and all loading
of weights is start-up; the classifier is imported first, lest it load beside the scan, as it otherwise would.

    python -m tests.benchmarks.throughput_profile CLIP [--fps 5] [--adaptive]
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import tempfile
import time
from collections import defaultdict
from collections.abc import Generator, Iterable
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fervid.batch.engines.base import Outcome
    from fervid.batch.tasks import ScanJob, ScanTask

INTERVAL = 0.001

STAGES = (
    *("decode", "convert", "detect", "track", "crop", "cuts", "persons", "scan loop", "classify", "finish"),
    *("batch", "start-up", "other"),
)

FILES = {
    "faces/detectors": "detect",
    "faces/opencv_detectors": "detect",
    "faces/retinaface": "detect",
    "faces/retinaface_gate": "detect",
    "faces/roi_detector": "detect",
    "faces/boxes": "detect",
    "faces/tracking": "track",
    "faces/appearance": "track",
    "faces/alignment": "track",
    "faces/embedding": "persons",
    "faces/identity": "persons",
    "faces/crop": "crop",
    "faces/quality": "crop",
    "files/scratch": "crop",
    "video/shots": "cuts",
    "video/sampling": "scan loop",
    "scan": "scan loop",
    "emotions": "classify",
    "runtime": "start-up",
    "results": "finish",
    "timeline": "finish",
    "files": "batch",
    "batch": "batch",
    "video": "decode",
}
"""Stage of a module of fervid's, or of a package. ``video/reader`` does three things; its functions tell them apart."""

LOADING = {"create_detector", "describe_detector", "load_embedder", "describe_embedder", "select_device", "load"}
LOADING |= {"_create_batcher", "read_sidecar", "read_layers", "fold", "to_onnx"}
"""Functions that read weights or make a library ready."""

CONVERTING = ("convert", "upright", "image", "gray", "luma", "colour")


def stage_of(frame: FrameType | None) -> str:
    """The stage that a stack is in."""
    found = ""
    while frame is not None:
        code = frame.f_code
        if code.co_filename.startswith("<frozen importlib"):
            return "start-up"
        path = Path(code.co_filename)
        if "fervid" in path.parts:
            if code.co_name in LOADING:
                return "start-up"
            module = "/".join(path.with_suffix("").parts[path.parts.index("fervid") + 1 :])
            found = found or stage_of_module(module, code.co_name)
        frame = frame.f_back
    return found or "other"


def stage_of_module(module: str, function: str = "") -> str:
    """The stage of a module, such as ``faces/crop``, and of one of its functions."""
    if module == "video/reader":
        if "thumbnail" in function:
            return "cuts"
        return "convert" if any(word in function for word in CONVERTING) else "decode"
    return FILES.get(module) or FILES.get(module.split("/")[0], "other")


class Sampler:
    """Time by stage of the main thread, from its beginning to its end: ``seconds`` of wall time, and ``processor``
    time of all threads, which holds where others use the machine too."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self.processor: defaultdict[str, float] = defaultdict(float)
        self._last = (time.perf_counter(), time.process_time())
        self._taking = False

    def __enter__(self) -> Sampler:
        self._last = (time.perf_counter(), time.process_time())
        signal.signal(signal.SIGALRM, self._take)
        signal.siginterrupt(signal.SIGALRM, False)
        signal.setitimer(signal.ITIMER_REAL, INTERVAL, INTERVAL)
        return self

    def __exit__(self, *_: object) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)

    def _take(self, number: int, frame: FrameType | None) -> None:
        if self._taking:  # the next interruption has come during this function, and would count the same time again
            return
        self._taking = True
        wall, used = self._last
        self._last = (time.perf_counter(), time.process_time())
        stage = stage_of(frame)
        self.seconds[stage] += self._last[0] - wall
        self.processor[stage] += self._last[1] - used
        self._taking = False


class Inline:
    """An engine without workers: this process does each task itself."""

    def run(self, tasks: Iterable[ScanTask], job: ScanJob) -> Generator[Outcome, None, None]:
        """See Engine.run."""
        from fervid.batch.worker import scan_undivided

        for task in tasks:
            yield task, scan_undivided(task, job)


def age() -> float:
    """Seconds since the system started this process."""
    ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
    return time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")


def profile(clip: Path, fps: float, adaptive: bool = False) -> dict[str, dict[str, float]]:
    """Wall and processor seconds by stage of analysing ``clip``, from here on."""
    with tempfile.TemporaryDirectory() as folder, Sampler() as sampler:
        import fervid.emotions.classifier  # noqa: F401  at once, as nothing may go on beside what is timed
        from fervid.batch.run import analyze
        from fervid.settings import AnalyzeSettings, RunSettings, ScanSettings

        settings = AnalyzeSettings(ScanSettings(fps=fps, adaptive=adaptive), run=RunSettings(device="cpu"))
        report = analyze([clip], Path(folder) / "r.parquet", settings, engine=Inline())
    assert report.exit_code == 0, report.videos[0].message
    clocks = {"wall": sampler.seconds, "processor": sampler.processor}
    return {clock: {stage: seconds[stage] for stage in STAGES} for clock, seconds in clocks.items()}


def main() -> None:
    """Print the seconds by stage as JSON."""
    before = {"wall": age(), "processor": time.process_time()}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clip", type=Path)
    parser.add_argument("--fps", type=float, default=5.0)
    parser.add_argument("--adaptive", action="store_true")
    arguments = parser.parse_args()
    found = profile(arguments.clip, arguments.fps, arguments.adaptive)
    for clock, seconds in before.items():
        found[clock]["start-up"] += seconds
    print(json.dumps(found))


if __name__ == "__main__":
    main()
