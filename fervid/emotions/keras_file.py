"""The arrays of a `.keras` file, read without Keras.

The file's own description of its network is never read. The sidecar says which arrays the file must hold and in which
shapes, so that a weights file cannot carry code.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from fervid.emotions.architecture import Architecture, Shape, array_shapes
from fervid.emotions.sidecar import Sidecar, keras_path, mismatch, read_checked, size_limit

Arrays = dict[str, list[npt.NDArray[Any]]]
"""The arrays of each layer, by the layer's name, in Keras' order."""

_MEMBER = "model.weights.h5"
"""The file within the archive that holds the arrays."""

_ERRORS = (OSError, ValueError, KeyError, RuntimeError, zipfile.BadZipFile)
"""What the zip and HDF5 libraries raise for a damaged file."""


def read_arrays(weights: Path, sidecar: Sidecar) -> Arrays:
    """Read the arrays of a network from its `.keras` file.

    Args:
        weights: The weights, named by their `.keras` or `.onnx` file.
        sidecar: Their sidecar.

    Returns:
        The arrays of each layer, float32.

    Raises:
        BadWeights: The file is missing, does not match the SHA-256 in the sidecar, or does not hold the network that
            the sidecar describes.
    """
    path = keras_path(weights)
    data = read_checked(path, sidecar.weights_sha256, sidecar.architecture)
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            if archive.getinfo(_MEMBER).file_size > size_limit(sidecar.architecture):
                raise ValueError("it is too large")
            with h5py.File(io.BytesIO(archive.read(_MEMBER)), "r") as file:
                return _selected(_groups(file), sidecar.architecture)
    except _ERRORS as error:
        raise mismatch(path, error) from error


def _groups(file: Any) -> dict[str, Any]:
    """The groups that hold arrays, by the layer's name."""
    found = {}
    for group in file["layers"].values():
        arrays = group["vars"]
        if len(arrays) and "name" not in arrays.attrs:
            raise ValueError("its layers have no names, because a Keras older than 3.6 wrote it")
        if len(arrays):
            found[str(arrays.attrs["name"])] = arrays
    return found


def _selected(groups: Mapping[str, Any], architecture: Architecture) -> Arrays:
    """The arrays of the network; ValueError if names, shapes or values are not as expected."""
    expected = array_shapes(architecture)
    if strange := sorted(groups.keys() ^ expected.keys()):
        raise ValueError(f"layer {strange[0]} is {'missing' if strange[0] in expected else 'not part of it'}")
    return {name: _layer_arrays(groups[name], name, shapes) for name, shapes in expected.items()}


def _layer_arrays(group: Any, name: str, shapes: list[Shape]) -> list[npt.NDArray[Any]]:
    stored = [group[str(index)] for index in range(len(group))]
    found = [tuple(array.shape) for array in stored]
    if found != shapes:
        raise ValueError(f"layer {name} has the shapes {found}, not {shapes}")
    arrays = [np.asarray(array[()], np.float32) for array in stored]
    if not all(np.isfinite(array).all() for array in arrays):
        raise ValueError(f"layer {name} holds values that are not finite")
    return arrays
