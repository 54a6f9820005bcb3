"""Processor time of status and prune with many videos, as a share of a rerun that finds nothing new.

The clips are those of ``tests.benchmarks.many``, of one sample each. Every command runs in processes of its own, in
turn, so that a busy machine slows all of them alike; the smallest time of each counts.

    python -m tests.benchmarks.looking_after [--count 2000] [--times 5] [--folder FOLDER]

It ends with 1 if a command takes more than the rerun.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.benchmarks.many import make_clips
from tests.support.paths import LONG_AGO, ROOT


def processor_time(words: list[str]) -> float:
    """Seconds of processor time of a command and its children, in user and system mode."""
    before = os.times()
    done = subprocess.run([sys.executable, "-m", "fervid", *words], cwd=ROOT, check=False, stdout=subprocess.DEVNULL)
    after = os.times()
    assert done.returncode == 0, done.returncode
    return after.children_user + after.children_system - before.children_user - before.children_system


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("--folder", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = (arguments.folder or Path(temporary)).resolve()
        videos, out = make_clips(folder, arguments.count), str(folder / "r.parquet")
        for path in videos.rglob("*.mp4"):  # files written within the last seconds are read again
            os.utime(path, (LONG_AGO, LONG_AGO))
        rerun = ["analyze", str(videos), "--out", out, "--quiet"]
        processor_time(rerun)
        commands = {
            "analyze, nothing new": rerun,
            "status": ["status", out],
            "status --json": ["status", out, "--json"],
            "prune --dry-run, nothing to remove": ["prune", out, "--dry-run", "--quiet"],
            "prune, nothing to remove": ["prune", out, "--quiet"],
        }
        times: dict[str, list[float]] = {name: [] for name in commands}
        for _ in range(arguments.times):
            for name, words in commands.items():
                times[name].append(processor_time(words))
        least = {name: min(found) for name, found in times.items()}
        for path in sorted(videos.rglob("*.mp4"))[:: max(1, arguments.count // 20)]:
            path.unlink()
        least["prune, one in twenty was deleted"] = processor_time(["prune", out, "--quiet"])
    base = least["analyze, nothing new"]
    print(f"| {arguments.count} videos | processor time in s | share |\n|---|---|---|")
    for name, seconds in least.items():
        print(f"| {name} | {seconds:.2f} | {seconds / base:.0%} |")
    sys.exit(any(least[name] > base for name in commands))


if __name__ == "__main__":
    main()
