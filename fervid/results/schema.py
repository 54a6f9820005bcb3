"""The columns of every table, and where the files of a result lie."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from fervid.errors import OutputError, UsageError
from fervid.results.provenance import store_folder
from fervid.types import EMOTIONS

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


def refuse_foreign(out: Path) -> None:
    """Raise OutputError where something lies at ``out`` that fervid did not write and would have to replace, and
    UsageError where the small tables there belong to results of the other ending."""
    if is_folder(out):
        ours = ("video_id=*", COMMON)
        if any(not any(map(entry.match, ours)) for entry in (out / "timeline").glob("*")):
            raise OutputError(f"cannot write {out / 'timeline'}: it holds files that are not fervid's")
    elif out.is_dir():
        raise OutputError(f"cannot write {out}: it is a folder")
    else:
        twin = out.with_suffix({".parquet": ".csv", ".csv": ".parquet"}[out.suffix])
        merged = twin.exists() and not out.exists() and all(small_path(out, name).exists() for name in SMALL)
        if merged or store_folder(twin, False).exists():
            raise UsageError(f"{twin.name} has small tables of the same names; choose another --out")
