"""Applying corrections to results: faces split and joined, persons named, and every table computed anew."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from fervid.errors import BadResults
from fervid.files.discover import Source, refuse_overwriting
from fervid.files.fingerprint import sha256
from fervid.results.correct_video import EditedFaces, exclusion, labels
from fervid.results.corrections import Correction, read_corrections
from fervid.results.face_rows import columns_of, persons_of, rows_of_faces, sampled_frames, tracks_of
from fervid.results.mesh_table import has_meshes, read_meshes, with_faces
from fervid.results.parts import Row, by_video, named
from fervid.results.reader import read_checked
from fervid.results.rows import FinishedFace, VideoFaces, event_totals, summary_of_row, video_tables
from fervid.results.schema import SMALL, output_paths
from fervid.results.workspace import refuse_output, writing_results
from fervid.settings import TimelineSettings
from fervid.settings_io import from_mapping
from fervid.types import EMOTIONS, Doubt, Track

CORRECTIONS = "corrections_sha256"
"""Key of the metadata that holds the SHA-256 of each corrections file, separated by spaces."""


@dataclass(frozen=True)
class Corrected:
    """What a correction did.

    Attributes:
        corrections: Number of corrections that were applied.
        videos: Number of videos that they changed.
        notes: What a user should know about the results that were read, as sentences.
    """

    corrections: int
    videos: int
    notes: tuple[str, ...] = ()


def correct(
    results: str | os.PathLike[str],
    corrections: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    out: str | os.PathLike[str],
) -> Corrected:
    """Apply corrections to results, and write the corrected results.

    Tracks and persons change as the corrections say. Smoothing, episodes, summaries, persons and trust are computed
    anew from the raw rows, so the tables are those that the analysis of such tracks would have given.

    Args:
        results: The results of ``analyze`` or ``merge``. They stay as they are.
        corrections: One or several corrections files; they apply in this order. See docs/corrections.md.
        out: The results to write: a Parquet file, a CSV file or a folder.

    Returns:
        What was done.

    Raises:
        InputNotFound: There are no such results, or no such corrections file.
        BadCorrections: A corrections file is wrong or does not fit the results. Nothing is written.
        BadResults: The results cannot be read, do not record their settings, or are corrected already.
        UsageError: ``out`` is one of the results or corrections files, or the output of ``analyze``.
        OutputError: ``out`` cannot be written.
    """
    source, target = Path(results), Path(out)
    given = [corrections] if isinstance(corrections, (str, os.PathLike)) else list(corrections)
    files = [Path(path) for path in given]
    refuse_overwriting([Source(file, file.name, file.name) for file in files], output_paths(target))
    refuse_output(target, [source])
    read = [one for file in files for one in read_corrections(file)]
    found = read_checked(source)
    settings = timeline_settings(source, found.metadata)
    tables = found.tables
    require_shots(source, tables)
    of_video = of_each_video(read, tables["videos"])
    metadata = found.metadata | {CORRECTIONS: " ".join(sha256(file) for file in files)}
    mesh = has_meshes(source)
    with writing_results(target, metadata, found.notes, mesh) as opened:
        timeline, small = opened.timeline, opened.small
        rows = {name: _rows_by_video(tables[name]) for name in SMALL}
        changed: dict[str, Row] = {}
        for video_id, table in by_video(tables["timeline"]):
            name, before = table["video"][0].as_py(), table
            if name in of_video:
                manifest = next(row for row in rows["videos"][video_id] if row["video"] == name)
                own = {kind: rows[kind].get(video_id, []) for kind in SMALL} | {"videos": [manifest]}
                table, corrected = corrected_video(table, own, of_video[name], settings)
                changed[name] = corrected["videos"][0]
                for table_name in SMALL.keys() - {"videos"}:
                    rows[table_name][video_id] = [{**row, "video": name} for row in corrected[table_name]]
            timeline.add(named(table, name))
            if mesh:
                opened.mesh.add(with_faces(read_meshes(source, video_id), before, table))
            for table_name in SMALL.keys() - {"videos"}:
                small[table_name].add(rows[table_name].get(video_id, []))
        small["videos"].add({**row, **changed.get(row["video"], {})} for row in tables["videos"].to_pylist())
    return Corrected(len(read), len(changed), tuple(found.notes))


def timeline_settings(source: Path, metadata: Mapping[str, Any]) -> TimelineSettings:
    """Read how results were smoothed.

    Args:
        source: The results, for messages.
        metadata: Their metadata.

    Returns:
        The settings.

    Raises:
        BadResults: They cannot be corrected, because they are corrected already or do not record their settings.
    """
    if CORRECTIONS in metadata:
        raise BadResults(f"{source} is corrected already; give the results of the analysis and all corrections files")
    if "settings" not in metadata:
        raise BadResults(f"{source} does not record its settings, which correcting needs; give the Parquet file")
    return from_mapping(TimelineSettings, metadata["settings"].get("timeline", {}), "settings: timeline")


def require_shots(source: Path, tables: Mapping[str, pa.Table]) -> None:
    """Refuse results without a table of shots.

    Args:
        source: The results, for messages.
        tables: Their tables.

    Raises:
        BadResults: The table is missing, so they cannot be corrected.
    """
    if len(tables["timeline"]) and not len(tables["shots"]):
        raise BadResults(f"{source} lies without its table of shots, which correcting needs; give the complete results")


def of_each_video(corrections: Iterable[Correction], manifest: pa.Table) -> dict[str, list[Correction]]:
    """Divide corrections by video.

    Args:
        corrections: Corrections in order.
        manifest: The table of videos.

    Returns:
        Name of the video → its corrections in order.

    Raises:
        BadCorrections: A video has no faces.
    """
    status = dict(zip(manifest["video"].to_pylist(), manifest["status"].to_pylist(), strict=True))
    found: dict[str, list[Correction]] = {}
    for one in corrections:
        if status.get(one.video) != "ok":
            known = f"it is {status[one.video]!r} and has no faces" if one.video in status else "no such video"
            raise one.wrong("video", f"{one.video}: {known}")
        found.setdefault(one.video, []).append(one)
    return found


def _rows_by_video(table: pa.Table) -> dict[str, list[Row]]:
    """The rows of a small table by fingerprint."""
    found: dict[str, list[Row]] = {}
    for row in table.to_pylist():
        found.setdefault(row["video_id"], []).append(row)
    return found


def corrected_video(
    table: pa.Table, rows: Mapping[str, list[Row]], corrections: Sequence[Correction], settings: TimelineSettings
) -> tuple[pa.Table, dict[str, list[Row]]]:
    """Compute the tables of one video after its corrections.

    Args:
        table: Its rows of the timeline.
        rows: Its rows of the small tables.
        corrections: Its corrections in order.
        settings: How the results were smoothed.

    Returns:
        The timeline, and the rows of the small tables, as ``result_rows`` returns them.

    Raises:
        BadCorrections: A correction does not fit.
    """
    (manifest,) = rows["videos"]
    frames, times, sizes = sampled_frames(table)
    cuts = [row["start"] for row in rows["shots"][1:]]
    every = table["time"].to_numpy()
    before = rows_of_faces(table)
    shots = np.searchsorted(np.asarray(cuts, float), every, "right")
    edited = EditedFaces(every, shots, dict(before), persons_of(table, before), doubts=_doubts(rows["doubts"]))
    doubted = dict(edited.doubts)
    edited.apply(corrections)
    same = {
        face_id
        for face_id, members in edited.faces.items()
        if before.get(face_id) is members and doubted.get(face_id, []) == edited.doubts.get(face_id, [])
    }
    tracks, raw = tracks_of(table, edited.faces, edited.persons)
    people = labels(edited.names), labels(edited.roles)
    doubts = [one for found in edited.doubts.values() for one in found]
    known = manifest["duration"], cuts, *people, doubts
    faces = VideoFaces(manifest["video_id"], frames, times, sizes, tracks, raw, *known)
    notes = [text for text in (manifest["message"], *(exclusion(*one) for one in edited.excluded)) if text]
    told = {"status": "ok" if tracks else "no_face", "faces": len(tracks), "message": "; ".join(notes) or None}
    return video_tables(faces, manifest | told, settings, _finished(table, rows, edited, same, tracks))


def _finished(
    table: pa.Table,
    rows: Mapping[str, list[Row]],
    edited: EditedFaces,
    same: Collection[int],
    tracks: Sequence[Track],
) -> dict[int, FinishedFace]:
    """What was computed before of the faces whose tracks are the same. Their persons may have changed."""
    smoothed = columns_of(table, [f"{name}_smooth" for name in EMOTIONS])
    episodes: dict[int, list[Row]] = {}
    for row in rows["episodes"]:
        episodes.setdefault(row["face_id"], []).append(row)
    of_face = {track.face_id: track for track in tracks}
    summaries = (summary_of_row(row) for row in rows["summary"] if row["face_id"] in same)
    return {
        one.face_id: FinishedFace(
            smoothed[edited.faces[one.face_id]],
            episodes.get(one.face_id, []),
            replace(one, person=edited.persons[one.face_id]),
            event_totals(of_face[one.face_id], episodes.get(one.face_id, [])),
        )
        for one in summaries
    }


def _doubts(rows: Sequence[Row]) -> dict[int, list[Doubt]]:
    """The doubts of each face."""
    found: dict[int, list[Doubt]] = {}
    for row in rows:
        found.setdefault(row["face_id"], []).append(Doubt(row["face_id"], row["start"], row["end"], row["reason"]))
    return found
