"""A private hidden folder beside results that are made from other results, for tables that are not complete."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

from fervid.files.atomic import writing
from fervid.files.locks import locked
from fervid.files.private_folder import make_private
from fervid.results.publish import finish_interrupted, remove
from fervid.results.schema import is_folder


@contextlib.contextmanager
def workspace(out: Path) -> Iterator[Path]:
    """Open a workspace that one process at a time can use, and remove it at the end.

    What a killed process left in it is finished, if it had begun to replace the tables, or removed.

    Args:
        out: The results to write. Their folder is made.

    Yields:
        An empty folder on the same disk as the results.

    Raises:
        OutputLocked: Another process writes these results.
        OutputError: The folder cannot be made or used.
    """
    folder = out / ".merging" if is_folder(out) else out.with_name(f".{out.name}.merging")
    make_private(folder)
    with locked(folder / "lock"):
        scratch = folder / "scratch"
        with writing(out):
            finish_interrupted(out, scratch)
            shutil.rmtree(scratch, ignore_errors=True)
            scratch.mkdir(mode=0o700)
        try:
            yield scratch
        finally:
            remove(out, scratch)
            if not scratch.exists():
                shutil.rmtree(folder, ignore_errors=True)
