"""Reading events from the files of any tool: tables, BIDS, ELAN, BORIS and Praat."""

from __future__ import annotations

import glob
from collections.abc import Iterable, Iterator
from pathlib import Path

from fervid.errors import BadStudy, InputNotFound
from fervid.results.text_tables import Row, TextTable, read_table
from fervid.studies import boris, elan_events, praat
from fervid.studies.events import Event, bids_entities, table_event


def find_files(patterns: Iterable[str]) -> list[Path]:
    """Find the files that a study names.

    Args:
        patterns: Paths or glob patterns.

    Returns:
        The files, each once, in order.

    Raises:
        InputNotFound: A path does not exist, or a pattern fits nothing.
    """
    found: dict[Path, None] = {}
    for pattern in patterns:
        path = Path(pattern)
        matches = [path] if path.exists() else [Path(name) for name in sorted(glob.glob(pattern, recursive=True))]
        if not matches:
            raise InputNotFound(f"no such file: {pattern}")
        found |= dict.fromkeys(matches)
    return list(found)


def read_events(path: Path, tiers: Iterable[str] = ()) -> list[Event]:
    """Read the events of one file. The ending says which tool wrote it.

    ``.csv``, ``.tsv``, ``.txt`` and ``.xlsx`` are tables: those of BIDS (``_events.tsv``), those that BORIS exports,
    and others with the columns ``onset``, ``duration`` and ``trial_type``. ``.eaf`` is ELAN, ``.boris`` BORIS and
    ``.TextGrid`` Praat.

    Args:
        path: The file.
        tiers: Names of the tiers to read from ELAN and Praat; none: all tiers.

    Returns:
        The events in the order of the file, at least one.

    Raises:
        InputNotFound: There is no such file.
        BadStudy: The file cannot be used; the message names the line and the column.
    """
    ending = path.suffix.lower()
    if ending == ".eaf":
        events = list(elan_events.read_elan(path, tiers))
    elif ending == ".textgrid":
        events = list(praat.read_textgrid(path, tiers))
    elif ending in (".boris", ".json"):
        events = list(boris.read_project(path))
    elif ending in (".csv", ".tsv", ".txt", ".xlsx"):
        table = read_table(path)
        events = list(boris.read_export(table) if boris.is_export(table) else _table_events(table))
    else:
        raise BadStudy(f"{path}: events are read from .csv, .tsv, .txt, .xlsx, .eaf, .boris and .TextGrid files")
    if not events:
        raise BadStudy(f"{path} holds no events")
    _refuse_duplicates(events)
    return events


def _table_events(table: TextTable) -> Iterator[Event]:
    """The events of a table with the columns of DESIGN: onset, duration, trial_type, video, participant_id."""
    table.require("onset", "trial_type")
    named = bids_entities(table.path)
    for row in table.rows:
        video, participant = row.cells.get("video", ""), row.get("participant_id", "participant")
        hint = ""
        if not video and not participant:
            video, hint = named or (table.path.stem, "")
        yield table_event(row, "onset", _duration(row), row.cells["trial_type"], (video, participant, hint))


def _duration(row: Row) -> float:
    """The duration of a line; an empty cell is an event without a length."""
    if not row.cells.get("duration"):
        return 0.0
    duration = row.number("duration")
    if duration < 0:
        raise row.wrong("duration", f"it is negative: {duration:g}")
    return duration


def _refuse_duplicates(events: Iterable[Event]) -> None:
    """Refuse equal lines, which come from copying and would count twice."""
    seen: dict[tuple[object, ...], Event] = {}
    for event in events:
        key = (event.onset, event.duration, event.trial_type, event.video, event.participant, event.hint,
               *sorted(event.columns.items()))  # fmt: skip
        if key in seen:
            raise event.wrong("onset", f"the same event is there twice; the other is {seen[key].place}")
        seen[key] = event
