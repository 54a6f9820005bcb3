"""The contact sheet: images of every face of a video, spread over the time for which it is seen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fervid.faces.thumbnail import WantedFace, cut_out, data_uri
from fervid.settings import OpenOptions
from fervid.video.wanted_frames import read_wanted

MAX_IMAGES = 160
"""Largest number of images of a video."""

PER_FACE = 4
"""Largest number of images of a face."""


def wanted_images(timeline: pd.DataFrame) -> tuple[list[WantedFace], int]:
    """Choose the images of a video.

    Args:
        timeline: Its rows of the timeline.

    Returns:
        The images, and the number of faces that have none because there are too many. Those with the most samples have
        images.
    """
    seen = timeline[timeline["face_id"].notna()]
    groups = sorted(seen.groupby("face_id"), key=lambda one: (-len(one[1]), one[0]))
    each = max(1, min(PER_FACE, MAX_IMAGES // max(len(groups), 1)))
    found = []
    for face_id, rows in groups[:MAX_IMAGES]:
        places = np.unique(np.linspace(0, len(rows) - 1, min(each, len(rows)) + 2).round().astype(int)[1:-1])
        for row in rows.sort_values("time").iloc[places].itertuples():
            box = (float(row.face_x), float(row.face_y), float(row.face_width), float(row.face_height))
            if all(np.isfinite(box)) and min(box[2:]) > 0:
                found.append(WantedFace(int(face_id), int(row.frame), float(row.time), box))
    return found, max(0, len(groups) - MAX_IMAGES)


def contact_sheet(path: Path, timeline: pd.DataFrame, options: OpenOptions | None = None) -> dict[str, Any]:
    """Cut out the images of a video.

    Args:
        path: The video.
        timeline: Its rows of the timeline.
        options: How the video was opened when it was analysed; None: with the defaults.

    Returns:
        Values that JSON can hold: ``images`` with ``face``, ``time`` in seconds and ``image`` (a JPEG as a data URI),
        in order of face and time; and in ``more`` the number of faces without an image.

    Raises:
        UnreadableVideo: The video cannot be decoded.
    """
    wanted, more = wanted_images(timeline)
    images = [
        {"face": one.face_id, "time": one.time, "image": data_uri(cut_out(frame.image, one.box))}
        for frame, ones in read_wanted(path, wanted, options)
        for one in ones
    ]
    return {"images": sorted(images, key=lambda one: (one["face"], one["time"])), "more": more}
