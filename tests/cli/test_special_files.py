"""A pipe or a socket in place of a file that a user names: one line, and no waiting."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.command import command
from tests.support.synthetic_results import EVERYTHING, write_results

LINES = [
    ("run special.toml", "is a pipe"),
    ("train --data images --out m.keras --recipe special.toml", "is a pipe"),
    ("train --data special.csv --out m.keras", "is a pipe"),
    ("train --data special.parquet --out m.keras", "is a pipe"),
    ("train --data tables --out m.keras", "is a pipe"),
    ("train --data images --out m.keras", "no class folders with images"),
    ("evaluate --data special.csv", "is a pipe"),
    ("evaluate --data special.csv --model special.onnx", "no such weights file"),
    ("classify images --out c.csv --model special.onnx", "no such weights file"),
    ("classify images --out c.csv --model pair.onnx", "has no sidecar"),
    ("analyze videos --out r.parquet --model special.keras", "no such weights file"),
    ("analyze videos --out r.parquet --detector yunet --detector-weights special.onnx", "is a pipe"),
    ("analyze videos --out r.parquet --detector centerface --detector-weights special.onnx", "is a pipe"),
    ("analyze videos --out r.parquet --detector-weights special.onnx", "is a pipe"),
    ("correct made.parquet --corrections special.csv --out c.parquet", "is a pipe"),
    ("correct made.parquet --corrections c.csv --corrections special.csv --out c.parquet", "is a pipe"),
    ("participants made.parquet --out p.csv --gallery special.png", "must be a folder"),
    ("participants made.parquet --out p.csv --gallery images", "no photo in images can be used"),
    ("study special.toml --check", "is a pipe"),
    ("agree special.csv --coding special.csv", "is a pipe"),
    *((f"agree made.parquet --coding special.{name}", "is a pipe") for name in ("eaf", "tsv", "boris", "TextGrid")),
    ("export made.parquet --to elan --out elan", "may hold manual work"),
    *(
        (line.format(results), "is a pipe")
        for results in ("special.parquet", "special.csv", "small.parquet", "smallfolder", "partition", "common")
        for line in (
            "merge {} --out m.parquet",
            "merge made.parquet {} --out m.parquet",
            "correct {} --corrections c.csv --out c.parquet",
            "participants {} --out p.csv",
            "annotate {} --out annotated",
            "report {} --out r.html",
            "export {} --to csv --out e.csv",
        )
    ),
]
"""Command lines in a folder where each file ``special``, the document of a video and a part of results are special."""


@pytest.fixture(params=["pipe", "socket"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    for name in ("images/happy", "tables", "videos", "elan"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "videos" / "a.mp4").touch()
    (tmp_path / "pair.onnx").touch()
    (tmp_path / "c.csv").write_text("video,face_id,action,start,end,value\n")
    for results in ("made.parquet", "small.parquet", "smallfolder", "partition", "common"):
        write_results(tmp_path / results, EVERYTHING[1:2])
    names = [
        f"special.{ending}"
        for ending in ("toml", "csv", "parquet", "onnx", "keras", "json", "png", "eaf", "tsv", "boris", "TextGrid")
    ]
    (partition,) = (tmp_path / "partition" / "timeline").glob("*/*.parquet")
    parts = [tmp_path / "small.summary.csv", tmp_path / "smallfolder/videos.csv", partition]
    parts.append(tmp_path / "common/timeline/_common_metadata")
    for part in parts:
        part.unlink()
    names += [str(part.relative_to(tmp_path)) for part in parts]
    names += ["pair.json", "tables/train.parquet", "images/happy/face.png", "elan/nothing.eaf"]
    sockets = []
    before = Path.cwd()
    os.chdir(tmp_path)  # the path of a socket must be short
    for name in names:
        if request.param == "pipe":
            os.mkfifo(name)
        else:
            sockets.append(socket.socket(socket.AF_UNIX))
            sockets[-1].bind(name)
    os.chdir(before)
    yield tmp_path
    for one in sockets:
        one.close()


@pytest.mark.timeout(120)
def test_special_files_are_refused(folder: Path) -> None:
    for line, reason in LINES:
        done = command(*line.split(), folder=folder)
        assert (done.returncode, len(done.stderr.splitlines())) == (2, 1), (line, done.stderr)
        assert reason in done.stderr, line


def test_a_device_is_refused(tmp_path: Path) -> None:
    done = command("run", "/dev/zero", folder=tmp_path)
    assert (done.returncode, done.stderr) == (
        2,
        "fervid: /dev/zero is a pipe, a device or a socket; write its content to a file\n",
    )
