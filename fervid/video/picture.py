"""How a stored frame becomes the image as shown: pixel aspect, rotation and colour conversion."""

from __future__ import annotations

import math
import struct
from fractions import Fraction
from typing import Any, cast

import av.error
import numpy as np
from av.filter import Graph
from av.sidedata.sidedata import SideDataContainer
from av.sidedata.sidedata import Type as SideDataType
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter

from fervid.runtime.opencv import cv2
from fervid.types import ByteArray, PictureShape

THUMBNAIL_SIDE = 64
"""Approximate long side of a thumbnail in pixels."""

MAX_PIXELS = 16384 * 16384
"""A larger frame is refused."""

_UNKNOWN_TYPES = 16
"""Number of types of side data that FFmpeg may have and ``av`` does not know."""

_TURNS = {90: cv2.ROTATE_90_CLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_COUNTERCLOCKWISE}


class ShapeFinder:
    """Finds the shape of each frame of one stream.

    The pixel aspect is the container's if that differs from what the codec stated when the file was opened. Otherwise
    it is that of the frame itself, which may change within the stream.

    The orientation is that of the frame's display matrix. H.264 and H.265 may state one with a keyframe alone, and it
    then holds until the next keyframe (ITU-T H.264, D.2.26). FFmpeg turns only the keyframe itself.
    """

    def __init__(self, stream: Any, rotate: int = 0) -> None:
        """Read what the container states.

        Args:
            stream: The ``av`` video stream, before any frame is decoded.
            rotate: Degrees clockwise, a multiple of 90, to add to the rotation of every frame.
        """
        shown, coded = stream.sample_aspect_ratio, stream.codec_context.sample_aspect_ratio
        self._stated = float(shown) if shown and shown != coded else None
        self._context = stream.codec_context
        self._reader: _AspectReader | None = None
        self._orientation = (0, False)
        self._rotate = rotate

    def of(self, frame: VideoFrame) -> PictureShape:
        """Find the shape of the next frame.

        Args:
            frame: The frame; frames come in order of presentation.

        Returns:
            Its shape. A pixel aspect beyond reason counts as 1.
        """
        aspect = self._stated or self._frame_aspect(frame)
        width, height = max(1, round(frame.width * aspect)), frame.height
        if not 0.05 <= aspect <= 20 or width * height > MAX_PIXELS:
            width, aspect = frame.width, 1.0
        stated = _orientation(frame)
        if stated is not None or frame.key_frame:
            self._orientation = stated or (0, False)
        rotation, mirrored = self._orientation
        return PictureShape((width, height), (rotation + self._rotate) % 360, aspect, mirrored)

    def _frame_aspect(self, frame: VideoFrame) -> float:
        """Pixel aspect of the frame. The decoder may be some frames ahead, so its own value is not the frame's."""
        decoder = float(self._context.sample_aspect_ratio or 1)
        try:
            if self._reader is None or not self._reader.fits(frame):
                self._reader = _AspectReader(frame)
            width = self._reader.width(frame)
        except av.error.FFmpegError:  # a pixel format that the scaler does not know
            return decoder
        return decoder if abs(frame.width * decoder - width) <= 0.51 else width / frame.width


class _AspectReader:
    """Reads the pixel aspect of frames of one format and size, which ``av`` does not expose.

    A scaler that is told to make square pixels knows it. It makes two rows of the nearest pixels, which costs about ten
    microseconds.
    """

    def __init__(self, frame: VideoFrame) -> None:
        self._key = (frame.format.name, frame.width, frame.height)
        self._graph = Graph()
        self._source = self._graph.add_buffer(
            width=frame.width, height=frame.height, format=frame.format, time_base=Fraction(1, 1000)
        )
        width = f"clip(trunc(iw*sar+0.5),1,{32 * frame.width})"
        scale = self._graph.add("scale", f"w='{width}':h=2:flags=neighbor:eval=frame")
        self._sink = self._graph.add("buffersink")
        self._source.link_to(scale)
        scale.link_to(self._sink)
        self._graph.configure()

    def fits(self, frame: VideoFrame) -> bool:
        """Whether this reader is for frames like this one."""
        return self._key == (frame.format.name, frame.width, frame.height)

    def width(self, frame: VideoFrame) -> int:
        """Width of the frame with square pixels."""
        self._source.push(frame)
        return cast(VideoFrame, self._sink.pull()).width


