"""When a scan looks at turned frames: seldom, and so that segments of a video give what the whole gives."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from fervid.faces.boxes import ScaledImage, is_same_face, scale_face
from fervid.faces.turned_faces import TurnedFaceDetector
from fervid.types import ByteArray, Face, Frame, PictureShape
from fervid.video.sampling import period_index

LOOK_PERIOD = 1.0
"""Seconds between looks at turned frames while no upright face is found. The schedule is absolute: a period begins at
each multiple of this."""
MEMORY_PERIOD = 3.0
"""Seconds, in periods as above, for which a turn that has shown faces is searched in every sample. A cut ends that
earlier."""
UPRIGHT_SECONDS = 1.0
"""Seconds for which an upright face is remembered that is not found again."""
CUT_CHANGE = 20.0
"""Mean change of the thumbnail in gray levels, from one sample to the next, above which the scene counts as new."""


class TurnedLooks:
    """Completes the faces of successive samples of one video by looks at turned frames.

    Every face that may be turned is looked at again, from near, unless a face in its place was upright a moment ago. If
    a sample shows no good upright face, the whole frame is searched in all turns, once in each LOOK_PERIOD and after a
    cut. Once a turn has shown faces, the following samples are searched in that turn too, beside the upright frame: an
    upright face may come in at any time.

    The result for a sample depends only on the samples since the last multiple of MEMORY_PERIOD. So a scan that begins
    at such a time gives the same faces as one that began earlier.
    """

    def __init__(self, detector: TurnedFaceDetector) -> None:
        self._detector = detector
        self._turn = 0
        """The turn that has shown faces in this shot; 0: none."""
        self._upright: list[tuple[float, Face]] = []
        """Time, and a face that was upright then, as its landmarks or a close-up say, and was not seen again since."""
        self._memory: int | None = None
        self._looked: int | None = None
        """The LOOK_PERIOD of the last search."""
        self._thumbnail: ByteArray | None = None
        self._shape: PictureShape | None = None

    def faces(self, frame: Frame, shrunk: Callable[[], ScaledImage], detect: Callable[[], list[Face]]) -> list[Face]:
        """Find the faces of the next sample.

        Args:
            frame: The frame.
            shrunk: Gives its image, shrunk to the detector's long side.
            detect: Finds the faces of the upright frame, in its pixels.

        Returns:
            The faces, in pixels of the frame.
        """
        self._forget(frame)
        faces = detect()
        if self._turn:
            small, factor = shrunk()
            if found := self._detector.search(small, self._turn):
                return self._detector.add(frame.image, faces, [scale_face(face, factor) for face in found])
        faces = self._refine(frame, faces)
        period = period_index(frame.time, LOOK_PERIOD)
        if self._looked == period or any(map(self._detector.is_good, faces)):
            return faces
        self._looked = period
        small, factor = shrunk()
        self._turn, found = self._detector.search_all(small, [scale_face(face, 1 / factor) for face in faces])
        return self._detector.merge(faces, [scale_face(face, factor) for face in found])

    def _refine(self, frame: Frame, faces: list[Face]) -> list[Face]:
        known = [face for time, face in self._upright if frame.time - time <= UPRIGHT_SECONDS]
        refined = self._detector.refine(frame.image, faces, known=known)
        upright = [face for face, new in zip(faces, refined, strict=True) if new is face]
        self._upright = [
            *((time, face) for time, face in self._upright if face in known and not is_same_face(face, faces).any()),
            *((frame.time, face) for face in upright),
        ]
        return refined

    def _forget(self, frame: Frame) -> None:
        """Start over in a new period and in a new scene."""
        memory, before = period_index(frame.time, MEMORY_PERIOD), self._thumbnail
        same = frame.shape == self._shape and before is not None and not _differ(before, frame.thumbnail)
        if memory != self._memory or not same:
            self._turn, self._looked, self._upright = 0, None, []
        self._memory, self._thumbnail, self._shape = memory, frame.thumbnail, frame.shape


def _differ(before: ByteArray, after: ByteArray) -> bool:
    if before.shape != after.shape:
        return True
    return float(np.abs(after.astype(np.int16) - before).mean()) > CUT_CHANGE
