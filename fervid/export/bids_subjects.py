"""Who is a subject of a BIDS dataset, and the labels of subjects and recordings."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, count
from pathlib import PurePosixPath

from fervid.export.video_rows import VideoRows
from fervid.results.lanes import Lane, lanes

MAX_LABEL = 40
"""Longest label. A file name has two of them, and may have 255 bytes."""

UNKNOWN = "unknown"
"""Start of the labels of persons and faces without a participant."""


@dataclass(frozen=True)
class Recording:
    """A person in one video.

    Attributes:
        subject: Label of the subject, without ``sub-``.
        task: Label of the video, without ``task-``.
        part: Label that tells apart what one participant has in one video, such as ``face7``; empty for the first.
        participant: Name of the participant; None if it is not known.
        video: Name of the video.
        lane: The faces.
    """

    subject: str
    task: str
    part: str
    participant: str | None
    video: str
    lane: Lane

    @property
    def stem(self) -> str:
        """Path of its files within the dataset, without the suffix."""
        part = f"_acq-{self.part}" if self.part else ""
        return f"sub-{self.subject}/beh/sub-{self.subject}_task-{self.task}{part}"


def recordings(tables: VideoRows, names: Iterable[str]) -> list[Recording]:
    """List the persons of each video, and the faces whose person is not known.

    A participant is one subject in all videos. A person or face without a participant is a subject of its own in each
    video, because nothing says whether they are the same.

    Args:
        tables: The results.
        names: Names of the videos that were analysed.

    Returns:
        The recordings, sorted by subject in the order of their first video.
    """
    tasks = unique_labels(list(names), "video")
    found = [(video, lane, who) for video in tasks for lane, who in _people(tables, video)]
    subjects = unique_labels(list(dict.fromkeys(who for *_, who in found if who is not None)), "participant")
    taken = {label.casefold() for label in subjects.values()}
    unknown = (label for label in map(f"{UNKNOWN}{{}}".format, count(1)) if label not in taken)
    used: set[str] = set()
    listed = []
    for video, lane, who in found:
        subject = next(unknown) if who is None else subjects[who]
        plain = Recording(subject, tasks[video], "", who, video, lane)
        part = f"face{lane.faces[0]}" if plain.stem in used else ""
        used.add(plain.stem)
        listed.append(Recording(subject, tasks[video], part, who, video, lane))
    places = {subject: place for place, subject in enumerate(dict.fromkeys(one.subject for one in listed))}
    return sorted(listed, key=lambda one: places[one.subject])


def _people(tables: VideoRows, video: str) -> Iterator[tuple[Lane, str | None]]:
    """The lanes of a video, those with all faces of a person first, and the participant of each."""
    found = lanes(tables.of("summary", video))
    for lane in sorted(found, key=lambda lane: not lane.whole):
        yield lane, lane.participant or None


def unique_labels(names: Sequence[str], empty: str) -> dict[str, str]:
    """Choose a label of letters and digits for each name.

    Accents are removed, and so is all that is neither a letter nor a digit of ASCII. Names that lead to one label get
    numbers, but a name that is a label already keeps it. Upper and lower case do not tell labels apart, because they
    become names of files.

    Args:
        names: Different names: of participants, or of videos with their folder and ending.
        empty: ``participant`` or ``video``. It is also the label of a name of which nothing would be left.

    Returns:
        Name → label, in the order of the names.
    """
    wanted = {name: _label(name, empty) for name in names}
    taken: set[str] = set()
    chosen: dict[str, str] = {}
    for name in sorted(names, key=lambda name: wanted[name] != name.removeprefix("sub-")):
        numbered = map(f"{wanted[name]}{{}}".format, count(2))
        label = next(label for label in chain([wanted[name]], numbered) if label.casefold() not in taken)
        taken.add(label.casefold())
        chosen[name] = label
    return {name: chosen[name] for name in names}


def _label(name: str, empty: str) -> str:
    """The letters and digits of a name."""
    text = PurePosixPath(name).with_suffix("").as_posix() if empty == "video" and name.strip("./") else name
    if empty == "participant":
        text = text.removeprefix("sub-")
    plain = unicodedata.normalize("NFKD", text)
    return re.sub("[^0-9A-Za-z]", "", plain)[:MAX_LABEL] or empty
