"""The batcher: crops of all videos in flight → calibrated probabilities, in big batches."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, TypeVar

import numpy as np

from fervid.emotions.classifier import EmotionClassifier
from fervid.errors import DeviceMemoryError
from fervid.types import EMOTIONS, Crops, FloatArray

if TYPE_CHECKING:
    from collections.abc import Callable


Key = TypeVar("Key", bound=Hashable)


@dataclass(eq=False)
class _Waiting(Generic[Key]):
    """The crops of one video, of which the first ``taken`` are classified."""

    key: Key
    crops: Crops
    taken: int = 0
    seconds: float = 0.0
    done: list[FloatArray] = field(default_factory=list)


@dataclass(frozen=True, eq=False)
class ClassifiedVideo(Generic[Key]):
    """``probabilities`` (n, 7) float32 of the crops handed in under ``key``; ``seconds``: their share of the time."""

    key: Key
    probabilities: FloatArray
    seconds: float


class Batcher(Generic[Key]):
    """Gathers crops until a batch is full, whichever video they come from, and classifies them.

    ``add`` and ``flush`` yield the result for each key whose crops are all done, in the order in which they
    were added. What else is in a batch does not change a result. Crops may lie on disk: no more of them than one
    batch is read at a time. Where the device's memory does not hold a batch, batches are halved, and
    ``notify`` hears of it.
    """

    def __init__(
        self, model: EmotionClassifier, batch_size: int = 256, notify: Callable[[str], None] = lambda message: None
    ) -> None:
        self._model, self._batch_size, self._notify = model, batch_size, notify
        self._waiting: deque[_Waiting[Key]] = deque()
        self._count = 0

    def add(self, key: Key, crops: Crops) -> Iterator[ClassifiedVideo[Key]]:
        """Hand in the crops (n, 48, 48) uint8 of one video."""
        self._waiting.append(_Waiting(key, crops))
        self._count += len(crops)
        while self._count >= self._batch_size:
            self._classify_batch()
        yield from self._completed()

    def flush(self) -> Iterator[ClassifiedVideo[Key]]:
        """Classify what is left, though it fill no batch."""
        while self._count:
            self._classify_batch()
        yield from self._completed()

    def _classify_batch(self) -> None:
        chosen = list(self._next())
        crops = np.concatenate([video.crops[video.taken : video.taken + count] for video, count in chosen])
        started = time.monotonic()
        try:
            probabilities = self._model.probabilities(crops)
        except DeviceMemoryError:
            if self._batch_size == 1:
                raise
            self._batch_size = max(1, min(self._batch_size, len(crops)) // 2)
            self._notify(f"the device's memory does not hold so many faces at once; going on with {self._batch_size}")
            return
        each = (time.monotonic() - started) / len(crops)
        for video, count in chosen:
            video.done.append(probabilities[:count])
            probabilities = probabilities[count:]
            video.taken += count
            video.seconds += each * count
        self._count -= len(crops)

    def _next(self) -> Iterator[tuple[_Waiting[Key], int]]:
        """The videos that share the next batch, each with the number of its crops."""
        free = self._batch_size
        for video in self._waiting:
            count = min(free, len(video.crops) - video.taken)
            if count:
                yield video, count
            free -= count
            if not free:
                return

    def _completed(self) -> Iterator[ClassifiedVideo[Key]]:
        while self._waiting and self._waiting[0].taken == len(self._waiting[0].crops):
            video = self._waiting.popleft()
            parts = [*video.done, np.zeros((0, len(EMOTIONS)), np.float32)]
            yield ClassifiedVideo(video.key, np.concatenate(parts), video.seconds)
