"""Checking tables that anyone may have written: a row that cannot be right costs its video, with the reason.

Every reader passes through ``validated``, so the commands behind it meet finite numbers, known names and rows in order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from fervid.errors import BadResults, FervidError, printable
from fervid.results.schema import ANALYSED, NOTES, SCHEMA_VERSION, SMALL, VIDEOS
from fervid.settings import ScanSettings, TimelineSettings
from fervid.settings_io import from_mapping
from fervid.timeline.events import BLINK, EMOTION, EVENT_KINDS, NOD, SHAKE
from fervid.types import EMOTIONS, MEASURES

Mask = npt.NDArray[np.bool_]
Tables = dict[str, pa.Table]
Reason = Callable[[int], str]
"""Says what is wrong with a row, given its number."""

STATUSES = (*ANALYSED, "failed", "skipped")
"""The values of ``status`` in the manifest."""

_SMOOTH = tuple(f"{emotion}_smooth" for emotion in EMOTIONS)
_LARGEST = 2.0**31 - 1
_SECONDS = (-1e9, 1e9)
_SHARE = (0.0, 1.0001)
"""Shares and probabilities; float32 may round them up."""
_COUNT = (0, _LARGEST)
_PIXELS = (-1e5, 1e5)

_MEASURED = {
    "head_yaw": (-90.0, 90.0),
    **dict.fromkeys(("head_pitch", "head_roll"), (-180.0, 180.0)),
    **dict.fromkeys(("eyes_open", "mouth_open", "smile"), (0.0, 100.0)),
    **dict.fromkeys(("gaze_x", "gaze_y"), (-100.0, 100.0)),
    "valence": (-1.0001, 1.0001),
}

_EVENT_RATES = tuple(f"{kind}s_per_minute" for kind in (BLINK, NOD, SHAKE))

_STATISTICS = {
    **dict.fromkeys(("first_seen", "last_seen"), _SECONDS),
    "samples": (1, _LARGEST),
    "longest_gap": (0, _SECONDS[1]),
    **dict.fromkeys(("transitions_per_minute", *_EVENT_RATES), (0, 1e9)),
    **dict.fromkeys(("coverage", "mean_quality", "low_quality_share", "speaking_share"), _SHARE),
    **dict.fromkeys((f"{kind}_{emotion}" for kind in ("share", "mean") for emotion in EMOTIONS), _SHARE),
    **{f"mean_{name}": limits for name, limits in _MEASURED.items()},
}

RANGES: Mapping[str, Mapping[str, tuple[float, float]]] = {
    "timeline": {
        "frame": (0, 2.0**53),
        "time": _SECONDS,
        **dict.fromkeys(("face_id", "person"), _COUNT),
        **dict.fromkeys(("face_x", "face_y"), _PIXELS),
        **dict.fromkeys(("face_width", "face_height"), (1e-6, _PIXELS[1])),
        **dict.fromkeys(("frame_width", "frame_height"), (1, _PIXELS[1])),
        **_MEASURED,
        **dict.fromkeys(("face_score", "face_quality", *EMOTIONS, *_SMOOTH, "confidence"), _SHARE),
    },
    "episodes": {
        "face_id": _COUNT,
        **dict.fromkeys(("onset", "apex", "offset", "duration"), _SECONDS),
        **dict.fromkeys(("peak", "mean"), (0, 1e3)),
    },
    "summary": {"face_id": _COUNT, "person": _COUNT, **_STATISTICS},
    "persons": {"person": _COUNT, "faces": (1, _LARGEST), **_STATISTICS},
    "shots": {"shot": _COUNT, **dict.fromkeys(("start", "end"), _SECONDS)},
    "doubts": {"face_id": _COUNT, **dict.fromkeys(("start", "end"), _SECONDS)},
    "videos": {
        **dict.fromkeys(("duration", "longest_gap", "seconds"), (0, _SECONDS[1])),
        **dict.fromkeys(("width", "height"), (1, _PIXELS[1])),
        "rotation": (-360, 360),
        "size": (0, 1 << 62),
        **dict.fromkeys(("frames_sampled", "faces"), _COUNT),
        **dict.fromkeys(("coverage", "low_quality_share"), _SHARE),
    },
}
"""Table → column → smallest and largest value. A null is in every range."""

NAMES: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "timeline": {"emotion": EMOTIONS},
    "episodes": {"kind": (EMOTION, *EVENT_KINDS), "emotion": EMOTIONS},
    "summary": {"dominant": EMOTIONS},
    "persons": {"dominant": EMOTIONS},
    "shots": {},
    "doubts": {},
    "videos": {"status": STATUSES},
}
"""Table → column → the values that it may have. A null is one of them."""

_LATER = {"low_quality_share", "speaking_share", *_EVENT_RATES, *(f"mean_{name}" for name in _MEASURED)}
"""Columns that earlier versions did not write."""

_KNOWN = tuple(name for name in _STATISTICS if name not in _LATER)

REQUIRED: Mapping[str, tuple[str, ...]] = {
    "timeline": ("video", "video_id", "frame", "time"),
    "episodes": ("video", "video_id", "face_id", "kind", "onset", "apex", "offset", "duration", "peak", "mean"),
    "summary": ("video", "video_id", "face_id", *_KNOWN, "dominant", "trust"),
    "persons": ("video", "video_id", "person", "faces", *_KNOWN, "dominant", "trust"),
    "shots": ("video", "video_id", "shot", "start", "end"),
    "doubts": ("video", "video_id", "face_id", "start", "end", "reason"),
    "videos": ("video", "status"),
}
"""Table → columns that are never null."""

GROUPS: Mapping[str, type] = {"scan": ScanSettings, "timeline": TimelineSettings}
"""Groups of the recorded settings that commands use."""

OF_FACE = (
    "face_x",
    "face_y",
    "face_width",
    "face_height",
    "face_quality",
    "valence",
    *EMOTIONS,
    *_SMOOTH,
)
"""Columns of the timeline that are null exactly where ``face_id`` is."""

OF_ANALYSED = ("frames_sampled", "faces")
"""Columns of the manifest that every video with a timeline has."""


@dataclass(eq=False)
class _Faults:
    """The first fault of each video.

    Attributes:
        source: Name of the results.
        whole: Whether the tables are whole, so that the numbers of their rows say something.
        reasons: Fingerprint → what is wrong.
    """

    source: str
    whole: bool = True
    reasons: dict[str, str] = field(default_factory=dict)

    def add(self, table: str, ids: pa.ChunkedArray, bad: Mask, reason: Reason) -> None:
        """Note the rows where ``bad`` is true; ``reason`` describes one. Raises BadResults if a row has no video."""
        rows = np.flatnonzero(bad)
        if not len(rows):
            return
        owners = ids.take(pa.array(rows)).combine_chunks().dictionary_encode()
        codes = np.asarray(pc.fill_null(owners.indices, -1))
        first = rows[np.unique(codes, return_index=True)[1]]
        for row in sorted(first.tolist()):
            place = f"row {row + 1}" if self.whole else "a row"
            owner, text = ids[row].as_py(), f"{place} of the {table} table: {reason(row)}"
            if owner is None:
                raise BadResults(f"{self.source}: {text}, and it names no video")
            self.reasons.setdefault(owner, text)


def check_metadata(metadata: Mapping[str, Any]) -> None:
    """Check what results say about how they were made, as far as commands use it.

    Args:
        metadata: As in ``Results.metadata``.

    Raises:
        BadResults: A later version of fervid wrote the results, or a value cannot be right.
    """
    version = metadata.get("schema_version", "1")
    if not (isinstance(version, str) and version.isdecimal() and len(version) < 9):
        raise BadResults(f"the schema version is {str(version)[:40]!r}")
    if int(version) > SCHEMA_VERSION:
        raise BadResults(f"a later version of fervid wrote them (schema version {version}); update fervid")
    roots = metadata.get("roots", [])
    if not (isinstance(roots, list) and all(isinstance(root, str) and "\0" not in root for root in roots)):
        raise BadResults("the recorded folders are not a list of paths")
    notes = metadata.get(NOTES, [])
    if not (isinstance(notes, list) and all(isinstance(note, str) for note in notes)):
        raise BadResults("the recorded notes are not a list of sentences")
    settings = metadata.get("settings", {})
    if not (isinstance(settings, dict) and all(isinstance(group, dict) for group in settings.values())):
        raise BadResults("the recorded settings are not groups of values")
    try:
        for group, kind in GROUPS.items():
            known = {one.name for one in fields(kind)}
            used = {name: value for name, value in settings.get(group, {}).items() if name in known}
            from_mapping(kind, used, f"settings: {group}")
    except (FervidError, TypeError, ValueError, RecursionError) as error:
        raise BadResults(f"the recorded settings cannot be right: {error}") from error


def validated(tables: Tables, source: str, whole: bool = True) -> tuple[Tables, list[str]]:
    """Check the tables of results, and leave out the videos that have a row that cannot be right.

    Args:
        tables: The tables by name.
        source: Name of the results, for messages.
        whole: Whether the tables are whole, so that a message names the number of a row.

    Returns:
        The tables without the rows of these videos; their rows in the manifest say that they failed, and why. And a
        sentence for each of these videos.

    Raises:
        BadResults: A wrong row names no video.
    """
    faults = _Faults(source, whole)
    timeline, keys = _in_order(tables["timeline"])
    tables = tables | {"timeline": timeline}
    for name in RANGES:
        for bad, reason in _faulty_cells(name, tables[name]):
            faults.add(name, tables[name]["video_id"], bad, reason)
    _check_faces(timeline, faults)
    _check_episodes(tables["episodes"], faults)
    _check_order(timeline, keys, faults)
    _check_names(tables, faults)
    return _without(tables, faults.reasons) if faults.reasons else (tables, [])


def _faulty_cells(name: str, table: pa.Table) -> Iterator[tuple[Mask, Reason]]:
    """For each column of a table, the rows in which it is wrong, and what is wrong there."""
    for column in REQUIRED[name]:
        if table[column].null_count:
            yield _mask(pc.is_null(table[column])), _always(f"{column} is missing")
    for column, (low, high) in RANGES[name].items():
        values = pc.fill_null(table[column], 1).to_numpy()
        bad = ~((values >= low) & (values <= high))
        if bad.any():
            yield bad, _shown(f"{column} is", values)
    for column, known in NAMES[name].items():
        texts = table[column].cast(pa.string())
        bad = ~_mask(pc.or_(pc.is_in(texts, pa.array(known)), pc.is_null(texts)))
        if bad.any():
            yield bad, _shown(f"{column} is", texts)


def _always(text: str) -> Reason:
    return lambda row: text


def _shown(text: str, values: Any) -> Reason:
    """The text and the value of the row, shortened."""

    def reason(row: int) -> str:
        value = values[row].as_py() if isinstance(values, (pa.Array, pa.ChunkedArray)) else values[row]
        return f"{text} {printable(str(value))[:40]}"

    return reason


def _mask(values: Any) -> Mask:
    return np.asarray(values.to_numpy(), bool)


def _check_faces(timeline: pa.Table, faults: _Faults) -> None:
    """A row has all values of a face or none, and probabilities that sum to 1."""
    seen = _mask(pc.is_valid(timeline["face_id"]))
    for column in OF_FACE:
        bad = _mask(pc.is_valid(timeline[column])) != seen
        faults.add("timeline", timeline["video_id"], bad, _always(f"{column} and face_id do not fit together"))
    for column in (*MEASURES, "face_score"):
        bad = _mask(pc.is_valid(timeline[column])) & ~seen
        faults.add("timeline", timeline["video_id"], bad, _always(f"{column} is there without a face"))
    for columns in (EMOTIONS, _SMOOTH):
        total = sum(pc.fill_null(timeline[column], 0).to_numpy().astype(float) for column in columns)
        bad = seen & ~(np.abs(total - 1) < 1e-2)
        faults.add("timeline", timeline["video_id"], bad, _shown("the probabilities sum to", total))


def _check_episodes(episodes: pa.Table, faults: _Faults) -> None:
    """An episode of an emotion names it and has probabilities; other kinds have no emotion."""
    of_emotion = _mask(pc.equal(pc.fill_null(episodes["kind"], EMOTION), EMOTION))
    differs = _mask(pc.is_valid(episodes["emotion"])) != of_emotion
    faults.add("episodes", episodes["video_id"], differs, _always("emotion and kind do not fit together"))
    for name in ("peak", "mean"):
        values = pc.fill_null(episodes[name], 0).to_numpy()
        faults.add("episodes", episodes["video_id"], of_emotion & (values > _SHARE[1]), _shown(f"{name} is", values))


Keys = tuple[npt.NDArray[np.int64], ...]


def _in_order(timeline: pa.Table) -> tuple[pa.Table, Keys]:
    """The timeline with the rows of each video together, by frame, then by face; and its keys."""
    keys = _keys(timeline)
    order = np.lexsort(keys[::-1])
    if (order == np.arange(len(order))).all():
        return timeline, keys
    return timeline.take(pa.array(order)), tuple(key[order] for key in keys)


def _keys(timeline: pa.Table) -> Keys:
    """Numbers of the video (by first appearance), the frame and the face of each row."""
    videos = timeline["video_id"].combine_chunks().dictionary_encode().indices
    columns = (videos, timeline["frame"], timeline["face_id"].cast(pa.int64()))
    video, frame, face = (np.asarray(pc.fill_null(column, -1).to_numpy(zero_copy_only=False)) for column in columns)
    return video.astype(np.int64), frame.astype(np.int64), face.astype(np.int64)


def _check_order(timeline: pa.Table, keys: Keys, faults: _Faults) -> None:
    """No face is twice in a frame; a frame has one time and one size; time runs forwards."""
    video, frame, face = keys
    time, ids = pc.fill_null(timeline["time"], 0).to_numpy(), timeline["video_id"]
    same_video = video[1:] == video[:-1]
    same_frame = same_video & (frame[1:] == frame[:-1])
    doubled = same_frame & ((face[1:] == face[:-1]) | (face[:-1] < 0))
    later = same_video & ~same_frame & ~(time[1:] > time[:-1])
    faults.add("timeline", ids, _after_first(doubled), _shown("a face is there twice in frame", frame))
    faults.add("timeline", ids, _after_first(later), _shown("the time is not later than before frame", frame))
    for name in ("time", "frame_width", "frame_height"):
        values = pc.fill_null(timeline[name], 0).to_numpy()
        differs = same_frame & (values[1:] != values[:-1])
        faults.add("timeline", ids, _after_first(differs), _shown(f"two values of {name} in frame", frame))


def _after_first(bad: Mask) -> Mask:
    return np.concatenate([[False], bad])


def _check_names(tables: Tables, faults: _Faults) -> None:
    """A video with a timeline has a fingerprint and its counts, and has one name in all tables."""
    manifest = tables["videos"]
    analysed = manifest.filter(pc.is_in(manifest["status"], pa.array(ANALYSED)))
    for column in OF_ANALYSED:
        bad = _mask(pc.is_null(analysed[column]))
        faults.add("videos", analysed["video_id"], bad, _always(f"{column} is missing"))
    names: dict[str, str] = {}
    for video_id, name in zip(analysed["video_id"].to_pylist(), analysed["video"].to_pylist(), strict=True):
        if video_id is None:
            raise BadResults(f"{faults.source}: {name!r} has no fingerprint in the videos table")
        if names.setdefault(video_id, name) != name or name == "":
            faults.reasons.setdefault(video_id, f"the videos table has no single name for {video_id[:40]!r}")
    for table in ("timeline", *(name for name in SMALL if name != "videos" and name in tables)):
        pairs = tables[table].group_by(["video_id", "video"]).aggregate([])
        for video_id, name in zip(pairs["video_id"].to_pylist(), pairs["video"].to_pylist(), strict=True):
            if video_id in names and names[video_id] != name:
                text = f"the {table} table calls it {str(name)[:80]!r}, the videos table {str(names[video_id])[:80]!r}"
                faults.reasons.setdefault(video_id, text)


def _without(tables: Tables, reasons: Mapping[str, str]) -> tuple[Tables, list[str]]:
    """The tables without the videos that have a fault."""
    bad = pa.array(list(reasons), pa.string())
    kept = {
        name: table.filter(pc.invert(pc.is_in(table["video_id"], bad)))
        for name, table in tables.items()
        if name != "videos"
    }
    rows, notes = [], []
    for row in tables["videos"].to_pylist():
        reason = reasons.get(row["video_id"])
        if reason is not None and row["status"] != "skipped":
            notes.append(f"{row['video']}: its rows cannot be right ({reason})")
            shown = {name: row[name] for name in ("video", "video_id")}
            row = shown | {"status": "failed", "error": "BadResults", "message": f"its rows cannot be right: {reason}"}
        rows.append(row)
    kept["videos"] = pa.Table.from_pylist(rows, VIDEOS)
    return {name: kept[name] for name in tables}, notes


def missing_rows(tables: Tables, trusted: bool) -> str:
    """Compare the timeline with what the manifest and the summary promise.

    Args:
        tables: The tables by name.
        trusted: Whether the small tables are as fervid wrote them. If not, only whole videos are compared.

    Returns:
        What is missing; empty if nothing is.
    """
    timeline, manifest = tables["timeline"], tables["videos"]
    counts = timeline.group_by("video_id").aggregate([("frame", "count_distinct"), ("face_id", "count_distinct")])
    columns = (counts[name].to_pylist() for name in ("frame_count_distinct", "face_id_count_distinct"))
    found = dict(zip(counts["video_id"].to_pylist(), zip(*columns, strict=True), strict=True))
    for row in manifest.filter(pc.is_in(manifest["status"], pa.array(ANALYSED))).to_pylist():
        promised = row["frames_sampled"], row["faces"]
        seen = found.get(row["video_id"], (0, 0))
        if (trusted and seen != promised) or (seen[0] == 0 and promised[0]):
            return f"rows of {printable(row['video'])} are missing"
    return _missing_samples(timeline, tables["summary"]) if trusted else ""


def _missing_samples(timeline: pa.Table, summary: pa.Table) -> str:
    """Compare the number of rows of each face with its number of samples in the summary."""
    keys = ["video_id", "face_id"]
    faces = timeline.filter(pc.is_valid(timeline["face_id"]))
    counts = faces.group_by(keys).aggregate([("frame", "count")])
    both = summary.select([*keys, "samples", "video"]).join(counts, keys, join_type="full outer")
    wrong = both.filter(pc.not_equal(pc.fill_null(both["samples"], 0), pc.fill_null(both["frame_count"], 0)))
    if not len(wrong):
        return ""
    return f"rows of face {wrong['face_id'][0].as_py()} of {printable(str(wrong['video'][0].as_py()))} are missing"
