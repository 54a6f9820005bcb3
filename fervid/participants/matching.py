"""Who is who: persons compared with names, or with each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from fervid.participants.persons import Person
from fervid.types import FloatArray

THRESHOLD = 0.5
"""Lowest cosine similarity at which a person gets a name, or two groups are joined. See docs/participants.md."""

MARGIN = 0.1
"""Smallest difference between the similarities to the first and to the second name."""


@dataclass(frozen=True)
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
    table = np.stack(vectors)
    products = table @ table.T
    groups = sorted(average_linkage(products, _apart(persons), threshold), key=min)
    taken = {person.participant for person in persons}
    free = (name for name in (f"P{n:02d}" for n in range(1, 2 * len(persons) + 2)) if name not in taken)
    sizes = np.array([len(group) for group in groups])
    totals = np.stack([products[:, group].sum(axis=1) for group in groups], axis=1)
    matches = [Match()] * len(persons)
    for number, group in enumerate(groups):
        names = [person.participant for person in map(persons.__getitem__, group) if person.participant is not None]
        name = names[0] if names else next(free)
        for member in group:
            own = (
                float(totals[member, number] - products[member, member]) / (len(group) - 1) if len(group) > 1 else None
            )
            others = np.delete(totals[member] / sizes, number)
            margin = own - float(others.max()) if own is not None and len(others) else None
            matches[member] = Match(name, own, margin, name)
    return matches


def _apart(persons: Sequence[Person]) -> npt.NDArray[np.bool_]:
    """(n, n): whether two persons cannot be one."""
    apart = np.zeros((len(persons), len(persons)), bool)
    by_video: dict[str, list[int]] = {}
    for number, person in enumerate(persons):
        for other in by_video.setdefault(person.video, []):
            apart[number, other] = apart[other, number] = person.is_seen_with(persons[other])
        by_video[person.video].append(number)
    names = np.array([person.participant or "" for person in persons])
    apart |= (names[:, None] != names) & (names[:, None] != "") & (names != "")
    return apart


def average_linkage(products: FloatArray, apart: npt.NDArray[np.bool_], threshold: float) -> list[list[int]]:
    """Cluster by agglomeration with average linkage.

    Args:
        products: (n, n) float32 similarities.
        apart: (n, n) bool, whether two rows must not be in one group.
        threshold: Groups are joined while the mean similarity of two reaches it.

    Returns:
        The groups as lists of rows.
    """
    similar = np.where(apart, -np.inf, products.astype(np.float64))
    np.fill_diagonal(similar, -np.inf)
    groups = [[row] for row in range(len(similar))]
    nearest, best = similar.argmax(axis=1), similar.max(axis=1)
    while best[one := int(best.argmax())] >= threshold:
        other = int(nearest[one])
        sizes = len(groups[one]), len(groups[other])
        # minus infinity stays: a group is apart from what any of its members is apart from
        joined = (sizes[0] * similar[one] + sizes[1] * similar[other]) / sum(sizes)
        joined[one] = joined[other] = -np.inf
        similar[one], similar[:, one] = joined, joined
        similar[other], similar[:, other] = -np.inf, -np.inf
        groups[one] += groups[other]
        groups[other] = []
        # the mean of two similarities exceeds no maximum, so only rows that were nearest to these can change
        stale = np.flatnonzero(np.isin(nearest, (one, other)) | np.isin(np.arange(len(best)), (one, other)))
        nearest[stale], best[stale] = similar[stale].argmax(axis=1), similar[stale].max(axis=1)
    return [group for group in groups if group]
