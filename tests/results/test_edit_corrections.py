"""Changing corrections files: what is in them stays, versions, undo and redo, and many writers."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from fervid.errors import BadCorrections
from fervid.results.corrections import Correction, read_corrections
from fervid.results.edit_corrections import CorrectionsConflict, CorrectionsFile
from tests.support.corrected import HEADER


def accept(_: Sequence[Correction]) -> None:
    """Every correction fits."""


def add(file: CorrectionsFile, video: str = "a.mp4", **cells: str) -> None:
    named = {"face_id": "0", "action": "name", "value": "Ann"} | cells
    file.add(video, named, file.read().version(video), accept)


def test_lines_are_added_and_read_back_whatever_they_say(tmp_path: Path) -> None:
    file = CorrectionsFile(tmp_path / "c.csv")
    videos = ("a.mp4", "=1+1.mp4", "'q.mp4", "a,b;c\t.mp4", 'say "x".mp4', " spaced .mp4", "two\nlines.mp4", "ä日.mp4")
    values = ("Ann", "=cmd()", "'=x", "'", "-1", 'a "b", c;d')
    for video in videos:
        for value in values:
            add(file, video, value=value)
    read = read_corrections(tmp_path / "c.csv")
    assert [(one.video, one.value) for one in read] == [(video, value) for video in videos for value in values]
    assert file.path.read_text(encoding="utf-8").startswith(HEADER + "\n")


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_what_is_in_the_file_stays_as_it_is_written(tmp_path: Path, separator: str, mark: str, end: str) -> None:
    path = tmp_path / "c.csv"
    lines = ["value,similarity,video,face_id,action,start,end", '"An ""A""",0.713,a.mp4,0,name,,', "Ben,,b.mp4,1,name"]
    text = mark + end.join(line.replace(",", separator) for line in lines)
    path.write_bytes(text.encode())
    file = CorrectionsFile(path)
    add(file, face_id="3", action="split", start="2.5", value="")
    assert path.read_bytes().decode().startswith(text + "\n")
    assert [(one.face_id, one.action, one.start) for one in read_corrections(path)][-1] == (3, "split", 2.5)
    file.undo("a.mp4", file.read().version("a.mp4"))
    assert path.read_bytes().decode() == text + "\n"


def test_undo_takes_the_last_line_of_the_video_and_redo_puts_it_back(tmp_path: Path) -> None:
    file = CorrectionsFile(tmp_path / "c.csv")
    for value in ("one", "two", "three"):
        add(file, value=value)
        add(file, "b.mp4", value=value)
    before = file.read()
    for _ in range(3):
        file.undo("a.mp4", file.read().version("a.mp4"))
    with pytest.raises(CorrectionsConflict, match="nothing to undo"):
        file.undo("a.mp4", file.read().version("a.mp4"))
    assert file.read().of("a.mp4") == []
    assert [one.value for one in file.read().of("b.mp4")] == ["one", "two", "three"]
    for _ in range(3):
        file.redo("a.mp4", file.read().version("a.mp4"), accept)
    assert file.read().version("a.mp4") == before.version("a.mp4")
    with pytest.raises(CorrectionsConflict, match="nothing to redo"):
        file.redo("a.mp4", file.read().version("a.mp4"), accept)


def test_a_new_line_ends_redo(tmp_path: Path) -> None:
    file = CorrectionsFile(tmp_path / "c.csv")
    add(file)
    file.undo("a.mp4", file.read().version("a.mp4"))
    assert file.can_redo("a.mp4", file.read())
    add(file, value="Ben")
    assert not file.can_redo("a.mp4", file.read())


def test_redo_is_there_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "c.csv"
    for value in ("one", "two"):
        add(CorrectionsFile(path), value=value)
    for _ in range(2):
        CorrectionsFile(path).undo("a.mp4", CorrectionsFile(path).read().version("a.mp4"))
    for value in ("one", "two"):
        file = CorrectionsFile(path)
        file.redo("a.mp4", file.read().version("a.mp4"), accept)
        assert read_corrections(path)[-1].value == value
    assert [one.name for one in tmp_path.iterdir() if one.name.endswith(".redo")] == []


