"""The settings of a study, and the file that holds them."""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from fervid.settings import check, convert_fields
from fervid.settings_io import from_mapping, read_toml


@dataclass(frozen=True)
class BaselineSettings:
    """What the values of a participant are compared with. At most one of the three kinds is chosen."""

    event: str | None = None
    """Events of this trial type are the baseline."""
    start: float | None = None
    """The baseline begins at this time of each recording, in seconds."""
    end: float | None = None
    """The baseline ends at this time, in seconds."""
    lowest: float | None = None
    """The baseline is this share of each recording in which a measure is lowest, such as 0.2."""
    minimum: float = 5.0
    """A participant whose baseline was observed for fewer seconds is kept apart."""

    def __post_init__(self) -> None:
        convert_fields(self)
        kinds = [self.event is not None, self.start is not None or self.end is not None, self.lowest is not None]
        check(sum(kinds) <= 1, "`baseline` must have only one of `event`, `start` with `end`, and `lowest`")
        check((self.start is None) == (self.end is None), "`baseline` needs both `start` and `end`")
        if self.start is not None and self.end is not None:
            check(0 <= self.start < self.end, f"`end` ({self.end}) must be later than `start` ({self.start})")
        check(self.lowest is None or 0 < self.lowest < 1, f"`lowest` must be between 0 and 1: {self.lowest}")
        check(self.minimum > 0, f"`minimum` must be positive: {self.minimum}")

    @property
    def is_given(self) -> bool:
        """Whether the study has a baseline."""
        return self.event is not None or self.start is not None or self.lowest is not None


@dataclass(frozen=True)
class WindowSettings:
    """The windows in which values are computed. Times are in seconds."""

    whole: bool = True
    """The whole of each event that has a duration."""
    around: tuple[float, ...] = (-2.0, 8.0)
    """Start and end of the window around each onset, such as -2 and 8. An empty list makes none."""
    bins: float | None = None
    """Length of fixed windows that divide each recording, such as 60."""
    step: float = 0.25
    """Step of the mean course around the onset."""

    def __post_init__(self) -> None:
        convert_fields(self)
        check(len(self.around) in (0, 2), "`around` must be a list of two times, such as [-2, 8]")
        if self.around:
            check(self.around[0] < self.around[1], f"`around` must begin before it ends: {list(self.around)}")
            steps = (self.around[1] - self.around[0]) / self.step if self.step > 0 else 0
            check(1 <= steps <= 10_000, f"`step` must divide `around` into 1 to 10000 steps, not {self.step}")
        check(self.bins is None or self.bins >= 0.1, f"`bins` must be at least 0.1: {self.bins}")
        check(self.whole or bool(self.around) or self.bins is not None, "`windows` must have at least one kind")


@dataclass(frozen=True)
class StatisticsSettings:
    """How participants are summarised."""

    group: str | None = None
    """Column of the participants table that names the group."""
    conditions: tuple[str, ...] = ()
    """Trial types to compare, in this order. None: all but that of the baseline."""
    repetitions: int = 2000
    """Repetitions of the bootstrap."""
    seed: int = 1
    """Seed of the bootstrap and of the shuffled null of synchrony."""
    synchrony: bool = True
    """Compute the synchrony of two participants who are seen in one recording."""
    max_lag: float = 2.0
    """Largest lag of the synchrony in seconds."""

    def __post_init__(self) -> None:
        convert_fields(self)
        check(200 <= self.repetitions <= 100_000, f"`repetitions` must be 200 to 100000, not {self.repetitions}")
        check(self.seed >= 0, f"`seed` must not be negative: {self.seed}")
        check(0 <= self.max_lag <= 60, f"`max_lag` must be 0 to 60, not {self.max_lag}")
        doubled = [name for name in self.conditions if self.conditions.count(name) > 1]
        check(not doubled, f"`conditions` names {doubled[0] if doubled else ''} twice")


@dataclass(frozen=True)
class StudySettings:
    """Everything that a study needs. Relative paths start at the folder of the study file."""

    results: tuple[str, ...]
    """Results, corrected or not: files, folders or patterns."""
    participants: str
    """The table of participants."""
    events: tuple[str, ...] = ()
    """Files of events, or patterns."""
    tiers: tuple[str, ...] = ()
    """Tiers to read from ELAN and Praat. None: all."""
    measures: tuple[str, ...] = ()
    """Measures to compute. None: the seven emotions, valence, and every further measure in the results."""
    values: Literal["smooth", "raw"] = "smooth"
    """Which probabilities are used."""
    coverage: float = 0.5
    """A window that was observed for a smaller share of its length is set aside."""
    quality: float = 0.0
    """Samples with a lower ``face_quality`` do not count as observed."""
    trust: Literal["ok", "any"] = "ok"
    """ok: faces whose trust is not ok do not count as observed."""
    exclude_roles: tuple[str, ...] = ("interviewer",)
    """Persons with these roles are no participants."""
    person: Literal["only", "most_seen"] = "only"
    """Which person is the participant whom the participants table gives a video. only: a video with several persons
    is an error. most_seen: the person with the most samples."""
    baseline: BaselineSettings = field(default_factory=BaselineSettings)
    """What the values are compared with."""
    windows: WindowSettings = field(default_factory=WindowSettings)
    """When values are computed."""
    statistics: StatisticsSettings = field(default_factory=StatisticsSettings)
    """How participants are summarised."""

    def __post_init__(self) -> None:
        check(len(self.results) > 0 and all(self.results), "`results` must name at least one file or folder")
        check(bool(self.participants), "`participants` must name the table of participants")
        check(all(self.events), "`events` must not contain an empty name")
        check(0 <= self.coverage <= 1, f"`coverage` must be between 0 and 1: {self.coverage}")
        check(0 <= self.quality <= 1, f"`quality` must be between 0 and 1: {self.quality}")
        check(bool(self.events) or self.windows.bins is not None, "`events` must name a file, or `bins` a length")
        check(bool(self.events) or self.baseline.event is None, "the baseline is an event, but `events` names no file")


def read_study(path: Path) -> StudySettings:
    """Read a study file, and make its relative paths absolute.

    Args:
        path: The TOML file.

    Returns:
        The settings.

    Raises:
        InputNotFound: The file does not exist.
        ConfigError: It is not valid TOML, or a value in it is wrong.
    """
    settings = from_mapping(StudySettings, read_toml(path), str(path))
    home = path.absolute().parent

    def absolute(name: str) -> str:
        return os.path.normpath(home / name)

    return dataclasses.replace(
        settings,
        results=tuple(map(absolute, settings.results)),
        participants=absolute(settings.participants),
        events=tuple(map(absolute, settings.events)),
    )
