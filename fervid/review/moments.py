"""Doubtful moments: where a person should look first."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd

from fervid.types import TWO_PEOPLE

LOW_QUALITY = "low picture quality"
"""Start of the reason in ``trust`` for a face of low quality."""

SHORT = "seen for only"
"""Start of the reason in ``trust`` for a face that was seen briefly."""


@dataclass(frozen=True)
class Moment:
    """A stretch of a video in which the figures of a face are doubtful.

    Attributes:
        video: Name of the video.
        video_id: Fingerprint of the video.
        face_id: The face.
        start: Time in seconds.
        end: Time in seconds.
        reason: Why.
        rank: Smaller is more urgent: 0 for a possible swap, 1 for other doubts of the scan, 2 for low quality, 3 for
            the other reasons, 4 for faces that were seen briefly.
    """

    video: str
    video_id: str
    face_id: int
    start: float
    end: float
    reason: str
    rank: int


def doubtful_moments(summary: pd.DataFrame, doubts: pd.DataFrame) -> list[Moment]:
    """List the doubtful moments of videos: every doubt of the scan, and the other reasons in the ``trust`` of a face.

    Args:
        summary: Rows of the summary table.
        doubts: Rows of the doubts table of the same videos.

    Returns:
        The moments, the most urgent first, then in the order of the tables.
    """
    return sorted([*_of_doubts(doubts), *_of_trust(summary, doubts)], key=lambda one: one.rank)


def _of_doubts(doubts: pd.DataFrame) -> Iterator[Moment]:
    columns = (doubts[name].tolist() for name in ("video", "video_id", "face_id", "start", "end", "reason"))
    for video, video_id, face_id, start, end, reason in zip(*columns, strict=True):
        rank = 0 if reason == TWO_PEOPLE else 1
        yield Moment(video, video_id, int(face_id), float(start), float(end), str(reason), rank)


def _of_trust(summary: pd.DataFrame, doubts: pd.DataFrame) -> Iterator[Moment]:
    """The reasons that no doubt of the scan gives."""
    known: dict[tuple[str, int], list[str]] = {}
    for video_id, face_id, reason in zip(doubts["video_id"], doubts["face_id"], doubts["reason"], strict=True):
        known.setdefault((video_id, int(face_id)), []).append(str(reason))
    doubtful = summary[summary["trust"] != "ok"]
    columns = (doubtful[name].tolist() for name in ("video", "video_id", "face_id", "first_seen", "last_seen", "trust"))
    for video, video_id, face_id, first, last, trust in zip(*columns, strict=True):
        doubts_of_face = tuple(known.get((video_id, int(face_id)), ()))
        reasons = [reason for reason in str(trust).split("; ") if not reason.startswith(doubts_of_face)]
        if reasons:
            rank = min(map(_rank, reasons))
            yield Moment(video, video_id, int(face_id), float(first), float(last), "; ".join(reasons), rank)


def _rank(reason: str) -> int:
    return 2 if reason.startswith(LOW_QUALITY) else 4 if reason.startswith(SHORT) else 3
