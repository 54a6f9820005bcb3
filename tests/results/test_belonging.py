"""Tables that do not belong together: every edit of a timeline or small table is refused or noted, none ignored."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fervid.errors import BadResults
from fervid.results.belonging import TimelineDigest
from fervid.results.correct import correct
from fervid.results.merge import merge
from fervid.results.reader import read_checked, read_results
from fervid.results.schema import TIMELINE, small_path
from tests.support.command import command
from tests.support.corrected import NAME, write_corrections, write_people
from tests.support.made_tracks import MadeClip, MadePerson, write_tracks

CLIPS = {
    "a.mp4": MadeClip([MadePerson(1, [range(60)], 0, 0), MadePerson(2, [range(100)], 1, 1)]),
    "b.mp4": MadeClip([MadePerson(3, [range(10, 90)], 0, 0), MadePerson(4, [range(20, 50)], 1, None)], cuts=[12.0]),
}


@pytest.fixture(params=["r.parquet", "r.csv", "r"])
def made(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return write_tracks(tmp_path / request.param, CLIPS)


def edit(frame: pd.DataFrame, column: str, rows: pd.Series, value: object) -> None:
    frame.loc[rows, column] = value


def swap(frame: pd.DataFrame, one: str, other: str, rows: pd.Series) -> None:
    frame.loc[rows, [one, other]] = frame.loc[rows, [other, one]].to_numpy()


IN_A = "video == 'a.mp4' and face_id == 1 and frame >= 400"
"""The last 20 rows of a face."""

CHANGED = "was changed after fervid wrote it"
"""What is noted about values from which no other table follows."""

EDITS: dict[str, tuple[Callable[[pd.DataFrame, pd.Series], None], str]] = {
    "face_id": (lambda frame, rows: edit(frame, "face_id", rows, 0), "samples is"),
    "a new face": (lambda frame, rows: edit(frame, "face_id", rows, 7), "face 7 of a.mp4 is in the timeline table"),
    "person": (lambda frame, rows: edit(frame, "person", rows, 0), "face 1 of a.mp4: person is 1 in the summary"),
    "no person": (lambda frame, rows: edit(frame, "person", rows, None), "person is 1 in the summary table, empty"),
    "participant": (lambda frame, rows: edit(frame, "participant", rows, "Ann"), "participant is empty in the summary"),
    "time": (lambda frame, rows: edit(frame, "time", rows, frame.loc[rows, "time"] + 0.1), "last_seen is"),
    "face_quality": (lambda frame, rows: edit(frame, "face_quality", rows, 0.99), "mean_quality is"),
    "emotion": (lambda frame, rows: edit(frame, "emotion", rows, "fear"), "the emotion is fear with"),
    "confidence": (lambda frame, rows: edit(frame, "confidence", rows, 0.5), "but the smoothed values say"),
    "smooth": (lambda frame, rows: swap(frame, "happy_smooth", "disgust_smooth", rows), CHANGED),
    "raw": (lambda frame, rows: swap(frame, "happy", "sad", rows), CHANGED),
    "box": (lambda frame, rows: edit(frame, "face_x", rows, 5.0), CHANGED),
    "face_score": (lambda frame, rows: edit(frame, "face_score", rows, 0.5), CHANGED),
    "frame_width": (lambda frame, rows: edit(frame, "frame_width", frame["frame"] >= 400, 600), CHANGED),
}
"""Column → an edit of some rows, and what is said about it."""


def write_timeline(path: Path, frame: pd.DataFrame, with_record: bool) -> None:
    """Write an edited timeline in the form of the results, with or without what fervid recorded in it."""
    table = pa.Table.from_pandas(frame, TIMELINE, preserve_index=False)
    if path.suffix == ".csv":
        frame.to_csv(path, index=False)
    elif path.is_dir():
        for part in sorted((path / "timeline").glob("video_id=*/*.parquet")):
            of_video = table.filter(pa.compute.equal(table["video_id"], part.parent.name.removeprefix("video_id=")))
            pq.write_table(of_video.drop_columns(["video_id"]), part)
    else:
        kept = {key: value for key, value in pq.read_metadata(path).metadata.items() if key.startswith(b"fervid")}
        pq.write_table(table.replace_schema_metadata(kept if with_record else None), path)


@pytest.mark.parametrize("column", EDITS)
def test_no_edit_of_the_timeline_is_ignored(made: Path, column: str) -> None:
    change, said = EDITS[column]
    frame = read_checked(made).tables["timeline"].to_pandas()
    frame["emotion"] = frame["emotion"].astype(object)
    frame["participant"] = frame["participant"].astype(object)
    for name in ("face_id", "person", "frame_width", "frame_height"):
        frame[name] = frame[name].astype("Int32")
    change(frame, frame.eval(IN_A))
    for with_record in (True, False) if made.suffix == ".parquet" else (False,):
        write_timeline(made, frame, with_record)
        if said != CHANGED:
            with pytest.raises(BadResults, match=f"do not belong together: .*{said}|rows of .* are missing"):
                read_checked(made)
            continue
        found = read_checked(made)
        recorded = with_record or made.is_dir()
        (note,) = found.notes
        assert not found.is_intact
        assert (CHANGED if recorded else "may have been changed") in note


@pytest.mark.parametrize(
    ("table", "column", "value", "said"),
    [
        ("summary", "person", 1, "person is 1 in the summary table, 0 in the timeline"),
        ("summary", "participant", "Ann", "participant is Ann in the summary table, empty in the timeline"),
        ("summary", "samples", 59, "face 0 of a.mp4: samples is 59 in the summary table, 60 in the timeline"),
        ("summary", "face_id", 1, "face 1 of a.mp4 is there twice in the summary table"),
        ("summary", "face_id", 9, "face 0 of a.mp4 is in the timeline table, but not in the summary table"),
        ("persons", "person", 5, "person 0 of a.mp4 is in the summary table, but not in the persons table"),
        ("persons", "faces", 3, "person 0 of a.mp4: 3 faces in the persons table, 1 in the summary table"),
        ("persons", "participant", "Ann", "person 0 of a.mp4 is called differently"),
        ("episodes", "face_id", 8, "face 8 of a.mp4 is in the episodes table, but not in the summary table"),
        ("episodes", "onset", 99.0, "an episode begins at 99.000 s, when it is not seen"),
    ],
)
def test_a_small_table_that_contradicts_another_is_refused(
    tmp_path: Path, table: str, column: str, value: object, said: str
) -> None:
    made = write_tracks(tmp_path / "r.parquet", CLIPS)
    frame = pd.read_csv(small_path(made, table), dtype=str, keep_default_na=False)
    frame.loc[0, column] = str(value)
    frame.to_csv(small_path(made, table), index=False)
    with pytest.raises(BadResults, match="its tables do not belong together") as caught:
        read_results(made)
    assert said in str(caught.value)


def test_what_fervid_writes_belongs_together(made: Path, tmp_path: Path) -> None:
    merged = tmp_path / "merged.parquet"
    for path in (made, write_people(tmp_path), merged):
        if path == merged:
            merge([tmp_path / "people.parquet", made], merged)
        found = read_checked(path)
        assert found.is_intact or ".csv" in (path.suffix, made.suffix if path == merged else "")
        assert all("was changed" not in note for note in found.notes)
    for table in ("timeline", "summary", "persons"):
        assert NAME in getattr(read_results(merged), table)["participant"].tolist()


def test_the_digest_depends_on_the_rows_and_not_on_their_order(tmp_path: Path) -> None:
    table = read_checked(write_tracks(tmp_path / "r.parquet", CLIPS)).tables["timeline"]

    def digest(*parts: pa.Table) -> str:
        found = TimelineDigest()
        for part in parts:
            found.add(part)
        return found.text()

    order = np.random.default_rng(0).permutation(len(table))
    whole = digest(table)
    assert digest(table.take(pa.array(order))) == digest(table[30:], table[:30]) == whole
    assert digest(table[1:]) != whole
    assert digest() == digest(table[:0])
    swapped = table.set_column(0, "video", table["video_id"]).set_column(1, "video_id", table["video"])
    assert digest(swapped.cast(TIMELINE)) != whole


def test_correcting_says_that_its_source_was_changed(tmp_path: Path) -> None:
    made = write_tracks(tmp_path / "r.parquet", CLIPS)
    file = write_corrections(tmp_path / "c.csv", "a.mp4,0,name,,,Ann")
    assert correct(made, file, tmp_path / "out.parquet").notes == ()
    frame = read_checked(made).tables["timeline"].to_pandas()
    swap(frame, "happy", "sad", frame.eval(IN_A))
    write_timeline(made, frame, True)
    (note,) = correct(made, file, tmp_path / "out.parquet").notes
    assert note == f"{made} was changed after fervid wrote it"
    done = command("correct", made, "--corrections", file, "--out", tmp_path / "again.parquet")
    assert note in done.stderr
