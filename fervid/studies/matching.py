"""Matching events to recordings and participants."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fervid.errors import BadStudy
from fervid.results.video_names import NameIndex, by_name, listed
from fervid.studies.catalog import Recording
from fervid.studies.events import Event
from fervid.studies.participants import Participant

END_TOLERANCE = 1.0
"""Seconds by which an event may end after the video, because clocks and roundings differ."""

MILLISECONDS = 1000
"""An onset this many times too large is probably in milliseconds."""


@dataclass(frozen=True, slots=True)
class MatchedEvent:
    """An event of one participant in one recording.

    Attributes:
        number: Position of the event in the study, from 0.
        event: The event.
        recording: Position of the recording in the catalog.
        participant: The participant.
    """

    number: int
    event: Event
    recording: int
    participant: str


@dataclass(frozen=True)
class Matches:
    """All events of a study, matched.

    Attributes:
        events: One entry per event, recording and participant.
        apart: (participant or empty, video, reason) of what cannot be computed, such as events in a video that could
            not be analysed.
    """

    events: tuple[MatchedEvent, ...]
    apart: tuple[tuple[str, str, str], ...]


def match_events(
    events: Sequence[Event], recordings: Sequence[Recording], participants: Mapping[str, Participant]
) -> Matches:
    """Find the recordings and participants of events.

    An event that names a video is one of every participant in it, or of the participant whom it names too. An event
    that names only a participant belongs to the only video of that participant.

    Args:
        events: The events of all files.
        recordings: The recordings.
        participants: The participants.

    Returns:
        The matches.

    Raises:
        BadStudy: Events match no video or several ones, name an unknown participant, or lie outside their video.
    """
    index = by_name([one.video for one in recordings])
    of_owners: dict[str, list[int]] = {}
    for place, recording in enumerate(recordings):
        for name in recording.faces:
            of_owners.setdefault(name, []).append(place)
    matched: list[MatchedEvent] = []
    apart: dict[tuple[str, str, str], None] = {}
    lost: list[Event] = []
    for number, event in enumerate(events):
        owner = _participant(event, participants)
        places = _recordings(event, owner, of_owners.get(owner, []), recordings, index)
        if not places:
            lost.append(event)
        for place in places:
            recording = recordings[place]
            if recording.problem:
                apart[(owner, recording.video, f"it was not analysed: {recording.problem}")] = None
                continue
            owners = [owner] if owner else list(recording.faces)
            if not owners:
                apart[("", recording.video, "it shows no participant, but has events")] = None
            matched += [MatchedEvent(number, event, place, name) for name in owners]
    if lost:
        named = [f"{event.video or event.participant or event.hint!r} ({event.place})" for event in lost]
        one = len(lost) == 1
        raise BadStudy(
            f"{len(lost)} event{'' if one else 's'} match{'es' * one} no video of the results: {listed(named)}"
        )
    _refuse_outside(matched, recordings)
    return Matches(tuple(matched), tuple(apart))


def _participant(event: Event, participants: Mapping[str, Participant]) -> str:
    """The participant whom an event names; empty if it names none."""
    if event.participant and event.participant not in participants:
        raise event.wrong("participant_id", f"{event.participant!r} is not in the participants table")
    return event.participant or (event.hint if event.hint in participants else "")


def _recordings(
    event: Event, owner: str, of_owner: list[int], recordings: Sequence[Recording], index: NameIndex
) -> list[int]:
    """Positions of the recordings of an event; ``of_owner`` are those of the participant whom it names."""
    places = index.find(event.video) if event.video else of_owner
    if not places and event.hint:  # a table of BIDS, named after the recording or after the participant
        places = index.starting_with(event.video) or of_owner
    if owner and len(places) > 1:
        places = [place for place in places if place in of_owner] or places
    if len(places) > 1 and not any(sign in event.video for sign in "*?["):
        names = listed([f"{recordings[place].video} in {recordings[place].results}" for place in places])
        column = "video" if event.video else "participant_id"
        name = event.video or owner
        raise event.wrong(column, f"{name!r} fits {len(places)} videos: {names}; name the video in full")
    return places


def _refuse_outside(matched: Sequence[MatchedEvent], recordings: Sequence[Recording]) -> None:
    """Refuse events that lie outside their video. Many far too large times are probably in milliseconds."""
    outside = []
    for one in matched:
        end = recordings[one.recording].end
        late = end is not None and (one.event.onset > end or one.event.end > end + END_TOLERANCE)
        if late or one.event.end < 0:
            outside.append((one, end))
    if not outside:
        return
    one, end = outside[0]
    event, video = one.event, recordings[one.recording].video
    if end is None or event.end < 0:
        raise event.wrong("onset", f"the event ends before {video} begins")
    hint = ""
    if all(late is not None and other.event.end / MILLISECONDS <= late for other, late in outside):
        known = [one.event for one in matched if recordings[one.recording].end is not None]
        if 2 * len(outside) >= len(known):
            hint = "; are the times in milliseconds? They must be in seconds"
    when = f"at {event.onset:g} s" if event.onset > end else f"ends at {event.end:g} s"
    count = f"{len(outside)} events lie after the end of their video; the first is " if len(outside) > 1 else ""
    raise event.wrong("onset", f"{count}{when}, but {video} ends at {end:g} s{hint}")
