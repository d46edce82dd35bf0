"""Build archives with the C library and everything it needs into dist/ and print their paths.

sdk.py [linux-x64] [windows-x64] [--python-embed ZIP [--python-embed-sha256 DIGEST]]
sdk.py --lock                  writes sdk/requirements.txt with the newest versions of the dependencies

    wheel ─► the package and its core ─────┐
    requirements.txt ─► its dependencies ──┼─► folder bass_webrtc ─┐
    CPython, without what is not used ─────┘                       ├─► archive
    build_capi ─► library, header, import libraries                │
    examples, declarations, README ────────────────────────────────┘

The Linux archive contains a CPython built from source. The Windows archive contains python.org's embeddable package,
which the caller downloads; PYTHON_EMBED and PYTHON_EMBED_SHA256 in the environment are the same as the options. Without
the digest that python.org publishes, the name of the archive says that its Python is unverified.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from email.parser import HeaderParser
from pathlib import Path

import authenticode
import build_cache
import wheels
from bass_webrtc import __version__
from bass_webrtc.capi import build_capi
from bass_webrtc.capi.header import HEADER
from toolchains import MINGW, ROOT, compiler, compiler_inputs, licenses, third_party, zig

FILES = ROOT / "scripts/sdk"
LOCK = FILES / "requirements.txt"
EXAMPLES = {"c": ("*.[ch]", "examples/c"), "csharp": ("*.cs", "csharp"), "pascal": ("*.pas", "pascal")}
"""Folders of examples, what an archive has of them (not what a developer has compiled there), and where."""
HOME = build_capi.HOME
PYTHON = "3.13"
PYTHON_NAME = f"python{PYTHON.replace('.', '')}"
EMBED_ADVICE = (
    f"windows-x64 needs python.org's Python {PYTHON}: download the latest python-{PYTHON}.*-embed-amd64.zip from "
    "https://www.python.org/downloads/windows/ and run: make sdk PYTHON_EMBED=path PYTHON_EMBED_SHA256=digest"
)

NOT_SHIPPED = frozenset({"numpy", "rich", "sound-lib", "typer"})
"""Dependencies that only the command line and Python programs use. sound-lib also carries BASS, which is not ours."""
PACKAGE_PARTS_NOT_SHIPPED = (
    *("cli", "__main__.py", "__pyinstaller"),
    *(f"capi/{name}.py" for name in ("build_capi", "dispatch", "header", "installed")),
)
SOURCES_NOT_SHIPPED = frozenset({".c", ".h", ".pyi", ".pyx", ".pxd", ".pxi"})

STDLIB_NOT_SHIPPED = shutil.ignore_patterns(
    *("__phello__", "__pycache__", "_sysconfigdata*", "config-*", "ensurepip", "idlelib", "lib2to3", "pydoc_data"),
    *("site-packages", "test", "tests", "tkinter", "turtle.py", "turtledemo", "venv"),
    *("_ctypes_test*.so", "_sqlite3*.so", "_test*.so", "_xxtestfuzz*.so", "xxlimited*.so", "xxsubtype*.so"),
)
EMBED_NOT_SHIPPED = frozenset(
    {"python.exe", "pythonw.exe", "python.cat", f"{PYTHON_NAME}._pth"}
    | {"_sqlite3.pyd", "_wmi.pyd", "sqlite3.dll", "winsound.pyd"}
)
"""Without _wmi, the module platform does not start COM in the program only to learn the version of Windows."""

WHEEL_PLATFORMS = {
    "linux-x64": ("manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64"),
    "windows-x64": ("win_amd64",),
}
COMPONENTS = {"linux-x64": "python", "windows-x64": "python-headers"}
EXECUTABLE_SUFFIXES = (".so", ".dll", ".pyd")


@dataclass(frozen=True, slots=True)
class Embed:
    """python.org's embeddable package for Windows.

    Attributes:
        path: The zip file.
        verified: Its SHA-256 is the one that the caller has from python.org.
    """

    path: Path
    verified: bool


def main() -> None:
    parser = _parser()
    arguments = parser.parse_args()
    if unknown := [name for name in arguments.targets if name not in COMPONENTS]:
        parser.error(f"unknown target {unknown[0]!r}; expected some of: {' '.join(COMPONENTS)}")
    if arguments.lock:
        LOCK.write_text(locked_requirements(), encoding="utf-8")
        return
    targets = arguments.targets or ["linux-x64", *(["windows-x64"] if arguments.python_embed else [])]
    if "windows-x64" in targets and not arguments.python_embed:
        raise SystemExit(f"sdk.py: {EMBED_ADVICE}")
    if not build_capi.HERE.resolve().is_relative_to(ROOT):
        raise SystemExit(f"sdk.py: bass_webrtc is imported from {build_capi.HERE.parent}; expected that of {ROOT}")
    for target in targets:
        wheels.publish(windows(_embed(arguments)) if target == "windows-x64" else linux())
    if not arguments.targets and "windows-x64" not in targets:
        sys.stderr.write(f"sdk.py: not built: {EMBED_ADVICE}\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Build archives with the C library and everything it needs.")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=" or ".join(COMPONENTS))
    parser.add_argument(
        "--python-embed", type=Path, default=os.environ.get("PYTHON_EMBED") or None, help="python.org's zip for Windows"
    )
    parser.add_argument(
        "--python-embed-sha256", default=os.environ.get("PYTHON_EMBED_SHA256"), help="its digest on python.org"
    )
    parser.add_argument("--lock", action="store_true", help=f"update {LOCK.relative_to(ROOT)}")
    return parser


def _embed(arguments: argparse.Namespace) -> Embed:
    path, expected = Path(arguments.python_embed), arguments.python_embed_sha256
    if not path.is_file() or not zipfile.is_zipfile(path):
        raise SystemExit(f"sdk.py: PYTHON_EMBED is {str(path)!r}; expected a zip file. {EMBED_ADVICE}")
    actual = hashlib.sha256(path.read_bytes()).hexdigest()
    if expected and actual != expected.lower():
        raise SystemExit(f"sdk.py: {path} has SHA-256 {actual}, expected {expected}; download it again")
    if not expected:
        sys.stderr.write(
            f"sdk.py: WARNING: no PYTHON_EMBED_SHA256, so the origin of {path.name} (SHA-256 {actual}) is unverified. "
            "The archive is for tests only\n"
        )
    return Embed(path, bool(expected))


def linux() -> Path:
    """Return the archive for Linux; builds it if an input has changed."""
    wheel, prefix = wheels.wheel("linux-x64"), third_party("linux-x64", COMPONENTS["linux-x64"])
    base = _base("linux-x64", prefix, [str(prefix)], lambda folder: _copy_python(prefix / "python", folder))
    name = f"bass-webrtc-sdk-{__version__}-linux-x64"

    def make(folder: Path) -> None:
        root = folder / name
        home = root / "lib" / HOME
        shutil.copytree(base, home)
        _add_package(wheel, home, prefix)
        (include,) = (prefix / "python/include").glob("python3*")
        build_capi.build_portable(
            "linux-x64",
            root / "lib",
            [include],
            next((home / "lib").glob("libpython3*.so.1.0")),
            [*compiler("linux-x64"), "-s"],
        )
        (root / "lib/pkgconfig").mkdir()
        (root / "lib/pkgconfig/bass_webrtc.pc").write_text(_text("bass_webrtc.pc"), encoding="utf-8")
        _add_licenses(home, "linux-x64", prefix)
        _add_common_files(root, "linux")
        _write_tar(root, folder / "bass-webrtc-sdk-linux-x64.tar.gz")
        shutil.rmtree(root)

    return build_cache.made_file("sdk-linux-x64", [*_inputs("linux-x64"), wheel, str(prefix)], make)


def windows(embed: Embed) -> Path:
    """Return the archive for Windows; builds it if an input has changed.

    Args:
        embed: The Python that it contains.

    Raises:
        SystemExit: The file is not an embeddable Python of the right version, or a signature in it is wrong.
    """
    wheel, prefix = wheels.wheel("windows-x64"), third_party("windows-x64", COMPONENTS["windows-x64"])
    compiling = third_party("linux-x64", COMPONENTS["linux-x64"])
    origin: list[str | Path] = [embed.path, str(embed.verified)]
    base = _base("windows-x64", compiling, origin, lambda folder: _unpack_embed(embed, folder))
    name = f"bass-webrtc-sdk-{__version__}-win-x64"

    def make(folder: Path) -> None:
        root = folder / name
        home = root / "bin" / HOME
        shutil.copytree(base, home)
        _add_package(wheel, home, compiling)
        include = prefix / "python/include"
        python_dll = home / f"{PYTHON_NAME}.dll"
        build_capi.build_portable("windows-x64", root / "bin", [include], python_dll, [MINGW])
        _make_import_libraries(root)
        _add_licenses(home, "windows-x64", prefix)
        _add_common_files(root, "windows")
        if not embed.verified:
            (root / "FOR-TESTS-ONLY.txt").write_text(_text("FOR-TESTS-ONLY.txt"), encoding="utf-8")
        suffix = "" if embed.verified else "-unverified"
        _write_zip(root, folder / f"bass-webrtc-sdk-win-x64{suffix}.zip")
        shutil.rmtree(root)

    inputs = [*_inputs("windows-x64"), wheel, str(prefix), str(compiling), *origin]
    return build_cache.made_file("sdk-windows-x64", inputs, make)


# ------------------------------------------------------------------ dependencies


def shipped_dependencies() -> list[str]:
    """The requirements of the package that its C library needs."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return [line for line in project["dependencies"] if _requirement_name(line) not in NOT_SHIPPED]


