"""The small tables of a Parquet timeline that was copied without them, computed from its rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from fervid.results.collector import TableCollector
from fervid.results.face_rows import persons_of, rows_of_faces, sampled_frames, tracks_of
from fervid.results.parts import Row, by_video
from fervid.results.rows import VideoFaces, video_tables
from fervid.results.schema import SMALL
from fervid.results.validate import Tables, validated
from fervid.settings import TimelineSettings
from fervid.settings_io import from_mapping

UNKNOWN = "the scan's own doubts are unknown"
"""Part of ``trust`` in computed tables."""


def rebuilt(timeline: pa.Table, metadata: Mapping[str, Any], source: str) -> tuple[Tables, list[str]]:
    """Compute the small tables from the timeline, as far as it says what is in them.

    The lengths and cuts of the videos, what their scans noted, and the inputs without a timeline are not known: these
    columns are null, and the table of shots is empty.

    Args:
        timeline: Arrow table of the schema TIMELINE. Videos with a row that cannot be right are left out.
        metadata: The metadata of the results.
        source: Name of the results, for messages.

    Returns:
        All tables by name, and sentences about videos that are wrong.

    Raises:
        BadResults: A wrong row names no video.
    """
    settings = from_mapping(TimelineSettings, metadata["settings"].get("timeline", {}), "settings: timeline")
    tables, notes = validated({"timeline": timeline} | _provisional(timeline), source)
    small = {name: TableCollector() for name in SMALL}
    for name, schema in SMALL.items():
        small[name].add(schema.empty_table())
    for video_id, rows in by_video(tables["timeline"]):
        name = rows["video"][0].as_py()
        for table, own in _video(video_id, rows, settings).items():
            small[table].add(pa.Table.from_pylist([{**row, "video": name} for row in own], SMALL[table]))
    small["videos"].add(tables["videos"].filter(pc.equal(tables["videos"]["status"], "failed")))
    return {"timeline": tables["timeline"]} | {name: one.table() for name, one in small.items()}, notes


def _provisional(timeline: pa.Table) -> Tables:
    """Empty small tables, but for a manifest that lists each video of the timeline once."""
    names = timeline.group_by(["video_id", "video"], use_threads=False).aggregate([])
    rows: dict[str, Row] = {}
    for video_id, name in zip(names["video_id"].to_pylist(), names["video"].to_pylist(), strict=True):
        told = {"status": "ok", "frames_sampled": 0, "faces": 0}
        rows.setdefault(video_id, {"video": name, "video_id": video_id} | told)
    empty = {name: schema.empty_table() for name, schema in SMALL.items()}
    return empty | {"videos": pa.Table.from_pylist(list(rows.values()), SMALL["videos"])}


def _video(video_id: str, rows: pa.Table, settings: TimelineSettings) -> dict[str, list[Row]]:
    """The rows of the small tables of one video."""
    frames, times, sizes = sampled_frames(rows)
    faces = rows_of_faces(rows)
    tracks, raw = tracks_of(rows, faces, persons_of(rows, faces))
    named = rows.select(["person", "participant"]).drop_null().group_by("person").aggregate([("participant", "min")])
    people = dict(zip(named["person"].to_pylist(), named["participant_min"].to_pylist(), strict=True))
    told = {
        "status": "ok" if tracks else "no_face",
        "width": int(sizes[0][0]),
        "height": int(sizes[0][1]),
        "frames_sampled": len(frames),
        "faces": len(tracks),
    }
    made = VideoFaces(video_id, frames, times, sizes, tracks, raw, None, (), people)
    _, tables = video_tables(made, told, settings)
    for table in ("summary", "persons"):
        for row in tables[table]:
            row["trust"] = UNKNOWN if row["trust"] == "ok" else f"{row['trust']}; {UNKNOWN}"
    return tables | {"shots": []}
