"""Writes the index of tests in docs/conformance.md: which tests cover which requirement, and which have none.

``make conformance`` runs it; tests/unit/test_conformance.py fails while the index is out of date.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "conformance.md"
HEADING = "## Tests by requirement\n"
_LABEL = r"\b(?:WS|ES|CL|OP|RT|SD|SE)\d+\b"
_REQUIREMENT = re.compile(rf"^- ({_LABEL})", re.MULTILINE)
_C_TEST = re.compile(r"/\* Covers ([^/]*?)\*/\nstatic void (test_\w+)")


def requirements(page: str) -> list[str]:
    """The labels that the page defines, in its order: each begins an item of a list."""
    return _REQUIREMENT.findall(page.partition(HEADING)[0])


def covered(tests: Path = ROOT / "tests") -> dict[str, dict[str, list[str]]]:
    """Label → test file, relative to ``tests`` → names of its tests.

    Python tests are marked ``@covers("WS28")``; a comment ``/* Covers OP10 and OP11. */`` precedes a C test.
    """
    found: dict[str, dict[str, list[str]]] = {}
    for path in sorted((*tests.rglob("test_*.py"), *tests.rglob("test_*.c"))):
        text = path.read_text("utf-8")
        for test, label in _labels(ast.parse(text)) if path.suffix == ".py" else _c_labels(text):
            found.setdefault(label, {}).setdefault(path.relative_to(tests).as_posix(), []).append(test)
    return found


def with_index(page: str, tests: dict[str, dict[str, list[str]]]) -> str:
    """The page with a new index."""
    text, _, _ = page.partition(HEADING)
    labels = requirements(page)
    lines = [
        HEADING,
        "Written by `make conformance` from the `@covers` markers of Python tests and the comments of C tests.\n",
        "| requirement | tests |",
        "|---|---|",
    ]
    for label in labels:
        if label in tests:
            files = (f"{file}: {', '.join(f'`{name}`' for name in names)}" for file, names in tests[label].items())
            lines.append(f"| {label} | {'; '.join(files)} |")
    without = [label for label in labels if label not in tests]
    lines.append(f"\nWithout a test: {', '.join(without) or 'none'}.")
    return text + "\n".join(lines) + "\n"


def _labels(module: ast.Module) -> Iterator[tuple[str, str]]:
    for node in ast.walk(module):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            for marker in node.decorator_list:
                if isinstance(marker, ast.Call) and isinstance(marker.func, ast.Name) and marker.func.id == "covers":
                    yield from ((node.name, str(ast.literal_eval(argument))) for argument in marker.args)


def _c_labels(text: str) -> Iterator[tuple[str, str]]:
    for comment, test in _C_TEST.findall(text):
        yield from ((test, label) for label in re.findall(_LABEL, comment.partition(":")[0]))


if __name__ == "__main__":
    PAGE.write_text(with_index(PAGE.read_text("utf-8"), covered()), "utf-8")
