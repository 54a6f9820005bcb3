"""The content of the page as plain values, for its template and its script."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from fervid.charts.measure_rows import has_measures, shares, spans
from fervid.faces.thumbnail import WantedFace
from fervid.report.series import MAX_FACES, chart_series, encode, share_rows
from fervid.results.kinds import emotion_episodes
from fervid.results.lanes import Lane, lanes
from fervid.results.reader import Results
from fervid.results.schema import ANALYSED
from fervid.timeline.gaps import gap_threshold, median_step
from fervid.types import EMOTIONS, DoubleArray, FloatArray

COLUMNS = [*(f"{emotion}_smooth" for emotion in EMOTIONS), *EMOTIONS, "face_quality"]
"""Columns of the timeline that the page draws: smoothed probabilities, raw probabilities, quality."""

Face = tuple[str, int]
"""(video_id, face_id)."""

Drawn = dict[str, list[tuple[Lane, dict[str, Any]]]]
"""video_id → each lane that has a chart, and its statistics: a row of the persons table or of the summary."""

MAX_PERSONS = 200
"""Largest number of persons that the overview lists."""


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
    is_trusted = summary["trust"] == "ok"
    by_status = {status: videos[videos["status"] == status] for status in ("ok", "no_face", "skipped", "failed")}
    analysed = pd.concat([by_status["ok"], by_status["no_face"]]).sort_index()
    return {
        "videos": len(videos),
        "status": {status: len(rows) for status, rows in by_status.items()},
        "faces": len(summary),
        "persons": len(results.persons),
        "listed": _listed(results),
        "trusted": int(is_trusted.sum()),
        "seconds": sum(video["analysed"] for video in shown),
        "samples": len(frames),
        "coverage": len(with_face) / len(frames) if len(frames) else 0.0,
        "leading": [
            (is_doubtful, len(rows), _shares(rows))
            for is_doubtful, rows in ((False, summary[is_trusted]), (True, summary[~is_trusted]))
            if len(rows)
        ],
        "failures": _records(by_status["failed"], "video", "error", "message"),
        "skipped": _records(by_status["skipped"], "video", "message"),
        "notes": _records(analysed[analysed["message"].notna()], "video", "message"),
    }


def _shares(summary: pd.DataFrame) -> list[float]:
    """The share of each emotion in the time of some faces, weighted by their samples."""
    weights = summary["samples"].to_numpy(np.float64)
    shares = summary[[f"share_{emotion}" for emotion in EMOTIONS]].to_numpy(np.float64)
    return [float(share) for share in weights @ shares / max(weights.sum(), 1.0)]


def _records(table: pd.DataFrame, *columns: str) -> list[dict[str, Any]]:
    """Some columns of a table as one mapping per row; missing values become None."""
    chosen = table[list(columns)].astype(object)
    records: list[dict[str, Any]] = chosen.where(chosen.notna(), None).to_dict("records")
    return records


def _listed(results: Results) -> list[dict[str, Any]]:
    """The persons that the overview lists, in the order of the table."""
    names = {
        (video_id, lane.person): lane.name
        for video_id, summary in results.summary.groupby("video_id", sort=False)
        for lane in reversed(lanes(summary))
    }
    places = {video_id: place for place, video_id in enumerate(_analysed(results)["video_id"])}
    return [
        {
            "video": row["video"],
            "place": places.get(row["video_id"]),
            "name": names.get((row["video_id"], row["person"]), f"person {row['person']}"),
            "role": None if pd.isna(row["role"]) else row["role"],
            "dominant": row["dominant"],
            **{name: row[name] for name in ("faces", "samples", "coverage", "first_seen", "last_seen", "trust")},
        }
        for row in results.persons.head(MAX_PERSONS).to_dict("records")
    ]


def drawn_lanes(results: Results) -> Drawn:
    """Choose what gets a chart: all persons and faces, or in a very large batch those with the most samples.

    Args:
        results: The results.

    Returns:
        The lanes of each video.
    """
    keys = zip(results.persons["video_id"], results.persons["person"], strict=True)
    persons = {key: place for place, key in enumerate(keys)}
    found: list[tuple[int, str, Lane, int, int | None]] = []
    """Samples, video, lane, place of its first face in the summary, and of its person in the persons table."""
    everyone = results.summary.reset_index(drop=True)
    for video_id, summary in everyone.groupby("video_id", sort=False):
        places = {int(face): place for face, place in zip(summary["face_id"], summary.index, strict=True)}
        samples = dict(zip(places, summary["samples"], strict=True))
        for lane in lanes(summary):
            of_person = len(lane.faces) > 1 or lane.whole
            person = persons.get((video_id, lane.person)) if of_person else None
            total = sum(int(samples[face]) for face in lane.faces)
            found.append((total, str(video_id), lane, places[lane.faces[0]], person))
    chosen = sorted(range(len(found)), key=lambda index: -found[index][0])[:MAX_FACES]
    drawn: Drawn = {}
    for _, video_id, lane, face, person in (found[index] for index in sorted(chosen)):
        table, place = (everyone, face) if person is None else (results.persons, person)
        (row,) = table.iloc[[place]].to_dict("records")
        drawn.setdefault(video_id, []).append((lane, row))
    return drawn


def wanted_thumbnails(results: Results, limit: int) -> dict[str, list[WantedFace]]:
    """Choose a frame for the thumbnail of each face: the first whose quality is within 5 % of the best.

    Args:
        results: The results.
        limit: Largest number of thumbnails.

    Returns:
        Video → its thumbnails. A box that is not finite has none.
    """
    chosen = results.summary.nlargest(limit, "samples")
    faces = set(zip(chosen["video"], chosen["face_id"].astype(int), strict=True))
    seen = results.timeline[results.timeline["face_id"].notna()]
    best = seen.groupby(["video", "face_id"], sort=False)["face_quality"].transform("max")
    good = seen[seen["face_quality"] >= 0.95 * best].drop_duplicates(["video", "face_id"])
    wanted: dict[str, list[WantedFace]] = {}
    for row in good.itertuples():
        if (row.video, int(row.face_id)) in faces:
            box = (row.face_x, row.face_y, row.face_width, row.face_height)
            if all(map(math.isfinite, box)):
                face = WantedFace(int(row.face_id), int(row.frame), float(row.time), box)
                wanted.setdefault(row.video, []).append(face)
    return wanted


def videos(results: Results) -> list[dict[str, Any]]:
    """Describe every analysed video and its faces.

    Args:
        results: The results.

    Returns:
        One mapping per video, in the order of the table.
    """
    drawn, rows = drawn_lanes(results), _TimelineRows(results.timeline, has_measures(results.timeline))
    limit = share_rows([rows.samples(video_id, lane) for video_id, own in drawn.items() for lane, _ in own])
    episodes = _episodes(emotion_episodes(results.episodes))
    doubts, cuts, marked = _doubts(results.doubts), _cuts(results.shots), spans(results.episodes)
    doubtful = results.summary.loc[results.summary["trust"] != "ok", "video_id"].value_counts().to_dict()
    described = []
    for row in _analysed(results).itertuples():
        sampled = rows.sampled(row.video_id)
        threshold = gap_threshold(sampled, results.max_gap)
        faces = []
        for lane, statistics in drawn.get(row.video_id, []):
            times, values = rows.of(row.video_id, lane)
            series = encode(chart_series(times, values, sampled, threshold, limit))
            keys = [(row.video_id, face_id) for face_id in lane.faces]
            own = sorted(itertools.chain.from_iterable(episodes.get(key, []) for key in keys), key=lambda one: one[1])
            seen = sorted(itertools.chain.from_iterable(doubts.get(key, []) for key in keys))
            events = list(itertools.chain.from_iterable(marked.get(key, []) for key in keys))
            faces.append(_face(lane, statistics, own) | series | {"doubts": seen, "spans": events})
        video = _video(row, sampled, faces) | {"doubtful": doubtful.get(row.video_id, 0)}
        video |= {"cuts": cuts.get(row.video_id, []), "id": row.video_id}
        described.append(_extend_to_end(video, float(sampled[-1]) if len(sampled) else 0.0))
    return described


def _analysed(results: Results) -> pd.DataFrame:
    """The rows of the manifest that have a timeline."""
    return results.videos[results.videos["status"].isin(ANALYSED)]


class _TimelineRows:
    """The timeline as arrays, sorted by video, face and time, with the range of rows of each face."""

    def __init__(self, timeline: pd.DataFrame, with_measures: bool) -> None:
        codes, ids = pd.factorize(timeline["video_id"])
        faces = timeline["face_id"].fillna(-1).to_numpy(np.int64)
        order = np.lexsort((timeline["time"], faces, codes))
        codes, faces = codes[order], faces[order]
        self.times = timeline["time"].to_numpy(np.float64)[order]
        columns = [timeline[COLUMNS].to_numpy(np.float32)] + ([shares(timeline)] if with_measures else [])
        self.values = np.concatenate(columns, axis=1)[order]
        edges = np.flatnonzero((np.diff(codes) != 0) | (np.diff(faces) != 0)) + 1
        starts = np.concatenate([[0], edges]) if len(codes) else edges
        parts = [slice(*pair) for pair in itertools.pairwise([*starts.tolist(), len(codes)])]
        self.faces = {(str(ids[codes[part.start]]), int(faces[part.start])): part for part in parts}
        videos = np.searchsorted(codes, np.arange(len(ids) + 1)).tolist()
        self._videos = {str(name): slice(*pair) for name, pair in zip(ids, itertools.pairwise(videos), strict=True)}

    def of(self, video_id: str, lane: Lane) -> tuple[DoubleArray, FloatArray]:
        """Times and values of the faces of a lane."""
        parts = [self.faces[video_id, face_id] for face_id in lane.faces]
        return np.concatenate([self.times[part] for part in parts]), np.concatenate(
            [self.values[part] for part in parts]
        )

    def samples(self, video_id: str, lane: Lane) -> int:
        """Number of rows of a lane."""
        return sum(part.stop - part.start for part in (self.faces[video_id, face_id] for face_id in lane.faces))

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


def _doubts(table: pd.DataFrame) -> dict[Face, list[tuple[float, float, str]]]:
    """Face → start, end and reason of each doubt of the scan."""
    found: dict[Face, list[tuple[float, float, str]]] = {}
    columns = [table[name].tolist() for name in ("video_id", "face_id", "start", "end", "reason")]
    for video_id, face_id, start, end, reason in zip(*columns, strict=True):
        if math.isfinite(start) and math.isfinite(end):
            found.setdefault((video_id, int(face_id)), []).append((round(start, 3), round(end, 3), str(reason)))
    return found


def _cuts(table: pd.DataFrame) -> dict[str, list[float]]:
    """video_id → times at which a shot begins, but for the first."""
    found: dict[str, list[float]] = {}
    for video_id, shot, start in zip(*(table[name].tolist() for name in ("video_id", "shot", "start")), strict=True):
        if shot > 0 and math.isfinite(start):
            found.setdefault(video_id, []).append(round(start, 3))
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


def _face(lane: Lane, row: dict[str, Any], episodes: list[list[float]]) -> dict[str, Any]:
    return {
        "name": lane.name,
        "ids": list(lane.faces),
        "role": None if pd.isna(row.get("role")) else row["role"],
        "person": lane.person,
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
