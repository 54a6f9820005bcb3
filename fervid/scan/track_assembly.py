"""Building tracks: frame results in order → shots, tracks, persons and crops."""

from __future__ import annotations

import itertools
from array import array
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fervid.faces.covered import cover_doubts, lower_beside_covers
from fervid.faces.crop import SIZE
from fervid.faces.embedding import ALIGNED_SIDE, FaceEmbedder
from fervid.faces.measures import PACKED
from fervid.faces.tracking import FaceTracker
from fervid.files.scratch import ScratchArray, write_grouped, write_grouped_rows
from fervid.scan.frame_analysis import FaceDetections, FrameResult
from fervid.scan.picture_changes import PictureRuns
from fervid.scan.track_identity import TrackIdentity
from fervid.scan.types import TrackedFaces, meshes_path
from fervid.settings import ScanSettings
from fervid.types import MEASURES, TWO_PEOPLE, Doubt, PictureShape, Track
from fervid.video.shots import ShotBoundaryDetector

Members = list[list[tuple[int, int]]]
"""For each track its samples: number of the sample, and position among its faces."""


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
        self._meshes = ScratchArray(folder, (PACKED,), np.float16) if settings.mesh else None
        self._faces = array("f")
        """Box, score, quality, roll, cover and measures of every face, in the order of the crops."""
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
        self._cuts.update(result.time, result.thumbnail, result.shape, result.skipped, result.is_cut)
        self._pictures.add(result.time, result.shape, result.sample is not None, len(result.skipped))
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
        rated = sample.qualities, sample.rolls, sample.covered, sample.measures
        for face, crop, quality, roll, covered, measures in zip(sample.faces, sample.crops, *rated, strict=True):
            self._crops.add(crop)
            score = np.nan if face.followed else face.score
            self._faces.extend((*face.box, score, quality, roll, covered, *measures.tolist()))
        if self._meshes is not None:
            for mesh in sample.meshes:
                self._meshes.add(mesh)

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
        identity: TrackIdentity | None = None
        doubts: list[Doubt] = []
        if self._embedder is not None:
            identity = TrackIdentity(self._aligned_faces, self._aligned_number, self._embedder, threads)
            members, starts = self._checked(members, identity)
            doubts = [
                Doubt(face_id, self._times[start], self._times[members[face_id][-1][0]], TWO_PEOPLE)
                for face_id, start in starts
            ]
        numbers = self._crop_numbers(members)
        crops = write_grouped(self._crops, numbers, self._scratch, SIZE)
        self._crops.close()
        tracks = self._tracks(members, numbers)
        for track in tracks:
            track.crops = crops[track.face_id]
        if self._meshes is not None:
            meshes = write_grouped_rows(self._meshes, numbers, self._scratch and meshes_path(self._scratch))
            self._meshes.close()
            for track in tracks:
                track.meshes = meshes[track.face_id]
        if identity is not None:
            doubts += identity.assign(tracks, numbers, doubts)
        for track in tracks:
            lower_beside_covers(track)
            doubts += cover_doubts(track)
        self._aligned_faces.close()
        sizes = np.array(self._sizes, np.int32).reshape(-1, 2)
        frames, times = np.array(self._frames, np.int64), np.array(self._times)
        return TrackedFaces(frames, times, sizes, tracks, self._pictures.runs, cuts, doubts)

    def discard(self) -> None:
        """Delete the temporary files, if the tracks are not built."""
        self._tracker.discard()
        self._crops.close()
        self._aligned_faces.close()
        if self._meshes is not None:
            self._meshes.close()

    def _crop_numbers(self, members: Members) -> list[list[int]]:
        """The numbers of the crops of each track."""
        return [[self._first_crop[sample] + position for sample, position in samples] for samples in members]

    def _tracks(self, members: Members, numbers: Sequence[Sequence[int]]) -> list[Track]:
        """The tracks without their crops."""
        faces = np.array(self._faces, np.float32).reshape(-1, 8 + len(MEASURES))
        frames, times, none = np.array(self._frames, np.int64), np.array(self._times), np.zeros((0, 1, 1), np.uint8)
        tracks = []
        for face_id, samples in enumerate(members):
            sampled, rows = [sample for sample, _ in samples], faces[numbers[face_id]]
            values = (rows[:, :4], rows[:, 4], rows[:, 5])
            track = Track(face_id, frames[sampled], times[sampled], *values, none)
            track.rolls, track.covered, track.measures = rows[:, 6], rows[:, 7], rows[:, 8:]
            tracks.append(track)
        return tracks

    def _checked(self, members: Members, identity: TrackIdentity) -> tuple[Members, list[tuple[int, int]]]:
        """The tracks, split where they certainly change to another person, in order of their first sample; and the
        samples at which they may do so, each with its track."""
        numbers = self._crop_numbers(members)
        changes = identity.changes(self._tracks(members, numbers), numbers, self._crops.read)
        parts: list[tuple[list[tuple[int, int]], list[int]]] = []
        for samples, found in zip(members, changes, strict=True):
            edges = [0, *(one.row for one in found if one.certain), len(samples)]
            for begin, end in itertools.pairwise(edges):
                open_rows = [one.row for one in found if not one.certain and begin < one.row < end]
                parts.append((samples[begin:end], [samples[row][0] for row in open_rows]))
        parts.sort(key=lambda part: part[0][0])
        starts = [(face_id, start) for face_id, (_, found) in enumerate(parts) for start in found]
        return [samples for samples, _ in parts], starts
