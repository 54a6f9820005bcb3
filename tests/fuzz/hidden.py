"""Mutated hidden folders: damage what ``analyze`` keeps beside its output, run it again, and look at the tables.

    python -m tests.fuzz.hidden --count 2000 --seed 1

After each mutation the command may heal the damage at once, ask to be run again, or refuse with a line that names what
heals it; that is then done. In the end the tables must equal those of an undisturbed run. No table that can be read
meanwhile may hold anything else, no run may end with a traceback or a code outside the table, or last too long.

In some cases a run that replaces earlier tables is killed first, after it has written how the new ones were composed.
Then the earlier tables may be read too, until the first run.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import re
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fervid.errors import BadResults, InputNotFound
from fervid.results import reader
from fervid.results.store_files import PENDING_FILE
from tests.fuzz.hidden_damage import damage
from tests.support.clips import at_rate, face_clip
from tests.support.comparison import VOLATILE
from tests.support.forked import Ended, fervid_command, forked, record_scans, warm_up
from tests.support.kill_points import KillPoints
from tests.support.paths import LONG_AGO

CODES = {0, 2, 3, 4, 5}
"""Exit codes that a run may have."""

LIMIT = 30.0
"""Seconds that a run may take."""

AGAIN = ("run again", "the next run")
"""What a message says if the same command heals the damage."""

FORMS = ("r.parquet", "r.csv", "r")


@dataclass(frozen=True)
class Given:
    """The inputs, and for each form of the results a complete output with its hidden folder.

    Attributes:
        root: Folder of everything.
        tables: Form → its tables as plain values.
        kills: Form → the kills of a run that replaces earlier tables, from the record of the new ones on.
    """

    root: Path
    tables: dict[str, Any]
    kills: dict[str, list[tuple[int, bool]]]

    @property
    def work(self) -> Path:
        """Folder of the outputs that are damaged."""
        return self.root / "work"


def make_given(root: Path) -> Given:
    """Analyse two clips and two files that are no videos, once for each form."""
    warm_up()
    reader.PAUSE = 0.0
    (root / "in").mkdir(parents=True)

    def make_inputs() -> None:
        for name, count in (("a.mp4", 8), ("b.mp4", 9)):
            face_clip(root / "in" / name, at_rate(4, count))
        (root / "in" / "broken.mp4").write_bytes(b"not a video")
        (root / "in" / "empty.mp4").touch()
        for path in (root / "in").iterdir():
            os.utime(path, (LONG_AGO, LONG_AGO))

    assert forked(make_inputs).code == 0
    (root / "recording").mkdir()
    videos = [root / "in" / name for name in ("a.mp4", "b.mp4")]
    record_scans([fervid_command(*_words(root / "recording" / "r.parquet", *videos))])
    given = Given(root, {}, {})
    for form in FORMS:
        given.work.mkdir()
        assert (ended := _analyze(given.work / form, root / "in" / "a.mp4")).code == 0, ended
        shutil.copytree(given.work, root / f"earlier {form}", symlinks=True)
        with tempfile.TemporaryFile() as log:
            ended = _analyze(given.work / form, root / "in", KillPoints((str(given.work),), log=log.fileno()))
            assert ended.code == 3, ended
            log.seek(0)
            changes = log.read().decode().splitlines()
        start = next(place for place, line in enumerate(changes, 1) if ".pending." in line)
        given.kills[form] = [(place, after) for place in range(start, len(changes) + 1) for after in (False, True)]
        given.tables[form] = plain(given.work / form)
        given.work.rename(root / f"base {form}")
    return given


def _words(out: Path, *videos: Path) -> list[str | Path]:
    return ["analyze", *videos, "--out", out, "--fps", "2", "--quiet"]


def _analyze(out: Path, videos: Path, points: KillPoints | None = None, options: Sequence[str] = ()) -> Ended:
    command = fervid_command(*_words(out, videos), *options)

    def call() -> None:
        if points is not None:
            points.install()
        command()

    return forked(call, LIMIT)


def plain(out: Path) -> Any:
    """The tables and metadata of results as plain values without what differs from run to run, or why there are none.

    Read in a child, because damaged files may crash the reading process.
    """
    read = reader.read_checked(out)
    values = {
        name: table.drop_columns([column for column in VOLATILE if column in table.column_names]).to_pylist()
        for name, table in read.tables.items()
    }
    read.metadata.get("settings", {}).pop("run", None)  # the option that healed it
    if not read.metadata:  # CSV without its store has a note instead, and is not intact
        assert read.notes
        assert not read.is_intact
        raise BadResults("without its metadata")
    return values | {"metadata": read.metadata}


def run(given: Given, number: int, seed: int) -> list[str]:
    """Damage one hidden folder and heal it. Returns what went wrong, as sentences."""
    rng = random.Random(f"{seed} {number}")
    form = rng.choice(FORMS)
    shutil.rmtree(given.work, ignore_errors=True)
    out = given.work / form
    hidden = out / ".fervid" if form == "r" else given.work / f".{form}.fervid"
    killed = rng.random() < 0.4
    shutil.copytree(given.root / f"{'earlier' if killed else 'base'} {form}", given.work, symlinks=True)
    kinds, earlier = [], None
    if killed:
        earlier, (change, after) = plain(out), rng.choice(given.kills[form])
        ended = _analyze(out, given.root / "in", KillPoints((str(given.work),), change, after))
        assert ended.code == -9, ended
        kinds.append(f"killed {'after' if after else 'before'} {change}")
    kinds += [damage(hidden, rng, PENDING_FILE if killed else "") for _ in range(rng.choice([1, 1, 2, 3]))]
    if rng.random() < 0.6:  # the tables are composed again
        shutil.rmtree(out / "timeline", ignore_errors=True) if form == "r" else out.unlink(missing_ok=True)
    found = [*_look(given, form, out, earlier), *_heal(given, form, out)]
    return [f"{number} {form} {', '.join(kinds)}: {text}" for text in found]


def _look(given: Given, form: str, out: Path, earlier: Any) -> Iterator[str]:
    """Read the tables and ask for the state before anything is healed. Yields what is wrong."""
    if _state(given, form, out, earlier) == "other":
        yield "the tables that can be read are others"
    ended = forked(fervid_command("status", out, "--json"), LIMIT)
    if ended.code not in CODES or "Traceback" in ended.output or "internal error" in ended.output:
        yield f"status ended with {ended.code}: {ended.output[-400:]}"


def _heal(given: Given, form: str, out: Path) -> Iterator[str]:
    """Run until the tables are complete, as the messages say. Yields what is wrong."""
    options: tuple[str, ...] = ()
    for _ in range(4):
        ended = _analyze(out, given.root / "in", options=options)
        if ended.code not in CODES or "Traceback" in ended.output or "internal error" in ended.output:
            yield f"ended with {ended.code}: {ended.output[-400:]}"
            return
        state = _state(given, form, out)
        if state == "other":
            yield f"the tables differ after a run that ended with {ended.code}: {ended.output[-300:]}"
            return
        if state == "equal" and ended.code == 3:
            return
        said = ended.output.replace("\n", " ")
        if "--overwrite" in said:
            options = ("--overwrite",)
        elif found := re.search(r"cannot \w+ (\S+): .*remove it", said):
            with contextlib.suppress(OSError):
                place = Path(found[1])
                shutil.rmtree(place) if place.is_dir() and not place.is_symlink() else place.unlink()
        elif "choose another output" in said:
            return
        elif not any(text in said for text in AGAIN):
            yield f"not healed, and the message does not say how: {ended.code} {ended.output[-400:]}"
            return
    yield f"not healed after four runs, the last of which said: {ended.output[-400:]}"


def _state(given: Given, form: str, out: Path, earlier: Any = None) -> str:
    """``equal``, ``other``, or ``refused`` (also for a video whose failure the manifest admits). ``earlier`` is equal
    too.
    """

    def look() -> None:
        try:
            found = plain(out)
        except (BadResults, InputNotFound):
            raise SystemExit(1) from None
        if found in (given.tables[form], earlier):
            return
        lost = {row["video"] for row in found["videos"] if "run again" in (row["message"] or "")}
        expected = given.tables[form]
        is_admitted = bool(lost) and all(
            found[name] == [row for row in expected[name] if row["video"] not in lost]
            for name in expected.keys() - {"videos", "metadata"}
        )
        raise SystemExit(1 if is_admitted else 2)

    return {0: "equal", 1: "refused"}.get(forked(look).code or 0, "other")


def main() -> int:
    """Damage and heal, and print what went wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    started, faults, kinds = time.monotonic(), 0, Counter[str]()
    with tempfile.TemporaryDirectory() as folder:
        given = make_given(Path(folder).resolve())
        for number in range(options.first, options.first + options.count):
            for text in run(given, number, options.seed):
                faults += 1
                kind = re.sub(r"[0-9a-f]{8,}|/\S+", "", text.split(": ", 1)[1])[:80]
                kinds[kind] += 1
                if kinds[kind] <= 3:
                    print(text, flush=True)
    print(f"{options.count} damaged hidden folders, {faults} faults, {time.monotonic() - started:.0f} s")
    return 1 if faults else 0


if __name__ == "__main__":
    raise SystemExit(main())
