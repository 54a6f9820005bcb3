"""Agreement of results with human coders, of two coders, and of two results."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fervid.errors import OutputError, UsageError
from fervid.files.atomic import writing
from fervid.results.csv import write_frame_csv
from fervid.results.video_names import listed
from fervid.studies.agreement import cohen_kappa, krippendorff_alpha, matched_episodes, precision_recall
from fervid.studies.codings import (
    Coding,
    is_results,
    named_by_coder,
    pair_codings,
    read_coding,
    read_found,
    read_label_names,
)
from fervid.studies.statistics import MIN_PARTICIPANTS, draws
from fervid.types import EMOTIONS, DoubleArray

STEP = 0.1
"""Seconds between two points of the grid of time."""

MIN_DISAGREEMENT = 0.5
"""Shorter disagreements are not listed, because coders differ in when an expression begins."""

FILES = ("agreement.csv", "confusion.csv", "disagreements.csv")
"""The files of an agreement."""


@dataclass(frozen=True, eq=False)
class Agreement:
    """How far two codings agree.

    Attributes:
        overall: One row per figure: share of time with the same emotion, kappa, alpha, with intervals.
        emotions: One row per emotion.
        confusion: Seconds: what the first side has in rows, the second in columns.
        disagreements: Periods in which they differ, the longest first.
        notes: What a user should know, as sentences.
        files: The files that were written.
    """

    overall: pd.DataFrame
    emotions: pd.DataFrame
    confusion: pd.DataFrame
    disagreements: pd.DataFrame
    notes: tuple[str, ...]
    files: tuple[Path, ...] = ()

    def text(self) -> str:
        """Write the figures for a terminal.

        Returns:
            Lines of text.
        """

        def shown(frame: pd.DataFrame) -> str:
            return str(frame.to_string(index=False, float_format="{:.2f}".format, na_rep="-"))

        return f"{shown(self.overall)}\n\n{shown(self.emotions)}"


def agree(
    results: str | os.PathLike[str],
    coding: str | os.PathLike[str],
    out: str | os.PathLike[str] | None = None,
    labels: Sequence[str] = (),
    rest: str = "neutral",
    tiers: Sequence[str] = (),
) -> Agreement:
    """Compare results with a coding, two codings, or two results.

    Example:
        >>> lines = ["video,onset,duration,trial_type", "cut.mp4,0.5,1,happy"]
        >>> Path("coder.csv").write_text("\\n".join(lines)) > 0
        True
        >>> fervid.agree("coder.csv", "coder.csv").overall["value"].tolist()
        [1.0, 1.0, 1.0]

    Emotions are compared every 0.1 s of the time that both sides know. Intervals are percentile intervals of a
    bootstrap over participants (2,000 draws).

    Args:
        results: Results, or the coding of a first coder.
        coding: The coding to compare with, or other results. Precision and recall take it for the truth.
        out: Folder for the tables; None writes nothing.
        labels: How a coder's labels are called in fervid, such as ``joy=happy``.
        rest: The emotion of time that a coder left blank, or ``none`` to leave such time out.
        tiers: Tiers to read from ELAN and Praat; none: all.

    Returns:
        The figures.

    Raises:
        UsageError: An argument is wrong.
        InputNotFound: A file does not exist.
        BadStudy: A coding is wrong, or nothing was coded by both sides.
        BadResults: Results cannot be read.
        OutputError: The folder holds other files, or cannot be written.
    """
    if rest not in (*EMOTIONS, "none"):
        raise UsageError(f"`rest` must be none or one of {', '.join(EMOTIONS)}, not {rest!r}")
    folder = None if out is None else _checked(Path(out))
    sides = _read([Path(results), Path(coding)], read_label_names(labels), tiers)
    pairs, alone = pair_codings(sides[0], sides[1])
    found = _agreement(pairs, -1 if rest == "none" else EMOTIONS.index(rest), alone)
    return found if folder is None else _written(found, folder)


def _read(paths: Sequence[Path], names: Mapping[str, str], tiers: Sequence[str]) -> list[list[Coding]]:
    """The codings of both sides."""
    found = [read_found(path) if is_results(path) else None for path in paths]
    people = [
        named_by_coder(path, tiers) if side is None else {one.participant for one in side}
        for path, side in zip(paths, found, strict=True)
    ]
    return [
        read_coding(path, names, tiers, people[0] & people[1]) if side is None else side
        for path, side in zip(paths, found, strict=True)
    ]


def _agreement(pairs: Sequence[tuple[Coding, Coding]], blank: int, alone: Sequence[str]) -> Agreement:
    """The figures of all pairs; ``alone`` names what only one side has."""
    notes = [f"{len(alone)} videos or participants were coded by one side only: {listed(alone)}"] if alone else []
    tables, disagreements = [], []
    for one, other in pairs:
        table, differing = _compare(one, other, blank)
        tables.append(table)
        disagreements += differing
    confusion = np.array(tables)
    if not confusion.sum() > 0:
        raise UsageError("there is no time that both sides know; was anyone seen while it was coded?")
    keys = [pair[0].participant or pair[1].participant or pair[0].video for pair in pairs]
    by_participant = np.array([confusion[[key == name for key in keys]].sum(axis=0) for name in dict.fromkeys(keys)])
    if len(by_participant) < MIN_PARTICIPANTS:
        notes.append(f"intervals need at least {MIN_PARTICIPANTS} participants")
    columns = ["video", "participant", "start", "end", "seconds", "first", "second"]
    longest = sorted(disagreements, key=lambda row: (-row[4], row[0], row[2]))
    return Agreement(
        _overall(by_participant),
        _emotions(by_participant, pairs, blank),
        pd.DataFrame(confusion.sum(axis=0), pd.Index(EMOTIONS, name="emotion"), list(EMOTIONS)),
        pd.DataFrame(longest, columns=columns),
        tuple(notes),
    )


def _compare(one: Coding, other: Coding, blank: int) -> tuple[DoubleArray, list[list[Any]]]:
    """Seconds of each pair of labels, and the periods in which they differ."""
    end = max(one.end, other.end) if one.is_complete and other.is_complete else min(
        side.end for side in (one, other) if not side.is_complete)  # fmt: skip
    times = (np.arange(round(end / STEP), dtype=np.float64) + 0.5) * STEP
    labels = [side.at(times, blank) for side in (one, other)]
    known = (labels[0] >= 0) & (labels[1] >= 0)
    count = len(EMOTIONS)
    pairs = np.where(known, labels[0] * count + labels[1], -1)
    table = np.bincount(pairs[known], minlength=count**2).reshape(count, count).astype(np.float64) * STEP
    return table, list(_differing(one.video, one.participant or other.participant, pairs))


def _differing(video: str, participant: str, pairs: Any) -> Iterator[list[Any]]:
    """Periods with one pair of different labels."""
    borders = np.flatnonzero(np.diff(np.concatenate([[-2], pairs, [-2]])))
    for start, end in itertools.pairwise(borders):
        first, second = divmod(int(pairs[start]), len(EMOTIONS)) if pairs[start] >= 0 else (0, 0)
        seconds = float(end - start) * STEP
        if first != second and seconds >= MIN_DISAGREEMENT - 1e-9:
            times = [round(float(start) * STEP, 3), round(float(end) * STEP, 3), round(seconds, 3)]
            yield [video, participant, *times, EMOTIONS[first], EMOTIONS[second]]


def _interval(values: DoubleArray, participants: int) -> tuple[float, float]:
    """The 95 % interval of repetitions; NaN for too few participants."""
    known = values[~np.isnan(values)]
    if participants < MIN_PARTICIPANTS or not len(known):
        return np.nan, np.nan
    low, high = np.quantile(known, [0.025, 0.975])
    return float(low), float(high)


def _repeated(tables: DoubleArray) -> DoubleArray:
    """(repetitions, k, k): the sum over participants who are drawn with replacement."""
    count = len(tables)
    return (draws(count, 2000, 1) @ tables.reshape(count, -1)).reshape(-1, *tables.shape[1:])


def _overall(tables: DoubleArray) -> pd.DataFrame:
    """Agreement over all emotions."""
    total, repeated = tables.sum(axis=0), _repeated(tables)
    cells = 2 * total.sum() / STEP
    rows = []
    for name, figure in (
        ("agreement", lambda table: np.trace(table, axis1=-2, axis2=-1) / table.sum(axis=(-2, -1))),
        ("kappa", cohen_kappa),
        ("alpha", lambda table: krippendorff_alpha(table + np.swapaxes(table, -1, -2), cells)),
    ):
        low, high = _interval(figure(repeated), len(tables))
        rows.append([name, float(figure(total)), low, high, len(tables), float(total.sum())])
    return pd.DataFrame(rows, columns=["figure", "value", "low", "high", "participants", "seconds"])


def _emotions(tables: DoubleArray, pairs: Sequence[tuple[Coding, Coding]], blank: int) -> pd.DataFrame:
    """Agreement on each emotion: in time and by episode. Time that a coder left blank has no episodes."""
    is_left_blank = any(side.is_complete for pair in pairs for side in pair)
    rows = []
    for number, emotion in enumerate(EMOTIONS):
        binary = _binary(tables, number)
        total, repeated = binary.sum(axis=0), _repeated(binary)
        hits, found, true = total[1, 1], total[1].sum(), total[:, 1].sum()
        with np.errstate(invalid="ignore", divide="ignore"):
            f1 = 2 * repeated[:, 1, 1] / (repeated[:, 1].sum(axis=-1) + repeated[:, :, 1].sum(axis=-1))
        spans = [(one.spans.get(emotion, ()), other.spans.get(emotion, ())) for one, other in pairs]
        matched: float = sum(matched_episodes(first, second) for first, second in spans)
        counts: list[float] = [sum(len(one[side]) for one in spans) for side in (0, 1)]
        if number == blank and is_left_blank:
            matched, counts = np.nan, [np.nan, np.nan]
        rows.append([emotion, found, true, *precision_recall(hits, found, true), *_interval(f1, len(tables)),
                     float(cohen_kappa(total)), *_interval(cohen_kappa(repeated), len(tables)),
                     *counts, matched, *precision_recall(matched, *counts)])  # fmt: skip
    names = ["emotion", "seconds_first", "seconds_second", "precision", "recall", "f1", "f1_low", "f1_high", "kappa",
             "kappa_low", "kappa_high", "episodes_first", "episodes_second", "episodes_matched", "episode_precision",
             "episode_recall", "episode_f1"]  # fmt: skip
    return pd.DataFrame(rows, columns=names)


def _binary(tables: DoubleArray, number: int) -> DoubleArray:
    """(n, 2, 2): this emotion against all others."""
    hit = tables[:, number, number]
    row, column = tables[:, number].sum(axis=-1), tables[:, :, number].sum(axis=-1)
    rest = tables.sum(axis=(1, 2)) - row - column + hit
    return np.stack([np.stack([rest, column - hit], -1), np.stack([row - hit, hit], -1)], -2)


def _checked(out: Path) -> Path:
    """Refuse a folder that holds anything else."""
    if out.exists() and not out.is_dir():
        raise OutputError(f"cannot write {out}: it is not a folder")
    foreign = sorted(path.name for path in out.iterdir() if path.name not in FILES) if out.is_dir() else []
    if foreign:
        raise OutputError(f"cannot write {out}: it holds files of something else, such as {foreign[0]}")
    return out


def _written(found: Agreement, folder: Path) -> Agreement:
    """Write the tables."""
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    files = tuple(folder / name for name in FILES)
    overall = found.overall.rename(columns={"figure": "emotion"})
    rows = [{"emotion": "all", row.emotion: row.value, f"{row.emotion}_low": row.low, f"{row.emotion}_high": row.high}
            for row in overall.itertuples()]  # fmt: skip
    merged = {name: value for row in rows for name, value in row.items()}
    table = pd.concat([found.emotions, pd.DataFrame([merged])], ignore_index=True)
    for path, frame in zip(files, (table, found.confusion.reset_index(), found.disagreements), strict=True):
        write_frame_csv(path, frame)
    return Agreement(found.overall, found.emotions, found.confusion, found.disagreements, found.notes, files)
