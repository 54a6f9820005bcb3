"""What a batch records about its inputs: folders, fingerprints, and which inputs are gone."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from fervid.batch.run import analyze
from fervid.settings import AnalyzeSettings, ScanSettings
from fervid.types import Progress
from tests.support.paths import LONG_AGO, SAMPLES

pytestmark = pytest.mark.usefixtures("replayed_scans")

FAST = AnalyzeSettings(scan=ScanSettings(fps=1))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two clips, neither modified recently."""
    folder = tmp_path / "videos"
    folder.mkdir()
    for name in ("cut.mp4", "leaving.mp4"):
        shutil.copy(SAMPLES / name, folder / name)
        os.utime(folder / name, (LONG_AGO, LONG_AGO))
    return folder


def messages(root: Path, out: Path) -> list[str]:
    """The messages of a run, without the outcomes of videos."""
    events: list[Progress] = []
    analyze(root, out, FAST, events.append)
    assert {(event.step, event.unit) for event in events} == {("analyze", "videos")}
    assert [events[0].done, events[-1].done] == [0, events[-1].total]
    return [event.message for event in events if event.message and event.outcome is None]


def test_inputs_that_are_gone_are_counted_once_and_moved_ones_are_not(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "r.parquet"
    (root / "bad.mp4").touch()
    os.mkfifo(root / "pipe.mp4")
    assert messages(root, out) == []
    (root / "cut.mp4").rename(root / "moved.mp4")
    assert messages(root, out) == []
    (root / "leaving.mp4").unlink()
    assert messages(root, out) == ["1 video left the tables, because it is no longer among the inputs"]
    assert messages(root, out) == []
    (root / "bad.mp4").unlink()
    (root / "pipe.mp4").unlink()
    assert messages(root, out) == ["2 videos left the tables, because they are no longer among the inputs"]


def test_the_tables_record_the_folders_that_were_analysed(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "more").mkdir()
    (root / "leaving.mp4").rename(tmp_path / "more" / "leaving.mp4")
    monkeypatch.chdir(tmp_path)
    analyze(["more/leaving.mp4", "videos"], "r.parquet", FAST)
    metadata = pq.read_schema("r.parquet").metadata
    assert json.loads(metadata[b"fervid.roots"]) == [str(tmp_path / "more"), str(tmp_path / "videos")]


def test_products_do_not_read_files_again(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Reader:
        def prepare(self, sources: Mapping[str, Path], annotated: Mapping[str, Path]) -> None:
            pass

        def make(self, results: Path, sources: Mapping[str, Path], fingerprint: Callable[[Path], str]) -> None:
            with monkeypatch.context() as patch:
                patch.setattr("fervid.batch.run.fingerprint", lambda path: "read")
                found = [fingerprint(path) for path in sources.values()]
                assert "read" not in found
                with sources["cut.mp4"].open("ab") as file:
                    file.write(b"more")
                assert [fingerprint(path) for path in sources.values()] == ["read", found[1]]

    analyze(root, tmp_path / "r.parquet", FAST, products=[Reader()])
