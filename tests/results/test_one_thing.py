"""A result is one thing: readers see the old result, the new one or a refusal, never a mixture.

Members: a small table that was edited, exchanged for that of another run, or deleted; rows, faces, frames and
partitions that are missing; a run that is killed at any of its renames, for each form of results, with and without
earlier results; a reader beside a run that replaces the tables.
"""

from __future__ import annotations

import os
import shutil
import threading
from pathlib import Path

import filelock
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fervid.annotate.annotate import annotate
from fervid.errors import BadResults, InputNotFound, OutputError, OutputLocked, UsageError
from fervid.files import locks
from fervid.files.locks import locked
from fervid.results import reader
from fervid.results.merge import merge
from fervid.results.reader import read_results
from fervid.results.schema import SMALL, small_path
from fervid.results.workspace import workspace
from tests.support.comparison import assert_identical
from tests.support.synthetic_results import MadeFace, MadeVideo, leading_emotions, write_results

FORMS = ("r.parquet", "r.csv", "r")


def videos(*names: str) -> list[MadeVideo]:
    faces = [MadeFace(range(50), leading_emotions(("happy", 50))), MadeFace(range(40), leading_emotions(("sad", 40)))]
    return [MadeVideo(name, faces[: number + 1]) for number, name in enumerate(names)]


@pytest.fixture(params=FORMS)
def made(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return write_results(tmp_path / request.param, videos("a.mp4", "b.mp4"))


@pytest.fixture
def parquet(tmp_path: Path) -> Path:
    return write_results(tmp_path / "r.parquet", videos("a.mp4", "b.mp4"))


def test_what_was_written_is_intact(made: Path) -> None:
    found = read_results(made)
    if made.suffix == ".csv":  # its record is in the store of analyze, which made results lack
        assert "does not say which tables belong to it" in found.notes[0]
    else:
        assert (found.is_intact, found.notes) == (True, ())


@pytest.mark.parametrize("name", SMALL)
def test_an_edited_small_table_is_readable_but_not_for_blur(parquet: Path, name: str) -> None:
    path = small_path(parquet, name)
    table = pd.read_csv(path, dtype=str)
    table["comment"] = "seen"
    table.to_csv(path, index=False)
    found = read_results(parquet)
    assert found.notes == (f"{path} was changed after fervid wrote it",)
    assert not found.is_intact
    with pytest.raises(UsageError, match=r"`blur` needs results as fervid wrote them: .* was changed"):
        annotate(parquet, None, parquet.parent / "out", blur=True)
    merged = parquet.parent / "m.parquet"
    assert merge([parquet], merged).notes == found.notes
    assert (read_results(merged).notes, read_results(merged).is_intact) == (found.notes, False)
    with pytest.raises(UsageError, match="`blur` needs results as fervid wrote them"):
        annotate(merged, None, parquet.parent / "out", blur=True)


def without_rows(path: Path, keep: pd.Series) -> None:
    """Remove rows from a Parquet timeline; the record of the small tables stays."""
    table, footer = pq.read_table(path), pq.read_metadata(path).metadata
    with pq.ParquetWriter(path, table.schema) as writer:
        writer.write_table(table.filter(pa.array(keep)))
        writer.add_key_value_metadata(
            {key.decode(): value.decode() for key, value in footer.items() if b"tables" in key}
        )


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ("video != 'b.mp4'", "rows of b.mp4 are missing"),
        ("frame != 20", "rows of a.mp4 are missing"),
        ("not (video == 'b.mp4' and face_id == 1)", "rows of b.mp4 are missing"),
        ("not (video == 'b.mp4' and face_id == 1 and frame == 5)", "rows of face 1 of b.mp4 are missing"),
    ],
)
def test_missing_rows_are_refused(parquet: Path, rows: str, reason: str) -> None:
    without_rows(parquet, pd.read_parquet(parquet).eval(rows))
    with pytest.raises(BadResults, match=f"is incomplete: {reason}; analyse again"):
        read_results(parquet)


def test_a_missing_partition_is_refused(tmp_path: Path) -> None:
    out = write_results(tmp_path / "r", videos("a.mp4", "b.mp4"))
    shutil.rmtree(sorted((out / "timeline").glob("video_id=*"))[1])
    with pytest.raises(BadResults, match=r"rows of b\.mp4 are missing"):
        read_results(out)


