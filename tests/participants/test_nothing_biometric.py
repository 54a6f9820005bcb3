"""No command leaves a face embedding on the disk, unless `keep_embeddings` asks for it.

Every embedding that is computed is recorded, and so is every file that is removed again. Then all outputs, the hidden
folders and the folder for temporary files are searched.
"""

from __future__ import annotations

import base64
import gzip
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fervid.faces import embedding
from fervid.participants.embedding import robust_average
from fervid.types import FloatArray
from fervid.video.reader import VideoReader
from tests.support.command import command, fresh_command
from tests.support.encoding import encoded_quickly
from tests.support.paths import SAMPLES
from tests.support.replay import replaying
from tests.support.vectors import files_in, has_wide_columns, holds_vectors


class Removed:
    """Keeps a copy of every file that this process removes."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        folder.mkdir()
        self.folder = folder
        self._unlink, self._rmtree = os.unlink, shutil.rmtree
        patch.setattr(os, "unlink", self._keep_file)
        patch.setattr(os, "remove", self._keep_file)
        patch.setattr(shutil, "rmtree", self._keep_folder)

    def _keep_file(self, path: Any, **options: Any) -> None:
        if not options and os.path.isfile(path):
            shutil.copyfile(path, self.folder / f"{len(os.listdir(self.folder))}{Path(path).suffix}")
        self._unlink(path, **options)

    def _keep_folder(self, path: Any, *arguments: Any, **options: Any) -> None:
        for file in files_in([Path(path)]) if os.path.isdir(path) else []:
            shutil.copyfile(file, self.folder / f"{len(os.listdir(self.folder))}{file.suffix}")
        self._rmtree(path, *arguments, **options)


class Recorder:
    """Keeps every embedding, and every average of embeddings."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.vectors: list[FloatArray] = []
        embed = embedding.FaceEmbedder.embed_aligned

        def embed_aligned(embedder: Any, aligned: Any) -> FloatArray:
            self.vectors.append(embed(embedder, aligned))
            return self.vectors[-1]

        def averaged(vectors: Any) -> Any:
            made = robust_average(vectors)
            self.vectors += [] if made.vector is None else [made.vector]
            return made

        patch.setattr(embedding.FaceEmbedder, "embed_aligned", embed_aligned)
        for module in ("find", "gallery"):
            patch.setattr(f"fervid.participants.{module}.robust_average", averaged)


@pytest.fixture
def tmp_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short path, which the sockets of worker processes need."""
    return tmp_path_factory.mktemp("b")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a video and a gallery, where all outputs go; temporary files go to ``tmp`` beside it."""
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    monkeypatch.setattr(tempfile, "tempdir", None)
    for name in ("videos", "gallery"):
        (tmp_path / "work" / name).mkdir(parents=True)
    shutil.copy(SAMPLES / "cut.mp4", tmp_path / "work" / "videos")
    with VideoReader(SAMPLES / "variable_rate.mp4", fps=0) as reader:
        assert cv2.imwrite(str(tmp_path / "work" / "gallery" / "Ann.png"), next(reader.frames()).image)
    return tmp_path / "work"


def run(folder: Path, line: str) -> None:
    """Run a command in a folder."""
    done = command(*line.split(), folder=folder)
    assert done.returncode == 0, done.stderr


ANALYZE = "analyze videos --fps 3 --device cpu --workers 1 --out"

COMMANDS = (
    f"{ANALYZE} r.parquet --annotate first --report first.html",
    "participants r.parquet --out p.csv --sheet s.html",
    "participants r.parquet --gallery gallery --out g.csv",
    "correct r.parquet --corrections p.csv --out named",
    "annotate named --videos videos --out annotated",
    "report named --videos videos --out named.html",
    "merge r.parquet --out merged.parquet",
    "classify gallery --device cpu --out stills.csv",
    "export named --to elan --out named.eaf",
    "export named --to pyfeat --out pyfeat.csv",
    "export named --to openface --out openface.csv",
    "export named --to csv --out export.csv",
    "export named --to bids --out bids",
)


