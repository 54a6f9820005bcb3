"""Exporting episodes as Praat TextGrid files, and as one project of BORIS."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from fervid.export.output_files import holds, refuse_existing, writing_file
from fervid.export.video_rows import VideoRows
from fervid.results.kinds import emotion_episodes
from fervid.results.lanes import lanes
from fervid.results.reader import Results
from fervid.types import EMOTIONS
from fervid.version import __version__


def write_textgrids(tables: Results, targets: Mapping[str, Path], overwrite: bool = False) -> None:
    """Write one TextGrid file for each video: an interval tier for each person, or face whose person is not known.

    Files that an interrupted export of the same results wrote are left as they are.

    Args:
        tables: The results.
        targets: Video name → file to write.
        overwrite: Replace files that exist and are not what would be written.

    Raises:
        UsageError: Such a file exists, and ``overwrite`` is false. Nothing is written.
        OutputError: A file cannot be written.
    """
    found = VideoRows(tables)
    wanted = {
        name: path
        for name, path in targets.items()
        if not os.path.lexists(path) or not holds(path, [_textgrid(found, name)])
    }
    refuse_existing(wanted.values(), overwrite)
    for name, path in wanted.items():
        with writing_file(path) as partial:
            partial.write_text(_textgrid(found, name), encoding="utf-8", newline="\n")


def _textgrid(tables: VideoRows, name: str) -> str:
    """The long text form, as Praat writes it. Its tiers are divided into intervals without gaps."""
    end = _end(tables, name)
    tiers = [(lane.replace('"', '""'), list(_intervals(rows, end))) for lane, rows in _lanes(tables, name)]
    lines = ['File type = "ooTextFile"', 'Object class = "TextGrid"', "", "xmin = 0", f"xmax = {end}"]
    lines += ["tiers? <exists>", f"size = {len(tiers)}", "item []:"]
    for number, (tier, intervals) in enumerate(tiers, start=1):
        lines += [f"    item [{number}]:", '        class = "IntervalTier"', f'        name = "{tier}"',
                  "        xmin = 0", f"        xmax = {end}",
                  f"        intervals: size = {len(intervals)}"]  # fmt: skip
        for place, (start, stop, label) in enumerate(intervals, start=1):
            lines += [f"        intervals [{place}]:", f"            xmin = {start}", f"            xmax = {stop}",
                      f'            text = "{label}"']  # fmt: skip
    return "\n".join(lines) + "\n"


def _intervals(episodes: pd.DataFrame, end: float) -> Iterator[tuple[float, float, str]]:
    """Start, end and label of intervals that fill the time from 0 to ``end``."""
    free = 0.0
    for row in episodes.sort_values("onset").itertuples():
        start, stop = max(_rounded(row.onset), free), _rounded(row.offset)
        if stop <= start:
            continue
        if start > free:
            yield free, start, ""
        yield start, stop, str(row.emotion)
        free = stop
    if free < end:
        yield free, end, ""


def _rounded(seconds: float) -> float:
    """Microseconds. A number without an exponent, which not every reader knows."""
    return round(max(float(seconds), 0.0), 6) if seconds >= 1e-4 else 0.0


def _lanes(tables: VideoRows, name: str) -> Iterator[tuple[str, pd.DataFrame]]:
    """The persons of a video and the faces whose person is not known, and the episodes of each."""
    episodes = emotion_episodes(tables.of("episodes", name))
    for lane in lanes(tables.of("summary", name)):
        yield lane.name, episodes[episodes["face_id"].isin(lane.faces)]


def _end(tables: VideoRows, name: str) -> float:
    """The end of a video, or of its last episode or sample if that is later."""
    (duration,) = tables.of("videos", name)["duration"]
    times = tables.of("timeline", name)["time"]
    offsets = tables.of("episodes", name)["offset"]
    known = [float(one) for one in (duration, times.max(), offsets.max()) if pd.notna(one) and math.isfinite(one)]
    return _rounded(max([1e-3, *known]))


def write_boris(tables: Results, target: Path, sources: Mapping[str, Path], overwrite: bool = False) -> None:
    """Write a project of BORIS with one observation for each video.

    A person, or a face whose person is not known, is a subject, an emotion a state, and an episode a start and a stop.
    Times are in milliseconds. A project that an earlier export of the same results wrote is left as it is.

    Args:
        tables: The results.
        target: The .boris file to write.
        sources: Video name → video file, for the videos that were found.
        overwrite: Replace a file that exists and is not what would be written.

    Raises:
        UsageError: Such a file exists, and ``overwrite`` is false.
        OutputError: The file cannot be written.
    """
    if holds(target, _project(tables, sources)):
        return
    refuse_existing([target], overwrite)
    with writing_file(target) as partial, partial.open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(_project(tables, sources))


def _project(tables: Results, sources: Mapping[str, Path]) -> Iterator[str]:
    """The parts of the text of a project. Each observation is one, because those of many videos take much memory."""
    analysed = tables.videos[tables.videos["frames_sampled"].fillna(0) > 0]
    names = [str(name) for name in analysed["video"]]
    found = VideoRows(tables)
    subjects = dict.fromkeys(lane for name in names for lane, _ in _lanes(found, name))
    project = {
        "time_format": "s",
        "project_date": "",
        "project_name": "fervid",
        "project_description": f"episodes found by fervid {__version__}",
        "project_format_version": "7.0",
        "subjects_conf": {
            str(number): {"key": "", "name": lane, "description": ""} for number, lane in enumerate(subjects)
        },
        "behaviors_conf": {
            str(number): {"type": "State event", "key": emotion[0], "code": emotion, "description": "", "category": "",
                          "modifiers": "", "excluded": "", "coding map": ""}
            for number, emotion in enumerate(EMOTIONS)
        },
        "observations": {},
        "behavioral_categories": [],
        "independent_variables": {},
        "coding_map": {},
        "behaviors_coding_map": [],
        "converters": {},
    }  # fmt: skip
    before, after = json.dumps(project, indent=1, ensure_ascii=False).split('"observations": {}')
    yield before + '"observations": {'
    for number, name in enumerate(names):
        text = json.dumps(_observation(found, name, sources.get(name)), indent=1, ensure_ascii=False)
        yield f"{',' * (number > 0)}\n  {json.dumps(name, ensure_ascii=False)}: {text}"
    yield f"\n }}{after}\n"


def _observation(tables: VideoRows, name: str, source: Path | None) -> dict[str, Any]:
    media = str(source) if source is not None else name
    rows = []
    for lane, episodes in _lanes(tables, name):
        for row in episodes.itertuples():
            start = round(float(row.onset), 3)
            stop = max(round(float(row.offset), 3), round(start + 0.001, 3))
            rows += [[time, lane, str(row.emotion), "", "", "NA"] for time in (start, stop)]
    (duration,) = tables.of("videos", name)["duration"]
    length = _end(tables, name) if pd.isna(duration) else float(duration)
    return {
        "file": {str(player): [media] if player == 1 else [] for player in range(1, 9)},
        "type": "MEDIA",
        "date": "2000-01-01T00:00:00",
        "description": "",
        "time offset": 0.0,
        "events": sorted(rows, key=lambda row: row[0]),
        "observation time interval": [0, 0],
        "independent_variables": {},
        "media_info": {"length": {media: length}, "fps": {media: _rate(tables, name)}, "hasVideo": {media: True},
                       "hasAudio": {}},
    }  # fmt: skip


USUAL_RATE = 25.0
"""Frames a second that are written for a video of which only one frame was sampled. BORIS needs a number."""


def _rate(tables: VideoRows, name: str) -> float:
    """Frames a second of a video: those between its first and its last sample. BORIS cannot export without it."""
    rows = tables.of("timeline", name)
    frames, seconds = (rows[column].max() - rows[column].min() for column in ("frame", "time"))
    return round(float(frames / seconds), 3) if frames > 0 and seconds > 0 else USUAL_RATE
