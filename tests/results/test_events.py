"""Events in the tables: rows of the episodes table, rates in summary and persons, and corrections."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from fervid.results.correct import corrected_video
from fervid.results.corrections import Correction
from fervid.results.parts import Row, named
from fervid.results.rows import VideoFaces, video_tables
from fervid.settings import TimelineSettings
from fervid.types import EMOTIONS, MEASURES, FloatArray, Track

SETTINGS = TimelineSettings()
RATE, SECONDS = 25, 12
TIMES = np.arange(RATE * SECONDS) / RATE
BLINKS = (2.0, 4.0, 9.0)
MANIFEST: Row = {"status": "ok", "error": None, "message": None, "duration": float(SECONDS), "faces": 1}


def measured() -> FloatArray:
    """Eyes that close at BLINKS for 0.2 s, and a mouth that speaks from 5 to 8 s."""
    values = np.zeros((len(TIMES), len(MEASURES)), np.float32)
    values[:, MEASURES.index("eyes_open")] = 0.3
    for start in BLINKS:
        values[(start <= TIMES) & (start + 0.2 > TIMES), MEASURES.index("eyes_open")] = 0.05
    speech = (TIMES >= 5) & (TIMES < 8)
    values[speech, MEASURES.index("mouth_open")] = 0.06 + 0.05 * np.sin(2 * np.pi * 3 * TIMES[speech])
    return values


def track(face_id: int, rows: slice, values: FloatArray | None) -> Track:
    times = TIMES[rows]
    count = len(times)
    return Track(
        face_id,
        np.arange(len(TIMES))[rows],
        times,
        np.tile(np.array([10, 10, 80, 80], np.float32), (count, 1)),
        np.full(count, 0.9, np.float32),
        np.full(count, 0.9, np.float32),
        np.zeros((0, 1, 1), np.uint8),
        0,
        measures=None if values is None else values[rows],
    )


def made(*tracks: Track) -> tuple[pa.Table, dict[str, list[Row]]]:
    """The tables of a video with these faces, which all look happy."""
    happy = np.full(len(EMOTIONS), 0.05, np.float32)
    happy[EMOTIONS.index("happy")] = 0.7
    sizes = np.full((len(TIMES), 2), (640, 360), np.int32)
    raw = [np.tile(happy, (len(one.times), 1)) for one in tracks]
    faces = VideoFaces("a" * 32, np.arange(len(TIMES)), TIMES, sizes, tracks, raw, float(SECONDS))
    return video_tables(faces, MANIFEST | {"faces": len(tracks)}, SETTINGS)


def onsets(tables: dict[str, list[Row]], kind: str) -> list[tuple[int, float]]:
    """Face and rounded onset of the events of a kind."""
    return [(row["face_id"], round(row["onset"], 1)) for row in tables["episodes"] if row["kind"] == kind]


def corrected(*corrections: Correction) -> dict[str, list[Row]]:
    timeline, tables = made(track(0, slice(None), measured()))
    rows = {name: [{**row, "video": "a.mp4"} for row in own] for name, own in tables.items()}
    _, found = corrected_video(named(timeline, "a.mp4"), rows, corrections, SETTINGS)
    return found


def same(found: dict[str, list[Row]], expected: dict[str, list[Row]], table: str) -> bool:
    def plain(rows: list[Row]) -> list[dict[str, Any]]:
        return [{key: value for key, value in row.items() if key not in ("video", "video_id")} for row in rows]

    return plain(found[table]) == plain(expected[table])


def test_events_are_rows_beside_the_episodes_of_emotions() -> None:
    _, tables = made(track(0, slice(None), measured()))
    assert onsets(tables, "blink") == [(0, start) for start in BLINKS]
    assert [start for _, start in onsets(tables, "speaking")] == [5.1]
    assert [row["emotion"] for row in tables["episodes"]] == ["happy", None, None, None, None]
    (summary,), (person,) = tables["summary"], tables["persons"]
    for row in (summary, person):
        assert row["blinks_per_minute"] == pytest.approx(60 * 3 / SECONDS, rel=0.02)
        assert row["nods_per_minute"] == row["shakes_per_minute"] == 0
        assert row["speaking_share"] == pytest.approx(3 / SECONDS, abs=0.03)


def test_a_face_that_was_not_measured_has_no_events_and_no_rates() -> None:
    _, tables = made(track(0, slice(None), None))
    assert [row["kind"] for row in tables["episodes"]] == ["emotion"]
    for row in (*tables["summary"], *tables["persons"]):
        assert row["blinks_per_minute"] is row["nods_per_minute"] is row["speaking_share"] is None


def test_a_person_has_the_events_of_all_faces_in_the_time_of_all_faces() -> None:
    values = measured()
    _, tables = made(track(0, slice(0, 100), values), track(1, slice(150, 300), values))
    (person,) = tables["persons"]
    assert onsets(tables, "blink") == [(0, 2.0), (1, 9.0)]
    assert person["blinks_per_minute"] == pytest.approx(60 * 2 / 10, rel=0.02)


def test_a_split_computes_events_and_rates_anew() -> None:
    found = corrected(Correction("c.csv, line 2", "a.mp4", 0, "split", start=6.5))
    values, half = measured(), int(6.5 * RATE) + 1
    _, expected = made(track(0, slice(0, half), values), track(1, slice(half, None), values))
    for table in ("episodes", "summary", "persons"):
        assert same(found, expected, table)
    assert [face for face, _ in onsets(found, "speaking")] == [0, 1]


def test_an_excluded_blink_is_no_event_and_what_is_left_does_not_bridge_it() -> None:
    found = corrected(Correction("c.csv, line 2", "a.mp4", 0, "exclude", start=3.9, end=4.4))
    assert onsets(found, "blink") == [(0, 2.0), (0, 9.0)]


def test_a_name_leaves_events_as_they_are() -> None:
    found = corrected(Correction("c.csv, line 2", "a.mp4", 0, "name", value="P1"))
    _, expected = made(track(0, slice(None), measured()))
    assert same(found, expected, "episodes")
    assert found["persons"][0]["blinks_per_minute"] == expected["persons"][0]["blinks_per_minute"]
