"""Opening video files safely, and the codecs that this installation supports."""

from __future__ import annotations

import os
from typing import Any, Literal

import av
import av.error
from av.codec.hwaccel import HWAccel

from fervid.errors import UnreadableVideo

FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpeg,mpegts,mpegvideo,flv,live_flv,asf,ogg,mxf,nut,dv,rm,gif,ivf,obu,"
    "h264,hevc,m4v,mjpeg,h263,vvc,wtv,swf,vob,amv"
)
"""Allowed demuxers. Each reads one local file. Playlists and pattern formats are missing because they open other files
or addresses."""


def open_local(path: str | os.PathLike[str], device: HWAccel | None = None) -> Any:
    """Open a local video file. Network protocols and playlists are disabled.

    Args:
        path: Video file.
        device: Hardware decoder; None decodes on the CPU.

    Returns:
        The ``av`` container.

    Raises:
        UnreadableVideo: The file cannot be opened as a video.
    """
    name = os.fsdecode(os.path.abspath(path))
    try:
        if os.path.getsize(path) == 0:
            raise UnreadableVideo("empty file")
        options = {"protocol_whitelist": "file", "format_whitelist": FORMATS}
        return av.open(f"file:{name}", options=options, metadata_errors="replace", hwaccel=device)
    except av.error.FFmpegError as error:
        raise UnreadableVideo(failure_reason(error)) from error
    except OSError as error:
        raise UnreadableVideo(error.strerror or str(error)) from error


def failure_reason(error: Exception) -> str:
    """Describe an FFmpeg error.

    Args:
        error: The exception.

    Returns:
        A short reason for a user.
    """
    if isinstance(error, (av.error.InvalidDataError, av.error.ArgumentError)):
        return "not a video, or damaged beyond decoding"
    return str(getattr(error, "strerror", None) or error)


def codecs() -> dict[str, list[str]]:
    """List the supported codecs.

    Returns:
        ``decoders`` and ``encoders``: those of the common codecs that are available. ``ffmpeg``: versions of its
        libraries.
    """
    return {
        "decoders": [name for name in _DECODERS if _has_codec(name, "r")],
        "encoders": [name for name in ("libx264", "h264_nvenc", "aac") if _has_codec(name, "w")],
        "ffmpeg": [f"{name} {'.'.join(map(str, version))}" for name, version in sorted(av.library_versions.items())],
    }


_DECODERS = ("h264", "hevc", "vvc", "vp8", "vp9", "libdav1d", "av1", "mpeg4", "mpeg2video", "mjpeg", "prores", "flv")


def _has_codec(name: str, mode: Literal["r", "w"]) -> bool:
    try:
        return bool(av.codec.Codec(name, mode))
    except (av.error.FFmpegError, ValueError):  # PyAV raises ValueError for an unknown codec
        return False
