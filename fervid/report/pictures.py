"""The pictures of a report: frames and images of faces, decoded and encoded one video at a time."""

from __future__ import annotations

import base64
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import numpy.typing as npt
import pandas as pd

from fervid.errors import UnreadableVideo, printable
from fervid.faces.thumbnail import WantedFace, cut_out, data_uri
from fervid.report.frame_plan import FramePlan, StoredFrame
from fervid.results.find_videos import FoundVideos, analysed_file
from fervid.results.reader import Results
from fervid.results.schema import ANALYSED
from fervid.runtime.opencv import cv2
from fervid.settings import OpenOptions
from fervid.types import ByteArray, Progress, ProgressCallback
from fervid.video.playable import NotPlayable, playable_times
from fervid.video.wanted_frames import read_wanted

MAX_THUMBNAILS = 400
"""Largest number of images of faces in a page. If there are more faces, those with the most samples have one."""

THUMBNAIL_BYTES = 4_000
"""Usual number of bytes of an image of a face."""

BYTES_PER_PIXEL = 0.055
"""Usual size of a WebP image of quality 50 that shows a face."""

QUALITIES = (60, 45, 30, 18)
"""Qualities of WebP images, tried one after the other until an image is small enough."""


@dataclass(frozen=True)
class Sources:
    """Where the pictures come from.

    Attributes:
        results: The results.
        found: The files of the videos.
        folder: The folder of the page; addresses of videos are relative to it.
        fingerprint: Computes the fingerprint of a file.
    """

    results: Results
    found: FoundVideos
    folder: Path
    fingerprint: Callable[[Path], str]


