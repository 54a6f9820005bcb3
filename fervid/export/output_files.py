"""Choosing and writing the files of an export."""

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

Format = Literal["elan", "textgrid", "boris", "bids", "excel", "pyfeat", "openface", "csv"]
"""Formats that results can be exported to."""

Values = Literal["raw", "smooth"]
"""Which probabilities an export writes."""


@dataclass(frozen=True)
class Exported:
    """What an export wrote.

    Attributes:
        files: The files.
        notes: What the format could not hold, and which videos were not found, as sentences.
    """

    files: tuple[Path, ...]
    notes: tuple[str, ...]


def single_file(out: Path, suffix: str) -> Path:
    """Check that a path names a file with a suffix.

    Args:
        out: The path.
        suffix: The suffix, such as ``.csv``.

    Returns:
        ``out``.

    Raises:
        UsageError: It has another suffix, or is a folder.
    """
    if out.suffix.lower() != suffix or out.is_dir():
        raise UsageError(f"`out` must name a {suffix} file: {out}")
    return out


def target_files(names: list[str], out: Path, suffix: str) -> dict[str, Path]:
    """Choose the file to write for each video.

    Args:
        names: Names of the videos.
        out: A folder, or the file to write if there is only one video.
        suffix: Suffix of the files, such as ``.eaf``.

    Returns:
        Video name → file.

    Raises:
        UsageError: There are no videos, several videos for one file, or a file with another suffix.
    """
    if not names:
        raise UsageError("the results hold no video that was analysed")
    if out.suffix.lower() == suffix.lower() and not out.is_dir():
        if len(names) > 1:
            raise UsageError(f"the results hold {len(names)} videos; `out` must name a folder, not {out}")
        return {names[0]: out}
    if out.suffix[1:2].isalpha() and not out.is_dir():
        raise UsageError(f"`out` must name a folder, or a {suffix} file if there is only one video: {out}")
    return files_for(names, out, suffix)


def refuse_overwriting_inputs(targets: Iterable[Path], results: Path) -> None:
    """Refuse to overwrite the results that are exported.

    Args:
        targets: The files to write.
        results: The results.

    Raises:
        UsageError: A target is one of the tables of the results.
    """
    own = {os.path.realpath(path) for path in output_paths(results)}
    for target in targets:
        if os.path.realpath(target) in own:
            raise UsageError(f"the output would overwrite the results: {target}")


def refuse_existing(targets: Iterable[Path], overwrite: bool) -> None:
    """Refuse to replace existing files.

    Args:
        targets: The files to write.
        overwrite: Allow it.

    Raises:
        UsageError: A target exists, and ``overwrite`` is false.
    """
    for target in targets:
        if target.exists() and not overwrite:
            raise UsageError(f"{target} exists and may hold manual work; `overwrite` replaces it")


def holds(path: Path, texts: Iterable[str]) -> bool:
    """Whether a file holds some texts one after another, in UTF-8, and nothing else.

    Args:
        path: The file; it need not exist.
        texts: The texts. They are not needed at once.

    Returns:
        Whether it does; False if it is no file or cannot be read.
    """
    if not path.is_file():  # reading a pipe would wait for ever
        return False
    with contextlib.suppress(OSError), path.open("rb") as file:
        return all(file.read(len(data)) == data for data in map(str.encode, texts)) and not file.read(1)
    return False


@contextlib.contextmanager
def writing_file(path: Path) -> Iterator[Path]:
    """Open a file for writing that appears when it is complete. Its folder is made.

    Args:
        path: The file.

    Yields:
        A temporary path to write to.

    Raises:
        OutputError: The file cannot be written.
    """
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as partial:
        yield partial


def write_csv(path: Path, frame: pd.DataFrame) -> None:
    """Write a pandas frame as CSV. Its folder is made.

    Args:
        path: The file.
        frame: The frame.

    Raises:
        OutputError: The file cannot be written.
    """
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    write_frame_csv(path, frame)
