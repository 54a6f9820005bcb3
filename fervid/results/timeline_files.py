"""The files of a timeline: their rows, their metadata, and whether they are as fervid wrote them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from fervid.errors import BadResults
from fervid.files.fingerprint import sha256
from fervid.results.belonging import TimelineDigest
from fervid.results.mesh_table import MESH_NAME, has_meshes
from fervid.results.schema import NOTES, PREFIX, RECORD, SMALL, mesh_path, output_paths, small_path, timeline_path
from fervid.results.store_files import composed_metadata, store_folder
from fervid.results.validate import check_metadata
from fervid.runtime.special_files import refuse_special

JSON_KEYS = {"settings", "roots", RECORD, NOTES}
"""Keys of the metadata whose values are JSON; the others are plain text."""


def identity(out: Path) -> tuple[int, ...] | None:
    """Find out what changes when the timeline is replaced.

    Args:
        out: The results.

    Returns:
        Numbers of the file or folder; None if there is none.
    """
    try:
        status = (out / "timeline" if out.is_dir() else out).stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size


def read_rows(path: Path) -> pa.Table:
    """Read the rows of a Parquet file.

    Args:
        path: The file.

    Returns:
        Its rows.

    Raises:
        BadResults: It is a pipe, a device or a socket.
        ArrowException: It is not a Parquet file.
    """
    refuse_special(path, BadResults)
    return pq.read_table(path, partitioning=None)


def footer(path: Path) -> dict[bytes, bytes]:
    """Read the metadata of a Parquet file.

    Args:
        path: The file.

    Returns:
        What its schema holds, and what was added when its rows were complete.

    Raises:
        BadResults: It is a pipe, a device or a socket.
        ArrowException: It is not a Parquet file.
    """
    refuse_special(path, BadResults)
    found: Mapping[bytes, bytes] = pq.read_metadata(path).metadata or {}
    added = {key: value for key, value in found.items() if key.startswith(PREFIX.encode())}
    return {**(pq.read_schema(path).metadata or {}), **added}


def recorded(out: Path) -> dict[bytes, bytes]:
    """Read the metadata of a CSV file from the store beside it.

    Args:
        out: The CSV file.

    Returns:
        The metadata in the form of Parquet metadata.
    """
    found = composed_metadata(store_folder(out, False), output_paths(out))
    return {f"{PREFIX}{key}".encode(): value.encode() for key, value in found.items()}


def decoded_metadata(out: Path, raw: Mapping[bytes, bytes] | None) -> dict[str, Any]:
    """Decode and check the entries of metadata that fervid wrote.

    Args:
        out: The results, for messages.
        raw: The metadata of a Parquet file.

    Returns:
        Key without the prefix → value, with the record of the small tables.

    Raises:
        BadResults: They are damaged, or a later version of fervid wrote them.
    """
    try:
        own = {key: value for key, value in (raw or {}).items() if key.startswith(PREFIX.encode())}
        values: dict[str, Any] = {key.decode().removeprefix(PREFIX): value.decode() for key, value in own.items()}
        for key in JSON_KEYS & values.keys():
            values[key] = json.loads(values[key])
        check_metadata(values)
    except (ValueError, RecursionError) as error:
        reason = str(error) if isinstance(error, BadResults) else "its metadata are damaged"
        raise BadResults(f"{out} cannot be used: {reason}") from error
    return values


def changed_tables(out: Path, record: object) -> list[str]:
    """Find the tables, except the timeline, that are not as fervid wrote them.

    Args:
        out: The results.
        record: Small table → SHA-256, as the metadata hold it; None if they do not.

    Returns:
        A sentence for each.
    """
    if not isinstance(record, dict):
        return [f"{out} does not say which tables belong to it, so it may have been changed"]
    names = [name for name in SMALL if name in record and sha256(small_path(out, name)) != record[name]]
    paths = [small_path(out, name) for name in names]
    if MESH_NAME in record and has_meshes(out) and sha256(mesh_path(out)) != record[MESH_NAME]:
        paths.append(mesh_path(out))
    return [f"{path} was changed after fervid wrote it" for path in paths]


def digest_of(timeline: pa.Table) -> TimelineDigest:
    """Compute the digest of a whole timeline.

    Args:
        timeline: All rows.

    Returns:
        The digest.
    """
    digest = TimelineDigest()
    digest.add(timeline)
    return digest


def changed_timeline(out: Path, record: object, digest: TimelineDigest) -> list[str]:
    """Find out whether the timeline is as fervid wrote it.

    Args:
        out: The results.
        record: What the metadata hold under RECORD; None if they do not.
        digest: The digest of all rows.

    Returns:
        A sentence if it is not.
    """
    if not isinstance(record, dict) or "timeline" not in record or digest.text() == record["timeline"]:
        return []
    return [f"{timeline_path(out)} was changed after fervid wrote it"]
