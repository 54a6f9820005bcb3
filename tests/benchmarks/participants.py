"""Participants across videos: who is named rightly, wrongly or not at all, at each threshold.

    python -m tests.benchmarks.participants [--results FILE]

The clips lie in ../shared; tests/benchmarks/participants/who.csv says who is who in them. Each name has one photo: the
head in one frame of the person's first track, never a frame whose face is compared. The names are split into two halves
by a hash. The threshold is the smallest of the table at which nobody of the half "chosen on" gets a false name or is
joined falsely; "reported" is the other half. A *stranger* is a person whose
own name is taken out of the gallery. *Pairs* are the persons with the names of other people. *Made* people are
computer-made. The photos of the Yale face database serve as another check: one photo with a normal face for each of 6
people, and 24 other photos with strong expressions.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

import fervid
from fervid.participants.embedding import FaceReader, SeenFaces, robust_average
from fervid.participants.matching import THRESHOLD, Match, group_persons, match_names
from fervid.participants.persons import Person, list_persons
from fervid.results.find_videos import find_videos
from fervid.results.reader import Results, read_results
from fervid.settings import OpenOptions
from fervid.types import ByteArray, FloatArray
from fervid.video.wanted_frames import read_wanted
from tests.benchmarks.composites import SHARED
from tests.support.paths import ROOT

WHO = ROOT / "tests" / "benchmarks" / "participants" / "who.csv"
FOLDERS = [SHARED, SHARED.parent / "measures" / "clips", SHARED.parent / "cases"]
YALE = SHARED.parent / "measures" / "stills" / "yale"
THRESHOLDS = (0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6)
UNKNOWN = "?"


@dataclass(frozen=True)
class Point:
    """A place in a frame at which a person's face is."""

    video: str
    frame: int
    x: float
    y: float
    person: str


@dataclass(frozen=True)
class _Photo:
    """A frame from which a photo is cut."""

    frame: int
    time: float
    box: tuple[float, float, float, float]
    name: str


@dataclass(frozen=True)
class Known:
    """The persons that can be compared, who they are, and their vectors; and a photo of each name."""

    persons: list[Person]
    who: list[str]
    vectors: list[FloatArray]
    names: list[str]
    photos: FloatArray


def read_points() -> list[Point]:
    """Read who is who."""
    with WHO.open(newline="") as file:
        return [
            Point(row["video"], int(row["frame"]), float(row["x"]), float(row["y"]), row["person"])
            for row in csv.DictReader(file)
        ]


def half_of(name: str) -> str:
    """The half of the people to which a name belongs."""
    return ("chosen on", "reported")[hashlib.sha256(name.encode()).digest()[0] % 2]


def who_is(person: Person, rows: Any, points: Sequence[Point]) -> set[str]:
    """The people whose points lie in the boxes of a person. ``rows``: those of the person in the timeline."""
    found = set()
    for point in points:
        near = rows.iloc[(rows["frame"] - point.frame).abs().argsort()[:1]]
        for row in near.itertuples():
            inside = 0 <= point.x - row.face_x <= row.face_width and 0 <= point.y - row.face_y <= row.face_height
            if abs(row.frame - point.frame) <= 6 and inside and point.video == person.video:
                found.add(point.person)
    return found


def photo_of(person: Person, rows: Any) -> _Photo:
    """The frame nearest to the middle of a person's first track whose face is not compared."""
    first = rows[rows["face_id"] == rows["face_id"].iloc[0]]
    compared = {face.frame for face in person.chosen}
    middle = (first["time"].iloc[0] + first["time"].iloc[-1]) / 2
    free = first[~first["frame"].isin(compared) & (first["face_quality"] >= 0.3)]
    row = (free if len(free) else first).assign(far=(first["time"] - middle).abs()).sort_values("far").iloc[0]
    box = tuple(float(row[f"face_{side}"]) for side in ("x", "y", "width", "height"))
    return _Photo(int(row["frame"]), float(row["time"]), box, "")  # type: ignore[arg-type]