def locked_requirements() -> str:
    """Resolve the dependencies for all targets and return the text of requirements.txt."""
    versions: dict[str, str] = {}
    hashes: dict[str, set[str]] = {}
    for target in WHEEL_PLATFORMS:
        report = _run(
            *_pip(target), "--quiet", "--dry-run", "--ignore-installed", "--report=-", *shipped_dependencies()
        )
        for item in json.loads(report)["install"]:
            name, version = item["metadata"]["name"].lower(), item["metadata"]["version"]
            if versions.setdefault(name, version) != version:
                raise SystemExit(f"sdk.py: {name} is {versions[name]} for one target and {version} for another")
            hashes.setdefault(name, set()).add(item["download_info"]["archive_info"]["hashes"]["sha256"])
    lines = ["# Written by: python scripts/sdk.py --lock"]
    for name, version in sorted(versions.items()):
        lines.append(
            " \\\n".join([f"{name}=={version}", *(f"    --hash=sha256:{one}" for one in sorted(hashes[name]))])
        )
    return "\n".join(lines) + "\n"


def _base(target: str, compiling: Path, inputs: list[str | Path], add_python: Callable[[Path], None]) -> Path:
    """Return a folder with Python and the dependencies, which change less often than the package.

    Args:
        target: Where the programs run.
        compiling: Prefix of the Python that compiles the modules.
        inputs: What ``add_python`` depends on.
        add_python: Puts Python into a folder.
    """

    def make(folder: Path) -> None:
        add_python(folder)
        packages = folder / "site-packages"
        options = ("--quiet", "--no-compile", "--no-deps", f"--target={packages}", "--require-hashes")
        _run(*_pip(target), *options, f"--requirement={LOCK}")
        shutil.rmtree(packages / "bin", ignore_errors=True)
        _remove_sources(packages)
        _compile(compiling, folder)

    scripts = [Path(__file__), Path(authenticode.__file__)]
    return build_cache.made(f"sdk-base-{target}", [*scripts, LOCK, str(compiling), sys.version, *inputs], make)


