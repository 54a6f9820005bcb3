"""The windows of a study and their values, on disk, so that memory does not grow with their number."""

from __future__ import annotations

import tempfile
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from fervid.errors import OutputError
from fervid.files.scratch import ScratchArray
from fervid.studies.catalog import Recording
from fervid.studies.windows import AROUND, BIN, EVENT, FIGURES, Window, WindowValues

_KINDS = (EVENT, AROUND, BIN)

_FIXED = 7
"""Numbers of a window that are not there for each measure: kind, start, end, origin, event, trial type, quality."""

_EACH = 2 + len(FIGURES)
"""Numbers of a window for each measure: seconds, coverage and the figures."""


@dataclass(frozen=True, eq=False)
class WindowBlock:
    """The windows of one participant in one recording, and their values."""

    participant: str
    recording: Recording
    windows: tuple[Window, ...]
    values: WindowValues


class WindowStore:
    """Blocks of windows in the order in which they were added. The file disappears with this object or its process.

    Args:
        measures: Number of measures.

    Raises:
        OutputError: The file cannot be created. All methods raise it if the disk is full.
    """

    def __init__(self, measures: int) -> None:
        try:
            folder = Path(tempfile.gettempdir())
        except FileNotFoundError as error:
            raise OutputError("no folder for temporary files can be written to; TMPDIR names one") from error
        self._rows = ScratchArray(folder, (_FIXED + _EACH * measures,), np.float64)
        self._measures, self._kept = measures, np.arange(measures)
        self._blocks: list[tuple[str, Recording, int]] = []
        self._trial_types: dict[str, int] = {}
        self._observed = np.zeros(measures, bool)
        weakref.finalize(self, self._rows.close)

    @property
    def observed(self) -> npt.NDArray[np.bool_]:
        """(k,) which measures were observed in any window."""
        return self._observed[self._kept]

    @property
    def count(self) -> int:
        """Number of windows."""
        return len(self._rows)

    def add(self, block: WindowBlock) -> None:
        """Add a block.

        Args:
            block: The block, with the values of all measures.
        """
        values = block.values
        self._observed |= (values.seconds > 0).any(axis=0)
        figures = np.stack([values.seconds, values.coverage, *(values.figures[name] for name in FIGURES)], axis=1)
        for window, quality, numbers in zip(block.windows, values.quality, figures, strict=True):
            trial_type = self._trial_types.setdefault(window.trial_type, len(self._trial_types))
            fixed = _KINDS.index(window.kind), window.start, window.end, window.origin, window.event, trial_type
            self._rows.add(np.concatenate([[*fixed, quality], numbers.ravel()]))
        self._blocks.append((block.participant, block.recording, len(block.windows)))

    def keep(self, columns: npt.NDArray[np.int64]) -> None:
        """Leave out all measures but these.

        Args:
            columns: Positions of the measures that stay.
        """
        self._kept = self._kept[columns]

    def __iter__(self) -> Iterator[WindowBlock]:
        start = 0
        trial_types = list(self._trial_types)
        for participant, recording, count in self._blocks:
            rows = self._rows.read(range(start, start + count))
            start += count
            windows = tuple(
                Window(_KINDS[int(kind)], begin, end, origin, int(event), trial_types[int(trial_type)])
                for kind, begin, end, origin, event, trial_type in rows[:, : _FIXED - 1].tolist()
            )
            figures = rows[:, _FIXED:].reshape(count, _EACH, self._measures)[:, :, self._kept]
            named = {name: figures[:, 2 + place] for place, name in enumerate(FIGURES)}
            values = WindowValues(figures[:, 0], figures[:, 1], rows[:, _FIXED - 1], named)
            yield WindowBlock(participant, recording, windows, values)
