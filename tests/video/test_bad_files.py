"""Damaged files, files that are not videos, playlists, and file names that a shell or FFmpeg would misread."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from fervid.errors import FervidError, UnreadableVideo
from fervid.video.reader import MAX_CORRUPT, VideoReader
from tests.support.clips import (
    HEIGHT,
    ClipFactory,
    at_rate,
    draw_number,
    encode,
    numbered,
    packets,
    read_number,
    read_numbers,
    write_sound,
)
from tests.support.hostile_names import NAMES


def invert(path: Path, ranges: list[tuple[int, int]]) -> None:
    """Flip all bits of the byte ranges (position, size)."""
    data = np.fromfile(path, np.uint8)
    for position, size in ranges:
        data[position : position + size] ^= 0xFF
    data.tofile(path)


def cut_off(path: Path, after_packets: int) -> None:
    """End the file in the middle of a packet."""
    position, size = packets(path)[after_packets]
    os.truncate(path, position + size // 2)


def unreadable(path: str | os.PathLike[str]) -> str:
    """The reason why a file cannot be read; it must be one line."""
    with pytest.raises(UnreadableVideo) as caught, VideoReader(path, fps=0) as reader:
        list(reader.frames())
    reason = str(caught.value)
    assert reason
    assert "\n" not in reason
    assert isinstance(caught.value, FervidError)
    return reason


# damage


def test_an_unknown_codec_is_reported(tmp_path: Path) -> None:
    path = encode(tmp_path / "clip.mp4", numbered(5))
    path.write_bytes(path.read_bytes().replace(b"avc1", b"zzzz"))
    assert unreadable(path) == "no decoder supports the codec"


def test_a_corrupt_packet_costs_only_its_own_frame(tmp_path: Path) -> None:
    path = encode(tmp_path / "clip.mov", numbered(50), "mjpeg", "yuvj420p")
    invert(path, packets(path)[22:24])
    with VideoReader(path, fps=0) as reader:
        frames = [(read_number(frame.image), frame.time) for frame in reader.frames()]
        assert reader.corrupt == 2
        assert not reader.truncated
    survivors = [number for number in range(50) if number not in (22, 23)]
    assert [number for number, _ in frames] == survivors
    assert [time for _, time in frames] == pytest.approx([number / 25 for number in survivors])


def test_damage_between_keyframes_ends_at_the_next_keyframe(tmp_path: Path) -> None:
    path = encode(tmp_path / "clip.mp4", numbered(60), options={"g": "10", "sc_threshold": "0"})
    invert(path, packets(path)[24:27])
    with VideoReader(path, fps=0) as reader:
        frames = [(read_number(frame.image), frame.time) for frame in reader.frames()]
        assert reader.corrupt > 0
        assert not reader.truncated
    times = [time for _, time in frames]
    assert np.all(np.diff(times) > 0)
    outside = [(number, time) for number, time in frames if time < 0.79 or time > 1.19]
    assert [number for number, _ in outside] == [*range(20), *range(30, 60)]
    assert [time for _, time in outside] == pytest.approx([number / 25 for number, _ in outside])


def test_arbitrary_damage_in_the_middle_of_the_file(clip: ClipFactory) -> None:
    path = clip(at_rate(25, 250), width=160, height=96)
    first = packets(path)[0][0]
    middle = (first + path.stat().st_size) // 2
    invert(path, [(middle, 600)])
    with VideoReader(path, fps=0) as reader:
        frames = [(read_number(frame.image), frame.time) for frame in reader.frames()]
        assert reader.corrupt > 0
    assert [number for number, _ in frames[:50]] == list(range(50))
    assert np.all(np.diff([time for _, time in frames]) > 0)


def test_too_many_undecodable_packets_in_a_row_are_an_error(tmp_path: Path) -> None:
    path = encode(tmp_path / "clip.mov", numbered(MAX_CORRUPT + 60), "mjpeg", "yuvj420p")
    invert(path, packets(path)[20 : 20 + MAX_CORRUPT])
    assert "undecodable" in unreadable(path)


def test_one_packet_less_is_not_an_error(tmp_path: Path) -> None:
    path = encode(tmp_path / "clip.mov", numbered(MAX_CORRUPT + 60), "mjpeg", "yuvj420p")
    invert(path, packets(path)[20 : 20 + MAX_CORRUPT - 1])
    assert len(read_numbers(path)) == 61


def test_scattered_damage_never_ends_the_file(tmp_path: Path) -> None:
    path = encode(tmp_path / "clip.mov", numbered(2 * MAX_CORRUPT + 20), "mjpeg", "yuvj420p")
    invert(path, packets(path)[1::2])
    assert read_numbers(path) == list(range(0, 2 * MAX_CORRUPT + 20, 2))


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".webm", ".flv", ".avi"])
def test_a_truncated_file_keeps_what_can_be_decoded_and_is_marked(tmp_path: Path, suffix: str) -> None:
    codec = "libvpx-vp9" if suffix == ".webm" else "libx264"
    options = {"bf": "0", "g": "25"} if codec == "libx264" else {"g": "25"}
    container = {"movflags": "faststart"} if suffix in (".mp4", ".mov") else {}
    path = encode(tmp_path / f"clip{suffix}", numbered(150), codec, options=options, container_options=container)
    cut_off(path, 80)
    with VideoReader(path, fps=0) as reader:
        numbers = [read_number(frame.image) for frame in reader.frames()]
        assert reader.truncated
    assert 78 <= len(numbers) <= 82
    assert numbers[:78] == list(range(78))


def test_a_short_truncated_file_is_marked_too(clip: ClipFactory) -> None:
    path = clip(at_rate(25, 50))
    cut_off(path, 35)
    with VideoReader(path, fps=0) as reader:
        count = len(list(reader.frames()))
        assert reader.truncated
    assert 30 <= count <= 36


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".avi", ".ts", ".flv"])
@pytest.mark.parametrize("seconds", [0.04, 0.4, 4.0])
def test_a_complete_file_is_not_marked_as_truncated(tmp_path: Path, suffix: str, seconds: float) -> None:
    path = encode(tmp_path / f"clip{suffix}", numbered(round(seconds * 25)))
    with VideoReader(path, fps=0) as reader:
        assert len(list(reader.frames())) == round(seconds * 25)
        assert (reader.truncated, reader.corrupt) == (False, 0)


def test_a_requested_end_is_not_a_truncation(clip: ClipFactory) -> None:
    with VideoReader(clip(at_rate(25, 250)), end=2.0) as reader:
        list(reader.frames())
        assert not reader.truncated


def test_a_file_cut_off_before_its_index_is_unreadable(tmp_path: Path) -> None:
    path = encode(tmp_path / "clip.mp4", numbered(50))
    cut_off(path, 25)
    unreadable(path)


# files that are not videos


def test_an_empty_file(tmp_path: Path) -> None:
    path = tmp_path / "empty.mp4"
    path.touch()
    assert unreadable(path) == "empty file"


@pytest.mark.parametrize("content", [b"only words\n" * 100, b"\x00" * 5000, b"GIF89a", b"\x00\x00\x00\x20ftypisom"])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".avi", ".ts"])
def test_other_content_named_as_a_video(tmp_path: Path, content: bytes, suffix: str) -> None:
    path = tmp_path / f"fake{suffix}"
    path.write_bytes(content)
    unreadable(path)


def test_audio_only(tmp_path: Path) -> None:
    assert unreadable(write_sound(tmp_path / "sound.mp4")) == "no video stream"


def test_a_video_without_frames(tmp_path: Path) -> None:
    path = encode(tmp_path / "clip.mov", numbered(3), "mjpeg", "yuvj420p")
    invert(path, packets(path))
    assert unreadable(path) == "no frame can be decoded"


def test_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    assert unreadable(tmp_path / "missing.mp4") == "No such file or directory"
    (tmp_path / "folder.mp4").mkdir()
    unreadable(tmp_path / "folder.mp4")


def test_a_named_pipe_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    unreadable(tmp_path / "pipe.mp4")


def test_broken_links(tmp_path: Path) -> None:
    (tmp_path / "dangling.mp4").symlink_to("missing.mp4")
    (tmp_path / "loop.mp4").symlink_to("loop.mp4")
    unreadable(tmp_path / "dangling.mp4")
    unreadable(tmp_path / "loop.mp4")


# playlists and addresses: never followed


@pytest.fixture
def visited() -> Iterator[socket.socket]:
    """A listening port on this machine. A test asserts that nothing has connected."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        yield server
        with pytest.raises(BlockingIOError):
            server.accept()


