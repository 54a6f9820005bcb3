"""How long correcting takes, relative to writing the same results.

    python -m tests.benchmarks.corrections [--rows N] [--corrections N]

Made results of several videos are written once from stored parts, and corrected: faces are split, the parts get persons
and names. The ratio is the time of ``correct``, reading included, to that of writing the tables.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from fervid.results.correct import correct
from fervid.results.reader import read_tables
from fervid.results.writer import compose
from tests.support.made_tracks import METADATA, STEP, MadeClip, MadePerson, make_entries

SAMPLES = 5_000
"""Samples of a video; it shows two faces, each in 50 spans."""


def _lines(video: str, face: int) -> list[str]:
    """Three corrections of a face that is seen for 20 s."""
    middle = (face // 2 * 100 + 50) * STEP
    return [f"{video},{face},split,{middle},,", f"{video},{face},person,,,new", f"{video},{face},name,,,P{face}"]


def main() -> None:
    """Print the times and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--corrections", type=int, default=10_000)
    options = parser.parse_args()
    videos = max(1, options.rows // (2 * SAMPLES))
    spans = [range(start, start + 100) for start in range(0, SAMPLES, 100)]
    people = [MadePerson(side, [span], 2 * number + side, side) for number, span in enumerate(spans) for side in (0, 1)]
    clips = {f"{number:04}.mp4": MadeClip(people, SAMPLES) for number in range(videos)}
    with tempfile.TemporaryDirectory() as folder:
        source, out = Path(folder) / "source.parquet", Path(folder) / "out.parquet"
        entries = make_entries(Path(folder), clips)
        started = time.perf_counter()
        compose(source, entries, METADATA, Path(folder))
        writing = time.perf_counter() - started
        lines = ["video,face_id,action,start,end,value"]
        each = -(-options.corrections // videos)
        for name in clips:
            lines += [line for face in range(each) for line in _lines(name, face)][:each]
        file = Path(folder) / "c.csv"
        file.write_text("\n".join(lines[: options.corrections + 1]) + "\n")
        started = time.perf_counter()
        done = correct(source, file, out)
        taken = time.perf_counter() - started
        rows = len(read_tables(out)["timeline"])
    print(f"{rows} rows, {done.corrections} corrections in {done.videos} videos")
    print(f"writing {writing:.1f} s, correcting {taken:.1f} s: {taken / writing:.2f} times")


if __name__ == "__main__":
    main()
