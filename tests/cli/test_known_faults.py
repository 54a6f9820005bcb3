"""Faults of version 0.1.0 at commit 35d8551, each reproduced from outside by its command line.

``FERVID_UNDER_TEST=FOLDER pytest -m slow tests/cli/test_known_faults.py`` runs them against the source tree of another
version. At 35d8551, tests of each of the ten faults fail (14 of 18 without the tenth); those of other damage in 6 and
of ``classify`` in 9 pass there.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.benchmarks.many import make_clips
from tests.support.paths import ROOT, SAMPLES

pytestmark = pytest.mark.slow

UNDER_TEST = Path(os.environ.get("FERVID_UNDER_TEST", ROOT))
MODULE, FUNCTION = tomllib.loads((UNDER_TEST / "pyproject.toml").read_text())["project"]["scripts"]["fervid"].split(":")
PATIENCE = 240

Done = subprocess.CompletedProcess[str]

DYING = """
import os, signal, sys
fragment, number = os.environ["DIE_AT"].rsplit(":", 1)
calls = [0]
def dying(call):
    def wrapped(source, target, *args, **kwargs):
        if os.fspath(target).endswith(fragment):
            calls[0] += 1
            if calls[0] == int(number):
                os.kill(os.getpid(), signal.SIGKILL)
        return call(source, target, *args, **kwargs)
    return wrapped
os.rename, os.replace = dying(os.rename), dying(os.replace)
"""
"""Makes a process kill itself before its n-th rename to a name with this ending (DIE_AT=ENDING:N)."""


def start(*arguments: str | Path, **environment: str) -> subprocess.Popen[str]:
    path = os.pathsep.join([environment.pop("first", ""), str(UNDER_TEST)]).strip(os.pathsep)
    return subprocess.Popen(
        [sys.executable, "-c", f"from {MODULE} import {FUNCTION}; {FUNCTION}()", *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="backslashreplace",
        env={**os.environ, "PYTHONPATH": path, "COLUMNS": "1000", **environment},
        start_new_session=True,
        cwd=UNDER_TEST,
    )


def finish(process: subprocess.Popen[str], seconds: float = PATIENCE) -> Done:
    """Wait for a process; one that does not end is killed, and its test fails."""
    try:
        out, err = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        pytest.fail("the command does not end")
    assert "Traceback" not in err, err
    return Done(process.args, process.returncode, out, err)


def fervid(*arguments: str | Path, seconds: float = PATIENCE, **environment: str) -> Done:
    return finish(start(*arguments, **environment), seconds)


def killed_at(folder: Path, ending: str, number: int, *arguments: str | Path) -> None:
    """Run a command that kills itself before its n-th rename to a name with this ending."""
    first = folder / "dying"
    first.mkdir(exist_ok=True)
    (first / "sitecustomize.py").write_text(DYING)
    process = start(*arguments, first=str(first), DIE_AT=f"{ending}:{number}")
    process.communicate(timeout=PATIENCE)
    assert process.returncode == -signal.SIGKILL, "it was not killed"


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.fixture(scope="module")
def analysed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the videos ``v/a.mp4`` and ``v/b.mp4``, and their results ``r.parquet``."""
    folder = tmp_path_factory.mktemp("analysed")
    (folder / "v").mkdir()
    for name, sample in (("a.mp4", "leaving.mp4"), ("b.mp4", "cut.mp4")):
        shutil.copy(SAMPLES / sample, folder / "v" / name)
    done = fervid("analyze", folder / "v", "--out", folder / "r.parquet", "--fps", "2")
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def folder(analysed: Path, tmp_path: Path) -> Path:
    """A copy of ``analysed``."""
    return shutil.copytree(analysed, tmp_path / "copy")


def results(folder: Path) -> list[str | Path]:
    return [folder / "r.parquet", "--videos", folder / "v"]


def change_rows(path: Path, column: str, value: object, where: str) -> None:
    """Set a column of the rows of one video; the metadata stay."""
    table, rows = pq.read_table(path), pd.read_parquet(path)
    rows.loc[rows["video"] == where, column] = value
    with pq.ParquetWriter(path, table.schema) as writer:
        writer.write_table(pa.Table.from_pandas(rows, table.schema, preserve_index=False))
        writer.add_key_value_metadata({"fervid.note": "changed"})


