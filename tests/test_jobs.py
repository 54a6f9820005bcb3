"""Job files, and the examples in ``jobs/``. Each example is read by the program that it is for, if that is there."""

from __future__ import annotations

import configparser
import json
import re
import shlex
import shutil
import subprocess
from datetime import datetime
from pathlib import Path

import pytest
import typer.main

from fervid.cli.main import app
from fervid.errors import ConfigError, InputNotFound
from fervid.results.reader import read_results
from fervid.settings_io import Job, read_job
from tests.support.command import command
from tests.support.paths import ROOT, SAMPLES

JOBS = ROOT / "jobs"
COMMANDS = typer.main.get_command(app).commands  # type: ignore[attr-defined]


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def options_of(line: str) -> tuple[str, set[str]]:
    """The fervid command in a line of shell, and the names of its options."""
    words = shlex.split(line.partition("||")[0])
    start = next(index for index, word in enumerate(words) if word.rpartition("/")[2] == "fervid")
    return words[start + 1], {word.partition("=")[0] for word in words[start + 2 :] if word.startswith("--")}


def assert_known(line: str) -> None:
    name, options = options_of(line)
    known = {option for parameter in COMMANDS[name].params for option in parameter.opts}
    assert options <= known, f"fervid {name} has no {options - known}"


def test_the_example_job_is_valid_and_dated() -> None:
    job = read_job(JOBS / "nightly.toml", datetime(2026, 3, 9))
    assert job.out == str(ROOT / "results" / "2026-03.parquet")
    assert job.paths == (str(ROOT / "videos"),)
    assert job.inputs.settle == 120
    assert job.settings.run.timeout == 3600


def test_every_setting_may_stand_in_a_job(tmp_path: Path) -> None:
    """Also the lines of the example that are commented out, and every table of settings of a job."""
    text = re.sub(
        r"(?m)^# (annotate|report|metrics|on-success|on-failure) =", r"\1 =", (JOBS / "nightly.toml").read_text()
    )
    job = read_job(write(tmp_path / "job.toml", text), datetime(2026, 3, 9))
    assert (job.annotate, job.report) == (
        str(tmp_path.parent / "results" / "2026-03-annotated"),
        str(tmp_path.parent / "results" / "2026-03.html"),
    )
    assert job.metrics == "/var/lib/node_exporter/textfile/fervid.prom"
    assert job.on_success[0] == "touch"
    assert job.on_failure[-1] == "researcher@example.org"
    assert {"inputs", "scan", "timeline", "run"} <= set(Job.__dataclass_fields__)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('paths = ["v"]\nout = "r.parquet"\n[scan]\nfsp = 5', "unknown key 'fsp'; did you mean 'fps'"),
        ('path = ["v"]\nout = "r.parquet"', "unknown key 'path'; did you mean 'paths'"),
        ('paths = ["v"]', "out must be given"),
        ('paths = []\nout = "r.parquet"', "at least one"),
        ('paths = "v"\nout = "r.parquet"', "must be a list"),
        ('paths = ["v"]\nout = "r.parquet"\n[inputs]\nshard = "3/2"', "`shard` must be i/n"),
        ('paths = ["v"]\nout = "r.parquet"\n[inputs]\nsettle = -1', "`settle` must not be negative"),
        ('paths = ["v"', "job.toml"),
    ],
)
def test_a_wrong_job_says_what_is_wrong(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(said)):
        read_job(write(tmp_path / "job.toml", text))


def test_a_job_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputNotFound):
        read_job(tmp_path / "job.toml")


@pytest.mark.usefixtures("replayed_scans")
def test_a_job_runs_from_anywhere_and_again(tmp_path: Path) -> None:
    (tmp_path / "videos").mkdir()
    shutil.copy(SAMPLES / "cut.mp4", tmp_path / "videos" / "cut.mp4")
    shutil.copy(SAMPLES / "cut.mp4", tmp_path / "videos" / "cut_proxy.mp4")
    text = 'paths = ["videos"]\nout = "out/%Y.parquet"\nreport = "out/page.html"\n[scan]\nfps = 2\n'
    job = write(tmp_path / "job.toml", text + '[inputs]\nexclude = ["*_proxy.mp4"]\n')
    planned = command("run", job, "--dry-run")
    assert (planned.returncode, planned.stdout) == (0, "analyze  cut.mp4: new\n")
    done = command("run", job, "--quiet")
    assert (done.returncode, done.stderr) == (0, "")
    results = read_results(next((tmp_path / "out").glob("*.parquet")))
    assert results.videos["video"].tolist() == ["cut.mp4"]
    assert (tmp_path / "out" / "page.html").stat().st_size > 10_000
    assert command("run", job, "--dry-run").stdout == "done     cut.mp4\n"


