"""Build the wheels and the source distribution into dist/ and print their paths.

wheels.py [linux-x64] [linux-arm64] [windows-x64] [sdist]     (default: all)

source files ─► sdist ─► compile for a target, with static third-party libraries and their licenses ─► wheel

The same sources and tools give the same bytes. SOURCE_DATE_EPOCH sets the time of all files in the packages.
"""

from __future__ import annotations

import gzip
import io
import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tarfile
from importlib.metadata import version
from pathlib import Path

import build_cache
from toolchains import GLIBC, ROOT, TARGETS, compiler, compiler_inputs, environment, licenses, third_party

DIST = ROOT / "dist"
PROJECT_FILES = ("LICENSE", "README.md", "pyproject.toml", "setup.py")
GENERATED = ("__pycache__", "*.egg-info", "_core.c", "*.so", "*.pyd", "*.o")
EPOCH = os.environ.get("SOURCE_DATE_EPOCH", "946684800")
"""Time of all files in the packages: 2000-01-01 unless the caller gives another."""

GLIBC_TAG = "manylinux_" + GLIBC.replace(".", "_")
PLATFORM_TAGS = {
    "linux-x64": f"{GLIBC_TAG}_x86_64",
    "linux-arm64": f"{GLIBC_TAG}_aarch64",
    "windows-x64": "win_amd64",
}
COMPONENTS = {"linux-x64": (), "linux-arm64": (), "windows-x64": ("python-headers",)}
"""What scripts/third-party.sh adds to the libraries."""
FIRST_PYTHON = "cp311"
"""Oldest Python of the wheels: ``requires-python`` in pyproject.toml."""

OUTPUT_SHOWN = 4000
"""Characters of the output of a program that failed."""

# Python looks for this one symbol. All others stay private: another library in the process may have its own OpenSSL.
VERSION_SCRIPT = "{ global: PyInit__core; local: *; };\n"


def main(names: list[str]) -> None:
    known = (*TARGETS, "sdist")
    unknown = [name for name in names if name not in known]
    if unknown:
        raise SystemExit(f"wheels.py: unknown target {unknown[0]!r}; expected some of: {' '.join(known)}")
    for name in names or known:
        publish(sdist() if name == "sdist" else wheel(name))


def publish(product: Path) -> None:
    """Copy a product into dist/ and print its path."""
    DIST.mkdir(exist_ok=True)
    staged = DIST / f".{product.name}.{os.getpid()}"
    shutil.copy(product, staged)
    sys.stdout.write(f"{staged.replace(DIST / product.name)}\n")


def sdist() -> Path:
    """Return the source distribution; builds it if the sources have changed."""
    sources = [ROOT / name for name in PROJECT_FILES] + sorted(_source_files())

    def make(folder: Path) -> None:
        copy = folder / "copy"
        copy.mkdir()
        for path in sources:
            target = copy / path.relative_to(ROOT)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target)
        _build("--sdist", copy, folder, environment())
        shutil.rmtree(copy)
        (archive,) = folder.glob("*.tar.gz")
        _normalize(archive)

    names = [str(path.relative_to(ROOT)) for path in sources]
    return build_cache.made_file("sdist", [*_tools(), *names, *sources], make)