@pytest.mark.parametrize("text", ["", "{", "[]", '{"a.mp4": 3}', '{"a.mp4": [[1]]}', '{"a.mp4": [["x", 4]]}', "\0\xff"])
def test_a_damaged_file_of_undone_lines_holds_none(tmp_path: Path, text: str) -> None:
    file = CorrectionsFile(tmp_path / "c.csv")
    add(file)
    (tmp_path / ".c.csv.redo").write_bytes(text.encode("latin-1"))
    assert not file.can_redo("a.mp4", file.read())
    file.undo("a.mp4", file.read().version("a.mp4"))
    assert file.can_redo("a.mp4", file.read())


def test_an_edit_from_outside_ends_redo(tmp_path: Path) -> None:
    file = CorrectionsFile(tmp_path / "c.csv")
    add(file)
    file.undo("a.mp4", file.read().version("a.mp4"))
    file.path.write_text(f"{HEADER}\na.mp4,0,name,,,Eve\n")
    assert not file.can_redo("a.mp4", file.read())


def test_a_line_for_another_version_is_refused_and_the_other_line_stays(tmp_path: Path) -> None:
    first, second = CorrectionsFile(tmp_path / "c.csv"), CorrectionsFile(tmp_path / "c.csv")
    version = second.read().version("a.mp4")
    add(first)
    add(first, "b.mp4")
    for change in (second.undo, lambda video, version: second.add(video, {}, version, accept)):
        with pytest.raises(CorrectionsConflict, match="changed elsewhere"):
            change("a.mp4", version)
    assert len(read_corrections(tmp_path / "c.csv")) == 2


def test_changes_of_other_videos_are_no_conflict(tmp_path: Path) -> None:
    file = CorrectionsFile(tmp_path / "c.csv")
    version = file.read().version("a.mp4")
    add(file, "b.mp4")
    assert file.read().version("a.mp4") == version


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ({"action": "erase"}, "column action"),
        ({"face_id": "x"}, "column face_id"),
        ({"action": "split", "start": "soon", "value": ""}, "column start"),
        ({"action": "split", "value": ""}, "split. needs it"),
    ],
)
def test_a_wrong_line_changes_nothing(tmp_path: Path, cells: dict[str, str], message: str) -> None:
    file = CorrectionsFile(tmp_path / "c.csv")
    add(file)
    before = file.path.read_bytes()
    with pytest.raises(BadCorrections, match=message):
        add(file, **cells)
    assert file.path.read_bytes() == before


def test_a_line_that_does_not_fit_changes_nothing(tmp_path: Path) -> None:
    def refuse(corrections: Sequence[Correction]) -> None:
        raise corrections[-1].wrong("value", "it does not fit")

    file = CorrectionsFile(tmp_path / "c.csv")
    with pytest.raises(BadCorrections, match="line 2, column value: it does not fit"):
        file.add("a.mp4", {"face_id": "0", "action": "name", "value": "x"}, file.read().version("a.mp4"), refuse)
    assert not file.path.exists()


def test_no_line_of_many_writers_is_lost(tmp_path: Path) -> None:
    def write(writer: int) -> None:
        file = CorrectionsFile(tmp_path / "c.csv")  # as another process has it: with a lock of its own
        for number in range(6):
            while True:
                try:
                    add(file, value=f"{writer}-{number}")
                    break
                except CorrectionsConflict:
                    continue

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(4)))
    values = [one.value for one in read_corrections(tmp_path / "c.csv")]
    assert sorted(values) == sorted(f"{writer}-{number}" for writer in range(4) for number in range(6))
    assert [path.name for path in tmp_path.iterdir()] == ["c.csv"]


def test_a_pipe_is_refused_instead_of_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "c.csv")
    with pytest.raises(BadCorrections, match=r"c\.csv"):
        CorrectionsFile(tmp_path / "c.csv").read()
