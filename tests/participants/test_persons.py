"""Which faces of a person are compared."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fervid.participants.persons import FACES, choose, list_persons
from fervid.results.reader import read_results
from tests.support.made_tracks import MadeClip, MadePerson, write_tracks


def chosen(tracks: list[int], sides: list[float] | float = 120, qualities: list[float] | float = 0.9) -> list[int]:
    count = len(tracks)
    boxes = np.zeros((count, 4), np.float32)
    boxes[:, 2] = boxes[:, 3] = sides
    values = np.full(count, qualities, np.float32) if isinstance(qualities, float) else np.array(qualities, np.float32)
    return choose(np.array(tracks), np.arange(count) / 5, boxes, values)


@pytest.mark.parametrize("count", [1, 3, 7, 8, 9, 100])
def test_at_most_as_many_faces_as_can_be_used_spread_over_time(count: int) -> None:
    found = chosen([0] * count)
    assert len(found) == min(count, FACES)
    assert found == sorted(set(found))
    if count == 100:
        assert max(np.diff([*found, 100])) <= 25
        assert found[0] < 13


def test_the_best_face_of_each_stretch_is_taken() -> None:
    qualities = [0.4] * 80
    for best in range(5, 80, 10):
        qualities[best] = 0.9
    assert chosen([0] * 80, qualities=qualities) == list(range(5, 80, 10))


def test_a_larger_face_is_better_up_to_the_input_of_the_embedder() -> None:
    assert chosen([0] * 16, sides=[60.0, 100.0] * 8) == list(range(1, 16, 2))
    assert chosen([0] * 16, sides=[120.0, 400.0] * 8) == list(range(0, 16, 2))


def test_small_and_unclear_faces_are_left_out() -> None:
    assert chosen([0, 0, 0], sides=[31.0, 32.0, 50.0], qualities=[0.9, 0.29, 0.5]) == [2]
    assert chosen([0, 0], qualities=0.1) == []
    assert chosen([]) == []


def test_every_track_has_a_share_and_long_ones_a_larger_one() -> None:
    tracks = [0] * 60 + [1] * 2 + [2] * 30
    found = [tracks[row] for row in chosen(tracks)]
    assert len(found) == FACES
    assert {0, 1, 2} == set(found)
    assert found.count(0) > found.count(2) > found.count(1)


def test_of_many_tracks_those_with_the_best_faces_are_compared() -> None:
    qualities = [0.5] * 20
    qualities[3] = qualities[17] = 0.95
    found = chosen(list(range(20)), qualities=qualities)
    assert len(found) == FACES
    assert {3, 17} <= set(found)


def test_a_face_without_a_person_is_a_person_of_its_own(tmp_path: Path) -> None:
    people = [
        MadePerson(1, [range(50)], 0, 0),
        MadePerson(2, [range(20, 30)], 1, None),
        MadePerson(3, [range(50, 100)], 2, 0),
        MadePerson(4, [range(60, 70)], 3, None),
    ]
    path = write_tracks(
        tmp_path / "r.parquet", {"b.mp4": MadeClip(people), "a.mp4": MadeClip([]), "c.mp4": MadeClip(people[:1])}
    )
    persons = list_persons(read_results(path))
    assert [(one.video, one.person, one.face_id) for one in persons] == [
        ("b.mp4", 0, 0),
        ("b.mp4", None, 1),
        ("b.mp4", None, 3),
        ("c.mp4", 0, 0),
    ]
    whole, early, late, other = persons
    assert len(whole.frames) == 100
    assert whole.is_seen_with(early)
    assert whole.is_seen_with(late)
    assert not early.is_seen_with(late)
    assert not whole.is_seen_with(other)
    assert {face.face_id for face in whole.chosen} == {0, 2}
    assert [face.person for one in persons for face in one.chosen[:1]] == [0, 1, 2, 3]
    assert early.name == "b.mp4, face 1"
    assert other.name == "c.mp4, person 0 (face 0)"
