"""Scans that leave out frames: the faces, tracks and cuts of decoding every frame."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from av.video.frame import VideoFrame

from fervid.faces.crop import FER2013_GEOMETRY
from fervid.runtime.opencv import cv2
from fervid.scan import between_samples, scan
from fervid.scan.between_samples import analyze_frames
from fervid.scan.scan import cached_detector, cached_embedder, open_reader, scan_video, track_faces
from fervid.scan.types import TrackedFaces
from fervid.settings import ScanSettings
from fervid.types import ByteArray
from fervid.video import skipped_frames
from fervid.video.needed_packets import SkippingFailed
from fervid.video.reader import SkippingReader, VideoReader
from fervid.video.shots import ShotBoundaryDetector
from tests.support.clips import encode
from tests.support.no_faces import NoFaces
from tests.support.paths import SAMPLES

SETTINGS = ScanSettings(long_side=320)


def scanned(path: Path, skip: bool, settings: ScanSettings = SETTINGS) -> TrackedFaces:
    with open_reader(path, settings, skip) as reader:
        assert not skip or (isinstance(reader, SkippingReader) and reader.skips)
        return track_faces(
            reader if skip else reader.frames(),
            settings,
            FER2013_GEOMETRY,
            cached_detector(settings),
            embedder=cached_embedder()[0],
        )


def assert_same(one: TrackedFaces, other: TrackedFaces) -> None:
    for name in ("frames", "times", "sizes"):
        assert np.array_equal(getattr(one, name), getattr(other, name))
    assert one.cuts == other.cuts
    assert one.runs == other.runs
    assert one.doubts == other.doubts
    assert len(one.tracks) == len(other.tracks) > 0
    for first, second in zip(one.tracks, other.tracks, strict=True):
        assert first.person == second.person
        for name in ("frames", "times", "boxes", "scores", "qualities", "crops"):
            assert np.array_equal(getattr(first, name), getattr(second, name))


@pytest.mark.parametrize("name", ["crossing", "cut"])
def test_the_tracks_are_those_of_decoding_everything(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(between_samples, "SURE_DIFFERENCE", -1.0)  # faces that come near each other always meet
    calls: list[int] = []
    decode = skipped_frames.SkippedFrames.between

    def counted(frames: skipped_frames.SkippedFrames, begin: int, end: int) -> Iterator[VideoFrame]:
        calls.append(begin)
        return decode(frames, begin, end)

    monkeypatch.setattr(skipped_frames.SkippedFrames, "between", counted)
    path = SAMPLES / f"{name}.mp4"
    assert_same(scanned(path, True), scanned(path, False))
    assert bool(calls) == (name == "crossing")


def test_if_skipping_fails_the_video_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise SkippingFailed("a damaged frame")

    monkeypatch.setattr(between_samples, "SURE_DIFFERENCE", -1.0)
    monkeypatch.setattr(scan, "SKIPS_FRAMES", True)
    plain = scan_video(SAMPLES / "crossing.mp4", "0", SETTINGS, FER2013_GEOMETRY, tmp_path / "two.crops")
    monkeypatch.setattr(SkippingReader, "frames_between", fail)
    again = scan_video(SAMPLES / "crossing.mp4", "0", SETTINGS, FER2013_GEOMETRY, tmp_path / "three.crops")
    assert again.cuts == plain.cuts
    assert [track.boxes.tolist() for track in again.tracks] == [track.boxes.tolist() for track in plain.tracks]


def cuts(path: Path, skip: bool) -> list[int]:
    """Indices of the frames that begin a shot, at 25 frames per second."""
    detector = ShotBoundaryDetector()
    with (SkippingReader if skip else VideoReader)(path, fps=5, threads=1) as reader:
        for result in analyze_frames(reader.frames(), NoFaces(), reader):
            detector.update(result.time, result.thumbnail, result.shape, result.skipped, result.is_cut)
    return [round(time * 25) for time in detector.finish()]


def moving(name: str, count: int) -> list[ByteArray]:
    with VideoReader(SAMPLES / f"{name}.mp4", fps=0) as reader:
        return [np.asarray(cv2.resize(frame.image, (160, 96)), np.uint8) for frame in reader.frames()][:count]


@pytest.mark.parametrize("options", ["bf=3", "bf=8:b-pyramid=none"])
def test_cuts_on_frames_that_are_left_out_are_found_on_their_frame(tmp_path: Path, options: str) -> None:
    one, other = moving("pan_zoom", 120), moving("crossing", 120)
    right = [52, 83, 101, 134, 155]
    edges = [0, *right, 186]
    images = [
        (one, other)[number % 2][(place - begin + 5 * number) % 120]
        for number, (begin, end) in enumerate(itertools.pairwise(edges))
        for place in range(begin, end)
    ]
    parameters = f"scenecut=0:b-adapt=0:{options}"
    path = encode(tmp_path / "cuts.mp4", images, options={"g": "100", "x264-params": parameters})
    assert cuts(path, skip=False) == right
    assert cuts(path, skip=True) == right
