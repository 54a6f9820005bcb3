"""Damage in the hidden folder heals: the next run gives the tables of an undisturbed run.

Members: parts that are empty, truncated, folders, links, pipes or those of another video, or whose metadata are
missing, of other types or nested too deep; failures that are empty, nested, of other types, folders or pipes; JSON of
other types in index, composed and identity.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import fervid
from fervid.errors import UsageError
from fervid.results.reader import read_results
from fervid.settings import AnalyzeSettings, ScanSettings
from tests.support.comparison import assert_identical
from tests.support.paths import SAMPLES
from tests.support.replay import replaying

FAST = AnalyzeSettings(scan=ScanSettings(fps=2))
DEEP = "[" * 5000 + "]" * 5000


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of two videos and a broken file."""
    root = tmp_path_factory.mktemp("whole")
    (root / "in").mkdir()
    for name in ("cut.mp4", "rotated.mp4"):
        shutil.copy(SAMPLES / name, root / "in" / name)
    (root / "in" / "broken.mp4").write_bytes(b"not a video")
    os.utime(root / "in" / "broken.mp4", (10**9, 10**9))
    with replaying():
        fervid.analyze(root / "in", root / "r.parquet", FAST)
    return root


def store_of(root: Path) -> Path:
    return root / ".r.parquet.fervid"


def parts(root: Path) -> list[Path]:
    return sorted(store_of(root).glob("parts-*/*.parquet"))


def with_metadata(root: Path, text: str) -> None:
    table = pq.read_table(parts(root)[0])
    pq.write_table(table.replace_schema_metadata({"fervid.rows": text}), parts(root)[0])


def replaced_by_folder(path: Path) -> None:
    path.unlink()
    (path / "inner").mkdir(parents=True)


def replaced_by_link(path: Path) -> None:
    path.unlink()
    path.symlink_to("/dev/zero")


def replaced_by_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def failure(root: Path) -> Path:
    (found,) = store_of(root).glob("parts-*/*.failed.json")
    return found


DAMAGE: dict[str, Callable[[Path], object]] = {
    "empty part": lambda root: parts(root)[0].write_bytes(b""),
    "truncated part": lambda root: parts(root)[0].write_bytes(parts(root)[0].read_bytes()[:500]),
    "part of another video": lambda root: shutil.copy(parts(root)[1], parts(root)[0]),
    "part that is a folder": lambda root: replaced_by_folder(parts(root)[0]),
    "part that is a link": lambda root: replaced_by_link(parts(root)[0]),
    "part that is a pipe": lambda root: replaced_by_pipe(parts(root)[0]),
    "part without rows": lambda root: with_metadata(root, "{}"),
    "part with a list": lambda root: with_metadata(root, "[1]"),
    "part with nested rows": lambda root: with_metadata(root, DEEP),
    "part with other rows": lambda root: with_metadata(root, json.dumps({"videos": [{"video_id": 3, "status": "ok"}]})),
    "part without columns": lambda root: pq.write_table(pq.read_table(parts(root)[0]).select(["time"]), parts(root)[0]),
    "empty failure": lambda root: failure(root).write_text(""),
    "nested failure": lambda root: failure(root).write_text(DEEP),
    "failure of numbers": lambda root: failure(root).write_text('{"error": 1, "message": {}}'),
    "failure that is a folder": lambda root: replaced_by_folder(failure(root)),
    "failure that is a pipe": lambda root: replaced_by_pipe(failure(root)),
    "nested index": lambda root: (store_of(root) / "index.jsonl").write_text(DEEP),
    "index of other types": lambda root: (store_of(root) / "index.jsonl").write_text('3\n{"path": 1}\nnull\n'),
    "index that is a pipe": lambda root: replaced_by_pipe(store_of(root) / "index.jsonl"),
    "record that is a pipe": lambda root: replaced_by_pipe(store_of(root) / "composed.json"),
    "nested record": lambda root: (store_of(root) / "composed.json").write_text(DEEP),
    "record of other types": lambda root: (store_of(root) / "composed.json").write_text('{"inputs": {"a": []}}'),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_the_next_run_heals_it(whole: Path, tmp_path: Path, damage: str) -> None:
    root = tmp_path / "copy"
    shutil.copytree(whole, root, symlinks=True)
    DAMAGE[damage](root)
    (root / "r.parquet").unlink()  # so that the tables are composed again
    with replaying():
        for _ in range(2):
            report = fervid.analyze(root / "in", root / "r.parquet", FAST)
    assert report.exit_code == 3
    assert_identical(read_results(root / "r.parquet"), read_results(whole / "r.parquet"))


@pytest.mark.parametrize("text", ["", "null", "[]", "3", DEEP])
def test_a_damaged_identity_is_refused_and_overwrite_heals_it(whole: Path, tmp_path: Path, text: str) -> None:
    root = tmp_path / "copy"
    shutil.copytree(whole, root)
    (store_of(root) / "identity.json").write_text(text)
    with replaying():
        with pytest.raises(UsageError, match="`overwrite`"):
            fervid.analyze(root / "in", root / "r.parquet", FAST)
        fervid.analyze(root / "in", root / "r.parquet", FAST, overwrite=True)
    assert_identical(read_results(root / "r.parquet"), read_results(whole / "r.parquet"))
