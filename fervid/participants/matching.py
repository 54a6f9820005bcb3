"""Who is who: persons compared with names, or with each other."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from fervid.participants.persons import Person
from fervid.types import DoubleArray, FloatArray

THRESHOLD = 0.5
"""Lowest cosine similarity at which a person gets a name, or two groups are joined. See docs/participants.md."""

MARGIN = 0.1
"""Smallest difference between the similarities to the first and to the second name."""


@dataclass(frozen=True, slots=True)
class Match:
    """Who a person is.

    Attributes:
        name: The participant; None if unknown.
        similarity: Cosine similarity to the most similar name; without a gallery, the mean to the others of the group.
            None if there is nothing to compare with.
        margin: How much less similar the next name, or the next group, is; None if there is none.
        nearest: The most similar name, which is ``name`` if there is one.
        reason: Why the name is unknown; None otherwise.
    """

    name: str | None = None
    similarity: float | None = None
    margin: float | None = None
    nearest: str | None = None
    reason: str | None = None


def match_names(
    persons: Sequence[Person], vectors: Sequence[FloatArray], names: Sequence[str], known: FloatArray, threshold: float
) -> list[Match]:
    """Name persons after the people of a gallery.

    A person gets the most similar name if the similarity reaches the threshold and the next name is clearly less
    similar. If two persons that are seen at the same time would get one name, the one that is clearly more similar
    keeps it.

    Args:
        persons: The persons.
        vectors: (128,) float32 unit vector of each.
        names: The names.
        known: (n, 128) float32 unit vector of each name.
        threshold: Lowest cosine similarity.

    Returns:
        A match for each person.
    """
    matches = [_nearest(known @ vector, names, threshold) for vector in vectors]
    by_name: dict[tuple[str, str], list[int]] = {}
    for number, (person, match) in enumerate(zip(persons, matches, strict=True)):
        if match.name is not None:
            by_name.setdefault((person.video, match.name), []).append(number)
    refused: dict[int, str] = {}
    for (_, name), members in by_name.items():
        for one in members:
            for other in members:
                if one != other and persons[one].is_seen_with(persons[other]):
                    lead = (matches[one].similarity or 0) - (matches[other].similarity or 0)
                    if lead < MARGIN:
                        refused[one] = f"{_short(persons[other])}, seen at the same time, looks like {name} too"
    return [replace(m, name=None, reason=refused[n]) if n in refused else m for n, m in enumerate(matches)]


def without_taken(persons: Sequence[Person], matches: Sequence[Match], named: Sequence[Person]) -> list[Match]:
    """Take back names with which one participant would be seen twice at the same time.

    A name from an earlier correction stays. Of two others that are seen at the same time, neither keeps the name.

    Args:
        persons: The persons.
        matches: The match of each.
        named: The persons that have names already.

    Returns:
        The matches.
    """
    called = [(person, person.participant) for person in named]
    called += [(one, match.name) for one, match in zip(persons, matches, strict=True) if one.participant is None]
    by_name: dict[tuple[str, str | None], list[Person]] = {}
    for person, name in called:
        by_name.setdefault((person.video, name), []).append(person)
    kept = list(matches)
    for number, (person, match) in enumerate(zip(persons, matches, strict=True)):
        if match.name is None or person.participant is not None:
            continue
        for other in by_name[person.video, match.name]:
            if other is not person and person.is_seen_with(other):
                is_it = other.participant is not None
                how = f"is {match.name} by a correction" if is_it else f"looks like {match.name} too"
                kept[number] = replace(match, name=None, reason=f"{_short(other)}, seen at the same time, {how}")
                break
    return kept


def _short(person: Person) -> str:
    return person.name.removeprefix(f"{person.video}, ")


def _nearest(similarities: FloatArray, names: Sequence[str], threshold: float) -> Match:
    """The match of one person, without regard to others."""
    order = np.argsort(-similarities, kind="stable")
    first = float(similarities[order[0]])
    margin = first - float(similarities[order[1]]) if len(names) > 1 else None
    nearest = names[order[0]]
    if first < threshold:
        return Match(None, first, margin, nearest, f"below the threshold {threshold:g}")
    if margin is not None and margin < MARGIN:
        reason = f"{names[order[1]]} is nearly as similar ({first - margin:.2f})"
        return Match(None, first, margin, nearest, reason)
    return Match(nearest, first, margin, nearest)


def group_persons(persons: Sequence[Person], vectors: Sequence[FloatArray], threshold: float) -> list[Match]:
    """Group persons of all videos, and name the groups.

    The two groups with the largest mean similarity are joined, again and again, while it reaches the threshold. Two
    persons that are seen at the same time, or have different names already, are never in one group.

    Args:
        persons: The persons.
        vectors: (128,) float32 unit vector of each.
        threshold: Lowest mean cosine similarity of two groups that are joined.

    Returns:
        A match for each person. The groups are called P01, P02 ... in the order in which they appear, or as one of
        their persons is called already.
    """
    if not persons:
        return []
    table = np.stack(vectors).astype(np.float64)
    groups = sorted(average_linkage(table, _apart(persons), _names(persons), threshold), key=min)
    taken = {person.participant for person in persons}
    free = (name for name in (f"P{n:02d}" for n in range(1, 2 * len(persons) + 2)) if name not in taken)
    sizes = np.array([len(group) for group in groups])
    sums = np.stack([table[group].sum(axis=0) for group in groups])
    matches = [Match()] * len(persons)
    for number, group in enumerate(groups):
        names = [person.participant for person in map(persons.__getitem__, group) if person.participant is not None]
        name = names[0] if names else next(free)
        for start in range(0, len(group), BLOCK):
            members = group[start : start + BLOCK]
            totals = table[members] @ sums.T
            own = (totals[:, number] - (table[members] ** 2).sum(axis=1)) / max(len(group) - 1, 1)
            totals /= sizes
            totals[:, number] = -np.inf
            for member, similarity, other in zip(members, own.tolist(), totals.max(axis=1).tolist(), strict=True):
                margin = similarity - other if len(groups) > 1 else None
                found = Match(name, similarity, margin, name) if len(group) > 1 else Match(name, nearest=name)
                matches[member] = found
    return matches


BLOCK = 128
"""Persons that are compared with all groups at a time."""


def _apart(persons: Sequence[Person]) -> list[set[int]]:
    """The persons that each person is seen with at the same time, so that they cannot be one."""
    apart: list[set[int]] = [set() for _ in persons]
    by_video: dict[str, list[int]] = {}
    for number, person in enumerate(persons):
        for other in by_video.setdefault(person.video, []):
            if person.is_seen_with(persons[other]):
                apart[number].add(other)
                apart[other].add(number)
        by_video[person.video].append(number)
    return apart


def _names(persons: Sequence[Person]) -> npt.NDArray[np.int64]:
    """(n,) a number for each name that corrections gave; -1 for persons without one."""
    numbers: dict[str | None, int] = {None: -1}
    return np.array([numbers.setdefault(one.participant, len(numbers)) for one in persons], np.int64)


def average_linkage(
    vectors: DoubleArray, apart: Sequence[set[int]], names: npt.NDArray[np.int64], threshold: float
) -> list[list[int]]:
    """Cluster by agglomeration with average linkage.

    The mean of the products of two groups is the product of their mean vectors, so that no table of all pairs is
    needed: memory grows with the number of vectors, not with its square.

    Args:
        vectors: (n, d) float64 unit vectors.
        apart: For each vector, those that must not be in its group.
        names: (n,) vectors with different numbers must not be in one group; those with -1 may be in any.
        threshold: Groups are joined while the mean product of two reaches it.

    Returns:
        The groups as lists of rows.
    """
    groups = _Groups(vectors, apart, names)
    waiting = [(-similarity, one, other, 0, 0) for one, (other, similarity) in enumerate(groups.nearest_of_all())]
    heapq.heapify(waiting)
    while waiting and -waiting[0][0] >= threshold:
        _, one, other, *versions = heapq.heappop(waiting)
        if versions[0] != groups.version[one]:
            continue  # it was joined since, and then waits with another partner
        if versions[1] == groups.version[other]:
            groups.join(one, other)
        # a group that was joined is no more similar than the more similar of its parts, so the old value of one whose
        # partner was joined is an upper bound until its turn comes
        other, similarity = groups.nearest(one)
        heapq.heappush(waiting, (-similarity, one, other, groups.version[one], groups.version[other]))
    return [members for members in groups.members if members]


class _Groups:
    """Groups of vectors, each at the place of one of its members.

    Attributes:
        members: The members of each group; none at a place whose group was joined to another.
        version: How often the group at each place has changed.
    """

    def __init__(self, vectors: DoubleArray, apart: Sequence[set[int]], names: npt.NDArray[np.int64]) -> None:
        self.members = [[row] for row in range(len(vectors))]
        self.version = [0] * len(vectors)
        self._sums, self._sizes = vectors.copy(), np.ones(len(vectors))
        self._apart, self._names = [set(others) for others in apart], names.copy()

    def nearest_of_all(self) -> Iterator[tuple[int, float]]:
        """The most similar other group of each, and the mean similarity."""
        for start in range(0, len(self.members), BLOCK):
            block = np.arange(start, min(start + BLOCK, len(self.members)))
            products = self._sums[block] @ self._sums.T
            for row, similarities in zip(block.tolist(), products, strict=True):
                yield self._best(row, similarities)

    def nearest(self, one: int) -> tuple[int, float]:
        """The most similar other group of one, and the mean similarity; minus infinity if none may join it."""
        return self._best(one, self._sums @ self._sums[one] / np.maximum(self._sizes * self._sizes[one], 1.0))

    def _best(self, one: int, similarities: DoubleArray) -> tuple[int, float]:
        similarities[self._sizes == 0] = -np.inf
        if self._names[one] >= 0:
            similarities[(self._names >= 0) & (self._names != self._names[one])] = -np.inf
        similarities[[one, *self._apart[one]]] = -np.inf
        other = int(similarities.argmax())
        return other, float(similarities[other])

    def join(self, one: int, other: int) -> None:
        """Add the group ``other`` to ``one``."""
        self.members[one] += self.members[other]
        self._sums[one] += self._sums[other]
        self._sizes[one] += self._sizes[other]
        self._names[one] = max(self._names[one], self._names[other])
        for third in self._apart[other]:
            self._apart[third].discard(other)
            self._apart[third].add(one)
        self._apart[one] |= self._apart[other]
        self.members[other], self._apart[other] = [], set()
        self._sizes[other], self._names[other] = 0, -1
        for changed in (one, other):
            self.version[changed] += 1
