"""The batches of a training run."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from fervid.faces.crop import normalize
from fervid.training.augment import augment, mix
from fervid.training.dataset import Dataset
from fervid.training.mouths import open_mouths
from fervid.training.recipe import TrainSettings
from fervid.types import EMOTIONS, FloatArray


class Epoch:
    """The batches of one epoch. Their content depends only on the data, the settings and the epoch.

    Args:
        data: The images to train on.
        settings: The recipe.
        epoch: Number of the epoch, from 0.
        soft: The teachers' predictions (n, 7) float32 for the images, or None.
        mouths: Where the mouths are that may be opened (n, 5, 2) float32, or None; see mouths.find_mouths.
    """

    def __init__(
        self,
        data: Dataset,
        settings: TrainSettings,
        epoch: int,
        soft: FloatArray | None = None,
        mouths: FloatArray | None = None,
    ) -> None:
        self._data, self._settings, self._epoch, self._soft, self._mouths = data, settings, epoch, soft, mouths
        rng = np.random.default_rng((settings.seed, epoch))
        share = 1 / np.sqrt(np.maximum(data.counts(), 1))
        self._class_weight = (share / (share * data.counts()).sum() * len(data)).astype(np.float32)
        if settings.balance == "sampler":
            chance = share[data.labels]
            self._order = rng.choice(len(data), len(data), p=chance / chance.sum())
        else:
            self._order = rng.permutation(len(data))

    @property
    def number(self) -> int:
        """Number of the epoch, from 0."""
        return self._epoch

    def __len__(self) -> int:
        return max(1, len(self._order) // self._settings.batch_size)

    def _targets(self, rows: Any) -> FloatArray:
        """Targets (n, 7) float32: the smoothed labels, mixed with the teachers' predictions."""
        smooth = self._settings.label_smoothing
        labels = np.eye(len(EMOTIONS), dtype=np.float32)[self._data.labels[rows]]
        labels = labels * (1 - smooth) + smooth / len(EMOTIONS)
        if self._soft is not None:
            labels = labels * (1 - self._settings.distill) + self._settings.distill * self._soft[rows]
        return np.asarray(labels, np.float32)

    def __getitem__(self, index: int) -> tuple[FloatArray, Any]:
        settings = self._settings
        rng = np.random.default_rng((settings.seed, self._epoch, index))
        rows = self._order[index * settings.batch_size : (index + 1) * settings.batch_size]
        images = self._data.images[rows]
        if self._mouths is not None:
            images = open_mouths(images, self._mouths[rows], settings.augment.open_mouth, rng)
        crops = augment(images, settings.augment, rng, settings.crop)
        labels = self._targets(rows)
        if settings.balance == "weights":
            labels = labels * self._class_weight[self._data.labels[rows]][:, None]
        targets = (labels, self._data.votes[rows]) if settings.votes else (labels,)
        inputs, mixed = mix(normalize(crops), targets, settings.augment.mixup, rng)
        return inputs, {"emotion": mixed[0], "votes": mixed[1]} if settings.votes else mixed[0]

    def __iter__(self) -> Iterator[tuple[FloatArray, Any]]:
        """Yield the batches in order. A thread prepares the next one meanwhile."""
        with ThreadPoolExecutor(1) as pool:
            waiting = deque(pool.submit(self.__getitem__, index) for index in range(min(2, len(self))))
            for index in range(2, len(self) + 2):
                batch = waiting.popleft().result()
                if index < len(self):
                    waiting.append(pool.submit(self.__getitem__, index))
                yield batch
