"""The documentation is complete, its code runs, and its links lead somewhere."""

from __future__ import annotations

import ast
import inspect
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import typer

import fervid
from fervid import errors
from fervid.cli.main import app
from fervid.results.schema import EPISODES, PERSONS, SHOTS, STILLS, SUMMARY, TIMELINE, VIDEOS
from fervid.settings_io import from_mapping, read_toml
from fervid.training.recipe import TrainSettings
from tests.support.command import command
from tests.support.documents import (
    GUIDES,
    OTHERS,
    README,
    anchors,
    blocks,
    code_spans,
    first_cells,
    links,
    prose,
    sections,
)
from tests.support.encoding import encoded_quickly
from tests.support.paths import ROOT, SAMPLES
from tests.support.replay import replaying

PAGES = [README, *GUIDES]
LONG = [ROOT / "docs" / "cookbook.md", ROOT / "docs" / "study.md"]
"""Pages whose code blocks run at night only."""
COMMANDS: dict[str, Any] = dict(typer.main.get_command(app).commands)  # type: ignore[attr-defined]
GUIDE = ROOT / "docs" / "commands.md"
INSTALL, TEST = (block.code.strip() for block in blocks(README)[:2])
"""The two commands of the README: install and run; install and test."""


EXCEPTIONS: list[type[fervid.FervidError]] = [
    thing for thing in vars(errors).values() if inspect.isclass(thing) and issubclass(thing, fervid.FervidError)
]


SHOWN = {
    "video": "{}", "face_id": "{}", "samples": "{}", "coverage": "{:.2f}", "longest_gap": "{:.1f}", "dominant": "{}",
    "mean_happy": "{:.2f}", "trust": "{}",
}  # fmt: skip
"""Columns of the summary that the README shows, and how."""


def page_name(page: Path) -> str:
    return str(page.relative_to(ROOT))


# the README and its two commands


def test_the_readme_is_short() -> None:
    assert README.stat().st_size < 12_000


def test_the_first_command_runs_the_main_job() -> None:
    words = shlex.split(INSTALL)
    assert words[words.index("fervid") :] == ["fervid", "analyze", "sample_videos", "--out", "results.parquet"]
    assert words[: words.index("fervid")] == shlex.split(
        "python3 -m venv .venv && . .venv/bin/activate && pip install . &&"
    )


def test_ci_runs_the_readmes_test_command() -> None:
    install_and_test = TEST.split(" && ", 2)[2]
    assert re.match(r"pip install -e '\.\[test\]' && (python -m )?pytest\b", install_and_test)
    ci = (ROOT / ".ci" / "run").read_text().replace(" --quiet", "")
    assert ci.strip().endswith(install_and_test)


def test_the_readme_shows_what_the_first_command_prints(analysed_folder: Path) -> None:
    (shown,) = [block.code for block in blocks(README) if block.language == "text"]
    printed = (analysed_folder / "printed.txt").read_text(encoding="utf-8")
    assert shown[shown.index("files written:") :] in printed
    timed = r"[\d.]+ s \([\d.]+ x\)"
    counts = [re.sub(timed, "", line) for line in shown[: shown.index("files written:")].splitlines()]
    assert {line for line in counts if line} <= {re.sub(timed, "", line) for line in printed.splitlines()}


def test_the_readme_shows_rows_of_the_summary(analysed_folder: Path) -> None:
    rows = re.findall(r"(?m)^\| (\w+\.mp4) \| (.*) \|$", README.read_text(encoding="utf-8"))
    shown = [(video, *cells.split(" | ")) for video, cells in rows]
    summary = fervid.read_results(analysed_folder / "results.parquet").summary
    columns = [summary[name].map(form.format) for name, form in SHOWN.items()]
    assert len(shown) == 4
    assert set(shown) <= set(zip(*columns, strict=True))


def test_limits_come_before_the_first_command() -> None:
    text = README.read_text(encoding="utf-8")
    limits = text.index("## Before you use it")
    assert limits < text.index("```")
    for words in ("not what a person feels", "biometric data", "AI Act", "medical or safety"):
        assert words in text[limits : text.index("```")]