PLAYLISTS = {
    "m3u8": "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2.0,\n{entry}\n#EXT-X-ENDLIST\n",
    "ffconcat": "ffconcat version 1.0\nfile '{entry}'\n",
    "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video {port} RTP/AVP 96\n",
    "smooth": '<?xml version="1.0"?><MPD><Period><BaseURL>{entry}</BaseURL></Period></MPD>',
}


@pytest.mark.parametrize("kind", PLAYLISTS)
@pytest.mark.parametrize("suffix", [".mp4", ".m3u8", ".ffconcat", ".sdp", ".mpd"])
def test_a_playlist_is_never_followed(clip: ClipFactory, visited: socket.socket, kind: str, suffix: str) -> None:
    local = clip(at_rate(25, 50), "segment.ts")
    port = visited.getsockname()[1]
    for entry in (local.name, f"file:{local}", f"http://127.0.0.1:{port}/segment.ts"):
        path = local.with_name(f"list{suffix}")
        path.write_text(PLAYLISTS[kind].format(entry=entry, port=port))
        unreadable(path)


def test_a_file_name_is_never_an_address(clip: ClipFactory, visited: socket.socket) -> None:
    local = clip(at_rate(25, 10), "a.ts")
    port = visited.getsockname()[1]
    for name in (f"concat:{local}|{local}", f"http://127.0.0.1:{port}/a.mp4", f"file:{local}", f"subfile,,:{local}"):
        assert unreadable(name) == "No such file or directory"
    assert unreadable("lavfi:testsrc") == "No such file or directory"


