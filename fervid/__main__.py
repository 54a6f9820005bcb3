"""Runs the command line: ``python -m fervid``."""

from __future__ import annotations

from fervid.cli.main import main

if __name__ == "__main__":
    main()
