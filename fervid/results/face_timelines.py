"""The faces of each video as timelines to draw, read from results."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from fervid.faces.landmarks import LANDMARKS
from fervid.results.lanes import Lane, lanes
from fervid.results.mesh_table import read_points
from fervid.results.reader import Results
from fervid.results.schema import FRAME_SIZE
from fervid.settings import ScanSettings
from fervid.timeline.gaps import gap_threshold, gaps, median_step
from fervid.timeline.interpolation import FaceTimeline, Owner
from fervid.types import EMOTIONS, DoubleArray, FloatArray, HalfArray
from fervid.video.picture import fit

_TIME_TOLERANCE = 1e-6
"""Seconds by which the time of a frame may differ from that of a sample and still be the same."""


LONGEST, SHORTEST = 16, 4
"""Largest number of characters of a name on a label, and where there is little room."""


@dataclass(frozen=True, eq=False)
class SampledSizes:
    """The sizes of the sampled frames of one video.

    Attributes:
        times: (n,) float64 increasing times in seconds.
        sizes: (n, 2) int32 width and height as shown.
    """

    times: DoubleArray
    sizes: npt.NDArray[np.int32]

    def canvas(self, first: tuple[int, int]) -> tuple[int, int]:
        """Choose a canvas for all frames.

        Args:
            first: Width and height of the video's first frame.

        Returns:
            Even width and height, at least those of every sample and of the first frame.
        """
        width, height = np.max([first, *self.sizes], axis=0).tolist()
        return width + width % 2, height + height % 2

    def on_canvas(self, faces: Sequence[FaceTimeline], canvas: tuple[int, int]) -> list[FaceTimeline]:
        """Move boxes from the pixels of their frames to those of a canvas.

        Args:
            faces: Faces of this video.
            canvas: Width and height.

        Returns:
            The faces, with boxes where ``fervid.video.picture.fit`` places their frames.
        """
        return [replace(face, boxes=self._placed(face, canvas)) for face in faces]

    def _placed(self, face: FaceTimeline, canvas: tuple[int, int]) -> FloatArray:
        sizes = self.sizes[np.searchsorted(self.times, face.times)]
        boxes = face.boxes.copy()
        for width, height in np.unique(sizes, axis=0).tolist():
            left, top, across, down = fit((width, height), canvas)
            if (across - width, down - height) in ((0, 0), (0, 1), (1, 0), (1, 1)):  # odd sides grow by one pixel
                across, down = width, height
            rows = (sizes == (width, height)).all(axis=1)
            scale = np.array([across / width, down / height] * 2)
            boxes[rows] = face.boxes[rows] * scale + np.array([left, top, 0, 0])
        return boxes

    def samples(self, time: float) -> bool:
        """Whether the frame at a time is a sample.

        Args:
            time: Time of the frame in seconds.

        Returns:
            Whether it was sampled.
        """
        return self._at_or_after(time) < self._after(time)

    def include(self, time: float, size: tuple[int, int], margin: float) -> bool:
        """Whether a frame has the size of the sample before or after it, so that the samples tell what it shows.

        Args:
            time: Time of the frame in seconds.
            size: Width and height of the frame.
            margin: A sample that follows by more than this many seconds does not count if there is one before the
                frame, because boxes do not reach that far.

        Returns:
            False if the frame has another size than both.
        """
        before, after = self._after(time) - 1, self._at_or_after(time)
        if before >= 0 and after < len(self.times) and self.times[after] - time > margin + _TIME_TOLERANCE:
            after = len(self.times)
        near = [number for number in (before, after) if 0 <= number < len(self.times)]
        return any(tuple(self.sizes[number].tolist()) == size for number in near)

    def _at_or_after(self, time: float) -> int:
        return int(np.searchsorted(self.times, time - _TIME_TOLERANCE))

    def _after(self, time: float) -> int:
        return int(np.searchsorted(self.times, time + _TIME_TOLERANCE, "right"))


class _VideoRows:
    """The rows of each video in one table. They are copied when they are asked for: a frame of its own for each of
    thousands of videos would take much more memory than the table.
    """

    def __init__(self, table: pd.DataFrame) -> None:
        self._table = table
        self._places = table.groupby("video_id", sort=False).indices

    def of(self, video_id: str) -> pd.DataFrame:
        """The rows of one video; none if the table has none."""
        return self._table.iloc[self._places.get(video_id, [])]


class FaceTimelines:
    """The face timelines of some results, by video.

    Args:
        results: The results.
        with_names: Call persons by the names of participants.
        meshes: Results whose table of meshes gives the outlines of faces; None: no outlines.

    Attributes:
        step: Seconds between two samples, as the settings asked for; 0.04 if every frame was sampled.
    """

    def __init__(self, results: Results, with_names: bool = True, meshes: Path | None = None) -> None:
        self._meshes = meshes
        fps = results.metadata.get("settings", {}).get("scan", {}).get("fps", ScanSettings().fps)
        self.step = 1 / (fps or 25.0)
        self._max_gap = results.max_gap
        summary = results.summary if with_names else results.summary.assign(participant=None)
        self._timeline, self._summary = _VideoRows(results.timeline), _VideoRows(summary)

    def of(self, video_id: str) -> list[FaceTimeline]:
        """Get the faces of one video.

        Args:
            video_id: Fingerprint of the video.

        Returns:
            One timeline per face, in the order of ``face_id``; empty for a video without faces.
        """
        rows, summary = self._timeline.of(video_id), self._summary.of(video_id)
        sampled: DoubleArray = np.unique(rows["time"].to_numpy(np.float64))
        with_face, owners = rows[rows["face_id"].notna()], _owners(summary)
        trust: dict[int, str] = dict(zip(summary["face_id"], summary["trust"], strict=True))
        outlines = self._outlines(video_id)
        found = []
        for face_id, face in with_face.groupby("face_id"):
            ordered = face.sort_values("time")
            one = self._face(int(face_id), ordered, sampled, trust.get(face_id, "ok"))
            own = _in_boxes(outlines[int(face_id)], ordered, one.boxes) if int(face_id) in outlines else None
            found.append(replace(one, owner=owners.get(face_id), outlines=own))
        return found

    def _outlines(self, video_id: str) -> dict[int, dict[int, HalfArray]]:
        """Face → frame → (68, 2) landmarks in pixels."""
        found: dict[int, dict[int, HalfArray]] = {}
        if self._meshes is None:
            return found
        for frames, faces, points in read_points(self._meshes, video_id):
            chosen = points[:, list(LANDMARKS), :2]
            for frame, face, one in zip(frames.tolist(), faces.tolist(), chosen, strict=True):
                found.setdefault(face, {})[frame] = one
        return found

    def sizes(self, video_id: str) -> SampledSizes:
        """Get the sizes of the sampled frames of one video.

        Args:
            video_id: Fingerprint of the video.

        Returns:
            The sizes.
        """
        rows = self._timeline.of(video_id).drop_duplicates("time").sort_values("time")
        return SampledSizes(rows["time"].to_numpy(np.float64), rows[list(FRAME_SIZE)].to_numpy(np.int32))

    def _face(self, face_id: int, rows: pd.DataFrame, sampled: DoubleArray, trust: str) -> FaceTimeline:
        times = rows["time"].to_numpy(np.float64)
        last, step = float(times[-1]), median_step(sampled) or self.step
        return FaceTimeline(
            face_id,
            times,
            rows[["face_x", "face_y", "face_width", "face_height"]].to_numpy(np.float32),
            rows[[f"{name}_smooth" for name in EMOTIONS]].to_numpy(np.float32),
            trust,
            gaps(times, sampled, gap_threshold(sampled, self._max_gap)),
            last + step if last >= sampled[-1] else last,
            angles=_angles(rows),
        )


def _owners(summary: pd.DataFrame) -> dict[int, Owner]:
    """Face → whose face it is, where that is known. ``summary`` has the rows of one video."""
    of_person = [lane for lane in lanes(summary) if lane.person is not None]
    first = {lane.person: min(lane.faces) for lane in reversed(of_person)}
    return {
        face_id: Owner(_shortened(lane.name, LONGEST), _short(lane), first[lane.person])
        for lane in of_person
        for face_id in lane.faces
    }


def _angles(rows: pd.DataFrame) -> FloatArray | None:
    """(n, 3) yaw, pitch and roll of each row; None if no row has them."""
    angles = rows.reindex(columns=["head_yaw", "head_pitch", "head_roll"]).to_numpy(np.float32)
    return angles if np.isfinite(angles).any() else None


def _in_boxes(outlines: dict[int, HalfArray], rows: pd.DataFrame, boxes: FloatArray) -> HalfArray:
    """(n, 68, 2) landmarks of each row in widths and heights of its box; NaN where there are none."""
    unknown = np.full((len(LANDMARKS), 2), np.nan, np.float16)
    points = np.array([outlines.get(frame, unknown) for frame in rows["frame"].tolist()], np.float32)
    return np.asarray((points - boxes[:, None, :2]) / boxes[:, None, 2:], np.float16)


def _short(lane: Lane) -> str:
    """What a person is called where there is little room, such as ``Ann`` or ``P1``."""
    return f"P{lane.person}" if lane.name.startswith(f"person {lane.person}") else _shortened(lane.name, SHORTEST)


def _shortened(name: str, longest: int) -> str:
    return name if len(name) <= longest else f"{name[: longest - 1].rstrip()}…"
