"""The page of a study: its figures, its main means and differences, and what was set aside."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from fervid.charts.page_templates import template_environment
from fervid.studies.dictionary import methods_text
from fervid.studies.plan import Plan
from fervid.studies.tables import ALL, StudyTables
from fervid.studies.windows import AROUND, BIN, EVENT
from fervid.version import __version__

ASSETS = Path(__file__).parent / "assets"

TITLES = {
    "course": ("Around the onset", "Thick lines are means, bands 95 % intervals, thin lines participants."),
    "coverage": ("What is missing", "One row per participant and recording."),
}  # fmt: skip
"""Name of a figure → its title and explanation."""


def render_page(plan: Plan, tables: StudyTables, figures: Sequence[Path], notes: Sequence[str]) -> str:
    """Render the page. It needs no other file.

    Args:
        plan: The study.
        tables: Its tables.
        figures: The figures that were written.
        notes: What was set aside, as sentences.

    Returns:
        The page as HTML.
    """
    environment = template_environment(ASSETS)
    style = (ASSETS / "study.css").read_text(encoding="utf-8").strip()
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    shown = [_means(plan, tables.groups), _differences(plan, tables.differences)]
    return environment.get_template("study.html").render(
        participants=len(plan.participants),
        recordings=len(plan.recordings),
        events=len(plan.events),
        notes=notes,
        images=[(*TITLES[path.stem], _data_uri(path)) for path in figures if path.suffix == ".png"],
        tables=[table for table in shown if table[3]],
        texts={"Means": 3, "Differences": 5},
        methods=methods_text(plan),
        version=__version__,
        style=style,
        policy=f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; form-action 'none'",
    )


def _data_uri(path: Path) -> str:
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()


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
