"""Finding the videos that a table names."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fervid.errors import InputNotFound
from fervid.files.discover import discover, shown_name
from fervid.files.locate import locate


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with two folders of videos."""
    monkeypatch.chdir(tmp_path)
    for name in ("a/x.mp4", "a/deep/y.mp4", "b/x.mp4", "b/z.mp4", "w.mp4"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path


def test_without_folders_names_are_relative_to_the_working_directory(here: Path) -> None:
    assert locate(["w.mp4", "a/x.mp4", "none.mp4"]) == {"w.mp4": Path("w.mp4"), "a/x.mp4": Path("a/x.mp4")}


def test_one_folder(here: Path) -> None:
    assert locate(["deep/y.mp4", "z.mp4"], here / "a") == {"deep/y.mp4": here / "a/deep/y.mp4"}
    with pytest.raises(InputNotFound, match="no such folder"):
        locate(["x.mp4"], here / "none")


def test_several_folders_are_searched_in_order_and_absent_ones_are_skipped(here: Path) -> None:
    roots = [here / "none", here / "a", here / "b"]
    assert locate(["x.mp4", "z.mp4"], roots) == {"x.mp4": here / "a/x.mp4", "z.mp4": here / "b/z.mp4"}
    assert locate(["x.mp4"], [here / "none"]) == {}


def test_names_that_two_folders_shared_are_found_from_another_working_directory(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources = discover(["a", "b"])
    assert [source.name for source in sources] == ["a/x.mp4", "deep/y.mp4", "b/x.mp4", "z.mp4"]
    roots = [path.absolute() for path in dict.fromkeys(source.root for source in sources)]
    assert roots == [here / "a", here / "b"]
    monkeypatch.chdir("/")
    found = locate([source.name for source in sources], roots)
    assert found == {source.name: here / source.path for source in sources}


def test_names_with_bytes_that_are_not_utf_8(here: Path) -> None:
    odd = Path(os.fsdecode(os.fsencode(here / "a") + b"/latin\xfc.mp4"))
    odd.touch()
    name = shown_name(odd.name)
    assert locate([name], here / "a") == {name: odd}
    assert locate([name], [here / "b", here / "a"]) == {name: odd}


def test_names_that_no_file_can_have_are_not_found(here: Path) -> None:
    assert locate(["x" * 5000, "a\0b.mp4"], here) == {}


def test_a_name_that_fits_several_files_or_none_is_decided_by_content(here: Path) -> None:
    roots, compared = [here / "a", here / "b"], []

    def is_same(name: str, path: Path) -> bool:
        compared.append((name, path))
        return path == here / "b/x.mp4"

    assert locate(["x.mp4", "z.mp4"], roots, is_same) == {"x.mp4": here / "b/x.mp4", "z.mp4": here / "b/z.mp4"}
    assert compared == [("x.mp4", here / "a/x.mp4"), ("x.mp4", here / "b/x.mp4")]
    assert locate(["all/june/x.mp4"], roots, is_same) == {"all/june/x.mp4": here / "b/x.mp4"}
    assert locate(["june/z.mp4"], roots, is_same) == {}
    assert locate(["june/x.mp4"], here, is_same) == {}
    assert locate(["x.mp4"], roots, lambda *_: False) == {"x.mp4": here / "a/x.mp4"}


@pytest.mark.parametrize("name", ["{here}/b/x.mp4", "../b/x.mp4", "deep/../../b/x.mp4", "", "..", "x\0y"])
def test_no_name_leads_outside_the_folder(here: Path, name: str) -> None:
    """Absolute, with ``..``, empty, and not a path at all."""
    name = name.format(here=here)
    assert locate([name], here / "a") == {}
    same = locate([name], here / "a", lambda name, path: True)  # without its first folders, as after a merge
    assert all(path.resolve().is_relative_to(here / "a") for path in same.values())


def test_names_that_stay_in_the_folder_are_found(here: Path) -> None:
    """Results of several folders hold paths as they were given, so an absolute path or ``..`` may be right."""
    (here / "a/link.mp4").symlink_to(here / "b/x.mp4")  # made by whoever owns the folder
    for name in (f"{here}/a/x.mp4", "../a/x.mp4", "link.mp4"):
        assert locate([name], here / "a").keys() == {name}
