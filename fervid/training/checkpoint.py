"""The state of a training run on disk, from which training continues exactly."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import keras
import numpy as np

from fervid.errors import ConfigError
from fervid.files.atomic import atomic_path

History = list[dict[str, float]]
"""The metrics of each finished epoch."""


class Checkpoint:
    """One file with all variables of network and optimizer, the number of finished epochs, and their metrics.

    Args:
        path: The file, ending in .npz.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def save(self, network: Any, epoch: int, history: History) -> None:
        """Write the state.

        Args:
            network: The compiled Keras model.
            epoch: Number of finished epochs.
            history: Their metrics.

        Raises:
            OutputError: The file cannot be written.
        """
        arrays = {str(i): np.asarray(keras.ops.convert_to_numpy(v.value)) for i, v in enumerate(_variables(network))}
        with atomic_path(self._path) as partial, partial.open("wb") as file:
            np.savez(file, allow_pickle=False, epoch=np.int64(epoch), history=np.array(json.dumps(history)), **arrays)

    def restore(self, network: Any) -> tuple[int, History]:
        """Put the saved state into a network.

        Args:
            network: The compiled Keras model.

        Returns:
            The number of finished epochs and their metrics; (0, []) if no state was saved.

        Raises:
            ConfigError: The file is damaged or belongs to another network.
        """
        if not self._path.exists():
            return 0, []
        try:
            with np.load(self._path, allow_pickle=False) as saved:
                values = dict(saved)
        except (OSError, ValueError, zipfile.BadZipFile) as error:
            raise ConfigError(f"{self._path} is damaged; remove it to start over") from error
        variables = _variables(network)
        if len(values) != len(variables) + 2:
            raise ConfigError(f"{self._path} belongs to another network; choose another run folder")
        for i, variable in enumerate(variables):
            variable.assign(values[str(i)])
        return int(values["epoch"]), json.loads(str(values["history"]))


def _variables(network: Any) -> list[Any]:
    return [*network.variables, *network.optimizer.variables]
