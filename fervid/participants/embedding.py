"""Embeddings of persons and photos. They stay in memory."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from fervid.faces.close_up import upright_close_up
from fervid.faces.detectors import create_detector
from fervid.faces.embedding import FaceEmbedder
from fervid.faces.thumbnail import cut_out, data_uri
from fervid.faces.turned_faces import TURNS, TurnedFaceDetector
from fervid.participants.persons import ChosenFace
from fervid.runtime.opencv import cv2
from fervid.settings import OpenOptions, ScanSettings
from fervid.types import ByteArray, Face, FloatArray
from fervid.video.wanted_frames import read_wanted

MIN_AGREEMENT = 0.3
"""A face whose median cosine similarity to the other faces of its person is lower than this is another person's."""

BORDER = 0.5
"""Border, as a fraction of the longer side, around a photo on which no face is found: the photo may be all face."""


@dataclass(eq=False, slots=True)
class SeenFaces:
    """What was seen of one person.

    Attributes:
        vectors: (128,) float32 unit vector of each face.
        images: Thumbnails of the same faces as data URIs; none if they are not wanted.
    """

    vectors: list[FloatArray] = field(default_factory=list)
    images: list[str] = field(default_factory=list)


@dataclass(frozen=True, eq=False, slots=True)
class Average:
    """The average of several faces.

    Attributes:
        vector: (128,) float32 unit vector; None if there are no faces, or if they are not of one person.
        kept: (n,) which faces it is made of.
    """

    vector: FloatArray | None
    kept: list[bool]


def robust_average(vectors: Iterable[FloatArray]) -> Average:
    """Average faces of one person without those that are another's.

    Args:
        vectors: (128,) float32 unit vectors.

    Returns:
        The normalised mean of the faces that agree. None if fewer than half of three or more do.
    """
    table = np.array(list(vectors), np.float32)
    if not len(table):
        return Average(None, [])
    kept = np.ones(len(table), bool)
    if len(table) > 2:
        products = table @ table.T
        others = products[~np.eye(len(table), dtype=bool)].reshape(len(table), -1)
        kept = np.median(others, axis=1) >= MIN_AGREEMENT
        if 2 * kept.sum() < len(table):
            return Average(None, kept.tolist())
    mean = table[kept].mean(axis=0)
    return Average(mean / max(float(np.linalg.norm(mean)), 1e-6), kept.tolist())


class FaceReader:
    """Finds faces in frames and photos again and embeds them.

    Args:
        thumbnails: Whether to make thumbnails too.
    """

    def __init__(self, thumbnails: bool) -> None:
        settings = ScanSettings()
        self._detector = create_detector(settings)
        self._turned = TurnedFaceDetector(self._detector, settings.score_threshold, settings.long_side)
        self._embedder = FaceEmbedder()
        self._thumbnails = thumbnails

    def read_video(self, path: Path, chosen: Iterable[ChosenFace], options: OpenOptions) -> dict[int, SeenFaces]:
        """Embed chosen faces of a video.

        Args:
            path: The video.
            chosen: The faces.
            options: How the video was opened when it was analysed.

        Returns:
            Person → what was seen. Faces that cannot be found again are left out.

        Raises:
            UnreadableVideo: The video cannot be decoded.
        """
        seen: dict[int, SeenFaces] = {}
        for frame, faces in read_wanted(path, chosen, options):
            for one in faces:
                face = self._look_again(frame.image, Face(*one.box, 1.0))
                if face is not None:
                    self.add(seen.setdefault(one.person, SeenFaces()), frame.image, face)
        return seen

    def _look_again(self, image: ByteArray, face: Face) -> Face | None:
        """The face with its landmarks, whichever way up it is."""
        for turn in (0, *TURNS):
            found = upright_close_up(image, face, turn, self._detector.detect)
            if found is not None:
                return found
        return None

    def faces_of_photo(self, image: ByteArray) -> tuple[ByteArray, list[Face]]:
        """Find the faces of a photo.

        Args:
            image: (h, w, 3) uint8, blue-green-red.

        Returns:
            The image, with a border if that is needed to find a face, and its faces, the largest first.
        """
        for border in (0, round(BORDER * max(image.shape[:2]))):
            edges = (border, border, border, border)
            shown = np.asarray(cv2.copyMakeBorder(image, *edges, cv2.BORDER_CONSTANT, value=(128, 128, 128)), np.uint8)
            found = self._turned.complete(shown, self._detector.detect(shown))
            if found:
                return shown, sorted(found, key=lambda face: -min(face.width, face.height))
        return image, []

    def add(self, seen: SeenFaces, image: ByteArray, face: Face) -> None:
        """Embed a face.

        Args:
            seen: What is known of its person; the face is added.
            image: (h, w, 3) uint8, blue-green-red.
            face: The face with its landmarks.
        """
        seen.vectors.append(self._embedder.embed(image, face))
        if self._thumbnails:
            seen.images.append(data_uri(cut_out(image, face.box)))
