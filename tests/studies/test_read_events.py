"""Events as people and tools write them."""

from __future__ import annotations

import gzip
import json
import math
import struct
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pympi.Elan import Eaf
from pympi.Praat import TextGrid

from fervid.errors import BadStudy, FervidError, InputNotFound
from fervid.studies.events import Event
from fervid.studies.read_events import find_files, read_events

TABLE = "video,onset,duration,trial_type,rating\na.mp4,1.5,2,joy,4\nb.mp4,10,0.25,rest,\n"


def read(folder: Path, name: str, content: str | bytes, *tiers: str) -> list[Event]:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_events(path, tiers)


def short(events: list[Event]) -> list[tuple[str, float, float, str]]:
    return [(event.video, event.onset, event.duration, event.trial_type) for event in events]


JOY_AND_REST = [("a.mp4", 1.5, 2.0, "joy"), ("b.mp4", 10.0, 0.25, "rest")]


@pytest.mark.parametrize(
    "content",
    [
        TABLE,
        TABLE.replace(",", "\t"),
        TABLE.replace(",", ";").replace("1.5", "1,5").replace("0.25", "0,25"),
        TABLE.replace("1.5", '"1,5"'),
        b"\xef\xbb\xbf" + TABLE.encode(),
        TABLE.encode("utf-16"),
        TABLE.replace("\n", "\r\n"),
        TABLE.replace("\n", "\n\n") + "\n,,,,\n",
        TABLE.replace("onset", " Onset ").replace("trial_type", "Trial type"),
        TABLE.replace("rating\n", "rating,,\n"),
    ],
    ids=["commas", "tabs", "semicolons", "quotes", "mark", "utf16", "windows", "empty lines", "header", "more columns"],
)
def test_a_table_is_read_however_it_was_saved(tmp_path: Path, content: str | bytes) -> None:
    events = read(tmp_path, "events.csv", content)
    assert short(events) == JOY_AND_REST
    assert [event.columns["rating"] for event in events] == ["4", ""]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "line 1: the file is empty"),
        ("onset,duration,trial_type\n", "line 2: the table has no rows"),
        ("start,duration,trial_type\n1,2,x\n", "line 1: no column onset"),
        ("onset,duration,onset,trial_type\n1,2,1,x\n", "line 1: column onset is there twice"),
        ("onset,duration,trial_type\n1,2,x\nsoon,2,x\n", "line 3, column onset: 'soon' is not a number"),
        ("onset,duration,trial_type\n1:20,2,x\n", "line 2, column onset: '1:20' is not a number"),
        ("onset,duration,trial_type\ninf,2,x\n", "line 2, column onset: 'inf' is not a number"),
        ("onset,duration,trial_type\n,2,x\n", "line 2, column onset: it is empty"),
        ("onset,duration,trial_type\n1,-2,x\n", "line 2, column duration: it is negative"),
        ("onset,duration,trial_type\n1,2,\n", "line 2, column trial_type: it is empty"),
        ("onset,duration,trial_type\n1,2,x\n3,4,x\n1,2,x\n", "line 4, column onset: the same event is there twice"),
        ("onset,duration,trial_type\n1,5,2,x\n", "line 2: 4 cells for 3 columns; a decimal comma needs quotes"),
        ('onset,duration,trial_type\n1,2,"x\n', "line 2: unexpected end of data"),
        (b"onset,duration,trial_type\n1,2,caf\xe9\n", "line 2: this is not UTF-8 text"),
        (b"onset\0", "is not a text file"),
    ],
)
def test_a_wrong_table_is_refused_in_one_line_with_its_place(
    tmp_path: Path, content: str | bytes, message: str
) -> None:
    with pytest.raises(BadStudy) as caught:
        read(tmp_path, "events.csv", content)
    assert message in str(caught.value)
    assert str(tmp_path / "events.csv") in str(caught.value)
    assert "\n" not in str(caught.value)


def test_overlapping_events_are_kept_as_they_are(tmp_path: Path) -> None:
    events = read(tmp_path, "events.csv", "video,onset,duration,trial_type\na,1,5,x\na,2,5,x\na,1,5,y\n")
    assert [(event.onset, event.end, event.trial_type) for event in events] == [(1, 6, "x"), (2, 7, "x"), (1, 6, "y")]


