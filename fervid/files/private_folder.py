"""Hidden folders that only the user who runs fervid can change."""

from __future__ import annotations

import contextlib
import shutil
import stat
from pathlib import Path

from fervid.errors import OutputError
from fervid.files.atomic import writing
from fervid.runtime.platform import HAS_OWNERS, belongs_to_other


def make_private(folder: Path) -> None:
    """Make a private folder, with its parents, or check that an existing one is private.

    Args:
        folder: The folder.

    Raises:
        OutputError: The folder cannot be made, or ``check_private`` refuses it.
    """
    with writing(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        try:
            folder.mkdir(mode=0o700)
        except FileExistsError:
            pass
        else:
            return
    check_private(folder)


def is_foreign(folder: Path) -> bool:
    """Whether a hidden folder is none that fervid may use. Nothing is changed.

    Args:
        folder: The folder.

    Returns:
        True if it is a link or a file, belongs to another user, or cannot be examined.
    """
    try:
        status = folder.lstat()
    except OSError:
        return True
    return not stat.S_ISDIR(status.st_mode) or belongs_to_other(status)


def remove_damaged(path: Path) -> None:
    """Remove what lies in place of a file, whatever it is. Links are not followed, and errors of the system ignored.

    Args:
        path: A file, a folder with its content, a link or a pipe; it need not exist.
    """
    with contextlib.suppress(OSError):
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink(missing_ok=True)


def check_private(folder: Path) -> None:
    """Check that a folder is a real folder of this user that nobody else can change.

    If it is this user's and others may read or write it, these permissions are removed.

    Args:
        folder: An existing folder.

    Raises:
        OutputError: It is a link or a file, belongs to another user, or stays writable for others.
    """
    with writing(folder):
        status = folder.lstat()
        if not stat.S_ISDIR(status.st_mode):
            raise OutputError(f"cannot use {folder}: it is not a folder; remove it")
        if belongs_to_other(status):
            raise OutputError(f"cannot use {folder}: it belongs to another user; choose another output")
        if HAS_OWNERS and status.st_mode & 0o077:
            folder.chmod(0o700)
            status = folder.lstat()
    if HAS_OWNERS and status.st_mode & 0o022:
        raise OutputError(f"cannot use {folder}: other users may write to it; choose an output on another disk")
