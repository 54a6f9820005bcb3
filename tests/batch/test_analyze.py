"""The batch on small clips: outputs, failures, exit codes, and what must not change a result."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

import fervid
from fervid.batch.report import BatchReport, VideoReport
from fervid.cli.progress import BatchDisplay
from fervid.errors import BadResults, InputNotFound, OutputError, UsageError
from fervid.results.reader import read_results
from fervid.results.schema import SMALL, TIMELINE
from fervid.settings import AnalyzeSettings, RunSettings, ScanSettings
from tests.support.clips import at_rate, face_clip, write_clip
from tests.support.command import command, fresh_command
from tests.support.comparison import assert_same
from tests.support.paths import ROOT, SAMPLES
from tests.support.processes import members, wait_for

REPLAYED = pytest.mark.usefixtures("replayed_scans")
"""For tests that are not about scanning."""

FAST = AnalyzeSettings(scan=ScanSettings(fps=2))

Plain = tuple[Path, BatchReport]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three clips, one of them without a face for a while, and a file that is not a video."""
    root = tmp_path_factory.mktemp("videos")
    for name in ("crossing.mp4", "leaving.mp4", "cut.mp4"):
        shutil.copy(SAMPLES / name, root / name)
    (root / "broken.mp4").write_text("this is no video")
    return root


