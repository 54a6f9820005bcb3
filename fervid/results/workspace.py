"""A private hidden folder beside results that are made from other results, for tables that are not complete."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from fervid.errors import OutputError, UsageError
from fervid.files.atomic import writing
from fervid.files.holder import LOCK_FILE, remove_holder, write_holder
from fervid.files.locks import take_lock
from fervid.files.private_folder import make_private
from fervid.results.mesh_table import refuse_foreign_meshes
from fervid.results.publish import finish_interrupted, remove
from fervid.results.schema import NOTES, SMALL, is_folder, mesh_path, output_paths, refuse_foreign, small_path
from fervid.results.store_files import MERGING, read_identity, store_folder
from fervid.results.writer import TableWriters, writers

ATTEMPTS = 10
"""How often a folder is made again that other processes remove before it is locked."""

KEYS = ("video", "video_id", "frame", "time")
"""Columns by which a timeline that fervid wrote is recognised before it is replaced."""

MAX_HEADER = 1 << 16
"""Characters of the first line of a CSV file that are read."""


@contextlib.contextmanager
def workspace(out: Path) -> Iterator[Path]:
    """Open a workspace that one process at a time can use, and remove it at the end.

    What a killed process left in it is finished, if it had begun to replace the tables, or removed.

    Args:
        out: The results to write. Their folder is made.

    Yields:
        An empty folder on the same disk as the results.

    Raises:
        OutputLocked: Another process writes these results.
        OutputError: The folder cannot be made or used.
    """
    folder = _workspace_folder(out)
    with _locked_folder(folder):
        scratch = folder / "scratch"
        with writing(out):
            finish_interrupted(out, scratch)
            shutil.rmtree(scratch, ignore_errors=True)
            scratch.mkdir(mode=0o700)
        try:
            yield scratch
        finally:
            remove(out, scratch)
            if not scratch.exists():
                shutil.rmtree(folder, ignore_errors=True)


def _workspace_folder(out: Path) -> Path:
    return out / MERGING if is_folder(out) else out.with_name(f".{out.name}.merging")


def left_workspace(out: Path) -> Path | None:
    """Find the workspace of results, which only a process at work or a killed one leaves there.

    Args:
        out: The results.

    Returns:
        The folder; None if there is none.
    """
    folder = _workspace_folder(out)
    return folder if folder.is_dir() and not folder.is_symlink() else None


@contextlib.contextmanager
def _locked_folder(folder: Path) -> Iterator[None]:
    """Make a private folder and hold the lock in it. Its last holder may remove it meanwhile; then it is made again."""
    for attempt in range(ATTEMPTS):
        try:
            make_private(folder)
            lock = take_lock(folder / LOCK_FILE)
            write_holder(folder)
            break
        except OutputError as error:
            if not isinstance(error.__cause__, FileNotFoundError) or attempt == ATTEMPTS - 1:
                raise
    try:
        yield
    finally:
        remove_holder(folder)
        lock.release()


def refuse_output(out: Path, sources: Sequence[Path]) -> None:
    """Refuse to write results over other files.

    Args:
        out: The results to write.
        sources: The results that they are made from.

    Raises:
        UsageError: ``out`` is one of ``sources``, or the output of ``analyze``.
        OutputError: fervid did not write what is there.
    """
    inputs = {os.path.realpath(path) for source in sources for path in [*output_paths(source), mesh_path(source)]}
    if any(os.path.realpath(path) in inputs for path in [*output_paths(out), mesh_path(out)]):
        raise UsageError(f"the output would overwrite one of the results: {out}")
    refuse_foreign(out)
    for path, columns in {out: KEYS, **{small_path(out, name): ("video",) for name in SMALL}}.items():
        if path.is_file() and not set(columns) <= set(_columns(path)):
            raise OutputError(f"cannot write {path}: fervid did not write what is there; move it away")
    refuse_foreign_meshes(out)
    if read_identity(store_folder(out, is_folder(out))) is not None:
        raise UsageError(f"{out} is an output of analyze, which would overwrite it; choose another `out`")


def _columns(path: Path) -> list[str]:
    """The columns of a Parquet or CSV file; empty if it is neither."""
    try:
        if path.suffix == ".parquet":
            return list(pq.read_schema(path).names)
        with path.open(encoding="utf-8", newline="") as file:
            return next(csv.reader([file.readline(MAX_HEADER)]), [])
    except (pa.ArrowException, csv.Error, OSError, ValueError):
        return []


@contextlib.contextmanager
def writing_results(
    out: Path, metadata: Mapping[str, Any], notes: Sequence[str], mesh: bool = False
) -> Iterator[TableWriters]:
    """Open writers of results that replace earlier ones when the block ends without an error.

    Args:
        out: The results to write: a Parquet file, a CSV file or a folder. Its folder is made.
        metadata: As in ``Results.metadata``.
        notes: The notes on the results that these are made from. Their readers see them too.
        mesh: Whether there is a table of meshes.

    Yields:
        The writers.

    Raises:
        OutputLocked: Another process writes these results.
        OutputError: The tables cannot be written.
    """
    told = {**metadata, NOTES: list(notes)} if notes else metadata
    texts = {name: value if isinstance(value, str) else json.dumps(value) for name, value in told.items()}
    with workspace(out) as scratch, writers(out, texts, scratch, mesh) as opened:
        yield opened
