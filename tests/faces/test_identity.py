"""Clustering tracks by person: synthetic embeddings, and real people where the weights are installed."""

from __future__ import annotations

from functools import lru_cache
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fervid.errors import BadWeights
from fervid.faces.crop import FER2013_GEOMETRY
from fervid.faces.detectors import create_detector
from fervid.faces.embedding import SFACE, FaceEmbedder
from fervid.faces.identity import (
    EMBEDDINGS_PER_TRACK,
    MERGE_SIMILARITY,
    MIN_PAIR_SIMILARITY,
    choose_for_embedding,
    cluster_tracks,
)
from fervid.results.rows import VideoFaces, timeline_table
from fervid.scan import scan
from fervid.scan.scan import track_faces
from fervid.settings import ScanSettings
from fervid.types import FloatArray, Track
from fervid.video.reader import VideoReader
from tests.support.paths import ROOT


def people(*names: int, spread: float = 0.03, count: int = 4) -> list[FloatArray]:
    """Embeddings (count, 128) of one track per entry of ``names``. A larger ``spread`` makes them less similar."""
    faces = np.random.default_rng(7).normal(size=(8, 128))
    faces /= np.linalg.norm(faces, axis=1, keepdims=True)
    random = np.random.default_rng(1)
    tracks = []
    for name in names:
        vectors = faces[name] + random.normal(0, spread, (count, 128))
        tracks.append(np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32))
    return tracks


def apart(count: int) -> list[np.ndarray[tuple[int, ...], np.dtype[np.int64]]]:
    """Frames of consecutive tracks."""
    return [np.arange(10 * track, 10 * track + 10) for track in range(count)]


def test_tracks_of_one_person_share_a_number_counted_from_zero() -> None:
    assert cluster_tracks(people(3, 5, 3, 1, 5), apart(5)) == [0, 1, 0, 2, 1]


def test_no_tracks_give_no_persons() -> None:
    assert cluster_tracks([], []) == []


def test_tracks_in_the_same_frame_are_two_persons() -> None:
    frames = [np.arange(10), np.arange(5, 15), np.arange(20, 30)]
    assert cluster_tracks(people(3, 3, 4), frames) == [0, 1, 2]


def test_a_track_is_not_merged_with_the_group_of_a_track_in_the_same_frame() -> None:
    frames = [np.arange(10), np.arange(20, 30), np.arange(25, 35)]
    first, second, third = cluster_tracks(people(3, 3, 3), frames)
    assert second != third
    assert first in (second, third)


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_embeddings_give_no_person(count: int) -> None:
    few = np.zeros((count, 128), np.float32) if count == 0 else people(2, count=1)[0]
    assert cluster_tracks([people(2)[0], few, people(2)[0]], apart(3)) == [0, None, 0]


def test_inconsistent_embeddings_give_no_person() -> None:
    mixed = np.concatenate(people(0, 1, 2, 3, 4, 5, 6, 7, count=1))
    assert cluster_tracks([mixed, people(2)[0]], apart(2)) == [None, 0]


def test_moderate_similarity_is_not_merged() -> None:
    one, other = (track.mean(axis=0) for track in people(0, 1))
    between = 0.55 * one + 0.83 * other  # cosine to the first about 0.55
    track = np.tile(np.asarray(between / np.linalg.norm(between), np.float32), (4, 1))
    assert cluster_tracks([people(0)[0], track], apart(2)) == [0, 1]


@given(
    names=st.lists(st.integers(0, 3), max_size=7),
    spread=st.sampled_from([0.02, 0.08, 0.15]),
    begins=st.lists(st.integers(0, 30), min_size=7, max_size=7),
)
def test_invariants(names: list[int], spread: float, begins: list[int]) -> None:
    frames = [np.arange(begin, begin + 6) for begin in begins[: len(names)]]
    persons = cluster_tracks(people(*names, spread=spread), frames)
    known = [person for person in persons if person is not None]
    assert len(persons) == len(names)
    assert list(dict.fromkeys(known)) == list(range(len(set(known))))
    for first, second in combinations(range(len(names)), 2):
        if persons[first] is not None and persons[first] == persons[second]:
            assert not np.isin(frames[first], frames[second]).any()


