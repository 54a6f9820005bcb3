"""Finding participants: the whole job, from results to a corrections file that names their persons."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from fervid.errors import UnreadableVideo, UsageError
from fervid.files.atomic import atomic_path, writing
from fervid.files.discover import Source, refuse_overwriting
from fervid.participants.embedding import Average, FaceReader, robust_average
from fervid.participants.gallery import Gallery, list_photos, look_alikes, read_gallery
from fervid.participants.keep_embeddings import write_embeddings
from fervid.participants.matching import THRESHOLD, Match, group_persons, match_names, without_taken
from fervid.participants.outcome import FoundPerson, Participants
from fervid.participants.persons import OF_FACES, Person, list_persons
from fervid.participants.sheet import Card, render
from fervid.results.correct import CORRECTIONS
from fervid.results.find_videos import FoundVideos, Videos, analysed_file, find_videos
from fervid.results.in_parts import read_in_parts
from fervid.results.reader import Results
from fervid.results.schema import output_paths
from fervid.results.write_corrections import Naming, write_namings
from fervid.runtime.platform import return_memory
from fervid.settings import OpenOptions
from fervid.types import Progress, ProgressCallback, ignore_progress

_COLUMNS = {
    "timeline": {"video", "person", *OF_FACES},
    "videos": {"video", "video_id", "status", "size", "width", "height", "rotation"},
}
"""Table → the columns that are needed to list the persons, and to find and open the videos."""


@dataclass(frozen=True)
class Targets:
    """The files to write.

    Attributes:
        out: The corrections file.
        sheet: The contact sheet; None if it is not wanted.
        embeddings: The embeddings; None if they are not wanted.
    """

    out: Path
    sheet: Path | None = None
    embeddings: Path | None = None

    def named(self) -> Iterator[tuple[str, Path, tuple[str, ...]]]:
        """List the files.

        Yields:
            The parameter, the file, and the endings that it may have.
        """
        yield "out", self.out, (".csv",)
        if self.sheet is not None:
            yield "sheet", self.sheet, (".html", ".htm")
        if self.embeddings is not None:
            yield "keep_embeddings", self.embeddings, (".npz",)


def find_participants(
    results: str | os.PathLike[str] | Results,
    targets: Targets,
    videos: Videos = None,
    gallery: str | os.PathLike[str] | None = None,
    threshold: float | None = None,
    on_progress: ProgressCallback = ignore_progress,
) -> Participants:
    """Name the persons of results after the people of a gallery, or group them, and write a corrections file.

    Args:
        results: What ``analyze`` wrote, or its tables.
        targets: The files to write.
        videos: The folder that holds the videos, or the file of each video name. None: the folders that were
            analysed. A file must still have the content that was analysed.
        gallery: A folder with a photo, or a folder of photos, for each person. None: persons are grouped.
        threshold: Lowest cosine similarity, between 0 and 1; None: ``THRESHOLD``.
        on_progress: Called after each video.

    Returns:
        Who each person is, and the videos that could not be opened.

    Raises:
        UsageError: A value is wrong, no photo of the gallery can be used, or a file to write is an input.
        InputNotFound: The results, the gallery or the folder ``videos`` do not exist.
        BadResults: fervid did not write ``results``.
        OutputError: A file cannot be written.
    """
    limit = THRESHOLD if threshold is None else threshold
    if not 0 < limit < 1:
        raise UsageError(f"`threshold` must be between 0 and 1, not {threshold}")
    tables, persons = _read(results)
    names = list(dict.fromkeys(person.video for person in persons))
    found = find_videos(tables, names, videos)
    inputs = [Path(source.path) for source in list_photos(Path(gallery))] if gallery is not None else []
    own = [] if isinstance(results, Results) else output_paths(Path(results))
    _check(targets, [*inputs, *own, *found.paths.values()])
    reader = FaceReader(thumbnails=targets.sheet is not None)
    return_memory()
    known = None if gallery is None else read_gallery(Path(gallery), reader)
    seen, failed = _look(tables, persons, found, reader, on_progress)
    del reader  # its networks take memory
    return_memory()
    unreadable = {video for video, _ in failed}
    kept = [n for n, person in enumerate(persons) if person.video not in unreadable]
    done = _Persons([persons[n] for n in kept], [seen.get(n, _NOTHING) for n in kept])
    matches = done.matches(known, limit)
    outcome = [done.found(number, match) for number, match in enumerate(matches)]
    notes = [*tables.notes, *(known.notes if known else ()), *(look_alikes(known, limit) if known else ())]
    corrected = CORRECTIONS in tables.metadata or any(person.participant is not None for person in persons)
    if corrected:
        notes.append("these results are corrected: give `correct` the results of the analysis, first the files that "
                     "corrected them, then this one")  # fmt: skip
    if not failed or len(failed) < len(names):
        title = "results" if isinstance(results, Results) else Path(results).name
        done.write(targets, outcome, known, title, limit)
    return Participants(targets.out, tuple(outcome), len(names), tuple(failed), tuple(notes), corrected)


def _read(results: str | os.PathLike[str] | Results) -> tuple[Results, list[Person]]:
    """The persons, and the results without the tables that nobody needs after that."""
    if isinstance(results, Results):
        return results, list_persons(results)
    persons: list[Person] = []
    parts: list[Results] = []
    for part in read_in_parts(results, columns=_COLUMNS):
        persons += list_persons(part, len(persons))
        parts.append(replace(part, timeline=part.timeline.iloc[:0].copy()))
        del part
    return_memory()
    videos = pd.concat([part.videos for part in parts], ignore_index=True)
    notes = tuple(note for part in parts for note in part.notes)
    return replace(parts[-1], videos=videos, notes=notes), persons


def _check(targets: Targets, inputs: Sequence[Path]) -> None:
    """Refuse files to write that have a wrong ending, are the same or are inputs, and make their folders."""
    outputs = []
    for name, path, endings in targets.named():
        if path.suffix.lower() not in endings:
            raise UsageError(f"`{name}` must end in {endings[0]}: {path}")
        outputs.append(path)
    if len({os.path.realpath(path) for path in outputs}) < len(outputs):
        raise UsageError(f"the files to write must differ: {', '.join(map(str, outputs))}")
    refuse_overwriting([Source(path, path.name, path.name) for path in inputs], outputs)
    for path in outputs:
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)


@dataclass(frozen=True, eq=False, slots=True)
class _Seen:
    """What is kept of the faces of one person: their average, and thumbnails as data URIs."""

    average: Average
    images: tuple[str, ...] = ()


_NOTHING = _Seen(robust_average([]))


def _look(
    tables: Results, persons: Sequence[Person], found: FoundVideos, reader: FaceReader, on_progress: ProgressCallback
) -> tuple[dict[int, _Seen], list[tuple[str, str]]]:
    """Person → what was seen, and (video, reason) for each video that could not be opened."""
    by_video: dict[str, list[Person]] = {}
    for person in persons:
        by_video.setdefault(person.video, []).append(person)
    seen: dict[int, _Seen] = {}
    failed: list[tuple[str, str]] = []
    options = OpenOptions.of(tables.metadata)
    for done, (video, members) in enumerate(by_video.items(), start=1):
        message = None
        try:
            path = analysed_file(tables, video, found)
            faces = reader.read_video(path, [face for person in members for face in person.chosen], options)
            seen |= {n: _Seen(robust_average(one.vectors), tuple(one.images)) for n, one in faces.items()}
        except UnreadableVideo as error:
            failed.append((video, str(error)))
            message = f"failed: {video}: {error}"
        on_progress(Progress("participants", done, len(by_video), "videos", message))
    return seen, failed


class _Persons:
    """Persons with what was seen of them."""

    def __init__(self, persons: list[Person], seen: list[_Seen]) -> None:
        self._persons, self._seen = persons, seen
        self._averages: list[Average] = [faces.average for faces in seen]

    def matches(self, gallery: Gallery | None, threshold: float) -> list[Match]:
        """Who each person is."""
        matches = [self._without_match(number) for number in range(len(self._persons))]
        open_numbers = [
            number
            for number, average in enumerate(self._averages)
            if average.vector is not None and (gallery is None or self._persons[number].participant is None)
        ]
        vectors = [vector for number in open_numbers if (vector := self._averages[number].vector) is not None]
        persons = [self._persons[number] for number in open_numbers]
        if gallery is None:
            made = group_persons(persons, vectors, threshold)
        else:
            made = match_names(persons, vectors, gallery.names, gallery.vectors, threshold)
        named = [person for person in self._persons if person.participant is not None]
        for number, match in zip(open_numbers, without_taken(persons, made, named), strict=True):
            matches[number] = match
        return matches

    def _without_match(self, number: int) -> Match:
        """The outcome for a person that is not compared."""
        person = self._persons[number]
        if person.participant is not None:
            return Match(person.participant, nearest=person.participant)
        if self._averages[number].kept:
            return Match(reason="its faces do not look like one person; a `split` may be needed")
        small = "no face of it can be found again" if person.chosen else "its faces are too small or unclear"
        return Match(reason=small)

    def found(self, number: int, match: Match) -> FoundPerson:
        """The outcome for a person."""
        person, average = self._persons[number], self._averages[number]
        note = match.reason
        unlike = average.kept.count(False)
        if average.vector is not None and unlike and note is None:
            note = f"{unlike} of its {len(average.kept)} faces look like someone else: check for an exchange"
        values = match.similarity, match.margin, match.nearest, sum(average.kept), note
        return FoundPerson(person.video, person.person, person.face_id, match.name, *values)

    def write(
        self, targets: Targets, outcome: Sequence[FoundPerson], gallery: Gallery | None, title: str, threshold: float
    ) -> None:
        """Write the files that are wanted."""
        if targets.embeddings is not None:
            write_embeddings(targets.embeddings, outcome, [average.vector for average in self._averages], gallery)
        if targets.sheet is not None:
            cards = [
                Card(one, faces.images, person.first_seen)
                for one, faces, person in zip(outcome, self._seen, self._persons, strict=True)
            ]
            page = render(cards, gallery, title, threshold)
            with atomic_path(targets.sheet) as partial:
                partial.write_text(page, encoding="utf-8")
        namings = [
            Naming(one.video, one.face_id, one.participant, one.similarity, one.margin)
            for one, person in zip(outcome, self._persons, strict=True)
            if one.participant is not None and person.participant is None
        ]
        write_namings(targets.out, namings)
