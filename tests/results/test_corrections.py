"""Corrections files: what is accepted, what each action does to the faces of a video, and what is refused where.

What a line may lack or have too much of: columns, cells, quotes, an unknown action, cells that the action does not use;
numbers that are none, negative, too large, with a decimal comma; times that are none, infinite or in the wrong order.
What a correction may contradict: faces that are not there (never were, were joined or excluded), splits at or beyond
the ends, joins of faces that are seen at once or in other shots, persons and names in two places at once.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fervid.errors import BadCorrections, InputNotFound
from fervid.results.correct_video import EditedFaces, labels
from fervid.results.corrections import Correction, read_corrections

HEADER = "video,face_id,action,start,end,value"


def written(path: Path, *lines: str, header: str = HEADER) -> Path:
    path.write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    return path


def test_a_file_is_read(tmp_path: Path) -> None:
    path = written(
        tmp_path / "c.csv",
        "a.mp4,3,split,14.05,,",
        "",
        '"a, b.mp4",0,Name,,,Ann Lee',
        " c.mp4,1,exclude,,2,blurred",
        "d.mp4,2,person,,,new,extra",
        header=HEADER + ",similarity",
    )
    found = read_corrections(path)
    assert [(one.video, one.face_id, one.action, one.start, one.end, one.value) for one in found] == [
        ("a.mp4", 3, "split", 14.05, None, ""),
        ("a, b.mp4", 0, "name", None, None, "Ann Lee"),
        (" c.mp4", 1, "exclude", None, 2.0, "blurred"),
        ("d.mp4", 2, "person", None, None, "new"),
    ]
    assert [one.place.rpartition("line ")[2] for one in found] == ["2", "4", "5", "6"]


@pytest.mark.parametrize("separator", [";", "\t"])
def test_the_columns_of_a_spreadsheet_in_another_country(tmp_path: Path, separator: str) -> None:
    path = tmp_path / "c.csv"
    lines = [HEADER.replace(",", separator), separator.join(["a.mp4", "1", "name", "", "", "'=Ann"])]
    path.write_bytes(("\ufeff" + "\r\n".join(lines)).encode())
    (found,) = read_corrections(path)
    assert (found.video, found.face_id, found.value) == ("a.mp4", 1, "=Ann")


def test_an_empty_file_changes_nothing(tmp_path: Path) -> None:
    assert read_corrections(written(tmp_path / "c.csv")) == []


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("a.mp4,0,rename,,,x", "line 2, column action: 'rename' is none of person, name"),
        (",0,name,,,x", "line 2, column video: 'name' needs it"),
        ("a.mp4,,name,,,x", "line 2, column face_id: 'name' needs it"),
        ("a.mp4,0,name,,,", "line 2, column value: 'name' needs it"),
        ("a.mp4,0,split,,,", "line 2, column start: 'split' needs it"),
        ("a.mp4,0,split,1,2,", "line 2, column end: 'split' does not use it"),
        ("a.mp4,0,name,1,,x", "line 2, column start: 'name' does not use it"),
        ("a.mp4,x,name,,,x", "line 2, column face_id: 'x' is not a number"),
        ("a.mp4,-1,name,,,x", "line 2, column face_id: '-1' is not a number"),
        ("a.mp4,1.5,name,,,x", "line 2, column face_id: '1.5' is not a number"),
        ("a.mp4,99999999999,name,,,x", "line 2, column face_id"),
        ("a.mp4,²,name,,,x", "line 2, column face_id"),
        ("a.mp4,0,person,,,two", "line 2, column value: 'two' is not a number"),
        ("a.mp4,0,join,,,x", "line 2, column value: 'x' is not a number"),
        ('a.mp4,0,split,"1,5",,', "line 2, column start: '1,5' is not a time in seconds, such as 12.4"),
        ("a.mp4,0,split,nan,,", "line 2, column start: 'nan' is not a time"),
        ("a.mp4,0,split,inf,,", "line 2, column start: 'inf' is not a time"),
        ("a.mp4,0,exclude,3,2,", "line 2, column end: it is before the start"),
        ("a.mp4,0,name,,,x,y,z", "line 2: 8 cells for 6 columns"),
        ("a.mp4,0,name,,,a\x1b[31m", "line 2, column value: it contains characters that cannot be printed"),
        ('a.mp4,0,name,,,"x', "unexpected end of data"),
    ],
)
def test_a_wrong_line_is_named_with_its_column(tmp_path: Path, line: str, reason: str) -> None:
    with pytest.raises(BadCorrections) as caught:
        read_corrections(written(tmp_path / "c.csv", line))
    assert reason in str(caught.value)
    assert str(tmp_path / "c.csv") in str(caught.value)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        ("video,face_id,action,start,end", "line 1: no column value"),
        ("", "line 1: no column video, face_id"),
        (HEADER + ",video", "line 1: column video is there twice"),
    ],
)
def test_a_wrong_header_is_named(tmp_path: Path, header: str, reason: str) -> None:
    with pytest.raises(BadCorrections, match=reason):
        read_corrections(written(tmp_path / "c.csv", header=header))


def test_files_that_are_no_text_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputNotFound, match="no such corrections file"):
        read_corrections(tmp_path / "absent.csv")
    for name, content in (("utf16.csv", HEADER.encode("utf-16")), ("bytes.csv", bytes(range(128, 256)))):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(BadCorrections, match="cannot be read as text in UTF-8"):
            read_corrections(tmp_path / name)
    with pytest.raises(BadCorrections, match="cannot be read"):
        read_corrections(tmp_path)


# what each action does


def corrected(*lines: tuple[object, ...]) -> EditedFaces:
    """Apply (face, action, start, end, value) to three faces at ten times a second.

    Face 0: 0 to 4.9 s, person 0. Face 1: 2 to 6.9 s, person 1. Face 2: 8 to 9.9 s, in the second shot, no person.
    """
    spans = {0: (0, 50), 1: (20, 70), 2: (80, 100)}
    times = np.concatenate([np.arange(*span) / 10 for span in spans.values()])
    ends = np.cumsum([0, *(end - begin for begin, end in spans.values())])
    faces = {face: np.arange(ends[face], ends[face + 1]) for face in spans}
    edited = EditedFaces(times, (times >= 7.5).astype(np.int64), faces, {0: 0, 1: 1, 2: None})
    texts = [[None if cell == "" else cell for cell in (*line, *[""] * (5 - len(line)))] for line in lines]
    edited.apply(
        Correction(f"c.csv, line {number}", "a.mp4", face, action, start, end, "" if value is None else str(value))  # type: ignore[arg-type]
        for number, (face, action, start, end, value) in enumerate(texts, 2)
    )
    return edited


def spans_of(edited: EditedFaces) -> dict[int, tuple[float, float, int]]:
    """First time, last time and number of rows of each face."""
    return {face: (edited.times[rows[0]], edited.times[rows[-1]], len(rows)) for face, rows in edited.faces.items()}


def test_a_split_makes_a_face_with_the_next_number() -> None:
    edited = corrected((0, "split", 3.0), (1, "split", 2.05), (3, "split", 4.0))
    assert spans_of(edited) == {
        0: (0.0, 2.9, 30),
        1: (2.0, 2.0, 1),
        2: (8.0, 9.9, 20),
        3: (3.0, 3.9, 10),
        4: (2.1, 6.9, 49),
        5: (4.0, 4.9, 10),
    }
    assert edited.persons == {0: 0, 1: 1, 2: None, 3: 0, 4: 1, 5: 0}


def test_a_join_takes_the_rows_of_the_other_face() -> None:
    edited = corrected((0, "split", 3.0), (3, "join", "", "", 0))
    assert spans_of(edited)[3] == (0.0, 4.9, 50)
    assert 0 not in edited.faces
    assert edited.persons == {1: 1, 2: None, 3: 0}


def test_an_exclusion_removes_rows() -> None:
    edited = corrected((0, "exclude", 1.0, 1.95, "hand"), (1, "exclude", 6.0), (2, "exclude", "", "", "a poster"))
    assert spans_of(edited) == {0: (0.0, 4.9, 40), 1: (2.0, 5.9, 40)}
    assert edited.excluded == [(0, 1.0, 1.9, "hand"), (1, 6.0, 6.9, ""), (2, 8.0, 9.9, "a poster")]


def test_persons_are_named_and_moved() -> None:
    edited = corrected(
        (0, "split", 3.0),
        (3, "person", "", "", "new"),
        (2, "person", "", "", 2),
        (3, "name", "", "", "Ann"),
        (0, "name", "", "", "Bo"),
        (1, "role", "", "", "interviewer"),
        (2, "name", "", "", "Ann"),
    )
    assert edited.persons == {0: 0, 1: 1, 2: 2, 3: 2}
    assert labels(edited.names) == {2: "Ann", 0: "Bo"}
    assert labels(edited.roles) == {1: "interviewer"}


def test_a_later_name_of_the_same_face_replaces_the_earlier_one() -> None:
    lines = [(0, "name", "", "", "Ann"), (0, "role", "", "", "guest"), (0, "name", "", "", "Bo")]
    edited = corrected(*lines, (0, "role", "", "", "host"))
    assert (labels(edited.names), labels(edited.roles)) == ({0: "Bo"}, {0: "host"})
    joined = corrected((0, "split", 3.0), (3, "name", "", "", "Ann"), (0, "join", "", "", 3), (0, "name", "", "", "Bo"))
    assert labels(joined.names) == {0: "Bo"}, "the face that was named Ann is not there any more"


def test_a_named_face_without_a_person_gets_one() -> None:
    edited = corrected((2, "name", "", "", "Ann"))
    assert edited.persons[2] == 2
    assert labels(edited.names) == {2: "Ann"}


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ([(3, "split", 1.0)], "line 2, column face_id: the video has no face 3; its largest is 2"),
        ([(0, "split", 0.0)], "line 2, column start: face 0 is seen from 0.000 to 4.900 s"),
        ([(0, "split", 4.95)], "line 2, column start: face 0 is seen from"),
        ([(0, "join", "", "", 1)], "line 2, column value: faces 0 and 1 are both seen at 2.000 s"),
        ([(0, "join", "", "", 2)], "line 2, column value: faces 0 and 2 are in different shots"),
        ([(0, "join", "", "", 0)], "line 2, column value: a face cannot be joined with itself"),
        ([(0, "join", "", "", 7)], "line 2, column value: the video has no face 7"),
        ([(0, "split", 3), (0, "join", "", "", 3), (3, "name", "", "", "x")], "line 4, column face_id: face 3 is not"),
        ([(2, "exclude"), (2, "name", "", "", "x")], "line 3, column face_id: face 2 is not there any more"),
        ([(2, "exclude", 1.0, 2.0)], "line 2, column start: face 2 has no sample between these times"),
        ([(0, "person", "", "", 5)], "line 2, column value: the video has no person 5; `new` makes one"),
        ([(0, "person", "", "", 1)], "line 2, column value: person 1 would be faces 0 and 1 at 2.000 s"),
        ([(0, "name", "", "", "A"), (1, "name", "", "", "A")], "line 3, column value: 'A' would be faces 0 and 1 at"),
        ([(0, "split", 3), (0, "name", "", "", "A"), (3, "name", "", "", "B")], "person 0 is named 'A' by line 3"),
        ([(0, "split", 3), (0, "role", "", "", "A"), (3, "role", "", "", "B")], "person 0 is called 'A' by line 3"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_where_it_stands(lines: list[tuple[object, ...]], reason: str) -> None:
    with pytest.raises(BadCorrections) as caught:
        corrected(*lines)
    assert reason in str(caught.value)


def test_two_faces_may_pass_through_one_person_on_the_way() -> None:
    """A crosswise exchange after two splits: only the outcome counts."""
    edited = corrected((0, "split", 3.0), (1, "split", 3.0), (3, "person", "", "", 1), (4, "person", "", "", 0))
    assert edited.persons == {0: 0, 1: 1, 2: None, 3: 1, 4: 0}