@pytest.fixture(scope="module")
def plain(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Plain:
    out = tmp_path_factory.mktemp("plain") / "r.parquet"
    report = fervid.analyze(folder, out, FAST)
    return out, report


@pytest.mark.parametrize(
    "run",
    [
        pytest.param(RunSettings(workers=1, batch_size=7), marks=pytest.mark.slow),
        pytest.param(RunSettings(workers=1), marks=pytest.mark.slow),
        pytest.param(RunSettings(workers=2), marks=pytest.mark.slow),
        pytest.param(RunSettings(batch_size=1), marks=pytest.mark.slow),
        pytest.param(RunSettings(batch_size=7), marks=pytest.mark.slow),
    ],
)
def test_how_a_batch_is_run_changes_no_result(plain: Plain, folder: Path, tmp_path: Path, run: RunSettings) -> None:
    fervid.analyze(folder, tmp_path / "r.parquet", AnalyzeSettings(scan=FAST.scan, run=run))
    assert_same(read_results(plain[0]), read_results(tmp_path / "r.parquet"))


@REPLAYED
def test_scanning_in_this_process_and_other_batches_change_no_result(
    plain: Plain, folder: Path, tmp_path: Path
) -> None:
    """What the slow test tries with workers."""
    fervid.analyze(folder, tmp_path / "r.parquet", AnalyzeSettings(scan=FAST.scan, run=RunSettings(batch_size=7)))
    assert_same(read_results(plain[0]), read_results(tmp_path / "r.parquet"))


def test_a_broken_file_affects_no_other_file(plain: Plain) -> None:
    out, report = plain
    videos = read_results(out).videos.set_index("video")
    assert videos.loc["broken.mp4", "status"] == "failed"
    assert videos.loc["broken.mp4", "error"] == "UnreadableVideo"
    assert "not a video" in videos.loc["broken.mp4", "message"]
    assert (videos["status"] == "ok").sum() == 3
    assert report.exit_code == 3


def test_no_temporary_file_is_left(plain: Plain) -> None:
    out, _ = plain
    state = out.parent / ".r.parquet.fervid"
    expected = ["r.parquet", "r.run.json", state.name, *(f"r.{name}.csv" for name in SMALL)]
    assert sorted(path.name for path in out.parent.iterdir()) == sorted(expected)
    found = {path.name.partition("-")[0] for path in state.iterdir()}
    found.add("index.jsonl")  # absent if the files were made less than two seconds before
    assert found == {"lock", "identity.json", "index.jsonl", "composed.json", "request.json", "parts"}
    assert {path.suffix for path in state.glob("parts-*/*")} == {".parquet", ".json"}


@REPLAYED
@pytest.mark.parametrize("name", ["r.csv", "results"])
def test_every_output_form_holds_the_same(plain: Plain, folder: Path, tmp_path: Path, name: str) -> None:
    fervid.analyze(folder, tmp_path / name, FAST)
    expected, found = read_results(plain[0]), read_results(tmp_path / name)
    order = ["video", "frame", "face_id"]
    one, other = (frame.timeline.sort_values(order).reset_index(drop=True) for frame in (expected, found))
    pd.testing.assert_frame_equal(one, other[one.columns], check_exact=False, atol=1e-6, check_categorical=False)
    pd.testing.assert_frame_equal(expected.episodes, found.episodes)
    if name == "results":
        partitions = sorted(path.name for path in (tmp_path / name / "timeline").iterdir())
        ids = expected.timeline["video_id"].unique()
        assert partitions == ["_common_metadata", *sorted(f"video_id={video_id}" for video_id in ids)]


@REPLAYED
def test_a_folder_of_results_holds_the_last_run_only(tmp_path: Path) -> None:
    for name in ("cut.mp4", "leaving.mp4", "cut.mp4"):
        fervid.analyze(SAMPLES / name, tmp_path / "results", FAST)
        assert set(read_results(tmp_path / "results").timeline["video"]) == {name}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["results"]


def test_the_table_contains_its_provenance(plain: Plain) -> None:
    metadata = read_results(plain[0]).metadata
    assert metadata["schema_version"] == "2"
    assert metadata["version"] == fervid.__version__
    assert metadata["settings"]["scan"]["fps"] == 2.0
    assert len(metadata["weights_sha256"]) == len(metadata["detector_sha256"]) == 64
    assert metadata["detector"] == "retinaface"


@REPLAYED
def test_copies_are_analysed_once(tmp_path: Path) -> None:
    root = tmp_path / "videos"
    root.mkdir()
    for name in ("a.mp4", "b.mp4"):
        shutil.copy(SAMPLES / "cut.mp4", root / name)
    report = fervid.analyze(root, tmp_path / "r.parquet", FAST)
    assert [video.status for video in report.videos] == ["ok", "skipped"]
    results = read_results(tmp_path / "r.parquet")
    assert set(results.timeline["video"]) == {"a.mp4"}
    assert results.videos["message"].tolist()[1] == "same content as a.mp4"
    assert results.videos["faces"].sum() == len(results.summary)
    assert results.videos.loc[1, ["duration", "frames_sampled", "faces", "coverage", "trust"]].isna().all()


@REPLAYED
def test_hostile_file_names(tmp_path: Path) -> None:
    root = tmp_path / "videos"
    root.mkdir()
    names = ["-dash.mp4", "=1+1.mp4", 'quo"te, comma.mp4', "new\nline.mp4", "ünï.mp4"]
    content = face_clip(tmp_path / "face.mp4", at_rate(4, 8)).read_bytes()
    for number, name in enumerate(names):
        (root / name).write_bytes(content + b"\0" * (8 * number))
    os.rename(root / "ünï.mp4", os.fsencode(root) + b"/latin\xfc.mp4")
    report = fervid.analyze(root, tmp_path / "r.csv", FAST)
    assert [video.status for video in report.videos] == ["ok"] * len(names)
    shown = set(read_results(tmp_path / "r.csv").videos["video"])
    assert shown == {*names[:4], "latin\\xfc.mp4"}
    for path in tmp_path.glob("*.csv"):
        with path.open(newline="", encoding="utf-8") as file:
            cells = {row[0] for row in csv.reader(file)}
        assert not any(cell.startswith(("=", "+", "-", "@")) for cell in cells)


def test_irregular_files_and_timeouts_are_reported(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    (tmp_path / "gone.mp4").symlink_to(tmp_path / "nowhere.mp4")
    shutil.copy(SAMPLES / "crossing.mp4", tmp_path / "slow.mp4")
    settings = AnalyzeSettings(scan=ScanSettings(fps=0), run=RunSettings(timeout=0.2))
    report = fervid.analyze(tmp_path, tmp_path / "r.parquet", settings)
    assert {video.video: video.message for video in report.videos} == {
        "gone.mp4": "No such file or directory",
        "pipe.mp4": "not a regular file",
        "slow.mp4": "not scanned within 0.2 s; `timeout` sets the limit",
    }


@REPLAYED
def test_end_and_start_limit_the_samples(tmp_path: Path) -> None:
    settings = AnalyzeSettings(scan=ScanSettings(start=1.0, end=2.0))
    fervid.analyze(SAMPLES / "crossing.mp4", tmp_path / "r.parquet", settings)
    times = read_results(tmp_path / "r.parquet").timeline["time"].unique()
    np.testing.assert_allclose(times, [1.0, 1.2, 1.4, 1.6, 1.8, 2.0], atol=1e-6)


def test_an_input_is_never_overwritten(tmp_path: Path) -> None:
    for name in ("clip.csv", "r.summary.csv"):
        shutil.copy(SAMPLES / "cut.mp4", tmp_path / name)
        before = (tmp_path / name).read_bytes()
        with pytest.raises(UsageError, match="would overwrite the input"):
            fervid.analyze(tmp_path / name, tmp_path / ("clip.csv" if name == "clip.csv" else "r.parquet"))
        assert (tmp_path / name).read_bytes() == before


def test_a_folder_of_results_never_replaces_foreign_files(tmp_path: Path) -> None:
    (tmp_path / "mine" / "timeline").mkdir(parents=True)
    (tmp_path / "mine" / "timeline" / "notes.txt").write_text("keep me")
    with pytest.raises(OutputError, match="holds files that fervid did not write"):
        fervid.analyze(SAMPLES / "cut.mp4", tmp_path / "mine")
    assert (tmp_path / "mine" / "timeline" / "notes.txt").read_text() == "keep me"
    for name in ("", ".", ".."):
        with pytest.raises(UsageError, match="of its own"):
            fervid.analyze(SAMPLES / "cut.mp4", name)


@REPLAYED
def test_files_of_one_name_in_two_folders_have_different_names(tmp_path: Path) -> None:
    for root, clip in (("a", "cut.mp4"), ("b", "leaving.mp4")):
        (tmp_path / root).mkdir()
        shutil.copy(SAMPLES / clip, tmp_path / root / "clip.mp4")
    report = fervid.analyze([tmp_path / "a", tmp_path / "b"], tmp_path / "r.parquet", FAST)
    assert [video.video for video in report.videos] == [f"{tmp_path}/{root}/clip.mp4" for root in "ab"]


@REPLAYED
def test_tables_of_two_runs_are_not_mixed(tmp_path: Path) -> None:
    fervid.analyze(SAMPLES / "cut.mp4", tmp_path / "r.parquet", FAST)
    with pytest.raises(UsageError, match="small tables of the same names"):
        fervid.analyze(SAMPLES / "leaving.mp4", tmp_path / "r.csv", FAST)
    fervid.analyze(SAMPLES / "leaving.mp4", tmp_path / "other.parquet", FAST)
    for name in SMALL:
        shutil.copy(tmp_path / f"other.{name}.csv", tmp_path / f"r.{name}.csv")
    with pytest.raises(BadResults, match="another run"):
        read_results(tmp_path / "r.parquet")


@REPLAYED
def test_a_face_is_found_at_a_low_frame_rate(tmp_path: Path) -> None:
    slow = face_clip(tmp_path / "slow.mp4", at_rate(Fraction(1, 2), 8))
    report = fervid.analyze(slow, tmp_path / "NA.csv")
    assert (report.videos[0].status, report.videos[0].faces) == ("ok", 1)
    results = read_results(tmp_path / "NA.csv")
    assert results.summary["coverage"].tolist() == [1.0]
    assert results.summary.filter(like="share_").sum(axis=1).tolist() == pytest.approx([1.0])


def test_no_episode_ends_after_its_video(plain: Plain) -> None:
    results = read_results(plain[0])
    joined = results.episodes.merge(results.videos, on="video_id", suffixes=("", "_video"))
    assert (joined["offset"] <= joined["duration_video"] + 1e-9).all()


def test_wrong_calls_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputNotFound):
        fervid.analyze(tmp_path / "nothing", tmp_path / "r.parquet")
    with pytest.raises(UsageError, match="must end in"):
        fervid.analyze(SAMPLES, tmp_path / "r.xlsx")
    (tmp_path / "file").touch()
    with pytest.raises(OutputError):
        fervid.analyze(SAMPLES, tmp_path / "file" / "r.parquet")
    (tmp_path / "folder.parquet").mkdir()
    with pytest.raises(OutputError, match="it is a folder"):
        fervid.analyze(SAMPLES, tmp_path / "folder.parquet")


def test_an_empty_folder_is_no_error(tmp_path: Path) -> None:
    assert fervid.analyze(tmp_path, tmp_path / "r.parquet").exit_code == 0
    assert len(read_results(tmp_path / "r.parquet").videos) == 0


@REPLAYED
@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["analyze", "{samples}/cut.mp4", "--out", "{tmp}/r.parquet", "--fps", "2", "--quiet"], 0, ""),
        (["analyze", "{samples}/cut.mp4"], 2, "--out"),
        (["analyze", "{tmp}/nothing", "--out", "{tmp}/r.parquet"], 2, "no such file or folder"),
        (["analyze", "{samples}", "--out", "{tmp}/r.parquet", "--fps", "-1"], 2, "--fps must be between"),
        (["analyze", "{samples}", "--out", "{tmp}/r.parquet", "--device", "tpu"], 2, "must be one of auto, cpu, gpu"),
        (["analyze", "{samples}", "--out", "{tmp}/r.parquet", "--model", "{tmp}/no.keras"], 2, "no such weights"),
        (
            ["analyze", "{tmp}/bad.mp4", "{samples}/cut.mp4", "--out", "{tmp}/r.parquet", "--fps", "2"],
            3,
            "failed: bad.mp4",
        ),
        (["analyze", "{tmp}/bad.mp4", "--out", "{tmp}/r.parquet"], 4, "failed: bad.mp4: empty file"),
        (["analyze", "{samples}", "--out", "/proc/fervid/r.parquet"], 5, "cannot write"),
    ],
)
def test_exit_codes(tmp_path: Path, arguments: list[str], code: int, said: str) -> None:
    (tmp_path / "bad.mp4").touch()
    done = command(*(word.format(samples=SAMPLES, tmp=tmp_path) for word in arguments))
    assert done.returncode == code, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    if "--quiet" in arguments:
        assert done.stderr == ""


