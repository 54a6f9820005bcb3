"""Searching files for vectors, in every form in which a program may have written them."""

from __future__ import annotations

import base64
import binascii
import gzip
import io
import re
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from fervid.types import DoubleArray, FloatArray

RUN = slice(40, 46)
"""The part of a vector that is searched for: six neighbouring values in a row are no accident."""

_NUMBER = re.compile(rb"-?\d+\.\d+(?:[eE][-+]?\d+)?")
_BASE64 = re.compile(rb"[A-Za-z0-9+/]{64,}={0,2}")


def files_in(folders: Iterable[Path]) -> list[Path]:
    """Every regular file in some folders, hidden ones too."""
    return sorted(path for folder in folders for path in folder.rglob("*") if path.is_file())


def holds_vectors(path: Path, vectors: Sequence[FloatArray]) -> bool:
    """Whether a file holds one of some vectors (n,): as numbers of any width, as decimals, or inside Parquet, npz, gzip
    or base64."""
    needles = [vector[RUN].astype(kind).tobytes() for vector in vectors for kind in ("<f4", "<f2", "<f8", ">f4", ">f8")]
    runs = np.array([vector[RUN] for vector in vectors], np.float64)
    for data in _contents(path.read_bytes()):
        if any(needle in data for needle in needles) or _holds_decimals(data, runs):
            return True
    return False


def has_wide_columns(path: Path, width: int = 128) -> bool:
    """Whether a Parquet or npz file has an array of this width, or a column of lists."""
    if path.suffix == ".parquet":
        return any(pa.types.is_nested(field.type) for field in pq.read_schema(path))
    if path.suffix in (".npz", ".npy"):
        with np.load(path, allow_pickle=False) as arrays:
            return any(width in arrays[name].shape for name in arrays.files)
    return False


def _contents(data: bytes) -> Iterator[bytes]:
    """A content, and all that is packed in it."""
    yield data
    for match in _BASE64.findall(data):
        try:
            yield base64.b64decode(match + b"=" * (-len(match) % 4))
        except binascii.Error:
            continue
    if data[:4] == b"PAR1":
        for column in pq.read_table(io.BytesIO(data)).itercolumns():
            flat = column.combine_chunks()
            while pa.types.is_nested(flat.type) and hasattr(flat, "flatten"):
                flat = flat.flatten()
            if pa.types.is_floating(flat.type):
                yield flat.drop_null().to_numpy(zero_copy_only=False).tobytes()
            elif pa.types.is_binary(flat.type) or pa.types.is_string(flat.type):
                yield from (
                    value.encode() if isinstance(value, str) else value for value in set(flat.to_pylist()) if value
                )
    if data[:4] == b"PK\x03\x04":
        with zipfile.ZipFile(io.BytesIO(data)) as packed:
            for name in packed.namelist():
                yield from _contents(packed.read(name))
    if data[:2] == b"\x1f\x8b":
        yield from _contents(gzip.decompress(data))


def _holds_decimals(data: bytes, runs: DoubleArray) -> bool:
    """Whether text holds one of the runs (n, length) as neighbouring decimals, with at least three digits."""
    if b"\0" in data[:4096]:
        return False
    numbers = np.array(_NUMBER.findall(data), np.float64)
    if len(numbers) < runs.shape[1]:
        return False
    windows = np.lib.stride_tricks.sliding_window_view(numbers, runs.shape[1])
    return any((np.abs(windows - run) < 1e-3).all(axis=1).any() for run in runs)
