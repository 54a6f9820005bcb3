"""Size, pixel aspect and orientation that belong to single frames, and mirrored videos.

The members of the kind, each with a file here:

- another size or shape from some frame on: H.264 in TS, MP4, MKV, FLV, NUT, ASF and raw; H.265; VP8 and VP9 in WebM and
  IVF; MPEG-2 in PS and TS; MPEG-4 in AVI; MJPEG in AVI and MOV; PNG and ProRes in MOV; H.263 in 3GP; Sorenson in FLV.
  FFV1 cannot change. FFmpeg's MPEG-2 decoder drops the last frame before a change, here as in every FFmpeg player.
- another pixel aspect from some frame on, with reordered frames and several threads; a container that overrides the
  codec's pixel aspect;
- each of the eight display matrices in MP4, MOV, MKV and WebM, and with pixels that are not square;
- the eight EXIF orientations in MJPEG; FFmpeg also passes on the EXIF data, which PyAV cannot name;
- the display orientation in H.264, which is stated once for all frames up to the next keyframe.
"""

from __future__ import annotations

import gc
import itertools
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from fervid.types import ByteArray, Frame, PictureShape
from fervid.video.picture import fit
from fervid.video.reader import VideoReader
from fervid.video.sampling import SeekPoint
from fervid.video.shots import ShotBoundaryDetector
from tests.support.clips import Part, draw_number, encode_parts, read_number

Layout = tuple[int, int, int, bool]

SIZES = ((96, 64), (64, 96), (192, 128))
COUNTS = (12, 14, 10)


def parts(sizes: tuple[tuple[int, int], ...] = SIZES) -> list[Part]:
    """Numbered frames in three sizes."""
    first = np.cumsum([0, *COUNTS])
    return [
        Part([draw_number(int(begin) + number, *size) for number in range(count)])
        for begin, count, size in zip(first, COUNTS, sizes, strict=False)
    ]


def read(path: Path, threads: int = 0) -> list[Frame]:
    with VideoReader(path, fps=0, threads=threads) as reader:
        frames = []
        for frame in reader.frames():
            assert frame.image.shape == (frame.height, frame.width, 3)
            frames.append(frame)
    return frames


def runs(frames: list[Frame]) -> list[tuple[Layout, int]]:
    """Successive frames of one layout: the layout and their number."""
    grouped = itertools.groupby(frame.shape.layout for frame in frames)
    return [(layout, len(list(group))) for layout, group in grouped]


# size

B = {"bf": "2"}
FORMATS = [
    ("a.ts", "libx264", "yuv420p", B),
    ("a.mp4", "libx264", "yuv420p", B),
    ("a.avi", "mpeg4", "yuv420p", {}),
    ("a.mov", "mjpeg", "yuvj420p", {}),
]
FURTHER = [
    ("a.webm", "libvpx", "yuv420p", {}),
    ("a.mkv", "libx264", "yuv420p", B),
    ("a.flv", "libx264", "yuv420p", B),
    ("a.nut", "libx264", "yuv420p", B),
    ("a.asf", "libx264", "yuv420p", {"bf": "0"}),
    ("a.h264", "libx264", "yuv420p", {"bf": "0"}),
    ("a.ts", "libx265", "yuv420p", {"x265-params": "log-level=error"}),
    ("a.mp4", "libx265", "yuv420p", {"x265-params": "log-level=error"}),
    ("a.webm", "libvpx-vp9", "yuv420p", {"deadline": "realtime", "cpu-used": "8"}),
    ("a.ivf", "libvpx", "yuv420p", {}),
    ("a.avi", "mjpeg", "yuvj420p", {}),
    ("a.mov", "png", "rgb24", {}),
    ("a.mov", "prores_ks", "yuv422p10le", {}),
    ("a.flv", "flv1", "yuv420p", {}),
]


