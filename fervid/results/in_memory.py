"""The results of one video as pandas frames, without files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from fervid.results.parts import Row, named
from fervid.results.reader import Results, tidy_frame
from fervid.results.schema import SMALL


def results_of_video(
    name: str, timeline: pa.Table, rows: Mapping[str, list[Row]], metadata: Mapping[str, Any]
) -> Results:
    """Build the tables of one video.

    Args:
        name: Name of the video, for the ``video`` columns.
        timeline: The timeline, as ``result_rows`` returns it.
        rows: Rows of ``episodes``, ``summary`` and ``videos``, as ``result_rows`` returns them.
        metadata: Settings, versions and hashes, as in ``Results.metadata``.

    Returns:
        The same frames, with the same types and values, that ``read_results`` gives for the written tables.
    """
    tables = {"timeline": named(timeline, name)}
    for table, schema in SMALL.items():
        named_rows = [{**row, "video": name} for row in rows.get(table, [])]
        tables[table] = pa.Table.from_pylist(named_rows, schema)
    return Results(**{table: tidy_frame(content) for table, content in tables.items()}, metadata=dict(metadata))
