"""The result rows of one video: its timeline, and its rows of the small tables."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from functools import cached_property
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from fervid.results.parts import Row
from fervid.results.schema import FRAME_SIZE, PART
from fervid.scan.types import Scan
from fervid.settings import TimelineSettings
from fervid.settings_io import to_mapping
from fervid.timeline.episodes import Episode, episodes, evidence_each
from fervid.timeline.events import EMOTION, SPEAKING, Event, EventTotals, FaceSeries, events, totals_of
from fervid.timeline.gaps import gap_threshold
from fervid.timeline.smoothing import smooth_each
from fervid.timeline.summary import FaceSummary, Statistics, summarize_face, summarize_person, summarize_video
from fervid.timeline.valence import VALENCE, valence
from fervid.types import EMOTIONS, MEASURES, DoubleArray, Doubt, FloatArray, Track


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
        cuts: Times in seconds of the first frame of each shot except the first.
        participants: Person → who that is, where it is known.
        roles: Person → role.
        doubts: What speaks against the figures of single faces.
    """

    video_id: str
    frames: npt.NDArray[np.int64]
    times: DoubleArray
    sizes: npt.NDArray[np.int32]
    tracks: Sequence[Track]
    probabilities: Sequence[FloatArray]
    duration: float | None
    cuts: Sequence[float] = ()
    participants: Mapping[int, str] = field(default_factory=dict)
    roles: Mapping[int, str] = field(default_factory=dict)
    doubts: Sequence[Doubt] = ()

    def doubts_of(self, face_id: int) -> list[Doubt]:
        """Look up the doubts about a face.

        Args:
            face_id: The face.

        Returns:
            Its doubts in order of time.
        """
        return sorted(self._doubts_by_face.get(face_id, ()), key=lambda one: (one.start, one.reason))

    @cached_property
    def _doubts_by_face(self) -> dict[int, list[Doubt]]:
        found: dict[int, list[Doubt]] = {}
        for one in self.doubts:
            found.setdefault(one.face_id, []).append(one)
        return found

    def participant(self, person: int | None) -> str | None:
        """Look up who a person is.

        Args:
            person: The person; None if it is unknown.

        Returns:
            The participant; None if it is unknown.
        """
        return None if person is None else self.participants.get(person)


def result_rows(
    scan: Scan, probabilities: FloatArray, settings: TimelineSettings, size: int | None = None
) -> tuple[Any, dict[str, list[Row]]]:
    """Compute the tables of a video from its scan and its probabilities.

    Args:
        scan: What the scan found in the video.
        probabilities: (n, 7) float32, for the crops of all tracks, one track after another.
        settings: How to smooth and to find episodes.
        size: Bytes of the file; None if they are not known.

    Returns:
        The timeline (Arrow table of the schema PART), and the rows of ``episodes``, ``summary`` and ``videos``. None
        of them names the video.
    """
    edges = np.cumsum([len(track.times) for track in scan.tracks])[:-1]
    raw = np.split(probabilities, edges) if scan.tracks else []
    faces = VideoFaces(
        scan.video_id,
        scan.frames,
        scan.times,
        scan.sizes,
        scan.tracks,
        raw,
        scan.info.duration,
        scan.cuts,
        doubts=scan.doubts,
    )
    return video_tables(faces, _manifest_row(scan, size), settings)


@dataclass(frozen=True, eq=False)
class FinishedFace:
    """What is computed from one track.

    Attributes:
        smoothed: (samples, 7) float32 smoothed probabilities.
        episodes: Its rows of the episodes table, without the names of the video.
        summary: Its statistics.
        events: How many events are among its episodes, and for how long they could be seen.
    """

    smoothed: FloatArray
    episodes: list[Row]
    summary: FaceSummary
    events: EventTotals


def video_tables(
    faces: VideoFaces,
    manifest: Row,
    settings: TimelineSettings,
    finished: Mapping[int, FinishedFace] = MappingProxyType({}),
) -> tuple[pa.Table, dict[str, list[Row]]]:
    """Smooth a video's probabilities, find its episodes and summarise its faces and persons.

    Args:
        faces: The faces of the video.
        manifest: What its row of ``videos`` says in addition to the statistics.
        settings: How to smooth and to find episodes.
        finished: Face → what was computed from the same track before.

    Returns:
        See ``result_rows``.
    """
    max_gap = gap_threshold(faces.times, settings.max_gap)
    end = max(faces.duration or np.inf, float(faces.times[-1]))
    new = [index for index, track in enumerate(faces.tracks) if track.face_id not in finished]
    computed = _finish(faces, new, settings, max_gap, end)
    known = {**finished, **{one.summary.face_id: one for one in computed}}
    done = [known[track.face_id] for track in faces.tracks]
    smoothed, summaries = [one.smoothed for one in done], [one.summary for one in done]
    timeline = timeline_table(faces, smoothed)
    statistics = to_mapping(summarize_video(faces.tracks, summaries, faces.times, faces.duration))
    tables = {
        "episodes": [row for one in done for row in one.episodes],
        "summary": [_statistics_row(one) | {"participant": faces.participant(one.person)} for one in summaries],
        "persons": _person_rows(faces, done, max_gap),
        "shots": _shot_rows(faces),
        "doubts": [to_mapping(one) for track in faces.tracks for one in faces.doubts_of(track.face_id)],
        "videos": [manifest | statistics],
    }
    return timeline, {name: [{**row, "video_id": faces.video_id} for row in rows] for name, rows in tables.items()}


