"""Temporary per-video data kept on disk, so that memory use does not grow with a video's length."""

from __future__ import annotations

import io
import json
import math
import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
import numpy.typing as npt

from fervid.errors import InternalError
from fervid.files.atomic import writing
from fervid.types import ByteArray, Crops, HalfArray, Meshes

_LENGTH = 8
"""Bytes of the number that says how long the JSON text of a record is."""

_CHUNK = 1024
"""Rows copied at once."""


class ScratchArray:
    """Arrays of one shape and dtype that are appended one by one and read by number.

    The arrays lie in an unnamed temporary file, which disappears with this object or its process.

    Args:
        folder: Where the file is created; None keeps the arrays in memory.
        shape: Shape of each array.
        dtype: Type of each array.

    Raises:
        OutputError: The file cannot be created. All methods raise it if the disk is full.
    """

    def __init__(self, folder: Path | None, shape: tuple[int, ...], dtype: npt.DTypeLike) -> None:
        self._folder, self.shape, self._dtype = folder, shape, np.dtype(dtype)
        self._bytes = int(np.prod(shape)) * self._dtype.itemsize
        self._count = 0
        with writing(folder):
            file = io.BytesIO() if folder is None else tempfile.TemporaryFile(dir=folder)  # noqa: SIM115
        self._file = cast(BinaryIO, file)

    def __len__(self) -> int:
        return self._count

    def add(self, row: npt.NDArray[Any]) -> int:
        """Append one array.

        Args:
            row: An array of this object's shape; it is converted to the dtype.

        Returns:
            Its number, counted from 0.
        """
        with writing(self._folder):
            self._file.seek(0, io.SEEK_END)
            self._file.write(np.ascontiguousarray(row, self._dtype).tobytes())
        self._count += 1
        return self._count - 1

    def read(self, numbers: Sequence[int]) -> npt.NDArray[Any]:
        """Read some of the arrays.

        Args:
            numbers: Their numbers, in any order.

        Returns:
            The arrays, stacked in the order of ``numbers``: (len(numbers), *shape).
        """
        rows = np.empty((len(numbers), *self.shape), self._dtype)
        with writing(self._folder):  # seeking flushes buffered rows, which may fail
            for place, number in enumerate(numbers):
                self._file.seek(number * self._bytes)
                rows[place] = np.frombuffer(self._file.read(self._bytes), self._dtype).reshape(self.shape)
        return rows

    def close(self) -> None:
        """Release the disk space."""
        with writing(self._folder):
            self._file.close()


