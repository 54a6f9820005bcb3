"""Atomic writing: a file is complete or absent, and nothing else is left behind."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from fervid.errors import OutputError
from fervid.files.atomic import atomic_path, temporary_files_beside, write_text_atomically


def test_the_file_appears_when_it_is_complete(tmp_path: Path) -> None:
    target = tmp_path / "table.tar.gz"
    with atomic_path(target) as partial:
        assert partial.parent == tmp_path
        assert partial.suffix == ".gz"
        partial.write_text("new")
        assert not target.exists()
    assert target.read_text() == "new"
    assert os.listdir(tmp_path) == ["table.tar.gz"]


def test_after_an_error_the_former_file_stays(tmp_path: Path) -> None:
    target = tmp_path / "table.csv"
    target.write_text("old")
    with pytest.raises(UnicodeEncodeError), atomic_path(target) as partial:
        partial.write_text("half \udcff", encoding="utf-8")
    assert target.read_text() == "old"
    assert os.listdir(tmp_path) == ["table.csv"]


def test_the_temporary_file_may_lie_in_another_folder(tmp_path: Path) -> None:
    (tmp_path / "scratch").mkdir()
    with atomic_path(tmp_path / "a.json", tmp_path / "scratch") as partial:
        assert partial.parent == tmp_path / "scratch"
        partial.write_text("{}")
    assert (tmp_path / "a.json").read_text() == "{}"
    assert os.listdir(tmp_path / "scratch") == []


def test_a_refusal_of_the_system_is_an_output_error_that_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"cannot write .*absent.a.txt"):
        write_text_atomically(tmp_path / "absent" / "a.txt", "text")
    (tmp_path / "folder").mkdir()
    with pytest.raises(OutputError, match=r"cannot write .*folder"):
        write_text_atomically(tmp_path / "folder", "text")
    assert os.listdir(tmp_path) == ["folder"]


def left_by_a_killed_process(target: Path) -> Path:
    """Let a process write to the unfinished file of ``target`` and die."""
    code = (
        "import os, pathlib, sys\n"
        "from fervid.files.atomic import atomic_path\n"
        "with atomic_path(pathlib.Path(sys.argv[1])) as partial:\n"
        "    partial.write_text('half')\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(target)], check=False)
    (left,) = target.parent.glob(f".{target.stem[:100]}.*.partial*")
    return left


def test_what_a_killed_process_left_is_removed_by_the_next(tmp_path: Path) -> None:
    target = tmp_path / f"{'ö' * 120}.html"  # a name of 245 bytes
    left = left_by_a_killed_process(target)
    (tmp_path / "sub").mkdir()
    other = left_by_a_killed_process(tmp_path / "sub" / "other.html")
    with atomic_path(target) as partial:
        assert not left.exists()
        partial.write_text("new")
    assert os.listdir(tmp_path / "sub") == [other.name]
    assert sorted(os.listdir(tmp_path)) == ["sub", target.name]


def test_the_folder_is_not_listed_for_each_of_many_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An export of n files took time proportional to n squared. What others leave meanwhile is found all the same."""
    listed: list[object] = []
    listdir = os.listdir

    def counted(folder: Path) -> list[str]:
        listed.append(folder)
        return listdir(folder)

    monkeypatch.setattr(os, "listdir", counted)
    for number in range(50):
        write_text_atomically(tmp_path / f"{number}.csv", "text")
    assert listed == [tmp_path]
    left = left_by_a_killed_process(tmp_path / "7.csv")
    write_text_atomically(tmp_path / "3.csv", "text")
    assert left.exists()
    write_text_atomically(tmp_path / "7.csv", "text")
    assert not left.exists()
    with atomic_path(tmp_path / "a.csv"):
        left = left_by_a_killed_process(tmp_path / "b.csv")
    write_text_atomically(tmp_path / "b.csv", "text")
    assert not left.exists()
    assert sorted(listdir(tmp_path)) == sorted(["a.csv", "b.csv", *(f"{number}.csv" for number in range(50))])


def test_two_processes_write_to_files_of_their_own(tmp_path: Path) -> None:
    target = tmp_path / "a.mp4"
    with atomic_path(target) as first, atomic_path(target) as second:
        assert first != second
        first.write_text("1")
        second.write_text("2")
    assert target.read_text() == "1"  # the one that ended last
    assert os.listdir(tmp_path) == ["a.mp4"]


def test_files_of_others_that_look_alike_stay(tmp_path: Path) -> None:
    names = [".a.12345678.partial.csv", ".a.1234567g.partial.mp4", ".a.b.12345678.partial.mp4", ".a.mp4"]
    for name in names:
        (tmp_path / name).touch()
    (tmp_path / "target").touch()
    (tmp_path / ".a.00000000.partial.mp4").symlink_to(tmp_path / "target")
    os.mkfifo(tmp_path / ".a.11111111.partial.mp4")
    before = sorted(os.listdir(tmp_path))
    write_text_atomically(tmp_path / "a.mp4", "text")
    assert sorted(os.listdir(tmp_path)) == sorted([*before, "a.mp4"])


def test_temporary_files_of_libraries_lie_beside_the_file_while_it_is_written(tmp_path: Path) -> None:
    """The folder that a killed process left is removed; that of a living one, and other names, stay."""
    before = tempfile.gettempdir()
    gone, others = tmp_path / ".a.00000000.partial.txt.files", [".b.00000000.partial.txt.files", ".a.x.txt.files"]
    for name in (gone.name, *others):
        (tmp_path / name / "inner").mkdir(parents=True)
    with atomic_path(tmp_path / "a.txt") as first, temporary_files_beside(first):
        assert not gone.exists()
        kept = Path(tempfile.mkdtemp())
        assert kept.parent == first.with_name(f"{first.name}.files")
        with atomic_path(tmp_path / "a.txt") as second, temporary_files_beside(second):
            assert kept.exists()
            assert Path(tempfile.mkdtemp()).parent == second.with_name(f"{second.name}.files")
        assert kept.exists()
    with (
        pytest.raises(ZeroDivisionError),
        atomic_path(tmp_path / "a.txt") as partial,
        temporary_files_beside(partial),
    ):
        raise ZeroDivisionError
    assert tempfile.gettempdir() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*others, "a.txt"])


def test_a_link_in_place_of_a_folder_of_temporary_files_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "mine" / "inner").mkdir(parents=True)
    (tmp_path / ".a.00000000.partial.txt.files").symlink_to(tmp_path / "mine")
    with atomic_path(tmp_path / "a.txt") as partial, temporary_files_beside(partial):
        pass
    assert (tmp_path / "mine" / "inner").is_dir()
