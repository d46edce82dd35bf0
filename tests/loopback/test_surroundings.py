"""What a machine, a service manager or a packager may have around the command."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
import wave
from pathlib import Path

import pytest
from typer.testing import CliRunner

import bass_webrtc
from bass_webrtc.capi import build_capi
from bass_webrtc.cli import main as cli
from bass_webrtc.errors import BassWebRtcError
from support.certificates import write_certificate
from support.fixtures import skip_for
from support.patience import PROCESS_S
from support.session_program import PUBLISH

PACKAGE = Path(bass_webrtc.__file__).parent
STRICT = ("-W", "error", "-X", "warn_default_encoding")
BUILD = ("cffi", "pycparser", "setuptools", "distutils", "bass_webrtc.core.build_core", "bass_webrtc.capi.build_capi")
COMMANDS = """
import sys
from bass_webrtc.cli.main import main

for line in ("--version", "serve --help", "doctor", "devices", "capi cflags --output .", "serve ünknown.mp3"):
    sys.argv = ["bass-webrtc", *line.split()]
    try:
        main()
    except SystemExit as end:
        print(line.split()[0], "->", end.code)
print("imported", [name for name in sys.argv_of_build if name in sys.modules])
""".replace("sys.argv_of_build", repr(BUILD))
SESSION = f"""{PUBLISH}
import os, ssl, sys

written = []


def note(event, arguments):
    if event == "open" and arguments[2] & (os.O_WRONLY | os.O_RDWR) or event in ("os.mkdir", "os.rename", "os.remove"):
        written.append(str(arguments[0]))


sys.addaudithook(note)
import bass_webrtc as bw

audio, certificate, key = sys.argv[1:]
config = bw.ServerConfig(http_port=0, udp_port=0, tls_certificate=certificate, tls_key=key)
with bw.Server(bw.BassFile(audio, loop=True), config) as server:
    server.start()
    tls = ssl.create_default_context(cafile=certificate)
    with bw.WhipClient(bw.BassFile(audio, loop=True), server.url + "whip", tls=tls) as client:
        publish(server, client)
print(bw.Server.__doc__, ascii(bw.__file__))
package = os.path.dirname(bw.__file__)
print("written", [name for name in written if os.path.abspath(name).startswith((package, os.path.realpath(package)))])
"""


@pytest.fixture(scope="module")
def locales(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Locales that are not UTF-8."""
    skip_for(None if shutil.which("localedef") else "needs localedef, of Debian's libc-bin")
    folder = tmp_path_factory.mktemp("locales")
    for name, encoding in (("zh_CN", "GBK"), ("ja_JP", "EUC-JP")):
        command = ["localedef", "-i", name, "-f", encoding, str(folder / f"{name}.{encoding}")]
        done = subprocess.run(command, capture_output=True, encoding="utf-8", check=False)
        skip_for(None if (folder / f"{name}.{encoding}").exists() else f"needs Debian's locales: {done.stderr}")
    return folder


@pytest.mark.parametrize("name", ["zh_CN.GBK", "ja_JP.EUC-JP", "C"])
def test_commands_need_neither_utf_8_nor_programs_nor_what_builds(locales: Path, name: str, tmp_path: Path) -> None:
    """With every warning an error, also one about a text without an encoding."""
    variables = {"LOCPATH": str(locales), "LC_ALL": name, "PATH": "", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    script = tmp_path / "commands.py"
    script.write_text(COMMANDS, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, *STRICT, str(script)],
        env={**variables, "PYTHONPATH": str(PACKAGE.parent)},
        cwd=tmp_path,
        capture_output=True,
        timeout=2 * PROCESS_S,
        check=False,
    )
    output, errors = done.stdout.decode("ascii", "replace"), done.stderr.decode("ascii", "replace")
    assert (done.returncode, "Traceback" in errors, "Warning" in errors) == (0, False, False), errors
    codes = [line for line in output.splitlines() if "->" in line]
    assert codes[:2] == ["--version -> 0", "serve -> 0"]
    assert codes[-2:] == ["capi -> 1", "serve -> 1"]
    assert "nknown.mp3' does not exist" in errors
    assert output.splitlines()[-1] == "imported []"


def test_optimised_program_runs_in_a_folder_with_a_space_and_an_umlaut(tmp_path: Path) -> None:
    """Without docstrings, assertions, a home, a folder for temporary files; nothing of the package is written."""
    folder = tmp_path / "M\u00fcller & S\u00f6hne"
    folder.mkdir()
    (folder / "bass_webrtc").symlink_to(PACKAGE, target_is_directory=True)
    certificate, key = write_certificate(folder)
    audio = folder / "Gr\u00fc\u00dfe.wav"
    with wave.open(str(audio), "wb") as file:
        file.setparams((2, 2, 48_000, 0, "NONE", ""))
        file.writeframes(bytes(4 * 48_000))
    missing = {name: "/nonexistent" for name in ("HOME", "TMPDIR", "XDG_CONFIG_HOME", "XDG_CACHE_HOME")}
    variables = {**os.environ, **missing, "PYTHONPATH": str(folder), "PYTHONSAFEPATH": "1", "PYTHONIOENCODING": "utf-8"}
    done = subprocess.run(
        [sys.executable, "-OO", "-B", *STRICT, "-c", SESSION, *map(str, (audio, certificate, key))],
        env=variables,
        cwd="/",
        umask=0o077 if sys.platform != "win32" else -1,
        capture_output=True,
        encoding="utf-8",
        timeout=4 * PROCESS_S,
        check=False,
    )
    assert (done.stdout.splitlines()[:2], done.stderr) == (["connected True", "received True"], "")
    assert done.stdout.splitlines()[2].startswith("None ")
    assert "M\\xfcller & S\\xf6hne" in done.stdout
    assert done.stdout.splitlines()[-1] == "written []", "the package may be read-only"


def test_help_does_not_need_docstrings() -> None:
    """``python -OO`` removes them."""
    for name, begin in (("serve", "Serve a source"), ("doctor", "Check this machine"), ("capi", "Build the C library")):
        assert begin in CliRunner().invoke(cli.app, [name, "--help"]).output
    assert [command.callback.__doc__ for command in cli.app.registered_commands if command.callback] == [None] * 5


@pytest.mark.skipif(sys.platform == "win32", reason="Windows closes no standard streams at start")
def test_serve_runs_without_standard_output_and_input() -> None:
    command = [sys.executable, "-m", "bass_webrtc", "serve", "tone", "--port", "0", "--udp-port", "0"]
    shell = ["sh", "-c", 'exec "$@" <&- >&-', "sh", *command]
    process = subprocess.Popen(shell, stderr=subprocess.PIPE, encoding="utf-8")
    assert process.stderr is not None
    try:
        assert process.stderr.readline().startswith("listening on ")
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=PROCESS_S)[1] == ""
        assert process.returncode == 0
    finally:
        process.kill()
        process.communicate()


def test_library_in_a_read_only_environment_names_the_option(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_folder: Path) -> Path:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(build_capi, "build", refuse)
    result = CliRunner().invoke(cli.app, ["capi", "build"])
    assert isinstance(result.exception, BassWebRtcError)
    assert str(result.exception).startswith(f"cannot write to {Path(sys.prefix, 'lib', 'bass_webrtc')}: Read-only")
    assert str(result.exception).endswith("--output")
