"""Names with escape codes: no command prints a character that a terminal would obey."""

from __future__ import annotations

import ast
import json
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import typer

import fervid.training.train
from fervid.cli.main import app
from fervid.cli.messages import answer, answer_json, log, say
from fervid.training.train import TrainResult
from tests.support.clips import beginning
from tests.support.command import Done, command
from tests.support.imports import FILES, PACKAGE
from tests.support.paths import SAMPLES
from tests.support.synthetic_results import MadeFace, MadeVideo, leading_emotions, write_results

EVIL = "\x1b[31m\x1b]0;title\x07\x9b5m\r\n\u202e\x7f\b"
"""Codes that colour, retitle, overwrite, break lines, turn the direction of writing, and delete."""

OF_PATHS = ("--out", "--annotate", "--report", "--run", "--recipe", "--data", "--model", "--corrections", "--videos")

COMMANDS: dict[str, Any] = dict(typer.main.get_command(app).commands)  # type: ignore[attr-defined]

PARAMETERS = [
    (name, parameter.opts[-1])
    for name, found in sorted(COMMANDS.items())
    for parameter in found.params
    if parameter.param_type_name == "option" and not getattr(parameter, "is_flag", False)
]


def assert_harmless(done: Done, code: int | None = None) -> None:
    """Nothing but printable characters and line breaks, and the exit code."""
    for text in (done.stdout, done.stderr):
        assert [c for c in text if not (c.isprintable() or c == "\n")] == [], text
    assert done.returncode in ((0, 2, 3, 4, 5, 75, 130) if code is None else (code,)), done.stderr
    assert "Traceback" not in done.stderr
    if "--log-json" in done.args:
        for line in done.stderr.splitlines():
            json.loads(line)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with inputs and outputs of every command, under names that hold escape codes."""
    folder = tmp_path_factory.mktemp("names") / f"folder{EVIL}"
    videos = folder / f"videos{EVIL}"
    videos.mkdir(parents=True)
    beginning(SAMPLES / "cut.mp4", videos / f"cut{EVIL}.mp4", 1.0)
    shutil.copy(videos / f"cut{EVIL}.mp4", videos / f"same{EVIL}.mp4")
    (videos / f"bad{EVIL}.mp4").write_bytes(b"no video")
    images = folder / f"images{EVIL}"
    images.mkdir()
    (images / f"face{EVIL}.png").write_bytes(cv2.imencode(".png", np.full((48, 48), 90, np.uint8))[1].tobytes())
    (images / f"bad{EVIL}.png").write_bytes(b"no image")
    (folder / f"job{EVIL}.toml").write_text(f'paths = [{json.dumps(videos.name)}]\nout = "job{JSON}.parquet"\n')
    (folder / f"bad{EVIL}.toml").write_text(f'"key{JSON}" = 1\n')
    face = MadeFace(range(50), leading_emotions(("happy", 50)))
    name = f"a{EVIL}.mp4".replace("\r", "")  # readers of CSV take one end of a line for another
    made = [MadeVideo(name, [face]), MadeVideo(f"b{EVIL}.mp4", status="failed", error="E", message=EVIL)]
    results = write_results(folder / f"made{EVIL}.parquet", made)
    videos_table = results.with_name(f"made{EVIL}.videos.csv")
    edited = results.with_name(f"edited{EVIL}.parquet")
    for path in [results, *results.parent.glob("made*.csv")]:
        shutil.copy(path, edited.with_name(path.name.replace("made", "edited", 1)))
    text = videos_table.read_bytes().replace(b"h264", b"h\x1b[31m264")
    videos_table.with_name(f"edited{EVIL}.videos.csv").write_bytes(text)
    (folder / f"right{EVIL}.csv").write_bytes(_corrections(name, "0", "Ann"))
    (folder / f"wrong{EVIL}.csv").write_bytes(_corrections(f"none{EVIL}.mp4", EVIL, EVIL))
    return folder


JSON = json.dumps(EVIL)[1:-1].replace("\x7f", "\\u007f")


def _corrections(video: str, face: str, value: str) -> bytes:
    cells = ",".join(f'"{cell}"' for cell in (video, face, "name", "", "", value))
    return f"video,face_id,action,start,end,value\n{cells}\n".encode()


LINES = [
    ("analyze videos~ --out r~.parquet --fps 1 --annotate annotated~ --report page~.html", 3),
    ("analyze videos~ --out r~.parquet --fps 1 --log-json", 3),
    ("analyze videos~ --out r~.parquet --fps 2", 2),  # names what differs
    ("analyze videos~ --out r~.parquet --fps 1 --dry-run", 0),
    ("analyze videos~/bad~.mp4 --out bad~.csv --quiet", 4),
    ("analyze videos~/bad~.mp4 --out folder~", 4),
    ("analyze none~.mp4 --out none~.parquet", 2),
    ("analyze none~.mp4 --out none~.parquet --log-json", 2),
    ("analyze videos~ --out none~.xls", 2),
    ("analyze videos~ --out videos~/bad~.mp4", 2),
    ("run job~.toml --dry-run", 0),
    ("run job~.toml --quiet", 3),
    ("run bad~.toml", 2),
    ("run none~.toml", 2),
    ("run images~/bad~.png", 2),
    ("analyze videos~ --out r~.parquet --fps 1 --metrics none~.txt", 2),
    ("status r~.parquet", 0),
    ("status r~.parquet --json", 0),
    ("status edited~.parquet", 0),
    ("status job~.toml", 0),
    ("status none~.parquet", 2),
    ("status images~/bad~.png", 2),
    ("prune r~.parquet --dry-run", 0),
    ("prune r~.parquet --log-json", 0),
    ("prune edited~.parquet", 0),
    ("prune none~.parquet", 2),
    ("merge made~.parquet edited~.parquet --out merged~.parquet", 0),
    ("merge made~.parquet --out made~.parquet", 2),
    ("merge images~/bad~.png --out merged~.parquet", None),
    ("merge none~.parquet --out merged~.parquet", 2),
    ("participants none~.parquet --out p~.csv --log-json", 2),
    ("review none~.parquet --no-browser", 2),
    ("review made~.parquet --corrections images~/bad~.png --no-browser", 2),
    ("correct made~.parquet --corrections right~.csv --out corrected~.parquet", 0),
    ("correct made~.parquet --corrections wrong~.csv --out corrected~.parquet", 2),
    ("correct made~.parquet --corrections none~.csv --out corrected~.parquet", 2),
    ("participants r~.parquet --out people~.csv --sheet sheet~.html", None),
    ("participants made~.parquet --videos videos~ --out people~.csv", None),
    ("participants r~.parquet --gallery images~ --out people~.csv", None),
    ("participants none~.parquet --out people~.csv", 2),
    ("review none~.parquet --no-browser", 2),
    ("review images~/bad~.png --no-browser", 2),
    ("review made~.parquet --moments images~/bad~.png --no-browser", 2),
    ("study job~.toml --out study~", 2),
    ("study none~.toml --check --log-json", 2),
    ("agree made~.parquet --coding right~.csv", None),
    ("agree made~.parquet --coding edited~.parquet", None),
    ("agree none~.parquet --coding none~.csv --log-json", 2),
    ("annotate made~.parquet --videos videos~ --out annotated~", 4),
    ("annotate edited~.parquet --videos videos~ --out annotated~ --blur", 2),
    ("annotate edited~.parquet --videos videos~ --out annotated~ --quiet", 4),
    ("annotate r~.parquet --out annotated~", 0),
    ("annotate r~.parquet --out made~.parquet", 5),
    ("report edited~.parquet --out page~.html", 0),
    ("report made~.parquet --out page~.xls", 2),
    ("report r~.parquet --out page~.html", 0),
    ("report r~.parquet --out page~.html --no-frames", 0),
    ("export edited~.parquet --to elan --out elan~", 0),
    ("export edited~.parquet --to textgrid --out grids~", None),
    ("export edited~.parquet --to boris --out project~.boris", None),
    ("export made~.parquet --to pyfeat --out feat~.csv", 0),
    ("export made~.parquet --to openface --out of~.csv", 0),
    ("export made~.parquet --to csv --out made~.csv", None),
    ("export made~.parquet --to bids --out bids~", 0),
    ("export made~.parquet --to elan~ --out elan~", 2),
    ("classify images~ --out faces~.csv --no-detect --log-json", 3),
    ("classify none~.png --out faces~.csv", 2),
    ("train --data images~ --out my~.keras", 2),
    ("train --data images~ --out my~.txt", 2),
    ("train --data images~ --out my~.keras --recipe bad~.toml", 2),
    ("evaluate --data none~.csv --log-json", 2),
    ("evaluate --data images~ --split none~", 2),
    ("info x~", 2),
    ("nothing~", 2),
    ("analyze --nothing~", 2),
]
"""Words, of which each ~ stands for EVIL, and the exit code."""


@pytest.mark.parametrize(("line", "code"), LINES)
def test_no_command_prints_escape_codes(
    line: str, code: int | None, folder: Path, quick_encoding: None, replayed_scans: None
) -> None:
    assert_harmless(command(*(word.replace("~", EVIL) for word in line.split()), folder=folder), code)


def test_every_command_is_tried() -> None:
    assert {line.split()[0] for line, _ in LINES} >= COMMANDS.keys()


@pytest.mark.parametrize(("name", "option"), PARAMETERS)
def test_no_option_prints_its_value_raw(name: str, option: str, folder: Path) -> None:
    """The value is wrong, or the path does not exist."""
    needed = {"analyze": ["x"], "run": ["x"], "merge": ["x"], "classify": ["x"]}.get(name, [])
    needed = needed or (["x"] if name in ("correct", "annotate", "report", "export") else [])
    assert_harmless(command(name, *needed, option, EVIL, folder=folder), 2)


def test_a_training_that_worked_prints_its_weights(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = TrainResult(1, 1.0, [])
    monkeypatch.setattr("fervid.training.dataset.read", lambda *_: None)
    monkeypatch.setattr(fervid.training.train, "train", lambda *_: result)
    assert_harmless(command("train", "--data", "x", "--out", f"my{EVIL}.keras", folder=folder), 0)


def test_a_defect_prints_its_traceback_escaped(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError(EVIL)

    monkeypatch.setattr("fervid.results.merge.merge", fail)
    line = ("merge", "a", "--out", f"b{EVIL}.parquet")
    assert_harmless(command(*line, folder=folder), 5)
    monkeypatch.setenv("FERVID_TRACEBACK", "1")
    done = command(*line, folder=folder)
    assert "Traceback" in done.stderr
    assert_harmless(Done(done.args, done.returncode, done.stdout, done.stderr.replace("Traceback", "")), 5)


def test_each_way_to_print_escapes(capsys: pytest.CaptureFixture[str]) -> None:
    say(EVIL, f"a{EVIL}\udcff")
    log(text=EVIL)
    answer(EVIL)
    answer_json({"text": EVIL})
    printed, said = capsys.readouterr()
    assert_harmless(Done([], 0, printed, said))
    assert (len(said.splitlines()), len(printed.splitlines())) == (3, 4)
    assert json.loads(said.splitlines()[-1])["text"] == EVIL
    assert json.loads("\n".join(printed.splitlines()[1:])) == {"text": EVIL}


def test_only_one_module_prints() -> None:
    """The other modules that print are programs of their own, such as ``python -m fervid.training.onnx_export``."""
    for path in FILES:
        text = path.read_text(encoding="utf-8")
        calls = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)]
        if any(isinstance(call.func, ast.Name) and call.func.id == "print" for call in calls):
            module = path.relative_to(PACKAGE).as_posix()
            assert module == "cli/messages.py" or (module.startswith("training/") and "__main__" in text), module
        if path.parent.name == "cli" and path.name not in ("messages.py", "progress.py"):
            assert "sys.stderr" not in text.replace("sys.stderr)):", ""), path.name
