"""``wrong_use.c``: what a C program should not do ends in an error code and words, and never in a crash."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from support import c_library

SOURCE = c_library.TESTS / "wrong_use.c"
CASES = re.findall(r'\{"(\w+)", \1\}', SOURCE.read_text())


@pytest.mark.parametrize("case", CASES)
def test_wrong_use_is_refused(case: str) -> None:
    assert c_library.run(c_library.program(SOURCE, "c99", f"-I{c_library.EXAMPLES}"), case) == "well done\n"


def test_the_library_stays_loaded_and_a_second_copy_is_refused(tmp_path: Path) -> None:
    library = c_library.library()
    copy = shutil.copy(library, tmp_path / "copy.so")
    binary = c_library.program(SOURCE, "c99", f"-I{c_library.EXAMPLES}")
    assert c_library.run(binary, "unload_and_load", str(library), str(copy)) == "well done\n"