@pytest.mark.slow
def test_no_command_leaves_an_embedding(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recorder, removed = Recorder(monkeypatch), Removed(tmp_path / "removed", monkeypatch)
    with replaying(), encoded_quickly():
        for line in COMMANDS:
            run(folder, line)
    scanned = fresh_command(*ANALYZE.split(), "workers.csv", folder=folder)  # with a worker process
    assert scanned.returncode == 0, scanned.stderr
    assert len(recorder.vectors) > 2 * 2 + 3 * 8  # of tracks, and of persons twice
    files = files_in([folder, tmp_path / "tmp", removed.folder])
    assert {path.suffix for path in files} >= {".parquet", ".csv", ".html", ".mp4", ".json", ".jsonl", ".eaf"}
    assert any(".r.parquet.fervid" in path.parts for path in files)
    assert any(path.suffix == ".crops" for path in files), "the crops of the scan were not seen"
    assert [path for path in files if has_wide_columns(path)] == []
    assert [path for path in files if holds_vectors(path, recorder.vectors)] == []
    assert files_in([tmp_path / "tmp"]) == []


def test_embeddings_that_are_asked_for_are_in_one_file(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with replaying():
        run(folder, f"{ANALYZE} r.parquet")
        recorder, removed = Recorder(monkeypatch), Removed(tmp_path / "removed", monkeypatch)
        run(folder, "participants r.parquet --out p.csv --keep-embeddings kept.npz")
    files = files_in([folder, tmp_path / "tmp", removed.folder])
    assert [path.name for path in files if has_wide_columns(path)] == ["kept.npz"]
    assert [path.name for path in files if holds_vectors(path, recorder.vectors)] == ["kept.npz"]


FORMS = ("raw", "half", "double", "gzip", "npz", "json", "csv", "base64", "parquet", "list", "binary", "text")


@pytest.mark.parametrize("form", FORMS)
def test_the_search_finds_a_vector_in_every_form(tmp_path: Path, form: str) -> None:
    random = np.random.default_rng(1)
    vectors = [random.normal(0, 0.09, 128).astype(np.float32) for _ in range(3)]
    wanted, table = vectors[1], np.stack(vectors)
    column = np.concatenate([np.linspace(0, 1, 50, dtype=np.float32), wanted])
    path = tmp_path / "file"
    kinds = {"raw": "<f4", "half": "<f2", "double": "<f8"}
    if form in kinds:
        path.write_bytes(b"head" + wanted.astype(kinds[form]).tobytes() + b"tail")
    elif form == "gzip":
        path.write_bytes(gzip.compress(table.tobytes()))
    elif form == "npz":
        path = tmp_path / "file.npz"
        np.savez_compressed(path, table=table)
        assert has_wide_columns(path)
    elif form == "json":
        path.write_text(json.dumps({"faces": [{"v": [float(value) for value in wanted]}]}))
    elif form == "csv":
        path.write_text("a,b\n" + ",".join(f"{value:.4f}" for value in wanted))
    elif form == "base64":
        path.write_text(f'<img src="data:x;base64,{base64.b64encode(wanted.tobytes()).decode()}">')
    else:
        path = tmp_path / "file.parquet"
        text = " ".join(map(str, wanted.tolist()))
        arrays: dict[str, Any] = {
            "parquet": pa.array(column),
            "list": pa.FixedSizeListArray.from_arrays(pa.array(table.ravel()), 128),
            "binary": pa.array([wanted.tobytes()]),
            "text": pa.array([text]),
        }
        pq.write_table(pa.table({"x": arrays[form]}), path, compression="zstd")
        assert has_wide_columns(path) == (form == "list")
    assert holds_vectors(path, vectors)
    assert not holds_vectors(path, [random.normal(0, 0.09, 128).astype(np.float32)])
