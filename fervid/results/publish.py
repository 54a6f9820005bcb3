"""Moving complete tables into place, so that no mixture of two results ever lies under the final names.

The timeline is moved away first and the new one is moved in last. A result is complete if and only if its timeline is
in place. In the workspace, ``new`` holds the complete new tables and ``old`` the replaced ones. ``old`` is made when
all new tables are complete, so a process that finds it after a kill can finish the work.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from fervid.files.atomic import sync_file, sync_folder
from fervid.results.mesh_table import MESH_NAME
from fervid.results.schema import SMALL, is_folder, mesh_path, small_path, timeline_path

NEW, OLD = "new", "old"
"""Folders of the workspace: the complete new tables, and the tables that they replace."""

TIMELINE_NAME = "timeline"
"""Name of the timeline, a file or a folder, in ``new`` and ``old``. The small tables have their own names."""


def publish(out: Path, workspace: Path) -> None:
    """Replace the tables of a result by those in the folder ``new`` of the workspace.

    After an error all tables are as they were before.

    Args:
        out: The results.
        workspace: A folder on the same disk, with the complete new tables.

    Raises:
        OSError: A table cannot be moved.
    """
    _sync_all(workspace / NEW)
    (workspace / OLD).mkdir()
    sync_folder(workspace)
    moved: list[tuple[Path, Path]] = []
    try:
        for source, target in _moves(out, workspace):
            moved.append((source, target))  # before the move, which a signal may follow at once
            source.rename(target)
            sync_folder(target.parent)
            sync_folder(source.parent)
    except BaseException:
        for source, target in reversed(moved):
            if os.path.lexists(target) and not os.path.lexists(source):
                target.rename(source)
        raise
    shutil.rmtree(workspace / OLD, ignore_errors=True)


def _moves(out: Path, workspace: Path) -> Iterator[tuple[Path, Path]]:
    """The moves in their order, each as source and target."""
    new, old, timeline = workspace / NEW, workspace / OLD, timeline_path(out)
    if os.path.lexists(timeline):
        yield timeline, old / TIMELINE_NAME
    for name in SMALL:
        place = small_path(out, name)
        if os.path.lexists(place):
            yield place, old / name
        yield new / name, place
    if os.path.lexists(mesh_path(out)):
        yield mesh_path(out), old / MESH_NAME
    if _is_kept(new / MESH_NAME):
        yield new / MESH_NAME, mesh_path(out)
    yield new / TIMELINE_NAME, timeline


def _is_kept(mesh: Path) -> bool:
    """Whether there is a table of meshes among the new tables. If there is none, its file is empty."""
    return mesh.is_file() and mesh.stat().st_size > 0


def finish_interrupted(out: Path, workspace: Path) -> None:
    """Move the new tables in that a killed process left in a workspace, if it had begun to replace the old ones.

    Nothing is moved if what is there cannot be tables, such as a link or a folder in place of a file.

    Args:
        out: The results.
        workspace: The workspace of the killed process; it need not exist.

    Raises:
        OSError: A table cannot be moved.
    """
    new, timeline = workspace / NEW, timeline_path(out)
    if not (workspace / OLD).is_dir() or os.path.lexists(timeline) or not _are_tables(out, new):
        return
    for name in SMALL:
        if (new / name).exists():
            (new / name).replace(small_path(out, name))
    if _is_kept(new / MESH_NAME):
        (new / MESH_NAME).replace(mesh_path(out))
    elif (new / MESH_NAME).exists():  # there is none: what is in its place is an earlier one
        mesh_path(out).unlink(missing_ok=True)
    sync_folder(small_path(out, "videos").parent)
    if (new / TIMELINE_NAME).exists():
        (new / TIMELINE_NAME).rename(timeline)
        sync_folder(timeline.parent)


def _are_tables(out: Path, new: Path) -> bool:
    """Whether the tables that are still in ``new`` are files; the timeline of a folder is a folder."""
    left = [path for path in (new / name for name in (*SMALL, MESH_NAME, TIMELINE_NAME)) if os.path.lexists(path)]
    folders = [path.name for path in left if path.is_dir()]
    expected = [TIMELINE_NAME] if is_folder(out) and (new / TIMELINE_NAME) in left else []
    return folders == expected and not any(path.is_symlink() for path in left)


def remove(out: Path, workspace: Path) -> None:
    """Remove a workspace, unless the only copy of the tables is in it.

    Args:
        out: The results.
        workspace: The workspace; it need not exist.
    """
    if os.path.lexists(timeline_path(out)) or not (workspace / OLD).is_dir():
        shutil.rmtree(workspace, ignore_errors=True)


def _sync_all(folder: Path) -> None:
    """Flush all files and folders below a folder to the disk, and the folder itself."""
    for path in [*folder.rglob("*"), folder]:
        sync_folder(path) if path.is_dir() else sync_file(path)
