"""scripts/third-party.sh: what it builds works and has the right versions; what it refuses leaves nothing behind.

The libraries are built once per machine, which takes minutes; later runs find them in the cache.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

import toolchains
from support import arm64, wine
from support.fixtures import skip_for

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "scripts" / "third-party.sh"
CORE = ROOT / "src" / "bass_webrtc" / "core"
TESTS = ROOT / "tests" / "core"
VERSIONS = "libopus 1.6.1, OpenSSL 3.5.7 "
FIRST_TARBALL = "openssl_3.5.7.orig.tar.gz"
"""The one that the script unpacks first."""

pytestmark = pytest.mark.timeout(3000)


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(SCRIPT), *arguments],
        env={**os.environ, "PYTHON": sys.executable, **environment},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )


def built(*arguments: str) -> Path:
    done = run(*arguments)
    assert done.returncode == 0, done.stderr
    (prefix,) = done.stdout.splitlines()
    return Path(prefix)


def compile_program(target: str, folder: Path) -> Path:
    """Compile the test of the core's versions and features with the static libraries of a target."""
    prefix = built(target)
    flags = subprocess.run(
        ["pkg-config", "--cflags", "--libs", "opus", "libcrypto"],
        env={**os.environ, "PKG_CONFIG_LIBDIR": str(prefix / "lib" / "pkgconfig")},
        capture_output=True,
        encoding="utf-8",
        check=True,
    ).stdout.split()
    program = folder / "libraries.exe"
    sources = (str(TESTS / "test_libraries.c"), str(CORE / "libraries.c"), f"-I{CORE}", "-O2", "-std=c11")
    static = ["-static"] if target == "windows-x64" else []  # without it, the program needs MinGW's libwinpthread
    command = [*toolchains.compiler(target), *sources, *flags, *static, "-lm", "-o", str(program)]
    subprocess.run(command, check=True)
    return program


@pytest.mark.parametrize("target", ["linux-x64", "linux-arm64"])
def test_static_libraries_have_pinned_versions_and_models(target: str, tmp_path: Path) -> None:
    skip_for(arm64.missing() if target == "linux-arm64" else None)
    program = compile_program(target, tmp_path)
    command = arm64.command(program, "models") if target == "linux-arm64" else [str(program), "models"]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith(VERSIONS)


def test_static_libraries_for_windows_have_pinned_versions_and_models(tmp_path: Path) -> None:
    skip_for(wine.missing())
    with wine.Machine() as windows:
        done = windows.run(compile_program("windows-x64", tmp_path), "models")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith(VERSIONS)


@pytest.mark.parametrize("target", ["linux-x64", "linux-arm64", "windows-x64"])
def test_licenses_of_all_libraries_are_included(target: str) -> None:
    licenses = built(target) / "licenses"
    assert "Redistribution and use" in (licenses / "opus.txt").read_text(encoding="utf-8")
    assert "Apache License" in (licenses / "openssl.txt").read_text(encoding="utf-8")


def test_second_run_finds_the_first_one_and_prints_only_the_folder() -> None:
    prefix = built("linux-x64")
    done = run("linux-x64", BASS_WEBRTC_DEBIAN_MIRROR="file:///nowhere")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{prefix}\n", "")


