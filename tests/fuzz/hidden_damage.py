"""Ways to damage the hidden folder of an output."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from fervid.results.store_files import COMPOSED_FILE, sealed

HUGE: tuple[Any, ...] = (None, True, 0, -1, 2**31, 2**63, 10**400, 1e308, float("nan"), "", "x", "../x", "\0", [], {})
"""Values to put into JSON in place of others."""

IMPOSSIBLE = (OSError, LookupError, ValueError, TypeError, AttributeError, RecursionError, pa.ArrowException)
"""Errors of a damage that does not fit the file, which another damage may have changed before."""

DEEP = "[" * 5000 + "]" * 5000


def damage(hidden: Path, rng: random.Random, preferred: str = "") -> str:
    """Do one damage, in half of the cases to the file called ``preferred`` if it is there. Returns what was done."""
    for _ in range(20):
        paths = [path for path in sorted(hidden.rglob("*")) if rng.random() < 0.9] or [hidden]
        path = rng.choice([*paths, *paths, *paths, hidden])
        if preferred and os.path.lexists(hidden / preferred) and rng.random() < 0.5:
            path = hidden / preferred
        kinds = list(OF_ANY)
        if path.is_file() and not path.is_symlink():
            kinds += OF_FILES * 2
            kinds += OF_PARTS * 3 if path.suffix == ".parquet" else OF_TEXTS * 2 if path.stat().st_size else []
        kind = rng.choice(kinds)
        with contextlib.suppress(*IMPOSSIBLE):
            kind(path, hidden, rng)
            return f"{kind.__name__} {path.relative_to(hidden.parent)}"
    return "nothing"


def cut(path: Path, hidden: Path, rng: random.Random) -> None:
    path.write_bytes(path.read_bytes()[: rng.randrange(path.stat().st_size + 1)])


def flip(path: Path, hidden: Path, rng: random.Random) -> None:
    data = bytearray(path.read_bytes())
    for _ in range(rng.choice([1, 1, 1, 8, 64])):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    path.write_bytes(data)


def zeros(path: Path, hidden: Path, rng: random.Random) -> None:
    data = bytearray(path.read_bytes())
    start = rng.randrange(len(data))
    stop = min(len(data), start + rng.choice([16, 512, 4096]))
    data[start:stop] = bytes(stop - start)
    path.write_bytes(data)


def garbage(path: Path, hidden: Path, rng: random.Random) -> None:
    with path.open("ab") as file:
        file.write(rng.randbytes(rng.randrange(1, 2000)))


def empty(path: Path, hidden: Path, rng: random.Random) -> None:
    path.write_bytes(b"")


def nested(path: Path, hidden: Path, rng: random.Random) -> None:
    path.write_text(rng.choice([DEEP, '{"a":' * 5000, f"[{'9' * 5000}]", '"\\ud800"', "null", "[1]", "{}", "3"]))


def value(path: Path, hidden: Path, rng: random.Random) -> None:
    """Another value somewhere in the JSON, or in one of its lines."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.suffix == ".jsonl" else [path.read_text()]
    chosen = rng.choice([place for place, line in enumerate(lines) if line.strip()])
    lines[chosen] = json.dumps(_changed(json.loads(lines[chosen]), rng))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _changed(tree: Any, rng: random.Random) -> Any:
    """The tree with one node replaced, removed or altered a little."""
    children = list(tree) if isinstance(tree, dict) else list(range(len(tree))) if isinstance(tree, list) else []
    if children and rng.random() < 0.85:
        key = rng.choice(children)
        if isinstance(tree, dict) and rng.random() < 0.15:
            del tree[key]
        else:
            tree[key] = _changed(tree[key], rng)
        return tree
    if isinstance(tree, str) and tree and rng.random() < 0.5:
        return rng.choice([tree[:-1], tree[::-1], tree + "0", tree.upper()])
    if isinstance(tree, (int, float)) and rng.random() < 0.5:
        return rng.choice([tree + 1, -tree, tree * 2, str(tree)])
    return rng.choice(HUGE)


