"""One scanned and judged video → its timeline and its rows of the small tables."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa

from fervid.results.schema import TIMELINE
from fervid.scan.types import Scan
from fervid.settings import TimelineSettings
from fervid.settings_io import to_mapping
from fervid.timeline.episodes import Episode, episodes, evidence
from fervid.timeline.smoothing import smooth
from fervid.timeline.summary import FaceSummary, summarize_face, summarize_video
from fervid.types import EMOTIONS, DoubleArray, FloatArray, Track

Row = dict[str, Any]


def result_rows(scan: Scan, probabilities: FloatArray, settings: TimelineSettings) -> tuple[Any, dict[str, list[Row]]]:
    """Smooth, find episodes, summarise.

    ``probabilities`` (n, 7): those of the crops of all tracks, one after another. Returns the timeline (an
    Arrow table) and the rows of ``episodes``, ``summary`` and ``videos``. The video's name is left open.
    """
    edges = np.cumsum([len(track.times) for track in scan.tracks])[:-1]
    raw = np.split(probabilities, edges) if scan.tracks else []
    # the step of a slow sampling grid is no gap
    gap = max(settings.max_gap, 1.5 * _step(scan))
    end = max(scan.info.duration or np.inf, float(scan.times[-1]))
    smoothed, found, faces = [], [], []
    for track, values in zip(scan.tracks, raw, strict=True):
        times, trust, least = track.times, track.qualities, settings.min_episode
        calm = smooth(times, values, trust, settings.smooth, gap, settings.smoother)
        seen = evidence(times, values, calm, trust, least, gap)
        spans = episodes(times, seen, settings.onset, settings.offset, least, gap, end)
        found += [{"face_id": track.face_id, **_episode_row(episode)} for episode in spans]
        faces.append(summarize_face(track, calm, scan.times, gap))
        smoothed.append(calm)
    timeline = timeline_table("", scan.video_id, scan.frames, scan.times, scan.tracks, raw, smoothed)
    lacks = to_mapping(summarize_video(scan.tracks, faces, scan.times, scan.info.duration))
    rows = {"episodes": found, "summary": list(map(_summary_row, faces)), "videos": [_manifest_row(scan) | lacks]}
    return timeline, {name: [{"video_id": scan.video_id, **row} for row in some] for name, some in rows.items()}


def now() -> str:
    """The time of day, for the manifest."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _step(scan: Scan) -> float:
    """The usual time between two samples, seconds; 0 where there is only one."""
    return float(np.median(np.diff(scan.times))) if len(scan.times) > 1 else 0.0


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
    video: str,
    video_id: str,
    frames: np.ndarray[Any, Any],
    times: DoubleArray,
    tracks: Sequence[Track],
    raw: Sequence[FloatArray],
    smoothed: Sequence[FloatArray],
) -> pa.Table:
    """The timeline of one video, ordered by frame, then face.

    ``frames`` and ``times`` (n,): all sampled frames. ``raw`` and ``smoothed``: (samples, 7) for each track.
    """
    seen = np.concatenate([*(track.frames for track in tracks), np.zeros(0, np.int64)])
    empty = ~np.isin(frames, seen)
    count = int(empty.sum())

    def column(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
        """Values of the tracks one after the other, then nulls for the frames without a face."""
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
    for index, name in enumerate(EMOTIONS):
        columns[name] = column([values[:, index] for values in raw], pa.float32())
        columns[f"{name}_smooth"] = column([values[:, index] for values in smoothed], pa.float32())
    columns["video"] = pa.array([video] * (len(seen) + count), pa.string())
    columns["video_id"] = pa.array([video_id] * (len(seen) + count), pa.string())
    table = pa.table({name: columns[name] for name in TIMELINE.names}, schema=TIMELINE)
    return table.sort_by([("frame", "ascending"), ("face_id", "ascending")])
