"""Reading results: the tables as pandas frames or Arrow tables, and their metadata."""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fervid.errors import BadResults, InputNotFound
from fervid.results.belonging import contradiction
from fervid.results.collector import TableCollector
from fervid.results.csv import csv_safe, read_csv, read_csv_rows
from fervid.results.rebuild import rebuilt
from fervid.results.schema import (
    COMMON,
    FRAME_SIZE,
    NOTES,
    OTHER_SUFFIX,
    PARTITION,
    RECORD,
    SMALL,
    TIMELINE,
    is_folder,
    small_path,
)
from fervid.results.store_files import IN_FOLDER, MERGING
from fervid.results.timeline_files import (
    changed_tables,
    changed_timeline,
    decoded_metadata,
    digest_of,
    footer,
    identity,
    read_rows,
    recorded,
)
from fervid.results.validate import missing_rows, validated
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

    @functools.cached_property
    def places(self) -> dict[str, int]:
        """Video → position of its row in ``videos``; of the first one if the name is there twice."""
        names = self.videos["video"].tolist()
        return {name: place for place, name in reversed([*enumerate(names)])}

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
        before = identity(out)
        if before is None and _is_being_replaced(out):
            continue
        if not out.exists():
            raise InputNotFound(f"no such results: {out}")
        try:
            read = _read_once(out)
        except (BadResults, OSError):  # a file may be moved away meanwhile
            if before == identity(out):
                raise
            continue
        if before == identity(out):
            return read
    again = f"run the command that wrote it (analyze, merge or correct with `out` {out}) again"
    raise BadResults(f"{out} is incomplete: the run that writes it was interrupted or is at work; {again}")


def _is_being_replaced(out: Path) -> bool:
    """Whether small tables lie there without their timeline, as while tables are replaced."""
    if out.suffix not in ("", *OTHER_SUFFIX) or (out.suffix and out.with_suffix(OTHER_SUFFIX[out.suffix]).exists()):
        return False
    return any(small_path(out, name).exists() for name in SMALL)


def _read_once(out: Path) -> ReadTables:
    """Read and check the tables."""
    try:
        read = _read_timeline(out)
        metadata = decoded_metadata(out, read.schema.metadata)
        timeline = as_timeline(out, read)
    except BadResults:
        raise
    except (pa.ArrowException, KeyError, OSError, ValueError) as error:
        raise _bad_results(out, error) from error
    record, inherited = metadata.pop(RECORD, None), metadata.pop(NOTES, [])
    if out.suffix == ".parquet" and out.is_file() and not any(small_path(out, name).exists() for name in SMALL):
        tables, notes = _computed(out, timeline, metadata)
        notes += changed_timeline(out, record, digest_of(timeline))
        return ReadTables(tables, metadata, (*inherited, *notes), False)
    tables = {"timeline": timeline} | {name: read_small(out, name) for name in SMALL}
    changed = [*inherited, *changed_tables(out, record)]
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
    changed += changed_timeline(out, record, digest_of(written))
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


def as_timeline(out: Path, read: pa.Table) -> pa.Table:
    """Give rows that were read the columns and types of the timeline.

    Args:
        out: The results.
        read: The rows.

    Returns:
        The rows in the schema TIMELINE.

    Raises:
        BadResults: An earlier version of fervid wrote them.
        KeyError: A column is missing.
        ArrowException: A column has another type.
    """
    names = set(read.column_names)
    if {"video_id", "face_quality"} <= names and not names & set(FRAME_SIZE):
        raise BadResults(f"{out} was written by an earlier version of fervid; analyse again")
    if {"video_id", *FRAME_SIZE} <= names and not names & set(MEASURES):
        raise BadResults(f"{out} was written by an earlier version of fervid; analyse again")
    return read.select(TIMELINE.names).cast(TIMELINE)


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
        return read_csv(out, csv_safe(TIMELINE.empty_table()).schema).replace_schema_metadata(recorded(out))
    return read_rows(out).replace_schema_metadata(footer(out))


def _read_partitions(folder: Path) -> pa.Table:
    """The rows of all partitions, one file after another, so that memory is that of the rows."""
    common, rows = folder / COMMON, TableCollector()
    schema = TIMELINE.with_metadata(footer(common) if common.exists() else None)
    for part in sorted(folder.glob(f"{PARTITION}*/*.parquet")):
        table = read_rows(part)
        ids = pa.array([part.parent.name.removeprefix(PARTITION)] * len(table), pa.string())
        rows.add(table.append_column("video_id", ids).select(schema.names).cast(schema))
    return rows.table().replace_schema_metadata(schema.metadata) if len(rows) else schema.empty_table()


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


@dataclass(frozen=True)
class Manifest:
    """The manifest of results, which can be read without their timeline.

    Attributes:
        rows: Column → value of each input; empty if the small tables are missing.
        metadata: See ``read_metadata``.
        notes: Which small tables are not as fervid wrote them, as sentences. The timeline is not checked.
    """

    rows: list[dict[str, Any]]
    metadata: dict[str, Any]
    notes: tuple[str, ...]


def read_manifest(out: Path) -> Manifest:
    """Read the manifest of results.

    Args:
        out: The results.

    Returns:
        The manifest.

    Raises:
        InputNotFound: There is nothing at ``out``.
        BadResults: fervid did not write what is there, or it is incomplete.
    """
    metadata = _all_metadata(out)
    record, inherited = metadata.pop(RECORD, None), metadata.pop(NOTES, [])
    if not is_folder(out) and out.suffix == ".parquet" and not any(small_path(out, name).exists() for name in SMALL):
        return Manifest([], metadata, (*inherited, f"{out} lies without its small tables"))
    if not small_path(out, "videos").exists():
        raise _incomplete(out, "videos")
    try:
        rows = read_csv_rows(small_path(out, "videos"), SMALL["videos"])
    except (OSError, ValueError) as error:
        raise _bad_results(out, error) from error
    return Manifest(rows, metadata, (*inherited, *changed_tables(out, record)))


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
    return {key: value for key, value in _all_metadata(out).items() if key not in (RECORD, NOTES)}


def _all_metadata(out: Path) -> dict[str, Any]:
    """The metadata with the record of the small tables and the notes."""
    if not out.exists():
        raise InputNotFound(f"no such results: {out}")
    try:
        if out.suffix == ".csv" and not out.is_dir():
            raw = recorded(out)
        else:
            timeline = out / "timeline"
            files = [*timeline.glob(COMMON), *sorted(timeline.glob("*/*.parquet"))][:1] if out.is_dir() else [out]
            raw = footer(files[0]) if files else {}
    except BadResults:
        raise
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _bad_results(out, error) from error
    return decoded_metadata(out, raw)