def test_1_a_blurred_copy_has_no_open_faces(tmp_path: Path) -> None:
    videos, out, drawn = tmp_path / "v", tmp_path / "r.parquet", tmp_path / "drawn"
    videos.mkdir()
    shutil.copy(SAMPLES / "cut.mp4", videos / "a.mp4")
    analyze: list[str | Path] = ["analyze", videos, "--out", out, "--fps", "2"]
    assert fervid(*analyze).returncode == 0
    shutil.copy(SAMPLES / "leaving.mp4", videos / "b.mp4")
    killed_at(tmp_path, "r.parquet", 1, *analyze)
    done = fervid("annotate", out, "--videos", videos, "--out", drawn, "--blur")
    assert done.returncode != 0 or not (drawn / "b.annotated.mp4").exists()
    assert fervid(*analyze).returncode == 0
    assert fervid("annotate", out, "--videos", videos, "--out", drawn, "--blur").returncode == 0
    assert names(drawn) >= {"a.annotated.mp4", "b.annotated.mp4"}


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a folder to another user")
def test_2_the_hidden_folder_of_another_user_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o1777)
    hidden = tmp_path / ".r.parquet.fervid"
    hidden.mkdir()
    hidden.chmod(0o777)
    os.chown(hidden, 65534, 65534)
    done = fervid("analyze", SAMPLES / "cut.mp4", "--out", tmp_path / "r.parquet", "--fps", "2")
    assert (done.returncode, str(hidden) in done.stderr) == (5, True), done.stderr


def test_3_two_annotate_runs_leave_whole_videos(folder: Path) -> None:
    line: list[str | Path] = ["annotate", *results(folder), "--out", folder / "drawn"]
    codes = sorted(finish(one).returncode for one in [start(*line), start(*line)])
    assert codes in ([0, 0], [0, 75])
    for name, sample in (("a", "leaving.mp4"), ("b", "cut.mp4")):
        frames = []
        for path in (folder / "drawn" / f"{name}.annotated.mp4", SAMPLES / sample):
            with av.open(str(path)) as container:
                frames.append(sum(1 for _ in container.decode(video=0)))
        assert frames[0] == frames[1]


def test_4_the_main_process_reads_no_whole_input(tmp_path: Path) -> None:
    """Its own reading was outside `--timeout`."""
    with (tmp_path / "sparse.mp4").open("wb") as file:
        file.truncate(8 << 30)
    process = start("analyze", tmp_path / "sparse.mp4", "--out", tmp_path / "r.parquet", "--timeout", "3")
    read = 0
    while process.poll() is None:
        with contextlib.suppress(OSError, StopIteration):
            rows = Path(f"/proc/{process.pid}/io").read_text().splitlines()
            read = max(read, int(next(row for row in rows if row.startswith("rchar")).split()[1]))
        time.sleep(0.02)
    assert finish(process).returncode == 4
    assert read < 1 << 30


def test_5_a_bad_row_costs_its_video_only(folder: Path) -> None:
    change_rows(folder / "r.parquet", "face_x", np.nan, "a.mp4")
    done = fervid("annotate", *results(folder), "--out", folder / "drawn")
    assert done.returncode == 3, done.stderr
    assert (folder / "drawn" / "b.annotated.mp4").exists()


def test_5_a_huge_box_does_not_run_for_ever(folder: Path) -> None:
    change_rows(folder / "r.parquet", "face_height", 1e9, "a.mp4")
    done = fervid("annotate", *results(folder), "--out", folder / "drawn", "--blur", seconds=60)
    assert done.returncode in (2, 3), done.stderr


def hidden_parts(folder: Path) -> list[Path]:
    return sorted((folder / ".r.parquet.fervid").rglob("*.parquet"))


def exchange(first: Path, second: Path) -> None:
    kept = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(kept)


