"""Lanes: which faces of a video are shown together, because they are one person."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import pandas as pd

from fervid.errors import printable


@dataclass(frozen=True)
class Lane:
    """The faces of one person, one after another; or one face.

    Attributes:
        name: The participant, ``person 1`` or ``face 7``. No two lanes of a video have the same name.
        person: Number of the person; None if it is not known.
        faces: Numbers of the faces in order of time. No two are seen at the same time.
        whole: Whether these are all faces of the person.
        participant: The participant, on all lanes of the person; empty if not known.
    """

    name: str
    person: int | None
    faces: tuple[int, ...]
    whole: bool = True
    participant: str = ""


def lanes(summary: pd.DataFrame) -> list[Lane]:
    """Divide the faces of a video into lanes: one for each person, and one for each face whose person is not known.

    A face that is seen while another face of its person is seen gets a lane of its own.

    Args:
        summary: The video's rows of the summary table.

    Returns:
        The lanes, in the order of the smallest number of a face in each.
    """
    found = sorted(_unnamed(summary), key=lambda lane: min(lane.faces))
    taken: set[str] = set()
    named = []
    for lane in found:
        name = next(name for name in _names(lane) if name not in taken)
        taken.add(name)
        named.append(replace(lane, name=name, participant=lane.name))
    return named


def _unnamed(summary: pd.DataFrame) -> Iterator[Lane]:
    """The lanes with the names of their participants; the name is empty if there is none."""
    members: dict[int, list[tuple[float, float, int]]] = {}
    names: dict[int, str] = {}
    columns = (summary[name].tolist() for name in ("face_id", "person", "participant", "first_seen", "last_seen"))
    for face_id, person, participant, first, last in zip(*columns, strict=True):
        if pd.isna(person):
            yield Lane("", None, (int(face_id),))
            continue
        members.setdefault(int(person), []).append((float(first), float(last), int(face_id)))
        if not pd.isna(participant):
            names.setdefault(int(person), printable(str(participant)).strip())
    for person, faces in members.items():
        end, joined = -float("inf"), []
        name, rest = names.get(person, ""), []
        for first, last, face_id in sorted(faces):
            if first > end:
                joined.append(face_id)
                end = last
            else:
                rest.append(face_id)
        yield Lane(name, person, tuple(joined), not rest)
        yield from (Lane(name, person, (face_id,), False) for face_id in rest)


def _names(lane: Lane) -> Iterator[str]:
    """Possible names of a lane, the best first."""
    face = f"face {lane.faces[0]}"
    if lane.person is None:
        yield face
    else:
        person = f"person {lane.person}"
        yield lane.name or person
        yield f"{lane.name}, {person}" if lane.name else f"{person}, {face}"
    number = 2
    while True:  # a participant may be called as another face is
        yield f"{lane.name or face}, {face}" if number == 2 else f"{lane.name or face}, {face} ({number})"
        number += 1