def _add_package(wheel: Path, home: Path, compiling: Path) -> None:
    """Add the package without what the C library does not use."""
    packages = home / "site-packages"
    with zipfile.ZipFile(wheel) as packed:
        packed.extractall(packages)
    package = packages / "bass_webrtc"
    for part in PACKAGE_PARTS_NOT_SHIPPED:
        _remove(package / part)
    _remove_sources(package)
    _compile(compiling, home, package)


def _remove_sources(folder: Path) -> None:
    for path in list(folder.rglob("*")):
        if path.suffix in SOURCES_NOT_SHIPPED or path.name == "tests":
            _remove(path)


def _pip(target: str) -> list[str]:
    platforms = [f"--platform={name}" for name in WHEEL_PLATFORMS[target]]
    command = [sys.executable, "-m", "pip", "install", "--disable-pip-version-check", "--only-binary=:all:"]
    return [*command, f"--python-version={PYTHON}", "--implementation=cp", "--target=.", *platforms]


def _requirement_name(line: str) -> str:
    return line.partition(">")[0].partition("=")[0].strip().lower()


# ------------------------------------------------------------------ Python


def _copy_python(python: Path, home: Path) -> None:
    """Copy CPython's shared library and standard library."""
    (home / "lib").mkdir(parents=True)
    for library in (python / "lib").glob("libpython3*.so.1.0"):
        shutil.copy(library, home / "lib")
    shutil.copytree(python / f"lib/python{PYTHON}", home / f"lib/python{PYTHON}", ignore=STDLIB_NOT_SHIPPED)


