"""Merging results: names, duplicate videos, and results without provenance metadata."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

import fervid
from fervid.errors import UsageError
from fervid.results.find_videos import find_videos
from fervid.results.merge import Merged, _Manifest, merge
from fervid.results.reader import read_results
from fervid.settings import AnalyzeSettings, ScanSettings
from tests.support.command import command
from tests.support.paths import SAMPLES
from tests.support.synthetic_results import MadeVideo, write_results

pytestmark = pytest.mark.usefixtures("replayed_scans")


def month(folder: Path, name: str, sample: str, out: str = "{}.parquet", fps: float = 2) -> Path:
    """Results of a folder ``name`` whose only video is ``cam/clip.mp4``, a copy of ``sample``."""
    (folder / name / "cam").mkdir(parents=True, exist_ok=True)
    shutil.copy(SAMPLES / sample, folder / name / "cam" / "clip.mp4")
    target = folder / out.format(name)
    fervid.analyze(folder / name, target, AnalyzeSettings(scan=ScanSettings(fps=fps)))
    return target


def test_two_videos_with_the_same_name_stay_separate(tmp_path: Path) -> None:
    parts = [month(tmp_path, "may", "cut.mp4"), month(tmp_path, "june", "leaving.mp4")]
    assert merge(parts, tmp_path / "all.parquet") == Merged(2, 0, ())
    merged, names = read_results(tmp_path / "all.parquet"), ["cam/clip.mp4", "june/cam/clip.mp4"]
    assert merged.videos["video"].tolist() == names
    for table in (merged.timeline, merged.episodes, merged.summary):
        assert table["video"].drop_duplicates().tolist() == names
        assert (table["video"].map(dict(zip(names, merged.videos["video_id"], strict=True))) == table["video_id"]).all()
    for path, name in zip(parts, names, strict=True):
        alone = read_results(path)
        assert len(merged.timeline[merged.timeline["video"] == name]) == len(alone.timeline)
        assert len(merged.episodes[merged.episodes["video"] == name]) == len(alone.episodes)
    files = [tmp_path / "may" / "cam" / "clip.mp4", tmp_path / "june" / "cam" / "clip.mp4"]
    assert find_videos(merged, names).paths == dict(zip(names, files, strict=True))
    assert find_videos(merged, names, tmp_path / "june").paths == dict.fromkeys(names, files[1])
    for order in ([tmp_path / "all.parquet", *parts], [*parts, tmp_path / "all.parquet"]):
        assert merge(order, tmp_path / "again.parquet") == Merged(2, 0, ())
        assert read_results(tmp_path / "again.parquet").timeline.equals(merged.timeline)
        assert find_videos(read_results(tmp_path / "again.parquet"), names).paths == find_videos(merged, names).paths


@pytest.mark.parametrize("target", ["all.parquet", "all.csv", "all"])
def test_rows_come_in_the_order_of_the_inputs(target: str, tmp_path: Path) -> None:
    """The partitions of a folder are sorted by fingerprint, which is another order."""
    folder = write_results(tmp_path / "one", [MadeVideo(f"{name}.mp4", count=3) for name in "abc"])
    listed = (folder / "videos.csv").read_text().splitlines(keepends=True)
    (folder / "videos.csv").write_text("".join([listed[0], *reversed(listed[1:])]))
    assert merge([folder], tmp_path / target).videos == 3
    merged, names = read_results(tmp_path / target), ["c.mp4", "b.mp4", "a.mp4"]
    assert merged.timeline["video"].drop_duplicates().tolist() == merged.videos["video"].tolist() == names


def test_results_given_twice_count_once(tmp_path: Path) -> None:
    part = month(tmp_path, "may", "cut.mp4")
    shutil.copytree(tmp_path, tmp_path / "copy")
    assert merge([part, part, tmp_path / "copy" / part.name], tmp_path / "all.parquet") == Merged(1, 0, ())


def row(video: str, video_id: str | None, status: str = "ok", message: str | None = None) -> dict[str, Any]:
    return {"video": video, "video_id": video_id, "status": status, "message": message, "faces": 1}


def test_which_manifest_row_is_kept_for_a_video() -> None:
    one, two = Path("one.parquet"), Path("two")
    manifest = _Manifest(
        {
            one: [row("a", "1"), row("b", "2", "failed"), row("c", None, "failed"), row("d", "4", "failed")],
            two: [row("b", "2"), row("e", "1"), row("a", "3"), row("c", None, "failed"), row("d", "4", "failed")],
        }
    )
    assert manifest.names(one) == {"1": "a"}
    assert manifest.names(two) == {"2": "b", "3": "two/a"}
    found = [(r["video"], r["status"], r["message"]) for path in (one, two) for r in manifest.rows(path)]
    assert found == [
        ("a", "ok", None),
        ("c", "failed", None),  # its content is unknown, so another c may be another video
        ("d", "failed", None),
        ("b", "ok", None),  # it failed in the first results
        ("e", "skipped", "same content as a"),
        ("two/a", "ok", None),
        ("two/c", "failed", None),
    ]


def test_csv_results_are_compared_if_they_were_not_moved(tmp_path: Path) -> None:
    slow = month(tmp_path, "may", "cut.mp4", "{}.csv")
    fast = month(tmp_path, "june", "leaving.mp4", "{}.csv", 3)
    with pytest.raises(UsageError, match=r"scan\.fps 2\S* and 3"):
        merge([slow, fast], tmp_path / "all.parquet")
    same = month(tmp_path, "july", "leaving.mp4")
    assert merge([slow, same], tmp_path / "all.parquet").unknown == ()
    assert read_results(tmp_path / "all.parquet").metadata["settings"]["scan"]["fps"] == 2


def test_results_without_provenance_metadata_are_named(tmp_path: Path) -> None:
    known, unknown = month(tmp_path, "may", "cut.mp4"), month(tmp_path, "june", "leaving.mp4", "{}.csv")
    shutil.rmtree(tmp_path / ".june.csv.fervid")
    done = command("merge", known, unknown, "--out", tmp_path / "all.parquet")
    assert (done.returncode, "june.csv has no provenance metadata" in done.stderr) == (0, True)
    assert read_results(tmp_path / "all.parquet").metadata == {}


def test_small_tables_of_other_results_are_not_overwritten(tmp_path: Path) -> None:
    parts = [month(tmp_path, "may", "cut.mp4"), month(tmp_path, "june", "leaving.mp4")]
    month(tmp_path, "july", "cut.mp4")
    merge(parts, tmp_path / "all.parquet")
    for taken in ("july.csv", "all.csv"):
        before = {path: path.read_bytes() for path in tmp_path.glob("*.csv")}
        with pytest.raises(UsageError, match="small tables of the same names"):
            merge(parts, tmp_path / taken)
        assert {path: path.read_bytes() for path in tmp_path.glob("*.csv")} == before
    assert merge(parts, tmp_path / "all.parquet").videos == 2, "the same output again"
