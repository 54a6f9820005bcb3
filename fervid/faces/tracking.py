"""Tracking: linking the faces of successive samples into tracks. All times are in seconds.

Each shot is tracked in two passes (after Huang, Wu and Nevatia, 2008). The first pass joins faces of successive samples
into tracklets where the match is unambiguous. It predicts each tracklet with a smoothed velocity, compares predicted
and detected faces by distance, size and appearance, and solves the assignment optimally (Kuhn, 1955; scipy). A tracklet
is split where its appearance changes permanently. The second pass links ends of tracklets to starts of others over gaps
of up to ``max_gap`` seconds. It compares motion and appearance on both sides and solves all links of a shot at once.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from fervid.faces.boxes import centres_and_sizes, iou
from fervid.faces.linking import link_tracklets
from fervid.faces.tracklets import Sample, join_samples, split_tracklet
from fervid.files.scratch import ScratchArray
from fervid.timeline.gaps import median_step
from fervid.types import Face, FloatArray

SHORT_GAP = 0.2
"""Gap in seconds (or 1.5 median steps, if longer) above which linking is left to the second pass."""
MAX_CLEAR_OVERLAP = 0.15
"""Intersection over union with another face above which a descriptor shows both faces."""
MIN_SAMPLES = 3
"""Samples that a track needs, if its shot has that many. At a low sampling rate it needs one less."""
SLOW_STEP = 0.5
"""Median step in seconds above which three samples span more than one second."""


class FaceTracker:
    """Links detected faces into tracks.

    Call ``update`` for each sampled frame in order of time, then ``finish``. A track is kept if it has at least three
    samples (two if samples are more than half a second apart) and lasts at least ``min_track`` seconds. In a shot
    too short for that, a track that covers the shot is kept.
    """

    def __init__(self, max_gap: float = 1.0, min_track: float = 0.4, folder: Path | None = None) -> None:
        """Start without faces.

        Args:
            max_gap: A face that is absent for longer than this many seconds ends its track. At low sampling rates 2.5
                median steps apply instead, if longer.
            min_track: Shortest track in seconds.
            folder: Folder for descriptors on disk; see ScratchArray.
        """
        self._max_gap, self._min_track, self._folder = max_gap, min_track, folder
        self._times = array("d")
        self._counts = array("l")
        self._numbers = array("l")
        """Number of each sample; -1 for a frame between two samples."""
        self._samples = 0
        self._faces = array("d")
        """Four numbers per face: centre x, centre y, size, and whether its descriptor shows only this face."""
        self._descriptors: ScratchArray | None = None

    def update(
        self,
        time: float,
        faces: Sequence[Face],
        descriptors: Sequence[FloatArray] | None = None,
        sampled: bool = True,
    ) -> None:
        """Add the faces of one frame.

        Args:
            time: Time of the frame in seconds.
            faces: The faces.
            descriptors: (d,) float32 unit vector of each face. The dot product of two should be near 1 for the same
                face and below 0.85 for different ones. None: no appearance is used.
            sampled: False for a frame between two samples. Its faces connect those of the samples, and are not part of
                the result.
        """
        boxes = np.array([face.box for face in faces], np.float64).reshape(-1, 4)
        centres, sizes = centres_and_sizes(boxes)
        overlaps = iou(boxes, boxes)
        np.fill_diagonal(overlaps, 0.0)
        clear = overlaps.max(axis=1, initial=0.0) <= MAX_CLEAR_OVERLAP
        self._times.append(time)
        self._counts.append(len(faces))
        self._numbers.append(self._samples if sampled else -1)
        self._samples += sampled
        self._faces.extend(np.column_stack([centres, sizes, clear]).ravel())
        for descriptor in descriptors or ():
            self._descriptors = self._descriptors or ScratchArray(self._folder, descriptor.shape, np.float16)
            self._descriptors.add(descriptor)

    def discard(self) -> None:
        """Delete the temporary file, if the tracks are not built."""
        if self._descriptors is not None:
            self._descriptors.close()

    def finish(self, cuts: Sequence[float] = ()) -> list[list[tuple[int, int]]]:
        """Build the tracks.

        Args:
            cuts: Sorted times in seconds of the first frames of new shots. No track continues across a cut.

        Returns:
            For each track its samples: (number of the sample, counted from 0, and position in its list of faces).
            Tracks are ordered by their first sample.
        """
        shots: dict[int, list[int]] = {}
        for place, time in enumerate(self._times):
            shots.setdefault(bisect_right(cuts, time), []).append(place)
        faces = np.array(self._faces).reshape(-1, 4)
        first = np.concatenate([[0], np.cumsum(self._counts)]).astype(int)

        def sample(place: int) -> Sample:
            rows = faces[first[place] : first[place + 1]]
            store, start = self._descriptors, int(first[place])
            return Sample(
                self._numbers[place], self._times[place], rows[:, :2], rows[:, 2], rows[:, 3] > 0, store, start
            )

        tracks = [track for shot in shots.values() for track in self._follow([sample(place) for place in shot])]
        if self._descriptors is not None:
            self._descriptors.close()
        return sorted(tracks, key=lambda track: track[0])

    def _follow(self, shot: list[Sample]) -> list[list[tuple[int, int]]]:
        """The tracks of one shot."""
        # Times relative to the shot's start, so that rounding does not depend on the shot's position in the video.
        times = np.round(np.array([sample.time for sample in shot]) - shot[0].time, 6)
        shot = [replace(sample, time=float(time)) for sample, time in zip(shot, times, strict=True)]
        sampled = [index for index, sample in enumerate(shot) if sample.number >= 0]
        if not sampled:
            return []
        step = median_step(times[sampled])
        # At low sampling rates one missed sample must not end a track.
        max_gap = max(self._max_gap, 2.5 * step) + 1e-6
        tracklet_gap = min(max(SHORT_GAP, 1.5 * step) + 1e-6, max_gap)
        tracklets = [part for tracklet in join_samples(shot, tracklet_gap) for part in split_tracklet(tracklet, shot)]
        tracks = link_tracklets(tracklets, shot, max_gap)
        min_samples = min(MIN_SAMPLES - (step > SLOW_STEP), len(sampled))
        min_duration = min(self._min_track, float(times[sampled[-1]] - times[sampled[0]])) - 1e-6
        rows = [[member for member in members if shot[member[0]].number >= 0] for members in tracks]
        return [
            [(shot[index].number, position) for index, position in members]
            for members in rows
            if len(members) >= max(1, min_samples) and times[members[-1][0]] - times[members[0][0]] >= min_duration
        ]
