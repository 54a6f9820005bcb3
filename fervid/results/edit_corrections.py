"""Changing a corrections file line by line while others may change it too."""

from __future__ import annotations

import contextlib
import csv
import hashlib
import io
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fervid.errors import BadCorrections, FervidError, OutputError, OutputLocked
from fervid.files.atomic import atomic_path, write_text_atomically
from fervid.files.locks import locked_temporarily
from fervid.results.corrections import COLUMNS, Correction, CorrectionsText, parse_corrections
from fervid.results.csv import FORMULA_STARTS
from fervid.runtime.special_files import refuse_special

WAIT, PAUSE = 10.0, 0.05
"""For how many seconds a change waits for another process that changes the same file, and how often it tries again."""

Check = Callable[[Sequence[Correction]], object]
"""Refuses corrections of one video by raising BadCorrections."""


class CorrectionsConflict(FervidError):
    """Somebody else changed the corrections of this video since they were read."""


@dataclass(frozen=True)
class FileContent:
    """A corrections file at one time.

    Attributes:
        text: Its text, without a byte order mark; empty if there is no file.
        has_mark: Whether it begins with a byte order mark.
        parsed: Its corrections.
    """

    text: str
    has_mark: bool
    parsed: CorrectionsText

    def all(self) -> list[Correction]:
        """List all corrections.

        Returns:
            The corrections in order.
        """
        return [one.correction for one in self.parsed.records]

    def of(self, video: str) -> list[Correction]:
        """Select the corrections of a video.

        Args:
            video: Its name.

        Returns:
            Its corrections in order.
        """
        return [one for one in self.all() if one.video == video]

    def version(self, video: str) -> str:
        """Identify the corrections of a video.

        Args:
            video: Its name.

        Returns:
            A text that is the same only if the lines of the video are.
        """
        digest = hashlib.sha256(video.encode("utf-8", "surrogatepass"))
        for one in self.parsed.records:
            if one.correction.video == video:
                digest.update(b"\0" + one.text.strip("\r\n").encode("utf-8", "surrogatepass"))
        return digest.hexdigest()[:32]


