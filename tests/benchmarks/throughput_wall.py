"""Wall time of this version of fervid on several cores, compared with that of an earlier checkout.

Both analyse the same files with the command line, in a new process each time, in turns. The files are those of
``tests.benchmarks.throughput``, 720p H.264: two for each worker, or as many as asked for. "net" leaves start-up out: it
is the slope between the whole call and one on the first two seconds of one file for each worker (of one file, if there
is only one). Each figure is the median over rounds, with the smallest and the largest.

    python -m tests.benchmarks.throughput_wall CHECKOUT --media ../shared/media [--head] [--fps 5] [--seconds 60]
        [--files 4] [--rounds 3] [--workers 2] [--adaptive] [--follow-faces] [--no-measures]

The last three options hold for this version only.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fervid.runtime.machine import usable_cores
from tests.benchmarks.throughput_clips import Clip, heads, make, twins
from tests.benchmarks.throughput_runs import Decoders
from tests.benchmarks.throughput_versions import OPTIONS
from tests.support.paths import ROOT

LOOP = 30.0
"""Seconds of video that are encoded. Files repeat them."""

MAIN = """
try:
    from fervid.__main__ import main
except ImportError:  # 35d8551 and before
    from fervid.cli import main
main()
"""
"""Starts the command line of any version."""


@dataclass(frozen=True)
class Round:
    """Wall seconds of one version: the whole call, and the same without start-up."""

    whole: float
    net: float


def seconds_of(checkout: Path, clips: Sequence[Clip], options: Sequence[str]) -> float:
    """Wall time of analysing clips with the code of a checkout."""
    environment = {**os.environ, "PYTHONPATH": str(checkout), "TF_CPP_MIN_LOG_LEVEL": "3"}
    with tempfile.TemporaryDirectory() as folder:
        asked = ["analyze", *(str(clip.path) for clip in clips), "--out", str(Path(folder) / "r.parquet"), *options]
        started = time.perf_counter()
        subprocess.run([sys.executable, "-c", MAIN, *asked], cwd=checkout, env=environment, check=True,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip
        return time.perf_counter() - started


def analyse(checkout: Path, clips: Sequence[Clip], short: Sequence[Clip], options: Sequence[str]) -> Round:
    """One round of one version. ``short``: one short file per worker."""
    whole, fixed = (seconds_of(checkout, files, options) for files in (clips, short))
    lengths = [sum(clip.seconds for clip in files) for files in (clips, short)]
    return Round(whole, (whole - fixed) * lengths[0] / (lengths[0] - lengths[1]))


def spread(values: Sequence[float]) -> str:
    """The median of values, and their range."""
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkout", type=Path, help="folder with an earlier version of the repository")
    parser.add_argument("--media", type=Path, required=True, help="folder with the real clips")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "fervid-throughput")
    parser.add_argument("--head", action="store_true", help="analyse a talking head alone")
    parser.add_argument("--fps", type=float, default=5.0, help="samples per second; 0 samples every frame")
    parser.add_argument("--seconds", type=float, default=60.0, help="length of a file in seconds")
    parser.add_argument("--files", type=int, default=0, help="number of files; 0: two for each worker")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=usable_cores())
    for name in OPTIONS:
        parser.add_argument(name, action="store_true")
    asked = parser.parse_args()
    chosen = [name for name in OPTIONS if vars(asked)[name.strip("-").replace("-", "_")]]
    work = asked.work.resolve()  # the versions run in folders of their own
    clip = make(asked.media, work / "clips", "720p", "h264", min(LOOP, asked.seconds), asked.head)
    folder = work / "twins"
    count = asked.files or 2 * asked.workers
    clips = twins(clip, folder, count, max(1, round(asked.seconds / clip.seconds)))
    short = heads(clip, folder, min(asked.workers, count))
    common = ["--fps", f"{asked.fps:g}", "--workers", str(asked.workers), "--device", "cpu", "--quiet"]
    versions = {"before": (asked.checkout.resolve(), common), "now": (ROOT, [*common, *chosen])}
    found: dict[str, list[Round]] = {name: [] for name in versions}
    decoded = []
    with Decoders.of(asked.workers, short[0].path) as decoders:
        for _ in range(asked.rounds):
            decoded.append(decoders.seconds(clips))
            for name, (checkout, options) in versions.items():
                found[name].append(analyse(checkout, clips, short, options))
    files = f"{len(clips)} files of {clips[0].seconds:g} s, {clip.path.name}, {asked.fps:g} fps"
    how = f"{asked.workers} workers, {asked.rounds} rounds, now {' '.join(chosen) or 'without options'}"
    print(f"{files}, {how}\n")
    print(f"decoding every frame: {spread(decoded)} s\n")
    print("| version | whole, s | net, s | net / decode |\n|---|---|---|---|")
    decode = statistics.median(decoded)
    for name, rounds in found.items():
        net = [one.net for one in rounds]
        whole = spread([one.whole for one in rounds])
        print(f"| {name} | {whole} | {spread(net)} | {statistics.median(net) / decode:.2f} |")
    pairs = list(zip(found["before"], found["now"], strict=True))
    faster = [one.whole / other.whole for one, other in pairs], [one.net / other.net for one, other in pairs]
    print(f"| **times faster** | {spread(faster[0])} | {spread(faster[1])} | |", flush=True)


if __name__ == "__main__":
    main()
