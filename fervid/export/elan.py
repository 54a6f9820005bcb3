"""Results as ELAN documents."""

from __future__ import annotations

import mimetypes
import os
from collections.abc import Iterator
from itertools import count
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote

import pandas as pd
from pympi.Elan import Eaf

from fervid.export.files import writing_file
from fervid.results.reader import Results
from fervid.types import EMOTIONS
from fervid.version import __version__

# ELAN


def write_elan(tables: Results, targets: dict[str, Path], sources: dict[str, Path]) -> None:
    """Write one ELAN document for each video."""
    for name, path in targets.items():
        faces = tables.summary.loc[tables.summary["video"] == name, "face_id"]
        episodes = tables.episodes[tables.episodes["video"] == name]
        eaf = elan_document([int(face) for face in faces], episodes)
        eaf.add_linked_file(**_media(name, path, sources.get(name)))
        with writing_file(path) as beside:
            eaf.to_file(beside)


def elan_document(faces: list[int], episodes: pd.DataFrame) -> Eaf:
    """An ELAN document (EAF 3.0) of one video: a tier for each of ``faces``, ``face 0`` and so on, with its
    ``episodes`` (rows of that table) as annotations, whose value is the emotion from a controlled vocabulary."""
    eaf = Eaf(author="fervid")
    eaf.adocument |= {
        "FORMAT": "3.0",
        "VERSION": "3.0",
        "xsi:noNamespaceSchemaLocation": "http://www.mpi.nl/tools/elan/EAFv3.0.xsd",
    }
    eaf.header |= {"MEDIA_FILE": "", "TIME_UNITS": "milliseconds"}
    eaf.add_language("eng", lang_label="English (eng)")
    eaf.add_controlled_vocabulary("emotions")
    eaf.add_cv_description("emotions", "eng", "The seven emotions of FER2013")
    for emotion in EMOTIONS:
        eaf.add_cv_entry("emotions", f"cveid_{emotion}", [(emotion, "eng", None)])
    eaf.add_linguistic_type("emotion")
    eaf.linguistic_types["emotion"]["CONTROLLED_VOCABULARY_REF"] = "emotions"
    eaf.remove_tier("default")
    eaf.remove_linguistic_type("default-lt")
    for face in faces:
        tier = f"face {face}"
        eaf.add_tier(tier, "emotion", part=tier, ann=f"fervid {__version__}")
        for start, end, emotion in _spans(episodes[episodes["face_id"] == face]):
            eaf.add_annotation(tier, start, end, emotion)
    _sort_slots(eaf)
    eaf.properties = [("lastUsedAnnotationId", eaf.maxaid), ("fervid", __version__)]  # ELAN numbers on from there
    return eaf


def _spans(episodes: pd.DataFrame) -> Iterator[tuple[int, int, str]]:
    """(start, end, emotion) in milliseconds, none shorter than one and none overlapping, as a tier needs it."""
    free = 0
    for row in episodes.sort_values("onset").itertuples():
        start = max(round(row.onset * 1000), free)
        free = max(round(row.offset * 1000), start + 1)
        yield start, free, str(row.emotion)


def _sort_slots(eaf: Eaf) -> None:
    """Number the time slots in the order of time, which EAF asks for and pympi does not see to."""
    numbers = count(1)
    order = sorted(eaf.timeslots.items(), key=lambda slot: slot[1])
    names = {old: f"ts{next(numbers)}" for old, _ in order}
    eaf.timeslots = {names[old]: time for old, time in order}
    for aligned, *_ in eaf.tiers.values():
        for key, (start, end, value, reference) in aligned.items():
            aligned[key] = (names[start], names[end], value, reference)


def _media(name: str, path: Path, source: Path | None) -> dict[str, Any]:
    """The media descriptor. ELAN tries the URL, then the relative one, then the folder of the .eaf itself."""
    kind = mimetypes.guess_type(name)[0] or "unknown"
    if source is None:
        near = f"./{quote(PurePosixPath(name).name)}"
        return {"file_path": near, "relpath": near, "mimetype": kind}
    relative = Path(os.path.relpath(source, path.parent)).as_posix()
    near = quote(os.fsencode(relative if relative.startswith(".") else f"./{relative}"))
    return {"file_path": Path(os.path.abspath(source)).as_uri(), "relpath": near, "mimetype": kind}
