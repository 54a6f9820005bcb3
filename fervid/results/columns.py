"""Reading columns of Parquet files that fervid did not write."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from fervid.errors import BadDataset


def read_columns(path: Path, required: Sequence[str], optional: Sequence[str] = ()) -> dict[str, list[Any]]:
    """Read columns of any Parquet file.

    Args:
        path: The file.
        required: Columns that must be there.
        optional: Columns that are left out of the result if the file does not have them.

    Returns:
        Column name → values as a Python list.

    Raises:
        BadDataset: The file cannot be read, or a required column is missing.
    """
    try:
        names = pq.read_schema(path).names
        missing = [name for name in required if name not in names]
        if missing:
            raise BadDataset(f"{path}: no column {', '.join(missing)}")
        table = pq.read_table(path, columns=[*required, *(name for name in optional if name in names)])
    except (pa.ArrowException, OSError) as error:
        raise BadDataset(f"{path}: not a readable Parquet file: {str(error).splitlines()[0]}") from error
    return {name: table.column(name).to_pylist() for name in table.column_names}
