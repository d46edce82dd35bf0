"""Every code block of the README and the documentation does what it shows: it runs, compiles or parses.

Python runs, C compiles, data formats parse, and shell lines name only commands, options, files and make targets that
exist. A block that cannot run has ``<!-- not run: REASON -->`` on the line before it, and
``test_only_these_blocks_are_not_run`` lists it.
"""

from __future__ import annotations

import configparser
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from command_line import commands

import bass_webrtc as bw
from support import media

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    [ROOT / name for name in ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md")]
    + [path for path in (ROOT / "docs").rglob("*") if path.suffix in (".md", ".rst")]
)
SILENT_LANGUAGES = {"text", "toctree", "eval-rst", "literalinclude", "include"}
"""Pictures, and directives that are checked where the site is built."""
NOT_RUN = re.compile(r"<!-- not run: (?P<reason>.+?) -->")

# Where the code of a page runs: default ports may be taken, no one presses Return, and BASS plays on "no sound".
PREAMBLE = """
import builtins, functools
import bass_webrtc, bass_webrtc.server.server
from sound_lib.external import pybass as _bass
_init = _bass.BASS_Init
_bass.BASS_Init = lambda device, *more: _init(0, *more)
builtins.input = lambda prompt="": print(prompt) or ""
def _config(*arguments, **settings):
    return _ServerConfig(*arguments, **{**settings, "http_port": 0, "udp_port": 0})
_ServerConfig = bass_webrtc.ServerConfig
bass_webrtc.ServerConfig = bass_webrtc.server.server.ServerConfig = _config
"""


@dataclass(frozen=True)
class Block:
    """One code block."""

    page: Path
    line: int
    language: str
    code: str
    not_run: str = ""
    """Why it is not run; empty when it is."""

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def read_blocks(page: Path, text: str) -> Iterator[Block]:
    """Blocks of a Markdown or reStructuredText page."""
    if page.suffix == ".rst":
        for match in re.finditer(r"^\.\. code-block:: (\w+)\n\n((?:   .*\n|\n)+)", text, re.MULTILINE):
            code = "\n".join(line[3:] for line in match[2].splitlines())
            yield Block(page, text.count("\n", 0, match.start()) + 1, match[1], code + "\n")
        return
    pattern = r"^(?P<before>[^\n]*)\n(?:\n(?=```))?(?P<fence>```+)(?P<language>[^\n]*)\n(?P<code>.*?)^(?P=fence)[ \t]*$"
    for match in re.finditer(pattern, "\n" + text, re.MULTILINE | re.DOTALL):
        language = match["language"].split(" ")[0].strip("{}")
        reason = NOT_RUN.search(match["before"])
        line = text.count("\n", 0, match.start("fence") - 1) + 1
        yield Block(page, line, language, match["code"], reason["reason"] if reason else "")


BLOCKS = [block for page in PAGES for block in read_blocks(page, page.read_text(encoding="utf-8"))]


def of(*languages: str) -> Callable[[Any], Any]:
    """Parametrizes a test with the blocks of some languages that are not excused."""
    chosen = [block for block in BLOCKS if block.language in languages and not block.not_run]
    assert chosen, languages
    return pytest.mark.parametrize("block", chosen, ids=str)


def test_every_block_has_a_language_that_a_test_knows() -> None:
    known = {"python", "c", "bash", "json", "yaml", "toml", "ini"} | SILENT_LANGUAGES
    assert {str(block): block.language for block in BLOCKS if block.language not in known} == {}


def test_only_these_blocks_are_not_run() -> None:
    excused = {str(block.page.relative_to(ROOT)): block.not_run for block in BLOCKS if block.not_run}
    assert excused == {
        "docs/how-to/freeze.md": "freezing takes minutes; tests/packages/test_frozen.py does it",
        "docs/how-to/sound-card.md": "needs a sound-card input",
    }


def test_every_fence_is_read() -> None:
    for page in PAGES:
        if page.suffix == ".md":
            fences = re.findall(r"^```", page.read_text(encoding="utf-8"), re.MULTILINE)
            assert len(fences) == 2 * sum(block.page == page for block in BLOCKS), page


# -- Python


