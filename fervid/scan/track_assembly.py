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
from fervid.faces.embedding import ALIGNED_SIDE as ALIGNED_SIDE
from fervid.faces.embedding import FaceEmbedder
from fervid.faces.identity import choose_for_embedding, cluster_tracks
from fervid.faces.tracking import FaceTracker
from fervid.files.scratch import ScratchArray, write_grouped
from fervid.scan.frame_analysis import FaceDetections, FrameResult
from fervid.settings import ScanSettings
from fervid.types import DoubleArray, FloatArray, Track
from fervid.video.shots import ShotBoundaryDetector


class TrackBuilder:
    """The observations of one video so far: numbers in flat arrays, pictures and looks on disk.

    The crops go to the file ``scratch``, or stay in memory without one. Without an ``embedder`` no track is given a
    person.
    """

    def __init__(self, settings: ScanSettings, scratch: Path | None, embedder: FaceEmbedder | None = None) -> None:
        self._scratch, self._embedder = scratch, embedder
        folder = scratch.parent if scratch else None
        self._cuts = ShotBoundaryDetector()
        self._tracker = FaceTracker(settings.max_gap, settings.min_track, folder)
        self._crops = ScratchArray(folder, (SIZE, SIZE), np.uint8)
        self._faces = array("f")
        """Box, score and quality of every face, one after another, in the order of the crops."""
        self._first = array("q")
        """Number of the first face of each sample."""
        self._frames = array("q")
        self._times = array("d")
        self._aligned_faces = ScratchArray(folder, (ALIGNED_SIDE, ALIGNED_SIDE, 3), np.uint8)
        self._aligned_number: dict[int, int] = {}
        """Number of the portrait of a face, by the number of its crop."""

    def add(self, seen: FrameResult) -> None:
        """Take the next frame, in order of time."""
        self._cuts.update(seen.time, seen.thumbnail)
        if seen.sample is not None:
            self._add_sample(seen.time, seen.sample)

    def _add_sample(self, time: float, sample: FaceDetections) -> None:
        self._tracker.update(time, sample.faces, sample.descriptors)
        self._frames.append(sample.index)
        self._times.append(time)
        self._first.append(len(self._crops))
        for position, portrait in sample.aligned_faces.items():
            self._aligned_number[len(self._crops) + position] = self._aligned_faces.add(portrait)
        for face, crop, quality in zip(sample.faces, sample.crops, sample.qualities, strict=True):
            self._crops.add(crop)
            self._faces.extend((*face.box, face.score, quality))

    def finish(self, threads: int = 1) -> tuple[npt.NDArray[np.int64], DoubleArray, list[Track]]:
        """Indices (n,) and times (n,) in seconds of the sampled frames, and the tracks with enough evidence, ids from 0
        in order of appearance; none reaches over a cut. ``threads``: so many tell who the tracks are."""
        found = self._tracker.finish(self._cuts.finish())
        numbers = [[self._first[sample] + position for sample, position in samples] for samples in found]
        crops = write_grouped(self._crops, numbers, self._scratch, SIZE)
        self._crops.close()
        faces = np.array(self._faces, np.float32).reshape(-1, 6)
        frames, times = np.array(self._frames, np.int64), np.array(self._times)
        tracks = []
        for face_id, samples in enumerate(found):
            at, rows = [sample for sample, _ in samples], faces[numbers[face_id]]
            seen = (rows[:, :4], rows[:, 4], rows[:, 5])
            tracks.append(Track(face_id, frames[at], times[at], *seen, crops[face_id]))
        vectors = self._embeddings(numbers, threads)
        self._aligned_faces.close()
        for track, person in zip(tracks, cluster_tracks(vectors, [track.frames for track in tracks]), strict=True):
            track.person = person
        return frames, times, tracks

    def _embeddings(self, tracks: Sequence[Sequence[int]], threads: int) -> list[FloatArray]:
        """Of each track unit vectors (n, 128) of some of its faces, given by the numbers of their crops."""
        embedder, reading = self._embedder, Lock()
        if embedder is None:
            return [np.zeros((0, 128), np.float32) for _ in tracks]

        def embed(number: int) -> FloatArray:
            with reading:
                portrait = self._aligned_faces.read([number])[0]
            return embedder.embed_aligned(portrait)

        picked = [
            choose_for_embedding([self._aligned_number[one] for one in track if one in self._aligned_number])
            for track in tracks
        ]
        with ThreadPoolExecutor(threads) as pool:
            run: Callable[..., Iterator[FloatArray]] = pool.map if threads > 1 else map
            vectors = run(embed, (number for one in picked for number in one))
            return [np.array(list(islice(vectors, len(one))), np.float32).reshape(-1, 128) for one in picked]
