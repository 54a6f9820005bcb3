"""Building tracks: frame results in order → shots, tracks, persons and crops."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from threading import Lock

import numpy as np

from fervid.faces.crop import SIZE
from fervid.faces.embedding import ALIGNED_SIDE, FaceEmbedder
from fervid.faces.identity import choose_for_embedding, cluster_tracks
from fervid.faces.tracking import FaceTracker
from fervid.files.scratch import ScratchArray, write_grouped
from fervid.scan.frame_analysis import FaceDetections, FrameResult
from fervid.scan.picture_changes import PictureRuns
from fervid.scan.types import TrackedFaces
from fervid.settings import ScanSettings
from fervid.types import FloatArray, PictureShape, Track
from fervid.video.shots import ShotBoundaryDetector


class TrackBuilder:
    """Collects the frame results of one video and builds its tracks.

    Numbers are kept in memory in flat arrays, crops and descriptors in temporary files.

    Args:
        settings: How to track.
        scratch: File to write the crops to; None keeps them in memory.
        embedder: The face embedder; None: tracks are not assigned to persons.

    Raises:
        OutputError: Temporary files cannot be written. All methods raise it if the disk is full.
    """

    def __init__(self, settings: ScanSettings, scratch: Path | None, embedder: FaceEmbedder | None = None) -> None:
        self._scratch, self._embedder = scratch, embedder
        folder = scratch.parent if scratch else None
        self._cuts = ShotBoundaryDetector()
        self._tracker = FaceTracker(settings.max_gap, settings.min_track, folder)
        self._crops = ScratchArray(folder, (SIZE, SIZE), np.uint8)
        self._faces = array("f")
        """Box, score, quality and roll of every face, in the order of the crops."""
        self._first_crop = array("q")
        """Number of the first crop of each sample."""
        self._frames = array("q")
        self._times = array("d")
        self._sizes = array("i")
        """Width and height of each sample."""
        self._pictures = PictureRuns()
        self._aligned_faces = ScratchArray(folder, (ALIGNED_SIDE, ALIGNED_SIDE, 3), np.uint8)
        self._aligned_number: dict[int, int] = {}
        """Number of a face's crop → number of its aligned face."""

    def add(self, result: FrameResult) -> None:
        """Add the next frame.

        Args:
            result: The frame's result; its time is later than that of the frame before.
        """
        self._cuts.update(result.time, result.thumbnail, result.shape)
        self._pictures.add(result.time, result.shape, result.sample is not None)
        if result.sample is not None:
            self._add_sample(result.time, result.shape, result.sample)
        elif result.between is not None:
            self._tracker.update(result.time, result.between.faces, result.between.descriptors, sampled=False)

    def _add_sample(self, time: float, shape: PictureShape, sample: FaceDetections) -> None:
        self._tracker.update(time, sample.faces, sample.descriptors)
        self._frames.append(sample.index)
        self._times.append(time)
        self._sizes.extend(shape.shown)
        self._first_crop.append(len(self._crops))
        for position, aligned in sample.aligned_faces.items():
            self._aligned_number[len(self._crops) + position] = self._aligned_faces.add(aligned)
        each = zip(sample.faces, sample.crops, sample.qualities, sample.rolls, strict=True)
        for face, crop, quality, roll in each:
            self._crops.add(crop)
            self._faces.extend((*face.box, face.score, quality, roll))

    def finish(self, threads: int = 1) -> TrackedFaces:
        """Build the tracks. Tracks with too little evidence are dropped, and no track continues over a cut or
        over a change of the picture's size or orientation.

        Args:
            threads: Number of threads that embed faces.

        Returns:
            The sampled frames and the tracks.
        """
        cuts = self._cuts.finish()
        members = self._tracker.finish(cuts)
        numbers = [[self._first_crop[sample] + position for sample, position in samples] for samples in members]
        crops = write_grouped(self._crops, numbers, self._scratch, SIZE)
        self._crops.close()
        faces = np.array(self._faces, np.float32).reshape(-1, 7)
        frames, times = np.array(self._frames, np.int64), np.array(self._times)
        tracks = []
        for face_id, samples in enumerate(members):
            sampled, rows = [sample for sample, _ in samples], faces[numbers[face_id]]
            values = (rows[:, :4], rows[:, 4], rows[:, 5])
            tracks.append(Track(face_id, frames[sampled], times[sampled], *values, crops[face_id], rolls=rows[:, 6]))
        vectors = self._embeddings(numbers, threads)
        self._aligned_faces.close()
        for track, person in zip(tracks, cluster_tracks(vectors, [track.frames for track in tracks]), strict=True):
            track.person = person
        sizes = np.array(self._sizes, np.int32).reshape(-1, 2)
        return TrackedFaces(frames, times, sizes, tracks, self._pictures.runs, cuts)

    def _embeddings(self, tracks: Sequence[Sequence[int]], threads: int) -> list[FloatArray]:
        """For each track, given by the numbers of its crops, unit vectors (n, 128) of some of its faces."""
        embedder, reading = self._embedder, Lock()
        if embedder is None:
            return [np.zeros((0, 128), np.float32) for _ in tracks]

        def embed(number: int) -> FloatArray:
            with reading:
                aligned = self._aligned_faces.read([number])[0]
            return embedder.embed_aligned(aligned)

        chosen = [
            choose_for_embedding([self._aligned_number[crop] for crop in track if crop in self._aligned_number])
            for track in tracks
        ]
        with ThreadPoolExecutor(threads) as pool:
            run: Callable[..., Iterator[FloatArray]] = pool.map if threads > 1 else map
            vectors = run(embed, (number for numbers in chosen for number in numbers))
            return [np.array(list(islice(vectors, len(numbers))), np.float32).reshape(-1, 128) for numbers in chosen]
