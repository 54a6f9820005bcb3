"""The help of every command, and completion in the shell."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer

from fervid.cli.main import app
from fervid.cli.option_names import as_options
from fervid.cli.options import ANALYSIS, INPUT, MESSAGES, OUTPUT, RUNNING
from tests.support.command import command
from tests.support.paths import ROOT

COMMANDS: dict[str, Any] = dict(typer.main.get_command(app).commands)  # type: ignore[attr-defined]
PARAMETERS = [(name, parameter) for name, found in sorted(COMMANDS.items()) for parameter in found.params]
AS_FERVID = "import sys; sys.argv[0] = 'fervid'; from fervid.cli.main import main; main()"


@pytest.mark.parametrize(("name", "parameter"), PARAMETERS, ids=lambda value: getattr(value, "name", value))
def test_the_help_of_an_option_has_a_default_and_an_example(name: str, parameter: Any) -> None:
    assert parameter.help
    assert parameter.help.replace("/", "").rstrip(".")[:1].isalnum()
    if getattr(parameter, "is_flag", False):
        return
    assert "Example: " in parameter.help
    example = shlex.split(parameter.help.split("Example: ")[1])
    if parameter.param_type_name == "option":
        assert example[0] in parameter.opts
        assert len(example) == 2
        assert parameter.required or parameter.default not in (None, "", ()) or "Default: " in parameter.help


def test_the_options_of_analyze_are_in_named_groups() -> None:
    groups = {option.rich_help_panel for option in COMMANDS["analyze"].params if option.param_type_name == "option"}
    assert groups == {INPUT, OUTPUT, ANALYSIS, RUNNING, MESSAGES}


@pytest.mark.parametrize("name", ["", *sorted(COMMANDS)])
def test_the_help_fits_a_terminal_and_shows_no_type_for_flags(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    done = command(*name.split(), "--help")
    assert done.returncode == 0, done.stderr
    assert "<bool>" not in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80


@pytest.mark.parametrize(("line", "completed"), [("fervid ana", "analyze"), ("fervid analyze --min", "--min-face")])
def test_bash_completes_commands_and_options(line: str, completed: str) -> None:
    words = {"COMP_WORDS": line, "COMP_CWORD": str(len(line.split()) - 1), "_FERVID_COMPLETE": "complete_bash"}
    done = subprocess.run(
        [sys.executable, "-c", AS_FERVID], env=os.environ | words, capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert done.stdout.split() == [completed]


def test_completion_installs_for_bash(tmp_path: Path) -> None:
    line = [sys.executable, "-c", AS_FERVID, "--install-completion", "bash"]
    done = subprocess.run(
        line,
        env=os.environ | {"HOME": str(tmp_path), "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"},
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr
    (script,) = (tmp_path / ".bash_completions").iterdir()
    loaded = subprocess.run(
        ["bash", "-c", f"source {shlex.quote(str(script))} && complete -p fervid"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "_fervid_completion fervid" in loaded.stdout


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("use `overwrite` to recompute it", "use --overwrite to recompute it"),
        ("`worker_memory` must be between", "--worker-memory must be between"),
        ("job.toml: scan: `long_side` must", "job.toml: scan: `long-side` must"),
        ("`Not a setting`", "`Not a setting`"),
    ],
)
def test_settings_in_messages_are_shown_as_options(message: str, shown: str) -> None:
    assert as_options(message) == shown
