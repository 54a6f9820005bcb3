"""A part of the tracking benchmark, checks of its scenes, and real videos whose people were counted by hand."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from fervid.faces.crop import FER2013_GEOMETRY
from fervid.scan.scan import track_faces
from fervid.settings import ScanSettings
from fervid.types import Face, Track
from fervid.video.reader import VideoReader
from tests.benchmarks.composites import Actor, DrawnScene, Scene, Shot, at_rate, detector, draw, sampled_frames, walk

pytest.importorskip("trackers", reason="needs the extra benchmark")

from tests.benchmarks import scenes, tracking


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    yield
    cv2.setNumThreads(threads)


def small(join: str) -> Scene:
    """Two people pass each other. After a cut each is in the other's place."""
    first = (
        Actor(0, walk("0 130 180 100, 0.3 130 180 100, 1.7 510 180 100, 2.4 510 180 100"), depth=((0, 1),)),
        Actor(1, walk("0 510 175 95, 0.3 510 175 95, 1.7 130 175 95, 2.4 130 175 95")),
    )
    then = (Actor(1, walk("0 510 180 100, 6 500 180 100")), Actor(0, walk("0 130 175 95, 6 140 175 95")))
    return Scene("small", (Shot(2.2, first, 1), Shot(3.4, then, 2)), at_rate(10, 3.4), (join,), fade=0.4)


@pytest.mark.slow
@pytest.mark.parametrize("join", ["cut", "dissolve"])
def test_two_people_who_pass_keep_their_ids_and_no_track_crosses_a_cut(join: str) -> None:
    native, slower = tracking.measure(small(join))
    for scores in (native, slower):
        ours = scores["fervid"]
        assert ours.crossings == 1
        assert ours.bridged == 0
        assert ours.clear["IDSW"] == 0
        assert ours.identity["IDF1"] >= 0.95
        # library trackers are measured on the same detections
        assert set(scores) - {"fervid --follow-faces"} == {"fervid", "fervid --adaptive", *tracking.PEERS}
        assert all(scores[name].ceiling == ours.ceiling for name in tracking.PEERS)
        assert all(0 <= one.identity["IDF1"] <= 1 for one in scores.values())
    assert all(one.identity["IDF1"] > 0.3 for one in native.values())
    assert "fervid --follow-faces" in native


def test_no_track_crosses_a_dissolve() -> None:
    drawn = DrawnScene(small("dissolve"))
    rows, sampled = tracking.play(drawn, 5.0, detector()), sampled_frames(drawn.scene.times, 5.0)
    ours = tracking.score(drawn, rows, sampled, [[] for _ in sampled])
    assert ours.bridged == 0
    assert ours.clear["IDSW"] == 0
    assert ours.identity["IDF1"] >= 0.95


