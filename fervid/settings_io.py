"""Settings from plain values, TOML files and job files."""

from __future__ import annotations

import dataclasses
import difflib
import glob
import os
import tomllib
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, TypeVar

from fervid.errors import ConfigError, InputNotFound
from fervid.settings import AnalyzeSettings, InputSettings, RunSettings, ScanSettings, TimelineSettings, check

T = TypeVar("T")


@dataclass(frozen=True)
class Job:
    """A job file: everything that ``fervid run`` needs. Relative paths start at the file's own folder."""

    paths: tuple[str, ...]
    """Video files, folders or glob patterns."""
    out: str
    """``results.parquet``, ``results.csv`` or a folder; ``%Y``, ``%m``, ``%d`` and the like stand for the date."""
    annotate: str | None = None
    """Folder for annotated videos; dates as in ``out``."""
    report: str | None = None
    """HTML report to write; dates as in ``out``."""
    scan: ScanSettings = field(default_factory=ScanSettings)
    timeline: TimelineSettings = field(default_factory=TimelineSettings)
    inputs: InputSettings = field(default_factory=InputSettings)
    run: RunSettings = field(default_factory=RunSettings)

    def __post_init__(self) -> None:
        check(len(self.paths) > 0, "paths must name at least one file, folder or pattern")
        check(all(self.paths), "paths must not hold an empty name")
        check(bool(self.out), "out must name a file or a folder")

    @property
    def settings(self) -> AnalyzeSettings:
        """The settings of the analysis alone."""
        return AnalyzeSettings(self.scan, self.timeline, self.inputs, self.run)


def from_mapping(cls: type[T], values: Mapping[str, Any], where: str = "settings") -> T:
    """Build the settings dataclass ``cls`` from plain values, nested mappings included.

    Keys may be spelt with dashes. Raises ConfigError for an unknown key (naming the nearest known one)
    and for a value of the wrong kind.
    """
    hints = typing.get_type_hints(cls)
    known = {field.name for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    arguments: dict[str, Any] = {}
    for key, value in values.items():
        name = key.replace("-", "_")
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.0)
            raise ConfigError(f"{where}: unknown key {key!r}; did you mean {near[0]!r}?")
        arguments[name] = _convert(hints[name], value, f"{where}: {key}")
    missing = [field.name for field in dataclasses.fields(cls) if field.name not in arguments and _required(field)]  # type: ignore[arg-type]
    if missing:
        raise ConfigError(f"{where}: {', '.join(missing)} must be given")
    return cls(**arguments)


def _required(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _convert(kind: Any, value: Any, where: str) -> Any:
    """``value`` as ``kind``, or ConfigError. Integers pass as floats; nothing else is coerced."""
    if dataclasses.is_dataclass(kind):
        if not isinstance(value, Mapping):
            raise ConfigError(f"{where} must be a table of settings, not {value!r}")
        return from_mapping(typing.cast(type, kind), value, where)
    origin, choices = typing.get_origin(kind), typing.get_args(kind)
    if origin is Literal:
        if value not in choices:
            raise ConfigError(f"{where} must be one of {', '.join(map(str, choices))}, not {value!r}")
        return value
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in choices:
            return None
        (inner,) = (choice for choice in choices if choice is not type(None))
        return _convert(inner, value, where)
    if origin is dict:
        if not isinstance(value, Mapping):
            raise ConfigError(f"{where} must be a table, not {value!r}")
        return dict(value)
    if kind is float and type(value) is int:
        return float(value)
    if origin in (tuple, list):
        if not isinstance(value, (list, tuple)):
            raise ConfigError(f"{where} must be a list, not {value!r}")
        return origin(_convert(choices[0], item, where) for item in value)
    if type(value) is not kind:
        raise ConfigError(f"{where} must be {kind.__name__}, not {value!r}")
    return value


def read_job(path: Path, today: datetime | None = None) -> Job:
    """A job file, its relative paths made absolute and its dates filled in; InputNotFound or ConfigError.

    ``today``: the date that ``%Y`` and the like stand for, the present one where None.
    """
    job = from_mapping(Job, read_toml(path), str(path))
    home, today = path.absolute().parent, today or datetime.now()

    def dated(name: str | None) -> str | None:
        return None if name is None else os.path.normpath(home / today.strftime(name))

    out = dated(job.out)
    assert out is not None
    paths = tuple(_placed(home, name) for name in job.paths)
    run, scan = job.run, job.scan
    if run.model is not None:
        run = dataclasses.replace(run, model=os.path.normpath(home / run.model))
    if scan.detector_weights is not None:
        scan = dataclasses.replace(scan, detector_weights=os.path.normpath(home / scan.detector_weights))
    annotate, report = dated(job.annotate), dated(job.report)
    return dataclasses.replace(job, paths=paths, out=out, annotate=annotate, report=report, run=run, scan=scan)


def _placed(home: Path, name: str) -> str:
    """A path or pattern relative to ``home``, whose own name is no pattern."""
    path = os.path.normpath(home / name)
    if os.path.lexists(path) or os.path.isabs(name) or not glob.has_magic(name):
        return path
    return os.path.normpath(os.path.join(glob.escape(str(home)), name))


def to_mapping(settings: Any) -> dict[str, Any]:
    """The settings dataclass as plain nested dicts, ready for JSON."""
    return dataclasses.asdict(settings)


def read_toml(path: Path) -> dict[str, Any]:
    """The content of a TOML file; InputNotFound or ConfigError where it cannot be read."""
    try:
        with path.open("rb") as file:
            return tomllib.load(file)
    except FileNotFoundError as error:
        raise InputNotFound(f"no such file: {path}") from error
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: {error}") from error