def workers_start(state: Path, session: int) -> bool:
    return len(members(session)) > 1


def a_video_is_scanned(state: Path, session: int) -> bool:
    return any(state.glob("scratch/*/*.crops"))


def a_video_is_stored(state: Path, session: int) -> bool:
    return (state / "identity.json").exists()


@pytest.mark.parametrize(
    ("number", "stage"),
    [
        (signal.SIGINT, workers_start),
        pytest.param(signal.SIGTERM, workers_start, marks=pytest.mark.slow),
        (signal.SIGTERM, a_video_is_scanned),
        pytest.param(signal.SIGINT, a_video_is_scanned, marks=pytest.mark.slow),
        pytest.param(signal.SIGINT, a_video_is_stored, marks=pytest.mark.slow),
        pytest.param(signal.SIGTERM, a_video_is_stored, marks=pytest.mark.slow),
    ],
)
def test_a_signal_ends_the_batch_cleanly(
    tmp_path: Path, number: signal.Signals, stage: Callable[[Path, int], bool]
) -> None:
    """The first video is stored at once, the second one takes long."""
    out, brief = tmp_path / "out" / "r.parquet", write_clip(tmp_path / "brief.mp4", at_rate(25, 5))
    state = out.parent / ".r.parquet.fervid"
    line = [sys.executable, "-m", "fervid", "analyze", str(brief), str(SAMPLES / "pan_zoom.mp4"), "--out", str(out)]
    with subprocess.Popen([*line, "--fps", "0"], stderr=subprocess.PIPE, text=True, start_new_session=True) as process:
        wait_for(lambda: process.poll() is not None or stage(state, process.pid), "the stage is never reached")
        os.killpg(process.pid, number)
        try:
            said = process.communicate(timeout=60)[1]
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            raise
    assert process.returncode == 130, said
    assert said.strip().splitlines()[-1] == "fervid: interrupted; run the same command again to continue"
    assert sorted(path.name for path in out.parent.iterdir()) == [state.name, "r.run.json"]
    assert not (state / "scratch").exists()


