"""Proxies: copies of videos that browsers play, made once and kept in a folder of limited size."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fervid.errors import FervidError, OutputError, UnreadableVideo
from fervid.files.atomic import write_text_atomically
from fervid.files.private_folder import make_private
from fervid.settings import OpenOptions
from fervid.video.audio import AudioRemuxer
from fervid.video.reader import VideoReader
from fervid.video.timestamps import ClosedJumps
from fervid.video.writer import EncoderSettings, VideoWriter

ENCODER = {"crf": 20, "preset": "veryfast", "threads": 2}
"""Settings of x264: a picture that is hard to tell from the source, written as fast as most videos are decoded."""

LIMIT = 8 * 2**30
"""Largest number of bytes of all proxies. Those that were not watched for longest are removed first."""

TICK = 90000
"""Units per second in which ``VideoWriter`` stores times."""

VERSION = 1
"""Part of the names of proxies: raised when they are made differently."""


def cache_folder() -> Path:
    """Choose the default folder for proxies.

    Returns:
        ``fervid/review`` in the user's folder for caches (``XDG_CACHE_HOME``, else ``~/.cache``).
    """
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fervid" / "review"


@dataclass(frozen=True)
class Wanted:
    """A proxy that is wanted.

    Attributes:
        source: The video.
        video_id: Its fingerprint.
        size: Width and height of the proxy: the canvas on which boxes are given.
        options: How the video was opened when it was analysed; None: with the defaults.
    """

    source: Path
    video_id: str
    size: tuple[int, int]
    options: OpenOptions | None = None

    @property
    def key(self) -> str:
        """The name of its files."""
        made_of = f"{VERSION} {self.video_id} {self.size} {self.options}"
        return hashlib.sha256(made_of.encode()).hexdigest()[:32]


@dataclass
class State:
    """How far a proxy is.

    Attributes:
        path: The file, once it is complete.
        times: Presentation time in the source of each frame, in seconds.
        media: Time of each frame in the proxy. It differs where the clock of the source jumps.
        done: Share that is encoded, from 0 to 1; None if the length of the source is unknown.
        error: Why it cannot be made.
        notes: What is missing in it, such as damaged sound, as sentences.
    """

    path: Path | None = None
    times: list[float] = field(default_factory=list)
    media: list[float] = field(default_factory=list)
    done: float | None = 0.0
    error: str = ""
    notes: list[str] = field(default_factory=list)


class Proxies:
    """Makes proxies in the background, one after another.

    Args:
        folder: Where they are kept. It is made when the first is wanted, readable for this user only.
        limit: Largest number of bytes of all proxies.
    """

    def __init__(self, folder: Path, limit: int = LIMIT) -> None:
        self.folder, self._limit = folder, limit
        self._states: dict[str, State] = {}
        self._lock = threading.Lock()
        self._one_at_a_time = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._ending = threading.Event()

    def get(self, wanted: Wanted) -> State:
        """Tell how far a proxy is. The first call for a video begins to make it.

        Args:
            wanted: The proxy.

        Returns:
            Its state.
        """
        with self._lock:
            state = self._states.get(wanted.key)
            if state is not None and state.path is None:
                return state
            if state is not None and state.path is not None and _touched(state.path):
                return state
            state = self._states[wanted.key] = self._stored(wanted) or State()
            if state.path is None:
                thread = threading.Thread(target=self._make, args=(wanted, state), daemon=True)
                self._threads.append(thread)
                thread.start()
            return state

    def close(self) -> None:
        """Stop making proxies. What is unfinished is removed."""
        self._ending.set()
        for thread in self._threads:
            thread.join()

    def _stored(self, wanted: Wanted) -> State | None:
        """The state of a complete proxy that an earlier call made."""
        path = self.folder / f"{wanted.key}.mp4"
        try:
            told: dict[str, Any] = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
            if path.stat().st_size != told["size"]:
                return None
            os.utime(path)
            return State(path, told["times"], told["media"], 1.0, "", told["notes"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _make(self, wanted: Wanted, state: State) -> None:
        """Make a proxy and store its times beside it."""
        path = self.folder / f"{wanted.key}.mp4"
        try:
            with self._one_at_a_time:
                make_private(self.folder)
                self._encode(wanted, path, state)
                told = {"times": state.times, "media": state.media, "notes": state.notes, "size": path.stat().st_size}
                write_text_atomically(path.with_suffix(".json"), json.dumps(told))
                self._shrink(path)
                state.done, state.path = 1.0, path
        except _Ended:
            state.error = "stopped"
        except (FervidError, OSError) as error:
            state.error = str(error)

    def _encode(self, wanted: Wanted, path: Path, state: State) -> None:
        """Write every frame at its time, with the sound. The jumps of a clock are left out, as ``annotate`` does."""
        with (
            VideoReader(wanted.source, fps=0, threads=2, options=wanted.options) as reader,
            AudioRemuxer(wanted.source, reader.origin, jumps := ClosedJumps(reader.jumps, reader.moved)) as audio,
        ):
            duration, times, media = reader.info.duration, [], []
            encoder = EncoderSettings(colour=reader.colour, **ENCODER)  # type: ignore[arg-type]
            with VideoWriter(path, *wanted.size, encoder, audio) as writer:
                for time, planes, _ in reader.planes(wanted.size):
                    if self._ending.is_set():
                        raise _Ended
                    shown = time - jumps.gap(time)
                    writer.write_planes(planes, shown)
                    times.append(time)
                    media.append(round(shown * TICK) / TICK)
                    state.done = min(time / duration, 1.0) if duration else None
                if not times:
                    raise UnreadableVideo("no frame can be decoded")
                end = min(reader.end_time, max(duration or reader.end_time, times[-1]))
                writer.hold(end - jumps.gap(times[-1]))
            state.times, state.media = times, media
            state.notes = [*audio.notes, *(f"{jump}; the player goes on at once" for jump in jumps.closed)]

    def _shrink(self, kept: Path) -> None:
        """Remove the proxies that were not watched for longest, until the rest fits the limit."""
        found = []
        for path in self.folder.glob("*.mp4"):
            with contextlib.suppress(OSError):
                status = path.stat()
                found.append((path != kept, status.st_mtime, status.st_size, path))
        total = sum(size for _, _, size, _ in found)
        for removable, _, size, path in sorted(found, key=lambda one: one[1]):
            if total > self._limit and removable:
                with contextlib.suppress(OSError):
                    path.with_suffix(".json").unlink(missing_ok=True)
                    path.unlink()
                    total -= size
        if total > self._limit:
            kept.with_suffix(".json").unlink(missing_ok=True)
            kept.unlink(missing_ok=True)
            raise OutputError(
                f"a proxy of {total / 2**30:.1f} GB is larger than the limit of {self._limit / 2**30:.1f} GB"
            )


def _touched(path: Path) -> bool:
    """Note that a proxy is watched; False if it was removed."""
    try:
        os.utime(path)
    except OSError:
        return False
    return True


class _Ended(Exception):
    """The server ends."""
