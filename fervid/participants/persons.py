"""The persons of results, and which of their faces are compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fervid.faces.identity import MIN_QUALITY, MIN_SIDE
from fervid.results.reader import Results
from fervid.types import Box, FloatArray

FACES = 8
"""Largest number of faces of a person that are compared."""

FULL_SIDE = 112.0
"""Shorter side of a box, in pixels, from which a larger face is no better: the side of the embedder's input."""


@dataclass(frozen=True)
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


@dataclass(frozen=True, eq=False)
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
    rows = results.timeline.dropna(subset=["face_id"])
    alone = rows["person"].isna()
    owners = rows["person"].where(~alone, -1 - rows["face_id"])  # a face without a person has a number below 0
    persons: list[Person] = []
    for video, of_video in rows.assign(owner=owners.astype("int64")).groupby("video", sort=False):
        parts = [part for _, part in of_video.groupby("owner", sort=False)]
        for part in sorted(parts, key=lambda part: float(part["time"].min())):
            persons.append(_person(first + len(persons), str(video), part))
    return persons


def _person(number: int, video: str, rows: Any) -> Person:
    """The person of these rows of the timeline."""
    tracks = rows["face_id"].to_numpy(np.int64)
    ids, counts = np.unique(tracks, return_counts=True)
    frames, times = rows["frame"].to_numpy(np.int64), rows["time"].to_numpy(np.float64)
    boxes = rows[["face_x", "face_y", "face_width", "face_height"]].to_numpy(np.float32)
    picked = choose(tracks, times, boxes, rows["face_quality"].to_numpy(np.float32))
    chosen = [
        ChosenFace(number, int(frames[i]), float(times[i]), tuple(boxes[i].tolist()), int(tracks[i])) for i in picked
    ]
    owner, participant = rows["owner"].iloc[0], rows["participant"].iloc[0]
    named = participant if isinstance(participant, str) else None
    face_id = int(ids[counts.argmax()])
    person = None if owner < 0 else int(owner)
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
