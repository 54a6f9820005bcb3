"""BORIS' own code loads our projects. It is GPL, so only this test uses it, in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fervid.export.export import export
from fervid.results.reader import read_results
from tests.support.corrected import write_people
from tests.support.synthetic_results import MadeFace, MadeVideo, leading_emotions, write_results

PYTHON = os.environ.get("BORIS_PYTHON", sys.executable)
"""The interpreter that has the package boris-behav-obs."""

LOAD = """
import importlib.util, json, logging, sys, types
spec = importlib.util.find_spec("boris")
if spec is None:
    sys.exit("boris-behav-obs is not installed")
package = types.ModuleType("boris")  # its __init__ opens the program itself
package.__path__ = list(spec.submodule_search_locations)
sys.modules["boris"] = package
for player in ("mpv", "mpv2"):  # need a library of the system, and play videos only
    sys.modules[f"boris.{player}"] = types.ModuleType(f"boris.{player}")
    sys.modules[f"boris.{player}"].sofile = "libmpv.so.2"
    setattr(package, player, sys.modules[f"boris.{player}"])
from boris import project_functions as functions
name, changed, project, message = functions.open_project_json(sys.argv[1])
problems = [project["error"]] if "error" in project else []
if not problems:
    problems.append(functions.check_project_integrity(project, "s", sys.argv[1], media_file_available=False))
    for key, one in project["observations"].items():
        paired, text = functions.check_state_events_obs(key, project["behaviors_conf"], one, "s")
        problems.append("" if paired else text)
print(json.dumps({
    "changed": changed, "message": message, "problems": [one for one in problems if one],
    "events": {key: [[float(event[0]), *event[1:3]] for event in one["events"]]
               for key, one in project.get("observations", {}).items()},
}))
"""


def loaded(project: Path) -> dict[str, object]:
    """What BORIS makes of a project. The test is skipped where BORIS cannot be imported."""
    line = [PYTHON, "-c", LOAD, str(project)]
    environment = os.environ | {"QT_QPA_PLATFORM": "offscreen"}
    done = subprocess.run(line, capture_output=True, text=True, timeout=120, check=False, env=environment)
    if done.returncode and ("not installed" in done.stderr or "ImportError" in done.stderr
                            or "ModuleNotFoundError" in done.stderr):  # fmt: skip
        pytest.skip(f"BORIS cannot be imported here: {done.stderr.strip().splitlines()[-1]}")
    assert done.returncode == 0, done.stderr
    answer: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return answer


@pytest.mark.slow
@pytest.mark.parametrize("named", [False, True])
def test_boris_loads_our_projects_without_a_problem(tmp_path: Path, named: bool) -> None:
    face = MadeFace(range(40), leading_emotions(("neutral", 12), ("happy", 9), ("sad", 19)))
    other = MadeFace(range(25, 45), leading_emotions(("angry", 7), ("happy", 6), ("angry", 7)))
    videos = [MadeVideo("talk/first.mp4", [face, other], step=1 / 3), MadeVideo("empty.mov", count=10)]
    results = write_people(tmp_path) if named else write_results(tmp_path / "r.parquet", videos)
    (project,) = export(results, "boris", tmp_path / "p.boris").files
    found = loaded(project)
    assert found["problems"] == []
    assert (found["changed"], found["message"]) == (False, "")
    episodes, events = read_results(results).episodes, found["events"]
    assert isinstance(events, dict)
    assert set(events) == set(read_results(results).videos["video"])
    for video, rows in events.items():
        wanted = episodes[episodes["video"] == video]
        times = [*wanted["onset"].round(3), *wanted["offset"].round(3)]
        assert sorted(time for time, *_ in rows) == pytest.approx(sorted(times), abs=1e-9)
        assert {row[2] for row in rows} == set(wanted["emotion"])
    text = project.read_text(encoding="utf-8").replace('"State event"', '"Nonsense"', 1)
    project.write_text(text[:-20], encoding="utf-8")
    assert loaded(project)["problems"], "BORIS accepts anything"
