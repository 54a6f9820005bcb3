"""The result rows of one video: its timeline, and its rows of the small tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from fervid.results.parts import Row
from fervid.results.schema import FRAME_SIZE, PART
from fervid.scan.types import Scan
from fervid.settings import TimelineSettings
from fervid.settings_io import to_mapping
from fervid.timeline.episodes import Episode, episodes, evidence
from fervid.timeline.gaps import gap_threshold
from fervid.timeline.smoothing import smooth
from fervid.timeline.summary import FaceSummary, summarize_face, summarize_video
from fervid.types import EMOTIONS, DoubleArray, FloatArray, Track


@dataclass(frozen=True, eq=False)
class VideoFaces:
    """What the tables of one video are computed from.

    Attributes:
        video_id: Fingerprint of the video.
        frames: (n,) int64, 0-based index of every sampled frame, with or without a face.
        times: (n,) float64, presentation time of each of them in seconds.
        sizes: (n, 2) int32, width and height of each of them as shown.
        tracks: The faces, by face_id. Their crops are not used.
        probabilities: For each track, (samples, 7) float32 probabilities of each frame alone.
        duration: Length of the video in seconds; None if it is unknown.
    """

    video_id: str
    frames: npt.NDArray[np.int64]
    times: DoubleArray
    sizes: npt.NDArray[np.int32]
    tracks: Sequence[Track]
    probabilities: Sequence[FloatArray]
    duration: float | None


def result_rows(scan: Scan, probabilities: FloatArray, settings: TimelineSettings) -> tuple[Any, dict[str, list[Row]]]:
    """Compute the tables of a video from its scan and its probabilities.

    Args:
        scan: What the scan found in the video.
        probabilities: (n, 7) float32, for the crops of all tracks, one track after another.
        settings: How to smooth and to find episodes.

    Returns:
        The timeline (Arrow table of the schema PART), and the rows of ``episodes``, ``summary`` and ``videos``. None
        of them names the video.
    """
    edges = np.cumsum([len(track.times) for track in scan.tracks])[:-1]
    raw = np.split(probabilities, edges) if scan.tracks else []
    faces = VideoFaces(scan.video_id, scan.frames, scan.times, scan.sizes, scan.tracks, raw, scan.info.duration)
    return video_tables(faces, _manifest_row(scan), settings)


def video_tables(faces: VideoFaces, manifest: Row, settings: TimelineSettings) -> tuple[pa.Table, dict[str, list[Row]]]:
    """Smooth a video's probabilities, find its episodes and summarise its faces.

    Args:
        faces: The faces of the video.
        manifest: What its row of ``videos`` says in addition to the statistics.
        settings: How to smooth and to find episodes.

    Returns:
        See ``result_rows``.
    """
    max_gap, min_episode = gap_threshold(faces.times, settings.max_gap), settings.min_episode
    end = max(faces.duration or np.inf, float(faces.times[-1]))
    smoothed, found, summaries = [], [], []
    for track, values in zip(faces.tracks, faces.probabilities, strict=True):
        times, weights = track.times, track.qualities
        smooth_values = smooth(times, values, weights, settings.smooth, max_gap, settings.smoother)
        seen = evidence(times, values, smooth_values, weights, min_episode, max_gap)
        of_face = episodes(times, seen, settings.onset, settings.offset, min_episode, max_gap, end)
        found += [{"face_id": track.face_id, **_episode_row(episode)} for episode in of_face]
        summaries.append(summarize_face(track, smooth_values, faces.times, max_gap))
        smoothed.append(smooth_values)
    timeline = timeline_table(
        faces.video_id, faces.frames, faces.times, faces.sizes, faces.tracks, faces.probabilities, smoothed
    )
    statistics = to_mapping(summarize_video(faces.tracks, summaries, faces.times, faces.duration))
    tables = {"episodes": found, "summary": list(map(_summary_row, summaries)), "videos": [manifest | statistics]}
    return timeline, {name: [{"video_id": faces.video_id, **row} for row in rows] for name, rows in tables.items()}


def now() -> str:
    """Get the current time.

    Returns:
        ISO 8601 in UTC with seconds, as in the column ``finished_at``.
    """
    return datetime.now(UTC).isoformat(timespec="seconds")


def _episode_row(episode: Episode) -> Row:
    return {
        "emotion": EMOTIONS[episode.emotion],
        "onset": episode.onset,
        "apex": episode.apex,
        "offset": episode.offset,
        "duration": episode.offset - episode.onset,
        "peak": episode.peak,
        "mean": episode.mean,
    }


def _summary_row(summary: FaceSummary) -> Row:
    row = to_mapping(summary)
    shares, means = row.pop("shares"), row.pop("means")
    for index, name in enumerate(EMOTIONS):
        row[f"share_{name}"], row[f"mean_{name}"] = float(shares[index]), float(means[index])
    return row


def _manifest_row(scan: Scan) -> Row:
    info = scan.info
    return {
        "status": "ok" if scan.tracks else "no_face",
        "error": None,
        "message": "; ".join(scan.notes) or None,
        "duration": info.duration,
        "width": info.width,
        "height": info.height,
        "rotation": info.rotation,
        "codec": info.codec,
        "frames_sampled": len(scan.times),
        "faces": len(scan.tracks),
        "seconds": scan.seconds,
        "finished_at": now(),
    }


def timeline_table(
    video_id: str,
    frames: np.ndarray[Any, Any],
    times: DoubleArray,
    sizes: np.ndarray[Any, Any],
    tracks: Sequence[Track],
    raw: Sequence[FloatArray],
    smoothed: Sequence[FloatArray],
) -> pa.Table:
    """Build the timeline of one video.

    Args:
        video_id: Fingerprint of the video.
        frames: (n,) int64 indices of all sampled frames.
        times: (n,) float64 their times in seconds.
        sizes: (n, 2) int32 width and height of each of them as shown.
        tracks: The faces of the video.
        raw: Per track, (samples, 7) float32 probabilities of each frame alone.
        smoothed: Per track, (samples, 7) float32 smoothed probabilities.

    Returns:
        An Arrow table of the schema PART, ordered by frame, then by face.
    """
    seen = np.concatenate([*(track.frames for track in tracks), np.zeros(0, np.int64)])
    empty = ~np.isin(frames, seen)
    count = int(empty.sum())

    def column(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
        """The values of all tracks in turn, then nulls for the frames without a face."""
        parts = [np.asarray(value) for value in values]
        filled = pa.array(np.concatenate(parts) if parts else np.zeros(0), kind)
        return pa.concat_arrays([filled, pa.nulls(count, kind)])

    leading = [values.argmax(axis=1) for values in smoothed]
    columns: dict[str, Any] = {
        "frame": pa.array(np.concatenate([seen, frames[empty]]), pa.int64()),
        "time": pa.array(np.concatenate([*(track.times for track in tracks), times[empty]]), pa.float64()),
        "face_id": column([np.full(len(track.times), track.face_id) for track in tracks], pa.int32()),
        "person": pa.array([track.person for track in tracks for _ in track.times] + [None] * count, pa.int32()),
        "face_score": column([track.scores for track in tracks], pa.float32()),
        "face_quality": column([track.qualities for track in tracks], pa.float32()),
        "confidence": column([values.max(axis=1) for values in smoothed], pa.float32()),
        "emotion": pa.DictionaryArray.from_arrays(column(leading, pa.int8()), pa.array(EMOTIONS)),
    }
    for axis, name in enumerate(("face_x", "face_y", "face_width", "face_height")):
        columns[name] = column([track.boxes[:, axis] for track in tracks], pa.float32())
    shown = sizes[np.searchsorted(frames, columns["frame"].to_numpy())]
    for axis, name in enumerate(FRAME_SIZE):
        columns[name] = pa.array(shown[:, axis], pa.int32())
    for index, name in enumerate(EMOTIONS):
        columns[name] = column([values[:, index] for values in raw], pa.float32())
        columns[f"{name}_smooth"] = column([values[:, index] for values in smoothed], pa.float32())
    columns["video_id"] = pa.array([video_id] * (len(seen) + count), pa.string())
    table = pa.table({name: columns[name] for name in PART.names}, schema=PART)
    return table.sort_by([("frame", "ascending"), ("face_id", "ascending")])
