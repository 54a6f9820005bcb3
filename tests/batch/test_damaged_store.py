"""Damage in the hidden folder heals: the next run gives the tables of an undisturbed run.

Members: parts that are empty, truncated, folders, links, pipes or those of another video or of other settings, whose
metadata are missing, changed, of other types or nested too deep, or whose rows are changed; failures that are empty,
changed, nested, of other types, folders or pipes; index, composed and identity that are changed or JSON of other types;
an unfinished file that is no file. ``python -m tests.fuzz.hidden`` tries thousands.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import fervid
from fervid.errors import BadResults, OutputError, UsageError
from fervid.results.reader import read_results
from fervid.settings import AnalyzeSettings, ScanSettings
from tests.support.comparison import assert_identical
from tests.support.paths import SAMPLES
from tests.support.replay import replaying

FAST = AnalyzeSettings(scan=ScanSettings(fps=2))
DEEP = "[" * 5000 + "]" * 5000


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of two videos and a broken file."""
    root = tmp_path_factory.mktemp("whole")
    (root / "in").mkdir()
    for name in ("cut.mp4", "rotated.mp4"):
        shutil.copy(SAMPLES / name, root / "in" / name)
    (root / "in" / "broken.mp4").write_bytes(b"not a video")
    for path in (root / "in").iterdir():  # the index holds no file that changed just now
        os.utime(path, (10**9, 10**9))
    with replaying():
        fervid.analyze(root / "in", root / "r.parquet", FAST)
    return root


def store_of(root: Path) -> Path:
    return root / ".r.parquet.fervid"


def parts(root: Path) -> list[Path]:
    return sorted(store_of(root).glob("parts-*/*.parquet"))


def with_metadata(root: Path, text: str) -> None:
    table = pq.read_table(parts(root)[0])
    pq.write_table(table.replace_schema_metadata({"fervid.rows": text}), parts(root)[0])


def replaced_by_folder(path: Path) -> None:
    path.unlink()
    (path / "inner").mkdir(parents=True)


def replaced_by_link(path: Path) -> None:
    path.unlink()
    path.symlink_to("/dev/zero")


def replaced_by_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def failure(root: Path) -> Path:
    (found,) = store_of(root).glob("parts-*/*.failed.json")
    return found


def reworded(path: Path, old: str, new: str) -> None:
    assert path.read_text().count(old) == 1
    path.write_text(path.read_text().replace(old, new))


def exchange(root: Path) -> None:
    """Each of two files gets the fingerprint of the other."""
    with replaying():
        fervid.analyze(root / "in", root / "r.parquet", FAST)  # adds the paths of this copy to the index
    index = store_of(root) / "index.jsonl"
    entries = [json.loads(line) for line in index.read_text().splitlines() if line]
    entries = [entry for entry in entries if Path(entry["path"]).is_relative_to(root)]
    first, second = (entry for entry in entries if not entry["path"].endswith("broken.mp4"))
    first["video_id"], second["video_id"] = second["video_id"], first["video_id"]
    index.write_text("".join(json.dumps(entry) + "\n" for entry in entries))


def with_other_figure(root: Path) -> None:
    data = pq.read_metadata(parts(root)[0]).metadata[b"fervid.rows"].decode()
    changed = json.loads(data)
    changed["summary"][0]["mean_happy"] = 0.5
    with_metadata(root, json.dumps(changed))


