"""Metrics of the last run in the text format of Prometheus, for the textfile collector of node_exporter.

Format: https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from fervid.batch.run_record import RunRecord
from fervid.errors import OutputError, UsageError, printable
from fervid.files.atomic import write_text_atomically
from fervid.results.store_files import read_text

SUFFIX = ".prom"
"""Ending of the files that node_exporter reads."""

FIRST_LINE = "# HELP fervid_"
"""How every file begins that this module wrote."""

_SUCCESS = "fervid_last_success_timestamp_seconds"


def check_metrics(path: Path) -> None:
    """Check that metrics can be written, before a run begins.

    Args:
        path: The file.

    Raises:
        UsageError: It does not end in ``.prom``.
        OutputError: Its folder is missing, or fervid did not write what is there.
    """
    if path.suffix != SUFFIX:
        raise UsageError(f"`metrics` must end in {SUFFIX}, because node_exporter reads no other files: {path}")
    if not path.parent.is_dir():
        raise OutputError(f"cannot write {path}: its folder does not exist")
    if os.path.lexists(path) and not _before(path).startswith(FIRST_LINE):
        raise OutputError(f"cannot write {path}: fervid did not write what is there; move it away")


def write_metrics(path: Path, out: Path, record: RunRecord) -> None:
    """Write the metrics of a run. They replace those of the run before when they are complete.

    Args:
        path: The file.
        out: The results, which the label ``out`` names.
        record: What the run did.

    Raises:
        UsageError: See ``check_metrics``.
        OutputError: The file cannot be written.
    """
    check_metrics(path)
    write_text_atomically(path, metrics(os.path.abspath(out), record, _last_success(path)))


def metrics(out: str, record: RunRecord, last_success: float | None = None) -> str:
    """Describe a run.

    Args:
        out: The results.
        record: What the run did.
        last_success: When a run last ended with code 0, in seconds since 1970; used if this one did not.

    Returns:
        The text. The numbers of videos are left out if the run ended before it had found its inputs.
    """
    finished = datetime.fromisoformat(record.finished).timestamp()
    success = finished if record.exit_code == 0 else last_success
    videos, new = _split(record.videos)
    families: list[tuple[str, str, Mapping[str, float | None]]] = [
        ("fervid_last_run_timestamp_seconds", "When the last run ended, in seconds since 1970.", {"": finished}),
        (_SUCCESS, "When a run last ended with exit code 0, in seconds since 1970.", {"": success}),
        ("fervid_last_run_exit_code", "Exit code of the last run.", {"": record.exit_code}),
        ("fervid_last_run_duration_seconds", "How long the last run took.", {"": record.seconds}),
        ("fervid_videos", "Inputs of the last run, by status.", videos),
        ("fervid_last_run_new_videos", "Inputs that the last run analysed, by status.", new),
        (
            "fervid_last_run_video_seconds",
            "Length of the videos that the last run analysed.",
            {"": record.video_seconds if new else None},
        ),
        ("fervid_build_info", "Version of fervid, as a label.", {f'version="{_escaped(record.fervid)}"': 1}),
    ]
    lines = []
    for name, text, samples in families:
        known = {labels: value for labels, value in samples.items() if value is not None}
        if known:
            lines += [f"# HELP {name} {text}", f"# TYPE {name} gauge"]
            own = f'out="{_escaped(out)}"'
            lines += [f"{name}{{{','.join(filter(None, (own, labels)))}}} {value}" for labels, value in known.items()]
    return "\n".join(lines) + "\n"


def _split(videos: Mapping[str, int]) -> tuple[dict[str, float | None], dict[str, float | None]]:
    """Labels → number, of all inputs and of those that the run analysed; empty if it found none."""
    if not videos["total"]:
        return {}, {}
    statuses = ("ok", "no_face", "failed", "skipped")
    every: dict[str, float | None] = {f'status="{status}"': videos[status] for status in statuses}
    return every, {'status="analysed"': videos["new"], 'status="failed"': videos["new_failed"]}


def _escaped(text: str) -> str:
    """A label value without control characters, in which backslashes and quotes are escaped."""
    return printable(text).replace("\\", "\\\\").replace('"', '\\"')


def _before(path: Path) -> str:
    """What the file holds; empty if it cannot be read."""
    with contextlib.suppress(OSError):
        if path.stat().st_size < 1 << 20:
            return read_text(path)
    return ""


def _last_success(path: Path) -> float | None:
    """When a run last ended with code 0, as the file says."""
    found = re.search(rf"(?m)^{_SUCCESS}\{{.*\}} ([0-9.e+]+)$", _before(path))
    with contextlib.suppress(ValueError):
        return float(found[1]) if found else None
    return None
