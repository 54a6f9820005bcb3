"""Arrays of a training run that take long to compute, kept in a file for a continued run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from fervid.files.atomic import atomic_path
from fervid.types import FloatArray


def kept_array(path: Path, shape: tuple[int, ...], compute: Callable[[], FloatArray]) -> FloatArray:
    """Read an array from its file, or compute it and write the file.

    Args:
        path: A .npy file.
        shape: Shape of the array. A file with another shape belongs to other images and is replaced.
        compute: Makes the array, float32.

    Returns:
        The array, float32.

    Raises:
        OutputError: The file cannot be written.
    """
    if path.exists():
        kept = np.load(path, allow_pickle=False)
        if kept.shape == shape:
            return np.asarray(kept, np.float32)
    made = compute()
    with atomic_path(path) as partial:
        np.save(partial, made)
    return made
