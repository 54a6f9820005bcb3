"""How long correcting takes, relative to writing the same results.

    python -m tests.benchmarks.corrections [--rows N] [--corrections N]

Made results of several videos are written once, as ``analyze`` does after the scans, and corrected: faces are split,
the parts get persons and names. "Writing" is what ``analyze`` spends once the faces and their probabilities are known:
it smooths, finds episodes, summarises and stores each video (finishing), then writes the tables (composing). The times
are processor times of this process with its threads. Correcting includes reading the source.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from fervid.results.correct import Corrected, correct
from fervid.results.reader import read_tables
from fervid.results.writer import compose
from tests.support.made_tracks import METADATA, STEP, MadeClip, MadePerson, finished_entry, made_faces

Result = TypeVar("Result")

SAMPLES = 5_000
"""Samples of a video; it shows two faces, each in 50 spans."""


def _lines(video: str, count: int) -> list[str]:
    """Corrections of a video, three for each face, which is seen for 20 s."""
    lines = []
    for face in range(-(-count // 3)):
        middle = (face // 2 * 100 + 50) * STEP
        lines += [f"{video},{face},split,{middle},,", f"{video},{face},person,,,new", f"{video},{face},name,,,P{face}"]
    return lines[:count]


def _clips(rows: int) -> dict[str, MadeClip]:
    """Videos of this many rows together."""
    spans = [range(start, start + 100) for start in range(0, SAMPLES, 100)]
    people = [MadePerson(side, [span], 2 * number + side, side) for number, span in enumerate(spans) for side in (0, 1)]
    return {f"{number:04}.mp4": MadeClip(people, SAMPLES) for number in range(max(1, rows // (2 * SAMPLES)))}


def _seconds(work: Callable[[], Result]) -> tuple[float, Result]:
    started = time.process_time()
    result = work()
    return time.process_time() - started, result


def main() -> None:
    """Print the times and their ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--corrections", type=int, default=10_000)
    options = parser.parse_args()
    clips = _clips(options.rows)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source, out, file = folder / "source.parquet", folder / "out.parquet", folder / "c.csv"
        made = [(video, *made_faces(number, clip)) for number, (video, clip) in enumerate(clips.items())]
        finishing, entries = _seconds(lambda: [finished_entry(folder, *one) for one in made])
        composing, _ = _seconds(lambda: compose(source, entries, METADATA, folder))
        each = -(-options.corrections // len(clips))
        lines = [line for video in clips for line in _lines(video, each)]
        file.write_text("\n".join(["video,face_id,action,start,end,value", *lines[: options.corrections]]) + "\n")
        correcting, done = _seconds(lambda: correct(source, file, out))
        rows = len(read_tables(out)["timeline"])
    _show(rows, done, finishing, composing, correcting)


def _show(rows: int, done: Corrected, finishing: float, composing: float, correcting: float) -> None:
    writing = finishing + composing
    print(f"{rows} rows, {done.corrections} corrections in {done.videos} videos")
    print(f"finishing {finishing:.1f} s, composing {composing:.1f} s, correcting {correcting:.1f} s")
    print(f"correcting takes {correcting / writing:.2f} times writing, {correcting / composing:.2f} times composing")


if __name__ == "__main__":
    main()
