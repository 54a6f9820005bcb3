"""The columns of every table, and the paths of the files that results consist of."""

from __future__ import annotations

import re
from pathlib import Path

import pyarrow as pa

from fervid.errors import OutputError, UsageError
from fervid.results.store_files import store_folder
from fervid.runtime.special_files import refuse_name
from fervid.types import EMOTIONS, MEASURES

SCHEMA_VERSION = 2
"""Version of the tables, stored in their metadata."""

_LABEL = pa.dictionary(pa.int8(), pa.string())
"""Type of a column of emotion names."""


def _fields(kind: pa.DataType, *names: str) -> list[pa.Field]:
    return [pa.field(name, kind) for name in names]


def _emotions(pattern: str, kind: pa.DataType) -> list[pa.Field]:
    return _fields(kind, *(pattern.format(emotion) for emotion in EMOTIONS))


FRAME_SIZE = ("frame_width", "frame_height")
"""The columns of the timeline that version 1 did not have."""

TIMELINE = pa.schema(
    [
        *_fields(pa.string(), "video", "video_id"),
        *_fields(pa.int64(), "frame"),
        *_fields(pa.float64(), "time"),
        *_fields(pa.int32(), "face_id", "person"),
        *_fields(pa.string(), "participant"),
        *_fields(pa.float32(), "face_x", "face_y", "face_width", "face_height", "face_score", "face_quality"),
        *_fields(pa.float32(), *MEASURES),
        *_fields(pa.int32(), *FRAME_SIZE),
        *_emotions("{}", pa.float32()),
        *_emotions("{}_smooth", pa.float32()),
        *_fields(pa.float32(), "valence"),
        pa.field("emotion", _LABEL),
        *_fields(pa.float32(), "confidence"),
    ]
)
"""One row per sampled frame and face; a sampled frame without a face keeps one row with null face columns."""

PART = TIMELINE.remove(TIMELINE.get_field_index("video"))
"""The timeline of one video, before its name is added."""

EPISODES = pa.schema(
    [
        *_fields(pa.string(), "video", "video_id"),
        *_fields(pa.int32(), "face_id"),
        *_fields(pa.string(), "kind", "emotion"),
        *_fields(pa.float64(), "onset", "apex", "offset", "duration", "peak", "mean"),
    ]
)
"""One row per episode of an emotion or event; see fervid.timeline.episodes and fervid.timeline.events."""

_STATISTICS = [
    *_fields(pa.float64(), "first_seen", "last_seen"),
    *_fields(pa.int64(), "samples"),
    *_fields(pa.float64(), "coverage", "longest_gap"),
    *_fields(pa.string(), "dominant"),
    *_emotions("share_{}", pa.float64()),
    *_emotions("mean_{}", pa.float64()),
    *_fields(pa.float64(), "mean_valence", *(f"mean_{name}" for name in MEASURES)),
    *_fields(pa.float64(), "blinks_per_minute", "nods_per_minute", "shakes_per_minute", "speaking_share"),
    *_fields(pa.float64(), "transitions_per_minute", "mean_quality"),
    *_fields(pa.string(), "trust"),
    *_fields(pa.float64(), "low_quality_share"),
]

SUMMARY = pa.schema(
    [
        *_fields(pa.string(), "video", "video_id"),
        *_fields(pa.int32(), "face_id", "person"),
        *_fields(pa.string(), "participant"),
        *_STATISTICS,
    ]
)
"""One row per face; see fervid.timeline.summary."""

PERSONS = pa.schema(
    [
        *_fields(pa.string(), "video", "video_id"),
        *_fields(pa.int32(), "person"),
        *_fields(pa.string(), "participant", "role"),
        *_fields(pa.int64(), "faces"),
        *_STATISTICS,
    ]
)
"""One row per person of a video; see fervid.timeline.summary."""

MESH = pa.schema(
    [
        *_fields(pa.string(), "video", "video_id"),
        *_fields(pa.int64(), "frame"),
        *_fields(pa.float64(), "time"),
        *_fields(pa.int32(), "face_id"),
        *_fields(pa.float32(), "presence", "eye_open_right", "eye_open_left"),
        pa.field("points", pa.list_(pa.float16(), 3 * 468)),
    ]
)
"""Optional: one row per row of the timeline that shows a face, with x, y and depth of each point of its mesh."""

SHOTS = pa.schema(
    [
        *_fields(pa.string(), "video", "video_id"),
        *_fields(pa.int32(), "shot"),
        *_fields(pa.float64(), "start", "end"),
    ]
)
"""One row per shot of a video: a run of frames without a cut."""

DOUBTS = pa.schema(
    [
        *_fields(pa.string(), "video", "video_id"),
        *_fields(pa.int32(), "face_id"),
        *_fields(pa.float64(), "start", "end"),
        *_fields(pa.string(), "reason"),
    ]
)
"""One row per doubt about a face that arose during the scan; see fervid.types.Doubt."""

VIDEOS = pa.schema(
    [
        *_fields(pa.string(), "video", "video_id", "status", "error", "message"),
        *_fields(pa.float64(), "duration"),
        *_fields(pa.int32(), "width", "height", "rotation"),
        *_fields(pa.string(), "codec"),
        *_fields(pa.int64(), "size", "frames_sampled", "faces"),
        *_fields(pa.float64(), "seconds"),
        *_fields(pa.string(), "finished_at"),
        *_fields(pa.float64(), "coverage", "longest_gap", "low_quality_share"),
        *_fields(pa.string(), "trust"),
    ]
)
"""The manifest: one row per input file."""

