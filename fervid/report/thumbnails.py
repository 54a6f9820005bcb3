"""Thumbnails of faces, cut out of their videos."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from fervid.faces.thumbnail import WantedFace, cut_out, data_uri
from fervid.settings import OpenOptions
from fervid.video.wanted_frames import read_wanted

MAX_THUMBNAILS = 400
"""Largest number of thumbnails in a page. If there are more faces, those with the most samples have one."""


def make_thumbnails(path: Path, wanted: Iterable[WantedFace], options: OpenOptions | None = None) -> dict[int, str]:
    """Make thumbnails of the faces of one video.

    Args:
        path: The video.
        wanted: The faces.
        options: How the video was opened when it was analysed; None: with the defaults.

    Returns:
        face_id → JPEG as a data URI, without the faces whose frames cannot be decoded.

    Raises:
        UnreadableVideo: The video cannot be decoded.
    """
    return {
        face.face_id: data_uri(cut_out(frame.image, face.box))
        for frame, faces in read_wanted(path, wanted, options)
        for face in faces
    }
