"""Wrong use of the C functions returns an error code and a message and never crashes: ``wrong_*.c``."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from support import c_library

SOURCES = [c_library.TESTS / name for name in ("wrong_use.c", "wrong_signaling.c")]
CASES = [
    (source, case) for source in SOURCES for case in re.findall(r'\{"(\w+)", \1\}', source.read_text(encoding="utf-8"))
]


def compiled(source: Path) -> Path:
    return c_library.program(source, "c99", f"-I{c_library.EXAMPLES}")


@pytest.mark.parametrize(("source", "case"), CASES, ids=[case for _, case in CASES])
def test_wrong_use_returns_an_error(source: Path, case: str) -> None:
    assert c_library.run(compiled(source), case) == "passed\n"


def test_library_stays_loaded_and_a_second_copy_is_refused(tmp_path: Path) -> None:
    library = c_library.library()
    copy = shutil.copy(library, tmp_path / "copy.so")
    assert c_library.run(compiled(SOURCES[0]), "unload_and_load", str(library), str(copy)) == "passed\n"
