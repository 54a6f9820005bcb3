"""Applying corrections to the faces of one video."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from fervid.results.corrections import MAX_NUMBER, NEW, Correction
from fervid.results.face_rows import Rows
from fervid.types import COVERED, TWO_PEOPLE, Doubt

SETTLED_WITHIN = 1.0
"""A split settles a doubt whether a face holds two people if it is at most this many seconds from the doubt's start."""


_EXCLUDED = re.compile(r"\bface \d+ excluded from [\d.]+ to [\d.]+ s\b")
"""The beginning of the sentence of ``exclusion``."""


@dataclass(frozen=True)
class Label:
    """What a person has been called, and by which correction."""

    text: str
    by: Correction


@dataclass(eq=False)
class EditedFaces:
    """The faces of one video while corrections are applied. Rows are numbers of timeline rows that show a face.

    Attributes:
        times: (n,) float64, time of each row in seconds.
        shots: (n,) int64, the shot of each row.
        faces: Face → its rows in order of time.
        persons: Face → the number of its person; None if it has none.
        names: Person → participant.
        roles: Person → role.
        excluded: For each exclusion: the face, the first and last time of the rows that it removed, and the reason.
        doubts: Face → what the scan found that speaks against its figures.
    """

    times: npt.NDArray[np.float64]
    shots: npt.NDArray[np.int64]
    faces: dict[int, Rows]
    persons: dict[int, int | None]
    names: dict[int, Label] = field(default_factory=dict)
    roles: dict[int, Label] = field(default_factory=dict)
    excluded: list[tuple[int, float, float, str]] = field(default_factory=list)
    doubts: dict[int, list[Doubt]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._moved: dict[int, Correction] = {}
        """Person → the last correction that gave it a face."""
        self._largest_face = max(self.faces, default=-1)
        self._largest_person = max((one for one in self.persons.values() if one is not None), default=-1)

    def apply(self, corrections: Iterable[Correction]) -> None:
        """Apply corrections in order.

        Args:
            corrections: Corrections of this video.

        Raises:
            BadCorrections: A correction names an unknown face, changes nothing, or contradicts an earlier one.
        """
        actions = {
            "person": self._person,
            "name": self._name,
            "role": self._role,
            "split": self._split,
            "join": self._join,
            "exclude": self._exclude,
        }
        for one in corrections:
            if one.face_id not in self.faces:
                raise one.wrong("face_id", self._unknown(one.face_id))
            actions[one.action](one)
        self._check_persons()
        self.doubts = {face: found for face in sorted(self.faces) if (found := self._open_doubts(face))}

    def _open_doubts(self, face_id: int) -> list[Doubt]:
        """The doubts that the rows of a face leave open.

        A face holds two people only if it is seen before and after the moment in question.
        """
        times = self.times[self.faces[face_id]]
        found = []
        for doubt in self.doubts.get(face_id, ()):
            first, last = np.searchsorted(times, doubt.start, "left"), np.searchsorted(times, doubt.end, "right")
            if first < last and (doubt.reason != TWO_PEOPLE or first > 0):
                start = doubt.start if doubt.reason == TWO_PEOPLE else float(times[first])
                found.append(Doubt(face_id, start, float(times[last - 1]), doubt.reason))
        return found

    def _is_a_person(self, face_id: int) -> None:
        """Drop the doubts whether a face is a person's own: a correction says whose it is."""
        if face_id in self.doubts:
            self.doubts[face_id] = [one for one in self.doubts[face_id] if one.reason in (TWO_PEOPLE, COVERED)]

    def _unknown(self, face_id: int) -> str:
        """Why a face cannot be corrected."""
        if face_id <= self._largest_face:
            return f"face {face_id} is not there any more: an earlier line joined or excluded it"
        return f"the video has no face {face_id}; its largest is {self._largest_face}"

    def _person(self, one: Correction) -> None:
        self._is_a_person(one.face_id)
        if one.value.lower() == NEW:
            self.persons[one.face_id] = self._new_person()
            return
        number = one.number()
        if number > self._largest_person or number not in self.persons.values():
            raise one.wrong("value", f"the video has no person {number}; `{NEW}` makes one")
        self.persons[one.face_id] = number
        self._moved[number] = one

    def _new_person(self) -> int:
        self._largest_person += 1
        return self._largest_person

    def _person_of(self, face_id: int) -> int:
        """The person of a face; a face without one gets a person of its own."""
        person = self.persons[face_id]
        if person is None:
            person = self.persons[face_id] = self._new_person()
        return person

    def _name(self, one: Correction) -> None:
        self._call(self.names, one, "named")

    def _role(self, one: Correction) -> None:
        self._call(self.roles, one, "called")

    def _call(self, labels: dict[int, Label], one: Correction, verb: str) -> None:
        self._is_a_person(one.face_id)
        person = self._person_of(one.face_id)
        before = labels.setdefault(person, Label(one.value, one))
        if before.by.face_id == one.face_id or before.by.face_id not in self.faces:
            labels[person] = Label(one.value, one)
        elif before.text != one.value:
            raise one.wrong(
                "value", f"person {person} is {verb} {before.text!r} by {before.by.place.rpartition(', ')[2]}"
            )

    def _split(self, one: Correction) -> None:
        assert one.start is not None
        rows = self.faces[one.face_id]
        place = int(np.searchsorted(self.times[rows], one.start, "left"))
        if place in (0, len(rows)):
            first, last = self.times[rows[0]], self.times[rows[-1]]
            reason = f"face {one.face_id} is seen from {first:.3f} to {last:.3f} s; a split must lie in between"
            raise one.wrong("start", reason)
        if self._largest_face >= MAX_NUMBER:
            raise one.wrong("face_id", "there is no larger number for the new face")
        self._largest_face += 1
        self.faces[one.face_id], self.faces[self._largest_face] = rows[:place], rows[place:]
        self.persons[self._largest_face] = self.persons[one.face_id]
        doubts = self.doubts.get(one.face_id, [])
        doubts = [d for d in doubts if d.reason != TWO_PEOPLE or abs(d.start - one.start) > SETTLED_WITHIN]
        for part in (one.face_id, self._largest_face):
            self.doubts[part] = doubts
            self.doubts[part] = self._open_doubts(part)

    def _join(self, one: Correction) -> None:
        other = one.number()
        if other not in self.faces:
            raise one.wrong("value", self._unknown(other))
        if other == one.face_id:
            raise one.wrong("value", "a face cannot be joined with itself")
        rows = np.concatenate([self.faces[one.face_id], self.faces[other]])
        rows = rows[np.argsort(self.times[rows], kind="stable")]
        both = np.flatnonzero(np.diff(self.times[rows]) == 0)
        if len(both):
            raise one.wrong(
                "value", f"faces {one.face_id} and {other} are both seen at {self.times[rows[both[0]]]:.3f} s"
            )
        if len(np.unique(self.shots[rows])) > 1:
            raise one.wrong("value", f"faces {one.face_id} and {other} are in different shots; `person` joins persons")
        self.faces[one.face_id] = rows
        self.doubts[one.face_id] = [*self.doubts.get(one.face_id, ()), *self.doubts.pop(other, ())]
        del self.faces[other], self.persons[other]

    def _exclude(self, one: Correction) -> None:
        rows = self.faces[one.face_id]
        start = -np.inf if one.start is None else one.start
        end = np.inf if one.end is None else one.end
        begin, stop = np.searchsorted(self.times[rows], start, "left"), np.searchsorted(self.times[rows], end, "right")
        if begin == stop:
            raise one.wrong("start", f"face {one.face_id} has no sample between these times")
        self.excluded.append((one.face_id, self.times[rows[begin]], self.times[rows[stop - 1]], one.value))
        left = np.concatenate([rows[:begin], rows[stop:]])
        if len(left):
            self.faces[one.face_id] = left
        else:
            del self.faces[one.face_id], self.persons[one.face_id]

    def _check_persons(self) -> None:
        """Refuse corrections that leave one person or one participant in two places at once."""
        for faces, who, by in self._groups():
            rows = np.concatenate([self.faces[face] for face in faces])
            owners = np.repeat(faces, [len(self.faces[face]) for face in faces])
            order = np.argsort(self.times[rows], kind="stable")
            both = np.flatnonzero(np.diff(self.times[rows[order]]) == 0)
            if len(both):
                first, second = sorted(owners[order[both[0] : both[0] + 2]].tolist())
                time = self.times[rows[order[both[0]]]]
                raise by.wrong("value", f"{who} would be faces {first} and {second} at {time:.3f} s")

    def _groups(self) -> Iterator[tuple[list[int], str, Correction]]:
        """The faces of each person and of each participant that corrections changed, and one such correction."""
        of_person: dict[int, list[int]] = {}
        of_name: dict[str, list[int]] = {}
        for face, person in self.persons.items():
            if person is not None:
                of_person.setdefault(person, []).append(face)
                if person in self.names:
                    of_name.setdefault(self.names[person].text, []).append(face)
        lines = {label.text: label.by for label in self.names.values()}
        for person, by in self._moved.items():
            if person in of_person:
                yield of_person[person], f"person {person}", by
        for name, faces in of_name.items():
            yield faces, repr(name), lines[name]


def labels(found: Mapping[int, Label]) -> dict[int, str]:
    """Get the texts of labels.

    Args:
        found: Person → label.

    Returns:
        Person → text.
    """
    return {person: label.text for person, label in found.items()}


def exclusion(face_id: int, first: float, last: float, reason: str) -> str:
    """Say for the manifest what was excluded. ``lacks_faces`` knows these sentences.

    Args:
        face_id: The face.
        first: Time of its first excluded sample in seconds.
        last: Time of its last one.
        reason: Why; may be empty.

    Returns:
        A sentence.
    """
    return f"face {face_id} excluded from {first:.3f} to {last:.3f} s{f': {reason}' if reason else ''}"


def lacks_faces(message: object) -> bool:
    """Whether corrections excluded faces of a video, so that its tables do not say where they are.

    Args:
        message: The message of the video in the manifest; no text if there is none.

    Returns:
        Whether it names an exclusion.
    """
    return isinstance(message, str) and _EXCLUDED.search(message) is not None
