"""The table of participants."""

from __future__ import annotations

from pathlib import Path

import pytest

from fervid.errors import BadStudy
from fervid.studies.participants import read_participants


def test_participants_keep_their_columns_and_videos(tmp_path: Path) -> None:
    path = tmp_path / "participants.tsv"
    path.write_text(
        "participant_id\tgroup\tage\tvideo\tperson\nAnn\tA\t31\ta.mp4\t1\nBen\tB\tn/a\t\t\nAnn\tA\t31\tb.mp4\t\n"
    )
    found = read_participants(path)
    assert list(found) == ["Ann", "Ben"]
    assert found["Ann"].columns == {"group": "A", "age": "31"}
    assert found["Ann"].videos == (("a.mp4", "1"), ("b.mp4", ""))
    assert found["Ben"].columns == {"group": "B", "age": ""}
    assert found["Ben"].videos == ()


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("name\nAnn\n", "line 1: no column participant_id"),
        ("participant_id\n", "line 2: the table has no rows"),
        ("participant_id,group\n,A\n", "line 2, column participant_id: it is empty"),
        ("participant_id\nAnn\nAnn\n", "line 3, column participant_id: 'Ann' is there twice"),
        ("participant_id,video\nAnn,a\nAnn,a\n", "line 3, column participant_id: 'Ann' is there twice"),
        ("participant_id,video,group\nAnn,a,A\nAnn,b,B\n", "line 3, column group: 'Ann' has another value"),
        ("participant_id,video,person\nAnn,a,one\n", "line 2, column person: 'one' is not a number of a person"),
        ("participant_id,video,person\nAnn,,1\n", "line 2, column video: it is empty"),
    ],
)
def test_a_wrong_table_is_refused_with_its_place(tmp_path: Path, lines: str, message: str) -> None:
    path = tmp_path / "participants.tsv"
    path.write_text(lines)
    with pytest.raises(BadStudy) as caught:
        read_participants(path)
    assert message in str(caught.value)