def test_a_table_of_bids_is_of_the_recording_of_its_name(tmp_path: Path) -> None:
    content = "onset\tduration\ttrial_type\n0.123\t1.4\tgo\n2\tn/a\tstop\n"
    events = read(tmp_path, "sub-01_task-talk_events.tsv", content)
    assert short(events) == [("sub-01_task-talk", 0.123, 1.4, "go"), ("sub-01_task-talk", 2.0, 0.0, "stop")]
    assert events[0].hint == "sub-01"


def test_a_participant_may_be_named_instead_of_a_video(tmp_path: Path) -> None:
    (event,) = read(tmp_path, "events.csv", "participant_id,onset,duration,trial_type\nAnn,1,2,x\n")
    assert (event.video, event.participant) == ("", "Ann")


def elan(folder: Path) -> Path:
    eaf = Eaf(author="a coder")
    eaf.remove_tier("default")
    eaf.add_linked_file("file:///videos/a%20b.mp4", mimetype="video/mp4")
    eaf.add_tier("stimulus", part="Ann")
    eaf.add_tier("other")
    eaf.add_annotation("stimulus", 1234, 5678, "joy & more")
    eaf.add_annotation("other", 10, 20, "")
    eaf.to_file(folder / "coded.eaf")
    return folder / "coded.eaf"


def test_annotations_of_elan_are_events_to_the_millisecond(tmp_path: Path) -> None:
    events = read_events(elan(tmp_path))
    assert short(events) == [("a b.mp4", 1.234, 4.444, "joy & more"), ("a b.mp4", 0.01, 0.01, "other")]
    assert events[0].hint == "Ann"
    assert short(read_events(tmp_path / "coded.eaf", ["stimulus"])) == short(events)[:1]
    with pytest.raises(BadStudy, match=r"no tier 'stimuli'; its tiers are other, stimulus"):
        read_events(tmp_path / "coded.eaf", ["stimuli"])


EAF = """<?xml version="1.0" encoding="UTF-8"?>
<ANNOTATION_DOCUMENT VERSION="2.8"><HEADER TIME_UNITS="milliseconds"/>
<TIME_ORDER><TIME_SLOT TIME_SLOT_ID="a" TIME_VALUE="1000"/><TIME_SLOT TIME_SLOT_ID="b"/>
<TIME_SLOT TIME_SLOT_ID="c" TIME_VALUE="4000"/></TIME_ORDER>
<TIER TIER_ID="one"><ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="1" TIME_SLOT_REF1="a" TIME_SLOT_REF2="b">
<ANNOTATION_VALUE>x</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION></TIER>
<TIER TIER_ID="two"><ANNOTATION><REF_ANNOTATION ANNOTATION_ID="2" ANNOTATION_REF="1">
<ANNOTATION_VALUE>y</ANNOTATION_VALUE></REF_ANNOTATION></ANNOTATION></TIER></ANNOTATION_DOCUMENT>
"""


def test_an_elan_document_in_utf_16_is_read(tmp_path: Path) -> None:
    assert len(read(tmp_path, "a.eaf", EAF.replace("UTF-8", "UTF-16").encode("utf-16"))) == 2
    assert len(read(tmp_path, "b.eaf", EAF.replace("UTF-8", "TF-8"))) == 2


def test_borders_without_a_time_and_dependent_annotations_get_one(tmp_path: Path) -> None:
    assert short(read(tmp_path, "a.eaf", EAF)) == [("a", 1.0, 1.5, "x"), ("a", 1.0, 1.5, "y")]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (EAF.replace("</TIER>", ""), "it is not valid XML"),
        ("<svg/>", "is not an ELAN document"),
        ('<!DOCTYPE x [<!ENTITY a "b">]>' + EAF.split("\n", 1)[1], "declares entities"),
        (EAF.replace("milliseconds", "NTSC-frames"), "its times are in NTSC-frames"),
        (EAF.replace('"4000"', '"soon"'), "'soon' is not a number of milliseconds"),
        (EAF.replace('REF2="b"', 'REF2="z"'), "no time slot 'z'"),
        (EAF.replace('REF="1"', 'REF="2"'), "it refers to no annotation with times"),
        (EAF.replace('REF1="a" TIME_SLOT_REF2="b"', 'REF1="c" TIME_SLOT_REF2="a"'), "it ends before it starts"),
        (EAF.replace(' TIME_VALUE="4000"', ""), "time slot b: it has no time"),
        (EAF.replace('"4000"', f'"{10**400}"'), "is not a number of milliseconds"),
        (EAF.replace('milliseconds"/>', 'milliseconds"><MEDIA_DESCRIPTOR MEDIA_URL="a" TIME_ORIGIN="x"/></HEADER>'),
         "the time origin of its video is not a number"),
    ],
)  # fmt: skip
def test_a_wrong_elan_document_is_refused_in_one_line(tmp_path: Path, content: str, message: str) -> None:
    with pytest.raises(BadStudy) as caught:
        read(tmp_path, "a.eaf", content)
    assert message in str(caught.value)


