"""Events: what happened when."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from fervid.errors import BadStudy
from fervid.results.text_tables import Row


@dataclass(frozen=True)
class Event:
    """One event.

    Attributes:
        place: File and line, tier or observation, for messages.
        onset: Start in seconds of the video.
        duration: Seconds; 0 for an event without a length.
        trial_type: What happened, such as a condition or a stimulus.
        video: Name, pattern or stem of the video; empty if only the participant is named.
        participant: Whose event it is; empty if it is that of everyone in the video.
        hint: A name that the tool recorded, such as a subject or a tier's participant. It counts as the participant if
            there is one of that name.
        columns: Further columns.
        onset_column: The column of the onset, for messages; empty if the file has no columns.
    """

    place: str
    onset: float
    duration: float
    trial_type: str
    video: str = ""
    participant: str = ""
    hint: str = ""
    columns: Mapping[str, str] = field(default_factory=dict)
    onset_column: str = ""

    @property
    def end(self) -> float:
        """The end in seconds of the video."""
        return self.onset + self.duration

    def wrong(self, column: str, reason: str) -> BadStudy:
        """Build the error for this event.

        Args:
            column: The column that is wrong, if the file has columns.
            reason: Why.

        Returns:
            The error to raise.
        """
        column = {"onset": self.onset_column}.get(column, column) if self.onset_column else ""
        return BadStudy(f"{self.place}{f', column {column}' if column else ''}: {reason}")


def table_event(row: Row, onset: str, duration: float, trial_type: str, owner: tuple[str, str, str]) -> Event:
    """Build the event of one line.

    Args:
        row: The line.
        onset: The column of the onset.
        duration: Seconds.
        trial_type: What happened.
        owner: The video, the participant and the hint; see Event.

    Returns:
        The event.

    Raises:
        BadStudy: The onset is not a number, or there is no trial type.
    """
    start = row.number(onset)
    if not trial_type:
        raise row.wrong("trial_type", "it is empty; it says what happened")
    used = {onset, "duration", "trial_type", "video", "participant_id", "participant"}
    further = {name: text for name, text in row.cells.items() if name not in used}
    video, participant, hint = owner
    return Event(row.place, start, duration, trial_type, video, participant, hint, further, onset)


def bids_entities(path: Path) -> tuple[str, str] | None:
    """Read the file name of a BIDS table of events.

    Args:
        path: A file such as ``sub-01_task-talk_events.tsv``.

    Returns:
        The common start of the names of that recording (``sub-01_task-talk``), and the participant (``sub-01``); None
        for another file name.
    """
    match = re.fullmatch(r"((sub-[^_]+)(?:_.+)?)_events", path.stem)
    return (match[1], match[2]) if match else None
