"""The content of the page as plain values, for its template and its script."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from fervid.report.series import MAX_FACES, chart_series, encode, share_rows
from fervid.report.thumbnails import Wanted
from fervid.results.reader import Results
from fervid.results.schema import ANALYSED
from fervid.timeline.gaps import gap_threshold, median_step
from fervid.types import EMOTIONS, DoubleArray

COLUMNS = [*(f"{emotion}_smooth" for emotion in EMOTIONS), *EMOTIONS, "face_quality"]
"""Columns of the timeline that the page draws: smoothed probabilities, raw probabilities, quality."""

Face = tuple[str, int]
"""(video_id, face_id)."""


def overview(results: Results, shown: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Compute the statistics of all videos together.

    Args:
        results: The results.
        shown: What ``videos`` returned.

    Returns:
        Name → value, for the template.
    """
    videos, summary, timeline = results.videos, results.summary, results.timeline
    frames = timeline.drop_duplicates(["video_id", "frame"])
    with_face = timeline.loc[timeline["face_id"].notna(), ["video_id", "frame"]].drop_duplicates()
    weights = summary["samples"].to_numpy(np.float64)
    shares = summary[[f"share_{emotion}" for emotion in EMOTIONS]].to_numpy(np.float64)
    by_status = {status: videos[videos["status"] == status] for status in ("ok", "no_face", "skipped", "failed")}
    analysed = pd.concat([by_status["ok"], by_status["no_face"]]).sort_index()
    return {
        "videos": len(videos),
        "status": {status: len(rows) for status, rows in by_status.items()},
        "faces": len(summary),
        "trusted": int((summary["trust"] == "ok").sum()),
        "seconds": sum(video["analysed"] for video in shown),
        "samples": len(frames),
        "coverage": len(with_face) / len(frames) if len(frames) else 0.0,
        "shares": (weights @ shares / weights.sum()).tolist() if len(summary) else None,
        "failures": _records(by_status["failed"], "video", "error", "message"),
        "skipped": _records(by_status["skipped"], "video", "message"),
        "notes": _records(analysed[analysed["message"].notna()], "video", "message"),
    }


def _records(table: pd.DataFrame, *columns: str) -> list[dict[str, Any]]:
    """Some columns of a table as one mapping per row; missing values become None."""
    chosen = table[list(columns)].astype(object)
    records: list[dict[str, Any]] = chosen.where(chosen.notna(), None).to_dict("records")
    return records


def drawn_faces(results: Results) -> set[Face]:
    """Choose the faces that get a chart: all, or in a very large batch those with the most samples.

    Args:
        results: The results.

    Returns:
        (video_id, face_id) of each.
    """
    chosen = results.summary.nlargest(MAX_FACES, "samples")
    return set(zip(chosen["video_id"], chosen["face_id"].astype(int), strict=True))


def wanted_thumbnails(results: Results, limit: int) -> dict[str, list[Wanted]]:
    """Choose a frame for the thumbnail of each face: the first whose quality is within 5 % of the best.

    Args:
        results: The results.
        limit: Largest number of thumbnails.

    Returns:
        Video → its thumbnails.
    """
    chosen = results.summary.nlargest(limit, "samples")
    faces = set(zip(chosen["video"], chosen["face_id"].astype(int), strict=True))
    seen = results.timeline[results.timeline["face_id"].notna()]
    best = seen.groupby(["video", "face_id"], sort=False)["face_quality"].transform("max")
    good = seen[seen["face_quality"] >= 0.95 * best].drop_duplicates(["video", "face_id"])
    wanted: dict[str, list[Wanted]] = {}
    for row in good.itertuples():
        if (row.video, int(row.face_id)) in faces:
            box = (row.face_x, row.face_y, row.face_width, row.face_height)
            wanted.setdefault(row.video, []).append(Wanted(int(row.face_id), int(row.frame), float(row.time), box))
    return wanted


def videos(results: Results, thumbnails: Mapping[str, Mapping[int, str]]) -> list[dict[str, Any]]:
    """Describe every analysed video and its faces.

    Args:
        results: The results.
        thumbnails: Video → face_id → data URI.

    Returns:
        One mapping per video, in the order of the table.
    """
    drawn, rows = drawn_faces(results), _TimelineRows(results.timeline)
    summaries: dict[str, list[dict[str, Any]]] = {}
    for face in results.summary.to_dict("records"):
        if (face["video_id"], int(face["face_id"])) in drawn:
            summaries.setdefault(face["video_id"], []).append(face)
    limit = share_rows([int(face["samples"]) for faces in summaries.values() for face in faces])
    episodes = _episodes(results.episodes)
    doubtful = results.summary.loc[results.summary["trust"] != "ok", "video_id"].value_counts().to_dict()
    described = []
    for row in results.videos[results.videos["status"].isin(ANALYSED)].itertuples():
        sampled = rows.sampled(row.video_id)
        threshold = gap_threshold(sampled, results.max_gap)
        images = thumbnails.get(row.video, {})
        faces = []
        for face in summaries.get(row.video_id, []):
            key = (row.video_id, int(face["face_id"]))
            part = rows.faces[key]
            series = encode(chart_series(rows.times[part], rows.values[part], sampled, threshold, limit))
            by_onset = sorted(episodes.get(key, []), key=lambda episode: episode[1])
            faces.append(_face(face, by_onset, rows.persons[part]) | series | {"thumb": images.get(key[1])})
        video = _video(row, sampled, faces) | {"doubtful": doubtful.get(row.video_id, 0)}
        described.append(_extend_to_end(video, float(sampled[-1]) if len(sampled) else 0.0))
    return described


