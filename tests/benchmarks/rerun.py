"""Duration of a rerun over unchanged files, as a share of the first run.

Small clips with different content are analysed twice by the command line.

    python -m tests.benchmarks.rerun [--count 2000]
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.support.clips import at_rate, write_clip
from tests.support.paths import ROOT


def make(folder: Path, count: int) -> None:
    """Make ``count`` clips of half a second that differ in their frame times."""
    folder.mkdir()
    for number in range(count):
        begin = number * 1e-3
        write_clip(folder / f"{number:05}.mp4", [begin + time for time in at_rate(25, 12)], width=64, height=48)


def timed(videos: Path, out: Path) -> float:
    """Duration of one run in seconds."""
    line = [sys.executable, "-m", "fervid", "analyze", str(videos), "--out", str(out), "--quiet"]
    begun = time.monotonic()
    done = subprocess.run(line, cwd=ROOT, check=False)
    assert done.returncode == 0, done.returncode
    return time.monotonic() - begun


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=2000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        videos, out = Path(folder) / "videos", Path(folder) / "r.parquet"
        make(videos, arguments.count)
        time.sleep(
            3
        )  # files written within the last seconds are read again, because their modification times are not yet reliable
        first, again = timed(videos, out), timed(videos, out)
        (videos / "00000.mp4").unlink()
        changed = timed(videos, out)
    print(f"| run over {arguments.count} clips | seconds | share of the first |\n|---|---|---|")
    for name, seconds in (("first", first), ("again, nothing changed", again), ("again, one file gone", changed)):
        print(f"| {name} | {seconds:.1f} | {seconds / first:.1%} |")


if __name__ == "__main__":
    main()
