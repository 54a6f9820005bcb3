"""The timeline in the columns of other tools."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from fervid.export.output_files import Values, write_csv
from fervid.faces.landmarks import LANDMARKS
from fervid.results.mesh_table import has_meshes, read_points
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


LANDMARK_COLUMNS = tuple(f"{axis}_{number}" for axis in "xy" for number in range(68))
"""OpenFace's columns of the landmarks."""


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


def openface_frame(
    timeline: pd.DataFrame, values: Values = "raw", landmarks: pd.DataFrame | None = None
) -> pd.DataFrame:
    """Convert a timeline to columns of OpenFace 2.2, then the box and the emotions.

    Args:
        timeline: Rows of one video.
        values: Which probabilities to write.
        landmarks: ``frame``, ``face_id`` and the columns LANDMARK_COLUMNS, in pixels. None: there are no landmarks.

    Returns:
        One row per face. ``frame`` counts from 1; ``confidence`` is the score of the detector, empty
        where the box was followed. A sampled frame
        without a face has ``success`` 0, confidence 0 and face_id 0, as OpenFace writes it. Column names have no
        leading blanks, which older versions of OpenFace wrote. Emotions have py-feat's names. Pose and landmarks are
        empty where they are unknown, and their columns are left out where no row has them.
    """
    found = timeline["face_id"].notna()
    first = {
        "frame": timeline["frame"] + 1,
        "face_id": timeline["face_id"].fillna(0),
        "timestamp": timeline["time"],
        "confidence": timeline["face_score"].where(found, 0.0),
        "success": found.astype(int),
    }
    box = timeline[["face_x", "face_y", "face_width", "face_height"]]
    probabilities = timeline[_probability_columns(values)].set_axis(list(EMOTION_ALIASES.values()), axis=1)
    parts = [pd.DataFrame(first), *_pose(timeline), *_landmarks(timeline, landmarks), box, probabilities]
    return pd.concat(parts, axis=1)


def _pose(timeline: pd.DataFrame) -> list[pd.DataFrame]:
    """The rotation of the head in OpenFace's axes: x to the right of the image, y down, z away from the camera.

    The angles are those of R = Rx Ry Rz in radians. So Rx > 0 looks down, Ry > 0 turns to the person's right, and
    Rz > 0 leans to the left shoulder.
    """
    yaw, pitch, roll = np.radians(timeline[["head_yaw", "head_pitch", "head_roll"]].to_numpy(np.float64)).T
    if not np.isfinite(yaw).any():
        return []
    (cy, cp, cr), (sy, sp, sr) = np.cos([yaw, pitch, roll]), np.sin([yaw, pitch, roll])
    about_x = np.arctan2(-(sr * sy * cp + cr * sp), cy * cp)
    about_y = np.arcsin(np.clip(sr * sp - cr * sy * cp, -1.0, 1.0))
    about_z = np.arctan2(-(cr * sy * sp + sr * cp), cr * cy)
    angles = {"pose_Rx": about_x, "pose_Ry": about_y, "pose_Rz": about_z}
    return [pd.DataFrame(angles, index=timeline.index).astype(np.float32)]


def _landmarks(timeline: pd.DataFrame, landmarks: pd.DataFrame | None) -> list[pd.DataFrame]:
    """The landmarks of each row of the timeline; empty where the network was not sure of the face, as the
    opening of the mouth is."""
    if landmarks is None or landmarks.empty:
        return []
    keys = ["frame", "face_id"]
    joined = timeline[keys].merge(landmarks, how="left", on=keys, validate="many_to_one")
    return [joined[list(LANDMARK_COLUMNS)].set_index(timeline.index).where(timeline["mouth_open"].notna())]


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


def write_openface(tables: Results, targets: dict[str, Path], values: Values, results: Path | None = None) -> None:
    """Write one OpenFace table for each video.

    Args:
        tables: The results.
        targets: Video name → file to write.
        values: Which probabilities to write.
        results: Where the results lie; None if that is unknown. Their table of meshes gives the landmarks, if there is
            one.

    Raises:
        BadResults: The table of meshes is not as fervid wrote it.
        OutputError: A file cannot be written.
    """
    ids = dict(zip(tables.videos["video"], tables.videos["video_id"], strict=True))
    kept = results if results is not None and has_meshes(results) else None
    rows = tables.timeline.groupby("video", sort=False).indices  # one frame a video would take much more memory
    for name, path in targets.items():
        own = tables.timeline.iloc[rows.get(name, [])]
        landmarks = read_landmarks(kept, ids[name]) if kept else None
        write_csv(path, openface_frame(own, values, landmarks))


def read_landmarks(results: Path, video_id: str) -> pd.DataFrame:
    """Read the 68 landmarks of the faces of a video.

    Args:
        results: Results with a table of meshes.
        video_id: The video.

    Returns:
        ``frame``, ``face_id`` and LANDMARK_COLUMNS (float32, pixels), one row per face and frame.

    Raises:
        BadResults: The table of meshes is not as fervid wrote it.
    """
    parts = [pd.DataFrame(columns=["frame", "face_id", *LANDMARK_COLUMNS])]
    for frames, faces, points in read_points(results, video_id):
        chosen = points[:, list(LANDMARKS), :2].astype(np.float32)
        flat = np.concatenate([chosen[:, :, 0], chosen[:, :, 1]], axis=1)
        keys = pd.DataFrame({"frame": frames, "face_id": pd.array(faces, "Int32")})
        parts.append(pd.concat([keys, pd.DataFrame(flat, columns=list(LANDMARK_COLUMNS))], axis=1))
    return pd.concat(parts[1:] or parts, ignore_index=True)
