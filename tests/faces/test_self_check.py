"""A track is checked against itself: made exchanges of two people are undone, tracks of one person are left."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest

from fervid.faces.crop import FER2013_GEOMETRY
from fervid.faces.embedding import FaceEmbedder
from fervid.faces.self_check import boundary, choose_to_check, person_changes, unclear_spans
from fervid.faces.tracking import FaceTracker
from fervid.scan import track_assembly
from fervid.scan.scan import cached_detector, track_faces
from fervid.scan.types import TrackedFaces
from fervid.settings import ScanSettings
from fervid.types import TWO_PEOPLE, DoubleArray, FloatArray, Track
from fervid.video.reader import VideoReader
from tests.support.paths import ROOT

MEDIA = ROOT.parent / "shared" / "media"
CROSSING, CUT = ROOT / "sample_videos" / "crossing.mp4", ROOT / "sample_videos" / "cut.mp4"


def scan(path: Path, fps: float = 5.0, drop: Sequence[int] = ()) -> TrackedFaces:
    """The tracks of a clip; the frames of the samples with the numbers ``drop`` are lost."""
    settings, dropped = ScanSettings(fps=fps), set(drop)
    with VideoReader(path, fps=fps) as reader:
        kept = (frame for frame in reader.frames() if not (frame.sampled and round(frame.time * fps) in dropped))
        return track_faces(kept, settings, FER2013_GEOMETRY, cached_detector(settings), embedder=FaceEmbedder())


@lru_cache(maxsize=2)
def usual(path: Path) -> TrackedFaces:
    """The tracks of a clip at 5 frames per second."""
    return scan(path)


class ExchangingTracker(FaceTracker):
    """Exchanges the first two tracks from half of the video on, as a tracker does that confuses two people."""

    def finish(self, cuts: Sequence[float] = ()) -> list[list[tuple[int, int]]]:
        """See FaceTracker."""
        first, second, *others = super().finish(cuts)
        half = self._samples // 2
        before = [[one for one in track if one[0] < half] for track in (first, second)]
        after = [[one for one in track if one[0] >= half] for track in (first, second)]
        return [before[0] + after[1], before[1] + after[0], *others]


def clip_with_two() -> list[object]:
    real = MEDIA / "composite_cross.mp4"
    missing = pytest.mark.skipif(not real.exists(), reason="needs ../shared/media")
    return [CROSSING, pytest.param(real, marks=[missing, pytest.mark.slow])]


@pytest.mark.parametrize("path", clip_with_two())
def test_an_exchange_is_undone(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    right = usual(path)
    monkeypatch.setattr(track_assembly, "FaceTracker", ExchangingTracker)
    found = scan(path)
    assert len(found.tracks) == len(right.tracks) + 2
    starts = [(track.frames[0], track.face_id) for track in found.tracks]
    assert starts == sorted(starts)
    assert found.doubts == []
    assert partition(right, found, persons=True), "each person is one person again"


def partition(one: TrackedFaces, other: TrackedFaces, persons: bool) -> bool:
    """Whether two scans of one clip agree who is who, in the frames that both have."""
    pairs = set()
    for track in one.tracks:
        for candidate in other.tracks:
            _, rows, matches = np.intersect1d(track.frames, candidate.frames, return_indices=True)
            near = np.abs(track.boxes[rows] - candidate.boxes[matches]).max(axis=1, initial=0.0) < 5
            if near.any():
                pairs.add((track.person, candidate.person) if persons else (track.face_id, candidate.face_id))
    firsts, seconds = zip(*pairs, strict=True)
    return len(set(firsts)) == len(pairs) == len(set(seconds)) and None not in firsts + seconds


FEWER: tuple[float, tuple[int, ...]] = (2.0, ())
LOST: tuple[float, tuple[int, ...]] = (5.0, (3, 4, 9, 14, 20))


@pytest.mark.parametrize(
    ("path", "fps", "drop"),
    [
        (CUT, *FEWER),
        (CROSSING, *LOST),
        pytest.param(CROSSING, *FEWER, marks=pytest.mark.slow),
        pytest.param(CUT, *LOST, marks=pytest.mark.slow),
    ],
)
def test_persons_do_not_depend_on_the_samples(path: Path, fps: float, drop: Sequence[int]) -> None:
    assert partition(usual(path), scan(path, fps, drop), persons=True)


def person(seed: int, count: int, spread: float = 0.3) -> FloatArray:
    """Embeddings of one person: unit vectors around a direction."""
    random = np.random.default_rng(seed)
    base = random.normal(0, 1, 128)
    base /= np.linalg.norm(base)
    vectors = base + random.normal(0, spread / 128**0.5, (count, 128))
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


@pytest.mark.parametrize(("before", "after"), [(2, 2), (2, 30), (30, 2), (9, 9)])
def test_a_change_of_person_is_certain(before: int, after: int) -> None:
    (change,) = person_changes(np.concatenate([person(1, before), person(2, after)]))
    assert (change.place, change.certain) == (before, True)


@pytest.mark.parametrize("count", [0, 1, 3, 4, 40])
def test_one_person_does_not_change(count: int) -> None:
    assert person_changes(person(1, count, 0.8)) == []


def test_a_person_between_two_stretches_of_another() -> None:
    changes = person_changes(np.concatenate([person(1, 6), person(2, 5), person(1, 6)]))
    assert [(one.place, one.certain) for one in changes] == [(6, True), (11, True)]


def test_unlike_faces_of_no_clear_side_are_a_doubt() -> None:
    """Two people who look alike: less similar than one person ever is, more similar than two certainly are."""
    one, other = person(1, 6), person(2, 6)
    alike = 0.3 * one + 0.95 * other
    (change,) = person_changes(np.concatenate([one, alike / np.linalg.norm(alike, axis=1, keepdims=True)]))
    assert (change.place, change.certain) == (6, False)


def test_one_strange_face_is_no_other_person() -> None:
    assert person_changes(np.concatenate([person(1, 6), person(2, 1), person(1, 6)])) == []


def made_track(times: DoubleArray, x: DoubleArray, face_id: int = 0) -> Track:
    boxes = np.tile(np.array([0, 50, 40, 40], np.float32), (len(times), 1))
    boxes[:, 0] = x
    ones, none = np.ones(len(times), np.float32), np.zeros((0, 1, 1), np.uint8)
    return Track(face_id, np.round(times * 25).astype(np.int64), times, boxes, ones, ones, none)


def test_it_is_unclear_where_faces_meet_are_lost_or_jump() -> None:
    times = np.arange(30, dtype=np.float64) / 5
    passing = made_track(times, 10 * np.arange(30, dtype=np.float64))
    standing = made_track(times, np.full(30, 150.0), 1)
    lost = made_track(np.delete(times, range(10, 14)), np.full(26, 600.0), 2)
    jumping = made_track(times, np.where(times < 3, 900.0, 990.0), 3)
    met, also_met, gone, jumped = unclear_spans([passing, standing, lost, jumping])
    assert met == also_met
    assert np.allclose(met, [(2.2, 3.8)])
    assert np.allclose(gone, [(1.8, 2.8)])
    assert np.allclose(jumped, [(2.8, 3.0)])
    assert unclear_spans([]) == []


def test_faces_before_and_after_an_unclear_span_are_checked() -> None:
    times = np.linspace(0.0, 11.4, 20)
    assert choose_to_check(times, []) == [3, 10, 16]
    assert choose_to_check(times, [(4.3, 5.0)]) == [3, 7, 9, 10, 16]
    assert choose_to_check(times, [(0.0, 20.0)]) == [3, 10, 16]
    assert choose_to_check(np.zeros(0), [(1.0, 2.0)]) == []
    assert len(choose_to_check(np.linspace(0.0, 1200.0, 2000), [(10.0 * k, 10.0 * k + 1) for k in range(100)])) <= 24


def test_the_boundary_lies_where_the_look_changes() -> None:
    random = np.random.default_rng(0)
    one, other = random.integers(0, 255, (2, 48, 48))
    for change in range(3, 8):
        looks = [one if row < change else other for row in range(10)]
        crops = np.clip(np.stack(looks) + random.normal(0, 8, (10, 48, 48)), 0, 255).astype(np.uint8)
        assert boundary(crops, 2, 7) == change


def test_a_doubt_says_two_people() -> None:
    """The text is part of the tables, and corrections compare it."""
    assert TWO_PEOPLE == "may hold two people"
