"""A made study whose truth is known: results, participants, events, and the values that were put in."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from fervid.types import EMOTIONS, DoubleArray
from tests.support.synthetic_results import MadeFace, MadeVideo, write_results

REST, EVENTS, LENGTH = (2.0, 12.0), (20.0, 32.0, 44.0, 56.0, 68.0, 80.0), 8.0
"""Start and end of the baseline, onsets of the events (of both conditions in turn), and their length, in seconds."""

CONDITIONS = {"joke": 0.62, "story": 0.5}
"""Condition → probability of happy while the participant smiles."""

BASE = 0.1
"""Probability of happy at rest."""


@dataclass(frozen=True)
class MadeParticipant:
    """A participant: how long after the onset the smile begins, and how much stronger it is than others'.

    A smile ends one second after the event.
    """

    name: str
    group: str
    delay: float
    extra: float
    fps: float = 5.0
    rested: bool = True
    hidden: tuple[tuple[float, float], ...] = ()

    @property
    def means(self) -> dict[str, float]:
        """Condition → true mean of happy over the observed time of the events that were observed for the most part."""
        found: dict[str, list[float]] = {name: [] for name in CONDITIONS}
        for onset, duration, name in events_of(self):
            times = onset + (np.arange(8000) + 0.5) * duration / 8000
            seen = shown(self, times)
            if name in CONDITIONS and seen.mean() >= 0.5:
                found[name].append(float(happiness(self, times)[seen].mean()))
        return {name: float(np.mean(values)) for name, values in found.items()}


def events_of(participant: MadeParticipant) -> list[tuple[float, float, str]]:
    """Onset, duration and trial type of the events of a participant."""
    found = [(onset, LENGTH, list(CONDITIONS)[number % 2]) for number, onset in enumerate(EVENTS)]
    return found + ([(REST[0], REST[1] - REST[0], "rest")] if participant.rested else [])


def happiness(participant: MadeParticipant, times: DoubleArray) -> DoubleArray:
    """The probability of happy at each time."""
    values = np.full(len(times), BASE)
    for onset, duration, name in events_of(participant):
        if name in CONDITIONS:
            smiles = (times >= onset + participant.delay) & (times < onset + duration + 1)
            values[smiles] = CONDITIONS[name] + participant.extra
    return values


def shown(participant: MadeParticipant, times: DoubleArray) -> npt.NDArray[np.bool_]:
    """Whether the participant is seen at each time."""
    seen = np.ones(len(times), bool)
    for start, end in participant.hidden:
        seen &= (times < start) | (times >= end)
    return seen


def made_video(participant: MadeParticipant) -> MadeVideo:
    """The video of a participant, 92 s long."""
    step = 1 / participant.fps
    count = round(92 * participant.fps)
    times = np.arange(count, dtype=np.float64) * step
    happy = happiness(participant, times)
    probabilities = np.full((count, len(EMOTIONS)), 0.01)
    probabilities[:, EMOTIONS.index("happy")] = happy
    probabilities[:, EMOTIONS.index("neutral")] = 1 - happy - 0.05
    seen = shown(participant, times)
    face = MadeFace(np.flatnonzero(seen).tolist(), probabilities[seen].astype(np.float32))
    return MadeVideo(f"{participant.name}.mp4", [face], count=count, step=step)


def write_study(folder: Path, participants: list[MadeParticipant], more: str = "") -> Path:
    """Write results, tables and ``study.toml``; ``more`` is added to the study file."""
    folder.mkdir(parents=True, exist_ok=True)
    write_results(folder / "results.parquet", [made_video(one) for one in participants])
    rows = [f"{one.name}\t{one.group}\t{one.name}.mp4" for one in participants]
    (folder / "participants.tsv").write_text("\n".join(["participant_id\tgroup\tvideo", *rows]) + "\n")
    lines = [f"{one.name}.mp4,{onset},{duration},{name}" for one in participants
             for onset, duration, name in events_of(one)]  # fmt: skip
    (folder / "events.csv").write_text("\n".join(["video,onset,duration,trial_type", *lines]) + "\n")
    (folder / "study.toml").write_text(
        'results = ["results.parquet"]\nparticipants = "participants.tsv"\nevents = ["events.csv"]\n' + more
    )
    return folder / "study.toml"


def forty(fps: float | None = None) -> list[MadeParticipant]:
    """40 participants in two groups; half are sampled at 25 per second unless ``fps`` is given.

    The last one has no baseline, every fourth is hidden for a while.
    """
    random = np.random.default_rng(3)
    return [
        MadeParticipant(
            name=f"p{number:02}",
            group="ab"[number % 2],
            delay=float(random.uniform(0.5, 2.0)),
            extra=float(random.normal(0, 0.03)) + 0.05 * (number % 2),
            fps=fps or (5.0, 25.0)[number // 2 % 2],
            rested=number != 39,
            hidden=((33.0, 40.5), (71.0, 72.0)) if number % 4 == 0 else (),
        )
        for number in range(40)
    ]


@contextlib.contextmanager
def written_quickly(figures: bool = True) -> Iterator[None]:
    """Studies are written without the workbook, and without figures if not asked for, which take most of the time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fervid.studies.study.write_study_workbook", lambda *_: ())
        if not figures:
            patch.setattr("fervid.studies.study.write_figures", lambda *_: [])
        yield
