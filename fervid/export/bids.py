"""Exporting results as a BIDS dataset of derivatives."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Container, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from fervid.errors import UsageError, printable
from fervid.export.bids_sidecars import (
    EVENTS,
    PARTICIPANTS,
    README,
    SCANS,
    as_json,
    dataset_description,
    physio_sidecar,
)
from fervid.export.bids_subjects import Recording, recordings
from fervid.export.output_files import Values, writing_file
from fervid.export.regular_grid import RegularGrid, regular_grid
from fervid.export.video_rows import VideoRows
from fervid.results.kinds import emotion_episodes
from fervid.results.reader import Results
from fervid.types import EMOTIONS

_PER_FRAME = ("frame", "frame_width", "frame_height")
"""Columns of the timeline that a frame without the face has too."""

_TEXT = ("video", "video_id", "time", "participant", "person", "emotion")
"""Columns of the timeline that are no measure, or that have another place in the dataset."""


@dataclass(frozen=True)
class BidsPlan:
    """The files of a dataset.

    Attributes:
        files: File → function that makes its content.
        notes: What the dataset does not hold of these results, as sentences.
    """

    files: dict[Path, Callable[[], bytes]]
    notes: tuple[str, ...]


def plan_bids(tables: Results, names: Sequence[str], out: Path, values: Values | None) -> BidsPlan:
    """Choose the files of a BIDS dataset of derivatives: the episodes as events, the timeline as physio.

    Args:
        tables: The results.
        names: Names of the videos that were analysed.
        out: The folder of the dataset.
        values: Probabilities to write; None: both.

    Returns:
        The files. None of them is written.

    Raises:
        UsageError: The results hold no face, ``out`` is a file, or it holds other subjects.
    """
    rows = VideoRows(tables)
    people = recordings(rows, names)
    if not people:
        raise UsageError("the results hold no face, and a BIDS dataset needs a subject")
    files: dict[str, Callable[[], bytes]] = {
        "dataset_description.json": lambda: dataset_description(tables.metadata),
        "README": README.encode,
        "participants.tsv": lambda: _participants(people),
        "participants.json": lambda: as_json(PARTICIPANTS),
        "scans.json": lambda: as_json(SCANS),
    }
    grids = {name: _grid(rows.of("timeline", name)) for name in dict.fromkeys(one.video for one in people)}
    columns = _columns(tables.timeline, values)
    for one in people:
        files[f"{one.stem}_events.tsv"] = partial(_events, rows, one)
        files[f"{one.stem}_events.json"] = partial(as_json, EVENTS)
        grid = grids[one.video]
        if grid is not None:
            files[f"{one.stem}_physio.tsv.gz"] = partial(_physio, rows, one, grid, columns)
            files[f"{one.stem}_physio.json"] = partial(physio_sidecar, one, grid, columns)
    subjects: dict[str, list[Recording]] = {}
    for one in people:
        subjects.setdefault(one.subject, []).append(one)
    for subject, own in subjects.items():
        files[f"sub-{subject}/sub-{subject}_scans.tsv"] = partial(_scans, rows, own, files)
    _refuse_other_subjects(out, {name.split("/")[0] for name in files})
    seen = {one.video for one in people}
    notes = (
        *_note("without a face, so without a subject in the dataset", [name for name in names if name not in seen]),
        *_note("sampled too irregularly for a constant rate, so without _physio.tsv.gz",
               [name for name, grid in grids.items() if grid is None]),
        *_note("not sampled at a constant rate; their _physio.json says so, and video_time has the true times",
               [name for name, grid in grids.items() if grid is not None and not grid.regular]),
    )  # fmt: skip
    return BidsPlan({out / name: make for name, make in files.items()}, notes)


def write_bids(plan: BidsPlan, overwrite: bool) -> None:
    """Write a BIDS dataset. Files that an interrupted export of the same results wrote are left as they are.

    Args:
        plan: The files.
        overwrite: Replace files that exist and are not what would be written.

    Raises:
        UsageError: Such a file exists, and ``overwrite`` is false. Nothing is written.
        OutputError: A file cannot be written.
    """
    same = {path for path, make in plan.files.items() if path.is_file() and path.read_bytes() == make()}
    for path in plan.files:
        if path.exists() and path not in same and not overwrite:
            raise UsageError(f"{path} exists and may hold manual work; `overwrite` replaces it")
    for path, make in plan.files.items():
        if path not in same:
            content = make()
            with writing_file(path) as unfinished:
                unfinished.write_bytes(content)


def _refuse_other_subjects(out: Path, own: set[str]) -> None:
    """A subject of another export would be part of the dataset, without a line in participants.tsv."""
    if out.exists() and not out.is_dir():
        raise UsageError(f"`out` must name a folder: {out}")
    strange = sorted(path.name for path in out.glob("sub-*") if path.name not in own)
    if strange:
        raise UsageError(f"{out} holds {strange[0]}, which these results do not have; choose another folder")


def _note(what: str, names: Sequence[str]) -> tuple[str, ...]:
    """A note that names videos; empty if there are none."""
    if not names:
        return ()
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return (f"{len(names)} video{'s' * (len(names) > 1)} {what}: {', '.join(names[:3])}{more}",)


def _participants(people: Sequence[Recording]) -> bytes:
    lines = []
    for one in {one.subject: one for one in reversed(people)}.values():
        unknown = one.participant is None
        place = (one.video, one.lane.person, one.lane.faces[0]) if unknown else (None, None, None)
        lines.append((f"sub-{one.subject}", one.participant, *place))
    return _tsv(PARTICIPANTS, reversed(lines))


def _scans(tables: VideoRows, people: Sequence[Recording], files: Container[str]) -> bytes:
    lines = []
    for one in people:
        (video_id,) = tables.of("videos", one.video)["video_id"]
        role, trust = _role_and_trust(tables, one)
        about = (one.video, video_id, one.lane.person, ",".join(map(str, one.lane.faces)), role, trust)
        for suffix in ("_events.tsv", "_physio.tsv.gz"):
            if one.stem + suffix in files:
                lines.append(((one.stem + suffix).split("/", 1)[1], *about))
    return _tsv(SCANS, lines)


def _role_and_trust(tables: VideoRows, one: Recording) -> tuple[object, str]:
    """The role of a person, and all reasons to doubt the person or, if not all faces are meant, these faces."""
    persons, faces = tables.of("persons", one.video), tables.of("summary", one.video)
    persons, faces = persons[persons["person"] == one.lane.person], faces[faces["face_id"].isin(one.lane.faces)]
    reasons = [str(trust) for trust in faces["trust"] if trust != "ok"]
    if one.lane.person is None or persons.empty:
        return None, "; ".join(dict.fromkeys(reasons)) or "ok"
    (role,), (trust,) = persons["role"], persons["trust"]
    whole = [str(trust)] if one.lane.whole and trust != "ok" else []
    return role, "; ".join(dict.fromkeys(whole + reasons)) or "ok"


def _events(tables: VideoRows, one: Recording) -> bytes:
    episodes = tables.of("episodes", one.video)
    episodes = episodes[episodes["face_id"].isin(one.lane.faces)]
    table = emotion_episodes(episodes).rename(columns={"emotion": "trial_type"}).sort_values("onset", kind="stable")
    return _tsv(EVENTS, table[list(EVENTS)].itertuples(index=False))


def _grid(rows: pd.DataFrame) -> RegularGrid | None:
    """The rows for the sampled frames of a video."""
    return regular_grid(rows.drop_duplicates("frame")["time"].to_numpy(np.float64))


def _columns(timeline: pd.DataFrame, values: Values | None) -> list[str]:
    """The columns of _physio.tsv.gz."""
    unwanted = set(_TEXT)
    if values == "raw":
        unwanted |= {f"{emotion}_smooth" for emotion in EMOTIONS}
    if values == "smooth":
        unwanted |= set(EMOTIONS)
    numeric = [str(name) for name in timeline.columns if pd.api.types.is_numeric_dtype(timeline[name])]
    return ["video_time", *(name for name in numeric if name not in unwanted)]


def _physio(tables: VideoRows, one: Recording, grid: RegularGrid, columns: Sequence[str]) -> bytes:
    """The timeline of a person, without a header, as BIDS wants it."""
    video = tables.of("timeline", one.video).rename(columns={"time": "video_time"})
    general = [name for name in columns if name in ("video_time", *_PER_FRAME)]
    frames = video.drop_duplicates("frame")[list(dict.fromkeys(["frame", *general]))]
    face = video.loc[video["face_id"].isin(one.lane.faces), ["frame", *(n for n in columns if n not in general)]]
    table = frames.merge(face, on="frame", how="left", validate="one_to_one")[list(columns)]
    table = table.astype({name: "Int64" for name in columns if pd.api.types.is_integer_dtype(table[name])})
    table = table.set_axis(grid.rows, axis=0).reindex(np.arange(grid.count))
    text = table.to_csv(sep="\t", header=False, index=False, na_rep="n/a", lineterminator="\n")
    return gzip.compress(text.encode(), mtime=0)


def _tsv(columns: Iterable[str], rows: Iterable[Iterable[object]]) -> bytes:
    """A table with tabs. A cell without a value is n/a, and control characters become escapes."""
    lines = ["\t".join(columns), *("\t".join(map(_cell, row)) for row in rows)]
    return ("\n".join(lines) + "\n").encode()


def _cell(value: object) -> str:
    missing = value is None or value is pd.NA or (isinstance(value, float) and np.isnan(value))
    return "n/a" if missing else printable(str(value)) or "n/a"
