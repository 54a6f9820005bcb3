"""Weights of small networks, with all their files."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from fervid.emotions.architecture import Architecture
from fervid.emotions.keras_io import save
from fervid.emotions.keras_network import build
from fervid.emotions.sidecar import keras_path, onnx_path, sidecar_path
from fervid.faces.crop import FER2013_GEOMETRY
from fervid.training.onnx_export import export


def save_weights(path: Path, architecture: Architecture, network: Any = None, **values: Any) -> Path:
    """Write `.keras`, `.onnx` and sidecar of ``network``, an untrained one where None; ``values`` go to ``save``."""
    save(build(architecture) if network is None else network, path, architecture, FER2013_GEOMETRY, **values)
    export(path)
    return path


def copy_weights(path: Path, folder: Path) -> Path:
    """Copy all files of weights, for a test that may change them; returns the copy's `.keras` file."""
    for file in (onnx_path(path), sidecar_path(path)):
        shutil.copy(file, folder)
    return Path(shutil.copy(keras_path(path), folder))
