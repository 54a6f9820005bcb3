"""The speed of each device, and the choice of ``auto``."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from fervid.emotions import benchmark as module
from fervid.emotions.benchmark import benchmark, faces_per_second
from fervid.emotions.classifier import load_classifier
from fervid.emotions.sidecar import SHIPPED, keras_path, onnx_path, sidecar_path
from fervid.runtime import platform
from tests.support.command import command


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BATCH", 4)


@pytest.mark.usefixtures("small_batches")
def test_a_machine_without_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "GPU_DRIVERS", ())
    choice = benchmark(seconds=0)
    assert (choice.device, list(choice.speeds)) == ("cpu", ["cpu"])
    assert choice.speeds["cpu"] > 0
    assert choice.reason == "this machine has no driver of a GPU that TensorFlow can use"


@pytest.mark.usefixtures("small_batches")
def test_weights_without_the_file_for_a_gpu(tmp_path: Path) -> None:
    for path in (onnx_path(SHIPPED), sidecar_path(SHIPPED)):
        shutil.copy(path, tmp_path)
    choice = benchmark(tmp_path / onnx_path(SHIPPED).name, seconds=0)
    assert choice.device == "cpu"
    assert choice.reason == f"a GPU needs {keras_path(SHIPPED).name}, which is not beside the weights"


def test_reasons_with_a_driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "GPU_DRIVERS", (str(tmp_path),))
    assert f"({tmp_path}), but TensorFlow finds no GPU" in module._reason(SHIPPED, "cpu")
    assert f"({tmp_path}), and TensorFlow finds a GPU" in module._reason(SHIPPED, "gpu")


@pytest.mark.gpu
def test_a_gpu_is_measured_and_chosen() -> None:
    choice = benchmark()
    assert choice.device == "gpu"
    assert choice.speeds["gpu"] > 0


@pytest.mark.usefixtures("small_batches")
def test_each_face_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([0.0, 1.0, 2.0, 4.0])
    monkeypatch.setattr("fervid.emotions.benchmark.time.perf_counter", lambda: next(times))
    assert faces_per_second(load_classifier(None, "cpu"), seconds=3) == 2 * 4 / 4


@pytest.mark.slow
def test_the_command_says_what_auto_chooses() -> None:
    done = command("info", "--benchmark")
    assert done.returncode == 0, done.stderr
    assert "faces_per_second cpu" in done.stdout
    assert "device_auto chooses" in done.stdout
