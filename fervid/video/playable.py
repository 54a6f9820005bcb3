"""Which videos every current browser plays as they are, with the frame times that fervid reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av.error

from fervid.errors import UnreadableVideo
from fervid.settings import OpenOptions
from fervid.types import DoubleArray
from fervid.video.container import open_local
from fervid.video.index import read_index
from fervid.video.reader import VideoReader

VIDEO_CODECS = {"mp4": {"h264", "av1"}, "webm": {"vp9", "av1"}}
"""Container → codecs that browsers play from it."""

AUDIO_CODECS = {"mp4": {"aac", "mp3", "opus", "flac"}, "webm": {"opus", "vorbis"}}
"""The same for sound."""

PIXELS = {"yuv420p", "yuvj420p"}
"""Pixel formats that browsers decode in every codec."""

_DOCTYPE = b"\x42\x82\x84webm"
"""The element of an EBML header that tells WebM from other Matroska (RFC 8794, 11.2.6)."""


class NotPlayable(Exception):
    """A browser may not play this file, or not with the right frames. The text says why."""


def playable_times(path: Path, options: OpenOptions | None = None) -> DoubleArray:
    """Read the frame times of a video that browsers play as it is.

    Args:
        path: The video.
        options: How the video was opened when it was analysed; None: with the defaults.

    Returns:
        (n,) float64 presentation times of all frames in seconds. The browser shows the same frame at the same time.

    Raises:
        NotPlayable: The container, the codec, the pixels, the orientation or the clock of the file is not one that all
            browsers handle as fervid does.
        UnreadableVideo: The file cannot be decoded.
    """
    options = options or OpenOptions()
    if options.stream is not None or options.rotate or options.fps_in is not None:
        raise NotPlayable("it was analysed with a stream, a rotation or a rate of its own")
    if not path.is_file():
        raise NotPlayable("it is a sequence of images")
    try:
        with open_local(path) as container:
            _check_container(path, container)
    except av.error.FFmpegError as error:
        raise UnreadableVideo(str(error)) from error
    with VideoReader(path, fps=0, threads=1) as reader:
        info = reader.info
        if info.rotation or info.mirrored or info.sample_aspect_ratio != 1:
            raise NotPlayable("it is turned, mirrored, or has pixels that are not square")
        if abs(reader.origin) > 1e-9:
            raise NotPlayable("its clock does not begin at 0")
    index = read_index(path, 0.0)
    if index is None or index.times[0] < 0:
        raise NotPlayable("its frame times are not stated exactly")
    return index.times


def _check_container(path: Path, container: Any) -> None:
    names = container.format.name.split(",")
    with path.open("rb") as file:
        is_webm = _DOCTYPE in file.read(64)
    kind = "mp4" if "mp4" in names else "webm" if "webm" in names and is_webm else None
    if kind is None:
        raise NotPlayable(f"browsers do not play {names[0]} files")
    if len(container.streams.video) != 1:
        raise NotPlayable("it has several video streams")
    context = container.streams.video[0].codec_context
    codec = context.codec.canonical_name if context else "an unknown codec"
    if codec not in VIDEO_CODECS[kind]:
        raise NotPlayable(f"not every browser plays {codec}")
    if context.pix_fmt not in PIXELS:
        raise NotPlayable(f"not every browser plays pixels of the format {context.pix_fmt}")
    for stream in container.streams.audio:
        sound = stream.codec_context.codec.canonical_name if stream.codec_context else "unknown"
        if sound not in AUDIO_CODECS[kind]:
            raise NotPlayable(f"not every browser plays sound of the codec {sound}")