def by_definition(
    tracks: list[FloatArray], frames: list[np.ndarray[tuple[int, ...], np.dtype[np.int64]]]
) -> set[frozenset[int]]:
    """The groups, with all pairs compared again after each merge."""
    means = [track.mean(axis=0) / np.linalg.norm(track.mean(axis=0)) for track in tracks]
    groups = [[track] for track in range(len(tracks))]
    while True:
        best, pair = MERGE_SIMILARITY, None
        for first, second in combinations(range(len(groups)), 2):
            members = [(one, other) for one in groups[first] for other in groups[second]]
            if any(means[one] @ means[other] < MIN_PAIR_SIMILARITY for one, other in members):
                continue
            if any(np.isin(frames[one], frames[other]).any() for one, other in members):
                continue
            a, b = (np.mean([means[track] for track in groups[place]], axis=0) for place in (first, second))
            similarity = float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))
            if similarity >= best:
                best, pair = similarity, (first, second)
        if pair is None:
            return {frozenset(group) for group in groups}
        groups[pair[0]] += groups.pop(pair[1])


@pytest.mark.parametrize("seed", [*range(4), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(4, 12))])
def test_the_most_similar_groups_are_merged_first(seed: int) -> None:
    random = np.random.default_rng(seed)
    names = random.integers(0, 4, 24).tolist()
    tracks = people(*names, spread=random.uniform(0.02, 0.06), count=3)
    strangers = [track + 0.5 * tracks[int(random.integers(24))] for track in tracks[::4]]
    tracks += [np.asarray(track / np.linalg.norm(track, axis=1, keepdims=True), np.float32) for track in strangers]
    frames = [np.arange(begin, begin + 6) for begin in random.integers(0, 150, len(tracks)).tolist()]
    persons = cluster_tracks(tracks, frames)
    assert None not in persons
    found = {frozenset(track for track, other in enumerate(persons) if other == person) for person in persons}
    assert found == by_definition(tracks, frames)
    assert 4 <= len(found) < len(tracks)


# real people


@lru_cache(maxsize=1)
def embedder() -> FaceEmbedder:
    return FaceEmbedder()


def tracks_of(path: Path, fps: float = 4.0, end: float | None = None) -> list[Track]:
    settings = ScanSettings(fps=fps, end=end)
    with VideoReader(path, fps=fps, end=end) as reader:
        return track_faces(
            reader.frames(), settings, FER2013_GEOMETRY, create_detector(settings), None, embedder()
        ).tracks


def test_embeddings_are_unit_vectors_that_distinguish_two_people() -> None:
    vectors, detector = [], create_detector(ScanSettings())
    for name in ("pan_zoom.mp4", "rotated.mp4"):
        with VideoReader(ROOT / "sample_videos" / name, fps=1) as reader:
            images = [frame.image for frame in reader.frames() if frame.sampled][:3]
        vectors.append([embedder().embed(image, detector.detect(image)[0]) for image in images])
    for vector in (*vectors[0], *vectors[1]):
        assert vector.shape == (128,)
        assert vector.dtype == np.float32
        assert float(np.linalg.norm(vector)) == pytest.approx(1, abs=1e-5)
    assert min(float(a @ b) for row in vectors for a in row for b in row) > 0.8
    assert max(float(a @ b) for a in vectors[0] for b in vectors[1]) < 0.3


def test_a_person_who_returns_has_a_new_track_and_the_same_person() -> None:
    tracks = tracks_of(ROOT / "sample_videos" / "leaving.mp4")
    assert len(tracks) >= 2
    assert {track.person for track in tracks if len(track.times) >= 4} == {0}


def test_a_cut_to_another_person_gives_another_person() -> None:
    assert [track.person for track in tracks_of(ROOT / "sample_videos" / "cut.mp4")] == [0, 1]


