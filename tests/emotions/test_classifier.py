"""Weights, sidecar and batcher."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
import zipfile
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
import pytest

from fervid.emotions import classifier
from fervid.emotions.architecture import Architecture
from fervid.emotions.batching import Batcher
from fervid.emotions.classifier import EmotionClassifier, check_weights, load_classifier, load_onnx, softmax
from fervid.emotions.keras_io import load_network, save
from fervid.emotions.keras_network import KerasNetwork, build
from fervid.emotions.sidecar import EXPORT_COMMAND, SHIPPED, keras_path, onnx_path, read_sidecar, sidecar_path
from fervid.errors import BadWeights, DeviceMemoryError
from fervid.faces.crop import FER2013_GEOMETRY
from fervid.files.fingerprint import sha256
from fervid.training.onnx_export import export
from fervid.types import EMOTIONS
from tests.support.weights import copy_weights, save_weights

SMALL = Architecture(widths=(4, 6), pairs=(1,))


@pytest.fixture(scope="module")
def shipped() -> EmotionClassifier:
    return load_classifier()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_weights(tmp_path_factory.mktemp("made") / "small.keras", SMALL, temperature=1.5, training={"epoch": 3})


@pytest.fixture
def saved(made: Path, tmp_path: Path) -> Path:
    """Weights that a test may change."""
    return copy_weights(made, tmp_path)


def crops(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 48, 48)).astype(np.uint8)


def test_shipped_weights_are_small_and_their_sidecar_fits() -> None:
    assert onnx_path(SHIPPED).stat().st_size <= 4_000_000
    assert keras_path(SHIPPED).stat().st_size <= 4_000_000
    sidecar = read_sidecar(SHIPPED)
    assert sidecar.emotions == EMOTIONS
    assert sidecar.geometry == FER2013_GEOMETRY
    assert sidecar.weights_sha256 == sha256(keras_path(SHIPPED))
    assert sidecar.onnx_sha256 == sha256(onnx_path(SHIPPED))


def test_probabilities_are_distributions(shipped: EmotionClassifier) -> None:
    values = shipped.probabilities(crops(9))
    assert values.shape == (9, 7)
    assert values.dtype == np.float32
    assert (values >= 0).all()
    np.testing.assert_allclose(values.sum(axis=1), 1, atol=1e-5)


def test_batches_and_neighbours_change_no_bit_of_a_result(shipped: EmotionClassifier) -> None:
    videos = {key: crops(count, count) for key, count in {"a": 5, "b": 1, "c": 70, "d": 2}.items()}
    expected = {key: shipped.probabilities(images) for key, images in videos.items()}
    for batch_size in (1, 3, 64, 1000):
        batcher: Batcher[str] = Batcher(shipped, batch_size)
        found = [scored for name in videos for scored in batcher.add(name, videos[name])]
        found += batcher.flush()
        assert [scored.key for scored in found] == list(videos)
        for scored in found:
            np.testing.assert_array_equal(scored.probabilities, expected[scored.key])
            assert scored.seconds > 0


def test_a_video_without_crops_passes_the_batcher(shipped: EmotionClassifier) -> None:
    batcher: Batcher[str] = Batcher(shipped, 8)
    assert [(scored.key, scored.probabilities.shape) for scored in batcher.add("none", crops(0))] == [("none", (0, 7))]
    assert list(batcher.flush()) == []


class Narrow:
    """A network whose device holds at most ``limit`` faces at once."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.batches: list[int] = []

    def logits(self, inputs: np.ndarray) -> np.ndarray:
        self.batches.append(len(inputs))
        if len(inputs) > self.limit:
            raise type("ResourceExhaustedError", (Exception,), {})("OOM when allocating tensor")
        return np.asarray(inputs.mean(axis=(1, 2)) + np.arange(7))


def test_how_many_are_computed_on_how_many_cores_changes_no_bit() -> None:
    sidecar, images = read_sidecar(SHIPPED), crops(33)
    models = [EmotionClassifier(load_onnx(SHIPPED, sidecar, threads), sidecar) for threads in (1, 2, 5)]
    one_by_one = [models[0].logits(images[at : at + 1]) for at in range(len(images))]
    expected = np.concatenate([np.zeros((0, 7), np.float32), *one_by_one])
    for model in models:
        for count in (0, 1, 2, 5, 16, 33):
            np.testing.assert_array_equal(model.logits(images[:count]), expected[:count])


def test_the_shipped_network_gives_on_a_cpu_what_keras_gives(shipped: EmotionClassifier) -> None:
    sidecar, network = load_network(SHIPPED)
    assert shipped.device == "cpu"
    images = crops(9)
    gpu = EmotionClassifier(KerasNetwork(network), sidecar, "gpu")  # as a GPU computes it
    np.testing.assert_allclose(shipped.logits(images), gpu.logits(images), atol=1e-4)
    np.testing.assert_allclose(shipped.probabilities(images), gpu.probabilities(images), atol=1e-5)


