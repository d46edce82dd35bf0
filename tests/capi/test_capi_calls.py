"""The phone-in of a C program: ``calls.c``; of programs in C# and Pascal: ``Show.cs`` and ``show.pas``."""

from __future__ import annotations

import re

import pytest

from support import c_library, other_languages
from support.c_library import read_line, write_input
from support.callers import Callers
from support.fixtures import skip_for

SOURCE = c_library.TESTS / "calls.c"
CASES = re.findall(r'\{"(\w+)", \1\}', SOURCE.read_text(encoding="utf-8"))


@pytest.mark.parametrize("case", CASES)
def test_calls_of_a_c_program(case: str) -> None:
    program = c_library.program(SOURCE, "c99", f"-I{c_library.EXAMPLES}")
    assert c_library.run(program, case) == "passed\n"


@pytest.mark.parametrize("language", ["csharp", "pascal"])
def test_declarations_of_other_languages_carry_calls(language: str) -> None:
    """Names in UTF-8, structures that are passed to the callback and filled in, and numbers."""
    skip_for(other_languages.missing(language))
    command = other_languages.program("show", language)
    with Callers() as callers, c_library.running(list(command), other_languages.environment()) as process:
        link = read_line(process).rstrip("\n")
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/call\?invite=[\w-]+", link)
        callers.call(link, 600.0)
        assert [read_line(process) for _ in range(4)] == [
            "0 1 Änne 1 100 []\n",
            "1 1 Zoë 2 50 []\n",
            "1 1 Zoë 2 50 []\n",
            "1 1 Zoë 2 50 []\n",
        ]
        write_input(process, "\n")
        assert read_line(process) == "2 1 Zoë 4 50 [schön]\n"
        printed, errors = process.communicate("\n", timeout=60)
        assert (process.returncode, printed, errors) == (0, "", "")
