"""Time by stage of one analysis. A fresh process scans and classifies one video by itself.

A timer interrupts the process a thousand times per second. The time since the last interrupt is attributed to the stage
of the innermost function of fervid on the stack, found by its file. Python handles the interrupt when a running library
call returns, so long computations are counted in full, and nothing is slowed down by tracing. But a part of the short
work between two long calls is counted to the later one: "decode", with a call of a millisecond or two for each frame,
is too large by about a tenth. Time before the first such function, all imports and all loading of weights count as
start-up. The classifier is imported first, because it would otherwise load in parallel with the scan.

    python -m tests.benchmarks.throughput_profile CLIP [--fps 5] [--adaptive] [--follow-faces] [--no-measures]
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
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fervid.batch.engines.base import Outcome
    from fervid.batch.tasks import ScanJob, ScanTask

INTERVAL = 0.001
"""Seconds between two interrupts."""

STAGES = (
    *("decode", "convert", "detect", "track", "crop", "measure", "cuts", "persons", "scan loop", "classify"),
    *("finish", "batch", "start-up", "other"),
)

FILES = {
    "faces/detectors": "detect",
    "faces/opencv_detectors": "detect",
    "faces/retinaface": "detect",
    "faces/retinaface_gate": "detect",
    "faces/roi_detector": "detect",
    "faces/boxes": "detect",
    "faces/following": "detect",
    "faces/array_checks": "detect",
    "faces/turned_faces": "detect",
    "faces/close_up": "detect",
    "faces/roll": "crop",
    "faces/tracking": "track",
    "faces/tracklets": "track",
    "faces/linking": "track",
    "faces/appearance": "track",
    "faces/alignment": "track",
    "faces/embedding": "persons",
    "faces/identity": "persons",
    "faces/self_check": "persons",
    "faces/static_faces": "persons",
    "faces/crop": "crop",
    "faces/detect_and_crop": "crop",
    "faces/quality": "crop",
    "faces/mesh": "measure",
    "faces/measures": "measure",
    "faces/pose": "measure",
    "faces/covered": "measure",
    "files/scratch": "crop",
    "video/shots": "cuts",
    "video/sampling": "scan loop",
    "scan/turned_looks": "detect",
    "scan/detection_grid": "detect",
    "scan/between_samples": "detect",
    "scan/records": "batch",
    "video/picture": "convert",
    "scan": "scan loop",
    "emotions": "classify",
    "runtime": "start-up",
    "results": "finish",
    "timeline": "finish",
    "files": "batch",
    "batch": "batch",
    "video": "decode",
}
"""Stage of each module or package of fervid. ``video/reader`` has three stages, distinguished by function name."""

LOADING = {
    *("create_detector", "describe_detector", "FaceEmbedder", "describe_embedder"),
    *("load_classifier", "load_onnx", "network_on_gpu", "read_sidecar"),
}
"""Functions that read weights or initialise a library."""

CONVERTING = ("convert", "upright", "image", "gray", "luma", "colour")
"""Parts of the names of functions in ``video/reader`` that convert frames."""


def stage_of(frame: FrameType | None) -> str:
    """The stage of a stack."""
    found = ""
    while frame is not None:
        code = frame.f_code
        if code.co_filename.startswith("<frozen importlib"):
            return "start-up"
        path = Path(code.co_filename)
        if "fervid" in path.parts:
            if code.co_name in LOADING:
                return "start-up"
            inside = path.parts[::-1].index("fervid")  # the last one, because the folder of a clone has that name too
            module = path.with_suffix("").parts[-inside:]
            if module[0] != "tests":
                found = found or stage_of_module("/".join(module), code.co_name)
        frame = frame.f_back
    return found or "other"


def stage_of_module(module: str, function: str = "") -> str:
    """The stage of a function in a module such as ``faces/crop``."""
    if module in ("video/reader", "video/picture"):
        if "thumbnail" in function:
            return "cuts"
        return "convert" if any(word in function for word in CONVERTING) else "decode"
    return FILES.get(module) or FILES.get(module.split("/")[0], "other")


class Sampler:
    """Measures the time by stage of the main thread, in a ``with`` block.

    ``seconds``: wall time. ``processor``: processor time of all threads, which other users of the machine hardly
    change.
    """

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
        if self._taking:  # an interrupt during this function would count the same time twice
            return
        self._taking = True
        wall, used = self._last
        self._last = (time.perf_counter(), time.process_time())
        stage = stage_of(frame)
        self.seconds[stage] += self._last[0] - wall
        self.processor[stage] += self._last[1] - used
        self._taking = False


class Inline:
    """An engine without workers: tasks run in this process."""

    def run(self, tasks: Iterable[ScanTask], job: ScanJob) -> Generator[Outcome, None, None]:
        """See Engine.run."""
        from fervid.batch.worker import scan_undivided

        for task in tasks:
            yield task, scan_undivided(task, job)


def age() -> float:
    """Seconds since this process was started."""
    ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
    return time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")


def profile(clip: Path, **options: Any) -> dict[str, dict[str, float]]:
    """Analyse ``clip`` with settings of a scan; return wall and processor seconds by stage."""
    with tempfile.TemporaryDirectory() as folder, Sampler() as sampler:
        import fervid.emotions.classifier  # noqa: F401  loaded now, so that nothing runs in parallel
        from fervid.batch.run import analyze
        from fervid.settings import AnalyzeSettings, RunSettings, ScanSettings

        settings = AnalyzeSettings(ScanSettings(**options), run=RunSettings(device="cpu"))
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
    parser.add_argument("--follow-faces", action="store_true")
    parser.add_argument("--no-measures", action="store_false", dest="measures")
    options = vars(parser.parse_args())
    found = profile(options.pop("clip"), **options)
    for clock, seconds in before.items():
        found[clock]["start-up"] += seconds
    print(json.dumps(found))


if __name__ == "__main__":
    main()
