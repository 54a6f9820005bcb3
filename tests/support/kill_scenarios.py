"""Commands that are killed at each of their changes of the file system, and what must hold afterwards.

python -m tests.support.kill_scenarios                                # every command, every change
python -m tests.support.kill_scenarios "merge csv" --every 10         # one command, every tenth kill
python -m tests.support.kill_scenarios train --first 40               # goes on after a run that was stopped

A kill that leaves the same files as the one before it is left out, such as the one after an fsync.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import importlib
import io
import json
import os
import re
import shutil
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow.parquet as pq

from fervid.emotions.keras_file import read_arrays
from fervid.emotions.sidecar import read_onnx, read_sidecar
from fervid.errors import BadResults, BadWeights, InputNotFound
from fervid.results import reader
from fervid.results.schema import RECORD
from tests.support.clips import at_rate, face_clip
from tests.support.comparison import VOLATILE
from tests.support.encoding import encoded_quickly
from tests.support.forked import Ended, fervid_command, forked, record_scans, warm_up
from tests.support.kill_points import NEW, KillPoints
from tests.support.paths import LONG_AGO, SAMPLES

ANSWERS = ("run it again", "run again", "run the command that wrote it", "analyse again", "merge again")
"""A refusal names what to do: it contains one of these."""

DATES = rb"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d[-+]\d\d:\d\d)?"
"""Dates in ELAN documents and reports, which differ from run to run."""

LIMIT = 600.0
"""Seconds after which a command counts as endless. A training takes many of them on a busy machine."""

SILENCE = 60.0
"""Seconds after which a line says how far the work is."""

Words = tuple[str, ...]

Kill = tuple[int, bool]
"""The number of a change, and whether the process ends after it rather than before it."""


@dataclass(frozen=True)
class Scenario:
    """One command.

    Attributes:
        before: Command lines that make the state before it. ``{one}`` is the first video, ``{videos}`` both, ``{in}``
            their folder, ``{out}`` the folder of the outputs. ``copy FOLDER FOLDER`` and ``delete FILE`` are done here.
        command: The command line.
        results: Results that the command writes, in the folder of the outputs; empty: none.
        working: Start of the names of files that change many times while the command works, such as a checkpoint.
        weights: Weights that the command writes, in the folder of the outputs; empty: none.
        prepare: Called before each command, in its process.
    """

    before: tuple[Words, ...]
    command: Words
    results: str = ""
    working: str = "/"
    weights: str = ""
    prepare: Callable[[], object] = lambda: None


def _without_traces() -> None:
    """Have TensorFlow compute step by step. Tracing the functions takes longer than a training of two steps."""
    importlib.import_module("tensorflow").config.run_functions_eagerly(True)


def _analyze(videos: str, out: str) -> Words:
    return ("analyze", videos, "--out", f"{{out}}/{out}", "--fps", "2", "--quiet")


_BOTH = _analyze("{in}", "r.parquet")
_FIRST, _SECOND = _analyze("{one}", "a.parquet"), _analyze("{two}", "b.parquet")


def _export(to: str, out: str, source: str = "r.parquet") -> Scenario:
    before = _BOTH if source == "r.parquet" else _FIRST
    videos = ("--videos", "{in}") if to == "elan" else ()
    command = ("export", f"{{out}}/{source}", "--to", to, "--out", f"{{out}}/{out}", *videos)
    return Scenario((before,), command)


def _merge(out: str) -> Words:
    return ("merge", "{out}/a.parquet", "{out}/b.parquet", "--out", f"{{out}}/{out}")


def _prune(out: str) -> Scenario:
    """The first video is deleted after both were analysed."""
    copied = ("copy", "{in}", "{out}/videos")
    before = (copied, _analyze("{out}/videos", out), ("delete", "{out}/videos/one.mp4"))
    return Scenario(before, ("prune", f"{{out}}/{out}", "--quiet"), out)


_TRAIN = ("train", "--data", "{in}/faces.csv", "--out", "{out}/m.keras", "--recipe", "{in}/recipe.toml")


def _train(before: tuple[Words, ...], command: Words) -> Scenario:
    working = "m2/" if before else "m/"
    return Scenario(before, command, working=working, weights="m.keras", prepare=_without_traces)


FORMS = {"parquet": "r.parquet", "csv": "r.csv", "folder": "r"}

SCENARIOS: dict[str, Scenario] = {
    **{f"analyze {form}": Scenario((), _analyze("{in}", out), out) for form, out in FORMS.items()},
    **{
        f"analyze {form} again": Scenario((_analyze("{one}", out),), _analyze("{in}", out), out)
        for form, out in FORMS.items()
    },
    "analyze with report": Scenario((), (*_BOTH, "--report", "{out}/r.html"), "r.parquet"),
    "analyze overwrite": Scenario((_BOTH,), (*_analyze("{one}", "r.parquet"), "--overwrite"), "r.parquet"),
    "analyze with metrics": Scenario((), (*_BOTH, "--metrics", "{out}/m.prom"), "r.parquet"),
    **{f"prune {form}": _prune(out) for form, out in FORMS.items()},
    "annotate": Scenario((_BOTH,), ("annotate", "{out}/r.parquet", "--videos", "{in}", "--out", "{out}/annotated")),
    "report": Scenario((_BOTH,), ("report", "{out}/r.parquet", "--videos", "{in}", "--out", "{out}/r.html")),
    "export elan": _export("elan", "elan"),
    "export elan one": _export("elan", "a.eaf", "a.parquet"),
    "export openface": _export("openface", "openface"),
    "export openface one": _export("openface", "o.csv", "a.parquet"),
    "export pyfeat": _export("pyfeat", "p.csv"),
    "export csv": _export("csv", "t.csv"),
    "export textgrid": _export("textgrid", "textgrid"),
    "export boris": _export("boris", "b.boris"),
    "export excel": _export("excel", "x.xlsx"),
    "export bids": _export("bids", "bids"),
    **{f"merge {form}": Scenario((_FIRST, _SECOND), _merge(out), out) for form, out in FORMS.items()},
    **{
        f"merge {form} again": Scenario(
            (_FIRST, _SECOND, ("merge", "{out}/a.parquet", "--out", f"{{out}}/{out}")), _merge(out), out
        )
        for form, out in FORMS.items()
    },
    "correct": Scenario(
        (_BOTH,),
        ("correct", "{out}/r.parquet", "--corrections", "{in}/corrections.csv", "--out", "{out}/c.parquet"),
        "c.parquet",
    ),
    "classify": Scenario((), ("classify", "{pictures}", "--out", "{out}/stills.csv")),
    "train": _train((), _TRAIN),
    "train again": _train((_TRAIN,), (*_TRAIN, "--run", "{out}/m2", "--seed", "1")),
    "evaluate": Scenario((), ("evaluate", "--data", "{in}/faces.csv", "--split", "all", "--out", "{out}/evaluation")),
}

RECIPE = """
epochs = 2
batch_size = 64
warmup = 1
holdout = 0.3
select = "last"
mixed_precision = false
votes = 0

