"""A matplotlib chart of one face's timeline, for notebooks."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from fervid.colors import EMOTION_COLORS
from fervid.errors import UsageError
from fervid.results.kinds import emotion_episodes, of_kind
from fervid.results.reader import Results, read_results
from fervid.timeline.events import EVENT_KINDS, MEASURE_OF
from fervid.timeline.gaps import gap_threshold, gaps
from fervid.timeline.valence import VALENCE
from fervid.types import EMOTIONS, MEASURES

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def plot_timeline(
    results: str | os.PathLike[str] | Results,
    video: str | None = None,
    face_id: int | None = None,
    ax: Axes | None = None,
    person: int | str | None = None,
    measures: Sequence[str] = (),
) -> Axes:
    """Draw the probabilities of one face, or of all faces of one person, over time with matplotlib.

    Thick lines are smoothed values, thin ones those of each frame alone; the bars above are episodes. Lines break at
    gaps.

    Args:
        results: What ``analyze`` wrote, or what ``read_results`` returned.
        video: Name of the video; may be left out if the results hold only one.
        face_id: Number of the face; None: the face with the most samples.
        ax: Where to draw; None: a new figure.
        person: Number of a person or name of a participant, whose faces are drawn one after another. Not together with
            ``face_id``.
        measures: Measures of the face to draw below, such as ``eyes_open``; see docs/tables.md. Bars in their lanes are
            the events that are found in them: blinks, speech, nods and shakes. Not together with ``ax``.

    Returns:
        The matplotlib Axes of the probabilities. Those of the measures follow it in its figure.

    Raises:
        UsageError: The face or the person is not in the results, both are given, or there is no such measure.
        BadResults: The tables were not written by fervid.
    """
    results = results if isinstance(results, Results) else read_results(results)
    video = _choose_video(results, video)
    timeline = results.timeline[results.timeline["video"] == video]
    if person is None:
        faces, title = [_choose_face(timeline, video, face_id)], ""
    elif face_id is None:
        faces, title = _faces_of(timeline, video, person)
    else:
        raise UsageError("`face_id` and `person` are two ways to choose; give one of them")
    _check_measures(measures, ax)
    lanes: list[Axes] = []
    if ax is None:
        ax, lanes = _figure(len(measures))
    rows = _with_gaps(results, timeline, faces)
    of_face = (results.episodes["video"] == video) & results.episodes["face_id"].isin(faces)
    own = results.episodes[of_face]
    _draw_emotions(ax, rows, emotion_episodes(own))
    for name, lane in zip(measures, lanes, strict=True):
        _draw_measure(lane, name, rows, own)
    ax.set_title(f"{video}, {title or f'face {faces[0]}'}", parse_math=False)  # a name may hold dollar signs
    begin, end = float(timeline["time"].min()), max([float(timeline["time"].max()), *own["offset"]])
    ax.set_xlim(begin, max(end, begin + 1e-3))
    [ax, *lanes][-1].set_xlabel("time (s)")
    return ax


def _draw_emotions(ax: Axes, rows: pd.DataFrame, episodes: pd.DataFrame) -> None:
    """Draw the probabilities over time, and bars of the episodes above."""
    for emotion, color in EMOTION_COLORS.items():
        style: dict[str, Any] = {"color": color, "solid_capstyle": "round"}
        alone = "." if len(rows) < 3 else None
        ax.plot(rows["time"], rows[emotion], lw=0.8, alpha=0.45, marker=alone, **style)
        ax.plot(rows["time"], rows[f"{emotion}_smooth"], lw=2, label=emotion, marker=alone, **style)
        shown = episodes[episodes["emotion"] == emotion]
        spans = np.column_stack([shown["onset"], shown["offset"] - shown["onset"]])
        ax.broken_barh(spans.tolist(), (1.04, 0.06), color=color)
    ax.set(ylabel="probability", ylim=(0, 1.12))
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)


def _check_measures(measures: Sequence[str], ax: Axes | None) -> None:
    if unknown := [name for name in measures if name not in (VALENCE, *MEASURES)]:
        raise UsageError(f"`measures` must be of {', '.join((VALENCE, *MEASURES))}, not {', '.join(unknown)}")
    if measures and ax is not None:
        raise UsageError("`measures` needs a figure of its own; leave out `ax`")


def _figure(count: int) -> tuple[Axes, list[Axes]]:
    """A new figure: the axes of the probabilities, and those of so many measures below."""
    from matplotlib import pyplot

    heights = [2.9] + [1.0] * count
    figure = pyplot.figure(figsize=(10, 3.2 + 1.1 * count), layout="constrained")
    drawn = figure.subplots(1 + count, sharex=True, squeeze=False, height_ratios=heights)[:, 0]
    return drawn[0], list(drawn[1:])


def _draw_measure(lane: Axes, name: str, rows: pd.DataFrame, episodes: pd.DataFrame) -> None:
    """Draw a measure over time, and the events that are found in it."""
    lane.plot(rows["time"], rows[name], lw=1.2, color="#444444", marker="." if len(rows) < 3 else None)
    unit = " (°)" if name.startswith("head_") else ""
    lane.set_ylabel(f"{name}{unit}", rotation=0, ha="right", va="center")
    for kind in EVENT_KINDS:
        if MEASURE_OF[kind] == name:
            for one in of_kind(episodes, kind).itertuples():
                lane.axvspan(one.onset, one.offset, color="#ee8866", alpha=0.35, lw=0)
    lane.spines[["top", "right"]].set_visible(False)


def _choose_video(results: Results, video: str | None) -> str:
    seen = list(results.timeline["video"].unique())
    if video is None and len(seen) == 1:
        return str(seen[0])
    if video is None and not seen:
        raise UsageError("the results hold no video that was analysed")
    if video is None:
        raise UsageError(f"the results hold {len(seen)} videos; name one of them, such as {', '.join(seen[:3])}")
    if video not in seen:
        raise UsageError(f"no such video in the results: {video}")
    return video


def _choose_face(timeline: pd.DataFrame, video: str, face_id: int | None) -> int:
    counts = timeline["face_id"].dropna().value_counts()
    if face_id is None and len(counts):
        return int(counts.sort_index().idxmax())
    if face_id is None or face_id not in counts.index:
        faces = ", ".join(str(face) for face in sorted(counts.index)) or "none"
        raise UsageError(f"no face {'' if face_id is None else f'{face_id} '}in {video}; its faces: {faces}")
    return face_id


def _faces_of(timeline: pd.DataFrame, video: str, person: int | str) -> tuple[list[int], str]:
    """The faces of a person, and what to call the person."""
    column = "participant" if isinstance(person, str) else "person"
    rows = timeline[(timeline[column] == person).fillna(False).astype(bool)]
    if rows.empty:
        known = ", ".join(sorted(str(one) for one in timeline[column].dropna().unique())) or "none"
        raise UsageError(f"no {column} {person} in {video}; there are: {known}")
    names = rows["participant"].dropna()
    return rows["face_id"].astype(int).unique().tolist(), str(names.iloc[0]) if len(names) else f"person {person}"


def _with_gaps(results: Results, timeline: pd.DataFrame, faces: list[int]) -> pd.DataFrame:
    """The rows of the faces, and a row of NaN in each gap. Faces that are seen at once follow one another."""
    columns = ["time", *EMOTIONS, *(f"{emotion}_smooth" for emotion in EMOTIONS), VALENCE, *MEASURES]
    rows = timeline[timeline["face_id"].isin(faces)].sort_values(["time", "face_id"])
    sampled = np.unique(timeline["time"].to_numpy(np.float64))
    threshold = gap_threshold(sampled, results.max_gap)
    drawn: list[pd.DataFrame] = []
    for own in _one_at_a_time(rows):
        times = own["time"].to_numpy(np.float64)
        broken = gaps(times, sampled, threshold)
        between = pd.DataFrame({"time": (times[:-1][broken] + times[1:][broken]) / 2})
        drawn += [pd.DataFrame({"time": times[:1]})] if drawn else []  # no line from one to the other
        drawn.append(pd.concat([own[columns], between]).sort_values("time"))
    return pd.concat(drawn)


def _one_at_a_time(rows: pd.DataFrame) -> list[pd.DataFrame]:
    """The rows, divided so that no time is there twice in one part."""
    if rows["time"].is_unique:
        return [rows]
    return [own for _, own in rows.groupby("face_id")]
