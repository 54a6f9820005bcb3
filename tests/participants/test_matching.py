"""Names from similarities: the threshold, the margin, one name in one place at a time, and groups."""

from __future__ import annotations

import tracemalloc
from collections.abc import Sequence

import numpy as np
import pytest
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform

from fervid.participants.embedding import robust_average
from fervid.participants.matching import (
    MARGIN,
    THRESHOLD,
    Match,
    average_linkage,
    group_persons,
    match_names,
    without_taken,
)
from fervid.participants.persons import Person
from fervid.types import FloatArray

NAMES = ["Ann", "Ben", "Cat"]
KNOWN = np.eye(3, 128, dtype=np.float32)


def person(number: int, video: str = "a.mp4", frames: Sequence[int] = (), name: str | None = None) -> Person:
    return Person(video, number, number, np.array(frames or [number], np.int64), 0.0, name, ())


def vector(*similarities: float) -> FloatArray:
    """A unit vector with these similarities to the names."""
    made = np.zeros(128, np.float32)
    made[: len(similarities)] = similarities
    made[100] = np.sqrt(1 - (made**2).sum())
    return made


def matched(persons: Sequence[Person], vectors: Sequence[FloatArray], threshold: float = 0.5) -> list[Match]:
    return match_names(persons, vectors, NAMES, KNOWN, threshold)


def test_the_most_similar_name_is_given_with_its_margin() -> None:
    (found,) = matched([person(0)], [vector(0.1, 0.7, 0.3)])
    assert (found.name, found.nearest, found.reason) == ("Ben", "Ben", None)
    assert found.similarity == pytest.approx(0.7)
    assert found.margin == pytest.approx(0.4)


@pytest.mark.parametrize(
    ("similarities", "reason"),
    [
        ((0.49, 0.1, 0), "below the threshold 0.5"),
        ((-0.3, -0.2, -0.1), "below the threshold 0.5"),
        ((0.6, 0.6 - MARGIN + 0.01, 0), r"Ben is nearly as similar \(0.51\)"),
    ],
)
def test_unknown_stays_unknown(similarities: tuple[float, ...], reason: str) -> None:
    (found,) = matched([person(0)], [vector(*similarities)])
    assert found.name is None
    assert found.nearest == NAMES[int(np.argmax(similarities))]
    assert found.reason is not None
    assert pytest.approx(max(similarities)) == found.similarity
    assert found.reason == reason.replace("\\", "")


def test_one_name_needs_no_margin() -> None:
    (found,) = match_names([person(0)], [vector(0.6)], ["Ann"], KNOWN[:1], 0.5)
    assert (found.name, found.margin) == ("Ann", None)


def test_of_two_that_are_seen_at_once_the_clearly_more_similar_one_has_the_name() -> None:
    both = [person(0, frames=[1, 2]), person(1, frames=[2, 3])]
    found = matched(both, [vector(0.6), vector(0.9)])
    assert [one.name for one in found] == [None, "Ann"]
    assert found[0].reason == "person 1 (face 1), seen at the same time, looks like Ann too"


def test_of_two_that_are_seen_at_once_and_are_as_similar_nobody_has_the_name() -> None:
    both = [person(0, frames=[1, 2]), person(1, frames=[2, 3])]
    assert [one.name for one in matched(both, [vector(0.8), vector(0.75)])] == [None, None]


def test_one_name_may_be_at_several_times_and_in_several_videos() -> None:
    apart = [person(0, frames=[1, 2]), person(1, frames=[3]), person(2, "b.mp4", [1, 2])]
    assert [one.name for one in matched(apart, [vector(0.8)] * 3)] == ["Ann"] * 3


def test_a_name_that_a_correction_gave_is_taken_at_its_times() -> None:
    named = [person(5, frames=[1], name="Ann")]
    persons = [person(0, frames=[1]), person(1, frames=[2]), person(2, "b.mp4", [1])]
    found = without_taken(persons, matched(persons, [vector(0.8)] * 3), named)
    assert [one.name for one in found] == [None, "Ann", "Ann"]
    assert found[0].reason == "person 5 (face 5), seen at the same time, is Ann by a correction"


@pytest.mark.parametrize("similar", [True, False], ids=["to the named one elsewhere", "to two that have one name"])
def test_a_group_gives_no_name_that_another_person_has_at_that_time(similar: bool) -> None:
    """Corrections may call two unlike persons by one name; each draws others into its own group."""
    named = [person(0, "a.mp4", [1, 2], "Ann"), person(0, "b.mp4", [1], "Ann")]
    others = [person(1, "a.mp4", [2, 3])] if similar else [person(0, "c.mp4", [5]), person(1, "c.mp4", [5])]
    vectors = [vector(1), vector(0, 1), *([vector(0, 1)] if similar else [vector(1), vector(0, 1)])]
    persons = [*named, *others]
    made = group_persons(persons, vectors, 0.5)
    assert [one.name for one in made] == ["Ann"] * len(persons)
    found = without_taken(persons, made, named)
    assert [one.name for one in found] == ["Ann", "Ann", *[None] * len(others)]
    how = "is Ann by a correction" if similar else "looks like Ann too"
    assert found[-1].reason == f"person 0 (face 0), seen at the same time, {how}"


# groups


def test_persons_of_all_videos_are_grouped_in_their_order() -> None:
    persons = [person(0, "a.mp4"), person(1, "a.mp4"), person(0, "b.mp4"), person(0, "c.mp4")]
    found = group_persons(persons, [vector(0, 1), vector(1), vector(0.9), vector(0, 0, 1)], 0.5)
    assert [one.name for one in found] == ["P01", "P02", "P02", "P03"]
    assert found[1].similarity == pytest.approx(0.9)
    assert found[1].margin == pytest.approx(0.9)
    assert found[0].similarity is None
    assert group_persons([], [], 0.5) == []


