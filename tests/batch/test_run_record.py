"""The record of each run, the metrics, the commands after a job, and log lines."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

import fervid
from fervid.batch import hooks
from fervid.batch.metrics import metrics, write_metrics
from fervid.batch.run_record import RunRecord, RunRecorder, read_run
from fervid.errors import OutputError, OutputLocked, UsageError, exit_code_of
from fervid.files.locks import locked
from tests.support.command import command
from tests.support.small_batch import FAST, FORMS, contents, make_videos, run

pytestmark = pytest.mark.usefixtures("replayed_scans")

KEYS = [
    "fervid", "schema", "out", "started", "finished", "seconds", "exit_code", "message", "command", "videos",
    "video_seconds", "failed", "python", "platform",
]  # fmt: skip


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    return make_videos(tmp_path / "videos")


def read(path: Path) -> dict[str, Any]:
    values = json.loads(path.read_text())
    assert isinstance(values, dict)
    return values


@pytest.mark.parametrize("form", [FORMS[0], pytest.param(FORMS[1], marks=pytest.mark.slow), FORMS[2]])
def test_every_run_leaves_a_record_and_the_tables_as_they_are(videos: Path, tmp_path: Path, form: str) -> None:
    out = tmp_path / "o" / form
    path = out / "run.json" if form == "r" else out.with_name("r.run.json")
    done = command("analyze", videos, "--out", out, "--fps", "2", "--quiet")
    first = read(path)
    assert list(first) == KEYS
    assert (first["exit_code"], first["message"]) == (done.returncode, None) == (3, None)
    assert first["command"] == done.args
    assert first["videos"] == {"total": 6, "ok": 0, "no_face": 4, "failed": 1, "skipped": 1, "new": 4, "new_failed": 1}
    assert [one["video"] for one in first["failed"]] == ["x.mp4"]
    assert datetime.fromisoformat(first["started"]) <= datetime.fromisoformat(first["finished"])
    assert datetime.fromisoformat(first["started"]).tzinfo is not None
    tables = contents(out.parent)
    before = {path.name: path.stat().st_mtime_ns for path in out.parent.rglob("*.csv")}
    assert run(videos, out) == 3
    again = read(path)
    assert again["command"] is None
    assert (again["videos"]["new"], again["videos"]["new_failed"], again["video_seconds"]) == (0, 0, 0)
    assert contents(out.parent) == tables
    assert {path.name: path.stat().st_mtime_ns for path in out.parent.rglob("*.csv")} == before


def test_a_run_that_ends_early_leaves_a_record_too(videos: Path, tmp_path: Path) -> None:
    out = tmp_path / "r.parquet"
    done = command("analyze", videos, "--out", out, "--fps", "2")
    assert command("analyze", videos, "--out", out, "--fps", "4").returncode == 2
    refused = read_run(out)
    assert refused is not None
    assert (refused.exit_code, done.returncode) == (2, 3)
    assert "different settings" in str(refused.message)

    def interrupt(progress: fervid.Progress) -> None:
        if progress.done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fervid.analyze(videos, out, FAST, on_progress=interrupt)
    interrupted = read_run(out)
    assert interrupted is not None
    assert (interrupted.exit_code, interrupted.message, interrupted.videos["total"]) == (130, "interrupted", 6)


def test_no_record_is_written_beside_what_is_no_output(videos: Path, tmp_path: Path) -> None:
    (tmp_path / "o").mkdir()
    assert command("analyze", tmp_path / "none", "--out", tmp_path / "o" / "r.parquet").returncode == 2
    assert command("analyze", videos, "--out", tmp_path / "o" / "r.xls").returncode == 2
    assert command("analyze", videos, "--out", tmp_path / "o" / "r.parquet", "--dry-run").returncode == 0
    assert list((tmp_path / "o").iterdir()) == []


def test_a_run_that_finds_the_output_locked_leaves_the_record(videos: Path, tmp_path: Path) -> None:
    out = tmp_path / "r.parquet"
    run(videos, out)
    before = read_run(out)
    with locked(tmp_path / ".r.parquet.fervid" / "lock"), pytest.raises(OutputLocked):
        run(videos, out)
    assert read_run(out) == before


def test_a_file_of_the_user_is_not_replaced(videos: Path, tmp_path: Path) -> None:
    (tmp_path / "r.run.json").write_text('{"mine": 1}')
    done = command("analyze", videos, "--out", tmp_path / "r.parquet", "--fps", "2")
    assert done.returncode == 3
    assert "fervid did not write what is there" in done.stderr
    assert (tmp_path / "r.run.json").read_text() == '{"mine": 1}'


def test_a_record_holds_no_password(tmp_path: Path) -> None:
    recorder = RunRecorder(tmp_path / "r.parquet", command=["fervid", "--address", "ray://me:secret@host:1"])
    assert recorder.end(None).command == ["fervid", "--address", "ray://***@host:1"]


@pytest.mark.parametrize(
    ("error", "code"),
    [(UsageError(), 2), (OutputLocked(), 75), (OSError(), 5), (ZeroDivisionError(), 5), (KeyboardInterrupt(), 130)],
)
def test_the_exit_code_of_an_error(error: BaseException, code: int) -> None:
    assert exit_code_of(error) == code


# metrics


def made_record(**values: Any) -> RunRecord:
    counts = {"total": 4, "ok": 1, "no_face": 1, "failed": 1, "skipped": 1, "new": 1, "new_failed": 0}
    usual: dict[str, Any] = {
        "fervid": "1.0", "schema": 1, "out": "r.parquet", "started": "2026-01-01T00:00:00+00:00",
        "finished": "2026-01-01T00:01:00+00:00", "seconds": 60.0, "exit_code": 0, "message": None, "command": None,
        "videos": counts, "video_seconds": 5.0, "failed": [], "python": "3", "platform": "Linux",
    }  # fmt: skip
    return RunRecord(**{**usual, **values})


SAMPLE = re.compile(r'(fervid_[a-z_]+)\{((?:[a-z_]+="(?:[^"\\\n]|\\["\\n])*",?)+)\} (\d+(?:\.\d+)?(?:e[+-]?\d+)?)')
"""A line of the text format with labels."""


def parsed(text: str) -> dict[tuple[str, str], float]:
    """Name and labels → value. Every sample follows the HELP and TYPE lines of its name."""
    found, described = {}, set()
    assert text.endswith("\n")
    for line in text.splitlines():
        if line.startswith("#"):
            described.add(tuple(line.split()[1:3]))
            continue
        match = SAMPLE.fullmatch(line)
        assert match, line
        assert {("HELP", match[1]), ("TYPE", match[1])} <= described
        found[match[1], match[2]] = float(match[3])
    return found


def test_the_metrics_are_the_text_format() -> None:
    out = '/a "b"\\c\n\x1b[31m'
    found = parsed(metrics(out, made_record()))
    names = {name for name, _ in found}
    assert len(names) == 8
    ((labels, code),) = [(labels, value) for (name, labels), value in found.items() if name.endswith("exit_code")]
    assert labels == r'out="/a \"b\"\\c\\n\\x1b[31m"'
    assert code == 0
    videos = {labels.split("status=")[1]: value for (name, labels), value in found.items() if name == "fervid_videos"}
    assert videos == {'"ok"': 1, '"no_face"': 1, '"failed"': 1, '"skipped"': 1}


def test_the_last_success_is_kept(tmp_path: Path) -> None:
    path, name = tmp_path / "m.prom", "fervid_last_success_timestamp_seconds"

    def last() -> list[float]:
        return [value for (found, _), value in parsed(path.read_text()).items() if found == name]

    out = tmp_path / "r.parquet"
    write_metrics(path, out, made_record(exit_code=3))
    assert last() == []
    write_metrics(path, out, made_record())
    success = last()
    write_metrics(path, out, made_record(exit_code=5, finished="2026-02-01T00:00:00+00:00", videos={"total": 0}))
    assert last() == success == [datetime.fromisoformat("2026-01-01T00:01:00+00:00").timestamp()]
    assert "fervid_videos" not in path.read_text()


def test_metrics_replace_nothing_of_others(tmp_path: Path) -> None:
    for path, error in (("m.txt", UsageError), ("none/m.prom", OutputError), ("mine.prom", OutputError)):
        (tmp_path / "mine.prom").write_text("node_load1 1\n")
        with pytest.raises(error):
            write_metrics(tmp_path / path, tmp_path / "r.parquet", made_record())
    assert (tmp_path / "mine.prom").read_text() == "node_load1 1\n"


def test_a_command_writes_metrics_however_it_ends(videos: Path, tmp_path: Path) -> None:
    line = ["analyze", str(videos), "--out", str(tmp_path / "r.parquet"), "--metrics", str(tmp_path / "m.prom")]
    for options, code in ((["--fps", "2"], 3), (["--fps", "4"], 2)):
        assert command(*line, *options, "--quiet").returncode == code
        found = {name: value for (name, _), value in parsed((tmp_path / "m.prom").read_text()).items()}
        assert found["fervid_last_run_exit_code"] == code
    assert command(*line[:-1], tmp_path / "m.txt").returncode == 2


# commands after a job

WRITE = "import os, json, sys; open(sys.argv[1], 'w').write(json.dumps(dict(os.environ)))"


def job(folder: Path, **values: Any) -> Path:
    lines = [
        'paths = ["videos"]',
        'out = "o/r.parquet"',
        *(f"{key} = {json.dumps(one)}" for key, one in values.items()),
    ]
    (folder / "job.toml").write_text("\n".join([*lines, "[scan]", "fps = 2", ""]))
    return folder / "job.toml"


def test_a_job_runs_the_command_for_its_exit_code(videos: Path, tmp_path: Path) -> None:
    hook = {f"on-{name}": [sys.executable, "-c", WRITE, f"{name}.json"] for name in ("success", "failure")}
    path = job(tmp_path, metrics="%Y.prom", **hook)
    assert command("run", path, "--quiet").returncode == 3
    assert not (tmp_path / "success.json").exists()
    variables = read(tmp_path / "failure.json")
    assert variables["FERVID_EXIT_CODE"] == "3"
    assert variables["FERVID_OUT"] == str(tmp_path / "o" / "r.parquet")
    assert read(Path(variables["FERVID_RUN_JSON"]))["exit_code"] == 3
    assert (tmp_path / f"{datetime.now().year}.prom").exists()
    (videos / "x.mp4").unlink()
    assert command("run", path, "--quiet").returncode == 0
    assert read(tmp_path / "success.json")["FERVID_EXIT_CODE"] == "0"


@pytest.mark.parametrize(
    ("hook", "said"),
    [
        (["nothing-of-this-name"], "cannot run"),
        ([sys.executable, "-c", "import sys; sys.exit('no mail\\x1b[31m')"], "ended with 1"),
        ([sys.executable, "-c", "import time; time.sleep(60)"], "was ended after"),
    ],
)
def test_a_command_that_fails_is_a_warning(
    videos: Path, tmp_path: Path, hook: list[str], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hooks, "LIMIT", 2.0)
    path = job(tmp_path, **{"on-failure": hook})
    done = command("run", path, "--quiet")
    assert done.returncode == 3
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("warning: ")]
    assert said in line
    assert "\x1b" not in line


@pytest.mark.parametrize("code", [75, 130])
def test_no_command_runs_for_an_interrupt_or_a_locked_output(tmp_path: Path, code: int) -> None:
    marks = [sys.executable, "-c", "open('ran', 'w')"]
    assert hooks.Hooks(marks, marks, tmp_path).run(code, tmp_path / "r.parquet", None) is None
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_command_of_a_job_is_refused(videos: Path, tmp_path: Path) -> None:
    for value in ("mail me", [""], [1]):
        assert command("run", job(tmp_path, **{"on-failure": value})).returncode == 2


# log lines


def test_every_line_of_the_log_has_an_iso_time_and_a_level(videos: Path, tmp_path: Path) -> None:
    out, merged = tmp_path / "r.parquet", tmp_path / "m.parquet"
    lines = [
        ("analyze", videos, "--out", out, "--fps", "2"),
        ("analyze", videos, "--out", out, "--fps", "3"),
        ("merge", out, "--out", merged),
        ("report", out, "--out", tmp_path / "r.html"),
        ("prune", out),
    ]
    levels = set()
    for line in lines:
        done = command(*line, "--log-json")
        assert done.stderr
        for text in done.stderr.splitlines():
            values = json.loads(text)
            assert datetime.fromisoformat(values["time"]).tzinfo is not None
            levels.add(values["level"])
    assert levels == {"info", "warning", "error"}


@pytest.mark.slow
def test_a_killed_run_leaves_the_record_of_the_run_before(videos: Path, tmp_path: Path) -> None:
    out = tmp_path / "r.parquet"
    run(videos, out)
    before = (tmp_path / "r.run.json").read_bytes()
    code = "import os, sys; from fervid.api import analyze; analyze(sys.argv[1], sys.argv[2], fps=2, "
    code += "on_progress=lambda progress: os.kill(os.getpid(), 9))"
    done = subprocess.run([sys.executable, "-c", code, str(videos), str(out)], check=False)
    assert done.returncode == -9
    assert (tmp_path / "r.run.json").read_bytes() == before
