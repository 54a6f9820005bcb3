"""What the columns of a BIDS dataset mean: the content of its JSON files."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from fervid.export.bids_subjects import Recording
from fervid.export.regular_grid import RegularGrid
from fervid.types import EMOTIONS
from fervid.version import __version__

Columns = dict[str, dict[str, Any]]
"""Column → its description, as BIDS names the parts of one."""

EVENTS: Columns = {
    "onset": {"Description": "Start of the episode of an emotion, from the start of the video", "Units": "s"},
    "duration": {"Description": "Length of the episode", "Units": "s"},
    "trial_type": {
        "Description": "The emotion that leads during the episode",
        "Levels": {emotion: f"{emotion}, as FER2013 defines it" for emotion in EMOTIONS},
    },
    "apex": {"Description": "Time of the largest probability of the emotion in the episode", "Units": "s"},
    "peak": {"Description": "Largest probability of the emotion in the episode, 0 to 1", "Units": "1"},
    "mean": {"Description": "Mean probability of the emotion in the episode, 0 to 1", "Units": "1"},
    "face_id": {"Description": "Number of the face in the video"},
}
"""The columns of ``_events.tsv``."""

PARTICIPANTS: Columns = {
    "participant_id": {"Description": "Label of the subject in the names of files"},
    "name": {"Description": "Name of the participant in the results of fervid; n/a if nobody named the person"},
    "video": {"Description": "Video of a person or face without a name; n/a for a named participant"},
    "person": {"Description": "Number of the person in that video; n/a for a named participant, and if not known"},
    "face": {"Description": "Number of the first face in that video; n/a for a named participant"},
}
"""The columns of ``participants.tsv``."""

SCANS: Columns = {
    "filename": {"Description": "The file"},
    "video": {"Description": "Name of the video in the results of fervid"},
    "video_id": {"Description": "Fingerprint of the content of the video"},
    "person": {"Description": "Number of the person in the video; n/a if not known"},
    "faces": {"Description": "Numbers of the faces in the video that are this person, with commas between them"},
    "role": {"Description": "Role of the person in the recording; n/a if none was given"},
    "trust": {"Description": "ok, or the reasons to doubt these data"},
}
"""The columns of ``_scans.tsv``."""

_TIMELINE: Columns = {
    "video_time": {"Description": "Presentation time of the sampled frame that the row holds; n/a if it holds none",
                   "Units": "s"},
    "frame": {"Description": "Number of that frame, from 0"},
    "frame_width": {"Description": "Width of that frame as shown", "Units": "pixel"},
    "frame_height": {"Description": "Height of that frame as shown", "Units": "pixel"},
    "face_id": {"Description": "Number of the face in the video; n/a in the frames in which it was not seen"},
    "face_x": {"Description": "Left edge of the face", "Units": "pixel"},
    "face_y": {"Description": "Upper edge of the face", "Units": "pixel"},
    "face_width": {"Description": "Width of the face", "Units": "pixel"},
    "face_height": {"Description": "Height of the face", "Units": "pixel"},
    "face_score": {
        "Description": "How sure the detector is that this is a face, 0 to 1; empty where the box was followed",
        "Units": "1",
    },
    "face_quality": {"Description": "How well the face can be read, 0 to 1", "Units": "1"},
    "head_yaw": {"Description": "Turn of the head, positive to the person's left", "Units": "degree"},
    "head_pitch": {"Description": "Turn of the head, positive upwards", "Units": "degree"},
    "head_roll": {"Description": "Tilt of the head, positive towards the person's right shoulder", "Units": "degree"},
    "eyes_open": {"Description": "Distance of the lids of the nearer eye, as a share of its length", "Units": "1"},
    "mouth_open": {"Description": "Distance of the lips, in distances of the outer corners of the eyes", "Units": "1"},
    "smile": {"Description": "Width of the mouth, in distances of the outer corners of the eyes", "Units": "1"},
    "gaze_x": {"Description": "Offset of the iris to the person's left, as a share of the eye's length", "Units": "1"},
    "gaze_y": {"Description": "Offset of the iris upwards, as a share of the eye's length", "Units": "1"},
    "valence": {"Description": "Smoothed probability of happy minus the largest of angry, disgust, fear and sad",
                "Units": "1"},
    "confidence": {"Description": "Largest smoothed probability of an emotion, 0 to 1", "Units": "1"},
}  # fmt: skip

_METHOD = (
    "Rows are at a constant rate: that of the usual step between sampled frames (least squares), or of the shortest"
    " step if the steps vary. Each sampled frame is in the row nearest to its time, and no value is interpolated, so"
    " the values are those of the results. Rows without a sampled frame, and frames without the face, are n/a."
    " video_time has the exact time."
)


def timeline_column(name: str) -> dict[str, Any]:
    """Describe a column of ``_physio.tsv.gz``.

    Args:
        name: A numeric column of the timeline, or ``video_time``.

    Returns:
        Its description.
    """
    emotion = name.removesuffix("_smooth")
    if emotion in EMOTIONS:
        kind = "smoothed over time" if name != emotion else "of this frame alone"
        return {"Description": f"Probability of the emotion {emotion}, {kind}, 0 to 1", "Units": "1"}
    return _TIMELINE.get(name, {"Description": f"The measure {name} of the timeline; the documentation defines it"})


def physio_sidecar(recording: Recording, grid: RegularGrid, columns: Iterable[str]) -> bytes:
    """Describe a ``_physio.tsv.gz``.

    Args:
        recording: Who and where.
        grid: When its rows are.
        columns: Its columns, which the table itself does not name.

    Returns:
        The JSON file.
    """
    names = list(columns)
    regularity = "regular" if grid.regular else "irregular: the true times are in the column video_time"
    return as_json(
        {"TaskName": recording.task, "SamplingFrequency": grid.rate, "StartTime": grid.start, "Columns": names}
        | {"TaskDescription": f"Facial expressions in the video {recording.video}, timed from its start"}
        | {"SoftwareVersions": f"fervid {__version__}", "ResamplingMethod": _METHOD, "OriginalSampling": regularity}
        | {"LargestTimeShift": {"Value": round(grid.shift, 6), "Units": "s"}}
        | {name: timeline_column(name) for name in names}
    )


def dataset_description(metadata: Mapping[str, Any]) -> bytes:
    """Describe the dataset.

    Args:
        metadata: That of the results.

    Returns:
        The JSON file.
    """
    made = {
        key: metadata[key] for key in ("settings", "weights_sha256", "detector", "detector_sha256") if key in metadata
    }
    by = {"Name": "fervid", "Version": str(metadata.get("version", __version__))}
    if made:
        by["Description"] = "Analysed with " + json.dumps(made, sort_keys=True)
    return as_json(
        {
            "Name": "Facial expressions over time, measured by fervid",
            "BIDSVersion": "1.9.0",
            "DatasetType": "derivative",
            "GeneratedBy": [by],
        }
    )


README = """# Facial expressions over time

fervid measured these data in video recordings: a probability of seven emotions for each sampled frame and face.

- `participants.tsv`: the name behind each label. A person or face that nobody named is a subject of its own in each
  video (`sub-unknown1` and so on), because nothing says whether they are the same.
- `sub-*/sub-*_scans.tsv`: the video of each file, and how far to trust it.
- `*_events.tsv`: episodes in which one emotion leads. `task` is the label of the video.
- `*_physio.tsv.gz`: the probabilities and the box of the face over time, at a constant rate. No value is interpolated.
  A recording without this file had too few samples, or samples too irregular for a constant rate.
- `acq-face*` is a second face of the same participant in the same video.

The emotion of a frame is the largest of the seven smoothed probabilities. Shots and the doubts about single faces are
only in the tables of fervid.
"""
"""The file README."""


def as_json(content: Mapping[str, Any]) -> bytes:
    """Write a JSON file.

    Args:
        content: Its content.

    Returns:
        The file.
    """
    return (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode()
