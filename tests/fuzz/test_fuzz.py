"""Runs each of the core's fuzzers for ten seconds, starting from its seeds; ``make fuzz`` runs them for longer."""

from __future__ import annotations

from pathlib import Path

import pytest

from fuzz import fuzzers
from support.conformance import covers


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the compiled fuzzers and their seeds."""
    made = tmp_path_factory.mktemp("fuzz")
    fuzzers.build(made)
    return made


@covers("SE70")
@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", fuzzers.FUZZERS)
def test_fuzzer_finds_no_failing_input(folder: Path, tmp_path: Path, name: str) -> None:
    """No sanitizer or assertion fails, and no input takes longer than ten seconds."""
    fuzzers.run(folder, name, tmp_path / "corpus", seconds=10)
