"""Labelled face images, read from the formats in which FER2013 is distributed.

The formats are the official Kaggle file ``fer2013.csv``, a folder with one folder of images per class (directly or
under ``train/`` and ``test/``), a Parquet file with the columns ``image`` (bytes) and ``label``, and a folder of such
Parquet files.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fervid.errors import BadDataset, InputNotFound
from fervid.faces.crop import SIZE, fit_square
from fervid.files.discover import IMAGE_SUFFIXES
from fervid.files.image_io import decode_image
from fervid.results.columns import read_columns
from fervid.runtime.opencv import cv2
from fervid.runtime.special_files import refuse_special
from fervid.types import EMOTIONS, ByteArray, FloatArray

SPELLINGS = {
    **{name: index for index, name in enumerate(EMOTIONS)},
    "anger": 0, "disgusted": 1, "fearful": 2, "happiness": 3, "happy": 3, "sadness": 4, "surprised": 5,
}  # fmt: skip
"""Class names in the spellings of several data sets, with their index in EMOTIONS."""

VOTE_COLUMNS = tuple(
    f"ferplus_{name}"
    for name in ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral", "contempt")
)
"""Columns of FER+ vote counts: the seven emotions in the order of EMOTIONS, then contempt."""

USAGES = {
    "train": "Training",
    "training": "Training",
    "test": "PublicTest",
    "validation": "PublicTest",
    "val": "PublicTest",
    "publictest": "PublicTest",
    "privatetest": "PrivateTest",
}
"""Lower-case names of splits, and the challenge's names for them."""

USAGE_COLUMNS = ("usage", "Usage", "split")
"""Columns of Parquet files that may name the split."""


@dataclass(frozen=True, eq=False)
class Dataset:
    """Labelled face images.

    Attributes:
        images: Gray crops (n, 48, 48) uint8.
        labels: Indices into EMOTIONS (n,) int64.
        usages: Name of each image's split (n,) str; empty if the data name none.
        votes: Shares of the annotators' votes (n, 8) float32 in the order of VOTE_COLUMNS; a row sums to 1, or to 0
            if there are no votes.
    """

    images: ByteArray
    labels: npt.NDArray[np.int64]
    usages: npt.NDArray[np.str_]
    votes: FloatArray

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, rows: npt.NDArray[Any]) -> Dataset:
        """Select images.

        Args:
            rows: Indices or a boolean mask.

        Returns:
            The data set of these images.
        """
        return replace(
            self, images=self.images[rows], labels=self.labels[rows], usages=self.usages[rows], votes=self.votes[rows]
        )

    def counts(self) -> npt.NDArray[np.int64]:
        """Count the images of each class.

        Returns:
            Counts (7,) int64 in the order of EMOTIONS.
        """
        return np.bincount(self.labels, minlength=len(EMOTIONS)).astype(np.int64)


def read(paths: Sequence[Path], usage: str | None = None) -> Dataset:
    """Read data sets and join them.

    Args:
        paths: Files or folders, each in one of the formats of this module.
        usage: Split to keep, as the challenge names it; images without a named split are kept too. None keeps all.

    Returns:
        The joined data set.

    Raises:
        InputNotFound: A path does not exist.
        BadDataset: A file cannot be used, or no image is left. The message names the file, the row and the reason.
    """
    if not paths:
        raise BadDataset("no data given")
    parts = [part for path in paths for part in _read_path(path)]
    data = Dataset(
        np.concatenate([part.images for part in parts]),
        np.concatenate([part.labels for part in parts]),
        np.concatenate([part.usages for part in parts]),
        np.concatenate([part.votes for part in parts]),
    )
    if usage is not None:
        data = data.take((data.usages == usage) | (data.usages == ""))
    if not len(data):
        named = ", ".join(map(str, paths))
        raise BadDataset(f"no images{f' of the split {usage}' if usage else ''} in {named}")
    return data


def _read_path(path: Path) -> Iterator[Dataset]:
    refuse_special(path, BadDataset)
    if path.is_dir():
        tables = sorted(table for table in path.glob("*.parquet") if not table.name.startswith("."))
        if tables:
            for table in tables:
                refuse_special(table, BadDataset)
            for table in tables:  # files may be named after splits: train-00000-of-00001.parquet
                yield _read_parquet(table, USAGES.get(re.split(r"[-_.]", table.name.lower())[0], ""))
        else:
            yield _read_folders(path)
    elif not path.exists():
        raise InputNotFound(f"no such data: {path}")
    elif path.suffix == ".csv":
        yield _read_kaggle(path)
    elif path.suffix == ".parquet":
        yield _read_parquet(path)
    else:
        raise BadDataset(f"{path}: expected a .csv, a .parquet or a folder with one folder per class")


def _dataset(images: list[ByteArray], labels: list[int], usages: list[str], votes: FloatArray | None) -> Dataset:
    count = len(labels)
    return Dataset(
        np.stack(images) if images else np.zeros((0, SIZE, SIZE), np.uint8),
        np.asarray(labels, np.int64),
        np.asarray(usages, np.str_) if count else np.zeros(0, np.str_),
        np.zeros((count, len(VOTE_COLUMNS)), np.float32) if votes is None else votes,
    )


