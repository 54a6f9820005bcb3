"""The batcher, loaded while the first videos are being scanned: for a GPU, importing TensorFlow takes seconds."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING

from fervid.settings import RunSettings

if TYPE_CHECKING:
    from collections.abc import Callable

    from fervid.emotions.batching import Batcher


LOADER = "model-loader"
"""Name of the thread that loads."""


class BatcherLoader:
    """Loads a batcher in a thread of its own from ``start`` on; ``get`` waits for it.

    The thread does not keep an interrupted process from ending.
    """

    def __init__(self, weights: Path, settings: RunSettings, notify: Callable[[str], None]) -> None:
        self._weights, self._settings, self._notify = weights, settings, notify
        self._thread = threading.Thread(target=self._load, name=LOADER, daemon=True)
        self._loaded: Batcher[int] | None = None
        self._error: Exception | None = None

    def start(self) -> None:
        """Begin, unless that was done before."""
        if self._thread.ident is None:
            self._thread.start()

    def get(self) -> Batcher[int]:
        """The batcher; raises BadWeights, MissingLibrary and UsageError as loading it does."""
        self.start()
        self._thread.join()
        if self._loaded is None:
            raise self._error or RuntimeError("the model was not loaded")
        return self._loaded

    def wait(self) -> None:
        """Return when nothing is being loaded any more; the process may then end."""
        if self._thread.ident is not None:
            self._thread.join()

    def _load(self) -> None:
        try:
            from fervid.emotions.batching import Batcher
            from fervid.emotions.classifier import load_classifier

            model = load_classifier(self._weights, self._settings.device)
            self._loaded = Batcher(model, self._settings.batch_size, self._notify)
            import pandas  # noqa: F401  which the tables need next
        except Exception as error:  # it is the main thread's to tell
            self._error = error
