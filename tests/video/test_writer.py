"""Writing video: complete or absent, exact times, playable anywhere."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest

from fervid.errors import FervidError, OutputError
from fervid.runtime.opencv import cv2
from fervid.video.reader import VideoReader
from fervid.video.writer import EncoderSettings, VideoWriter
from tests.support.clips import (
    HEIGHT,
    WIDTH,
    ClipFactory,
    Tone,
    at_rate,
    draw_number,
    read_number,
    read_numbers,
    read_times,
    write_clip,
)
from tests.support.hostile_names import NAMES
from tests.support.paths import ROOT


def write_then_fail(path: Path, frames: int) -> None:
    with VideoWriter(path, WIDTH, HEIGHT) as writer:
        for number in range(frames):
            writer.write(draw_number(number), number / 25)
        raise KeyError("trouble")


def write_at(path: Path, *times: float) -> None:
    with VideoWriter(path, WIDTH, HEIGHT) as writer:
        for number, time in enumerate(times):
            writer.write(draw_number(number), time)


def test_the_file_appears_only_when_it_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    with VideoWriter(path, WIDTH, HEIGHT) as writer:
        for number, time in enumerate(at_rate(25, 60)):
            writer.write(draw_number(number), time)
            assert not path.exists()
    assert os.listdir(tmp_path) == ["clip.mp4"]
    assert read_numbers(path) == list(range(60))


@pytest.mark.parametrize("frames", [0, 30])
def test_an_exception_leaves_nothing_behind(tmp_path: Path, frames: int) -> None:
    with pytest.raises(KeyError, match="trouble"):
        write_then_fail(tmp_path / "clip.mp4", frames)
    assert os.listdir(tmp_path) == []


def test_an_exception_leaves_an_older_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    path.write_bytes(b"older")
    with pytest.raises(KeyError, match="trouble"):
        write_then_fail(path, 5)
    assert (os.listdir(tmp_path), path.read_bytes()) == (["clip.mp4"], b"older")


def test_a_newer_file_replaces_an_older_one(clip: ClipFactory) -> None:
    path = clip(at_rate(25, 5))
    clip(at_rate(25, 9))
    assert read_numbers(path) == list(range(9))


def test_a_video_without_frames_is_an_error_and_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="no frame"):
        write_at(tmp_path / "clip.mp4")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("name", ["missing/clip.mp4", "clip.unknown", "clip", "clip.webm", "file/clip.mp4"])
def test_a_path_that_cannot_be_written_is_an_output_error_and_leaves_nothing(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError) as caught:
        write_at(tmp_path / name, 0.0)
    assert isinstance(caught.value, FervidError)
    assert "\n" not in str(caught.value)
    assert name in str(caught.value)
    assert os.listdir(tmp_path) == ["file"]


FULL_DISK = """
import resource, signal, sys
import numpy as np
from fervid.errors import OutputError
from fervid.video.writer import EncoderSettings, VideoWriter
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))
noise = np.random.default_rng(0).integers(0, 256, (30, 128, 160, 3), np.uint8)
try:
    with VideoWriter(sys.argv[1], 160, 128, EncoderSettings(crf=1)) as writer:
        for number in range(300):
            writer.write(noise[number % 30], number / 25)
except OutputError as error:
    print("OutputError:", error)
