"""Who may import whom: the table of rooms, read from the source, and what a fresh process loads."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT

PACKAGE = ROOT / "fervid"

BASIC = {"errors", "types", "config", "opencv"}
"""What every room may import."""

ROOMS: dict[str, set[str]] = {
    "version": set(),
    "errors": set(),
    "types": set(),
    "opencv": {"errors"},
    "config": {"errors", "types"},
    "discover": BASIC,
    "fingerprint": BASIC,
    "writer": BASIC,
    "grid": set(),
    "video": BASIC | {"writer", "grid"},
    "sound": BASIC | {"video"},
    "course": BASIC,
    "canvas": BASIC,
    "lettering": BASIC | {"canvas"},
    "strip": BASIC | {"canvas", "course", "lettering", "palette"},
    "overlay": BASIC | {"canvas", "course", "lettering", "palette", "strip"},
    "onnxgraph": set(),
    "packaged": BASIC,
    "sessions": BASIC,
    "boxes": BASIC,
    "gate": BASIC,
    "retinaface": BASIC | {"boxes", "gate", "onnxgraph", "packaged", "sessions"},
    "detect": BASIC | {"boxes", "packaged", "retinaface"},
    "adaptive": BASIC | {"boxes", "grid", "retinaface"},
    "cuts": BASIC,
    "appearance": BASIC,
    "persons": BASIC | {"appearance", "onnxgraph", "packaged", "sessions"},
    "spool": BASIC,
    "track": BASIC | {"spool"},
    "crop": BASIC,
    "observe": BASIC | {"adaptive", "appearance", "boxes", "crop", "detect", "grid", "persons", "retinaface"},
    "assemble": BASIC | {"crop", "cuts", "observe", "persons", "spool", "track"},
    "survey": BASIC | {"video"},
    "tasks": BASIC | {"crop", "grid", "spool"},
    "spans": BASIC | {"grid", "survey", "tasks"},
    "scan": BASIC | {"video", "detect", "persons", "crop", "spool", "observe", "assemble", "tasks"},
    "sidecar": BASIC | {"crop"},
    "work": BASIC | {"fingerprint", "observe", "scan", "spans", "tasks"},
    "pieces": BASIC | {"tasks"},
    "machine": BASIC,
    "engines": BASIC | {"machine", "pieces", "tasks", "work"},
    "store": BASIC,
    "folding": BASIC | {"sidecar"},
    "network": BASIC | {"folding", "sidecar"},
    "model": BASIC | {"crop", "folding", "network", "sidecar"},
    "onnxnetwork": BASIC | {"crop", "onnxgraph", "sessions", "sidecar"},
    "inference": BASIC | {"crop", "folding", "machine", "model", "onnxnetwork", "sidecar"},
    "classify": BASIC | {"inference"},
    "preload": BASIC | {"inference", "classify"},
    "cluster": BASIC | {"engines", "machine", "persons", "version"},
    "ray_engine": BASIC | {"cluster", "engines", "machine", "pieces", "tasks", "version", "work"},
    "ray_scoring": BASIC | {"classify", "cluster", "engines", "inference", "preload", "sidecar"},
    "timeline": BASIC,
    "episodes": BASIC | {"timeline"},
    "summarize": BASIC | {"timeline"},
    "tables": BASIC | {"store"},
    "parts": BASIC | {"store", "tables"},
    "finish": BASIC | {"tasks", "timeline", "episodes", "summarize", "tables"},
    "merge": BASIC | {"parts", "store", "tables"},
    "annotate": BASIC
    | {
        "canvas",
        "course",
        "discover",
        "fingerprint",
        "naming",
        "overlay",
        "sound",
        "tables",
        "version",
        "video",
        "writer",
    },
    "palette": set(),
    "naming": set(),
    "gaps": BASIC,
    "sources": BASIC | {"discover"},
    "report": BASIC
    | {"fingerprint", "gaps", "grid", "palette", "report", "sources", "survey", "tables", "version", "video"},
    "exports": BASIC | {"naming", "tables", "sources", "version"},
    "plot": BASIC | {"tables", "gaps", "palette"},
    "stills": BASIC | {"discover", "detect", "crop", "inference", "classify", "tables"},
    "batch": BASIC
    | {"discover", "detect", "fingerprint", "persons", "tasks", "engines", "ray_engine", "ray_scoring", "sidecar"}
    | {"preload", "classify", "finish", "parts", "store", "tables", "version"},
    "info": BASIC | {"detect", "machine", "persons", "model", "sidecar", "version", "video"},
    "display": BASIC | {"annotate", "batch", "discover", "report", "tables"},
    "__init__": {"types", "version", "batch", "plot", "tables"},
}
"""Room by room, the rooms that it may import. ``cli`` may import everything."""

TRAINING = BASIC | {"crop", "sidecar", "network", "model", "inference", "classify", "tables", "discover", "training"}
"""The same for ``training``; its ``framing`` measures with the detector, its ``sface`` reads the embedder's weights."""

OWNERS = {
    "av": {"video", "sound", "survey", "writer"},
    "PIL": {"lettering", "strip"},
    "cv2": {"opencv"},
    "pyarrow": {"tables", "parts"},
    "pympi": {"exports"},
    "jinja2": {"report"},
    "onnx": {"training"},
    "onnxruntime": {"sessions"},
    "ray": {"cluster", "ray_engine", "ray_scoring"},
    "keras": {"network", "training"},
    "h5py": {"folding"},
    "tensorflow": {"model", "training"},
}
"""Libraries that only these rooms import."""

