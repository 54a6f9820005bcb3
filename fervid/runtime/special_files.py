"""Paths that are refused: pipes, devices and sockets in place of files, and names that the system does not allow."""

from __future__ import annotations

from pathlib import Path

from fervid.errors import FervidError
from fervid.runtime.platform import allowed_name


def refuse_special(path: Path, error: type[FervidError]) -> None:
    """Refuse what is neither a file nor a folder, before it is opened. Reading it could wait for ever, or never end.

    Args:
        path: What is to be read; it need not exist.
        error: What to raise.

    Raises:
        FervidError: It is a pipe, a device or a socket; ``error`` is the class.
    """
    if path.exists() and not path.is_file() and not path.is_dir():
        raise error(f"{path} is a pipe, a device or a socket; write its content to a file")


def refuse_name(path: Path, error: type[FervidError]) -> None:
    """Refuse the path of an output that the system does not allow, or takes for something else.

    Windows takes ``a:b.csv`` for a hidden part of the file ``a``, and ``aux.csv`` for a device.

    Args:
        path: The output.
        error: What to raise.

    Raises:
        FervidError: A name in the path is not allowed; ``error`` is the class.
    """
    for part in path.parts[1:] if path.anchor else path.parts:
        if part != ".." and allowed_name(part) != part:
            raise error(
                f"{path}: this system does not allow the name {part!r}; {allowed_name(part)!r} would be allowed"
            )