def test_a_batch_too_big_for_the_device_is_halved(shipped: EmotionClassifier) -> None:
    network, said = Narrow(limit=70), list[str]()
    batcher: Batcher[str] = Batcher(EmotionClassifier(network, shipped.sidecar), 256, said.append)
    videos = {"a": crops(300), "b": crops(9)}
    found = [scored for name in videos for scored in batcher.add(name, videos[name])] + list(batcher.flush())
    assert {scored.key: len(scored.probabilities) for scored in found} == {"a": 300, "b": 9}
    assert network.batches[:4] == [256, 128, 64, 64]
    assert max(network.batches[2:]) == 64
    assert len(said) == 2
    hopeless: Batcher[str] = Batcher(EmotionClassifier(Narrow(limit=0), shipped.sidecar), 4)
    with pytest.raises(DeviceMemoryError):
        list(hopeless.add("a", crops(4)))


def test_brightness_and_contrast_of_a_crop_cancel(shipped: EmotionClassifier) -> None:
    crop = np.random.default_rng(1).integers(60, 160, (1, 48, 48)).astype(np.uint8)
    brighter = (crop.astype(int) + 40).astype(np.uint8)
    np.testing.assert_allclose(shipped.logits(crop), shipped.logits(brighter), atol=1e-3)


def test_saved_weights_come_back(saved: Path) -> None:
    model = load_classifier(saved)
    assert model.sidecar.temperature == 1.5
    assert model.sidecar.training == {"epoch": 3}
    again = load_classifier(saved)
    np.testing.assert_array_equal(model.logits(crops(4)), again.logits(crops(4)))


def test_half_precision_storage_keeps_the_logits(tmp_path: Path) -> None:
    network = build(SMALL, votes=True)
    save_weights(tmp_path / "w.keras", SMALL, network)
    images = crops(16)
    stored = load_classifier(tmp_path / "w.keras").logits(images)
    bare = build(SMALL)
    for layer in bare.layers:
        layer.set_weights(network.get_layer(layer.name).get_weights())
    exact = EmotionClassifier(KerasNetwork(bare), read_sidecar(tmp_path / "w.keras"))
    np.testing.assert_allclose(stored, exact.logits(images), atol=0.02)


def test_saving_leaves_no_temporary_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not in the system's folder, where Keras would make them, nor what a killed process left beside the weights."""
    system = tmp_path / "system"
    system.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(system))
    out = tmp_path / "out"
    (out / ".w.0123abcd.partial.keras.files" / "tmpabc" / "assets").mkdir(parents=True)
    seen: list[Path] = []

    def observed(*given: Any, **named: Any) -> str:
        made: str = mkdtemp(*given, **named)
        seen.append(Path(made).parent)
        return made

    monkeypatch.setattr(tempfile, "mkdtemp", observed)
    save(build(SMALL), out / "w.keras", SMALL, FER2013_GEOMETRY)
    (folder,) = seen
    assert re.fullmatch(r"\.w\.[0-9a-f]{8}\.partial\.keras\.files", folder.name)
    assert folder.parent == out
    assert sorted(path.name for path in out.iterdir()) == ["w.json", "w.keras"]
    assert list(system.iterdir()) == []
    assert tempfile.gettempdir() == str(system)


def test_temperature_flattens() -> None:
    logits = np.array([[2.0, 0, 0, 0, 0, 0, 0]], np.float32)
    sharp, flat = softmax(logits, 0.5), softmax(logits, 2.0)
    assert sharp.max() > softmax(logits).max() > flat.max()
    assert softmax(np.array([[1000.0, 0.0]], np.float32)).sum() == pytest.approx(1)


def change(saved: Path, **values: object) -> None:
    sidecar = sidecar_path(saved)
    sidecar.write_text(json.dumps({**json.loads(sidecar.read_text()), **values}))


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"emotions": ["happy", "sad"]}, "cannot use"),
        ({"format": 99}, "cannot use"),
        ({"input_size": 64}, "cannot use"),
        ({"temperature": 0.0}, "temperature"),
        ({"architecture": {"widths": [8, 8], "pairs": [1]}}, "does not hold the network"),
        ({"architecture": {"depth": 3}}, "unknown key 'depth'"),
        ({"surprise": 1}, "unknown key 'surprise'"),
        ({"architecture": {"widths": [4, 6], "pairs": [1, 1]}}, "one number more than pairs"),
        ({"geometry": {"scale": -1.0, "shift_x": 0, "shift_y": 0}}, "scale"),
        ({"onnx_sha256": "0" * 64}, "SHA-256"),
    ],
)
def test_a_sidecar_that_does_not_fit_is_refused(saved: Path, values: dict[str, object], said: str) -> None:
    change(saved, **values)
    with pytest.raises(BadWeights, match=said):
        load_classifier(saved)


