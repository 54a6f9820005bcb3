"""The state of an output: fingerprints of files, the lock, and changed settings."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fervid.batch.file_index import Failure, Stamp
from fervid.batch.store import ResumeStore, StoreView, settings_key
from fervid.errors import OutputError, OutputLocked, UsageError
from fervid.results.store_files import read_identity, store_folder
from tests.support.paths import LONG_AGO

IDENTITY = {"scan": {"fps": 5.0, "detector": "retinaface"}, "weights": "a" * 64, "version": "1"}
OTHER = {**IDENTITY, "scan": {"fps": 10.0, "detector": "retinaface"}}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / ".results.parquet.fervid"


@pytest.fixture
def store(folder: Path) -> Iterator[ResumeStore]:
    with ResumeStore(folder, IDENTITY, tables_exist=False) as store:
        yield store


@pytest.fixture
def video(tmp_path: Path) -> Path:
    path = tmp_path / "a.mp4"
    path.write_bytes(b"video")
    os.utime(path, (LONG_AGO, LONG_AGO))
    return path


def finish(store: ResumeStore, video_id: str) -> None:
    store.parts.part(video_id).write_bytes(b"part")
    store.write_identity()


def test_the_folder_lies_hidden_beside_or_in_the_output(tmp_path: Path) -> None:
    assert store_folder(tmp_path / "r.parquet", is_folder=False) == tmp_path / ".r.parquet.fervid"
    assert store_folder(tmp_path / "r", is_folder=True) == tmp_path / "r" / ".fervid"


def test_parts_and_failures_are_there_for_the_next_run(folder: Path) -> None:
    with ResumeStore(folder, IDENTITY, tables_exist=False) as store:
        assert not store.done("1")
        finish(store, "1")
        store.add_failure("2", Failure("UnreadableVideo", "no video"))
    with ResumeStore(folder, IDENTITY, tables_exist=True) as store:
        assert store.done("1")
        assert store.failure("1") is None
        assert store.failure("2") == Failure("UnreadableVideo", "no video")
        store.forget_failure("2")
        assert store.failure("2") is None


def test_nobody_else_may_read_the_folder(store: ResumeStore, folder: Path) -> None:
    for path in (folder, store.scratch):
        assert path.stat().st_mode & 0o077 == 0


def test_an_unchanged_file_is_known_without_reading_it(store: ResumeStore, folder: Path, video: Path) -> None:
    assert store.fingerprint(video) is None
    store.remember(video, Stamp.of(video), "1")
    assert store.fingerprint(video) == "1"
    view = StoreView(folder, IDENTITY, tables_exist=False)
    assert view.fingerprint(video) == "1"


@pytest.mark.parametrize("change", ["content", "touch", "replace", "gone"])
def test_a_changed_file_is_not_known(store: ResumeStore, video: Path, change: str) -> None:
    store.remember(video, Stamp.of(video), "1")
    if change == "content":
        video.write_bytes(b"longer video")
        os.utime(video, (LONG_AGO, LONG_AGO))
    elif change == "touch":
        os.utime(video, (LONG_AGO + 1, LONG_AGO + 1))
    elif change == "replace":  # another file with the same size and modification time
        video.unlink()
        video.write_bytes(b"VIDEO")
        os.utime(video, (LONG_AGO, LONG_AGO))
    else:
        video.unlink()
    assert store.fingerprint(video) is None


def test_a_file_that_changed_just_now_is_read_again(store: ResumeStore, video: Path) -> None:
    now = time.time()
    os.utime(video, (now, now))
    store.remember(video, Stamp.of(video), "1")
    assert store.fingerprint(video) is None  # its next change may get the same time stamp


def test_a_torn_index_loses_one_line_at_most(folder: Path, video: Path, tmp_path: Path) -> None:
    second = tmp_path / "b\udcff.mp4"  # a name that is not valid UTF-8
    second.write_bytes(b"video 2")
    os.utime(second, (LONG_AGO, LONG_AGO))
    with ResumeStore(folder, IDENTITY, tables_exist=False) as store:
        store.remember(video, Stamp.of(video), "1")
    index = folder / "index.jsonl"
    index.write_text(index.read_text() + index.read_text()[:40])
    with ResumeStore(folder, IDENTITY, tables_exist=False) as store:
        store.remember(second, Stamp.of(second), "2")
    with ResumeStore(folder, IDENTITY, tables_exist=False) as store:
        assert (store.fingerprint(video), store.fingerprint(second)) == ("1", "2")


def test_the_index_does_not_grow_without_limit(folder: Path, video: Path) -> None:
    with ResumeStore(folder, IDENTITY, tables_exist=False) as store:
        for number in range(300):
            os.utime(video, (LONG_AGO + number, LONG_AGO + number))
            store.remember(video, Stamp.of(video), str(number))
    assert len((folder / "index.jsonl").read_text().split()) < 50
    with ResumeStore(folder, IDENTITY, tables_exist=False) as store:
        assert store.fingerprint(video) == "299"


def test_other_settings_are_refused_by_name(folder: Path) -> None:
    with ResumeStore(folder, IDENTITY, tables_exist=False) as store:
        finish(store, "1")
    with pytest.raises(UsageError, match=r"scan\.fps 5\.0 → 10\.0.*`overwrite`"):
        ResumeStore(folder, OTHER, tables_exist=True)
    with pytest.raises(UsageError, match=r"scan\.fps"):
        StoreView(folder, OTHER, tables_exist=True)
    assert read_identity(folder) == IDENTITY


def test_an_integer_and_an_equal_float_are_the_same_setting() -> None:
    assert settings_key({"scan": {"fps": 2}}) == settings_key({"scan": {"fps": 2.0}})
    assert settings_key({"scan": {"fps": 2}}) != settings_key({"scan": {"fps": 2.5}})


def test_overwriting_recomputes_everything_and_then_drops_the_old_parts(folder: Path) -> None:
    with ResumeStore(folder, IDENTITY, tables_exist=False) as store:
        finish(store, "1")
        store.add_failure("2", Failure("UnreadableVideo", "no video"))
    assert not StoreView(folder, IDENTITY, tables_exist=True, overwrite=True).done("1")
    with ResumeStore(folder, OTHER, tables_exist=True, overwrite=True) as store:
        assert not store.done("1")
        finish(store, "1")
        assert store.done("1")
        assert len(list(folder.glob("parts-*"))) == 2
        store.drop_others()
    assert [path.name for path in folder.glob("parts-*")] == [f"parts-{settings_key(OTHER)}"]
    with ResumeStore(folder, OTHER, tables_exist=True, overwrite=True) as store:
        assert not store.done("1")
        assert store.failure("2") is None


def test_a_run_that_stored_nothing_does_not_affect_the_next(folder: Path) -> None:
    with ResumeStore(folder, IDENTITY, tables_exist=False):
        pass
    StoreView(folder, OTHER, tables_exist=False)
    with ResumeStore(folder, OTHER, tables_exist=False) as store:
        store.add_failure("1", Failure("UnreadableVideo", "no video"))
    with pytest.raises(UsageError, match=r"scan\.fps"):
        ResumeStore(folder, IDENTITY, tables_exist=False)


def test_overwriting_that_stored_nothing_leaves_the_output_to_its_settings(folder: Path) -> None:
    with ResumeStore(folder, IDENTITY, tables_exist=False) as store:
        finish(store, "1")
    with ResumeStore(folder, OTHER, tables_exist=True, overwrite=True):
        pass
    with pytest.raises(UsageError, match=r"scan\.fps"):
        ResumeStore(folder, OTHER, tables_exist=True)
    with ResumeStore(folder, IDENTITY, tables_exist=True) as store:
        assert store.done("1")


def test_a_failed_overwriting_does_not_claim_tables_of_unknown_origin(folder: Path) -> None:
    with ResumeStore(folder, IDENTITY, tables_exist=True, overwrite=True):
        pass
    with pytest.raises(UsageError, match="`overwrite`"):
        ResumeStore(folder, IDENTITY, tables_exist=True)


def test_an_output_of_unknown_origin_is_not_replaced_by_default(folder: Path) -> None:
    with pytest.raises(UsageError, match="`overwrite`"):
        ResumeStore(folder, IDENTITY, tables_exist=True)
    with ResumeStore(folder, IDENTITY, tables_exist=True, overwrite=True):
        pass


def test_unfinished_files_of_a_killed_run_are_removed(folder: Path) -> None:
    with ResumeStore(folder, IDENTITY, tables_exist=False) as store:
        (store.scratch / "0.crops").write_bytes(b"half")
        assert list(store.scratch.iterdir())
        leftover = store.scratch
    assert not leftover.exists()
    leftover.mkdir(parents=True)
    (leftover / "1.crops").write_bytes(b"of a killed run")
    with ResumeStore(folder, IDENTITY, tables_exist=False) as store:
        assert not list(store.scratch.iterdir())
        assert not leftover.exists()


def test_a_second_run_is_refused_at_once(store: ResumeStore, folder: Path) -> None:
    with pytest.raises(OutputLocked, match="another run"):
        ResumeStore(folder, IDENTITY, tables_exist=False)
    with ResumeStore(folder.with_name(".other.parquet.fervid"), IDENTITY, tables_exist=False):
        pass  # the lock is for one output only


def test_the_lock_is_released_when_its_process_is_killed(folder: Path) -> None:
    script = (
        "import sys, time; from pathlib import Path; from fervid.batch.store import ResumeStore\n"
        f"store = ResumeStore(Path(sys.argv[1]), {json.dumps(IDENTITY)}, False)\n"
        "print('held', flush=True); time.sleep(600)"
    )
    holder = subprocess.Popen([sys.executable, "-c", script, str(folder)], stdout=subprocess.PIPE)
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"held\n"
    with pytest.raises(OutputLocked):
        ResumeStore(folder, IDENTITY, tables_exist=False)
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    holder.stdout.close()
    with ResumeStore(folder, IDENTITY, tables_exist=False):
        pass


def test_a_folder_that_cannot_be_written_is_an_output_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError):
        ResumeStore(tmp_path / "file" / ".r.fervid", IDENTITY, tables_exist=False)


def test_a_stored_result_takes_precedence_over_the_failure_of_a_copy(folder: Path) -> None:
    with ResumeStore(folder, IDENTITY, tables_exist=False) as store:
        store.add_failure("1", Failure("WorkerFailed", "killed"))
        finish(store, "1")
        assert store.failure("1") is None
        store.add_failure("1", Failure("WorkerFailed", "killed"))
        assert store.failure("1") is None
        assert store.done("1")


def test_tables_that_a_killed_run_was_moving_are_moved(tmp_path: Path) -> None:
    out = tmp_path / "results"
    workspace = out / ".fervid" / "scratch" / "abc"
    (workspace / "new" / "timeline" / "video_id=1").mkdir(parents=True)
    (workspace / "old").mkdir()
    (workspace / "new" / "summary").write_text("new")
    (out / "videos.csv").write_text("new already")
    with ResumeStore(out / ".fervid", IDENTITY, tables_exist=False):
        assert (out / "timeline" / "video_id=1").is_dir()
        assert (out / "summary.csv").read_text() == "new"
        assert (out / "videos.csv").read_text() == "new already"


def test_an_index_with_garbage_is_read_as_far_as_it_goes(folder: Path, video: Path) -> None:
    with ResumeStore(folder, IDENTITY, tables_exist=False) as store:
        store.remember(video, Stamp.of(video), "1")
    with (folder / "index.jsonl").open("ab") as file:
        file.write(b"\xff\xfe[]\n7\n")
    with ResumeStore(folder, IDENTITY, tables_exist=False) as store:
        assert store.fingerprint(video) == "1"


@pytest.mark.parametrize("name", ["", "scratch", "parts"])
def test_a_link_in_place_of_a_hidden_folder_is_refused(folder: Path, tmp_path: Path, name: str) -> None:
    """Someone else may have made it first, in a folder that others may write to."""
    with ResumeStore(folder, IDENTITY, tables_exist=False) as store:
        place = {"": folder, "scratch": folder / "scratch", "parts": store.parts.folder}[name]
    shutil.rmtree(place, ignore_errors=True)
    (tmp_path / "elsewhere").mkdir()
    place.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OutputError, match="it is not a folder; remove it"):
        ResumeStore(folder, IDENTITY, tables_exist=False)
    assert list((tmp_path / "elsewhere").iterdir()) == []