def _finish(
    faces: VideoFaces, indices: Sequence[int], settings: TimelineSettings, max_gap: float, end: float
) -> Iterator[FinishedFace]:
    """Compute what depends on one track, its doubts and the times of the samples, for each of these tracks."""
    tracks, raw = [faces.tracks[index] for index in indices], [faces.probabilities[index] for index in indices]
    shortest = settings.min_episode
    times, weights = [track.times for track in tracks], [track.qualities for track in tracks]
    smoothed = smooth_each(times, raw, weights, settings.smooth, max_gap, settings.smoother)
    seen = evidence_each(times, raw, smoothed, weights, shortest, max_gap)
    for track, values, of_track in zip(tracks, smoothed, seen, strict=True):
        found = episodes(track.times, of_track, settings.onset, settings.offset, shortest, max_gap, end)
        series = FaceSeries.of(track)
        seen_events = events(series) if series else []
        kept = [_episode_row(episode) for episode in found] + [_event_row(event) for event in seen_events]
        rows = [{"face_id": track.face_id, **row} for row in kept]
        totals = event_totals(track, rows)
        summary = summarize_face(track, values, faces.times, max_gap, faces.doubts_of(track.face_id), totals)
        yield FinishedFace(values, rows, summary, totals)


def event_totals(track: Track, rows: Sequence[Row]) -> EventTotals:
    """Count the events of a face.

    Args:
        track: The face.
        rows: Its rows of the episodes table.

    Returns:
        The totals.
    """
    kinds = [row["kind"] for row in rows if row["kind"] != EMOTION]
    speaking = sum(row["duration"] for row in rows if row["kind"] == SPEAKING)
    return totals_of(FaceSeries.of(track), kinds, speaking)


def now() -> str:
    """Get the current time.

    Returns:
        ISO 8601 in UTC with seconds, as in the column ``finished_at``.
    """
    return datetime.now(UTC).isoformat(timespec="seconds")


def _episode_row(episode: Episode) -> Row:
    return {
        "kind": EMOTION,
        "emotion": EMOTIONS[episode.emotion],
        "onset": episode.onset,
        "apex": episode.apex,
        "offset": episode.offset,
        "duration": episode.offset - episode.onset,
        "peak": episode.peak,
        "mean": episode.mean,
    }


def _event_row(event: Event) -> Row:
    return {
        "kind": event.kind,
        "emotion": None,
        "onset": event.onset,
        "apex": event.apex,
        "offset": event.offset,
        "duration": event.offset - event.onset,
        "peak": event.peak,
        "mean": event.mean,
    }


def _person_rows(faces: VideoFaces, done: Sequence[FinishedFace], max_gap: float) -> list[Row]:
    """The rows of the persons table."""
    members: dict[int, list[int]] = {}
    for index, track in enumerate(faces.tracks):
        if track.person is not None:
            members.setdefault(track.person, []).append(index)
    rows = []
    for person in sorted(members):
        indices = members[person]
        tracks, own = [faces.tracks[index] for index in indices], [done[index] for index in indices]
        values, of_faces = [one.smoothed for one in own], [one.summary for one in own]
        totals = [one.events for one in own]
        row = _statistics_row(summarize_person(tracks, values, of_faces, faces.times, max_gap, totals))
        rows.append(row | {"participant": faces.participant(person), "role": faces.roles.get(person)})
    return rows


def _shot_rows(faces: VideoFaces) -> list[Row]:
    """The rows of the shots table. The first shot begins with the first sample, the last ends with the video."""
    first, last = float(faces.times[0]), max(faces.duration or 0.0, float(faces.times[-1]))
    edges = [first, *(cut for cut in faces.cuts if first < cut), last]
    return [{"shot": shot, "start": start, "end": end} for shot, (start, end) in enumerate(itertools.pairwise(edges))]


