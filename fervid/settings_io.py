"""Settings from plain values, keyword arguments, TOML files and job files."""

from __future__ import annotations

import dataclasses
import difflib
import glob
import os
import tomllib
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from fervid.errors import ConfigError, InputNotFound
from fervid.runtime.special_files import refuse_name, refuse_special
from fervid.settings import AnalyzeSettings, InputSettings, RunSettings, ScanSettings, TimelineSettings, check, convert

T = TypeVar("T")


@dataclass(frozen=True)
class Job:
    """A job file: everything that ``fervid run`` needs. Relative paths start at the folder of the job file."""

    paths: tuple[str, ...]
    """Video files, folders or glob patterns."""
    out: str
    """``results.parquet``, ``results.csv`` or a folder. ``%Y``, ``%m``, ``%d`` and other codes of strftime are
    replaced by the date."""
    annotate: str | None = None
    """Folder for annotated videos, with dates as in ``out``."""
    report: str | None = None
    """HTML report to write, with dates as in ``out``."""
    metrics: str | None = None
    """File for metrics of the run in the text format of Prometheus, with dates as in ``out``."""
    on_success: tuple[str, ...] = ()
    """Program and arguments to run after a run that ended with code 0. They run without a shell, in the folder of the
    job file."""
    on_failure: tuple[str, ...] = ()
    """The same after a run that ended with another code, but for an interrupt and an output that another run holds."""
    scan: ScanSettings = field(default_factory=ScanSettings)
    """How videos become face tracks."""
    timeline: TimelineSettings = field(default_factory=TimelineSettings)
    """How probabilities become timelines and episodes."""
    inputs: InputSettings = field(default_factory=InputSettings)
    """Which videos are analysed."""
    run: RunSettings = field(default_factory=RunSettings)
    """How the batch runs."""

    def __post_init__(self) -> None:
        check(len(self.paths) > 0, "`paths` must name at least one file, folder or pattern")
        check(all(self.paths), "`paths` must not contain an empty name")
        check(bool(self.out), "`out` must name a file or a folder")
        for name, command in (("on-success", self.on_success), ("on-failure", self.on_failure)):
            check(not command or bool(command[0]), f"{name} must begin with a program")

    @property
    def settings(self) -> AnalyzeSettings:
        """The settings of the analysis."""
        return AnalyzeSettings(self.scan, self.timeline, self.inputs, self.run)


def from_mapping(cls: type[T], values: Mapping[str, Any], where: str = "settings") -> T:
    """Build a settings dataclass from plain values.

    Args:
        cls: The dataclass.
        values: Value by field name. Names may be written with dashes; a nested dataclass takes a mapping.
        where: Where the values come from, such as a file name. It begins the text of an error.

    Returns:
        An instance of ``cls``.

    Raises:
        ConfigError: A key is unknown (the message names the nearest one), a value has the wrong type or is out of
            range, or a required value is missing.
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
    missing = [field.name for field in dataclasses.fields(cls) if field.name not in arguments and _is_required(field)]  # type: ignore[arg-type]
    if missing:
        raise ConfigError(f"{where}: {', '.join(missing)} must be given")
    try:
        return cls(**arguments)
    except ConfigError as error:  # a value out of range
        raise ConfigError(f"{where}: {error}") from error


def override(settings: AnalyzeSettings, values: Mapping[str, Any]) -> AnalyzeSettings:
    """Replace single settings by their name, whichever group they belong to.

    Args:
        settings: The settings to start from.
        values: Value by name, such as ``{"fps": 10, "workers": 4}``. A value of None keeps the setting. A path may be
            given as a string or a path object. ``max_gap`` is that of ``scan``.

    Returns:
        New settings.

    Raises:
        ConfigError: A value has the wrong type or is out of range, or ``settings`` is no AnalyzeSettings.
    """
    settings = convert(AnalyzeSettings, settings, "`settings`")
    given = {name: value for name, value in values.items() if value is not None}
    groups: dict[str, Any] = {}
    for group in dataclasses.fields(AnalyzeSettings):
        part = getattr(settings, group.name)
        own = {field.name for field in dataclasses.fields(part)} & given.keys()
        hints = typing.get_type_hints(type(part))
        changed = {name: convert(hints[name], given.pop(name), f"`{name}`") for name in own}
        groups[group.name] = dataclasses.replace(part, **changed)
    if given:
        raise ConfigError(f"unknown setting: {', '.join(given)}")
    return dataclasses.replace(settings, **groups)


def _is_required(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _convert(kind: Any, value: Any, where: str) -> Any:
    """Check that ``value`` has the type ``kind``, and make dataclasses of mappings."""
    if dataclasses.is_dataclass(kind):
        if not isinstance(value, Mapping):
            raise ConfigError(f"{where} must be a table of settings, not {value!r}")
        return from_mapping(typing.cast(type, kind), value, where)
    return convert(kind, value, where)


def read_job(path: Path, today: datetime | None = None) -> Job:
    """Read a job file, make its relative paths absolute and fill in its dates.

    Args:
        path: The TOML file.
        today: The date for ``%Y`` and the other codes; None uses the current date.

    Returns:
        The job, with absolute paths.

    Raises:
        InputNotFound: The file does not exist.
        ConfigError: The file is not valid TOML, or a value in it is wrong.
    """
    job = from_mapping(Job, read_toml(path), str(path))
    home, today = path.absolute().parent, today or datetime.now()

    def dated(name: str | None) -> str | None:
        if name is None:
            return None
        path = os.path.normpath(home / today.strftime(name))
        refuse_name(Path(path), ConfigError)  # a time with colons, for example
        return path

    out = dated(job.out)
    assert out is not None
    paths = tuple(_absolute(home, name) for name in job.paths)
    run, scan = job.run, job.scan
    if run.model is not None:
        run = dataclasses.replace(run, model=os.path.normpath(home / run.model))
    if scan.detector_weights is not None:
        scan = dataclasses.replace(scan, detector_weights=os.path.normpath(home / scan.detector_weights))
    job = dataclasses.replace(job, paths=paths, out=out, run=run, scan=scan)
    return dataclasses.replace(job, annotate=dated(job.annotate), report=dated(job.report), metrics=dated(job.metrics))


def _absolute(home: Path, name: str) -> str:
    """Make a path or pattern absolute. Wildcards in the name of the folder ``home`` itself are escaped."""
    path = os.path.normpath(home / name)
    if os.path.lexists(path) or os.path.isabs(name) or not glob.has_magic(name):
        return path
    return os.path.normpath(os.path.join(glob.escape(str(home)), name))


def to_mapping(settings: Any) -> dict[str, Any]:
    """Convert a settings dataclass to nested dictionaries that can be written as JSON.

    Args:
        settings: An instance of a dataclass.

    Returns:
        Value by field name.
    """
    return dataclasses.asdict(settings)


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file.

    Args:
        path: The file.

    Returns:
        The content of the file.

    Raises:
        InputNotFound: The file does not exist.
        ConfigError: The file cannot be read or is not valid TOML.
    """
    refuse_special(path, ConfigError)
    try:
        with path.open("rb") as file:
            return tomllib.load(file)
    except FileNotFoundError as error:
        raise InputNotFound(f"no such file: {path}") from error
    except RecursionError as error:
        raise ConfigError(f"{path}: nested too deep") from error
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: {error}") from error