def test_the_cache_distinguishes_images_that_do_not_stay_in_memory() -> None:
    drawn = DrawnScene(small("cut"))
    plain, caching = detector(), tracking.CachingDetector(detector())
    for image in drawn.images[:: len(drawn.images) - 1]:
        for _ in range(2):
            half = image[: image.shape[0] // 2].copy()  # its memory is used again at once
            assert caching.detect(half) == plain.detect(half)
            del half


def test_the_score_drops_after_a_swap_and_counts_tracks_over_a_cut() -> None:
    drawn = DrawnScene(small("cut"))
    rows = tracking.play(drawn, 5.0, tracking.CachingDetector(detector()))
    sampled = sampled_frames(drawn.scene.times, 5.0)
    found: list[list[Face]] = [[] for _ in sampled]
    times = [drawn.scene.times[index] for index in sampled]
    good = tracking.score(drawn, rows, sampled, found)
    swapped: tracking.Rows = [
        [((1 - number if times[index] > 1.2 and number < 2 else number), box) for number, box in row]
        for index, row in enumerate(rows)
    ]
    assert tracking.score(drawn, swapped, sampled, found).identity["IDF1"] < good.identity["IDF1"] - 0.1
    bridging: tracking.Rows = [[(number % 2, box) for number, box in row] for row in rows]
    assert good.bridged == 0
    assert tracking.score(drawn, bridging, sampled, found).bridged == 2


def test_the_ground_truth_is_the_box_of_the_isolated_head() -> None:
    scene = small("cut")
    picture, faces = draw(scene, 0.1)
    found = detector().detect(picture)
    similar = tracking._overlap(
        [(0, np.array(face.box)) for face in faces], [(0, np.array(face.box)) for face in found]
    )
    assert similar.shape == (2, 2)
    assert similar.max(axis=1).min() > 0.75
    assert [face.visible for face in faces] == pytest.approx([1, 1], abs=0.02)


def test_a_covered_face_is_less_visible() -> None:
    scene = small("cut")
    shares: dict[int, list[float]] = {face.actor[1]: [] for face in draw(scene, 0.1)[1]}
    for time in (0.5, 0.8, 0.95, 1.0):
        for face in draw(scene, time)[1]:
            shares[face.actor[1]].append(face.visible)
    assert shares[0] == pytest.approx([1, 1, 1, 1], abs=0.02)
    assert np.all(np.diff(shares[1]) <= 0)
    assert shares[1][-1] < 0.3


@pytest.mark.parametrize("make", scenes.SCENES, ids=lambda make: make.__name__)
def test_scenes_are_well_formed(make: object) -> None:
    scene: Scene = make()  # type: ignore[operator]
    assert np.all(np.diff(scene.times) > 0)
    assert len(scene.joins) == len(scene.shots) - 1
    assert scene.shots[-1].end >= scene.times[-1]
    assert [shot.end for shot in scene.shots] == sorted(shot.end for shot in scene.shots)
    for shot in scene.shots:
        assert len({layer.depth_at(0.0) for layer in shot.layers}) >= 1
        for layer in shot.layers:
            assert np.all(np.diff([key[0] for key in layer.keys]) > 0)


# real videos


def tracks_of(path: Path, fps: float) -> list[Track]:
    settings = ScanSettings(fps=fps)
    with VideoReader(path, fps=fps) as reader:
        return track_faces(reader.frames(), settings, FER2013_GEOMETRY, detector()).tracks


FRONT = {
    "the man with red hair": (666, 0.0, 4.0),
    "the boy": (918, 0.0, 4.0),
    "the woman with white hair": (290, 0.25, 3.55),
    "the man in the leather jacket": (1122, 1.85, 4.0),
}
"""Left edge of the face in pixels when it is first fully visible, and start and end of that time in seconds."""


def test_the_front_walkers_keep_one_id_while_they_are_fully_visible(shared_media: Path) -> None:
    tracks = tracks_of(shared_media / "crowd_1080p.mp4", 5.0)
    for left, begin, end in FRONT.values():
        there = [track for track in tracks if track.times[0] <= begin + 0.2 and track.times[-1] >= end - 0.5]
        edges = [float(track.boxes[track.times >= begin - 1e-6][0, 0]) for track in there]
        track = there[int(np.abs(np.array(edges) - left).argmin())]
        assert min(abs(edge - left) for edge in edges) < 15
        seen = track.times[(track.times >= begin) & (track.times <= end)]
        assert seen[0] <= begin + 0.2
        assert seen[-1] >= end - 0.2
        assert np.diff(seen).max() < 0.45
    passing = [t for t in tracks if t.boxes[-1, 0] - t.boxes[0, 0] > 600]
    assert [bool(t.times[0] <= 0.2 and t.times[-1] >= 1.2) for t in passing] == [True]


@pytest.mark.parametrize("fps", [5.0])
def test_two_people_cross_without_a_swap_in_a_sample_clip(shared_media: Path, fps: float) -> None:
    with (shared_media / "composite_cross_gt.csv").open(newline="") as file:
        tiles = [row for row in csv.DictReader(file) if float(row["visible_frac"]) > 0.75]
    where: dict[int, dict[str, tuple[float, float, float, float]]] = {}
    for row in tiles:
        x, y, width, height = (float(row[key]) for key in "xywh")
        where.setdefault(int(row["frame"]), {})[row["id"]] = (x, y, x + width, y + height)
    owners: dict[int, set[str]] = {}
    for track in tracks_of(shared_media / "composite_cross.mp4", fps):
        for frame, (x, y, width, height) in zip(track.frames, track.boxes, strict=True):
            middle = x + width / 2, y + height / 2
            names = [n for n, (a, b, c, d) in where[int(frame)].items() if a < middle[0] < c and b < middle[1] < d]
            if len(names) == 1:
                owners.setdefault(track.face_id, set()).update(names)
    assert owners == {0: {"A"}, 1: {"B"}, 2: {"B"}}  # B is absent for 1.2 s, more than max_gap
