"""Face detection in regions of interest: where faces were a moment ago, and where the image has changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from fervid.faces.boxes import is_same_face, scale_face
from fervid.faces.retinaface import RetinaFace, SmallFaces
from fervid.runtime.opencv import cv2
from fervid.types import Box, ByteArray, Face, FloatArray
from fervid.video.sampling import period_index

PERIOD = 3.0
"""Seconds between detections on the full image. The schedule is absolute: a period begins at each multiple of this."""
STRIDE = 32
"""Largest stride of the network in pixels. Regions begin and end at multiples of it, so that their anchors are those of
the full image."""
BLOCK = 16
"""Side, in pixels of the shrunk image, of the blocks whose mean brightness is compared to find changes."""
BLOCK_CHANGE = 6.0
"""A block has changed if its mean differs by more than this many gray levels, beyond the median change of all
blocks."""
CUT_CHANGE = 20.0
"""Mean change over all blocks, in gray levels, above which the scene counts as new."""
BODY_WIDTH = 1.5
"""Motion below a very large face, within this many face widths of its centre, is attributed to the person's body and
ignored."""
CHANGE_MARGIN = 32
"""Margin in pixels around changed blocks."""
MARGIN, MIN_MARGIN = 0.75, 48.0
"""Margin around a face: a factor of its size (the geometric mean of its box's sides), and the minimum in pixels."""
COARSE_SIZE = 64.0
"""Face size in pixels from which the network's branch for small faces is not needed. An image may be shrunk by 2 or 4
if the face is still this large there."""
SIZE_TOLERANCE = 0.8
"""A face found in a shrunk region counts if it has at least this share of ``COARSE_SIZE`` there."""
LARGE_MARGIN = 0.5
"""The factor in place of ``MARGIN`` for faces that are detected in a shrunk region."""
SMALL_SIZE = 45.0
"""Size below which a face may be missed at half the resolution. In a period with such a face, changed regions are
examined at full resolution. In other periods they are examined at half the resolution first."""
CANDIDATE_SCORE = 0.3
"""Lowest score of a detection that is followed as a possible face."""
SCORE_MARGIN = 0.1
"""If a score is this near to the detector's threshold, the full image decides."""
LOST_SECONDS = 1.0
"""Seconds for which a lost face is still searched for at its last position, within the same period."""
CUT_OFF_MARGIN = 0.1
"""A face this near to the edge of its region, as a share of its size, may be cut off."""
FIXED_COST = 6000.0
"""Cost of one run of the network apart from its pixels, in pixels."""
MAX_COST_SHARE = 0.6
"""If the regions cost more than this share of the full image, the full image is used."""


@dataclass(frozen=True)
class _Region:
    """A part of the shrunk image, in pixels.

    ``coarse``: detection without the branch for small faces. ``step``: factor by which the region is shrunk again, 1, 2
    or 4.
    """

    left: int
    top: int
    right: int
    bottom: int
    coarse: bool
    step: int = 1

    @property
    def cost(self) -> float:
        """Cost of detection in the region, in pixels of a full image."""
        pixels = (self.right - self.left) * (self.bottom - self.top) / self.step**2
        return FIXED_COST + pixels * (0.6 if self.coarse else 1.0)

    def should_merge(self, other: _Region) -> bool:
        """Whether the regions overlap, or are cheaper as one."""
        if self.step != other.step:
            return False
        width = min(self.right, other.right) - max(self.left, other.left)
        height = min(self.bottom, other.bottom) - max(self.top, other.top)
        return min(width, height) > 0 or self.merged(other).cost <= self.cost + other.cost

    def merged(self, other: _Region) -> _Region:
        """The smallest region that contains both."""
        return _Region(
            min(self.left, other.left),
            min(self.top, other.top),
            max(self.right, other.right),
            max(self.bottom, other.bottom),
            self.coarse and other.coarse,
            self.step,
        )


class RegionDetector:
    """Finds the faces in successive samples of a video with less work than detection on each full image.

    In the first sample of each ``PERIOD`` the full image is processed. In later samples only regions are: around each
    face and possible face, and around changed blocks. The full image is used again if the regions would cost nearly as
    much (as after a cut), if a face is lost, if a score is near the threshold, or if a face touches the edge of its
    region. Very large faces are detected at half or a quarter of the resolution. After a cut or a change
    of the image's size the detector starts over.

    The result for a sample depends only on the samples since the last multiple of ``PERIOD``. So a scan that begins at
    such a time gives the same faces as one that began earlier.
    """

    def __init__(self, detector: RetinaFace) -> None:
        self._detector = detector
        self._period: int | None = None
        self._size: tuple[int, ...] = ()
        """Shape of the last image."""
        self._brightness: FloatArray = np.zeros((0, 0), np.float32)
        """Mean of each block when it was last examined."""
        self._candidates: list[Face] = []
        """Faces and possible faces of the last sample, in pixels of the shrunk image."""
        self._lost: list[tuple[float, Face]] = []
        """Lost faces, each with the time of its loss."""
        self._has_small = False
        """Whether this period has shown a small face."""

    def detect(self, time: float, small: ByteArray) -> list[Face]:
        """Find the faces of the next sample.

        Args:
            time: Time of the sample in seconds; later than that of the sample before.
            small: (h, w, 3) uint8 blue-green-red, the image shrunk to the detector's long side.

        Returns:
            The faces, best score first, in pixels of ``small``.
        """
        brightness, period, found = _block_means(small), period_index(time, PERIOD), None
        if period != self._period or small.shape != self._size:
            self._reset()
        else:
            found = self._detect_in_regions(small, brightness)
        if found is None:
            found = self._detector.detect_unscaled(small, CANDIDATE_SCORE, small_faces="gated")
            self._brightness = brightness
        lost = [*self._lost, *((time, face) for face in self._candidates if self._is_face(face))]
        self._lost = [(since, face) for since, face in lost if time - since <= LOST_SECONDS and _is_new(face, found)]
        self._has_small |= any(_size(face) < SMALL_SIZE for face in found)
        self._period, self._size, self._candidates = period, small.shape, found
        return [face for face in found if self._is_face(face)]

    def _reset(self) -> None:
        self._candidates, self._lost, self._has_small = [], [], False

    def _detect_in_regions(self, small: ByteArray, brightness: FloatArray) -> list[Face] | None:
        """Faces and possible faces, best score first; None if the full image is needed."""
        height, width = small.shape[:2]
        changed = self._changed_blocks(brightness, width, height)
        if changed is None:
            self._reset()
            return None
        step = 1 if self._has_small else 2
        expected = [*self._candidates, *(face for _, face in self._lost)]
        around_faces = [_region_around(face, width, height) for face in expected]
        regions = _merge_regions([*around_faces, *_changed_regions(changed, width, height, step)])
        if sum(region.cost for region in regions) > MAX_COST_SHARE * width * height:
            return None
        found: list[Face] = []
        for region in sorted(regions, key=lambda region: (-region.step, not region.coarse)):
            small_faces: SmallFaces = "none" if region.coarse else "gated"
            detected = _detect_in(small, region, partial(self._candidates_in, small_faces=small_faces))
            if region.step > 1 and any(_is_new(face, self._candidates) for face in detected):
                return None
            large = [face for face in detected if _is_large_enough(face, region)]
            # A face in two regions may be cut off in the second; keep the first.
            faces = [face for face in large if _is_new(face, found)]
            if any(_is_cut_off(face, region, width, height) or self._is_near_threshold(face) for face in faces):
                return None
            found += faces
        if any(_is_new(face, found) for face in self._candidates if self._is_face(face)):
            return None
        return sorted(found, key=lambda face: -face.score)

    def _candidates_in(self, part: ByteArray, small_faces: SmallFaces) -> list[Face]:
        return self._detector.detect_unscaled(part, CANDIDATE_SCORE, small_faces=small_faces)

    def _is_face(self, face: Face) -> bool:
        return face.score >= self._detector.score_threshold

    def _is_near_threshold(self, face: Face) -> bool:
        return abs(face.score - self._detector.score_threshold) < SCORE_MARGIN

    def _changed_blocks(self, brightness: FloatArray, width: int, height: int) -> npt.NDArray[np.bool_] | None:
        """(rows, columns): blocks outside the followed faces that have changed since they were last examined.

        They count as examined afterwards. None after a cut.
        """
        difference = brightness - self._brightness
        overall = np.median(difference)
        ignored = np.zeros(brightness.shape, bool)
        rows, columns = brightness.shape
        for face in self._candidates:
            left, right = (round(x * columns / width) for x in (face.x, face.x + face.width))
            top, bottom = (round(y * rows / height) for y in (face.y, face.y + face.height))
            ignored[max(0, top) : max(0, bottom), max(0, left) : max(0, right)] = True
            if _shrink_step(face) > 1 and self._is_face(face):
                extra = round((BODY_WIDTH - 0.5) * (right - left))
                ignored[max(0, bottom) :, max(0, left - extra) : max(0, right + extra)] = True
        size = np.where(ignored, 0.0, np.abs(difference - overall))
        if size.sum() > CUT_CHANGE * (~ignored).sum():
            return None
        changed: npt.NDArray[np.bool_] = size > BLOCK_CHANGE
        self._brightness = np.where(changed, brightness, self._brightness + overall).astype(np.float32)
        return changed


def detect_around(detect: Callable[[ByteArray], list[Face]], small: ByteArray, faces: Sequence[Face]) -> list[Face]:
    """Find the faces in the parts of an image where some faces were a moment ago.

    Args:
        detect: Finds the faces of an image without shrinking it.
        small: (h, w, 3) uint8 blue-green-red, the image shrunk to the detector's long side.
        faces: Where to search, in pixels of ``small``.

    Returns:
        The faces, best score first, in pixels of ``small``. Very large faces are detected at half or a quarter of the
        resolution.
    """
    height, width = small.shape[:2]
    regions = _merge_regions([_region_around(face, width, height) for face in faces])
    if sum(region.cost for region in regions) > MAX_COST_SHARE * width * height:
        return detect(small)
    found: list[Face] = []
    for region in sorted(regions, key=lambda region: -region.step):
        detected = _detect_in(small, region, detect)
        found += [face for face in detected if _is_large_enough(face, region) and _is_new(face, found)]
    return sorted(found, key=lambda face: -face.score)


def _detect_in(small: ByteArray, region: _Region, detect: Callable[[ByteArray], list[Face]]) -> list[Face]:
    part = small[region.top : region.bottom, region.left : region.right]
    height, width = part.shape[:2]
    if region.step > 1:
        size = (max(1, round(width / region.step)), max(1, round(height / region.step)))
        part = np.asarray(cv2.resize(part, size, interpolation=cv2.INTER_AREA), np.uint8)
    scale_x, scale_y = width / part.shape[1], height / part.shape[0]
    return [scale_face(face, scale_x, scale_y, region.left, region.top) for face in detect(part)]


def _is_large_enough(face: Face, region: _Region) -> bool:
    """Whether a face is large enough to be found reliably at the resolution of its region."""
    return region.step == 1 or _size(face) >= SIZE_TOLERANCE * COARSE_SIZE * region.step


def _block_means(small: ByteArray) -> FloatArray:
    """Mean gray level of each block of an image (h, w, 3)."""
    means, block = small, 1
    while block < BLOCK:  # OpenCV is fastest at halving
        size = (max(1, means.shape[1] // 2), max(1, means.shape[0] // 2))
        means, block = np.asarray(cv2.resize(means, size, interpolation=cv2.INTER_AREA), np.uint8), 2 * block
    return np.asarray(cv2.cvtColor(means, cv2.COLOR_BGR2GRAY), np.float32)


def _is_new(face: Face, others: list[Face]) -> bool:
    """Whether no other box shows the same face."""
    return not is_same_face(face, others).any()


def _shrink_step(face: Face) -> int:
    """The factor by which an image may be shrunk for the detection of a face of this size."""
    return next((step for step in (4, 2) if _size(face) >= step * COARSE_SIZE), 1)


def _region_around(face: Face, width: int, height: int) -> _Region:
    """The region in which a face is searched for again, in an image of ``width`` x ``height`` pixels."""
    size, step = _size(face), _shrink_step(face)
    margin = LARGE_MARGIN * size if step > 1 else max(MARGIN * size, MIN_MARGIN)
    return _region(face.box, margin, width, height, size >= COARSE_SIZE, step)


def _changed_regions(changed: npt.NDArray[np.bool_], width: int, height: int, step: int) -> Iterator[_Region]:
    """A region for each connected component of changed blocks."""
    rows, columns = changed.shape
    count, _, boxes, _ = cv2.connectedComponentsWithStats(changed.astype(np.uint8))
    for left, top, across, down, _ in boxes[1:count].tolist():
        box = (left * width / columns, top * height / rows, across * width / columns, down * height / rows)
        yield _region(box, CHANGE_MARGIN, width, height, False, step)


def _region(box: Box, margin: float, width: int, height: int, coarse: bool, step: int = 1) -> _Region:
    """The box with a margin, extended to multiples of the stride and limited to the image."""
    x, y, box_width, box_height = box
    unit = STRIDE * step
    left, top = (max(0, int((low - margin) // unit) * unit) for low in (x, y))
    right, bottom = (-int(-(high + margin) // unit) * unit for high in (x + box_width, y + box_height))
    left, top = min(left, (width - 1) // unit * unit), min(top, (height - 1) // unit * unit)
    return _Region(left, top, max(left + 1, min(right, width)), max(top + 1, min(bottom, height)), coarse, step)


def _merge_regions(regions: list[_Region]) -> list[_Region]:
    """Merge regions until no two of them should be merged."""
    separate: list[_Region] = []
    for region in regions:
        while match := next((other for other in separate if region.should_merge(other)), None):
            separate.remove(match)
            region = region.merged(match)
        separate.append(region)
    return separate


def _is_cut_off(face: Face, region: _Region, width: int, height: int) -> bool:
    """Whether a face is so near to an edge of its region, inside the image, that it may continue beyond it."""
    near = CUT_OFF_MARGIN * _size(face)
    return (
        (face.x - near < region.left and region.left > 0)
        or (face.y - near < region.top and region.top > 0)
        or (face.x + face.width + near > region.right and region.right < width)
        or (face.y + face.height + near > region.bottom and region.bottom < height)
    )


def _size(face: Face) -> float:
    return float(np.sqrt(max(face.width * face.height, 0.0)))
