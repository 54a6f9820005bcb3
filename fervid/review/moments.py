"""Doubtful moments: where a person should look first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from fervid.results.text_tables import Row, read_table
from fervid.results.video_names import by_name
from fervid.types import TWO_PEOPLE

LOW_QUALITY = "low picture quality"
"""Start of the reason in ``trust`` for a face of low quality."""

SHORT = "seen for only"
"""Start of the reason in ``trust`` for a face that was seen briefly."""


@dataclass(frozen=True)
class Moment:
    """A stretch of a video in which the figures of a face are doubtful.

    Attributes:
        video: Name of the video.
        video_id: Fingerprint of the video.
        face_id: The face; None if no single face is meant, or it was not seen then.
        start: Time in seconds.
        end: Time in seconds.
        reason: Why.
        rank: Smaller is more urgent: 0 for a possible swap, 1 for other doubts of the scan, 2 for low quality, 3 for
            the other reasons, 4 for faces that were seen briefly. Moments of a file have 0.
    """

    video: str
    video_id: str
    face_id: int | None
    start: float
    end: float
    reason: str
    rank: int


def doubtful_moments(summary: pd.DataFrame, doubts: pd.DataFrame) -> list[Moment]:
    """List the doubtful moments of videos: every doubt of the scan, and the other reasons in the ``trust`` of a face.

    Args:
        summary: Rows of the summary table.
        doubts: Rows of the doubts table of the same videos.

    Returns:
        The moments, the most urgent first, then in the order of the tables.
    """
    return sorted([*_of_doubts(doubts), *_of_trust(summary, doubts)], key=lambda one: one.rank)


def _of_doubts(doubts: pd.DataFrame) -> Iterator[Moment]:
    columns = (doubts[name].tolist() for name in ("video", "video_id", "face_id", "start", "end", "reason"))
    for video, video_id, face_id, start, end, reason in zip(*columns, strict=True):
        rank = 0 if reason == TWO_PEOPLE else 1
        yield Moment(video, video_id, int(face_id), float(start), float(end), str(reason), rank)


def _of_trust(summary: pd.DataFrame, doubts: pd.DataFrame) -> Iterator[Moment]:
    """The reasons that no doubt of the scan gives."""
    known: dict[tuple[str, int], list[str]] = {}
    for video_id, face_id, reason in zip(doubts["video_id"], doubts["face_id"], doubts["reason"], strict=True):
        known.setdefault((video_id, int(face_id)), []).append(str(reason))
    doubtful = summary[summary["trust"] != "ok"]
    columns = (doubtful[name].tolist() for name in ("video", "video_id", "face_id", "first_seen", "last_seen", "trust"))
    for video, video_id, face_id, first, last, trust in zip(*columns, strict=True):
        doubts_of_face = tuple(known.get((video_id, int(face_id)), ()))
        reasons = [reason for reason in str(trust).split("; ") if not reason.startswith(doubts_of_face)]
        if reasons:
            rank = min(map(_rank, reasons))
            yield Moment(video, video_id, int(face_id), float(first), float(last), "; ".join(reasons), rank)


def _rank(reason: str) -> int:
    return 2 if reason.startswith(LOW_QUALITY) else 4 if reason.startswith(SHORT) else 3


def listed_moments(path: Path, names: Sequence[str], summary: pd.DataFrame) -> list[Moment]:
    """Read moments from a table, such as the ``disagreements.csv`` of ``agree``.

    Args:
        path: The table. It needs the columns ``video`` and ``start`` (seconds), and may have ``end``, ``participant``,
            ``face_id``, ``reason``, and ``first`` and ``second`` (what two codings say).
        names: The videos of the results. The table may call them by name, file name or stem.
        summary: The summary table, which says when each face is seen.

    Returns:
        The moments in the order of the table.

    Raises:
        InputNotFound: There is no such file.
        BadStudy: It is no such table, or a line is wrong; the message names the line and the column.
    """
    table = read_table(path)
    table.require("video", "start")
    index = by_name(names)
    faces = {str(video): rows for video, rows in summary.groupby("video", sort=False)}
    return [_listed(row, names, index.find(row.cells["video"]), faces, summary.iloc[:0]) for row in table.rows]


def _listed(
    row: Row, names: Sequence[str], places: Sequence[int], faces: dict[str, pd.DataFrame], none: pd.DataFrame
) -> Moment:
    """The moment of one line."""
    if len(places) != 1:
        fits = f"fits {len(places)} videos" if places else "is not in the results"
        raise row.wrong("video", f"{row.cells['video']!r} {fits}")
    start = row.number("start")
    end = row.number("end") if row.get("end") else start
    if start < 0 or end < start:
        raise row.wrong("start" if start < 0 else "end", "a moment starts at 0 s or later, and ends after its start")
    name, participant = names[places[0]], row.get("participant", "participant_id")
    sides = [f"{row.get(side)} ({side})" for side in ("first", "second") if row.get(side)]
    text = row.get("reason") or ", ".join(sides) or row.path.name
    face = _face_of(row, faces.get(name, none), participant, start, end)
    return Moment(name, "", face, start, end, f"{participant}: {text}" if participant else text, 0)


def _face_of(row: Row, faces: pd.DataFrame, participant: str, start: float, end: float) -> int | None:
    """The face that a line means: the one that it names, or that of its participant, or the only one, at that time."""
    if text := row.get("face_id"):
        if not text.isdecimal() or int(text) not in set(faces["face_id"].astype(int)):
            raise row.wrong("face_id", f"{row.cells['video']!r} has no face {text!r}")
        return int(text)
    shared = faces["last_seen"].clip(upper=end) - faces["first_seen"].clip(lower=start)
    seen = faces[shared >= 0]
    if participant and (faces["participant"] == participant).any():
        seen = seen[seen["participant"] == participant]
    elif seen["face_id"].nunique() > 1:
        return None
    return int(seen["face_id"].iloc[int(shared[seen.index].to_numpy().argmax())]) if len(seen) else None
