"""Corrections files, and results that forget that they were corrected."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq

from fervid.results.correct import correct
from tests.support.made_tracks import MadeClip, MadePerson, write_tracks

HEADER = "video,face_id,action,start,end,value"
"""The first line of a corrections file."""


def write_corrections(path: Path, *lines: str) -> Path:
    """Write these lines after the header."""
    path.write_text("\n".join([HEADER, *lines]) + "\n", encoding="utf-8")
    return path


def without_record(path: Path) -> Path:
    """The same results, without the record that they were corrected, as if an analysis had made them."""
    table = pq.read_table(path)
    kept = {key: value for key, value in table.schema.metadata.items() if b"corrections" not in key}
    pq.write_table(table.replace_schema_metadata(kept), path)
    return path


NAME, ROLE = 'Ann <b>&amp;</b> "O\'Hara"', "<i>guest</i>"
"""A participant and a role that would do harm as HTML or XML."""

EARLY, LATE = range(50), range(50, 100)

PEOPLE = {
    "a.mp4": MadeClip(
        [
            MadePerson(1, [EARLY], 0, 0),
            MadePerson(2, [EARLY, LATE], 1, 1),
            MadePerson(1, [LATE], 2, 0),
            MadePerson(3, [range(20, 30)], 3, None),
        ]
    ),
    "b.mp4": MadeClip([MadePerson(4, [EARLY], 0, 0), MadePerson(5, [range(40, 90)], 1, 0)]),
}
"""In ``a.mp4`` a person of two faces, one of one face, and a face of nobody. In ``b.mp4`` a person who is two faces at
once, which corrections and the analysis refuse, but other tools may write."""


def write_people(folder: Path) -> Path:
    """Results of PEOPLE, corrected: person 0 of ``a.mp4`` is NAME and has a ROLE."""
    source = write_tracks(folder / "source.parquet", PEOPLE)
    name, role = (f'"{text}"' for text in (NAME.replace('"', '""'), ROLE))
    lines = [f"a.mp4,2,name,,,{name}", f"a.mp4,0,role,,,{role}"]
    correct(source, write_corrections(folder / "names.csv", *lines), folder / "people.parquet")
    return folder / "people.parquet"