def with_margin(image: ByteArray, box: tuple[float, float, float, float]) -> ByteArray:
    """The head around a face."""
    x, y, width, height = box
    side = max(width, height)
    top, left = max(0, int(y - 0.4 * side)), max(0, int(x - 0.4 * side))
    return image[top : int(y + height + 0.4 * side), left : int(x + width + 0.4 * side)]


def embed(results: Results) -> Known:
    """Embed all persons of the clips that are annotated, and a photo of each name."""
    reader = FaceReader(thumbnails=False)
    points = read_points()
    persons = [person for person in list_persons(results) if person.video in {point.video for point in points}]
    timeline = results.timeline.dropna(subset=["face_id"])
    options = OpenOptions.of(results.metadata)
    paths = find_videos(results, {person.video for person in persons}).paths
    kept, who, vectors, photos = [], [], [], {}
    seen: dict[int, Any] = {}
    for video in dict.fromkeys(person.video for person in persons):
        faces = [face for person in persons if person.video == video for face in person.chosen]
        seen |= reader.read_video(paths[video], faces, options)
    for person in persons:
        rows = timeline[timeline["video"] == person.video]
        is_person = rows["face_id"] == person.face_id if person.person is None else rows["person"] == person.person
        rows = rows[is_person]
        found = who_is(person, rows, points)
        print(f"  {person.name}: {', '.join(sorted(found)) or 'nobody'}", end="")
        numbers = {face.person for face in person.chosen}
        average = robust_average(seen[min(numbers)].vectors if numbers and min(numbers) in seen else [])
        print(f" ({len(average.kept)} faces)" if average.vector is not None else " (cannot be compared)")
        found = found - {UNKNOWN} or found  # a face beside it that cannot be told
        if len(found) != 1 or average.vector is None or found == {UNKNOWN}:
            continue
        (name,) = found
        kept.append(person)
        who.append(name)
        vectors.append(average.vector)
        if name not in photos:
            photo = _photo_vector(reader, paths[person.video], photo_of(person, rows), options)
            if photo is None:
                print(f"  no photo of {name} can be made")
            else:
                photos[name] = photo
    names = sorted(photos)
    return Known(kept, who, vectors, names, np.stack([photos[name] for name in names]))


def _photo_vector(reader: FaceReader, path: Path, photo: _Photo, options: OpenOptions) -> FloatArray | None:
    for frame, _ in read_wanted(path, [photo], options):
        image, faces = reader.faces_of_photo(np.ascontiguousarray(with_margin(frame.image, photo.box)))
        if faces:
            seen = SeenFaces()
            reader.add(seen, image, faces[0])
            return seen.vectors[0]
    return None


def part(known: Known, names: Sequence[str]) -> Known:
    """Only the people with these names."""
    rows = [row for row, name in enumerate(known.who) if name in names]
    columns = [column for column, name in enumerate(known.names) if name in names]
    return Known(
        [known.persons[row] for row in rows],
        [known.who[row] for row in rows],
        [known.vectors[row] for row in rows],
        [known.names[column] for column in columns],
        known.photos[columns],
    )


def scores(known: Known, threshold: float) -> list[int]:
    """Right, wrong and unknown persons; strangers named; pairs of others above the threshold; false and missed joins of
    groups."""
    matches = match_names(known.persons, known.vectors, known.names, known.photos, threshold)
    has_photo = [name in known.names for name in known.who]
    right = sum(m.name == who for m, who in zip(matches, known.who, strict=True))
    wrong = sum(m.name not in (None, who) for m, who in zip(matches, known.who, strict=True))
    strangers = 0
    for person, who, vector in zip(known.persons, known.who, known.vectors, strict=True):
        others = [column for column, name in enumerate(known.names) if name != who]
        names = [known.names[column] for column in others]
        strangers += match_names([person], [vector], names, known.photos[others], threshold)[0].name is not None
    above = sum(int((one >= threshold).sum()) for _, one in other_pairs(known))
    groups = group_persons(known.persons, known.vectors, threshold)
    return [right, wrong, sum(has_photo) - right - wrong, strangers, above, *_joins(known, groups)]


