"""The state of an output, while it is made, afterwards, and when something is wrong with it."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import fervid
from fervid.batch.run import analyze as run_batch
from fervid.batch.status import Rerun, Status, status
from fervid.errors import BadResults, InputNotFound, UsageError
from fervid.files import fingerprint
from fervid.files.private_folder import remove_damaged
from fervid.results.correct import correct
from fervid.results.merge import merge
from fervid.settings import AnalyzeSettings, ScanSettings
from tests.support.command import command
from tests.support.small_batch import FAST, FORMS, age, contents, make_videos, run

pytestmark = pytest.mark.usefixtures("replayed_scans")


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    return make_videos(tmp_path / "videos")


@pytest.fixture
def out(tmp_path: Path, videos: Path) -> Path:
    run(videos, tmp_path / "r.parquet")
    return tmp_path / "r.parquet"


@pytest.fixture
def no_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    """No content of a video is read."""

    def fail(*_: object) -> str:
        raise AssertionError("a video was read")

    for place in ("fervid.batch.plan.fingerprint", "fervid.batch.presence.fingerprint"):
        monkeypatch.setattr(place, fail)
    monkeypatch.setattr(fingerprint, "fingerprint", fail)


@pytest.mark.usefixtures("no_reading")
@pytest.mark.parametrize("form", FORMS)
def test_a_complete_output(videos: Path, tmp_path: Path, form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    code = run(Path("videos"), tmp_path / form)
    before = contents(tmp_path)
    monkeypatch.chdir("/")
    found = status(tmp_path / form)
    assert found.tables == "complete"
    assert found.videos == {"no_face": 4, "skipped": 1, "failed": 1}
    assert list(found.failed) == ["x.mp4"]
    assert (found.holder, found.notes) == (None, ())
    assert found.last_run is not None
    assert found.last_run.exit_code == code == 3
    assert found.store_size > 1000
    assert found.rerun == Rerun(done=4, failed=1, copies=1)
    assert contents(tmp_path) == before
    json.dumps(found.as_json())


@pytest.mark.usefixtures("no_reading")
def test_what_a_rerun_would_do_is_what_it_does(videos: Path, out: Path) -> None:
    shutil.copy(videos / "a.mp4", videos / "new.mp4")
    (videos / "b.mp4").unlink()
    (videos / "c.mp4").write_bytes((videos / "a.mp4").read_bytes() + bytes(8))
    found = status(out)
    assert found.rerun == Rerun(2, 2, 1, 1, 0, 1, ("c.mp4", "new.mp4"))


def test_other_weights_or_settings_refuse_a_rerun(videos: Path, out: Path) -> None:
    store = out.with_name(".r.parquet.fervid")
    other = out.with_name("s.parquet")
    run(videos, other, AnalyzeSettings(scan=ScanSettings(fps=1)))
    shutil.copy(other.with_name(".s.parquet.fervid") / "request.json", store / "request.json")
    rerun = status(out).rerun
    assert rerun is not None
    assert rerun.refused is not None
    assert "scan.fps 2 → 1.0" in rerun.refused


def test_an_input_folder_that_is_gone_or_empty(videos: Path, out: Path) -> None:
    videos.rename(videos.with_name("elsewhere"))
    rerun = status(out).rerun
    assert rerun is not None
    assert "no such file or folder" in str(rerun.refused)
    videos.mkdir()
    rerun = status(out).rerun
    assert rerun is not None
    assert "the tables stay" in str(rerun.refused)


@pytest.mark.parametrize("form", FORMS)
def test_a_run_at_work_and_a_run_that_was_killed(videos: Path, tmp_path: Path, form: str) -> None:
    out = tmp_path / form
    seen: list[Status] = []

    def look(progress: fervid.Progress) -> None:
        if progress.outcome is not None:
            seen.append(status(out))

    run_batch(videos, out, FAST, look)
    holder = seen[-1].holder
    assert holder is not None
    assert holder.pid == os.getpid()
    assert holder.host == os.uname().nodename
    assert holder.since is not None
    assert seen[0].tables == "absent"
    assert seen[0].rerun is not None
    assert seen[0].rerun.analyze > 0
    assert status(out).holder is None
    store = out / ".fervid" if form == "r" else tmp_path / f".{form}.fervid"
    (store / "scratch" / "0").mkdir(parents=True)
    (store / "holder.json").write_text('{"pid": 1, "host": "h", "since": "then"}')
    found = status(out)
    assert found.holder is None  # nobody holds the lock, whatever the file says
    assert "a run was killed" in found.notes[0]
    (out / "timeline" if form == "r" else out).rename(tmp_path / "away")
    assert status(out).tables == "incomplete"


def test_merged_and_corrected_results(tmp_path: Path, out: Path) -> None:
    merged, corrected = tmp_path / "m.parquet", tmp_path / "c.csv"
    merge([out], merged)
    table = tmp_path / "corrections.csv"
    table.write_text("video,face_id,action,start,end,value\n")
    correct(out, table, corrected)
    for path in (merged, corrected):
        found = status(path)
        assert (found.tables, found.rerun, found.store, found.last_run) == ("complete", None, None, None)
        assert found.videos["no_face"] == 4
        assert any("no hidden folder" in note for note in found.notes)


def test_edited_tables_are_noted(out: Path) -> None:
    table = out.with_suffix(".shots.csv")
    table.write_text(table.read_text() + "\n")
    assert any("was changed after fervid wrote it" in note for note in status(out).notes)


def test_what_is_no_result(tmp_path: Path) -> None:
    with pytest.raises(InputNotFound):
        status(tmp_path / "none.parquet")
    (tmp_path / "text.parquet").write_text("text")
    with pytest.raises(BadResults):
        status(tmp_path / "text.parquet")
    (tmp_path / "folder").mkdir()
    with pytest.raises(BadResults):
        status(tmp_path / "folder")
    with pytest.raises(UsageError):
        status(tmp_path / "video.mp4")


def replace_by_link(store: Path) -> None:
    store.rename(store.with_name("moved"))
    store.symlink_to(store.with_name("moved"))


def replace_by_file(store: Path) -> None:
    shutil.rmtree(store)
    store.write_text("")


@pytest.mark.parametrize("damage", [replace_by_link, replace_by_file])
def test_a_hidden_folder_that_is_none_is_not_used(out: Path, damage: Any) -> None:
    damage(out.with_name(".r.parquet.fervid"))
    found = status(out)
    assert found.videos["no_face"] == 4
    assert found.rerun is None
    assert any("not a folder of this user" in note for note in found.notes)


def test_damage_in_the_hidden_folder_changes_nothing_there(out: Path) -> None:
    makers: list[Callable[[Path], object]] = [
        lambda path: path.write_text("nothing"),
        lambda path: path.write_text("[" * 20000),
        os.mkfifo,
        Path.mkdir,
    ]
    for name in ("request.json", "composed.json", "index.jsonl", "identity.json", "lock", "holder.json"):
        place = out.with_name(".r.parquet.fervid") / name
        kept = place.read_bytes() if place.exists() else None
        for make in makers:
            remove_damaged(place)
            make(place)
            before = place.lstat()
            found = status(out)
            assert found.videos["no_face"] == 4
            assert place.lstat().st_ino == before.st_ino
        remove_damaged(place)
        if kept is not None:
            place.write_bytes(kept)
    for text in ("", "[]", "{}", "[" * 20000, '{"fervid": 1}'):
        out.with_suffix(".run.json").write_text(text)
        assert status(out).last_run is None


def test_the_command_prints_lines_and_json(tmp_path: Path, videos: Path, out: Path) -> None:
    shutil.copy(videos / "a.mp4", videos / "new.mp4")
    age(videos)
    done = command("status", out)
    assert done.returncode == 0, done.stderr
    for words in ("complete, written ", "4 without a face, 1 failed, 1 skipped", "x.mp4: ", "nobody", "exit code 3"):
        assert words in done.stdout
    assert "would analyse" in done.stdout
    values = json.loads(command("status", out, "--json").stdout)
    assert values["rerun"]["analyze"] >= 1
    assert values["last_run"]["exit_code"] == 3
    job = tmp_path / "job.toml"
    job.write_text('paths = ["videos"]\nout = "r.parquet"\n')
    assert str(out) in command("status", job).stdout
    gone = command("status", tmp_path / "none.parquet")
    assert (gone.returncode, gone.stderr.count("\n")) == (2, 1)