"""


def test_a_full_disk_is_an_output_error_and_leaves_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-c", FULL_DISK, str(tmp_path / "clip.mp4")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.stdout.startswith("OutputError:"), done.stderr
    assert done.returncode == 0
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("later", [[0.4], [0.4, 0.8], [0.2]])
def test_a_time_that_does_not_increase_is_refused(tmp_path: Path, later: list[float]) -> None:
    with pytest.raises(ValueError, match="increase"):
        write_at(tmp_path / "clip.mp4", 0.0, 0.4, *later)
    assert os.listdir(tmp_path) == []


def test_a_frame_shorter_than_the_time_base_is_left_out(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.mp4", [0.0, 0.04, 0.040003, 0.08, 0.080001, 0.080002])
    assert read_times(path) == pytest.approx([0.0, 0.04, 0.08], abs=1e-4)
    assert read_numbers(path) == [0, 2, 5]


def test_written_times_are_read_back(clip: ClipFactory) -> None:
    times = np.cumsum(np.random.default_rng(3).uniform(0.01, 0.3, 80))
    times -= times[0]
    assert read_times(clip(times.tolist())) == pytest.approx(times, abs=1e-5)


def test_players_and_browsers_can_read_the_file(clip: ClipFactory) -> None:
    path = clip(at_rate(25, 60))
    with av.open(str(path)) as container:
        video = container.streams.video[0].codec_context
        assert (video.name, video.pix_fmt) == ("h264", "yuv420p")
    data = path.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")


@pytest.mark.parametrize(("width", "height"), [(63, 47), (64, 47), (63, 48)])
def test_odd_sides_are_padded_to_even_ones(clip: ClipFactory, width: int, height: int) -> None:
    with VideoReader(clip(at_rate(25, 10), width=width, height=height), fps=0) as reader:
        assert (reader.info.width, reader.info.height) == (64, 48)
        assert [read_number(frame.image) for frame in reader.frames()] == list(range(10))


def test_padding_moves_no_pixel(tmp_path: Path) -> None:
    stripes = np.zeros((47, 63, 3), np.uint8)
    stripes[:, ::2] = stripes[::2] = 255
    with VideoWriter(tmp_path / "clip.mp4", 63, 47, EncoderSettings(crf=0)) as writer:
        writer.write(stripes, 0.0)
    with VideoReader(tmp_path / "clip.mp4") as reader:
        image = next(reader.frames()).image[:47, :63]
    assert np.abs(image.astype(int) - stripes).max() < 20


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_a_rotation_is_stored(clip: ClipFactory, rotation: int) -> None:
    with VideoReader(clip(at_rate(25, 5), encoder=EncoderSettings(rotation=rotation)), fps=0) as reader:
        assert reader.info.rotation == rotation
        upright = [np.rot90(frame.image, rotation // 90) for frame in reader.frames()]
    assert [read_number(image) for image in upright] == list(range(5))


def test_audio_lasts_as_long_as_the_video(clip: ClipFactory) -> None:
    with av.open(str(clip(at_rate(25, 100), audio=Tone(440.0)))) as container:
        sound = np.concatenate([frame.to_ndarray()[0] for frame in container.decode(audio=0)])
    assert len(sound) / 44100 == pytest.approx(4.0, abs=0.1)
    spectrum = np.abs(np.fft.rfft(sound))
    assert np.fft.rfftfreq(len(sound), 1 / 44100)[spectrum.argmax()] == pytest.approx(440, abs=2)


@pytest.mark.parametrize("name", NAMES, ids=ascii)
@pytest.mark.parametrize("relative", [False, True], ids=["absolute", "relative"])
def test_any_name_can_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, relative: bool) -> None:
    monkeypatch.chdir(tmp_path)
    write_clip(Path(name) if relative else tmp_path / name, at_rate(25, 10))
    assert os.listdir(tmp_path) == [name]
    assert read_numbers(tmp_path / name) == list(range(10))


def durations(path: Path) -> list[float]:
    """Duration of each frame in seconds, as stored in the container, in presentation order."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        found = [(packet.pts, packet.duration) for packet in container.demux(stream) if packet.size]
        base = float(stream.time_base or 0)
    return [duration * base for _, duration in sorted((pts or 0, duration or 0) for pts, duration in found)]


def test_every_frame_lasts_until_the_next_and_the_last_as_long_as_the_one_before(clip: ClipFactory) -> None:
    times = [0.0, 0.04, 0.3, 0.35, 1.0, 1.5]
    assert durations(clip(times)) == pytest.approx([*np.diff(times), 0.5], abs=1e-4)


@pytest.mark.parametrize(("until", "last"), [(3.5, 2.0), (1.6, 0.1), (1.0, 0.5)])
def test_the_last_frame_can_be_extended(tmp_path: Path, until: float, last: float) -> None:
    with VideoWriter(tmp_path / "clip.mp4", WIDTH, HEIGHT) as writer:
        for number, time in enumerate((0.0, 1.0, 1.5)):
            writer.write(draw_number(number), time)
        writer.hold(until)
    assert durations(tmp_path / "clip.mp4")[-1] == pytest.approx(last, abs=1e-4)


def test_a_single_frame_has_a_duration(clip: ClipFactory) -> None:
    assert durations(clip([0.0])) == pytest.approx([0.04])


def test_written_planes_are_read_back_unchanged(clip: ClipFactory, tmp_path: Path) -> None:
    source, target = clip(at_rate(25, 20)), tmp_path / "again.mp4"
    with VideoReader(source) as reader, VideoWriter(target, WIDTH, HEIGHT, EncoderSettings(crf=0)) as writer:
        before = [(time, planes.copy()) for time, planes, _ in reader.planes()]
        for time, planes in before:
            writer.write_planes(planes, time)
    with VideoReader(target) as reader:
        after = [(time, planes) for time, planes, _ in reader.planes()]
    assert [time for time, _ in after] == pytest.approx([time for time, _ in before], abs=1e-5)
    for (_, one), (_, other) in zip(before, after, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
@pytest.mark.parametrize(("width", "height"), [(64, 48), (63, 47)])
def test_planes_show_the_same_as_the_image(clip: ClipFactory, rotation: int, width: int, height: int) -> None:
    path = clip(at_rate(25, 5), encoder=EncoderSettings(rotation=rotation), width=width, height=height)
    with VideoReader(path, fps=0) as reader:
        images = [frame.image for frame in reader.frames()]
    with VideoReader(path) as reader:
        planes = [canvas for _, canvas, _ in reader.planes()]
    for one, other in zip(images, planes, strict=True):
        shown = np.asarray(cv2.cvtColor(other, cv2.COLOR_YUV2BGR_I420), np.uint8)
        assert shown.shape == one.shape
        assert np.abs(shown.astype(int) - one).mean() < 6


@pytest.mark.parametrize("colour", [(1, 1, 1), (6, 6, 6), (9, 9, 16)])
def test_colour_codes_are_stored(tmp_path: Path, colour: tuple[int, int, int]) -> None:
    with VideoWriter(tmp_path / "clip.mp4", WIDTH, HEIGHT, EncoderSettings(colour=colour)) as writer:
        writer.write(draw_number(1), 0.0)
    with VideoReader(tmp_path / "clip.mp4") as reader:
        assert reader.colour == colour
