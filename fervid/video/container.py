"""Opening video files safely, and the codecs that this installation supports."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import av
import av.error
from av.codec.hwaccel import HWAccel
from av.stream import Disposition

from fervid.errors import UnreadableVideo
from fervid.files.animated import is_animated
from fervid.files.sequences import is_sequence
from fervid.video.image_sequences import PictureContainer, exact_rate, open_sequence, open_webp

FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpeg,mpegts,mpegvideo,flv,live_flv,asf,ogg,mxf,nut,dv,rm,gif,ivf,obu,"
    "h264,hevc,m4v,mjpeg,h263,vvc,wtv,swf,yuv4mpegpipe,apng"
)
"""Allowed demuxers. Each reads one local file. Playlists and pattern formats are missing because they open other files
or addresses."""


BARE = {"h264", "hevc", "vvc", "mjpeg", "obu", "m4v", "h263"}
"""Formats without times: a stream alone, without a container."""


def open_local(
    path: str | os.PathLike[str], device: HWAccel | None = None, images_per_second: float | None = None
) -> Any:
    """Open a local video file. Network protocols and playlists are disabled.

    Args:
        path: Video file, or the pattern of an image sequence.
        device: Hardware decoder; None decodes on the CPU.
        images_per_second: Rate of an image sequence, and of a bare stream that states none.

    Returns:
        The ``av`` container, or a PictureContainer.

    Raises:
        UnreadableVideo: The file cannot be opened as a video.
    """
    name = os.fsdecode(os.path.abspath(path))
    if is_sequence(path):
        return open_sequence(path, images_per_second)
    try:
        if os.path.getsize(path) == 0:
            raise UnreadableVideo("empty file")
        if _is_animated_webp(path):
            return open_webp(path)
        container = _open(name, device)
        rate = _bare_rate(container, images_per_second)
        if rate is None:
            return container
        container.close()
        return _open(name, device, {"framerate": str(rate)})
    except av.error.FFmpegError as error:
        raise UnreadableVideo(failure_reason(error)) from error
    except OSError as error:
        raise UnreadableVideo(error.strerror or str(error)) from error


def _open(name: str, device: HWAccel | None, more: Mapping[str, str] = MappingProxyType({})) -> Any:
    options = {"protocol_whitelist": "file", "format_whitelist": FORMATS, **more}
    return av.open(f"file:{name}", options=options, metadata_errors="replace", hwaccel=device)


def _bare_rate(container: Any, wanted: float | None) -> Fraction | None:
    """The frame rate with which a bare stream must be opened; None: as it is. FFmpeg would assume 25 for all of them,
    also for those that state another rate."""
    if container.format.name not in BARE or not container.streams.video or not container.streams.video[0].codec_context:
        return None
    stated = container.streams.video[0].codec_context.framerate
    return stated or (None if wanted is None else exact_rate(wanted))


def _is_animated_webp(path: str | os.PathLike[str]) -> bool:
    with open(path, "rb") as file:
        return file.read(16)[8:16] == b"WEBPVP8X" and is_animated(Path(path))


STILL = Disposition.attached_pic | Disposition.timed_thumbnails | Disposition.still_image
"""Marks of a stream that holds still pictures beside the sound or the video: covers, thumbnails, chapter images."""

IMAGE_CODECS = {"mjpeg", "png", "apng", "bmp", "gif", "webp", "tiff", "jpeg2000", "jpegxl", "ppm", "targa"}
"""Codecs of covers. Some are also codecs of videos."""

STILL_SECONDS = 60.0
"""A stream beside others that has no second picture within this time of the file is a still picture."""


def choose_stream(container: Any, number: int | None = None) -> tuple[Any, str | None]:
    """Choose the video stream to read.

    Covers, thumbnails and other still pictures beside the video are passed over, whether they are marked as such or are
    ordinary tracks. Of the others, the first that is marked as default is chosen, or the first of all if none is.
    Streams that cannot be decoded are chosen only if there is no other.

    Args:
        container: An open ``av`` container.
        number: Number of the stream, as ffprobe counts all streams of a file, from 0. It may be a still picture. None
            chooses as described.

    Returns:
        The stream, and a note for the user: it names the video streams if there are several that are not still
        pictures, or says that the frame rate is a guess.

    Raises:
        UnreadableVideo: There is no video stream, none of this number, or no decoder for it.
    """
    streams = list(container.streams.video)
    if not streams:
        raise UnreadableVideo("no video stream")
    if isinstance(container, PictureContainer) and number in (None, 0):
        return streams[0], container.note
    real = _moving(container, streams)
    if number is not None:
        chosen = next((stream for stream in streams if stream.index == number), None)
        if chosen is None:
            raise UnreadableVideo(f"stream {number} is not a video stream; video streams: {_described(streams)}")
    elif not real:
        raise UnreadableVideo("no video stream, only a still picture such as a cover; `stream` can choose it")
    else:
        chosen = min(real, key=_rank)
    if chosen.codec_context is None:
        raise UnreadableVideo("no decoder supports the codec")
    others = [stream for stream in real if stream is not chosen]
    if container.format.name in BARE and not chosen.codec_context.framerate:
        rate = float(chosen.average_rate or 25)
        return chosen, f"the file states no frame rate; {rate:g} frames a second are assumed; `fps_in` sets another"
    if not others:
        return chosen, None
    described = f"{_described([chosen])} of {len(others) + 1} video streams"
    return chosen, f"stream {described} is analysed; `stream` chooses another: {_described(others)}"


def _moving(container: Any, streams: list[Any]) -> list[Any]:
    """The streams that are not still pictures. A file's only stream counts, unless it is marked as a still picture."""
    unmarked = [stream for stream in streams if not stream.disposition & STILL]
    others = len(container.streams) > 1
    few = [stream for stream in unmarked if others and stream.frames < 10]  # AVI may state one too many, others none
    suspects = [stream for stream in few if len(unmarked) > 1 or _codec(stream) in IMAGE_CODECS]
    stills = _without_second_picture(container.name, {stream.index for stream in suspects}) if suspects else set()
    moving = [stream for stream in unmarked if stream.index not in stills]
    return moving or [stream for stream in unmarked if _codec(stream) not in IMAGE_CODECS]