# code


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_every_code_block_is_of_a_kind_that_is_checked(page: Path) -> None:
    for block in blocks(page):
        assert block.language in ("sh", "python", "toml", "csv", "text"), (
            f"{page_name(page)}:{block.line}: {block.language!r}"
        )
        if block.language == "toml":
            tomllib.loads(block.code)
        if block.language == "python":
            ast.parse(block.code)


@pytest.fixture(scope="module")
def analysed_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder after the README's first command. All pages use it, so that videos are scanned and drawn once."""
    folder = tmp_path_factory.mktemp("docs")
    (folder / "sample_videos").symlink_to(SAMPLES)
    with replaying(), encoded_quickly():
        printed = run_shell(INSTALL[INSTALL.index("fervid") :], folder, "README.md")
        (folder / "printed.txt").write_text(printed, encoding="utf-8")
        yield folder


@pytest.mark.parametrize(
    "page", [pytest.param(page, marks=pytest.mark.slow) if page in LONG else page for page in PAGES], ids=page_name
)
def test_the_code_blocks_of_a_page_run(page: Path, analysed_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(analysed_folder)
    monkeypatch.setenv("MPLBACKEND", "agg")
    for block in blocks(page):
        where = f"{page_name(page)}:{block.line}"
        if block.reason is not None or block.code.strip() in (INSTALL, TEST):
            continue
        if block.file is not None:
            (analysed_folder / block.file).write_text(block.code, encoding="utf-8")
        elif block.language == "python":
            exec(compile(block.code, where, "exec"), {"__name__": "__main__"})
        elif block.language == "sh":
            run_shell(block.code, analysed_folder, where)
        elif block.language == "csv":  # the file that the next block reads
            (analysed_folder / f"{page.stem}.csv").write_text(block.code, encoding="utf-8")


def run_shell(code: str, folder: Path, where: str) -> str:
    """Run the lines of a block, each of which is one fervid command. Returns what they print on stderr."""
    printed = ""
    for line in shell_lines(code):
        words = shlex.split(line, comments=True)
        assert words[0] == "fervid", f"{where}: mark this block as not run: {line}"
        done = command(*words[1:], folder=folder)
        assert done.returncode == 0, f"{where}: {line}\n{done.stderr}"
        printed += done.stderr
    return printed


def shell_lines(code: str) -> list[str]:
    return [line for line in code.replace("\\\n", " ").splitlines() if line.strip()]


@pytest.mark.parametrize("page", [*PAGES, *OTHERS], ids=page_name)
def test_every_command_line_names_real_options(page: Path) -> None:
    """Of the blocks that are not run too."""
    for block in blocks(page):
        for line in shell_lines(block.code) if block.language == "sh" else ():
            words = shlex.split(line, comments=True)
            if "fervid" not in words:
                continue
            words = words[words.index("fervid") + 1 :]
            options = {word.partition("=")[0] for word in words[1:] if word.startswith("--")}
            assert options <= options_of(words[0]), f"{page_name(page)}:{block.line}: {line}"


def test_the_modules_that_the_documentation_runs_exist() -> None:
    texts = "".join(page.read_text(encoding="utf-8") for page in [*PAGES, *OTHERS])
    modules = set(re.findall(r"python -m ((?:tests|fervid)[\w.]+)", texts))
    assert len(modules) > 8
    for module in modules:
        path = ROOT / module.replace(".", "/")
        assert path.with_suffix(".py").exists() or (path / "__main__.py").exists(), module


def test_the_extras_that_the_documentation_installs_exist() -> None:
    extras = read_toml(ROOT / "pyproject.toml")["project"]["optional-dependencies"]
    for page in [*PAGES, *OTHERS]:
        named = re.findall(r"(?:'\.|fervid)\[([\w,]+)\]", page.read_text(encoding="utf-8"))
        assert {extra for names in named for extra in names.split(",")} <= set(extras), page_name(page)


# the cookbook's timelines in pandas

COOKBOOK_EXAMPLE = "## Timelines in pandas"


@pytest.fixture(scope="module")
def example() -> str:
    """The cookbook's code for timelines in pandas."""
    cookbook = (ROOT / "docs" / "cookbook.md").read_text(encoding="utf-8")
    assert COOKBOOK_EXAMPLE in cookbook, f"the cookbook has no section {COOKBOOK_EXAMPLE!r}"
    block = re.search(r"```python\n(.*?)```", cookbook.split(COOKBOOK_EXAMPLE)[1], flags=re.DOTALL)
    assert block is not None
    return block[1]


@pytest.fixture
def example_names(
    example: str, analysed_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> dict[str, Any]:
    """The variables of the example after it ran, and under ``printed`` what it printed."""
    monkeypatch.chdir(analysed_folder)
    left: dict[str, Any] = {"__name__": "example"}
    exec(compile(example, "cookbook.md", "exec"), left)
    return left | {"printed": capsys.readouterr().out}


def test_the_example_shows_each_person_second_by_second(example_names: dict[str, Any]) -> None:
    happiness = example_names["happiness"]
    assert isinstance(happiness, pd.DataFrame)
    together = happiness.loc["crossing.mp4"].dropna(axis="columns", how="all")
    assert together.shape[1] == 2
    assert together.stack().between(0, 1).all()
    assert together.index.tolist() == list(range(5))
    assert "crossing.mp4" in example_names["printed"]


def test_the_example_gives_the_synchrony_of_two_faces(example_names: dict[str, Any]) -> None:
    found = re.findall(r"crossing\.mp4: faces \d+ and \d+: (\S+)", example_names["printed"])
    assert len(found) == 1
    assert -1 <= float(found[0]) <= 1


def test_the_synchrony_of_the_example_is_a_correlation_at_common_times(example_names: dict[str, Any]) -> None:
    def face(times: Any, values: Any) -> pd.DataFrame:
        return pd.DataFrame({"time": times, "happy_smooth": values})

    times = np.arange(0, 20, 0.2)
    one, other = face(times, np.sin(times)), face(times[10:] + 0.07, np.sin(times[10:] + 0.07))
    assert example_names["synchrony"](one, one) == pytest.approx(1)
    assert example_names["synchrony"](one, other) == pytest.approx(1, abs=1e-3)
    assert example_names["synchrony"](one, face(times, -np.sin(times))) == pytest.approx(-1)
    holed = other[(other["time"] < 4) | (other["time"] > 15)]
    assert example_names["synchrony"](one, holed) == pytest.approx(1, abs=1e-3)
    assert np.isnan(example_names["synchrony"](one, face(times + 100, times)))


# links


@pytest.mark.parametrize("page", [*PAGES, *OTHERS], ids=page_name)
def test_every_link_leads_somewhere(page: Path) -> None:
    for link in links(page):
        if link.startswith(("http://", "https://")):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.is_relative_to(ROOT), f"{link} leads out of the repository"
        assert target.exists(), f"{page_name(page)} links to {link}, which is not there"
        assert not anchor or anchor in anchors(target), f"{page_name(page)} links to {link}, which is no heading"


def test_the_readme_links_every_guide() -> None:
    assert {page_name(page) for page in GUIDES} - {"docs/comparison.md"} <= set(links(README))
    assert "docs/comparison.md" in links(README)


# completeness


def options_of(name: str) -> set[str]:
    return {
        option
        for parameter in COMMANDS[name].params
        for option in (*parameter.opts, *parameter.secondary_opts)
        if option.startswith("--") and option != "--help"
    }


def documented_options(text: str) -> set[str]:
    return set(re.findall(r"--[a-z][a-z-]*", " ".join(first_cells(text))))


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_a_command_is_documented_with_all_its_options_and_no_others(name: str) -> None:
    section = sections(GUIDE).get(f"fervid {name}")
    assert section is not None, f"docs/commands.md has no section for fervid {name}"
    assert documented_options(section) == options_of(name)
    assert f"(#fervid-{name})" in GUIDE.read_text(encoding="utf-8").split("\n## ")[0]


def test_no_command_is_documented_that_does_not_exist() -> None:
    named = {heading.removeprefix("fervid ") for heading in sections(GUIDE) if heading.startswith("fervid ")}
    assert named == set(COMMANDS)


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_the_documented_defaults_are_those_of_the_command(name: str) -> None:
    defaults = {option: p.default for p in COMMANDS[name].params for option in p.opts}
    for cell in first_cells(sections(GUIDE)[f"fervid {name}"]):
        for span in code_spans(cell):
            option, _, value = span.partition(" ")
            default = defaults.get(option)
            if isinstance(default, bool) or not isinstance(default, (int, float)) or not re.match(r"[\d.]+$", value):
                continue
            assert float(value) == default, f"fervid {name} {option}"


@pytest.mark.parametrize("page", [page for page in PAGES if page.name != "benchmarks.md"], ids=page_name)
def test_the_text_names_no_option_that_does_not_exist(page: Path) -> None:
    known = {option for name in COMMANDS for option in options_of(name)}
    known |= {"--help", "--version", "--install-completion", "--show-completion"}
    spans = [span for span in code_spans(prose(page)) if not span.startswith(("pip ", "python ", "ray "))]
    named = {option for span in spans for option in re.findall(r"(?<!\S)--[a-z][a-z-]*", span)}
    assert named <= known


TABLES = {
    "Timeline": TIMELINE,
    "Episodes": EPISODES,
    "Summary": SUMMARY,
    "Persons": PERSONS,
    "Shots": SHOTS,
    "Videos": VIDEOS,
    "Images": STILLS,
}


@pytest.mark.parametrize("heading", TABLES)
def test_every_column_is_documented_in_its_order_and_no_other(heading: str) -> None:
    schema: pa.Schema = TABLES[heading]
    section = sections(ROOT / "docs" / "tables.md")[heading]
    assert [name for cell in first_cells(section) for name in code_spans(cell)] == schema.names


def test_every_public_name_is_documented() -> None:
    text = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
    spans = {word for span in code_spans(text) for word in re.findall(r"\w+", span)}
    used = {node.attr for block in blocks(ROOT / "docs" / "python.md") if block.language == "python"
            for node in ast.walk(ast.parse(block.code)) if isinstance(node, ast.Attribute)}  # fmt: skip
    assert set(fervid.__all__) <= spans
    assert {name for name in fervid.__all__ if callable(getattr(fervid, name)) and name[0].islower()} <= used


def test_every_exception_is_documented() -> None:
    section = sections(ROOT / "docs" / "python.md")["Errors"]
    classes = {
        name for name, thing in vars(errors).items() if inspect.isclass(thing) and thing is not fervid.FervidError
    }
    assert {name for cell in first_cells(section) for name in code_spans(cell)} == classes


def test_every_exit_code_is_documented() -> None:
    codes = {int(cell) for cell in first_cells(sections(ROOT / "docs" / "unattended.md")["Exit codes"])}
    assert {error.exit_code for error in EXCEPTIONS} <= codes
    assert codes == {0, 2, 3, 4, 5, 75, 130}


def test_the_citation_is_of_this_version() -> None:
    lines = (ROOT / "CITATION.cff").read_text(encoding="utf-8").splitlines()
    values = dict(line.split(": ", 1) for line in lines if re.match(r"[a-z-]+: ", line))
    assert values["cff-version"] == "1.2.0"
    assert values["version"] == fervid.__version__
    assert {"title", "message", "type"} <= set(values)
    assert {"authors:", "license:"} <= set(lines)


# what is shipped beside the documentation


def test_the_shipped_recipes_load() -> None:
    recipes = sorted((ROOT / "jobs").glob("fer2013*/*.toml"))
    assert len(recipes) == 9 + 3
    settings = [from_mapping(TrainSettings, read_toml(recipe)) for recipe in recipes]
    assert {recipe.select for recipe in settings} == {"last"}
    large = [recipe for recipe in settings if recipe.architecture.widths[-1] == 512 and recipe.votes_power]
    assert {recipe.split_seed for recipe in large} == {1}, "teachers and students hold out the same images"
