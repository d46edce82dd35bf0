"""The headers, the type stub and the compiled core declare the same interface."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bass_webrtc.core import _core, build_core

HEADER = "".join((build_core.HERE / name).read_text(encoding="utf-8") for name in build_core.HEADERS)
# Joins prototypes that ruff has wrapped.
STUB = re.sub(
    r"\(\n((?: {8}.*\n)+) +\)",
    lambda wrapped: f"({' '.join(wrapped[1].split()).rstrip(',')})",
    (build_core.HERE / "_core.pyi").read_text(encoding="utf-8"),
)
PLAIN = re.sub(r"/\*.*?\*/", "", build_core.declarations(HEADER), flags=re.DOTALL)
PROTOTYPES = re.findall(r"^(\w[\w ]*\*?)\b(bw_\w+)\(([^)]*)\);", PLAIN, re.MULTILINE)
DEFINES = re.findall(r"^#define (\w+) (\S+)", PLAIN, re.MULTILINE)


def _python_type(c_type: str) -> str:
    """Read-only pointers to bytes and text also accept bytes."""
    if c_type in ("const uint8_t *", "const char *"):
        return "Pointer | bytes"
    if "*" in c_type:
        return "Pointer"
    return {"void": "None", "double": "float", "float": "float"}.get(c_type, "int")


def _stub_line(result: str, name: str, parameters: str) -> str:
    arguments = ["self"]
    for parameter in re.split(r",\s*", parameters) if parameters != "void" else ():
        c_type, argument = re.fullmatch(r"(.*?[ *])(\w+)", parameter.strip()).groups()  # type: ignore[union-attr]
        arguments.append(f"{argument}: {_python_type(c_type.strip())}")
    separator = ", /" if len(arguments) > 1 else ""
    return f"def {name}({', '.join(arguments)}{separator}) -> {_python_type(result.strip())}: ..."


@pytest.mark.parametrize("prototype", PROTOTYPES, ids=[name for _, name, _ in PROTOTYPES])
def test_stub_matches_prototype_in_header(prototype: tuple[str, str, str]) -> None:
    assert f"    {_stub_line(*prototype)}\n" in STUB


def test_stub_declares_exactly_the_names_in_headers() -> None:
    stubbed = re.findall(r"^    (?:def )?((?:bw|BW)_\w+)", STUB, re.MULTILINE)
    assert stubbed == [name for name, _ in DEFINES] + [name for _, name, _ in PROTOTYPES]


def test_compiled_core_has_functions_and_constants_of_headers() -> None:
    assert sorted(dir(_core.lib)) == sorted([name for name, _ in DEFINES] + [name for _, name, _ in PROTOTYPES])
    assert {name: getattr(_core.lib, name) for name, _ in DEFINES} == {name: int(text, 0) for name, text in DEFINES}


def test_declarations_keep_only_numeric_defines() -> None:
    header = '#ifndef A_H\n#define A_H\n#include "b.h"\n#define N -5 /* why,\n and why */\n#define H 0xFF\n'
    header += "#define CONTINUED \\\n 7 /* why */\n"
    header += '#define EXPRESSION (1 << 3)\n#define TEXT "1"\n#define F(x) 1\nint f(void);\n#endif\n'
    assert build_core.declarations(header).splitlines() == [
        "#define N -5 /* why,",
        " and why */",
        "#define H 0xFF",
        "#define CONTINUED  7 /* why */",
        "int f(void);",
    ]


def test_error_for_missing_library_names_packages(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(build_core.LIBRARIES, "no-such-library", "libnosuch-dev")
    with pytest.raises(SystemExit, match=r"(?s)no-such-library.*apt-get install .*libopus-dev .*libnosuch-dev"):
        build_core.pkg_config("--libs")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SystemExit, match=r"pkg-config is missing.*apt-get install .*pkg-config"):
        build_core.pkg_config("--libs")


def test_static_libraries_are_those_of_the_given_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder, other = tmp_path / "a folder", tmp_path / "other"
    for prefix in (folder, other):
        (prefix / "lib/pkgconfig").mkdir(parents=True)
        for name in build_core.LIBRARIES:
            described = f"prefix=${{pcfiledir}}/../..\nName: {name}\nDescription: {name}\nVersion: 1\n"
            described += f"Cflags: -I${{prefix}}/include\nLibs: -L${{prefix}}/lib -l{name.removeprefix('lib')}\n"
            (prefix / f"lib/pkgconfig/{name}.pc").write_text(
                f"{described}Libs.private: -lneeded-by-{name}\n", encoding="utf-8"
            )
    monkeypatch.setenv("PKG_CONFIG_PATH", str(other / "lib/pkgconfig"))
    (included,) = build_core.pkg_config("--cflags", folder)
    assert Path(included.removeprefix("-I")).resolve() == folder / "include"
    on_linux = build_core.link_flags("linux-x64", folder)
    assert not [flag for flag in on_linux if str(other) in flag]
    assert {"-lopus", "-lcrypto", "-lneeded-by-libcrypto"} <= set(on_linux)
    on_windows = build_core.link_flags("windows-x64", folder)
    assert on_windows[0] == "-static"
    assert set(on_windows) - set(on_linux) == {"-static", "-lws2_32", "-lavrt", "-lwinmm"}


def test_core_for_windows_requires_static_libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BASS_WEBRTC_TARGET", "windows-x64")
    monkeypatch.delenv("BASS_WEBRTC_THIRD_PARTY", raising=False)
    with pytest.raises(SystemExit, match=r"BASS_WEBRTC_THIRD_PARTY is not set.*scripts/third-party.sh windows-x64"):
        build_core.ffibuilder()
