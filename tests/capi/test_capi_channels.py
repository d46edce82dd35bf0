"""A server of a C program with several channels: ``channels.c``."""

from __future__ import annotations

import re

import pytest

from support import c_library

SOURCE = c_library.TESTS / "channels.c"
CASES = re.findall(r'\{"(\w+)", \1\}', SOURCE.read_text(encoding="utf-8"))


@pytest.mark.parametrize("case", CASES)
def test_channels_of_a_c_program(case: str) -> None:
    program = c_library.program(SOURCE, "c99", f"-I{c_library.EXAMPLES}")
    assert c_library.run(program, case) == "passed\n"
