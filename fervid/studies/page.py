"""The page of a study: its figures, its main means and differences, and what was set aside."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from fervid.charts.page_templates import (
    SHARED_ASSETS,
    TIMELINE_SCRIPTS,
    TIMELINE_STYLE,
    inlined,
    template_environment,
)
from fervid.studies.compute import Computed
from fervid.studies.dictionary import methods_text
from fervid.studies.page_data import conditions_of, course_data, map_data
from fervid.studies.plan import Plan
from fervid.studies.tables import ALL, StudyTables
from fervid.studies.windows import AROUND, BIN, EVENT
from fervid.version import __version__

ASSETS = Path(__file__).parent / "assets"


def render_page(plan: Plan, tables: StudyTables, computed: Computed, notes: Sequence[str]) -> str:
    """Render the page. It needs no other file.

    Args:
        plan: The study.
        tables: Its tables.
        computed: What was computed.
        notes: What was set aside, as sentences.

    Returns:
        The page as HTML.
    """
    styles = [SHARED_ASSETS / "document.css", TIMELINE_STYLE, ASSETS / "study.css"]
    data = {
        "conditions": conditions_of(plan),
        "course": course_data(plan, tables.course),
        "map": map_data(plan, computed),
    }
    shown = [_means(plan, tables.groups), _differences(plan, tables.differences)]
    return (
        template_environment(ASSETS)
        .get_template("study.html")
        .render(
            figures=_figures(plan, tables, computed),
            notes=notes,
            data=data,
            conditions=len(plan.conditions),
            tables=[table for table in shown if table[3]],
            texts={"Means": 3, "Differences": 5},
            methods=methods_text(plan),
            version=__version__,
            **inlined(styles, [*TIMELINE_SCRIPTS, ASSETS / "study.js"]),
        )
    )


def _figures(plan: Plan, tables: StudyTables, computed: Computed) -> list[tuple[str, str, str]]:
    """The numbers at the top of the page: title, number, and what is said below it."""
    apart = int((tables.apart["video"] == "").sum())
    windows = tables.window_rows
    hours = sum(one.end or 0.0 for one in plan.recordings if not one.problem) / 3600
    share = f"{100 * windows.usable / windows.windows:.0f} %" if windows.windows else "–"
    return [
        ("participants", f"{len(plan.participants):,}", f"{apart or 'none'} kept apart"),
        (
            "recordings",
            f"{len(plan.recordings):,}",
            f"{hours:.1f} hours" if hours >= 1 else f"{60 * hours:.1f} minutes",
        ),
        ("events", f"{len(plan.events):,}", f"{len(plan.conditions)} conditions"),
        ("windows used", share, f"of {windows.windows:,} have enough coverage"),
    ]


def _main_rows(plan: Plan, frame: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """The rows that the page shows, and what they are: changes, or means without a baseline, of one kind of window."""
    statistic = "change" if plan.settings.baseline.is_given else "mean"
    kinds = [kind for kind in (EVENT, AROUND, BIN) if (frame["window"] == kind).any()]
    kind = kinds[0] if kinds else EVENT
    what = {EVENT: "whole events", AROUND: "windows around the onsets", BIN: "bins"}[kind]
    of = "Change from the baseline" if statistic == "change" else "Mean"
    return frame[(frame["statistic"] == statistic) & (frame["window"] == kind)], f"{of}, in {what}."


def _means(plan: Plan, groups: pd.DataFrame) -> tuple[str, str, list[str], list[list[Any]]]:
    rows, what = _main_rows(plan, groups)
    columns = ["group", "trial_type", "measure", "participants", "mean", "low", "high", "sd"]
    return "Means", f"{what} groups.csv has all figures.", columns, _cells(rows, columns)


def _differences(plan: Plan, differences: pd.DataFrame) -> tuple[str, str, list[str], list[list[Any]]]:
    rows, what = _main_rows(plan, differences)
    rows = rows[(rows["comparison"] == "between") | (rows["group"] == ALL)]
    columns = ["comparison", "group", "trial_type", "versus", "measure", "participants", "difference", "low", "high",
               "effect_size"]  # fmt: skip
    return "Differences", f"{what} differences.csv has all figures.", columns, _cells(rows, columns)


def _cells(rows: pd.DataFrame, columns: Sequence[str]) -> list[list[Any]]:
    """The cells as text; a missing number is a dash."""
    return [
        [("–" if pd.isna(cell) else f"{cell:.3f}") if isinstance(cell, float) else str(cell) for cell in row]
        for row in rows[list(columns)].itertuples(index=False)
    ]
