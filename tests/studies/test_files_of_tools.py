"""Files that the tools themselves write: Praat, BORIS, and independent libraries for TextGrid and ELAN.

Praat is the program in PRAAT or on the path (Debian: apt-get install praat). tests.support.boris says where BORIS is.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from fervid.export.export import export
from fervid.results.reader import read_results
from fervid.studies.events import Event
from fervid.studies.read_events import read_events
from tests.support.boris import in_boris
from tests.support.corrected import write_people

pytestmark = pytest.mark.slow


def short(events: list[Event]) -> list[tuple[Any, ...]]:
    """What the tests compare: video, name, onset, duration and trial type, in order of time."""
    found = [(one.video, one.hint, round(one.onset, 6), round(one.duration, 6), one.trial_type) for one in events]
    return sorted(found, key=lambda one: (one[0], one[2], one[1], one[4]))


def praat(folder: Path, *lines: str) -> str:
    """Run a script of Praat and return what it prints."""
    program = shutil.which(os.environ.get("PRAAT", "praat"))
    if program is None:
        pytest.skip("needs Praat (Debian: apt-get install praat; or name it in PRAAT)")
    (folder / "script.praat").write_text("\n".join(lines) + "\n", encoding="utf-8")
    environment = os.environ | {"HOME": str(folder)}
    done = subprocess.run([program, "--run", str(folder / "script.praat")], capture_output=True, check=False,
                          timeout=60, env=environment)  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.decode("utf-16" if done.stdout[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8")


@pytest.mark.parametrize("form", ["text", "short text", "binary"])
@pytest.mark.parametrize("coding", ["UTF-8", "UTF-16", "try ASCII, then UTF-16"])
@pytest.mark.parametrize("plain", [False, True])
def test_textgrids_of_praat_are_read_in_every_form(tmp_path: Path, form: str, coding: str, plain: bool) -> None:
    label, name = ("joke loud", "Zoe") if plain else ('joke ""loud"" ü 日本 😀', "Zoë")
    path = tmp_path / "talk.TextGrid"
    praat(
        tmp_path,
        f'Text writing preferences: "{coding}"',
        f'Create TextGrid: 0, 12.5, "Anna {name} marks", "marks"',
        "Insert boundary: 1, 1.25",
        "Insert boundary: 1, 3.0000001",
        f'Set interval text: 1, 2, "{label}"',
        "Insert boundary: 2, 1/3",
        'Set interval text: 2, 2, "rest"',
        'Insert point: 3, 7.123456789, "1 <exists> 3.5"',
        f'Save as {form} file: "{path}"',
    )
    wanted = label.replace('""', '"')
    assert short(read_events(path)) == [
        ("talk", name, 0.333333, 12.166667, "rest"),
        ("talk", "Anna", 1.25, 1.75, wanted),
        ("talk", "marks", 7.123457, 0.0, "1 <exists> 3.5"),
    ]
    assert [one.trial_type for one in read_events(path, ["Anna"])] == [wanted]


def test_praat_reads_our_textgrids_and_loses_nothing(tmp_path: Path) -> None:
    results = write_people(tmp_path)
    for path in export(results, "textgrid", tmp_path / "grids").files:
        again = tmp_path / path.name
        praat(tmp_path, f'Read from file: "{path}"', f'Save as binary file: "{again}"')
        assert [event[1:] for event in short(read_events(again))] == [event[1:] for event in short(read_events(path))]


def test_textgrids_of_other_libraries_are_read(tmp_path: Path) -> None:
    textgrid = pytest.importorskip("textgrid", reason="needs the package TextGrid")
    praatio = pytest.importorskip("praatio.textgrid", reason="needs the package praatio")
    made = textgrid.TextGrid(maxTime=10)
    words = textgrid.IntervalTier("words", 0, 10)
    words.add(1.234, 2.5, 'say "hé"')
    made.append(words)
    made.write(str(tmp_path / "one.TextGrid"))
    assert short(read_events(tmp_path / "one.TextGrid")) == [("one", "words", 1.234, 1.266, 'say "hé"')]
    grid = praatio.Textgrid(0, 10)
    grid.addTier(praatio.IntervalTier("words", [(1.234, 2.5, 'say "hé"')], 0, 10))
    grid.addTier(praatio.PointTier("points", [(3.25, "click")], 0, 10))
    for form in ("short_textgrid", "long_textgrid"):
        grid.save(str(tmp_path / "two.TextGrid"), form, includeBlankSpaces=True)
        assert short(read_events(tmp_path / "two.TextGrid")) == [
            ("two", "words", 1.234, 1.266, 'say "hé"'),
            ("two", "points", 3.25, 0.0, "click"),
        ]


def project() -> dict[str, Any]:
    """A project with two media that play one after another, a time offset, modifiers, and points."""
    media = ["/videos/a.mp4", "/videos/b.mp4"]
    events = [
        [6.234, "Ann", "smile", "wide", "", 1],
        [7.0, "", "click", "left|twice", "", 2],
        [7.5, "Ann", "smile", "narrow", "", 3],
        [8.5, "Ben", "smile", "wide", "", 4],
        [9.0, "Ann", "smile", "wide", "", 5],
        [9.5, "Ann", "smile", "narrow", "", 6],
        [24.0, "Ben", "smile", "wide", "", 7],
        [31.0, "", "smile", "wide", "", 8],
        [32.5, "", "smile", "wide", "", 9],
    ]
    observation = {
        "file": {str(player): media if player == 1 else [] for player in range(1, 9)}, "type": "MEDIA",
        "date": "2026-01-02T03:04:05", "description": "", "time offset": 5.0, "events": events,
        "observation time interval": [0, 0], "independent_variables": {},
        "media_info": {"length": dict(zip(media, (20.0, 30.0), strict=True)), "fps": dict.fromkeys(media, 25.0),
                       "hasVideo": dict.fromkeys(media, True), "hasAudio": dict.fromkeys(media, False)},
    }  # fmt: skip

    def behavior(code: str, kind: str) -> dict[str, str]:
        empty = dict.fromkeys(("description", "color", "category", "modifiers", "excluded", "coding map"), "")
        return {"type": kind, "key": code[0], "code": code, **empty}

    return {
        "time_format": "s", "project_date": "2026-01-02T03:04:05", "project_name": "made", "project_description": "",
        "project_format_version": "7.0",
        "subjects_conf": {str(place): {"key": "", "name": name, "description": ""}
                          for place, name in enumerate(("Ann", "Ben"))},
        "behaviors_conf": {"0": behavior("smile", "State event"), "1": behavior("click", "Point event")},
        "observations": {"one": observation}, "behavioral_categories": [], "independent_variables": {},
        "coding_map": {}, "behaviors_coding_map": [], "converters": {},
    }  # fmt: skip


EXPORT = """
import tablib
from boris import config, export_events, export_observation, project_functions
_, _, project, _ = project_functions.open_project_json(sys.argv[1])
folder, problems, behaviors = sys.argv[2], [], project["behaviors_conf"]
subjects = [one["name"] for one in project["subjects_conf"].values()]
parameters = {"time": config.TIME_EVENTS, config.SELECTED_SUBJECTS: [*subjects, config.NO_FOCAL_SUBJECT],
              config.SELECTED_BEHAVIORS: [one["code"] for one in behaviors.values()]}