def exchanged(path: Path, hidden: Path, rng: random.Random) -> None:
    """Two lines of the index exchange their fingerprints, stamps or paths."""
    index = hidden / "index.jsonl"
    entries = [json.loads(line) for line in index.read_text().splitlines() if line.strip()]
    first, second = rng.sample(entries, 2)
    key = rng.choice(["video_id", "stamp", "path"])
    first[key], second[key] = second[key], first[key]
    index.write_text("".join(json.dumps(entry) + "\n" for entry in entries))


def swapped(path: Path, hidden: Path, rng: random.Random) -> None:
    other = rng.choice([one for one in sorted(hidden.rglob("*")) if one != path and one not in path.parents])
    between = hidden / "between"
    path.rename(between)
    other.rename(path)
    between.rename(other)


def copied(path: Path, hidden: Path, rng: random.Random) -> None:
    """Over another file of the folder."""
    other = rng.choice([one for one in sorted(hidden.rglob("*")) if one.is_file() and one != path])
    other.write_bytes(path.read_bytes())


def doubled(path: Path, hidden: Path, rng: random.Random) -> None:
    name = rng.choice([f"{path.name}.bak", f".{path.name}.partial", "parts-0000000000000000", "scratch", "old", "new"])
    target = path.with_name(name)
    shutil.copytree(path, target) if path.is_dir() else shutil.copy2(path, target)


def renamed(path: Path, hidden: Path, rng: random.Random) -> None:
    path.rename(
        path.with_name(rng.choice(["x", "scratch", f"{'0' * 32}.parquet", "parts-x", f".a.partial{path.suffix}"]))
    )


def removed(path: Path, hidden: Path, rng: random.Random) -> None:
    shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def replaced(path: Path, hidden: Path, rng: random.Random) -> None:
    """By something that is not a file or folder, or not the right one."""
    was_folder = path.is_dir()
    removed(path, hidden, rng)
    kind = rng.choice(["folder", "full", "link", "dangling", "loop", "zero", "pipe", "socket", "empty"])
    if kind in ("folder", "full"):
        path.mkdir()
        if kind == "full":
            (path / "inner").mkdir()
            (path / "inner" / "file").write_text("x")
    elif kind == "link":
        target = hidden.parent / "elsewhere"
        target.mkdir() if was_folder else target.write_text("kept")
        path.symlink_to(target)
    elif kind in ("dangling", "loop", "zero"):
        path.symlink_to({"dangling": "nowhere", "loop": path.name, "zero": "/dev/zero"}[kind])
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "socket":
        before = os.getcwd()
        os.chdir(path.parent)  # the path of a socket may have 107 bytes only
        try:
            with socket.socket(socket.AF_UNIX) as one:
                one.bind(path.name)
        finally:
            os.chdir(before)
    else:
        path.write_bytes(b"")


def modes(path: Path, hidden: Path, rng: random.Random) -> None:
    path.chmod(rng.choice([0o000, 0o777, 0o400, 0o200, 0o4755]))


def owner(path: Path, hidden: Path, rng: random.Random) -> None:
    os.chown(path, 65534, 65534)  # only the administrator may; for others nothing happens


def foretold(path: Path, hidden: Path, rng: random.Random) -> None:
    """The record of the tables as one that is to come, changed or not, in addition or in its place."""
    target = hidden / "pending.json"
    shutil.copy2(hidden / "composed.json", target)
    if rng.random() < 0.5:
        (hidden / "composed.json").unlink()
    content = json.loads(target.read_text())
    what = rng.randrange(4)
    if what == 0:
        target.write_text(json.dumps(_changed(content, rng)))
    elif what == 1:  # by someone who knows how it is sealed
        del content["sha256"]
        place = content if rng.random() < 0.5 else content["metadata"]
        place[rng.choice(list(place))] = rng.choice([one for one in HUGE if not isinstance(one, str)])
        target.write_text(sealed(COMPOSED_FILE, content))