def wheel(target: str) -> Path:
    """Return the wheel for a target; builds it if the sources, the libraries or the tools have changed."""
    archive, libraries = sdist(), third_party(target, *COMPONENTS[target])
    cc = compiler(target)

    def make(folder: Path) -> None:
        with tarfile.open(archive) as packed:
            packed.extractall(folder, filter="data")
        (source,) = folder.iterdir()
        # pyproject.toml takes every LICENSE* into the package.
        for name, path in licenses(target, libraries).items():
            shutil.copy(path, source / f"LICENSE-{name}")
        cflags, ldflags = ["-DNDEBUG", f"-ffile-prefix-map={folder}=."], ["-shared", "-s", "-Wl,--gc-sections"]
        if target != "windows-x64":
            cflags.append(f"-I{_own_headers(folder / 'headers')}")
            exports = folder / "exports"
            exports.write_text(VERSION_SCRIPT, encoding="utf-8")
            ldflags.append(f"-Wl,--version-script={exports}")
        settings = environment() | {
            "BASS_WEBRTC_TARGET": target,
            "BASS_WEBRTC_THIRD_PARTY": str(libraries),
            "CC": shlex.join(cc),
            "CFLAGS": shlex.join(cflags),
            "LDSHARED": shlex.join([*cc, *ldflags]),
        }
        options = (f"--py-limited-api={FIRST_PYTHON}", f"--plat-name={PLATFORM_TAGS[target]}")
        _build("--wheel", source, folder, settings, *options)
        (built,) = folder.glob("*.whl")
        if target != "windows-x64":
            _check_manylinux(built)
        for path in folder.iterdir():
            if path != built:
                shutil.rmtree(path) if path.is_dir() else path.unlink()

    inputs = [*_tools(), archive, str(libraries), *compiler_inputs(target)]
    return build_cache.made_file(f"wheel-{target}", inputs, make)


def _source_files() -> list[Path]:
    ignored = shutil.ignore_patterns(*GENERATED)
    found = []
    for folder, folders, files in os.walk(ROOT / "src"):
        folders[:] = set(folders) - ignored(folder, folders)
        found += [Path(folder, name) for name in set(files) - ignored(folder, files)]
    return found


def _build(kind: str, source: Path, folder: Path, settings: dict[str, str], *options: str) -> None:
    command = ["nice", sys.executable, "-m", "build", kind, "--no-isolation", "--outdir", str(folder), str(source)]
    command += [f"--config-setting=--build-option={option}" for option in options]
    _run(command, settings | {"SOURCE_DATE_EPOCH": EPOCH})


def _run(command: list[str], settings: dict[str, str] | None = None) -> str:
    """Run a program and return its output; if it fails, show the end of that."""
    output = subprocess.PIPE
    done = subprocess.run(command, stdout=output, stderr=subprocess.STDOUT, env=settings, encoding="utf-8", check=False)
    if done.returncode != 0:
        raise SystemExit(f"{done.stdout[-OUTPUT_SHOWN:]}\nwheels.py: `{' '.join(command[:4])} …` failed")
    return done.stdout


def _own_headers(folder: Path) -> Path:
    """Copy the headers of this Python. In Debian's, pyconfig.h includes a file that only this architecture has."""
    shutil.copytree(sysconfig.get_path("include"), folder)
    shutil.copy(sysconfig.get_config_h_filename(), folder / "pyconfig.h")
    return folder


def _check_manylinux(wheel: Path) -> None:
    """Fail if the wheel needs a newer glibc than its tag says, or any library that is not part of every Linux."""
    shown = _run([sys.executable, "-m", "auditwheel", "show", str(wheel)])
    found = re.search(r'platform\s+tag:\s+"manylinux_(\d+)_(\d+)_', shown)
    if found is None or (int(found[1]), int(found[2])) > tuple(map(int, GLIBC.split("."))):
        raise SystemExit(f"{shown}\nwheels.py: {wheel.name} does not run on every Linux with glibc {GLIBC}")


def _normalize(archive: Path) -> None:
    """Write a .tar.gz again with members in order, and no times and owners of this machine."""
    plain = io.BytesIO()
    with tarfile.open(archive) as packed, tarfile.open(fileobj=plain, mode="w", format=tarfile.PAX_FORMAT) as out:
        for member in sorted(packed.getmembers(), key=lambda member: member.name):
            member.mtime, member.uid, member.gid, member.uname, member.gname = int(EPOCH), 0, 0, "", ""
            member.mode = 0o755 if member.isdir() else 0o644
            member.pax_headers = {}
            out.addfile(member, packed.extractfile(member) if member.isfile() else None)
    archive.write_bytes(gzip.compress(plain.getvalue(), mtime=int(EPOCH)))


def _tools() -> list[str | Path]:
    own = Path(__file__)
    return [
        own,
        own.with_name("toolchains.py"),
        EPOCH,
        sys.version,
        *(f"{name} {version(name)}" for name in ("build", "cffi", "setuptools")),
    ]


if __name__ == "__main__":
    main(sys.argv[1:])
