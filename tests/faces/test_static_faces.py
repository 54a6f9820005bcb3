"""Pictures, mirror images and copies are marked; a person who sits still is not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from fervid.faces.crop import FER2013_GEOMETRY
from fervid.faces.embedding import FaceEmbedder, aligned_face
from fervid.faces.static_faces import PICTURE, Registration, copies, measure_change
from fervid.scan.scan import cached_detector, track_faces
from fervid.scan.types import TrackedFaces
from fervid.settings import ScanSettings
from fervid.types import ByteArray, DoubleArray, FloatArray, Track
from fervid.video.reader import VideoReader
from fervid.video.writer import EncoderSettings, VideoWriter
from tests.support.paths import ROOT

MEDIA = ROOT.parent / "shared" / "media"
SAMPLES = ROOT / "sample_videos"
RATE = 5
LIVING, SITTING = MEDIA / "talking_d3.mp4", MEDIA / "d9_vfr.mp4"

needs_media = pytest.mark.skipif(not MEDIA.is_dir(), reason="needs ../shared/media: sample_videos has no living faces")


def images(path: Path, fps: float, count: int, height: int, start: float = 0.0) -> list[ByteArray]:
    """The first images of a clip, at a height in pixels."""
    found: list[ByteArray] = []
    with VideoReader(path, fps=fps, start=start) as reader:
        for frame in reader.frames():
            if frame.sampled:
                size = round(frame.width * height / frame.height), height
                found.append(np.asarray(cv2.resize(frame.image, size, interpolation=cv2.INTER_AREA), np.uint8))
            if len(found) == count:
                break
    return found


def in_a_loop(frames: list[ByteArray], count: int) -> list[ByteArray]:
    """Forwards and backwards, without a jump."""
    both = [*frames, *frames[-2:0:-1]]
    return [both[number % len(both)] for number in range(count)]


def sitting_still(count: int) -> list[ByteArray]:
    """Two seconds of a person who does next to nothing, stretched to ``count`` images by blending."""
    frames = images(SITTING, 25, 50, 300)
    found = []
    for place in np.linspace(0, len(frames) - 1.001, count):
        first, share = int(place), place % 1
        found.append(np.asarray(cv2.addWeighted(frames[first], 1 - share, frames[first + 1], share, 0), np.uint8))
    return found


def photo(name: str, start: float, height: int) -> ByteArray:
    """A picture of a sample clip; the people in these are photographs."""
    return images(SAMPLES / name, 25, 1, height, start)[0]


def put(scene: ByteArray, picture: ByteArray, x: int, y: int, frame: int = 0) -> None:
    """Paste a picture, with a frame of this width."""
    height, width = picture.shape[:2]
    scene[y - frame : y + height + frame, x - frame : x + width + frame] = (30, 50, 70)
    scene[y : y + height, x : x + width] = picture


def on_the_wall(count: int) -> Iterator[ByteArray]:
    """A person who talks and one who sits still, with a poster and a framed photo on the wall."""
    living, still = in_a_loop(images(LIVING, RATE, count, 300), count), sitting_still(count)
    poster, framed = photo("cut.mp4", 0.0, 190), photo("cut.mp4", 4.0, 190)
    for talking, sitting in zip(living, still, strict=True):
        scene = np.full((560, 720, 3), (150, 140, 120), np.uint8)
        put(scene, talking, 20, 240)
        put(scene, sitting, 380, 240)
        put(scene, poster, 10, 10)
        put(scene, framed, 370, 20, 8)
        yield scene


def filmed_by_hand(count: int) -> Iterator[ByteArray]:
    """A shaking camera shows a person and a poster; a still picture lies in a corner of the screen."""
    living = in_a_loop(images(LIVING, RATE, count, 300), count)
    poster, inset = photo("cut.mp4", 0.0, 190), photo("cut.mp4", 4.0, 190)
    for number, talking in enumerate(living):
        scene = np.full((560, 720, 3), (150, 140, 120), np.uint8)
        put(scene, talking, 40, 230)
        put(scene, poster, 30, 20)
        across, down = 3 * np.sin(4.4 * number / RATE), 3 * np.sin(5.6 * number / RATE + 1)
        move = np.array([[1, 0, across], [0, 1, down]], np.float32)
        scene = np.asarray(cv2.warpAffine(scene, move, (720, 560), borderMode=cv2.BORDER_REPLICATE), np.uint8)
        put(scene, inset, 370, 350)
        yield scene


def scan_of(path: Path, scene: Iterator[ByteArray]) -> TrackedFaces:
    """The faces of a scene with noise, after a lossy encoder."""
    random = np.random.default_rng(0)
    grain = np.repeat(random.normal(0, 2, (560, 720, 1)), 3, axis=2).astype(np.int16)
    with VideoWriter(path, 720, 560, EncoderSettings(crf=28, preset="ultrafast")) as writer:
        for number, image in enumerate(scene):
            noise = np.roll(grain, tuple(random.integers(0, 500, 2)), (0, 1))
            writer.write(np.asarray(cv2.add(image, noise, dtype=cv2.CV_8U), np.uint8), number / RATE)
    return scan(path)


def scan(path: Path) -> TrackedFaces:
    """The faces of a clip."""
    settings = ScanSettings(fps=5)
    with VideoReader(path, fps=5) as reader:
        return track_faces(
            reader.frames(), settings, FER2013_GEOMETRY, cached_detector(settings), embedder=FaceEmbedder()
        )


def named(found: TrackedFaces) -> dict[tuple[bool, bool], tuple[str | None, bool]]:
    """(in the right half, in the lower half) of each face → its doubt, and whether it has a person."""
    doubts = {one.face_id: one.reason for one in found.doubts}
    assert len(doubts) == len(found.doubts)
    return {
        (bool(track.boxes[:, 0].mean() > 330), bool(track.boxes[:, 1].mean() > 220)): (
            doubts.get(track.face_id),
            track.person is not None,
        )
        for track in found.tracks
    }


@pytest.mark.slow
@needs_media
def test_pictures_on_the_wall_are_marked_and_a_still_person_is_not(tmp_path: Path) -> None:
    """For 20 s."""
    found = scan_of(tmp_path / "wall.mp4", on_the_wall(20 * RATE))
    assert named(found) == {
        (False, False): (PICTURE, False),
        (True, False): (PICTURE, False),
        (False, True): (None, True),
        (True, True): (None, True),
    }
    for doubt in found.doubts:
        assert (doubt.start, round(doubt.end, 1)) == (0.0, 19.8)


@needs_media
def test_pictures_are_marked_though_the_camera_shakes(tmp_path: Path) -> None:
    found = scan_of(tmp_path / "shaken.mp4", filmed_by_hand(7 * RATE))
    assert named(found) == {
        (False, False): (PICTURE, False),
        (True, True): (PICTURE, False),
        (False, True): (None, True),
    }


@pytest.mark.parametrize("name", ["crossing.mp4", "pan_zoom.mp4"])
def test_nothing_is_marked_where_no_face_changes(name: str) -> None:
    """A slideshow, or a video that is made of photos."""
    assert scan(SAMPLES / name).doubts == []


def noisy(image: ByteArray, seed: int, dx: float = 0.0, turn: float = 0.0, gain: float = 1.0) -> ByteArray:
    """The picture, moved and turned as a whole, in another light and with noise."""
    move = np.array(cv2.getRotationMatrix2D((56, 56), turn, 1.02), np.float64)
    move[:, 2] += dx
    moved = cv2.warpAffine(image, move, (112, 112), borderMode=cv2.BORDER_REFLECT).astype(np.float64)
    noise = np.random.default_rng(seed).normal(0, 3, image.shape)
    return np.asarray(np.clip(gain * moved + 5 + noise, 0, 255), np.uint8)


@pytest.fixture(scope="module")
def portrait() -> ByteArray:
    """An aligned face."""
    image = photo("cut.mp4", 0.0, 360)
    face = cached_detector(ScanSettings()).detect(image)[0]
    return aligned_face(image, face)


def test_moving_a_picture_is_no_change_but_closing_its_eyes_is(portrait: ByteArray) -> None:
    registration = Registration(portrait)
    assert registration.change(portrait) < 0.01
    assert registration.change(noisy(portrait, 1, dx=2.5, turn=3, gain=0.85)) < 0.15
    blinking = portrait.copy()
    blinking[44:58, 30:82] = portrait[60:74, 30:82]
    assert registration.change(noisy(blinking, 2)) > 0.3


def test_something_that_passes_before_a_picture_does_not_make_it_move(portrait: ByteArray) -> None:
    faces = [noisy(portrait, number, dx=number % 3) for number in range(40)]
    faces[17] = np.full_like(portrait, 60)
    assert measure_change(40, faces.__getitem__, 5).still
    faces[20:30] = [np.roll(face, 9, axis=0) // 2 + 30 for face in faces[20:30]]
    faces[20:30] = [np.where(np.arange(112)[:, None, None] > 70, 255 - face, face) for face in faces[20:30]]
    assert not measure_change(40, faces.__getitem__, 5).still


def test_few_faces_are_enough_for_one_that_moves(portrait: ByteArray) -> None:
    """Only the first few of a long track are read."""
    read: list[int] = []

    def face(number: int) -> ByteArray:
        read.append(number)
        image = portrait.copy()
        image[40 + number % 30 : 60 + number % 30, 30:80] = 255 - image[40 + number % 30 : 60 + number % 30, 30:80]
        return image

    change = measure_change(1000, face, 3)
    assert (change.still, change.moving) == (False, True)
    assert len(read) < 10
    assert not measure_change(1, face, 0).still


def swaying(face_id: int, x: DoubleArray, y: DoubleArray, quality: float = 0.9) -> Track:
    count = len(x)
    boxes = np.column_stack([x, y, np.full(count, 50.0), np.full(count, 50.0)]).astype(np.float32)
    ones, frames = np.ones(count, np.float32), np.arange(count) * 5
    return Track(face_id, frames, frames / 25, boxes, ones, quality * ones, np.zeros((0, 1, 1), np.uint8))


def alike(cosine: float) -> list[FloatArray]:
    """Embeddings of two faces with this similarity."""
    one, other = np.eye(2, 128)
    return [one[None].astype(np.float32), (cosine * one + (1 - cosine**2) ** 0.5 * other)[None].astype(np.float32)]


def test_a_mirror_image_and_a_copy_are_told_by_movement_and_look() -> None:
    random = np.random.default_rng(3)
    x, y, other = (np.cumsum(random.normal(0, 3, 60)) + 200 for _ in range(3))
    person, mirror, copy = swaying(0, x, y), swaying(1, 700 - x, y, 0.5), swaying(1, x + 300, y, 0.5)
    assert [one.reason for one in copies([person, mirror], alike(0.8)).values()] == ["mirror image of face 0?"]
    (place,) = copies([person, copy], alike(0.8))
    assert (place, copies([person, copy], alike(0.8))[place].reason) == (1, "copy of face 0?")
    assert copies([swaying(0, x, y, 0.5), swaying(1, x + 300, y)], alike(0.8))[0].reason == "copy of face 1?"
    assert copies([person, copy], alike(0.3)) == {}, "another person who moves alike"
    assert copies([person, swaying(1, other, y)], alike(0.9)) == {}, "a twin"
    still = np.full(60, 100.0) + random.normal(0, 0.1, 60)
    assert copies([swaying(0, still, still), swaying(1, still + 300, still)], alike(0.9)) == {}, "nothing moves"
    late = swaying(1, x + 300, y)
    late.frames += 10_000
    late.times = late.frames / 25
    assert copies([person, late], alike(0.9)) == {}, "not at the same time"
