"""The rows of one video in the tables of results."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from fervid.results.reader import Results


class VideoRows:
    """Finds the rows of a video by an index. Searching all rows for each video would take n times as long."""

    def __init__(self, tables: Results) -> None:
        """Prepare the search.

        Args:
            tables: The results.
        """
        self.tables = tables
        self._places: dict[str, dict[str, npt.NDArray[np.int64]]] = {}

    def of(self, table: str, video: str) -> pd.DataFrame:
        """Find the rows of a video.

        Args:
            table: Name of the table, such as ``timeline`` or ``episodes``.
            video: Name of the video.

        Returns:
            Its rows in the order of the table; none for an unknown video.
        """
        frame: pd.DataFrame = getattr(self.tables, table)
        if table not in self._places:
            self._places[table] = dict(frame.groupby("video", sort=False).indices)
        return frame.iloc[self._places[table].get(video, np.zeros(0, np.int64))]
