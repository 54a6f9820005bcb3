"""Processor time of this version of fervid, compared with that of an earlier checkout.

Both analyse the same clip, in a new process each time, in turns. The table shows the smallest processor seconds of each
stage, and the ratio of the two versions; other users of the machine can only add to them. Start-up is left out.
The last line is the sum over all clips.

    python -m tests.benchmarks.throughput_versions CHECKOUT --media ../shared/media [--fps 5] [--rounds 5]
        [--adaptive] [--follow-faces] [--no-measures] [--heads] [CLIP ...]

Without clips, the 720p clip of ``tests.benchmarks.throughput`` is analysed, or with ``--heads`` a talking head in
720p at 25 and at 30 frames per second. The three options of the analysis hold for this version only.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.benchmarks.throughput_clips import CODECS, SIZES, cover, encode, make, play
from tests.benchmarks.throughput_profile import STAGES
from tests.support.paths import ROOT

OPTIONS = ("--adaptive", "--follow-faces", "--no-measures")
"""Options of the analysis."""

SECONDS = 30.0
"""Length of the clip that is made."""


HEAD, HEAD_RATES, HEAD_SECONDS = "wolfgang.mp4", (25, 30), 12
"""A clip of a talking head, the frame rates at which it is played, and its seconds."""


def make_heads(media: Path, folder: Path) -> list[Path]:
    """Clips of the talking head in 720p, at each of the rates."""
    made = []
    for rate in HEAD_RATES:
        path = folder / f"head_{rate}.mp4"
        made.append(path)
        if not path.exists():
            folder.mkdir(parents=True, exist_ok=True)
            shown = (cover(image, *SIZES["720p"]) for image in play(media, [HEAD]))
            encode(itertools.islice(shown, rate * HEAD_SECONDS), path, *SIZES["720p"], CODECS["h264"], rate)
    return made


def processor(checkout: Path, clip: Path, fps: float, options: Sequence[str] = ()) -> dict[str, float]:
    """Processor seconds by stage of one analysis, by the code of a checkout."""
    asked = [sys.executable, "-m", "tests.benchmarks.throughput_profile", str(clip), "--fps", f"{fps:g}", *options]
    environment = {**os.environ, "PYTHONPATH": str(checkout), "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(asked, cwd=checkout, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, float] = json.loads(done.stdout)["processor"]
    return {**found, "all but start-up": sum(found.values()) - found["start-up"]}


def compare(before: Path, clip: Path, fps: float, rounds: int, options: Sequence[str]) -> tuple[float, float]:
    """Print the table of one clip, and return the last line of both versions. ``options``: of this version only."""
    runs: list[list[dict[str, float]]] = [[], []]
    for _ in range(rounds):
        for found, checkout, chosen in zip(runs, (before, ROOT), ((), options), strict=True):
            found.append(processor(checkout, clip, fps, chosen))
    print(f"\n{clip.name}, {fps:g} fps, best of {rounds} rounds, now {' '.join(options) or 'without options'}\n")
    print("| stage | before, processor s | now, processor s | ratio |\n|---|---|---|---|")
    old = new = 0.0
    for stage in (*STAGES, "all but start-up"):
        old, new = (min(one.get(stage, 0.0) for one in found) for found in runs)
        print(f"| {stage} | {old:.2f} | {new:.2f} | {f'{new / old:.3f}' if old else '–'} |", flush=True)
    return old, new


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkout", type=Path, help="folder with an earlier version of the repository")
    parser.add_argument("clips", nargs="*", type=Path)
    parser.add_argument("--media", type=Path, required=True, help="folder with the real clips")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "fervid-throughput")
    parser.add_argument("--fps", type=float, default=5.0)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--heads", action="store_true", help="analyse a talking head")
    for name in OPTIONS:
        parser.add_argument(name, action="store_true")
    asked = parser.parse_intermixed_args()
    options = [name for name in OPTIONS if vars(asked)[name.strip("-").replace("-", "_")]]
    if asked.heads:
        asked.clips += make_heads(asked.media, asked.work / "clips")
    clips = asked.clips or [make(asked.media, asked.work / "clips", "720p", "h264", SECONDS).path]
    checkout = asked.checkout.resolve()
    found = [compare(checkout, clip.resolve(), asked.fps, asked.rounds, options) for clip in clips]
    old, new = (sum(values) for values in zip(*found, strict=True))
    print(f"\nall {len(clips)} clips: {old:.2f} s before, {new:.2f} s now, ratio {new / old:.3f}")


if __name__ == "__main__":
    main()
