"""Limits hold for reading a file's content too, which may take longer than scanning it."""

from __future__ import annotations

from pathlib import Path

import pytest

import fervid
from fervid.errors import UnreadableVideo
from fervid.files.fingerprint import content_size, fingerprint
from fervid.settings import AnalyzeSettings, RunSettings, ScanSettings
from tests.support.clips import at_rate, face_clip
from tests.support.command import command


def test_a_file_that_cannot_be_read_in_time_is_remembered_without_reading_it(tmp_path: Path) -> None:
    """A sparse file of 200 GB: no machine hashes it within a second."""
    video, out = tmp_path / "a.mp4", tmp_path / "r.parquet"
    sparse(video)
    settings = AnalyzeSettings(run=RunSettings(timeout=1, workers=1))
    first = fervid.analyze(video, out, settings)
    assert [(row.status, row.error, row.fresh) for row in first.videos] == [("failed", "WorkerFailed", True)]
    assert "not scanned within 1 s" in str(first.videos[0].message)
    (planned,) = fervid_plan(video, out, settings)
    assert planned == ("a.mp4", "failed", first.videos[0].message)
    again = fervid.analyze(video, out, settings)
    assert [(row.status, row.fresh) for row in again.videos] == [("failed", False)]
    video.write_bytes(b"changed")
    assert fervid.analyze(video, out, settings).videos[0].fresh


def fervid_plan(video: Path, out: Path, settings: AnalyzeSettings) -> tuple[tuple[str, str, str], ...]:
    from fervid.batch.plan import plan

    return plan(video, out, settings).videos


def test_a_plan_reads_no_file_for_longer_than_a_run(tmp_path: Path) -> None:
    sparse(tmp_path / "a.mp4")
    (tmp_path / "b.mp4").write_bytes(b"short")
    (tmp_path / "c_1.png").write_bytes(b"short")
    sparse(tmp_path / "c_2.png")
    settings = AnalyzeSettings(scan=ScanSettings(fps_in=25), run=RunSettings(timeout=0.2))
    late = "it will fail: its content is not read within 0.2 s; `timeout` sets the limit"
    planned = fervid_plan(tmp_path, tmp_path / "r.parquet", settings)
    assert planned == (("a.mp4", "analyze", late), ("b.mp4", "analyze", "new"), ("c_%d.png", "analyze", late))


def test_a_limit_changes_no_fingerprint(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(bytes(range(256)) * 5000)
    assert fingerprint(tmp_path / "a", 60) == fingerprint(tmp_path / "a")
    with pytest.raises(UnreadableVideo, match="No such file"):
        fingerprint(tmp_path / "none", 60)
    with pytest.raises(UnreadableVideo, match="No such file"):
        content_size(tmp_path / "none")


@pytest.mark.usefixtures("replayed_scans")
@pytest.mark.timeout(60)
def test_a_file_of_another_size_is_known_without_reading_it(tmp_path: Path) -> None:
    """One of two videos was replaced. The other is done as usual."""
    videos, out = tmp_path / "videos", tmp_path / "r.parquet"
    videos.mkdir()
    for name in ("a.mp4", "b.mp4"):
        face_clip(videos / name, at_rate(10, 2 if name == "a.mp4" else 3))
    fervid.analyze(videos, out)
    sizes = dict(zip(fervid.read_results(out).videos["video"], fervid.read_results(out).videos["size"], strict=True))
    assert sizes == {name: (videos / name).stat().st_size for name in sizes}
    assert fervid.analyze_video(videos / "b.mp4").videos["size"].tolist() == [sizes["b.mp4"]]
    sparse(videos / "a.mp4")
    done = command("annotate", out, "--out", tmp_path / "annotated", "--quiet")
    assert (done.returncode, done.stderr) == (3, "failed: a.mp4: the file has changed since it was analysed\n")
    done = command("report", out, "--out", tmp_path / "page.html", "--quiet")
    assert (done.returncode, len(done.stderr.splitlines())) == (0, 1)
    assert "a.mp4: changed since the analysis" in done.stderr
    done = command("participants", out, "--out", tmp_path / "people.csv", "--quiet")
    assert done.returncode == 3
    assert "a.mp4: changed since the analysis" in done.stderr
    (tmp_path / "moved").mkdir()
    sparse(tmp_path / "moved" / "b.mp4")
    done = command("report", out, "--out", tmp_path / "page.html", "--quiet", "--videos", tmp_path / "moved")
    assert done.returncode == 0


def sparse(path: Path) -> None:
    """A file of 200 GB without content, which no machine hashes within a minute."""
    with path.open("wb") as file:
        file.truncate(200 << 30)
