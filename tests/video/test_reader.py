"""Reading video: times, the sampling grid, and frames as shown."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from fervid.errors import UnreadableVideo
from fervid.faces.crop import FER2013_GEOMETRY
from fervid.scan.scan import scan_video
from fervid.settings import OpenOptions, ScanSettings
from fervid.types import ByteArray, PictureShape
from fervid.video.picture import PictureConverter, thumbnail
from fervid.video.reader import VideoReader
from tests.support.clips import (
    HEIGHT,
    WIDTH,
    ClipFactory,
    Tone,
    at_rate,
    draw_number,
    encode,
    numbered,
    read_number,
    read_numbers,
    read_times,
    write_clip,
)

NTSC = Fraction(30000, 1001)
IRREGULAR = np.cumsum(
    np.random.default_rng(1).choice([0.011, 0.033, 0.04, 0.07, 0.9], 90, p=[0.2, 0.3, 0.3, 0.18, 0.02])
)
RATES: dict[str, list[float]] = {
    "24": at_rate(24, 80),
    "25": at_rate(25, 80),
    "29.97": at_rate(NTSC, 100),
    "30": at_rate(30, 100),
    "irregular": [float(time - IRREGULAR[0]) for time in IRREGULAR],
}


def _has_nvidia() -> bool:
    return Path("/dev/nvidia0").exists()


# times


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
@pytest.mark.parametrize("name", RATES)
def test_times_are_the_written_ones(clip: ClipFactory, name: str, suffix: str) -> None:
    path = clip(RATES[name], f"clip{suffix}")
    precision = 6e-4 if suffix == ".mkv" else 1e-5  # Matroska rounds to milliseconds
    times = read_times(path)
    assert np.all(np.diff(times) > 0)
    assert times == pytest.approx(RATES[name], abs=precision)
    assert read_numbers(path) == list(range(len(times)))


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts", ".flv"])
def test_time_zero_is_the_start_of_the_file(clip: ClipFactory, suffix: str) -> None:
    path = clip(at_rate(25, 100, start=7.0), f"clip{suffix}")
    with VideoReader(path, fps=0) as reader:
        times = [frame.time for frame in reader.frames()]
        assert times == pytest.approx(at_rate(25, 100), abs=6e-4)
        assert reader.info.duration == pytest.approx(4.0, abs=0.1)
        assert not reader.truncated
        assert reader.repaired == 0


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_video_that_begins_after_the_audio_keeps_its_delay(clip: ClipFactory, suffix: str) -> None:
    written = at_rate(25, 60, start=0.04)
    times = read_times(clip(written, f"clip{suffix}", audio=Tone(440.0)))
    assert times[0] == pytest.approx(0.04, abs=1e-3)
    assert times == pytest.approx(written, abs=6e-4)


def test_a_long_last_frame_is_not_a_truncation(tmp_path: Path) -> None:
    path = tmp_path / "slides.mp4"
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("mjpeg", rate=25)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuvj420p"
        for index, image in enumerate(numbered(10)):
            frame = av.VideoFrame.from_ndarray(image, format="bgr24")
            frame.pts = index
            for packet in stream.encode(frame):
                packet.duration = 25 * 20 if index == 9 else 1
                container.mux(packet)
        container.mux(stream.encode(None))
    with VideoReader(path, fps=0) as reader:
        assert [frame.index for frame in reader.frames()] == list(range(10))
        assert reader.info.duration == pytest.approx(20.36, abs=0.1)
        assert not reader.truncated


@pytest.mark.parametrize(("codec", "options"), [("libx264", {"bf": "3"}), ("mpeg4", {"bf": "2"})])
def test_avi_with_b_frames_is_put_in_order(tmp_path: Path, codec: str, options: dict[str, str]) -> None:
    path = encode(tmp_path / "clip.avi", numbered(90), codec, options=options)
    with VideoReader(path, fps=0) as reader:
        frames = [(frame.index, frame.time, read_number(frame.image)) for frame in reader.frames()]
        assert reader.info.duration == pytest.approx(3.6, abs=0.05)
        assert not reader.truncated
    indexes, times, numbers = zip(*frames, strict=True)
    assert np.all(np.diff(times) > 0)
    assert numbers == indexes == tuple(range(90))
    assert times == pytest.approx(at_rate(25, 90), abs=1e-6)


def test_missing_times_are_replaced_and_counted(tmp_path: Path) -> None:
    path = encode(tmp_path / "raw.h264", numbered(50), container_format="h264")
    with VideoReader(path, fps=0) as reader:
        frames = list(reader.frames())
        assert [read_number(frame.image) for frame in frames] == list(range(50))
        assert [frame.time for frame in frames] == pytest.approx(at_rate(25, 50), abs=1e-6)
        assert reader.repaired == 50
        assert reader.info.duration is None


def test_backward_times_are_repaired(tmp_path: Path) -> None:
    once = encode(tmp_path / "once.ts", numbered(50))
    twice = tmp_path / "twice.ts"
    twice.write_bytes(once.read_bytes() * 2)
    with VideoReader(twice, fps=0) as reader:
        frames = list(reader.frames())
        assert [read_number(frame.image) for frame in frames] == [*range(50), *range(50)]
        assert np.all(np.diff([frame.time for frame in frames]) > 0)
        assert reader.repaired == 50


def test_variable_rate_clip_keeps_its_container_times(shared_media: Path) -> None:
    path = shared_media / "d9_vfr.mp4"
    with av.open(str(path)) as container:
        base = container.streams.video[0].time_base
        assert base is not None
        expected = [float(frame.pts * base) for frame in container.decode(video=0) if frame.pts is not None]
    times = read_times(path)
    assert len(times) == len(expected) == 435
    assert times == pytest.approx(expected, abs=1e-3)
    steps = np.diff(times)
    assert steps.argmax() == np.searchsorted(times, 5.95)
    assert (times[steps.argmax()], times[steps.argmax() + 1]) == pytest.approx((6.0, 6.73), abs=0.04)


def test_one_video_in_four_containers_has_the_same_times(shared_media: Path) -> None:
    names = ("d19_av1_opus.mkv", "d19_h264_longgop.mkv", "d19_hevc_aac.mp4", "d19_vp9_opus.webm")
    timelines = [read_times(shared_media / name) for name in names]
    assert len(timelines[0]) == 250
    for times in timelines[1:]:
        assert times == pytest.approx(timelines[0], abs=1e-3)


# the sampling grid


def expected_samples(times: Sequence[float], fps: float, start: float = 0.0, end: float = math.inf) -> list[int]:
    """A slow reference: at each tick the first frame at or after it, none twice."""
    taken: list[int] = []
    for tick in range(math.ceil((times[-1] - start) * fps) + 1):
        after = [index for index, time in enumerate(times) if time >= start + tick / fps - 1e-4]
        if after and after[0] not in taken and times[after[0]] <= end + 1e-4:
            taken.append(after[0])
    return taken


@pytest.mark.parametrize("fps", [5, 3, 0.7, 12.5, 60])
@pytest.mark.parametrize("name", RATES)
def test_the_grid_takes_the_first_frame_at_or_after_each_tick(clip: ClipFactory, name: str, fps: float) -> None:
    expected = expected_samples(RATES[name], fps)
    assert read_numbers(clip(RATES[name]), fps=fps) == expected
    assert len(set(expected)) == len(expected)


@pytest.mark.parametrize(("rate", "step"), [(25, 5), (30, 6)])
def test_five_a_second_of_a_round_rate_takes_every_nth_frame(clip: ClipFactory, rate: int, step: int) -> None:
    assert read_numbers(clip(at_rate(rate, 100)), fps=5) == list(range(0, 100, step))


def test_rounding_of_the_container_moves_no_sample(clip: ClipFactory) -> None:
    # frame 8 of 24 a second is at 0.3333 s, which Matroska stores as 0.333: still at the tick
    assert read_numbers(clip(at_rate(24, 60), "clip.mkv"), fps=3) == list(range(0, 60, 8))


@pytest.mark.parametrize("fps", [0, 25, 100])
def test_at_or_above_the_rate_of_the_source_every_frame_is_taken_once(clip: ClipFactory, fps: float) -> None:
    assert read_numbers(clip(at_rate(25, 60)), fps=fps) == list(range(60))


@pytest.mark.parametrize(
    ("start", "end"), [(0.0, 1.0), (1.0, None), (0.53, 1.77), (1.2, 1.2), (0.0, 100.0), (2.96, None)]
)
@pytest.mark.parametrize("fps", [5, 0])
def test_start_and_end_bound_the_grid(clip: ClipFactory, fps: float, start: float, end: float | None) -> None:
    times = at_rate(25, 75)
    last = math.inf if end is None else end
    every = [index for index, time in enumerate(times) if start - 1e-4 <= time <= last + 1e-4]
    expected = expected_samples(times, fps, start, last) if fps else every
    assert expected
    assert read_numbers(clip(times), fps=fps, start=start, end=end) == expected


def test_a_start_after_the_last_frame_takes_nothing(clip: ClipFactory) -> None:
    assert read_numbers(clip(at_rate(25, 25)), fps=5, start=9.0) == []


def test_index_counts_all_frames_not_samples(clip: ClipFactory) -> None:
    with VideoReader(clip(at_rate(25, 60)), fps=5, start=0.4) as reader:
        frames = list(reader.frames())
    assert [frame.index for frame in frames] == list(range(60))
    assert [frame.index for frame in frames if frame.sampled] == list(range(10, 60, 5))


def test_only_frames_whose_image_is_read_are_converted(clip: ClipFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    converted = 0
    convert = PictureConverter.image

    def counting(self: PictureConverter, frame: av.VideoFrame, shape: PictureShape) -> ByteArray:
        nonlocal converted
        converted += 1
        return convert(self, frame, shape)

    monkeypatch.setattr(PictureConverter, "image", counting)
    with VideoReader(clip(at_rate(25, 50)), fps=5) as reader:
        for frame in reader.frames():
            if frame.sampled:
                assert frame.image is frame.image
    assert converted == 10


# frames as shown

RED, GREEN, BLUE, WHITE = (0, 0, 255), (0, 255, 0), (255, 0, 0), (255, 255, 255)


def quarters(width: int = 96, height: int = 64) -> ByteArray:
    """Red and green above blue and white."""
    image = np.zeros((height, width, 3), np.uint8)
    image[: height // 2, : width // 2], image[: height // 2, width // 2 :] = RED, GREEN
    image[height // 2 :, : width // 2], image[height // 2 :, width // 2 :] = BLUE, WHITE
    return image


def corners(image: ByteArray) -> list[tuple[int, int, int]]:
    """The pure colours of the corners: top left, top right, bottom left, bottom right."""
    pixels = (image[4, 4], image[4, -5], image[-5, 4], image[-5, -5])
    return [tuple(255 * int(value > 127) for value in pixel) for pixel in pixels]  # type: ignore[misc]


SHOWN = {
    0: [RED, GREEN, BLUE, WHITE],
    90: [BLUE, RED, WHITE, GREEN],
    180: [WHITE, BLUE, GREEN, RED],
    270: [GREEN, WHITE, RED, BLUE],
}


@pytest.mark.parametrize("rotation", SHOWN)
def test_rotation_is_applied(tmp_path: Path, rotation: int) -> None:
    path = encode(tmp_path / "clip.mp4", [quarters()] * 3, rotation=rotation)
    size = (96, 64) if rotation in (0, 180) else (64, 96)
    with VideoReader(path) as reader:
        image = next(reader.frames()).image
        assert reader.info.rotation == rotation
        assert (reader.info.width, reader.info.height) == size
    assert image.shape == (size[1], size[0], 3)
    assert corners(image) == SHOWN[rotation]


def test_a_rotated_phone_clip_is_shown_upright(shared_media: Path) -> None:
    with VideoReader(shared_media / "d13_rot90.mov") as reader:
        assert (reader.info.rotation, reader.info.width, reader.info.height) == (90, 720, 1280)
        assert next(reader.frames()).image.shape == (1280, 720, 3)


@pytest.mark.parametrize(("aspect", "width"), [(Fraction(2, 1), 128), (Fraction(4, 3), 85), (Fraction(1, 2), 32)])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_non_square_pixels_are_stretched(tmp_path: Path, aspect: Fraction, width: int, suffix: str) -> None:
    path = encode(tmp_path / f"clip{suffix}", numbered(5), aspect=aspect)
    with VideoReader(path, fps=0) as reader:
        assert (reader.info.width, reader.info.height) == (width, HEIGHT)
        assert reader.info.sample_aspect_ratio == pytest.approx(float(aspect))
        images = [frame.image for frame in reader.frames()]
    assert {image.shape for image in images} == {(HEIGHT, width, 3)}
    assert [read_number(image) for image in images] == list(range(5))


def test_pixels_are_stretched_before_the_frame_is_rotated(tmp_path: Path) -> None:
    path = encode(tmp_path / "clip.mp4", [quarters()] * 3, aspect=Fraction(2, 1), rotation=90)
    with VideoReader(path) as reader:
        assert (reader.info.width, reader.info.height) == (64, 192)
        assert corners(next(reader.frames()).image) == SHOWN[90]


PIXELS = [
    ("libx264", "yuv444p", ".mp4"),
    ("libx264", "yuv420p10le", ".mp4"),
    ("libx264", "nv12", ".mp4"),
    ("prores_ks", "yuv422p10le", ".mov"),
    ("ffv1", "gray", ".mkv"),
    ("ffv1", "gray10le", ".mkv"),
    ("ffv1", "yuv420p16le", ".mkv"),
    ("ffv1", "bgra", ".mkv"),
    ("png", "rgba", ".mov"),
    ("png", "gray", ".mov"),
    ("qtrle", "argb", ".mov"),
    ("libvpx-vp9", "yuva420p", ".webm"),
    ("utvideo", "gbrp", ".avi"),
    ("rawvideo", "yuyv422", ".avi"),
    ("rawvideo", "bgr24", ".avi"),
    ("gif", "rgb8", ".gif"),
]


@pytest.mark.parametrize(("codec", "pixel_format", "suffix"), PIXELS)
def test_any_pixel_format_becomes_bgr_and_a_gray_thumbnail(
    tmp_path: Path, codec: str, pixel_format: str, suffix: str
) -> None:
    path = encode(tmp_path / f"clip{suffix}", numbered(12), codec, pixel_format)
    with VideoReader(path, fps=0) as reader:
        frames = list(reader.frames())
        assert reader.corrupt == 0
    assert [frame.time for frame in frames] == pytest.approx(at_rate(25, 12), abs=1e-3)
    for number, frame in enumerate(frames):
        assert frame.image.shape == (HEIGHT, WIDTH, 3)
        assert frame.image.dtype == frame.thumbnail.dtype == np.uint8
        assert frame.thumbnail.ndim == 2
        assert read_number(frame.image) == number == read_number(frame.thumbnail)


@pytest.mark.parametrize(("codec", "pixel_format"), [("mjpeg", "yuvj420p"), ("libx264", "yuv420p")])
def test_gray_levels_keep_their_value_whatever_the_range(tmp_path: Path, codec: str, pixel_format: str) -> None:
    levels = (0, 60, 128, 200, 255)
    images = [np.full((HEIGHT, WIDTH, 3), level, np.uint8) for level in levels]
    path = encode(tmp_path / "clip.mov", images, codec, pixel_format)
    with VideoReader(path, fps=0) as reader:
        seen = [float(frame.image.mean()) for frame in reader.frames()]
    assert seen == pytest.approx(levels, abs=4)


@pytest.mark.parametrize(("codec", "pixel_format"), [("ffv1", "yuv420p"), ("libx264", "yuv444p"), ("ffv1", "bgr0")])
def test_odd_dimensions(tmp_path: Path, codec: str, pixel_format: str) -> None:
    path = encode(tmp_path / "odd.mkv", numbered(6, 63, 47), codec, pixel_format)
    with VideoReader(path, fps=0) as reader:
        assert (reader.info.width, reader.info.height) == (63, 47)
        images = [frame.image for frame in reader.frames()]
    assert {image.shape for image in images} == {(47, 63, 3)}
    assert [read_number(image) for image in images] == list(range(6))


def test_the_thumbnail_of_a_large_frame_is_small_and_similar(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "large.mp4", [0.0, 0.04], 640, 360)
    with VideoReader(path, fps=0) as reader:
        thumbnail = list(reader.frames())[1].thumbnail
    assert 48 <= max(thumbnail.shape) <= 80
    shrunk = cv2.resize(draw_number(1, 640, 360)[:, :, 0], thumbnail.shape[::-1], interpolation=cv2.INTER_AREA)
    assert np.corrcoef(thumbnail.ravel(), np.asarray(shrunk, float).ravel())[0, 1] > 0.9


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".avi", ".gif"])
@pytest.mark.parametrize("fps", [0, 5])
def test_a_video_of_one_frame(tmp_path: Path, suffix: str, fps: float) -> None:
    codec, pixel_format = ("gif", "rgb8") if suffix == ".gif" else ("libx264", "yuv420p")
    path = encode(tmp_path / f"one{suffix}", [draw_number(9)], codec, pixel_format)
    with VideoReader(path, fps=fps) as reader:
        frames = [(frame.index, frame.time, frame.sampled, read_number(frame.image)) for frame in reader.frames()]
        assert not reader.truncated
    assert frames == [(0, 0.0, True, 9)]


# another decoder


@pytest.mark.skipif(_has_nvidia(), reason="a GPU is there")
def test_without_a_gpu_the_cpu_decodes_and_the_scan_says_so(clip: ClipFactory, tmp_path: Path) -> None:
    path = clip(at_rate(25, 20))
    with VideoReader(path, fps=0, options=OpenOptions(decoder="nvdec")) as reader, VideoReader(path, fps=0) as other:
        assert not reader.accelerated
        assert reader.info == other.info
        for one, two in zip(reader.frames(), other.frames(), strict=True):
            assert (one.index, one.time, one.sampled) == (two.index, two.time, two.sampled)
            assert np.array_equal(one.image, two.image)
    found = scan_video(path, "0", ScanSettings(decoder="nvdec"), FER2013_GEOMETRY, tmp_path / "0.crops")
    assert found.notes == ["no NVIDIA decoder for this video; decoded on the CPU"]
    assert scan_video(path, "0", ScanSettings(), FER2013_GEOMETRY, tmp_path / "1.crops").notes == []


def test_a_file_that_is_not_a_video_is_refused_with_nvdec_too(tmp_path: Path) -> None:
    path = tmp_path / "text.mp4"
    path.write_text("no video" * 100)
    with pytest.raises(UnreadableVideo, match="not a video"):
        VideoReader(path, options=OpenOptions(decoder="nvdec"))


def test_frames_in_the_gpu_format_give_the_same_images(clip: ClipFactory) -> None:
    """NVDEC gives NV12: the same luma plane, and both chroma planes in one."""
    converter, shape = PictureConverter(), PictureShape((320, 180), 0, 1.0)
    with av.open(str(clip(at_rate(25, 3), width=320, height=180))) as container:
        for frame in container.decode(video=0):
            other = frame.reformat(format="nv12")
            assert other.format.name == "nv12"
            assert np.array_equal(thumbnail(other), thumbnail(frame))
            assert np.array_equal(converter.planes(other, shape), converter.planes(frame, shape))
            assert np.abs(converter.image(other, shape).astype(int) - converter.image(frame, shape)).max() <= 2
