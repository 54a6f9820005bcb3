"""How a stored frame becomes the image as shown: pixel aspect, rotation and colour conversion."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter

from fervid.runtime.opencv import cv2
from fervid.types import ByteArray

THUMBNAIL_SIDE = 64
"""Approximate long side of a thumbnail in pixels."""

MAX_PIXELS = 16384 * 16384
"""A larger frame is refused."""

_TURNS = {90: cv2.ROTATE_90_CLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_COUNTERCLOCKWISE}


@dataclass(frozen=True)
class PictureShape:
    """What turns a stored frame into the image as shown.

    Attributes:
        stored: Width and height with square pixels, before rotation.
        rotation: Degrees clockwise: 0, 90, 180 or 270.
        aspect: Width of a stored pixel divided by its height.
    """

    stored: tuple[int, int]
    rotation: int
    aspect: float

    @classmethod
    def of(cls, frame: VideoFrame, aspect: float) -> PictureShape:
        """Find the shape of a frame.

        Args:
            frame: The frame.
            aspect: Width of a stored pixel divided by its height; 0 if unknown. A value beyond reason counts as 1.

        Returns:
            The shape.
        """
        aspect = aspect or 1.0
        width, height = max(1, round(frame.width * aspect)), frame.height
        if not 0.05 <= aspect <= 20 or width * height > MAX_PIXELS:
            width, aspect = frame.width, 1.0
        return cls((width, height), -round(frame.rotation / 90) * 90 % 360, aspect)

    @property
    def shown(self) -> tuple[int, int]:
        """Width and height of the image as shown."""
        width, height = self.stored
        return (height, width) if self.rotation in (90, 270) else (width, height)

    def upright(self, pixels: ByteArray) -> ByteArray:
        """Turn an image, or one plane of it, from the stored to the shown orientation.

        Args:
            pixels: (h, w) or (h, w, c) uint8.

        Returns:
            The turned pixels, or ``pixels`` themselves if they need no turn.
        """
        turn = _TURNS.get(self.rotation)
        return pixels if turn is None else np.asarray(cv2.rotate(pixels, turn), np.uint8)


class PictureConverter:
    """Converts the frames of one video to arrays."""

    def __init__(self) -> None:
        self._reformatter = VideoReformatter()

    def image(self, frame: VideoFrame, shape: PictureShape) -> ByteArray:
        """Convert a frame to blue-green-red.

        Args:
            frame: The frame.
            shape: Its shape.

        Returns:
            The image as shown, (height, width, 3) uint8.
        """
        width, height = shape.stored
        shown = self._reformatter.reformat(frame, width=width, height=height, format="bgr24", threads=1)
        return shape.upright(np.asarray(shown.to_ndarray(), np.uint8))

    def planes(self, frame: VideoFrame, shape: PictureShape) -> ByteArray:
        """Convert a frame to I420.

        Args:
            frame: The frame.
            shape: Its shape.

        Returns:
            The frame as shown: (height * 3 / 2, width) uint8, 8-bit 4:2:0 in limited range, the luma plane above the
            two chroma planes. Odd sides grow by one pixel.
        """
        width, height = shape.stored
        stored = (frame.format.name, frame.width, frame.height)
        if stored != ("yuv420p", width, height) or frame.color_range == 2:
            frame = self._reformatter.reformat(
                frame, width=width, height=height, format="yuv420p", dst_color_range=1, threads=1
            )
        shown = [shape.upright(_pixels(plane)) for plane in frame.planes]
        height, width = (side + side % 2 for side in shown[0].shape)
        canvas = np.empty((height * 3 // 2, width), np.uint8)
        for target, plane in zip(split_planes(canvas), shown, strict=True):
            rows, columns = plane.shape
            target[:rows, :columns] = plane
            target[rows:, :columns] = plane[-1:]
            target[:, columns:] = target[:, columns - 1 : columns]
        return canvas


def thumbnail(frame: VideoFrame) -> ByteArray:
    """Make a small gray image of a frame, not rotated. An 8-bit luma plane is subsampled, which costs almost nothing.

    Args:
        frame: The frame.

    Returns:
        (h, w) uint8, with a long side of about THUMBNAIL_SIDE.
    """
    step = max(1, max(frame.width, frame.height) // THUMBNAIL_SIDE)
    luma = frame.format.components[0]
    if luma.is_luma and luma.bits == 8 and frame.format.is_planar:
        plane = frame.planes[0]
        pixels = np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, plane.line_size)
        top, left = min(step, plane.height) // 2, min(step, plane.width) // 2
        return np.array(pixels[top::step, left : plane.width : step])
    width, height = max(1, frame.width // step), max(1, frame.height // step)
    return np.asarray(frame.reformat(width=width, height=height, format="gray").to_ndarray(), np.uint8)


def colour_codes(frame: VideoFrame) -> tuple[int, int, int]:
    """Find the colours of the planes that ``PictureConverter.planes`` makes of a frame.

    Args:
        frame: The frame.

    Returns:
        H.273 codes of matrix, primaries and transfer; 2 means unspecified.
    """
    matrix, primaries = int(frame.colorspace), int(frame.color_primaries)
    if not frame.format.components[0].is_luma or matrix == 0:
        return 6, primaries, int(frame.color_trc)  # FFmpeg converts RGB to BT.601
    return matrix, primaries, int(frame.color_trc)


def split_planes(canvas: ByteArray) -> tuple[ByteArray, ByteArray, ByteArray]:
    """Split an I420 frame into its planes, without copying.

    Args:
        canvas: (h * 3 / 2, w) uint8.

    Returns:
        Luma (h, w), and the blue and red chroma (h / 2, w / 2), all views of ``canvas``.
    """
    height, width = canvas.shape[0] * 2 // 3, canvas.shape[1]
    chroma = canvas[height:].reshape(2, height // 2, width // 2)
    return canvas[:height], chroma[0], chroma[1]


def _pixels(plane: Any) -> ByteArray:
    """A view of a plane of 8-bit samples."""
    rows = np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, plane.line_size)
    return rows[:, : plane.width]