class RecordFile:
    """A new file of records, which another process of the same batch reads with ``read_records``.

    A record is a JSON value and some arrays. Nothing in such a file can run code when it is read.

    Args:
        path: The file to write.

    Raises:
        OutputError: The file cannot be created. All methods raise it if the disk is full.
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

    def add(self, value: object, arrays: Sequence[npt.NDArray[Any]] = ()) -> None:
        """Append one record.

        Args:
            value: Anything that JSON can hold.
            arrays: Arrays of numbers.
        """
        described = [[array.dtype.str, array.shape] for array in arrays]
        header = json.dumps([value, described]).encode()
        with writing(self._path):
            self._file.write(len(header).to_bytes(_LENGTH, "little") + header)
            for array in arrays:
                self._file.write(np.ascontiguousarray(array).tobytes())


def read_records(path: Path) -> Iterator[tuple[Any, list[npt.NDArray[Any]]]]:
    """Read a RecordFile.

    Args:
        path: The complete file.

    Yields:
        Each record: its JSON value and its arrays.

    Raises:
        InternalError: The file is damaged.
        OSError: The file cannot be read.
    """
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        while start := file.read(_LENGTH):
            try:
                header = _read_exactly(file, int.from_bytes(start, "little"), size)
                value, described = json.loads(header)
                arrays = [_read_array(file, kind, shape, size) for kind, shape in described]
            except (ValueError, TypeError, RecursionError, OverflowError) as error:
                raise InternalError(f"{path} was damaged; run again") from error
            yield value, arrays


def _read_array(file: BinaryIO, kind: str, shape: Sequence[int], size: int) -> npt.NDArray[Any]:
    dtype = np.dtype(kind)
    if dtype.kind not in "biuf" or not all(isinstance(side, int) and side >= 0 for side in shape):
        raise ValueError("not an array of numbers")
    data = _read_exactly(file, math.prod(shape) * dtype.itemsize, size)
    return np.frombuffer(bytearray(data), dtype).reshape(shape)


def _read_exactly(file: BinaryIO, count: int, size: int) -> bytes:
    """Read so many bytes. ``size`` is that of the file, beyond which nothing is asked for."""
    if count > size - file.tell():
        raise ValueError("the file ends early")
    return file.read(count)


@dataclass(frozen=True)
class CropFile:
    """Square grayscale crops in a file, read when they are sliced. It pickles as a file name, without the pixels.

    Slicing gives an array (n, side, side) uint8.

    Attributes:
        path: The file.
        start: Number of the first crop in the file.
        count: Number of crops.
        side: Height and width of a crop in pixels.
    """

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


@dataclass(frozen=True)
class RowsFile:
    """Arrays of one length in a file, read when they are sliced. It pickles as a file name, without their values.

    Slicing gives an array (n, length) float16.

    Attributes:
        path: The file.
        start: Number of the first array in the file.
        count: Number of arrays.
        length: Length of an array.
    """

    path: Path
    start: int
    count: int
    length: int

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, rows: slice) -> HalfArray:
        first, last, _ = rows.indices(self.count)
        count = max(0, last - first)
        offset = (self.start + first) * self.length * np.dtype(np.float16).itemsize
        values = np.fromfile(self.path, np.float16, count * self.length, offset=offset)
        return values.reshape(count, self.length)


def write_grouped_rows(rows: ScratchArray, groups: Iterable[Sequence[int]], path: Path | None) -> list[Meshes]:
    """Write arrays ordered by group, so that each group can be read as one block; see ``write_grouped``.

    Args:
        rows: All arrays, each (length,) float16.
        groups: For each group, the numbers of its arrays in the order to write.
        path: The file to write, one group after another; None keeps the arrays in memory.

    Returns:
        The arrays of each group, (n, length) float16.

    Raises:
        OutputError: The file cannot be written.
    """
    if path is None:
        return [rows.read(numbers) for numbers in groups]
    grouped: list[Meshes] = []
    for start, count in _write_groups(rows, groups, path):
        grouped.append(RowsFile(path, start, count, rows.shape[0]))
    return grouped


def _write_groups(rows: ScratchArray, groups: Iterable[Sequence[int]], path: Path) -> Iterator[tuple[int, int]]:
    """Write groups of arrays one after another. Yields for each the number of its first array, and how many it has."""
    start = 0
    with writing(path), path.open("wb") as target:
        for numbers in groups:
            for first in range(0, len(numbers), _CHUNK):
                target.write(rows.read(numbers[first : first + _CHUNK]).tobytes())
            yield start, len(numbers)
            start += len(numbers)


def write_grouped(crops: ScratchArray, groups: Iterable[Sequence[int]], path: Path | None, side: int) -> list[Crops]:
    """Write crops ordered by group, so that each group can be read as one block.

    Args:
        crops: All crops, each (side, side) uint8.
        groups: For each group, the numbers of its crops in the order to write.
        path: The file to write, one group after another; None keeps the crops in memory.
        side: Height and width of a crop in pixels.

    Returns:
        The crops of each group, (n, side, side) uint8.

    Raises:
        OutputError: The file cannot be written.
    """
    if path is None:
        return [crops.read(numbers) for numbers in groups]
    grouped: list[Crops] = []
    for start, count in _write_groups(crops, groups, path):
        grouped.append(CropFile(path, start, count, side))
    return grouped
