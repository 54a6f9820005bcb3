"""Writing files so that each is complete or absent."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from fervid.errors import OutputError


@contextlib.contextmanager
def atomic_path(path: Path, folder: Path | None = None) -> Iterator[Path]:
    """Yield a temporary path, and rename it to ``path`` when the block ends without an error.

    The file is flushed to the disk before it is renamed. After an error it is removed, and ``path`` stays as it was.

    Args:
        path: The file to write. Its folder must exist.
        folder: Where the temporary file is written, on the same disk as ``path``. None: beside ``path``.

    Yields:
        The temporary path. It has the suffix of ``path``, because some libraries choose the format by it.

    Raises:
        OutputError: The system refuses to write or to rename the file.
    """
    partial = (folder or path.parent) / f".{path.stem}.{os.getpid()}.partial{path.suffix}"
    try:
        with writing(path):
            yield partial
            sync_file(partial)
            partial.replace(path)
            sync_folder(path.parent)
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)


def write_text_atomically(path: Path, text: str, folder: Path | None = None) -> None:
    """Write a small text file in UTF-8; see atomic_path.

    Args:
        path: The file to write.
        text: Its content.
        folder: Where the temporary file is written; None: beside ``path``.

    Raises:
        OutputError: The system refuses to write the file.
    """
    with atomic_path(path, folder) as partial:
        partial.write_text(text, encoding="utf-8")


def sync_folder(folder: Path) -> None:
    """Make renames inside a folder survive a power failure, if the system supports it.

    Args:
        folder: The folder that holds the renamed files.
    """
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def sync_file(path: Path) -> None:
    """Flush a file's content to the disk.

    Args:
        path: An existing file.
    """
    with path.open("rb+") as file:
        os.fsync(file.fileno())


@contextlib.contextmanager
def writing(path: object) -> Iterator[None]:
    """Turn any OSError of the block into an OutputError that names ``path``.

    Args:
        path: What the message names as the file that cannot be written.

    Yields:
        Nothing.

    Raises:
        OutputError: The block raised an OSError.
    """
    try:
        yield
    except OutputError:
        raise
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}") from error
