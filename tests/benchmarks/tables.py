"""Record the four result tables of real and sample videos, and compare two recordings.

Use it before and after a change that must not alter results::

    python -m tests.benchmarks.tables record before
    python -m tests.benchmarks.tables record after
    python -m tests.benchmarks.tables compare before after

``record`` analyses ``../shared/media`` and ``sample_videos/`` at the default rate, with ``--fps 0`` and with
``--workers 1``. ``compare`` prints one line per table and exits with 1 where tables differ by more than allowed:
everything must be equal bit for bit, except for the columns ``seconds`` and ``finished_at``, and except for
probabilities and what is computed from them, which may differ by ``--tolerance``.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd

ROOT = Path(__file__).resolve().parents[2]

INPUTS = {"media": ROOT.parent / "shared" / "media", "samples": ROOT / "sample_videos"}

MODULE = "fervid" if (ROOT / "fervid" / "__main__.py").is_file() else "fervid.cli"
"""The module that runs the command line. Versions up to 35d8551 have ``fervid.cli``."""

OPTIONS = {"default": [], "every-frame": ["--fps", "0"], "one-worker": ["--workers", "1"]}

TABLES = {
    "timeline": "{}.parquet",
    "episodes": "{}.episodes.csv",
    "summary": "{}.summary.csv",
    "videos": "{}.videos.csv",
}

IGNORED = {"seconds", "finished_at"}
"""Columns that depend on when a run was made and how fast it was."""

EXACT = {"time", "face_x", "face_y", "face_width", "face_height", "face_score", "face_quality", "duration"}
"""Real-valued columns of the timeline and the manifest that are not probabilities."""


def record(folder: Path) -> None:
    """Analyse every input with every set of options, and write the tables to ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, videos in INPUTS.items():
        for label, options in OPTIONS.items():
            out = folder.absolute() / f"{name}-{label}.parquet"
            command = [sys.executable, "-m", MODULE, "analyze", str(videos), "--out", str(out), "--quiet", *options]
            process = subprocess.run(command, cwd=ROOT, check=False)
            print(f"{out.stem}: exit code {process.returncode}", flush=True)


def _read(path: Path) -> pd.DataFrame:
    frame = pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path, keep_default_na=False)
    for column in frame.columns:
        if isinstance(frame[column].dtype, pd.CategoricalDtype):
            frame[column] = frame[column].astype(object)
    return frame


def _is_numeric(values: pd.Series) -> bool:
    """Whether every value is a number or missing."""
    return bool((pd.to_numeric(values, errors="coerce").notna() | values.isna() | (values == "")).all())


def _differences(before: pd.DataFrame, after: pd.DataFrame, table: str, tolerance: float) -> list[str]:
    """Describe each column that differs by more than is allowed, one sentence each."""
    if list(before.columns) != list(after.columns):
        return [f"columns {list(before.columns)} became {list(after.columns)}"]
    if len(before) != len(after):
        return [f"{len(before)} rows became {len(after)}"]
    found = []
    for column in before.columns:
        old, new = before[column], after[column]
        if column in IGNORED or old.equals(new):
            continue
        numbers = [pd.to_numeric(values, errors="coerce") for values in (old, new)]
        numeric = all(_is_numeric(values) for values in (old, new))
        exact = column in EXACT and table in ("timeline", "videos")
        if not numeric or exact or (numbers[0].isna() != numbers[1].isna()).any():
            rows = np.flatnonzero((old.astype(str) != new.astype(str)).to_numpy())
            examples = "; ".join(f"row {row}: {old[row]!r} became {new[row]!r}" for row in rows[:5])
            found.append(f"{column}: {len(rows)} rows differ: {examples}")
            continue
        largest = float((numbers[0] - numbers[1]).abs().max())
        if largest > tolerance:
            found.append(f"{column}: differs by up to {largest:.2g}")
    return found


def compare(before: Path, after: Path, tolerance: float) -> int:
    """Print the differences between two recordings, and return the number of tables that differ."""
    different = 0
    for name in INPUTS:
        for label in OPTIONS:
            for table, pattern in TABLES.items():
                file = pattern.format(f"{name}-{label}")
                old, new = _read(before / file), _read(after / file)
                differences = _differences(old, new, table, tolerance)
                same = not differences and all(
                    column in IGNORED or old[column].equals(new[column]) for column in old.columns
                )
                verdict = "equal bit for bit" if same else f"equal within {tolerance:g}"
                print(f"{file}: {len(old)} rows, {'DIFFERENT' if differences else verdict}")
                for line in differences:
                    print(f"    {line}")
                different += bool(differences)
    return different


def main() -> int:
    """Record or compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("record").add_argument("folder", type=Path)
    comparing = commands.add_parser("compare")
    comparing.add_argument("before", type=Path)
    comparing.add_argument("after", type=Path)
    comparing.add_argument("--tolerance", type=float, default=1e-5)
    arguments = parser.parse_args()
    if arguments.command == "record":
        record(arguments.folder)
        return 0
    return 1 if compare(arguments.before, arguments.after, arguments.tolerance) else 0


if __name__ == "__main__":
    sys.exit(main())
