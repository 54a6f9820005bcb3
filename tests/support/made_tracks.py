"""Made results whose tables are all computed from raw rows, as an analysis would have done."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fervid.results.parts import Entry, Row, write_part
from fervid.results.rows import VideoFaces, video_tables
from fervid.results.schema import SCHEMA_VERSION, is_folder
from fervid.results.writer import compose
from fervid.settings import AnalyzeSettings
from fervid.settings_io import to_mapping
from fervid.types import Doubt, FloatArray, Track
from tests.support.synthetic_results import wandering

STEP = 0.2


@dataclass(frozen=True)
class MadePerson:
    """A face with its own raw values, seen at the samples ``seen``; ``face_id`` and ``person`` are its numbers."""

    seed: int
    seen: Sequence[range]
    face_id: int
    person: int | None


@dataclass(frozen=True)
class MadeClip:
    """A video of ``count`` samples, with cuts at times in seconds."""

    people: Sequence[MadePerson]
    count: int = 100
    cuts: Sequence[float] = ()
    doubts: Sequence[Doubt] = ()


METADATA = {"schema_version": str(SCHEMA_VERSION), "settings": json.dumps(to_mapping(AnalyzeSettings()))}
"""How the results say that they were made."""


def write_tracks(path: Path, clips: Mapping[str, MadeClip]) -> Path:
    """Write results of these videos to ``path`` and return it."""
    if is_folder(path):
        path.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        compose(path, make_entries(Path(folder), clips), METADATA, Path(folder))
    return path


def make_entries(folder: Path, clips: Mapping[str, MadeClip]) -> list[Entry]:
    """Write the parts of these videos into a folder."""
    made = [made_faces(number, clip) for number, clip in enumerate(clips.values())]
    return [finished_entry(folder, name, *one) for name, one in zip(clips, made, strict=True)]


def finished_entry(folder: Path, name: str, faces: VideoFaces, manifest: Row) -> Entry:
    """Compute the tables of a video and write its part, as ``analyze`` does after the scan."""
    timeline, rows = video_tables(faces, manifest, AnalyzeSettings().timeline)
    part = folder / f"{faces.video_id}.parquet"
    write_part(part, timeline, rows)
    return Entry(name, part, rows["videos"][0])


def made_faces(number: int, clip: MadeClip) -> tuple[VideoFaces, Row]:
    """The faces of a video, as after its scan, and its row of the manifest."""
    manifest = {"status": "ok" if clip.people else "no_face", "message": None, "duration": STEP * clip.count}
    manifest |= {"width": 640, "height": 360, "rotation": 0, "codec": "h264", "seconds": 1.0, "finished_at": "-"}
    manifest |= {"frames_sampled": clip.count, "faces": len(clip.people)}
    return _faces(f"c{number:031x}", clip), manifest


def _faces(video_id: str, clip: MadeClip) -> VideoFaces:
    frames, times = np.arange(clip.count) * 5, np.arange(clip.count, dtype=np.float64) * STEP
    tracks: list[Track] = []
    raw: list[FloatArray] = []
    for one in sorted(clip.people, key=lambda person: person.face_id):
        samples = np.concatenate([np.array(span) for span in one.seen])
        random = np.random.default_rng(one.seed)
        first = np.array([100 + 150 * one.seed, 80, 90, 110])
        place = first + np.cumsum(random.normal(0, 2, (clip.count, 4)), axis=0)
        qualities = random.uniform(0.2, 1, clip.count).astype(np.float32)
        boxes = np.maximum(place, 1).astype(np.float32)
        scores = np.full(len(samples), 0.9, np.float32)
        crops = np.zeros((0, 1, 1), np.uint8)
        owner = one.person
        tracks.append(
            Track(
                one.face_id, frames[samples], times[samples], boxes[samples], scores, qualities[samples], crops, owner
            )
        )
        raw.append(wandering(clip.count, one.seed)[samples])
    sizes = np.full((clip.count, 2), (640, 360), np.int32)
    return VideoFaces(
        video_id, frames, times, sizes, tracks, raw, STEP * clip.count, list(clip.cuts), doubts=clip.doubts
    )
