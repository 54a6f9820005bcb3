"""The faces of each video as timelines to draw, read from results."""

from __future__ import annotations

import numpy as np
import pandas as pd

from fervid.results.reader import Results
from fervid.settings import ScanSettings
from fervid.timeline.gaps import gap_threshold, gaps, median_step
from fervid.timeline.interpolation import FaceTimeline
from fervid.types import EMOTIONS, DoubleArray


class FaceTimelines:
    """The face timelines of some results, by video.

    Attributes:
        step: Seconds between two samples, as the settings asked for; 0.04 if every frame was sampled.
    """

    def __init__(self, results: Results) -> None:
        fps = results.metadata.get("settings", {}).get("scan", {}).get("fps", ScanSettings().fps)
        self.step = 1 / (fps or 25.0)
        self._max_gap = results.max_gap
        self._rows = dict(list(results.timeline.groupby("video_id", sort=False)))
        trust = results.summary.set_index(["video_id", "face_id"])["trust"]
        self._trust: dict[tuple[str, int], str] = trust.to_dict()

    def of(self, video_id: str) -> list[FaceTimeline]:
        """Get the faces of one video.

        Args:
            video_id: Fingerprint of the video.

        Returns:
            One timeline per face, in the order of ``face_id``; empty for a video without faces.
        """
        rows = self._rows.get(video_id)
        if rows is None:
            return []
        sampled: DoubleArray = np.unique(rows["time"].to_numpy(np.float64))
        with_face = rows[rows["face_id"].notna()]
        return [
            self._face(video_id, int(face_id), face.sort_values("time"), sampled)
            for face_id, face in with_face.groupby("face_id")
        ]

    def _face(self, video_id: str, face_id: int, rows: pd.DataFrame, sampled: DoubleArray) -> FaceTimeline:
        times = rows["time"].to_numpy(np.float64)
        last, step = float(times[-1]), median_step(sampled) or self.step
        return FaceTimeline(
            face_id,
            times,
            rows[["face_x", "face_y", "face_width", "face_height"]].to_numpy(np.float32),
            rows[[f"{name}_smooth" for name in EMOTIONS]].to_numpy(np.float32),
            self._trust.get((video_id, face_id), "ok"),
            gaps(times, sampled, gap_threshold(sampled, self._max_gap)),
            last + step if last >= sampled[-1] else last,
        )