@pytest.mark.parametrize("form", ["normal", "short"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_textgrids_are_read_in_both_text_forms(tmp_path: Path, form: str, encoding: str) -> None:
    grid = TextGrid(xmax=10)
    grid.add_tier("words").add_interval(1.234, 2.5, 'say "hé"')
    grid.add_tier("points", tier_type="TextTier").add_point(3.25, "click")
    grid.to_file(tmp_path / "written", mode=form)
    text = (tmp_path / "written").read_text(encoding="utf-8")
    events = read(tmp_path, "talk.TextGrid", text.encode(encoding))
    assert short(events) == [("talk", 1.234, pytest.approx(1.266), 'say "hé"'), ("talk", 3.25, 0.0, "click")]
    assert [event.columns["tier"] for event in events] == ["words", "points"]
    assert short(read_events(tmp_path / "talk.TextGrid", ["points"])) == [("talk", 3.25, 0.0, "click")]


PRAAT = """File type = "ooTextFile"
Object class = "TextGrid"

xmin = 0
xmax = 2.3 ! seconds, "quoted" comment
tiers? <exists>
size = 1
item []:
    item [1]:
        class = "IntervalTier"
        name = "Mary"
        xmin = -1e-05
        xmax = 2.3
        intervals: size = 2
        intervals [1]:
            xmin = -1e-05
            xmax = 1
            text = "one ""and""
more"
        intervals [2]:
            xmin = 1
            xmax = 2.3
            text = ""
"""


def test_numbers_with_signs_and_labels_of_several_lines_are_read(tmp_path: Path) -> None:
    (event,) = read(tmp_path, "a.TextGrid", PRAAT)
    assert (event.onset, event.trial_type) == (-1e-05, 'one "and"\nmore')
    assert event.duration == pytest.approx(1.00001)
    assert event.place.endswith("line 16")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"ooBinaryFile\x08TextGrid", "byte 21: the file ends too early"),
        (b"ooBinaryFile\x05Sound", "holds a 'Sound' and not a TextGrid"),
        ("hello\n", "line 1: it is not a TextGrid file"),
        (PRAAT.split("intervals [2]")[0], "the file ends where a number is missing"),
        (PRAAT.replace("xmax = 1\n", 'xmax = "1"\n'), "line 17: a number is missing before"),
        (PRAAT.replace("xmax = 1\n", "xmax = -2\n"), "the interval ends before it starts"),
        (PRAAT.replace("xmax = 1\n", "xmax = 1e400\n"), "line 17: the number is too large"),
        (PRAAT.replace("size = 2", "size = 2.5"), "line 14: 2.5 is not a whole number"),
    ],
)
def test_a_wrong_textgrid_is_refused_in_one_line(tmp_path: Path, content: str | bytes, message: str) -> None:
    with pytest.raises(BadStudy) as caught:
        read(tmp_path, "a.TextGrid", content)
    assert message in str(caught.value)


def project(**changes: Any) -> dict[str, Any]:
    observation = {
        "type": "MEDIA",
        "file": {"1": ["/videos/a.mp4", "C:\\videos\\b.mp4"], "2": []},
        "media_info": {"length": {"/videos/a.mp4": 20.0, "C:\\videos\\b.mp4": 30.0}},
        "time offset": 5.0,
        "events": [
            [6.234, "Ann", "smile", "", ""],
            [7.0, "", "click", "left", ""],
            [8.5, "Ben", "smile", "", "", 200],
            [9.0, "Ann", "smile", "", ""],
            [30.5, "Ben", "smile", "", ""],
            [31.0, "No focal subject", "smile", "", ""],
            [32.5, "No focal subject", "smile", "", ""],
        ],
    }
    behaviors = {"0": {"code": "smile", "type": "State event"}, "1": {"code": "click", "type": "Point event"}}
    return {
        "project_format_version": "7.0",
        "behaviors_conf": behaviors,
        "observations": {"one": observation | changes},
    }