def _orientation(frame: VideoFrame) -> tuple[int, bool] | None:
    """Rotation in degrees clockwise and whether the frame is mirrored before it. None without a display matrix.

    The matrix maps stored to shown coordinates: x' = a x + c y, y' = b x + d y (ISO/IEC 14496-12, 8.3.2). The nearest
    of the eight orientations is taken, which is also how FFmpeg turns frames.
    """
    for data in _side_data(frame):
        if data.type == SideDataType.DISPLAYMATRIX:
            a, b, _, c, d = struct.unpack("5i", bytes(data)[:20])
            determinant = a * d - b * c
            if not determinant:
                return 0, False
            sign = 1 if determinant > 0 else -1
            angle = math.degrees(math.atan2(sign * b - c, sign * a + d))
            return round(angle / 90) * 90 % 360, determinant < 0
    return None


def _side_data(frame: VideoFrame) -> Any:
    """The side data of a frame, without those that ``av`` cannot name and therefore refuses to list, such as EXIF.

    ``frame.side_data`` would refer to the frame and the frame to it. Then only Python's search for such cycles frees
    the frames, which comes after hundreds of them.
    """
    listed: Any = SideDataContainer  # its type lacks the argument
    try:
        return listed(frame)
    except ValueError:
        graph = Graph()
        last = graph.add_buffer(
            width=frame.width, height=frame.height, format=frame.format, time_base=Fraction(1, 1000)
        )
        known: Any = SideDataType  # an enumeration without a type
        source, first = last, 1 + max(kind.value for kind in known)
        for kind in range(first, first + _UNKNOWN_TYPES):
            following = graph.add("sidedata", f"mode=delete:type={kind}")
            last.link_to(following)
            last = following
        sink = graph.add("buffersink")
        last.link_to(sink)
        graph.configure()
        source.push(frame)
        return listed(sink.pull())


def upright(pixels: ByteArray, shape: PictureShape) -> ByteArray:
    """Turn an image, or one plane of it, from the stored to the shown orientation.

    Args:
        pixels: (h, w) or (h, w, c) uint8.
        shape: The shape of its frame.

    Returns:
        The turned pixels, or ``pixels`` themselves if they need no turn.
    """
    if shape.mirrored:
        pixels = np.asarray(cv2.flip(pixels, 1), np.uint8)
    turn = _TURNS.get(shape.rotation)
    return pixels if turn is None else np.asarray(cv2.rotate(pixels, turn), np.uint8)


def fit(size: tuple[int, int], canvas: tuple[int, int]) -> tuple[int, int, int, int]:
    """Place a frame in the middle of a canvas, as large as possible, with bars at two sides if its shape differs.

    Args:
        size: Width and height of the frame.
        canvas: Width and height of the canvas, both even.

    Returns:
        Left, top, width and height of the frame on the canvas, all even. A frame that is as large as the canvas, or
        one pixel smaller, fills it.
    """
    (width, height), (across, down) = size, canvas
    if (width + width % 2, height + height % 2) == canvas:
        return 0, 0, across, down
    scale = min(across / width, down / height)
    width, height = (
        max(2, min(limit, 2 * round(side * scale / 2))) for side, limit in ((width, across), (height, down))
    )
    return (across - width) // 4 * 2, (down - height) // 4 * 2, width, height


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
        return upright(np.asarray(shown.to_ndarray(), np.uint8), shape)

    def planes(self, frame: VideoFrame, shape: PictureShape, canvas: tuple[int, int] | None = None) -> ByteArray:
        """Convert a frame to I420.

        Args:
            frame: The frame.
            shape: Its shape.
            canvas: Width and height of the result, both even; the frame is placed in it as ``fit`` says, and the rest
                is black. None: the size of the frame. Odd sides grow by one pixel.

        Returns:
            The frame as shown: (height * 3 / 2, width) uint8, 8-bit 4:2:0 in limited range, the luma plane above the
            two chroma planes.
        """
        width, height = shape.shown
        canvas = canvas or (width + width % 2, height + height % 2)
        left, top, across, down = fit((width, height), canvas)
        if (width + width % 2, height + height % 2) != (across, down):
            width, height = across, down
        stored = (width, height) if shape.shown[0] == shape.stored[0] else (height, width)
        if (frame.format.name, frame.width, frame.height) != ("yuv420p", *stored) or frame.color_range == 2:
            width, height = stored
            frame = self._reformatter.reformat(
                frame, width=width, height=height, format="yuv420p", dst_color_range=1, threads=1
            )
        result = np.empty((canvas[1] * 3 // 2, canvas[0]), np.uint8)
        if (across, down) != canvas:
            result[: canvas[1]], result[canvas[1] :] = 16, 128
        for whole, plane, step in zip(split_planes(result), frame.planes, (1, 2, 2), strict=True):
            pixels = upright(_pixels(plane), shape)
            target = whole[top // step : (top + down) // step, left // step : (left + across) // step]
            rows, columns = pixels.shape
            target[:rows, :columns] = pixels
            target[rows:, :columns] = pixels[-1:]
            target[:, columns:] = target[:, columns - 1 : columns]
        return result


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