def _unpack_embed(embed: Embed, home: Path) -> None:
    """Unpack python.org's package and check the signatures of its programs and DLLs."""
    dll = f"{PYTHON_NAME}.dll"
    with zipfile.ZipFile(embed.path) as packed:
        found = [name for name in packed.namelist() if name.rpartition("/")[2] == dll]
        if not found:
            raise SystemExit(f"sdk.py: {embed.path} contains no {dll}. {EMBED_ADVICE}")
        folder = found[0].removesuffix(dll)
        for name in packed.namelist():
            if name.startswith(folder) and not name.endswith("/") and "/" not in name.removeprefix(folder):
                (home / name.removeprefix(folder)).write_bytes(packed.read(name))
    if embed.verified and (reason := authenticode.missing()):
        raise SystemExit(f"sdk.py: an archive that may be published {reason}, which checks the signatures in it")
    sys.stderr.write(f"sdk.py: {authenticode.check_signatures(sorted(home.iterdir()))}\n")
    for name in EMBED_NOT_SHIPPED:
        _remove(home / name)


def _compile(prefix: Path, home: Path, folder: Path | None = None) -> None:
    """Compile the modules in a folder below ``home``, as it may be read-only where it is used.

    Python does not compare the dates of these files, and they do not contain the path of ``home``.
    """
    python = prefix / f"python/bin/python{PYTHON}"
    options = ("-q", "--invalidation-mode", "unchecked-hash", "-s", str(home), "-p", ".")
    _run(str(python), "-m", "compileall", *options, str(folder or home), environment={"PYTHONHASHSEED": "0"})


# ------------------------------------------------------------------ licenses, examples, import libraries


def _add_licenses(home: Path, target: str, prefix: Path) -> None:
    """Collect the licenses of all parts in the folder that programs are shipped with, and write an index."""
    folder = home / "LICENSES"
    folder.mkdir()
    shutil.copy(ROOT / "LICENSE", folder / "bass-webrtc.txt")
    found = {path.name: path for path in (prefix / "licenses").iterdir()} | licenses(target, prefix)
    for name, path in found.items():
        shutil.copy(path, folder / name)
    if (home / "LICENSE.txt").exists():
        (home / "LICENSE.txt").rename(folder / "python.txt")
        shutil.copy(FILES / "vcruntime.txt", folder)
    index = [_text("LICENSES.txt")]
    for info in sorted((home / "site-packages").glob("*.dist-info"), key=lambda path: path.name.lower()):
        metadata = HeaderParser().parsestr((info / "METADATA").read_text(encoding="utf-8"))
        name, version = metadata["Name"], metadata["Version"]
        terms = (
            metadata["License-Expression"]
            or metadata["License"]
            or ", ".join(_classifiers(metadata.get_all("Classifier", [])))
        )
        if _requirement_name(name) != "bass-webrtc":
            texts = sorted(path for path in info.rglob("*") if path.is_file() and _is_license(path))
            if not texts:
                raise SystemExit(f"sdk.py: {name} {version} contains no license text")
            (folder / name).mkdir()
            for path in texts:
                shutil.copy(path, folder / name / path.name)
            index.append(f"{name + ' ' + version:<28}{terms.splitlines()[0]}\n")
        shutil.rmtree(info)
    (folder / "README.txt").write_text("".join(index), encoding="utf-8")