@pytest.mark.parametrize("compressed", [False, True])
def test_states_and_points_of_a_project_of_boris_are_events(tmp_path: Path, compressed: bool) -> None:
    data = json.dumps(project()).encode()
    events = read(tmp_path, "study.boris", gzip.compress(data) if compressed else data)
    assert [(*one, event.hint) for one, event in zip(short(events), events, strict=True)] == [
        ("a.mp4", 2.0, 0.0, "click", ""),
        ("a.mp4", 1.234, 2.766, "smile", "Ann"),
        ("a.mp4", 3.5, 22.0, "smile", "Ben"),
        ("b.mp4", 6.0, 1.5, "smile", ""),
    ]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"events": [[1, "Ann", "smile", "", ""]]}, "event 1: the state 'smile' does not end"),
        ({"events": [["soon", "Ann", "smile", "", ""]]}, "'soon' is not a time"),
        ({"events": [[1]]}, "it is not an event of BORIS"),
        ({"events": [[3, "", "smile"], [2, "", "smile"]]}, "event 2: the state 'smile' stops at 2 s, before it starts"),
        ({"media_info": {}}, "the length of /videos/a.mp4 is not recorded"),
        ({"media_creation_date_as_offset": True}, "its times count from the date of the media"),
    ],
)
def test_a_wrong_project_is_refused_in_one_line(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(BadStudy) as caught:
        read(tmp_path, "study.boris", json.dumps(project(**changes)))
    assert message in str(caught.value)


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"observations": []}', b"\x1f\x8bno"])
def test_what_is_no_project_is_refused(tmp_path: Path, content: str | bytes) -> None:
    with pytest.raises(BadStudy):
        read(tmp_path, "study.boris", content)


TABULAR = """Observation id\tObservation date\tMedia file name\tSubject\tBehavior\tModifiers\tBehavior type\tTime
one\t2026-01-02\t/videos/a.mp4\tAnn\tsmile\t\tSTART\t1.234
one\t2026-01-02\t/videos/a.mp4\tNo focal subject\tclick\t\tPOINT\t2.0
one\t2026-01-02\t/videos/a.mp4\tAnn\tsmile\t\tSTOP\t4.0
"""
AGGREGATED = """Observation id,Media file name,Subject,Behavior,Behavior type,Start (s),Stop (s),Duration (s)
one,a.mp4,Ann,smile,STATE,1.234,4.0,2.766
one,a.mp4,No focal subject,click,POINT,2.0,2.0,NA
"""


@pytest.mark.parametrize("content", [TABULAR, AGGREGATED], ids=["tabular", "aggregated"])
def test_tables_that_boris_exports_are_events(tmp_path: Path, content: str) -> None:
    events = read(tmp_path, "export.tsv", content)
    assert sorted((*short([event])[0], event.hint) for event in events) == [
        ("a.mp4", 1.234, 2.766, "smile", "Ann"),
        ("a.mp4", 2.0, 0.0, "click", ""),
    ]


def test_a_state_that_does_not_end_in_an_exported_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadStudy, match="line 2, column behavior: the state 'smile' does not end"):
        read(tmp_path, "export.tsv", TABULAR.rsplit("\n", 2)[0])
    with pytest.raises(BadStudy, match="line 2, column behavior: 'smile' stops without having started"):
        read(tmp_path, "export.tsv", TABULAR.replace("START", "STOP"))


def binary_textgrid() -> bytes:
    """A file as Praat writes it: a tier with one labelled interval and one point."""

    def text(content: str) -> bytes:
        if content.isascii():
            return struct.pack(">h", len(content)) + content.encode()
        return struct.pack(">hH", -1, len(content)) + content.encode("utf-16-be")

    def kind(name: str) -> bytes:
        return bytes([len(name)]) + name.encode()

    return (
        b"ooBinaryFile" + kind("TextGrid") + struct.pack(">dd?i", 0, 10, True, 2)
        + kind("IntervalTier") + text("Zoë") + struct.pack(">ddi", 0, 10, 1)
        + struct.pack(">dd", 1.234, 2.5) + text("joke 😀")
        + kind("TextTier") + text("marks") + struct.pack(">ddi", 0, 10, 1) + struct.pack(">d", 3.25) + text("click")
    )  # fmt: skip


def test_a_binary_textgrid_is_read(tmp_path: Path) -> None:
    events = read(tmp_path, "talk.TextGrid", binary_textgrid())
    assert short(events) == [("talk", 1.234, pytest.approx(1.266), "joke 😀"), ("talk", 3.25, 0.0, "click")]
    assert [event.hint for event in events] == ["Zoë", "marks"]


