"""Which frames a report stores, so that a click on a timeline shows a picture."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from fervid.results.kinds import emotion_episodes
from fervid.results.reader import Results
from fervid.types import DoubleArray

Rows = npt.NDArray[np.int64]
"""Places of frames in a list of times."""

SPACING = 2.0
"""Seconds between two stored frames of a video, if the page has room for so many."""

DENSE_SPACINGS = (0.5, 1.0)
"""Smaller spacings in seconds, for pages with room for frames of ``GOOD_BYTES``."""

GOOD_BYTES = 6_000
"""Bytes of a frame about 440 pixels wide."""

LEAST_BYTES = 1_600
"""Bytes of a frame about 220 pixels wide: no smaller ones are stored to have more of them."""

MOST_BYTES = 7_500
"""Bytes of a frame about 480 pixels wide, the largest."""

AROUND = (-0.6, -0.3, 0.0, 0.3, 0.6)
"""Seconds from an onset, an apex, an offset or the end of a doubt at which more frames are stored."""

_ROUNDING = 1e-3
"""Seconds by which two frames may be further apart than the spacing."""


@dataclass(frozen=True)
class StoredFrame:
    """A frame that the report stores.

    Attributes:
        frame: Index of the frame.
        time: Its time in seconds.
    """

    frame: int
    time: float


@dataclass(frozen=True)
class FramePlan:
    """Which frames a report stores.

    Attributes:
        frames: video_id → its frames in order of time. All of them were sampled.
        spacing: Largest number of seconds between two frames of a video, where frames were sampled so densely.
        count: Number of frames.
        frame_bytes: Bytes that a frame may take on average.
        left_out: Number of videos for which there is no room.
    """

    frames: Mapping[str, tuple[StoredFrame, ...]]
    spacing: float
    count: int
    frame_bytes: int
    left_out: int


def plan_frames(results: Results, room: int) -> FramePlan:
    """Choose the frames that a report stores: one every ``SPACING`` seconds, and more around episodes and doubts.

    If the page has more room, frames are closer together, and if it has less, further apart.

    Args:
        results: The results.
        room: Bytes that all frames together may take.

    Returns:
        The plan.
    """
    sampled = dict(_sampled(results.timeline))
    most = max(room // LEAST_BYTES, 0)
    longest = sorted(sampled, key=lambda video_id: -len(sampled[video_id][1]))[:most]
    times = {video_id: sampled[video_id][1] for video_id in longest}
    spacing = _spacing(times, room, most)
    chosen = {video_id: _spread(own, spacing) for video_id, own in times.items()}
    count = sum(map(len, chosen.values()))
    more, wanted = min(1.0, (most - count) / max(count, 1)), _wanted_moments(results)
    for video_id, rows in chosen.items():
        extra = np.setdiff1d(_nearest(times[video_id], wanted.get(video_id, [])), rows, assume_unique=True)
        chosen[video_id] = np.sort(np.append(rows, extra[: int(more * len(rows))]))
    count = sum(map(len, chosen.values()))
    frames = {
        video_id: tuple(StoredFrame(int(sampled[video_id][0][row]), float(times[video_id][row])) for row in rows)
        for video_id, rows in chosen.items()
    }
    return FramePlan(frames, spacing, count, min(MOST_BYTES, room // max(count, 1)), len(sampled) - len(times))


def _sampled(
    timeline: pd.DataFrame,
) -> Iterator[tuple[str, tuple[Rows, DoubleArray]]]:
    """video_id, and the indices and times of its sampled frames."""
    codes, ids = pd.factorize(timeline["video_id"])
    frames, times = timeline["frame"].to_numpy(np.int64), timeline["time"].to_numpy(np.float64)
    order = np.lexsort((times, codes))
    edges = np.searchsorted(codes[order], np.arange(len(ids) + 1))
    for video_id, (start, end) in zip(ids, itertools.pairwise(edges.tolist()), strict=True):
        own, places = np.unique(times[order[start:end]], return_index=True)
        yield str(video_id), (frames[order[start:end]][places], own)


def _spacing(times: Mapping[str, DoubleArray], room: int, most: int) -> float:
    """The smallest spacing for which there is room."""

    def count(spacing: float) -> int:
        return sum(len(_spread(own, spacing)) for own in times.values())

    for spacing in DENSE_SPACINGS:
        if count(spacing) * GOOD_BYTES <= room:
            return spacing
    spacing = SPACING
    while count(spacing) > most:  # at the latest, each video has one frame
        spacing *= 1.25
    return spacing


def _spread(times: DoubleArray, spacing: float) -> Rows:
    """Times from the first on, so that no two neighbours are further apart than a spacing, if possible."""
    rows = [0]
    while times[-1] - times[rows[-1]] > spacing / 2:
        after = int(np.searchsorted(times, times[rows[-1]] + spacing + _ROUNDING, "right")) - 1
        rows.append(max(after, rows[-1] + 1))
    return np.array(rows)


def _wanted_moments(results: Results) -> dict[str, list[float]]:
    """video_id → times of which frames are wanted, the most important first: doubts, then apexes, onsets, offsets."""
    wanted: dict[str, list[float]] = {}
    doubts, episodes = results.doubts, emotion_episodes(results.episodes)
    for table, name, around in (
        (doubts, "start", AROUND),
        (doubts, "end", AROUND),
        (episodes, "apex", (0.0,)),
        (episodes, "onset", AROUND),
        (episodes, "offset", AROUND),
    ):
        for video_id, time in zip(table["video_id"].tolist(), table[name].tolist(), strict=True):
            wanted.setdefault(video_id, []).extend(time + step for step in around)
    return wanted


def _nearest(times: DoubleArray, wanted: list[float]) -> Rows:
    """The times nearest to those wanted, each once, in the order of the wish."""
    if not wanted:
        return np.zeros(0, np.int64)
    after = np.clip(np.searchsorted(times, wanted), 1, max(len(times) - 1, 1))
    before = after - 1
    after = np.minimum(after, len(times) - 1)
    rows = np.where(np.abs(times[before] - wanted) <= np.abs(times[after] - wanted), before, after)
    _, first = np.unique(rows, return_index=True)
    return np.asarray(rows[np.sort(first)], np.int64)
