"""Frame times and safe seek points of a video, read from its packets without decoding.

A seek point is safe if decoding from there gives the same frames as decoding from the start. Only containers and codecs
that guarantee this are indexed, and only files whose stated times need no repair and do not jump.
"""

from __future__ import annotations

import os
from array import array
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
import av.error
import numpy as np
import numpy.typing as npt

from fervid.errors import UnreadableVideo
from fervid.types import DoubleArray
from fervid.video.container import choose_stream, demux, open_local
from fervid.video.stated_times import stores_decoding_times
from fervid.video.timestamps import MIN_JUMP

CONTAINERS = {"mp4", "matroska"}
"""Container formats that store the exact presentation time of each packet and an index for seeking."""

CLEAN_KEYFRAME_CODECS = {"vp9", "av1"}
"""Codecs in which no frame after a keyframe depends on a frame before it."""

_IDR = {5}
"""NAL unit types of H.264 after which no frame refers to an earlier one (ITU-T H.264, table 7-1). Other keyframes, such
as those of an open group of pictures or a gradual refresh, are not safe seek points."""

_IRAP = set(range(16, 22))
"""The same for H.265 (ITU-T H.265, table 7-1). Leading pictures, which may not be decodable from there, are shown
before the keyframe."""


class PacketTypes:
    """Recognises packets of one stream by the headers of their NAL units.

    Args:
        context: The codec context of the stream.
    """

    def __init__(self, context: Any) -> None:
        self._codec = context.codec.canonical_name
        self._length = _length_size(self._codec, context.extradata or b"")

    def is_seek_point(self, packet: Any) -> bool:
        """Whether no frame shown after a keyframe depends on a frame before it.

        Args:
            packet: The ``av`` packet of the keyframe.

        Returns:
            Whether decoding may start there. False for the keyframes of an open group of pictures in H.264.
        """
        return _is_seek_point(self._codec, memoryview(packet), self._length)


@dataclass(frozen=True, eq=False)
class VideoIndex:
    """Frame times and safe seek points of a video.

    Attributes:
        times: (n,) float64 presentation times of all frames in seconds, increasing.
        keys: (m,) int64 presentation times of the safe seek points, in units of the stream's time base.
        key_times: (m,) float64, the same in seconds.
    """

    times: DoubleArray
    keys: npt.NDArray[np.int64]
    key_times: DoubleArray


def read_index(path: str | os.PathLike[str], min_duration: float, stream: int | None = None) -> VideoIndex | None:
    """Read the index of a video.

    Args:
        path: Video file.
        min_duration: Shortest duration in seconds of a video that is indexed.
        stream: Number of the stream; see ``choose_stream``.

    Returns:
        The index; None if the video is too short, unreadable, or has no safe seek points.
    """
    try:
        with open_local(path) as container:
            return _read_packets(container, min_duration, stream)
    except (UnreadableVideo, av.error.FFmpegError):
        return None  # the scan reports what is wrong


def _read_packets(container: Any, min_duration: float, number: int | None) -> VideoIndex | None:
    if not CONTAINERS & set(container.format.name.split(",")):
        return None
    if (container.duration or 0) / av.time_base < min_duration:
        return None
    stream, _ = choose_stream(container, number)
    if stores_decoding_times(container, stream):
        return None
    codec = stream.codec_context.codec
    if not (codec.canonical_name in CLEAN_KEYFRAME_CODECS | {"h264", "hevc"} or codec.intra_only):
        return None
    stamps, keys, increasing = array("q"), array("q"), True
    types = PacketTypes(stream.codec_context)
    for packet in demux(container, stream):
        if not packet.size:
            continue
        if packet.pts is None or packet.is_corrupt or packet.is_discard:
            return None
        increasing &= not stamps or packet.pts > stamps[-1]
        stamps.append(packet.pts)
        if packet.is_keyframe and types.is_seek_point(packet):
            keys.append(packet.pts)
    ordered, safe = np.sort(np.array(stamps, np.int64)), np.sort(np.array(keys, np.int64))
    steps = np.diff(ordered)
    if not len(ordered) or np.any(steps == 0) or np.any(steps * float(stream.time_base) > MIN_JUMP):
        return None
    if increasing and stream.codec_context.has_b_frames:  # no presentation times if frames are reordered
        return None
    base, origin = stream.time_base, Fraction(container.start_time or 0, av.time_base)
    return VideoIndex(_seconds(ordered, base, origin), safe, _seconds(safe, base, origin))


def _seconds(stamps: npt.NDArray[np.int64], base: Fraction, origin: Fraction) -> DoubleArray:
    """``float(stamp * base - origin)`` of each stamp. Integers give the same result faster than fractions."""
    factor, offset = base.numerator * origin.denominator, origin.numerator * base.denominator
    divisor = base.denominator * origin.denominator
    return np.array([(stamp * factor - offset) / divisor for stamp in stamps.tolist()], np.float64)


def _length_size(codec: str, extradata: bytes) -> int:
    """Size in bytes of the length field before each NAL unit (ISO/IEC 14496-15, 5.3 and 8.3); 0: no such fields."""
    offset = {"h264": 4, "hevc": 21}.get(codec)
    if offset is None or len(extradata) <= offset or extradata[0] != 1:
        return 0
    return (extradata[offset] & 3) + 1


def _is_seek_point(codec: str, packet: memoryview, length: int) -> bool:
    """Whether no frame shown after this keyframe depends on a frame before it."""
    if codec not in ("h264", "hevc"):
        return True
    offset = 0
    while length and offset + length < len(packet):
        size = int.from_bytes(packet[offset : offset + length], "big")
        header = packet[offset + length]
        if (header & 31 in _IDR) if codec == "h264" else (header >> 1 & 63 in _IRAP):
            return True
        offset += length + size
    return False
