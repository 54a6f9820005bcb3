"""The arrays of a weights file, read without Keras, and batch normalisation folded into the convolutions before it.

What a `.keras` archive says of its own network is not read: which arrays it must hold, and of what shape, follows from
the sidecar.
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

from fervid.emotions.architecture import Architecture, Shape, layer_shapes
from fervid.errors import BadWeights

EPSILON = 1e-3
"""What batch normalisation adds to a variance."""
Arrays = dict[str, list[npt.NDArray[Any]]]
"""Of each layer, by its name, its arrays in Keras' order."""

_MEMBER = "model.weights.h5"


def read_layers(path: Path, architecture: Architecture) -> Arrays:
    """The arrays of the network that ``architecture`` describes, float32; BadWeights where the file holds others."""
    try:
        with zipfile.ZipFile(path) as archive, h5py.File(io.BytesIO(archive.read(_MEMBER)), "r") as file:
            return _taken(_groups(file), layer_shapes(architecture))
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        reason = (str(error).splitlines() or [""])[0]
        raise BadWeights(f"{path} does not hold the network that its sidecar describes: {reason}") from error


def _groups(file: Any) -> dict[str, Any]:
    """The groups of arrays in the file, by the name of the layer; those without arrays are left out."""
    found = {}
    for group in file["layers"].values():
        arrays = group["vars"]
        if len(arrays) and "name" not in arrays.attrs:
            raise ValueError("its layers have no names, as Keras before 3.6 wrote them")
        if len(arrays):
            found[str(arrays.attrs["name"])] = arrays
    return found


def _taken(groups: Mapping[str, Any], shapes: Mapping[str, list[Shape]]) -> Arrays:
    if strange := sorted(groups.keys() ^ shapes.keys()):
        raise ValueError(f"layer {strange[0]} is {'missing' if strange[0] in shapes else 'one too many'}")
    taken: Arrays = {}
    for name, expected in shapes.items():
        arrays = [groups[name][str(index)] for index in range(len(groups[name]))]
        found = [tuple(array.shape) for array in arrays]
        if found != expected:
            raise ValueError(f"layer {name} has the shapes {found}, not {expected}")
        taken[name] = [np.asarray(array[()], np.float32) for array in arrays]
        if not all(np.isfinite(array).all() for array in taken[name]):
            raise ValueError(f"layer {name} holds values that are not finite")
    return taken


def fold(layers: Mapping[str, list[npt.NDArray[Any]]]) -> Arrays:
    """The same network without batch normalisation: each convolution has a kernel and a bias instead."""
    folded: Arrays = {}
    for name, arrays in layers.items():
        if name.endswith("_conv"):
            gamma, beta, mean, variance = (
                np.asarray(w, np.float64) for w in layers[f"{name.removesuffix('_conv')}_bn"]
            )
            scale = gamma / np.sqrt(variance + EPSILON)
            kernel = np.asarray(arrays[0], np.float64)
            scaled = kernel * (scale[:, None] if "depthwise" in name else scale)
            folded[name] = [scaled.astype(np.float32), (beta - mean * scale).astype(np.float32)]
        elif not name.endswith("_bn"):
            folded[name] = list(arrays)
    return folded
