"""Processor time of this version of fervid, compared with that of an earlier checkout.

Both analyse the same clip, in a new process each time, in turns. The table shows the smallest processor seconds of each
stage, and the ratio of the two versions; other users of the machine can only add to them. Start-up is left out.
Versions before the measures do not know ``--no-measures``, so only this version gets it.

    python -m tests.benchmarks.throughput_versions CHECKOUT [CLIP ...] --media ../shared/media [--fps 5] [--rounds 5]
        [--no-measures]

Without clips, the 720p clip of ``tests.benchmarks.throughput`` is analysed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.benchmarks.throughput_clips import make
from tests.benchmarks.throughput_profile import STAGES
from tests.support.paths import ROOT

SECONDS = 30.0
"""Length of the clip that is made."""


def processor(checkout: Path, clip: Path, fps: float, *options: str) -> dict[str, float]:
    """Processor seconds by stage of one analysis, by the code of a checkout."""
    asked = [sys.executable, "-m", "tests.benchmarks.throughput_profile", str(clip), "--fps", f"{fps:g}", *options]
    environment = {**os.environ, "PYTHONPATH": str(checkout), "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(asked, cwd=checkout, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, float] = json.loads(done.stdout)["processor"]
    return {**found, "all but start-up": sum(found.values()) - found["start-up"]}


def compare(before: Path, clip: Path, fps: float, rounds: int, *options: str) -> None:
    """Print the table of one clip. ``options``: of ``throughput_profile``, for this version."""
    runs: list[list[dict[str, float]]] = [[], []]
    for _ in range(rounds):
        for found, checkout in zip(runs, (before, ROOT), strict=True):
            found.append(processor(checkout, clip, fps, *(options if checkout == ROOT else ())))
    print(f"\n{clip.name}, {fps:g} fps, best of {rounds} rounds\n")
    print("| stage | before, processor s | now, processor s | ratio |\n|---|---|---|---|")
    for stage in (*STAGES, "all but start-up"):
        old, new = (min(one.get(stage, 0.0) for one in found) for found in runs)
        print(f"| {stage} | {old:.2f} | {new:.2f} | {f'{new / old:.3f}' if old else '–'} |", flush=True)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkout", type=Path, help="folder with an earlier version of the repository")
    parser.add_argument("clips", nargs="*", type=Path)
    parser.add_argument("--media", type=Path, required=True, help="folder with the real clips")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "fervid-throughput")
    parser.add_argument("--fps", type=float, default=5.0)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--no-measures", action="store_true")
    asked = parser.parse_args()
    clips = asked.clips or [make(asked.media, asked.work / "clips", "720p", "h264", SECONDS).path]
    options = ["--no-measures"] if asked.no_measures else []
    for clip in clips:
        compare(asked.checkout.resolve(), clip.resolve(), asked.fps, asked.rounds, *options)


if __name__ == "__main__":
    main()
