"""What a batch has already done: a hidden folder beside the output, held by one run at a time.

The folder of ``results.parquet`` is ``.results.parquet.fervid``, that of a folder ``results`` is
``results/.fervid``. It holds the lock, the settings that its parts were made with, one part a video (named
by the fingerprint of the video's content), the failures, and an index that saves reading unchanged files
again. Every file in it appears under its name only when it is complete; what a killed run was still writing
lies in ``scratch`` and is removed by the next run.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from fervid.errors import OutputError, OutputLocked, UsageError
from fervid.files.atomic import writing
from fervid.results.provenance import COMPOSED_FILE, read_identity, stamps

STAMP_SETTLE_SECONDS = 2.0
"""Seconds after its last change from which a file's time stamps can be trusted to show the next change."""


@dataclass(frozen=True)
class Failure:
    """Why a video could not be analysed: the name of the exception, its message, and when it was found out."""

    error: str
    message: str
    finished_at: str = ""


@dataclass(frozen=True)
class Stamp:
    """What tells a changed file from an unchanged one without reading it."""

    size: int
    mtime_ns: int
    ctime_ns: int

    @classmethod
    def of(cls, path: Path) -> Stamp:
        """The stamp of a file, links followed; raises OSError."""
        status = path.stat()
        return cls(status.st_size, status.st_mtime_ns, status.st_ctime_ns)


@dataclass(frozen=True)
class Parts:
    """The folder of the parts and failures of one identity; it may travel to other processes."""

    folder: Path

    def part(self, video_id: str) -> Path:
        """Where the finished part of a video lies, or would lie."""
        return self.folder / f"{video_id}.parquet"

    def failure(self, video_id: str) -> Path:
        """Where it is written why a video could not be analysed."""
        return self.folder / f"{video_id}.failed.json"


@dataclass(frozen=True)
class IsDone:
    """Tells of a fingerprint whether its outcome is known already; failures count unless ``retry``."""

    parts: Parts
    retry: bool

    def __call__(self, video_id: str) -> bool:
        """Whether there is nothing left to be done."""
        return self.parts.part(video_id).exists() or (not self.retry and self.parts.failure(video_id).exists())


def settings_key(identity: Mapping[str, Any]) -> str:
    """16 hex digits that stand for everything that can change a result."""
    return hashlib.sha256(json.dumps(_plain(identity), sort_keys=True).encode()).hexdigest()[:16]


