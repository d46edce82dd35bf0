"""The C library of the Windows SDK, used by programs that MinGW compiled. They run under Wine."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
import wave
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import pytest

from bass_webrtc.capi import build_capi
from bass_webrtc.capi.header import HEADER, parse_header
from support import aiortc_player, c_library, netns, tones, wine
from support import sdk as built_sdk
from support.fixtures import skip_for
from support.reruns import real_time_audio

HERE = Path(__file__).parent
FLAGS = ("-O1", "-Wall", "-Wextra", "-Werror", f"-I{build_capi.HERE}")
STARTED = "1 0 \n"
"""What loading.c prints: the server was started."""
TIMEOUT_S = 100.0

PROBE = """
import sys
import _ctypes, _socket, select, ssl
def check_library(_version):
    raise RuntimeError(f"{sys.path} {sys.prefix} {sys.flags.no_site} {sys.flags.no_user_site} {sys.executable}")
"""
"""A ``bass_webrtc/capi/capi.py`` that fails with what it finds."""

PYTHON_HOST = """
import ctypes, sys
library = ctypes.CDLL(sys.argv[1])
library.BASS_WEBRTC_Create.restype = ctypes.c_void_p
library.BASS_WEBRTC_ErrorGetMessage.restype = ctypes.c_char_p
server = library.BASS_WEBRTC_Create(0xFFFFFFFF, None)
print(server, library.BASS_WEBRTC_ErrorGetCode(), library.BASS_WEBRTC_ErrorGetMessage().decode())
"""


def compile_for_windows(output: Path, *words: str | Path) -> Path:
    """Compile a program or a DLL."""
    subprocess.run([wine.COMPILER, *FLAGS, *map(str, words), "-o", str(output)], check=True)
    return output


@pytest.fixture(scope="module")
def host() -> Iterator[netns.Host]:
    """A host with one address, 10.77.0.1."""
    skip_for(wine.missing() or netns.missing())
    with netns.Network() as network:
        host, other = network.host("windows"), network.host("other")
        network.link(host, "10.77.0.1/24", other, "10.77.0.2/24")
        wine.give_one_address(host)
        yield host


@pytest.fixture(scope="module")
def windows(host: netns.Host) -> Iterator[wine.Machine]:
    with wine.Machine(host) as machine:
        yield machine


@pytest.fixture(scope="module")
def sdk() -> Path:
    """The unpacked SDK, with a Python that is for tests only."""
    skip_for(wine.missing())
    return built_sdk.unpacked("windows-x64")


@pytest.fixture(scope="module")
def dll(sdk: Path) -> Path:
    return sdk / "bin" / build_capi.STUB_NAME


@pytest.fixture(scope="module")
def loading(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A program that is not in the folder of the library."""
    skip_for(wine.missing())
    return compile_for_windows(tmp_path_factory.mktemp("program") / "loading.exe", "-municode", HERE / "loading.c")


@pytest.fixture
def probe(sdk: Path, tmp_path: Path) -> Callable[[str], Path]:
    """Makes copies of the SDK's DLL whose package reports the interpreter's paths."""

    def make(name: str) -> Path:
        folder = tmp_path / name
        home = Path(shutil.copytree(sdk / "bin" / build_capi.HOME, folder / build_capi.HOME, ignore=no_packages))
        package = home / "site-packages" / "bass_webrtc" / "capi"
        package.mkdir(parents=True)
        (package.parent / "__init__.py").touch()
        (package / "__init__.py").touch()
        (package / "capi.py").write_text(PROBE, encoding="utf-8")
        return Path(shutil.copy(sdk / "bin" / build_capi.STUB_NAME, folder))

    return make


def no_packages(_folder: str, names: list[str]) -> list[str]:
    return [name for name in names if name in ("site-packages", "LICENSES")]


def run(
    windows: wine.Machine,
    program: Path,
    *arguments: Path | str,
    code: int = 0,
    environment: Mapping[str, str] | None = None,
) -> str:
    """Run a program to its end and return what it printed."""
    done = windows.run(program, *arguments, timeout_s=TIMEOUT_S, **(environment or {}))
    assert (done.returncode, done.stderr) == (code, ""), done
    return done.stdout


