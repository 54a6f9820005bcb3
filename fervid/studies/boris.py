"""Reading the events of BORIS: its project files and its exported tables."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from fervid.errors import BadStudy
from fervid.results.text_tables import Row, TextTable, first_bytes, parse_number, read_text
from fervid.studies.events import Event, table_event

_SUBJECTS = ("", "No focal subject")
"""Names of BORIS for events without a subject."""


def read_project(path: Path) -> Iterator[Event]:
    """Read a project (``.boris``). A behaviour's code is the trial type; a subject is a hint for the participant.

    A state lasts from its first press to the next press of the same behaviour, subject and modifiers. Times are those
    of the video that plays then: the observation's time offset is taken off, and media that play one after another are
    told apart by their lengths.

    Args:
        path: The file. It may be compressed with gzip, as BORIS can save it.

    Yields:
        The events of all observations.

    Raises:
        InputNotFound: There is no such file.
        BadStudy: The file is not a project, or a state does not end.
    """
    project = _project(path)
    kinds = {
        str(one.get("code")): str(one.get("type", "")) for one in dict(project.get("behaviors_conf") or {}).values()
    }
    for name, observation in dict(project["observations"]).items():
        place = f"{path}, observation {name!r}"
        if observation.get("media_creation_date_as_offset"):
            raise BadStudy(f"{place}: its times count from the date of the media; fervid needs times of the video")
        media = _media(place, observation)
        opened: dict[tuple[str, ...], tuple[float, str]] = {}
        for number, row in enumerate(observation.get("events", []), start=1):
            where = f"{place}, event {number}"
            time, subject, code, modifiers = _event(where, row)
            key = (subject, code, modifiers)
            columns = {"observation": str(name), "modifiers": modifiers}
            hint = "" if subject in _SUBJECTS else subject
            if not kinds.get(code, "Point event").lower().startswith("state"):
                video, start = _place(media, time)
                yield Event(where, start, 0.0, code, video, "", hint, columns)
            elif key in opened:
                began, first = opened.pop(key)
                if time < began:
                    raise BadStudy(f"{where}: the state {code!r} stops at {time:g} s, before it starts")
                video, start = _place(media, began)
                yield Event(first, start, round(time - began, 6), code, video, "", hint, columns)
            else:
                opened[key] = time, where
        if opened:
            (_, code, _), (_, where) = next(iter(opened.items()))
            raise BadStudy(f"{where}: the state {code!r} does not end; close it in BORIS")


def _project(path: Path) -> Mapping[str, Any]:
    try:
        compressed = first_bytes(path, 2) == b"\x1f\x8b"
        text = gzip.decompress(path.read_bytes()).decode("utf-8-sig") if compressed else read_text(path)
        project = json.loads(text)
    except json.JSONDecodeError as error:
        raise BadStudy(f"{path}, line {error.lineno}, column {error.colno}: it is not valid JSON") from error
    except (gzip.BadGzipFile, zlib.error, EOFError, UnicodeDecodeError, RecursionError) as error:
        raise BadStudy(f"{path} cannot be read: it is damaged") from error
    if not isinstance(project, dict) or not isinstance(project.get("observations"), dict):
        raise BadStudy(f"{path} is not a project of BORIS: it has no observations")
    return project


def _event(where: str, row: Any) -> tuple[float, str, str, str]:
    """Time, subject, code and modifiers of an event: [time, subject, code, modifiers, comment, ...]."""
    if not isinstance(row, Sequence) or len(row) < 3:
        raise BadStudy(f"{where}: it is not an event of BORIS")
    time = parse_number(str(row[0]))
    if time is None:
        raise BadStudy(f"{where}: {row[0]!r} is not a time in seconds")
    return time, str(row[1]), str(row[2]), str(row[3]) if len(row) > 3 else ""


def _media(place: str, observation: Mapping[str, Any]) -> list[tuple[str, float]]:
    """(file name, time of the observation at which it begins) of the media of the first player, in order."""
    offset = parse_number(str(observation.get("time offset") or 0)) or 0.0
    players = observation.get("file") or {}
    files = [str(name) for name in (players.get("1") or [])] if isinstance(players, Mapping) else []
    lengths = dict((observation.get("media_info") or {}).get("length") or {})
    found: list[tuple[str, float]] = []
    for number, name in enumerate(files):
        found.append((_file_name(name), offset))
        length = parse_number(str(lengths.get(name, "")))
        if length is None and number < len(files) - 1:
            raise BadStudy(f"{place}: the length of {name} is not recorded, so later media cannot be placed")
        offset += length or 0.0
    return found or [("", offset)]


def _place(media: Sequence[tuple[str, float]], time: float) -> tuple[str, float]:
    """The media that plays at a time of the observation, and the time in it."""
    name, begin = max((one for one in media if one[1] <= time + 1e-9), key=lambda one: one[1], default=media[0])
    return name, round(time - begin, 6)


def is_export(table: TextTable) -> bool:
    """Whether BORIS exported a table.

    Args:
        table: The table.

    Returns:
        True for its tabular events and its aggregated events.
    """
    return "observation_id" in table.columns and "behavior" in table.columns


def read_export(table: TextTable) -> Iterator[Event]:
    """Read tabular or aggregated events that BORIS exported.

    BORIS exports times of the observation. Where the table says which media it consists of (``Source`` and ``Media
    duration (s)``) and its time offset, they become times of the video that plays then.

    Args:
        table: The table.

    Yields:
        The events.

    Raises:
        BadStudy: A line is wrong, a state does not end, or the table has neither form.
    """
    if "start_(s)" in table.columns:
        table.require("start_(s)", "stop_(s)")
        for row in table.rows:
            start = row.number("start_(s)")
            if not row.cells["stop_(s)"] and row.get("behavior_type").upper() == "STATE":
                raise row.wrong("stop_(s)", f"the state {row.cells['behavior']!r} does not end; close it in BORIS")
            stop = start if not row.cells["stop_(s)"] else row.number("stop_(s)")
            if stop < start:
                raise row.wrong("stop_(s)", "it is before the start")
            yield _exported(row, "start_(s)", round(stop - start, 6))
        return
    table.require("time")
    modifiers = [name for name in table.columns if name.startswith("modifier")]
    opened: dict[tuple[str, ...], Row] = {}
    for row in table.rows:
        status = row.get("behavior_type", "status").upper()
        key = tuple(row.cells.get(name, "") for name in ("observation_id", "subject", "behavior", *modifiers))
        if status == "START" and key in opened:
            raise row.wrong("behavior", f"{row.cells['behavior']!r} starts twice without a stop")
        if status == "START":
            opened[key] = row
        elif status == "STOP" and key in opened:
            first = opened.pop(key)
            duration = round(row.number("time") - first.number("time"), 6)
            if duration < 0:
                raise row.wrong("time", f"the state {row.cells['behavior']!r} stops before it starts")
            yield _exported(first, "time", duration)
        elif status == "STOP":
            raise row.wrong("behavior", f"{row.cells['behavior']!r} stops without having started")
        else:
            yield _exported(row, "time", 0.0)
    for row in opened.values():
        raise row.wrong("behavior", f"the state {row.cells['behavior']!r} does not end")


def _exported(row: Row, column: str, duration: float) -> Event:
    """The event of an exported line, at its time in the video; ``column`` is that of its time in the observation."""
    subject = row.cells.get("subject", "")
    hint = "" if subject in _SUBJECTS else subject
    media = _exported_media(row)
    if not media:  # an earlier version of BORIS, or a live observation: the observation's name stands for the video
        video = row.get("media_file_name", "media_file_path", "media_file") or row.cells["observation_id"]
        return table_event(row, column, duration, row.cells["behavior"], (_file_name(video), "", hint))
    video, onset = _place(media, row.number(column))
    event = table_event(row, column, duration, row.cells["behavior"], (video, "", hint))
    return replace(event, onset=onset)


def _exported_media(row: Row) -> list[tuple[str, float]]:
    """(file name, time of the observation at which it begins) of the media of the first player; see ``_media``."""
    source = row.get("source").split("|")[0]
    if not source.startswith("player #1:"):
        return []
    names = source.removeprefix("player #1:").split(";")
    lengths = [parse_number(text) for text in row.get("media_duration_(s)").split("|")[0].split(";")]
    if len(names) > 1 and (len(lengths) != len(names) or None in lengths):
        raise row.wrong("media_duration_(s)", f"it does not hold the length of each of {len(names)} media")
    begin = parse_number(row.get("time_offset_(s)") or "0")
    if begin is None:
        raise row.wrong("time_offset_(s)", "it is not a number of seconds")
    found = []
    for name, length in zip(names, [*lengths, *[0.0] * len(names)], strict=False):
        found.append((_file_name(name), begin))
        begin += length or 0.0
    return found


def _file_name(path: str) -> str:
    """The last part of a path of any system."""
    return path.replace("\\", "/").rsplit("/", 1)[-1]
