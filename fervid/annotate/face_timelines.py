"""What a result knows of the faces of each video, ready to be drawn."""

from __future__ import annotations

import numpy as np
import pandas as pd

from fervid.results.reader import Results
from fervid.settings import ScanSettings, TimelineSettings
from fervid.timeline.interpolation import FaceTimeline
from fervid.types import EMOTIONS, DoubleArray


class KnownFaces:
    """What some results know of the faces of each video. ``step``: seconds between samples, as they were asked for."""

    def __init__(self, results: Results) -> None:
        settings = results.metadata.get("settings", {})
        self._max_gap = settings.get("timeline", {}).get("max_gap", TimelineSettings().max_gap)
        self.step = 1 / (settings.get("scan", {}).get("fps", ScanSettings().fps) or 25.0)
        self._rows = dict(list(results.timeline.groupby("video_id", sort=False)))
        trust = results.summary.set_index(["video_id", "face_id"])["trust"]
        self._trust: dict[tuple[str, int], str] = trust.to_dict()

    def of(self, video_id: str) -> list[FaceTimeline]:
        """The courses of one video's faces, in the order of their numbers."""
        rows = self._rows.get(video_id)
        if rows is None:
            return []
        sampled: DoubleArray = np.unique(rows["time"].to_numpy(np.float64))
        step = float(np.median(np.diff(sampled))) if len(sampled) > 1 else self.step
        seen = rows[rows["face_id"].notna()]
        return [
            self._course(video_id, int(face_id), face.sort_values("time"), sampled, step)
            for face_id, face in seen.groupby("face_id")
        ]

    def _course(
        self, video_id: str, face_id: int, rows: pd.DataFrame, sampled: DoubleArray, step: float
    ) -> FaceTimeline:
        times = rows["time"].to_numpy(np.float64)
        last = float(times[-1])
        return FaceTimeline(
            face_id,
            times,
            rows[["face_x", "face_y", "face_width", "face_height"]].to_numpy(np.float32),
            rows[[f"{name}_smooth" for name in EMOTIONS]].to_numpy(np.float32),
            self._trust.get((video_id, face_id), "ok"),
            max(self._max_gap, 1.5 * step),  # the step of a slow sampling grid is no gap
            last + step if last >= sampled[-1] else last,
        )
