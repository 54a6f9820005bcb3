"""``read_results`` returns the same tidy tables from every form on disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import fervid
from fervid.errors import BadResults
from fervid.results.reader import Results
from fervid.results.schema import SMALL, VIDEOS, small_path, stamped_paths
from fervid.results.store_files import COMPOSED_FILE, PENDING_FILE, sealed, stamps, store_folder
from fervid.settings import AnalyzeSettings, ScanSettings
from fervid.types import EMOTIONS
from tests.support.paths import SAMPLES
from tests.support.replay import replaying
from tests.support.synthetic_results import MadeFace, MadeVideo, wandering, write_results

FORMS = ("r.parquet", "r.csv", "results")
VOLATILE = ["seconds", "finished_at"]


@pytest.fixture(scope="module")
def forms(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Results of the same two clips and a broken one in every form."""
    root = tmp_path_factory.mktemp("forms")
    (root / "broken.mp4").write_text("this is no video")
    inputs = [SAMPLES / "rotated.mp4", root / "broken.mp4", SAMPLES / "cut.mp4"]
    found = {name: root / f"as {name}" / name for name in FORMS}
    with replaying():
        for out in found.values():
            fervid.analyze(inputs, out, AnalyzeSettings(scan=ScanSettings(fps=2)))
    return found


@pytest.fixture(params=FORMS)
def results(forms: dict[str, Path], request: pytest.FixtureRequest) -> Results:
    return fervid.read_results(forms[request.param])


def test_every_form_gives_the_same_tables(forms: dict[str, Path]) -> None:
    one, *others = (fervid.read_results(path) for path in forms.values())
    for other in others:
        for name in ("timeline", *SMALL):
            first, second = (getattr(side, name).drop(columns=VOLATILE, errors="ignore") for side in (one, other))
            pd.testing.assert_frame_equal(first, second, rtol=0, atol=1e-6)


def test_rows_come_in_the_order_of_the_inputs(results: Results) -> None:
    order = [name.rsplit("/", 1)[-1] for name in results.videos["video"]]
    assert order == ["rotated.mp4", "broken.mp4", "cut.mp4"]
    for name in ("timeline", "summary", "episodes"):
        shown = [video.rsplit("/", 1)[-1] for video in getattr(results, name)["video"].drop_duplicates()]
        assert shown == ["rotated.mp4", "cut.mp4"]
    for _, rows in results.timeline.groupby("video"):
        assert rows["frame"].is_monotonic_increasing


def test_types(results: Results) -> None:
    for frame, column in (("timeline", "emotion"), ("episodes", "emotion"), ("summary", "dominant")):
        values = getattr(results, frame)[column]
        assert values.dtype == pd.CategoricalDtype(EMOTIONS)
        assert values.notna().any()
    for frame, columns in {
        "timeline": ["face_id", "person"],
        "episodes": ["face_id"],
        "summary": ["face_id"],
        "videos": ["width", "height", "rotation", "size", "frames_sampled", "faces"],
    }.items():
        for column in columns:
            kind = pd.Int64Dtype() if column in ("size", "frames_sampled", "faces") else pd.Int32Dtype()
            assert getattr(results, frame)[column].dtype == kind, (frame, column)
    for frame, column in (("timeline", "frame"), ("summary", "samples")):
        assert getattr(results, frame)[column].dtype == np.int64
    for column in (*EMOTIONS, *(f"{emotion}_smooth" for emotion in EMOTIONS), "confidence", "face_quality"):
        assert results.timeline[column].dtype == np.float32
    for column in ("coverage", "longest_gap", "low_quality_share"):
        assert results.summary[column].dtype == results.videos[column].dtype == np.float64


def test_timeline_invariants(results: Results) -> None:
    rows = results.timeline.dropna(subset=["face_id"])
    smoothed = rows[[f"{emotion}_smooth" for emotion in EMOTIONS]].to_numpy()
    assert np.abs(smoothed.sum(axis=1) - 1).max() < 1e-5
    assert np.abs(rows[list(EMOTIONS)].to_numpy().sum(axis=1) - 1).max() < 1e-5
    assert [EMOTIONS.index(name) for name in rows["emotion"]] == smoothed.argmax(axis=1).tolist()
    assert rows["confidence"].to_numpy() == pytest.approx(smoothed.max(axis=1))


