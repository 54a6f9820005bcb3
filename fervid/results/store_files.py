"""The store beside an output, as far as readers need it: how the tables were made."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

IN_FOLDER, MERGING = ".fervid", ".merging"
"""Hidden folders in results that are a folder: the store of ``analyze``, and the workspace of other commands."""

IDENTITY_FILE = "identity.json"
"""Name of the file in the store that records what its parts were made with."""

COMPOSED_FILE = "composed.json"
"""Name of the file in the store that records what the outputs were composed from."""

PENDING_FILE = "pending.json"
"""Name of the file in the store that will become COMPOSED_FILE when the outputs are in place."""


def store_folder(out: Path, is_folder: bool) -> Path:
    """Get the folder in which ``analyze`` keeps the state of an output.

    Args:
        out: The output.
        is_folder: Whether the output is a folder rather than a file.

    Returns:
        The folder; it need not exist.
    """
    return out / IN_FOLDER if is_folder else out.with_name(f".{out.name}.fervid")


def output_of(folder: Path) -> Path:
    """Get the output whose state a folder holds.

    Args:
        folder: A folder from ``store_folder``.

    Returns:
        The output.
    """
    return folder.parent if folder.name == IN_FOLDER else folder.with_name(folder.name[1 : -len(".fervid")])


def composed_metadata(folder: Path, outputs: Iterable[Path]) -> dict[str, str]:
    """Read the metadata with which outputs were composed.

    Args:
        folder: The store.
        outputs: The files that were composed.

    Returns:
        Key → value; empty if the outputs have changed since, or nothing is recorded.
    """
    for name in (COMPOSED_FILE, PENDING_FILE):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError, RecursionError):
            content = unsealed(COMPOSED_FILE, read_text(folder / name))
            if content["outputs"] == stamps(outputs):
                return texts(content["metadata"])
    return {}


def texts(values: Any) -> dict[str, str]:
    """Check that a value is a mapping of texts. The seal of a record tells damage, but anybody can make one.

    Args:
        values: The value.

    Returns:
        The mapping.

    Raises:
        TypeError: It is something else.
    """
    if not isinstance(values, dict) or any(not isinstance(text, str) for text in (*values, *values.values())):
        raise TypeError("not a mapping of texts")
    return values


def stamps(paths: Iterable[Path]) -> dict[str, list[int]]:
    """Get the size and modification time of files, which change when a file is modified.

    Args:
        paths: Files.

    Returns:
        File name → [size in bytes, modification time in nanoseconds].

    Raises:
        OSError: A file is missing.
    """
    statuses = {path.name: path.stat() for path in paths}
    return {name: [status.st_size, status.st_mtime_ns] for name, status in statuses.items()}


def read_text(path: Path) -> str:
    """Read a file of a store.

    Args:
        path: The file.

    Returns:
        Its text; what is not UTF-8 is replaced.

    Raises:
        OSError: It cannot be read, or is no regular file. Opening a pipe would wait for ever.
    """
    if not path.is_file():
        raise FileNotFoundError(path)
    return path.read_text(encoding="utf-8", errors="replace")


def seal_name(path: Path) -> str:
    """Name what seals a file in a folder of parts.

    Args:
        path: The file.

    Returns:
        Its name and that of its folder, which stands for the settings.
    """
    return f"{path.parent.name}/{path.name}"


_SEAL = "sha256"
"""Key of the digest in a sealed text."""


def sealed(name: str, content: Mapping[str, Any]) -> str:
    """Write values as JSON with a digest, by which ``unsealed`` finds damage and changes.

    Args:
        name: What holds the text, such as the name of its file. It is part of the digest, so the text is of no use
            elsewhere.
        content: Values that JSON can hold, by key.

    Returns:
        One line of JSON.
    """
    return json.dumps({**content, _SEAL: _digest(name, content)})


def unsealed(name: str, text: str) -> dict[str, Any]:
    """Read what ``sealed`` wrote.

    Args:
        name: As it was given to ``sealed``.
        text: The text.

    Returns:
        The values.

    Raises:
        ValueError: The text was changed, or was written for another name.
    """
    try:
        content = dict(json.loads(text))
        if content.pop(_SEAL, None) == _digest(name, content):
            return content
    except (ValueError, TypeError, RecursionError) as error:
        raise ValueError(f"{name} is damaged") from error
    raise ValueError(f"{name} is damaged")


def _digest(name: str, content: Mapping[str, Any]) -> str:
    return hashlib.sha256(f"{name}\n{json.dumps(content, sort_keys=True)}".encode()).hexdigest()


def read_identity(folder: Path) -> dict[str, Any] | None:
    """Read what the parts in a store were made with.

    Args:
        folder: The store.

    Returns:
        Settings, versions and hashes; None if there is no store.
    """
    with contextlib.suppress(OSError, ValueError, TypeError, RecursionError):
        return dict(json.loads(read_text(folder / IDENTITY_FILE)))
    return None
