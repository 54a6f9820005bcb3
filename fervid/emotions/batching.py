"""The batcher: classifies the crops of several videos in full batches."""

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
    """The crops of one video; the first ``taken`` of them are classified."""

    key: Key
    crops: Crops
    taken: int = 0
    seconds: float = 0.0
    done: list[FloatArray] = field(default_factory=list)


@dataclass(frozen=True, eq=False)
class ClassifiedVideo(Generic[Key]):
    """The result for the crops of one video.

    Attributes:
        key: The key under which the crops were added.
        probabilities: Calibrated probabilities (n, 7) float32.
        seconds: Computing time of these crops.
    """

    key: Key
    probabilities: FloatArray
    seconds: float


class Batcher(Generic[Key]):
    """Collects crops until a batch is full and then classifies them.

    The results of a video do not depend on what else is in its batches. Crops may be on disk, because only one batch of
    them is read at a time. If a batch does not fit into the device's memory, the batch size is halved.

    Args:
        model: The classifier.
        batch_size: Number of crops in a batch.
        on_message: Called with a message when the batch size is halved.
    """

    def __init__(
        self, model: EmotionClassifier, batch_size: int = 256, on_message: Callable[[str], None] = lambda message: None
    ) -> None:
        self._model, self._batch_size, self._on_message = model, batch_size, on_message
        self._waiting: deque[_Waiting[Key]] = deque()
        self._count = 0

    def add(self, key: Key, crops: Crops) -> Iterator[ClassifiedVideo[Key]]:
        """Add the crops of one video, and classify as many batches as are full.

        Args:
            key: Identifies the video in the results.
            crops: Gray face crops (n, 48, 48) uint8.

        Yields:
            The videos whose crops are all classified, in the order in which they were added.

        Raises:
            DeviceMemoryError: Not even one crop fits into the device's memory.
        """
        self._waiting.append(_Waiting(key, crops))
        self._count += len(crops)
        while self._count >= self._batch_size:
            self._classify_batch()
        yield from self._completed()

    def flush(self) -> Iterator[ClassifiedVideo[Key]]:
        """Classify the remaining crops, even if they do not fill a batch.

        Yields:
            The remaining videos, in the order in which they were added.

        Raises:
            DeviceMemoryError: Not even one crop fits into the device's memory.
        """
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
            self._on_message(
                f"the device's memory cannot hold that many faces at once; the batch size is now {self._batch_size}"
            )
            return
        each = (time.monotonic() - started) / len(crops)
        for video, count in chosen:
            video.done.append(probabilities[:count])
            probabilities = probabilities[count:]
            video.taken += count
            video.seconds += each * count
        self._count -= len(crops)

    def _next(self) -> Iterator[tuple[_Waiting[Key], int]]:
        """The videos of the next batch, each with the number of its crops in the batch."""
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
