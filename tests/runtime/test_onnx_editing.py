"""Changed ONNX graphs compute the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fervid.faces import retinaface
from fervid.faces.embedding import SFACE, FaceEmbedder
from fervid.runtime import onnx_editing
from fervid.runtime.onnx_session import open_session
from fervid.types import FloatArray

STRIDES = (8, 16, 32)


@pytest.fixture(scope="module")
def model() -> bytes:
    """The default detector's ONNX file."""
    return retinaface.WEIGHTS.read()


def run(model: bytes, names: list[str] | None, pixels: FloatArray, entry: str = "input") -> list[FloatArray]:
    session: Any = open_session(model)
    return list(session.run(names, {entry: pixels}))


def test_the_parts_of_a_message_are_the_message(model: bytes) -> None:
    assert b"".join(whole for _, whole, _ in onnx_editing.fields(model)) == model
    assert onnx_editing._with_graph(model, lambda graph: [whole for _, whole, _ in graph]) == model


def test_a_graph_with_one_of_its_outputs_gives_just_that(model: bytes) -> None:
    pixels = np.random.default_rng(1).normal(0, 50, (1, 3, 96, 160)).astype(np.float32)
    cut = onnx_editing.with_outputs(model, ["landmarks"])
    (landmarks,) = run(cut, None, pixels)
    np.testing.assert_allclose(landmarks, run(model, ["landmarks"], pixels)[0], atol=1e-6)
    assert len(cut) < len(model)


def test_tensors_within_the_graph_are_the_parts_of_its_outputs(model: bytes) -> None:
    pixels = np.random.default_rng(2).normal(0, 50, (1, 3, 96, 160)).astype(np.float32)
    coarse = [f"/bbox_head/Reshape_{level}_output_0" for level in (1, 2)]
    found = np.concatenate(run(onnx_editing.with_outputs(model, coarse), None, pixels), axis=1)
    fine = 2 * (96 // STRIDES[0]) * (160 // STRIDES[0])
    np.testing.assert_allclose(found, run(model, ["loc"], pixels)[0][:, fine:], atol=1e-5)


def test_a_graph_cut_in_two_is_the_whole(model: bytes) -> None:
    pixels = np.random.default_rng(4).normal(0, 50, (1, 3, 96, 160)).astype(np.float32)
    names = [f"/{head}_head/Reshape_output_0" for head in ("bbox", "class", "landmark")]
    between = (retinaface.BRANCH_INPUT, (1, 64, None, None))
    (merged,) = run(onnx_editing.with_outputs(model, [retinaface.BRANCH_INPUT]), None, pixels)
    assert merged.shape == (1, 64, 96 // STRIDES[0], 160 // STRIDES[0])
    found = run(onnx_editing.with_outputs(model, names, between), None, merged, retinaface.BRANCH_INPUT)
    for one, other in zip(found, run(onnx_editing.with_outputs(model, names), None, pixels), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_a_tensor_that_is_nowhere_is_named(model: bytes) -> None:
    with pytest.raises(ValueError, match="no tensor nowhere"):
        onnx_editing.with_outputs(model, ["loc", "nowhere"])


def with_slopes(slopes: FloatArray) -> bytes:
    """A model with a PRelu between two convolutions."""
    onnx = pytest.importorskip("onnx")
    make = onnx.helper
    nodes = [
        make.make_node("Conv", ["X", "K"], ["A"], kernel_shape=[1, 1]),
        make.make_node("PRelu", ["A", "S"], ["B"]),
        make.make_node("Conv", ["B", "K"], ["Y"], kernel_shape=[1, 1]),
    ]
    kernel = np.random.default_rng(5).normal(size=(4, 4, 1, 1)).astype(np.float32)
    tensors = [onnx.numpy_helper.from_array(kernel, "K"), onnx.numpy_helper.from_array(slopes[:, None, None], "S")]
    ends = [make.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["n", 4, 5, 6]) for name in "XY"]
    graph = make.make_graph(nodes, "slopes", ends[:1], ends[1:], tensors)
    model = make.make_model(graph, opset_imports=[make.make_opsetid("", 17)], ir_version=9)
    return bytes(model.SerializeToString())


@pytest.mark.parametrize("largest", [0.3, 1.0, 1.2, 4.0])
def test_an_activation_written_out_is_the_same(largest: float) -> None:
    made = with_slopes(np.array([-0.7, 0.0, 0.2, largest], np.float32))
    changed = onnx_editing.with_plain_activations(made)
    assert b"PRelu" in made
    assert b"PRelu" not in changed
    given = {"X": np.random.default_rng(3).normal(0, 3, (2, 4, 5, 6)).astype(np.float32)}
    one, other = (open_session(data).run(None, given)[0] for data in (made, changed))
    assert one.std() > 1
    np.testing.assert_allclose(one, other, atol=1e-5)


@pytest.mark.parametrize("slope", [0.0, 1.5])
def test_a_model_that_is_written_is_one(slope: float) -> None:
    onnx = pytest.importorskip("onnx")
    changed = onnx_editing.with_plain_activations(with_slopes(np.full(4, slope, np.float32)))
    onnx.checker.check_model(onnx.load_from_string(changed), full_check=True)


def test_the_embedder_has_none_of_the_slow_ones_left() -> None:
    assert b"PRelu" not in onnx_editing.with_plain_activations(SFACE.read())
    embedder = FaceEmbedder()
    face = np.random.default_rng(4).integers(0, 256, (112, 112, 3)).astype(np.uint8)
    vector = embedder.embed_aligned(face)
    assert vector.shape == (128,)
    assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-5)
