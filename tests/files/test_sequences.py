"""Image sequences: which files a pattern names, their places in time, and their fingerprint."""

from __future__ import annotations

from pathlib import Path

import pytest

from fervid.batch.file_index import Stamp
from fervid.errors import UnreadableVideo
from fervid.files.fingerprint import fingerprint
from fervid.files.locate import locate
from fervid.files.sequences import exists, find_sequences, images_of, is_sequence, places_of


def make(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).write_text(name)


@pytest.mark.parametrize(
    ("pattern", "right"),
    [
        ("f_%03d.png", [99, 100, 1000]),
        ("f_%d.png", [100, 1000]),
        ("f_%02d.png", [100, 1000]),
        ("%d.png", [7]),
        ("f_%03d.jpg", []),
    ],
)
def test_the_images_of_a_pattern(tmp_path: Path, pattern: str, right: list[int]) -> None:
    make(
        tmp_path,
        "f_099.png",
        "f_100.png",
        "f_1000.png",
        "f_.png",
        "f_-01.png",
        "f_0100.png",
        "f_\u0661\u0662\u0663.png",
    )
    make(tmp_path, "7.png", "f_100.png.png", "xf_100.png")
    assert is_sequence(tmp_path / pattern)
    assert [number for number, _ in images_of(tmp_path / pattern)] == right
    assert exists(tmp_path / pattern) == bool(right)


def test_a_file_named_like_a_pattern_is_that_file(tmp_path: Path) -> None:
    make(tmp_path, "a%d.png", "a1.png", "100%.png")
    assert not is_sequence(tmp_path / "a%d.png")
    for other in ("100%.png", "a%s.png", "%d%d.png", "%", "a.mp4"):
        assert not is_sequence(tmp_path / "b" / other)


@pytest.mark.parametrize(
    ("numbers", "places"), [([1, 2, 3], [0, 1, 2]), ([10, 20, 40], [0, 1, 3]), ([5], [0]), ([0, 4, 6], [0, 2, 3])]
)
def test_places(numbers: list[int], places: list[int]) -> None:
    assert places_of(numbers) == places


def test_groups_of_numbered_images() -> None:
    names = [
        "a_09.png",
        "a_10.png",
        "a_11.png",
        "a_1.png",
        "b1_2.png",
        "b1_3.png",
        "b2_2.png",
        "c.png",
        "7.jpg",
        "8.jpg",
    ]
    names += ["7.png", "d%1.png", "d%2.png", "e1x.png", "e2x.png"]
    found = find_sequences(Path(name) for name in names)
    assert {str(pattern): [file.name for file in files] for pattern, files in found.items()} == {
        "a_%02d.png": ["a_09.png", "a_10.png", "a_11.png"],
        "b1_%d.png": ["b1_2.png", "b1_3.png"],
        "%d.jpg": ["7.jpg", "8.jpg"],
        "e%dx.png": ["e1x.png", "e2x.png"],
    }


def test_fingerprint_and_stamp_cover_every_image(tmp_path: Path) -> None:
    make(tmp_path, "f1.png", "f2.png", "f3.png")
    pattern = tmp_path / "f%d.png"
    first, stamp = fingerprint(pattern), Stamp.of(pattern)
    assert len(first) == 32
    assert fingerprint(pattern) == first
    (tmp_path / "f2.png").write_text("changed")
    second = fingerprint(pattern)
    assert second != first
    assert Stamp.of(pattern) != stamp
    (tmp_path / "f3.png").rename(tmp_path / "f4.png")
    assert fingerprint(pattern) not in (first, second)
    for name in ("f1.png", "f2.png", "f4.png"):
        (tmp_path / name).unlink()
    with pytest.raises(UnreadableVideo):
        fingerprint(pattern)
    with pytest.raises(OSError, match="f%d"):
        Stamp.of(pattern)


def test_a_sequence_is_found_again(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    make(tmp_path / "in", "f1.png", "f2.png")
    assert locate(["f%d.png", "g%d.png"], tmp_path / "in") == {"f%d.png": tmp_path / "in/f%d.png"}
