"""The table of participants (``participants.tsv`` of BIDS): who takes part, with groups and other columns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fervid.results.text_tables import read_table

KEY = "participant_id"
"""The column that names the participant."""

VIDEO, PERSON = "video", "person"
"""Columns that say which video, and which person in it, shows the participant."""


@dataclass(frozen=True)
class Participant:
    """One participant.

    Attributes:
        name: The ``participant_id``.
        place: File and line, for messages.
        columns: Further columns, such as group and age.
        videos: (video, person) in which the participant is seen; the person is empty if it is not given. Empty if the
            results say who is seen.
    """

    name: str
    place: str
    columns: Mapping[str, str]
    videos: tuple[tuple[str, str], ...] = ()


def read_participants(path: Path) -> dict[str, Participant]:
    """Read the table of participants.

    A participant who is seen in several videos has one line for each of them, with equal further columns.

    Args:
        path: The file.

    Returns:
        Name → participant, in the order of the file.

    Raises:
        InputNotFound: There is no such file.
        BadStudy: A line is wrong; the message names the line and the column.
    """
    table = read_table(path)
    table.require(KEY)
    further = [name for name in table.columns if name not in (KEY, VIDEO, PERSON)]
    found: dict[str, Participant] = {}
    for row in table.rows:
        name = row.cells[KEY]
        if not name:
            raise row.wrong(KEY, "it is empty")
        if not name.isprintable():
            raise row.wrong(KEY, "it contains characters that cannot be printed")
        columns = {column: row.cells[column] for column in further}
        video = (row.get(VIDEO), row.get(PERSON))
        if video[1] and not video[1].isdecimal():
            raise row.wrong(PERSON, f"{video[1]!r} is not a number of a person (0, 1, 2 ...)")
        if video[1] and not video[0]:
            raise row.wrong(VIDEO, f"it is empty, but the column {PERSON} needs it")
        earlier = found.get(name)
        videos = (*(earlier.videos if earlier else ()), *([video] if video[0] else []))
        if earlier and (not video[0] or video in earlier.videos):
            raise row.wrong(KEY, f"{name!r} is there twice; the other is {earlier.place}")
        if earlier and columns != earlier.columns:
            changed = next(column for column in further if columns[column] != earlier.columns[column])
            raise row.wrong(changed, f"{name!r} has another value in {earlier.place}")
        found[name] = Participant(name, earlier.place if earlier else row.place, columns, videos)
    return found