def test_coverage_and_trust_in_summary_and_manifest(results: Results) -> None:
    videos = results.videos.assign(name=results.videos["video"].str.rsplit("/").str[-1]).set_index("name")
    assert videos.loc["broken.mp4", ["coverage", "longest_gap", "low_quality_share", "trust"]].isna().all()
    assert videos.loc["cut.mp4", "trust"] == "ok"
    assert videos.loc["cut.mp4", "coverage"] == 1.0
    assert videos.loc["cut.mp4", "longest_gap"] == 0.0
    assert results.summary["trust"].notna().all()
    assert results.summary["low_quality_share"].between(0, 1).all()


def test_small_tables_of_an_earlier_version_can_be_read(forms: dict[str, Path], tmp_path: Path) -> None:
    for path in (forms["r.csv"], *(small_path(forms["r.csv"], name) for name in SMALL)):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    older = small_path(tmp_path / "r.csv", "videos")
    pd.read_csv(older, dtype=str).drop(columns=["coverage", "trust"]).to_csv(older, index=False)
    videos = fervid.read_results(tmp_path / "r.csv").videos
    assert videos.columns.tolist() == VIDEOS.names
    assert videos["trust"].isna().all()
    assert videos["longest_gap"].notna().any()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("r.summary.csv", "is only the table summary; name {root}/r.parquet instead"),
        ("folder/videos.csv", "is only the table videos; name its folder, {root}/folder, instead"),
        ("notes.txt", "is not results of fervid; name the .parquet file, .csv file or folder that it wrote"),
        ("notes.csv", "is not results of fervid; name the .parquet file, .csv file or folder that it wrote"),
        ("", "is a folder, but not results that fervid wrote; r.parquet in it is one"),
        ("texts", "is a folder, but not results that fervid wrote"),
        ("alone.parquet", "is incomplete: {root}/alone.videos.csv is missing"),
    ],
)
def test_what_is_not_results_is_refused_in_one_sentence(name: str, said: str, tmp_path: Path) -> None:
    write_results(tmp_path / "r.parquet", [MadeVideo("a.mp4")])
    write_results(tmp_path / "folder", [MadeVideo("a.mp4")])
    write_results(tmp_path / "alone.parquet", [MadeVideo("a.mp4")])
    (tmp_path / "alone.videos.csv").unlink()
    for text in ("notes.txt", "notes.csv", "texts/notes.txt"):
        (tmp_path / text).parent.mkdir(exist_ok=True)
        (tmp_path / text).write_text("some notes\nof mine")
    with pytest.raises(BadResults) as caught:
        fervid.read_results(tmp_path / name)
    assert str(caught.value) == f"{tmp_path / name} {said.format(root=tmp_path)}"


@pytest.mark.parametrize("name", [COMPOSED_FILE, PENDING_FILE])
@pytest.mark.parametrize("metadata", [None, [], ["ab"], "ab", {"settings": None}, {"settings": {}}, {"roots": 3}])
def test_a_record_with_metadata_of_other_types_counts_as_damaged(tmp_path: Path, name: str, metadata: object) -> None:
    """Anybody who shares a CSV file can make such a record with the right digest."""
    out = write_results(tmp_path / "r.csv", [MadeVideo("a.mp4", [MadeFace([0, 1], wandering(2))], 2)])
    store = store_folder(out, is_folder=False)
    store.mkdir(mode=0o700)
    good = {"settings": "{}"}
    for given, expected in ((good, {"settings": {}}), (metadata, {})):
        content = {"outputs": stamps(stamped_paths(out)), "digest": "", "key": "", "inputs": {}, "metadata": given}
        (store / name).write_text(sealed(COMPOSED_FILE, content), encoding="utf-8")
        assert fervid.read_results(out).metadata == expected
