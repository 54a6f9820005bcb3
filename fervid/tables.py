"""Tables on disk: Arrow schemas, metadata, atomic writes, readers. The only file that imports pyarrow.

Schema version 1. Everything is written beside its final name, flushed to disk and renamed, so a file under
its final name is complete.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from fervid.errors import BadDataset, BadResults, InputNotFound, UsageError, writing
from fervid.store import composed_metadata, store_folder
from fervid.types import EMOTIONS, DoubleArray, FloatArray, Track

if TYPE_CHECKING:
    import pandas as pd  # a run that finds nothing new to do does without it

SCHEMA_VERSION = 1

_LABEL = pa.dictionary(pa.int8(), pa.string())


def _fields(kind: pa.DataType, *names: str) -> list[pa.Field]:
    return [pa.field(name, kind) for name in names]


def _emotions(pattern: str, kind: pa.DataType) -> list[pa.Field]:
    return _fields(kind, *(pattern.format(emotion) for emotion in EMOTIONS))


TIMELINE = pa.schema(
    [
        *_fields(pa.string(), "video", "video_id"),
        *_fields(pa.int64(), "frame"),
        *_fields(pa.float64(), "time"),
        *_fields(pa.int32(), "face_id", "person"),
        *_fields(pa.float32(), "face_x", "face_y", "face_width", "face_height", "face_score", "face_quality"),
        *_emotions("{}", pa.float32()),
        *_emotions("{}_smooth", pa.float32()),
        pa.field("emotion", _LABEL),
        *_fields(pa.float32(), "confidence"),
    ]
)
"""One row per sampled frame and face; a sampled frame without a face keeps one row with null face columns."""

EPISODES = pa.schema(
    [
        *_fields(pa.string(), "video", "video_id"),
        *_fields(pa.int32(), "face_id"),
        *_fields(pa.string(), "emotion"),
        *_fields(pa.float64(), "onset", "apex", "offset", "duration", "peak", "mean"),
    ]
)

SUMMARY = pa.schema(
    [
        *_fields(pa.string(), "video", "video_id"),
        *_fields(pa.int32(), "face_id"),
        *_fields(pa.float64(), "first_seen", "last_seen"),
        *_fields(pa.int64(), "samples"),
        *_fields(pa.float64(), "coverage", "longest_gap"),
        *_fields(pa.string(), "dominant"),
        *_emotions("share_{}", pa.float64()),
        *_emotions("mean_{}", pa.float64()),
        *_fields(pa.float64(), "transitions_per_minute", "mean_quality"),
        *_fields(pa.string(), "trust"),
        *_fields(pa.float64(), "low_quality_share"),
    ]
)

VIDEOS = pa.schema(
    [
        *_fields(pa.string(), "video", "video_id", "status", "error", "message"),
        *_fields(pa.float64(), "duration"),
        *_fields(pa.int32(), "width", "height", "rotation"),
        *_fields(pa.string(), "codec"),
        *_fields(pa.int64(), "frames_sampled", "faces"),
        *_fields(pa.float64(), "seconds"),
        *_fields(pa.string(), "finished_at"),
        *_fields(pa.float64(), "coverage", "longest_gap", "low_quality_share"),
        *_fields(pa.string(), "trust"),
    ]
)

ANALYSED = ("ok", "no_face")
"""Statuses of videos that have a timeline."""

SMALL = {"episodes": EPISODES, "summary": SUMMARY, "videos": VIDEOS}
"""The small tables, written as CSV beside the timeline."""

COMMON = "_common_metadata"
"""The file beside the partitions of a timeline that holds its schema and metadata, as Parquet data sets have it."""

STILLS = pa.schema(
    [
        *_fields(pa.string(), "image"),
        *_fields(pa.float32(), "face_x", "face_y", "face_width", "face_height", "face_score"),
        *_emotions("{}", pa.float32()),
        *_fields(pa.string(), "emotion"),
        *_fields(pa.float32(), "confidence"),
    ]
)
"""``fervid classify``: one row a face, or one with nulls for an image without a face."""


def write_stills(path: Path, rows: list[dict[str, Any]]) -> None:
    """Write the rows of ``fervid classify`` as CSV; raises OutputError."""
    write_table_csv(path, pa.Table.from_pylist(rows, STILLS))


def timeline_table(
    video: str,
    video_id: str,
    frames: np.ndarray[Any, Any],
    times: DoubleArray,
    tracks: Sequence[Track],
    raw: Sequence[FloatArray],
    smoothed: Sequence[FloatArray],
) -> pa.Table:
    """The timeline of one video, ordered by frame, then face.

    ``frames`` and ``times`` (n,): all sampled frames. ``raw`` and ``smoothed``: (samples, 7) for each track.
    """
    seen = np.concatenate([*(track.frames for track in tracks), np.zeros(0, np.int64)])
    empty = ~np.isin(frames, seen)
    count = int(empty.sum())

    def column(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
        """Values of the tracks one after the other, then nulls for the frames without a face."""
        parts = [np.asarray(value) for value in values]
        filled = pa.array(np.concatenate(parts) if parts else np.zeros(0), kind)
        return pa.concat_arrays([filled, pa.nulls(count, kind)])

    leading = [values.argmax(axis=1) for values in smoothed]
    columns: dict[str, Any] = {
        "frame": pa.array(np.concatenate([seen, frames[empty]]), pa.int64()),
        "time": pa.array(np.concatenate([*(track.times for track in tracks), times[empty]]), pa.float64()),
        "face_id": column([np.full(len(track.times), track.face_id) for track in tracks], pa.int32()),
        "person": pa.array([track.person for track in tracks for _ in track.times] + [None] * count, pa.int32()),
        "face_score": column([track.scores for track in tracks], pa.float32()),
        "face_quality": column([track.qualities for track in tracks], pa.float32()),
        "confidence": column([values.max(axis=1) for values in smoothed], pa.float32()),
        "emotion": pa.DictionaryArray.from_arrays(column(leading, pa.int8()), pa.array(EMOTIONS)),
    }
    for axis, name in enumerate(("face_x", "face_y", "face_width", "face_height")):
        columns[name] = column([track.boxes[:, axis] for track in tracks], pa.float32())
    for index, name in enumerate(EMOTIONS):
        columns[name] = column([values[:, index] for values in raw], pa.float32())
        columns[f"{name}_smooth"] = column([values[:, index] for values in smoothed], pa.float32())
    columns["video"] = pa.array([video] * (len(seen) + count), pa.string())
    columns["video_id"] = pa.array([video_id] * (len(seen) + count), pa.string())
    table = pa.table({name: columns[name] for name in TIMELINE.names}, schema=TIMELINE)
    return table.sort_by([("frame", "ascending"), ("face_id", "ascending")])


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A path beside ``path`` to write to; renamed to ``path`` when complete, removed otherwise.

    Raises OutputError where the system refuses.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with writing(path):
            yield beside
            with beside.open("rb+") as file:
                os.fsync(file.fileno())
            beside.replace(path)
            sync_folder(path.parent)
    finally:
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Make what was renamed into a folder outlast a power failure, where the system can."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def write_table_csv(path: Path, table: pa.Table) -> None:
    """Write a table as CSV, cells that a spreadsheet would run as a formula made safe; raises OutputError."""
    with replacing(path) as beside:
        pa_csv.write_csv(plain(table), beside)


def write_frame_csv(path: Path, frame: pd.DataFrame) -> None:
    """The same of a pandas frame, without its index; its header without quotes, which other tools may not expect."""
    table = plain(pa.Table.from_pandas(frame, preserve_index=False))
    with replacing(path) as beside, beside.open("wb") as file:
        file.write((",".join(table.column_names) + "\n").encode())
        pa_csv.write_csv(table, file, pa_csv.WriteOptions(include_header=False))


def plain(table: pa.Table) -> pa.Table:
    """The table as CSV can hold it: labels as strings, none of which begins like a formula."""
    for index, field in enumerate(table.schema):
        if pa.types.is_dictionary(field.type) or pa.types.is_string(field.type) or pa.types.is_large_string(field.type):
            values = [_harmless(value) for value in table.column(index).to_pylist()]
            table = table.set_column(index, field.name, pa.array(values, pa.string()))
    return table


def _harmless(text: str | None) -> str | None:
    return f"'{text}" if text and text[0] in "=+-@\t\r'" else text


def _restored(table: pa.Table) -> pa.Table:
    """The table with the strings that ``_plain`` made safe as they were."""
    for index, field in enumerate(table.schema):
        if field.type == pa.string():
            values = [value.removeprefix("'") if value else value for value in table.column(index).to_pylist()]
            table = table.set_column(index, field.name, pa.array(values, pa.string()))
    return table


def small_path(out: Path, name: str) -> Path:
    """Where the small table ``name`` of the results at ``out`` lies."""
    return out / f"{name}.csv" if is_folder(out) else out.with_suffix(f".{name}.csv")


def output_paths(out: Path) -> list[Path]:
    """Every file that results at ``out`` consist of, but for the partitions of a folder."""
    return [out, *(small_path(out, name) for name in SMALL)]


def is_folder(out: Path) -> bool:
    """Whether results at ``out`` are a partitioned folder; UsageError for an ending that means nothing."""
    if out.name in ("", ".."):
        raise UsageError("--out must name a file or a folder of its own")
    if out.suffix not in (".parquet", ".csv", ""):
        raise UsageError(f"--out must end in .parquet or .csv, or be a folder: {out}")
    return out.suffix == ""


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
    frames = {name: _tidy(table) for name, table in tables.items()}
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
        return _read_csv(small_path(out, name), SMALL[name], True)
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
        return _read_csv(out, plain(TIMELINE.empty_table()).schema).replace_schema_metadata(_recorded(out))
    return pq.read_table(out)


_NULLABLE = {"face_id", "person", "width", "height", "rotation", "frames_sampled", "faces"}
"""Integer columns that may hold nulls, which plain numpy integers cannot."""


def _tidy(table: pa.Table) -> pd.DataFrame:
    """The table with the types that ``Results`` tells of."""
    import pandas as pd

    frame = table.to_pandas()
    for field in table.schema:
        if field.name in ("emotion", "dominant"):
            frame[field.name] = pd.Categorical(frame[field.name], EMOTIONS)
        elif field.name in _NULLABLE:
            frame[field.name] = frame[field.name].astype(f"Int{field.type.bit_width}")
    return frame


def _read_csv(path: Path, schema: pa.Schema, fill: bool = False) -> pa.Table:
    """What ``_plain`` made of a table of that schema, with its strings as they were; with ``fill``, columns that
    an earlier version did not write are null."""
    parse = pa_csv.ParseOptions(newlines_in_values=True)
    options = pa_csv.ConvertOptions(
        column_types=schema,
        strings_can_be_null=True,
        null_values=[""],
        include_columns=schema.names if fill else [],
        include_missing_columns=fill,
    )
    return _restored(pa_csv.read_csv(path, parse_options=parse, convert_options=options))


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
