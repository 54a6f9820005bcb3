"""BORIS' own code loads our projects. It is GPL, so only this test uses it, in a process of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from fervid.export.export import export
from fervid.results.reader import read_results
from tests.support.boris import in_boris
from tests.support.corrected import write_people
from tests.support.synthetic_results import MadeFace, MadeVideo, leading_emotions, write_results

LOAD = """
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
    """What BORIS makes of a project."""
    answer: dict[str, object] = in_boris(LOAD, project)
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
