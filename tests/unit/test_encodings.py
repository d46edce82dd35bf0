"""Text is read and written in a named encoding: that of the system may be GBK, EUC-JP or cp1252.

ruff's PLW1514 checks ``open``. What it cannot see are methods of values whose type it does not know, and pipes.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = ("bench", "docs", "examples", "scripts", "src", "tests")
LEFT_ALONE = ROOT / "scripts/toolchains.py"
"""Its text is part of the key under which built packages are kept; what it reads is ASCII."""


PIPES = ("text", "universal_newlines")
SUSPECT = re.compile(r"(read|write)_text\(|(text|universal_newlines)=True")


def without_encoding(text: str) -> Iterator[int]:
    """The lines of calls that read or write text in the system's encoding."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Call) and not any(one.arg == "encoding" for one in node.keywords):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else ""
            is_file = len(node.args) == {"read_text": 0, "write_text": 1}.get(called)
            if is_file or any(one.arg in PIPES and _is_true(one.value) for one in node.keywords):
                yield node.lineno


def _is_true(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is True


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("path.read_text()", [1]),
        ("path.write_text(x)", [1]),
        ("run(x, text=True)", [1]),
        ("run(x, universal_newlines=True)", [1]),
        ("path.read_text('utf-8')", []),
        ("path.read_text(encoding='utf-8')", []),
        ("path.write_text(x, encoding='utf-8')", []),
        ("run(x, encoding='utf-8')", []),
        ("draw(text='x', is_bold=True)", []),
    ],
)
def test_calls_without_an_encoding_are_found(text: str, lines: list[int]) -> None:
    assert list(without_encoding(text)) == lines


def test_every_text_names_its_encoding() -> None:
    paths = (path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py") if path != LEFT_ALONE)
    texts = {path: text for path in paths if SUSPECT.search(text := path.read_text("utf-8"))}
    assert len(texts) > 20
    found = [f"{path.relative_to(ROOT)}:{line}" for path, text in texts.items() for line in without_encoding(text)]
    assert not found, f"name an encoding, such as encoding='utf-8': {found}"
