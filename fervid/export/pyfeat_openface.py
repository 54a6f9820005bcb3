"""The timeline in the columns of other tools."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from fervid.export.output_files import Values, write_csv
from fervid.results.reader import Results
from fervid.types import EMOTIONS

EMOTION_ALIASES = {
    "angry": "anger",
    "disgust": "disgust",
    "fear": "fear",
    "happy": "happiness",
    "sad": "sadness",
    "surprise": "surprise",
    "neutral": "neutral",
}
"""fervid's emotion names (those of FER2013) → py-feat's."""

BOX_ALIASES = {
    "face_x": "FaceRectX",
    "face_y": "FaceRectY",
    "face_width": "FaceRectWidth",
    "face_height": "FaceRectHeight",
    "face_score": "FaceScore",
}
"""fervid's box columns → py-feat's."""


def _probability_columns(values: Values) -> list[str]:
    return [emotion if values == "raw" else f"{emotion}_smooth" for emotion in EMOTIONS]


def pyfeat_frame(timeline: pd.DataFrame, values: Values = "raw") -> pd.DataFrame:
    """Convert a timeline to the columns of py-feat's ``Fex``.

    Args:
        timeline: Rows of the timeline.
        values: Which probabilities to write.

    Returns:
        One row per face; a frame without a face keeps one row with empty face columns. ``frame`` counts from 0,
        ``approx_time`` is mm:ss, rounded down.
    """
    frame = timeline[[*BOX_ALIASES, *_probability_columns(values)]]
    frame = frame.set_axis([*BOX_ALIASES.values(), *EMOTION_ALIASES.values()], axis=1)
    seconds = np.floor(timeline["time"].to_numpy() + 1e-9).astype(np.int64)
    clock = [f"{total // 60:02d}:{total % 60:02d}" for total in np.maximum(seconds, 0).tolist()]
    return frame.assign(frame=timeline["frame"], input=timeline["video"], approx_time=clock)


def openface_frame(timeline: pd.DataFrame, values: Values = "raw") -> pd.DataFrame:
    """Convert a timeline to the first five columns of OpenFace 2.2, then the box and the emotions.

    Args:
        timeline: Rows of one video.
        values: Which probabilities to write.

    Returns:
        One row per face. ``frame`` counts from 1; ``confidence`` is the score of the detector. A sampled frame
        without a face has ``success`` 0, confidence 0 and face_id 0, as OpenFace writes it. Column names have no
        leading blanks, which older versions of OpenFace wrote. Emotions have py-feat's names.
    """
    found = timeline["face_id"].notna()
    first = {
        "frame": timeline["frame"] + 1,
        "face_id": timeline["face_id"].fillna(0),
        "timestamp": timeline["time"],
        "confidence": timeline["face_score"].fillna(0.0),
        "success": found.astype(int),
    }
    box = timeline[["face_x", "face_y", "face_width", "face_height"]]
    probabilities = timeline[_probability_columns(values)].set_axis(list(EMOTION_ALIASES.values()), axis=1)
    return pd.concat([pd.DataFrame(first), box, probabilities], axis=1)


def timeline_frame(timeline: pd.DataFrame, values: Values | None = None) -> pd.DataFrame:
    """Prepare the timeline for a CSV file.

    Args:
        timeline: Rows of the timeline.
        values: Keep only these probabilities, under the names of the emotions; None keeps all columns.

    Returns:
        One row per row of the timeline.
    """
    if values is None:
        return timeline.assign(emotion=timeline["emotion"].astype(object))
    probabilities = timeline[_probability_columns(values)].set_axis(list(EMOTIONS), axis=1)
    rest = [name for name in timeline.columns if name.removesuffix("_smooth") not in EMOTIONS]
    labels = timeline["emotion"].astype(object)
    return pd.concat([timeline[rest[:-2]], probabilities, labels, timeline["confidence"]], axis=1)


def write_openface(tables: Results, targets: dict[str, Path], values: Values) -> None:
    """Write one OpenFace table for each video.

    Args:
        tables: The results.
        targets: Video name → file to write.
        values: Which probabilities to write.

    Raises:
        OutputError: A file cannot be written.
    """
    rows = tables.timeline.groupby("video", sort=False).indices  # one frame a video would take much more memory
    for name, path in targets.items():
        write_csv(path, openface_frame(tables.timeline.iloc[rows.get(name, [])], values))
