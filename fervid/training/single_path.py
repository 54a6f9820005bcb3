"""The command line of modules that take one path as their only argument."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from fervid.errors import FervidError


def run_on_path(arguments: Sequence[str], usage: str, action: Callable[[Path], object]) -> int | str:
    """Call a function with the path that the command line names.

    Args:
        arguments: The command line without the program's name.
        usage: How the program is called, such as ``python -m MODULE OUT.keras``.
        action: The function.

    Returns:
        0, or a sentence that says what went wrong, for ``sys.exit``.
    """
    if len(arguments) != 1:
        return f"usage: {usage}"
    try:
        action(Path(arguments[0]))
    except FervidError as error:
        return str(error)
    return 0