def failure(windows: wine.Machine, loading: Path, dll: Path) -> str:
    """The error code and the message with which the library fails."""
    printed = run(windows, loading, dll, "return")
    assert printed.startswith("0 ")
    return printed.removeprefix("0 ").rstrip("\n")


# ------------------------------------------------------------------ sound


@pytest.fixture(scope="module")
def bass() -> Path:
    """BASS for Windows, from the package sound_lib."""
    skip_for(wine.missing())
    return wine.python().parent / "Lib/site-packages/sound_lib/lib/x64/bass.dll"


@real_time_audio
def test_linux_player_hears_the_file_that_a_windows_program_plays(
    host: netns.Host, windows: wine.Machine, sdk: Path, bass: Path, tmp_path: Path
) -> None:
    """``serve.c`` of the examples, linked with the SDK and BASS."""
    for file in (bass, *sdk.glob("bin/*.dll")):
        shutil.copy(file, tmp_path)
    (tmp_path / build_capi.HOME).symlink_to(sdk / "bin" / build_capi.HOME)
    write_tone(tmp_path / "tone.wav", 600.0, 1000.0, level_dbfs=-15.0)
    library = sdk / "lib" / "libbass_webrtc.dll.a"
    program = compile_for_windows(tmp_path / "serve.exe", c_library.EXAMPLES / "serve.c", library, bass)
    with windows.start(program, tmp_path / "tone.wav", "0") as process:
        url = re.search(r"http://127\.0\.0\.1:\d+/", process.read_line())
        assert url is not None, process.popen.communicate("\n", TIMEOUT_S)
        with host.entered():
            heard = asyncio.run(aiortc_player.listen(f"{url[0]}whep", 2.0)).samples
        printed, errors = process.popen.communicate("\n", TIMEOUT_S)
    assert process.popen.returncode == 0
    # Wine 8 refuses one UDP port on two addresses, and the request came to the second one.
    assert re.fullmatch(r"(no media on 127\.0\.0\.1:\d+: .*\n)?", errors), errors
    states = "".join(f"peer 0: {state}\n" for state in ("new", "connecting", "connected", "closed"))
    assert re.fullmatch(rf"{states}0 connected, \d+ packets sent\n", printed), printed
    for channel, hz in ((0, 600.0), (1, 1000.0)):
        samples = heard[tones.SAMPLE_RATE_HZ :, channel]
        assert tones.frequency_hz(samples) == pytest.approx(hz, abs=1.0)
        assert tones.tone_dbfs(samples, hz) == pytest.approx(-15.0, abs=1.0)


def write_tone(path: Path, left_hz: float, right_hz: float, level_dbfs: float) -> None:
    """A file with a whole number of periods, so that it can be looped."""
    rate = tones.SAMPLE_RATE_HZ
    phases = 2.0 * np.pi * np.outer(np.arange(rate), (left_hz, right_hz)) / rate
    samples = 10.0 ** (level_dbfs / 20.0) * np.sin(phases)
    with wave.open(str(path), "wb") as file:
        file.setparams((2, 2, rate, rate, "NONE", ""))
        file.writeframes((samples * 32_767.0).astype("<i2").tobytes())


# ------------------------------------------------------------------ loading


def test_stub_exports_the_functions_of_the_header_and_needs_only_the_system(dll: Path) -> None:
    listed = subprocess.run(
        ["x86_64-w64-mingw32-objdump", "-p", str(dll)], capture_output=True, encoding="utf-8", check=True
    )
    exported = re.findall(r"\bBASS_WEBRTC_\w+$", listed.stdout, re.MULTILINE)
    assert sorted(exported) == sorted(parse_header(HEADER.read_text(encoding="utf-8")).functions)
    assert {name.lower() for name in re.findall(r"DLL Name: (\S+)", listed.stdout)} == {"kernel32.dll", "msvcrt.dll"}


@pytest.mark.parametrize(
    ("case", "printed"), [("threads", STARTED * 2), ("unload", f"{STARTED}1\n"), ("exceptions", f"{STARTED}1\n")]
)
def test_program_loads_the_library(windows: wine.Machine, loading: Path, dll: Path, case: str, printed: str) -> None:
    assert run(windows, loading, dll, case) == printed


