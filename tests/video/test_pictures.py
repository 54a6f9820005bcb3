"""Videos made of pictures: image sequences and animations.

Members of this kind: sequences of PNG, JPEG, BMP, TIFF, WebP and JPEG 2000; numbers with and without leading zeros, in
steps, with gaps; slow and broken rates; a damaged image; an image that is turned by EXIF; animated WebP, APNG (also
named png), GIF and AVIF with uneven times; WebP with partial, transparent pictures.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from fervid.annotate.annotate import annotate_video
from fervid.batch.plan import plan
from fervid.errors import ConfigError, UnreadableVideo, UsageError
from fervid.faces.thumbnail import WantedFace
from fervid.pipeline import open_video
from fervid.results.face_timelines import SampledSizes
from fervid.runtime.opencv import cv2
from fervid.settings import AnalyzeSettings, OpenOptions, ScanSettings
from fervid.video.reader import VideoReader
from tests.support.clips import draw_number, read_number, read_numbers
from tests.support.report_page import make_thumbnails

UNSAMPLED = SampledSizes(np.zeros(0), np.zeros((0, 2), np.int32))


def sequence(folder: Path, name: str, numbers: list[int]) -> Path:
    """Images that show their own numbers; the pattern of their names."""
    for number in numbers:
        cv2.imwrite(str(folder / (name % number)), draw_number(number))
    return folder / name


def read(path: Path, fps: float | None = None) -> tuple[list[tuple[int, float]], VideoReader]:
    """Number and time of all frames, and the reader."""
    with VideoReader(path, fps=0, options=OpenOptions(fps_in=fps)) as reader:
        return [(read_number(frame.image), round(frame.time, 4)) for frame in reader.frames()], reader


@pytest.mark.parametrize("ending", ["png", "jpg", "bmp", "tiff", "webp", "jp2"])
def test_a_missing_number_leaves_a_gap(tmp_path: Path, ending: str) -> None:
    found, reader = read(sequence(tmp_path, f"f_%03d.{ending}", [98, 99, 101, 102]), 25)
    assert found == [(98, 0.0), (99, 0.04), (101, 0.12), (102, 0.16)]
    assert reader.stream_note == "images missing between the first and the last: 1"
    assert (reader.corrupt, reader.repaired, reader.truncated) == (0, 0, False)
    assert reader.info.duration == pytest.approx(0.2)


@pytest.mark.parametrize("fps", [0.1, 1, 29.97, 240])
def test_numbers_in_steps_at_any_rate(tmp_path: Path, fps: float) -> None:
    found, reader = read(sequence(tmp_path, "%d.png", list(range(10, 210, 10))), fps)
    assert [number for number, _ in found] == list(range(10, 210, 10))
    np.testing.assert_allclose([time for _, time in found], np.arange(20) / fps, rtol=1e-5, atol=1e-4)
    assert reader.stream_note is None
    assert reader.repaired == 0


@pytest.mark.parametrize("fps", [0.0017, 0.0333, 0.9, 12.3456])
def test_times_stay_right_after_many_images_at_an_uneven_rate(tmp_path: Path, fps: float) -> None:
    found, _ = read(sequence(tmp_path, "%d.png", [1, 2, 1001]), fps)
    np.testing.assert_allclose([time for _, time in found], np.array([0, 1, 1000]) / fps, rtol=2e-6, atol=1e-4)


def test_a_damaged_image_costs_its_own_frame(tmp_path: Path) -> None:
    pattern = sequence(tmp_path, "f%d.png", [1, 2, 3, 4, 5])
    (tmp_path / "f3.png").write_bytes((tmp_path / "f3.png").read_bytes()[:40])
    found, reader = read(pattern, 10)
    assert found == [(1, 0.0), (2, 0.1), (4, 0.3), (5, 0.4)]
    assert reader.corrupt == 1
    (tmp_path / "f5.png").write_text("no image")
    assert read(pattern, 10)[0] == [(1, 0.0), (2, 0.1), (4, 0.3)]
    for file in tmp_path.iterdir():
        file.write_text("no image")
    with pytest.raises(UnreadableVideo):
        read(pattern, 10)


def test_an_image_turned_by_exif_stands_upright(tmp_path: Path) -> None:
    for number in (1, 2):
        picture = Image.fromarray(np.ascontiguousarray(np.rot90(draw_number(number))))
        exif = Image.Exif()
        exif[0x112] = 6  # to be turned by 90 degrees clockwise
        picture.save(tmp_path / f"{number}.jpg", exif=exif, quality=95)
    found, reader = read(tmp_path / "%d.jpg", 1)
    assert found == [(1, 0.0), (2, 1.0)]
    assert (reader.info.width, reader.info.height) == (64, 48)


def test_a_rate_is_needed(tmp_path: Path) -> None:
    pattern = sequence(tmp_path, "f%d.png", [1, 2])
    with pytest.raises(UnreadableVideo, match="fps_in"):
        read(pattern)
    with pytest.raises(UsageError, match="`fps_in` must say"):
        plan(pattern, tmp_path / "r.csv")
    (planned,) = plan(pattern, tmp_path / "r.csv", AnalyzeSettings(ScanSettings(fps_in=5))).videos
    assert planned == ("f%d.png", "analyze", "new")
    for rate in (0, -1, 1e9):
        with pytest.raises(ConfigError, match="fps_in"):
            ScanSettings(fps_in=rate)


def test_part_of_a_sequence_is_read_annotated_and_cut_out(tmp_path: Path) -> None:
    pattern = sequence(tmp_path, "f%02d.png", list(range(1, 31)))
    with open_video(pattern, fps_in=10) as video:
        assert [read_number(frame.image) for frame in video.frames(fps=5, start=1, end=2)] == [11, 13, 15, 17, 19, 21]
    options = OpenOptions(fps_in=10)
    assert annotate_video(pattern, tmp_path / "a.mp4", [], UNSAMPLED, options=options) == []
    assert read_numbers(tmp_path / "a.mp4") == list(range(1, 31))
    assert list(make_thumbnails(pattern, [WantedFace(4, 25, 2.5, (0, 0, 64, 48))], options)) == [4]


@pytest.mark.parametrize("ending", ["webp", "apng", "png", "gif", "avif"])
def test_animations_keep_their_times(tmp_path: Path, ending: str) -> None:
    made = {"webp": "libwebp_anim", "apng": "apng", "png": "apng", "gif": "gif", "avif": "libsvtav1"}
    path = tmp_path / f"a.{ending}"
    with av.open(str(path), "w", format=ending.replace("apng", "png").replace("png", "apng")) as container:
        stream: Any = container.add_stream(made[ending], rate=25)
        stream.width, stream.height = 64, 48
        stream.pix_fmt = {"apng": "rgb24", "png": "rgb24", "gif": "rgb8"}.get(ending, "yuv420p")
        for number in range(12):
            frame = av.VideoFrame.from_ndarray(draw_number(number), format="bgr24")
            frame.pts, frame.time_base = number + 5 * (number > 4), Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    found, reader = read(path)
    assert found == [(number, round((number + 5 * (number > 4)) / 25, 4)) for number in range(12)]
    assert (reader.corrupt, reader.repaired, reader.truncated) == (0, 0, False)
    assert annotate_video(path, tmp_path / "a.mp4", [], UNSAMPLED) == []
    assert read_numbers(tmp_path / "a.mp4") == list(range(12))
    data = path.read_bytes()
    (tmp_path / f"cut.{ending}").write_bytes(data[: len(data) * 2 // 3])
    try:
        kept, reader = read(tmp_path / f"cut.{ending}")
    except UnreadableVideo:
        return
    assert kept == found[: len(kept)]


def test_partial_pictures_of_webp_are_completed(tmp_path: Path) -> None:
    """Pillow stores only the part that changes."""
    base = draw_number(0, 96, 80)
    pictures = []
    for number in range(6):
        image = base.copy()
        image[20:30, 10 * number : 10 * number + 8] = (40 * number, 255, 30)
        pictures.append(image)
    first, *rest = (Image.fromarray(image[:, :, ::-1]) for image in pictures)
    first.save(tmp_path / "a.webp", save_all=True, append_images=rest, duration=100, lossless=True)
    with VideoReader(tmp_path / "a.webp", fps=0) as reader:
        found = [(frame.time, frame.image) for frame in reader.frames()]
    assert [round(time, 3) for time, _ in found] == [0.0, 0.1, 0.2, 0.3, 0.4, 0.5]
    for image, (_, shown) in zip(pictures, found, strict=True):
        np.testing.assert_array_equal(image, shown)