@pytest.mark.parametrize(
    ("name", "codec", "pixel_format", "options"),
    [*FORMATS, *(pytest.param(*row, marks=pytest.mark.slow) for row in FURTHER)],
)
def test_every_frame_has_its_own_size(
    tmp_path: Path, name: str, codec: str, pixel_format: str, options: dict[str, str]
) -> None:
    path = encode_parts(tmp_path / name, parts(), codec, options, pixel_format)
    frames = read(path)
    assert runs(frames) == [((*size, 0, False), count) for size, count in zip(SIZES, COUNTS, strict=True)]
    assert [read_number(frame.image) for frame in frames] == list(range(sum(COUNTS)))
    with VideoReader(path) as reader:
        assert (reader.info.width, reader.info.height) == SIZES[0]
        planes = [(canvas.shape, shape.shown) for _, canvas, shape in reader.planes()]
    assert planes == [((height * 3 // 2, width), (width, height)) for (width, height, *_), n in runs(frames)
                      for _ in range(n)]  # fmt: skip


@pytest.mark.parametrize("name", ["a.mpg", pytest.param("a.ts", marks=pytest.mark.slow)])
def test_mpeg_2_has_every_size_too(tmp_path: Path, name: str) -> None:
    frames = read(encode_parts(tmp_path / name, parts(), "mpeg2video", B))
    assert [layout[:2] for layout, _ in runs(frames)] == list(SIZES)
    numbers = [read_number(frame.image) for frame in frames]
    assert set(range(sum(COUNTS))) - set(numbers) <= {COUNTS[0] - 1, COUNTS[0] + COUNTS[1] - 1}


def test_h263_has_every_size_too(tmp_path: Path) -> None:
    frames = read(encode_parts(tmp_path / "a.3gp", parts(((128, 96), (176, 144), (128, 96))), "h263"))
    assert runs(frames) == [((140, 96, 0, False), 12), ((192, 144, 0, False), 14), ((140, 96, 0, False), 10)]
    assert [read_number(frame.image) for frame in frames] == list(range(36))


# pixel aspect


@pytest.mark.parametrize("threads", [1, 4])
@pytest.mark.parametrize("name", ["a.ts", "a.mkv", "a.mp4"])
def test_the_pixel_aspect_belongs_to_the_frame(tmp_path: Path, name: str, threads: int) -> None:
    images = [[draw_number(first + number) for number in range(9)] for first in (0, 9, 18)]
    aspects = (Fraction(1), Fraction(2), Fraction(1))
    made = [Part(images, aspect) for images, aspect in zip(images, aspects, strict=True)]
    frames = read(encode_parts(tmp_path / name, made, "libx264", {"bf": "3"}), threads)
    assert runs(frames) == [((64, 48, 0, False), 9), ((128, 48, 0, False), 9), ((64, 48, 0, False), 9)]
    assert [frame.shape.aspect for frame in frames] == [1.0] * 9 + [2.0] * 9 + [1.0] * 9
    assert [read_number(frame.image) for frame in frames] == list(range(27))


def test_the_pixel_aspect_of_mpeg_2_belongs_to_the_frame(tmp_path: Path) -> None:
    square = Part([draw_number(1, 96, 64)] * 9, Fraction(1))
    narrow = Part([draw_number(2, 96, 64)] * 9, Fraction(8, 9))
    frames = read(encode_parts(tmp_path / "a.mpg", [square, narrow], "mpeg2video", B))
    widths = {(read_number(frame.image), frame.width) for frame in frames}
    assert widths == {(1, 96), (2, 85)}


@pytest.mark.parametrize("name", ["a.mp4", "a.asf", "a.mov"])
def test_a_pixel_aspect_of_the_container_overrides_that_of_the_codec(tmp_path: Path, name: str) -> None:
    made = [Part([draw_number(number)] * 5, aspect) for number, aspect in ((1, Fraction(1)), (2, Fraction(2)))]
    frames = read(encode_parts(tmp_path / name, made, "libx264", {"bf": "0"}, aspect=Fraction(3, 2)))
    assert {frame.shape.shown for frame in frames} == {(96, 48)}
    assert [read_number(frame.image) for frame in frames] == [1] * 5 + [2] * 5


# orientation

RED, GREEN, BLUE, WHITE = (0, 0, 255), (0, 255, 0), (255, 0, 0), (255, 255, 255)

MATRICES = {
    (1, 0, 0, 1): (0, False, [RED, GREEN, BLUE, WHITE]),
    (0, 1, -1, 0): (90, False, [BLUE, RED, WHITE, GREEN]),
    (-1, 0, 0, -1): (180, False, [WHITE, BLUE, GREEN, RED]),
    (0, -1, 1, 0): (270, False, [GREEN, WHITE, RED, BLUE]),
    (-1, 0, 0, 1): (0, True, [GREEN, RED, WHITE, BLUE]),
    (0, -1, -1, 0): (90, True, [WHITE, GREEN, BLUE, RED]),
    (1, 0, 0, -1): (180, True, [BLUE, WHITE, RED, GREEN]),
    (0, 1, 1, 0): (270, True, [RED, BLUE, GREEN, WHITE]),
}
"""The display matrices (a, b, c, d), and what FFmpeg's autorotate makes of them: rotation, mirroring, and the corners
top left, top right, bottom left, bottom right."""


def quarters(width: int = 96, height: int = 64) -> ByteArray:
    """Red and green above blue and white."""
    image = np.zeros((height, width, 3), np.uint8)
    image[: height // 2, : width // 2], image[: height // 2, width // 2 :] = RED, GREEN
    image[height // 2 :, : width // 2], image[height // 2 :, width // 2 :] = BLUE, WHITE
    return image


def corners(image: ByteArray) -> list[tuple[int, ...]]:
    pixels = (image[4, 4], image[4, -5], image[-5, 4], image[-5, -5])
    return [tuple(255 * int(value > 127) for value in pixel) for pixel in pixels]


def with_matrix(path: Path, matrix: tuple[int, ...], codec: str, aspect: Fraction | None = None) -> Path:
    a, b, c, d = (value * 65536 for value in matrix)
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        if aspect:
            stream.codec_context.sample_aspect_ratio = aspect
        stream.set_display_matrix((a, b, 0, c, d, 0, 0, 0, 1 << 30))
        for index in range(3):
            frame = av.VideoFrame.from_ndarray(quarters(), format="bgr24")
            frame.pts, frame.time_base = index, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("matrix", MATRICES)
@pytest.mark.parametrize(
    ("suffix", "codec"), [(".mp4", "libx264"), (".mov", "mpeg4"), (".mkv", "libx264"), (".webm", "libvpx")]
)
def test_a_display_matrix_is_applied_as_ffmpeg_does(
    tmp_path: Path, suffix: str, codec: str, matrix: tuple[int, int, int, int]
) -> None:
    rotation, mirrored, shown = MATRICES[matrix]
    path = with_matrix(tmp_path / f"clip{suffix}", matrix, codec)
    size = (96, 64) if rotation in (0, 180) else (64, 96)
    with VideoReader(path) as reader:
        info = reader.info
        assert (info.width, info.height, info.rotation, info.mirrored) == (*size, rotation, mirrored)
        assert corners(next(reader.frames()).image) == shown
    with VideoReader(path) as reader:
        _, planes, shape = next(reader.planes())
    assert shape.layout == (*size, rotation, mirrored)
    assert planes.shape == (size[1] * 3 // 2, size[0])
    luma = planes[: size[1]]
    bright = [luma[4, 4], luma[4, -5], luma[-5, 4], luma[-5, -5]]
    assert shown[int(np.argmax(bright))] == WHITE
    assert shown[int(np.argmin(bright))] == BLUE


def test_pixels_are_stretched_before_the_frame_is_mirrored_and_turned(tmp_path: Path) -> None:
    path = with_matrix(tmp_path / "clip.mp4", (0, 1, 1, 0), "libx264", Fraction(2))
    (frame, *_) = read(path)
    assert frame.shape.shown == (64, 192)
    assert corners(frame.image) == MATRICES[0, 1, 1, 0][2]


def exif(orientation: int) -> bytes:
    """A JPEG segment that states an orientation (Exif 2.32, 4.6.4)."""
    body = b"Exif\0\0MM\0*\0\0\0\x08\0\1\x01\x12\0\3\0\0\0\1" + bytes([0, orientation, 0, 0]) + b"\0\0\0\0"
    return b"\xff\xe1" + (len(body) + 2).to_bytes(2, "big") + body


EXIF = dict(
    zip(
        range(1, 9),
        ((1, 0, 0, 1), (-1, 0, 0, 1), (-1, 0, 0, -1), (1, 0, 0, -1), (0, 1, 1, 0), (0, 1, -1, 0), (0, -1, -1, 0),
         (0, -1, 1, 0)),
        strict=True,
    )
)  # fmt: skip


@pytest.mark.parametrize("suffix", [".avi", ".mov", ".mkv"])
def test_exif_orientation_of_jpeg_frames_is_applied(tmp_path: Path, suffix: str) -> None:
    encoder: Any = av.CodecContext.create("mjpeg", "w")
    encoder.width, encoder.height, encoder.pix_fmt, encoder.time_base = 96, 64, "yuvj420p", Fraction(1, 25)
    path = tmp_path / f"clip{suffix}"
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("mjpeg", rate=25)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuvj420p"
        for index, orientation in enumerate(EXIF):
            image = av.VideoFrame.from_ndarray(quarters(), format="bgr24")
            image.pts, image.time_base = index, Fraction(1, 25)
            (plain,) = encoder.encode(image)
            packet: Any = av.Packet(bytes(plain)[:2] + exif(orientation) + bytes(plain)[2:])
            packet.pts = packet.dts = index
            packet.time_base, packet.stream, packet.is_keyframe = Fraction(1, 25), stream, True
            container.mux(packet)
    frames = read(path)
    assert len(frames) == 8
    for frame, matrix in zip(frames, EXIF.values(), strict=True):
        rotation, mirrored, shown = MATRICES[matrix]
        assert (frame.shape.rotation, frame.shape.mirrored) == (rotation, mirrored)
        assert corners(frame.image) == shown


@pytest.mark.parametrize("name", ["a.ts", "a.mkv", "a.mp4"])
def test_an_orientation_in_the_codec_holds_until_the_next_keyframe(tmp_path: Path, name: str) -> None:
    turned = "h264_metadata=display_orientation=insert:rotate=90:flip=vertical"
    made = [Part([quarters()] * 6), Part([quarters()] * 7, None, turned), Part([quarters()] * 5)]
    path = encode_parts(tmp_path / name, made, "libx264", {"bf": "2"})
    frames = read(path)
    assert runs(frames) == [((96, 64, 0, False), 6), ((64, 96, 90, True), 7), ((96, 64, 0, False), 5)]
    assert corners(frames[8].image) == MATRICES[0, -1, -1, 0][2]
    if name != "a.ts":  # reading from the middle, after the keyframe that states it
        base = {"a.mkv": 1000, "a.mp4": 12800}[name]
        point = SeekPoint(round(frames[6].time * base), 9, frames[9].time, frames[9].time)
        with VideoReader(path, fps=0, seek_point=point) as reader:
            assert [frame.shape.layout for frame in reader.frames()] == [frame.shape.layout for frame in frames[9:]]


@pytest.mark.parametrize("name", ["a.ts", "a.mkv", "a.avi"])
def test_a_frame_is_freed_at_once(tmp_path: Path, name: str) -> None:
    """Nothing refers to itself, or Python would keep hundreds of frames, which are gigabytes at 4K."""
    codec, pixels = ("mjpeg", "yuvj420p") if name == "a.avi" else ("libx264", "yuv420p")
    path = encode_parts(tmp_path / name, parts(), codec, pixel_format=pixels)
    gc.collect()
    before = frames_in_memory()
    gc.disable()
    try:
        with VideoReader(path, fps=0, threads=1) as reader:
            count = sum(frame.image.size > 0 for frame in reader.frames())
            held = frames_in_memory() - before
    finally:
        gc.enable()
    assert count == sum(COUNTS)
    assert held <= 6


def frames_in_memory() -> int:
    """Frames that are referred to, by other tests too."""
    return sum(isinstance(thing, av.VideoFrame) for thing in gc.get_objects())


# shots and canvases


@pytest.mark.parametrize(
    "other", [PictureShape((1280, 720)), PictureShape((320, 180), 180), PictureShape((320, 180), mirrored=True)]
)
def test_a_change_of_size_or_orientation_is_a_cut_even_where_thumbnails_agree(other: PictureShape) -> None:
    detector, gray = ShotBoundaryDetector(), np.full((36, 64), 90, np.uint8)
    for index in range(20):
        detector.update(index / 25, gray, PictureShape((320, 180)) if index < 8 else other)
    assert detector.finish() == [8 / 25]


@pytest.mark.parametrize(
    ("size", "canvas", "placed"),
    [
        ((320, 180), (320, 180), (0, 0, 320, 180)),
        ((319, 179), (320, 180), (0, 0, 320, 180)),
        ((320, 180), (1280, 720), (0, 0, 1280, 720)),
        ((180, 320), (320, 320), (70, 0, 180, 320)),
        ((320, 180), (320, 320), (0, 70, 320, 180)),
        ((640, 480), (320, 180), (40, 0, 240, 180)),
        ((4000, 2), (320, 180), (0, 88, 320, 2)),
    ],
)
def test_a_frame_fits_in_the_middle_of_its_canvas(
    size: tuple[int, int], canvas: tuple[int, int], placed: tuple[int, int, int, int]
) -> None:
    assert fit(size, canvas) == placed


def test_planes_are_placed_on_the_canvas_and_the_rest_is_black(tmp_path: Path) -> None:
    path = encode_parts(tmp_path / "a.ts", [Part([quarters(96, 64)] * 4), Part([quarters(64, 96)] * 4)])
    with VideoReader(path) as reader:
        planes = [canvas for _, canvas, _ in reader.planes((96, 96))]
    for canvas, (left, top, width, height) in ((planes[1], (0, 16, 96, 64)), (planes[6], (16, 0, 64, 96))):
        assert canvas.shape == (144, 96)
        shown = canvas[:96][top : top + height, left : left + width]
        assert [shown[-5, -5] > 220, shown[4, 4] < 100, shown[4, -5] < 190] == [True] * 3
        rest = canvas[:96].copy()
        rest[top : top + height, left : left + width] = 16
        assert (rest == 16).all()
        assert canvas[96 + 1, 1] == 128
