"""Settings from mappings and from TOML files."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fervid.emotions.architecture import Architecture
from fervid.errors import ConfigError, InputNotFound
from fervid.files.discover import discover
from fervid.settings import AnalyzeSettings, InputSettings, RunSettings, ScanSettings, TimelineSettings
from fervid.settings_io import from_mapping, override, read_job, read_toml, to_mapping

PARTS = (ScanSettings, TimelineSettings, RunSettings)


def test_an_empty_mapping_gives_the_defaults() -> None:
    assert from_mapping(AnalyzeSettings, {}) == AnalyzeSettings()


def test_nested_values_and_dashes() -> None:
    settings = from_mapping(
        AnalyzeSettings, {"scan": {"fps": 2.5, "min-face": 30, "max_gap": 2}, "run": {"batch-size": 7}}
    )
    expected = AnalyzeSettings(scan=ScanSettings(fps=2.5, min_face=30.0, max_gap=2.0), run=RunSettings(batch_size=7))
    assert settings == expected


def test_settings_survive_the_way_through_json() -> None:
    settings = AnalyzeSettings(
        ScanSettings(end=9.0, detector="yunet", detector_weights="x"), TimelineSettings(smooth=0)
    )
    assert from_mapping(AnalyzeSettings, json.loads(json.dumps(to_mapping(settings)))) == settings


@pytest.mark.parametrize(
    ("values", "known"),
    [
        ({"scn": {}}, "scan"),
        ({"scan": {"fsp": 5}}, "fps"),
        ({"scan": {"min-fce": 5}}, "min_face"),
        ({"timeline": {"smoothing": 1.0}}, "smooth"),
        ({"run": {"worker": 1}}, "workers"),
        ({"run": {"batchsize": 1}}, "batch_size"),
    ],
)
def test_an_unknown_key_names_the_nearest_known_one(values: dict[str, Any], known: str) -> None:
    with pytest.raises(ConfigError, match=f"did you mean '{known}'") as caught:
        from_mapping(AnalyzeSettings, values, "job.toml")
    assert str(caught.value).startswith("job.toml: ")


@pytest.mark.parametrize(
    ("cls", "values"),
    [
        (ScanSettings, {"fps": "5"}),
        (ScanSettings, {"fps": True}),
        (ScanSettings, {"fps": None}),
        (ScanSettings, {"fps": [5]}),
        (ScanSettings, {"long_side": 640.0}),
        (ScanSettings, {"long_side": True}),
        (ScanSettings, {"detector": "retina"}),
        (ScanSettings, {"detector": ["retinaface"]}),
        (ScanSettings, {"detector": None}),
        (ScanSettings, {"detector_weights": 5}),
        (ScanSettings, {"end": "9"}),
        (RunSettings, {"workers": 1.5}),
        (RunSettings, {"device": "tpu"}),
        (RunSettings, {"model": {}}),
        (AnalyzeSettings, {"scan": 5}),
        (AnalyzeSettings, {"scan": None}),
        (AnalyzeSettings, {"scan": [{"fps": 5}]}),
        (Architecture, {"widths": 32}),
        (Architecture, {"widths": [32, "64"]}),
    ],
)
def test_a_value_of_the_wrong_kind_is_named(cls: type[Any], values: dict[str, Any]) -> None:
    with pytest.raises(ConfigError) as caught:
        from_mapping(cls, values)
    (key,) = values
    assert key in str(caught.value)
    assert isinstance(caught.value, ValueError)


def test_a_choice_lists_what_can_be_chosen() -> None:
    with pytest.raises(ConfigError, match="auto, cpu, gpu"):
        from_mapping(RunSettings, {"device": "cuda"})


def test_integers_pass_as_floats_and_become_such() -> None:
    fps = from_mapping(ScanSettings, {"fps": 5}).fps
    assert (fps, type(fps)) == (5.0, float)


def test_none_is_a_value_where_the_setting_allows_it() -> None:
    settings = from_mapping(ScanSettings, {"end": None, "detector_weights": None})
    assert (settings.end, settings.detector_weights) == (None, None)
    assert from_mapping(ScanSettings, {"end": 3}).end == 3.0


def test_lists_become_tuples() -> None:
    assert from_mapping(Architecture, {"widths": [8, 16], "pairs": [1]}) == Architecture((8, 16), (1,))


@pytest.mark.parametrize(
    ("cls", "values"),
    [
        (ScanSettings, {"fps": -1.0}),
        (ScanSettings, {"fps": 1001.0}),
        (ScanSettings, {"start": -0.1}),
        (ScanSettings, {"start": 5.0, "end": 5.0}),
        (ScanSettings, {"start": 5.0, "end": 4.0}),
        (ScanSettings, {"min_face": -1.0}),
        (ScanSettings, {"score_threshold": 0.0}),
        (ScanSettings, {"score_threshold": 1.0}),
        (ScanSettings, {"long_side": 63}),
        (ScanSettings, {"long_side": 5000}),
        (ScanSettings, {"max_gap": 0.0}),
        (ScanSettings, {"min_track": -1.0}),
        (TimelineSettings, {"smooth": -1.0}),
        (TimelineSettings, {"smooth": 61.0}),
        (TimelineSettings, {"max_gap": 0.0}),
        (TimelineSettings, {"min_episode": -0.1}),
        (TimelineSettings, {"onset": 0.3, "offset": 0.4}),
        (TimelineSettings, {"onset": 1.0}),
        (TimelineSettings, {"offset": 0.0}),
        (RunSettings, {"workers": -1}),
        (RunSettings, {"batch_size": 0}),
        (RunSettings, {"timeout": -1.0}),
    ],
)
def test_a_value_out_of_range_is_refused_and_named(cls: type[Any], values: dict[str, Any]) -> None:
    with pytest.raises(ConfigError) as caught:
        from_mapping(cls, values)
    assert any(f"`{name}`" in str(caught.value) for name in values)
    with pytest.raises(ConfigError):
        cls(**values)


NUMBERS = [(cls, field.name) for cls in PARTS for field in dataclasses.fields(cls) if "float" in str(field.type)]


@pytest.mark.parametrize(("cls", "name"), NUMBERS)
def test_not_a_number_is_refused_everywhere(cls: type[Any], name: str) -> None:
    with pytest.raises(ConfigError):
        from_mapping(cls, {name: math.nan})


@pytest.mark.parametrize("cls", PARTS)
def test_settings_cannot_be_changed(cls: type[Any]) -> None:
    settings = cls()
    for field in dataclasses.fields(cls):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(settings, field.name, getattr(settings, field.name))


def test_limits_themselves_are_allowed() -> None:
    assert ScanSettings(fps=0).fps == 0
    assert ScanSettings(fps=1000).fps == 1000
    assert TimelineSettings(smooth=0, onset=0.5, offset=0.5).offset == 0.5
    assert RunSettings(workers=0, batch_size=1, timeout=0).batch_size == 1


def test_toml(tmp_path: Path) -> None:
    path = tmp_path / "job.toml"
    path.write_text('[scan]\nfps = 2\nmin-face = 25.5\n[run]\ndevice = "cpu"\n', encoding="utf-8")
    settings = from_mapping(AnalyzeSettings, read_toml(path))
    assert (settings.scan.fps, settings.scan.min_face, settings.run.device) == (2.0, 25.5, "cpu")


def test_a_jobs_own_folder_is_no_pattern(tmp_path: Path) -> None:
    home = tmp_path / "jobs[2024]*"
    home.mkdir()
    for name in ("a.mp4", "b[1].mp4"):
        (home / name).touch()
    (home / "job.toml").write_text('paths = ["*.mp4", "b[1].mp4"]\nout = "r.parquet"\n')
    assert [source.name for source in discover(read_job(home / "job.toml").paths)] == ["a.mp4", "b[1].mp4"]
    (home / "job.toml").write_text('paths = [""]\nout = "r.parquet"\n')
    with pytest.raises(ConfigError, match="empty"):
        read_job(home / "job.toml")


def test_a_missing_toml_file(tmp_path: Path) -> None:
    with pytest.raises(InputNotFound, match=r"job\.toml"):
        read_toml(tmp_path / "job.toml")


@pytest.mark.parametrize(
    "content", [b"fps = ", b"[scan\nfps = 5", b"fps = 5\nfps = 6", b"\xff\xfe\x00", b"name = \xfc"]
)
def test_a_damaged_toml_file_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "job.toml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"job\.toml") as caught:
        read_toml(path)
    assert "\n" not in str(caught.value)


def test_a_folder_is_no_toml_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=tmp_path.name):
        read_toml(tmp_path)


# values of a wrong type


@pytest.mark.parametrize(
    ("cls", "name", "value", "said"),
    [
        (ScanSettings, "decoder", "gpu", "one of cpu, nvdec, not 'gpu'"),
        (ScanSettings, "detector", "haar", "one of retinaface, centerface, yunet, not 'haar'"),
        (TimelineSettings, "smoother", "median", "one of adaptive, gaussian, not 'median'"),
        (RunSettings, "engine", "cloud", "one of local, ray, not 'cloud'"),
        (RunSettings, "device", "cuda", "one of auto, cpu, gpu, not 'cuda'"),
        (ScanSettings, "fps", "a", "a number, not 'a'"),
        (ScanSettings, "fps", None, "a number, not None"),
        (ScanSettings, "fps", True, "a number, not True"),
        (ScanSettings, "end", "x", "a number, not 'x'"),
        (ScanSettings, "adaptive", 1, "true or false, not 1"),
        (RunSettings, "workers", 1.5, "a whole number, not 1.5"),
        (RunSettings, "model", 5, "text, not 5"),
        (InputSettings, "exclude", "x*", "a list, not 'x*'"),
        (AnalyzeSettings, "scan", {"fps": 5}, "of type ScanSettings, not {'fps': 5}"),
    ],
)
def test_a_wrong_value_is_refused_when_settings_are_made(cls: type[Any], name: str, value: Any, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        cls(**{name: value})
    assert str(caught.value) == f"`{name}` must be {said}"


def test_numbers_of_numpy_and_paths_become_plain_values() -> None:
    scan = ScanSettings(
        fps=np.int64(2),  # type: ignore[arg-type]
        end=np.float32(1.5),  # type: ignore[arg-type]
        long_side=np.int32(320),  # type: ignore[arg-type]
        adaptive=np.bool_(True),  # type: ignore[arg-type]
        detector_weights=Path("w.onnx"),  # type: ignore[arg-type]
    )
    run = RunSettings(model=Path("m.onnx"))  # type: ignore[arg-type]
    values = (scan.fps, scan.end, scan.long_side, scan.adaptive, scan.detector_weights, run.model)
    assert values == (2.0, 1.5, 320, True, "w.onnx", "m.onnx")
    assert [type(value) for value in values] == [float, float, int, bool, str, str]
    assert from_mapping(ScanSettings, {"fps": np.int64(2)}) == override(AnalyzeSettings(), {"fps": np.float32(2)}).scan
    json.dumps(to_mapping(AnalyzeSettings(scan, run=run)))
