"""Mutated results: change cells, metadata and files of real results, and run every command that reads results.

    python -m tests.fuzz.results --count 10000 --seed 0

Each mutation is read, reported, exported in every format, merged, corrected, and now and then annotated and grouped by
person, in this process, with a time limit. Only errors of fervid with an exit code of the table may leave a command,
and no file may appear outside the folder of the outputs.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import random
import shutil
import signal
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

import fervid
from fervid.errors import BadCorrections, BadResults, FervidError, UsageError
from fervid.results.schema import SMALL, small_path
from tests.support.paths import SAMPLES

CODES = {2, 3, 4, 5, 75}
"""Exit codes that an error may have."""

LIMIT = 30
"""Seconds that one command may take."""

VALUES: tuple[Any, ...] = (None, 0, -1, 1, 7, 2**31 - 1, -(2**31), 1e9, -1e9, 1e300, 1e-300, float("nan"), float("inf"))
TEXTS = (
    "",
    "x",
    "joy",
    "..",
    "/etc/passwd",
    "../../a.mp4",
    "\x1b[2J",
    "a\nb",
    "'=1",
    "ü" * 200,
    "\u202e",
    "nan",
    "-5",
    "1e999",
)
JSON = (
    "[]",
    "3",
    "null",
    "{",
    '{"scan": 3}',
    '{"scan": {"fps": -5}}',
    "[" * 5000 + "]" * 5000,
    '["/"]',
    '{"timeline": []}',
)


class TooSlow(BaseException):
    """A command ran longer than LIMIT."""


def make_source(folder: Path) -> Path:
    """Analyse two short samples, and write the results twice, as Parquet and as CSV."""
    source = folder / "source"
    source.mkdir(parents=True)
    for form in ("r.parquet", "s.csv"):
        fervid.analyze([SAMPLES / "cut.mp4", SAMPLES / "leaving.mp4"], source / form, fps=2, workers=1)
    return source


def mutate(source: Path, target: Path, rng: random.Random) -> Path:
    """Copy the results to ``target`` and change something. Returns the path of the changed results."""
    shutil.copytree(source, target, ignore=shutil.ignore_patterns(".*"))
    out = target / rng.choice(["r.parquet", "s.csv"])
    for _ in range(rng.choice([1, 1, 1, 2, 5])):
        changes: list[Callable[[Path, random.Random], None]] = [_small_cell, _small_cell, _bytes, _exchange]
        changes += (
            [_parquet_cell, _parquet_cell, _parquet_cell, _metadata, _rows] if out.suffix == ".parquet" else [_csv]
        )
        with contextlib.suppress(pa.ArrowException, OSError, ValueError, IndexError, OverflowError):
            rng.choice(changes)(out, rng)
    return out


def _parquet_cell(out: Path, rng: random.Random) -> None:
    table = pq.read_table(out)
    name = rng.choice(table.column_names)
    field = table.schema.field(name)
    values = table[name].to_pylist()
    text = pa.types.is_string(field.type) or pa.types.is_dictionary(field.type)
    for _ in range(rng.choice([1, 1, 3])):
        values[rng.randrange(len(values))] = rng.choice(TEXTS if text else VALUES)
    kind = rng.choice([field.type, field.type, pa.string() if text else pa.float64()])
    changed = pa.array(values, pa.string()).cast(kind) if text else pa.array(values, kind)
    pq.write_table(table.set_column(table.column_names.index(name), name, changed), out)


def _rows(out: Path, rng: random.Random) -> None:
    table = pq.read_table(out)
    order = list(range(len(table)))
    what = rng.randrange(4)
    if what == 0:
        rng.shuffle(order)
    elif what == 1:
        order = [row for row in order if rng.random() > 0.1]
    elif what == 2:
        order += rng.sample(order, 3)
    else:
        table = table.drop_columns([rng.choice(table.column_names)])
    pq.write_table(table.take(pa.array(order)), out)


def _metadata(out: Path, rng: random.Random) -> None:
    table = pq.read_table(out)
    found = dict(table.schema.metadata)
    key = rng.choice([key for key in found if key.startswith(b"fervid.")])
    value = rng.choice([*JSON, *TEXTS]).encode()
    if rng.random() < 0.2:
        del found[key]
    else:
        found[key] = rng.choice([value, b"\xff\xfe", found[key][: len(found[key]) // 2]])
    pq.write_table(table.replace_schema_metadata(found), out)


def _csv_table(path: Path, rng: random.Random) -> None:
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    what = rng.randrange(8)
    if what == 0 and len(rows) > 1:
        rows.append(rng.choice(rows[1:]))
    elif what == 1 and len(rows) > 1:
        del rows[rng.randrange(1, len(rows))]
    elif what == 2:
        column = rng.randrange(len(rows[0]))
        rows = [row[:column] + row[column + 1 :] for row in rows]
    elif what == 3:
        rows[0][rng.randrange(len(rows[0]))] = rng.choice(TEXTS)
    else:
        row = rng.randrange(1, len(rows))
        rows[row][rng.randrange(len(rows[row]))] = rng.choice([*TEXTS, *map(str, VALUES)])
    separator = rng.choice([",", ",", ",", ";"])
    with path.open("w", newline="", encoding=rng.choice(["utf-8", "utf-8", "utf-8-sig", "utf-16"])) as file:
        csv.writer(file, delimiter=separator).writerows(rows)


def _csv(out: Path, rng: random.Random) -> None:
    _csv_table(out, rng)


def _small_cell(out: Path, rng: random.Random) -> None:
    _csv_table(small_path(out, rng.choice(list(SMALL))), rng)


def _bytes(out: Path, rng: random.Random) -> None:
    path = rng.choice([out, *(small_path(out, name) for name in SMALL)])
    data = bytearray(path.read_bytes())
    if rng.random() < 0.3:
        data = data[: rng.randrange(len(data))]
    for _ in range(rng.choice([1, 4, 30])):
        data[rng.randrange(len(data))] = rng.randrange(256)
    path.write_bytes(data)


def _exchange(out: Path, rng: random.Random) -> None:
    paths = [out, *(small_path(out, name) for name in SMALL)]
    first, second = rng.sample(paths, 2)
    if rng.random() < 0.5:
        first.write_bytes(second.read_bytes())
    else:
        first.unlink()


@contextlib.contextmanager
def limited(seconds: int) -> Iterator[None]:
    """Raise TooSlow after so many seconds of processor time, or ten times as many by the clock."""

    def stop(*_: object) -> None:
        raise TooSlow

    timers = ((signal.SIGPROF, signal.ITIMER_PROF, seconds), (signal.SIGALRM, signal.ITIMER_REAL, 10 * seconds))
    before = [signal.signal(number, stop) for number, _, _ in timers]
    for _, timer, limit in timers:
        signal.setitimer(timer, limit)
    try:
        yield
    finally:
        for (number, timer, _), handler in zip(timers, before, strict=True):
            signal.setitimer(timer, 0)
            signal.signal(number, handler)


def commands(results: Path, out: Path, number: int) -> dict[str, Callable[[], object]]:
    """The calls to try, by name."""
    corrections = out / "c.csv"
    corrections.write_text("video,face_id,action,start,end,value\ncut.mp4,0,name,,,Ann\n", encoding="utf-8")
    calls: dict[str, Callable[[], object]] = {
        "read": lambda: fervid.read_results(results),
        "report": lambda: fervid.write_report(results, out / "r.html", videos=SAMPLES, thumbnails=number % 20 == 0),
        "elan": lambda: fervid.export_results(results, "elan", out / "elan", videos=SAMPLES),
        "pyfeat": lambda: fervid.export_results(results, "pyfeat", out / "p.csv"),
        "openface": lambda: fervid.export_results(results, "openface", out / "openface"),
        "bids": lambda: fervid.export_results(results, "bids", out / "bids", overwrite=True),
        "csv": lambda: fervid.export_results(results, "csv", out / "t.csv"),
        "merge": lambda: fervid.merge_results([results], out / "m.parquet"),
    }
    if hasattr(fervid, "correct"):
        calls["correct"] = lambda: fervid.correct(results, corrections, out / "corrected.parquet")
    if number % 20 == 0:
        calls["participants"] = lambda: _name_persons(results, out)
    if number % 40 == 0:
        blur = number % 80 == 0
        calls["annotate"] = lambda: fervid.annotate_videos(results, out / "annotated", videos=SAMPLES, blur=blur)
    return calls


def _name_persons(results: Path, out: Path) -> None:
    """Group persons, and apply the file that this gives, unless it is said that these results cannot be corrected."""
    done = fervid.find_participants(results, out / "people.csv", videos=SAMPLES, sheet=out / "people.html")
    if done.exit_code != 4:
        with contextlib.suppress(BadResults, UsageError):
            fervid.correct(results, out / "c.csv", out / "before.parquet")
            try:
                fervid.correct(results, out / "people.csv", out / "named.parquet")
            except BadCorrections as error:
                raise AssertionError(f"the corrections do not fit: {error}") from error


def run(source: Path, number: int, seed: int, folder: Path) -> list[str]:
    """Try all commands on one mutation. Returns what went wrong, as sentences."""
    work = folder / f"{number}"
    results = mutate(source, work / "in", random.Random(f"{seed} {number}"))
    (work / "out").mkdir()
    given = {path: path.read_bytes() for path in (work / "in").iterdir()}
    wrong = []
    for name, call in commands(results, work / "out", number).items():
        try:
            with limited(LIMIT):
                call()
        except TooSlow:
            wrong.append(f"{number} {name}: longer than {LIMIT} s")
        except FervidError as error:
            if error.exit_code not in CODES or "\n" in str(error):
                wrong.append(f"{number} {name}: {type(error).__name__} {error.exit_code} {error}")
        except Exception as error:
            place = traceback.extract_tb(error.__traceback__)[-1]
            own = next(
                frame for frame in reversed(traceback.extract_tb(error.__traceback__)) if "fervid/" in frame.filename
            )
            wrong.append(
                f"{number} {name}: {type(error).__name__} {error!s:.80} {own.filename}:{own.lineno} {place.name}"
            )
    kept = {path: path.read_bytes() for path in (work / "in").iterdir() if path.is_file()}
    if kept != given:
        wrong.append(f"{number}: the inputs changed")
    if {path.name for path in work.iterdir()} != {"in", "out"}:
        wrong.append(f"{number}: files outside the output folder")
    shutil.rmtree(work)
    return wrong


def main() -> int:
    """Run the mutations and print what went wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    started, failures, kinds = time.monotonic(), 0, Counter[str]()
    with tempfile.TemporaryDirectory() as name:
        source = make_source(Path(name))
        for number in range(options.first, options.first + options.count):
            for text in run(source, number, options.seed, Path(name)):
                failures += 1
                kinds[text.split(": ", 1)[1].split(" /")[-1]] += 1
                if kinds[text.split(": ", 1)[1].split(" /")[-1]] <= 3:
                    print(text, flush=True)
    print(f"{options.count} mutated results, {failures} faults, {time.monotonic() - started:.0f} s")
    return 1 if failures else 0


if __name__ == "__main__":
    raise SystemExit(main())
