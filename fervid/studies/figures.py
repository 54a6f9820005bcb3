"""Figures of a study for papers: the mean course around the onset, and what is missing. As PNG and SVG.

Conditions differ in colour and in line style, so that they can be told apart in gray print and by people with colour
blindness.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from fervid.colors import EMOTION_COLORS
from fervid.files.atomic import atomic_path
from fervid.studies.compute import MAP_STEPS, Computed
from fervid.studies.tables import ALL
from fervid.types import EMOTIONS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLORS = [EMOTION_COLORS[name] for name in ("sad", "angry", "disgust", "fear", "happy", "surprise", "neutral")]
STYLES: Sequence[Any] = ("-", (0, (5, 2)), (0, (1, 1.5)), (0, (7, 2, 1, 2)), "-", (0, (5, 2)), (0, (1, 1.5)))
MAX_CONDITIONS = len(COLORS)
"""More conditions are not drawn; the title says so."""

MAX_LINES = 100
"""With more participants, several share one line with gaps: a line of its own takes kilobytes in each panel."""

MAX_ROWS = 80
"""More recordings are not drawn in the map of missing data; the title says so."""

ENDINGS = (".png", ".svg")


def write_figures(course: pd.DataFrame, computed: Computed, folder: Path) -> list[Path]:
    """Write the figures of a study.

    Args:
        course: The table of that name.
        computed: What was computed.
        folder: Where to write.

    Returns:
        The files: ``course`` and ``coverage``, each as .png and .svg. A figure without data is not written.

    Raises:
        OutputError: A file cannot be written.
    """
    import matplotlib

    files = []
    # text stays text in SVG, and the same study gives the same file
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "fervid", "font.size": 9}):
        for name, figure in _figures(course, computed):
            for ending in ENDINGS:
                files.append(folder / f"{name}{ending}")
                dates: dict[str, Any] = {"metadata": {"Date": None}} if ending == ".svg" else {}
                with atomic_path(files[-1]) as partial:
                    figure.savefig(partial, dpi=200, **dates)
    return files


def _figures(course: pd.DataFrame, computed: Computed) -> Iterator[tuple[str, Figure]]:
    if course["mean"].notna().any():
        yield "course", course_figure(course)
    if computed.seen:
        yield "coverage", coverage_figure(computed)


def course_figure(course: pd.DataFrame) -> Figure:
    """Draw the mean course around the onset: one panel per measure, one line per condition with its interval.

    Thin lines are participants.

    Args:
        course: The table of that name.

    Returns:
        The figure.
    """
    from matplotlib.figure import Figure

    measures = course["measure"].unique().tolist()
    conditions = course["trial_type"].unique().tolist()
    columns = min(4, len(measures))
    rows = -(-len(measures) // columns)
    figure = Figure(figsize=(2.5 * columns + 0.4, 2.1 * rows + 0.7), layout="constrained")
    grid = np.atleast_1d(figure.subplots(rows, columns, sharex=True, squeeze=False)).ravel()
    parts = dict(iter(course.groupby(["measure", "trial_type"], sort=False, observed=True)))
    probabilities = course.loc[course["measure"].isin(EMOTIONS), ["mean", "high"]]
    largest = min(1.0, 1.05 * float(np.nanmax(probabilities, initial=0.05)))
    for axes, measure in itertools.zip_longest(grid, measures):
        if measure is None:
            axes.set_visible(False)
            continue
        for number, condition in enumerate(conditions[:MAX_CONDITIONS]):
            _draw_course(axes, parts[(measure, condition)], condition, number)
        axes.axvline(0, color="#5b616c", lw=0.8)
        axes.set_title(measure, parse_math=False, fontsize=9)
        axes.spines[["top", "right"]].set_visible(False)
        if measure in EMOTIONS:  # one scale, so that a small change looks small
            axes.set_ylim(0, largest)
    figure.supxlabel("seconds from the onset", fontsize=9)
    figure.supylabel("mean, with 95 % interval over participants", fontsize=9)
    handles, labels = grid[0].get_legend_handles_labels()
    legend = figure.legend(handles, labels, loc="outside upper center", ncols=min(4, len(labels)), frameon=False)
    for text in legend.get_texts():
        text.set_parse_math(False)
    if len(conditions) > MAX_CONDITIONS:
        legend.set_title(f"the first {MAX_CONDITIONS} of {len(conditions)} conditions")
    return figure


def _draw_course(axes: Axes, rows: pd.DataFrame, condition: str, number: int) -> None:
    """Draw one condition: participants, mean and interval."""
    color, style = COLORS[number], STYLES[number]
    mean = rows[rows["group"] == ALL]
    times = np.append(mean["time"].to_numpy(np.float64), np.nan)
    people = rows.loc[rows["group"] == "", "mean"].to_numpy(np.float64).reshape(-1, len(mean))
    people = np.column_stack([people, np.full(len(people), np.nan)])  # a gap between participants of one line
    joined = max(1, -(-len(people) // MAX_LINES))
    for start in range(0, len(people), joined):
        own = people[start : start + joined]
        axes.plot(np.tile(times, len(own)), own.ravel(), color=color, lw=0.4, alpha=0.3)
    axes.plot(mean["time"], mean["mean"], color=color, ls=style, lw=1.8, label=condition or "all")
    axes.fill_between(mean["time"], mean["low"], mean["high"], color=color, alpha=0.22, lw=0)


def coverage_figure(computed: Computed) -> Figure:
    """Draw when each participant was observed: one row per participant and recording.

    Args:
        computed: What was computed.

    Returns:
        The figure. Dark is observed, white was not, gray is after the end of the recording.
    """
    from matplotlib.figure import Figure

    shown = sorted(computed.seen, key=lambda one: (one[0], one[1]))[:MAX_ROWS]
    longest = max(end for _, _, end, _ in shown) or 1.0
    figure = Figure(figsize=(7, 0.16 * len(shown) + 1.3), layout="constrained")
    axes = figure.subplots()
    axes.set_facecolor("#e2e3e6")
    for row, (_, _, end, shares) in enumerate(shown):
        axes.imshow(
            shares[None, :], cmap="Blues", vmin=0, vmax=1, aspect="auto", interpolation="nearest",
            extent=(0, end, row + 0.45, row - 0.45),
        )  # fmt: skip
    names = [name for name, *_ in shown]
    several = len(set(names)) < len(names)
    axes.set_yticks(range(len(shown)), [f"{name}, {video}" if several else name for name, video, *_ in shown])
    for label in axes.get_yticklabels():
        label.set(parse_math=False, fontsize=7)
    axes.set(xlim=(0, longest), ylim=(len(shown) - 0.5, -0.5), xlabel="seconds of the recording")
    more = f"; the first {MAX_ROWS} of {len(computed.seen)}" if len(computed.seen) > MAX_ROWS else ""
    axes.set_title(f"observed (dark) in steps of {100 / MAP_STEPS:g} % of each recording{more}", fontsize=9)
    return figure
