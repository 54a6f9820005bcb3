"""Faces that are no person's own: pictures, mirror images and copies.

A picture of a face is always the same, however it is moved; a living face is not, even if it keeps still. So aligned
faces of one track are compared with one of them after the movement of the whole face and the change of light between
the two are taken out (a linear registration after Lucas and Kanade, 1981, with affine motion, gain and offset).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fervid.faces.boxes import centres_and_sizes
from fervid.runtime.opencv import cv2
from fervid.types import ByteArray, DoubleArray, Doubt, FloatArray, Track

PICTURE = "does not move: a picture?"
"""The reason of a doubt about a face that never changes while another one does."""
MIRROR, COPY = "mirror image of face {}?", "copy of face {}?"
"""The reasons of doubts about a face that moves as another face of the same look does."""

SIDE = 56
"""Side in pixels at which aligned faces are compared."""
RADIUS = 0.85
"""Radius of the disc that is compared, as a share of half the side: the face without its background."""
ITERATIONS = 4
"""Steps of the registration."""
STILL = 0.15
"""Largest change of a picture. Pictures in shaken, noisy or strongly compressed clips reach 0.13, living faces of 7 s
and more at least 0.6, two seconds of a person stretched to 20 s at least 0.29, and one second at least 0.17."""
MOVING = 0.2
"""Median change from which a face certainly moves. That of living faces is 0.28 and more."""
OUTLIERS = 0.05
"""Share of the samples of a picture that may show more change, because something passes before it."""
MIN_SECONDS, MIN_FACES = 5.0, 8
"""Shortest span, and fewest aligned faces, of a track that can be called a picture."""
MAX_FACES = 40
"""Most aligned faces of a track that are compared."""
ENOUGH = 5
"""Comparisons after which a face that clearly changes is not compared any further."""

MIN_TOGETHER = 10
"""Fewest samples that show both a face and its copy."""
MIN_AGREEMENT = 0.8
"""Lowest correlation between the movements of a face and its copy, along each axis. People before a moving camera reach
0.99, so it says something only of faces that look alike."""
MIN_MOVEMENT = 0.01
"""Smallest standard deviation of a movement that is compared, in face sizes."""
MIN_COPY_SIMILARITY = 0.5
"""Lowest cosine similarity of the embeddings of a face and its copy. Mirroring changes it little. Of 399 pairs of two
people in real clips none reaches it."""

_Y, _X = np.mgrid[0:SIDE, 0:SIDE].astype(np.float32)
_U, _V = (_X + 0.5) / (SIDE / 2) - 1, (_Y + 0.5) / (SIDE / 2) - 1
_DISC = _U**2 + _V**2 <= RADIUS**2


class Registration:
    """Compares aligned faces with one of them.

    Args:
        reference: The face that the others are compared with: (h, h, 3) uint8, blue-green-red.
    """

    def __init__(self, reference: ByteArray) -> None:
        self._reference = _prepared(reference)
        dx = np.asarray(cv2.Sobel(self._reference, cv2.CV_32F, 1, 0, ksize=3)) / 8
        dy = np.asarray(cv2.Sobel(self._reference, cv2.CV_32F, 0, 1, ksize=3)) / 8
        columns = [dx, dx * _U, dx * _V, dy, dy * _U, dy * _V, self._reference, np.ones_like(dx)]
        self._model = np.stack([column[_DISC] for column in columns], axis=1).astype(np.float64)
        # A tiny ridge keeps a face without any structure solvable.
        self._normal = np.einsum("ij,ik->jk", self._model, self._model) + 1e-6 * np.eye(len(columns))
        self._contrast = max(float(self._reference[_DISC].std()), 1.0)

    def change(self, face: ByteArray) -> float:
        """Measure how much a face differs from the reference.

        Args:
            face: The face, as the reference.

        Returns:
            The 99th percentile of the absolute difference after registration, in standard deviations of the reference.
        """
        given = _prepared(face)
        warp, moved = np.eye(3), given
        for _ in range(ITERATIONS):
            motion, _ = self._fit(moved)
            x, x_u, x_v, y, y_u, y_v = motion[:6]
            half, middle = SIDE / 2, (SIDE - 1) / 2
            a = np.array([[x_u / half, x_v / half], [y_u / half, y_v / half]])
            step = np.eye(3)
            step[:2, :2] += a
            step[:2, 2] = np.array([x, y]) - a @ np.array([middle, middle])
            warp = warp @ np.linalg.inv(step)
            moved = np.asarray(
                cv2.warpAffine(
                    given,
                    warp[:2],
                    (SIDE, SIDE),
                    flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
                    borderMode=cv2.BORDER_REPLICATE,
                ),
                np.float32,
            )
        left = np.zeros((SIDE, SIDE), np.float32)
        left[_DISC] = self._fit(moved)[1]
        smooth = np.abs(np.asarray(cv2.GaussianBlur(left, (0, 0), 1.5))[_DISC])
        return float(np.percentile(smooth, 99)) / self._contrast

    def _fit(self, moved: FloatArray) -> tuple[DoubleArray, DoubleArray]:
        """Parameters of the motion and light between the reference and a face, and what they leave unexplained."""
        difference = (moved - self._reference)[_DISC].astype(np.float64)
        right = np.einsum("ij,i->j", self._model, difference)
        parameters = np.linalg.solve(self._normal, right)
        return parameters, difference - np.einsum("ij,j->i", self._model, parameters)


def _prepared(face: ByteArray) -> FloatArray:
    gray = np.asarray(cv2.cvtColor(face, cv2.COLOR_BGR2GRAY), np.float32)
    small = cv2.resize(gray, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.GaussianBlur(small, (0, 0), 1.0), np.float32)


@dataclass(frozen=True)
class Change:
    """How much one face changes over time. ``still``: never, so it may be a picture. ``moving``: certainly."""

    still: bool
    moving: bool


def measure_change(count: int, read: Callable[[int], ByteArray], reference: int) -> Change:
    """Find out whether a face changes over time.

    Args:
        count: Number of aligned faces of the track; at least one.
        read: Number of an aligned face → the face, (h, h, 3) uint8, blue-green-red.
        reference: Number of the face that the others are compared with; the best one.

    Returns:
        Whether the face is always the same, and whether it certainly changes.
    """
    chosen = np.unique(np.linspace(0, count - 1, min(count, MAX_FACES)).round().astype(int))
    chosen = chosen[chosen != reference]
    if not len(chosen):
        return Change(False, False)
    registration = Registration(read(reference))
    allowed = int(OUTLIERS * len(chosen))
    found: list[float] = []
    for number in _spread(chosen):
        found.append(registration.change(read(number)))
        if len(found) >= ENOUGH and sum(one > STILL for one in found) > max(allowed, ENOUGH // 2):
            break
    still = sum(one > STILL for one in found) <= allowed
    return Change(still, len(found) >= ENOUGH - 1 and float(np.median(found)) >= MOVING)


def _spread(numbers: npt.NDArray[np.int64]) -> Iterator[int]:
    """The numbers in an order in which the first few are spread over all of them."""
    stride = max(1, len(numbers) // ENOUGH)
    for begin in range(stride):
        yield from numbers[begin::stride].tolist()


def copies(tracks: Sequence[Track], embeddings: Sequence[FloatArray]) -> dict[int, Doubt]:
    """Find mirror images and copies: faces that move as another one does and look like it.

    Args:
        tracks: The faces of a video, ordered by their first sample.
        embeddings: (n, 128) float32 unit vectors of each.

    Returns:
        Place of a track → the doubt. Of two such faces the one of lower quality, or the smaller one, is the copy.
    """
    known = [place for place, vectors in enumerate(embeddings) if len(vectors)]
    means = {place: embeddings[place].mean(axis=0) for place in known}
    found: dict[int, Doubt] = {}
    active: list[int] = []
    for one in known:  # tracks are ordered by their first sample
        active = [other for other in active if tracks[other].times[-1] >= tracks[one].times[0]]
        for other in active:
            first, second = tracks[one], tracks[other]
            length = float(np.linalg.norm(means[one]) * np.linalg.norm(means[other]))
            if float(means[one] @ means[other]) < MIN_COPY_SIMILARITY * length:
                continue
            reason = _same_movement(first, second)
            if reason:
                copy, original = sorted((one, other), key=lambda place: _worth(tracks[place]))
                text, times = reason.format(tracks[original].face_id), tracks[copy].times
                found.setdefault(copy, Doubt(tracks[copy].face_id, float(times[0]), float(times[-1]), text))
        active.append(one)
    return found


def _worth(track: Track) -> tuple[float, float]:
    """Quality, rounded, and size of a face: the original has more of both than its copy."""
    return round(float(track.qualities.mean()), 1), float(np.median(track.boxes[:, 2] * track.boxes[:, 3]))


def _same_movement(first: Track, second: Track) -> str:
    """MIRROR or COPY if two faces move alike while both are seen; otherwise empty."""
    _, rows, others = np.intersect1d(first.frames, second.frames, assume_unique=True, return_indices=True)
    if len(rows) < MIN_TOGETHER or len(rows) < 0.5 * min(len(first.frames), len(second.frames)):
        return ""
    one, other = (_movement(track.boxes[chosen]) for track, chosen in ((first, rows), (second, others)))
    deviations = np.stack([one.std(axis=0), other.std(axis=0)])
    if (deviations < MIN_MOVEMENT).any():
        return ""
    across, down = (float(np.corrcoef(one[:, axis], other[:, axis])[0, 1]) for axis in (0, 1))
    if down < MIN_AGREEMENT or abs(across) < MIN_AGREEMENT:
        return ""
    return COPY if across > 0 else MIRROR


def _movement(boxes: FloatArray) -> DoubleArray:
    """(n, 2) centres in face sizes."""
    centres, sizes = centres_and_sizes(boxes)
    return np.asarray(centres / np.median(sizes))
