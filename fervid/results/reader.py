"""Reading results: the tables as pandas frames or Arrow tables, and their metadata."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from fervid.errors import BadDataset, BadResults, InputNotFound
from fervid.files.fingerprint import sha256
from fervid.results.belonging import TimelineDigest, contradiction
from fervid.results.collector import TableCollector
from fervid.results.csv import csv_safe, read_csv
from fervid.results.mesh_table import MESH_NAME, has_meshes
from fervid.results.rebuild import rebuilt
from fervid.results.schema import (
    COMMON,
    FRAME_SIZE,
    NOTES,
    OTHER_SUFFIX,
    PARTITION,
    PREFIX,
    RECORD,
    SMALL,
    TIMELINE,
    mesh_path,
    output_paths,
    small_path,
    timeline_path,
)
from fervid.results.store_files import IN_FOLDER, MERGING, composed_metadata, store_folder
from fervid.results.validate import check_metadata, missing_rows, validated
from fervid.runtime.special_files import refuse_special
from fervid.settings import TimelineSettings
from fervid.types import EMOTIONS, MEASURES

ATTEMPTS, PAUSE = 10, 0.1
"""How often and after how many seconds tables are read again that another process replaces."""

if TYPE_CHECKING:
    import pandas as pd  # slow to import; a run with nothing to do avoids it


@dataclass(frozen=True, eq=False)
class Results:
    """The tables as pandas frames, and how they were made.

    Rows come in the order of the inputs, whether the results are one file or a folder. ``emotion`` and ``dominant``
    are categories in the order of EMOTIONS. ``face_id``, ``person`` and the counts and sizes in ``videos`` are nullable
    integers.

    Attributes:
        timeline: One row per sampled frame and face.
        episodes: One row per episode.
        summary: One row per face.
        persons: One row per person of a video.
        shots: One row per shot of a video.
        doubts: One row per doubt about a face.
        videos: One row per input file.
        metadata: Versions, hashes, ``settings`` (group → name → value) and ``roots``; empty if the results do not
            record them.
        notes: What a user should know about the tables, such as that one was changed, as sentences.
        is_intact: Whether the tables are exactly what fervid wrote.
    """

    timeline: pd.DataFrame
    episodes: pd.DataFrame
    summary: pd.DataFrame
    persons: pd.DataFrame
    shots: pd.DataFrame
    doubts: pd.DataFrame
    videos: pd.DataFrame
    metadata: dict[str, Any]
    notes: tuple[str, ...] = ()
    is_intact: bool = True

    @property
    def max_gap(self) -> float:
        """The setting ``max_gap`` of the results, in seconds; the default if they do not record it."""
        timeline = self.metadata.get("settings", {}).get("timeline", {})
        return float(timeline.get("max_gap", TimelineSettings.max_gap))

    @property
    def roots(self) -> list[Path]:
        """The folders that were analysed, in input order; empty if the results do not record them."""
        return [Path(root) for root in self.metadata.get("roots", [])]

    def __repr__(self) -> str:
        faces, failed = len(self.summary), int((self.videos["status"] == "failed").sum())
        return (
            f"<fervid results: {len(self.videos)} videos ({failed} failed), {faces} faces, {len(self.timeline)} rows>"
        )

    def _repr_html_(self) -> str:
        """The same line and the first faces, for notebooks. pandas escapes the names."""
        columns = ["video", "face_id", "first_seen", "last_seen", "coverage", "dominant", "trust"]
        faces = self.summary[columns].head(10).to_html(index=False, float_format="{:.2f}".format, border=0)
        return f"<p>{repr(self)[1:-1]}</p>{faces if len(self.summary) else ''}"


def read_results(path: str | os.PathLike[str]) -> Results:
    """Read results from disk.

    Args:
        path: What ``analyze`` or ``merge`` wrote: a Parquet file, a CSV file or a folder.

    Returns:
        The tables and their metadata.

    Raises:
        InputNotFound: There is nothing at ``path``.
        BadResults: fervid did not write what is there, or it is incomplete.
    """
    read = read_checked(Path(path))
    frames = {name: tidy_frame(table) for name, table in read.tables.items()}
    return Results(**frames, metadata=read.metadata, notes=read.notes, is_intact=read.is_intact)


@dataclass(frozen=True, eq=False)
class ReadTables:
    """The tables of results, checked.

    Attributes:
        tables: The tables by name. Rows come in the order of the inputs.
        metadata: See ``read_metadata``.
        notes: What a user should know about them, as sentences.
        is_intact: Whether they are exactly what fervid wrote.
    """

    tables: dict[str, pa.Table]
    metadata: dict[str, Any]
    notes: tuple[str, ...]
    is_intact: bool


def read_tables(out: Path) -> dict[str, pa.Table]:
    """Read the tables as Arrow tables; see ``read_checked``.

    Args:
        out: The results.

    Returns:
        The tables by name.

    Raises:
        InputNotFound: There is nothing at ``out``.
        BadResults: See ``read_checked``.
    """
    return read_checked(out).tables


def read_checked(out: Path) -> ReadTables:
    """Read the tables as Arrow tables, and check that they belong together.

    If another process replaces the tables meanwhile, they are read again.

    Args:
        out: The results.

    Returns:
        The tables. Videos with a row that cannot be right are called ``failed``.

    Raises:
        InputNotFound: There is nothing at ``out``.
        BadResults: fervid did not write what is there, rows are missing, or the tables are being replaced.
    """
    for attempt in range(ATTEMPTS):
        if attempt:
            time.sleep(PAUSE)
        before = _identity(out)
        if before is None and _is_being_replaced(out):
            continue
        if not out.exists():
            raise InputNotFound(f"no such results: {out}")
        try:
            read = _read_once(out)
        except (BadResults, OSError):  # a file may be moved away meanwhile
            if before == _identity(out):
                raise
            continue
        if before == _identity(out):
            return read
    again = f"run the command that wrote it (analyze, merge or correct with `out` {out}) again"
    raise BadResults(f"{out} is incomplete: the run that writes it was interrupted or is at work; {again}")


def _identity(out: Path) -> tuple[int, ...] | None:
    """What changes when the timeline is replaced; None if there is none."""
    try:
        status = (out / "timeline" if out.is_dir() else out).stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size


def _is_being_replaced(out: Path) -> bool:
    """Whether small tables lie there without their timeline, as while tables are replaced."""
    if out.suffix not in ("", *OTHER_SUFFIX) or (out.suffix and out.with_suffix(OTHER_SUFFIX[out.suffix]).exists()):
        return False
    return any(small_path(out, name).exists() for name in SMALL)


def _read_once(out: Path) -> ReadTables:
    """Read and check the tables."""
    try:
        read = _read_timeline(out)
        metadata = _metadata(out, read.schema.metadata)
        names = set(read.column_names)
        if {"video_id", "face_quality"} <= names and not names & set(FRAME_SIZE):
            raise BadResults(f"{out} was written by an earlier version of fervid; analyse again")
        if {"video_id", *FRAME_SIZE} <= names and not names & set(MEASURES):
            raise BadResults(f"{out} was written by an earlier version of fervid; analyse again")
        timeline = read.select(TIMELINE.names).cast(TIMELINE)
    except BadResults:
        raise
    except (pa.ArrowException, KeyError, OSError, ValueError) as error:
        raise _bad_results(out, error) from error
    record, inherited = metadata.pop(RECORD, None), metadata.pop(NOTES, [])
    if out.suffix == ".parquet" and out.is_file() and not any(small_path(out, name).exists() for name in SMALL):
        tables, notes = _computed(out, timeline, metadata)
        notes += _changed_timeline(out, record, timeline)
        return ReadTables(tables, metadata, (*inherited, *notes), False)
    tables = {"timeline": timeline} | {name: read_small(out, name) for name in SMALL}
    changed = [*inherited, *_changed(out, record)]
    written = tables["timeline"]
    left_out = _without_unlisted(out, tables, not changed)
    if out.is_dir():  # partitions are read in the order of their names
        order = pc.index_in(tables["timeline"]["video_id"], tables["videos"]["video_id"].unique())
        tables["timeline"] = tables["timeline"].take(pa.array(np.argsort(order.to_numpy(), kind="stable")))
    tables, notes = validated(tables, str(out))
    missing = missing_rows(tables, trusted=not changed)
    if missing:
        raise BadResults(f"{out} is incomplete: {missing}; analyse again")
    if reason := contradiction(tables):
        raise BadResults(f"{out}: its tables do not belong together: {reason}; analyse again, or use `correct`")
    changed += _changed_timeline(out, record, written)
    return ReadTables(tables, metadata, (*notes, *changed, *left_out), not notes and not changed)


def _computed(out: Path, timeline: pa.Table, metadata: Mapping[str, Any]) -> tuple[dict[str, pa.Table], list[str]]:
    """All tables of a Parquet file that was copied without its small tables, and what to note about them."""
    if "settings" not in metadata:
        raise BadResults(
            f"{out} is incomplete: its small tables are missing, and it does not record the settings to compute them"
        )
    tables, notes = rebuilt(timeline, metadata, str(out))
    lost = "lengths, cuts, notes of the scan, and failed inputs are unknown"
    return tables, [*notes, f"{out} lies without its small tables; they were computed from its rows, and {lost}"]


def _without_unlisted(out: Path, tables: dict[str, pa.Table], is_unchanged: bool) -> list[str]:
    """Leave the videos out whose rows were deleted from the manifest, and say so."""
    found, listed = tables["timeline"]["video_id"].unique(), tables["videos"]["video_id"].unique()
    unlisted = found.filter(pc.invert(pc.is_in(found, listed)))
    if not len(unlisted):
        return []
    if is_unchanged or len(unlisted) == len(found):
        raise BadResults(f"{out}: the small tables beside it belong to another run; analyse again")
    for name in ("timeline", *SMALL):
        if name != "videos":
            tables[name] = tables[name].filter(pc.invert(pc.is_in(tables[name]["video_id"], unlisted)))
    videos = f"{len(unlisted)} video{'' if len(unlisted) == 1 else 's'}"
    return [f"{out} has rows of {videos} that the videos table does not list; they are left out"]


def _changed(out: Path, record: object) -> list[str]:
    """Which tables but the timeline are not as fervid wrote them, as sentences. ``record``: table → SHA-256."""
    if not isinstance(record, dict):
        return [f"{out} does not say which tables belong to it, so it may have been changed"]
    names = [name for name in SMALL if name in record and sha256(small_path(out, name)) != record[name]]
    paths = [small_path(out, name) for name in names]
    if MESH_NAME in record and has_meshes(out) and sha256(mesh_path(out)) != record[MESH_NAME]:
        paths.append(mesh_path(out))
    return [f"{path} was changed after fervid wrote it" for path in paths]


def _changed_timeline(out: Path, record: object, timeline: pa.Table) -> list[str]:
    """Whether the timeline is not as fervid wrote it, as sentences. ``record`` may hold its digest."""
    if not isinstance(record, dict) or "timeline" not in record:
        return []
    digest = TimelineDigest()
    digest.add(timeline)
    same = digest.text() == record["timeline"]
    return [] if same else [f"{timeline_path(out)} was changed after fervid wrote it"]


def read_small(out: Path, name: str) -> pa.Table:
    """Read one small table.

    Args:
        out: The results.
        name: ``episodes``, ``summary`` or ``videos``.

    Returns:
        The table. Columns that an earlier version did not write are null.

    Raises:
        BadResults: fervid did not write what is there.
    """
    if not small_path(out, name).exists():
        raise _incomplete(out, name)
    try:
        return read_csv(small_path(out, name), SMALL[name], True)
    except BadResults:
        raise
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _bad_results(out, error) from error


def _incomplete(out: Path, name: str) -> BadResults:
    """The error for results that lack a small table."""
    if out.is_dir() and not (out / "timeline").exists():
        if any((out / name).is_dir() for name in (IN_FOLDER, MERGING)):
            return BadResults(f"{out} is incomplete: a run that wrote it was interrupted or is at work; run it again")
        others = [path.name for path in sorted(out.glob("*.parquet")) if small_path(path, "videos").exists()]
        found = f"; {others[0]} in it is one" if others else ""
        return BadResults(f"{out} is a folder, but not results that fervid wrote{found}")
    return BadResults(f"{out} is incomplete: {small_path(out, name)} is missing")


def _bad_results(out: Path, error: Exception) -> BadResults:
    """The error for a file that fervid did not write, or not as the timeline. It says which file to name instead."""
    if isinstance(error, PermissionError):
        return BadResults(f"{out} cannot be read: permission denied")
    stem, _, table = out.stem.rpartition(".")
    if out.suffix == ".csv" and table in SMALL:
        if not stem:
            return BadResults(f"{out} is only the table {table}; name its folder, {out.parent}, instead")
        paths = [out.with_name(stem + suffix) for suffix in (".parquet", ".csv")]
        timeline = next((path for path in paths if path.exists()), None)
        instead = f"name {timeline} instead" if timeline else "name the results that it lies beside instead"
        return BadResults(f"{out} is only the table {table}; {instead}")
    return BadResults(f"{out} is not results of fervid; name the .parquet file, .csv file or folder that it wrote")


def _read_timeline(out: Path) -> pa.Table:
    if out.is_dir():
        return _read_partitions(out / "timeline")
    if out.suffix == ".csv":
        return read_csv(out, csv_safe(TIMELINE.empty_table()).schema).replace_schema_metadata(_recorded(out))
    return _read_rows(out).replace_schema_metadata(_footer(out))


def _read_rows(path: Path) -> pa.Table:
    """The rows of a Parquet file."""
    refuse_special(path, BadResults)
    return pq.read_table(path, partitioning=None)


def _footer(path: Path) -> dict[bytes, bytes]:
    """The metadata of a Parquet file: what its schema holds, and what was added when its rows were complete."""
    refuse_special(path, BadResults)
    footer: Mapping[bytes, bytes] = pq.read_metadata(path).metadata or {}
    added = {key: value for key, value in footer.items() if key.startswith(PREFIX.encode())}
    return {**(pq.read_schema(path).metadata or {}), **added}


def _read_partitions(folder: Path) -> pa.Table:
    """The rows of all partitions, one file after another, so that memory is that of the rows."""
    common, rows = folder / COMMON, TableCollector()
    schema = TIMELINE.with_metadata(_footer(common) if common.exists() else None)
    for part in sorted(folder.glob(f"{PARTITION}*/*.parquet")):
        table = _read_rows(part)
        ids = pa.array([part.parent.name.removeprefix(PARTITION)] * len(table), pa.string())
        rows.add(table.append_column("video_id", ids).select(schema.names).cast(schema))
    return rows.table().replace_schema_metadata(schema.metadata) if len(rows) else schema.empty_table()


JSON_KEYS = {"settings", "roots", RECORD, NOTES}
"""Keys of the metadata whose values are JSON; the others are plain text."""

_NULLABLE = {"face_id", "person", "shot", "width", "height", "rotation", "size", "frames_sampled", "faces"}
"""Integer columns that may hold nulls, which plain numpy integers cannot."""


def tidy_frame(table: pa.Table) -> pd.DataFrame:
    """Convert a table to pandas.

    Args:
        table: One of the tables.

    Returns:
        A frame with the types that ``Results`` documents.
    """
    import pandas as pd

    frame = table.to_pandas()
    for field in table.schema:
        if field.name in ("emotion", "dominant"):
            frame[field.name] = pd.Categorical(frame[field.name].astype(object), EMOTIONS)
        elif field.name in _NULLABLE:
            frame[field.name] = frame[field.name].astype(f"Int{field.type.bit_width}")
    return frame


def read_metadata(out: Path) -> dict[str, Any]:
    """Read how results were made.

    A CSV file holds no metadata. They are taken from the folder of the run beside it, if that is still there and the
    tables were not modified.

    Args:
        out: The results.

    Returns:
        Versions, hashes, ``settings`` (group → name → value) and ``roots`` (list of folders); empty if the results
        do not record them.

    Raises:
        InputNotFound: There is nothing at ``out``.
        BadResults: fervid did not write what is there.
    """
    if not out.exists():
        raise InputNotFound(f"no such results: {out}")
    try:
        if out.suffix == ".csv" and not out.is_dir():
            raw = _recorded(out)
        else:
            timeline = out / "timeline"
            files = [*timeline.glob(COMMON), *sorted(timeline.glob("*/*.parquet"))][:1] if out.is_dir() else [out]
            raw = _footer(files[0]) if files else {}
    except BadResults:
        raise
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _bad_results(out, error) from error
    metadata = _metadata(out, raw)
    return {key: value for key, value in metadata.items() if key not in (RECORD, NOTES)}


def _recorded(out: Path) -> dict[bytes, bytes]:
    """The metadata of a CSV file from the store beside it, in the form of Parquet metadata."""
    recorded = composed_metadata(store_folder(out, False), output_paths(out))
    return {f"{PREFIX}{key}".encode(): value.encode() for key, value in recorded.items()}


def _metadata(out: Path, raw: Mapping[bytes, bytes] | None) -> dict[str, Any]:
    """The entries of metadata that fervid wrote, decoded and checked, with the record of the small tables."""
    try:
        own = {key: value for key, value in (raw or {}).items() if key.startswith(PREFIX.encode())}
        values: dict[str, Any] = {key.decode().removeprefix(PREFIX): value.decode() for key, value in own.items()}
        for key in JSON_KEYS & values.keys():
            values[key] = json.loads(values[key])
        check_metadata(values)
    except (ValueError, RecursionError) as error:
        reason = str(error) if isinstance(error, BadResults) else "its metadata are damaged"
        raise BadResults(f"{out} cannot be used: {reason}") from error
    return values


def read_columns(path: Path, required: Sequence[str], optional: Sequence[str] = ()) -> dict[str, list[Any]]:
    """Read columns of any Parquet file.

    Args:
        path: The file.
        required: Columns that must be there.
        optional: Columns that are left out of the result if the file does not have them.

    Returns:
        Column name → values as a Python list.

    Raises:
        BadDataset: The file cannot be read, or a required column is missing.
    """
    try:
        names = pq.read_schema(path).names
        missing = [name for name in required if name not in names]
        if missing:
            raise BadDataset(f"{path}: no column {', '.join(missing)}")
        table = pq.read_table(path, columns=[*required, *(name for name in optional if name in names)])
    except (pa.ArrowException, OSError) as error:
        raise BadDataset(f"{path}: not a readable Parquet file: {str(error).splitlines()[0]}") from error
    return {name: table.column(name).to_pylist() for name in table.column_names}