@pytest.mark.slow
def test_a_person_is_recognised_on_stage_and_in_close_up(shared_media: Path) -> None:
    tracks = tracks_of(shared_media / "hamilton_cuts.mp4", 5.0)
    stage = [track for track in tracks if track.times[-1] < 1.52 and track.boxes[0, 0] > 400]
    close = [track for track in tracks if 3.5 < track.times[0] < 7 and len(track.times) > 15]
    assert [track.person for track in stage] == [track.person for track in close] == [stage[0].person]
    assert stage[0].person is not None
    audience = [track.person for track in tracks if track.times[0] > 7.89 and track.person is not None]
    assert stage[0].person not in audience


def test_unexpected_weights_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.onnx"
    path.write_bytes(b"nothing")
    with pytest.raises(BadWeights, match=SFACE.sha256[:12]):
        FaceEmbedder(path)
    with pytest.raises(BadWeights, match="cannot read"):
        FaceEmbedder(tmp_path / "absent.onnx")


def test_refused_weights_leave_a_note_and_no_person(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> FaceEmbedder:
        raise BadWeights("x.onnx has another SHA-256")

    monkeypatch.setattr(scan, "FaceEmbedder", refuse)
    scan.cached_embedder.cache_clear()
    try:
        assert scan.cached_embedder() == (None, ["person identities not computed: x.onnx has another SHA-256"])
    finally:
        scan.cached_embedder.cache_clear()


def test_without_an_embedder_there_are_no_persons() -> None:
    with VideoReader(ROOT / "sample_videos" / "cut.mp4", fps=2) as reader:
        tracks = track_faces(
            reader.frames(), ScanSettings(fps=2), FER2013_GEOMETRY, create_detector(ScanSettings())
        ).tracks
    assert [track.person for track in tracks] == [None, None]


def test_the_table_holds_the_person_of_each_face() -> None:
    def track(face_id: int, frames: list[int], person: int | None) -> Track:
        count = len(frames)
        boxes, ones = np.ones((count, 4), np.float32), np.ones(count, np.float32)
        crops = np.zeros((count, 48, 48), np.uint8)
        return Track(face_id, np.array(frames), np.array(frames, float), boxes, ones, ones, crops, person)

    tracks = [track(0, [0, 1], 0), track(1, [1], None), track(2, [3], 0)]
    shares = [np.full((len(one.times), 7), 1 / 7, np.float32) for one in tracks]
    sizes = np.full((5, 2), 100, np.int32)
    faces = VideoFaces("id", np.arange(5), np.arange(5.0), sizes, tracks, shares, 5.0, participants={0: "Ann"})
    table = timeline_table(faces, shares)
    rows = [(row["frame"], row["face_id"], row["person"], row["participant"]) for row in table.to_pylist()]
    known, empty = (0, "Ann"), (None, None, None)
    assert rows == [(0, 0, *known), (1, 0, *known), (1, 1, None, None), (2, *empty), (3, 2, *known), (4, *empty)]
    assert str(table.schema.field("person").type) == "int32"


@pytest.mark.parametrize("count", [0, 1, 2, EMBEDDINGS_PER_TRACK, EMBEDDINGS_PER_TRACK + 1, 50])
def test_embedded_faces_are_spread_over_the_track(count: int) -> None:
    aligned_faces = list(range(100, 100 + count))
    taken = list(choose_for_embedding(aligned_faces))
    assert len(taken) == min(count, EMBEDDINGS_PER_TRACK)
    assert taken == sorted(set(taken) & set(aligned_faces))
    if count > EMBEDDINGS_PER_TRACK:
        gaps = np.diff(
            [100 - 0.5 * count / EMBEDDINGS_PER_TRACK, *taken, 100 + count * (1 + 0.5 / EMBEDDINGS_PER_TRACK)]
        )
        assert gaps.max() <= count / EMBEDDINGS_PER_TRACK + 1.5
