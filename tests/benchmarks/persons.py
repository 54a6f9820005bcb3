"""How often persons are joined wrongly and how often not, and what checking a face against itself finds.

    python -m tests.benchmarks.persons

Every face that is followed in the annotated clips of ``tests/benchmarks/meetings``, in the clips of ../shared with one
person each, and in the synthetic scenes gives pairs: two faces of one person, or of two. A pair is joined as
``cluster_tracks`` would join the two alone, whether or not a frame shows both. Pairs of synthetic heads are made of the
same clips, so they are listed apart. *Undecided* pairs have a face without enough good embeddings; such faces get no
person. *Made exchanges*: the first half of one face and the second half of a face of another person.
"""

from __future__ import annotations

import argparse
import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from fervid.faces.crop import FER2013_GEOMETRY
from fervid.faces.embedding import FaceEmbedder
from fervid.faces.identity import MIN_CONSISTENCY, MIN_EMBEDDINGS, choose_for_embedding
from fervid.faces.self_check import person_changes
from fervid.scan.between_samples import analyze_frames
from fervid.scan.frame_analysis import FrameAnalyzer
from fervid.scan.track_assembly import TrackBuilder
from fervid.settings import ScanSettings
from fervid.types import FloatArray, Frame, Track
from fervid.video.reader import VideoReader
from tests.benchmarks.composites import SHARED, DrawnScene, detector
from tests.benchmarks.meetings import CLIPS, read_truth
from tests.benchmarks.scenes import SCENES
from tests.benchmarks.tracking import CachingDetector

EMOTION_CLIPS = ("angry", "disgust", "fear", "happy", "neutral", "sadness", "surprise")
MEASURES = SHARED.parent / "measures" / "clips"
ALONE = {
    SHARED / "talking_d3.mp4": "d3",
    SHARED / "d9_vfr.mp4": "d9",
    SHARED / "d13_rot90.mov": "d13",
    SHARED / "d19_h264_longgop.mkv": "d19",
    SHARED / "wolfgang.mp4": "woman in gray",
    SHARED / "face_noface_hevc_vfr.mov": "man before a door",
    **{MEASURES / f"blink_{name}.mp4": name for name in ("d6", "d9", "d13", "d18")},
    **{SHARED / f"emo7_{name}.mp4": name for name in EMOTION_CLIPS},
}
"""Clip with one person → who that is, by eye."""
COMPOSITE = {"A": "d18", "B": "d19"}
"""Who the people of composite_cross are."""
THRESHOLDS = (0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7)
FPS = 5.0


@dataclass(frozen=True, eq=False)
class Seen:
    """A face that was followed: who it is, where it comes from, and the embeddings of all its aligned faces."""

    person: str
    source: str
    vectors: FloatArray


class KeepingBuilder(TrackBuilder):
    """Keeps the embeddings of all aligned faces of each track."""

    def __init__(self, embedder: FaceEmbedder) -> None:
        super().__init__(ScanSettings(fps=FPS), None, embedder)
        self.kept: list[FloatArray] = []
        self._known: dict[int, FloatArray] = {}

    def _crop_numbers(self, members: list[list[tuple[int, int]]]) -> list[list[int]]:
        numbers = super()._crop_numbers(members)
        self.kept = [self._all_vectors(track) for track in numbers]
        return numbers

    def _all_vectors(self, track: Sequence[int]) -> FloatArray:
        assert self._embedder is not None
        aligned = [self._aligned_number[number] for number in track if number in self._aligned_number]
        for number in aligned:
            if number not in self._known:
                self._known[number] = self._embedder.embed_aligned(self._aligned_faces.read([number])[0])
        return np.array([self._known[number] for number in aligned], np.float32).reshape(-1, 128)


def follow(frames: Iterator[Frame], embedder: FaceEmbedder) -> list[tuple[Track, FloatArray]]:
    """The tracks of a clip, with all embeddings of each."""
    builder = KeepingBuilder(embedder)
    analyzer = FrameAnalyzer(ScanSettings(fps=FPS), FER2013_GEOMETRY, detector(), embedder)
    for result in analyze_frames(frames, analyzer):
        builder.add(result)
    return list(zip(builder.finish().tracks, builder.kept, strict=True))


