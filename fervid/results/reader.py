"""Reading results: the four tables as pandas frames or Arrow tables, and their metadata."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from fervid.errors import BadDataset, BadResults, InputNotFound
from fervid.results.csv import csv_safe, read_csv
from fervid.results.schema import COMMON, FRAME_SIZE, SMALL, TIMELINE, output_paths, small_path
from fervid.results.store_files import composed_metadata, store_folder
from fervid.results.validate import check_metadata, validated
from fervid.settings import TimelineSettings
from fervid.types import EMOTIONS

if TYPE_CHECKING:
    import pandas as pd  # slow to import; a run with nothing to do avoids it


@dataclass(frozen=True, eq=False)
class Results:
    """The four tables as pandas frames, and how they were made.

    Rows come in the order of the inputs, whether the results are one file or a folder. ``emotion`` and ``dominant``
    are categories in the order of EMOTIONS. ``face_id``, ``person`` and the counts and sizes in ``videos`` are nullable
    integers.

    Attributes:
        timeline: One row per sampled frame and face.
        episodes: One row per episode.
        summary: One row per face.
        videos: One row per input file.
        metadata: Versions, hashes, ``settings`` (group → name → value) and ``roots``; empty if the results do not
            record them.
    """

    timeline: pd.DataFrame
    episodes: pd.DataFrame
    summary: pd.DataFrame
    videos: pd.DataFrame
    metadata: dict[str, Any]

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
        BadResults: fervid did not write what is there.
    """
    out = Path(path)
    tables = read_tables(out)
    frames = {name: tidy_frame(table) for name, table in tables.items()}
    return Results(**frames, metadata=_metadata(out, tables["timeline"].schema.metadata))


def read_tables(out: Path, videos: pa.Table | None = None) -> dict[str, pa.Table]:
    """Read the four tables as Arrow tables.

    Args:
        out: The results.
        videos: The manifest, if it has been read already.

    Returns:
        The tables by name. Rows come in the order of the inputs; ``timeline`` has the metadata.

    Raises:
        InputNotFound: There is nothing at ``out``.
        BadResults: fervid did not write what is there.
    """
    if not out.exists():
        raise InputNotFound(f"no such results: {out}")
    try:
        timeline = _with_frame_size(_read_timeline(out), out, videos)
        tables = {"timeline": timeline.select(TIMELINE.names).cast(TIMELINE.with_metadata(timeline.schema.metadata))}
    except (pa.ArrowException, KeyError, OSError, ValueError) as error:
        raise _bad_results(out, error) from error
    for name in SMALL:
        tables[name] = videos if name == "videos" and videos is not None else read_small(out, name)
    known = set(tables["videos"]["video_id"].to_pylist())
    if not set(tables["timeline"]["video_id"].unique().to_pylist()) <= known:
        raise BadResults(f"{out}: the small tables beside it belong to another run; analyse again")
    if out.is_dir():  # partitions are read in the order of their names
        order = pc.index_in(tables["timeline"]["video_id"], tables["videos"]["video_id"].unique())
        tables["timeline"] = tables["timeline"].take(pa.array(np.argsort(order.to_numpy(), kind="stable")))
    return validated(tables, str(out))[0]


def _with_frame_size(timeline: pa.Table, out: Path, videos: pa.Table | None) -> pa.Table:
    """Add the columns that version 1 of the tables did not have. It scaled all frames to the size in the manifest."""
    if set(timeline.column_names) & set(FRAME_SIZE) or not {"video_id", "face_quality"} <= set(timeline.column_names):
        return timeline
    manifest = read_small(out, "videos") if videos is None else videos
    manifest = manifest.filter(pc.is_valid(manifest["width"]))
    rows = pc.index_in(timeline["video_id"], value_set=manifest["video_id"].combine_chunks())
    for name, column in zip(FRAME_SIZE, ("width", "height"), strict=True):
        timeline = timeline.append_column(name, manifest[column].take(rows))
    return timeline


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
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _bad_results(out, error) from error


def _incomplete(out: Path, name: str) -> BadResults:
    """The error for results that lack a small table."""
    if out.is_dir() and not (out / "timeline").exists():
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
        filled = any((out / "timeline").glob("*/*.parquet"))
        from pyarrow.dataset import partitioning  # slow to import

        # without this schema, a fingerprint of decimal digits alone would be read as a number
        names = partitioning(pa.schema([("video_id", pa.string())]), flavor="hive")
        if filled:
            return pq.read_table(out / "timeline", partitioning=names)
        common = out / "timeline" / COMMON
        return TIMELINE.with_metadata(pq.read_schema(common).metadata if common.exists() else None).empty_table()
    if out.suffix == ".csv":
        return read_csv(out, csv_safe(TIMELINE.empty_table()).schema).replace_schema_metadata(_recorded(out))
    return pq.read_table(out)


JSON_KEYS = {"settings", "roots"}
"""Keys of the metadata whose values are JSON; the others are plain text."""

_NULLABLE = {"face_id", "person", "width", "height", "rotation", "frames_sampled", "faces"}
"""Integer columns that may hold nulls, which plain numpy integers cannot."""


def tidy_frame(table: pa.Table) -> pd.DataFrame:
    """Convert a table to pandas.

    Args:
        table: One of the four tables.

    Returns:
        A frame with the types that ``Results`` documents.
    """
    import pandas as pd

    frame = table.to_pandas()
    for field in table.schema:
        if field.name in ("emotion", "dominant"):
            frame[field.name] = pd.Categorical(frame[field.name], EMOTIONS)
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
            return _metadata(out, _recorded(out))
        timeline = out / "timeline"
        files = [*timeline.glob(COMMON), *sorted(timeline.glob("*/*.parquet"))][:1] if out.is_dir() else [out]
        return _metadata(out, pq.read_schema(files[0]).metadata) if files else {}
    except BadResults:
        raise
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _bad_results(out, error) from error


def _recorded(out: Path) -> dict[bytes, bytes]:
    """The metadata of a CSV file from the store beside it, in the form of Parquet metadata."""
    recorded = composed_metadata(store_folder(out, False), output_paths(out))
    return {f"fervid.{key}".encode(): value.encode() for key, value in recorded.items()}


def _metadata(out: Path, raw: Mapping[bytes, bytes] | None) -> dict[str, Any]:
    """The entries of a schema's metadata that fervid wrote, decoded and checked."""
    try:
        texts = {key.decode(): value.decode() for key, value in (raw or {}).items() if key.startswith(b"fervid.")}
        values: dict[str, Any] = {key.removeprefix("fervid."): value for key, value in texts.items()}
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
