"""What a second run does: it analyses only new, changed and failed videos, and is refused with other settings."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import fervid
from fervid.batch.engines.local import LocalEngine
from fervid.batch.plan import plan
from fervid.batch.report import BatchReport, VideoReport
from fervid.batch.run import analyze as run_batch
from fervid.emotions.sidecar import SHIPPED, sidecar_path
from fervid.errors import BadResults, OutputLocked, UsageError, WorkerFailed
from fervid.results.reader import read_results
from fervid.settings import AnalyzeSettings, InputSettings, RunSettings, ScanSettings, TimelineSettings
from fervid.types import Progress
from tests.support.clips import at_rate, face_clip, write_clip
from tests.support.command import command
from tests.support.comparison import assert_same
from tests.support.paths import LONG_AGO, ROOT, SAMPLES

pytestmark = pytest.mark.usefixtures("replayed_scans")

SCAN = ScanSettings(fps=2)
FAST = AnalyzeSettings(scan=SCAN)


class Recorder:
    """An ``on_progress`` that keeps reports and messages."""

    def __init__(self) -> None:
        self.reports: list[VideoReport] = []
        self.messages: list[str] = []

    def __call__(self, progress: Progress) -> None:
        if isinstance(progress.outcome, VideoReport):
            self.reports.append(progress.outcome)
            assert progress.done == len(self.reports)
        elif progress.message:
            self.messages.append(progress.message)

    @property
    def fresh(self) -> list[str]:
        return sorted(report.video for report in self.reports if report.fresh and report.status != "skipped")


def run(root: Path, out: Path, scan: ScanSettings = SCAN, **options: Any) -> tuple[BatchReport, list[str]]:
    """The report of a run, and the videos that this run analysed."""
    recorder = Recorder()
    report = run_batch(root, out, AnalyzeSettings(scan=scan, run=RunSettings(**options)), recorder)
    assert len(recorder.reports) == len(report.videos)
    return report, recorder.fresh


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two clips with faces, one without, and a file that is not a video. None was modified recently."""
    folder = tmp_path / "videos"
    folder.mkdir()
    face_clip(folder / "face.mp4", at_rate(4, 8))
    face_clip(folder / "later.mp4", at_rate(4, 12, start=0.5))
    write_clip(folder / "numbers.mp4", at_rate(10, 20))
    (folder / "broken.mp4").write_text("this is no video")
    for path in folder.iterdir():
        os.utime(path, (LONG_AGO, LONG_AGO))
    return folder


