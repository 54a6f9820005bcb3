"""Weights, sidecar and batcher."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest

from fervid.emotions.architecture import Architecture
from fervid.emotions.batching import Batcher
from fervid.emotions.classifier import EmotionClassifier, load_classifier, softmax
from fervid.emotions.keras_io import load_network, save
from fervid.emotions.keras_network import build, folded
from fervid.emotions.onnx_network import OnnxNetwork
from fervid.emotions.sidecar import SHIPPED, read_sidecar, sidecar_path
from fervid.emotions.weights import fold, read_layers
from fervid.errors import BadWeights, DeviceMemoryError
from fervid.faces.crop import FER2013_GEOMETRY
from fervid.files.fingerprint import sha256
from fervid.types import EMOTIONS

SMALL = Architecture(widths=(4, 6), pairs=(1,))


@pytest.fixture(scope="module")
def shipped() -> EmotionClassifier:
    return load_classifier()


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "small.keras"
    save(build(SMALL), path, SMALL, FER2013_GEOMETRY, temperature=1.5, training={"epoch": 3})
    return path


def crops(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 48, 48)).astype(np.uint8)


def test_shipped_weights_are_small_and_their_sidecar_fits() -> None:
    assert SHIPPED.stat().st_size <= 4_000_000
    sidecar = read_sidecar(SHIPPED)
    assert sidecar.emotions == EMOTIONS
    assert sidecar.geometry == FER2013_GEOMETRY
    assert sidecar.weights_sha256 == sha256(SHIPPED)


def test_probabilities_are_distributions(shipped: EmotionClassifier) -> None:
    values = shipped.probabilities(crops(9))
    assert values.shape == (9, 7)
    assert values.dtype == np.float32
    assert (values >= 0).all()
    np.testing.assert_allclose(values.sum(axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("batch_size", [1, 3, 64, 1000])
def test_batches_and_neighbours_change_no_bit_of_a_result(shipped: EmotionClassifier, batch_size: int) -> None:
    videos = {key: crops(count, count) for key, count in {"a": 5, "b": 1, "c": 70, "d": 2}.items()}
    batcher: Batcher[str] = Batcher(shipped, batch_size)
    found = [scored for name in videos for scored in batcher.add(name, videos[name])]
    found += batcher.flush()
    assert [scored.key for scored in found] == list(videos)
    for scored in found:
        np.testing.assert_array_equal(scored.probabilities, shipped.probabilities(videos[scored.key]))
        assert scored.seconds > 0


def test_a_video_without_crops_passes_the_batcher(shipped: EmotionClassifier) -> None:
    batcher: Batcher[str] = Batcher(shipped, 8)
    assert [(scored.key, scored.probabilities.shape) for scored in batcher.add("none", crops(0))] == [("none", (0, 7))]
    assert list(batcher.flush()) == []


class Narrow:
    """A network whose device holds so many faces at once."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.batches: list[int] = []

    def predict_on_batch(self, inputs: np.ndarray) -> np.ndarray:
        self.batches.append(len(inputs))
        if len(inputs) > self.room:
            raise type("ResourceExhaustedError", (Exception,), {})("OOM when allocating tensor")
        return np.asarray(inputs.mean(axis=(1, 2)) + np.arange(7))


@pytest.mark.parametrize("count", [0, 1, 2, 5, 16, 33])
@pytest.mark.parametrize("threads", [1, 2, 5])
def test_how_many_are_computed_on_how_many_cores_changes_no_bit(count: int, threads: int) -> None:
    sidecar = read_sidecar(SHIPPED)
    layers = fold(read_layers(SHIPPED, sidecar.architecture))
    model = EmotionClassifier(OnnxNetwork(layers, sidecar.architecture, threads), sidecar)
    images = crops(count)
    found = model.logits(images)
    assert found.shape == (count, 7)
    one_by_one = [model.logits(images[at : at + 1]) for at in range(count)]
    assert np.array_equal(np.concatenate([np.zeros((0, 7), np.float32), *one_by_one]), found)


def test_the_shipped_network_gives_on_a_cpu_what_keras_gives(shipped: EmotionClassifier) -> None:
    sidecar, network = load_network(SHIPPED)
    assert shipped.device == "cpu"
    images = crops(40)
    np.testing.assert_allclose(shipped.logits(images), EmotionClassifier(network, sidecar).logits(images), atol=1e-4)
    layers = fold(read_layers(SHIPPED, sidecar.architecture))
    gpu = EmotionClassifier(folded(layers, sidecar.architecture), sidecar, "gpu")  # as a GPU computes it
    np.testing.assert_allclose(shipped.probabilities(images), gpu.probabilities(images), atol=1e-5)


def test_a_batch_too_big_for_the_device_is_halved(shipped: EmotionClassifier) -> None:
    network, said = Narrow(room=70), list[str]()
    batcher: Batcher[str] = Batcher(EmotionClassifier(network, shipped.sidecar), 256, said.append)
    videos = {"a": crops(300), "b": crops(9)}
    found = [scored for name in videos for scored in batcher.add(name, videos[name])] + list(batcher.flush())
    assert {scored.key: len(scored.probabilities) for scored in found} == {"a": 300, "b": 9}
    assert network.batches[:4] == [256, 128, 64, 64]
    assert max(network.batches[2:]) == 64
    assert len(said) == 2
    hopeless: Batcher[str] = Batcher(EmotionClassifier(Narrow(room=0), shipped.sidecar), 4)
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
    save(network, tmp_path / "w.keras", SMALL, FER2013_GEOMETRY)
    images = crops(16)
    stored = load_classifier(tmp_path / "w.keras").logits(images)
    bare = build(SMALL)
    for layer in bare.layers:
        layer.set_weights(network.get_layer(layer.name).get_weights())
    exact = EmotionClassifier(bare, read_sidecar(tmp_path / "w.keras"))
    np.testing.assert_allclose(stored, exact.logits(images), atol=0.02)


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
        ({"architecture": {"widths": [4, 6], "pairs": [1, 1]}}, "one more of widths"),
        ({"geometry": {"scale": -1.0, "shift_x": 0, "shift_y": 0}}, "scale"),
        ({"weights_sha256": "0" * 64}, "SHA-256"),
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
        load_classifier(path)


def test_weights_that_are_no_archive_are_refused(saved: Path) -> None:
    saved.write_bytes(b"not an archive")
    change(saved, weights_sha256=sha256(saved))
    with pytest.raises(BadWeights, match="does not hold the network"):
        load_classifier(saved)


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
    np.testing.assert_array_equal(load_classifier(evil).logits(crops(2)), load_classifier(saved).logits(crops(2)))
    assert not (tmp_path / "ran").exists()
