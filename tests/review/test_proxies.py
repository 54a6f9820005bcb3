"""Copies of videos that browsers cannot play: complete or absent, bounded, private, with exact times."""

from __future__ import annotations

import dataclasses
import os
import threading
from pathlib import Path

import numpy as np
import pytest

from fervid.review.proxies import Proxies, State, Wanted, cache_folder
from fervid.settings import OpenOptions
from fervid.video.playable import NotPlayable, playable_times
from fervid.video.reader import VideoReader
from tests.support.clips import HEIGHT, WIDTH, Tone, at_rate, encode, numbered, read_number, write_clip
from tests.support.processes import wait_for

COUNT = 40


def made(proxies: Proxies, wanted: Wanted) -> State:
    """The proxy, when it is made or cannot be."""
    wait_for(lambda: bool(proxies.get(wanted).path or proxies.get(wanted).error), "the proxy is not made")
    return proxies.get(wanted)


def test_every_frame_is_there_at_its_time(tmp_path: Path) -> None:
    times = [0.5 + time + (1.7 if number > 20 else 0.0) for number, time in enumerate(at_rate(30, COUNT))]
    source = write_clip(tmp_path / "clip.mkv", times, audio=Tone(440.0))
    proxies = Proxies(tmp_path / "cache")
    state = made(proxies, Wanted(source, "a" * 32, (WIDTH, HEIGHT)))
    assert state.path is not None
    with VideoReader(source, fps=0) as reader:
        expected = [frame.time for frame in reader.frames()]
    np.testing.assert_allclose(state.times, expected, atol=1e-9)
    np.testing.assert_allclose(state.media, expected, atol=1e-5)
    with VideoReader(state.path, fps=0) as reader:
        shown = [(frame.time, read_number(frame.image)) for frame in reader.frames()]
    assert [number for _, number in shown] == list(range(COUNT))
    np.testing.assert_allclose(
        [time for time, _ in shown], np.array(state.media) - state.media[0] + shown[0][0], atol=1e-4
    )
    proxies.close()


def test_a_made_copy_is_used_again_and_a_damaged_one_is_made_again(tmp_path: Path) -> None:
    source = encode(tmp_path / "clip.avi", numbered(COUNT), "mpeg4")
    wanted = Wanted(source, "a" * 32, (WIDTH, HEIGHT))
    first = made(Proxies(tmp_path / "cache"), wanted)
    assert first.path is not None
    inode = first.path.stat().st_ino
    again = Proxies(tmp_path / "cache").get(wanted)
    assert again.path == first.path
    assert (again.times, again.media) == (first.times, first.media)
    first.path.write_bytes(b"damaged")
    repaired = made(Proxies(tmp_path / "cache"), wanted)
    assert repaired.path is not None
    assert repaired.path.stat().st_ino != inode
    assert repaired.path.stat().st_size > 7


@pytest.mark.parametrize("change", [{"video_id": "b" * 32}, {"size": (128, 96)}, {"options": OpenOptions(rotate=180)}])
def test_another_content_size_or_rotation_is_another_copy(change: dict[str, object]) -> None:
    wanted = Wanted(Path("a.avi"), "a" * 32, (WIDTH, HEIGHT))
    assert dataclasses.replace(wanted, **change).key != wanted.key  # type: ignore[arg-type]


def test_the_folder_is_private_and_holds_only_what_fits(tmp_path: Path) -> None:
    sources = [encode(tmp_path / f"{number}.avi", numbered(COUNT), "mpeg4") for number in range(3)]
    wanted = [Wanted(source, f"{number}" * 32, (WIDTH, HEIGHT)) for number, source in enumerate(sources)]
    cache = tmp_path / "cache"
    first = made(Proxies(cache), wanted[0])
    assert first.path is not None
    size = first.path.stat().st_size
    assert cache.stat().st_mode & 0o077 == 0
    proxies = Proxies(cache, limit=int(2.5 * size))
    assert made(proxies, wanted[1]).path
    os.utime(first.path, (1, 1))
    os.utime(cache / f"{wanted[1].key}.mp4", (2, 2))
    assert proxies.get(wanted[0]).path  # watched again
    assert made(proxies, wanted[2]).path
    assert sorted(path.stem for path in cache.glob("*.mp4")) == sorted(one.key for one in (wanted[0], wanted[2]))
    assert sorted(path.stem for path in cache.glob("*.json")) == sorted(one.key for one in (wanted[0], wanted[2]))
    assert made(proxies, wanted[1]).path  # made again
    proxies.close()


def test_one_that_is_larger_than_the_limit_says_so(tmp_path: Path) -> None:
    proxies = Proxies(tmp_path / "cache", limit=100)
    state = made(proxies, Wanted(encode(tmp_path / "a.avi", numbered(COUNT), "mpeg4"), "a" * 32, (WIDTH, HEIGHT)))
    assert "larger than the limit" in state.error
    assert list((tmp_path / "cache").iterdir()) == []


def test_what_cannot_be_decoded_says_why_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.avi").write_bytes(b"no video")
    state = made(Proxies(tmp_path / "cache"), Wanted(tmp_path / "a.avi", "a" * 32, (WIDTH, HEIGHT)))
    assert state.error
    assert list((tmp_path / "cache").iterdir()) == []


def test_ending_stops_the_work_and_leaves_nothing(tmp_path: Path) -> None:
    source = encode(tmp_path / "a.avi", numbered(600, 640, 480), "mpeg4")
    proxies = Proxies(tmp_path / "cache")
    wanted = Wanted(source, "a" * 32, (640, 480))
    wait_for(lambda: bool(proxies.get(wanted).done), "it did not begin")
    proxies.close()
    assert proxies.get(wanted).path is None
    assert threading.active_count() < 20
    assert list((tmp_path / "cache").iterdir()) == []


def test_the_default_folder_is_that_of_the_user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "fervid" / "review"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == Path.home() / ".cache" / "fervid" / "review"


@pytest.mark.parametrize(
    ("name", "codec", "options", "reason"),
    [
        ("a.mkv", "libx264", {}, "do not play matroska"),
        ("a.avi", "mpeg4", {}, "do not play avi"),
        ("a.mp4", "mpeg4", {}, "plays mpeg4"),
        ("a.mp4", "libx265", {"x265-params": "log-level=none"}, "plays hevc"),
        ("a.mp4", "libx264", {"pixel": "yuv444p"}, "pixels of the format yuv444p"),
        ("a.mp4", "libx264", {"rotation": "90"}, "turned"),
    ],
)
def test_what_not_every_browser_plays_is_named(
    tmp_path: Path, name: str, codec: str, options: dict[str, str], reason: str
) -> None:
    options = dict(options)
    pixels, turned = options.pop("pixel", "yuv420p"), int(options.pop("rotation", "0"))
    path = encode(tmp_path / name, numbered(10), codec, pixels, options, rotation=turned)
    with pytest.raises(NotPlayable, match=reason):
        playable_times(path)


def test_what_was_opened_with_options_is_copied(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.mp4", numbered(10))
    assert len(playable_times(path)) == 10
    for options in (OpenOptions(rotate=90), OpenOptions(stream=0), OpenOptions(fps_in=5.0)):
        with pytest.raises(NotPlayable, match="of its own"):
            playable_times(path, options)
    with pytest.raises(NotPlayable, match="sequence of images"):
        playable_times(tmp_path / "frame*.png")
