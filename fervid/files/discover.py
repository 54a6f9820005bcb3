"""Finding input files: paths, folders and glob patterns → an ordered list of videos."""

from __future__ import annotations

import fnmatch
import glob
import hashlib
import itertools
import os
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from fervid.errors import InputNotFound, UsageError
from fervid.files.animated import is_animated
from fervid.files.sequences import exists, find_sequences, images_of, is_sequence
from fervid.settings import InputSettings


def _endings(text: str) -> frozenset[str]:
    return frozenset(f".{ending}" for ending in text.split())


SUFFIXES = (
    _endings("3g2 3gp 3gp2 3gpp 360 f4v insv ismv k3g lrf lrv m4v mj2 mov mp4 mp4v mqv psp qt")  # MOV and MP4
    | _endings("mk3d mkv webm amv avi divx asf dvr-ms wm wmv flv ogm ogv ogx rm rmvb mxf nut wtv swf dif dv")
    | _endings("evo m1v m2p m2v mod mp2v mpe mpeg mpg mpv mpv2 vob vro m2t m2ts mts tod tp trp ts")  # MPEG
    | _endings("263 264 265 266 avc h263 h264 h265 h266 h26l hevc ivf mjpeg mjpg obu vvc y4m apng gif")  # bare streams
)
"""Endings by which files in a folder count as videos. A file given by itself always counts."""

IMAGE_SUFFIXES = _endings("apng avif bmp dib gif j2k jfif jp2 jpe jpeg jpg pbm pgm png pnm ppm ras sr tif tiff webp")
"""Endings by which files in a folder count as still images."""

ANIMATED_SUFFIXES = _endings("avif avifs png webp")
"""Endings of still images that count as videos if their header says that they are animations."""

_CAMERA_IMAGES = _endings("3fr arw cr2 cr3 dng exr heic heics heif hif jxl nef nrw orf pef psd raf raw rw2 srw svg tga")

_SOUND = _endings("aac ac3 aif aiff amr ape au caf dts flac m4a m4b mka mp2 mp3 oga ogg opus wav wma")

_OTHER_VIDEOS = _endings(
    "ari arf avs av1 bik braw camrec crm dav flc fli h261 ism mlv nsv r3d roq smk trec viv wrf yuv"
)

_LISTS = _endings("asx f4m m3u m3u8 mpd mpls pls smil wpl xspf")

_NO_VIDEO = {
    **dict.fromkeys(_OTHER_VIDEOS, "a video format that is not supported; convert it to MP4"),
    **dict.fromkeys(_LISTS, "a list of other files, which is not followed; name these files instead"),
}
"""Ending of a file that is not taken as a video → the reason."""

_NO_VIDEOS = {
    **dict.fromkeys(IMAGE_SUFFIXES - SUFFIXES, "still images, not videos; with `fps_in`, numbered ones are a video"),
    **dict.fromkeys(_CAMERA_IMAGES - SUFFIXES, "still images, not videos"),
    **dict.fromkeys(_SOUND, "sound, not video; a file with pictures is analysed if it is named itself"),
}
"""The same for files of which there may be thousands. They are listed once for each folder."""

_NO_IMAGE = dict.fromkeys(_CAMERA_IMAGES, "an image format that is not supported; convert it to JPEG or PNG")
"""Ending of a file that is not taken as a still image → the reason."""


@dataclass(frozen=True)
class Wanted:
    """Which files of a folder are inputs.

    Attributes:
        suffixes: Endings, in lower case, that are.
        if_animated: Endings that are if the file is an animation.
        refused: Ending → why a file is listed as skipped.
        refused_together: The same; all files of a folder with that ending are listed as one entry.
        sequences: Whether the numbered images of a folder together are an input.
    """

    suffixes: frozenset[str]
    if_animated: frozenset[str] = frozenset()
    refused: Mapping[str, str] = field(default_factory=dict)
    refused_together: Mapping[str, str] = field(default_factory=dict)
    sequences: bool = False

    def accepts(self, path: Path) -> bool:
        """Whether a file is an input.

        Args:
            path: The file.

        Returns:
            True if its ending counts.
        """
        ending = path.suffix.lower()
        return ending in self.suffixes or (ending in self.if_animated and is_animated(path))


VIDEOS = Wanted(SUFFIXES, ANIMATED_SUFFIXES, _NO_VIDEO, _NO_VIDEOS)
IMAGES = Wanted(IMAGE_SUFFIXES, refused=_NO_IMAGE)

SYSTEM_FOLDERS = frozenset(
    {
        "$recycle.bin",
        "recycler",
        "recycled",
        "system volume information",
        "lost+found",
        "__macosx",
        "network trash folder",
    }
    | {"@eadir", "#recycle", "#snapshot", "@recycle", "@recently-snapshot", "@__thumb", "@tmp", "temporary items"}
)
"""Folders of deleted files, backups and thumbnails, in lower case. They are passed over like hidden folders."""


