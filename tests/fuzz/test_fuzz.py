"""The core's fuzzers find nothing in their seeds, nor in some seconds around them; ``make fuzz`` tries for longer."""

from __future__ import annotations

from pathlib import Path

import pytest

from fuzz import fuzzers
from support.conformance import covers


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The fuzzers, built."""
    made = tmp_path_factory.mktemp("fuzz")
    fuzzers.build(made)
    return made


@covers("SE70")
@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", fuzzers.FUZZERS)
def test_no_input_makes_the_core_stumble(folder: Path, tmp_path: Path, name: str) -> None:
    """Neither a sanitizer nor an assertion objects, and no input takes long."""
    fuzzers.run(folder, name, tmp_path / "corpus", seconds=10)
