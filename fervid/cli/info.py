"""The command info: versions, devices, codecs and weights."""

from __future__ import annotations

import importlib.metadata
import platform
from typing import Annotated, Any

import typer

from fervid.cli.messages import answer, answer_json
from fervid.cli.options import Command, Json
from fervid.version import __version__

LIBRARIES = ("av", "keras", "numpy", "onnxruntime", "opencv-python", "pandas", "pyarrow", "tensorflow")


commands = typer.Typer()


@commands.command(cls=Command, rich_help_panel="Images and models")
def info(
    json: Json = False,
    benchmark: Annotated[
        bool,
        typer.Option(
            "--benchmark",
            help="Measure how many faces per second each device classifies, and say which one --device auto chooses.",
        ),
    ] = False,
) -> None:
    """Print versions, devices, codecs and weights, for bug reports."""
    measured = _measure() if benchmark else {}  # first: a GPU must be set up before TensorFlow is asked for devices
    values = {**_gather(), **measured}
    if json:
        answer_json(values)
    else:
        answer(*_as_text(values))


def _gather() -> dict[str, Any]:
    """Collect everything as plain values. This loads TensorFlow, which knows the devices."""
    from fervid.emotions.sidecar import SHIPPED, read_sidecar
    from fervid.faces.detectors import describe_detector
    from fervid.faces.embedding import describe_embedder
    from fervid.runtime.machine import total_memory, usable_cores
    from fervid.settings import ScanSettings
    from fervid.video.container import codecs

    sidecar = read_sidecar(SHIPPED)
    detector, detector_sha256 = describe_detector(ScanSettings())
    embedder, embedder_sha256 = describe_embedder()
    return {
        "fervid": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cores": usable_cores(),
        "memory_gb": round(total_memory() / 2**30, 1),
        "libraries": {name: _version(name) for name in LIBRARIES},
        "devices": _devices(),
        "codecs": codecs(),
        "weights": {
            "file": SHIPPED.name,
            "sha256": sidecar.weights_sha256,
            "temperature": sidecar.temperature,
            "widths": list(sidecar.architecture.widths),
            "pairs": list(sidecar.architecture.pairs),
        },
        "detector": {"name": detector, "sha256": detector_sha256},
        "embedder": {"name": embedder, "sha256": embedder_sha256},
    }


def _devices() -> list[str]:
    """What TensorFlow can compute on; empty if it is not installed."""
    if _version("tensorflow") is None:
        return []
    from fervid.emotions.keras_io import devices

    return devices()


def _measure() -> dict[str, Any]:
    """Measure each device."""
    from fervid.emotions.benchmark import benchmark

    choice = benchmark()
    speeds = {device: round(speed) for device, speed in choice.speeds.items()}
    return {"faces_per_second": speeds, "device_auto": {"chooses": choice.device, "because": choice.reason}}


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _as_text(values: dict[str, Any]) -> list[str]:
    """Format the values, one per line."""
    lines = []
    for name, value in values.items():
        if isinstance(value, dict):
            lines += [f"{name} {key:<14} {_shown(inner)}" for key, inner in value.items()]
        else:
            lines.append(f"{name:<24} {_shown(value)}")
    return lines


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return "not installed" if value is None else str(value)
