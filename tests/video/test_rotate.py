"""`rotate`: frames are turned further than the file says, and every command that opens the video turns them alike.

Members of the kind: a file without rotation; a file whose stated rotation is added to; a sum beyond 360 degrees; a
container that cannot state a rotation (AVI); pixels that are not square; reading from the middle; results as CSV.
"""

from __future__ import annotations

import base64
import re
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

import fervid
from fervid.annotate.annotate import annotate
from fervid.errors import ConfigError, UsageError
from fervid.faces.crop import FER2013_GEOMETRY
from fervid.faces.thumbnail import WantedFace
from fervid.scan.scan import scan_video
from fervid.settings import OpenOptions, ScanSettings
from fervid.types import ByteArray
from fervid.video.reader import VideoReader
from tests.support.clips import encode
from tests.support.paths import SAMPLES
from tests.support.report_page import make_thumbnails

pytestmark = pytest.mark.usefixtures("replayed_module")

FILES: dict[str, dict[str, Any]] = {
    "plain.mp4": {},
    "stated.mov": {"rotation": 90},
    "stated.mkv": {"rotation": 270, "codec": "libvpx-vp9"},
    "plain.avi": {"codec": "mpeg4"},
    "wide.mp4": {"aspect": Fraction(4, 3)},
}


def picture() -> ByteArray:
    """96x64; its upper left corner alone is bright."""
    image = np.full((64, 96, 3), 20, np.uint8)
    image[:32, :48] = 230
    return image


def frames(path: Path, rotate: int = 0, end: float | None = None) -> list[ByteArray]:
    with VideoReader(path, fps=0, end=end, options=OpenOptions(rotate=rotate)) as reader:
        return [frame.image for frame in reader.frames()]


@pytest.mark.parametrize("rotate", [90, 180, 270])
@pytest.mark.parametrize("name", FILES)
def test_frames_are_turned_beyond_what_the_file_states(name: str, rotate: int, tmp_path: Path) -> None:
    path = encode(tmp_path / name, [picture()] * 3, **FILES[name])
    stated = frames(path)
    turned = frames(path, rotate=rotate)
    assert len(turned) == 3
    for image, other in zip(stated, turned, strict=True):
        assert np.array_equal(np.rot90(image, -rotate // 90), other)
    with VideoReader(path) as reader, VideoReader(path, options=OpenOptions(rotate=rotate)) as other_reader:
        assert other_reader.info.rotation == (reader.info.rotation + rotate) % 360
        height, width = turned[0].shape[:2]
        assert (other_reader.info.width, other_reader.info.height) == (width, height)


@pytest.mark.parametrize("rotate", [45, -90, 360])
def test_other_angles_are_refused(rotate: int, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="`rotate` must be 0, 90, 180 or 270"):
        ScanSettings(rotate=rotate)
    with pytest.raises(ConfigError, match="`rotate`"):
        fervid.open_video(SAMPLES / "cut.mp4", rotate=rotate)


@pytest.fixture(scope="module")
def lying(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first second of a sample video, stored with its top to the left."""
    images = frames(SAMPLES / "cut.mp4", end=0.96)
    turned = [np.ascontiguousarray(np.rot90(image)) for image in images]
    return encode(tmp_path_factory.mktemp("lying") / "lying.mp4", turned)


@pytest.fixture(scope="module")
def results(lying: Path) -> Path:
    out = lying.with_name("results.csv")
    assert fervid.analyze([lying], out, rotate=90).exit_code == 0
    return out


def test_a_turned_recording_gives_what_the_upright_one_gives(results: Path) -> None:
    upright = fervid.analyze_video(SAMPLES / "cut.mp4", end=0.9).timeline
    turned = fervid.read_results(results)
    assert OpenOptions.of(turned.metadata).rotate == 90
    assert turned.videos[["width", "height", "rotation"]].values.tolist() == [[480, 360, 90]]
    np.testing.assert_allclose(turned.timeline["face_x"], upright["face_x"], atol=3)
    np.testing.assert_allclose(turned.timeline["happy"], upright["happy"], atol=0.05)


def test_another_angle_makes_a_new_analysis(results: Path, lying: Path) -> None:
    with pytest.raises(UsageError, match="rotate"):
        fervid.analyze([lying], results)
    assert fervid.analyze([lying], results, rotate=90).count("ok") == 1


def test_later_commands_turn_the_frames_in_the_same_way(results: Path, lying: Path, tmp_path: Path) -> None:
    report = annotate(results, None, tmp_path)
    (written,) = report.videos
    assert written.path is not None
    drawn, plain = frames(written.path)[12], frames(lying, rotate=90)[12]
    assert drawn.shape == plain.shape
    face = fervid.load_detector().detect(drawn)[0]
    assert abs(face.x - fervid.read_results(results).timeline["face_x"].iloc[0]) < 15
    page = fervid.write_report(results, tmp_path / "page.html").path.read_text()
    (thumbnail,) = re.findall(r"data:image/jpeg;base64,([A-Za-z0-9+/=]+)", page)
    image = cv2.imdecode(np.frombuffer(base64.b64decode(thumbnail), np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    right_eye, left_eye = fervid.load_detector().detect(np.asarray(image, np.uint8))[0].landmarks[:2]
    assert abs(left_eye[1] - right_eye[1]) < 0.3 * (left_eye[0] - right_eye[0])


def test_results_without_their_settings_do_not_show_other_pictures(results: Path, lying: Path, tmp_path: Path) -> None:
    """A CSV file that was saved again has no settings, so that the frames would be drawn on unturned."""
    for file in results.parent.glob("results*.csv"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    saved = tmp_path / results.name
    assert not fervid.read_results(saved).metadata
    (failed,) = annotate(saved, lying.parent, tmp_path / "out").videos
    assert failed.status == "failed"
    assert "360x480 turned by 0 degrees, not 480x360 turned by 90" in (failed.message or "")
    written = fervid.write_report(saved, tmp_path / "page.html", videos=lying.parent)
    assert "data:image/jpeg" not in written.path.read_text()


def test_a_thumbnail_reached_by_seeking_is_turned_too(tmp_path: Path) -> None:
    path = encode(tmp_path / "long.mp4", [picture()] * 600, options={"g": "50"})
    uri = make_thumbnails(path, [WantedFace(0, 590, 23.6, (0.0, 0.0, 32.0, 32.0))], OpenOptions(rotate=180))[0]
    image = cv2.imdecode(np.frombuffer(base64.b64decode(uri.split(",")[1]), np.uint8), cv2.IMREAD_GRAYSCALE)
    assert image is not None
    assert image.mean() < 60  # the bright corner is now below on the right


def test_a_scan_states_the_whole_rotation(tmp_path: Path) -> None:
    path = encode(tmp_path / "stated.mov", [picture()] * 3, rotation=270)
    scan = scan_video(path, "id", ScanSettings(rotate=180), FER2013_GEOMETRY, tmp_path / "crops")
    assert (scan.info.rotation, scan.info.width, scan.info.height) == (90, 64, 96)