@pytest.mark.parametrize("damage", ["folder", "no metadata", "rows of another video", "empty failure", "no identity"])
def test_6_damage_in_the_hidden_folder_heals(folder: Path, damage: str) -> None:
    one, two = hidden_parts(folder)
    before = pd.read_csv(folder / "r.videos.csv").set_index("video")["faces"]
    if damage == "folder":
        one.unlink()
        one.mkdir()
    elif damage == "no metadata":
        pq.write_table(pq.read_table(one).replace_schema_metadata(None), one)
    elif damage == "rows of another video":
        exchange(one, two)
    elif damage == "empty failure":
        one.with_suffix(".failed.json").touch()
        one.unlink()
    else:
        (folder / ".r.parquet.fervid" / "identity.json").write_text("")
    shutil.copy(SAMPLES / "rotated.mp4", folder / "v" / "c.mp4")
    line: list[str | Path] = ["analyze", folder / "v", "--out", folder / "r.parquet", "--fps", "2"]
    done = fervid(*line)
    if done.returncode == 2:  # refused, with the way out
        assert "--overwrite" in done.stderr
        done = fervid(*line, "--overwrite")
    if done.returncode == 3:  # found when the tables were composed; the next run analyses the video again
        assert "run again" in done.stderr
        done = fervid(*line)
    assert done.returncode == 0, done.stderr
    found = pd.read_csv(folder / "r.videos.csv").set_index("video")["faces"]
    pd.testing.assert_series_equal(found[["a.mp4", "b.mp4"]], before)
    assert fervid("export", folder / "r.parquet", "--to", "csv", "--out", folder / "e.csv").returncode == 0


def test_7_an_elan_export_goes_on_after_a_kill(folder: Path) -> None:
    line: list[str | Path] = ["export", *results(folder), "--to", "elan", "--out", folder / "elan"]
    killed_at(folder, ".eaf", 2, *line)
    done = fervid(*line)
    assert done.returncode == 0, done.stderr
    assert len(list((folder / "elan").glob("*.eaf"))) == 2


def test_8_a_killed_merge_leaves_nothing(folder: Path) -> None:
    out = folder / "m" / "m.parquet"
    out.parent.mkdir()
    killed_at(folder, "m.parquet", 1, "merge", folder / "r.parquet", "--out", out)
    assert fervid("merge", folder / "r.parquet", "--out", out).returncode == 0
    assert all(name.startswith("m.") for name in names(out.parent))


def test_9_annotate_opens_no_list_of_files(folder: Path) -> None:
    (folder / "drawn").mkdir()
    os.mkfifo(folder / "drawn" / "pipe")
    target = folder / "drawn" / "a.annotated.mp4"
    target.write_text("ffconcat version 1.0\nfile pipe\n")
    fervid("annotate", *results(folder), "--out", folder / "drawn", seconds=60)


def test_9_classify_prints_no_escape_codes(tmp_path: Path) -> None:
    path = tmp_path / "\x1b[31mred.png"
    path.write_text("no picture")
    done = fervid("classify", path)
    assert "\x1b[31m" not in done.stdout + done.stderr


@pytest.mark.parametrize("way", ["absolute", "up"])
def test_9_names_do_not_lead_outside_the_folder(folder: Path, way: str) -> None:
    secret = folder / "secret.mp4"
    shutil.move(folder / "v" / "a.mp4", secret)
    name = str(secret) if way == "absolute" else "../secret.mp4"
    change_rows(folder / "r.parquet", "video", name, "a.mp4")
    for path in folder.glob("r.*.csv"):
        table = pd.read_csv(path, dtype=str)
        table.loc[table["video"] == "a.mp4", "video"] = name
        table.to_csv(path, index=False)
    fervid("annotate", *results(folder), "--out", folder / "drawn")
    assert not [path for path in (folder / "drawn").rglob("*") if "secret" in path.name]


def test_9_a_job_file_nested_too_deep_is_one_line(tmp_path: Path) -> None:
    job = tmp_path / "job.toml"
    job.write_text(f"paths = {'[' * 5000}{']' * 5000}\nout = 'r.parquet'\n")
    done = fervid("run", job)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)


@contextlib.contextmanager
def peak_memory(process: subprocess.Popen[str]) -> Iterator[list[int]]:
    """The largest resident memory of a process, in kB, as long as the block runs."""
    seen = [0]

    def watch() -> None:
        while process.poll() is None:
            with contextlib.suppress(OSError, StopIteration):
                rows = Path(f"/proc/{process.pid}/status").read_text().splitlines()
                seen[0] = int(next(row for row in rows if row.startswith("VmHWM")).split()[1])
            time.sleep(0.02)

    thread = threading.Thread(target=watch)
    thread.start()
    yield seen
    thread.join()


def test_10_memory_for_many_short_videos(tmp_path: Path) -> None:
    """Composing took 39 kB a video."""
    used = []
    for count in (100, 1100):
        videos = make_clips(tmp_path / "clips", count)
        process = start("analyze", videos, "--out", tmp_path / "r.parquet", "--quiet")
        with peak_memory(process) as seen:
            done = finish(process, 10 * PATIENCE)
        assert done.returncode == 0, done.stderr
        used.append(seen[0])
    assert used[1] - used[0] < 20_000
