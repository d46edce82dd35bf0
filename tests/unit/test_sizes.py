"""CONTRIBUTING.md: modules of 500 lines at most, functions of 60; so that each can be read at one go."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "src" / "bass_webrtc"
MADE_BY_CFFI = "_core.c"
MODULES = sorted(
    path for path in PACKAGE.rglob("*") if path.suffix in {".py", ".c", ".js"} and path.name != MADE_BY_CFFI
)


def functions(source: str) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def lines_of(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    assert node.end_lineno is not None
    return node.end_lineno - node.lineno + 1


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_and_its_functions_are_short(path: Path) -> None:
    source = path.read_text()
    assert len(source.splitlines()) <= 500
    if path.suffix == ".py":
        assert {node.name: lines_of(node) for node in functions(source) if lines_of(node) > 60} == {}


def test_there_are_modules_to_look_at() -> None:
    assert len(MODULES) > 150
    assert [lines_of(node) for node in functions("def f():\n  x = 1\n  return x\n")] == [3]
