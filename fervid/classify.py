"""The batcher: crops of all videos in flight → calibrated probabilities, in big batches."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterator
from typing import Generic, TypeVar

import numpy as np

from fervid.model import EmotionModel
from fervid.types import EMOTIONS, ByteArray, FloatArray

Key = TypeVar("Key", bound=Hashable)


class Batcher(Generic[Key]):
    """Gathers crops until a batch is full, whichever video they come from, and classifies them.

    ``add`` and ``flush`` yield (key, probabilities (n, 7) float32) for each key whose crops are all done, in
    the order in which they were added. What else is in a batch does not change a result.
    """

    def __init__(self, model: EmotionModel, batch_size: int = 256) -> None:
        self._model, self._batch_size = model, batch_size
        self._waiting: list[ByteArray] = []
        self._count = 0
        self._open: deque[tuple[Key, int]] = deque()
        self._done: list[FloatArray] = []

    def add(self, key: Key, crops: ByteArray) -> Iterator[tuple[Key, FloatArray]]:
        """Hand in the crops (n, 48, 48) uint8 of one video."""
        self._open.append((key, len(crops)))
        self._waiting.append(crops)
        self._count += len(crops)
        self._run(full=True)
        yield from self._completed()

    def flush(self) -> Iterator[tuple[Key, FloatArray]]:
        """Classify what is left, though it fill no batch."""
        self._run(full=False)
        yield from self._completed()

    def _run(self, full: bool) -> None:
        if not self._count or (full and self._count < self._batch_size):
            return
        crops = np.concatenate(self._waiting)
        end = len(crops) - len(crops) % self._batch_size if full else len(crops)
        for start in range(0, end, self._batch_size):
            self._done.append(self._model.probabilities(crops[start : min(start + self._batch_size, end)]))
        self._waiting, self._count = [crops[end:]], len(crops) - end

    def _completed(self) -> Iterator[tuple[Key, FloatArray]]:
        ready = np.concatenate([*self._done, np.zeros((0, len(EMOTIONS)), np.float32)])
        while self._open and self._open[0][1] <= len(ready):
            key, count = self._open.popleft()
            yield key, ready[:count]
            ready = ready[count:]
        self._done = [ready]
