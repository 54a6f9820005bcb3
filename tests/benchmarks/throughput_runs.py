"""Measurements of the throughput benchmark: decoding alone, analyses, fresh processes, and their peak memory."""

from __future__ import annotations

import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import av

from fervid.batch.run import analyze
from fervid.settings import AnalyzeSettings, RunSettings, ScanSettings
from fervid.video.reader import SkippingReader
from tests.benchmarks.throughput_clips import Clip
from tests.support.paths import ROOT


def count_frames(path: str) -> int:
    """Decode all frames of the first video stream on one thread."""
    with av.open(path) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        return sum(1 for _ in container.decode(stream))


def count_keyframes(path: str) -> int:
    """Decode only the keyframes of the first video stream on one thread."""
    with av.open(path) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        wanted = (packet for packet in container.demux(stream) if packet.is_keyframe or not packet.size)
        return sum(len(packet.decode()) for packet in wanted)


def read_needed(path: str, fps: float) -> int:
    """Decode the frames that samples need, as a scan does, without looking at them. Return the number of samples."""
    with SkippingReader(path, fps=fps, threads=1) as reader:
        return sum(frame.sampled for frame in reader.frames())


def decoding(path: str) -> float:
    """Processor seconds of decoding alone."""
    started = time.process_time()
    count_frames(path)
    return time.process_time() - started


class Decoders:
    """A pool of processes that decode files, as many as a scan has workers. They run before the clock starts."""

    def __init__(self, pool: ProcessPoolExecutor) -> None:
        self._pool = pool

    @classmethod
    @contextmanager
    def of(cls, count: int, warm: Path) -> Iterator[Decoders]:
        """Start ``count`` processes and let them decode the file ``warm``."""
        with ProcessPoolExecutor(count, multiprocessing.get_context("spawn")) as pool:
            decoders = cls(pool)
            decoders.seconds([Clip(warm, count_frames(str(warm)))] * 4 * count)
            yield decoders

    def seconds(self, clips: Sequence[Clip]) -> float:
        """Wall time of decoding all files."""
        elapsed, counts = self._timed(count_frames, clips)
        assert counts == [clip.frames for clip in clips], f"decoded {counts} frames"
        return elapsed

    def keyframes(self, clips: Sequence[Clip]) -> float:
        """Wall time of decoding the keyframes of all files."""
        elapsed, counts = self._timed(count_keyframes, clips)
        assert all(0 < count < clip.frames for count, clip in zip(counts, clips, strict=True)), f"{counts} keyframes"
        return elapsed

    def needed(self, clips: Sequence[Clip], fps: float) -> float:
        """Wall time of decoding the frames of all files that samples need."""
        elapsed, counts = self._timed(partial(read_needed, fps=fps), clips)
        assert min(counts) > 0
        return elapsed

    def _timed(self, count: Callable[[str], int], clips: Sequence[Clip]) -> tuple[float, list[int]]:
        started = time.perf_counter()
        counts = list(self._pool.map(count, [str(clip.path) for clip in clips]))
        return time.perf_counter() - started, counts


@dataclass(frozen=True)
class Analysis:
    """One call of ``analyze``: wall time, sampled frames and tracks."""

    seconds: float
    sampled: int
    tracks: int


def analysis(clips: Sequence[Clip], folder: Path, scan: ScanSettings, workers: int) -> Analysis:
    """Analyse the clips into a new table on the CPU, with this process and its workers."""
    settings = AnalyzeSettings(scan, run=RunSettings(workers=workers, device="cpu"))
    with tempfile.TemporaryDirectory(dir=folder) as out:
        started = time.perf_counter()
        report = analyze([clip.path for clip in clips], Path(out) / "r.parquet", settings)
        elapsed = time.perf_counter() - started
    bad = [f"{video.video}: {video.message}" for video in report.videos if video.status not in ("ok", "no_face")]
    assert not bad, bad
    videos = report.videos
    return Analysis(elapsed, sum(video.frames_sampled for video in videos), sum(video.faces for video in videos))


@dataclass(frozen=True)
class Times:
    """Medians over rounds in seconds.

    ``decode``: decoding alone. ``keyframes``: decoding only the keyframes. ``needed``: decoding only the frames that
    samples need. ``whole``: the call of ``analyze``. ``fixed``: the same call on the first two seconds of one file for
    each worker.
    """

    decode: float
    keyframes: float
    needed: float
    whole: float
    fixed: float
    video: float
    """Total length of the files in seconds."""
    fixed_video: float
    sampled: int
    tracks: int

    @property
    def net(self) -> float:
        """Time without start-up: the slope between the two lengths, times the length."""
        return (self.whole - self.fixed) * self.video / (self.video - self.fixed_video)


