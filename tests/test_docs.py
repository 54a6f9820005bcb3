"""The documentation keeps up with the program."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer

from fervid.cli.main import app
from fervid.settings_io import from_mapping, read_toml
from fervid.training.train import TrainSettings

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS: dict[str, Any] = dict(typer.main.get_command(app).commands)  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_and_option_is_in_the_readme(name: str) -> None:
    heading = README.find(f"### `fervid {name}")
    assert heading >= 0, f"the README has no section for fervid {name}"
    section = README[heading : README.find("\n## ", heading)].split("\n### ", 2)[0]
    body = README[heading + 4 :].split("\n### ")[0].split("\n## ")[0]
    for parameter in COMMANDS[name].params:
        for option in (*parameter.opts, *parameter.secondary_opts):
            if option.startswith("--") and option != "--help":
                assert option in body, f"fervid {name}: {option} is missing in {section[:40]}"


def test_the_readme_names_no_option_that_does_not_exist() -> None:
    known = {option for command in COMMANDS.values() for p in command.params for option in (*p.opts, *p.secondary_opts)}
    tables = [line for line in README.splitlines() if line.startswith("| `--")]
    named = {option for line in tables for option in re.findall(r"--[a-z][a-z-]*", line.split("|")[1])}
    assert len(named) > 10
    assert named <= known


def test_ci_runs_the_readmes_test_command() -> None:
    blocks = re.findall(r"```sh\n(.*?)```", README, flags=re.DOTALL)
    install_and_test = blocks[1].strip().split(" && ", 2)[2]
    assert install_and_test == "pip install -e '.[test]' && pytest -n 2"
    ci = (ROOT / ".ci" / "run").read_text().replace(" --quiet", "")
    assert ci.strip().endswith(install_and_test)


def test_the_first_command_runs_the_main_job() -> None:
    words = shlex.split(re.findall(r"```sh\n(.*?)```", README, flags=re.DOTALL)[0])
    job = words[words.index("fervid") :]
    assert job == ["fervid", "analyze", "sample_videos", "--out", "results.parquet"]
    assert (ROOT / "sample_videos").is_dir()


def test_the_shipped_recipes_load() -> None:
    recipes = sorted((ROOT / "jobs" / "fer2013").glob("*.toml"))
    assert len(recipes) == 7
    settings = [from_mapping(TrainSettings, read_toml(recipe)) for recipe in recipes]
    assert {recipe.select for recipe in settings} == {"last"}
