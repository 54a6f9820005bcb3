"""Paths, globs and folders as an ordered list of videos."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from fervid.errors import InputNotFound
from fervid.files.discover import IMAGES, MADE_HERE, OUTSIDE, SUFFIXES, VIDEOS, discover, select
from fervid.settings import InputSettings

ODD = ["with space.mp4", "quote'\".mp4", "new\nline.mp4", "-dash.mp4", "ünïcödé.mp4", os.fsdecode(b"\xfc\xff.mp4")]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of its own, which is the working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def make(*names: str) -> None:
    for name in names:
        path = Path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def names(paths: Iterable[str | os.PathLike[str]]) -> list[str]:
    return [source.name for source in discover(paths)]


def test_a_folder_is_searched_at_any_depth(here: Path) -> None:
    make("in/b.mp4", "in/a.mkv", "in/deep/er/c.webm", "in/deep/d.avi")
    sources = discover([here / "in"])
    assert [source.name for source in sources] == ["a.mkv", "b.mp4", "deep/d.avi", "deep/er/c.webm"]
    assert [source.path for source in sources] == [here / "in" / source.name for source in sources]


def test_the_order_is_that_of_the_names_whatever_the_disk_says(here: Path) -> None:
    made = [f"in/{folder}/{name}.mp4" for folder in "cab" for name in ("10", "z", "2", "B", "a")]
    make(*made)
    expected = [f"{folder}/{name}.mp4" for folder in "abc" for name in ("10", "2", "B", "a", "z")]
    assert names(["in"]) == expected


def test_inputs_keep_the_order_in_which_they_were_given(here: Path) -> None:
    make("z.mp4", "in/b.mp4", "in/a.mp4", "k.mp4")
    assert names(["z.mp4", "in", "k.mp4"]) == ["z.mp4", "a.mp4", "b.mp4", "k.mp4"]


def test_only_videos_of_a_folder_count_but_any_file_named_by_itself(here: Path) -> None:
    make("in/a.mp4", "in/b.MOV", "in/notes.txt", "in/results.parquet", "in/noending", "in/c.mp4.part")
    assert names(["in"]) == ["a.mp4", "b.MOV"]
    assert names(["in/notes.txt", "in/noending"]) == ["notes.txt", "noending"]


@pytest.mark.parametrize("suffix", sorted(SUFFIXES))
def test_every_known_ending_counts_in_small_and_capital_letters(here: Path, suffix: str) -> None:
    make(f"in/a{suffix}", f"in/b{suffix.upper()}")
    assert names(["in"]) == [f"a{suffix}", f"b{suffix.upper()}"]


def test_other_endings_on_demand(here: Path) -> None:
    make("in/a.mp4", "in/b.png", "in/c.JPG")
    assert [source.name for source in discover(["in"], IMAGES)] == ["b.png", "c.JPG"]


def test_what_looks_like_media_and_is_not_taken_is_named(here: Path) -> None:
    make("in/a.mp4", "in/b.BRAW", "in/c.m3u8", "in/deep/1.jpg", "in/deep/2.JPG", "in/deep/3.heic", "in/deep/4.wav")
    found = {source.name: source.skip for source in discover(["in"])}
    assert list(found) == ["a.mp4", "b.BRAW", "c.m3u8", "deep/*.heic", "deep/*.jpg", "deep/*.wav"]
    assert found["a.mp4"] is None
    assert "convert it" in (found["b.BRAW"] or "")
    assert "list of other files" in (found["c.m3u8"] or "")
    assert found["deep/*.jpg"] == "2 files: still images, not videos; with `fps_in`, numbered ones are a video"
    assert found["deep/*.heic"] == "still images, not videos"
    assert (found["deep/*.wav"] or "").startswith("sound")
    chosen = select(discover(["in"]), InputSettings(exclude=("deep/*",)))
    assert [source.name for source in chosen] == ["a.mp4", "b.BRAW", "c.m3u8"]
    photos = {source.name: source.skip for source in discover(["in"], IMAGES)}
    assert list(photos) == ["deep/1.jpg", "deep/2.JPG", "deep/3.heic"]
    assert "convert it" in (photos["deep/3.heic"] or "")


@pytest.mark.parametrize("folder", ["$RECYCLE.BIN", "@eaDir", "lost+found", ".Trash-1000", "System Volume Information"])
def test_folders_of_the_system_are_passed_over_unless_named(here: Path, folder: str) -> None:
    make("in/a.mp4", f"in/{folder}/deleted.mp4", f"in/deep/{folder}/b.mp4")
    assert names(["in"]) == ["a.mp4"]
    assert names([f"in/{folder}"]) == ["deleted.mp4"]


def test_animated_images_count_as_videos(here: Path) -> None:
    make("in/a.gif")
    pictures = [Image.new("RGB", (16, 16), color) for color in ("red", "blue")]
    for ending in ("webp", "png", "apng"):
        pictures[0].save(here / f"in/moving.{ending}", save_all=True, append_images=pictures[1:])
    for ending in ("webp", "png"):
        pictures[0].save(here / f"in/still.{ending}")
    taken = [source.name for source in discover(["in"]) if not source.skip]
    assert taken == ["a.gif", "moving.apng", "moving.png", "moving.webp"]
    assert [source.name for source in discover(["in"]) if source.skip] == ["*.png", "*.webp"]


def test_numbered_images_are_a_sequence_on_demand(here: Path) -> None:
    make("in/a.mp4", "in/x/f_099.png", "in/x/f_100.png", "in/x/g7.jpg", "in/x/g10.jpg", "in/x/alone1.png", "in/x/b.png")
    assert names(["in"]) == ["a.mp4", "x/*.jpg", "x/*.png"]
    found = discover(["in"], replace(VIDEOS, sequences=True))
    assert [source.name for source in found if not source.skip] == ["a.mp4", "x/f_%03d.png", "x/g%d.jpg"]
    assert {source.name: source.skip for source in found if source.skip} == {
        "x/*.png": "2 files: still images, not videos; with `fps_in`, numbered ones are a video"
    }
    assert names(["in/x/f_%03d.png"]) == ["f_%03d.png"]
    with pytest.raises(InputNotFound):
        discover(["in/x/f_%04d.png"])


def test_a_sequence_with_a_link_that_leads_out_is_skipped(here: Path) -> None:
    make("in/f_1.png", "elsewhere/x.png")
    (here / "in/f_2.png").symlink_to("../elsewhere/x.png")
    wanted = replace(VIDEOS, sequences=True)
    assert [source.skip for source in discover(["in"], wanted)] == [OUTSIDE]
    assert [source.skip for source in discover(["in"], wanted, follow_links=True)] == [None]


def test_hidden_entries_are_left_out_unless_named(here: Path) -> None:
    make("in/a.mp4", "in/.b.mp4", "in/.hidden/c.mp4", "in/.clip.partial.mp4")
    assert names(["in"]) == ["a.mp4"]
    assert names(["in/*"]) == ["a.mp4"]
    assert names(["in/.b.mp4", "in/.hidden"]) == [".b.mp4", "c.mp4"]


def test_patterns(here: Path) -> None:
    make("in/a1.mp4", "in/a2.mp4", "in/b1.mp4", "in/deep/a3.mp4")
    assert names(["in/a*.mp4"]) == ["a1.mp4", "a2.mp4"]
    assert names(["in/?1.mp4"]) == ["a1.mp4", "b1.mp4"]
    assert names(["in/[b]*"]) == ["b1.mp4"]
    assert names(["in/**/a*.mp4"]) == ["a1.mp4", "a2.mp4", "a3.mp4"]
    assert names(["i*"]) == ["a1.mp4", "a2.mp4", "b1.mp4", "deep/a3.mp4"]


def test_a_file_named_like_a_pattern_is_that_file(here: Path) -> None:
    make("a[1].mp4", "a1.mp4", "x*.mp4", "xy.mp4")
    assert names(["a[1].mp4"]) == ["a[1].mp4"]
    assert names(["x*.mp4"]) == ["x*.mp4"]


def test_a_file_is_listed_once_however_often_it_is_reached(here: Path) -> None:
    make("in/a.mp4", "in/deep/b.mp4")
    (here / "link").symlink_to("in")
    again: list[str | Path] = ["in/deep/b.mp4", "in", here / "in", "in/../in", "link", "in/*.mp4", Path("in/a.mp4")]
    assert names(again) == ["b.mp4", "a.mp4"]


def test_two_files_of_one_name_are_two(here: Path) -> None:
    make("a/x.mp4", "b/x.mp4")
    assert [source.path for source in discover(["a/x.mp4", "b/x.mp4"])] == [Path("a/x.mp4"), Path("b/x.mp4")]


def test_links(here: Path) -> None:
    make("in/a.mp4", "elsewhere/b.mp4")
    (here / "in/dangling.mp4").symlink_to("missing.mp4")
    (here / "in/self.mp4").symlink_to("self.mp4")
    (here / "in/loop").symlink_to("..")
    (here / "in/away").symlink_to("../elsewhere")
    # links that lead nowhere, or out of the folder, are listed: the manifest has to name them
    assert names(["in"]) == ["away", "loop", "a.mp4", "dangling.mp4", "self.mp4"]
    assert [source.name for source in discover(["in"]) if source.skip] == ["away", "loop"]
    assert names(["in/dangling.mp4", "in/self.mp4"]) == ["dangling.mp4", "self.mp4"]
    assert names(["in/away"]) == ["b.mp4"]


def test_links_are_followed_on_demand_and_a_loop_of_them_ends(here: Path) -> None:
    make("in/a.mp4", "in/deep/b.mp4", "elsewhere/c.mp4", "elsewhere/deep/d.mp4")
    (here / "in/away").symlink_to("../elsewhere")
    (here / "elsewhere/back").symlink_to("../in")
    (here / "elsewhere/again").symlink_to("deep")
    (here / "in/within").symlink_to("deep")
    sources = discover(["in"], follow_links=True)
    assert [source.name for source in sources] == ["a.mp4", "away/c.mp4", "away/deep/d.mp4", "deep/b.mp4"]
    assert not any(source.skip for source in sources)
    for source in sources:
        assert source.path.is_file()


def test_names_that_are_paths_of_others_are_told_apart(here: Path) -> None:
    make("r1/x.mp4", "r2/x.mp4", "r2/r1/x.mp4")
    sources = discover(["r1", "r2"])
    assert [source.name for source in sources] == ["r1/x.mp4", "r2/x.mp4", "r2/r1/x.mp4"]
    assert [source.place for source in sources] == ["x.mp4", "x.mp4", "r1/x.mp4"]


def test_what_is_excluded_is_so_in_every_folder(here: Path) -> None:
    make("a/trash/x.mp4", "a/y.mp4", "b/trash/x.mp4")
    for roots in (["a"], ["a", "b"]):
        chosen = select(discover(roots), InputSettings(exclude=("trash/*",)))
        assert [source.name for source in chosen] == ["y.mp4"]


def test_annotated_videos_are_taken_where_they_are_named(here: Path) -> None:
    make("in/a.mp4", "in/out/a.annotated.mp4")
    assert [(source.name, source.skip) for source in discover(["in"])] == [
        ("a.mp4", None),
        ("out/a.annotated.mp4", MADE_HERE),
    ]
    (source,) = discover(["in/out/a.annotated.mp4"])
    assert source.skip is None
    assert [source.skip for source in discover(["in/**/*.mp4"])] == [None, MADE_HERE]


def test_a_link_to_a_hidden_folder_beside_it_is_followed(here: Path) -> None:
    """As some systems swap versions of a folder."""
    make("in/.v2/a.mp4", "in/deep/b.mp4")
    (here / "in/current").symlink_to(".v2")
    assert names(["in"]) == ["current/a.mp4", "deep/b.mp4"]


def test_a_link_that_is_passed_over_can_be_excluded(here: Path) -> None:
    make("in/a.mp4", "elsewhere/b.mp4")
    (here / "in/away").symlink_to("../elsewhere")
    for pattern in ("away", "away/*"):
        chosen = select(discover(["in"]), InputSettings(exclude=(pattern,)))
        assert [source.name for source in chosen] == ["a.mp4"]


@pytest.mark.parametrize("name", ODD, ids=ascii)
def test_odd_names(here: Path, name: str) -> None:
    make(f"in/{name}")
    for given in (name, "in"):
        os.chdir(here / "in" if given == name else here)
        (source,) = discover([given])
        assert source.name == name
        assert source.path.exists()


@pytest.mark.parametrize("given", ["missing.mp4", "missing/*.mp4", "in/**/*.mkv", "in/a.mp4/b.mp4", ""])
def test_what_matches_nothing_is_an_error_that_names_it(here: Path, given: str) -> None:
    make("in/a.mp4", "b.mp4")
    with pytest.raises(InputNotFound) as caught:
        discover(["in", given])
    assert isinstance(caught.value, FileNotFoundError)
    assert given in str(caught.value)


def test_an_empty_folder_is_an_empty_list(here: Path) -> None:
    (here / "in").mkdir()
    assert discover(["in"]) == []
    assert discover([]) == []


@pytest.mark.skipif(not hasattr(os, "seteuid") or os.geteuid() != 0, reason="only root can become somebody who may not")
def test_what_lies_in_a_folder_that_can_only_be_listed_fails_by_itself() -> None:
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        root.chmod(0o755)
        (root / "closed" / "inner").mkdir(parents=True)
        for path in ("closed/b.mp4", "a.mp4"):
            (root / path).touch()
        (root / "closed").chmod(0o444)
        os.seteuid(65534)
        try:
            found = discover([root])
        finally:
            os.seteuid(0)
        assert {"a.mp4", "closed/b.mp4"} <= {source.name for source in found}
        assert not any(source.skip for source in found)