def test_two_that_are_seen_at_once_are_never_in_one_group() -> None:
    persons = [person(0, frames=[1, 2]), person(1, frames=[2]), person(0, "b.mp4", [9])]
    found = group_persons(persons, [vector(1), vector(1), vector(1)], THRESHOLD)
    assert found[0].name != found[1].name
    assert found[2].name in (found[0].name, found[1].name)


def test_groups_keep_the_names_that_corrections_gave() -> None:
    persons = [person(0, name="P01"), person(1, "b.mp4"), person(2, "c.mp4", name="Ben"), person(3, "d.mp4")]
    found = group_persons(persons, [vector(1), vector(1), vector(1), vector(0, 1)], 0.5)
    assert found[0].name == "P01"
    assert found[2].name == "Ben"
    assert found[1].name in ("P01", "Ben")
    assert found[3].name == "P02"


@pytest.mark.parametrize("seed", range(5))
def test_without_constraints_the_groups_are_those_of_scipy(seed: int) -> None:
    random = np.random.default_rng(seed)
    centres = random.normal(size=(8, 128))
    vectors = centres[random.integers(0, 8, 60)] + 0.9 * random.normal(size=(60, 128))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    groups = average_linkage(vectors, [set()] * 60, np.full(60, -1), 0.4)
    distances = np.maximum(1 - vectors @ vectors.T, 0)
    np.fill_diagonal(distances, 0)
    expected = fcluster(linkage(squareform(distances, checks=False), "average"), 0.6, "distance")
    ours = np.zeros(60, int)
    for number, group in enumerate(groups):
        ours[group] = number
    assert 1 < len(groups) < 60
    assert ((ours[:, None] == ours) == (expected[:, None] == expected)).all()


def test_constraints_hold_for_whole_groups() -> None:
    random = np.random.default_rng(0)
    vectors = np.eye(1, 128).repeat(40, axis=0) + 0.02 * random.normal(size=(40, 128))
    apart = np.triu(random.random((40, 40)) < 0.1, 1)
    apart |= apart.T
    names = np.where(random.random(40) < 0.3, random.integers(0, 2, 40), -1)
    groups = average_linkage(vectors, [set(np.flatnonzero(row).tolist()) for row in apart], names, 0.5)
    assert sorted(row for group in groups for row in group) == list(range(40))
    assert len(groups) < 20
    for group in groups:
        assert not apart[np.ix_(group, group)].any()
        assert len({name for name in names[group] if name >= 0}) <= 1


@pytest.mark.parametrize("seed", [*range(6), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(6, 20))])
def test_groups_are_those_of_joining_the_two_most_similar_again_and_again(seed: int) -> None:
    """The same, with constraints, by looking at all pairs before each join."""
    random = np.random.default_rng(seed)
    vectors = random.normal(size=(6, 16))[random.integers(0, 6, 40)] + 0.7 * random.normal(size=(40, 16))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    names = np.where(random.random(40) < 0.2, random.integers(0, 3, 40), -1)
    apart = np.triu(random.random((40, 40)) < 0.05, 1)
    apart |= apart.T
    unlike = apart | ((names[:, None] != names) & (names[:, None] >= 0) & (names >= 0))
    expected = [[row] for row in range(40)]
    while True:
        means = {
            (one, other): (vectors[a] @ vectors[b].T).mean()
            for one, a in enumerate(expected)
            for other, b in enumerate(expected)
            if one < other and not unlike[np.ix_(a, b)].any()
        }
        if not means or max(means.values()) < 0.3:
            break
        one, other = max(means, key=means.__getitem__)
        expected[one] += expected.pop(other)
    groups = average_linkage(vectors, [set(np.flatnonzero(row).tolist()) for row in apart], names, 0.3)
    assert sorted(map(sorted, groups)) == sorted(map(sorted, expected))


def test_memory_does_not_grow_with_all_pairs() -> None:
    random = np.random.default_rng(0)
    vectors = random.normal(size=(3000, 128))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    persons = [person(0, f"{number}.mp4") for number in range(3000)]
    tracemalloc.start()
    try:
        found = group_persons(persons, [*vectors[:2990], *vectors[:10]], 0.5)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len({one.name for one in found}) == 2990
    assert peak < 30e6  # one table of all pairs takes 36 MB or 72 MB


# averages


def noisy(centre: int, count: int, seed: int) -> list[FloatArray]:
    random = np.random.default_rng(seed)
    made = np.eye(128)[centre] + 0.04 * random.normal(size=(count, 128))
    return list((made / np.linalg.norm(made, axis=1, keepdims=True)).astype(np.float32))


def test_faces_of_someone_else_are_left_out_of_the_average() -> None:
    average = robust_average([*noisy(0, 6, 1), *noisy(1, 2, 2)])
    assert average.kept == [True] * 6 + [False] * 2
    assert average.vector is not None
    assert np.linalg.norm(average.vector) == pytest.approx(1, abs=1e-5)
    assert abs(average.vector[1]) < 0.1


def test_two_people_in_equal_parts_are_nobody() -> None:
    assert robust_average([*noisy(0, 4, 1), *noisy(1, 4, 2)]).vector is None


def test_one_and_two_faces_are_taken_as_they_are() -> None:
    one, other = noisy(0, 1, 1)[0], noisy(1, 1, 2)[0]
    assert robust_average([]).vector is None
    single = robust_average([one]).vector
    assert single is not None
    np.testing.assert_allclose(single, one, atol=1e-6)
    assert robust_average([one, other]).kept == [True, True]
