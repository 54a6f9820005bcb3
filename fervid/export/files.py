"""Which files an export writes, and what it refuses to overwrite."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pandas as pd

from fervid.errors import UsageError
from fervid.files.atomic import atomic_path, writing
from fervid.files.names import files_for
from fervid.results.csv import write_frame_csv
from fervid.results.schema import output_paths

Format = Literal["elan", "pyfeat", "openface", "csv"]
Values = Literal["raw", "smooth"]


@dataclass(frozen=True)
class Exported:
    """``files``: what was written. ``notes``: what the format could not hold."""

    files: tuple[Path, ...]
    notes: tuple[str, ...]


# where files go


def single_video(out: Path, suffix: str) -> Path:
    """``out`` where it names one file of that ending; raises UsageError."""
    if out.suffix.lower() != suffix or out.is_dir():
        raise UsageError(f"--out must name a {suffix} file: {out}")
    return out


def target_files(names: list[str], out: Path, suffix: str) -> dict[str, Path]:
    """Video name → the file for it: the one that ``out`` names, or in the folder ``out``."""
    if not names:
        raise UsageError("the results hold no video that was analysed")
    if out.suffix.lower() == suffix and not out.is_dir():
        if len(names) > 1:
            raise UsageError(f"the results hold {len(names)} videos; --out must name a folder, not {out}")
        return {names[0]: out}
    return files_for(names, out, suffix)


def refuse_overwriting_inputs(targets: Iterable[Path], results: Path) -> None:
    """Raise UsageError where a target is one of the tables of the results."""
    own = {os.path.realpath(path) for path in output_paths(results)}
    for target in targets:
        if os.path.realpath(target) in own:
            raise UsageError(f"the output would overwrite the results: {target}")


def refuse_existing(targets: Iterable[Path], overwrite: bool) -> None:
    """Raise UsageError where a target exists, unless ``overwrite``."""
    for target in targets:
        if target.exists() and not overwrite:
            raise UsageError(f"{target} is already there and may hold work done by hand; --overwrite replaces it")


@contextlib.contextmanager
def writing_file(path: Path) -> Iterator[Path]:
    """A path to write to, which becomes ``path`` when complete; its folder is made."""
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as beside:
        yield beside


def write_csv(path: Path, frame: pd.DataFrame) -> None:
    """Write a frame as CSV; raises OutputError."""
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    write_frame_csv(path, frame)