[architecture]
widths = [4, 8]
pairs = [1]
"""
"""A training of seconds: two epochs of one step. It writes the best weights twice, and the checkpoint and the metrics
after each epoch.
"""

Content = dict[str, Any]
"""Path below the folder of the outputs → what the file holds; None: only that it is there."""


@dataclass(eq=False)
class KillMatrix:
    """A scenario, its state before and after an undisturbed run, and the kills.

    Args:
        scenario: The scenario.
        places: Name → path, for the command lines.
        root: A folder of its own.
    """

    scenario: Scenario
    places: Mapping[str, str]
    root: Path

    def __post_init__(self) -> None:
        self.out, self.base, self.temporary = (self.root / name for name in ("out", "base", "tmp"))
        for folder in (self.out, self.temporary):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
        for words in self.scenario.before:
            self._prepare(words)
        shutil.rmtree(self.base, ignore_errors=True)
        shutil.copytree(self.out, self.base, symlinks=True)
        self.old = self._snapshot()
        self.old_tables, self.old_weights = self._tables(), self._weights()
        self.points, self.kills = self._points()
        self.new = self._snapshot()
        self.new_tables, self.new_weights = self._tables(), self._weights()

    def faults(self, number: int, after: bool) -> list[str]:
        """Kill at one point, look at what is there, run again and look again. Returns what is wrong, as sentences."""
        self._reset()
        killed = self._run(self.scenario.command, KillPoints(self._roots, number, after))
        name = f"{'after' if after else 'before'} {self.points[number - 1]}"
        found = [] if killed.code == -9 else [f"ended with {killed.code}: {killed.output[-300:]}"]
        found += self._mixtures()
        again = self._run(self.scenario.command)
        if again.code != 0:
            found.append(f"the rerun ended with {again.code}: {again.output[-300:]}")
        found += [f"after the rerun: {text}" for text in _differences(self._snapshot(), self.new)]
        if self._tables() != self.new_tables:
            found.append("after the rerun the results are not those of an undisturbed run")
        if self._weights() != self.new_weights:
            found.append("after the rerun the weights are not those of an undisturbed run")
        left = [path.name for path in self.temporary.iterdir()]
        found += [f"left in the folder for temporary files: {left}"] if left else []
        return [f"{name}: {text}" for text in found]

    @property
    def _roots(self) -> tuple[str, ...]:
        return str(self.out), str(self.temporary)

    def _reset(self) -> None:
        for folder in (self.out, self.temporary):
            shutil.rmtree(folder)
        shutil.copytree(self.base, self.out, symlinks=True)
        self.temporary.mkdir()

    def _prepare(self, words: Words) -> None:
        name, first, *others = (word.format_map({**self.places, "out": str(self.out)}) for word in words)
        if name == "copy":
            shutil.copytree(first, others[0])
        elif name == "delete":
            os.unlink(first)
        else:
            self._must(self._run(words))

    def _run(self, words: Words, points: KillPoints | None = None) -> Ended:
        places = {**self.places, "out": str(self.out)}
        command = fervid_command(*(word.format_map(places) for word in words))

        def call() -> None:
            tempfile.tempdir = str(self.temporary)
            self.scenario.prepare()
            if points is not None:
                points.install()
            command()

        return forked(call, LIMIT)

    def _must(self, ended: Ended) -> None:
        assert ended.code == 0, ended

    def _points(self) -> tuple[list[str], list[Kill]]:
        """The changes of an undisturbed run, and the kills that differ."""
        with tempfile.TemporaryFile() as log:
            self._must(self._run(self.scenario.command, KillPoints(self._roots, log=log.fileno(), compare=True)))
            log.seek(0)
            lines = log.read().decode().replace(f"{self.root}/", "").splitlines()
        return [line for line in lines if not line.startswith(NEW)], kills_of(lines)

    def _mixtures(self) -> Iterator[str]:
        """What can be read after a kill and is neither old nor new."""
        for name, content in self._snapshot().items():
            is_free = content is None or name.startswith(self.scenario.working)
            if not is_free and content not in (self.old.get(name), self.new.get(name)):
                yield f"{name} is neither the old nor the new file"
        tables = self._tables()
        if isinstance(tables, str):
            place = self.out / self.scenario.results
            was_absent = isinstance(self.old_tables, str) and self.old_tables.startswith("no such")
            is_absent = not place.exists() or (place.is_dir() and not any(place.iterdir()))
            if not (was_absent and is_absent) and not any(answer in tables for answer in ANSWERS):
                yield f"a refusal that does not say what to do: {tables}"
        elif tables not in (self.old_tables, self.new_tables):
            yield "the results are a mixture"
        for kind, weights in self._weights().items():
            if weights not in (None, self.old_weights[kind], self.new_weights[kind]):
                yield f"the {kind} weights are a mixture"

    def _snapshot(self) -> Content:
        found: Content = {}
        for path in sorted(self.out.rglob("*")):
            name = path.relative_to(self.out)
            hidden = any(part.startswith(".") for part in name.parts)
            if hidden or not path.is_dir():
                found[str(name)] = None if hidden else content(path)
        return found

    def _tables(self) -> Any:
        """The results as plain values, or why they cannot be read."""
        if not self.scenario.results:
            return None
        try:
            read = reader.read_checked(self.out / self.scenario.results)
        except (BadResults, InputNotFound) as error:
            return str(error)
        plain = {name: read.tables[name].drop_columns(_volatile(read.tables[name])).to_pylist() for name in read.tables}
        return {"intact": read.is_intact, **plain}

    def _weights(self) -> dict[str, Any]:
        """What can be read of the weights, by kind; None: they are refused."""
        if not self.scenario.weights:
            return {}
        path = self.out / self.scenario.weights
        found: dict[str, Any] = {"keras": None, "onnx": None}
        with contextlib.suppress(BadWeights):
            sidecar = read_sidecar(path)
            about = sidecar.temperature, sidecar.training
            with contextlib.suppress(BadWeights):
                arrays = read_arrays(path, sidecar)
                found["keras"] = about, {name: [array.tobytes() for array in arrays[name]] for name in arrays}
            with contextlib.suppress(BadWeights):
                found["onnx"] = about, read_onnx(path, sidecar)
        return found


def _volatile(table: Any) -> list[str]:
    return [name for name in VOLATILE if name in table.column_names]


def _differences(one: Content, other: Content) -> Iterator[str]:
    for name in sorted(one.keys() | other.keys()):
        if name not in other:
            yield f"{name} is left"
        elif name not in one:
            yield f"{name} is missing"
        elif one[name] != other[name]:
            yield f"{name} is not that of an undisturbed run"


def content(path: Path) -> Any:
    """What a file holds, without what differs from run to run."""
    data = path.read_bytes()
    if data.startswith(b"PAR1"):
        table = pq.read_table(io.BytesIO(data))
        metadata = {key: value for key, value in (table.schema.metadata or {}).items() if RECORD.encode() not in key}
        return table.drop_columns(_volatile(table)).to_pylist(), metadata
    if zipfile.is_zipfile(path):
        return _members(path)
    if path.name.endswith("run.json"):  # what it says is of one run, but it is complete
        return sorted(json.loads(data))
    if path.suffix == ".prom":  # all but the numbers
        return re.sub(rb"(?m)(?<= )[\d.e+]+$", b"", data)
    if path.suffix == ".json":  # the weights have other hashes, because their archives have dates
        return {name: value for name, value in json.loads(data).items() if not name.endswith("sha256")}
    if path.suffix == ".csv":
        rows = list(csv.DictReader(io.StringIO(data.decode())))
        return [{name: value for name, value in row.items() if name not in VOLATILE} for row in rows]
    return re.sub(DATES, b"", data)


def _members(path: Path) -> Any:
    """Weights or a checkpoint: every array, and nothing that has a date or a duration."""
    found: dict[str, Any] = {}
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            if name.endswith(".h5"):
                with h5py.File(io.BytesIO(archive.read(name))) as file:
                    file.visititems(
                        lambda key, item: found.update({key: item[()].tobytes()} if hasattr(item, "shape") else {})
                    )
            elif name not in ("metadata.json", "history.npy", "docProps/core.xml"):
                found[name] = archive.read(name)
    return found


def kills_of(lines: Sequence[str]) -> list[Kill]:
    """The kills that leave other files than the kill before them, from the log of KillPoints."""
    named = [line.removeprefix(NEW) for line in lines if line.startswith(NEW)]
    return [(int(name.rstrip("+")), name.endswith("+")) for name in named]


def make_places(root: Path) -> dict[str, str]:
    """Write the inputs, warm this process up, and record the scans of the videos."""
    warm_up()
    reader.PAUSE = 0.0
    videos = root / "in"
    videos.mkdir(parents=True)
    clips = {name: videos / f"{name}.mp4" for name in ("one", "two")}

    def make_clips() -> None:
        for count, path in enumerate(clips.values(), 8):
            face_clip(path, at_rate(4, count))
            os.utime(path, (LONG_AGO, LONG_AGO))

    assert forked(make_clips).code == 0
    header = "video,face_id,action,start,end,value"
    (videos / "corrections.csv").write_text(f"{header}\none.mp4,0,name,,,Ann\n", encoding="utf-8")
    (videos / "recipe.toml").write_text(RECIPE, encoding="utf-8")
    random = np.random.default_rng(0)
    lines = [f"{row % 7},{' '.join(map(str, random.integers(0, 256, 48 * 48)))},Training" for row in range(140)]
    (videos / "faces.csv").write_text("\n".join(["emotion,pixels,Usage", *lines]), encoding="utf-8")
    places = {name: str(path) for name, path in clips.items()}
    places |= {"in": str(videos), "pictures": str(SAMPLES / "pictures" / "annotated.jpg")}
    (root / "recording").mkdir()
    record_scans([fervid_command(*(word.format_map({**places, "out": str(root / "recording")}) for word in _BOTH))])
    return places


@dataclass
class Tally:
    """Counts kills and faults, and says from time to time how far the work is."""

    kills: int = 0
    faults: int = 0

    def run(self, name: str, matrix: KillMatrix, kills: Sequence[Kill]) -> None:
        """Kill a scenario.

        Args:
            name: Its name.
            matrix: The scenario and its undisturbed run.
            kills: The kills.
        """
        started = said = time.monotonic()
        found = 0
        for place, (number, after) in enumerate(kills):
            if time.monotonic() - said > SILENCE:
                said = time.monotonic()
                print(f"{name}: {place} of {len(kills)} kills, {found} faults; next: --first {number}", flush=True)
            for text in matrix.faults(number, after):
                found += 1
                print(f"{name}: {text}", flush=True)
        self.kills, self.faults = self.kills + len(kills), self.faults + found
        seconds = time.monotonic() - started
        changes = f"{len(matrix.points)} changes, {len(kills)} kills, {found} faults"
        print(f"{name}: {changes}, {seconds:.1f} s", flush=True)


def main() -> int:
    """Kill, and print what is wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenarios", nargs="*", choices=[[], *SCENARIOS], help="default: all")
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--first", type=int, default=1, help="first change of the first of the commands")
    options = parser.parse_args()
    tally = Tally()
    with tempfile.TemporaryDirectory() as folder, encoded_quickly():
        root = Path(folder).resolve()
        places = make_places(root)
        for place, name in enumerate(options.scenarios or SCENARIOS):
            if SCENARIOS[name].weights:  # they come last, because every later child is larger
                for module in ("fervid.training.train", "matplotlib.backends.backend_agg", "onnx"):
                    importlib.import_module(module)
            matrix = KillMatrix(SCENARIOS[name], places, root)
            kills = [kill for kill in matrix.kills if place or kill[0] >= options.first]
            tally.run(name, matrix, kills[place * 3 % options.every :: options.every])
    times = os.times()
    seconds = times.user + times.system + times.children_user + times.children_system
    print(f"{tally.kills} kills, {tally.faults} faults, {seconds:.0f} s of processor time")
    return 1 if tally.faults else 0


if __name__ == "__main__":
    raise SystemExit(main())
