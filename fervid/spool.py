"""Crops on disk while a video is worked on, so that no process holds those of a whole video."""

from __future__ import annotations

import io
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

import numpy as np

from fervid.crop import SIZE
from fervid.errors import writing
from fervid.types import ByteArray, Crops

_BYTES = SIZE * SIZE
_CHUNK = 1024
"""Crops that are copied at once."""


@dataclass(frozen=True)
class SpooledCrops:
    """Crops in a file, read where they are asked for; behaves like an array (n, 48, 48) uint8 that is sliced.

    It is small: what travels between processes is the name of the file.
    """

    path: Path
    start: int
    count: int

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, rows: slice) -> ByteArray:
        first, last, _ = rows.indices(self.count)
        count = max(0, last - first)
        offset = (self.start + first) * _BYTES
        return np.fromfile(self.path, np.uint8, count * _BYTES, offset=offset).reshape(count, SIZE, SIZE)


class CropSpool:
    """Takes crops in the order in which they are found; gives them back in another. A context manager.

    ``path``: the file for them; None keeps them in memory. Raises OutputError where the disk is full.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._count = 0
        with writing(path):
            self._file: BinaryIO = io.BytesIO() if path is None else path.with_suffix(".found").open("w+b")

    def __enter__(self) -> CropSpool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            with writing(self._path):
                self._file.close()  # what is still to be written may find the disk full
        finally:
            if self._path is not None:
                self._path.with_suffix(".found").unlink(missing_ok=True)

    def add(self, crop: ByteArray) -> int:
        """Take one crop (48, 48) uint8; its number is returned."""
        with writing(self._path):
            self._file.write(crop.tobytes())
        self._count += 1
        return self._count - 1

    def arrange(self, groups: Iterable[list[int]]) -> list[Crops]:
        """The crops of each group, in the order of its numbers. With a path all groups lie in it, one after another."""
        if self._path is None:
            return [self._read(numbers) for numbers in groups]
        arranged: list[Crops] = []
        start = 0
        with writing(self._path), self._path.open("wb") as target:
            for numbers in groups:
                for first in range(0, len(numbers), _CHUNK):
                    target.write(self._read(numbers[first : first + _CHUNK]).tobytes())
                arranged.append(SpooledCrops(self._path, start, len(numbers)))
                start += len(numbers)
        return arranged

    def _read(self, numbers: list[int]) -> ByteArray:
        crops = np.empty((len(numbers), SIZE, SIZE), np.uint8)
        for row, number in enumerate(numbers):
            self._file.seek(number * _BYTES)
            crops[row] = np.frombuffer(self._file.read(_BYTES), np.uint8).reshape(SIZE, SIZE)
        self._file.seek(0, io.SEEK_END)
        return crops
