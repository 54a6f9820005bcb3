"""Every public function says what it takes, gives back and raises."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.imports import FILES, PACKAGE

Function = ast.FunctionDef | ast.AsyncFunctionDef

EXEMPT = {"property", "cached_property", "setter", "overload"}
"""Decorators of functions whose first line says it all. Commands are documented by their help texts."""


def public_functions(node: ast.Module | ast.ClassDef) -> Iterator[Function]:
    """The functions of a module and the methods of its classes whose names begin without an underscore."""
    for child in node.body:
        name = getattr(child, "name", "_")
        if isinstance(child, ast.ClassDef) and not name.startswith("_"):
            yield from public_functions(child)
        elif isinstance(child, Function) and not name.startswith("_") and not _is_exempt(child):
            yield child


def _is_exempt(function: Function) -> bool:
    decorators = [getattr(one, "id", getattr(one, "attr", "")) for one in function.decorator_list]
    is_command = any(isinstance(one, ast.Call) for one in function.decorator_list)
    return is_command or bool(EXEMPT.intersection(decorators))


def missing(function: Function) -> list[str]:
    """What the docstring of a function does not say."""
    text = ast.get_docstring(function) or ""
    if text.startswith("See "):  # a method that is documented by its protocol
        return []
    arguments = function.args
    names = [one.arg for one in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)]
    names += [arguments.vararg.arg] if arguments.vararg else []
    names = [name for name in names if name not in ("self", "cls")]
    found = [f"argument {name}" for name in names if f"{name}:" not in text and f"{name} (" not in text]
    if names and "Args:" not in text:
        found = ["Args"]
    if _returns(function) and "Returns:" not in text and "Yields:" not in text:
        found.append("Returns")
    raises = any(isinstance(node, ast.Raise) and node.exc is not None for node in ast.walk(function))
    return found + (["Raises"] if raises and "Raises:" not in text else [])


def _returns(function: Function) -> bool:
    if isinstance(function.returns, ast.Name):
        return function.returns.id not in ("NoReturn", "Self")
    return not (function.returns is None or getattr(function.returns, "value", 0) is None)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_public_functions_are_documented(path: Path) -> None:
    functions = public_functions(ast.parse(path.read_text(encoding="utf-8")))
    lacking = {f"{function.lineno} {function.name}": missing(function) for function in functions}
    assert {place: gaps for place, gaps in lacking.items() if gaps} == {}