def test_a_second_run_does_nothing_and_touches_nothing(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "r.parquet"
    first, fresh = run(root, out)
    assert fresh == ["broken.mp4", "face.mp4", "later.mp4", "numbers.mp4"]
    before = {path.name: path.stat().st_mtime_ns for path in tmp_path.glob("r.*")}
    again, fresh = run(root, out)
    assert fresh == []
    assert [(v.video, v.status) for v in again.videos] == [(v.video, v.status) for v in first.videos]
    assert again.exit_code == first.exit_code == 3
    assert {path.name: path.stat().st_mtime_ns for path in tmp_path.glob("r.*")} == before


@pytest.mark.parametrize("name", ["r.parquet", "r.csv", "results"])
def test_new_changed_and_vanished_files(root: Path, tmp_path: Path, name: str) -> None:
    out = tmp_path / name
    run(root, out)
    shutil.copy(SAMPLES / "crossing.mp4", root / "new.mp4")
    write_clip(root / "numbers.mp4", at_rate(10, 30))
    (root / "later.mp4").unlink()
    report, fresh = run(root, out)
    assert fresh == ["new.mp4", "numbers.mp4"]
    assert [video.video for video in report.videos] == ["broken.mp4", "face.mp4", "new.mp4", "numbers.mp4"]
    run(root, tmp_path / f"whole{out.suffix}")
    assert_same(read_results(tmp_path / f"whole{out.suffix}"), read_results(out))


def test_a_moved_file_is_not_analysed_again(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "r.parquet"
    run(root, out)
    (root / "deep").mkdir()
    (root / "face.mp4").rename(root / "deep" / "moved.mp4")
    report, fresh = run(root, out)
    assert fresh == []
    assert "deep/moved.mp4" in [video.video for video in report.videos]
    results = read_results(out)
    for table in (results.timeline, results.summary, results.videos):
        assert "deep/moved.mp4" in set(table["video"])
        assert "face.mp4" not in set(table["video"])


def test_a_lost_index_costs_reading_but_no_work(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "r.parquet"
    run(root, out)
    (tmp_path / ".r.parquet.fervid" / "index.jsonl").unlink()
    assert run(root, out)[1] == []


def test_a_lost_table_is_composed_again(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "r.parquet"
    run(root, out)
    kept = read_results(out)
    (tmp_path / "r.summary.csv").unlink()
    out.write_bytes(b"garbage")
    assert run(root, out)[1] == []
    assert_same(kept, read_results(out))


def test_failures_are_tried_again_when_asked_or_when_the_file_changed(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "r.parquet"
    run(root, out)
    report, fresh = run(root, out, retry_failed=True)
    assert fresh == ["broken.mp4"]
    assert report.count("failed") == 1
    write_clip(root / "broken.mp4", at_rate(10, 12))
    report, fresh = run(root, out)
    assert fresh == ["broken.mp4"]
    assert report.exit_code == 0


def test_a_stored_timeout_is_forgotten_after_a_success(
    root: Path, tmp_path: Path, replayed_scans: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "r.parquet"
    replayed_scans.undo()
    report, _ = run(root / "face.mp4", out, timeout=0.01)
    assert "not scanned within" in str(report.videos[0].message)
    assert run(root / "face.mp4", out)[1] == []
    report, fresh = run(root / "face.mp4", out, retry_failed=True)
    assert (fresh, report.exit_code) == (["face.mp4"], 0)
    assert run(root / "face.mp4", out)[0].exit_code == 0


@pytest.mark.parametrize(
    "settings",
    [
        AnalyzeSettings(scan=ScanSettings(fps=1)),
        AnalyzeSettings(scan=SCAN, timeline=TimelineSettings(smooth=0.5)),
    ],
)
def test_changed_settings_are_noticed(root: Path, tmp_path: Path, settings: AnalyzeSettings) -> None:
    out = tmp_path / "r.parquet"
    run(root, out)
    kept = out.read_bytes()
    with pytest.raises(UsageError, match="`overwrite`"):
        fervid.analyze(root, out, settings)
    with pytest.raises(UsageError, match="`overwrite`"):
        plan(root, out, settings)
    assert out.read_bytes() == kept
    recorder = Recorder()
    overwriting = AnalyzeSettings(settings.scan, settings.timeline, run=RunSettings(overwrite=True))
    run_batch(root, out, overwriting, recorder)
    assert len(recorder.fresh) == 4
    assert len(list((tmp_path / ".r.parquet.fervid").glob("parts-*"))) == 1
    assert fervid.analyze(root, out, settings).count("ok", fresh=True) == 0


class FailingEngine(LocalEngine):
    """An engine that fails before the first video, as Ray does without a cluster."""

    def run(self, *_: Any) -> Any:
        raise WorkerFailed("no cluster")


@pytest.mark.parametrize("made_before", [False, True])
def test_a_run_that_fails_at_its_start_changes_nothing(root: Path, tmp_path: Path, made_before: bool) -> None:
    out, other = tmp_path / "r.parquet", AnalyzeSettings(ScanSettings(fps=1), run=RunSettings(overwrite=made_before))
    if made_before:
        run(root, out)
    with pytest.raises(WorkerFailed):
        run_batch(root, out, other, engine=FailingEngine())
    assert out.exists() == made_before
    assert run(root, out)[0].count("ok", fresh=True) == (0 if made_before else 2)


def test_other_weights_are_noticed(root: Path, tmp_path: Path) -> None:
    sidecar = json.loads(sidecar_path(SHIPPED).read_text())
    (tmp_path / "w.json").write_text(json.dumps(sidecar | {"weights_sha256": "ab" * 32}))
    shutil.copy(SHIPPED, tmp_path / "w.onnx")
    run(root, tmp_path / "r.parquet")
    with pytest.raises(UsageError, match="weights_sha256"):
        run(root, tmp_path / "r.parquet", model=str(tmp_path / "w.onnx"))


def test_how_a_batch_is_run_may_change(root: Path, tmp_path: Path) -> None:
    run(root, tmp_path / "r.parquet", workers=1)
    assert run(root, tmp_path / "r.parquet", workers=2, batch_size=3, timeout=100.0)[1] == []


def test_a_table_of_unknown_origin_is_not_replaced(root: Path, tmp_path: Path) -> None:
    (tmp_path / "r.parquet").write_text("my own notes")
    with pytest.raises(UsageError, match="`overwrite`"):
        run(root, tmp_path / "r.parquet")
    assert (tmp_path / "r.parquet").read_text() == "my own notes"
    assert run(root, tmp_path / "r.parquet", overwrite=True)[1]


def test_small_tables_of_unknown_origin_are_not_replaced(root: Path, tmp_path: Path) -> None:
    (tmp_path / "r.summary.csv").write_text("my own notes")
    with pytest.raises(UsageError, match="`overwrite`"):
        run(root, tmp_path / "r.parquet")
    assert (tmp_path / "r.summary.csv").read_text() == "my own notes"


@pytest.mark.parametrize("indexed", [True, False])
def test_a_damaged_part_is_made_again(root: Path, tmp_path: Path, indexed: bool) -> None:
    out = tmp_path / "r.parquet"
    run(root, out)
    kept = read_results(out)
    store = tmp_path / ".r.parquet.fervid"
    part = next(store.glob("parts-*/*.parquet"))
    part.write_bytes(b"bad sector")
    name = kept.videos.set_index("video_id").loc[part.stem, "video"]
    if indexed:
        assert run(root, out)[1] == [name]
    else:  # the damage is noticed only after the video has been read
        (store / "index.jsonl").unlink()
        report, _ = run(root, out)
        failed = {video.video: str(video.message) for video in report.videos if video.status == "failed"}
        assert failed.keys() == {"broken.mp4", name}
        assert "damaged" in failed[name]
        assert run(root, out)[1] == [name]
    assert_same(kept, read_results(out))


def test_a_part_with_damaged_rows_ends_the_run_and_is_made_again(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "r.parquet"
    run(root, out)
    part = max((tmp_path / ".r.parquet.fervid").glob("parts-*/*.parquet"), key=lambda path: path.stat().st_size)
    data = bytearray(part.read_bytes())
    data[4:2000] = bytes(1996)  # the footer, which holds the manifest row, stays intact
    part.write_bytes(data)
    (root / "broken.mp4").unlink()  # so that the tables are composed again
    with pytest.raises(BadResults, match="was damaged and has been removed"):
        run(root, out)
    assert len(run(root, out)[1]) == 1


def test_a_file_that_changes_while_it_is_read_fails_until_the_next_run(root: Path, tmp_path: Path) -> None:
    class Camera(LocalEngine):
        """An engine whose input files grow while they are scanned."""

        def run(self, tasks: Any, job: Any) -> Any:
            for task, outcome in super().run(tasks, job):
                with task.path.open("ab") as file:
                    file.write(b"more")
                yield task, outcome

    report = fervid.analyze(root / "face.mp4", tmp_path / "r.parquet", FAST, engine=Camera())
    assert report.videos[0].status == "failed"
    assert "changed while it was read" in str(report.videos[0].message)
    assert run(root / "face.mp4", tmp_path / "r.parquet")[1] == ["face.mp4"]


def test_recently_modified_files_are_skipped(root: Path, tmp_path: Path) -> None:
    now = time.time()
    os.utime(root / "face.mp4", (now, now))
    settings = AnalyzeSettings(scan=SCAN, inputs=InputSettings(settle=3600, exclude=("broken*",)))
    report = fervid.analyze(root, tmp_path / "r.parquet", settings)
    assert {v.video: v.status for v in report.videos} == {
        "face.mp4": "skipped",
        "later.mp4": "ok",
        "numbers.mp4": "no_face",
    }
    assert report.exit_code == 0
    os.utime(root / "face.mp4", (LONG_AGO, LONG_AGO))
    assert fervid.analyze(root, tmp_path / "r.parquet", settings).count("ok", fresh=True) == 1


def test_links_that_lead_outside_are_skipped_by_default(root: Path, tmp_path: Path) -> None:
    shutil.copy(SAMPLES / "crossing.mp4", tmp_path / "secret.mp4")
    (root / "link.mp4").symlink_to(tmp_path / "secret.mp4")
    (root / "inner.mp4").symlink_to(root / "face.mp4")
    report = fervid.analyze(root, tmp_path / "r.parquet", FAST)
    found = {video.video: (video.status, video.message) for video in report.videos}
    assert found["link.mp4"][0] == "skipped"
    assert "`follow_links`" in str(found["link.mp4"][1])
    assert found["face.mp4"] == ("ok", None)
    assert found["inner.mp4"] == ("skipped", "same content as face.mp4")
    asked = AnalyzeSettings(scan=SCAN, inputs=InputSettings(follow_links=True))
    found = {
        video.video: (video.status, video.message)
        for video in fervid.analyze(root, tmp_path / "r.parquet", asked).videos
    }
    assert found["link.mp4"][0] == "ok"


def test_a_dry_run_prints_a_plan_and_writes_nothing(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "results" / "r.parquet"
    shutil.copy(root / "face.mp4", root / "face again.mp4")
    done = command("analyze", root, "--out", out, "--fps", "2", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert sorted(line.split()[0] for line in done.stdout.splitlines()) == ["analyze"] * 4 + ["copy"]
    assert not out.parent.exists()
    fervid.analyze(root, out, FAST)
    before = sorted(path for path in tmp_path.rglob("*"))
    done = command("analyze", root, "--out", out, "--fps", "2", "--dry-run")
    assert {line.split()[0] for line in done.stdout.splitlines()} == {"done", "failed", "copy"}
    done = command("analyze", root, "--out", out, "--fps", "2", "--dry-run", "--retry-failed")
    assert "analyze  broken.mp4: failed before" in done.stdout
    assert sorted(path for path in tmp_path.rglob("*")) == before


def test_a_second_run_on_the_same_output_ends_at_once_with_75(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "r.parquet"
    run(root, out)
    with (tmp_path / ".r.parquet.fervid" / "lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(OutputLocked):
            run(root, out)
        done = command("analyze", root, "--out", out, "--fps", "2")
        assert done.returncode == 75
        assert "another run" in done.stderr
        assert run(root, tmp_path / "other.parquet")[1]  # the lock is for one output only
    assert run(root, out)[1] == []


def test_the_json_log_has_one_object_per_line(root: Path, tmp_path: Path) -> None:
    done = command("analyze", root, "--out", tmp_path / "r.parquet", "--fps", "2", "--log-json")
    assert done.returncode == 3
    events = [json.loads(line) for line in done.stderr.splitlines()]
    assert [events[0]["event"], events[-1]["event"]] == ["start", "end"]
    stages = {(event["video"], event["stage"]) for event in events if event["event"] == "stage"}
    assert stages == {(f"{n}.mp4", s) for n in ("face", "later", "numbers") for s in ("scan", "score", "finish")}
    assert all(event["seconds"] >= 0 for event in events if event["event"] == "stage")
    assert events[-1]["exit_code"] == 3


def test_a_fatal_error_is_a_json_object_too(tmp_path: Path) -> None:
    done = command("analyze", tmp_path / "none.mp4", "--out", tmp_path / "r.parquet", "--log-json")
    (event,) = (json.loads(line) for line in done.stderr.splitlines())
    assert (event["event"], event["exit_code"], done.returncode) == ("error", 2, 2)
    assert "none.mp4" in event["message"]


def test_control_characters_in_names_are_escaped(tmp_path: Path) -> None:
    (tmp_path / "a\x1b]0;owned\x07\n.mp4").touch()
    for options in ([], ["--dry-run"]):
        done = command("analyze", tmp_path, "--out", tmp_path / "r.parquet", *options)
        assert "\x1b" not in done.stderr + done.stdout
        assert "a\\x1b]0;owned\\x07\\n.mp4" in done.stderr + done.stdout


def test_products_are_made_while_the_output_is_locked(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "r.parquet"
    calls: list[tuple[str, list[str]]] = []

    class Witness:
        def prepare(self, sources: Any, annotated: Any) -> None:
            assert not out.exists()
            assert annotated == {}
            calls.append(("prepare", sorted(sources)))

        def make(self, results: Path, sources: Any, fingerprint: Any) -> None:
            assert results == out
            assert out.exists()
            with pytest.raises(OutputLocked):
                fervid.analyze(root, out, FAST)
            calls.append(("make", sorted(sources)))

    settings = AnalyzeSettings(scan=SCAN, inputs=InputSettings(exclude=("broken*", "numbers*")))
    run_batch(root, out, settings, products=[Witness()])
    assert calls == [("prepare", ["face.mp4", "later.mp4"]), ("make", ["face.mp4", "later.mp4"])]


@pytest.mark.slow
def test_closed_streams_do_not_matter(root: Path, tmp_path: Path) -> None:
    line = [sys.executable, "-m", "fervid", "analyze", str(root / "face.mp4"), "--out", str(tmp_path / "r.parquet")]
    assert subprocess.run(["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", *line], check=False, cwd=ROOT).returncode == 0
    assert len(read_results(tmp_path / "r.parquet").summary) == 1


def test_quiet_reports_a_failure_once_and_success_never(root: Path, tmp_path: Path) -> None:
    line: list[str | Path] = ["analyze", root, "--out", tmp_path / "r.parquet", "--fps", "2", "--quiet"]
    assert "broken.mp4" in command(*line).stderr
    again = command(*line)
    assert (again.returncode, again.stderr, again.stdout) == (3, "", "")


def contents(folder: Path) -> dict[Path, bytes]:
    """Path → content of all files in a folder and its subfolders, without hidden ones and the record of the run."""
    found = {path.relative_to(folder): path for path in folder.rglob("*") if path.is_file()}
    found = {name: path for name, path in found.items() if not name.name.endswith("run.json")}
    return {name: path.read_bytes() for name, path in found.items() if not any(p.startswith(".") for p in name.parts)}


@pytest.mark.parametrize(
    ("name", "left"),
    [("r.parquet", "nothing"), ("r", "a link"), pytest.param("r.csv", "a link", marks=pytest.mark.slow)],
)
def test_an_input_that_is_suddenly_empty_leaves_the_tables(root: Path, tmp_path: Path, name: str, left: str) -> None:
    """A network share that is not mounted is an empty folder."""
    (tmp_path / "made").mkdir()
    out = tmp_path / "made" / name
    line = ("analyze", root, "--out", out, "--fps", "2", "--quiet", "--annotate", tmp_path / "made" / "drawn")
    assert command(*line).returncode == 3
    before = contents(tmp_path / "made")
    assert len(before) >= 4
    root.rename(tmp_path / "away")
    root.mkdir()
    if left == "a link":
        (root / "link").symlink_to("/")
    done = command(*line)
    assert (done.returncode, done.stderr) == (0, f"there is no video to analyse; {out} is left as it was\n")
    assert contents(tmp_path / "made") == before
    shutil.rmtree(root)
    (tmp_path / "away").rename(root)
    (root / "later.mp4").unlink()
    assert command(*line).returncode == 3
    assert "later.mp4" not in read_results(out).videos["video"].tolist()


def test_overwriting_empties_the_tables_of_an_empty_input(root: Path, tmp_path: Path) -> None:
    run(root, tmp_path / "r.parquet")
    shutil.rmtree(root)
    root.mkdir()
    report, _ = run(root, tmp_path / "r.parquet", overwrite=True)
    assert report.videos == ()
    assert len(read_results(tmp_path / "r.parquet").videos) == 0


def test_skipped_inputs_do_not_count_for_the_exit_code(root: Path, tmp_path: Path) -> None:
    for name in ("face.mp4", "later.mp4", "numbers.mp4"):
        (root / name).unlink()
    write_clip(root / "old.annotated.mp4", at_rate(10, 20))
    report, _ = run(root, tmp_path / "r.parquet")
    assert [(video.video, video.status) for video in report.videos] == [
        ("broken.mp4", "failed"),
        ("old.annotated.mp4", "skipped"),
    ]
    assert report.exit_code == 4


def test_merged_shards_equal_an_undivided_run(root: Path, tmp_path: Path) -> None:
    shutil.copy(root / "face.mp4", root / "zz copy.mp4")
    fervid.analyze(root, tmp_path / "whole.parquet", FAST)
    shards = []
    for number in (1, 2, 3):
        shards.append(tmp_path / f"shard-{number}.parquet")
        settings = AnalyzeSettings(scan=SCAN, inputs=InputSettings(shard=f"{number}/3"))
        fervid.analyze(root, shards[-1], settings)
    done = command("merge", *shards, "--out", tmp_path / "all.parquet")
    assert done.returncode == 0, done.stderr
    whole, merged = read_results(tmp_path / "whole.parquet"), read_results(tmp_path / "all.parquet")
    assert sorted(whole.videos["video"]) == sorted(merged.videos["video"])
    assert sorted(merged.videos["status"]) == sorted(whole.videos["status"])
    columns = ["video_id", "frame", "face_id", *fervid.EMOTIONS]
    one, other = (r.timeline[columns].sort_values(columns[:3]).reset_index(drop=True) for r in (whole, merged))
    pd.testing.assert_frame_equal(one, other)
    assert merged.metadata["weights_sha256"] == whole.metadata["weights_sha256"]
    assert len(merged.episodes) == len(whole.episodes)


@pytest.mark.parametrize("name", ["m.csv", "merged"])
def test_results_merge_into_every_form(root: Path, tmp_path: Path, name: str) -> None:
    fervid.analyze(root / "face.mp4", tmp_path / "a.parquet", FAST)
    fervid.analyze([root / "later.mp4", root / "broken.mp4"], tmp_path / "b", FAST)
    assert command("merge", tmp_path / "a.parquet", tmp_path / "b", "--out", tmp_path / name).returncode == 0
    merged = read_results(tmp_path / name)
    assert merged.videos["video"].tolist() == ["face.mp4", "later.mp4", "broken.mp4"]
    assert set(merged.timeline["video"]) == {"face.mp4", "later.mp4"}
    assert not list(tmp_path.glob(".m*.partial*"))


def test_folders_without_a_row_merge_and_keep_their_settings(tmp_path: Path) -> None:
    for name, fps in (("a", 2), ("b", 2), ("c", 3)):
        (tmp_path / f"in-{name}").mkdir()
        fervid.analyze(tmp_path / f"in-{name}", tmp_path / name, AnalyzeSettings(scan=ScanSettings(fps=fps)))
    assert command("merge", tmp_path / "a", tmp_path / "b", "--out", tmp_path / "m").returncode == 0
    assert read_results(tmp_path / "m").metadata["settings"]["scan"]["fps"] == 2
    done = command("merge", tmp_path / "a", tmp_path / "c", "--out", tmp_path / "n")
    assert done.returncode == 2
    assert "scan.fps 2 and 3" in done.stderr


def test_a_merge_does_not_overwrite_the_output_of_a_batch(root: Path, tmp_path: Path) -> None:
    for name in ("a.parquet", "b.parquet"):
        fervid.analyze(root / "face.mp4", tmp_path / name, FAST)
    kept = (tmp_path / "b.parquet").read_bytes()
    done = command("merge", tmp_path / "a.parquet", "--out", tmp_path / "b.parquet")
    assert done.returncode == 2
    assert "is an output of analyze, which would overwrite it" in done.stderr
    assert (tmp_path / "b.parquet").read_bytes() == kept


def test_results_with_other_settings_are_not_merged(root: Path, tmp_path: Path) -> None:
    fervid.analyze(root / "face.mp4", tmp_path / "a.parquet", FAST)
    fervid.analyze(root / "later.mp4", tmp_path / "b.parquet", AnalyzeSettings(scan=ScanSettings(fps=1)))
    done = command("merge", tmp_path / "a.parquet", tmp_path / "b.parquet", "--out", tmp_path / "m.parquet")
    assert done.returncode == 2
    assert "scan.fps" in done.stderr
    done = command("merge", tmp_path / "a.parquet", "--out", tmp_path / "a.parquet")
    assert (done.returncode, (tmp_path / "m.parquet").exists()) == (2, False)