ALONE = {"errors", "types", "timeline", "episodes", "summarize"}
"""Rooms that need nothing beyond the standard library and numpy."""

FILES = sorted(PACKAGE.rglob("*.py"))


def imported(path: Path) -> Iterator[str]:
    """Full dotted names of the modules that a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name} imports relatively"
            module = node.module or ""
            yield from (f"{module}.{alias.name}" for alias in node.names) if module == "fervid" else [module]


def room_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return parts[0]


def rooms_imported(path: Path) -> set[str]:
    return {name.split(".")[1] for name in imported(path) if name.startswith("fervid.")}


def test_this_test_sees_imports(tmp_path: Path) -> None:
    path = tmp_path / "x.py"
    path.write_text(
        "import fervid.scan\nfrom fervid import track\nfrom fervid.training.dataset import read\n"
        "def f():\n    import keras.layers\n"
    )
    assert rooms_imported(path) == {"scan", "track", "training"}
    assert "keras.layers" in set(imported(path))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_a_room_imports_only_what_it_may(path: Path) -> None:
    room, found = room_of(path), rooms_imported(path)
    if room == "training":
        extra = {"framing": {"detect"}, "sface": {"persons"}}.get(path.stem, set())
        assert found <= TRAINING | extra
    elif room != "cli":
        assert room in ROOMS, f"fervid/{room}.py has no row in the table of rooms"
        assert found <= ROOMS[room]


@pytest.mark.parametrize("library", OWNERS)
def test_a_library_is_imported_by_its_owners_only(library: str) -> None:
    users = {room_of(path) for path in FILES if library in {name.split(".")[0] for name in imported(path)}}
    assert users <= OWNERS[library]
    assert users


@pytest.mark.parametrize("room", sorted(ALONE))
def test_plain_rooms_need_numpy_only(room: str) -> None:
    names = {name.split(".")[0] for name in imported(PACKAGE / f"{room}.py")}
    assert names - {"numpy", "fervid"} <= sys.stdlib_module_names


def test_imports_form_no_circle() -> None:
    graph = {room: {name for name in allowed if name != room} for room, allowed in ROOMS.items()}
    while leaves := {room for room, allowed in graph.items() if not allowed & graph.keys()}:
        graph = {room: allowed for room, allowed in graph.items() if room not in leaves}
    assert not graph


# what a fresh process loads

HELP = """
import runpy
sys.argv = ["fervid", {arguments}]
try:
    runpy.run_module("fervid.cli", run_name="__main__")
except SystemExit as stop:
    assert stop.code in (0, None), stop.code
"""

SCAN = """
from pathlib import Path
from fervid.config import ScanSettings
from fervid.crop import FER2013_GEOMETRY
from fervid.scan import scan
import tempfile
with tempfile.TemporaryDirectory() as folder:
    assert scan(Path("sample_videos/cut.mp4"), "0", ScanSettings(fps=1), FER2013_GEOMETRY, Path(folder) / "0").tracks
"""


def loaded(code: str) -> tuple[set[str], str]:
    """Top-level modules that a fresh interpreter holds after ``code``, and what it printed."""
    script = f"import sys\n{code}\nprint('LOADED', *{{name.split('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    printed, names = done.stdout.rsplit("LOADED", 1)
    return set(names.split()), printed


@pytest.mark.parametrize("module", ["fervid", "fervid.cli", "fervid.scan", "fervid.engines", "fervid.batch"])
def test_importing_loads_no_tensorflow(module: str) -> None:
    names, _ = loaded(f"import {module}")
    assert "fervid" in names
    assert not names & {"tensorflow", "keras"}


def test_importing_the_package_is_light() -> None:
    names, _ = loaded("import fervid; fervid.EMOTIONS; fervid.__version__; dir(fervid)")
    assert not names & {"tensorflow", "keras", "cv2", "av", "pandas", "pyarrow", "scipy", "onnxruntime"}


@pytest.mark.parametrize("arguments", ["'--help'", "'--version'", "'analyze', '--help'"])
def test_help_loads_nothing_heavy(arguments: str) -> None:
    names, printed = loaded(HELP.format(arguments=arguments))
    assert "fervid" in printed
    assert not names & {"tensorflow", "keras", "cv2", "av", "pandas", "pyarrow", "scipy", "onnxruntime"}


def test_a_run_that_finds_nothing_new_loads_little(tmp_path: Path) -> None:
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    time.sleep(3)  # a file that has just been written is read again, since its time stamp may lie
    line = f"'analyze', {str(tmp_path)!r}, '--out', {str(tmp_path / 'r.parquet')!r}, '--quiet'"
    code = HELP.format(arguments=line).replace("(0, None)", "(4,)")
    first, _ = loaded(code)
    assert "av" in first
    again, _ = loaded(code)
    assert "pyarrow" in again
    assert not again & {"tensorflow", "keras", "av", "pandas", "scipy", "onnxruntime"}


def test_scanning_a_video_loads_no_tensorflow() -> None:
    names, _ = loaded(SCAN)
    assert {"av", "cv2", "onnxruntime"} <= names
    assert not names & {"tensorflow", "keras", "pyarrow"}


def test_nothing_is_left_in_the_home_folder(tmp_path: Path) -> None:
    """onnxruntime would write an identity there, by which it reports to its maker."""
    code = "from fervid import config, detect; detect.create_detector(config.ScanSettings())"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("XDG_")}
    subprocess.run([sys.executable, "-c", code], env=environment | {"HOME": str(tmp_path)}, cwd=ROOT, check=True)
    assert list(tmp_path.iterdir()) == []
