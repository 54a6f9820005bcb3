"""The endings by which folders are searched are those of files that can be opened.

Each ending has a file here in its usual container and codec, or a reason why none can be made. Members of this kind:
containers, bare streams of H.264, H.265, MPEG, Motion JPEG, AV1 and raw pictures, camera and recorder names (insv, lrv,
lrf, 360, mod, tod, trp, dvr-ms), animations, and names that FFmpeg lists for the formats that are allowed.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.format import ContainerFormat

from fervid.files.discover import IMAGE_SUFFIXES, SUFFIXES, VIDEOS, discover
from fervid.files.image_io import decode_image
from fervid.runtime.opencv import cv2
from fervid.settings import OpenOptions
from fervid.video.container import FORMATS
from fervid.video.reader import VideoReader
from tests.support.clips import draw_number, read_number

MADE_WITH = {
    ("mp4", "libx264"): "3gp2 3gpp 360 f4v insv ismv k3g lrf lrv m4v mov mp4 mp4v mqv psp qt 3g2 3gp",
    ("mov", "jpeg2000"): "mj2",
    ("matroska", "libx264"): "mk3d mkv",
    ("webm", "libvpx"): "webm",
    ("avi", "mpeg4"): "avi divx",
    ("asf", "wmv2"): "asf dvr-ms wm wmv",
    ("flv", "flv"): "flv",
    ("ogg", "libvpx"): "ogm ogv ogx",
    ("rm", "rv20"): "rm rmvb",
    ("mxf", "mpeg2video"): "mxf",
    ("nut", "mpeg4"): "nut",
    ("wtv", "mpeg2video"): "wtv",
    ("swf", "flv"): "swf",
    ("dv", "dvvideo"): "dif dv",
    ("mpeg", "mpeg2video"): "evo m2p mod mpe mpeg mpg vob vro",
    ("mpeg2video", "mpeg2video"): "m1v m2v mp2v mpv mpv2",
    ("mpegts", "libx264"): "m2t m2ts mts tod tp trp ts",
    ("h263", "h263"): "263 h263",
    ("h264", "libx264"): "264 avc h264 h26l",
    ("hevc", "libx265"): "265 h265 hevc",
    ("ivf", "libvpx"): "ivf",
    ("obu", "libsvtav1"): "obu",
    ("mjpeg", "mjpeg"): "mjpeg mjpg",
    ("yuv4mpegpipe", "rawvideo"): "y4m",
    ("apng", "apng"): "apng",
    ("gif", "gif"): "gif",
}
"""(container, codec) → the endings of such files."""

NO_ENCODER = {".266", ".h266", ".vvc", ".amv"}
"""Endings of files that no encoder here makes."""

NOT_VIDEO = {"ism", "isma", "m4a", "m4b", "mka", "mks", "ogg", "avif", "heic", "heif", "mpo"}
"""Endings that FFmpeg lists for allowed formats and that usually hold sound, subtitles, lists or still images."""

PIXELS = {"mjpeg": "yuvj420p", "apng": "rgb24", "gif": "rgb8", "jpeg2000": "rgb24"}

CASES = [(made, f".{ending}") for made, endings in MADE_WITH.items() for ending in endings.split()]


def make(path: Path, made: tuple[str, str], count: int = 10, rate: int = 25, parameters: str = "") -> Path:
    """Frames 0, 1, ... in sizes that the codec allows."""
    name, codec = made
    width, height = {"dvvideo": (720, 576), "h263": (176, 144), "rv20": (176, 144)}.get(codec, (96, 80))
    with av.open(str(path), "w", format=name) as container:
        stream: Any = container.add_stream(codec, rate=rate)
        stream.width, stream.height, stream.pix_fmt = width, height, PIXELS.get(codec, "yuv420p")
        if codec in ("libx264", "libx265"):
            stream.options = {"preset": "ultrafast", "x265-params": f"log-level=none{parameters}"}
        for number in range(count):
            image = draw_number(number, width, height)
            frame = av.VideoFrame.from_ndarray(image, format="bgr24").reformat(format=stream.pix_fmt)
            frame.pts, frame.time_base = number, Fraction(1, rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize(("made", "ending"), CASES, ids=[ending for _, ending in CASES])
def test_a_file_with_a_known_ending_is_found_and_opened(tmp_path: Path, made: tuple[str, str], ending: str) -> None:
    make(tmp_path / f"a{ending}", made)
    (source,) = discover([tmp_path])
    assert source.skip is None
    with VideoReader(source.path, fps=0) as reader:
        frames = [(read_number(frame.image), frame.time) for frame in reader.frames()]
    numbers, times = zip(*frames, strict=True)
    assert list(numbers) == list(range(10))
    # H.263 counts time in steps of 1001/30000 s
    np.testing.assert_allclose(np.diff(times), 0.04 if made[0] != "h263" else 1001 / 30000, atol=0.002)


STATED = [(*made, rate) for made in (("h264", "libx264"), ("hevc", "libx265"), ("m4v", "mpeg4")) for rate in (10, 50)]
UNSTATED = [("hevc", "libx265", ":vui-timing-info=0"), ("mjpeg", "mjpeg", ""), ("obu", "libsvtav1", "")]


@pytest.mark.parametrize(("name", "codec", "rate"), [*STATED, ("mpeg2video", "mpeg2video", 50)])
def test_a_bare_stream_has_the_rate_that_it_states(tmp_path: Path, name: str, codec: str, rate: int) -> None:
    """FFmpeg lists 25 for each of them."""
    times, note = times_of(make(tmp_path / "a.bin", (name, codec), rate=rate))
    np.testing.assert_allclose(np.diff(times), 1 / rate, atol=1e-3)
    assert note is None
    assert times_of(tmp_path / "a.bin", 5)[0] == times


@pytest.mark.parametrize(("name", "codec", "parameters"), UNSTATED)
def test_a_bare_stream_that_states_no_rate_says_so(tmp_path: Path, name: str, codec: str, parameters: str) -> None:
    path = make(tmp_path / "a.bin", (name, codec), rate=10, parameters=parameters)
    times, note = times_of(path)
    np.testing.assert_allclose(np.diff(times), 0.04, atol=1e-3)
    assert note == "the file states no frame rate; 25 frames a second are assumed; `fps_in` sets another"
    np.testing.assert_allclose(np.diff(times_of(path, 10)[0]), 0.1, atol=1e-3)


def times_of(path: Path, fps: float | None = None) -> tuple[list[float], str | None]:
    """The times of all frames, and the note on the stream."""
    with VideoReader(path, fps=0, options=OpenOptions(fps_in=fps)) as reader:
        return [frame.time for frame in reader.frames()], reader.stream_note


def test_every_ending_has_a_file_here() -> None:
    assert {ending for _, ending in CASES} | NO_ENCODER == SUFFIXES


def test_the_endings_that_ffmpeg_lists_are_known() -> None:
    listed = {ending for name in FORMATS.split(",") for ending in ContainerFormat(name, "r").extensions}
    assert {f".{ending}" for ending in listed - NOT_VIDEO} <= SUFFIXES
    for ending in NOT_VIDEO - {"isma", "mks", "mpo"}:
        suffix = f".{ending}"
        assert suffix in {*VIDEOS.refused, *VIDEOS.refused_together}, ending


@pytest.mark.parametrize("ending", sorted(IMAGE_SUFFIXES - {".apng"}))
def test_opencv_reads_the_endings_of_still_images(ending: str) -> None:
    image = draw_number(5, 64, 48)
    if ending == ".pbm":
        image = np.where(image > 128, 255, 0).astype(np.uint8)
    gray = ending in (".pbm", ".pgm")
    written = {".jfif": ".jpg", ".j2k": ".jp2"}.get(ending, ending)
    done, data = cv2.imencode(written, image[:, :, 0] if gray else image)
    assert done
    read = decode_image(data.tobytes(), cv2.IMREAD_COLOR)
    assert read is not None
    assert read_number(read) == 5
