"""The rows of measures below a lane of a timeline, and the events in them, for the pages of report and review."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fervid.results.kinds import of_kind
from fervid.timeline.events import EVENT_KINDS, MEASURE_OF
from fervid.types import FloatArray

if TYPE_CHECKING:
    import pandas as pd

ROWS = {"eyes_open": (0.0, 0.5), "mouth_open": (0.0, 0.6), "head_yaw": (-60.0, 60.0), "head_pitch": (-40.0, 40.0)}
"""Measure → lowest and highest value of its row. Values beyond are drawn at its edge."""


def described_rows() -> list[dict[str, Any]]:
    """Describe the rows for the timeline component.

    Returns:
        ``name`` and ``range`` of each row.
    """
    return [{"name": name, "range": list(limits)} for name, limits in ROWS.items()]


def has_measures(timeline: pd.DataFrame) -> bool:
    """Whether any face was measured.

    Args:
        timeline: Rows of the timeline.

    Returns:
        True if a measure that has a row is known anywhere.
    """
    return bool(timeline[list(ROWS)].notna().any(axis=None))


def shares(timeline: pd.DataFrame) -> FloatArray:
    """Compute where the values lie in their rows.

    Args:
        timeline: Rows of the timeline.

    Returns:
        (n, rows) float32 from 0 to 1; NaN where a measure is unknown.
    """
    low, high = np.array(list(ROWS.values()), np.float32).T
    values = timeline[list(ROWS)].to_numpy(np.float32)
    return np.asarray(np.clip((values - low) / (high - low), 0, 1), np.float32)


def spans(episodes: pd.DataFrame) -> dict[tuple[str, int], list[list[float]]]:
    """List the events of each face.

    Args:
        episodes: Rows of the episodes table.

    Returns:
        Video and face → row, start and end in seconds of each event, by time.
    """
    found: dict[tuple[str, int], list[list[float]]] = {}
    rows = {kind: list(ROWS).index(MEASURE_OF[kind]) for kind in EVENT_KINDS}
    chosen = of_kind(episodes, *EVENT_KINDS).sort_values("onset")
    columns = (chosen[name].tolist() for name in ("video_id", "face_id", "kind", "onset", "offset"))
    for video_id, face_id, kind, onset, offset in zip(*columns, strict=True):
        found.setdefault((video_id, int(face_id)), []).append([rows[kind], round(onset, 3), round(offset, 3)])
    return found
