"""The table of meshes: it follows the timeline through merges, corrections, kills and damage."""

from __future__ import annotations

import itertools
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import fervid
from fervid.errors import BadResults, ConfigError, OutputError, UsageError
from fervid.results import publish
from fervid.results.correct import correct
from fervid.results.merge import merge
from fervid.results.mesh_table import MESH_NAME, has_meshes, read_meshes
from fervid.results.reader import read_results
from fervid.results.schema import MESH, SMALL, mesh_path, small_path
from fervid.settings import ScanSettings
from fervid.types import MEASURES
from tests.support.corrected import write_corrections
from tests.support.paths import SAMPLES

KEYS = ["video", "video_id", "frame", "face_id"]


@pytest.fixture(scope="module")
def analysed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results with meshes; they have two faces."""
    out = tmp_path_factory.mktemp("mesh") / "a.parquet"
    assert fervid.analyze(SAMPLES / "cut.mp4", out, fps=2, mesh=True, workers=1).count("ok") == 1
    return out


@pytest.fixture
def results(analysed: Path, tmp_path: Path) -> Path:
    """A copy of them, with the store."""
    for entry in analysed.parent.iterdir():
        copy = shutil.copytree if entry.is_dir() else shutil.copy2
        copy(entry, tmp_path / entry.name)
    return tmp_path / "a.parquet"


def meshes(out: Path) -> pd.DataFrame:
    return pa.concat_tables(read_meshes(out)).to_pandas()


def assert_same_rows(out: Path) -> pd.DataFrame:
    """The table of meshes has exactly the rows of the timeline that show a face. Returns them."""
    timeline, found = read_results(out).timeline.dropna(subset="face_id"), meshes(out)
    both = timeline.merge(found, on=KEYS, how="outer", indicator=True, suffixes=("", "_mesh"))
    assert (both["_merge"] == "both").all()
    assert len(both) == len(found) == len(timeline)
    return both


@pytest.mark.parametrize("name", ["b.parquet", "b.csv", "b"])
def test_each_form_of_results_has_the_meshes_of_its_rows(analysed: Path, name: str, tmp_path: Path) -> None:
    out = tmp_path / name
    merge([analysed], out)
    rows = assert_same_rows(out)
    points = np.stack(rows["points"].to_numpy()).reshape(-1, 468, 3).astype(np.float64)
    centre = points[:, :, :2].mean(axis=1)
    inside = centre - rows[["face_x", "face_y"]].to_numpy()
    assert (inside > 0).all()
    assert (inside < rows[["face_width", "face_height"]].to_numpy()).all()
    eyes = rows[["eye_open_right", "eye_open_left"]].to_numpy() - rows[["eyes_open"]].to_numpy()
    assert (np.abs(eyes) < 0.01).any(axis=1).all()
    assert rows["presence"].between(0, 1).all()
    assert read_results(out).is_intact or name == "b.csv"  # merged CSV files do not record how they were made


@pytest.mark.slow
def test_meshes_are_kept_only_if_asked_for(results: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="mesh"):
        fervid.analyze(SAMPLES / "cut.mp4", results, fps=2, workers=1)
    fervid.analyze(SAMPLES / "cut.mp4", results, fps=2, workers=1, overwrite=True)
    assert not mesh_path(results).exists()
    with pytest.raises(BadResults, match="without its meshes"):
        next(read_meshes(results))


def test_without_measures_the_columns_are_empty(tmp_path: Path) -> None:
    out = tmp_path / "plain.parquet"
    fervid.analyze(SAMPLES / "cut.mp4", out, fps=1, measures=False, workers=1)
    timeline = read_results(out).timeline
    assert timeline["face_id"].notna().any()
    assert timeline[list(MEASURES)].isna().all(axis=None)
    assert timeline["valence"].notna().any()
    with pytest.raises(ConfigError, match="`mesh` needs `measures`"):
        ScanSettings(measures=False, mesh=True)


def test_corrections_reach_the_meshes(analysed: Path, tmp_path: Path) -> None:
    times = read_results(analysed).summary[["first_seen", "last_seen"]].to_numpy()
    middle = float(times[0].mean())
    lines = f"cut.mp4,0,split,{middle},,", "cut.mp4,1,exclude,,,turned away"
    out = tmp_path / "corrected.parquet"
    correct(analysed, write_corrections(tmp_path / "c.csv", *lines), out)
    rows = assert_same_rows(out)
    assert set(rows["face_id"]) == {0, 2}
    before = meshes(analysed)
    first = before[(before["face_id"] == 0) & (before["time"] >= middle)]["points"]
    after = meshes(out)
    assert all(map(np.array_equal, after[after["face_id"] == 2]["points"], first))


def test_a_changed_table_is_noted(results: Path) -> None:
    table = pq.read_table(mesh_path(results))
    pq.write_table(table.slice(1), mesh_path(results))
    read = read_results(results)
    assert not read.is_intact
    assert any("a.mesh.parquet was changed" in note for note in read.notes)


@pytest.mark.slow
def test_damage_in_the_store_heals(results: Path) -> None:
    (stored,) = results.parent.glob(".a.parquet.fervid/parts-*/*.mesh.parquet")
    stored.write_bytes(stored.read_bytes()[:-9])
    mesh_path(results).unlink()
    with pytest.raises(BadResults, match="damaged and has been removed"):
        fervid.analyze(SAMPLES / "cut.mp4", results, fps=2, mesh=True, workers=1)
    assert fervid.analyze(SAMPLES / "cut.mp4", results, fps=2, mesh=True, workers=1).count("ok") == 1
    assert_same_rows(results)


def test_a_foreign_file_is_not_replaced(analysed: Path, tmp_path: Path) -> None:
    mesh_path(tmp_path / "b.parquet").write_text("notes")
    with pytest.raises(OutputError, match=r"b\.mesh\.parquet: fervid did not write"):
        merge([analysed], tmp_path / "b.parquet")
    with pytest.raises((OutputError, UsageError)):
        fervid.analyze(SAMPLES / "cut.mp4", tmp_path / "b.parquet", fps=2, workers=1)
    assert mesh_path(tmp_path / "b.parquet").read_text() == "notes"


@pytest.mark.parametrize("kept", [True, False])
def test_a_kill_at_any_move_leaves_one_result(analysed: Path, kept: bool, tmp_path: Path) -> None:
    """Tables with or without meshes replace tables with meshes; the process dies before a move."""
    source = tmp_path / "new.parquet"
    merge([analysed], source)
    if not kept:
        mesh_path(source).unlink()
    for stop in (1, 8, 13, 14, 15):
        folder = tmp_path / str(stop)
        new, out = folder / "scratch" / publish.NEW, folder / "out.parquet"
        new.mkdir(parents=True)
        (new.parent / publish.OLD).mkdir()
        merge([analysed], out)
        shutil.copy(source, new / publish.TIMELINE_NAME)
        for name in SMALL:
            shutil.copy(small_path(source, name), new / name)
        if kept:
            shutil.copy(mesh_path(source), new / MESH_NAME)
        else:
            (new / MESH_NAME).touch()
        moves = publish._moves(out, new.parent)
        for one, other in itertools.islice(moves, stop):
            one.rename(other)
        publish.finish_interrupted(out, new.parent)
        assert has_meshes(out) == kept, stop
        assert read_results(out).is_intact, stop


def test_the_schema_is_what_the_documentation_says() -> None:
    assert MESH.field("points").type == pa.list_(pa.float16(), 1404)
