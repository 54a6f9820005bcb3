"""Messages of the library, written for users of the command line."""

from __future__ import annotations

import re
from typing import Any

_OPTIONS: set[str] = set()
"""The options of all commands."""


def register_options(parser: Any) -> None:
    """Remember the options of all commands, for ``as_options``.

    Args:
        parser: What Typer made of the application with all its commands.
    """
    for command in parser.commands.values():
        for parameter in command.params:
            _OPTIONS.update(parameter.opts)


def as_options(message: str) -> str:
    """Rewrite a message of the library for users of the command line.

    Args:
        message: Text that names settings in backticks, such as `worker_memory`.

    Returns:
        The text with each setting as the option of that name (``--worker-memory``). A setting without an option is
        written as in job files.
    """

    def shown(match: re.Match[str]) -> str:
        name = match[1].replace("_", "-")
        return f"--{name}" if f"--{name}" in _OPTIONS else f"`{name}`"

    return re.sub(r"`([a-z_]+)`", shown, message)
