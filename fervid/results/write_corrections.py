"""Writing corrections files."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pa_csv

from fervid.files.atomic import atomic_path
from fervid.results.corrections import COLUMNS
from fervid.results.csv import csv_safe


@dataclass(frozen=True)
class Naming:
    """A line that names the person of a face.

    Attributes:
        video: Name of the video in the results.
        face_id: A face of the person.
        name: The participant.
        similarity: How similar the person is to the participant; None if it was not measured.
        margin: How much less similar the next participant is; None if it was not measured.
    """

    video: str
    face_id: int
    name: str
    similarity: float | None = None
    margin: float | None = None


_SCHEMA = pa.schema(
    [(name, pa.int32() if name == "face_id" else pa.string()) for name in COLUMNS]
    + [("similarity", pa.float64()), ("margin", pa.float64())]
)


def write_namings(path: Path, namings: Iterable[Naming]) -> None:
    """Write a corrections file that names persons. It appears when it is complete.

    Args:
        path: The file to write. Its folder must exist.
        namings: The names. Their similarities are written as further columns, which ``correct`` ignores.

    Raises:
        OutputError: The file cannot be written.
    """
    rows = [
        {
            "video": one.video,
            "face_id": one.face_id,
            "action": "name",
            "value": one.name,
            "similarity": _rounded(one.similarity),
            "margin": _rounded(one.margin),
        }
        for one in namings
    ]
    table = csv_safe(pa.Table.from_pylist(rows, _SCHEMA))
    with atomic_path(path) as partial, partial.open("wb") as file:
        file.write((",".join(table.column_names) + "\n").encode())  # without quotes, as people write it
        pa_csv.write_csv(table, file, pa_csv.WriteOptions(include_header=False))


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