@pytest.mark.parametrize(("case", "code"), [("return", 0), ("exit", 7), ("ExitProcess", 7)])
def test_program_exits_without_free(windows: wine.Machine, loading: Path, dll: Path, case: str, code: int) -> None:
    assert run(windows, loading, dll, case, code=code) == STARTED


def test_program_exits_while_bass_plays(windows: wine.Machine, loading: Path, dll: Path, bass: Path) -> None:
    assert run(windows, loading, dll, "bass", bass) == f"{STARTED}1\n"


def test_thread_of_a_plugin_loads_the_library(windows: wine.Machine, loading: Path, dll: Path, tmp_path: Path) -> None:
    plugin = compile_for_windows(tmp_path / "plugin.dll", "-municode", "-shared", HERE / "loading.c")
    assert run(windows, loading, dll, "plugin", plugin) == STARTED


def test_program_without_standard_streams_loads_the_library(
    windows: wine.Machine, loading: Path, dll: Path, tmp_path: Path
) -> None:
    run(windows, loading, dll, "detached", tmp_path / "written")
    assert (tmp_path / "written").read_text(encoding="utf-8") == STARTED


def test_two_programs_use_the_library_at_once(windows: wine.Machine, loading: Path, dll: Path) -> None:
    with ExitStack() as stack:
        programs = [stack.enter_context(windows.start(loading, dll, "stay")) for _ in range(2)]
        assert [program.read_line() for program in programs] == [STARTED.rstrip("\n")] * 2
        assert [program.popen.communicate("\n", TIMEOUT_S) for program in programs] == [("", "")] * 2
        assert [program.popen.returncode for program in programs] == [0, 0]


# ------------------------------------------------------------------ the library's Python


def test_no_other_python_disturbs_the_library(
    windows: wine.Machine, loading: Path, probe: Callable[[str], Path], tmp_path: Path
) -> None:
    dll = probe("Töne und mehr 音")
    home = dll.parent / build_capi.HOME
    other = tmp_path / "other"
    other.mkdir()
    shutil.copy(home / "python313.dll", other / "python3.dll")  # A wrong one.
    for path in (other, home):
        (path / "pyvenv.cfg").write_text("home = C:\\nonsense\n", encoding="utf-8")
        (path / "python313._pth").write_text("C:\\nonsense\n", encoding="utf-8")
    (other / "ssl.py").write_text("raise RuntimeError('disturbed')", encoding="utf-8")
    (other / "sitecustomize.py").write_text("raise RuntimeError('disturbed')", encoding="utf-8")
    nonsense = wine.windows_path(other)
    environment = {
        "WINEPATH": nonsense,
        "PYTHONHOME": nonsense,
        "PYTHONPATH": nonsense,
        "PYTHONUSERBASE": nonsense,
        "PYTHONVERBOSE": "1",
    }
    with registered(windows, nonsense):
        printed = run(windows, loading, dll, "return", environment=environment)
    where = wine.windows_path(home)
    paths = [f"{where}\\python313.zip", where, f"{where}\\site-packages"]
    assert printed == (
        f"0 5001 bass-webrtc cannot be used in the Python of {where}: {paths} {where} 1 1 {where}\\python.exe\n"
    )


@contextmanager
def registered(windows: wine.Machine, path: str) -> Iterator[None]:
    """Register a folder for every Python 3.13."""
    keys = [rf"{root}\Software\Python\PythonCore\3.13\PythonPath" for root in ("HKCU", "HKLM")]
    for key in keys:
        assert windows.run("reg", "add", key, "/ve", "/d", path, "/f", timeout_s=TIMEOUT_S).returncode == 0
    yield
    for key in keys:
        assert windows.run("reg", "delete", key, "/f", timeout_s=TIMEOUT_S).returncode == 0


