"""The layers of the CNN: both families, in every layout; SFace's weights in ours."""

from __future__ import annotations

import io
import sys
import zipfile
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import onnxruntime
import pytest

from fervid.emotions import onnx_graph
from fervid.emotions.architecture import Architecture, array_shapes
from fervid.emotions.classifier import EmotionClassifier, load_classifier
from fervid.emotions.keras_file import Arrays, read_arrays
from fervid.emotions.keras_io import load_network, save, write_sidecar
from fervid.emotions.keras_network import build
from fervid.emotions.onnx_graph import check_file
from fervid.emotions.onnx_network import OnnxNetwork
from fervid.emotions.sidecar import Sidecar, onnx_path, read_sidecar
from fervid.errors import BadWeights, MissingLibrary
from fervid.faces.crop import FER2013_GEOMETRY
from fervid.faces.embedding import SFACE
from fervid.files.fingerprint import sha256
from fervid.runtime.onnx_editing import with_inputs, with_outputs
from fervid.training import onnx_export
from fervid.training import sface_init as sface
from fervid.types import FloatArray
from tests.support.weights import copy_weights, save_weights

onnx = pytest.importorskip("onnx", reason="onnx, which training needs, is not installed")

RESIDUAL = Architecture((4, 8, 6), (1, 2), 0.1)
SEPARABLE = Architecture((4, 8, 6), (2, 2), 0.1, "separable")
ENLARGED = replace(SEPARABLE, enlarge=56)


def randomized(network: Any) -> Any:
    """The network with weights of a trained one's kind."""
    rng = np.random.default_rng(0)
    for layer in network.layers:
        weights = [rng.normal(0, 0.4, weight.shape) for weight in layer.get_weights()]
        if layer.name.endswith("_bn"):  # scale and variance are positive
            weights = [abs(w) + (2.0, 0, 0, 0.1)[index] if index in (0, 3) else w for index, w in enumerate(weights)]
        layer.set_weights(weights)
    return network


SaveOnce = Callable[[Architecture], Path]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> SaveOnce:
    """Gives randomized weights of an architecture, with all their files, which no test may change."""

    @cache
    def weights(architecture: Architecture) -> Path:
        return save_weights(tmp_path_factory.mktemp("w") / "w.keras", architecture, randomized(build(architecture)))

    return weights


def outputs(network: Any, inputs: Any) -> FloatArray:
    """What a Keras model computes; for one call a graph would cost more."""
    return np.asarray(keras.ops.convert_to_numpy(network(inputs, training=False)), np.float32)


def arrays(network: Any) -> Arrays:
    return {layer.name: layer.get_weights() for layer in network.layers if layer.get_weights()}


@pytest.mark.parametrize(
    "architecture",
    [
        pytest.param(RESIDUAL, id="residual"),
        pytest.param(Architecture((4, 4, 4), (1, 2)), id="without shortcuts"),
        pytest.param(SEPARABLE, id="separable", marks=pytest.mark.slow),
        pytest.param(ENLARGED, id="enlarged"),
        pytest.param(Architecture((1, 3), (1,), 0.0, "separable"), id="one channel"),
    ],
)
def test_the_onnx_file_computes_what_keras_computes(architecture: Architecture, trained: SaveOnce) -> None:
    path = trained(architecture)
    inputs = np.random.default_rng(1).normal(size=(5, 48, 48, 1)).astype(np.float32)
    expected = outputs(load_network(path)[1], inputs)
    assert np.ptp(expected, axis=0).min() > 1e-3
    found = OnnxNetwork(onnx_path(path).read_bytes(), 2).logits(inputs)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())
    onnx.checker.check_model(str(onnx_path(path)), full_check=True)


