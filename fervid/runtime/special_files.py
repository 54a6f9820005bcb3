"""Pipes, devices and sockets in place of files. Reading one could wait for ever, or never end."""

from __future__ import annotations

from pathlib import Path

from fervid.errors import FervidError


def refuse_special(path: Path, error: type[FervidError]) -> None:
    """Refuse what is neither a file nor a folder, before it is opened.

    Args:
        path: What is to be read; it need not exist.
        error: What to raise.

    Raises:
        FervidError: It is a pipe, a device or a socket; ``error`` is the class.
    """
    if path.exists() and not path.is_file() and not path.is_dir():
        raise error(f"{path} is a pipe, a device or a socket; write its content to a file")
