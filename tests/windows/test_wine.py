"""The Windows machines of ``support.wine`` themselves."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from pathlib import Path

import pytest

from support import wine
from support.patience import wait_until
from support.wine_lab import Lab

# On a fresh machine the first test makes the prefix and a Windows Python.
pytestmark = pytest.mark.timeout(900)

COMPLEX_FUNCTIONS = """
import numpy as np
names = "abs angle exp log sqrt sin cos tan sinh cosh tanh arcsin arccos arctan arcsinh arccosh arctanh conj".split()
for kind in (np.complex64, np.complex128):
    z = np.array([0.5 + 0.25j, -1 - 2j, 3j], kind)
    for name in names:
        print(name, np.round(getattr(np, name)(z), 4).tolist())
    print("power", np.round(z ** z[::-1], 4).tolist())
"""


def test_numpy_calculates_complex_numbers_as_on_linux(lab: Lab) -> None:
    """Wine's own functions end the process, so ours replace them."""
    here = subprocess.run([sys.executable, "-c", COMPLEX_FUNCTIONS], capture_output=True, encoding="utf-8", check=True)
    there = lab.windows.run(wine.python(), "-c", COMPLEX_FUNCTIONS)
    assert there.stderr == ""
    assert numbers(there.stdout) == pytest.approx(numbers(here.stdout), abs=2e-4)


def test_program_in_a_console_ends_with_its_process(lab: Lab, tmp_path: Path) -> None:
    """``console.exe`` is killed, which takes the program with it."""
    script = tmp_path / "sleep.py"
    script.write_text("import time\nprint('started', flush=True)\ntime.sleep(100)\n", encoding="utf-8")
    with lab.windows.start(wine.python(), script, console=True) as process:
        assert process.read_line() == "started"
        assert len(processes_of(script)) == 2
    wait_until(lambda: processes_of(script) == [])


def processes_of(script: Path) -> list[str]:
    """Return the ids of the Linux processes whose command line names the script."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if wine.windows_path(script).encode() in path.read_bytes():
                found.append(path.parent.name)
    return found


def numbers(output: str) -> list[complex]:
    """Return all numbers of all lines, such as ``exp [1j, 2.5]``."""
    return [
        complex(number) for line in output.splitlines() for number in line.partition("[")[2].rstrip("]").split(", ")
    ]
