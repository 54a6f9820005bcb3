"""Which package may import which, read from the source, and what a fresh process loads."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.imports import FILES, PACKAGE, imported, modules_imported
from tests.support.paths import LONG_AGO, ROOT

LEVELS = (
    {"errors", "types", "colors", "version"},
    {"settings", "runtime"},
    {"files", "timeline", "settings_io"},
    {"video"},
    {"faces"},
    {"scan", "emotions"},
    {"results", "charts"},
    {"batch", "participants", "annotate", "report", "review", "export", "studies", "training", "images", "pipeline"},
    {"cli", "api", "products", "__init__", "__main__"},
)
"""A package imports only packages of the levels before its own."""

BESIDE = {
    ("charts", "results"),
    ("batch", "pipeline"),
    ("__main__", "cli"),
    ("__init__", "api"),
    ("cli", "api"),
    ("api", "products"),
}
"""The exceptions: the first of a pair may import the second, of the same level."""

OWNERS = {
    "av": {"video"},
    "pyarrow": {"results"},
    "keras": {"emotions/keras_network", "emotions/keras_io", "training"},
    "tensorflow": {"emotions/keras_network", "emotions/keras_io", "training"},
    "ray": {"batch/engines"},
    "cv2": {"runtime/opencv"},
    "onnxruntime": {"runtime/onnx_session"},
    "onnx": {"training"},
    "h5py": {"emotions/keras_file"},
    "PIL": {"annotate", "video/image_sequences"},
    "pympi": {"export"},
    "filelock": {"files"},
    "jinja2": {"charts"},
    "starlette": {"review"},
    "uvicorn": {"review"},
    "typer": {"cli"},
}
"""Libraries that only these packages or modules import."""


def module_of(path: Path) -> str:
    return path.relative_to(PACKAGE).with_suffix("").as_posix().removesuffix("/__init__")


def package_of(module: str) -> str:
    return module.split("/")[0]


def level_of(package: str) -> int:
    (level,) = (number for number, packages in enumerate(LEVELS) if package in packages)
    return level


def test_this_test_sees_imports(tmp_path: Path) -> None:
    path = tmp_path / "x.py"
    path.write_text(
        "import fervid.scan.scan\nfrom fervid.faces import tracking\nfrom fervid.training.dataset import read\n"
        "def f():\n    import keras.layers\n"
    )
    assert modules_imported(path) == {"scan/scan", "faces/tracking", "training/dataset"}
    assert "keras.layers" in imported(path)


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_a_package_imports_only_packages_of_lower_levels(path: Path) -> None:
    own = package_of(module_of(path))
    for module in modules_imported(path):
        package = package_of(module)
        allowed = package == own or level_of(package) < level_of(own) or (own, package) in BESIDE
        assert allowed, f"{module_of(path)} imports {module}"


@pytest.mark.parametrize("library", OWNERS)
def test_a_library_is_imported_by_its_owners_only(library: str) -> None:
    users = [module_of(path) for path in FILES if library in {name.split(".")[0] for name in imported(path)}]
    assert users
    for user in users:
        assert any(f"{user}/".startswith(f"{owner}/") for owner in OWNERS[library]), f"{user} imports {library}"


@pytest.mark.parametrize("path", sorted((ROOT / "tests").rglob("*.py")), ids=lambda path: path.relative_to(ROOT).stem)
def test_no_test_module_imports_another(path: Path) -> None:
    for name in imported(path):
        assert not any(part.startswith("test_") for part in name.split(".")), f"{path.name} imports {name}"
        assert not name.startswith("tests.conftest"), f"{path.name} imports {name}"


def test_timeline_needs_numpy_only() -> None:
    for path in (PACKAGE / "timeline").glob("*.py"):
        names = {name.split(".")[0] for name in imported(path)}
        assert names - {"numpy", "fervid"} <= sys.stdlib_module_names, path.name


def test_modules_form_no_circle() -> None:
    graph = {module_of(path): modules_imported(path) for path in FILES}
    while leaves := {module for module, needed in graph.items() if not needed & graph.keys()}:
        graph = {module: needed for module, needed in graph.items() if module not in leaves}
    assert not graph


def test_the_top_folder_can_be_read_at_a_glance() -> None:
    assert len(list(PACKAGE.glob("*.py"))) <= 12


# what a fresh process loads

HELP = """
import runpy
sys.argv = ["fervid", {arguments}]
try:
    runpy.run_module("fervid", run_name="__main__")
except SystemExit as stop:
    assert stop.code in (0, None), stop.code
"""

SCAN = """
from pathlib import Path
from fervid.settings import ScanSettings
from fervid.faces.crop import FER2013_GEOMETRY
from fervid.scan.scan import scan_video
import tempfile
with tempfile.TemporaryDirectory() as folder:
    crops, settings = Path(folder) / "0", ScanSettings(fps=1)
    assert scan_video(Path("sample_videos/cut.mp4"), "0", settings, FER2013_GEOMETRY, crops).tracks
"""


def loaded(code: str) -> tuple[set[str], str]:
    """Top-level modules that a fresh interpreter holds after ``code``, and what it printed."""
    script = f"import sys\n{code}\nprint('LOADED', *{{name.split('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    printed, names = done.stdout.rsplit("LOADED", 1)
    return set(names.split()), printed


def test_importing_loads_no_tensorflow() -> None:
    modules = ("fervid", "fervid.cli.main", "fervid.scan.scan", "fervid.batch.engines.local", "fervid.batch.run")
    names, _ = loaded("import " + ", ".join(modules))
    assert "fervid" in names
    assert not names & {"tensorflow", "keras"}


def test_importing_the_package_is_light() -> None:
    names, _ = loaded("import fervid; fervid.EMOTIONS; fervid.__version__; dir(fervid)")
    assert not names & {"tensorflow", "keras", "cv2", "av", "pandas", "pyarrow", "scipy", "onnxruntime"}
    names, _ = loaded("import fervid.__main__")  # nothing that takes time, before signals are handled
    assert not names & {"numpy", "typer", "tqdm", "dataclasses", "json"}


def test_help_loads_nothing_heavy() -> None:
    lines = ("'--help'", "'--version'", "'analyze', '--help'")
    names, printed = loaded("print('NEXT')".join(HELP.format(arguments=line) for line in lines))
    assert all("fervid" in page for page in printed.split("NEXT"))
    assert not names & {"tensorflow", "keras", "cv2", "av", "pandas", "pyarrow", "scipy", "onnxruntime"}


def test_a_run_that_finds_nothing_new_loads_little(tmp_path: Path) -> None:
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    os.utime(tmp_path / "broken.mp4", (LONG_AGO, LONG_AGO))
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


def test_classifying_on_a_cpu_loads_neither_keras_nor_h5py() -> None:
    names, _ = loaded("from fervid.emotions.classifier import load_classifier; load_classifier(None, 'cpu')")
    assert "onnxruntime" in names
    assert not names & {"tensorflow", "keras", "h5py", "onnx"}


def test_nothing_is_left_in_the_home_folder(tmp_path: Path) -> None:
    """onnxruntime would write an identity there, by which it reports to its maker."""
    code = "from fervid import settings; from fervid.faces import detectors; "
    code += "detectors.create_detector(settings.ScanSettings())"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("XDG_")}
    subprocess.run([sys.executable, "-c", code], env=environment | {"HOME": str(tmp_path)}, cwd=ROOT, check=True)
    assert list(tmp_path.iterdir()) == []
