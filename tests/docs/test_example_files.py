"""The files in docs/how-to/examples, apart from the proxies' configurations, which test_reverse_proxies.py runs."""

from __future__ import annotations

import configparser
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from test_code_blocks import ROOT, shell_faults

EXAMPLES = ROOT / "docs/how-to/examples"
UNIT = EXAMPLES / "bass-webrtc.service"


def read_unit(text: str) -> configparser.ConfigParser:
    """A systemd unit."""
    unit = configparser.ConfigParser(interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]  # Keys have upper-case letters.
    unit.read_string(text)
    return unit


def test_systemd_unit_has_a_command_that_exists() -> None:
    unit = read_unit(UNIT.read_text(encoding="utf-8"))
    assert unit.sections() == ["Unit", "Service", "Install"]
    command = shlex.split(unit["Service"]["ExecStart"])
    assert command[0].endswith("/bin/bass-webrtc")
    assert shell_faults(shlex.join(["bass-webrtc", *command[1:]])) == []


def verify(text: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """The output of systemd-analyze for a unit whose program is this Python."""
    path = folder / UNIT.name
    path.write_text(
        text.replace("/opt/bass-webrtc/bin/bass-webrtc", os.path.realpath(sys.executable)), encoding="utf-8"
    )
    return subprocess.run(["systemd-analyze", "verify", str(path)], capture_output=True, encoding="utf-8", check=False)


def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        return  # A container without systemd: the test above has parsed the unit.
    result = verify(UNIT.read_text(encoding="utf-8"), tmp_path)
    own = [line for line in result.stderr.splitlines() if UNIT.name in line]
    assert own == []


def test_systemd_refuses_an_unknown_setting(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        return
    result = verify(UNIT.read_text(encoding="utf-8").replace("Restart=on-failure", "Restrat=on-failure"), tmp_path)
    assert "Restrat" in result.stderr


def test_every_example_file_is_shown_on_a_page() -> None:
    pages = "".join(page.read_text(encoding="utf-8") for page in (ROOT / "docs/how-to").glob("*.md"))
    assert [path.name for path in EXAMPLES.iterdir() if f"{{literalinclude}} examples/{path.name}" not in pages] == []
