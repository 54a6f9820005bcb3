"""Runs the command line: ``python -m fervid``, and the command ``fervid``.

It sets the handlers of signals before it imports the rest, which takes a moment.
"""

from __future__ import annotations

import sys
from typing import NoReturn

from fervid.cli.signals import Interrupted, handle_signals
from fervid.errors import FervidError
from fervid.runtime.platform import low_limit


def main() -> None:
    """Run the command line.

    Raises:
        SystemExit: Always, with the exit code.
    """
    try:
        handle_signals()
        if reason := low_limit():  # before a library is loaded that would crash
            _end(reason, FervidError.exit_code)
        from fervid.cli.main import main as run

        run()
    except Interrupted:
        from fervid.cli.messages import interrupted

        _end(*interrupted())


def _end(message: str, exit_code: int) -> NoReturn:
    """Print why the command ends, and end it."""
    from fervid.cli.messages import open_streams, say_end

    open_streams()
    say_end(message, exit_code)
    sys.exit(exit_code)


if __name__ == "__main__":
    main()
