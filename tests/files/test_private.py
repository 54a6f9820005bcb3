"""Locks, and folders that only their user can change."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from fervid.errors import OutputError, OutputLocked
from fervid.files.locks import is_abandoned, locked
from fervid.files.private_folder import check_private, make_private


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_lock_is_held_by_one(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    assert not is_abandoned(path)
    with locked(path):
        assert not is_abandoned(path)
        with pytest.raises(OutputLocked, match="another run is writing this output"), locked(path):
            pass
        with pytest.raises(OutputLocked), locked(path):  # a refusal does not release it
            pass
    assert is_abandoned(path)
    with locked(path):
        pass


def test_a_lock_is_released_when_its_process_is_killed(tmp_path: Path) -> None:
    code = (
        "import os, pathlib, sys\n"
        "from fervid.files.locks import locked\n"
        "with locked(pathlib.Path(sys.argv[1])):\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "lock")], check=False)
    with locked(tmp_path / "lock"):
        pass


def test_a_lock_that_is_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "target").write_text("kept")
    (tmp_path / "lock").symlink_to(tmp_path / "target")
    with pytest.raises(OutputError, match="cannot lock"), locked(tmp_path / "lock"):
        pass
    assert (tmp_path / "target").read_text() == "kept"


def test_a_private_folder_is_made_and_kept_private(tmp_path: Path) -> None:
    folder = tmp_path / "new" / ".hidden"
    make_private(folder)
    make_private(folder)
    assert mode(folder) == 0o700
    folder.chmod(0o777)
    make_private(folder)
    assert mode(folder) == 0o700


def test_links_files_and_folders_of_others_are_refused(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    (tmp_path / "dangling").symlink_to(tmp_path / "absent")
    (tmp_path / "file").touch()
    for name in ("link", "dangling", "file"):
        with pytest.raises(OutputError, match="it is not a folder"):
            make_private(tmp_path / name)
    assert not (tmp_path / "absent").exists()


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can give a folder away")
def test_a_folder_of_another_user_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "theirs"
    folder.mkdir(mode=0o700)
    os.chown(folder, 12345, 12345)
    with pytest.raises(OutputError, match="it belongs to another user"):
        check_private(folder)


def test_a_folder_whose_permissions_cannot_change_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "shared"
    folder.mkdir()
    folder.chmod(0o777)
    monkeypatch.setattr(Path, "chmod", lambda self, mode: None)  # as on file systems without modes
    with pytest.raises(OutputError, match="other users may write to it"):
        check_private(folder)
    os.chmod(folder, 0o755)
    check_private(folder)
