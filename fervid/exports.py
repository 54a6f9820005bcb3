"""Tables → the files of other tools: ELAN, and CSV in the shapes of py-feat and OpenFace."""

from __future__ import annotations

import contextlib
import mimetypes
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path, PurePosixPath
from typing import Any, Literal, cast
from urllib.parse import quote

import numpy as np
import pandas as pd
from pympi.Elan import Eaf

from fervid.errors import UsageError, writing
from fervid.naming import files_for
from fervid.sources import locate
from fervid.tables import ANALYSED, Results, output_paths, read_results, replacing, write_frame_csv
from fervid.types import EMOTIONS
from fervid.version import __version__

Format = Literal["elan", "pyfeat", "openface", "csv"]
Values = Literal["raw", "smooth"]

EMOTION_ALIASES = {
    "angry": "anger",
    "disgust": "disgust",
    "fear": "fear",
    "happy": "happiness",
    "sad": "sadness",
    "surprise": "surprise",
    "neutral": "neutral",
}
"""fervid's labels, which are FER2013's → the nouns of py-feat."""

BOX_ALIASES = {
    "face_x": "FaceRectX",
    "face_y": "FaceRectY",
    "face_width": "FaceRectWidth",
    "face_height": "FaceRectHeight",
    "face_score": "FaceScore",
}
"""fervid's box columns → py-feat's."""

NOTES: dict[Format, tuple[str, ...]] = {
    "elan": (
        "ELAN holds the episodes, rounded to milliseconds; probabilities, boxes, quality and trust stay in the results",
    ),
    "pyfeat": (
        "py-feat's columns have no place for face_id, person, face_quality and the episodes;"
        " approx_time has whole seconds only",
        "fervid measures no action units, landmarks or head pose: those columns of py-feat are absent",
    ),
    "openface": (
        "OpenFace counts frames from 1; only sampled frames have a row, so the numbers are not consecutive",
        "fervid measures no gaze, head pose, landmarks or action units: those columns of OpenFace are absent;"
        " box and emotions follow its first five columns",
    ),
    "csv": (),
}
"""What each format cannot hold, in words for people."""


@dataclass(frozen=True)
class Exported:
    """``files``: what was written. ``notes``: what the format could not hold."""

    files: tuple[Path, ...]
    notes: tuple[str, ...]


def export(
    results: str | os.PathLike[str],
    to: str,
    out: str | os.PathLike[str],
    values: str | None = None,
    videos: Path | None = None,
    overwrite: bool = False,
) -> Exported:
    """Write the results at ``results`` as files that other tools read. ``to`` is a Format, ``values`` one of Values.

    ``elan`` and ``openface`` know one video a file: ``out`` is a folder, or a file (.eaf, .csv) where the results
    hold one video. ``pyfeat`` and ``csv`` write one CSV. ``values`` are the probabilities to write, by default
    ``raw`` for ``pyfeat`` and ``openface``, as these tools write them, and both for ``csv``. ``videos`` is the
    folder that was analysed: ELAN files then point to the videos there. An ELAN file that is already there may
    hold work done by hand; it is only replaced with ``overwrite``. Raises UsageError, BadResults, OutputError.
    """
    target = Path(out)
    if to not in NOTES:
        raise UsageError(f"--to must be one of {', '.join(NOTES)}, not {to!r}")
    if values not in (None, "raw", "smooth"):
        raise UsageError(f"--values must be raw or smooth, not {values!r}")
    if to == "elan" and values is not None:
        raise UsageError("--values does not apply to ELAN, whose tiers hold episodes")
    chosen = cast(Values | None, values)
    tables = read_results(results)
    if to in ("pyfeat", "csv"):
        targets = {"": _single(target, ".csv")}
    else:
        targets = _targets(list(_analysed(tables)["video"]), target, ".eaf" if to == "elan" else ".csv")
    _refuse_overwriting(targets.values(), Path(results))
    if to == "elan":
        _refuse_existing(targets.values(), overwrite)
    shapes: dict[Format, Callable[[], None]] = {
        "elan": lambda: _write_elan(tables, targets, locate(targets, videos) if videos else {}),
        "openface": lambda: _write_openface(tables, targets, chosen or "raw"),
        "pyfeat": lambda: _write_csv(targets[""], pyfeat_frame(tables.timeline, chosen or "raw")),
        "csv": lambda: _write_csv(targets[""], tidy_frame(tables.timeline, chosen)),
    }
    shapes[to]()
    return Exported(tuple(targets.values()), NOTES[to])


def _analysed(tables: Results) -> pd.DataFrame:
    """The rows of ``videos`` that have a timeline."""
    return tables.videos[tables.videos["status"].isin(ANALYSED)]


# where files go


