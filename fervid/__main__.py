"""``python -m fervid`` is the command line."""

from __future__ import annotations

from fervid.cli.main import main

if __name__ == "__main__":
    main()