@dataclass(frozen=True)
class Source:
    """One input file, or an entry of an input folder that is skipped.

    Attributes:
        path: The file.
        name: Its name in the tables: its ``place``, or ``path`` as given if files of several roots share the place.
        place: Its path relative to ``root``. A skipped link to a folder has a place that ends in a slash.
        skip: Why it is not analysed; None if it is.
        root: The input folder in which it was found; for a file given by itself, the folder that holds it.
    """

    path: Path
    name: str
    place: str
    skip: str | None = None
    root: Path = Path()


OUTSIDE = "a link that points outside the input folder; use `follow_links` to follow it"
"""Reason for skipping a link."""

ANNOTATED = ".annotated.mp4"
"""Ending of the videos that ``fervid annotate`` writes. Folders and patterns do not count them as inputs."""

MADE_HERE = f"*{ANNOTATED} is fervid's own output; pass the file by name to analyse it"
"""Reason for skipping an annotated video."""


def discover(
    paths: Iterable[str | os.PathLike[str]], wanted: Wanted = VIDEOS, follow_links: bool = False
) -> list[Source]:
    """Find videos (or still images) by files, folders and glob patterns.

    Folders are searched recursively in the order of their names, without hidden entries and SYSTEM_FOLDERS. Files that
    look like media and are not taken are listed with the reason why they are skipped. A file that is reached more
    than once is listed once, and a folder is searched once, so that a loop of links ends. Without ``follow_links``, a
    link that points outside its input folder is listed with the reason why it is skipped.

    Args:
        paths: Files, folders and glob patterns.
        wanted: Which files inside folders count. A file given by itself always counts.
        follow_links: Whether to follow links that point outside the input folder.

    Returns:
        The inputs, in the order of ``paths``.

    Raises:
        InputNotFound: A path does not exist, or a pattern matches nothing.
    """
    found: dict[Path, Source] = {}
    for given in paths:
        literal = bool(os.fspath(given)) and os.path.lexists(given)
        for root in _expand(given):
            linked = not literal and not follow_links and _leaves(root, _fixed(given))
            for source in _search(root, wanted, follow_links and not linked):
                if linked:
                    source = replace(source, skip=OUTSIDE)
                elif not literal and source.path.name.endswith(ANNOTATED):
                    source = replace(source, skip=MADE_HERE)
                key = Path(os.path.realpath(source.path.parent)) / source.path.name
                found.setdefault(key, source)
    return _distinct(list(found.values()))


def _distinct(sources: list[Source]) -> list[Source]:
    """Make names unique: a source that shares its name with another one is named by its path."""
    while True:
        named = Counter(source.name for source in sources)
        paths = [source.path.as_posix() for source in sources]
        if all(named[s.name] == 1 or s.name == path for s, path in zip(sources, paths, strict=True)):
            return sources
        sources = [
            replace(source, name=path) if named[source.name] > 1 else source
            for source, path in zip(sources, paths, strict=True)
        ]


def select(sources: Iterable[Source], settings: InputSettings) -> list[Source]:
    """Apply the settings that leave inputs out.

    Args:
        sources: The inputs.
        settings: Patterns to exclude, the shard to keep, and how long a file must have been unchanged.

    Returns:
        The inputs that are neither excluded nor in another shard. Files modified too recently have a ``skip`` reason.
    """
    chosen = []
    for source in sources:
        places = {shown_name(source.place), shown_name(source.place).rstrip("/")}
        excluded = any(fnmatch.fnmatchcase(place, pattern) for place in places for pattern in settings.exclude)
        if excluded or not _in_shard(shown_name(source.name), settings):
            continue
        if source.skip is None and settings.settle and _age(source.path) < settings.settle:
            source = replace(source, skip="modified a moment ago; the next run analyses it")
        chosen.append(source)
    return chosen


def _in_shard(name: str, settings: InputSettings) -> bool:
    if settings.part is None:
        return True
    number, count = settings.part
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8]) % count == number - 1


def _age(path: Path) -> float:
    """Seconds since a file was modified; infinite if the file cannot be examined."""
    try:
        files = [file for _, file in images_of(path)] if is_sequence(path) else [path]
        status = max((file.stat() for file in files), key=lambda one: one.st_mtime)
        now = time.time()
        # another machine's clock may be ahead, and would make the file appear new forever; ctime is this machine's
        return now - (status.st_mtime if status.st_mtime <= now else status.st_ctime)
    except (OSError, ValueError):
        return float("inf")


def refuse_overwriting(sources: Iterable[Source], outputs: Iterable[Path]) -> None:
    """Check that no output is also an input.

    Args:
        sources: The inputs.
        outputs: The files that will be written.

    Raises:
        UsageError: An output is one of the inputs, perhaps through a link.
    """
    targets = {os.path.realpath(output) for output in outputs}
    for source in sources:
        if os.path.realpath(source.path) in targets:
            raise UsageError(f"the output would overwrite the input {source.path}")


