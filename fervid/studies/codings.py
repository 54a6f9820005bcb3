"""Codings on a common grid of time: those of people, and those of fervid."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import numpy.typing as npt
import pandas as pd

from fervid.errors import BadStudy, UsageError
from fervid.results.in_parts import read_in_parts
from fervid.results.kinds import emotion_episodes
from fervid.results.schema import ANALYSED, small_path
from fervid.results.video_names import by_name, listed
from fervid.studies.agreement import Span
from fervid.studies.catalog import Faces, named_or_only
from fervid.studies.events import Event
from fervid.studies.read_events import read_events
from fervid.studies.series import SampleRules, Series, build_series
from fervid.types import EMOTIONS, DoubleArray

Codes = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Coding:
    """What was coded of one participant in one video.

    Attributes:
        video: Name of the video.
        participant: The participant; empty if nobody is named.
        end: Until when it is known, in seconds.
        spans: Emotion → episodes.
        starts: (n,) starts of the periods that a label holds for, in order.
        ends: (n,) their ends.
        labels: (n,) index of the emotion.
        is_complete: Whether time without a period was coded too, as the emotion that stands for the rest.
    """

    video: str
    participant: str
    end: float
    spans: Mapping[str, Sequence[Span]]
    starts: DoubleArray
    ends: DoubleArray
    labels: Codes
    is_complete: bool

    def at(self, times: DoubleArray, rest: int) -> Codes:
        """Look up labels.

        Args:
            times: (m,) seconds.
            rest: The label of time that a person left blank; below 0 for none.

        Returns:
            (m,) index of the emotion; below 0 where nothing is known. Where periods overlap, the one that began last
            counts.
        """
        found = np.full(len(times), rest if self.is_complete else -1, np.int64)
        for start, end, label in zip(self.starts, self.ends, self.labels, strict=True):
            found[slice(*np.searchsorted(times, [start, end]))] = label
        return found


def is_results(path: Path) -> bool:
    """Whether a path holds results and not a coding.

    Args:
        path: A file or folder.

    Returns:
        True for a folder, a Parquet file, and a CSV file with the small tables of results beside it.
    """
    if path.is_dir() or path.suffix == ".parquet":
        return True
    return path.suffix == ".csv" and small_path(path, "videos").exists()


def read_label_names(texts: Iterable[str]) -> dict[str, str]:
    """Read how a coder's labels are called in fervid.

    Args:
        texts: Texts such as ``joy=happy``.

    Returns:
        Label in lower case → emotion.

    Raises:
        UsageError: A text has another form, or names no emotion.
    """
    names = {emotion: emotion for emotion in EMOTIONS}
    for text in texts:
        label, sign, emotion = text.rpartition("=")
        if not sign or not label or emotion not in EMOTIONS:
            raise UsageError(f"`label` must be such as joy=happy, with one of {', '.join(EMOTIONS)}, not {text!r}")
        names[label.strip().lower()] = emotion
    return names


def named_by_coder(path: Path, tiers: Sequence[str] = ()) -> set[str]:
    """List the names in a coding that may be participants.

    Args:
        path: A file of events.
        tiers: Tiers to read from ELAN and Praat; none: all.

    Returns:
        Participants, subjects, and participants or names of tiers.

    Raises:
        InputNotFound: There is no such file.
        BadStudy: The file is wrong.
    """
    return {event.participant or event.hint for event in read_events(path, tiers)}


def read_coding(
    path: Path, names: Mapping[str, str], tiers: Sequence[str] = (), known: Collection[str] = ()
) -> list[Coding]:
    """Read what a person coded.

    Args:
        path: A file of events.
        names: Label in lower case → emotion.
        tiers: Tiers to read from ELAN and Praat; none: all.
        known: Names that both sides use. Other names of subjects and tiers are no participants.

    Returns:
        One entry per video and participant.

    Raises:
        InputNotFound: There is no such file.
        BadStudy: The file is wrong, or a label is no emotion.
    """
    of: dict[tuple[str, str], list[tuple[Event, str]]] = {}
    for event in read_events(path, tiers):
        label = names.get(event.trial_type.lower())
        if label is None:
            near = difflib.get_close_matches(event.trial_type.lower(), EMOTIONS, n=1, cutoff=0.0)[0]
            raise BadStudy(f"{event.place}: {event.trial_type!r} is no emotion; `label` gives its name, such as "
                           f"{event.trial_type}={near}")  # fmt: skip
        of.setdefault((event.video, event.participant or (event.hint if event.hint in known else "")), []).append(
            (event, label)
        )
    found = []
    for (video, participant), events in of.items():
        events.sort(key=lambda one: one[0].onset)
        spans: dict[str, list[Span]] = {}
        for event, label in events:
            spans.setdefault(label, []).append((event.onset, event.end))
        starts, ends = (np.array([getattr(event, name) for event, _ in events]) for name in ("onset", "end"))
        labels = np.array([EMOTIONS.index(label) for _, label in events])
        found.append(Coding(video, participant, float(ends.max()), spans, starts, ends, labels, True))
    return found


def read_found(path: Path, exclude_roles: Sequence[str] = ("interviewer",)) -> list[Coding]:
    """Read what fervid found: the leading emotion of each sample, and the episodes.

    Args:
        path: The results.
        exclude_roles: Roles that are left out.

    Returns:
        One entry per video and participant.

    Raises:
        InputNotFound: There are no such results.
        BadResults: They cannot be read.
    """
    recordings = {one.video_id: one for one in named_or_only(path, exclude_roles)}
    found = []
    for results in read_in_parts(path):
        tables = {name: dict(iter(getattr(results, name).groupby("video_id", sort=False)))
                  for name in ("timeline", "summary", "episodes")}  # fmt: skip
        rules = SampleRules(EMOTIONS, trusted_only=False, max_gap=results.max_gap)
        for video_id in results.videos.loc[results.videos["status"].isin(ANALYSED), "video_id"]:
            recording = recordings[video_id]
            own = {name: parts.get(video_id, getattr(results, name).iloc[:0]) for name, parts in tables.items()}
            for participant, faces in recording.faces.items():
                found.append(_found(build_series(participant, faces, recording, own, rules), own["episodes"], faces))
    return found


def _found(series: Series, episodes: pd.DataFrame, faces: Faces) -> Coding:
    """What fervid found of one participant in one video."""
    spans: dict[str, list[Span]] = {}
    for row in emotion_episodes(episodes[episodes["face_id"].isin(list(faces))]).itertuples():
        spans.setdefault(str(row.emotion), []).append((float(row.onset), float(row.offset)))
    return Coding(series.recording.video, series.participant, series.end, spans, series.starts, series.ends,
                  series.leading, False)  # fmt: skip


def pair_codings(one: Sequence[Coding], other: Sequence[Coding]) -> tuple[list[tuple[Coding, Coding]], list[str]]:
    """Find what was coded twice.

    Videos may be called by their name, file name or stem. Participants must have the same name, unless one side names
    nobody and the video has one participant.

    Args:
        one: The codings of one side.
        other: Those of the other.

    Returns:
        The pairs, and the names of what only one side has.

    Raises:
        BadStudy: Nothing was coded by both sides.
    """
    index = by_name([coding.video for coding in one])
    pairs: list[tuple[Coding, Coding]] = []
    alone: list[str] = []
    used: set[int] = set()
    for coding in other:
        places = index.find(coding.video) or index.find(PurePosixPath(coding.video).stem)
        same = [place for place in places if one[place].participant == coding.participant]
        if not same and len(places) == 1 and not (one[places[0]].participant and coding.participant):
            same = places
        if len(same) == 1 and same[0] not in used:
            used.add(same[0])
            pairs.append((one[same[0]], coding))
        else:
            alone.append(_name(coding))
    alone += [_name(coding) for place, coding in enumerate(one) if place not in used]
    if not pairs:
        left, right = (listed([_name(coding) for coding in side]) or "nothing" for side in (one, other))
        raise BadStudy(
            f"no video and participant was coded by both sides: {left} and {right}; videos that show several persons "
            "need names from `fervid correct`"
        )
    return pairs, alone


def _name(coding: Coding) -> str:
    return f"{coding.video}{f' ({coding.participant})' if coding.participant else ''}"
