"""docs/conformance.md against the ``@covers`` markers of the tests."""

from __future__ import annotations

from pathlib import Path

import pytest

import conformance

ROOT = Path(__file__).parents[2]
PAGE = conformance.PAGE.read_text("utf-8")


def test_every_label_in_tests_is_a_requirement() -> None:
    assert set(conformance.covered()) - set(conformance.requirements(PAGE)) == set()


def test_labels_are_unique() -> None:
    labels = conformance.requirements(PAGE)
    assert len(labels) > 140
    assert len(labels) == len(set(labels))


def test_index_is_up_to_date() -> None:
    assert conformance.with_index(PAGE, conformance.covered()) == PAGE, "run make conformance"


def test_index_lists_tests_and_requirements_without_one(tmp_path: Path) -> None:
    (tmp_path / "test_x.py").write_text(
        '@covers("WS1")\ndef test_a(): ...\n@covers("WS1", "SE2")\nasync def test_b(): ...\n', encoding="utf-8"
    )
    (tmp_path / "test_y.c").write_text(
        "/* Covers OP1 and OP2: not SE2. */\nstatic void test_c(void) {}\n", encoding="utf-8"
    )
    tests = conformance.covered(tmp_path)
    assert tests == {
        "WS1": {"test_x.py": ["test_a", "test_b"]},
        "SE2": {"test_x.py": ["test_b"]},
        "OP1": {"test_y.c": ["test_c"]},
        "OP2": {"test_y.c": ["test_c"]},
    }
    page = conformance.with_index("- WS1 MUST x\n- SE2 y\n- CL3 z\n\n", tests)
    assert "| WS1 | test_x.py: `test_a`, `test_b` |" in page
    assert page.endswith("Without a test: CL3.\n")
    assert conformance.with_index(page, tests) == page


@pytest.mark.parametrize("line", ["WS1 in a sentence", "| WS1 | a table |", "  - WS1 nested"])
def test_only_list_items_define_requirements(line: str) -> None:
    assert conformance.requirements(line) == []