def _expand(given: str | os.PathLike[str]) -> list[Path]:
    """The path itself if it exists or is an image sequence, otherwise what it matches as a glob pattern."""
    path = Path(given)
    if os.fspath(given) and os.path.lexists(path):  # an empty name would be the working directory
        return [path]
    if is_sequence(path) and exists(path):
        return [path]
    pattern = os.fspath(given)
    matches = sorted(Path(match) for match in glob.glob(pattern, recursive=True))
    if not matches:
        raise InputNotFound(f"no such file or folder: {given}")
    return matches


def _fixed(given: str | os.PathLike[str]) -> Path:
    """The folder that contains all matches of a pattern: the parts before the first wildcard."""
    parts = Path(given).parts
    fixed = itertools.takewhile(lambda part: not glob.has_magic(part), parts)
    return Path(*fixed)


def _search(root: Path, wanted: Wanted, follow_links: bool) -> Iterator[Source]:
    """The inputs under a folder, in order; or the file itself."""
    if not root.is_dir():
        yield Source(root, root.name, root.name, root=root.parent)
        return

    def source(path: Path, skip: str | None = None, ending: str = "") -> Source:
        place = path.relative_to(root).as_posix()
        return Source(path, place, place + ending, skip, root)

    unreadable: list[OSError] = []
    visited = {os.path.realpath(root)}
    for folder, subfolders, files in os.walk(root, onerror=unreadable.append, followlinks=True):
        inner = [Path(folder) / name for name in sorted(subfolders) if not _is_passed_over(name)]
        leading_out = [path for path in inner if _leaves(path, root)]
        if not follow_links:
            yield from (source(path, OUTSIDE, "/") for path in leading_out)
        # A link to a folder inside the root is followed only if that folder is hidden: the search finds the others.
        # Folders come before links, so that a folder that is reached both ways has its own name.
        chosen = [path for path in inner if not os.path.islink(path)] + (leading_out if follow_links else [])
        links = [path for path in inner if os.path.islink(path) and path not in leading_out]
        chosen += [path for path in links if _is_hidden(path, root)]
        new = {real: path.name for path in reversed(chosen) if (real := os.path.realpath(path)) not in visited}
        subfolders[:] = sorted(new.values())
        visited |= new.keys()
        visible = [Path(folder) / name for name in sorted(files) if not name.startswith(".")]
        for path in visible:
            outside = not follow_links and _leaves(path, root)
            if wanted.accepts(path):
                yield source(path, OUTSIDE if outside else MADE_HERE if path.name.endswith(ANNOTATED) else None)
            elif path.suffix.lower() in wanted.refused:
                yield source(path, wanted.refused[path.suffix.lower()])
        images = [path for path in visible if path.suffix.lower() in IMAGE_SUFFIXES and not wanted.accepts(path)]
        sequences = find_sequences(images) if wanted.sequences else {}
        for pattern, members in sorted(sequences.items()):
            outside = not follow_links and any(_leaves(path, root) for path in members)
            yield source(pattern, OUTSIDE if outside else None)
        single = set(visible).difference(*sequences.values())
        for pattern, reason in _refused_together(single, wanted):
            yield source(pattern, reason)
    for error in unreadable:  # kept as inputs, so that they are reported as failed
        yield source(Path(error.filename))


def _is_passed_over(folder: str) -> bool:
    return folder.startswith(".") or folder.casefold() in SYSTEM_FOLDERS or folder.casefold().startswith("found.0")


def _refused_together(files: Iterable[Path], wanted: Wanted) -> Iterator[tuple[Path, str]]:
    """For each ending of ``refused_together`` in a folder, a pattern of the files and why they are skipped."""
    refused = [path for path in files if path.suffix.lower() in wanted.refused_together and not wanted.accepts(path)]
    counts = Counter(path.suffix.lower() for path in refused)
    for ending, count in sorted(counts.items()):
        (folder,) = {path.parent for path in refused}
        number = f"{count} files: " if count > 1 else ""
        yield folder / f"*{ending}", f"{number}{wanted.refused_together[ending]}"


def _leaves(path: Path, root: Path) -> bool:
    """Whether ``path`` is a link to something that exists outside ``root``. A dangling link is reported as failed."""
    if not os.path.islink(path):
        return False
    target, base = os.path.realpath(path), os.path.realpath(root)
    return os.path.lexists(target) and os.path.commonpath([target, base]) != base


def _is_hidden(path: Path, root: Path) -> bool:
    """Whether the target of ``path``, a link inside ``root``, is a hidden entry of ``root``."""
    inside = os.path.relpath(os.path.realpath(path), os.path.realpath(root))
    return any(part.startswith(".") and part != "." for part in Path(inside).parts)


def shown_name(name: str) -> str:
    """Make a file name printable as UTF-8.

    Args:
        name: A name as Python gives it, with surrogates for bytes that are not UTF-8.

    Returns:
        The name with those bytes as backslash escapes, such as ``\\xfc``.
    """
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