def test_the_small_tables_of_another_run_are_refused(parquet: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = write_results(tmp_path / "other" / "r.parquet", videos("a.mp4", "b.mp4", "c.mp4"))
    for name in SMALL:
        shutil.copy(small_path(other, name), small_path(parquet, name))
    with pytest.raises(BadResults, match=r"rows of c\.mp4 are missing"):
        read_results(parquet)
    same = write_results(tmp_path / "other" / "s.parquet", videos("a.mp4", "x.mp4"))
    shutil.copy(small_path(same, "summary"), small_path(parquet, "summary"))
    shutil.copy(small_path(same, "videos"), small_path(parquet, "videos"))
    with pytest.raises(BadResults, match="its tables do not belong together"):
        read_results(parquet)


def test_a_video_that_was_deleted_from_the_manifest_is_left_out_and_noted(parquet: Path) -> None:
    path = small_path(parquet, "videos")
    table = pd.read_csv(path, dtype=str)
    table[table["video"] == "a.mp4"].to_csv(path, index=False)
    found = read_results(parquet)
    assert not found.is_intact
    assert f"{parquet} has rows of 1 video that the videos table does not list; they are left out" in found.notes
    for name in ("timeline", "episodes", "summary", "videos"):
        assert set(getattr(found, name)["video"]) == {"a.mp4"}
    table[:0].to_csv(path, index=False)
    with pytest.raises(BadResults, match="belong to another run"):
        read_results(parquet)


def test_without_the_timeline_it_is_refused(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "PAUSE", 0.001)
    target = made / "timeline" if made.is_dir() else made
    shutil.rmtree(target) if target.is_dir() else target.unlink()
    with pytest.raises(BadResults, match=r"is incomplete|not results that fervid wrote"):
        read_results(made)
    for name in SMALL:
        small_path(made, name).unlink()
    with pytest.raises((InputNotFound, BadResults)):
        read_results(made)


def killed_merge(source: Path, out: Path, at: int) -> bool:
    """Merge in a process that dies at its rename number ``at``. Returns whether it died."""
    child = os.fork()
    if child == 0:
        calls = iter(range(1000))
        rename = Path.rename

        def dying(self: Path, target: Path) -> Path:
            if next(calls) == at:
                os._exit(9)
            return rename(self, target)

        Path.rename = dying  # type: ignore[assignment, method-assign]
        try:
            merge([source], out)
            os._exit(0)
        except BaseException:
            os._exit(1)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in (0, 9)
    return status == 9


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("exists", [True, False])
def test_a_kill_at_any_rename_leaves_no_mixture(
    tmp_path: Path, form: str, exists: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "PAUSE", 0.001)
    old = write_results(tmp_path / "old.parquet", videos("a.mp4"))
    new = write_results(tmp_path / "new.parquet", videos("a.mp4", "b.mp4"))
    out, number = tmp_path / "o" / form, 0
    while True:
        shutil.rmtree(out.parent, ignore_errors=True)
        if exists:
            merge([old], out)
        if not killed_merge(new, out, number):
            break
        try:
            found = len(read_results(out).videos)
        except (BadResults, InputNotFound):
            found = 0
        assert found in ((0, 1) if exists else (0,))
        merge([new], out)  # the same command goes on
        assert_identical(read_results(out), read_results(new))
        left = {path.name for path in [*out.parent.iterdir(), *(out.iterdir() if out.is_dir() else ())]}
        expected = {out.name, *(small_path(out, name).name for name in SMALL), *({"timeline"} if out.is_dir() else ())}
        assert left == expected
        number += 1
    assert number >= (2 * len(SMALL) + 2 if exists else len(SMALL) + 1)


def test_an_error_puts_everything_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = write_results(tmp_path / "old.parquet", videos("a.mp4"))
    new = write_results(tmp_path / "new.parquet", videos("a.mp4", "b.mp4"))
    out, rename = tmp_path / "o" / "r.parquet", Path.rename
    merge([old], out)
    before = read_results(out)

    def failing(self: Path, target: Path) -> Path:
        if self.parent.name == "new" and self.name == "timeline":
            raise OSError(28, "No space left on device")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(OSError, match="No space left"):
        merge([new], out)
    assert_identical(read_results(out), before)
    assert sorted(path.name for path in out.parent.iterdir()) == sorted(
        [out.name, *(small_path(out, name).name for name in SMALL)]
    )


def test_a_reader_beside_a_run_sees_the_old_or_the_new_result(tmp_path: Path) -> None:
    one = write_results(tmp_path / "one.parquet", videos("a.mp4"))
    two = write_results(tmp_path / "two.parquet", videos("a.mp4", "b.mp4"))
    out, done = tmp_path / "o" / "r", threading.Event()
    merge([one], out)

    def replace() -> None:
        for _ in range(6):
            merge([two], out)
            merge([one], out)
        done.set()

    expected = {1: read_results(one), 2: read_results(two)}
    writer = threading.Thread(target=replace)
    writer.start()
    seen = set()
    while not done.is_set():
        found = read_results(out)
        assert_identical(found, expected[len(found.videos)])
        seen.add(len(found.videos))
    writer.join()
    assert seen <= {1, 2}


def test_two_merges_into_one_output(parquet: Path, tmp_path: Path) -> None:
    out = tmp_path / "o" / "m.parquet"
    with workspace(out), pytest.raises(OutputLocked):
        merge([parquet], out)
    assert list(out.parent.iterdir()) == []
    with locked(tmp_path / "lock"):
        merge([parquet], out)


def test_a_merge_of_results_that_are_replaced_meanwhile_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its manifest would be that of one run, its timeline that of another."""
    one = write_results(tmp_path / "one.parquet", videos("a.mp4"))
    two = write_results(tmp_path / "two.parquet", videos("a.mp4", "b.mp4"))
    source, read = tmp_path / "o" / "r.parquet", reader.read_tables
    merge([one], source)

    def replacing(path: Path) -> dict[str, pa.Table]:
        monkeypatch.setattr("fervid.results.merge.read_tables", read)
        merge([two], source)
        return read(path)

    monkeypatch.setattr("fervid.results.merge.read_tables", replacing)
    with pytest.raises(BadResults, match="was replaced by another run meanwhile; merge again"):
        merge([source], tmp_path / "m.parquet")
    assert not (tmp_path / "m.parquet").exists()


def test_a_missing_csv_beside_a_parquet_file_is_simply_not_there(parquet: Path) -> None:
    with pytest.raises(InputNotFound, match="no such results"):
        read_results(parquet.with_suffix(".csv"))


def test_a_folder_that_its_last_user_removes_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process opens the lock; its holder removes the folder and ends. Before, that was an output error."""
    folder, lock_descriptor = tmp_path / ".r.parquet.merging", filelock.lock_descriptor

    def late(handle: int, blocking: bool) -> bool:
        monkeypatch.undo()
        shutil.rmtree(folder)
        return lock_descriptor(handle, blocking=blocking)

    monkeypatch.setattr(locks, "lock_descriptor", late)
    with workspace(tmp_path / "r.parquet") as scratch:
        assert scratch.is_dir()
        with pytest.raises(OutputLocked), workspace(tmp_path / "r.parquet"):
            pass
    assert not folder.exists()


def test_a_folder_that_cannot_be_locked_is_an_output_error(tmp_path: Path) -> None:
    (tmp_path / ".r.parquet.merging" / "lock").mkdir(parents=True)
    with pytest.raises(OutputError, match="cannot lock"), workspace(tmp_path / "r.parquet"):
        pass


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("m.csv", b"my,notes\n1,2\n"),
        ("m.csv", b""),
        ("m.csv", b"\xff\xfe\x00"),
        ("m.parquet", b"no Parquet file"),
        ("m.summary.csv", b"my,notes\n"),
        ("m.videos.csv", b"\0" * 99),
    ],
)
def test_a_file_that_fervid_did_not_write_is_not_replaced(
    parquet: Path, tmp_path: Path, name: str, content: bytes
) -> None:
    foreign = tmp_path / "o" / name
    foreign.parent.mkdir()
    foreign.write_bytes(content)
    out = foreign.parent / ("m.csv" if name.endswith(".csv") else "m.parquet")
    with pytest.raises(OutputError, match=f"cannot write {foreign}: fervid did not write what is there"):
        merge([parquet], out)
    assert foreign.read_bytes() == content
    assert list(foreign.parent.iterdir()) == [foreign]