class _TimelineRows:
    """The timeline as arrays, sorted by video, face and time, with the range of rows of each face."""

    def __init__(self, timeline: pd.DataFrame) -> None:
        codes, ids = pd.factorize(timeline["video_id"])
        faces = timeline["face_id"].fillna(-1).to_numpy(np.int64)
        order = np.lexsort((timeline["time"], faces, codes))
        codes, faces = codes[order], faces[order]
        self.times = timeline["time"].to_numpy(np.float64)[order]
        self.values = timeline[COLUMNS].to_numpy(np.float32)[order]
        self.persons = timeline["person"].to_numpy(np.float64, na_value=np.nan)[order]
        edges = np.flatnonzero((np.diff(codes) != 0) | (np.diff(faces) != 0)) + 1
        starts = np.concatenate([[0], edges]) if len(codes) else edges
        parts = [slice(*pair) for pair in itertools.pairwise([*starts.tolist(), len(codes)])]
        self.faces = {(str(ids[codes[part.start]]), int(faces[part.start])): part for part in parts}
        videos = np.searchsorted(codes, np.arange(len(ids) + 1)).tolist()
        self._videos = {str(name): slice(*pair) for name, pair in zip(ids, itertools.pairwise(videos), strict=True)}

    def sampled(self, video_id: str) -> DoubleArray:
        """(m,) times of the frames that were sampled of a video."""
        return np.unique(self.times[self._videos.get(video_id, slice(0, 0))])


def _episodes(episodes: pd.DataFrame) -> dict[Face, list[list[float]]]:
    """Face → [emotion, onset, offset, peak] of each of its episodes."""
    found: dict[Face, list[list[float]]] = {}
    columns = [episodes[name].tolist() for name in ("video_id", "face_id", "emotion", "onset", "offset", "peak")]
    for video_id, face_id, emotion, onset, offset, peak in zip(*columns, strict=True):
        episode = [EMOTIONS.index(emotion), round(onset, 3), round(offset, 3), round(peak, 3)]
        found.setdefault((video_id, int(face_id)), []).append(episode)
    return found


def _extend_to_end(video: dict[str, Any], last: float) -> dict[str, Any]:
    """Count a face in the last sampled frame as seen until the end of the analysed part."""
    for face in video["faces"]:
        if face["seen"][-1][1] >= last - 1e-3:
            face["seen"][-1][1] = round(video["end"], 3)
    return video


def _video(row: Any, sampled: np.ndarray[Any, Any], faces: list[dict[str, Any]]) -> dict[str, Any]:
    last = float(sampled[-1]) if len(sampled) else 0.0
    start = float(sampled[0]) if len(sampled) else 0.0
    duration = None if row.duration is None or math.isnan(row.duration) else float(row.duration)
    end = last + (median_step(sampled) or 1.0)
    end = end if duration is None else max(last, min(duration, end))
    return {
        "name": row.video,
        "duration": duration,
        "start": start,
        "end": end,
        "analysed": end - start if len(sampled) else 0.0,
        "size": None if pd.isna(row.width) or pd.isna(row.height) else f"{int(row.width)} × {int(row.height)}",
        "codec": None if pd.isna(row.codec) else row.codec,
        "sampled": int(row.frames_sampled),
        "message": None if pd.isna(row.message) else row.message,
        "trust": None if pd.isna(row.trust) or row.trust == "ok" else row.trust,
        "faces": faces,
        "count": int(row.faces),
    }


def _face(row: dict[str, Any], episodes: list[list[float]], persons: DoubleArray) -> dict[str, Any]:
    known = persons[~np.isnan(persons)]
    return {
        "id": int(row["face_id"]),
        "person": int(known[0]) if len(known) else None,
        "trust": row["trust"],
        "dominant": EMOTIONS.index(row["dominant"]),
        "shares": [round(float(row[f"share_{emotion}"]), 4) for emotion in EMOTIONS],
        "first": round(float(row["first_seen"]), 3),
        "last": round(float(row["last_seen"]), 3),
        "samples": int(row["samples"]),
        "coverage": round(float(row["coverage"]), 4),
        "gap": round(float(row["longest_gap"]), 3),
        "quality": round(float(row["mean_quality"]), 3),
        "changes": round(float(row["transitions_per_minute"]), 1),
        "episodes": episodes,
    }


def provenance(results: Results) -> dict[str, Any]:
    """Describe how the results were made.

    Args:
        results: The results.

    Returns:
        ``facts``, ``settings`` and ``finished``; empty if the results have no metadata.
    """
    facts = dict(results.metadata)
    settings = facts.pop("settings", {})
    finished = results.videos["finished_at"].dropna()
    return {
        "facts": facts,
        "settings": [
            (group, name, _setting_text(value)) for group, values in settings.items() for name, value in values.items()
        ],
        "finished": str(finished.max()) if len(finished) else None,
    }


def _setting_text(value: Any) -> str:
    return "–" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
