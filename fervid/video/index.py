"""Where a video can be entered: the times of all its frames and its keyframes, found without decoding.

A film is only surveyed where its container and codec promise that the frames from a keyframe on come out as they
do when everything before it has been decoded too. Shares ``av`` with ``video``.
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
from fervid.video.container import open_local

CONTAINERS = {"mp4", "matroska"}
"""Whose true presentation times are written beside every packet, and which have an index to seek by."""

CLEAN_KEYFRAME_CODECS = {"vp9", "av1"}
"""Codecs whose keyframes leave nothing of what came before."""

_IDR = {5}
"""Slices of H.264 pictures after which nothing earlier is referred to (ITU-T H.264, table 7-1). At a keyframe that
is none, of an open group or a gradual refresh, a film is not entered."""

_IRAP = set(range(16, 22))
"""The same of H.265 (ITU-T H.265, table 7-1). Pictures that lead such a picture, and may not be decodable from there,
are shown before it."""


@dataclass(frozen=True, eq=False)
class VideoIndex:
    """``times`` (n,) float64: seconds on the player's clock of all frames, in the order of presentation.

    ``keys`` (m,) int64: presentation times, in the stream's units, of the keyframes at which it can be entered;
    ``key_times`` (m,) float64: the same in seconds.
    """

    times: DoubleArray
    keys: npt.NDArray[np.int64]
    key_times: DoubleArray


def read_index(path: str | os.PathLike[str], least: float) -> VideoIndex | None:
    """Read a file's packets; None where it cannot be entered in the middle, or lasts less than ``least`` seconds."""
    try:
        with open_local(path) as container:
            return _read_packets(container, least)
    except (UnreadableVideo, av.error.FFmpegError):
        return None  # what is wrong is for the scan to say


def _read_packets(container: Any, least: float) -> VideoIndex | None:
    if not container.streams.video or not CONTAINERS & set(container.format.name.split(",")):
        return None
    stream = container.streams.video[0]
    if stream.codec_context is None or (container.duration or 0) / av.time_base < least:
        return None
    codec = stream.codec_context.codec
    if not (codec.canonical_name in CLEAN_KEYFRAME_CODECS | {"h264", "hevc"} or codec.intra_only):
        return None
    stamps, keys = array("q"), array("q")
    length = _length_size(codec.canonical_name, stream.codec_context.extradata or b"")
    for packet in container.demux(stream):
        if not packet.size:
            continue
        if packet.pts is None or packet.is_corrupt or packet.is_discard:
            return None
        stamps.append(packet.pts)
        if packet.is_keyframe and _is_entry(codec.canonical_name, memoryview(packet), length):
            keys.append(packet.pts)
    ordered, entries = np.sort(np.array(stamps, np.int64)), np.sort(np.array(keys, np.int64))
    if not len(ordered) or np.any(np.diff(ordered) == 0):
        return None
    base, origin = stream.time_base, Fraction(container.start_time or 0, av.time_base)
    return VideoIndex(_seconds(ordered, base, origin), entries, _seconds(entries, base, origin))


def _seconds(stamps: npt.NDArray[np.int64], base: Fraction, origin: Fraction) -> DoubleArray:
    """``float(stamp * base - origin)`` of each, in whole numbers, which is faster and rounds the same."""
    factor, less = base.numerator * origin.denominator, origin.numerator * base.denominator
    whole = base.denominator * origin.denominator
    return np.array([(stamp * factor - less) / whole for stamp in stamps.tolist()], np.float64)


def _length_size(codec: str, extradata: bytes) -> int:
    """Bytes that tell the length of each unit of H.264 or H.265 (ISO/IEC 14496-15, 5.3 and 8.3); 0: not so packed."""
    at = {"h264": 4, "hevc": 21}.get(codec)
    return (extradata[at] & 3) + 1 if at is not None and len(extradata) > at and extradata[0] == 1 else 0


def _is_entry(codec: str, packet: memoryview, length: int) -> bool:
    """Whether what is shown from this keyframe on needs nothing from before it."""
    if codec not in ("h264", "hevc"):
        return True
    at = 0
    while length and at + length < len(packet):
        size = int.from_bytes(packet[at : at + length], "big")
        header = packet[at + length]
        if (header & 31 in _IDR) if codec == "h264" else (header >> 1 & 63 in _IRAP):
            return True
        at += length + size
    return False
