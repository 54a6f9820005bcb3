"""The Python API: the examples of every public name, and in-memory results against written ones."""

from __future__ import annotations

import doctest
import inspect
import re
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

import fervid
from fervid.batch.engines.local import LocalEngine
from fervid.cli.main import app
from fervid.emotions.sidecar import SHIPPED
from fervid.errors import BadWeights, ConfigError, InputNotFound, UnreadableVideo, UsageError
from fervid.faces.opencv_detectors import YUNET
from fervid.settings import AnalyzeSettings, DetectorName, RunSettings, ScanSettings
from fervid.types import Progress
from tests.support.detectors import is_available, require
from tests.support.paths import ROOT
from tests.support.replay import replaying

SAMPLES = ROOT / "sample_videos"
TABLES = ("timeline", "episodes", "summary", "videos")
TIMES_OF_A_RUN = ["seconds", "finished_at"]


@pytest.fixture(scope="module")
def analysed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results of two sample videos, with all that ``analyze`` can write beside them."""
    folder = tmp_path_factory.mktemp("api")
    videos = [SAMPLES / "cut.mp4", SAMPLES / "crossing.mp4"]
    with replaying():
        fervid.analyze(videos, folder / "results.parquet", fps=2, report=folder / "report.html")
    return folder / "results.parquet"


# the list of names


def test_the_list_of_names_is_short_and_every_name_is_there() -> None:
    assert len(fervid.__all__) <= 27
    assert set(fervid.__all__) <= set(dir(fervid))
    for name in fervid.__all__:
        assert getattr(fervid, name) is not None
    with pytest.raises(AttributeError, match="nothing_like_that"):
        _ = fervid.nothing_like_that
    assert fervid.errors.FervidError is fervid.FervidError


@pytest.mark.parametrize("name", [name for name in fervid.__all__ if callable(getattr(fervid, name))])
def test_every_public_function_and_class_says_what_it_does(name: str) -> None:
    thing = getattr(fervid, name)
    documentation = inspect.getdoc(thing) or ""
    assert documentation


def test_keywords_are_named_like_the_options_of_the_command_line() -> None:
    import typer

    commands: Any = typer.main.get_command(app)
    options = {str(option.name).removeprefix("no_") for option in commands.commands["analyze"].params}
    keywords = set(inspect.signature(fervid.analyze).parameters)
    only_on_the_command_line = {"dry_run", "quiet", "log_json", "metrics"}
    assert options - only_on_the_command_line == keywords - {"settings", "on_progress"}
    of_one_video = set(inspect.signature(fervid.analyze_video).parameters)
    assert of_one_video - {"path", "classifier"} <= keywords


# examples


@pytest.fixture
def examples_folder(analysed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder as the examples expect it, with results and their sample videos."""
    (tmp_path / "sample_videos").mkdir()
    for name in ("cut.mp4", "crossing.mp4"):
        (tmp_path / "sample_videos" / name).symlink_to(SAMPLES / name)
    for path in analysed.parent.glob("results.*"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.usefixtures("replayed_scans", "quick_encoding")
@pytest.mark.parametrize("name", ["fervid", *fervid.__all__])
def test_the_examples_in_docstrings_run(name: str, examples_folder: Path) -> None:
    thing = fervid if name == "fervid" else getattr(fervid, name)
    if isinstance(thing, (str, tuple)):
        return
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
    for example in doctest.DocTestFinder(recurse=False).find(thing, name, globs={"fervid": fervid, "Path": Path}):
        assert runner.run(example).failed == 0


def test_the_batch_function(analysed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = fervid.analyze(SAMPLES / "cut.mp4", tmp_path / "r.parquet", fps=1, on_progress=print, workers=1)
    assert (report.count("ok"), report.exit_code, report.annotated, report.page) == (1, 0, None, None)
    assert "analyze: 1 of 1 videos" in capsys.readouterr().out
    results = fervid.read_results(tmp_path / "r.parquet")
    assert isinstance(results, fervid.Results)
    assert results.metadata["settings"]["scan"]["fps"] == 1
    assert (analysed.parent / "report.html").stat().st_size > 10_000


def test_the_pieces_of_the_pipeline() -> None:
    detector, classifier = fervid.load_detector(), fervid.load_classifier()
    times, rows = [], []
    with fervid.open_video(SAMPLES / "crossing.mp4") as video:
        for frame in video.frames(fps=2):
            assert frame.image.shape == (video.info.height, video.info.width, 3)
            crops = fervid.crop_faces(frame.image, detector.detect(frame.image))
            assert crops.shape[1:] == (48, 48)
            assert crops.dtype == np.uint8
            probabilities = classifier.probabilities(crops)
            assert probabilities.shape == (len(crops), len(fervid.EMOTIONS))
            assert probabilities.dtype == np.float32
            np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
            times.append(frame.time)
            rows.append(probabilities)
    assert np.diff(times) == pytest.approx(0.5, abs=0.05)
    assert len(np.concatenate(rows)) >= len(times)


def test_the_pieces_give_what_the_whole_gives(analysed: Path) -> None:
    timeline = fervid.read_results(analysed).timeline
    timeline = timeline[(timeline["video"] == "cut.mp4") & timeline["face_id"].notna()]
    detector, classifier = fervid.load_detector(), fervid.load_classifier()
    found = []
    with fervid.open_video(SAMPLES / "cut.mp4") as video:
        for frame in video.frames(fps=2):
            crops = fervid.crop_faces(frame.image, detector.detect(frame.image))
            found += [(frame.index, *row) for row in classifier.probabilities(crops)]
    expected = timeline[["frame", *fervid.EMOTIONS]].to_numpy(np.float64)
    np.testing.assert_allclose(sorted(map(tuple, expected)), sorted(found), atol=1e-6)


def test_frames_can_be_read_again_and_in_part() -> None:
    with fervid.open_video(SAMPLES / "cut.mp4") as video:
        every = [frame.index for frame in video.frames(fps=0)]
        assert every == list(range(len(every)))
        part = [frame.time for frame in video.frames(fps=5, start=1, end=2)]
        assert min(part) >= 1
        assert max(part) <= 2
        assert video.notes == []
        with pytest.raises(ConfigError, match="`end`"):
            video.frames(start=2, end=1)
        frames = video.frames()
        next(frames)
    with pytest.raises(UsageError, match="closed"):
        next(frames)
    with pytest.raises(UsageError, match="closed"):
        video.frames()


@pytest.mark.usefixtures("quick_encoding")
def test_plots_reports_annotated_videos_and_exports(analysed: Path, tmp_path: Path) -> None:
    axes = fervid.plot_timeline(fervid.read_results(analysed), "crossing.mp4")
    assert axes.get_title().startswith("crossing.mp4")
    page = fervid.write_report(analysed, tmp_path / "report.html", videos=SAMPLES)
    assert page.path.stat().st_size == page.size
    assert page.missing == ()
    events: list[Progress] = []
    report = fervid.annotate_videos(
        analysed, tmp_path / "annotated", videos=SAMPLES, style="minimal", on_progress=events.append
    )
    assert report.count("written") == 2
    assert {event.step for event in events} == {"annotate"}
    written = fervid.export_results(analysed, "elan", tmp_path / "elan")
    assert {path.name for path in written.files} == {"cut.eaf", "crossing.eaf"}


# one video in memory


@pytest.mark.parametrize(
    "name", ["leaving.mp4", *(pytest.param(f"{name}.mp4", marks=pytest.mark.slow) for name in ("cut", "variable_rate"))]
)
def test_one_video_in_memory_has_the_tables_that_are_written(name: str, tmp_path: Path) -> None:
    fervid.analyze(SAMPLES / name, tmp_path / "r.parquet")
    written = fervid.read_results(tmp_path / "r.parquet")
    video = fervid.analyze_video(SAMPLES / name)
    for table in TABLES:
        one, other = (
            getattr(results, table).drop(columns=TIMES_OF_A_RUN, errors="ignore") for results in (written, video)
        )
        assert_frame_equal(one, other, check_exact=True)
        assert list(getattr(written, table).columns) == list(getattr(video, table).columns)
    assert video.metadata == {key: written.metadata[key] for key in video.metadata}
    assert video.info.duration == pytest.approx(written.videos["duration"][0])
    assert (video.notes, video.message) == ((), None)
    assert isinstance(video.timeline, pd.DataFrame)


def test_a_video_in_memory_leaves_no_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import tempfile

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    video = fervid.analyze_video(SAMPLES / "cut.mp4", fps=2, classifier=fervid.load_classifier())
    assert list(tmp_path.iterdir()) == []
    assert fervid.plot_timeline(video, face_id=0).get_title() == "cut.mp4, face 0"


def test_a_video_without_a_face_has_empty_tables(clip: Any) -> None:
    video = fervid.analyze_video(clip(np.arange(10) / 10), fps=5)
    assert video.timeline["face_id"].isna().all()
    assert len(video.summary) == len(video.episodes) == 0
    assert video.videos["status"].tolist() == ["no_face"]


def test_what_is_no_video_raises(tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("no video")
    with pytest.raises(UnreadableVideo):
        fervid.analyze_video(tmp_path / "text.mp4")
    with pytest.raises(UnreadableVideo):
        fervid.open_video(tmp_path / "text.mp4")
    for function in (fervid.analyze_video, fervid.open_video):
        with pytest.raises(InputNotFound, match="nothing"):
            function(tmp_path / "nothing.mp4")


# settings and errors


def test_participants_of_no_results(tmp_path: Path) -> None:
    with pytest.raises(InputNotFound, match="no such results"):
        fervid.find_participants(tmp_path / "none.parquet", tmp_path / "people.csv")
    assert list(tmp_path.iterdir()) == []


def test_every_public_name_is_used_here_or_in_an_example() -> None:
    documented = [getattr(fervid, name) for name in fervid.__all__] + [fervid]
    texts = [Path(__file__).read_text(encoding="utf-8"), *(inspect.getdoc(thing) or "" for thing in documented)]
    shown = set(re.findall(r"fervid\.(\w+)", "\n".join(texts)))
    assert set(fervid.__all__) <= shown


@pytest.mark.usefixtures("replayed_scans")
def test_settings_are_public_and_errors_can_be_caught(tmp_path: Path) -> None:
    settings = fervid.AnalyzeSettings(
        fervid.ScanSettings(fps=1),
        fervid.TimelineSettings(smooth=0),
        fervid.InputSettings(exclude=("r*", "[d-z]*")),
        fervid.RunSettings(workers=1),
    )
    fervid.analyze(SAMPLES, tmp_path / "r.parquet", settings)
    results = fervid.read_results(tmp_path / "r.parquet")
    assert results.videos["video"].tolist() == ["crossing.mp4", "cut.mp4"]
    assert results.metadata["version"] == fervid.__version__
    with pytest.raises(fervid.FervidError) as caught:
        fervid.analyze(tmp_path / "nothing.mp4", tmp_path / "r.parquet")
    assert isinstance(caught.value, fervid.errors.InputNotFound)
    assert str(fervid.Progress("analyze", 1, 2, "videos")) == "analyze: 1 of 2 videos"


@pytest.mark.usefixtures("replayed_scans")
def test_keywords_override_the_settings(tmp_path: Path) -> None:
    settings = AnalyzeSettings(ScanSettings(fps=3, min_face=30), run=RunSettings(workers=1))
    engine = LocalEngine(workers=1)
    fervid.analyze(SAMPLES / "cut.mp4", tmp_path / "r.parquet", settings, fps=1, exclude=["x*"], engine=engine)
    made_with = fervid.read_results(tmp_path / "r.parquet").metadata["settings"]
    assert (made_with["scan"]["fps"], made_with["scan"]["min_face"]) == (1, 30)
    assert (made_with["inputs"]["exclude"], made_with["run"]["workers"]) == (["x*"], 1)


@pytest.mark.parametrize(
    ("keyword", "value", "said"),
    [
        ("fps", -1, "`fps` must be between"),
        ("fps", "5", "`fps` must be a number, not '5'"),
        ("workers", 1.5, "`workers` must be a whole number"),
        ("detector", "haar", "`detector` must be one of retinaface, centerface, yunet"),
        ("engine", "cloud", "`engine` must be one of local, ray"),
        ("shard", "3/2", "`shard` must be i/n"),
        ("exclude", "x*", "`exclude` must be a list"),
    ],
)
def test_a_wrong_keyword_is_named(tmp_path: Path, keyword: str, value: Any, said: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(said)):
        fervid.analyze(SAMPLES, tmp_path / "r.parquet", **{keyword: value})
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_keyword_is_pythons_own_error(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="fsp"):
        fervid.analyze(SAMPLES, tmp_path / "r.parquet", fsp=5)  # type: ignore[call-arg]


# arrays


@pytest.fixture(scope="module")
def classifier() -> Any:
    return fervid.load_classifier(device="cpu")


@pytest.mark.parametrize(
    ("crops", "given"),
    [
        (np.zeros((2, 48, 48)), "an array (2, 48, 48) of float64"),
        (np.full((2, 48, 48), np.nan, np.float32), "an array (2, 48, 48) of float32"),
        (np.zeros((2, 48, 48), bool), "an array (2, 48, 48) of bool"),
        (np.zeros((2, 48, 48), int), "an array (2, 48, 48) of int64"),
        (np.zeros((48, 48), np.uint8), "an array (48, 48) of uint8"),
        (np.zeros((2, 48, 48, 1), np.uint8), "an array (2, 48, 48, 1) of uint8"),
        (np.zeros((2, 64, 64), np.uint8), "an array (2, 64, 64) of uint8"),
        (np.zeros(3, np.uint8), "an array (3,) of uint8"),
        ([[[0] * 48] * 48], "an array (1, 48, 48) of int64"),
        ([np.zeros((48, 48), np.uint8), np.zeros((40, 40), np.uint8)], "of type list"),
        ("face.png", "of type str"),
        (None, "of type NoneType"),
    ],
)
def test_crops_of_a_wrong_shape_or_type_are_refused(classifier: Any, crops: Any, given: str) -> None:
    for method in (classifier.probabilities, classifier.logits):
        with pytest.raises(UsageError, match="`crops` must be an array") as caught:
            method(crops)
        assert str(caught.value).endswith(f"this is {given}")


def test_crops_may_be_a_list_and_may_be_empty(classifier: Any) -> None:
    crops = np.random.default_rng(0).integers(0, 256, (2, 48, 48), np.uint8)
    np.testing.assert_array_equal(classifier.probabilities(list(crops)), classifier.probabilities(crops))
    assert classifier.probabilities([]).shape == (0, 7)
    assert classifier.probabilities(crops[:0]).shape == (0, 7)


@pytest.mark.parametrize(
    ("image", "given"),
    [
        (np.zeros((60, 80, 3)), "an array (60, 80, 3) of float64"),
        (np.zeros((60, 80, 3), bool), "an array (60, 80, 3) of bool"),
        (np.zeros((60, 80, 3), int), "an array (60, 80, 3) of int64"),
        (np.zeros((60, 80, 4), np.uint8), "an array (60, 80, 4) of uint8"),
        (np.zeros((60, 80), np.uint8), "an array (60, 80) of uint8"),
        (np.zeros((1, 60, 80, 3), np.uint8), "an array (1, 60, 80, 3) of uint8"),
        (np.zeros((0, 80, 3), np.uint8), "an array (0, 80, 3) of uint8"),
        ("image.png", "of type str"),
        (None, "of type NoneType"),
    ],
)
def test_an_image_of_a_wrong_shape_or_type_is_refused(image: Any, given: str) -> None:
    functions: list[Any] = [fervid.load_detector(name).detect for name in get_args(DetectorName) if is_available(name)]
    for function in (*functions, lambda image: fervid.crop_faces(image, [])):
        with pytest.raises(UsageError, match="`image` must be an array") as caught:
            function(image)
        assert str(caught.value).endswith(f"this is {given}")


# wrong arguments


@pytest.mark.parametrize("settings", [10, {}, {"scan": {"fps": 5}}])
def test_settings_must_be_settings(tmp_path: Path, settings: Any) -> None:
    with pytest.raises(ConfigError, match="`settings` must be of type AnalyzeSettings"):
        fervid.analyze(SAMPLES, tmp_path / "r.parquet", settings)
    with pytest.raises(ConfigError, match="`settings` must be of type AnalyzeSettings"):
        fervid.analyze_video(SAMPLES / "cut.mp4", settings)


def test_engine_and_classifier_must_be_objects_of_their_kind(tmp_path: Path) -> None:
    engine: Any = object()
    with pytest.raises(ConfigError, match="`engine` must be local, ray or an Engine"):
        fervid.analyze(SAMPLES, tmp_path / "r.parquet", engine=engine)
    name: Any = "cpu"
    with pytest.raises(ConfigError, match="`classifier` must be of type EmotionClassifier, not 'cpu'"):
        fervid.analyze_video(SAMPLES / "cut.mp4", classifier=name)


def test_an_unknown_device_or_decoder_is_refused() -> None:
    name: Any = "cuda"
    with pytest.raises(ConfigError, match="`device` must be one of auto, cpu, gpu, not 'cuda'"):
        fervid.load_classifier(device=name)
    with pytest.raises(ConfigError, match="`decoder` must be one of cpu, nvdec, not 'cuda'"):
        fervid.open_video(SAMPLES / "cut.mp4", decoder=name)


def test_weights_may_be_given_as_text_or_path() -> None:
    require("yunet")
    shipped = fervid.load_classifier(str(SHIPPED), "cpu").sidecar
    assert shipped == fervid.load_classifier(SHIPPED, "cpu").sidecar
    weights = YUNET.locate()
    for path in (weights, str(weights)):
        assert fervid.load_detector("yunet", weights=path).sha256 == YUNET.sha256


def test_a_gpu_needs_the_keras_file(tmp_path: Path) -> None:
    for suffix in (".onnx", ".json"):
        (tmp_path / f"w{suffix}").write_bytes(SHIPPED.with_suffix(suffix).read_bytes())
    for call in (
        lambda: fervid.load_classifier(tmp_path / "w.onnx", "gpu"),
        lambda: fervid.analyze(SAMPLES, tmp_path / "r.parquet", model=tmp_path / "w.onnx", device="gpu"),
    ):
        with pytest.raises(BadWeights, match=r"a GPU needs the \.keras file of the same name beside .*w\.onnx"):
            call()


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("no video")
    for function in (fervid.analyze_video, fervid.open_video):
        with pytest.raises(UnreadableVideo, match=r"text\.mp4: not a video"):
            function(tmp_path / "text.mp4")
        with pytest.raises(UnreadableVideo, match=f"{tmp_path.name}: a folder, not a video"):
            function(tmp_path)


def test_results_may_be_a_path_or_an_object(analysed: Path, tmp_path: Path) -> None:
    forms: list[Path | fervid.Results] = [analysed, fervid.read_results(analysed)]
    for number, results in enumerate(forms):
        assert fervid.plot_timeline(results, "cut.mp4").get_title().startswith("cut.mp4")
        page = fervid.write_report(results, tmp_path / f"{number}.html", videos=SAMPLES, thumbnails=False)
        assert page.size > 10_000
        written = fervid.export_results(results, "csv", tmp_path / f"{number}.csv")
        assert written.files == (tmp_path / f"{number}.csv",)
    assert (tmp_path / "0.csv").read_bytes() == (tmp_path / "1.csv").read_bytes()


def test_results_are_merged(analysed: Path, tmp_path: Path) -> None:
    assert fervid.merge_results([analysed, analysed], tmp_path / "merged.parquet").videos == 2
    assert_frame_equal(
        fervid.read_results(tmp_path / "merged.parquet").timeline, fervid.read_results(analysed).timeline
    )
    one: Any = str(analysed)
    with pytest.raises(UsageError, match="`results` must be a list of paths"):
        fervid.merge_results(one, tmp_path / "merged.parquet")
