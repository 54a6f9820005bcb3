"""The recordings of a study: which participant is seen in which video, and as which faces."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from fervid.errors import BadStudy
from fervid.results.reader import read_small
from fervid.results.schema import ANALYSED
from fervid.results.video_names import by_name, listed
from fervid.studies.participants import Participant
from fervid.studies.settings import StudySettings

Faces = frozenset[int]
"""Numbers of faces of one video."""


@dataclass(frozen=True, slots=True)
class Recording:
    """One video of the results.

    Attributes:
        results: The results that hold it.
        video: Its name.
        video_id: Its fingerprint; empty if it was not analysed.
        end: Its length in seconds; None if it is unknown.
        problem: Why it was not analysed; empty if it was.
        faces: Participant → the faces that show the participant. A participant who was never seen has none.
    """

    results: Path
    video: str
    video_id: str
    end: float | None
    problem: str
    faces: Mapping[str, Faces] = field(default_factory=dict)


def read_catalog(
    results: Sequence[Path], participants: Mapping[str, Participant], settings: StudySettings
) -> list[Recording]:
    """Find out who is seen where. Only the small tables are read.

    A face shows the participant whom the column ``participant`` names. In a video where no face is named, the column
    ``video`` of the participants table decides.

    Args:
        results: The results.
        participants: The participants.
        settings: Which roles are left out, and which person is taken.

    Returns:
        The recordings in the order of the results.

    Raises:
        BadStudy: A participant is not in the table, a video is there twice, the table names a video that is not in
            the results, or a video shows several persons and nothing says who the participant is.
        BadResults: Results cannot be read.
        InputNotFound: Results do not exist.
    """
    found: list[_Video] = []
    for path in results:
        found += _videos(path, settings.exclude_roles)
    _refuse_copies(found)
    given = _given(found, participants)
    recordings, unknown, unclear = [], [], []
    for position, video in enumerate(found):
        named = video.named()
        unknown += [f"{name!r} in {video.recording.video}" for name in named if name not in participants]
        faces = dict(named)
        for participant, person in given.get(position, []):
            if named:  # the results know better
                faces.setdefault(participant, frozenset())
                continue
            try:
                faces[participant] = video.of_person(person, settings.person == "most_seen")
            except _Unclear as error:
                unclear.append(f"{video.recording.video} ({error})")
        recordings.append(_with_faces(video.recording, faces))
    if unknown:
        raise BadStudy(f"{settings.participants}: the results name participants that it lacks: {listed(unknown)}")
    if unclear:
        raise BadStudy(
            f"it is not clear which person is the participant in {listed(unclear)}; name the person with `fervid "
            "correct`, or in the column person of the participants table, or set `person` to most_seen"
        )
    return recordings


class _Unclear(Exception):
    """A video shows several persons."""


class _Face(NamedTuple):
    """A face: its number and person in the video, the participant if known, and its number of samples."""

    face_id: int
    person: int | None
    participant: str | None
    samples: int

    @property
    def who(self) -> str:
        """What joins the faces of a person."""
        return f"face {self.face_id}" if self.person is None else f"person {self.person}"


@dataclass(frozen=True)
class _Video:
    """A recording and its faces."""

    recording: Recording
    seen: Sequence[_Face]

    def named(self) -> dict[str, Faces]:
        """Participant → faces, as the results name them."""
        names = sorted({one.participant for one in self.seen if one.participant is not None})
        return {name: frozenset(one.face_id for one in self.seen if one.participant == name) for name in names}

    def of_person(self, person: str, most_seen: bool) -> Faces:
        """The faces of one person; without a number, of the only person or of the most seen one."""
        if person:
            return frozenset(one.face_id for one in self.seen if one.person == int(person))
        if not self.seen:
            return frozenset()
        samples: dict[str, int] = {}
        for one in sorted(self.seen, key=lambda one: one.who):
            samples[one.who] = samples.get(one.who, 0) + one.samples
        known = [who for who in samples if who.startswith("person")]
        chosen = max(samples, key=samples.__getitem__) if most_seen else (known or list(samples))[0]
        if not most_seen and (len(known) > 1 or (not known and len(samples) > 1)):
            raise _Unclear(f"{len(known)} persons" if known else f"{len(samples)} faces of unknown persons")
        return frozenset(one.face_id for one in self.seen if one.who == chosen)


def _with_faces(recording: Recording, faces: Mapping[str, Faces]) -> Recording:
    return Recording(
        recording.results, recording.video, recording.video_id, recording.end, recording.problem, dict(faces)
    )


def _videos(path: Path, exclude_roles: Collection[str]) -> list[_Video]:
    """The videos of one result, without the faces of persons who are no participants."""
    roles = {
        (video_id, person): role
        for video_id, person, role in _columns(path, "persons", "video_id", "person", "role")
        if role is not None
    }
    seen: dict[str, list[_Face]] = {}
    names = "video_id", "face_id", "person", "participant", "samples"
    for video_id, face_id, person, participant, samples in _columns(path, "summary", *names):
        if person is None or roles.get((video_id, person)) not in exclude_roles:
            seen.setdefault(video_id, []).append(_Face(face_id, person, participant, samples or 0))
    found = []
    names = "video", "video_id", "status", "message", "duration"
    for video, video_id, status, message, duration in _columns(path, "videos", *names):
        analysed = status in ANALYSED
        problem = "" if analysed else f"{status}: {message or 'no reason is recorded'}"
        key = video_id if analysed else ""
        found.append(_Video(Recording(path, video, key, duration, problem), seen.get(key, ())))
    return found


def _columns(path: Path, table: str, *names: str) -> Iterator[tuple[Any, ...]]:
    """The values of some columns of a small table, row by row; None where there is none."""
    read = read_small(path, table)
    return zip(*(read[name].to_pylist() for name in names), strict=True)


def _refuse_copies(videos: Iterable[_Video]) -> None:
    seen: dict[str, Recording] = {}
    for video in videos:
        one = video.recording
        if one.video_id in seen:
            other = seen[one.video_id]
            raise BadStudy(f"the same recording is there twice: {other.video} in {other.results} and {one.video} in "
                           f"{one.results}")  # fmt: skip
        if one.video_id:
            seen[one.video_id] = one


def _given(videos: Sequence[_Video], participants: Mapping[str, Participant]) -> dict[int, list[tuple[str, str]]]:
    """Position of a video → (participant, person), from the participants table."""
    names = [video.recording.video for video in videos]
    found: dict[int, list[tuple[str, str]]] = {}
    index = by_name(names)
    for participant in participants.values():
        for name, person in participant.videos:
            matches = index.find(name)
            if len(matches) != 1:
                fits = f"fits {len(matches)} videos: {listed([names[one] for one in matches])}" if matches else (
                    f"is not in the results, which hold {listed(names)}")  # fmt: skip
                raise BadStudy(f"{participant.place}, column video: {name!r} {fits}")
            found.setdefault(matches[0], []).append((participant.name, person))
    for position, owners in found.items():
        alone = [name for name, person in owners if not person]
        if len(owners) > 1 and alone:
            raise BadStudy(
                f"{participants[alone[0]].place}, column person: {names[position]} shows {len(owners)} participants, "
                "so each needs the number of the person"
            )
    return found


def named_or_only(path: Path, exclude_roles: Collection[str]) -> list[Recording]:
    """Read who is seen in the videos of results, without a table of participants.

    Args:
        path: The results.
        exclude_roles: Roles that are left out.

    Returns:
        The analysed recordings. Where nobody is named, the faces of the only person are those of the participant with
        an empty name; a video that shows several persons then has no faces.

    Raises:
        BadResults: The results cannot be read.
        InputNotFound: They do not exist.
    """
    found = []
    for video in _videos(path, exclude_roles):
        faces = video.named()
        if not faces:
            with contextlib.suppress(_Unclear):
                faces = {"": video.of_person("", False)}
        if not video.recording.problem:
            found.append(_with_faces(video.recording, faces))
    return found