def _plain(value: Any) -> Any:
    """The value with whole numbers as such, since 2 and 2.0 are the same setting."""
    if isinstance(value, Mapping):
        return {name: _plain(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


class StoreView:
    """What is known of an output, read without holding it.

    ``identity`` names everything that can change a result (settings, weights, versions). A folder made with
    another identity is refused with UsageError, as is an output ``made`` without such a folder, unless
    ``overwrite``: then nothing counts as known.
    """

    def __init__(self, folder: Path, identity: Mapping[str, Any], made: bool, overwrite: bool = False) -> None:
        self._folder = folder
        self._identity = dict(identity)
        self._overwrite = overwrite
        self.parts = Parts(folder / f"parts-{settings_key(identity)}")
        self._index: dict[str, tuple[Stamp, str]] = {}
        self._lines = 0
        self._check_identity(made)
        self._read_index()

    def _check_identity(self, made: bool) -> None:
        before = read_identity(self._folder)
        if self._overwrite or before == self._identity:
            return
        if before is not None:
            changed = "; ".join(_differences(before, self._identity))
            raise UsageError(f"the output was made otherwise: {changed}. --overwrite does everything anew")
        if made:
            lost = f"the output exists, but not the folder that says how it was made ({self._folder})"
            raise UsageError(f"{lost}; --overwrite replaces it")

    def _read_index(self) -> None:
        """A line that a killed run left unfinished is passed over."""
        with contextlib.suppress(OSError):
            for line in (self._folder / "index.jsonl").read_text(encoding="utf-8", errors="replace").splitlines():
                self._lines += 1
                with contextlib.suppress(ValueError, TypeError, KeyError, AttributeError):
                    entry = json.loads(line)
                    self._index[entry["path"]] = (Stamp(**entry["stamp"]), str(entry["video_id"]))

    def fingerprint(self, path: Path) -> str | None:
        """The fingerprint of a file that has not changed since it was remembered, else None."""
        known = self._index.get(os.path.abspath(path))
        with contextlib.suppress(OSError):
            return known[1] if known and known[0] == Stamp.of(path) else None
        return None

    def done(self, video_id: str) -> bool:
        """Whether the part of a video is there."""
        return not self._overwrite and self.parts.part(video_id).exists()

    def failure(self, video_id: str) -> Failure | None:
        """What was remembered of a video that could not be analysed."""
        if not self._overwrite and not self.parts.part(video_id).exists():  # a copy of it may have had worse luck
            with contextlib.suppress(OSError, ValueError, TypeError):
                return Failure(**json.loads(self.parts.failure(video_id).read_text(encoding="utf-8")))
        return None


class ResumeStore(StoreView):
    """The state of one output, held until the context is left; see StoreView.

    With ``overwrite`` the parts of an earlier run are removed; its tables stay until others replace them.
    Raises OutputLocked where another run holds the output, OutputError where the folder cannot be written.
    """

    def __init__(self, folder: Path, identity: Mapping[str, Any], made: bool, overwrite: bool = False) -> None:
        self._run = uuid.uuid4().hex
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            self._take_lock(folder)
            super().__init__(folder, identity, made, overwrite)
            with writing(folder):
                self._open()
        except BaseException:
            os.close(self._lock)
            raise

    def _take_lock(self, folder: Path) -> None:
        """The kernel gives the lock back when this process ends, however it ends."""
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise OutputLocked(f"another run is writing this output (it holds {folder / 'lock'})") from error
        except OSError as error:
            raise OutputError(f"cannot lock {folder / 'lock'}: {error.strerror or error}") from error

    def _open(self) -> None:
        self._rescue()
        shutil.rmtree(self._folder / "scratch", ignore_errors=True)
        for leftover in self._folder.glob("parts-*/.*.partial*"):
            leftover.unlink(missing_ok=True)
        if self._overwrite:
            shutil.rmtree(self.parts.folder, ignore_errors=True)
            self._overwrite = False
        for folder in (self._folder / "scratch", self.scratch, self.parts.folder):
            folder.mkdir(exist_ok=True, mode=0o700)
        self._write(self._folder / "identity.json", json.dumps(self._identity, indent=2, sort_keys=True) + "\n")

    def _rescue(self) -> None:
        """Put back the partitions that a run took away and was killed before it could replace."""
        timeline = self._folder.parent / "timeline"
        for before in self._folder.glob("scratch/*/before"):
            if not timeline.exists():
                before.rename(timeline)

    def __enter__(self) -> ResumeStore:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            with contextlib.suppress(OSError):  # only saves time
                self._compact_index()
            shutil.rmtree(self._folder / "scratch", ignore_errors=True)
        finally:
            os.close(self._lock)

    @property
    def scratch(self) -> Path:
        """A folder for what this run is working on; gone when the store is closed, or opened by the next run."""
        return self._folder / "scratch" / self._run

    def add_failure(self, video_id: str, failure: Failure) -> None:
        """Remember that a video's content could not be analysed; raises OutputError."""
        if self.parts.part(video_id).exists():
            return
        with writing(self._folder):
            self._write(self.parts.failure(video_id), json.dumps(asdict(failure)))

    def forget_failure(self, video_id: str) -> None:
        """A video is to be tried again."""
        self.parts.failure(video_id).unlink(missing_ok=True)

    def drop_others(self) -> None:
        """Remove the parts that were made with other settings; the tables no longer need them."""
        for folder in self._folder.glob("parts-*"):
            if folder != self.parts.folder:
                shutil.rmtree(folder, ignore_errors=True)

    def composed(self, digest: str, outputs: Iterable[Path]) -> bool:
        """Whether ``outputs`` are as this store's last composition, of that ``digest``, left them."""
        with contextlib.suppress(OSError, ValueError):
            before = json.loads((self._folder / COMPOSED_FILE).read_text(encoding="utf-8"))
            known = before["digest"] == digest and "metadata" in before
            return bool(known and before["outputs"] == stamps(outputs))
        return False

    def set_composed(self, digest: str, outputs: Iterable[Path], metadata: Mapping[str, str]) -> None:
        """The ``outputs`` have been composed, with that ``metadata``."""
        content = {"digest": digest, "outputs": stamps(outputs), "metadata": dict(metadata)}
        with writing(self._folder):
            self._write(self._folder / COMPOSED_FILE, json.dumps(content))

    def remember(self, path: Path, stamp: Stamp, video_id: str) -> None:
        """Save reading ``path`` again while it keeps the ``stamp`` that it had before it was read."""
        if time.time() - stamp.mtime_ns / 1e9 < STAMP_SETTLE_SECONDS or self.fingerprint(path) == video_id:
            return
        name = os.path.abspath(path)
        self._index[name] = (stamp, video_id)
        self._lines += 1
        with writing(self._folder), (self._folder / "index.jsonl").open("a", encoding="utf-8") as file:
            file.write(_index_line(name, stamp, video_id))

    def _compact_index(self) -> None:
        if self._lines > 4 * len(self._index) + 100:
            lines = [_index_line(name, stamp, video_id) for name, (stamp, video_id) in self._index.items()]
            self._write(self._folder / "index.jsonl", "".join(lines))

    def _write(self, path: Path, text: str) -> None:
        """Write a small file so that it is there whole or not at all."""
        beside = self.scratch / f"{path.name}.tmp"
        with beside.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)


def _index_line(name: str, stamp: Stamp, video_id: str) -> str:
    """A line of the index; it begins anew, whatever a killed run left of the one before."""
    return "\n" + json.dumps({"path": name, "stamp": asdict(stamp), "video_id": video_id}) + "\n"


def _differences(before: Mapping[str, Any], now: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """Each value that changed, as ``scan.fps 5.0 → 10.0``."""
    for name in dict.fromkeys([*before, *now]):
        old, new = before.get(name), now.get(name)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            yield from _differences(old, new, f"{prefix}{name}.")
        elif old != new:
            yield f"{prefix}{name} {_short(old)} → {_short(new)}"


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 20 else f"{text[:12]}…"
