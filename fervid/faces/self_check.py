"""Checking whether a track holds one person: where to look, and what the embeddings found there say.

A track is compared with itself. Few of its faces are embedded, and more where two faces may have been exchanged: where
another face was close, where the face was not seen, and where it jumped.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fervid.faces.boxes import centres_and_sizes
from fervid.faces.identity import choose_for_embedding
from fervid.types import ByteArray, DoubleArray, FloatArray, Track

CLOSE = 1.2
"""Distance between the centres of two faces, in face sizes, below which they may be exchanged."""
JUMP = 1.0
"""Distance in face sizes between two successive samples of a track from which it may have changed to another face."""
LONG_STEP, MISSED = 0.45, 2.2
"""A face was lost for a while if two successive samples of its track are more than this many seconds, and more than
this many median steps apart."""
MAX_CHECKED = 24
"""Most faces of a track that are embedded at first."""
MORE = 12
"""Most faces that are embedded in addition if the first ones differ, and around each change."""
ROUNDS = 4
"""How often more faces are embedded around a change."""
WINDOW = 4
"""Embeddings on each side of a moment whose means are compared; at least MIN_SIDE of them."""
MIN_SIDE = 2
SPLIT = 0.3
"""Cosine similarity of both sides below which two people are told apart: 572 of 592 made exchanges are. No track of one
person in the test clips has less than 0.44."""
DOUBT = 0.43
"""Cosine similarity of both sides below which a track may hold two people: 591 of 592 made exchanges lie below."""
MIN_AGREEMENT = 0.75
"""Length of the mean of each side's unit vectors from which that side shows one person."""


@dataclass(frozen=True)
class PersonChange:
    """A moment at which another person may have taken over a track.

    Attributes:
        place: Number of the first embedding after it.
        certain: Whether both sides show one person each, and not the same.
    """

    place: int
    certain: bool


def unclear_spans(tracks: Sequence[Track]) -> list[list[tuple[float, float]]]:
    """Find where faces may have been exchanged.

    Args:
        tracks: All faces of a video.

    Returns:
        For each track, the first and the last time in seconds of each such place.
    """
    close = _close_rows(tracks)
    found = []
    for track, rows in zip(tracks, close, strict=True):
        times = track.times
        edges = np.flatnonzero(np.diff(np.concatenate([[False], rows, [False]]).astype(np.int8)))
        spans = [
            (float(times[begin]), float(times[end - 1])) for begin, end in zip(edges[::2], edges[1::2], strict=True)
        ]
        if len(times) > 1:
            centres, sizes = centres_and_sizes(track.boxes)
            moved = np.linalg.norm(np.diff(centres, axis=0), axis=1) / np.minimum(sizes[1:], sizes[:-1])
            steps = np.diff(times)
            lost = steps > max(LONG_STEP, MISSED * float(np.median(steps)))
            for row in np.flatnonzero(lost | (moved > JUMP)).tolist():
                spans.append((float(times[row]), float(times[row + 1])))
        found.append(sorted(spans))
    return found


def _close_rows(tracks: Sequence[Track]) -> list[npt.NDArray[np.bool_]]:
    """For each track, whether another face is close in each of its samples."""
    counts = [len(track.frames) for track in tracks]
    if not counts:
        return []
    frames = np.concatenate([track.frames for track in tracks])
    centres, sizes = centres_and_sizes(np.concatenate([track.boxes for track in tracks]))
    order = np.argsort(frames, kind="stable")
    frames, centres, sizes = frames[order], centres[order], sizes[order]
    close = np.zeros(len(frames), bool)
    for offset in range(1, len(frames)):
        same = np.flatnonzero(frames[offset:] == frames[:-offset])
        if not len(same):
            break
        apart = np.linalg.norm(centres[same] - centres[same + offset], axis=1)
        near = same[apart < CLOSE * (sizes[same] + sizes[same + offset]) / 2]
        close[near] = close[near + offset] = True
    back = np.empty_like(close)
    back[order] = close
    return np.split(back, np.cumsum(counts)[:-1])


