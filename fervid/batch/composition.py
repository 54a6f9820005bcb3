"""The record of how the tables of an output were composed, in its store."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fervid.files.atomic import write_text_atomically, writing
from fervid.files.private_folder import remove_damaged
from fervid.results.schema import RECORD
from fervid.results.store_files import COMPOSED_FILE, PENDING_FILE, read_text, sealed, stamps, texts, unsealed


@dataclass(frozen=True)
class Composition:
    """How tables were composed.

    Attributes:
        digest: Hash of what they contain; see ``composing.compose_tables``.
        key: That of the parts; see ``Parts.key``.
        metadata: The metadata that they record.
        inputs: Name → fingerprint of each input that was not skipped; None if its content could not be read.
    """

    digest: str
    key: str
    metadata: dict[str, str]
    inputs: dict[str, str | None]


class Compositions:
    """The record of the last composition, and the record of one whose tables are being moved into place.

    Args:
        folder: The store.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def of(self, outputs: Iterable[Path]) -> Composition | None:
        """Find out how tables were composed.

        Args:
            outputs: The tables; see ``stamped_paths``.

        Returns:
            The record of the tables as they are now; None if they were changed since, or nothing is recorded.
        """
        with contextlib.suppress(OSError):
            found = stamps(outputs)
            for name in (COMPOSED_FILE, PENDING_FILE):
                record = self._read(name)
                if record is not None and record[0] == found:
                    return record[1]
        return None

    def last_inputs(self) -> dict[str, str | None]:
        """List the inputs of the tables as they were composed last.

        Returns:
            See ``Composition.inputs``; empty if nothing is recorded.
        """
        record = self._read(COMPOSED_FILE)
        return record[1].inputs if record is not None else {}

    def prepare(self, composition: Composition, complete: Mapping[str, Path], scratch: Path) -> None:
        """Record how the tables are composed that replace the earlier ones in a moment.

        If the process is killed before ``settle``, the next one finds this record.

        Args:
            composition: How.
            complete: Name of each table in the outputs → the complete file or folder that will be moved there. Moving
                changes neither its size nor its modification time.
            scratch: Folder for the unfinished file.

        Raises:
            OutputError: The record cannot be written.
        """
        with writing(self._folder):
            found = stamps(complete.values())
        outputs = {name: found[path.name] for name, path in complete.items()}
        text = sealed(COMPOSED_FILE, {"outputs": outputs, **asdict(composition)})
        write_text_atomically(self._folder / PENDING_FILE, text, scratch)

    def settle(self, outputs: Iterable[Path]) -> None:
        """Let the prepared record count if the tables are those that it describes, or remove it.

        Args:
            outputs: The tables; see ``stamped_paths``.

        Raises:
            OSError: The record cannot be moved.
        """
        pending = self._folder / PENDING_FILE
        if not os.path.lexists(pending):
            return
        record, found = self._read(PENDING_FILE), None
        with contextlib.suppress(OSError):
            found = stamps(outputs)
        if record is not None and record[0] == found:
            pending.replace(self._folder / COMPOSED_FILE)
        else:
            remove_damaged(pending)

    def _read(self, name: str) -> tuple[Any, Composition] | None:
        """The stamps of the tables and how they were composed, as a file says; None if it is absent or damaged."""
        with contextlib.suppress(OSError, ValueError, TypeError, KeyError, AttributeError):
            content = unsealed(COMPOSED_FILE, read_text(self._folder / name))
            metadata = texts(content["metadata"])
            inputs = {str(key): one if isinstance(one, str) else None for key, one in content["inputs"].items()}
            if RECORD in metadata:
                return content["outputs"], Composition(content["digest"], content["key"], metadata, inputs)
        return None
