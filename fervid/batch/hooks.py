"""Commands that a job runs after it, such as one that sends mail. They run without a shell."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fervid.errors import INTERRUPTED, OutputLocked

LIMIT = 60.0
"""Seconds that a command may take."""

_SHOWN = 300
"""Characters of what a command printed last that its warning quotes."""


@dataclass(frozen=True)
class Hooks:
    """The commands of a job.

    Attributes:
        on_success: Program and arguments to run if the run ended with code 0; empty: none.
        on_failure: The same for every other code, but for an interrupt and for an output that another run holds.
        folder: Where they run.
    """

    on_success: Sequence[str] = ()
    on_failure: Sequence[str] = ()
    folder: Path = Path()

    def run(self, exit_code: int, out: Path, record: Path | None) -> str | None:
        """Run the command for an exit code.

        It gets no input, and these variables: ``FERVID_OUT`` (the results, absolute), ``FERVID_EXIT_CODE`` and, if the
        run wrote a record, ``FERVID_RUN_JSON``. After LIMIT seconds it is ended.

        Args:
            exit_code: How the run ended.
            out: The results.
            record: The record of the run; None if there is none.

        Returns:
            What went wrong with the command; None if nothing did, or there was none to run.
        """
        if exit_code in (INTERRUPTED, OutputLocked.exit_code):
            return None
        name, command = ("on-success", self.on_success) if exit_code == 0 else ("on-failure", self.on_failure)
        if not command:
            return None
        variables = {"FERVID_OUT": os.path.abspath(out), "FERVID_EXIT_CODE": str(exit_code)}
        variables |= {"FERVID_RUN_JSON": os.path.abspath(record)} if record else {}
        inherited = {key: value for key, value in os.environ.items() if not key.startswith("FERVID_RUN_JSON")}
        with tempfile.TemporaryFile() as said:
            try:
                done = subprocess.run(
                    list(command),
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=said,
                    cwd=self.folder,
                    env={**inherited, **variables},
                    timeout=LIMIT,
                    check=False,
                )
            except subprocess.TimeoutExpired:
                return f"the command of {name} was ended after {LIMIT:.0f} s: {command[0]}"
            except (OSError, ValueError) as error:
                reason = error.strerror if isinstance(error, OSError) else None
                return f"the command of {name} cannot run: {command[0]}: {reason or error}"
            if done.returncode == 0:
                return None
            said.seek(max(0, said.seek(0, os.SEEK_END) - _SHOWN))
            last = " ".join(said.read().decode("utf-8", "replace").split())
            return f"the command of {name} ended with {done.returncode}: {command[0]}{f': {last}' if last else ''}"
