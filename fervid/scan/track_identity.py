"""Who the tracks of a video show: each is checked against itself, pictures and copies are found, persons are joined."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Lock

import numpy as np

from fervid.faces.embedding import FaceEmbedder
from fervid.faces.identity import choose_for_embedding, cluster_tracks
from fervid.faces.self_check import (
    ROUNDS,
    PersonChange,
    boundary,
    choose_more,
    choose_to_check,
    differ,
    person_changes,
    unclear_spans,
)
from fervid.faces.static_faces import MIN_FACES, MIN_SECONDS, PICTURE, Change, copies, measure_change
from fervid.files.scratch import ScratchArray
from fervid.types import ByteArray, Doubt, FloatArray, Track

AROUND = 3
"""Samples on each side of a change whose crops are compared to find its place."""


@dataclass(frozen=True)
class TrackChange:
    """A sample at which another person may have taken over a track.

    Attributes:
        row: Number of the first sample after the change, within the track.
        certain: Whether it is certain, so that the track must be split.
    """

    row: int
    certain: bool


class TrackIdentity:
    """Embeds and compares aligned faces of the tracks of one video.

    A face is known by the number of its crop.

    Args:
        aligned: The aligned faces that were kept.
        numbers: Number of a crop → number of its aligned face.
        embedder: The face embedder.
        threads: Number of threads that embed faces.
    """

    def __init__(
        self, aligned: ScratchArray, numbers: Mapping[int, int], embedder: FaceEmbedder, threads: int = 1
    ) -> None:
        self._aligned, self._numbers, self._embedder, self._threads = aligned, numbers, embedder, threads
        self._reading = Lock()
        self._vectors: dict[int, FloatArray] = {}

    def changes(
        self, tracks: Sequence[Track], crops: Sequence[Sequence[int]], read: Callable[[list[int]], ByteArray]
    ) -> list[list[TrackChange]]:
        """Check every track against itself.

        Args:
            tracks: The faces of the video. Their own crops are not used.
            crops: The numbers of the crops of each.
            read: Numbers of crops → the crops.

        Returns:
            For each track the moments at which another person may have taken over, in order.
        """
        known = [self._known(numbers) for numbers in crops]
        chosen = [
            [rows[place] for place in choose_to_check(track.times[rows], spans)]
            for track, rows, spans in zip(tracks, known, unclear_spans(tracks), strict=True)
        ]
        self._embed([numbers[row] for numbers, rows in zip(crops, chosen, strict=True) for row in rows])
        found = []
        for numbers, rows, checked in zip(crops, known, chosen, strict=True):
            embedded, moments = self._checked(numbers, rows, checked)
            found.append(
                [
                    TrackChange(_first_row(numbers, embedded[one.place - 1], embedded[one.place], read), one.certain)
                    for one in moments
                ]
            )
        return found

    def _checked(
        self, numbers: Sequence[int], known: Sequence[int], checked: Sequence[int]
    ) -> tuple[list[int], list[PersonChange]]:
        """The rows of a track that were embedded, and where it may change. More are embedded where it may.

        ``known``: rows that can be embedded. ``checked``: those that are embedded first.
        """
        rows = list(checked)
        if not differ(self._of([numbers[row] for row in rows])):
            return rows, []
        rows = sorted({*rows, *choose_more(known)})
        for _ in range(ROUNDS):
            moments = person_changes(self._of([numbers[row] for row in rows]))
            near = [[row for row in known if rows[one.place - 1] < row < rows[one.place]] for one in moments]
            more = {row for between in near for row in choose_more(between)}
            if not more:
                break
            rows = sorted({*rows, *more})
        return rows, person_changes(self._of([numbers[row] for row in rows]))

    def assign(self, tracks: Sequence[Track], crops: Sequence[Sequence[int]], doubts: Sequence[Doubt]) -> list[Doubt]:
        """Find pictures and copies, and join the other tracks to persons.

        Args:
            tracks: The faces of the video; ``person`` is set.
            crops: The numbers of the crops of each.
            doubts: What is known against single faces. A face that may hold two people gets no person.

        Returns:
            What more speaks against single faces.
        """
        chosen = [[numbers[row] for row in choose_for_embedding(self._known(numbers))] for numbers in crops]
        self._embed([number for numbers in chosen for number in numbers])
        vectors = [self._of(numbers) for numbers in chosen]
        found = self._pictures(tracks, crops) | copies(tracks, vectors)
        left_out = {one.face_id for one in (*doubts, *found.values())}
        none = np.zeros((0, 128), np.float32)
        used = [none if track.face_id in left_out else own for track, own in zip(tracks, vectors, strict=True)]
        for track, person in zip(tracks, cluster_tracks(used, [track.frames for track in tracks]), strict=True):
            track.person = person
        return list(found.values())

    def _pictures(self, tracks: Sequence[Track], crops: Sequence[Sequence[int]]) -> dict[int, Doubt]:
        """Place of a track → the doubt, for faces that never change. None if no other face moves."""
        if len(tracks) < 2:
            return {}
        changes = [self._change(track, numbers) for track, numbers in zip(tracks, crops, strict=True)]
        if not any(one.moving for one in changes):
            return {}
        return {
            place: Doubt(track.face_id, float(track.times[0]), float(track.times[-1]), PICTURE)
            for place, (track, one) in enumerate(zip(tracks, changes, strict=True))
            if one.still and track.times[-1] - track.times[0] >= MIN_SECONDS
        }

    def _change(self, track: Track, numbers: Sequence[int]) -> Change:
        rows = self._known(numbers)
        if len(rows) < MIN_FACES:
            return Change(False, False)
        best = int(np.argmax(track.qualities[rows]))
        return measure_change(len(rows), lambda place: self._read(numbers[rows[place]]), best)

    def _known(self, numbers: Sequence[int]) -> list[int]:
        """The rows of a track whose faces were aligned."""
        return [row for row, number in enumerate(numbers) if number in self._numbers]

    def _read(self, number: int) -> ByteArray:
        with self._reading:
            return np.asarray(self._aligned.read([self._numbers[number]])[0], np.uint8)

    def _embed(self, numbers: Sequence[int]) -> None:
        """Embed the faces that are not embedded yet."""
        missing = [number for number in dict.fromkeys(numbers) if number not in self._vectors]
        with ThreadPoolExecutor(self._threads) as pool:
            run: Callable[..., Iterator[FloatArray]] = pool.map if self._threads > 1 else map
            found = run(lambda number: self._embedder.embed_aligned(self._read(number)), missing)
            self._vectors.update(zip(missing, found, strict=True))

    def _of(self, numbers: Sequence[int]) -> FloatArray:
        """(n, 128) float32 unit vectors of faces."""
        self._embed(numbers)
        return np.array([self._vectors[number] for number in numbers], np.float32).reshape(-1, 128)


def _first_row(numbers: Sequence[int], before: int, after: int, read: Callable[[list[int]], ByteArray]) -> int:
    """The first row of a track after a change that lies between two rows."""
    low = max(0, before + 1 - AROUND)
    crops = read(list(numbers[low : after + AROUND]))
    return low + boundary(crops, before - low, after - low)