def test_library_may_be_in_a_folder_with_a_long_path(
    windows: wine.Machine, loading: Path, probe: Callable[[str], Path]
) -> None:
    """Windows allows that to programs that declare it; Wine allows it to all."""
    dll = probe(os.sep.join(letter * 100 for letter in "abc"))
    for path in (wine.windows_path(dll), "\\\\?\\" + wine.windows_path(dll)):
        assert run(windows, loading, path, "return").startswith("0 5001 bass-webrtc cannot be used in the Python of Z:")


@pytest.mark.parametrize("missing", ["python313.zip", "site-packages"])
def test_error_names_the_part_of_python_that_is_missing(
    windows: wine.Machine, loading: Path, probe: Callable[[str], Path], missing: str
) -> None:
    dll = probe("moved")
    path = dll.parent / build_capi.HOME / missing
    path.rename(path.with_name("gone"))
    assert failure(windows, loading, dll) == (
        f"5001 the library's Python is incomplete: {wine.windows_path(path)} was not found. Copy the library and its "
        "folder bass_webrtc from the SDK again"
    )


def test_stub_names_what_it_cannot_load(windows: wine.Machine, loading: Path, dll: Path, tmp_path: Path) -> None:
    alone = Path(shutil.copy(dll, tmp_path))
    home = tmp_path / build_capi.HOME
    library = home / build_capi.WINDOWS_LIBRARY_NAME
    advice = "bass_webrtc.dll needs the whole folder bass_webrtc of the SDK beside it: copy both again"
    found = failure(windows, loading, alone)
    assert found.startswith(f"5001 {wine.windows_path(library)} was not found: ")
    assert found.endswith(f"(error 126). {advice}")
    home.mkdir()
    shutil.copy(dll.parent / build_capi.HOME / library.name, home)
    found = failure(windows, loading, alone)
    assert found.startswith(f"5001 {wine.windows_path(library)} cannot be loaded, although it is there: ")
    assert found.endswith(f"(error 126). {advice}")
    assert run(windows, loading, alone, "version") == "10000\n"


@pytest.mark.parametrize("version", ["0x00020000", "BASS_WEBRTC_VERSION"], ids=["other version", "missing functions"])
def test_stub_refuses_a_library_of_another_version(
    windows: wine.Machine, loading: Path, dll: Path, tmp_path: Path, version: str
) -> None:
    alone = Path(shutil.copy(dll, tmp_path))
    (tmp_path / build_capi.HOME).mkdir()
    source = tmp_path / "other.c"
    source.write_text(
        '#include "bass_webrtc.h"\n__declspec(dllexport) DWORD BASS_WEBRTC_CALL BASS_WEBRTC_GetVersion(void) '
        f"{{ return {version}; }}\n",
        encoding="utf-8",
    )
    other = compile_for_windows(tmp_path / build_capi.HOME / build_capi.WINDOWS_LIBRARY_NAME, "-shared", source)
    assert failure(windows, loading, alone) == (
        f"43 bass_webrtc.dll and {wine.windows_path(other)} are of different versions: copy both from the same SDK"
    )


# ------------------------------------------------------------------ programs that are a Python


def test_program_with_another_python_version_is_refused(windows: wine.Machine, dll: Path) -> None:
    assert run(windows, wine.python("3.11"), "-c", PYTHON_HOST, dll) == (
        "None 43 this program has loaded Python 3.11, and Windows cannot run the library's Python 3.13 in the same "
        "process. In a Python program, use the package instead: pip install bass-webrtc\n"
    )


def test_program_with_the_same_python_version_shares_it(windows: wine.Machine, dll: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wine.embeddable("3.13")) as packed:
        packed.extractall(tmp_path)
    (tmp_path / "python313._pth").unlink()
    (tmp_path / "_wmi.pyd").unlink()  # It calls a function that Wine 8 lacks.
    python = tmp_path / "python.exe"
    packages = wine.windows_path(dll.parent / build_capi.HOME / "site-packages")
    refused = run(windows, python, "-c", PYTHON_HOST, dll)
    where = wine.windows_path(tmp_path)
    assert refused == f"None 5001 bass-webrtc cannot be used in the Python of {where}: No module named 'bass_webrtc'\n"
    assert re.fullmatch(r"\d+ 0 \n", run(windows, python, "-c", PYTHON_HOST, dll, environment={"PYTHONPATH": packages}))