class Pictures:
    """The pictures of all videos, made while the page is written. No more than those of one video are in memory.

    Attributes:
        missing: (video, reason) for each video without pictures, complete after iteration.
    """

    def __init__(
        self,
        sources: Sources,
        faces: Mapping[str, Sequence[WantedFace]],
        plan: FramePlan,
        on_progress: ProgressCallback,
    ) -> None:
        """Prepare. Nothing is opened yet.

        Args:
            sources: Where the pictures come from.
            faces: Video → images of its faces.
            plan: Which frames are stored.
            on_progress: Called after each video.
        """
        self._sources, self._faces, self._plan, self._on_progress = sources, faces, plan, on_progress
        self._options = OpenOptions.of(sources.results.metadata)
        self._encoder = FrameEncoder(plan.frame_bytes * plan.count, plan.count)
        self.missing: list[tuple[str, str]] = []

    def __iter__(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Open one video after the other.

        Yields:
            The video_id, and values that JSON can hold: ``thumbs`` (face_id → data URI), ``times`` of the stored frames
            in seconds, ``images`` of them (WebP as base64), ``boxes`` (for each frame, ``[face_id, x, y, width,
            height]`` of its faces as shares of the frame), ``file`` (the address of the video, if browsers play it) or
            ``why`` not; or only ``missing``: why there are no pictures.
        """
        videos = self._sources.results.videos
        rows = videos[videos["video"].isin(self._faces) | videos["video_id"].isin(self._plan.frames)]
        rows = rows[rows["status"].isin(ANALYSED)]
        for done, (name, video_id) in enumerate(zip(rows["video"], rows["video_id"], strict=True), start=1):
            try:
                yield video_id, self._of_video(name, video_id)
            except (UnreadableVideo, OSError) as error:
                self.missing.append((name, str(error)))
                self._encoder.skip(len(self._plan.frames.get(video_id, ())))
                yield video_id, {"missing": printable(str(error)).replace("`videos`", "--videos")}
            self._on_progress(Progress("report", done, len(rows), "videos"))

    def _of_video(self, name: str, video_id: str) -> dict[str, Any]:
        sources, frames = self._sources, self._plan.frames.get(video_id, ())
        path = analysed_file(sources.results, name, sources.found, sources.fingerprint)
        thumbs, stored = decode_pictures(path, self._faces.get(name, ()), frames, self._encoder, self._options)
        boxes = self._boxes(video_id, frames)
        made: dict[str, Any] = {
            "thumbs": thumbs,
            "times": [round(one.frame.time, 6) for one in stored],
            "images": [base64.b64encode(one.image).decode("ascii") for one in stored],
            "boxes": [_shares(boxes.get(one.frame.frame, []), one.size) for one in stored],
        }
        try:
            playable_times(path, self._options)
            address = os.path.relpath(path.resolve(), sources.folder.resolve())
            return made | {"file": quote(os.fsencode(address))}
        except (NotPlayable, UnreadableVideo) as error:
            return made | {"why": printable(str(error))}

    @cached_property
    def _rows(self) -> dict[str, npt.NDArray[np.int64]]:
        """video_id → its rows of the timeline: a search for each video would read the whole timeline each time."""
        return dict(self._sources.results.timeline.groupby("video_id", sort=False).indices)

    def _boxes(self, video_id: str, frames: Sequence[StoredFrame]) -> dict[int, list[tuple[float, ...]]]:
        """Frame → face_id and box of each of its faces."""
        if not frames:
            return {}
        own = self._sources.results.timeline.iloc[self._rows[video_id]]
        own = own[own["face_id"].notna() & own["frame"].isin([one.frame for one in frames])]
        return _boxes_by_frame(own)


def _boxes_by_frame(rows: pd.DataFrame) -> dict[int, list[tuple[float, ...]]]:
    found: dict[int, list[tuple[float, ...]]] = {}
    columns = [rows[name].tolist() for name in ("frame", "face_id", "face_x", "face_y", "face_width", "face_height")]
    for frame, *box in zip(*columns, strict=True):
        if all(map(math.isfinite, box)):
            found.setdefault(int(frame), []).append(tuple(box))
    return found


def _shares(boxes: Sequence[tuple[float, ...]], size: tuple[int, int]) -> list[list[float]]:
    return [
        [int(face), *(round(value / side, 4) for value, side in zip(box, size * 2, strict=True))]
        for face, *box in boxes
    ]


@dataclass(frozen=True)
class EncodedFrame:
    """A frame as the page stores it.

    Attributes:
        frame: Which frame it is.
        image: WebP.
        size: Width and height of the frame as shown, in pixels.
    """

    frame: StoredFrame
    image: bytes
    size: tuple[int, int]


def decode_pictures(
    path: Path,
    faces: Sequence[WantedFace],
    frames: Sequence[StoredFrame],
    encoder: FrameEncoder,
    options: OpenOptions | None = None,
) -> tuple[dict[int, str], list[EncodedFrame]]:
    """Decode the pictures of one video.

    Args:
        path: The video.
        faces: The images of faces.
        frames: The frames to store.
        encoder: Encodes them.
        options: How the video was opened when it was analysed; None: with the defaults.

    Returns:
        face_id → JPEG as a data URI, and the encoded frames in order of time, without what cannot be decoded.

    Raises:
        UnreadableVideo: The video cannot be decoded.
    """
    thumbs: dict[int, str] = {}
    stored: list[EncodedFrame] = []
    left = len(frames)
    wanted: list[WantedFace | StoredFrame] = [*faces, *frames]
    for frame, ones in read_wanted(path, wanted, options):
        for one in ones:
            if isinstance(one, WantedFace):
                thumbs[one.face_id] = data_uri(cut_out(frame.image, one.box))
                continue
            left -= 1
            if image := encoder.encode(frame.image):
                stored.append(EncodedFrame(one, image, (frame.width, frame.height)))
    encoder.skip(left)
    return thumbs, stored


class FrameEncoder:
    """Encodes frames so that all of them together stay within a number of bytes.

    Args:
        room: The number of bytes.
        count: The number of frames.
    """

    def __init__(self, room: int, count: int) -> None:
        self._room, self._count = room, count

    def skip(self, count: int) -> None:
        """Give the room of some frames to the others.

        Args:
            count: Number of frames that cannot be decoded.
        """
        self._count -= count

    def encode(self, image: ByteArray) -> bytes:
        """Encode a frame.

        Args:
            image: (h, w, 3) uint8, blue-green-red.

        Returns:
            A WebP image; empty if there is no room for it.
        """
        share = min(self._room / max(self._count, 1), 10_000)
        self._count -= 1
        height, width = image.shape[:2]
        scale = min(1.0, math.sqrt(share / BYTES_PER_PIXEL / (width * height)))
        while True:
            size = (max(1, round(width * scale)), max(1, round(height * scale)))
            small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
            for quality in QUALITIES:
                data = _webp(np.asarray(small, np.uint8), quality)
                if len(data) <= min(1.3 * share, self._room):
                    self._room -= len(data)
                    return data
            if max(size) < 32:
                return b""
            scale *= 0.7


def _webp(image: ByteArray, quality: int) -> bytes:
    done, data = cv2.imencode(".webp", image, [cv2.IMWRITE_WEBP_QUALITY, quality])
    if not done:
        raise ValueError("a frame cannot be encoded as WebP")
    return bytes(data.tobytes())
