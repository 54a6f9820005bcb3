"""The documentation as data: headings, links, tables and code blocks of Markdown pages."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from tests.support.paths import ROOT

README = ROOT / "README.md"
GUIDES = sorted((ROOT / "docs").glob("*.md"))
OTHERS = [ROOT / name for name in ("CHANGELOG.md", "CONTRIBUTING.md", "MODEL_CARD.md", "sample_videos/README.md")]

FILE = re.compile(r"<!-- file: ([\w.-]+) -->")
"""The line before a code block that is the content of a file of that name."""

NOT_RUN = re.compile(r"<!-- not run: (.+) -->")
"""The line before a code block that the tests do not run, with the reason."""


@dataclass(frozen=True)
class Block:
    """A fenced code block. ``reason`` says why the tests do not run it; None if they do. ``file``: what it shows."""

    page: Path
    line: int
    language: str
    code: str
    reason: str | None
    file: str | None = None


def blocks(page: Path) -> list[Block]:
    """The code blocks of a page, in order."""
    found: list[Block] = []
    lines = page.read_text(encoding="utf-8").splitlines()
    start = None
    for number, line in enumerate(lines):
        if not line.startswith("```"):
            continue
        if start is None:
            start = number
            continue
        mark, file = (form.fullmatch(lines[start - 1]) if start else None for form in (NOT_RUN, FILE))
        language, code = lines[start].removeprefix("```"), "\n".join(lines[start + 1 : number]) + "\n"
        found.append(Block(page, start + 1, language, code, mark[1] if mark else None, file[1] if file else None))
        start = None
    assert start is None, f"{page.name}:{start}: a code block without an end"
    return found


def prose(page: Path) -> str:
    """The text of a page without its code blocks."""
    return re.sub(r"(?ms)^```.*?^```$", "", page.read_text(encoding="utf-8"))


def links(page: Path) -> list[str]:
    """The targets of the links and images of a page."""
    without_code = re.sub(r"`[^`\n]+`", "code", prose(page))
    return re.findall(r"\]\(([^()\s]+)\)", without_code)


def anchors(page: Path) -> set[str]:
    """What a link to a heading of the page may say after ``#``, as GitHub makes it."""
    names: dict[str, int] = {}
    found = set()
    for heading in re.findall(r"(?m)^#+ (.+)$", prose(page)):
        text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        name = re.sub(r"[^\w\- ]", "", text).strip().replace(" ", "-")
        count = names.get(name, 0)
        names[name] = count + 1
        found.add(f"{name}-{count}" if count else name)
    return found


def sections(page: Path, level: int = 2) -> dict[str, str]:
    """Heading of that level → its text, with deeper headings."""
    parts = re.split(rf"(?m)^{'#' * level} (.+)$", page.read_text(encoding="utf-8"))
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def first_cells(text: str) -> list[str]:
    """The first cell of every row of the tables in a text, without headers and rulers."""
    rows = re.findall(r"(?m)^\|.*\|$", text)
    cells = [row.strip("|").split("|")[0].strip() for row in rows]
    rulers = {number for number, cell in enumerate(cells) if set(cell) <= {"-", ":"} and cell}
    return [cell for number, cell in enumerate(cells) if number not in rulers and number + 1 not in rulers]


def code_spans(text: str) -> list[str]:
    """The texts between backticks."""
    return re.findall(r"`([^`\n]+)`", text)
