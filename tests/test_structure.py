"""Limits that keep the source readable: length of files and functions, number of parameters."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.imports import FILES, PACKAGE

MAX_FILE_LINES, MAX_FUNCTION_LINES, MAX_PARAMETERS = 500, 60, 7

KEYWORD_RICH = ("cli/", "api.py", "pipeline.py")
"""The command line and the public Python API: their functions have a parameter for each option and describe it."""

Function = ast.FunctionDef | ast.AsyncFunctionDef


def functions(path: Path) -> Iterator[tuple[str, Function]]:
    """Every function of a file, with the file's name and its own."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, Function):
            yield f"{path.relative_to(PACKAGE).as_posix()} {node.name}", node


def parameters(function: Function) -> list[str]:
    """The names of a function's parameters but for ``self`` and ``cls``."""
    arguments = function.args
    found = [argument.arg for argument in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)]
    return [name for name in found if name not in ("self", "cls")]


def test_no_file_is_too_long() -> None:
    lengths = {path.relative_to(PACKAGE).as_posix(): len(path.read_text().splitlines()) for path in FILES}
    assert {name: length for name, length in lengths.items() if length > MAX_FILE_LINES} == {}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_functions_are_short_and_take_few_parameters(path: Path) -> None:
    for name, node in functions(path):
        if not name.startswith(KEYWORD_RICH):
            assert (node.end_lineno or 0) - node.lineno < MAX_FUNCTION_LINES, name
            assert len(parameters(node)) <= MAX_PARAMETERS, name


PRINTING = {"cli/messages.py", "training/measure_crop_geometry.py"}
"""The module that prints what commands say, and a script of its own."""


def test_only_one_module_prints() -> None:
    """It escapes every line: names of files may hold codes that a terminal would obey."""
    found = {
        path.relative_to(PACKAGE).as_posix()
        for path in FILES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    }
    assert found == PRINTING
