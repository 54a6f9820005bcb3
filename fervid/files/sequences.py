"""Image sequences: numbered images that together are one video, named by a pattern such as ``frame_%05d.png``."""

from __future__ import annotations

import math
import os
import re
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

_NUMBER = re.compile(r"%(?:0(\d{1,2}))?d")


def is_sequence(path: str | os.PathLike[str]) -> bool:
    """Whether a path is the pattern of an image sequence, and not a file of that name.

    Args:
        path: The path.

    Returns:
        True if the file's name has exactly one ``%d`` or ``%05d`` (any width), and no other percent sign.
    """
    name = os.path.basename(os.fspath(path))
    return name.count("%") == 1 and _NUMBER.search(name) is not None and not os.path.lexists(path)


def images_of(pattern: str | os.PathLike[str]) -> list[tuple[int, Path]]:
    """List the images of a sequence.

    Args:
        pattern: A path whose name contains ``%d`` or ``%05d``.

    Returns:
        (number, file) of every image that exists, by number. ``%05d`` fits numbers of five digits with leading zeros
        and longer numbers without; ``%d`` fits numbers without leading zeros.

    Raises:
        OSError: The folder cannot be listed.
    """
    path = Path(pattern)
    match = _NUMBER.search(path.name)
    if match is None:
        return []
    width = int(match[1] or 1)
    before, after = path.name[: match.start()], path.name[match.end() :]
    found = []
    for name in os.listdir(path.parent):
        digits = name[len(before) : len(name) - len(after)]
        is_number = digits.isascii() and digits.isdecimal() and str(int(digits)).zfill(width) == digits
        if is_number and name == before + digits + after:
            found.append((int(digits), path.parent / name))
    return sorted(found)


def exists(path: Path) -> bool:
    """Whether a path is a file or a folder, or the pattern of an image sequence that has images.

    Args:
        path: The path.

    Returns:
        True if there is something to read.
    """
    try:
        return os.path.exists(path) or (is_sequence(path) and bool(images_of(path)))
    except (OSError, ValueError):  # a name that is too long, or contains a null character
        return False


def places_of(numbers: Iterable[int]) -> list[int]:
    """Find the place of each image in time.

    Args:
        numbers: The numbers of the images, increasing.

    Returns:
        How many frame periods after the first image each one is shown. Numbers that rise by a fixed step, such as 10,
        20, 30, are one period apart. A missing number leaves a gap.
    """
    found = list(numbers)
    distances = [number - found[0] for number in found]
    step = math.gcd(*distances) or 1
    return [distance // step for distance in distances]


def find_sequences(files: Iterable[Path]) -> dict[Path, list[Path]]:
    """Group the numbered images of a folder. The last digits of a name are its number.

    Args:
        files: Images of one folder.

    Returns:
        Pattern → its files, for each pattern with at least two files.
    """
    numbered: dict[tuple[Path, str, str], list[tuple[str, Path]]] = defaultdict(list)
    for file in files:
        match = re.fullmatch(r"(.*?)([0-9]+)([^0-9]*)", file.name.removesuffix(file.suffix), re.DOTALL)
        if match is not None and "%" not in file.name:
            numbered[file.parent, match[1], match[3] + file.suffix].append((match[2], file))
    found: dict[Path, list[Path]] = defaultdict(list)
    for (folder, before, after), members in numbered.items():
        padded = {len(digits) for digits, _ in members if digits.startswith("0") and len(digits) > 1}
        for digits, file in members:  # 099 has a leading zero and 100 has none: both belong to %03d
            width = max((width for width in padded if width <= len(digits)), default=0)
            number = f"%0{width}d" if width else "%d"
            found[folder / f"{before}{number}{after}"].append(file)
    return {pattern: sorted(members) for pattern, members in found.items() if len(members) > 1}
