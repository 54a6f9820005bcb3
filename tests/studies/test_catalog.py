"""Who is seen where: names in results, the participants table, roles, and several persons in one video."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fervid.errors import BadStudy
from fervid.results.schema import PERSONS, SUMMARY
from fervid.studies.catalog import read_catalog
from fervid.studies.events import Event
from fervid.studies.matching import match_events
from fervid.studies.participants import Participant
from fervid.studies.settings import StudySettings
from fervid.studies.study import compute_study
from tests.support.synthetic_results import MadeFace, MadeVideo, leading_emotions, wandering, write_results

LONG, SHORT = (MadeFace(range(count), leading_emotions(("happy", count))) for count in (50, 20))


def made(folder: Path, people: dict[str, list[tuple[Any, Any, Any]]]) -> Path:
    """Results in which the faces of each video have these (person, participant, role)."""
    videos = [MadeVideo(name, [LONG, *[SHORT] * (len(faces) - 1)]) for name, faces in people.items()]
    path = write_results(folder / "results.parquet", videos)
    summary = pd.read_csv(folder / "results.summary.csv")
    summary["person"] = pd.array([face[0] for faces in people.values() for face in faces], "Int64")
    summary["participant"] = [face[1] for faces in people.values() for face in faces]
    summary[SUMMARY.names].to_csv(folder / "results.summary.csv", index=False)
    persons = summary[summary["person"].notna()].drop_duplicates(["video", "person"]).copy()
    persons["faces"] = 1
    roles = {(video, face[0]): face[2] for video, faces in people.items() for face in faces}
    persons["role"] = [roles[(row.video, row.person)] for row in persons.itertuples()]
    persons[PERSONS.names].to_csv(folder / "results.persons.csv", index=False)
    return path


def people(*names: str, **videos: list[tuple[str, str]]) -> dict[str, Participant]:
    return {name: Participant(name, f"{name}'s line", {}, tuple(videos.get(name, ()))) for name in names}


def settings(**changes: Any) -> StudySettings:
    return StudySettings(results=("r",), participants="participants.tsv", events=("e",), **changes)


def test_names_in_the_results_decide_and_interviewers_are_left_out(tmp_path: Path) -> None:
    faces = [(0, "Ann", None), (1, "Ida", "interviewer"), (0, "Ann", None), (None, None, None)]
    path = made(tmp_path, {"a.mp4": faces})
    (recording,) = read_catalog([path], people("Ann"), settings())
    assert recording.faces == {"Ann": {0, 2}}
    with pytest.raises(BadStudy, match=r"the results name participants that it lacks: 'Ida' in a\.mp4"):
        read_catalog([path], people("Ann"), settings(exclude_roles=()))


def test_the_table_says_who_is_seen_where_nobody_is_named(tmp_path: Path) -> None:
    path = made(tmp_path, {"a.mp4": [(0, None, None), (1, None, "interviewer")], "b.mp4": [(None, None, None)]})
    found = read_catalog([path], people("Ann", "Ben", Ann=[("a", "")], Ben=[("b.mp4", "")]), settings())
    assert [one.faces for one in found] == [{"Ann": {0}}, {"Ben": {0}}]


def test_a_video_with_several_persons_needs_a_number_or_the_most_seen_one(tmp_path: Path) -> None:
    path = made(tmp_path, {"a.mp4": [(0, None, None), (1, None, None)]})
    with pytest.raises(BadStudy, match=r"it is not clear which person is the participant in a\.mp4 \(2 persons\)"):
        read_catalog([path], people("Ann", Ann=[("a", "")]), settings())
    (most,) = read_catalog([path], people("Ann", Ann=[("a", "")]), settings(person="most_seen"))
    assert most.faces == {"Ann": {0}}
    (both,) = read_catalog([path], people("Ann", "Ben", Ann=[("a", "1")], Ben=[("a", "0")]), settings())
    assert both.faces == {"Ann": {1}, "Ben": {0}}
    with pytest.raises(BadStudy, match=r"column person: a\.mp4 shows 2 participants, so each needs the number"):
        read_catalog([path], people("Ann", "Ben", Ann=[("a", "1")], Ben=[("a", "")]), settings())


def test_faces_of_unknown_persons_are_unclear(tmp_path: Path) -> None:
    path = made(tmp_path, {"a.mp4": [(None, None, None), (None, None, None)]})
    with pytest.raises(BadStudy, match=r"2 faces of unknown persons"):
        read_catalog([path], people("Ann", Ann=[("a", "")]), settings())


def test_a_participant_whom_the_results_do_not_name_is_expected_but_was_not_seen(tmp_path: Path) -> None:
    path = made(tmp_path, {"a.mp4": [(0, "Ann", None)]})
    (recording,) = read_catalog([path], people("Ann", "Ben", Ben=[("a", "")]), settings())
    assert recording.faces == {"Ann": {0}, "Ben": frozenset()}


@pytest.mark.parametrize(("video", "message"), [
    ("c.mp4", "'c.mp4' is not in the results, which hold a.mp4, b.mp4"),
    ("*.mp4", "'*.mp4' fits 2 videos: a.mp4, b.mp4"),
])  # fmt: skip
def test_a_video_of_the_table_must_be_one_of_the_results(tmp_path: Path, video: str, message: str) -> None:
    path = made(tmp_path, {"a.mp4": [(0, None, None)], "b.mp4": [(0, None, None)]})
    with pytest.raises(BadStudy) as caught:
        read_catalog([path], people("Ann", Ann=[(video, "")]), settings())
    assert message in str(caught.value)


def test_the_same_recording_twice_is_refused(tmp_path: Path) -> None:
    paths = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        paths.append(made(tmp_path / name, {"a.mp4": [(0, None, None)]}))
    with pytest.raises(BadStudy, match="the same recording is there twice"):
        read_catalog(paths, people("Ann"), settings())


# events


def event(video: str = "", participant: str = "", hint: str = "") -> Event:
    return Event("events.csv, line 2", 1.0, 2.0, "x", video, participant, hint)


@pytest.fixture
def pair(tmp_path: Path) -> Any:
    """Ann and Ben in one video, Ann in another."""
    path = made(tmp_path, {"both_video.mp4": [(0, "Ann", None), (1, "Ben", None)], "sub-Ann_task-x_beh.mp4":
                           [(0, "Ann", None)]})  # fmt: skip
    table = people("Ann", "Ben", "sub-Ann")
    return read_catalog([path], table, settings()), table


@pytest.mark.parametrize(
    ("one", "expected"),
    [
        (event("both_video"), [(0, "Ann"), (0, "Ben")]),
        (event("both_video", "Ben"), [(0, "Ben")]),
        (event("", "Ben"), [(0, "Ben")]),
        (event("both_video", hint="Ben"), [(0, "Ben")]),
        (event("both_video", hint="face 0"), [(0, "Ann"), (0, "Ben")]),
        (event("sub-Ann_task-x", hint="sub-Zoe"), [(1, "Ann")]),
        (event("*_video.mp4"), [(0, "Ann"), (0, "Ben")]),
        (event("sub-Ann_task-x_beh.mp4", "Ben"), [(1, "Ben")]),
    ],
)
def test_events_belong_to_the_participants_of_their_video(
    pair: Any, one: Event, expected: list[tuple[int, str]]
) -> None:
    recordings, table = pair
    found = match_events([one], recordings, table)
    assert [(match.recording, match.participant) for match in found.events] == expected


def test_an_event_of_a_participant_with_two_videos_needs_the_video(pair: Any) -> None:
    with pytest.raises(BadStudy, match=r"events\.csv, line 2: 'Ann' fits 2 videos"):
        match_events([event("", "Ann")], *pair)
    with pytest.raises(BadStudy, match=r"1 event matches no video of the results: 'nothing' \(events\.csv, line 2\)"):
        match_events([event("nothing")], *pair)


def test_two_participants_in_one_recording_have_a_synchrony(tmp_path: Path) -> None:
    faces = [MadeFace(range(200), wandering(200, seed)) for seed in (1, 1, 2)]
    path = write_results(tmp_path / "results.parquet", [MadeVideo("a.mp4", faces, count=200)])
    summary = pd.read_csv(tmp_path / "results.summary.csv")
    summary["participant"] = ["Ann", "Ben", "Zoe"]
    summary[SUMMARY.names].to_csv(tmp_path / "results.summary.csv", index=False)
    table, footer = pq.read_table(path), pq.read_metadata(path).metadata
    owners = [None if face is None else ("Ann", "Ben", "Zoe")[face] for face in table["face_id"].to_pylist()]
    table = table.set_column(table.column_names.index("participant"), "participant", pa.array(owners, pa.string()))
    with pq.ParquetWriter(path, table.schema) as writer:
        writer.write_table(table)
        writer.add_key_value_metadata({key: text for key, text in footer.items() if key.startswith(b"fervid.")})
    (tmp_path / "participants.tsv").write_text("participant_id\nAnn\nBen\nZoe\n")
    inputs = {"results": [str(path)], "participants": str(tmp_path / "participants.tsv"), "windows": {"bins": 20}}
    table = compute_study(inputs).tables.synchrony
    assert len(table) == 3 * 8
    happy = table[table["measure"] == "happy"].set_index(["participant", "other"])
    assert happy.loc[("Ann", "Ben"), ["correlation", "lag", "null_share"]].tolist() == pytest.approx([1, 0, 0])
    assert happy.loc[("Ann", "Zoe"), "correlation"] == happy.loc[("Ben", "Zoe"), "correlation"]
    assert abs(happy.loc[("Ann", "Zoe"), "correlation"]) < 1
    assert len(compute_study(inputs | {"statistics": {"synchrony": False}}).tables.synchrony) == 0
