"""Lanes: every face is in one, the faces of a person are together unless they are seen at once."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pandas as pd
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fervid.results.lanes import Lane, lanes

COLUMNS = ["face_id", "person", "participant", "first_seen", "last_seen"]


def summary(*rows: tuple[Any, ...]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=COLUMNS)
    return frame.astype({"face_id": "Int32", "person": "Int32", "participant": object})


def test_the_faces_of_a_person_share_a_lane_and_others_have_their_own() -> None:
    table = summary((0, 1, None, 0, 4), (1, None, None, 0, 9), (2, 0, "Ann", 1, 3), (3, 1, None, 5, 6))
    assert lanes(table) == [
        Lane("person 1", 1, (0, 3)),
        Lane("face 1", None, (1,)),
        Lane("Ann", 0, (2,), participant="Ann"),
    ]


def test_faces_of_one_person_that_are_seen_at_once_get_lanes_of_their_own() -> None:
    table = summary(
        (0, 5, "Ann", 0, 4), (1, 5, "Ann", 4, 8), (2, 5, "Ann", 9, 10), (3, 6, None, 0, 2), (4, 6, None, 1, 3)
    )
    assert lanes(table) == [
        Lane("Ann", 5, (0, 2), False, "Ann"),
        Lane("Ann, person 5", 5, (1,), False, "Ann"),
        Lane("person 6", 6, (3,), False),
        Lane("person 6, face 4", 6, (4,), False),
    ]


@pytest.mark.parametrize("name", ["person 1", "face 2", "Ann", "Ann, person 3"])
def test_no_two_lanes_have_one_name(name: str) -> None:
    table = summary(
        (0, 0, name, 0, 1), (1, 1, None, 0, 1), (2, None, None, 0, 1), (3, 3, name, 2, 3), (4, 4, name, 4, 5)
    )
    names = [lane.name for lane in lanes(table)]
    assert len(set(names)) == 5
    assert names[0] == name


FACES = st.lists(
    st.tuples(
        st.sampled_from([None, 0, 1, 2]), st.sampled_from([None, "Ann", "face 1"]), st.floats(0, 9), st.floats(0, 9)
    ),
    max_size=9,
)


@given(FACES)
@example([(0, "Ann", 0, 1), (1, "Ann", 0, 1), (2, "Ann", 0, 1), (0, "Ann", 0, 1), (1, "Ann", 0, 1)])
def test_every_face_is_in_one_lane_and_lanes_never_overlap(faces: list[tuple[Any, ...]]) -> None:
    table = summary(*((i, person, name, min(a, b), max(a, b)) for i, (person, name, a, b) in enumerate(faces)))
    found = lanes(table)
    assert sorted(face for lane in found for face in lane.faces) == list(range(len(faces)))
    assert len({lane.name for lane in found}) == len(found)
    spans = table.set_index("face_id")
    for lane in found:
        assert all(spans.loc[a, "last_seen"] < spans.loc[b, "first_seen"] for a, b in pairwise(lane.faces))
        assert {None if pd.isna(one) else int(one) for one in spans.loc[list(lane.faces), "person"]} == {lane.person}