def _read_kaggle(path: Path) -> Dataset:
    images: list[ByteArray] = []
    labels: list[int] = []
    usages: list[str] = []
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = csv.reader(file)
            header = [name.strip().lower() for name in next(rows, [])]
            missing = {"emotion", "pixels"} - set(header)
            if missing:
                raise BadDataset(f"{path}: not the format of fer2013.csv; no column {', '.join(sorted(missing))}")
            for number, values in enumerate(rows, 1):
                if not values:
                    continue
                row = dict(zip(header, values, strict=False))
                images.append(_parse_pixels(row.get("pixels", ""), f"{path}: row {number}"))
                labels.append(_parse_label(row.get("emotion", ""), f"{path}: row {number}"))
                usages.append(_usage(row.get("usage")))
    except (UnicodeDecodeError, csv.Error) as error:
        raise BadDataset(f"{path}: not a CSV file: {error}") from error
    return _dataset(images, labels, usages, None)


def _parse_pixels(text: str, where: str) -> ByteArray:
    try:
        values = np.array(text.split(), dtype=np.int64)
    except (ValueError, OverflowError) as error:
        raise BadDataset(f"{where}: pixels are not whole numbers") from error
    if values.size != SIZE * SIZE:
        raise BadDataset(f"{where}: {values.size} pixels instead of {SIZE * SIZE}")
    if values.min() < 0 or values.max() > 255:
        raise BadDataset(f"{where}: a pixel lies outside 0 to 255")
    return values.reshape(SIZE, SIZE).astype(np.uint8)


def _parse_label(value: Any, where: str) -> int:
    name = str(value).strip().lower()
    if name in SPELLINGS:
        return SPELLINGS[name]
    if name.isdecimal() and int(name) < len(EMOTIONS):
        return int(name)
    raise BadDataset(f"{where}: label {value!r} is neither 0 to 6 nor one of {', '.join(EMOTIONS)}")


def _usage(value: Any) -> str:
    """The challenge's name for a split."""
    name = str(value or "").strip()
    return USAGES.get(name.lower(), name)


def _read_parquet(path: Path, usage: str = "") -> Dataset:
    """Read a Parquet file; ``usage`` is the split of all rows if no column names one."""
    columns = read_columns(path, ("image", "label"), (*USAGE_COLUMNS, *VOTE_COLUMNS))
    images, labels = [], []
    for number, (image, label) in enumerate(zip(columns["image"], columns["label"], strict=True)):
        where = f"{path}: row {number}"
        data = image.get("bytes") if isinstance(image, dict) else image
        if not isinstance(data, bytes):
            raise BadDataset(f"{where}: no image bytes")
        images.append(_decode(data, where))
        labels.append(_parse_label(label, where))
    named = next((columns[name] for name in USAGE_COLUMNS if name in columns), [usage] * len(labels))
    usages = [_usage(value) for value in named]
    votes = None
    if all(name in columns for name in VOTE_COLUMNS):
        try:
            counts = np.asarray([columns[name] for name in VOTE_COLUMNS], np.float32).T
        except (TypeError, ValueError) as error:
            raise BadDataset(f"{path}: a column of votes holds values that are not numbers: {error}") from error
        votes = np.nan_to_num(counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)).astype(np.float32)
    return _dataset(images, labels, usages, votes)


def _decode(data: bytes, where: str) -> ByteArray:
    """Decode the bytes of an image file to a gray crop (48, 48)."""
    image = decode_image(data, cv2.IMREAD_GRAYSCALE)
    if image is None:
        raise BadDataset(f"{where}: not an image that OpenCV can read")
    return fit_square(image)


def _read_folders(path: Path) -> Dataset:
    """Read one folder per class, directly in ``path`` or in folders named after a split."""
    images: list[ByteArray] = []
    labels: list[int] = []
    usages: list[str] = []
    splits = [(folder, USAGES[folder.name.lower()]) for folder in _folders(path) if folder.name.lower() in USAGES]
    for root, usage in splits or [(path, "")]:
        for folder in _folders(root):
            if folder.name.lower() not in SPELLINGS:
                raise BadDataset(f"{folder}: the folder's name is not one of {', '.join(EMOTIONS)}")
            for file in sorted(folder.iterdir()):
                if file.name.startswith(".") or file.suffix.lower() not in IMAGE_SUFFIXES or not file.is_file():
                    continue
                images.append(_decode(file.read_bytes(), str(file)))
                labels.append(SPELLINGS[folder.name.lower()])
                usages.append(usage)
    if not images:
        raise BadDataset(f"{path}: no class folders with images, and no Parquet files")
    return _dataset(images, labels, usages, None)


def _folders(path: Path) -> list[Path]:
    return sorted(entry for entry in path.iterdir() if entry.is_dir() and not entry.name.startswith("."))


def split(data: Dataset, fraction: float, seed: int) -> tuple[Dataset, Dataset]:
    """Split off a random share of every class.

    Args:
        data: The data set.
        fraction: The share, in [0, 1).
        seed: Seed of the choice.

    Returns:
        The remaining images and the share.
    """
    rng = np.random.default_rng((seed, 0x5EED))
    held = np.zeros(len(data), bool)
    for label in range(len(EMOTIONS)):
        rows = np.flatnonzero(data.labels == label)
        held[rng.permutation(rows)[: round(fraction * len(rows))]] = True
    return data.take(~held), data.take(held)


def sample(data: Dataset, count: int, seed: int) -> Dataset:
    """Choose random images, with the proportions of the classes kept.

    Args:
        data: The data set.
        count: Approximate number of images; each class keeps at least two.
        seed: Seed of the choice.

    Returns:
        The chosen images.
    """
    keep = min(1.0, count / max(len(data), 1))
    rng = np.random.default_rng((seed, 0xFEED))
    rows = [rng.permutation(np.flatnonzero(data.labels == label)) for label in range(len(EMOTIONS))]
    chosen = [of_class[: max(2, round(keep * len(of_class)))] for of_class in rows]
    return data.take(np.sort(np.concatenate(chosen)))
