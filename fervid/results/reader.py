"""Tables on disk: Arrow schemas, metadata, atomic writes, readers. The only file that imports pyarrow.

Schema version 1. Everything is written beside its final name, flushed to disk and renamed, so a file under
its final name is complete.
"""

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
from fervid.results.provenance import composed_metadata, store_folder
from fervid.results.schema import COMMON, SMALL, TIMELINE, output_paths, small_path
from fervid.types import EMOTIONS

if TYPE_CHECKING:
    import pandas as pd  # a run that finds nothing new to do does without it


@dataclass(frozen=True, eq=False)
class Results:
    """The four tables as pandas frames, and what is known of how they came about.

    Rows come in the order of the inputs, whatever form the results have on disk. ``emotion`` and ``dominant``
    are categories in the order of EMOTIONS; ``face_id``, ``person`` and the counts and sizes in ``videos`` are
    nullable integers.
    """

    timeline: pd.DataFrame
    episodes: pd.DataFrame
    summary: pd.DataFrame
    videos: pd.DataFrame
    metadata: dict[str, Any]

    def __repr__(self) -> str:
        faces, failed = len(self.summary), int((self.videos["status"] == "failed").sum())
        return (
            f"<fervid results: {len(self.videos)} videos ({failed} failed), {faces} faces, {len(self.timeline)} rows>"
        )

    def _repr_html_(self) -> str:
        """For notebooks: the same line, and the first faces. pandas escapes the names."""
        columns = ["video", "face_id", "first_seen", "last_seen", "coverage", "dominant", "trust"]
        faces = self.summary[columns].head(10).to_html(index=False, float_format="{:.2f}".format, border=0)
        return f"<p>{repr(self)[1:-1]}</p>{faces if len(self.summary) else ''}"


def read_results(path: str | os.PathLike[str]) -> Results:
    """Read what ``fervid analyze --out`` wrote: a Parquet file, a CSV file or a folder.

    Raises InputNotFound, or BadResults where fervid did not write it.
    """
    out = Path(path)
    tables = read_tables(out)
    frames = {name: tidy_frame(table) for name, table in tables.items()}
    return Results(**frames, metadata=_metadata(tables["timeline"].schema.metadata))


def read_tables(out: Path) -> dict[str, pa.Table]:
    """The four tables, rows in the order of the inputs, ``timeline`` with the metadata.

    Raises InputNotFound and BadResults.
    """
    if not out.exists():
        raise InputNotFound(f"no such results: {out}")
    try:
        timeline = _read_timeline(out)
        tables = {"timeline": timeline.select(TIMELINE.names).cast(TIMELINE.with_metadata(timeline.schema.metadata))}
    except (pa.ArrowException, KeyError, OSError, ValueError) as error:
        raise BadResults(f"{out} is not a results table of fervid: {str(error).splitlines()[0]}") from error
    tables |= {name: read_small(out, name) for name in SMALL}
    known = set(tables["videos"]["video_id"].to_pylist())
    if not set(tables["timeline"]["video_id"].unique().to_pylist()) <= known:
        raise BadResults(f"{out}: the tables beside it belong to another run; analyse again")
    if out.is_dir():  # its partitions come in the order of their names
        order = pc.index_in(tables["timeline"]["video_id"], tables["videos"]["video_id"].unique())
        tables["timeline"] = tables["timeline"].take(pa.array(np.argsort(order.to_numpy(), kind="stable")))
    return tables


def read_small(out: Path, name: str) -> pa.Table:
    """The small table ``name`` of the results at ``out``; raises BadResults."""
    try:
        return read_csv(small_path(out, name), SMALL[name], True)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise BadResults(f"{out} is not a results table of fervid: {str(error).splitlines()[0]}") from error


def _read_timeline(out: Path) -> pa.Table:
    if out.is_dir():
        filled = any((out / "timeline").glob("*/*.parquet"))
        from pyarrow.dataset import partitioning  # which loads pandas

        # as text, though every digit of a fingerprint be a decimal one
        names = partitioning(pa.schema([("video_id", pa.string())]), flavor="hive")
        if filled:
            return pq.read_table(out / "timeline", partitioning=names)
        common = out / "timeline" / COMMON
        return TIMELINE.with_metadata(pq.read_schema(common).metadata if common.exists() else None).empty_table()
    if out.suffix == ".csv":
        return read_csv(out, csv_safe(TIMELINE.empty_table()).schema).replace_schema_metadata(_recorded(out))
    return pq.read_table(out)


_NULLABLE = {"face_id", "person", "width", "height", "rotation", "frames_sampled", "faces"}
"""Integer columns that may hold nulls, which plain numpy integers cannot."""


def tidy_frame(table: pa.Table) -> pd.DataFrame:
    """The table with the types that ``Results`` tells of."""
    import pandas as pd

    frame = table.to_pandas()
    for field in table.schema:
        if field.name in ("emotion", "dominant"):
            frame[field.name] = pd.Categorical(frame[field.name], EMOTIONS)
        elif field.name in _NULLABLE:
            frame[field.name] = frame[field.name].astype(f"Int{field.type.bit_width}")
    return frame


def read_metadata(out: Path) -> dict[str, Any]:
    """How the results at ``out`` came about: versions, hashes, ``settings``.

    CSV holds none; where it lies as ``analyze`` left it, what that remembers of it, else nothing. Raises
    InputNotFound and BadResults.
    """
    if not out.exists():
        raise InputNotFound(f"no such results: {out}")
    try:
        if out.suffix == ".csv" and not out.is_dir():
            return _metadata(_recorded(out))
        timeline = out / "timeline"
        files = [*timeline.glob(COMMON), *sorted(timeline.glob("*/*.parquet"))][:1] if out.is_dir() else [out]
        return _metadata(pq.read_schema(files[0]).metadata) if files else {}
    except (pa.ArrowException, OSError, ValueError) as error:
        raise BadResults(f"{out} is not a results table of fervid: {str(error).splitlines()[0]}") from error


def _recorded(out: Path) -> dict[bytes, bytes]:
    """What the store beside a CSV file knows of how it was made, as the metadata of a Parquet file would say it."""
    known = composed_metadata(store_folder(out, False), output_paths(out))
    return {f"fervid.{key}".encode(): value.encode() for key, value in known.items()}


def _metadata(given: Mapping[bytes, bytes] | None) -> dict[str, Any]:
    """What a schema's metadata say of how results came about."""
    found = {key.decode(): value.decode() for key, value in (given or {}).items() if key.startswith(b"fervid.")}
    values: dict[str, Any] = {key.removeprefix("fervid."): value for key, value in found.items()}
    if "settings" in values:
        values["settings"] = json.loads(values["settings"])
    return values


def read_columns(path: Path, required: Sequence[str], optional: Sequence[str] = ()) -> dict[str, list[Any]]:
    """Columns of any Parquet file as Python lists; absent optional ones are left out. Raises BadDataset."""
    try:
        names = pq.read_schema(path).names
        missing = [name for name in required if name not in names]
        if missing:
            raise BadDataset(f"{path}: no column {', '.join(missing)}")
        table = pq.read_table(path, columns=[*required, *(name for name in optional if name in names)])
    except (pa.ArrowException, OSError) as error:
        raise BadDataset(f"{path}: not a readable Parquet file: {str(error).splitlines()[0]}") from error
    return {name: table.column(name).to_pylist() for name in table.column_names}