def _single(out: Path, suffix: str) -> Path:
    if out.suffix.lower() != suffix or out.is_dir():
        raise UsageError(f"--out must name a {suffix} file: {out}")
    return out


def _targets(names: list[str], out: Path, suffix: str) -> dict[str, Path]:
    """Video name → the file for it: the one that ``out`` names, or in the folder ``out``."""
    if not names:
        raise UsageError("the results hold no video that was analysed")
    if out.suffix.lower() == suffix and not out.is_dir():
        if len(names) > 1:
            raise UsageError(f"the results hold {len(names)} videos; --out must name a folder, not {out}")
        return {names[0]: out}
    return files_for(names, out, suffix)


def _refuse_overwriting(targets: Iterable[Path], results: Path) -> None:
    own = {os.path.realpath(path) for path in output_paths(results)}
    for target in targets:
        if os.path.realpath(target) in own:
            raise UsageError(f"the output would overwrite the results: {target}")


def _refuse_existing(targets: Iterable[Path], overwrite: bool) -> None:
    for target in targets:
        if target.exists() and not overwrite:
            raise UsageError(f"{target} is already there and may hold work done by hand; --overwrite replaces it")


@contextlib.contextmanager
def _placing(path: Path) -> Iterator[Path]:
    """A path to write to, which becomes ``path`` when complete; its folder is made."""
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as beside:
        yield beside


def _write_csv(path: Path, frame: pd.DataFrame) -> None:
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    write_frame_csv(path, frame)


# CSV


def _probabilities(timeline: pd.DataFrame, values: Values) -> list[str]:
    return [emotion if values == "raw" else f"{emotion}_smooth" for emotion in EMOTIONS]


def pyfeat_frame(timeline: pd.DataFrame, values: Values = "raw") -> pd.DataFrame:
    """The timeline in the columns of py-feat's ``Fex``: one row a face, and one with empty face columns for a
    frame without one. ``frame`` counts from 0, ``approx_time`` is mm:ss, rounded down."""
    frame = timeline[[*BOX_ALIASES, *_probabilities(timeline, values)]]
    frame = frame.set_axis([*BOX_ALIASES.values(), *EMOTION_ALIASES.values()], axis=1)
    seconds = np.floor(timeline["time"].to_numpy() + 1e-9).astype(np.int64)
    clock = [f"{total // 60:02d}:{total % 60:02d}" for total in np.maximum(seconds, 0).tolist()]
    return frame.assign(frame=timeline["frame"], input=timeline["video"], approx_time=clock)


def openface_frame(timeline: pd.DataFrame, values: Values = "raw") -> pd.DataFrame:
    """The timeline of one video in the first columns of OpenFace 2.2 (names without its older leading blanks),
    then fervid's box and the emotions under py-feat's names. ``frame`` counts from 1; ``confidence`` is that of
    the detector; a sampled frame without a face has ``success`` 0, confidence 0 and face_id 0, as there."""
    found = timeline["face_id"].notna()
    first = {
        "frame": timeline["frame"] + 1,
        "face_id": timeline["face_id"].fillna(0),
        "timestamp": timeline["time"],
        "confidence": timeline["face_score"].fillna(0.0),
        "success": found.astype(int),
    }
    box = timeline[["face_x", "face_y", "face_width", "face_height"]]
    chances = timeline[_probabilities(timeline, values)].set_axis(list(EMOTION_ALIASES.values()), axis=1)
    return pd.concat([pd.DataFrame(first), box, chances], axis=1)


def tidy_frame(timeline: pd.DataFrame, values: Values | None = None) -> pd.DataFrame:
    """The timeline itself, all columns; with ``values`` only these probabilities, under the plain names."""
    if values is None:
        return timeline.assign(emotion=timeline["emotion"].astype(object))
    chances = timeline[_probabilities(timeline, values)].set_axis(list(EMOTIONS), axis=1)
    rest = [name for name in timeline.columns if name.removesuffix("_smooth") not in EMOTIONS]
    labels = timeline["emotion"].astype(object)
    return pd.concat([timeline[rest[:-2]], chances, labels, timeline["confidence"]], axis=1)


def _write_openface(tables: Results, targets: dict[str, Path], values: Values) -> None:
    parts = dict(iter(tables.timeline.groupby("video", sort=False)))
    for name, path in targets.items():
        _write_csv(path, openface_frame(parts.get(name, tables.timeline.iloc[:0]), values))


# ELAN


def _write_elan(tables: Results, targets: dict[str, Path], sources: dict[str, Path]) -> None:
    for name, path in targets.items():
        faces = tables.summary.loc[tables.summary["video"] == name, "face_id"]
        episodes = tables.episodes[tables.episodes["video"] == name]
        eaf = elan_document([int(face) for face in faces], episodes)
        eaf.add_linked_file(**_media(name, path, sources.get(name)))
        with _placing(path) as beside:
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
