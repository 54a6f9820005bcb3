"""Runs the command line: ``python -m fervid``, and the command ``fervid``.

It sets the handlers of signals before it imports the rest, which takes a moment.
"""

from __future__ import annotations

import sys

from fervid.cli.signals import Interrupted, handle_signals


def main() -> None:
    """Run the command line.

    Raises:
        SystemExit: Always, with the exit code.
    """
    try:
        handle_signals()
        from fervid.cli.main import main as run

        run()
    except Interrupted:
        from fervid.cli.messages import interrupted, say_end

        message, exit_code = interrupted()
        say_end(message, exit_code)
        sys.exit(exit_code)


if __name__ == "__main__":
    main()