IN_A_CALLBACK = """
import signal, sys, time, weakref
from fervid.cli import main as cli

class Thing: pass

def go(standalone_mode):
    things = [Thing(), Thing()]
    last = weakref.ref(things[1], lambda ref: signal.raise_signal(signal.SIGTERM))
    things.clear()  # what the handler raises is ignored
    print("ignored", flush=True)
    time.sleep(30)

cli.parser = go
cli.main()
"""


def test_a_signal_in_a_callback_of_the_interpreter_is_not_lost() -> None:
    line = [sys.executable, "-c", IN_A_CALLBACK]
    done = subprocess.run(line, capture_output=True, text=True, timeout=25, check=False)
    assert done.stdout == "ignored\n"
    assert done.returncode == 130
    assert done.stderr == "fervid: interrupted; run the same command again to continue\n"


@pytest.mark.parametrize("job", ["analyze", pytest.param("classify", marks=pytest.mark.slow)])
def test_a_missing_system_library_is_one_line(tmp_path: Path, job: str) -> None:
    (tmp_path / "cv2.py").write_text("raise ImportError('libGL.so.1: cannot open shared object file')")
    done = fresh_command(job, SAMPLES, "--out", tmp_path / "r.csv", PYTHONPATH=f"{tmp_path}:{ROOT}")
    assert done.returncode == 2
    assert "libGL.so.1" in done.stderr
    assert "apt-get install libgl1" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_version_is_printed() -> None:
    assert command("--version").stdout.strip() == f"fervid {fervid.__version__}"


