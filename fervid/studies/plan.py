"""What a study will compute: its inputs, read, matched and checked. No timeline is read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from fervid.errors import BadStudy, ConfigError
from fervid.results.video_names import listed
from fervid.studies.catalog import Recording, read_catalog
from fervid.studies.events import Event
from fervid.studies.matching import Matches, match_events
from fervid.studies.participants import Participant, read_participants
from fervid.studies.read_events import find_files, read_events
from fervid.studies.series import all_measures
from fervid.studies.settings import StudySettings


@dataclass(frozen=True)
class Plan:
    """A study that can be computed.

    Attributes:
        settings: Its settings.
        participants: The participants by name.
        recordings: The recordings.
        events: The events.
        matches: Which participants and recordings they belong to.
        conditions: The trial types to compare.
        measures: The measures to compute.
    """

    settings: StudySettings
    participants: dict[str, Participant]
    recordings: tuple[Recording, ...]
    events: tuple[Event, ...]
    matches: Matches
    conditions: tuple[str, ...]
    measures: tuple[str, ...]

    def group(self, participant: str) -> str:
        """Get the group of a participant.

        Args:
            participant: The participant.

        Returns:
            The group; empty if the study has none.
        """
        column = self.settings.statistics.group
        return self.participants[participant].columns[column] if column else ""

    def counts(self) -> pd.DataFrame:
        """Count the events of each participant in each condition.

        Returns:
            One row per participant in the order of their table: group, recordings, seconds of recordings, and one
            column per condition.
        """
        tally: dict[tuple[str, str], int] = {}
        for one in self.matches.events:
            key = (one.participant, one.event.trial_type)
            tally[key] = tally.get(key, 0) + 1
        rows = []
        found: dict[str, list[Recording]] = {name: [] for name in self.participants}
        for recording in self.recordings:
            for name in recording.faces.keys() & found.keys():
                found[name].append(recording)
        for name in self.participants:
            seen = [one for one in found[name] if not one.problem]
            row: dict[str, object] = {"participant": name, "group": self.group(name), "recordings": len(seen)}
            row["seconds"] = round(sum(one.end or 0.0 for one in seen), 1)
            rows.append(row | {condition: tally.get((name, condition), 0) for condition in self.conditions})
        return pd.DataFrame(rows)

    def apart(self) -> list[tuple[str, str, str]]:
        """List what cannot be computed.

        Returns:
            (participant or empty, video or empty, reason) of each.
        """
        found = list(self.matches.apart)
        found += [("", one.video, f"it was not analysed: {one.problem}") for one in self.recordings if one.problem]
        baseline = self.settings.baseline.event
        with_baseline = {one.participant for one in self.matches.events if one.event.trial_type == baseline}
        seen = {name for one in self.recordings for name in one.faces}
        for name in self.participants:
            if name not in seen:
                found.append((name, "", "no recording shows this participant"))
            elif baseline is not None and name not in with_baseline:
                found.append((name, "", f"there is no baseline: no event {baseline!r}"))
        return list(dict.fromkeys(found))


def make_plan(settings: StudySettings) -> Plan:
    """Read and match everything that a study needs, except timelines.

    Args:
        settings: The settings.

    Returns:
        The plan.

    Raises:
        InputNotFound: A file does not exist.
        ConfigError: A setting names something that the files do not have.
        BadStudy: A file is wrong, or the files do not fit together.
        BadResults: Results cannot be read.
    """
    _check_measures(settings)
    participants = read_participants(Path(settings.participants))
    group = settings.statistics.group
    if group is not None:
        columns = next(iter(participants.values())).columns
        if group not in columns:
            raise ConfigError(
                f"`group` is {group!r}, but the columns of {settings.participants} are {', '.join(columns) or 'none'}"
            )
        empty = [one for one in participants.values() if not one.columns[group]]
        if empty:
            raise BadStudy(f"{empty[0].place}, column {group}: it is empty, so {empty[0].name!r} has no group")
    events = tuple(event for path in find_files(settings.events) for event in read_events(path, settings.tiers))
    recordings = tuple(read_catalog(find_files(settings.results), participants, settings))
    matches = match_events(events, recordings, participants)
    return Plan(settings, participants, recordings, events, matches, _conditions(settings, events), _measures(settings))


def _measures(settings: StudySettings) -> tuple[str, ...]:
    return settings.measures or all_measures()


def _check_measures(settings: StudySettings) -> None:
    unknown = [name for name in settings.measures if name not in all_measures()]
    if unknown:
        raise ConfigError(f"`measures`: the results have no {unknown[0]!r}; they have {', '.join(all_measures())}")


def _conditions(settings: StudySettings, events: Sequence[Event]) -> tuple[str, ...]:
    """The conditions: those of the settings, or all trial types in the order of their names."""
    types = sorted({event.trial_type for event in events})
    wanted, baseline = settings.statistics.conditions, settings.baseline.event
    for name in (*wanted, *([baseline] if baseline is not None else [])):
        if name not in types:
            raise ConfigError(f"no event has the trial type {name!r}; there are {listed(types, 10)}")
    return wanted or tuple(name for name in types if name != baseline)


def plan_text(plan: Plan) -> str:
    """Write what a study would compute.

    Args:
        plan: The plan.

    Returns:
        Lines of text: a table of participants and conditions, gaps, and what is set apart.
    """
    settings, counts = plan.settings, plan.counts()
    kinds = [name for name, wanted in (("whole events", settings.windows.whole), ("windows around onsets",
             settings.windows.around), ("fixed bins", settings.windows.bins)) if wanted]  # fmt: skip
    lines = [
        f"{len(plan.participants)} participants, {len(plan.recordings)} recordings, {len(plan.events)} events",
        f"windows: {', '.join(kinds)}; measures: {', '.join(plan.measures)}",
        "",
        counts.to_string(index=False),
    ]
    gaps = [
        f"{row['participant']} has no event {condition!r}"
        for row in counts.to_dict("records")
        for condition in plan.conditions
        if not row[condition]
    ]
    apart = [f"{name or video}: {reason}" for name, video, reason in plan.apart()]
    for title, entries in (("gaps", gaps), ("kept apart", apart)):
        if entries:
            lines += ["", f"{title}:", *(f"  {entry}" for entry in entries)]
    return "\n".join(lines)