def summary_of_row(row: Row) -> FaceSummary:
    """Rebuild a face's statistics from its row of the summary table.

    Args:
        row: The row.

    Returns:
        The statistics.
    """
    names = (field.name for field in fields(FaceSummary))
    shares, means = (tuple(row[f"{kind}_{name}"] for name in EMOTIONS) for kind in ("share", "mean"))
    measured = tuple(row[f"mean_{name}"] for name in (VALENCE, *MEASURES))
    own = {name: row[name] for name in names if name in row}
    return FaceSummary(**own, shares=shares, means=means, measured=measured)


def _statistics_row(summary: Statistics) -> Row:
    row = dict(vars(summary))  # a copy by `dataclasses.asdict` takes ten times as long
    shares, means, measured = row.pop("shares"), row.pop("means"), row.pop("measured")
    for index, name in enumerate(EMOTIONS):
        row[f"share_{name}"], row[f"mean_{name}"] = float(shares[index]), float(means[index])
    row.update(zip((f"mean_{name}" for name in (VALENCE, *MEASURES)), measured, strict=True))
    return row


def _manifest_row(scan: Scan, size: int | None) -> Row:
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
        "size": size,
        "frames_sampled": len(scan.times),
        "faces": len(scan.tracks),
        "seconds": scan.seconds,
        "finished_at": now(),
    }


def timeline_table(faces: VideoFaces, smoothed: Sequence[FloatArray]) -> pa.Table:
    """Build the timeline of one video.

    Args:
        faces: The faces of the video.
        smoothed: For each track, (samples, 7) float32 smoothed probabilities.

    Returns:
        An Arrow table of the schema PART, ordered by frame, then by face.
    """
    tracks, raw, frames, times = faces.tracks, faces.probabilities, faces.frames, faces.times
    seen = np.concatenate([*(track.frames for track in tracks), np.zeros(0, np.int64)])
    empty = ~np.isin(frames, seen)
    count = int(empty.sum())

    def column(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
        """The values of all tracks in turn, then nulls for the frames without a face."""
        parts = [np.asarray(value) for value in values]
        filled = pa.array(np.concatenate(parts) if parts else np.zeros(0), kind, from_pandas=True)  # NaN: unknown
        return pa.concat_arrays([filled, pa.nulls(count, kind)])

    def per_face(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
        """One value for all rows of each track, then nulls."""
        owners = [np.full(len(track.times), index) for index, track in enumerate(tracks)]
        return pa.array(values, kind).take(column(owners, pa.int64()))

    leading = [values.argmax(axis=1) for values in smoothed]
    columns: dict[str, Any] = {
        "frame": pa.array(np.concatenate([seen, frames[empty]]), pa.int64()),
        "time": pa.array(np.concatenate([*(track.times for track in tracks), times[empty]]), pa.float64()),
        "face_id": column([np.full(len(track.times), track.face_id) for track in tracks], pa.int32()),
        "person": per_face([track.person for track in tracks], pa.int32()),
        "participant": per_face([faces.participant(track.person) for track in tracks], pa.string()),
        "face_score": column([track.scores for track in tracks], pa.float32()),
        "face_quality": column([track.qualities for track in tracks], pa.float32()),
        "confidence": column([values.max(axis=1) for values in smoothed], pa.float32()),
        "emotion": pa.DictionaryArray.from_arrays(column(leading, pa.int8()), pa.array(EMOTIONS)),
    }
    for axis, name in enumerate(("face_x", "face_y", "face_width", "face_height")):
        columns[name] = column([track.boxes[:, axis] for track in tracks], pa.float32())
    shown = faces.sizes[np.searchsorted(frames, columns["frame"].to_numpy())]
    for axis, name in enumerate(FRAME_SIZE):
        columns[name] = pa.array(shown[:, axis], pa.int32())
    for index, name in enumerate(EMOTIONS):
        columns[name] = column([values[:, index] for values in raw], pa.float32())
        columns[f"{name}_smooth"] = column([values[:, index] for values in smoothed], pa.float32())
    unknown = np.full(len(MEASURES), np.nan, np.float32)
    measures = [np.tile(unknown, (len(t.times), 1)) if t.measures is None else t.measures for t in tracks]
    for index, name in enumerate(MEASURES):
        columns[name] = column([values[:, index] for values in measures], pa.float32())
    columns[VALENCE] = column([valence(values) for values in smoothed], pa.float32())
    columns["video_id"] = pa.array([faces.video_id] * (len(seen) + count), pa.string())
    table = pa.table({name: columns[name] for name in PART.names}, schema=PART)
    return table.sort_by([("frame", "ascending"), ("face_id", "ascending")])
