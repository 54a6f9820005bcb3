"""A whole study: from its file to its tables and figures on disk."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from fervid.errors import OutputError, UsageError
from fervid.files.atomic import write_text_atomically, writing
from fervid.results.csv import write_frames_csv
from fervid.results.video_names import listed
from fervid.settings_io import from_mapping
from fervid.studies.compute import Computed, compute, without_empty_measures
from fervid.studies.dictionary import describe
from fervid.studies.figures import ENDINGS, write_figures
from fervid.studies.page import render_page
from fervid.studies.plan import Plan, make_plan, plan_text
from fervid.studies.settings import StudySettings, read_study
from fervid.studies.tables import PART_ROWS, TABLES, StudyTables, build_tables
from fervid.studies.workbook import WORKBOOK, write_study_workbook
from fervid.types import ProgressCallback, ignore_progress

RECORD = "study.json"
"""The file that describes a study and its tables. It is written last."""


PAGE = "study.html"
FIGURES = tuple(f"{name}{ending}" for name in ("course", "coverage") for ending in ENDINGS)


@dataclass(frozen=True, eq=False)
class Study:
    """What a study computed.

    Attributes:
        tables: The tables.
        files: The files that were written.
        notes: What a user should know, as sentences.
    """

    tables: StudyTables
    files: tuple[Path, ...]
    notes: tuple[str, ...]


def load_plan(study: str | os.PathLike[str] | Mapping[str, Any]) -> Plan:
    """Read and check everything that a study names.

    Args:
        study: The study file, or a mapping with the same keys.

    Returns:
        The plan.

    Raises:
        InputNotFound: A file does not exist.
        ConfigError: A setting is wrong.
        BadStudy: A file is wrong, or the files do not fit together.
        BadResults: Results cannot be read.
    """
    if isinstance(study, Mapping):
        return make_plan(from_mapping(StudySettings, study, "study"))
    return make_plan(read_study(Path(study)))


def check_study(study: str | os.PathLike[str] | Mapping[str, Any]) -> str:
    """Say what a study would compute, without reading a timeline or writing anything.

    Args:
        study: The study file, or a mapping with the same keys.

    Returns:
        Lines of text.

    Raises:
        UsageError: See ``load_plan``.
        BadResults: Results cannot be read.
    """
    return plan_text(load_plan(study))


def study(
    study: str | os.PathLike[str] | Mapping[str, Any],
    out: str | os.PathLike[str],
    on_progress: ProgressCallback = ignore_progress,
) -> Study:
    """Compute a study and write its tables, as ``fervid study`` does.

    Example:
        >>> lines = ["participant_id,video", "Ann,cut.mp4"]
        >>> Path("people.csv").write_text("\\n".join(lines)) > 0
        True
        >>> inputs = {"results": ["results.parquet"], "participants": "people.csv"}
        >>> choices = {"person": "most_seen", "windows": {"bins": 2}}
        >>> fervid.study(inputs | choices, "study").tables.conditions["participant"].unique().tolist()
        ['Ann']

    Args:
        study: The study file, or a mapping with the same keys, whose relative paths start at the working directory.
        out: The folder to write: a new or empty one, or that of an earlier study, whose files are replaced.
        on_progress: Called with a Progress for each recording.

    Returns:
        The tables as pandas frames, the files, and what was set aside.

    Raises:
        UsageError: A setting or a file is wrong, or the files do not fit together. Nothing is written.
        BadResults: Results cannot be read. Nothing is written.
        OutputError: The folder holds other files, or cannot be written.
    """
    target = Path(out)
    _refuse_foreign(target)
    plan = load_plan(study)
    plan, computed = without_empty_measures(plan, compute(plan, on_progress))
    found = _study(plan, computed)
    return _write(plan, found, computed, target)


def compute_study(study: str | os.PathLike[str] | Mapping[str, Any]) -> Study:
    """Compute a study without writing anything.

    Args:
        study: The study file, or a mapping with the same keys.

    Returns:
        The tables and what was set aside.

    Raises:
        UsageError: See ``load_plan``.
        BadResults: Results cannot be read.
    """
    plan = load_plan(study)
    return _study(*without_empty_measures(plan, compute(plan)))


def _study(plan: Plan, computed: Computed) -> Study:
    tables = build_tables(plan, computed)
    return Study(tables, (), _notes(tables, computed))


def _write(plan: Plan, found: Study, computed: Computed, target: Path) -> Study:
    """Write the tables, the figures and the page, and last what describes them; remove those of an earlier study."""
    with writing(target):
        target.mkdir(parents=True, exist_ok=True)
        for name in (RECORD, PAGE, WORKBOOK, *FIGURES):
            (target / name).unlink(missing_ok=True)
    tables = found.tables
    frames: dict[str, pd.DataFrame] = {name: getattr(tables, name) for name in TABLES if name != "windows"}
    files = [target / f"{name}.csv" for name in TABLES]
    write_frames_csv(files[0], tables.window_rows.parts())
    for path, frame in zip(files[1:], frames.values(), strict=True):
        steps = range(0, max(len(frame), 1), PART_ROWS)
        write_frames_csv(path, (frame.iloc[start : start + PART_ROWS] for start in steps))
    figures = write_figures(tables.course, computed, target)
    files += [*figures, target / PAGE]
    write_text_atomically(files[-1], render_page(plan, tables, computed, found.notes))
    columns = {"windows": tables.window_rows.columns}
    record = describe(plan, columns | {name: list(frame.columns) for name, frame in frames.items()})
    notes = write_study_workbook(target, tables.window_rows, frames, record)
    files += [path for path in [target / WORKBOOK] if path.exists()]
    files.append(target / RECORD)
    write_text_atomically(files[-1], json.dumps(record, indent=2, ensure_ascii=False) + "\n")
    return replace(found, files=tuple(files), notes=(*found.notes, *notes))


def _refuse_foreign(out: Path) -> None:
    """Refuse to write into a folder that holds anything but an earlier study."""
    if out.name in ("", ".."):
        raise UsageError("`out` must name a folder of its own")
    if out.exists() and not out.is_dir():
        raise OutputError(f"cannot write {out}: it is not a folder")
    if not out.is_dir():
        return
    try:
        names = {path.name for path in out.iterdir()}
    except OSError as error:
        raise OutputError(f"cannot read {out}: {error.strerror}") from error
    expected = {*(f"{name}.csv" for name in TABLES), RECORD, PAGE, WORKBOOK, *FIGURES}
    foreign = sorted(name for name in names - expected if not name.startswith("."))
    if foreign:
        raise OutputError(f"cannot write {out}: it holds files of something else, such as {foreign[0]}")


def _notes(tables: StudyTables, computed: Computed) -> tuple[str, ...]:
    """What was set aside and kept apart, as sentences."""
    found = list(dict.fromkeys(computed.notes))
    if computed.doubted:
        count = sum(computed.doubted.values())
        found.append(f"faces that do not count as observed, because their trust is not ok: {count}, of "
                     f"{listed(list(computed.doubted))}; `trust` = any counts them")  # fmt: skip
    for row in tables.apart.itertuples():
        found.append(f"kept apart: {row.participant or row.video}: {row.reason}")
    windows = tables.window_rows
    if windows.usable < windows.windows:
        few = windows.windows - windows.usable
        found.append(f"{few} of {windows.windows} windows have too little coverage; their values are in "
                     "the column set_aside")  # fmt: skip
    return tuple(found)