@REPLAYED
@pytest.mark.parametrize("name", ["results", "r.csv", "r.parquet"])
def test_a_result_without_rows_can_be_read(tmp_path: Path, name: str) -> None:
    (tmp_path / "bad.mp4").touch()
    fervid.analyze(tmp_path / "bad.mp4", tmp_path / name)
    results = read_results(tmp_path / name)
    assert len(results.timeline) == len(results.summary) == 0
    assert results.timeline.columns.tolist() == TIMELINE.names
    assert results.videos["status"].tolist() == ["failed"]


@REPLAYED
def test_schema_survives_an_empty_result(tmp_path: Path) -> None:
    (tmp_path / "bad.mp4").touch()
    report = fervid.analyze(tmp_path / "bad.mp4", tmp_path / "r.parquet")
    assert report.exit_code == 4
    assert pq.read_schema(tmp_path / "r.parquet").remove_metadata().equals(TIMELINE)
    assert json.loads(json.dumps(read_results(tmp_path / "r.parquet").metadata))["settings"]


def test_the_closing_table_counts_what_was_analysed(capsys: pytest.CaptureFixture[str]) -> None:
    videos = tuple(VideoReport(f"{name}.mp4", "ok", duration=duration) for name, duration in (("a", 6.0), ("b", 1.5)))
    for scan, seconds in ((ScanSettings(), 7.5), (ScanSettings(start=1.0, end=2.0), 1.5), (ScanSettings(start=9), 0)):
        BatchDisplay(Path("r.parquet"), scan=scan).finish(BatchReport(videos))
        said = capsys.readouterr().err
        assert f"video analysed  {seconds} s in" in said if seconds else "video analysed" not in said
