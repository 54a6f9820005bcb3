"""What is known of a video, on disk while it is worked on, so that memory does not grow with its length."""

from __future__ import annotations

import io
import pickle
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
import numpy.typing as npt

from fervid.files.atomic import writing
from fervid.types import ByteArray, Crops

_CHUNK = 1024
"""Rows that are copied at once."""


class ScratchArray:
    """Arrays of one ``shape`` and ``dtype``, added one by one and read by number.

    ``folder``: where the file for them lies; it has no name, and is gone when this object or its process is.
    None keeps them in memory. Raises OutputError where the disk is full.
    """

    def __init__(self, folder: Path | None, shape: tuple[int, ...], dtype: npt.DTypeLike) -> None:
        self._folder, self._shape, self._dtype = folder, shape, np.dtype(dtype)
        self._bytes = int(np.prod(shape)) * self._dtype.itemsize
        self._count = 0
        with writing(folder):
            file = io.BytesIO() if folder is None else tempfile.TemporaryFile(dir=folder)  # noqa: SIM115
        self._file = cast(BinaryIO, file)

    def __len__(self) -> int:
        return self._count

    def add(self, row: npt.NDArray[Any]) -> int:
        """Take one array; its number is returned."""
        with writing(self._folder):
            self._file.seek(0, io.SEEK_END)
            self._file.write(np.ascontiguousarray(row, self._dtype).tobytes())
        self._count += 1
        return self._count - 1

    def read(self, numbers: Sequence[int]) -> npt.NDArray[Any]:
        """The arrays of these numbers, stacked."""
        rows = np.empty((len(numbers), *self._shape), self._dtype)
        with writing(self._folder):  # what is still to be written goes to the disk first
            for place, number in enumerate(numbers):
                self._file.seek(number * self._bytes)
                rows[place] = np.frombuffer(self._file.read(self._bytes), self._dtype).reshape(self._shape)
        return rows

    def close(self) -> None:
        """Give the disk back."""
        with writing(self._folder):
            self._file.close()


class RecordFile:
    """Values one after another in the new file ``path``, which another process reads with ``read_records``.

    For this program's own processes and the length of one batch. Raises OutputError where the disk is full.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with writing(path):
            self._file = path.open("wb")

    def __enter__(self) -> RecordFile:
        return self

    def __exit__(self, *_: object) -> None:
        with writing(self._path):
            self._file.close()

    def add(self, value: object) -> None:
        """Write one value."""
        with writing(self._path):
            pickle.dump(value, self._file, pickle.HIGHEST_PROTOCOL)


def read_records(path: Path) -> Iterator[Any]:
    """The values of a complete RecordFile, one at a time."""
    with path.open("rb") as file:
        while file.peek(1):
            yield pickle.load(file)


@dataclass(frozen=True)
class CropFile:
    """Square crops of ``side`` pixels in a file, read where they are asked for; behaves like an array
    (n, side, side) uint8 that is sliced. It is small: what travels between processes is the file's name."""

    path: Path
    start: int
    count: int
    side: int

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, rows: slice) -> ByteArray:
        first, last, _ = rows.indices(self.count)
        count, size = max(0, last - first), self.side * self.side
        offset = (self.start + first) * size
        return np.fromfile(self.path, np.uint8, count * size, offset=offset).reshape(count, self.side, self.side)


def write_grouped(found: ScratchArray, groups: Iterable[Sequence[int]], path: Path | None, side: int) -> list[Crops]:
    """The crops in ``found`` by group, in the order of the group's numbers: in the file ``path``, one group after
    another, or in memory where there is none. Raises OutputError."""
    if path is None:
        return [found.read(numbers) for numbers in groups]
    arranged: list[Crops] = []
    start = 0
    with writing(path), path.open("wb") as target:
        for numbers in groups:
            for first in range(0, len(numbers), _CHUNK):
                target.write(found.read(numbers[first : first + _CHUNK]).tobytes())
            arranged.append(CropFile(path, start, len(numbers), side))
            start += len(numbers)
    return arranged
