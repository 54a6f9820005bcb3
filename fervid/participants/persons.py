"""The persons of results, and which of their faces are compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from fervid.faces.identity import MIN_QUALITY, MIN_SIDE
from fervid.results.reader import Results
from fervid.types import Box, FloatArray

FACES = 8
"""Largest number of faces of a person that are compared."""

FULL_SIDE = 112.0
"""Shorter side of a box, in pixels, from which a larger face is no better: the side of the embedder's input."""


OF_FACES: dict[str, Any] = {
    "face_id": np.int64, "frame": np.int64, "time": np.float64, "face_x": np.float32, "face_y": np.float32,
    "face_width": np.float32, "face_height": np.float32, "face_quality": np.float32, "participant": object,
}  # fmt: skip
"""Columns of the timeline that are needed of each face, and their types; also ``video`` and ``person``."""


@dataclass(frozen=True, slots=True)
class ChosenFace:
    """A face of a person that is looked at again.

    Attributes:
        person: Number of the person in the list of all persons.
        frame: Index of its frame.
        time: Time of that frame in seconds.
        box: Its box, in pixels of the frame as shown.
        face_id: Its track.
    """

    person: int
    frame: int
    time: float
    box: Box
    face_id: int


@dataclass(frozen=True, eq=False, slots=True)
class Person:
    """A person of one video. A face without a person is a person of its own.

    Attributes:
        video: Name of the video.
        person: Number of the person in the video; None for a face without one.
        face_id: The face with most samples, by which corrections name the person.
        frames: Indices of the sampled frames that show the person, sorted.
        first_seen: Time of the first of them in seconds.
        participant: The name that an earlier correction gave; None if there is none.
        chosen: The faces to compare; none if all are too small or unclear.
    """

    video: str
    person: int | None
    face_id: int
    frames: npt.NDArray[np.int64]
    first_seen: float
    participant: str | None
    chosen: tuple[ChosenFace, ...]

    @property
    def name(self) -> str:
        """What messages call the person."""
        number = f"face {self.face_id}" if self.person is None else f"person {self.person} (face {self.face_id})"
        return f"{self.video}, {number}"

    def is_seen_with(self, other: Person) -> bool:
        """Whether two persons are seen at the same time in one video.

        Args:
            other: The other person.

        Returns:
            True if a sampled frame shows both.
        """
        return self.video == other.video and len(np.intersect1d(self.frames, other.frames, assume_unique=True)) > 0


def list_persons(results: Results, first: int = 0) -> list[Person]:
    """List the persons of results, and choose the faces of each that are compared.

    Args:
        results: The results.
        first: The number of the first person.

    Returns:
        The persons in the order of the videos, and in a video in the order in which they appear.
    """
    timeline = results.timeline
    seen = timeline["face_id"].notna().to_numpy()
    columns = {name: timeline[name][seen].to_numpy(kind) for name, kind in OF_FACES.items()}
    tracks, number_of = columns["face_id"], timeline["person"][seen]
    # a face without a person has a number below 0
    owners = np.where(number_of.isna(), -1 - tracks, number_of.fillna(0).to_numpy(np.int64))
    codes, videos = pd.factorize(timeline["video"][seen])
    order = np.lexsort((owners, codes))  # stable: the rows of a person stay in order
    borders = np.flatnonzero(np.diff(codes[order]) | np.diff(owners[order])) + 1
    parts = [part for part in np.split(order, borders) if len(part)]
    parts.sort(key=lambda part: (codes[part[0]], columns["time"][part].min(), part[0]))
    persons = []
    for place, part in enumerate(parts):
        rows = {name: values[part] for name, values in columns.items()}
        persons.append(_person(first + place, str(videos[codes[part[0]]]), int(owners[part[0]]), rows))
    return persons


def _person(number: int, video: str, owner: int, rows: Mapping[str, npt.NDArray[Any]]) -> Person:
    """The person of these rows of the timeline."""
    tracks, frames, times = rows["face_id"], rows["frame"], rows["time"]
    ids, counts = np.unique(tracks, return_counts=True)
    boxes = np.stack([rows[name] for name in ("face_x", "face_y", "face_width", "face_height")], axis=1)
    picked = choose(tracks, times, boxes, rows["face_quality"])
    chosen = [
        ChosenFace(number, int(frames[i]), float(times[i]), tuple(boxes[i].tolist()), int(tracks[i])) for i in picked
    ]
    participant = rows["participant"][0]
    named = participant if isinstance(participant, str) else None
    face_id = int(ids[counts.argmax()])
    person = None if owner < 0 else owner
    return Person(video, person, face_id, np.unique(frames), float(times.min()), named, tuple(chosen))


def choose(
    tracks: npt.NDArray[np.int64], times: npt.NDArray[np.float64], boxes: FloatArray, qualities: FloatArray
) -> list[int]:
    """Choose faces of one person: clear and large ones, spread over its tracks and over time.

    ``face_quality`` is low for faces that are blurred, turned away, cut off or dark.

    Args:
        tracks: (n,) the track of each face.
        times: (n,) seconds.
        boxes: (n, 4) float32 x, y, width and height in pixels.
        qualities: (n,) float32 ``face_quality``.

    Returns:
        At most ``FACES`` numbers of faces, in order of time.
    """
    sides = boxes[:, 2:].min(axis=1)
    value = qualities * np.minimum(sides / FULL_SIDE, 1)
    usable = np.flatnonzero((sides >= MIN_SIDE) & (qualities >= MIN_QUALITY))
    usable = usable[np.argsort(times[usable], kind="stable")]
    by_track = [usable[tracks[usable] == track] for track in np.unique(tracks[usable])]
    by_track = sorted(by_track, key=lambda rows: -float(value[rows].max()))[:FACES]
    picked = []
    for rows, share in zip(by_track, _shares([len(rows) for rows in by_track]), strict=True):
        picked += [int(part[value[part].argmax()]) for part in np.array_split(rows, share)]
    return sorted(picked, key=lambda row: float(times[row]))


def _shares(counts: Sequence[int]) -> list[int]:
    """How many of ``FACES`` faces each track gives: at least one, and the others in proportion to its samples."""
    shares = [1] * len(counts)
    while sum(shares) < min(FACES, sum(counts)):
        left = [count / share if share < count else 0.0 for count, share in zip(counts, shares, strict=True)]
        shares[left.index(max(left))] += 1
    return shares