def _without_second_picture(name: str, suspects: set[int]) -> set[int]:
    """Those of the streams that have one picture, or none, in the first minute of a file."""
    pictures, first = dict.fromkeys(suspects, 0), None
    try:
        with open_local(name.removeprefix("file:")) as container:
            for packet in demux(container):
                if not packet.size:
                    continue
                if packet.dts is not None and packet.time_base:
                    time = float(packet.dts * packet.time_base)
                    first = time if first is None else first
                    if time - first > STILL_SECONDS:
                        break
                if packet.stream_index in pictures:
                    pictures[packet.stream_index] += 1
                    if all(count > 1 for count in pictures.values()):
                        break
    except av.error.FFmpegError:
        pass  # damaged: judged by what was read so far
    return {index for index, count in pictures.items() if count < 2}


def _rank(stream: Any) -> tuple[bool, bool, int]:
    """Streams that can be decoded and have a picture come first, then the default one, then the first."""
    context = stream.codec_context
    return context is None or not context.width, not stream.disposition & Disposition.default, stream.index


def _codec(stream: Any) -> str:
    return stream.codec_context.codec.canonical_name if stream.codec_context else "unknown codec"


def _described(streams: list[Any]) -> str:
    def one(stream: Any) -> str:
        size = f" {stream.width}x{stream.height}" if stream.codec_context else ""
        return f"{stream.index} ({_codec(stream)}{size})"

    return ", ".join(map(one, streams))


def demux(container: Any, *streams: Any) -> Iterator[Any]:
    """Read the packets of streams. Streams that begin later in the file are passed over; PyAV fails at them.

    Args:
        container: The ``av`` container.
        streams: The streams; none: all of them.

    Yields:
        ``av`` packets; at the end an empty one of each stream.
    """
    while True:
        try:
            yield from container.demux(*streams)
            return
        except IndexError:
            continue


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
