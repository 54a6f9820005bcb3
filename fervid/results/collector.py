"""Collecting many small tables in little memory."""

from __future__ import annotations

import pyarrow as pa

PENDING = 256
"""Tables that are kept separately. A table of few rows takes about 40 kB, most of it for its columns' headers."""


class TableCollector:
    """Joins tables of one schema. Short tables are copied together, so that memory is that of their rows."""

    def __init__(self) -> None:
        self._joined: list[pa.Table] = []
        self._pending: list[pa.Table] = []
        self._rows = 0

    def __len__(self) -> int:
        return self._rows

    def add(self, table: pa.Table) -> None:
        """Add the rows of a table.

        Args:
            table: The table.
        """
        self._pending.append(table)
        self._rows += len(table)
        if len(self._pending) >= PENDING:
            self._join()

    def _join(self) -> None:
        self._joined.append(pa.concat_tables(self._pending).combine_chunks())
        self._pending = []

    def table(self) -> pa.Table:
        """Get all rows in the order in which they were added.

        Returns:
            One table. At least one table must have been added.
        """
        if self._pending:
            self._join()
        return pa.concat_tables(self._joined)
