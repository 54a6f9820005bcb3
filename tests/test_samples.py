"""The clips in sample_videos/ contain what their README says."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from pathlib import Path

import av
import numpy as np
import pytest

from fervid.faces.crop import FER2013_GEOMETRY
from fervid.faces.detectors import create_detector
from fervid.scan.scan import scan_video
from fervid.scan.types import Scan
from fervid.settings import ScanSettings
from fervid.types import ByteArray, DoubleArray, Track, VideoInfo
from fervid.video.reader import VideoReader
from tests.support.paths import ROOT, SAMPLES

SHAPES = {
    "pan_zoom.mp4": (480, 360, 0),
    "crossing.mp4": (640, 360, 0),
    "leaving.mp4": (480, 360, 0),
    "cut.mp4": (480, 360, 0),
    "variable_rate.mp4": (480, 360, 0),
    "rotated.mp4": (360, 480, 90),
}
"""Width and height as shown, and the display rotation in degrees clockwise."""

CLIPS = sorted(SHAPES)


@dataclass(frozen=True, eq=False)
class Decoded:
    """``times`` (n,) of every frame; ``images``: those on a grid of 5 a second, as shown."""

    info: VideoInfo
    times: DoubleArray
    images: list[ByteArray]
    stored: tuple[int, ...]
    """Shape of the thumbnail, which is never rotated."""


def decode(path: Path) -> Decoded:
    with VideoReader(path, threads=1) as reader:
        times, images, stored = [], [], set()
        for frame in reader.frames():
            times.append(frame.time)
            stored.add(frame.thumbnail.shape)
            if frame.sampled:
                images.append(frame.image)
        assert (reader.corrupt, reader.repaired, reader.truncated) == (0, 0, False)
        assert len(stored) == 1
        return Decoded(reader.info, np.array(times), images, stored.pop())


@lru_cache(maxsize=len(CLIPS))
def decoded(name: str) -> Decoded:
    return decode(SAMPLES / name)


@lru_cache(maxsize=len(CLIPS))
def scanned(name: str) -> Scan:
    with tempfile.TemporaryDirectory() as folder:
        found = scan_video(SAMPLES / name, name, ScanSettings(), FER2013_GEOMETRY, Path(folder) / "crops")
    assert found.notes == []
    return found


def centres(track: Track) -> DoubleArray:
    """Horizontal centres of the boxes."""
    return np.asarray(track.boxes[:, 0] + track.boxes[:, 2] / 2, np.float64)


def without_face(found: Scan) -> DoubleArray:
    """Times of the sampled frames in which no track was seen."""
    return np.setdiff1d(found.times, np.concatenate([track.times for track in found.tracks]))


def test_the_folder_holds_these_clips_and_stays_small() -> None:
    videos = sorted(SAMPLES.glob("*.mp4"))
    assert [video.name for video in videos] == CLIPS
    assert sum(video.stat().st_size for video in videos) < 1_500_000


def test_the_page_describes_every_clip() -> None:
    page = (SAMPLES / "README.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `(\w+\.mp4)` \| (\d+x\d+)", page, flags=re.MULTILINE))
    assert rows == {name: f"{width}x{height}" for name, (width, height, _) in SHAPES.items()}


@pytest.mark.parametrize("name", CLIPS)
def test_is_read_upright_with_increasing_times(name: str) -> None:
    clip, (width, height, rotation) = decoded(name), SHAPES[name]
    assert (clip.info.width, clip.info.height, clip.info.rotation, clip.info.codec) == (width, height, rotation, "h264")
    assert {image.shape for image in clip.images} == {(height, width, 3)}
    assert clip.times[0] == 0
    assert (np.diff(clip.times) > 0).all()
    assert 4 <= clip.times[-1] <= 8


@pytest.mark.parametrize("name", sorted({*CLIPS} - {"variable_rate.mp4"}))
def test_has_a_steady_rate(name: str) -> None:
    times = decoded(name).times
    assert times == pytest.approx(np.arange(len(times)) / 25, abs=1e-4)


def test_variable_rate_varies_and_stalls_once() -> None:
    times = decoded("variable_rate.mp4").times
    steps = np.diff(times)
    (gap,) = np.flatnonzero(steps > 0.1)
    assert steps[gap] == pytest.approx(0.7, abs=0.002)
    assert (times[gap], times[gap + 1]) == pytest.approx((2.522, 3.222), abs=0.002)
    others = np.delete(steps, gap)
    assert others.min() < 0.03
    assert others.max() > 0.06
    assert len(np.unique(others.round(3))) > 10


def test_rotated_is_stored_sideways() -> None:
    rows, columns = decoded("rotated.mp4").stored
    assert columns > rows


def test_one_clip_has_sound() -> None:
    heard = []
    for name in CLIPS:
        with av.open(str(SAMPLES / name)) as container:
            if container.streams.audio:
                heard.append(name)
                loudest = max(float(np.abs(frame.to_ndarray()).max()) for frame in container.decode(audio=0))
                assert loudest > 0.05
    assert heard == ["pan_zoom.mp4"]


def test_no_two_clips_share_a_picture() -> None:
    hashes = {name: {hashlib.sha256(p.tobytes()).digest() for p in decoded(name).images} for name in CLIPS}
    for first, second in combinations(CLIPS, 2):
        assert not hashes[first] & hashes[second], f"{first} and {second} share a image"


@pytest.mark.parametrize("name", CLIPS)
def test_faces_lie_in_the_picture_as_shown(name: str) -> None:
    width, height, _ = SHAPES[name]
    for track in scanned(name).tracks:
        x, y = track.boxes[:, 0] + track.boxes[:, 2] / 2, track.boxes[:, 1] + track.boxes[:, 3] / 2
        assert ((x > 0) & (x < width) & (y > 0) & (y < height)).all()
        assert (track.boxes[:, 3] > track.boxes[:, 2]).all(), "an upright face is taller than wide"
        assert track.qualities.min() > 0.65
        assert np.median(track.qualities) > 0.95


def test_pan_zoom_is_one_track_that_grows() -> None:
    found = scanned("pan_zoom.mp4")
    (track,) = found.tracks
    assert without_face(found).size == 0
    assert track.boxes[-1, 2] > 1.5 * track.boxes[0, 2]


def test_crossing_keeps_two_identities() -> None:
    found = scanned("crossing.mp4")
    assert len(found.tracks) == 2
    collins, hopper = sorted(found.tracks, key=lambda track: float(centres(track)[0]))
    for track in (collins, hopper):
        assert track.times[0] == found.times[0]
        assert track.times[-1] == found.times[-1]
    # each person keeps a direction: a swap at the meeting would send both back
    assert (np.diff(centres(collins)) > -3).all()
    assert (np.diff(centres(hopper)) < 3).all()
    assert centres(collins)[0] < 320 < centres(collins)[-1]
    assert centres(hopper)[-1] < 320 < centres(hopper)[0]
    # and a size: Hopper, in front, is larger all the time
    assert hopper.boxes[:, 2].min() > collins.boxes[:, 2].max()
    # the one behind is hidden for a moment, the one in front never
    assert len(hopper.times) == len(found.times)
    hidden = np.setdiff1d(found.times, collins.times)
    assert hidden.size
    assert 2.0 < hidden.min() <= hidden.max() < 2.9


def test_leaving_has_an_absence_between_two_tracks() -> None:
    found = scanned("leaving.mp4")
    before, after = found.tracks
    assert before.times[0] == found.times[0]
    assert after.times[-1] == found.times[-1]
    assert before.times[-1] < 2.6
    assert after.times[0] > 4.8
    empty = without_face(found)
    assert empty.max() - empty.min() > 1.5
    assert empty.tolist() == [time for time in found.times if before.times[-1] < time < after.times[0]]


def test_no_track_bridges_the_cut() -> None:
    found = scanned("cut.mp4")
    before, after = found.tracks
    assert before.times.max() < 3.0 <= after.times.min()
    assert without_face(found).size == 0
    # face follows face at one place, so that only the cut itself can part them
    (x, _, width, _), (x2, _, width2, _) = before.boxes[-1], after.boxes[0]
    assert abs((x + width / 2) - (x2 + width2 / 2)) < 0.2 * width
    assert width2 == pytest.approx(width, rel=0.3)


def test_variable_rate_shows_one_face_and_nothing_in_the_gap() -> None:
    found = scanned("variable_rate.mp4")
    assert not ((found.times > 2.53) & (found.times < 3.21)).any()
    assert without_face(found).size == 0
    (track,) = found.tracks
    assert len(track.times) == len(found.times)


def test_rotated_shows_one_upright_face() -> None:
    found = scanned("rotated.mp4")
    (track,) = found.tracks
    assert without_face(found).size == 0
    x, y, width, height = track.boxes.T
    assert (x >= 0).all()
    assert (y >= 0).all()
    assert (x + width <= 360).all()
    assert (y + height <= 480).all()
    (face,) = create_detector(ScanSettings()).detect(decoded("rotated.mp4").images[0])
    (right_eye, left_eye, nose, *mouth) = face.landmarks
    assert max(right_eye[1], left_eye[1]) < nose[1] < min(corner[1] for corner in mouth)
    assert right_eye[0] < nose[0] < left_eye[0]


def test_the_script_makes_the_same_clips_again(tmp_path: Path) -> None:
    for module in ("matplotlib", "skimage"):
        pytest.importorskip(module, reason=f"the portraits come with {module}: pip install 'fervid[samples]'")
    command = [sys.executable, "-m", "sample_videos.make_samples", str(tmp_path / "new")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == CLIPS
    for name in CLIPS:
        old, new = decoded(name), decode(tmp_path / "new" / name)
        assert new.info.rotation == old.info.rotation
        assert len(new.times) == len(old.times)
        assert new.times == pytest.approx(old.times, abs=1e-6)
        # x264 is not bit-exact from run to run; images drawn at other times would differ by far more
        apart = [float(np.abs(a.astype(np.float32) - b).mean()) for a, b in zip(old.images, new.images, strict=True)]
        assert max(apart) < 4, name