@pytest.mark.parametrize("architecture", [RESIDUAL, ENLARGED], ids=["residual", "separable"])
def test_onnxruntime_merges_what_it_can_into_the_convolutions(
    architecture: Architecture, trained: SaveOnce, tmp_path: Path
) -> None:
    path = trained(architecture)
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    options.log_severity_level = 4  # it warns that the optimised model is for this machine only
    onnxruntime.InferenceSession(str(onnx_path(path)), options, providers=["CPUExecutionProvider"])
    kinds = {node.op_type for node in onnx.load(tmp_path / "optimized.onnx").graph.node}
    assert "Conv" in kinds
    assert not kinds & {"BatchNormalization", "Cast", "Sub", "Constant", "PRelu"}


# hostile files


def changed_graph(path: Path, change: Callable[[Any], None]) -> bytes:
    """The content of the `.onnx` file after a change."""
    model = onnx.load(onnx_path(path))
    change(model)
    return bytes(model.SerializeToString())


def outside(model: Any) -> None:
    tensor = model.graph.initializer[0]
    onnx.external_data_helper.set_external_data(tensor, "/etc/passwd")
    tensor.ClearField("raw_data")


def function(model: Any) -> None:
    model.functions.add().name = "f"


def another_operation(model: Any) -> None:
    model.graph.node[-1].op_type = "ConvTranspose"


def another_attribute(model: Any) -> None:
    model.graph.node[-1].attribute.append(onnx.helper.make_attribute("dilations", [2, 2]))


def another_domain(model: Any) -> None:
    model.graph.node[-1].domain = "com.example"


def huge_padding(model: Any) -> None:
    conv = next(node for node in model.graph.node if node.op_type == "Conv")
    next(one for one in conv.attribute if one.name == "pads").ints[0] = 2**40


def one_more_operation(model: Any) -> None:
    model.graph.node.append(model.graph.node[-1])


def another_shape(model: Any) -> None:
    model.graph.initializer[0].dims[0] *= 2