def test_media_that_play_one_after_another_are_told_apart_in_exported_tables(tmp_path: Path) -> None:
    """As BORIS 8 writes them; test_files_of_tools compares them with its own exports."""
    head = "Observation id,Source,Time offset (s),Media duration (s),Subject,Behavior,Modifier #1,Behavior type"
    media = "one,player #1:/v/a.mp4;/v/b.mp4|player #2:/v/c.mp4,5.0,20.000;30.000|9.000,Ann,smile"
    rows = [f"{media},wide,START,6.5,a", f"{media},narrow,START,7.5,a", f"{media},wide,STOP,9.0,a",
            f"{media},narrow,STOP,9.5,a", f"{media},,POINT,31.0,b"]  # fmt: skip
    events = read(tmp_path, "tabular.csv", "\n".join([f"{head},Time,Media file name", *rows]) + "\n")
    assert short(events) == [("a.mp4", 1.5, 2.5, "smile"), ("a.mp4", 2.5, 2.0, "smile"), ("b.mp4", 6.0, 0.0, "smile")]
    aggregated = [f"{media},wide,STATE,31.0,33.0", f"{media},wide,STATE,40.0,NA"]
    with pytest.raises(BadStudy, match=r"line 3, column stop_\(s\): the state 'smile' does not end"):
        read(tmp_path, "aggregated.csv", "\n".join([f"{head},Start (s),Stop (s)", *aggregated]) + "\n")
    with pytest.raises(BadStudy, match=r"column media_duration_\(s\): it does not hold the length of each of 2 media"):
        read(tmp_path, "a.csv", f"{head},Time\n{media.replace('20.000;', '')},wide,POINT,6.5\n")


def test_a_workbook_is_a_table(tmp_path: Path) -> None:
    openpyxl = pytest.importorskip("openpyxl", reason="openpyxl is not installed")
    book = openpyxl.Workbook()
    for line in (
        ["Video", "Onset", "duration", "trial_type", "rating"],
        ["a", 1.25, 2, "joke", 7],
        [],
        ["b", "3,5", None, "x"],
    ):
        book.active.append(line)
    book.save(tmp_path / "events.xlsx")
    events = read_events(tmp_path / "events.xlsx")
    assert short(events) == [("a", 1.25, 2.0, "joke"), ("b", 3.5, 0.0, "x")]
    assert events[0].columns == {"rating": "7"}
    assert events[1].place.endswith("line 4")
    for content, message in ((b"", "cannot be read as a workbook"), (b"PK\x03\x04no", "cannot be read as a workbook")):
        with pytest.raises(BadStudy, match=message):
            read(tmp_path, "broken.xlsx", content)
    with pytest.raises(InputNotFound):
        read_events(tmp_path / "none.xlsx")


VALID = {
    "binary.TextGrid": binary_textgrid(),
    "events.csv": TABLE.encode(),
    "coded.eaf": EAF.encode(),
    "talk.TextGrid": PRAAT.encode(),
    "study.boris": json.dumps(project()).encode(),
    "tabular.tsv": TABULAR.encode(),
    "aggregated.csv": AGGREGATED.encode(),
}


@pytest.mark.parametrize("name", VALID)
@given(data=st.data())
def test_a_damaged_file_is_read_or_refused_in_one_line(name: str, data: st.DataObject) -> None:
    content = bytearray(VALID[name])
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(content) - 1))
        end = data.draw(st.integers(start, min(len(content), start + 12)))
        choices = [
            b"",
            b"-1",
            b"1e400",
            b"null",
            b"[]",
            b"{}",
            b'"',
            b"\n",
            b"\xff",
            b"nan",
            bytes(content[end : end + 20]),
        ]
        content[start:end] = data.draw(st.sampled_from(choices))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(content)
        message, events = "", []
        try:
            events = read_events(path)
        except FervidError as error:
            message = str(error)
        assert "\n" not in message
        for event in events:
            assert math.isfinite(event.onset)
            assert 0 <= event.duration < math.inf


def test_files_are_found_by_name_and_pattern(tmp_path: Path) -> None:
    for name in ("b.csv", "a.csv", "[1].csv"):
        (tmp_path / name).touch()
    assert find_files([f"{tmp_path}/?.csv", f"{tmp_path}/a.csv"]) == [tmp_path / "a.csv", tmp_path / "b.csv"]
    assert find_files([f"{tmp_path}/[1].csv"]) == [tmp_path / "[1].csv"]
    with pytest.raises(InputNotFound, match=r"no such file: .*none"):
        find_files([f"{tmp_path}/none*"])
    with pytest.raises(BadStudy, match=r"events are read from \.csv"):
        read(tmp_path, "events.docx", "x")