def unfinished(path: Path, hidden: Path, rng: random.Random) -> None:
    """A workspace as a killed run leaves it, with tables of anything."""
    place = hidden / "scratch" / "abc"
    (place / "new").mkdir(parents=True)
    if rng.random() < 0.7:
        (place / "old").mkdir()
    for name in ("timeline", "episodes", "summary", "persons", "shots", "videos"):
        if rng.random() < 0.8:
            (place / "new" / name).write_bytes(path.read_bytes() if path.is_file() else b"x,y\n1,2\n")


def metadata(path: Path, hidden: Path, rng: random.Random) -> None:
    """Other rows of the small tables in a part."""
    table = pq.read_table(path)
    found = dict(table.schema.metadata)
    key = rng.choice(list(found))
    what = rng.randrange(4)
    if what == 0:
        del found[key]
    elif what == 1:
        found[key] = rng.choice([b"", b"{}", b"[1]", b"\xff\xfe", DEEP.encode(), b'{"videos": [{"video_id": 3}]}'])
    else:
        found[key] = json.dumps(_changed(json.loads(found[key]), rng)).encode()
    pq.write_table(table.replace_schema_metadata(found), path)


def columns(path: Path, hidden: Path, rng: random.Random) -> None:
    """Columns of a part that are missing, doubled, of another type or in another order."""
    table = pq.read_table(path)
    name = rng.choice(table.column_names)
    place = table.column_names.index(name)
    what = rng.randrange(4)
    if what == 0:
        table = table.drop_columns([name])
    elif what == 1:
        table = table.append_column("more", table[name])
    elif what == 2:
        table = table.set_column(place, name, table[name].cast(rng.choice([pa.string(), pa.float64(), pa.int64()])))
    else:
        table = table.select(sorted(table.column_names, key=lambda _: rng.random()))
    pq.write_table(table, path)


def cells(path: Path, hidden: Path, rng: random.Random) -> None:
    """Other values, or rows that are missing, doubled or in another order."""
    table = pq.read_table(path)
    order = list(range(len(table)))
    what = rng.randrange(4)
    if what == 0:
        order = order[: rng.randrange(len(order))]
    elif what == 1:
        order.append(rng.choice(order))
    elif what == 2:
        rng.shuffle(order)
    else:
        name = rng.choice(["face_x", "happy", "time", "frame", "video_id", "face_id"])
        values = table[name].to_pylist()
        values[rng.randrange(len(values))] = "0" * 32 if name == "video_id" else rng.choice([0, 1, 7])
        field = table.schema.field(name)
        table = table.set_column(table.column_names.index(name), name, pa.array(values, field.type))
    pq.write_table(table.take(pa.array(order)), path)


def rows_of_another(path: Path, hidden: Path, rng: random.Random) -> None:
    """A part with the rows or the metadata of another video."""
    others = [one for one in sorted(path.parent.glob("*.parquet")) if one != path]
    table, other = pq.read_table(path), pq.read_table(rng.choice(others))
    if rng.random() < 0.5:
        table = table.replace_schema_metadata(other.schema.metadata)
    else:
        table = other.replace_schema_metadata(table.schema.metadata)
    pq.write_table(table, path)


Kind = Callable[[Path, Path, random.Random], None]

OF_ANY: list[Kind] = [swapped, doubled, renamed, removed, replaced, replaced, modes, owner, unfinished, exchanged]
OF_ANY += [foretold]
OF_FILES: list[Kind] = [cut, flip, flip, zeros, garbage, empty, copied]
OF_TEXTS: list[Kind] = [nested, value, value, value]
OF_PARTS: list[Kind] = [metadata, columns, cells, rows_of_another]
