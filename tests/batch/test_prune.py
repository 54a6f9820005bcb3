"""Pruning an output: what goes, what stays, and that nothing goes of a video that is only out of reach."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from fervid.batch.prune import prune
from fervid.errors import BadResults, InputNotFound, OutputError, OutputLocked, UsageError
from fervid.files.holder import write_holder
from fervid.files.locks import locked
from fervid.results.merge import merge
from fervid.results.reader import read_results
from fervid.settings import AnalyzeSettings, InputSettings, ScanSettings
from tests.support.small_batch import FAST, FORMS, age, contents, make_videos, run

pytestmark = pytest.mark.usefixtures("replayed_scans")


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    return make_videos(tmp_path / "videos")


@pytest.fixture
def out(tmp_path: Path, videos: Path) -> Path:
    assert run(videos, tmp_path / "o" / "r.parquet") == 3
    return tmp_path / "o" / "r.parquet"


def store_of(out: Path) -> Path:
    return out.with_name(f".{out.name}.fervid") if out.suffix else out / ".fervid"


def parts(out: Path) -> set[str]:
    return {path.name for path in store_of(out).glob("parts-*/*")}


def names(out: Path) -> list[str]:
    return list(read_results(out).videos["video"])


@pytest.mark.parametrize("form", FORMS)
def test_rows_and_results_of_deleted_videos_go_and_the_rest_is_what_a_rerun_makes(
    videos: Path, tmp_path: Path, form: str
) -> None:
    out = tmp_path / "o" / form
    run(videos, out)
    for name in ("a.mp4", "b.mp4", "x.mp4"):
        (videos / name).unlink()
    before = contents(out.parent)
    planned = prune(out, dry_run=True)
    assert (planned.videos, planned.results) == (("a.mp4", "b.mp4", "x.mp4"), 2)  # copy.mp4 has the content of a.mp4
    assert contents(out.parent) == before
    assert len(parts(out)) == 5
    assert prune(out) == planned
    assert names(out) == ["c.mp4", "copy.mp4", "d.mp4"]
    assert read_results(out).is_intact
    assert len(parts(out)) == 3
    pruned = contents(out.parent)
    assert run(videos, out) == 0
    assert contents(out.parent) == pruned  # the rerun finds nothing to do
    assert prune(out).is_empty
    assert contents(out.parent) == pruned
    index = (store_of(out) / "index.jsonl").read_text()
    assert "b.mp4" not in index
    assert "copy.mp4" in index


def test_the_table_of_meshes_stays(tmp_path: Path, videos: Path) -> None:
    out, settings = tmp_path / "r.parquet", AnalyzeSettings(scan=ScanSettings(fps=2, mesh=True))
    run(videos, out, settings)
    (videos / "b.mp4").unlink()
    assert prune(out).results == 1
    assert len([name for name in parts(out) if name.endswith(".mesh.parquet")]) == 3
    pruned = contents(tmp_path)
    assert "r.mesh.parquet" in pruned
    run(videos, out, settings)
    assert contents(tmp_path) == pruned


def test_nothing_is_removed_if_nothing_is_missing(videos: Path, out: Path) -> None:
    before, stored = contents(out.parent), parts(out)
    report = prune(out)
    assert report.is_empty
    assert (report.kept, report.notes) == ({}, ())
    assert (contents(out.parent), parts(out)) == (before, stored)


def test_a_moved_video_and_one_of_another_name_stay(videos: Path, out: Path) -> None:
    (videos / "deep").mkdir()
    (videos / "b.mp4").rename(videos / "deep" / "moved.mp4")
    assert prune(out).is_empty
    assert "b.mp4" in names(out)
    assert run(videos, out) == 3
    assert "deep/moved.mp4" in names(out)


def test_new_and_excluded_videos_change_nothing(videos: Path, out: Path) -> None:
    shutil.copy(videos / "c.mp4", videos / "new.mp4")
    run(videos, out, AnalyzeSettings(scan=FAST.scan, inputs=InputSettings(exclude=("d.mp4",))))
    assert "d.mp4" not in names(out)
    assert prune(out).is_empty  # d.mp4 is there, only not wanted now
    assert len(parts(out)) == 5


def test_results_of_videos_that_left_the_tables_go(videos: Path, out: Path) -> None:
    (videos / "d.mp4").unlink()
    run(videos, out)
    before = contents(out.parent)
    assert "d.mp4" not in names(out)
    report = prune(out)
    assert (report.videos, report.results) == ((), 1)
    assert report.size > 0
    assert contents(out.parent) == before


def lose_folder(videos: Path) -> None:
    videos.rename(videos.with_name("elsewhere"))


def unmount(videos: Path) -> None:
    lose_folder(videos)
    videos.mkdir()


def break_link(videos: Path) -> None:
    lose_folder(videos)
    videos.symlink_to(videos.parent / "nowhere")


@pytest.mark.parametrize("lose", [lose_folder, unmount, break_link])
def test_nothing_goes_if_the_input_folder_is_out_of_reach(videos: Path, out: Path, lose: object) -> None:
    assert callable(lose)
    lose(videos)
    before, stored = contents(out.parent), parts(out)
    report = prune(out)
    assert report.is_empty
    assert report.kept == {str(videos): 6}
    assert (contents(out.parent), parts(out)) == (before, stored)
    assert prune(out, dry_run=True, force=True).videos == tuple(names(out))
    prune(out, force=True)
    assert names(out) == []
    assert parts(out) == set()


def test_a_folder_that_is_empty_may_be_a_share_but_one_that_is_gone_was_deleted(tmp_path: Path, videos: Path) -> None:
    for camera, name in (("one", "b.mp4"), ("two", "c.mp4"), ("three", "d.mp4")):
        (videos / camera).mkdir()
        (videos / name).rename(videos / camera / name)
    age(videos)
    out = tmp_path / "r.parquet"
    run(videos, out)
    (videos / "one" / "b.mp4").unlink()
    shutil.rmtree(videos / "two")
    (videos / "three").rename(tmp_path / "three")
    (videos / "three").symlink_to(tmp_path / "unmounted")
    report = prune(out)
    assert report.videos == ("two/c.mp4",)
    assert report.kept == {str(videos / "one"): 1, str(videos / "three"): 1}
    assert "one/b.mp4" in names(out)
    assert "three/d.mp4" in names(out)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may look everywhere")
def test_a_folder_that_may_not_be_read_is_out_of_reach(tmp_path: Path, videos: Path, out: Path) -> None:
    videos.chmod(0)
    try:
        assert prune(out).is_empty
    finally:
        videos.chmod(0o700)


def test_temporary_files_and_results_of_earlier_settings_go(videos: Path, out: Path) -> None:
    store = store_of(out)
    (store / "scratch" / "killed").mkdir(parents=True)
    (store / "scratch" / "killed" / "crops").write_bytes(bytes(1000))
    earlier = store / f"parts-{'0' * 16}"
    earlier.mkdir()
    (earlier / f"{'0' * 32}.parquet").write_bytes(bytes(2000))
    (earlier / "notes.txt").write_text("of a user")
    (store / "parts-mine").mkdir()
    (store / "parts-mine" / f"{'0' * 32}.parquet").write_bytes(bytes(10))
    report = prune(out, dry_run=True)
    assert (report.temporary, report.earlier, report.size) == (1, 1, 3000)
    assert prune(out) == report
    assert not (store / "scratch").exists()
    assert [path.name for path in earlier.iterdir()] == ["notes.txt"]  # what fervid did not make stays
    assert len(list((store / "parts-mine").iterdir())) == 1
    assert prune(out).is_empty


def test_edited_tables_stay(videos: Path, out: Path) -> None:
    (videos / "b.mp4").unlink()
    table = out.with_suffix(".videos.csv")
    table.write_text(table.read_text().replace("mp4", "MP4"))
    before = contents(out.parent)
    report = prune(out)
    assert report.videos == ()
    assert "not as fervid wrote them" in report.notes[0]
    assert contents(out.parent) == before
    run(videos, out)
    assert prune(out).results == 1


def test_a_missing_stored_result_keeps_all_rows(videos: Path, out: Path) -> None:
    (videos / "b.mp4").unlink()
    rows = read_results(out).videos.set_index("video")
    (part,) = store_of(out).glob(f"parts-*/{rows.loc['c.mp4', 'video_id']}.parquet")
    part.unlink()
    before = contents(out.parent)
    report = prune(out)
    assert report.videos == ()
    assert "c.mp4 is missing" in report.notes[0]
    assert contents(out.parent) == before


def test_damage_in_the_hidden_folder_costs_no_rows(videos: Path, out: Path) -> None:
    store, before = store_of(out), contents(out.parent)
    for name in ("request.json", "composed.json", "index.jsonl"):
        (store / name).write_text("[[[")
        report = prune(out)
        assert report.videos == ()
        assert report.results == 0, name
        assert contents(out.parent) == before
    (store / "identity.json").write_text("{")
    with pytest.raises(UsageError, match="does not say what its results were made with"):
        prune(out)
    assert contents(out.parent) == before


def test_a_lost_index_is_no_reason_to_remove_anything(videos: Path, out: Path) -> None:
    (store_of(out) / "index.jsonl").unlink()
    assert prune(out).is_empty
    assert len(parts(out)) == 5


def test_a_run_with_other_settings_that_was_interrupted_keeps_the_rows(videos: Path, out: Path) -> None:
    other = AnalyzeSettings(scan=ScanSettings(fps=1))
    run(videos, out.with_name("s.parquet"), other)
    (videos / "b.mp4").unlink()
    shutil.copy(store_of(out.with_name("s.parquet")) / "identity.json", store_of(out) / "identity.json")
    before = contents(out.parent)
    report = prune(out, dry_run=True)
    assert report.videos == ()
    assert "other settings" in report.notes[0]
    assert contents(out.parent) == before


def test_a_locked_output_is_left(videos: Path, out: Path) -> None:
    (store_of(out) / "scratch").mkdir()
    (store_of(out) / "scratch" / "crops").touch()
    with locked(store_of(out) / "lock"):
        with pytest.raises(OutputLocked):
            prune(out)
        write_holder(store_of(out))
        report = prune(out, dry_run=True)
        assert report.is_empty
        assert "at work" in report.notes[0]


def test_what_is_no_output(tmp_path: Path, out: Path) -> None:
    with pytest.raises(InputNotFound):
        prune(tmp_path / "none.parquet")
    (tmp_path / "foreign.parquet").write_text("text")
    with pytest.raises(BadResults):
        prune(tmp_path / "foreign.parquet")
    merged = tmp_path / "merged.parquet"
    merge([out], merged)
    before = contents(tmp_path)
    assert "no hidden folder" in prune(merged).notes[0]
    assert contents(tmp_path) == before
    (tmp_path / ".begun.parquet.fervid").mkdir()
    assert "no video of" in prune(tmp_path / "begun.parquet").notes[0]
    hidden = tmp_path / ".link.parquet.fervid"
    hidden.symlink_to(store_of(out))
    with pytest.raises(OutputError, match="not a folder of this user"):
        prune(tmp_path / "link.parquet")


def test_the_workspace_of_a_killed_merge_is_cleared(tmp_path: Path, out: Path) -> None:
    merged = tmp_path / "merged.parquet"
    merge([out], merged)
    scratch = tmp_path / ".merged.parquet.merging" / "scratch"
    scratch.mkdir(parents=True)
    (scratch / "table").write_bytes(bytes(500))
    report = prune(merged)
    assert (report.temporary, report.size) == (1, 500)
    assert not scratch.parent.exists()
    assert names(merged) == names(out)