def test_an_image_pattern_is_not_a_video(tmp_path: Path) -> None:
    for number in range(3):
        encode(tmp_path / f"frame{number}.png", [draw_number(number)], "png", "rgb24", container_format="image2")
    unreadable(tmp_path / "frame%d.png")
    unreadable(tmp_path / "frame0.png")


# names


@pytest.mark.parametrize("name", NAMES, ids=ascii)
@pytest.mark.parametrize("relative", [False, True], ids=["absolute", "relative"])
def test_any_name_can_be_read(
    clip: ClipFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, relative: bool
) -> None:
    clip(at_rate(25, 10)).rename(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    assert read_numbers(Path(name) if relative else tmp_path / name) == list(range(10))


# extreme shapes


@pytest.mark.parametrize(("width", "height"), [(6, 800), (800, 6), (1, 1), (2, 700)])
def test_extreme_frame_shapes(tmp_path: Path, width: int, height: int) -> None:
    path = encode(tmp_path / "ribbon.mkv", [np.full((height, width, 3), 200, np.uint8)] * 3, "ffv1", "yuv444p")
    with VideoReader(path, fps=0) as reader:
        frames = list(reader.frames())
        assert (reader.info.width, reader.info.height) == (width, height)
    for frame in frames:
        assert frame.image.shape == (height, width, 3)
        assert frame.thumbnail.size > 0
        assert abs(float(frame.thumbnail.mean()) - 200) < 30


def test_an_extreme_aspect_ratio_is_ignored(tmp_path: Path) -> None:
    path = encode(tmp_path / "clip.mkv", numbered(2), aspect=Fraction(1000, 1))
    with VideoReader(path) as reader:
        assert (reader.info.width, reader.info.height) == (64, HEIGHT)
        assert next(reader.frames()).image.shape == (HEIGHT, 64, 3)


def test_extreme_dimensions_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "huge.gif"
    screen = struct.pack("<HHBBB", 40000, 40000, 0x80, 0, 0) + b"\0\0\0\xff\xff\xff"
    image_data = b"\x2c" + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\x02\x02\x44\x01\x00\x3b"
    path.write_bytes(b"GIF89a" + screen + image_data)
    unreadable(path)
    small = screen.replace(struct.pack("<HH", 40000, 40000), struct.pack("<HH", 40, 40))
    path.write_bytes(b"GIF89a" + small + image_data)
    with VideoReader(path) as reader:
        assert next(reader.frames()).image.shape == (40, 40, 3)
