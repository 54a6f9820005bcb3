"""Loads the batcher in a thread while the first videos are scanned, because importing TensorFlow takes seconds."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING

from fervid.settings import RunSettings

if TYPE_CHECKING:
    from collections.abc import Callable

    from fervid.emotions.batching import Batcher


LOADER = "model-loader"
"""Name of the loading thread."""


class BatcherLoader:
    """Loads a batcher in a background thread, which does not keep an interrupted process alive.

    Args:
        weights: The weights of the emotion network.
        settings: Device and batch size.
        on_message: Called with messages for the user.
    """

    def __init__(self, weights: Path, settings: RunSettings, on_message: Callable[[str], None]) -> None:
        self._weights, self._settings, self._on_message = weights, settings, on_message
        self._thread = threading.Thread(target=self._load, name=LOADER, daemon=True)
        self._loaded: Batcher[int] | None = None
        self._error: Exception | None = None

    def start(self) -> None:
        """Start loading, unless it was started before."""
        if self._thread.ident is None:
            self._thread.start()

    def get(self) -> Batcher[int]:
        """Wait for the batcher.

        Returns:
            The batcher.

        Raises:
            BadWeights: The weights cannot be used.
            UsageError: The device cannot be used.
        """
        self.start()
        self._thread.join()
        if self._loaded is None:
            raise self._error or RuntimeError("the model was not loaded")
        return self._loaded

    def wait(self) -> None:
        """Wait until nothing is being loaded; the process can then end."""
        if self._thread.ident is not None:
            self._thread.join()

    def _load(self) -> None:
        try:
            from fervid.emotions.batching import Batcher
            from fervid.emotions.classifier import load_classifier

            model = load_classifier(self._weights, self._settings.device)
            self._loaded = Batcher(model, self._settings.batch_size, self._on_message)
            import pandas  # noqa: F401  the tables need it next
        except Exception as error:  # the main thread raises it
            self._error = error
