"""What the review server knows: the results, where the videos are, and the corrections so far."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from fervid.errors import BadCorrections, FervidError, UnreadableVideo, printable
from fervid.files.fingerprint import fingerprint
from fervid.results.corrections import ACTIONS, Correction
from fervid.results.edit_corrections import CorrectionsFile, FileContent
from fervid.results.face_timelines import FaceTimelines
from fervid.results.find_videos import analysed_file, find_videos
from fervid.results.live import LiveResults
from fervid.results.reader import Results
from fervid.results.schema import ANALYSED
from fervid.review.moments import Moment, doubtful_moments, listed_moments
from fervid.review.proxies import Proxies, Wanted, cache_folder
from fervid.review.sheet import contact_sheet
from fervid.review.view import describe_video, is_missing
from fervid.settings import OpenOptions
from fervid.types import DoubleArray
from fervid.video.playable import NotPlayable, playable_times

MAX_MOMENTS = 1000
"""Largest number of doubtful moments that the first page lists."""

MAX_FACES = 2000
"""Largest number of faces of a video that is shown."""

KEPT = 4
"""How many videos are kept in memory as they are with their corrections."""


class UnknownVideo(FervidError):
    """There is no video with this number."""


@dataclass(frozen=True)
class Opened:
    """A video as it is with its corrections.

    Attributes:
        version: The version of its corrections.
        tables: Its tables.
        problem: Why its corrections do not apply, so that it is shown without them; empty if they do.
    """

    version: str
    tables: Results
    problem: str = ""


class Session:
    """The state behind the pages. Its methods may be called from several threads.

    Attributes:
        names: The videos in the order of the results; the pages call them by their place in this list.
        corrections: The corrections file.
    """

    def __init__(
        self,
        results: Path,
        videos: Path | None,
        corrections: Path,
        cache: Path | None = None,
        moments: Path | None = None,
    ) -> None:
        """Read the results and find the videos.

        Args:
            results: What ``analyze`` wrote.
            videos: The folder that holds the videos; None: those that were analysed.
            corrections: The corrections file. It need not exist.
            cache: Folder for the copies of videos that browsers cannot play; None: ``proxies.cache_folder``.
            moments: A table of moments to look at; see ``moments.listed_moments``. None: only the doubtful ones.

        Raises:
            InputNotFound: There are no such results, no folder ``videos``, or no file ``moments``.
            BadResults: The results cannot be read.
            BadStudy: The table of moments is wrong.
            BadCorrections: The corrections file cannot be read.
        """
        self._live = LiveResults(results)
        whole = self._live.results
        self.title = results.name
        self.notes = whole.notes
        self.options = OpenOptions.of(whole.metadata) if whole.metadata else None
        self.names: list[str] = whole.videos["video"].tolist()
        self._manifest: list[Mapping[str, Any]] = whole.videos.to_dict("records")
        self._found = find_videos(whole, self.names, videos)
        self._moments_file = moments
        self._chosen = [] if moments is None else listed_moments(moments, self.names, whole.summary)
        self.corrections = CorrectionsFile(corrections)
        self._proxies = Proxies(cache or cache_folder())
        self._playable: dict[Path, tuple[str, DoubleArray | str]] = {}
        self._checked: dict[str, tuple[tuple[int, ...], str]] = {}
        self._opened: dict[str, Opened] = {}
        self._lock = threading.RLock()
        self.corrections.read()

    def name(self, number: int) -> str:
        """Look up a video.

        Args:
            number: Its place in the results.

        Returns:
            Its name.

        Raises:
            UnknownVideo: There is none.
        """
        if not 0 <= number < len(self.names):
            raise UnknownVideo("there is no such video")
        return self.names[number]

    def file(self, number: int) -> Path:
        """Get the file of a video, if it still shows what was analysed.

        Args:
            number: Its place in the results.

        Returns:
            The file.

        Raises:
            UnknownVideo: There is no such video.
            UnreadableVideo: It was not found, or has changed.
        """
        name = self.name(number)

        def remembered(path: Path) -> str:
            """The fingerprint, computed again only if the file was touched."""
            try:
                status = path.stat()
            except OSError:  # no file, or the pattern of an image sequence
                return fingerprint(path)
            key = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
            before = self._checked.get(name)
            if before is None or before[0] != key:
                before = self._checked[name] = key, fingerprint(path)
            return before[1]

        return analysed_file(self._live.results, name, self._found, remembered)

    def close(self) -> None:
        """Stop what runs in the background."""
        self._proxies.close()

    def source(self, number: int, as_proxy: bool = False) -> dict[str, Any]:
        """Tell how the page plays a video. The first call for one that browsers cannot play begins to copy it.

        Args:
            number: Its place in the results.
            as_proxy: Play a copy in any case, because this browser could not play the file.

        Returns:
            Values that JSON can hold: ``state`` (ready, making, failed), ``kind`` (file, proxy), the presentation
            ``times`` of all frames and, if they differ, the ``media`` times in the copy, both in seconds.

        Raises:
            UnknownVideo: There is no such video.
            UnreadableVideo: The file was not found, has changed, or cannot be decoded.
        """
        self._require_analysed(number)
        path = self.file(number)
        found = "this browser does not play it" if as_proxy else self._playability(number, path)
        if not isinstance(found, str):
            return {"state": "ready", "kind": "file", "times": found.tolist(), "media": None, "notes": []}
        state = self._proxies.get(self._wanted(number, path))
        told: dict[str, Any] = {"kind": "proxy", "reason": found, "folder": str(self._proxies.folder)}
        if state.error:
            return told | {"state": "failed", "error": printable(state.error)}
        if state.path is None:
            return told | {"state": "making", "done": state.done}
        return told | {"state": "ready", "times": state.times, "media": state.media, "notes": state.notes}

    def sheet(self, number: int) -> dict[str, Any]:
        """Cut out images of every face of a video.

        Args:
            number: Its place in the results.

        Returns:
            See ``contact_sheet``.

        Raises:
            UnknownVideo: There is no such video.
            UnreadableVideo: The file was not found, has changed, or cannot be decoded.
        """
        self._require_analysed(number)
        return contact_sheet(self.file(number), self.tables(number).timeline, self.options)

    def proxy(self, number: int) -> Path:
        """Get the copy of a video.

        Args:
            number: Its place in the results.

        Returns:
            The file.

        Raises:
            UnknownVideo: There is no such video.
            UnreadableVideo: There is no complete copy.
        """
        self._require_analysed(number)
        state = self._proxies.get(self._wanted(number, self.file(number)))
        if state.path is None:
            raise UnreadableVideo("the copy of this video is not complete")
        return state.path

    def _require_analysed(self, number: int) -> None:
        """Refuse a video that has no timeline, or too many faces."""
        self.name(number)
        if self._manifest[number]["status"] not in ANALYSED:
            raise UnreadableVideo("it was not analysed")
        if _count(self._manifest[number]["faces"]) > MAX_FACES:
            raise UnreadableVideo("it has too many faces to be shown")

    def _playability(self, number: int, path: Path) -> DoubleArray | str:
        """The frame times of a file that browsers play; else why they do not."""
        video_id = self._manifest[number]["video_id"]
        known = self._playable.get(path)
        if known is None or known[0] != video_id:
            timelines = FaceTimelines(self.tables(number)).sizes(video_id)
            try:
                if len(np.unique(timelines.sizes, axis=0)) > 1:
                    raise NotPlayable("its picture changes size")
                known = video_id, playable_times(path, self.options)
            except NotPlayable as reason:
                known = video_id, str(reason)
            self._playable[path] = known
        return known[1]

    def _wanted(self, number: int, path: Path) -> Wanted:
        row = self._manifest[number]
        sizes = FaceTimelines(self.tables(number)).sizes(row["video_id"])
        size = sizes.canvas((int(row["width"]), int(row["height"])))
        return Wanted(path, row["video_id"], size, self.options)

    def overview(self) -> dict[str, Any]:
        """Describe all videos and the doubtful moments, for the first page.

        Returns:
            Values that JSON can hold.
        """
        content = self.corrections.read()
        corrected = {one.correction.video for one in content.parsed.records}
        order = sorted(range(len(self.names)), key=lambda number: self._manifest[number]["status"] in ANALYSED)
        places = {self.names[number]: number for number in order}  # of equal names, one that was analysed
        moments = [one for one in self._untouched_moments if one.video not in corrected]
        for number, name in enumerate(self.names):
            if name in corrected and _count(self._manifest[number]["faces"]) <= MAX_FACES:
                tables = self._open(name, content).tables
                moments += doubtful_moments(tables.summary, tables.doubts)
        moments.sort(key=lambda one: one.rank)
        counts: dict[str, int] = {}
        for one in moments:
            counts[one.video] = counts.get(one.video, 0) + 1
        return {
            "title": self.title,
            "notes": list(self.notes),
            "corrections": str(self.corrections.path),
            "refusal": self._live.refusal,
            "videos": [self._listed(number, counts) for number in range(len(self.names))],
            "lists": [
                {
                    "title": title,
                    "moments": [_as_json(one, places[one.video]) for one in own[:MAX_MOMENTS]],
                    "more": max(0, len(own) - MAX_MOMENTS),
                }
                for title, own in self._lists(moments)
            ],
        }

    def _lists(self, doubts: list[Moment]) -> list[tuple[str, list[Moment]]]:
        """The lists of moments of the first page: that of the file, if there is one, and the doubtful moments."""
        chosen = [(self._moments_file.name, self._chosen)] if self._moments_file is not None else []
        return [*chosen, ("doubtful moments", doubts)]

    @cached_property
    def _untouched_moments(self) -> list[Moment]:
        """The moments of all videos without corrections, but for those of videos that are not shown."""
        whole = self._live.results
        shown = {row["video"] for row in self._manifest if _count(row["faces"]) <= MAX_FACES}
        summary, doubts = (table[table["video"].isin(shown)] for table in (whole.summary, whole.doubts))
        return doubtful_moments(summary, doubts)

    def _listed(self, number: int, counts: Mapping[str, int]) -> dict[str, Any]:
        row = self._manifest[number]
        told = {name: row[name] for name in ("video", "status", "message", "trust")}
        texts = {name: value if isinstance(value, str) else None for name, value in told.items()}
        return {
            **texts,
            "faces": _count(row["faces"]),
            "moments": counts.get(row["video"], 0),
        }

    def video(self, number: int) -> dict[str, Any]:
        """Describe one video with everything that is drawn of it.

        Args:
            number: Its place in the results.

        Returns:
            Values that JSON can hold.

        Raises:
            UnknownVideo: There is no such video.
            BadCorrections: The corrections file cannot be read.
        """
        name = self.name(number)
        content = self.corrections.read()
        return self._described(number, name, content)

    def _described(self, number: int, name: str, content: FileContent) -> dict[str, Any]:
        faces = _count(self._manifest[number]["faces"])
        state: dict[str, Any] = {
            "number": number,
            "name": name,
            "version": content.version(name),
            "corrections": [_line(one) for one in content.of(name)],
            "canRedo": self.corrections.can_redo(name, content),
            "refusal": self._live.refusal,
            "file": str(self.corrections.path),
            "participants": sorted({one.value for one in content.all() if one.action == "name"}),
            "problem": "",
        }
        if faces > MAX_FACES:
            return state | {"problem": f"this video has {faces:,} faces; at most {MAX_FACES:,} can be shown"}
        opened = self._open(name, content)
        told = describe_video(opened.tables)
        known = {face["id"] for face in told["faces"]}
        told["moments"] += [
            {"face": one.face_id if one.face_id in known else None, "start": one.start, "end": one.end,
             "reason": one.reason, "rank": one.rank}
            for one in self._chosen if one.video == name
        ]  # fmt: skip
        return state | told | {"problem": opened.problem}

    def _open(self, name: str, content: FileContent) -> Opened:
        """A video with its corrections, or without them if they do not apply."""
        version = content.version(name)
        with self._lock:
            opened = self._opened.pop(name, None)
            if opened is None or opened.version != version:
                try:
                    opened = Opened(version, self._live.corrected(name, content.of(name)))
                except BadCorrections as error:
                    reason = f"shown without its corrections: {error}"
                    opened = Opened(version, self._live.corrected(name, ()), reason)
            self._opened[name] = opened
            while len(self._opened) > KEPT:
                del self._opened[next(iter(self._opened))]
            return opened

    def tables(self, number: int) -> Results:
        """Get the tables of one video with its corrections.

        Args:
            number: Its place in the results.

        Returns:
            The tables.

        Raises:
            UnknownVideo: There is no such video.
        """
        name = self.name(number)
        return self._open(name, self.corrections.read()).tables

    def change(self, number: int, action: str, cells: Mapping[str, str], version: str) -> dict[str, Any]:
        """Add a correction, or take the last one back, or put it back.

        Args:
            number: The place of the video in the results.
            action: An action of corrections files, ``undo`` or ``redo``.
            cells: The cells of a correction.
            version: The version of the corrections that it was made for.

        Returns:
            The video as it is now; see ``video``.

        Raises:
            UnknownVideo: There is no such video.
            CorrectionsConflict: The corrections have another version by now.
            BadCorrections: The correction does not fit.
            OutputError: The file cannot be written.
            OutputLocked: Another process changes the file.
        """
        name = self.name(number)
        self._require_analysed(number)
        checked: list[Results] = []

        def check(corrections: object) -> None:
            if self._live.refusal:
                raise BadCorrections(self._live.refusal)
            assert isinstance(corrections, list)
            checked.append(self._live.corrected(name, corrections))

        with self._lock:
            if action == "undo":
                content = self.corrections.undo(name, version)
            elif action == "redo":
                content = self.corrections.redo(name, version, check)
            elif action in ACTIONS:
                content = self.corrections.add(name, {**cells, "action": action}, version, check)
            else:
                raise BadCorrections(f"there is no action {action!r}")
            with contextlib.suppress(IndexError):
                self._opened[name] = Opened(content.version(name), checked[0])
            return self._described(number, name, content)


def _count(value: Any) -> int:
    """A number of the manifest; 0 where it is empty."""
    return 0 if is_missing(value) else int(value)


def _as_json(one: Moment, number: int) -> dict[str, Any]:
    return {
        "video": one.video,
        "number": number,
        "face": one.face_id,
        "start": one.start,
        "end": one.end,
        "reason": one.reason,
        "rank": one.rank,
    }


def _line(one: Correction) -> dict[str, Any]:
    return {"face": one.face_id, "action": one.action, "start": one.start, "end": one.end, "value": one.value}
