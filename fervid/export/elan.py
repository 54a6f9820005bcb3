"""Exporting episodes as ELAN documents (EAF)."""

from __future__ import annotations

import mimetypes
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import count
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote
from xml.etree import ElementTree

import pandas as pd
from pympi.Elan import Eaf, to_adocument

from fervid.export.output_files import refuse_existing, writing_file
from fervid.export.video_rows import VideoRows
from fervid.results.kinds import emotion_episodes
from fervid.results.lanes import Lane, lanes
from fervid.results.reader import Results
from fervid.types import EMOTIONS
from fervid.version import __version__


def write_elan(
    tables: Results, targets: Mapping[str, Path], sources: Mapping[str, Path], overwrite: bool = False
) -> None:
    """Write one ELAN document for each video.

    Documents that an interrupted export of the same results wrote are left as they are.

    Args:
        tables: The results.
        targets: Video name → file to write.
        sources: Video name → video file, for the videos that were found.
        overwrite: Replace documents that exist and are not what would be written.

    Raises:
        UsageError: Such a document exists, and ``overwrite`` is false. Nothing is written.
        OutputError: A file cannot be written.
    """
    wanted, rows = {}, VideoRows(tables)
    for name, path in targets.items():
        if not os.path.lexists(path) or not _is_same(path, _document(rows, name, path, sources.get(name))):
            wanted[name] = path
    refuse_existing(wanted.values(), overwrite)
    for name, path in wanted.items():
        with writing_file(path) as partial:
            partial.write_bytes(_document(rows, name, path, sources.get(name)))


def _is_same(path: Path, document: bytes) -> bool:
    """Whether a file holds a document, with any date."""
    if not path.is_file():  # reading a pipe would wait for ever
        return False
    try:
        texts = [re.sub(rb' DATE="[^"]*"', b"", text, count=1) for text in (path.read_bytes(), document)]
    except OSError:
        return False
    return texts[0] == texts[1]


def _document(rows: VideoRows, name: str, path: Path, source: Path | None) -> bytes:
    """The document of a video, to be written to ``path``, in UTF-8."""
    eaf = elan_document(lanes(rows.of("summary", name)), emotion_episodes(rows.of("episodes", name)))
    eaf.add_linked_file(**_media(name, path, source))
    text: bytes = ElementTree.tostring(to_adocument(eaf), "UTF-8", xml_declaration=True)
    return text


def elan_document(tiers: Sequence[Lane], episodes: pd.DataFrame) -> Eaf:
    """Build the ELAN document (EAF 3.0) of one video.

    Each person has a tier, called as the participant or ``person 0`` and so on, with the episodes of all faces of the
    person as annotations. A face whose person is not known has a tier of its own (``face 0`` and so on). The values are
    emotions from a controlled vocabulary. PARTICIPANT of a tier is the participant, or else the tier's name.

    Args:
        tiers: The faces of each tier.
        episodes: Episodes of emotions.

    Returns:
        The document.
    """
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
    for tier in tiers:
        eaf.add_tier(tier.name, "emotion", part=tier.participant or tier.name, ann=f"fervid {__version__}")
        for start, end, emotion in _annotations(episodes[episodes["face_id"].isin(tier.faces)]):
            eaf.add_annotation(tier.name, start, end, emotion)
    _sort_slots(eaf)
    eaf.properties = [
        ("lastUsedAnnotationId", eaf.maxaid),
        ("fervid", __version__),
    ]  # ELAN numbers new annotations from the last id
    return eaf


def _annotations(episodes: pd.DataFrame) -> Iterator[tuple[int, int, str]]:
    """(start, end, emotion), in milliseconds. A tier needs annotations of at least 1 ms that do not overlap."""
    free = 0
    for row in episodes.sort_values("onset").itertuples():
        start = max(round(row.onset * 1000), free)
        free = max(round(row.offset * 1000), start + 1)
        yield start, free, str(row.emotion)


def _sort_slots(eaf: Eaf) -> None:
    """Number the time slots in order of time. EAF requires this order, and pympi does not ensure it."""
    numbers = count(1)
    order = sorted(eaf.timeslots.items(), key=lambda slot: slot[1])
    names = {old: f"ts{next(numbers)}" for old, _ in order}
    eaf.timeslots = {names[old]: time for old, time in order}
    for aligned, *_ in eaf.tiers.values():
        for key, (start, end, value, reference) in aligned.items():
            aligned[key] = (names[start], names[end], value, reference)


def _media(name: str, path: Path, source: Path | None) -> dict[str, Any]:
    """The link to the video. ELAN tries the absolute URL, then the relative one, then the folder of the .eaf file."""
    kind = mimetypes.guess_type(name)[0] or "unknown"
    if source is None:
        relative_url = f"./{quote(PurePosixPath(name).name)}"
        return {"file_path": relative_url, "relpath": relative_url, "mimetype": kind}
    relative = Path(os.path.relpath(source, path.parent)).as_posix()
    relative_url = quote(os.fsencode(relative if relative.startswith(".") else f"./{relative}"))
    return {"file_path": Path(os.path.abspath(source)).as_uri(), "relpath": relative_url, "mimetype": kind}
