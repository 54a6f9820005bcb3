"""Lock files that exist only while they are held."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import filelock
import pytest

from fervid.errors import OutputError, OutputLocked
from fervid.files import locks
from fervid.files.locks import locked, locked_temporarily


def test_the_lock_file_is_removed_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "lock"
    with locked_temporarily(path):
        assert path.exists()
        with pytest.raises(OutputLocked, match="another run"), locked_temporarily(path):
            pass
        assert path.exists()  # a refusal does not remove it
    with pytest.raises(ZeroDivisionError), locked_temporarily(path):
        raise ZeroDivisionError
    assert os.listdir(path.parent) == []


def test_what_a_killed_process_left_is_taken_over(tmp_path: Path) -> None:
    code = "import os, pathlib, sys; from fervid.files.locks import locked_temporarily\n"
    code += "with locked_temporarily(pathlib.Path(sys.argv[1])): os.kill(os.getpid(), 9)"
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "lock")], check=False)
    assert os.listdir(tmp_path) == ["lock"]
    with locked_temporarily(tmp_path / "lock"):
        pass
    assert os.listdir(tmp_path) == []


def test_a_lock_that_was_removed_before_it_was_taken_excludes_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process opens the file; its holder removes it and ends; a third process makes a new one."""
    path, lock_descriptor = tmp_path / "lock", filelock.lock_descriptor

    def late(handle: int, blocking: bool) -> bool:
        monkeypatch.undo()
        path.unlink()
        return lock_descriptor(handle, blocking=blocking)

    monkeypatch.setattr(locks, "lock_descriptor", late)
    with locked(path):
        with pytest.raises(OutputLocked), locked(path):
            pass
        assert path.exists()


def test_a_folder_that_cannot_be_made_is_an_output_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot write"), locked_temporarily(tmp_path / "file" / "lock"):
        pass
