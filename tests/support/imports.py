"""What the files of the package import, read from their source once."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[2] / "fervid"

FILES = sorted(PACKAGE.rglob("*.py"))


@cache
def imported(path: Path) -> frozenset[str]:
    """Full dotted names of all that a file imports, anywhere in it: modules, and names of fervid's modules."""
    return frozenset(_imported(path))


def _imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name} imports relatively"
            module = node.module or ""
            yield from (f"{module}.{alias.name}" for alias in node.names) if module.startswith("fervid") else [module]


def modules_imported(path: Path) -> set[str]:
    """The modules of fervid that a file imports, such as ``faces/crop``."""
    found = set()
    for name in imported(path):
        parts = name.split(".")[1:] if name.startswith("fervid.") else []
        while parts and not (PACKAGE.joinpath(*parts).with_suffix(".py")).is_file():
            parts = parts[:-1]
        if parts:
            found.add("/".join(parts))
    return found