def _classifiers(lines: Iterable[str]) -> Iterator[str]:
    return (line.rpartition(" :: ")[2] for line in lines if line.startswith("License ::"))


def _is_license(path: Path) -> bool:
    return path.parent.name == "licenses" or path.name.upper().startswith(("LICEN", "COPYING", "NOTICE", "AUTHORS"))


def _add_common_files(root: Path, system: str) -> None:
    (root / "README.txt").write_text(_text(f"README-{system}.txt"), encoding="utf-8")
    (root / "include").mkdir()
    shutil.copy(HEADER, root / "include")
    for header in root.glob(f"*/{HEADER.name}"):
        if header.parent.name != "include":
            header.unlink()
    for language, (pattern, folder) in EXAMPLES.items():
        (root / folder).mkdir(parents=True)
        for path in (ROOT / "examples" / language).glob(pattern):
            shutil.copy(path, root / folder)


def _make_import_libraries(root: Path) -> None:
    definition = root / "lib" / f"{HOME}.def"
    definition.parent.mkdir()
    (root / "bin" / definition.name).rename(definition)
    _run("x86_64-w64-mingw32-dlltool", "-d", str(definition), "-l", str(root / "lib" / f"lib{HOME}.dll.a"))
    # The short format, which Microsoft's linker writes and reads.
    dlltool = (*zig(), "dlltool", "-m", "i386:x86-64")
    _run(*dlltool, "-d", str(definition), "-l", str(root / "lib" / f"{HOME}.lib"))


# ------------------------------------------------------------------ archives


def _write_tar(root: Path, archive: Path) -> None:
    """Pack a folder; the same content gives the same bytes."""
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=tarfile.PAX_FORMAT) as packed:
        for path in _members(root):
            member = tarfile.TarInfo(str(path.relative_to(root.parent)))
            content = path.read_bytes()
            member.size, member.mtime, member.mode = len(content), int(wheels.EPOCH), _mode(path)
            packed.addfile(member, io.BytesIO(content))
    archive.write_bytes(gzip.compress(plain.getvalue(), compresslevel=6, mtime=int(wheels.EPOCH)))


def _write_zip(root: Path, archive: Path) -> None:
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as packed:
        for path in _members(root):
            member = zipfile.ZipInfo(path.relative_to(root.parent).as_posix(), (2000, 1, 1, 0, 0, 0))
            member.external_attr = _mode(path) << 16
            content = path.read_bytes()
            if path.suffix == ".txt":
                content = content.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
            packed.writestr(member, content, zipfile.ZIP_DEFLATED)


def _members(root: Path) -> list[Path]:
    return sorted((path for path in root.rglob("*") if path.is_file()), key=str)


def _mode(path: Path) -> int:
    return 0o755 if path.name.endswith(EXECUTABLE_SUFFIXES) or ".so." in path.name else 0o644


# ------------------------------------------------------------------


def _inputs(target: str) -> list[str | Path]:
    """What all archives depend on, besides the wheel, which contains the sources of the C library."""
    scripts = [Path(__file__), *(Path(__file__).with_name(f"{name}.py") for name in ("authenticode", "toolchains"))]
    examples = (path for name, (pattern, _) in EXAMPLES.items() for path in (ROOT / "examples" / name).glob(pattern))
    files = sorted([*FILES.iterdir(), *examples])
    named = [item for path in files for item in (str(path.relative_to(ROOT)), path)]
    return [sys.version, wheels.EPOCH, *scripts, *named, *compiler_inputs(target)]


def _text(name: str) -> str:
    return (FILES / name).read_text(encoding="utf-8").replace("@VERSION@", __version__)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _run(*command: str, environment: dict[str, str] | None = None) -> str:
    """Run a program and return its output; end with the program's message if it fails."""
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as errors:
        done = subprocess.run(
            command,
            stdout=subprocess.PIPE,
            stderr=errors,
            env={**os.environ, **(environment or {})},
            encoding="utf-8",
            check=False,
        )
        if done.returncode != 0:
            errors.seek(0)
            raise SystemExit(f"{done.stdout}{errors.read()}sdk.py: `{' '.join(command[:4])} …` failed")
    return done.stdout


if __name__ == "__main__":
    main()