DAMAGE: dict[str, Callable[[Path], object]] = {
    "empty part": lambda root: parts(root)[0].write_bytes(b""),
    "truncated part": lambda root: parts(root)[0].write_bytes(parts(root)[0].read_bytes()[:500]),
    "part of another video": lambda root: shutil.copy(parts(root)[1], parts(root)[0]),
    "part that is a folder": lambda root: replaced_by_folder(parts(root)[0]),
    "part that is a link": lambda root: replaced_by_link(parts(root)[0]),
    "part that is a pipe": lambda root: replaced_by_pipe(parts(root)[0]),
    "part without rows": lambda root: with_metadata(root, "{}"),
    "part with a list": lambda root: with_metadata(root, "[1]"),
    "part with nested rows": lambda root: with_metadata(root, DEEP),
    "part with other rows": lambda root: with_metadata(root, json.dumps({"videos": [{"video_id": 3, "status": "ok"}]})),
    "part without columns": lambda root: pq.write_table(pq.read_table(parts(root)[0]).select(["time"]), parts(root)[0]),
    "empty failure": lambda root: failure(root).write_text(""),
    "nested failure": lambda root: failure(root).write_text(DEEP),
    "failure of numbers": lambda root: failure(root).write_text('{"error": 1, "message": {}}'),
    "failure that is a folder": lambda root: replaced_by_folder(failure(root)),
    "failure that is a pipe": lambda root: replaced_by_pipe(failure(root)),
    "nested index": lambda root: (store_of(root) / "index.jsonl").write_text(DEEP),
    "index of other types": lambda root: (store_of(root) / "index.jsonl").write_text('3\n{"path": 1}\nnull\n'),
    "index that is a pipe": lambda root: replaced_by_pipe(store_of(root) / "index.jsonl"),
    "record that is a pipe": lambda root: replaced_by_pipe(store_of(root) / "composed.json"),
    "index of exchanged files": exchange,
    "part with another figure": lambda root: with_other_figure(root),
    "part without a digest": lambda root: pq.write_table(pq.read_table(parts(root)[0]), parts(root)[0]),
    "failure of another file": lambda root: failure(root).rename(parts(root)[0].with_suffix(".failed.json")),
    "failure with another text": lambda root: reworded(failure(root), "not a video", "a video!!!!"),
    "unfinished file that is a folder": lambda root: (parts(root)[0].parent / ".a.partial.parquet").mkdir(),
    "nested record": lambda root: (store_of(root) / "composed.json").write_text(DEEP),
    "record of other types": lambda root: (store_of(root) / "composed.json").write_text('{"inputs": {"a": []}}'),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_the_next_run_heals_it(whole: Path, tmp_path: Path, damage: str) -> None:
    root = tmp_path / "copy"
    shutil.copytree(whole, root, symlinks=True)
    DAMAGE[damage](root)
    (root / "r.parquet").unlink()  # so that the tables are composed again
    with replaying():
        for _ in range(2):
            report = fervid.analyze(root / "in", root / "r.parquet", FAST)
    assert report.exit_code == 3
    assert_identical(read_results(root / "r.parquet"), read_results(whole / "r.parquet"))


@pytest.mark.parametrize("text", ["", "null", "[]", "3", DEEP])
def test_a_damaged_identity_is_refused_and_overwrite_heals_it(whole: Path, tmp_path: Path, text: str) -> None:
    root = tmp_path / "copy"
    shutil.copytree(whole, root)
    (store_of(root) / "identity.json").write_text(text)
    with replaying():
        with pytest.raises(UsageError, match="`overwrite`"):
            fervid.analyze(root / "in", root / "r.parquet", FAST)
        fervid.analyze(root / "in", root / "r.parquet", FAST, overwrite=True)
    assert_identical(read_results(root / "r.parquet"), read_results(whole / "r.parquet"))


def other_probability(part: Path) -> None:
    """A valid part with the same metadata, in which one probability is another."""
    table = pq.read_table(part)
    metadata = pq.read_metadata(part).metadata
    values = table["happy"].to_pylist()
    values[next(row for row, one in enumerate(values) if one is not None)] = 0.125
    column = pa.array(values, table.schema.field("happy").type)
    with pq.ParquetWriter(part, table.schema) as writer:
        writer.write_table(table.set_column(table.column_names.index("happy"), "happy", column))
        writer.add_key_value_metadata({key: text for key, text in metadata.items() if key.startswith(b"fervid.s")})


def other_bit(part: Path) -> None:
    """Flip a bit of the rows, which lie before the footer. Some bytes there, such as statistics, are never read."""
    data, before = part.read_bytes(), pq.read_table(part)
    footer = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    for place in range(footer // 3, footer):
        part.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        try:
            if not pq.read_table(part).equals(before):
                return
        except (OSError, pa.ArrowException):
            return


@pytest.mark.parametrize("change", [other_probability, other_bit])
def test_changed_rows_are_noticed_when_the_tables_are_composed(
    whole: Path, tmp_path: Path, change: Callable[[Path], None]
) -> None:
    """All changed parts are removed at once, so that the next run heals all of them."""
    root = tmp_path / "copy"
    shutil.copytree(whole, root)
    for part in parts(root):
        change(part)
    (root / "r.parquet").unlink()
    with replaying():
        with pytest.raises(BadResults, match="the next run analyses its video again"):
            fervid.analyze(root / "in", root / "r.parquet", FAST)
        fervid.analyze(root / "in", root / "r.parquet", FAST)
    assert_identical(read_results(root / "r.parquet"), read_results(whole / "r.parquet"))


def test_a_part_made_with_other_settings_is_not_taken(whole: Path, tmp_path: Path) -> None:
    root = tmp_path / "copy"
    shutil.copytree(whole, root)
    with replaying():
        other = replace(FAST, scan=ScanSettings(fps=1))
        fervid.analyze(root / "in", root / "other.parquet", other)
        for part in (root / ".other.parquet.fervid").glob("parts-*/*.parquet"):
            shutil.copy(part, parts(root)[0].with_name(part.name))
        (root / "r.parquet").unlink()
        for _ in range(2):  # the copied videos are not in the index, so the first run notices it too late
            fervid.analyze(root / "in", root / "r.parquet", FAST)
    assert_identical(read_results(root / "r.parquet"), read_results(whole / "r.parquet"))


def test_changed_provenance_of_csv_is_not_believed(whole: Path, tmp_path: Path) -> None:
    out = tmp_path / "r.csv"
    with replaying():
        fervid.analyze(whole / "in", out, FAST)
        before = read_results(out)
        record = tmp_path / ".r.csv.fervid" / "composed.json"
        text = record.read_text()
        record.write_text(text.replace('\\"fps\\": 2', '\\"fps\\": 9'))
        assert record.read_text() != text
        changed = read_results(out)
        assert changed.metadata == {}
        assert not changed.is_intact
        fervid.analyze(whole / "in", out, FAST)
    assert read_results(out).metadata == before.metadata


def test_a_link_in_place_of_the_index_is_not_written_to(whole: Path, tmp_path: Path) -> None:
    root = tmp_path / "copy"
    shutil.copytree(whole, root)
    (tmp_path / "mine").write_text("kept")
    (store_of(root) / "index.jsonl").unlink()
    (store_of(root) / "index.jsonl").symlink_to(tmp_path / "mine")
    with replaying():
        fervid.analyze(root / "in", root / "r.parquet", FAST)
    assert (tmp_path / "mine").read_text() == "kept"


def test_an_unfinished_run_behind_a_link_is_not_finished(whole: Path, tmp_path: Path) -> None:
    root = tmp_path / "copy"
    shutil.copytree(whole, root)
    (root / "r.parquet").unlink()
    workspace = tmp_path / "elsewhere" / "abc"
    (workspace / "new").mkdir(parents=True)
    (workspace / "old").mkdir()
    (workspace / "new" / "timeline").write_text("kept")
    (store_of(root) / "scratch").symlink_to(tmp_path / "elsewhere")
    with replaying(), pytest.raises(OutputError, match="remove it"):
        fervid.analyze(root / "in", root / "r.parquet", FAST)
    assert (workspace / "new" / "timeline").read_text() == "kept"
    assert not (root / "r.parquet").exists()


def test_the_failure_of_a_file_that_is_now_read_may_be_a_folder(whole: Path, tmp_path: Path) -> None:
    root = tmp_path / "copy"
    shutil.copytree(whole, root)
    part = parts(root)[0]
    part.unlink()
    (part.with_suffix(".failed.json") / "inner").mkdir(parents=True)
    (root / "r.parquet").unlink()
    with replaying():
        fervid.analyze(root / "in", root / "r.parquet", FAST, retry_failed=True)
    assert_identical(read_results(root / "r.parquet"), read_results(whole / "r.parquet"))


@pytest.mark.parametrize("replace_by", [replaced_by_folder, replaced_by_link, replaced_by_pipe])
def test_a_lock_that_is_not_a_file_is_refused(whole: Path, tmp_path: Path, replace_by: Callable[[Path], None]) -> None:
    root = tmp_path / "copy"
    shutil.copytree(whole, root)
    replace_by(store_of(root) / "lock")
    with replaying(), pytest.raises(OutputError, match="it is not a file; remove it"):
        fervid.analyze(root / "in", root / "r.parquet", FAST)


@pytest.mark.parametrize("replace_by", [replaced_by_folder, replaced_by_link, replaced_by_pipe])
def test_overwrite_heals_an_identity_that_is_not_a_file(
    whole: Path, tmp_path: Path, replace_by: Callable[[Path], None]
) -> None:
    root = tmp_path / "copy"
    shutil.copytree(whole, root)
    replace_by(store_of(root) / "identity.json")
    with replaying():
        fervid.analyze(root / "in", root / "r.parquet", FAST, overwrite=True)
        assert fervid.analyze(root / "in", root / "r.parquet", FAST).exit_code == 3
    assert_identical(read_results(root / "r.parquet"), read_results(whole / "r.parquet"))


@pytest.mark.parametrize("replace_by", [replaced_by_folder, replaced_by_link])
@pytest.mark.parametrize("table", ["episodes", "timeline"])
def test_an_unfinished_table_that_is_not_a_file_is_not_moved(
    whole: Path, tmp_path: Path, table: str, replace_by: Callable[[Path], None]
) -> None:
    root = tmp_path / "copy"
    shutil.copytree(whole, root)
    new = store_of(root) / "scratch" / "abc" / "new"
    new.mkdir(parents=True)
    (new.parent / "old").mkdir()
    (root / "r.parquet").rename(new / "timeline")
    shutil.copy(root / "r.episodes.csv", new / "episodes")
    replace_by(new / table)
    with replaying():
        fervid.analyze(root / "in", root / "r.parquet", FAST)
    assert_identical(read_results(root / "r.parquet"), read_results(whole / "r.parquet"))