class CorrectionsFile:
    """A corrections file that several windows and programs change.

    Every change is written at once: the file is replaced by the complete new one, so that a process that is killed
    leaves either the old or the new corrections. A change names the version that it was made for, and is refused
    if the corrections of its video are others by then. What else is in the file stays as it is written there.

    Args:
        path: The file. It need not exist.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._undone_path = path.with_name(f".{path.name}.redo")
        """Holds, as JSON, video → the version after each undo, and the line that it removed."""

    def read(self) -> FileContent:
        """Read the file.

        Returns:
            Its content.

        Raises:
            BadCorrections: It cannot be read, or a line is wrong.
        """
        refuse_special(self.path, BadCorrections)
        try:
            data = self.path.read_bytes().decode("utf-8")
        except FileNotFoundError:
            data = ""
        except (OSError, UnicodeDecodeError) as error:
            raise BadCorrections(f"{self.path} cannot be read as text in UTF-8: {error}") from error
        text = data.removeprefix("\ufeff")
        return FileContent(text, text != data, parse_corrections(self.path, text or _EMPTY))

    def add(self, video: str, cells: Mapping[str, str], version: str, check: Check) -> FileContent:
        """Add a line at the end.

        Args:
            video: The video that the line corrects.
            cells: Column → text of its cell, without the video.
            version: The version that the line was made for.
            check: Called with all corrections that the video would have.

        Returns:
            The new content.

        Raises:
            CorrectionsConflict: The corrections of the video have another version.
            BadCorrections: The line is wrong, or ``check`` refuses it.
            OutputLocked: Another process changes the file, and does not end.
            OutputError: The file cannot be written.
        """
        with self._changing(video, version) as before:
            line = _line(before.parsed, {**cells, "video": video})
            after = self._replace(before, _with_line(before, line), video, check)
            self._write_undone(video, [])
            return after

    def undo(self, video: str, version: str) -> FileContent:
        """Take the last line of a video out.

        Args:
            video: The video.
            version: See ``add``.

        Returns:
            The new content.

        Raises:
            CorrectionsConflict: The corrections of the video have another version, or there are none.
            OutputLocked: See ``add``.
            OutputError: See ``add``.
        """
        with self._changing(video, version) as before:
            records = list(before.parsed.records)
            places = [number for number, one in enumerate(records) if one.correction.video == video]
            if not places:
                raise CorrectionsConflict("there is nothing to undo")
            removed = records.pop(places[-1])
            text = before.parsed.header + "".join(_ended(one.text) for one in records)
            after = self._replace(before, text, video, None)
            self._write_undone(video, [*self._undone(video), (after.version(video), removed.text)])
            return after

    def redo(self, video: str, version: str, check: Check) -> FileContent:
        """Put the line back that ``undo`` took out last.

        Args:
            video: The video.
            version: See ``add``.
            check: See ``add``.

        Returns:
            The new content.

        Raises:
            CorrectionsConflict: The corrections of the video have another version, or there is nothing to put back.
            BadCorrections: ``check`` refuses the line.
            OutputLocked: See ``add``.
            OutputError: See ``add``.
        """
        with self._changing(video, version) as before:
            if not self.can_redo(video, before):
                raise CorrectionsConflict("there is nothing to redo")
            *others, (_, line) = self._undone(video)
            after = self._replace(before, _with_line(before, line), video, check)
            self._write_undone(video, others)
            return after

    def can_redo(self, video: str, content: FileContent) -> bool:
        """Tell whether there is a line to put back.

        Args:
            video: The video.
            content: The content of the file.

        Returns:
            Whether the last change of this video was an undo.
        """
        undone = self._undone(video)
        return bool(undone) and undone[-1][0] == content.version(video)

    def _undone(self, video: str) -> list[tuple[str, str]]:
        """The version after each undo of a video, and the line that it removed."""
        found = self._read_undone().get(video, [])
        return [(str(version), str(line)) for version, line in found]

    def _read_undone(self) -> dict[str, list[tuple[str, str]]]:
        """What can be put back; a file that is missing or damaged holds nothing."""
        try:
            refuse_special(self._undone_path, BadCorrections)
            found = json.loads(self._undone_path.read_text(encoding="utf-8"))
            return {video: [(version, line) for version, line in lines] for video, lines in found.items()}
        except (OSError, ValueError, TypeError, AttributeError, BadCorrections):
            return {}

    def _write_undone(self, video: str, lines: list[tuple[str, str]]) -> None:
        """Store what can be put back. If that fails, the correction itself is saved all the same."""
        before = self._read_undone()
        undone = {name: others for name, others in before.items() if name != video}
        if lines:
            undone[video] = lines
        if undone == before:
            return
        with contextlib.suppress(OSError, OutputError):
            if undone:
                write_text_atomically(self._undone_path, json.dumps(undone))
            else:
                self._undone_path.unlink(missing_ok=True)

    @contextmanager
    def _changing(self, video: str, version: str) -> Iterator[FileContent]:
        """The content, while nobody else changes it."""
        lock = self.path.with_name(f".{self.path.name}.lock")
        with self._lock, _locked(lock):
            before = self.read()
            if before.version(video) != version:
                raise CorrectionsConflict("the corrections of this video were changed elsewhere")
            yield before

    def _replace(self, before: FileContent, text: str, video: str, check: Check | None) -> FileContent:
        """Check the new text and write it."""
        after = FileContent(text, before.has_mark, parse_corrections(self.path, text))
        if check is not None:
            check(after.of(video))
        with atomic_path(self.path) as partial:
            partial.write_bytes((("\ufeff" if before.has_mark else "") + text).encode("utf-8"))
        return after


_EMPTY = ",".join(COLUMNS) + "\n"


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold a lock, after waiting for it."""
    end = time.monotonic() + WAIT
    while True:
        try:
            held = locked_temporarily(path)
            held.__enter__()
            break
        except OutputLocked:
            if time.monotonic() > end:
                raise
            time.sleep(PAUSE)
    try:
        yield
    finally:
        held.__exit__(None, None, None)


def _with_line(before: FileContent, line: str) -> str:
    return _ended(before.text or _EMPTY) + _ended(line)


def _ended(text: str) -> str:
    return text if text.endswith(("\n", "\r")) else text + "\n"


def _line(parsed: CorrectionsText, cells: Mapping[str, str]) -> str:
    """The text of a line in the columns of the file."""
    written = io.StringIO(newline="")
    csv.writer(written, delimiter=parsed.separator, lineterminator="\n").writerow(
        [_escaped(cells.get(name, "")) for name in parsed.columns]
    )
    return written.getvalue()


def _escaped(text: str) -> str:
    """A cell that no spreadsheet runs as a formula."""
    return f"'{text}" if text and text[0] in FORMULA_STARTS else text