def _joins(known: Known, groups: Sequence[Match]) -> tuple[int, int]:
    false, missed = 0, 0
    for one in range(len(groups)):
        for other in range(one):
            together, same = groups[one].name == groups[other].name, known.who[one] == known.who[other]
            false += together and not same
            missed += same and not together
    return false, missed


def other_pairs(known: Known) -> Iterator[tuple[str, FloatArray]]:
    """For each person, the similarities to the names of other people."""
    for who, vector in zip(known.who, known.vectors, strict=True):
        others = [column for column, name in enumerate(known.names) if name != who]
        yield who, known.photos[others] @ vector


def table(title: str, known: Known) -> None:
    """Print the scores at each threshold."""
    pairs = sum(len(one) for _, one in other_pairs(known))
    print(
        f"\n{title}: {len(known.persons)} persons of {len(set(known.who))} people, {len(known.names)} photos, ", end=""
    )
    print(f"{pairs} pairs of others, {len(known.persons) * (len(known.persons) - 1) // 2} pairs of persons\n")
    print("| threshold | named rightly | wrongly | unknown | strangers named | pairs of others above | "
          "false joins | missed joins |")  # fmt: skip
    print("|---|---|---|---|---|---|---|---|")
    for threshold in THRESHOLDS:
        print(f"| {threshold:.2f} | {' | '.join(map(str, scores(known, threshold)))} |")
    own = [float(known.photos[known.names.index(who)] @ vector)
           for who, vector in zip(known.who, known.vectors, strict=True) if who in known.names]  # fmt: skip
    most = max((float(one.max()) for _, one in other_pairs(known) if len(one)), default=float("nan"))
    matches = match_names(known.persons, known.vectors, known.names, known.photos, THRESHOLD)
    unknown = [f"{who} ({m.similarity:.2f})" for m, who in zip(matches, known.who, strict=True) if m.name is None]
    print(f"\nunknown at {THRESHOLD:g}: {', '.join(unknown) or 'nobody'}")
    print(f"similarity to the own photo: {min(own):.2f} to {max(own):.2f}; to others: at most {most:.2f}")


def yale() -> None:
    """Print how photos with strong expressions are named."""
    reader = FaceReader(thumbnails=False)
    vectors: dict[str, FloatArray] = {}
    for path in sorted(YALE.glob("*.jpg")):
        image = cv2.imread(str(path))
        shown, faces = reader.faces_of_photo(np.asarray(image, np.uint8))
        if faces:
            seen = SeenFaces()
            reader.add(seen, shown, faces[0])
            vectors[path.stem] = seen.vectors[0]
    names = sorted({stem.split("_")[0] for stem in vectors if stem.endswith("_normal")})
    photos = np.stack([vectors[f"{name}_normal"] for name in names])
    probes = {stem: vector for stem, vector in vectors.items() if not stem.endswith("_normal")}
    persons = [Person(stem, None, 0, np.zeros(1, np.int64), 0.0, None, ()) for stem in probes]
    known = Known(persons, [stem.split("_")[0] for stem in probes], list(probes.values()), names, photos)
    table("Yale photos", known)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, help="results of the clips; default: they are analysed first")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = arguments.results or Path(folder) / "clips.parquet"
        if arguments.results is None:
            fervid.analyze([str(one) for one in FOLDERS], path, device="cpu")
        known = embed(read_results(path))
    for half in ("chosen on", "reported"):
        table(f"Half {half}", part(known, [name for name in {*known.who} if half_of(name) == half]))
    real = [name for name in {*known.who} if not name.startswith("made")]
    table("All real people (both halves)", part(known, real))
    table("All with computer-made faces (both halves)", known)
    yale()


if __name__ == "__main__":
    main()