def choose_to_check(times: DoubleArray, spans: Sequence[tuple[float, float]]) -> list[int]:
    """Choose which aligned faces of a track are embedded to check it.

    Args:
        times: (n,) times of the aligned faces in seconds.
        spans: Where the track may have changed to another face.

    Returns:
        Their numbers in order: those that ``choose_for_embedding`` takes, and one before and after each span.
    """
    chosen = set(choose_for_embedding(range(len(times))))
    for begin, end in spans:
        before, after = int(np.searchsorted(times, begin, "left")), int(np.searchsorted(times, end, "right"))
        chosen.update(place for place in (before - 1, after) if 0 <= place < len(times))
    return _thinned(sorted(chosen), MAX_CHECKED)


def choose_more(numbers: Sequence[int]) -> list[int]:
    """Choose which aligned faces are embedded where a track is doubtful.

    Args:
        numbers: Numbers of aligned faces in order.

    Returns:
        At most MORE of them, spread evenly.
    """
    return _thinned(numbers, MORE)


def _thinned(numbers: Sequence[int], most: int) -> list[int]:
    places = np.unique(np.linspace(0, len(numbers) - 1, min(len(numbers), most)).round().astype(int))
    return [numbers[place] for place in places] if len(numbers) else []


def differ(vectors: FloatArray) -> bool:
    """Whether some embeddings of a track differ so much that more of its faces should be looked at.

    Args:
        vectors: (n, 128) float32 unit vectors.

    Returns:
        True if any two are less similar than DOUBT.
    """
    return bool(np.einsum("ik,jk->ij", vectors, vectors).min(initial=1.0) < DOUBT)


def person_changes(vectors: FloatArray) -> list[PersonChange]:
    """Find where a track may change from one person to another.

    Args:
        vectors: (n, 128) float32 unit vectors of faces of one track, in order of time.

    Returns:
        The moments in order. Between two certain ones there is at most one that is not.
    """
    found: list[PersonChange] = []
    parts = [(0, len(vectors))]
    while parts:
        begin, end = parts.pop()
        places = range(begin + MIN_SIDE, end - MIN_SIDE + 1)
        compared = [(_compared(vectors[begin:end], place - begin), place) for place in places]
        if not compared:
            continue
        (similarity, agreement), place = min(compared, key=lambda one: one[0][0])
        if similarity >= DOUBT:
            continue
        certain = similarity < SPLIT and agreement >= MIN_AGREEMENT
        found.append(PersonChange(place, certain))
        if certain:
            parts += [(begin, place), (place, end)]
    return sorted(found, key=lambda change: change.place)


def _compared(vectors: FloatArray, place: int) -> tuple[float, float]:
    """Cosine similarity of the faces before and after a place, and how far each side agrees with itself."""
    before = vectors[max(0, place - WINDOW) : place].mean(axis=0)
    after = vectors[place : place + WINDOW].mean(axis=0)
    lengths = float(np.linalg.norm(before)), float(np.linalg.norm(after))
    return float(before @ after) / max(lengths[0] * lengths[1], 1e-6), min(lengths)


def boundary(crops: ByteArray, before: int, after: int) -> int:
    """Find the sample at which the look of a face changes.

    Args:
        crops: (n, h, w) uint8 crops of successive samples.
        before: Number of the last sample that shows the first look.
        after: Number of the first sample that shows the second one.

    Returns:
        Number of the first sample of the second look, above ``before`` and at most ``after``.
    """
    looks = crops.reshape(len(crops), -1).astype(np.float32)
    looks -= looks.mean(axis=1, keepdims=True)
    looks /= np.maximum(np.linalg.norm(looks, axis=1, keepdims=True), 1e-6)
    between = looks[before + 1 : after]
    sooner = between @ looks[: before + 1].mean(axis=0) - between @ looks[after:].mean(axis=0)
    gains = [0.0, *itertools.accumulate(sooner.tolist())]
    return before + 1 + int(np.argmax(gains))
