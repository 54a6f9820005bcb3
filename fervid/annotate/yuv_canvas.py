"""Drawing in place on a frame in I420 (8-bit 4:2:0, limited range).

Video is decoded to these planes and encoded from them, so pixels without a drawing are never converted.
Colours are (red, green, blue), 0 to 255. Coordinates are luma pixels, x to the right and y down.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from fervid.runtime.opencv import cv2
from fervid.types import ByteArray
from fervid.video.picture import split_planes

Color = tuple[int, int, int]
Point = tuple[float, float]
Planes = tuple[ByteArray, ByteArray, ByteArray]

_SHIFT = 4
"""Fractional bits of the coordinates passed to OpenCV."""

_LUMA_WEIGHTS = {1: (0.2126, 0.0722), 9: (0.2627, 0.0593), 10: (0.2627, 0.0593)}
"""H.273 matrix code → weights of red and blue in luma: BT.709 and BT.2020."""

_BT601 = (0.299, 0.114)
"""Weights of red and blue for all other matrix codes."""

MOSAIC = 6
"""Cells across a hidden face. With this few, people cannot be recognised."""


@lru_cache(maxsize=8)
def _matrix(code: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Matrix (3, 3) and offset (3,) from RGB to limited-range Y'CbCr, for an H.273 matrix code."""
    red, blue = _LUMA_WEIGHTS.get(code, _BT601)
    green = 1 - red - blue
    luma = np.array([red, green, blue])
    cb = (np.array([0, 0, 1]) - luma) / (2 * (1 - blue))
    cr = (np.array([1, 0, 0]) - luma) / (2 * (1 - red))
    scaled = np.stack([luma * 219 / 255, cb * 224 / 255, cr * 224 / 255])
    return scaled.astype(np.float32), np.array([16, 128, 128], np.float32)


@lru_cache(maxsize=256)
def samples(color: Color, code: int) -> tuple[int, int, int]:
    """Convert a colour to luma, blue difference and red difference, for an H.273 matrix code."""
    matrix, offset = _matrix(code)
    luma, blue, red = np.rint(matrix @ np.asarray(color, np.float32) + offset).astype(int).tolist()
    return luma, blue, red


def matrix_code(code: int, height: int) -> int:
    """Choose the H.273 matrix code to draw with.

    Args:
        code: The code of the video; 2 means unspecified.
        height: Height of the frame in pixels.

    Returns:
        ``code``, or the code that players assume if it is unspecified.
    """
    return code if code != 2 else 1 if height >= 720 else 6


@dataclass(frozen=True, eq=False)
class Sprite:
    """A small image with transparency, ready to be drawn on a canvas.

    Attributes:
        size: (width, height) in pixels, both even.
        layers: For the luma plane and both chroma planes: premultiplied samples, and 255 minus the coverage.
    """

    size: tuple[int, int]
    layers: tuple[tuple[ByteArray, ByteArray], ...]