ANALYSED = ("ok", "no_face")
"""The values of ``status`` for videos that have a timeline."""

SMALL = {
    "episodes": EPISODES,
    "summary": SUMMARY,
    "persons": PERSONS,
    "shots": SHOTS,
    "doubts": DOUBTS,
    "videos": VIDEOS,
}
"""The small tables, which are written as CSV beside the timeline."""

RECORD = "tables"
"""Key of the metadata that holds, as JSON, the SHA-256 of each small table and a digest of the timeline."""

NOTES = "notes"
"""Key of the metadata that holds, as JSON, what was not as fervid wrote it in the results that these were made from."""

PREFIX = "fervid."
"""Start of the keys of fervid's metadata in Parquet files."""

PARTITION = "video_id="
"""Start of the name of the folder that holds the rows of one video in a partitioned timeline."""

OTHER_SUFFIX = {".parquet": ".csv", ".csv": ".parquet"}
"""Suffix of a timeline → suffix of the timeline whose small tables would have the same names."""

COMMON = "_common_metadata"
"""Name of the file that holds the schema and metadata of a partitioned timeline, as in other Parquet data sets."""

STILLS = pa.schema(
    [
        *_fields(pa.string(), "image"),
        *_fields(pa.float32(), "face_x", "face_y", "face_width", "face_height", "face_score"),
        *_fields(pa.float32(), *MEASURES),
        *_emotions("{}", pa.float32()),
        *_fields(pa.string(), "emotion"),
        *_fields(pa.float32(), "confidence"),
    ]
)
"""The table of ``fervid classify``: one row per face; an image without a face keeps one row with nulls."""


def small_path(out: Path, name: str) -> Path:
    """Get the path of a small table.

    Args:
        out: The results: a Parquet file, a CSV file or a folder.
        name: ``episodes``, ``summary`` or ``videos``.

    Returns:
        The CSV file of that table.
    """
    return _beside(out, f"{name}.csv")


def _beside(out: Path, name: str) -> Path:
    """A file of results other than the timeline: in their folder, or beside their file with the name as its ending."""
    return out / name if is_folder(out) else out.with_suffix(f".{name}")


def run_path(out: Path) -> Path:
    """Get the path of the file that says what the last run did. Readers of results ignore it.

    Args:
        out: The results: a Parquet file, a CSV file or a folder.

    Returns:
        The JSON file.
    """
    return _beside(out, "run.json")


def is_video_id(text: str) -> bool:
    """Whether a text can be the fingerprint of a video.

    Args:
        text: Any text.

    Returns:
        True for 32 hex digits.
    """
    return re.fullmatch(r"[0-9a-f]{32}", text) is not None


def timeline_path(out: Path) -> Path:
    """Get the path of the timeline.

    Args:
        out: The results: a Parquet file, a CSV file or a folder.

    Returns:
        The file, or the folder of the partitions.
    """
    return out / "timeline" if is_folder(out) else out


def mesh_path(out: Path) -> Path:
    """Get the path of the table of meshes, which exists only if they were kept.

    Args:
        out: The results: a Parquet file, a CSV file or a folder.

    Returns:
        The Parquet file.
    """
    return _beside(out, "mesh.parquet")


def output_paths(out: Path) -> list[Path]:
    """List the files that results consist of.

    Args:
        out: The results: a Parquet file, a CSV file or a folder.

    Returns:
        ``out`` and its small tables, without the partitions of a folder.
    """
    return [out, *(small_path(out, name) for name in SMALL)]


def stamped_paths(out: Path) -> list[Path]:
    """List what shows that results were changed: files, and for a folder the folder of its partitions.

    The folder of the results itself is not among them, because it also holds what is no table.

    Args:
        out: The results: a Parquet file, a CSV file or a folder.

    Returns:
        The timeline and the small tables.
    """
    return [timeline_path(out), *(small_path(out, name) for name in SMALL)]


def is_folder(out: Path) -> bool:
    """Whether results at a path are a partitioned folder.

    Args:
        out: The path; it need not exist.

    Returns:
        True for a folder, False for a Parquet or CSV file.

    Raises:
        UsageError: The path is neither of these.
    """
    if out.name in ("", ".."):
        raise UsageError("`out` must name a file or a folder of its own")
    if out.suffix not in (".parquet", ".csv", ""):
        raise UsageError(f"`out` must end in .parquet or .csv, or be a folder: {out}")
    return out.suffix == ""


def refuse_foreign(out: Path) -> None:
    """Refuse to write results if that would replace other files.

    Args:
        out: The path at which results are to be written.

    Raises:
        OutputError: fervid did not write what is there.
        UsageError: The small tables there belong to results with the other suffix, or the system does not allow the
            name.
    """
    refuse_name(out, UsageError)
    if is_folder(out):
        expected = (f"{PARTITION}*", COMMON)
        if any(not any(map(entry.match, expected)) for entry in (out / "timeline").glob("*")):
            raise OutputError(f"cannot write {out / 'timeline'}: it holds files that fervid did not write")
    elif out.is_dir():
        raise OutputError(f"cannot write {out}: it is a folder")
    else:
        other = out.with_suffix(OTHER_SUFFIX[out.suffix])
        merged = other.exists() and not out.exists() and all(small_path(out, name).exists() for name in SMALL)
        if merged or store_folder(other, False).exists():
            raise UsageError(f"{other.name} has small tables of the same names; choose another `out`")
