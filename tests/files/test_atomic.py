"""Atomic writing: a file is complete or absent, and nothing else is left behind."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fervid.errors import OutputError
from fervid.files.atomic import atomic_path, write_text_atomically


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
