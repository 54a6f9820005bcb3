"""Large results that are read a few videos at a time are those that are read at once."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from fervid.errors import BadResults, InputNotFound
from fervid.results.in_parts import read_in_parts
from fervid.results.reader import Results, read_results
from fervid.results.schema import SMALL
from tests.support.synthetic_results import EVERYTHING, MadeFace, MadeVideo, wandering, write_results

VIDEOS = [
    *EVERYTHING,
    *(MadeVideo(f"v{n}.mp4", [MadeFace(range(40), wandering(40, n))], count=40 + n) for n in range(6)),
    MadeVideo("later nothing.mp4", count=7),
]


@pytest.fixture(scope="module", params=["r.parquet", "r.csv", "folder"])
def results(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_results(tmp_path_factory.mktemp("parts") / request.param, VIDEOS)


def joined(parts: list[Results]) -> dict[str, pd.DataFrame]:
    return {
        name: pd.concat([getattr(part, name) for part in parts], ignore_index=True) for name in ("timeline", *SMALL)
    }


def in_row_groups(path: Path, rows: int) -> Path:
    """Write a Parquet file again with smaller row groups, which end with the rows of a video."""
    file = pq.ParquetFile(path)
    table, metadata = file.read(), file.metadata.metadata
    ids = table["video_id"].to_pylist()
    with pq.ParquetWriter(path, table.schema, compression="zstd") as writer:
        begin = 0
        for end in range(1, len(ids) + 1):
            if end == len(ids) or (ids[end] != ids[end - 1] and end - begin >= rows):
                writer.write_table(table.slice(begin, end - begin))
                begin = end
        writer.add_key_value_metadata({key: value for key, value in metadata.items() if key.startswith(b"fervid.")})
    return path


@pytest.mark.parametrize("rows", [pytest.param(1, marks=pytest.mark.slow), 100, 10_000])
def test_the_parts_are_the_whole(results: Path, rows: int) -> None:
    if results.suffix == ".parquet":
        in_row_groups(results, 60)
    whole = read_results(results)
    assert whole.is_intact == (results.suffix != ".csv")  # a CSV file without its store records no digest
    parts = list(read_in_parts(results, rows))
    assert all(part.metadata == whole.metadata and part.is_intact == whole.is_intact for part in parts)
    assert [note for part in parts for note in part.notes] == list(whole.notes)
    assert (len(parts) > 2) == (rows < 1000 and results.suffix != ".csv")
    if results.suffix != ".csv":
        assert max(part.timeline["video_id"].nunique() for part in parts) <= {1: 3, 100: 4, 10_000: 20}[rows]
    found = joined(parts)
    for name, table in found.items():
        expected = getattr(whole, name)
        order = expected["video"].unique().tolist()
        assert sorted(table["video"].unique().tolist()) == sorted(order)
        for video in order:  # videos without a timeline come first
            one = table[table["video"] == video].reset_index(drop=True)
            pd.testing.assert_frame_equal(one, expected[expected["video"] == video].reset_index(drop=True))
    assert found["timeline"]["video"].unique().tolist() == whole.timeline["video"].unique().tolist()


@pytest.mark.parametrize("rows", [100, 10_000])
def test_only_the_columns_that_are_wanted(results: Path, rows: int) -> None:
    whole = list(read_in_parts(results, rows))
    columns = {"timeline": ("video", "time"), "videos": ("video", "size")}
    for one, every in zip(read_in_parts(results, rows, columns=columns), whole, strict=True):
        pd.testing.assert_frame_equal(one.timeline, every.timeline[["video", "time"]])
        pd.testing.assert_frame_equal(one.videos[["video", "size"]], every.videos[["video", "size"]])
        assert one.videos.shape[1] == 2
        assert one.summary.empty
        assert (one.notes, one.is_intact, one.metadata) == (every.notes, every.is_intact, every.metadata)


def test_few_videos_at_a_time(results: Path) -> None:
    if results.suffix == ".csv":
        pytest.skip("CSV files are read at once")
    assert max(part.timeline["video_id"].nunique() for part in read_in_parts(results, 10_000, 2)) <= 3


@pytest.mark.parametrize("name", ["r.parquet", "folder"])
def test_what_was_edited_is_noted_or_refused_as_for_the_whole(tmp_path: Path, name: str) -> None:
    path = write_results(tmp_path / name, VIDEOS)
    small = tmp_path / ("folder/summary.csv" if name == "folder" else "r.summary.csv")
    if name != "folder":
        in_row_groups(path, 60)
    text = small.read_text()
    small.write_text(text.replace("seen for only 0.8 s", "seen for only 0.9 s"))
    parts = list(read_in_parts(path, 1))
    assert [note for part in parts for note in part.notes] == [f"{small} was changed after fervid wrote it"]
    assert not parts[-1].is_intact
    small.write_text(text.replace(",0.75,", ",0.85,", 1))
    with pytest.raises(BadResults, match="do not belong together") as caught:
        list(read_in_parts(path, 1))
    with pytest.raises(BadResults) as whole:
        read_results(path)
    assert str(caught.value) == str(whole.value)


def test_a_changed_value_of_the_timeline_is_noted(tmp_path: Path) -> None:
    path = write_results(tmp_path / "folder", VIDEOS)
    part = sorted((path / "timeline").glob("video_id=*/*.parquet"))[-2]
    table = pq.read_table(part, partitioning=None)
    place = table.schema.get_field_index("face_score")
    changed = pc.cast(pc.multiply(table["face_score"], 0.5), pa.float32())
    pq.write_table(table.set_column(place, table.schema.field(place), changed), part)
    notes = [note for one in read_in_parts(path, 1) for note in one.notes]
    assert notes == list(read_results(path).notes)
    assert "was changed after fervid wrote it" in notes[0]


def test_rows_that_are_sorted_otherwise_are_read_at_once(tmp_path: Path) -> None:
    path = write_results(tmp_path / "r.parquet", VIDEOS)
    file = pq.ParquetFile(path)
    table = file.read().sort_by([("time", "ascending")])
    pq.write_table(table.replace_schema_metadata(file.schema_arrow.metadata), path, row_group_size=50)
    parts = list(read_in_parts(path, 1))
    assert len(parts) == 1
    assert len(parts[0].timeline) == len(table)


def test_missing_partitions_and_results_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputNotFound):
        list(read_in_parts(tmp_path / "none.parquet"))
    path = write_results(tmp_path / "folder", VIDEOS)
    for part in sorted((path / "timeline").glob("video_id=*/*.parquet"))[-1:]:
        part.unlink()
        part.parent.rmdir()
    with pytest.raises(BadResults, match=r"is incomplete: rows of .* are missing"):
        list(read_in_parts(path, 1))


def test_results_that_are_replaced_meanwhile_are_refused(tmp_path: Path) -> None:
    path = write_results(tmp_path / "folder", VIDEOS)
    parts = read_in_parts(path, 1)
    next(parts)
    (path / "timeline").rename(path / "old")
    write_results(tmp_path / "other", VIDEOS[:3])
    (tmp_path / "other" / "timeline").rename(path / "timeline")
    with pytest.raises(BadResults, match="was replaced while it was read; run the same command again"):
        list(parts)