def test_the_crontab_line_is_one() -> None:
    lines = [line for line in (JOBS / "crontab").read_text().splitlines() if line and not line.startswith("#")]
    assert lines[0].startswith("MAILTO=")
    (entry,) = lines[1:]
    fields = entry.split(None, 5)
    assert all(re.fullmatch(r"[\d*/,-]+", field) for field in fields[:5])
    assert "%" not in fields[5]  # cron would turn it into a line break
    assert_known(fields[5])


def test_the_systemd_units_name_real_options() -> None:
    units = {}
    for name in ("fervid.service", "fervid.timer"):
        units[name] = configparser.ConfigParser(strict=True, interpolation=None)
        units[name].optionxform = str  # type: ignore[assignment, method-assign]
        units[name].read_string((JOBS / name).read_text())
    assert_known(units["fervid.service"]["Service"]["ExecStart"])
    assert units["fervid.timer"]["Install"]["WantedBy"] == "timers.target"
    assert {"75", "3"} == set(units["fervid.service"]["Service"]["SuccessExitStatus"].split())
    analyze = shutil.which("systemd-analyze")
    if analyze is not None:
        calendar = units["fervid.timer"]["Timer"]["OnCalendar"]
        assert subprocess.run([analyze, "calendar", calendar], check=False, capture_output=True).returncode == 0


def test_the_unit_that_starts_after_a_failure_is_there_and_names_real_options() -> None:
    (name,) = re.findall(r"(?m)^OnFailure=(.+)$", (JOBS / "fervid.service").read_text())
    unit = configparser.ConfigParser(strict=True, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment, method-assign]
    unit.read_string((JOBS / name).read_text())
    shell, option, line = shlex.split(unit["Service"]["ExecStart"])
    assert (shell, option) == ("/bin/sh", "-c")
    assert subprocess.run([shell, "-n", "-c", line], check=False).returncode == 0
    assert_known(line.partition("2>")[0])


def test_the_slurm_array_is_shell_and_names_real_options(tmp_path: Path) -> None:
    script = JOBS / "array.slurm"
    assert subprocess.run(["bash", "-n", script], check=False).returncode == 0
    assert_known(script.read_text().replace("\\\n", " ").splitlines()[-1])
    # what Slurm would run; the program fervid is replaced by one that prints its arguments
    stand_in = write(tmp_path / "fervid", '#!/bin/sh\nprintf "%s\\n" "$@"\n')
    stand_in.chmod(0o755)
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "SLURM_ARRAY_TASK_ID": "3", "SLURM_ARRAY_TASK_MAX": "16"}
    line = ["bash", str(script), "my videos", str(tmp_path / "out")]
    done = subprocess.run(
        line, env=environment | {"SLURM_CPUS_PER_TASK": "8"}, capture_output=True, text=True, check=True
    )
    words = done.stdout.splitlines()
    assert words[:4] == ["analyze", "my videos", "--shard", "3/16"]
    assert words[-1] == str(tmp_path / "out" / "shard-3.parquet")


def test_the_training_script_is_shell_and_trains_what_later_runs_begin_with(tmp_path: Path) -> None:
    script = JOBS / "train-fer2013.sh"
    assert subprocess.run(["bash", "-n", script], check=False).returncode == 0
    (line,) = [line for line in script.read_text().splitlines() if line.strip().startswith("fervid train")]
    assert_known(line.replace('"$@"', "--epochs 1 --limit 300"))
    assert subprocess.run(["bash", script, "data"], check=False, capture_output=True).returncode == 2
    # replaced programs write the files that they are asked for, and fail if a file that the recipe names is missing
    write(tmp_path / "python", '#!/bin/sh\necho weights > "$3"\n').chmod(0o755)
    named = "grep -ohE '[a-z-]+\\.keras' $5 | xargs -r ls >/dev/null && echo weights > $7\n"
    write(tmp_path / "fervid", f'#!/bin/sh\necho "$@" >> calls\n{named}').chmod(0o755)
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    words = ["bash", str(script), str(tmp_path), str(tmp_path / "out"), "--epochs", "3"]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    calls = (tmp_path / "out" / "calls").read_text().splitlines()
    assert len(calls) == len(list((JOBS / "fer2013").glob("*.toml")))
    assert all(call.endswith("--epochs 3") for call in calls)
    assert (tmp_path / "out" / "shipped.keras").exists()


def test_info_says_what_a_bug_report_needs() -> None:
    done = command("info", "--json")
    assert done.returncode == 0, done.stderr
    values = json.loads(done.stdout)
    assert len(values["weights"]["sha256"]) == len(values["detector"]["sha256"]) == 64
    assert values["libraries"]["tensorflow"]
    assert any(device.startswith("CPU") for device in values["devices"])
    assert {"h264", "hevc", "vp9"} <= set(values["codecs"]["decoders"])
    assert "libx264" in values["codecs"]["encoders"]
    text = command("info").stdout
    assert values["weights"]["sha256"] in text
    assert "{" not in text
