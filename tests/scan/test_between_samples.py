"""Frames between two samples are looked at where faces meet, and only there."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from fervid.faces.crop import FER2013_GEOMETRY
from fervid.faces.detectors import load_detector
from fervid.faces.embedding import FaceEmbedder
from fervid.scan import between_samples
from fervid.scan.between_samples import analyze_frames, faces_that_meet
from fervid.scan.frame_analysis import FaceDetections, FrameAnalyzer, FrameResult
from fervid.scan.scan import track_faces
from fervid.settings import ScanSettings
from fervid.types import Face, Frame, PictureShape, Track
from fervid.video.reader import VideoReader
from tests.support.paths import SAMPLES


def at(x: float, size: float = 100.0) -> Face:
    """A face whose centre is at (x, 200)."""
    return Face(x - size / 2, 200 - size / 2, size, size, 0.9)


@pytest.mark.parametrize(
    ("before", "after", "meets"),
    [
        ([at(100)], [at(180)], False),
        ([at(100), at(400)], [at(105), at(395)], False),
        ([at(100), at(240)], [at(105), at(238)], False),  # side by side
        ([at(100), at(190)], [at(100), at(190)], True),  # they touch
        ([at(100), at(300)], [at(170), at(290)], True),  # either may be either
        ([at(100), at(250)], [at(110)], True),  # the other one may be hidden
        ([at(110)], [at(100), at(250)], True),
        ([at(100), at(600)], [at(100)], False),  # the other one left far away
        ([at(100), at(400)], [], False),
        ([], [], False),
    ],
)
def test_faces_meet_where_they_may_be_exchanged(before: list[Face], after: list[Face], meets: bool) -> None:
    samples = FaceDetections(0, before), FaceDetections(5, after)
    assert bool(faces_that_meet(*samples, 0.2)) is meets
    assert bool(faces_that_meet(*samples[::-1], 0.2)) is meets


def looking(*faces: tuple[float, int]) -> FaceDetections:
    """A sample with faces at these places, each with the appearance of a numbered person."""
    descriptors = [np.eye(4, dtype=np.float32)[person] for _, person in faces]
    return FaceDetections(0, [at(x) for x, _ in faces], descriptors)


@pytest.mark.parametrize(
    ("before", "after", "places"),
    [
        (looking((100, 0), (190, 1)), looking((105, 0), (185, 1)), []),  # they touch, and look different
        (looking((100, 0), (190, 1)), looking((105, 1), (185, 0)), []),  # they have passed each other
        (looking((100, 0), (190, 0)), looking((105, 0), (185, 0)), [100, 190, 105, 185]),  # twins
        (looking((100, 0), (190, 1)), looking((105, 0), (185, 2)), [100, 190, 105, 185]),  # only one of them is known
        (looking((100, 0), (190, 1), (900, 3)), looking((105, 0), (185, 2), (900, 3)), [100, 190, 105, 185]),
        (looking((100, 0), (190, 1)), looking((105, 0)), []),  # the one that stays is known
        (looking((100, 0), (190, 1)), looking((105, 2)), [100, 190, 105]),  # who is it?
    ],
)
def test_appearance_decides_who_is_who(before: FaceDetections, after: FaceDetections, places: list[float]) -> None:
    assert [face.x + face.width / 2 for face in faces_that_meet(before, after, 0.2)] == places


SCENES = np.random.default_rng(1).integers(0, 256, (3, 36, 64)).astype(np.uint8)


@pytest.mark.parametrize(
    ("thumbnails", "cut"),
    [
        ([SCENES[0]] * 3 + [SCENES[1]] * 3, True),
        ([SCENES[0]] + [SCENES[1]] * 5, True),
        ([SCENES[0], SCENES[1]], True),
        ([SCENES[0]] * 3 + [SCENES[0][:18]] * 3, True),  # the picture changes its size
        ([SCENES[0]] * 6, False),
        ([SCENES[0]], False),
        ([SCENES[0]] * 3 + [SCENES[1]] + [SCENES[0]] * 3, False),  # one frame is disturbed
        ([SCENES[0] // 2] * 3 + [SCENES[0] // 2 + 100] * 3, False),  # the light goes on
        ([SCENES[0] // 4] * 3 + [SCENES[0] // 4 * 3 + SCENES[1] // 16] * 3, False),
        ([np.roll(SCENES[0], step, axis=1) for step in range(6)], False),  # a camera that moves
        ([SCENES[0]] * 3 + [np.clip(SCENES[0] + np.int16(9), 0, 255).astype(np.uint8)] * 3, False),
    ],
)
def test_no_frame_is_looked_at_where_the_scene_is_cut(thumbnails: list[np.ndarray], cut: bool) -> None:
    assert looked_at(thumbnails, [0, len(thumbnails) - 1]) == ([] if cut else list(range(1, len(thumbnails) - 1)))


def test_only_the_interval_of_a_cut_is_left_out() -> None:
    thumbnails = [SCENES[0]] * 5 + [SCENES[1]] * 7
    assert looked_at(thumbnails, [0, 3, 7, 11]) == [1, 2, 8, 9, 10]


def results(name: str, settings: ScanSettings, first: int = 0, last: int | None = None) -> list[FrameResult]:
    analyzer = FrameAnalyzer(settings, FER2013_GEOMETRY, load_detector())
    with VideoReader(SAMPLES / f"{name}.mp4", fps=settings.fps) as reader:
        return list(analyze_frames(list(reader.frames())[first:last], analyzer))


def test_frames_are_looked_at_around_a_crossing_and_samples_stay_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(between_samples, "SURE_DIFFERENCE", -1.0)  # appearance decides nothing
    found = results("crossing", ScanSettings(fps=5))
    looked = [result.time for result in found if result.between]
    assert looked
    assert 1.0 < min(looked) < 2.3 < max(looked) < 4.0  # they pass at 2.45 s
    assert all(result.sample is None for result in found if result.between)
    monkeypatch.setattr(between_samples, "faces_that_meet", lambda *_: [])
    plain = results("crossing", ScanSettings(fps=5))
    assert not any(result.between for result in plain)
    assert [r.time for r in plain] == [r.time for r in found]
    assert [r.sample and r.sample.faces for r in plain] == [r.sample and r.sample.faces for r in found]


def test_no_frame_is_looked_at_where_one_face_is_alone() -> None:
    for name in ("leaving", "cut"):
        assert not any(result.between for result in results(name, ScanSettings(fps=5)))


def test_a_part_that_ends_with_the_next_sample_gives_what_the_whole_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(between_samples, "SURE_DIFFERENCE", -1.0)
    # samples are 5 frames apart; at frame 60 (2.4 s) the two people pass
    settings = ScanSettings(fps=5)
    whole, part = results("crossing", settings)[:60], results("crossing", settings, 0, 61)[:60]
    for one, other in zip(whole, part, strict=True):
        assert (one.between is None) == (other.between is None)
        if one.between and other.between:
            assert one.between.faces == other.between.faces
    assert any(result.between for result in part[55:])


def looked_at(
    thumbnails: Sequence[np.ndarray], sampled: Sequence[int], side: int = 100, fps: float = 12.5
) -> list[int]:
    """The frames that are looked at if every sample shows two faces that touch."""
    looked: list[int] = []

    class Analyzer:
        def analyze_frame(self, frame: Frame) -> FrameResult:
            sample = Found() if frame.sampled else None
            return FrameResult(frame.time, frame.thumbnail, frame.shape, sample)  # type: ignore[arg-type]

        def look_between(self, frame: Frame, _: list[Face]) -> str:
            looked.append(frame.index)
            return "looked at"

    class Found:
        faces = (at(100), at(150))
        descriptors = ()

    shape = PictureShape((side, side))
    frames = [
        Frame(index, index / fps, index in sampled, thumbnail, shape, lambda: np.zeros((1, 1, 3), np.uint8))
        for index, thumbnail in enumerate(thumbnails)
    ]
    given = list(analyze_frames(frames, Analyzer()))  # type: ignore[arg-type]
    assert [result.time for result in given] == [frame.time for frame in frames]
    return looked


@pytest.mark.parametrize(("side", "count", "most"), [(100, 30, 16), (100, 5, 3), (4000, 12, 2), (100, 2000, 0)])
def test_few_frames_are_kept(side: int, count: int, most: int) -> None:
    looked = looked_at([np.zeros((1, 1), np.uint8)] * (count + 2), [0, count + 1], side, fps=25)
    assert most / 2 <= len(looked) <= most
    steps = set(np.diff(looked).tolist())
    assert len(steps) <= 1  # evenly spread


def tracks(path: Path, fps: float) -> list[Track]:
    settings = ScanSettings(fps=fps)
    with VideoReader(path, fps=fps) as reader:
        return track_faces(reader.frames(), settings, FER2013_GEOMETRY, load_detector(), embedder=FaceEmbedder()).tracks


def held(track: Track, truth: dict[int, np.ndarray]) -> Sequence[bool]:
    """For each row whose face centre lies in the woman's box or clearly outside it, which of both."""
    inside = []
    for frame, (x, y, width, height) in zip(track.frames, track.boxes, strict=True):
        left, top, wide, high = truth[int(frame)]
        across, down = (x + width / 2 - left) / wide, (y + height / 2 - top) / high
        if 0.2 < across < 0.8 and 0.2 < down < 0.8:
            inside.append(True)
        elif not (-0.2 < across < 1.2 and -0.2 < down < 1.2):
            inside.append(False)
    return inside


@pytest.mark.parametrize("fps", [5.0, pytest.param(0.0, marks=pytest.mark.slow), 2.0])
def test_nobody_holds_both_people_of_a_real_crossing(shared_media: Path, fps: float) -> None:
    cases = shared_media.parent / "cases"
    rows = np.loadtxt(cases / "real_crossing_truth.csv", delimiter=",", skiprows=1)
    truth = {round(row[0] * 25): row[1:] for row in rows}
    found = tracks(cases / "real_crossing.mp4", fps)
    woman = [track for track in found if np.mean(held(track, truth)) > 0.5]
    assert len({track.person for track in woman}) == 1
    assert woman[0].person is not None
    assert all(track.person != woman[0].person for track in found if track not in woman)
    assert sum(len(track.times) for track in woman) >= 0.85 * len(range(0, 225, 1 if not fps else round(25 / fps)))
    for track in found:
        assert len(set(held(track, truth))) == 1