@pytest.fixture(scope="module")
def other_server() -> Iterator[str]:
    """A server that the clients of a page connect to."""
    with bw.Server(bw.Tone(440.0), bw.ServerConfig(http_port=0, udp_port=0, token="TOKEN")) as server:
        server.start()
        yield server.url


def run_python(code: str, folder: Path) -> None:
    """Run code in a process of its own, in a folder with ``song.mp3``."""
    media.write_tone(folder / "song.mp3", 1000.0, 2000.0, seconds=1.0, sample_rate_hz=48_000)  # BASS looks inside.
    result = subprocess.run(
        [sys.executable, "-c", PREAMBLE + code],
        cwd=folder,
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )
    assert result.returncode == 0, result.stderr


@of("python")
def test_python_block_runs(block: Block, tmp_path: Path, other_server: str) -> None:
    code = block.code.replace("http://127.0.0.1:8080/", other_server)
    code = code.replace(f'WhepClient("{other_server}whep")', f'WhepClient("{other_server}whep", token="TOKEN")')
    run_python(code, tmp_path)


def test_python_block_that_raises_fails(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="AttributeError"):
        run_python("import bass_webrtc as bw\nbw.Sever\n", tmp_path)


# -- C


def compile_c(code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Compile a program against this library's header and a stand-in for bass.h."""
    (folder / "bass.h").write_text('#include "bass_functions.h"\n', encoding="utf-8")
    flags = [f"-I{folder}", f"-I{ROOT / 'examples/c'}", f"-I{ROOT / 'src/bass_webrtc/capi'}"]
    command = ["cc", "-std=c99", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", *flags, "-x", "c", "-"]
    return subprocess.run(command, input=code, capture_output=True, encoding="utf-8", check=False)


@of("c")
def test_c_block_compiles(block: Block, tmp_path: Path) -> None:
    result = compile_c(block.code, tmp_path)
    assert result.returncode == 0, result.stderr


def test_c_block_with_a_misspelt_function_fails(tmp_path: Path) -> None:
    code = '#include "bass_webrtc.h"\nint main(void) { return BASS_WEBRTC_Strat(0); }\n'
    assert "BASS_WEBRTC_Strat" in compile_c(code, tmp_path).stderr


# -- shell

COMMANDS = dict(commands())
FOREIGN = {
    "cc", "cp", "curl", "export", "ffmpeg", "git", "openssl", "pip", "python3", "systemctl", "whip-client", "./radio",
    "/opt/bass-webrtc/bin/pip",
}  # fmt: skip
"""Programs whose options are not checked."""


def shell_faults(code: str) -> list[str]:
    """What a block of shell lines names that does not exist."""
    lines = code.replace("\\\n", " ").splitlines()
    found = [re.sub(r"^\$\(|\)$", "", inner) for inner in re.findall(r"\$\(bass-webrtc [^)]*\)", code)]
    return [fault for line in (*lines, *found) for fault in _line_faults(line)]


def _line_faults(line: str) -> list[str]:
    words = shlex.split(line, comments=True)
    while words and re.match(r"[A-Z_]+=", words[0]):
        del words[0]
    if not words or words[0] in FOREIGN:
        return []
    if words[0] == "bass-webrtc":
        return _command_faults(words)
    if words[0] == "make":
        targets = " ".join(
            re.findall(r"^([a-z -]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
        ).split()
        return [f"make has no target {word}" for word in words[1:] if "=" not in word and word not in targets]
    if words[0] == "python" and words[1].startswith("examples/"):
        return _example_faults(ROOT / words[1], words[2:])
    return [f"unknown program {words[0]}"]


def _command_faults(words: list[str]) -> list[str]:
    name = next((name for name in (" ".join(words[:3]), " ".join(words[:2])) if name in COMMANDS), None)
    if name is None:
        return [f"no command {' '.join(words[:3])}"]
    options = {flag for parameter in COMMANDS[name].params for flag in (*parameter.opts, *parameter.secondary_opts)}
    given = [word.partition("=")[0] for word in words if word.startswith("--")]
    return [f"{name} has no option {word}" for word in given if word not in options | {"--help"}]


def _example_faults(path: Path, words: list[str]) -> list[str]:
    if not path.is_file():
        return [f"no file {path}"]
    text = path.read_text(encoding="utf-8")
    return [f"{path.name} has no option {word}" for word in words if word.startswith("--") and f'"{word}"' not in text]


@of("bash")
def test_shell_block_names_what_exists(block: Block) -> None:
    bash = shutil.which("bash")
    assert bash is not None
    syntax = subprocess.run([bash, "-n"], input=block.code, capture_output=True, encoding="utf-8", check=False)
    assert syntax.returncode == 0, syntax.stderr
    assert shell_faults(block.code) == []


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("bass-webrtc serve --no-such-option", "bass-webrtc serve has no option --no-such-option"),
        ("bass-webrtc sreve", "no command bass-webrtc sreve"),
        ("cc x.c $(bass-webrtc capi clfags)", "no command bass-webrtc capi clfags"),
        ("make no_such", "make has no target no_such"),
        ("python examples/mediamtx.py --whipp URL", "mediamtx.py has no option --whipp"),
        ("python examples/no_such.py", f"no file {ROOT / 'examples/no_such.py'}"),
        ("frobnicate", "unknown program frobnicate"),
    ],
)
def test_shell_block_with_an_error_is_reported(line: str, fault: str) -> None:
    assert shell_faults(line) == [fault]


def test_options_in_prose_exist() -> None:
    """Option names in running text, such as ``--max-peers``, too."""
    options = {flag for command in COMMANDS.values() for parameter in command.params for flag in parameter.opts}
    # Of examples and of other programs.
    others = {
        "--answer",
        "--whip",
        "--whep",
        "--keep-going",
        "--audio",
        "--url",
        "--exclude-libs",
        "--onefile",
        "--onedir",
        "--minutes",
    }
    for page in PAGES:
        text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
        named = set(re.findall(r"`(--[a-z][a-z-]+)", text))
        assert named - options - others == set(), page


# -- data


@of("json", "yaml")
def test_data_block_parses(block: Block) -> None:
    assert parse(block.language, block.code)


def parse(language: str, text: str) -> object:
    """The data in a block."""
    if language == "json":
        return json.loads(text)
    if language == "yaml":
        return yaml.safe_load(text)
    if language == "toml":
        return tomllib.loads(text)
    parser = configparser.ConfigParser()
    parser.read_string(text)
    return parser.sections()


@pytest.mark.parametrize(("language", "text"), [("json", "{"), ("yaml", "a: [1"), ("toml", "a ="), ("ini", "a = 1\n")])
def test_data_block_with_an_error_fails(language: str, text: str) -> None:
    with pytest.raises((ValueError, yaml.YAMLError, configparser.Error)):
        parse(language, text)


# -- names and links


def test_pages_name_only_public_names() -> None:
    for page in PAGES:
        named = set(re.findall(r"\bbw\.(\w+)", page.read_text(encoding="utf-8")))
        assert named <= set(bw.__all__), page


def test_relative_links_lead_to_a_file() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\((?!https?:|#|mailto:)([^)#\s]+)", page.read_text(encoding="utf-8")):
            assert os.path.exists(page.parent / target), f"{page}: {target}"


def test_source_files_that_pages_name_exist() -> None:
    files = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, encoding="utf-8", check=True
    ).stdout.split()
    known = {path[index:] for path in (f"/{path}" for path in files) for index in _slashes(path)}
    for page in PAGES:
        if page.name not in ("CHANGELOG.md", "decisions.md", "conformance.md"):
            text = re.sub(r"#include <\S+>", "", page.read_text(encoding="utf-8"))
            named = re.findall(r"(?<![\w./-])[a-z_0-9][\w/]*\.(?:py|c|h|cs|pas)\b", text)
            mine = {"radio.c", "radio.py", "bass.h"}  # the reader's own programs, and BASS's header
            assert {name for name in named if f"/{name}" not in known} - mine == set(), page


def _slashes(path: str) -> list[int]:
    return [index for index, letter in enumerate(path) if letter == "/"]


def test_reference_has_every_public_name() -> None:
    text = (ROOT / "docs/reference/python.rst").read_text(encoding="utf-8") + (
        ROOT / "docs/reference/aio.rst"
    ).read_text(encoding="utf-8")
    documented = set(re.findall(r"^\.\. auto(?:class|exception):: bass_webrtc\.(\w+)$", text, re.MULTILINE))
    assert documented == set(bw.__all__) - {"aio"}
