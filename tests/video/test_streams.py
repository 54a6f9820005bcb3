"""Which of several video streams is read.

Members of this kind, each made as a file here:

- the default flag is on the first, on a later or on no stream; on several streams
- a cover that is marked as such: before and behind the video, as a Matroska attachment, beside sound only
- a cover that is an ordinary track (JPEG, PNG): before and behind the video, with the default flag, beside sound only
- a track of one H.264 picture beside the video
- Motion JPEG and PNG video, which must not be taken for covers: alone, with sound, beside another video
- two tracks that are both stills
- ``stream`` names a video, a still picture, sound, or nothing
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.stream import Disposition

from fervid.annotate.annotate import annotate_video
from fervid.errors import ConfigError, UnreadableVideo
from fervid.faces.thumbnail import WantedFace
from fervid.results.face_timelines import SampledSizes
from fervid.settings import OpenOptions, ScanSettings
from fervid.types import ByteArray
from fervid.video.index import read_index
from fervid.video.reader import VideoReader
from tests.support.clips import HEIGHT, WIDTH, draw_number, read_number
from tests.support.report_page import make_thumbnails

PICTURES = 30
"""Frames of a video track. Track k shows the numbers 100 k, 100 k + 1, ..."""

Track = tuple[str, int, bool]
"""Codec, number of pictures, and whether it has the default flag."""

SOUND: Track = ("sound", 0, True)
PIXELS = {"mjpeg": "yuvj420p", "png": "rgb24", "libx264": "yuv420p", "mpeg4": "yuv420p", "ffv1": "yuv420p"}


def film(path: Path, *tracks: Track, marked: Disposition | None = None) -> Path:
    """A file with these tracks; ``marked``: the disposition of tracks of one picture."""
    with av.open(str(path), "w") as container:
        streams: list[Any] = []
        for codec, count, default in tracks:
            if codec == "sound":
                stream: Any = container.add_stream("mp3", rate=44100, layout="mono")
            else:
                stream = container.add_stream(codec, rate=25)
                stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, PIXELS[codec]
            stream.disposition = Disposition.default if default else Disposition(0)
            if marked is not None and count == 1:
                stream.disposition = marked
            streams.append(stream)
        waiting = []
        for number, ((codec, count, _), stream) in enumerate(zip(tracks, streams, strict=True)):
            frames = _sound() if codec == "sound" else _pictures(100 * number, count)
            waiting += [packet for frame in [*frames, None] for packet in stream.encode(frame)]
        for packet in sorted(waiting, key=lambda packet: float((packet.dts or 0) * packet.time_base)):
            container.mux(packet)
    return path


def _pictures(first: int, count: int) -> list[Any]:
    frames = []
    for index in range(count):
        frame = av.VideoFrame.from_ndarray(draw_number(first + index), format="bgr24")
        frame.pts, frame.time_base = index, Fraction(1, 25)
        frames.append(frame)
    return frames


def _sound() -> list[Any]:
    frames = []
    for index in range(25):
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1152), np.float32), format="fltp", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = 44100, index * 1152, Fraction(1, 44100)
        frames.append(frame)
    return frames


def read(path: Path, stream: int | None = None) -> tuple[list[int], str | None]:
    """The numbers in all pictures, and what is noted about streams."""
    with VideoReader(path, fps=0, options=OpenOptions(stream=stream)) as reader:
        return [read_number(frame.image) for frame in reader.frames()], reader.stream_note


def numbers(track: int, count: int = PICTURES) -> list[int]:
    return list(range(100 * track, 100 * track + count))


def moving(codec: str = "libx264", default: bool = False) -> Track:
    return (codec, PICTURES, default)


def still(codec: str = "mjpeg", default: bool = False) -> Track:
    return (codec, 1, default)


@pytest.mark.parametrize("ending", ["mp4", "mkv", "mov"])
@pytest.mark.parametrize(("flags", "right"), [((0, 1), 1), ((1, 0), 0), ((0, 0, 1), 2), ((1, 1), 0), ((0, 1, 1), 1)])
def test_the_default_stream_is_read_and_all_are_named(
    tmp_path: Path, ending: str, flags: Sequence[int], right: int
) -> None:
    path = film(tmp_path / f"a.{ending}", *(moving(default=bool(flag)) for flag in flags))
    found, note = read(path)
    assert found == numbers(right)
    assert note is not None
    assert note.startswith(f"stream {right} (h264 64x48) of {len(flags)} video streams is analysed")
    for other in set(range(len(flags))) - {right}:
        assert f"{other} (h264 64x48)" in note


@pytest.mark.parametrize("ending", ["avi", "ts", "nut"])
def test_without_flags_the_first_is_read(tmp_path: Path, ending: str) -> None:
    found, note = read(film(tmp_path / f"a.{ending}", moving("mpeg4"), moving("mpeg4")))
    assert found == numbers(0)
    assert note is not None
    assert "of 2 video streams" in note


@pytest.mark.parametrize(
    ("ending", "cover"),
    [("mkv", "mjpeg"), ("nut", "png"), ("avi", "mjpeg"), ("avi", "png"), ("mov", "png"), ("mp4", "mjpeg")],
)
def test_a_cover_that_is_an_ordinary_track_is_passed_over(tmp_path: Path, ending: str, cover: str) -> None:
    codec = "mpeg4" if ending == "avi" else "libx264"  # whose times in AVI are another matter
    first = film(tmp_path / f"first.{ending}", still(cover, default=True), moving(codec), SOUND)
    last = film(tmp_path / f"last.{ending}", moving(codec), SOUND, still(cover, default=True))
    assert read(first) == (numbers(1), None)
    assert read(last) == (numbers(0), None)


@pytest.mark.parametrize("ending", ["mp4", "mov", "mkv"])
@pytest.mark.parametrize("mark", [Disposition.attached_pic, Disposition.attached_pic | Disposition.default])
def test_a_marked_cover_is_passed_over(tmp_path: Path, ending: str, mark: Disposition) -> None:
    first = film(tmp_path / f"first.{ending}", still(), moving(), SOUND, marked=mark)
    last = film(tmp_path / f"last.{ending}", moving(), SOUND, still(), marked=mark)
    for path in (first, last):
        found, note = read(path)
        assert len(found) == PICTURES
        assert note is None


def test_a_picture_attached_to_matroska_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("libx264", rate=25)
        stream.width, stream.height = WIDTH, HEIGHT
        container.add_attachment("cover.png", "image/png", _png(draw_number(7)))
        for frame in [*_pictures(0, PICTURES), None]:
            container.mux(stream.encode(frame))
    with av.open(str(path)) as container:
        assert len(container.streams.video) == 2
    assert read(path) == (numbers(0), None)


def _png(image: ByteArray) -> bytes:
    context: Any = av.CodecContext.create("png", "w")
    context.width, context.height, context.pix_fmt = image.shape[1], image.shape[0], "rgb24"
    context.time_base = Fraction(1, 25)
    return bytes(context.encode(av.VideoFrame.from_ndarray(image, format="bgr24").reformat(format="rgb24"))[0])


@pytest.mark.parametrize(
    ("ending", "mark"),
    [*((ending, None) for ending in ("mkv", "nut", "avi", "mov")), ("mp4", Disposition.attached_pic)],
)
def test_sound_with_a_cover_is_no_video(tmp_path: Path, ending: str, mark: Disposition | None) -> None:
    path = film(tmp_path / f"a.{ending}", SOUND, still(), marked=mark)
    with pytest.raises(UnreadableVideo, match="no video stream, only a still picture"):
        read(path)
    assert read(path, 1)[0] == numbers(1, 1)


@pytest.mark.parametrize("ending", ["mkv", "mov", "nut"])
def test_a_track_of_one_picture_is_passed_over_in_any_codec(tmp_path: Path, ending: str) -> None:
    assert read(film(tmp_path / f"a.{ending}", still("libx264", default=True), moving())) == (numbers(1), None)


@pytest.mark.parametrize(("ending", "codec"), [("mkv", "mjpeg"), ("avi", "png"), ("mov", "png"), ("mp4", "mjpeg")])
def test_a_video_in_an_image_codec_is_a_video(tmp_path: Path, ending: str, codec: str) -> None:
    assert read(film(tmp_path / f"alone.{ending}", moving(codec))) == (numbers(0), None)
    assert read(film(tmp_path / f"sound.{ending}", SOUND, moving(codec))) == (numbers(1), None)
    assert read(film(tmp_path / f"two.{ending}", moving(codec, default=True), moving("mpeg4")))[0] == numbers(0)
    assert read(film(tmp_path / f"one.{ending}", still(codec)))[0] == numbers(0, 1)


def test_of_two_stills_the_one_in_a_video_codec_is_a_video(tmp_path: Path) -> None:
    assert read(film(tmp_path / "a.mkv", still(), still("libx264"))) == (numbers(1, 1), None)


@pytest.mark.parametrize("ending", ["mp4", "mkv", "ts", "avi"])
def test_a_stream_can_be_chosen(tmp_path: Path, ending: str) -> None:
    path = film(tmp_path / f"a.{ending}", moving("mpeg4", default=True), SOUND, moving("mpeg4"))
    assert read(path, 0)[0] == numbers(0)
    found, note = read(path, 2)
    assert found == numbers(2)
    assert note is not None
    assert note.startswith("stream 2 ")
    for missing in (1, 3):
        with pytest.raises(UnreadableVideo, match=f"stream {missing} is not a video stream; video streams: 0 .*, 2 "):
            read(path, missing)
    with pytest.raises(ConfigError):
        ScanSettings(stream=-1)


def test_index_thumbnails_and_annotated_video_use_the_same_stream(tmp_path: Path) -> None:
    path = film(tmp_path / "a.mkv", moving("mjpeg", default=True), moving("mjpeg"))
    for stream, track in ((None, 0), (0, 0), (1, 1)):
        options = OpenOptions(stream=stream)
        index = read_index(path, 0.0, stream)
        assert index is not None
        assert len(index.times) == PICTURES
        target = tmp_path / f"{stream}.mp4"
        annotate_video(path, target, [], SampledSizes(np.zeros(0), np.zeros((0, 2), np.int32)), options=options)
        assert read(target)[0] == numbers(track)
        box = (0.0, 0.0, WIDTH, HEIGHT)
        made = make_thumbnails(path, [WantedFace(0, 5, 0.2, box)], options)
        assert (made == make_thumbnails(path, [WantedFace(0, 5, 0.2, box)])) == (track == 0)


def test_results_remember_how_their_videos_were_opened() -> None:
    settings = ScanSettings(stream=3, decoder="nvdec")
    assert settings.open_options == OpenOptions("nvdec", 3)
    assert OpenOptions.of({"settings": {"scan": {"stream": 3, "decoder": "nvdec"}}}) == OpenOptions(stream=3)
    assert OpenOptions.of({}) == OpenOptions()