def not_a_number(model: Any) -> None:
    tensor = model.graph.initializer[0]
    tensor.raw_data = np.full(len(tensor.raw_data) // 2, np.nan, np.float16).tobytes()


def single_precision(model: Any) -> None:
    model.graph.initializer[0].data_type = onnx.TensorProto.FLOAT


def another_input(model: Any) -> None:
    model.graph.input[0].name = "other"


def training_graph(model: Any) -> None:
    model.training_info.add()


@pytest.mark.parametrize(
    "change",
    [
        outside,
        function,
        another_operation,
        another_attribute,
        another_domain,
        huge_padding,
        one_more_operation,
        another_shape,
        not_a_number,
        single_precision,
        another_input,
        training_graph,
    ],
)
def test_an_onnx_file_with_anything_else_is_refused(
    change: Callable[[Any], None], trained: SaveOnce, tmp_path: Path
) -> None:
    path = copy_weights(trained(SEPARABLE), tmp_path)
    check_file(onnx_path(path).read_bytes(), SEPARABLE)
    onnx_path(path).write_bytes(changed_graph(path, change))
    write_sidecar(replace(read_sidecar(path), onnx_sha256=sha256(onnx_path(path))), path)
    with pytest.raises(BadWeights, match="does not hold the network that its sidecar describes"):
        load_classifier(path)


def test_bytes_that_are_no_onnx_file_are_refused(trained: SaveOnce) -> None:
    whole = onnx_path(trained(RESIDUAL)).read_bytes()
    rng = np.random.default_rng(0)
    broken = [b"", b"not a model", b"\x80" * 10_000, *(whole[: int(n)] for n in rng.integers(0, len(whole) - 20, 100))]
    broken += [rng.bytes(int(n)) for n in rng.integers(1, 2000, 100)]
    for data in broken:
        with pytest.raises(ValueError, match=r"."):
            check_file(data, RESIDUAL)


def test_logits_that_differ_from_those_of_keras_are_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(randomized(build(RESIDUAL)), tmp_path / "w.keras", RESIDUAL, FER2013_GEOMETRY)
    monkeypatch.setattr(onnx_graph, "EPSILON", 0.1)
    with pytest.raises(BadWeights, match="would differ from those of Keras"):
        onnx_export.export(tmp_path / "w.keras")
    assert not (tmp_path / "w.onnx").exists()
    assert read_sidecar(tmp_path / "w.keras").onnx_sha256 == ""
    monkeypatch.undo()
    assert onnx_export.main([str(tmp_path / "w.keras")]) == 0
    assert load_classifier(tmp_path / "w.keras")
    assert "no such weights" in str(onnx_export.main([str(tmp_path / "none.keras")]))
    assert str(onnx_export.main([])).startswith("usage")


def read_as(path: Path, architecture: Architecture) -> Arrays:
    """The arrays of the file, if it holds a network of this architecture."""
    return read_arrays(path, replace(read_sidecar(path), architecture=architecture))


@pytest.mark.parametrize("architecture", [RESIDUAL, SEPARABLE], ids=["residual", "separable"])
def test_weights_are_read_without_keras_as_keras_reads_them(architecture: Architecture, trained: SaveOnce) -> None:
    model, path = build(architecture), trained(architecture)
    model.load_weights(path)
    expected, found = arrays(model), read_as(path, architecture)
    assert found.keys() == expected.keys() == array_shapes(architecture).keys()
    for name, values in expected.items():
        for one, other in zip(found[name], values, strict=True):
            np.testing.assert_array_equal(one, other)


def test_weights_of_another_network_are_refused_by_name(trained: SaveOnce) -> None:
    path = trained(RESIDUAL)
    with pytest.raises(BadWeights, match="layer stage2_1_a_bn is not part of it"):
        read_as(path, replace(RESIDUAL, pairs=(1, 1)))
    with pytest.raises(BadWeights, match="layer stage2_2_a_bn is missing"):
        read_as(path, replace(RESIDUAL, pairs=(1, 3)))
    with pytest.raises(BadWeights, match="layer stage1_0_shortcut_conv has the shapes"):
        read_as(path, replace(RESIDUAL, widths=(4, 9, 6)))


def test_weights_whose_layers_have_no_names_are_refused(trained: SaveOnce, tmp_path: Path) -> None:
    with zipfile.ZipFile(trained(RESIDUAL)) as archive:
        stored = io.BytesIO(archive.read("model.weights.h5"))
    with h5py.File(stored, "r+") as file:
        del file["layers/conv2d/vars"].attrs["name"]
    with zipfile.ZipFile(tmp_path / "old.keras", "w") as archive:
        archive.writestr("model.weights.h5", stored.getvalue())
    with pytest.raises(BadWeights, match=r"Keras older than 3\.6"):
        read_arrays(tmp_path / "old.keras", Sidecar(sha256(tmp_path / "old.keras"), RESIDUAL, FER2013_GEOMETRY, 1.0))


def test_the_same_weights_fit_an_enlarged_crop(trained: SaveOnce) -> None:
    loaded = build(replace(SEPARABLE, enlarge=64))
    loaded.load_weights(trained(SEPARABLE))
    crops = np.random.default_rng(1).normal(size=(3, 48, 48, 1)).astype(np.float32)
    whole = np.asarray(keras.ops.image.resize(crops, (64, 64), data_format="channels_last"))
    _, kept = load_network(trained(SEPARABLE))
    np.testing.assert_allclose(outputs(loaded, crops), outputs(kept, whole), atol=1e-4)


def test_a_stride_keeps_every_second_row_and_column() -> None:
    network = build(Architecture((3, 4, 5), (1, 1), 0.0, "separable"))
    shapes = {layer.name: layer.output.shape for layer in network.layers}
    assert shapes["stem_prelu"] == shapes["stem_conv"] == (None, None, None, 3)
    for side, expected in ((48, 24), (47, 24), (17, 9)):
        stages = keras.Model(network.input, network.get_layer("stage2_0_depthwise_conv").output)
        assert outputs(stages, np.zeros((2, side, side, 1), np.float32)).shape == (2, expected, expected, 4)


def test_slopes_stay_at_most_one_in_training() -> None:
    network = randomized(build(Architecture((4, 4), (1,), 0.0, "separable")))
    network.compile("sgd", keras.losses.CategoricalCrossentropy(from_logits=True), run_eagerly=True)
    slopes = network.get_layer("stem_prelu").slopes
    slopes.assign(np.full(slopes.shape, 7.0))
    network.train_on_batch(np.ones((2, 20, 20, 1), np.float32), np.eye(7, dtype=np.float32)[:2])
    assert float(np.max(np.asarray(slopes.value))) <= 1


def test_neighbours_in_a_batch_change_no_bit_of_a_separable_network(trained: SaveOnce) -> None:
    model = load_classifier(trained(Architecture((16, 32, 48), (1, 2), 0.0, "separable")))
    crops = np.random.default_rng(2).integers(0, 256, (64, 48, 48)).astype(np.uint8)
    whole = model.logits(crops)
    for count in (1, 3, 7, 32):
        np.testing.assert_array_equal(model.logits(crops[:count]), whole[:count])


def test_a_family_is_kept_in_the_sidecar(trained: SaveOnce) -> None:
    assert read_sidecar(trained(SEPARABLE)).architecture == SEPARABLE
    assert isinstance(load_classifier(trained(SEPARABLE)), EmotionClassifier)


# SFace


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("onnx", reason="onnx, which reads SFace's weights, is not installed")
    out = tmp_path_factory.mktemp("sface") / "sface.keras"
    assert sface.main([str(out)]) == 0
    return out


@pytest.mark.parametrize(
    ("all_blocks", "there", "here"), [(False, "conv_12_relu", "stage4_5"), (True, "conv_14_relu", "stage5_1")]
)
def test_its_layers_give_what_they_gave_there(
    begun: Path, tmp_path: Path, all_blocks: bool, there: str, here: str
) -> None:
    """Compare the outputs of the last block that is taken over, for an image of SFace's own size."""
    import onnxruntime

    if all_blocks:
        begun = tmp_path / "all.keras"
        assert sface.main([str(begun), "--all-blocks"]) == 0
        assert read_sidecar(begun).architecture == sface.ALL_BLOCKS
    graph = with_outputs(with_inputs(SFACE.read(), ["data"]), [there])
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    gray = np.random.default_rng(3).integers(0, 256, (14, 14)).repeat(8, 0).repeat(8, 1).astype(np.float32)
    (expected,) = session.run(None, {"data": np.broadcast_to(gray, (1, 3, 112, 112)).copy()})
    _, network = load_network(begun)
    block = keras.Model(network.input, network.get_layer(f"{here}_pointwise_prelu").output)
    found = outputs(block, ((gray - 127.5) / 128 / sface.DEVIATION)[None, :, :, None])
    assert np.corrcoef(found.ravel(), expected.transpose(0, 2, 3, 1).ravel())[0, 1] > 0.999
    np.testing.assert_allclose(found, expected.transpose(0, 2, 3, 1), atol=0.05 * np.abs(expected).max())


def test_its_weights_say_where_they_come_from(begun: Path) -> None:
    sidecar = read_sidecar(begun)
    assert sidecar.architecture == sface.ARCHITECTURE
    assert sidecar.training["begun_with"]["licence"] == "Apache-2.0"
    assert begun.stat().st_size <= 4_000_000


def test_a_missing_package_is_named_with_its_remedy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    remedy = "fervid[train]"
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(MissingLibrary) as raised:
        sface.begin(tmp_path / "x.keras")
    assert remedy in str(raised.value)
    assert remedy in str(sface.main([str(tmp_path / "x.keras")]))
    assert str(sface.main([])).startswith("usage")
    assert not list(tmp_path.iterdir())
