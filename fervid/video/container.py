"""Opening video files safely."""

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
"""Demuxers that read one local file. Playlists and pattern formats, which open further addresses, are not here."""


def open_local(path: str | os.PathLike[str], device: HWAccel | None = None) -> Any:
    """The opened container, decoded on ``device``. Only local files: protocols and demuxers are limited to such."""
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
    """What an error of FFmpeg means, in words."""
    if isinstance(error, (av.error.InvalidDataError, av.error.ArgumentError)):
        return "not a video, or damaged beyond decoding"
    return str(getattr(error, "strerror", None) or error)


def codecs() -> dict[str, list[str]]:
    """Which of the usual video codecs the FFmpeg in use decodes, and which it encodes; and its version."""
    return {
        "decoders": [name for name in _DECODERS if _has_codec(name, "r")],
        "encoders": [name for name in ("libx264", "h264_nvenc", "aac") if _has_codec(name, "w")],
        "ffmpeg": [f"{name} {'.'.join(map(str, version))}" for name, version in sorted(av.library_versions.items())],
    }


_DECODERS = ("h264", "hevc", "vvc", "vp8", "vp9", "libdav1d", "av1", "mpeg4", "mpeg2video", "mjpeg", "prores", "flv")


def _has_codec(name: str, mode: Literal["r", "w"]) -> bool:
    try:
        return bool(av.codec.Codec(name, mode))
    except (av.error.FFmpegError, ValueError):  # PyAV calls an unknown codec a ValueError
        return False
