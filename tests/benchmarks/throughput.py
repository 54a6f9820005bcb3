"""Speed of fervid relative to its limit, decoding the video, and relative to the package ``fer``.

Prints Markdown tables. Each figure is compared with another one of the same run:

- decode: ``analyze`` compared with only decoding the same files with PyAV, in as many single-threaded processes as
  there are workers; and decoding only their keyframes, or only the frames that samples need ("needed only").
- profile: share of each stage in one process, in wall time and processor time. Other users of the machine hardly change
  processor time.
- memory: peak memory of each process.
- workers, length, videos: wall time by number of workers, length of the video, and number of videos.
- cores: gain when the command and its processes may use more than one core.
- cold: the command line on a clip of five seconds in a fresh process, compared with ``import tensorflow`` in another.
- peer (with ``--peer``): ``fer`` with MTCNN and with Haar cascades on the frames that fervid samples.

The tables decode, workers, length, videos and peer exclude start-up in two steps. First, all calls (except in cores)
come from one process that has analysed something before, so TensorFlow and the fork server of the workers are loaded.
Second, the remaining start-up (starting workers, loading detectors, building the network) is measured by the same call
on the first two seconds of one file for each worker. "net" is the slope between the two calls, times the length.
"whole" is the full call. "net" may be too low if start-up overlaps with scanning; "whole" includes all start-up. The
true value is in between. Each figure is the median over rounds, in which the compared variants take turns.

    python -m tests.benchmarks.throughput --media ../shared/media [--work FOLDER] [--only decode --only cold] [--peer]
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from fervid.runtime.machine import total_memory, usable_cores
from fervid.settings import ScanSettings
from fervid.video.container import codecs
from tests.benchmarks import fer_runs as peer
from tests.benchmarks.throughput_clips import CODECS, RATE, SIZES, Clip, heads, make, twins
from tests.benchmarks.throughput_profile import STAGES
from tests.benchmarks.throughput_runs import Times, command, decoding, fresh, options_of, peaks, pinned, timed
from tests.support.paths import ROOT

ROLES = ("main", "worker")
"""Processes whose memory is listed by length of the file."""

LOOP = 30.0
"""Seconds of video that are encoded. Longer files repeat them."""


@dataclass
class Benchmark:
    """Options of a run, and the raw figures so far."""

    media: Path
    work: Path
    workers: int
    rounds: int
    seconds: float
    """Length of a file in seconds."""
    files: int
    """Files per worker."""
    cases: Sequence[tuple[str, str]]
    """Sizes and codecs."""
    rates: Sequence[float]
    minutes: Sequence[float]
    peer_frames: int
    settings: ScanSettings = field(default_factory=ScanSettings)
    """Settings of the scans, but for the sampling rate."""
    head: bool = False
    """Whether the clip shows only a talking head."""
    raw: dict[str, Any] = field(default_factory=dict)

    def clip(self, size: str = "720p", codec: str = "h264", seconds: float = LOOP) -> Clip:
        """A clip, encoded on first use."""
        return make(self.media, self.work / "clips", size, codec, min(seconds, self.seconds), self.head)

    def turns(self, seconds: float) -> int:
        """Number of repetitions of a clip in a file of about this length."""
        return max(1, round(seconds / min(LOOP, self.seconds)))

    def files_of(self, clip: Clip, count: int) -> list[Clip]:
        """Files of the default length that repeat a clip."""
        return twins(clip, self.work / "twins", count, self.turns(self.seconds))

    def scan(self, fps: float) -> ScanSettings:
        """Scan settings."""
        return replace(self.settings, fps=fps)

    def timed(self, clip: Clip, fps: float, workers: int, count: int, rounds: int, seconds: float = 0) -> Times:
        """Measure decoding alone and ``analyze`` on ``count`` files of ``seconds`` (0: the default length)."""
        folder, turns = self.work / "twins", self.turns(seconds or self.seconds)
        return timed(twins(clip, folder, count, turns), heads(clip, folder, workers), folder, self.scan(fps), rounds)

    def keep(self, section: str, **row: Any) -> None:
        """Add a row of raw figures."""
        self.raw.setdefault(section, []).append(row)


def table(title: str, head: Iterable[str]) -> None:
    """Print the head of a table."""
    names = list(head)
    print(f"\n### {title}\n\n{line(names)}\n{line(['---'] * len(names))}", flush=True)


def line(cells: Iterable[object]) -> str:
    """Format a row of a table."""
    return f"| {' | '.join(map(str, cells))} |"


def every(fps: float) -> str:
    """Name of a sampling rate."""
    return f"{fps:g} fps" if fps else "every frame"


def decode(run: Benchmark) -> None:
    """fervid compared with decoding alone."""
    count = run.workers * run.files
    table(
        f"{count} files of {run.seconds:g} s, {run.workers} workers: seconds, and times decode-only",
        [
            *("clip", "kb/s", "sampled", "decode-only", "keyframes only", "needed only", "whole", "fixed", "net"),
            *("whole / decode", "**net / decode**"),
        ],
    )
    for fps in run.rates:
        for size, codec in run.cases:
            clip = run.clip(size, codec)
            times = run.timed(clip, fps, run.workers, count, run.rounds)
            run.keep("decode", size=size, codec=codec, fps=fps, **asdict(times), net=times.net)
            alone = times.decode, times.keyframes, times.needed
            seconds = [f"{value:.2f}" for value in (*alone, times.whole, times.fixed, times.net)]
            ratios = [f"{times.whole / times.decode:.2f}", f"**{times.net / times.decode:.2f}**"]
            print(line([f"{size} {codec}", f"{clip.kilobits:.0f}", every(fps), *seconds, *ratios]), flush=True)


def profile(run: Benchmark) -> None:
    """Time by stage in a single process."""
    clip = run.files_of(run.clip(), 1)[0]
    plain = min(decoding(str(clip.path)) for _ in range(run.rounds))
    head = ["stage", "wall, s", "share", "processor, s", "share", "times decode-only"]
    for fps in run.rates:
        options = options_of(run.scan(fps))
        asked = [sys.executable, "-m", "tests.benchmarks.throughput_profile", str(clip.path), *options]
        done = subprocess.run(asked, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
        found = json.loads(done.stdout)
        run.keep("profile", fps=fps, video=clip.seconds, decode_only=plain, **found)
        wall, used = found["wall"], found["processor"]
        totals = [sum(seconds.values()) - seconds["start-up"] for seconds in (wall, used)]
        table(f"One process, {clip.seconds:g} s of 720p h264, {every(fps)}; shares of all but start-up", head)
        for stage in STAGES:
            counted = stage != "start-up"
            cells = [f"{wall[stage]:.2f}", f"{wall[stage] / totals[0]:.1%}" if counted else ""]
            cells += [f"{used[stage]:.2f}", f"{used[stage] / totals[1]:.1%}" if counted else ""]
            print(line([stage, *cells, f"{used[stage] / plain:.2f}"]))
        cells = [f"{totals[0]:.2f}", "", f"{totals[1]:.2f}", "", f"**{totals[1] / plain:.2f}**"]
        print(line(["all but start-up", *cells]), flush=True)
        print(line(["decode-only", "", "", f"{plain:.2f}", "", "1.00"]), flush=True)


def memory(run: Benchmark) -> None:
    """Peak memory of each process."""
    table(f"Peak memory with {run.workers} workers, 5 fps, MB", ["clip", "process", "MB"])
    for size, codec in run.cases:
        clips = run.files_of(run.clip(size, codec), run.workers)
        with tempfile.TemporaryDirectory(dir=run.work) as out:
            _, found = peaks(command(clips, Path(out) / "r.parquet", run.scan(5.0), run.workers))
        run.keep("memory", size=size, codec=codec, peaks=[asdict(peak) for peak in found])
        for peak in found:
            print(line([f"{size} {codec}", peak.role, f"{peak.megabytes:.0f}"]), flush=True)


def workers(run: Benchmark) -> None:
    """The same folder with one worker and with all workers."""
    files = 2 * run.workers
    head = ["workers", "decode-only", "whole", "net", "decode-only, times faster", "**net, times faster**"]
    table(f"A folder of {files} files of {run.seconds:g} s, 720p h264, 5 fps: seconds", head)
    first: Times | None = None
    for count in range(1, run.workers + 1):
        times = run.timed(run.clip(), 5.0, count, files, run.rounds)
        first = first or times
        run.keep("workers", workers=count, **asdict(times), net=times.net)
        faster = [f"{first.decode / times.decode:.2f}", f"**{first.net / times.net:.2f}**"]
        seconds = [f"{value:.2f}" for value in (times.decode, times.whole, times.net)]
        print(line([count, *seconds, *faster]), flush=True)


def length(run: Benchmark) -> None:
    """One file of increasing length, with one worker and with all. Peak memory is that of the command line."""
    head = ["minutes", "workers", "decode-only, s", "whole, s", "net, s", "net, s a minute", "net, times faster"]
    head += [f"{role}, MB" for role in ROLES]
    table("One file, 720p h264, 5 fps", head)
    for minutes in run.minutes:
        alone: float | None = None
        for count in sorted({1, run.workers}):
            clips = twins(run.clip(), run.work / "twins", 1, run.turns(60 * minutes))
            times = run.timed(run.clip(), 5.0, count, 1, 1, 60 * minutes)
            with tempfile.TemporaryDirectory(dir=run.work) as out:
                fresh_seconds, found = peaks(command(clips, Path(out) / "r.parquet", run.scan(5.0), count))
            alone = alone or times.net
            most = {role: max((p.megabytes for p in found if p.role == role), default=0.0) for role in ROLES}
            run.keep("length", minutes=minutes, workers=count, command=fresh_seconds, **asdict(times), net=times.net,
                     peaks=[asdict(peak) for peak in found])  # fmt: skip
            seconds = [f"{value:.1f}" for value in (times.decode, times.whole, times.net)]
            seconds.append(f"{60 * times.net / times.video:.2f}")
            cells = [f"{times.video / 60:g}", count, *seconds, f"{alone / times.net:.2f}"]
            print(line([*cells, *(f"{most[role]:.0f}" for role in ROLES)]), flush=True)


def cores(run: Benchmark) -> None:
    """A folder and one long file, on one core and on as many cores as workers."""
    minutes = max(run.minutes)
    files = 2 * run.workers
    table(
        "By number of cores, with one worker per core; 720p h264, 5 fps",
        ["files", "cores", "net, s", "**times faster**"],
    )
    folder = run.work / "twins"
    for count, seconds in ((files, run.seconds), (1, 60 * minutes)):
        clips = twins(run.clip(), folder, count, run.turns(seconds))
        first: float | None = None
        for number in sorted({1, run.workers}):
            held = sorted(os.sched_getaffinity(0))[:number]
            net = pinned(clips, heads(run.clip(), folder, number), folder, run.scan(5.0), held)
            first = first or net
            run.keep("cores", files=count, seconds=seconds, cores=number, net=net)
            what = f"{count} of {seconds / 60:g} minutes"
            print(line([what, number, f"{net:.1f}", f"**{first / net:.2f}**"]), flush=True)


def videos(run: Benchmark) -> None:
    """A folder with an increasing number of files."""
    table(
        f"Files of {run.seconds:g} s, 720p h264, 5 fps, {run.workers} workers: seconds",
        ["files", "decode-only", "whole", "net", "net a file"],
    )
    for files in (1, 2, 4, 8):
        times = run.timed(run.clip(), 5.0, run.workers, files, 1)
        run.keep("videos", files=files, **asdict(times), net=times.net)
        seconds = (times.decode, times.whole, times.net, times.net / files)
        print(line([files, *(f"{value:.2f}" for value in seconds)]), flush=True)


def cold(run: Benchmark) -> None:
    """A fresh command on a short clip, compared with importing TensorFlow.

    The best round counts, because other processes can only slow both down.
    """
    clip = run.clip(seconds=5)
    rounds = []
    for _ in range(max(3, run.rounds)):
        importing = fresh([sys.executable, "-c", "import tensorflow"])
        with tempfile.TemporaryDirectory(dir=run.work) as out:
            rounds.append((importing, fresh(command([clip], Path(out) / "r.parquet", run.scan(5.0), 0))))
    run.keep("cold", rounds=rounds)
    tensorflow, fervid = (min(values) for values in zip(*rounds, strict=True))
    table("Cold start: 5 s of 720p h264 in a fresh process, best of the rounds", ["command", "s", "ratio"])
    print(line(['`python -c "import tensorflow"`', f"{tensorflow:.2f}", "1.00"]))
    print(line(["`fervid analyze`", f"{fervid:.2f}", f"**{fervid / tensorflow:.2f}**"]), flush=True)


def beside_peer(run: Benchmark) -> None:
    """fervid and ``fer`` on the same frames of the same files."""
    python = peer.environment(run.work / "peer")
    run.raw["peer versions"] = peer.versions(python)
    head = ["sampled", "frames", "fer's detector", "fer, s", "faces", "fervid, whole, s", "net, s", "tracks"]
    title = f"{run.workers} files, 720p h264, {run.workers} cores: fervid and {run.raw['peer versions']}"
    table(title, [*head, "fer / whole", "**fer / net**"])
    ways = dict.fromkeys(peer.DETECTORS, sorted({1, run.workers}))
    for fps in run.rates:
        clip = run.clip(seconds=run.peer_frames / (fps or RATE))
        clips = twins(clip, run.work / "twins", run.workers)
        short = heads(clip, run.work / "twins", run.workers)
        times = timed(clips, short, run.work / "twins", run.scan(fps), max(3, run.rounds))
        indices = [peer.sampled(one.path, fps) for one in clips]
        assert sum(map(len, indices)) == times.sampled
        for detector in peer.DETECTORS:
            tried = [peer.run(python, clips, indices, detector, count) for count in ways[detector]]
            best = min(tried, key=lambda one: one.seconds)
            ways[detector] = [best.processes]  # use the better variant of the first rate for the others too
            run.keep("peer", fps=fps, detector=detector, tried=[asdict(one) for one in tried], **asdict(times),
                     net=times.net)  # fmt: skip
            theirs = [f"{detector}, processes: {best.processes}", f"{best.seconds:.1f}", best.faces]
            ours = [f"{times.whole:.2f}", f"{times.net:.2f}", times.tracks]
            ratios = [f"{best.seconds / times.whole:.1f}", f"**{best.seconds / times.net:.1f}**"]
            print(line([every(fps), times.sampled, *theirs, *ours, *ratios]), flush=True)


SECTIONS: dict[str, Callable[[Benchmark], None]] = {
    "decode": decode,
    "profile": profile,
    "memory": memory,
    "workers": workers,
    "length": length,
    "cores": cores,
    "videos": videos,
    "cold": cold,
    "peer": beside_peer,
}


def machine() -> dict[str, str]:
    """Machine and versions."""
    model = platform.processor() or platform.machine()
    described = Path("/proc/cpuinfo")
    if described.exists():
        names = [row.partition(":")[2].strip() for row in described.read_text().splitlines() if "model name" in row]
        model = names[0] if names else model
    wanted = ("fervid", "av", "opencv-python", "onnxruntime", "tensorflow", "numpy")
    versions = {name: importlib.metadata.version(name) for name in wanted}
    ffmpeg = next((name for name in codecs()["ffmpeg"] if name.startswith("libavcodec")), "")
    return {
        "cpu": f"{model}, {usable_cores()} cores, {total_memory() / 2**30:.0f} GiB",
        "system": f"{platform.system()} {platform.release()}, Python {platform.python_version()}",
        "versions": ", ".join([*(f"{name} {version}" for name, version in versions.items()), ffmpeg]),
    }


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--media", type=Path, required=True, help="folder with the real clips")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "fervid-throughput",
                        help="folder for clips and for the environment of fer, kept for the next run")  # fmt: skip
    parser.add_argument("--only", action="append", choices=list(SECTIONS), help="print only this table (repeatable)")
    parser.add_argument("--peer", action="store_true", help="also measure fer (installs it in its own environment)")
    parser.add_argument("--workers", type=int, default=usable_cores())
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=60.0, help="length of a file in seconds")
    parser.add_argument("--files", type=int, default=2, help="files per worker in the table decode")
    parser.add_argument(
        "--case",
        action="append",
        metavar="SIZE-CODEC",
        choices=CASES,
        help="size and codec, such as 720p-h264 (repeatable)",
    )
    parser.add_argument("--fps", action="append", type=float, help="sampling rate (repeatable); 0 samples every frame")
    for option in ("--adaptive", "--follow-faces"):
        parser.add_argument(option, action="store_true", help=f"measure fervid's {option}")
    parser.add_argument("--no-measures", action="store_false", dest="measures", help="measure fervid's --no-measures")
    parser.add_argument("--head", action="store_true", help="analyse a talking head alone")
    parser.add_argument("--minutes", action="append", type=float, help="length in the table length (repeatable)")
    parser.add_argument("--peer-frames", type=int, default=100, help="sampled frames per file for fer")
    parser.add_argument("--json", type=Path, help="also write the raw figures to this file")
    return parser.parse_args(arguments)


CASES = [f"{size}-{codec}" for size in SIZES for codec in CODECS]


def main() -> None:
    """Print the tables."""
    asked = parse()
    cases = [(case.partition("-")[0], case.partition("-")[2]) for case in asked.case or CASES]
    run = Benchmark(asked.media, asked.work.resolve(), asked.workers, asked.rounds, asked.seconds, asked.files, cases,
                    asked.fps or [5.0, 0.0], asked.minutes or [1.0, 5.0, 20.0], asked.peer_frames,
                    ScanSettings(adaptive=asked.adaptive, follow_faces=asked.follow_faces, measures=asked.measures),
                    asked.head)  # fmt: skip
    run.work.mkdir(parents=True, exist_ok=True)
    run.raw["machine"] = machine()
    print("  \n".join(run.raw["machine"].values()))
    chosen = asked.only or [name for name in SECTIONS if name != "peer"]
    for name in dict.fromkeys([*chosen, *(["peer"] if asked.peer else [])]):
        SECTIONS[name](run)
        if asked.json:
            asked.json.write_text(json.dumps(run.raw, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    main()
