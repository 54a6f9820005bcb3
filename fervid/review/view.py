"""One video as values for the page: lanes, boxes, probabilities, episodes, gaps, cuts and doubts."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from fervid.charts.measure_rows import described_rows, has_measures, shares, spans
from fervid.colors import EMOTION_COLORS
from fervid.results.face_timelines import FaceTimelines
from fervid.results.kinds import emotion_episodes
from fervid.results.lanes import lanes
from fervid.results.reader import Results
from fervid.review.moments import doubtful_moments
from fervid.timeline.interpolation import FaceTimeline
from fervid.timeline.summary import MIN_QUALITY
from fervid.types import EMOTIONS


def describe_video(tables: Results) -> dict[str, Any]:
    """Describe a video for the page.

    Args:
        tables: The tables of one video.

    Returns:
        Values that JSON can hold. Boxes are in pixels of ``size``: the frames as shown, scaled to one canvas if their
        sizes differ. Arrays of several columns are flat, row by row.
    """
    (row,) = tables.videos.to_dict("records")
    timelines = FaceTimelines(tables)
    sizes = timelines.sizes(row["video_id"])
    width, height = (1 if is_missing(row[name]) else int(row[name]) for name in ("width", "height"))
    canvas = sizes.canvas((width, height)) if len(sizes.times) else (width, height)
    faces = sizes.on_canvas(timelines.of(row["video_id"]), canvas)
    seen = tables.timeline[tables.timeline["face_id"].notna()]
    by_face = {int(face): rows.sort_values("time") for face, rows in seen.groupby("face_id")}
    cuts = tables.shots["start"].tolist()[1:]
    last = max([float(sizes.times[-1]) if len(sizes.times) else 0.0, *(face.held_until for face in faces)])
    duration = last if is_missing(row["duration"]) else max(last, float(row["duration"]))
    return {
        "status": row["status"],
        "message": _text(row["message"]),
        "trust": _text(row["trust"]),
        "size": list(canvas),
        "duration": duration,
        "emotions": [{"name": name, "color": EMOTION_COLORS[name]} for name in EMOTIONS],
        "minQuality": MIN_QUALITY,
        "lanes": _lanes(tables),
        "faces": [_face(face, by_face[face.face_id]) for face in faces],
        "episodes": _episodes(emotion_episodes(tables.episodes)),
        "rows": described_rows() if has_measures(tables.timeline) else [],
        "spans": [[face, *one] for (_, face), own in spans(tables.episodes).items() for one in own],
        "cuts": _numbers(np.asarray(cuts, float), 6),
        "sampled": _numbers(sizes.times, 6),
        "moments": [
            {"face": one.face_id, "start": one.start, "end": one.end, "reason": one.reason, "rank": one.rank}
            for one in doubtful_moments(tables.summary, tables.doubts)
        ],
    }


def _lanes(tables: Results) -> list[dict[str, Any]]:
    summary = tables.summary
    persons = tables.persons.to_dict("records")
    roles = {int(one["person"]): _text(one["role"]) for one in persons}
    names = {int(one["person"]): _text(one["participant"]) for one in persons}
    trust = dict(zip(summary["face_id"].tolist(), summary["trust"].tolist(), strict=True))
    return [
        {
            "name": lane.name,
            "person": lane.person,
            "participant": names.get(lane.person) if lane.person is not None else None,
            "role": roles.get(lane.person) if lane.person is not None else None,
            "faces": list(lane.faces),
            "trust": [f"face {face}: {trust[face]}" for face in lane.faces if trust[face] != "ok"],
        }
        for lane in lanes(summary)
    ]


def _face(face: FaceTimeline, rows: pd.DataFrame) -> dict[str, Any]:
    raw = rows[list(EMOTIONS)].to_numpy(np.float64)
    return {
        "id": face.face_id,
        "name": face.name,
        "trust": face.trust,
        "times": _numbers(face.times, 6),
        "boxes": _numbers(face.boxes, 2),
        "smooth": _numbers(face.smoothed, 4),
        "raw": _numbers(raw, 4),
        "quality": _numbers(rows["face_quality"].to_numpy(np.float64), 3),
        "rows": [_numbers(column, 3) for column in shares(rows).T],
        "gaps": np.flatnonzero(face.gap_follows).tolist(),
        "until": max(face.held_until, float(face.times[-1])),
    }


def _episodes(table: pd.DataFrame) -> list[dict[str, Any]]:
    names = ("face_id", "emotion", "onset", "apex", "offset", "peak")
    columns = (table[name].tolist() for name in names)
    return [
        {"face": int(face), "emotion": str(emotion), "onset": onset, "apex": apex, "offset": offset, "peak": peak}
        for face, emotion, onset, apex, offset, peak in zip(*columns, strict=True)
    ]


def _numbers(values: npt.NDArray[Any], digits: int) -> list[float | None]:
    """Flat and rounded; None where a value is not finite, because JSON has no such numbers."""
    flat = np.round(np.asarray(values, np.float64).ravel(), digits)
    return [value if math.isfinite(value) else None for value in flat.tolist()]


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def is_missing(value: Any) -> bool:
    """Tell whether a cell of a table is empty.

    Args:
        value: The cell.

    Returns:
        True for None, for the empty cells of pandas, and for numbers that are not finite.
    """
    return value is None or value is pd.NA or (isinstance(value, float) and not math.isfinite(value))
