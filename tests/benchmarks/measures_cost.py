"""The processor time of measuring faces: each video is scanned with and without measures, in turn, in one process.

    python -m tests.benchmarks.measures_cost VIDEO... [--fps 5] [--rounds 3]

The ratio of the sums is printed. Emotions are classified in another process and do not count here, so the ratio for a
whole analysis is nearer to 1.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from fervid.faces.crop import FER2013_GEOMETRY
from fervid.scan.scan import cached_detector, cached_networks, scan_video
from fervid.settings import ScanSettings


def seconds(path: Path, settings: ScanSettings) -> float:
    """Processor time of one scan."""
    with tempfile.TemporaryDirectory() as folder:
        started = time.process_time()
        scan_video(path, "0" * 32, settings, FER2013_GEOMETRY, Path(folder) / "crops")
        return time.process_time() - started


def main() -> None:
    """Print the ratio of each video and of all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("videos", nargs="+", type=Path)
    parser.add_argument("--fps", type=float, default=5.0)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    settings = {measures: ScanSettings(fps=asked.fps, measures=measures) for measures in (False, True)}
    total = {False: 0.0, True: 0.0}
    for video in asked.videos:
        for one in settings.values():  # loads the networks
            cached_detector(replace(one))
            cached_networks(one.measures)
        seconds(video, settings[True])
        own = {False: 0.0, True: 0.0}
        for number in range(asked.rounds):
            for measures in (False, True) if number % 2 else (True, False):
                own[measures] += seconds(video, settings[measures])
        print(f"{video.name}: {own[True] / own[False]:.3f}", flush=True)
        total = {key: total[key] + own[key] for key in total}
    print(f"all: {total[True] / total[False]:.3f}")


if __name__ == "__main__":
    main()
