"""One version and one date everywhere, and scripts that the shell can read."""

from __future__ import annotations

import json
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

import fervid
from tests.support.paths import ROOT

SCRIPTS = sorted(path for path in (ROOT / ".ci").iterdir() if path.is_file())


def test_every_file_names_the_same_version() -> None:
    citation = re.search(r"^version: (.+)$", (ROOT / "CITATION.cff").read_text(encoding="utf-8"), re.MULTILINE)
    zenodo = json.loads((ROOT / ".zenodo.json").read_text(encoding="utf-8"))
    changes = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert citation is not None
    assert changes is not None
    assert {citation[1], zenodo["version"], changes[1]} == {fervid.__version__}


def test_metadata_say_the_same() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    zenodo = json.loads((ROOT / ".zenodo.json").read_text(encoding="utf-8"))
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f'title: "{zenodo["title"]}"' in citation
    assert [author["name"] for author in project["authors"]] == [author["name"] for author in zenodo["creators"]]
    assert all(f"  - {word}\n" in citation for word in zenodo["keywords"])
    low, high = re.fullmatch(r">=3\.(\d+),<3\.(\d+)", project["requires-python"]).groups()  # type: ignore[union-attr]
    versions = [f"3.{minor}" for minor in range(int(low), int(high))]
    named = [line.rsplit(" ", 1)[1] for line in project["classifiers"] if re.search(r":: 3\.\d+$", line)]
    assert named == versions
    assert f"for version in {' '.join(versions)}" in (ROOT / ".ci" / "wheels").read_text(encoding="utf-8")


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_a_script_can_be_read_and_run(path: Path) -> None:
    assert path.stat().st_mode & 0o100
    subprocess.run(["bash", "-n", str(path)], check=True)
