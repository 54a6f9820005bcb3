"""Every video gets a file of its own."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fervid.files.names import files_for


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["a.mp4", "sub/b.mov", "sub/a.mp4"], ["a", "sub/b", "sub/a"]),
        (["a.mp4", "a.mov", "A.mkv"], ["a.mp4", "a.mov", "A.mkv"]),
        (["../../x.mp4", "/etc/x.mp4", "x.mp4", "./x.mp4"], ["x.mp4", "etc/x", "x.mp4.2", "x.mp4.3"]),
        (["..", "/", ""], ["video", "video.2", "video.3"]),
        (["clip.mp4", "../CLIP.mp4"], ["clip.mp4", "CLIP.mp4.2"]),
        (["a.mp4", "a.mov", "a.mp4.mkv"], ["a.mp4", "a.mov", "a.mp4.mkv"]),
        (["a/../b.mp4", "b.mp4"], ["a/b", "b"]),
        (["-rf.mp4", "with space\nand line.mp4", "<b>&'\"*?.mp4"], ["-rf", "with space\nand line", "<b>&'\"*?"]),
        ([".hidden.mp4", "noending", "\u00e9\\xff.mp4"], [".hidden", "noending", "\u00e9\\xff"]),
    ],
)
def test_every_video_gets_a_file_of_its_own_inside_the_folder(names: list[str], expected: list[str]) -> None:
    paths = files_for(names, Path("out"), ".end")
    assert [path.as_posix() for path in paths.values()] == [f"out/{name}.end" for name in expected]


PARTS = st.sampled_from(["a.mp4", "A.mp4", "a.mov", "a.mp4.2", "a", "a.mp4.mkv", "..", ".", "/", "b", ""])


@given(st.lists(st.lists(PARTS, min_size=1, max_size=3).map("/".join), max_size=8, unique=True))
def test_whatever_the_names_no_two_videos_get_one_file(names: list[str]) -> None:
    paths = files_for(names, Path("out"), ".end")
    assert list(paths) == names
    assert len({str(path).casefold() for path in paths.values()}) == len(names)
    assert all(path.parts[0] == "out" and ".." not in path.parts for path in paths.values())


def test_what_another_video_is_called_changes_no_file_but_where_they_share_a_stem() -> None:
    alone = files_for(["m.mp4"], Path("out"), ".end")
    assert files_for(["b.mp4", "m.mp4", "x/m.mp4"], Path("out"), ".end")["m.mp4"] == alone["m.mp4"]
    one, other = (files_for(order, Path("out"), ".end") for order in (["m.mp4", "m.mov"], ["m.mov", "m.mp4"]))
    assert one == other


@pytest.mark.parametrize("name", ["x" * 250 + ".mp4", "\u00e9" * 125 + ".mp4", "a" * 255 + "/" + "b" * 251 + ".mp4"])
@pytest.mark.parametrize("ending", [".annotated.mp4", ".csv"])
def test_a_name_that_is_nearly_too_long_is_shortened(tmp_path: Path, name: str, ending: str) -> None:
    paths = files_for([name, name[:-5] + "z.mp4"], tmp_path, ending)
    assert len(set(paths.values())) == 2
    for path in paths.values():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.with_name(f".{path.name}.4194304.partial").touch()
        path.touch()
