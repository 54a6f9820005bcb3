"""Tables that anyone may have written: a row that cannot be right costs its video, and nothing else.

Cells: NaN, infinite, negative, zero and huge boxes and times; probabilities outside 0 to 1, or that do not sum to 1;
unknown emotions and statuses; nulls where a value must be, and values where none may be. Rows: twice, in another order,
with two times for one frame, with time running backwards, under another name. Metadata: settings that are no groups,
out of range, of wrong types, nested too deep; folders that are no paths; an unknown schema version.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fervid.errors import BadResults
from fervid.report.report import write_report
from fervid.results.merge import merge
from fervid.results.reader import read_results, read_tables
from fervid.results.validate import validated
from tests.support.comparison import assert_identical
from tests.support.synthetic_results import MadeFace, MadeVideo, leading_emotions, write_results

Change = Callable[[pd.DataFrame], None]


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    happy, sad = leading_emotions(("happy", 50)), leading_emotions(("sad", 40))
    videos = [MadeVideo("a.mp4", [MadeFace(range(50), happy), MadeFace(range(40), sad)])]
    videos += [
        MadeVideo("b.mp4", [MadeFace(range(50), happy)]),
        MadeVideo("c.mp4"),
        MadeVideo("d.mp4", status="failed"),
    ]
    return write_results(tmp_path_factory.mktemp("good") / "r.parquet", videos)


def copy_of(good: Path, folder: Path) -> Path:
    for path in good.parent.glob("r.*"):
        (folder / path.name).write_bytes(path.read_bytes())
    return folder / good.name


def with_cell(good: Path, folder: Path, column: str, row: int, value: Any) -> Path:
    """The results with one cell of the timeline changed."""
    path = copy_of(good, folder)
    table = pq.read_table(path)
    kind = table.schema.field(column).type
    values = table[column].to_pylist()
    values[row] = value
    index = table.column_names.index(column)
    changed = pa.array(values, pa.string()).cast(kind) if pa.types.is_dictionary(kind) else pa.array(values, kind)
    pq.write_table(table.set_column(index, table.schema.field(index), changed), path)
    return path


def test_what_fervid_wrote_is_left_as_it_is(good: Path) -> None:
    tables = read_tables(good)
    checked, notes = validated(tables, "r")
    assert notes == []
    for name, table in tables.items():
        assert checked[name] is table or checked[name].equals(table)


@pytest.mark.parametrize(
    ("column", "value", "reason"),
    [
        ("face_x", np.nan, "face_x is nan"),
        ("face_y", np.inf, "face_y is inf"),
        ("face_width", -5.0, "face_width is -5.0"),
        ("face_width", 0.0, "face_width is 0.0"),
        ("face_height", 1e9, "face_height is 1"),
        ("face_x", None, "face_x and face_id do not fit together"),
        ("face_score", 2.0, "face_score is 2.0"),
        ("face_quality", -0.1, "face_quality is -0.1"),
        ("happy", 7.0, "happy is 7.0"),
        ("happy", 0.1, "the probabilities sum to 1.0666"),
        ("sad_smooth", np.nan, "sad_smooth is nan"),
        ("emotion", "joy", "emotion is joy"),
        ("emotion", "\x1b[2J", r"emotion is \x1b[2J"),
        ("confidence", np.inf, "confidence is inf"),
        ("face_id", -1, "face_id is -1"),
        ("face_id", None, "face_x and face_id do not fit together"),
        ("person", -3, "person is -3"),
        ("frame", -1, "frame is -1"),
        ("frame", None, "frame is missing"),
        ("time", np.nan, "time is nan"),
        ("time", np.inf, "time is inf"),
        ("time", -1e300, "time is -1e+300"),
        ("time", 0.0, "two values of time in frame"),
        ("frame_width", 0, "frame_width is 0"),
        ("frame_height", 10**6, "frame_height is 1000000"),
        ("video", "z.mp4", "the timeline table calls it 'z.mp4', the videos table 'a.mp4'"),
        ("video", None, "video is missing"),
    ],
)
def test_a_bad_cell_costs_its_video(good: Path, tmp_path: Path, column: str, value: Any, reason: str) -> None:
    found, before = read_results(with_cell(good, tmp_path, column, 21, value)), read_results(good)
    row = found.videos.set_index("video").loc["a.mp4"]
    assert (row["status"], row["error"]) == ("failed", "BadResults")
    assert reason in row["message"]
    assert set(found.timeline["video"]) == {"b.mp4", "c.mp4"}
    assert set(found.summary["video"]) == set(found.episodes["video"]) == {"b.mp4"}
    kept = before.timeline[before.timeline["video"] != "a.mp4"].reset_index(drop=True)
    pd.testing.assert_frame_equal(found.timeline.reset_index(drop=True), kept)


def test_a_row_without_a_video_refuses_the_results(good: Path, tmp_path: Path) -> None:
    with pytest.raises(BadResults):
        read_results(with_cell(good, tmp_path, "video_id", 3, None))


def test_rows_in_another_order_are_put_in_order(good: Path, tmp_path: Path) -> None:
    path = copy_of(good, tmp_path)
    table = pq.read_table(path)
    order = np.random.default_rng(0).permutation(len(table))
    pq.write_table(table.take(pa.array(order)), path)
    found, expected = read_results(path), read_results(good)
    for name in ("a.mp4", "b.mp4", "c.mp4"):
        one, other = (
            side.timeline[side.timeline["video"] == name].reset_index(drop=True) for side in (found, expected)
        )
        pd.testing.assert_frame_equal(one, other)


def test_rows_that_are_there_twice_cost_their_video(good: Path, tmp_path: Path) -> None:
    path = copy_of(good, tmp_path)
    table = pq.read_table(path)
    pq.write_table(pa.concat_tables([table, table.slice(5, 1)]), path)
    message = read_results(path).videos.set_index("video").loc["a.mp4", "message"]
    assert "a face is there twice in frame" in message


@pytest.mark.parametrize(
    ("table", "column", "value", "reason"),
    [
        ("episodes", "onset", "inf", "onset is inf"),
        ("episodes", "emotion", "joy", "emotion is joy"),
        ("summary", "mean_happy", "nan", "mean_happy is nan"),
        ("summary", "coverage", "-1", "coverage is -1"),
        ("summary", "dominant", "x", "dominant is x"),
        ("videos", "duration", "nan", "duration is nan"),
        ("videos", "width", "-4", "width is -4"),
        ("videos", "status", "fine", "status is fine"),
    ],
)
def test_small_tables_are_checked_too(
    good: Path, tmp_path: Path, table: str, column: str, value: str, reason: str
) -> None:
    path = copy_of(good, tmp_path)
    small = path.with_suffix(f".{table}.csv")
    frame = pd.read_csv(small, dtype=str, keep_default_na=False)
    frame.loc[0, column] = value
    frame.to_csv(small, index=False)
    assert reason in read_results(path).videos.set_index("video").loc["a.mp4", "message"]


def test_the_commands_go_on_with_the_other_videos(good: Path, tmp_path: Path) -> None:
    path = with_cell(good, tmp_path, "face_x", 0, np.nan)
    assert merge([path], tmp_path / "m.parquet").videos == 4
    merged = read_results(tmp_path / "m.parquet")
    assert merged.videos.set_index("video").loc["a.mp4", "status"] == "failed"
    assert_identical(merged, read_results(path))
    write_report(path, tmp_path / "r.html", thumbnails=False)
    assert "face_x is nan" in (tmp_path / "r.html").read_text(encoding="utf-8")


def nested(depth: int) -> str:
    return "[" * depth + "]" * depth


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("settings", "[]", "settings are not groups"),
        ("settings", "3", "settings are not groups"),
        ("settings", '{"scan": 3}', "settings are not groups"),
        ("settings", '{"scan": {"fps": -5}}', "settings cannot be right"),
        ("settings", '{"scan": {"fps": "five"}}', "settings cannot be right"),
        ("settings", '{"timeline": {"max_gap": NaN}}', "settings cannot be right"),
        ("settings", '{"timeline": {"max_gap": {}}}', "settings cannot be right"),
        ("settings", nested(5000), "metadata are damaged|settings are not groups"),
        ("settings", "{", "metadata are damaged"),
        ("roots", "3", "folders are not a list of paths"),
        ("roots", '["a", 3]', "folders are not a list of paths"),
        ("roots", json.dumps(["a\0b"]), "folders are not a list of paths"),
        ("schema_version", "99", "a later version of fervid wrote them"),
        ("schema_version", "two", "schema version is 'two'"),
    ],
)
def test_odd_metadata_refuse_the_results(good: Path, tmp_path: Path, key: str, value: str, reason: str) -> None:
    path = copy_of(good, tmp_path)
    table = pq.read_table(path)
    pq.write_table(
        table.replace_schema_metadata(table.schema.metadata | {f"fervid.{key}".encode(): value.encode()}), path
    )
    with pytest.raises(BadResults, match=reason):
        read_results(path)


def test_settings_of_other_versions_that_are_not_known_are_passed_over(good: Path, tmp_path: Path) -> None:
    path = copy_of(good, tmp_path)
    table = pq.read_table(path)
    settings = json.dumps({"scan": {"fps": 5, "unknown": 1}, "other": {"x": 1}})
    pq.write_table(table.replace_schema_metadata({b"fervid.settings": settings.encode()}), path)
    assert read_results(path).metadata["settings"]["scan"]["fps"] == 5