@pytest.mark.parametrize(
    "arguments", [(), ("linux-x86",), ("linux-x64", "ruby"), ("windows-x64", "python"), ("linux-x64", "python", "more")]
)
def test_unknown_target_or_component_shows_the_usage(arguments: tuple[str, ...]) -> None:
    done = run(*arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert "usage:" in done.stderr


def refused(cache: Path, **environment: str) -> str:
    """Run with an empty cache, expect a failure without a result, and return the message."""
    done = run("linux-x64", BASS_WEBRTC_CACHE=str(cache), **environment)
    assert (done.returncode, done.stdout) == (1, "")
    assert [path.name for path in cache.glob("third-party/*") if path.is_dir()] == []
    return done.stderr


def test_modified_tarball_is_refused(tmp_path: Path) -> None:
    sources = tmp_path / "sources"
    sources.mkdir()
    (sources / FIRST_TARBALL).write_bytes(b"not OpenSSL")
    message = refused(tmp_path / "cache", BASS_WEBRTC_SOURCES=str(sources))
    assert f"{FIRST_TARBALL} has SHA-256 {hashlib.sha256(b'not OpenSSL').hexdigest()}, expected " in message


def test_tarball_that_changed_in_the_cache_is_refused(tmp_path: Path) -> None:
    (tmp_path / "sources").mkdir()
    (tmp_path / "sources" / FIRST_TARBALL).write_bytes(b"not OpenSSL")
    message = refused(tmp_path, BASS_WEBRTC_SOURCES="")
    assert FIRST_TARBALL in message
    assert "delete it and try again" in message


def test_mirror_with_a_modified_tarball_is_refused(tmp_path: Path) -> None:
    pool = tmp_path / "mirror" / "pool" / "main" / "o" / "openssl"
    pool.mkdir(parents=True)
    (pool / FIRST_TARBALL).write_bytes(b"not OpenSSL")
    refused(tmp_path / "cache", BASS_WEBRTC_SOURCES="", BASS_WEBRTC_DEBIAN_MIRROR=f"file://{tmp_path}/mirror")
    assert list((tmp_path / "cache" / "sources").iterdir()) == []


def test_file_that_debian_no_longer_has_comes_with_what_to_do(tmp_path: Path) -> None:
    message = refused(tmp_path, BASS_WEBRTC_SOURCES="", BASS_WEBRTC_DEBIAN_MIRROR=f"file://{tmp_path}/mirror")
    assert f"cannot download file://{tmp_path}/mirror/pool/main/o/openssl/{FIRST_TARBALL}" in message
    for way in ("Debian's snapshot archive", "BASS_WEBRTC_SOURCES", "move the\npin", "apt-cache showsrc"):
        assert way in message


def test_cache_in_a_folder_with_spaces_is_refused(tmp_path: Path) -> None:
    assert "set BASS_WEBRTC_CACHE to another folder" in refused(tmp_path / "a folder")


def test_libraries_of_another_compiler_are_not_used(tmp_path: Path) -> None:
    prefix = tmp_path / "third-party" / built("linux-x64").name
    (prefix / "lib").mkdir(parents=True)
    (prefix / "lib/libopus.a").touch()
    environment = {"BASS_WEBRTC_CACHE": str(tmp_path), "BASS_WEBRTC_DEBIAN_MIRROR": "file:///nowhere"}
    assert run("linux-x64", **environment).stdout == f"{prefix}\n"
    zig, python = tmp_path / "zig", tmp_path / "python"
    for program, output in ((zig, "99.0"), (python, zig)):
        program.write_text(f"#!/bin/sh\necho {output}\n", encoding="utf-8")
        program.chmod(0o755)
    assert run("linux-x64", PYTHON=str(python), **environment).stdout == ""


def test_missing_ziglang_is_named(tmp_path: Path) -> None:
    assert "install it (pip install ziglang)" in refused(tmp_path, PYTHON="false")


def test_second_process_waits_and_takes_the_result_of_the_first(tmp_path: Path) -> None:
    folder, name = tmp_path / "third-party", built("linux-x64").name
    folder.mkdir()
    environment = {**os.environ, "PYTHON": sys.executable, "BASS_WEBRTC_CACHE": str(tmp_path)}
    with (folder / "linux-x64.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        second = subprocess.Popen([str(SCRIPT), "linux-x64"], env=environment, stdout=subprocess.PIPE, encoding="utf-8")
        while "flock" not in children(second.pid):
            assert second.poll() is None, "ended although the lock was taken"
            time.sleep(0.01)
        prefix = folder / name
        (prefix / "lib").mkdir(parents=True)
        (prefix / "lib" / "libopus.a").touch()
    assert second.communicate()[0] == f"{prefix}\n"
    assert second.returncode == 0


def children(pid: int) -> list[str]:
    listed = subprocess.run(
        ["ps", "-o", "comm=", "--ppid", str(pid)], capture_output=True, encoding="utf-8", check=False
    )
    return listed.stdout.split()


def test_headers_and_import_library_for_windows_link_an_extension_module(tmp_path: Path) -> None:
    python = built("windows-x64", "python-headers") / "python"
    source = tmp_path / "extension.c"
    source.write_text(
        """
        #define Py_LIMITED_API 0x030B0000
        #include <Python.h>
        static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "extension", NULL, 0, NULL};
        PyMODINIT_FUNC PyInit_extension(void) {
            Py_INCREF(PyExc_ValueError);
            return PyModule_Create(&definition);
        }
    """,
        encoding="utf-8",
    )
    module = tmp_path / "extension.pyd"
    flags = ("-shared", "-Wall", "-Werror", f"-I{python / 'include'}", f"-L{python / 'lib'}", "-lpython3")
    subprocess.run([toolchains.MINGW, str(source), "-o", str(module), *flags], check=True)
    imports = subprocess.run(
        ["x86_64-w64-mingw32-objdump", "-p", str(module)], capture_output=True, encoding="utf-8", check=True
    ).stdout
    assert "DLL Name: python3.dll" in imports


@pytest.fixture
def python(tmp_path: Path) -> Path:
    """A copy of the Linux SDK's Python in another folder than it was made for."""
    copy = tmp_path / "moved elsewhere"
    shutil.copytree(built("linux-x64", "python") / "python", copy, symlinks=True)
    return copy


def test_moved_python_has_its_modules_and_needs_no_variable(python: Path) -> None:
    program = """if True:
        import asyncio, ctypes, hashlib, json, socket, ssl, sys, zlib
        assert zlib.decompress(zlib.compress(b"x")) == b"x"
        assert hashlib.new("sha512_256", b"x").digest_size == 32  # of OpenSSL
        assert ctypes.CDLL(None).abs(-5) == 5
        callback = ctypes.CFUNCTYPE(ctypes.c_int)(lambda: 7)
        assert callback() == 7
        asyncio.run(asyncio.sleep(0))
        print(sys.version_info[:2], ssl.OPENSSL_VERSION, sys.prefix, sep="|")
    """
    done = subprocess.run(
        [str(python / "bin" / "python3.13"), "-I", "-W", "error", "-c", program],
        env={},
        capture_output=True,
        encoding="utf-8",
        check=True,
    )
    version, openssl, prefix = done.stdout.strip().split("|")
    assert version == "(3, 13)"
    assert openssl.startswith("OpenSSL 3.5.7 ")
    assert Path(prefix) == python
    assert done.stderr == ""


def test_python_finds_the_certificates_of_debian_and_of_fedora(python: Path) -> None:
    program = "import ssl; paths = ssl.get_default_verify_paths(); print(paths.openssl_cafile, paths.openssl_capath)"
    command = [str(python / "bin" / "python3.13"), "-I", "-c", program]
    shown = subprocess.run(command, capture_output=True, encoding="utf-8", check=True).stdout
    assert shown.split() == ["/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", "/etc/ssl/certs"]


def test_python_needs_only_glibc_2_28(python: Path) -> None:
    library = python / "lib" / "libpython3.13.so.1.0"
    dynamic = subprocess.run(
        ["readelf", "-d", "-V", str(library)], capture_output=True, encoding="utf-8", check=True
    ).stdout
    needed = {line.partition("[")[2].partition(".so")[0] for line in dynamic.splitlines() if "(NEEDED)" in line}
    assert needed <= {"libc", "libm", "libdl", "libpthread", "librt", "libutil", "ld-linux-x86-64"}
    versions = {
        tuple(int(part) for part in word.removeprefix("GLIBC_").split("."))
        for word in dynamic.split()
        if word.startswith("GLIBC_")
    }
    assert max(versions) <= (2, 28)