def sprite(image: ByteArray, code: int) -> Sprite:
    """Convert an image to a sprite.

    Args:
        image: (h, w, 4) uint8 RGBA, not premultiplied.
        code: H.273 matrix code of the frames to draw on.

    Returns:
        The sprite.
    """
    image = np.pad(image, ((0, image.shape[0] % 2), (0, image.shape[1] % 2), (0, 0)))
    height, width = image.shape[:2]
    matrix, offset = _matrix(code)
    alpha = image[..., 3].astype(np.float32) / 255
    planes = (image[..., :3].astype(np.float32) @ matrix.T + offset) * alpha[..., None]
    layers = []
    for index in range(3):
        plane, coverage = planes[..., index], alpha
        if index:
            plane, coverage = (
                part.reshape(height // 2, 2, width // 2, 2).mean(axis=(1, 3)) for part in (plane, coverage)
            )
        layers.append((np.rint(plane).astype(np.uint8), np.rint(255 * (1 - coverage)).astype(np.uint8)))
    return Sprite((width, height), tuple(layers))


class Canvas:
    """A frame to draw on.

    Args:
        planes: (height * 3 / 2, width) uint8 in I420; height and width are even. Changed in place.
        code: H.273 matrix code of the frame.
    """

    def __init__(self, planes: ByteArray, code: int) -> None:
        self.height, self.width = planes.shape[0] * 2 // 3, planes.shape[1]
        self._planes: Planes = split_planes(planes)
        self._code = code

    def draw_sprite(self, sprite: Sprite, x: float, y: float) -> None:
        """Draw a sprite; parts outside the frame are left out.

        Args:
            sprite: The sprite.
            x: Left edge, rounded to an even number.
            y: Upper edge, rounded to an even number.
        """
        left, top = 2 * round(x / 2), 2 * round(y / 2)
        for plane, (values, transparency), scale in zip(self._planes, sprite.layers, (1, 2, 2), strict=True):
            x0, y0 = left // scale, top // scale
            height, width = values.shape
            if x0 < 0 or y0 < 0 or x0 + width > plane.shape[1] or y0 + height > plane.shape[0]:
                rows, columns = slice(max(0, -y0), plane.shape[0] - y0), slice(max(0, -x0), plane.shape[1] - x0)
                values, transparency = values[rows, columns], transparency[rows, columns]
            target = plane[max(0, y0) : max(0, y0 + height), max(0, x0) : max(0, x0 + width)]
            if target.size:
                cv2.multiply(target, transparency, target, scale=1 / 255)
                cv2.add(target, values, target)

    def lines(self, paths: Sequence[Sequence[Point]], color: Color, thickness: int, closed: bool) -> None:
        """Draw anti-aliased lines through points.

        Args:
            paths: The points of each line.
            color: Colour of the lines.
            thickness: Thickness in pixels.
            closed: Connect the last point with the first.
        """
        unit = 1 << _SHIFT
        centers = [(np.asarray(path) + 0.5) * unit for path in paths]
        # a chroma sample is as wide as two luma samples
        in_luma = [np.rint(path - unit / 2).astype(np.int32) for path in centers]
        in_chroma = [np.rint(path / 2 - unit / 2).astype(np.int32) for path in centers]
        luma, blue, red = samples(color, self._code)
        cv2.polylines(self._planes[0], in_luma, closed, luma, thickness, cv2.LINE_AA, _SHIFT)
        for plane, value in zip(self._planes[1:], (blue, red), strict=True):
            cv2.polylines(plane, in_chroma, closed, value, max(1, round(thickness / 2)), cv2.LINE_AA, _SHIFT)

    def fill(self, x: float, y: float, width: float, height: float, color: Color) -> None:
        """Fill a rectangle, with its edges rounded to whole pixels.

        Args:
            x: Left edge.
            y: Upper edge.
            width: Width.
            height: Height.
            color: Colour.
        """
        x0, y0, x1, y1 = max(0.0, x), max(0.0, y), max(0.0, x + width), max(0.0, y + height)
        luma, blue, red = samples(color, self._code)
        self._planes[0][round(y0) : round(y1), round(x0) : round(x1)] = luma
        part = (slice(round(y0 / 2), round(y1 / 2)), slice(round(x0 / 2), round(x1 / 2)))
        self._planes[1][part] = blue
        self._planes[2][part] = red

    def hide(self, x: float, y: float, width: float, height: float) -> None:
        """Make the ellipse around a box unrecognisable: it becomes a few cells of mean colour, blended into each other.

        Args:
            x: Left edge of the box.
            y: Upper edge.
            width: Width.
            height: Height.
        """
        half_width, half_height = max(0.75 * width, 4.0), max(0.75 * height, 4.0)
        middle_x, middle_y = x + width / 2, y + height / 2
        for plane, scale in zip(self._planes, (1, 2, 2), strict=True):
            left, right = _clipped_range(middle_x / scale, half_width / scale, plane.shape[1])
            top, bottom = _clipped_range(middle_y / scale, half_height / scale, plane.shape[0])
            if right <= left or bottom <= top:
                continue
            part = plane[top:bottom, left:right]
            cell = 2 * max(half_width, half_height) / scale / MOSAIC
            cells = (max(1, round((right - left) / cell)), max(1, round((bottom - top) / cell)))
            stride = max(1, int(cell) // 12)  # about a hundred samples per cell are enough for its mean
            small = cv2.resize(part[::stride, ::stride], cells, interpolation=cv2.INTER_AREA)
            smooth = cv2.resize(small, (right - left, bottom - top), interpolation=cv2.INTER_LINEAR)
            inside = np.zeros(part.shape, np.uint8)
            center = (round(middle_x / scale - left), round(middle_y / scale - top))
            cv2.ellipse(inside, center, (round(half_width / scale), round(half_height / scale)), 0, 0, 360, 255, -1)
            cv2.copyTo(smooth, inside, part)


def _clipped_range(middle: float, half: float, limit: int) -> tuple[int, int]:
    """First and last + 1 of the samples within ``half`` of ``middle``, clipped to 0 and ``limit``."""
    return max(0, int(np.floor(middle - half))), min(limit, int(np.ceil(middle + half)) + 1)
