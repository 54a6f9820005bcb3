"""Person identities within one video: tracks are clustered by their face embeddings.

The thresholds are strict, so that a person is split into two more often than two people are merged. Embeddings stay in
memory during one scan and are never written to disk.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from fervid.types import FloatArray

EMBEDDING_PERIOD = 0.6
"""At most one sample per this many seconds is considered for embedding."""
EMBEDDINGS_PER_TRACK = 3
"""Embeddings per track. One costs about 1.5 detections."""
MIN_SIDE = 32.0
"""Smallest shorter side, in pixels, of a face box that is embedded."""
MIN_QUALITY = 0.3
"""Lowest ``face_quality`` of a face that is embedded."""
MIN_EMBEDDINGS = 2
"""A track with fewer embeddings gets no person."""
MIN_CONSISTENCY = 0.4
"""Lowest mean cosine similarity between a track's embeddings and their mean. A track below it gets no person."""
MERGE_SIMILARITY = 0.6
"""Cosine similarity at which two groups of tracks are merged. No two people in the test clips reach 0.46."""
MIN_PAIR_SIMILARITY = 0.5
"""Lowest cosine similarity between any two tracks of a group."""


def choose_for_embedding(aligned_faces: Sequence[int]) -> Sequence[int]:
    """Choose which aligned faces of a track are embedded: a few, spread evenly.

    Args:
        aligned_faces: Numbers of the track's aligned faces, in order of time.

    Returns:
        At most ``EMBEDDINGS_PER_TRACK`` of them.
    """
    count = min(len(aligned_faces), EMBEDDINGS_PER_TRACK)
    return [aligned_faces[(2 * i + 1) * len(aligned_faces) // (2 * count)] for i in range(count)]


def cluster_tracks(embeddings: Sequence[FloatArray], samples: Sequence[npt.NDArray[np.int64]]) -> list[int | None]:
    """Assign tracks to persons by agglomerative clustering.

    The two most similar groups are merged, again and again, while their similarity reaches ``MERGE_SIMILARITY``. Groups
    are never merged if two of their tracks are less similar than ``MIN_PAIR_SIMILARITY`` or appear in the same frame.

    Args:
        embeddings: (n, 128) float32 unit vectors of each track.
        samples: Sorted frame numbers of each track.

    Returns:
        The person of each track, counted from 0 in the order of the tracks; None if the embeddings are too few or
        inconsistent.
    """
    clustered, means = [], []
    for track, vectors in enumerate(embeddings):
        if len(vectors) >= MIN_EMBEDDINGS:
            mean = vectors.mean(axis=0)
            length = float(np.linalg.norm(mean))
            # The length of the mean of unit vectors is their mean cosine similarity with it.
            if length >= MIN_CONSISTENCY:
                clustered.append(track)
                means.append(mean / length)
    persons: list[int | None] = [None] * len(embeddings)
    if clustered:
        groups = _grouped(np.stack(means), [samples[track] for track in clustered])
        for person, group in enumerate(sorted(groups, key=min)):
            for member in group:
                persons[clustered[member]] = person
    return persons


def _grouped(means: FloatArray, samples: Sequence[npt.NDArray[np.int64]]) -> list[list[int]]:
    """Cluster the rows of ``means`` (n, 128), unit vectors.

    The similarity of two groups is the cosine similarity of the sums of their vectors. For each group the nearest other
    group is cached, or an upper bound of its similarity where the cache is stale. So a merge needs few comparisons
    with all groups: a video of hours has thousands of tracks.
    """
    groups, sums = [[row] for row in range(len(means))], means.copy()
    lengths = np.linalg.norm(sums, axis=1)
    cannot_link = _CannotLink(means, samples)
    nearest, similarity = np.zeros(len(means), np.int64), np.zeros(len(means), np.float32)
    exact = np.ones(len(means), bool)

    def similarities(rows: npt.NDArray[np.int64]) -> FloatArray:
        # A matrix product would start threads, which wait for each other on a busy machine.
        products = np.stack([np.einsum("ij,j->i", sums, sums[row]) for row in rows])
        return np.where(cannot_link.rows(rows), np.float32(-1), products / (lengths[rows, None] * lengths))

    def find_nearest(rows: npt.NDArray[np.int64]) -> None:
        values = similarities(rows)
        nearest[rows], exact[rows] = values.argmax(axis=1), True
        similarity[rows] = values[np.arange(len(rows)), nearest[rows]]

    for rows in _blocks(np.arange(len(means))):
        find_nearest(rows)
    while similarity[first := int(similarity.argmax())] >= MERGE_SIMILARITY:
        if not exact[first]:
            find_nearest(np.array([first]))
            continue
        second = int(nearest[first])
        groups[first] += groups[second]
        groups[second] = []
        sums[first] += sums[second]
        lengths[first] = np.linalg.norm(sums[first])
        cannot_link.join(first, second)
        exact[(nearest == first) | (nearest == second)] = False
        values = similarities(np.array([first]))[0]
        closer = values >= similarity
        nearest[closer], similarity[closer], exact[closer] = first, values[closer], True
        nearest[first], similarity[first], exact[first] = values.argmax(), values.max(), True
        similarity[second] = -1
    return [group for group in groups if group]


def _blocks(rows: npt.NDArray[np.int64]) -> list[npt.NDArray[np.int64]]:
    """The rows in blocks. Each block is compared with all tracks at once, so blocks bound the memory."""
    return [rows[begin : begin + 256] for begin in range(0, len(rows), 256)]


class _CannotLink:
    """Pairs of groups that must not be merged, one bit per pair."""

    def __init__(self, means: FloatArray, samples: Sequence[npt.NDArray[np.int64]]) -> None:
        self._count = len(means)
        dissimilar = [means[rows] @ means.T < MIN_PAIR_SIMILARITY for rows in _blocks(np.arange(self._count))]
        self._bits = np.concatenate([np.packbits(table, axis=1) for table in dissimilar])
        begins, ends = np.array([frames[0] for frames in samples]), np.array([frames[-1] for frames in samples])
        for row, frames in enumerate(samples):
            together = (begins <= ends[row]) & (ends >= begins[row]) & ~self.rows(np.array([row]))[0]
            for other in np.flatnonzero(together[:row]).tolist():
                together[other] = np.isin(samples[other], frames).any()
            together[row + 1 :] = False
            self._forbid(row, together)  # a group overlaps itself, so it is never merged with itself

    def rows(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """(len(rows), n): whether each of these groups must not be merged with each of all n groups."""
        return np.unpackbits(self._bits[rows], axis=1, count=self._count).astype(bool)

    def join(self, first: int, second: int) -> None:
        """The first group takes over the constraints of the second, and nothing is merged with the second any more."""
        self._forbid(first, self.rows(np.array([second]))[0])
        self._forbid(second, np.ones(self._count, bool))

    def _forbid(self, row: int, others: npt.NDArray[np.bool_]) -> None:
        self._bits[row] |= np.packbits(others)
        self._bits[others, row // 8] |= np.uint8(0x80 >> row % 8)
