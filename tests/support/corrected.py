"""Corrections files, and results that forget that they were corrected."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq

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
