"""Made results: tables with exact truth, through fervid's own writer, without any video or network."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from fervid.report.report import write_report
from fervid.results.parts import Entry, write_part
from fervid.results.rows import VideoFaces, timeline_table
from fervid.results.schema import SCHEMA_VERSION, is_folder
from fervid.results.writer import compose
from fervid.settings import AnalyzeSettings
from fervid.settings_io import to_mapping
from fervid.types import EMOTIONS, DoubleArray, FloatArray, Track
from fervid.version import __version__


@dataclass
class MadeFace:
    """A face seen at the ``samples`` (indices of the video's sampled frames), with these probabilities.

    ``measures``: (n, 8) in the order of MEASURES; None: the face was not measured.
    """

    samples: Sequence[int]
    probabilities: FloatArray
    trust: str = "ok"
    measures: FloatArray | None = None


@dataclass
class MadeVideo:
    """One video of the results.

    Attributes:
        count: Number of samples, one every ``step`` seconds.
        status: As in the manifest.
        rest: Seconds at the end that were not sampled.
        timed: Whether the length of the video is known.
        stride: Number of frames of the video from one sample to the next.
    """

    name: str
    faces: list[MadeFace] = field(default_factory=list)
    count: int = 50
    step: float = 0.2
    status: str = ""
    message: str | None = None
    error: str | None = None
    rest: float = 0.0
    timed: bool = True
    stride: int = 5

    @property
    def times(self) -> DoubleArray:
        """(count,) seconds."""
        return np.arange(self.count, dtype=np.float64) * self.step


def leading_emotions(*periods: tuple[str, int], height: float = 0.8) -> FloatArray:
    """Probabilities (n, 7) in which the given emotions lead in turn.

    Each period is an emotion and its number of samples; the emotion has the probability ``height`` there.
    """
    rows = []
    for emotion, count in periods:
        row = np.full(len(EMOTIONS), (1 - height) / (len(EMOTIONS) - 1), np.float32)
        row[EMOTIONS.index(emotion)] = height
        rows += [row] * count
    return np.array(rows, np.float32)


def wandering(count: int, seed: int = 0) -> FloatArray:
    """Probabilities (count, 7) that change slowly, like those of real faces."""
    random = np.random.default_rng(seed)
    steps = random.normal(0, 0.3, (count, len(EMOTIONS)))
    logits = np.cumsum(steps, axis=0)
    logits -= logits.mean(axis=1, keepdims=True)
    raised = np.exp(3 * np.tanh(logits / 3))
    return np.asarray(raised / raised.sum(axis=1, keepdims=True), np.float32)


def write_results(path: Path, videos: Sequence[MadeVideo]) -> Path:
    """Write the results of ``videos`` to ``path`` and return it. Smoothed values are the raw ones."""
    settings = to_mapping(AnalyzeSettings())
    metadata = {
        "schema_version": str(SCHEMA_VERSION),
        "version": __version__,
        "settings": json.dumps(settings),
        "weights_sha256": "ab" * 32,
        "detector": "retinaface",
        "detector_sha256": "cd" * 32,
    }
    with tempfile.TemporaryDirectory() as folder:
        entries = [
            _entry(Path(folder) / f"a{position:031x}.parquet", position, video) for position, video in enumerate(videos)
        ]
        path.parent.mkdir(parents=True, exist_ok=True)
        if is_folder(path):
            path.mkdir(exist_ok=True)
        scratch = Path(tempfile.mkdtemp(dir=path.parent))
        compose(path, entries, metadata, scratch)
        shutil.rmtree(scratch)
    return path


def _entry(part: Path, position: int, video: MadeVideo) -> Entry:
    status = video.status or ("ok" if video.faces else "no_face")
    row: dict[str, Any] = {"status": status, "message": video.message, "error": video.error}
    row |= {"frames_sampled": video.count, "faces": len(video.faces), "finished_at": "2026-01-02T03:04:05+00:00"}
    if status == "failed":
        return Entry(video.name, None, row | {"frames_sampled": 0})
    video_id = f"a{position:031x}"
    row |= {
        "video_id": video_id,
        "duration": video.count * video.step + video.rest if video.timed else None,
        "width": 640,
        "height": 360,
        "codec": "h264",
    }
    row |= {"rotation": 0, "seconds": 1.0}
    if status == "skipped":
        return Entry(video.name, None, row)
    frames, key = np.arange(video.count) * video.stride, {"video_id": video_id}
    tracks = [_track(video, number, face) for number, face in enumerate(video.faces)]
    values = [face.probabilities for face in video.faces]
    sizes = np.full((video.count, 2), (640, 360), np.int32)
    made = VideoFaces(video_id, frames, video.times, sizes, tracks, values, row["duration"])
    timeline = timeline_table(made, values)
    summary = [key | _summary(video, number, face) for number, face in enumerate(video.faces)]
    episodes = [
        key | episode for number, face in enumerate(video.faces) for episode in made_episodes(video, number, face)
    ]
    shots = [key | {"shot": 0, "start": 0.0, "end": row["duration"] or float(video.times[-1])}]
    write_part(part, timeline, {"summary": summary, "episodes": episodes, "shots": shots, "videos": [row]})
    return Entry(video.name, part, row)


def _track(video: MadeVideo, number: int, face: MadeFace) -> Track:
    count, samples = len(face.samples), np.asarray(face.samples)
    box = np.array([20.5 + 100 * number, 30.25, 80, 100], np.float32)
    crops = np.zeros((count, 48, 48), np.uint8)
    ones = np.ones(count, np.float32)
    numbers = samples * video.stride
    boxes = np.tile(box, (count, 1))
    return Track(number, numbers, video.times[samples], boxes, 0.9 * ones, 0.75 * ones, crops, measures=face.measures)


def made_episodes(video: MadeVideo, number: int, face: MadeFace) -> list[dict[str, Any]]:
    """An episode for each period in which one emotion leads."""
    found: list[dict[str, Any]] = []
    leading = face.probabilities.argmax(axis=1)
    for emotion, group in groupby(range(len(leading)), key=lambda row: leading[row]):
        rows = list(group)
        onset = float(video.times[face.samples[rows[0]]])
        offset = float(video.times[face.samples[rows[-1]]] + video.step)
        peak = float(face.probabilities[rows, emotion].max())
        row: dict[str, Any] = {
            "face_id": number,
            "kind": "emotion",
            "emotion": EMOTIONS[emotion],
            "onset": onset,
            "apex": onset,
            "offset": offset,
        }
        found.append(row | {"duration": offset - onset, "peak": peak, "mean": peak})
    return found


def _summary(video: MadeVideo, number: int, face: MadeFace) -> dict[str, Any]:
    times, leading = video.times[np.asarray(face.samples)], face.probabilities.argmax(axis=1)
    means = face.probabilities.mean(axis=0)
    shares = np.bincount(leading, minlength=len(EMOTIONS)) / len(leading)
    possible = face.samples[-1] - face.samples[0] + 1
    row: dict[str, Any] = {
        "face_id": number,
        "first_seen": float(times[0]),
        "last_seen": float(times[-1]),
        "samples": len(times),
    }
    row |= {"coverage": len(times) / possible, "longest_gap": float(np.diff(times).max(initial=0.0))}
    row |= {"dominant": EMOTIONS[int(means.argmax())], "transitions_per_minute": 1.5, "mean_quality": 0.75}
    row |= {f"share_{name}": float(share) for name, share in zip(EMOTIONS, shares, strict=True)}
    row |= {f"mean_{name}": float(mean) for name, mean in zip(EMOTIONS, means, strict=True)}
    return row | {"trust": face.trust}


EVIL = "<script>alert(1)</script>.mp4"
NASTY = "</script><!--\"'><img src=x onerror=alert(2)>&amp;.mp4"
"""Names that would do harm as HTML."""

GAPPY = MadeFace([*range(10), *range(14, 40)], leading_emotions(("happy", 20), ("sad", 16)))
SHORT = MadeFace(range(5), leading_emotions(("fear", 5)), trust="seen for only 0.8 s")

EVERYTHING = (
    MadeVideo(EVIL, [GAPPY, SHORT], message="truncated: <b>the rest</b> is gone"),
    MadeVideo("nothing.mp4", count=10),
    MadeVideo(NASTY, status="failed", error="UnreadableVideo", message=f"cannot read {NASTY}"),
    MadeVideo("copy.mp4", status="skipped", message=f"same content as {EVIL}"),
    MadeVideo(NASTY + "2", [MadeFace(range(50), wandering(50))]),
)
"""A video of every status, with gaps, low trust and names that would do harm."""


def write_made_report(folder: Path) -> Path:
    """The report of EVERYTHING, without thumbnails."""
    results = write_results(folder / "made.parquet", EVERYTHING)
    return write_report(results, folder / "made.html", thumbnails=False).path