# the header is a function inside the command of the menu
constants = export_events.export_aggregated_events.__code__.co_consts
(code,) = [one for one in constants if getattr(one, "co_name", "") == "fields_type"]
owner = types.CellType(types.SimpleNamespace(pj=project))
header = types.FunctionType(code, vars(export_events), None, None, (owner,) * len(code.co_freevars))
for number, (name, observation) in enumerate(project["observations"].items()):
    for ending in ("tsv", "csv", "xlsx"):
        path = f"{folder}/%s{number}.{ending}"
        done, message = export_observation.export_tabular_events(
            project, parameters, name, observation, behaviors, path % "tabular", ending)
        rows, modifiers = export_observation.export_aggregated_events(project, parameters, name)
        table = tablib.Dataset(*list(rows), headers=list(header(modifiers)), title=name)
        also, text = export_observation.dataset_write(table, path % "aggregated", ending)
        problems += [one for one in (message, text) if one]
print(json.dumps(problems))
"""


@pytest.mark.parametrize("ending", ["tsv", "csv", "xlsx"])
@pytest.mark.parametrize("form", ["tabular", "aggregated"])
def test_tables_that_boris_exports_are_the_project(tmp_path: Path, form: str, ending: str) -> None:
    if ending == "xlsx":
        pytest.importorskip("openpyxl", reason="openpyxl is not installed")
    path = tmp_path / "study.boris"
    path.write_text(json.dumps(project()))
    assert in_boris(EXPORT, path, tmp_path) == []
    wanted = short(read_events(path))
    assert wanted == [
        ("a.mp4", "Ann", 1.234, 2.766, "smile"),
        ("a.mp4", "", 2.0, 0.0, "click"),
        ("a.mp4", "Ann", 2.5, 2.0, "smile"),  # with another modifier, so it overlaps
        ("a.mp4", "Ben", 3.5, 15.5, "smile"),
        ("b.mp4", "", 6.0, 1.5, "smile"),
    ]
    assert short(read_events(tmp_path / f"{form}0.{ending}")) == wanted


def test_boris_exports_our_project_without_a_loss(tmp_path: Path) -> None:
    results = write_people(tmp_path)
    (path,) = export(results, "boris", tmp_path / "people.boris").files
    assert in_boris(EXPORT, path, tmp_path) == []
    episodes = read_results(results).episodes
    for form in ("tabular", "aggregated"):
        found = [event for part in sorted(tmp_path.glob(f"{form}*.tsv")) for event in read_events(part)]
        assert len(found) == len(episodes)
        assert sorted(round(event.onset, 3) for event in found) == pytest.approx(sorted(episodes["onset"].round(3)))
        ends = sorted(round(event.end, 3) for event in found)
        assert ends == pytest.approx(sorted(episodes["offset"].round(3)), abs=1.1e-3)