def test_missing_and_garbled_files_are_refused(saved: Path, tmp_path: Path) -> None:
    with pytest.raises(BadWeights, match="no such weights"):
        load_classifier(tmp_path / "none.keras")
    sidecar_path(saved).write_text("[1, 2")
    with pytest.raises(BadWeights, match="not a sidecar"):
        load_classifier(saved)
    sidecar_path(saved).unlink()
    with pytest.raises(BadWeights, match="no sidecar"):
        load_classifier(saved)


def test_weights_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    network, path = build(SMALL), tmp_path / "spoilt.keras"
    layer = network.get_layer("emotion")
    layer.set_weights([np.full_like(values, np.nan) for values in layer.get_weights()])
    save(network, path, SMALL, FER2013_GEOMETRY)
    with pytest.raises(BadWeights, match="layer emotion holds values that are not finite"):
        load_network(path)
    with pytest.raises(BadWeights, match="layer emotion holds values that are not finite"):
        export(path)
    assert not onnx_path(path).exists()


def test_weights_that_are_no_archive_are_refused(saved: Path) -> None:
    saved.write_bytes(b"not an archive")
    with pytest.raises(BadWeights, match="SHA-256"):
        load_network(saved)
    change(saved, weights_sha256=sha256(saved))
    with pytest.raises(BadWeights, match="does not hold the network"):
        load_network(saved)


def test_an_archive_that_grows_too_large_is_refused(saved: Path) -> None:
    with zipfile.ZipFile(saved, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("model.weights.h5", bytes(2**25))
    change(saved, weights_sha256=sha256(saved))
    with pytest.raises(BadWeights, match="too large"):
        load_network(saved)


# the files of weights


@pytest.mark.parametrize("suffix", [".keras", ".onnx"])
def test_either_file_names_the_weights(suffix: str, saved: Path) -> None:
    named = saved.with_suffix(suffix)
    np.testing.assert_array_equal(load_classifier(named).logits(crops(3)), load_classifier(saved).logits(crops(3)))
    assert load_network(named)[0] == check_weights(named) == read_sidecar(saved)


def test_a_cpu_needs_no_keras_file(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved.unlink()
    named = onnx_path(saved)
    monkeypatch.setattr(classifier, "may_have_gpu", lambda: True)
    assert load_classifier(named, "auto").device == "cpu"
    assert check_weights(named, "auto") == check_weights(named, "cpu") == read_sidecar(named)
    with pytest.raises(BadWeights, match=r"a GPU needs the \.keras file"):
        load_classifier(named, "gpu")
    with pytest.raises(BadWeights, match=r"a GPU needs the \.keras file"):
        check_weights(named, "gpu")


def test_weights_without_an_onnx_file_name_the_command_that_makes_it(saved: Path) -> None:
    command = rf"{EXPORT_COMMAND} .*small\.keras"
    onnx_path(saved).unlink()
    with pytest.raises(BadWeights, match=rf"small\.onnx is missing; .*{command}"):
        load_classifier(saved)
    with pytest.raises(BadWeights, match=command):
        check_weights(saved, "cpu")
    export(saved)
    assert load_classifier(saved).sidecar == read_sidecar(saved)
    change(saved, onnx_sha256="")
    with pytest.raises(BadWeights, match=rf"small\.json names no \.onnx file; .*{command}"):
        load_classifier(saved)
    assert load_network(saved)  # training can start from weights without an .onnx file


def test_a_changed_onnx_file_is_refused(saved: Path) -> None:
    onnx_path(saved).write_bytes(onnx_path(saved).read_bytes()[:-1] + b"?")
    with pytest.raises(BadWeights, match="SHA-256"):
        load_classifier(saved)
    with pytest.raises(BadWeights, match="SHA-256"):
        check_weights(saved, "cpu")


def test_another_ending_is_refused(saved: Path) -> None:
    with pytest.raises(BadWeights, match=r"ends in \.onnx or \.keras"):
        load_classifier(sidecar_path(saved))


def test_code_in_a_weights_file_is_never_run(saved: Path, tmp_path: Path) -> None:
    """The archive's own description of the network is never read, so it may say what it likes."""
    evil = tmp_path / "evil.keras"
    with zipfile.ZipFile(saved) as source, zipfile.ZipFile(evil, "w") as target:
        for name in source.namelist():
            data = source.read(name)
            if name == "config.json":
                trap = {"module": "os", "class_name": "system", "config": {"command": f"touch {tmp_path}/ran"}}
                data = json.dumps(trap).encode()
            target.writestr(name, data)
    shutil.copy(sidecar_path(saved), sidecar_path(evil))
    change(evil, weights_sha256=sha256(evil))
    for one, other in zip(load_network(evil)[1].get_weights(), load_network(saved)[1].get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    export(evil)
    np.testing.assert_array_equal(load_classifier(evil).logits(crops(2)), load_classifier(saved).logits(crops(2)))
    assert not (tmp_path / "ran").exists()