def timed(clips: Sequence[Clip], short: Sequence[Clip], folder: Path, scan: ScanSettings, rounds: int) -> Times:
    """Measure decoding and ``analyze`` in turns on ``clips``. ``short``: one short file per worker."""
    workers = len(short)
    with Decoders.of(workers, short[0].path) as decoders:
        analysis(short, folder, scan, workers)  # loads TensorFlow, the fork server and the disk cache
        decoded, analysed = [], []
        for _ in range(rounds):
            decoded.append((decoders.seconds(clips), decoders.keyframes(clips), decoders.needed(clips, scan.fps)))
            analysed.append([analysis(files, folder, scan, workers) for files in (clips, short)])
    whole, fixed = (statistics.median(one.seconds for one in calls) for calls in zip(*analysed, strict=True))
    decode, keyframes, needed = (statistics.median(seconds) for seconds in zip(*decoded, strict=True))
    return Times(
        decode=decode,
        keyframes=keyframes,
        needed=needed,
        whole=whole,
        fixed=fixed,
        video=sum(one.seconds for one in clips),
        fixed_video=sum(one.seconds for one in short),
        sampled=analysed[0][0].sampled,
        tracks=analysed[0][0].tracks,
    )


def command(clips: Sequence[Clip], out: Path, scan: ScanSettings, workers: int) -> list[str]:
    """The command that analyses clips into ``out``."""
    paths = [str(clip.path) for clip in clips]
    options = [*options_of(scan), "--workers", str(workers), "--device", "cpu", "--quiet"]
    return [sys.executable, "-m", "fervid", "analyze", *paths, "--out", str(out), *options]


def options_of(scan: ScanSettings) -> list[str]:
    """The options of a command that stand for the settings of a scan."""
    chosen = {"--adaptive": scan.adaptive, "--follow-faces": scan.follow_faces, "--no-measures": not scan.measures}
    return ["--fps", f"{scan.fps:g}", *(option for option, is_chosen in chosen.items() if is_chosen)]


def fresh(line: Sequence[str], cores: Collection[int] = ()) -> float:
    """Wall time of a command in a new process, limited to these cores (none: all)."""

    def pin() -> None:
        os.sched_setaffinity(0, cores)

    started = time.perf_counter()
    subprocess.run(line, cwd=ROOT, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                   preexec_fn=pin if cores else None)  # fmt: skip
    return time.perf_counter() - started


def pinned(
    clips: Sequence[Clip], short: Sequence[Clip], folder: Path, scan: ScanSettings, cores: Sequence[int]
) -> float:
    """Wall time of the command line for ``clips`` on a set of cores, with one worker per core.

    Start-up is excluded by the slope from the ``short`` clips, one per core.
    """
    seconds = []
    for files in (short, clips):
        with tempfile.TemporaryDirectory(dir=folder) as out:
            seconds.append(fresh(command(files, Path(out) / "r.parquet", scan, len(cores)), cores))
    lengths = [sum(one.seconds for one in files) for files in (short, clips)]
    return (seconds[1] - seconds[0]) * lengths[1] / (lengths[1] - lengths[0])


@dataclass(frozen=True)
class Peak:
    """Peak memory of a process (VmHWM) in MB. Shared memory counts in each process."""

    role: str
    megabytes: float


def peaks(line: Sequence[str]) -> tuple[float, list[Peak]]:
    """Run a command; return its wall time, and the peak memory of it and of each process that it started."""
    seen: dict[int, tuple[str, float]] = {}
    started = time.perf_counter()
    process = subprocess.Popen(
        line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True, cwd=ROOT
    )
    while process.poll() is None:
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                found = _look(entry, process.pid)
                if found is not None:
                    seen[int(entry.name)] = found
        time.sleep(0.05)
    elapsed = time.perf_counter() - started
    assert process.returncode == 0, f"exit code {process.returncode}"
    first = sorted(seen.items(), key=lambda item: _ORDER.index(item[1][0]))
    return elapsed, [Peak(role, megabytes) for _, (role, megabytes) in first]


_ORDER = ("main", "fork server", "worker", "resource tracker", "other")


def _look(entry: Path, main: int) -> tuple[str, float] | None:
    """Role and peak memory of a process in the session of ``main``; None for other processes."""
    try:
        parent, _, session = map(int, (entry / "stat").read_text().rpartition(")")[2].split()[1:4])
        if session != main:
            return None
        arguments = (entry / "cmdline").read_text()
        for row in (entry / "status").read_text().splitlines():
            if row.startswith("VmHWM:"):
                return _role(int(entry.name), parent, main, arguments), int(row.split()[1]) / 1024
    except OSError:  # the process has ended
        pass
    return None


def _role(number: int, parent: int, main: int, arguments: str) -> str:
    if number == main:
        return "main"
    if "resource_tracker" in arguments:
        return "resource tracker"
    if "forkserver" in arguments:
        return "fork server" if parent == main else "worker"
    return "other"