def real_faces(embedder: FaceEmbedder) -> Iterator[Seen]:
    """The faces of the real clips."""
    for clip in CLIPS:
        truth = read_truth(clip, CachingDetector(detector()))
        with VideoReader(clip.path, fps=FPS) as reader:
            found = follow(reader.frames(), embedder)
        for track, vectors in found:
            people = Counter(
                person
                for frame, box in zip(track.frames.tolist(), track.boxes, strict=True)
                for person, true in truth.frames[frame]
                if np.abs(box - true).max() < 0.2 * true[2]
            )
            owner = people.most_common(1)[0][0] if people else ""
            if owner and "probably" not in owner:
                yield Seen(COMPOSITE.get(owner, f"{clip.name} {owner}"), clip.name, vectors)
    for path, person in ALONE.items():
        with VideoReader(path, fps=FPS) as reader:
            yield from (Seen(person, path.name, vectors) for _, vectors in follow(reader.frames(), embedder))


def drawn_faces(embedder: FaceEmbedder) -> Iterator[Seen]:
    """The faces of the synthetic scenes; their heads are the people."""
    for make in SCENES:
        drawn = DrawnScene(make())
        for track, vectors in follow(drawn.frames(FPS), embedder):
            heads = Counter()  # type: Counter[int]
            for time, box in zip(track.times, track.boxes, strict=True):
                place = int(np.argmin(np.abs(np.array(drawn.scene.times) - time)))
                for face in drawn.faces[place]:
                    if np.abs(box - np.array(face.box)).max() < 0.3 * face.box[2]:
                        shot, layer = face.actor
                        heads[drawn.scene.shots[shot].layers[layer].head] += 1  # type: ignore[union-attr]
            if len(heads) == 1:
                yield Seen(f"head {next(iter(heads))}", drawn.scene.name, vectors)


def mean(vectors: FloatArray) -> FloatArray | None:
    """The unit vector by which persons are joined; None if a face gets no person."""
    chosen = vectors[list(choose_for_embedding(range(len(vectors))))]
    if len(chosen) < MIN_EMBEDDINGS:
        return None
    total = chosen.mean(axis=0)
    length = float(np.linalg.norm(total))
    return np.asarray(total / length) if length >= MIN_CONSISTENCY else None


def rates(faces: Sequence[Seen]) -> str:
    """A Markdown table: pairs that are joined, by threshold."""
    means = [(face.person, mean(face.vectors)) for face in faces]
    same: list[float] = []
    different: list[float] = []
    undecided = 0
    for (one, first), (other, second) in itertools.combinations(means, 2):
        if first is None or second is None:
            undecided += 1
        else:
            (same if one == other else different).append(float(first @ second))
    lines = [
        f"{len(faces)} faces of {len({face.person for face in faces})} people. {undecided} pairs undecided.",
        f"Most similar pair of two people {max(different):.3f}, least similar pair of one person {min(same):.3f}.",
        "",
        f"| threshold | joined, of {len(different)} pairs of two people "
        f"| not joined, of {len(same)} pairs of one person |",
        "|---|---|---|",
    ]
    for limit in THRESHOLDS:
        wrong, missed = sum(one >= limit for one in different), sum(one < limit for one in same)
        lines.append(f"| {limit:g} | {wrong} | {missed} |")
    return "\n".join(lines)


def exchanges(faces: Sequence[Seen]) -> str:
    """What checking finds in faces that change to another person in the middle, and in faces that do not."""
    long = [face for face in faces if len(face.vectors) >= 4]
    found: Counter[str] = Counter()
    for one, other in itertools.permutations(long, 2):
        if one.person != other.person:
            first, second = one.vectors[: len(one.vectors) // 2], other.vectors[-(len(other.vectors) // 2) :]
            changes = person_changes(np.concatenate([first, second]))
            right = any(change.certain and change.place == len(first) for change in changes)
            found["split at the exchange" if right else "a doubt" if changes else "nothing"] += 1
    false = [face.source for face in long if person_changes(face.vectors)]
    total = sum(found.values())
    return (
        f"{total} made exchanges: {dict(found)}. Of {len(long)} faces of one person each, "
        f"{len(false)} get a split or a doubt {false or ''}"
    )


def main() -> None:
    """Print the tables."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    cv2.setNumThreads(1)
    embedder = FaceEmbedder()
    for title, found in (("Real clips", real_faces(embedder)), ("Synthetic scenes", drawn_faces(embedder))):
        faces = list(found)
        print(f"\n{title}\n\n{rates(faces)}\n\n{exchanges(faces)}", flush=True)


if __name__ == "__main__":
    main()
