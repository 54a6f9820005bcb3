"""What the frames of a video show, one after another → its shots, its tracks and their crops."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from threading import Lock

import numpy as np
import numpy.typing as npt

from fervid.faces.crop import SIZE
from fervid.faces.embedding import SIDE as PORTRAIT_SIDE
from fervid.faces.embedding import FaceEmbedder
from fervid.faces.identity import chosen, join_tracks
from fervid.faces.tracking import FaceTracker
from fervid.files.scratch import RowSpool, arrange
from fervid.scan.frame_analysis import Observation, Sample
from fervid.settings import ScanSettings
from fervid.types import DoubleArray, FloatArray, Track
from fervid.video.shots import CutDetector


class Assembly:
    """The observations of one video so far: numbers in flat arrays, pictures and looks on disk.

    The crops go to the file ``spool``, or stay in memory without one. Without an ``embedder`` no track is given a
    person.
    """

    def __init__(self, settings: ScanSettings, spool: Path | None, embedder: FaceEmbedder | None = None) -> None:
        self._spool, self._embedder = spool, embedder
        folder = spool.parent if spool else None
        self._cuts = CutDetector()
        self._tracker = FaceTracker(settings.max_gap, settings.min_track, folder)
        self._crops = RowSpool(folder, (SIZE, SIZE), np.uint8)
        self._faces = array("f")
        """Box, score and quality of every face, one after another, in the order of the crops."""
        self._first = array("q")
        """Number of the first face of each sample."""
        self._frames = array("q")
        self._times = array("d")
        self._portraits = RowSpool(folder, (PORTRAIT_SIDE, PORTRAIT_SIDE, 3), np.uint8)
        self._portrayed: dict[int, int] = {}
        """Number of the portrait of a face, by the number of its crop."""

    def add(self, seen: Observation) -> None:
        """Take the next frame, in order of time."""
        self._cuts.update(seen.time, seen.thumbnail)
        if seen.sample is not None:
            self._add_sample(seen.time, seen.sample)

    def _add_sample(self, time: float, sample: Sample) -> None:
        self._tracker.update(time, sample.faces, sample.looks)
        self._frames.append(sample.index)
        self._times.append(time)
        self._first.append(len(self._crops))
        for position, portrait in sample.portraits.items():
            self._portrayed[len(self._crops) + position] = self._portraits.add(portrait)
        for face, crop, quality in zip(sample.faces, sample.crops, sample.qualities, strict=True):
            self._crops.add(crop)
            self._faces.extend((*face.box, face.score, quality))

    def finish(self, threads: int = 1) -> tuple[npt.NDArray[np.int64], DoubleArray, list[Track]]:
        """Indices (n,) and times (n,) in seconds of the sampled frames, and the tracks with enough evidence, ids from 0
        in order of appearance; none reaches over a cut. ``threads``: so many tell who the tracks are."""
        found = self._tracker.finish(self._cuts.finish())
        numbers = [[self._first[sample] + position for sample, position in samples] for samples in found]
        crops = arrange(self._crops, numbers, self._spool, SIZE)
        self._crops.close()
        faces = np.array(self._faces, np.float32).reshape(-1, 6)
        frames, times = np.array(self._frames, np.int64), np.array(self._times)
        tracks = []
        for face_id, samples in enumerate(found):
            at, rows = [sample for sample, _ in samples], faces[numbers[face_id]]
            seen = (rows[:, :4], rows[:, 4], rows[:, 5])
            tracks.append(Track(face_id, frames[at], times[at], *seen, crops[face_id]))
        vectors = self._embeddings(numbers, threads)
        self._portraits.close()
        for track, person in zip(tracks, join_tracks(vectors, [track.frames for track in tracks]), strict=True):
            track.person = person
        return frames, times, tracks

    def _embeddings(self, tracks: Sequence[Sequence[int]], threads: int) -> list[FloatArray]:
        """Of each track unit vectors (n, 128) of some of its faces, given by the numbers of their crops."""
        embedder, reading = self._embedder, Lock()
        if embedder is None:
            return [np.zeros((0, 128), np.float32) for _ in tracks]

        def embed(number: int) -> FloatArray:
            with reading:
                portrait = self._portraits.read([number])[0]
            return embedder.embed_portrait(portrait)

        picked = [chosen([self._portrayed[one] for one in track if one in self._portrayed]) for track in tracks]
        with ThreadPoolExecutor(threads) as pool:
            run: Callable[..., Iterator[FloatArray]] = pool.map if threads > 1 else map
            vectors = run(embed, (number for one in picked for number in one))
            return [np.array(list(islice(vectors, len(one))), np.float32).reshape(-1, 128) for one in picked]
