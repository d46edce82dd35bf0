"""Prepares and checks a release. docs/releasing.md is its manual.

python scripts/release.py prepare 0.2.0   writes the version and dates the changelog
python scripts/release.py notes v0.2.0    checks that the tree is that release and prints its section of the changelog
"""

from __future__ import annotations

import datetime
import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
CHANGELOG = "CHANGELOG.md"
SOURCE = "src/bass_webrtc/version.py"
"""The version's place: the distribution, the documentation and the built library take it from here."""
NUMBERED = (
    ("src/bass_webrtc/capi/bass_webrtc.h", "#define BASS_WEBRTC_VERSION 0x{} /* {}.0 */"),
    ("examples/csharp/BassWebRtc.cs", "public const int BASS_WEBRTC_VERSION = 0x{};"),
    ("examples/pascal/bass_webrtc.pas", "BASS_WEBRTC_VERSION = ${};"),
)
"""Files that contain the version because their users compile with it, and the line with it: as hexadecimal digits, and
as text."""
_VERSION = r"\d+\.\d+\.\d+"
_SOURCE_LINE = f'__version__ = "{_VERSION}"'


def version(root: Path = ROOT) -> str:
    """The version of this tree."""
    return _only(_SOURCE_LINE, (root / SOURCE).read_text(encoding="utf-8"), SOURCE).split('"')[1]


def prepare(new: str, today: datetime.date, root: Path = ROOT) -> None:
    """Write the version into all its places, and make the changelog's unreleased part its section."""
    if not re.fullmatch(_VERSION, new):
        raise ReleaseError(f"the version is {new!r}; expected three numbers, such as 0.2.0")
    texts = {name: (root / name).read_text(encoding="utf-8") for name in (CHANGELOG, SOURCE, *dict(NUMBERED))}
    changelog = texts[CHANGELOG]
    if not _section("Unreleased", changelog):
        raise ReleaseError(f"{CHANGELOG} has nothing under [Unreleased]; expected the changes of {new}")
    if f"## [{new}]" in changelog:
        raise ReleaseError(f"{CHANGELOG} has a section [{new}] already; choose another version")
    texts[CHANGELOG] = changelog.replace("## [Unreleased]\n", f"## [Unreleased]\n\n## [{new}] - {today}\n")
    texts[SOURCE] = _with(f'__version__ = "{new}"', _SOURCE_LINE, texts[SOURCE], SOURCE)
    for name, line in NUMBERED:
        texts[name] = _with(_numbered(line, new), _pattern(line), texts[name], name)
    for name, text in texts.items():
        (root / name).write_text(text, encoding="utf-8")


def notes(tag: str, root: Path = ROOT) -> str:
    """The changes of the release that the tag names; raises ``ReleaseError`` if the tree is not that release."""
    own = version(root)
    if tag != f"v{own}":
        raise ReleaseError(f"the tag is {tag}, but the version of this tree is {own}; expected v{own}")
    for name, line in NUMBERED:
        if _numbered(line, own) not in (root / name).read_text(encoding="utf-8"):
            raise ReleaseError(f"{name} has another version than {own}; run scripts/release.py prepare")
    changelog = (root / CHANGELOG).read_text(encoding="utf-8")
    if _section("Unreleased", changelog):
        raise ReleaseError(f"{CHANGELOG} has changes under [Unreleased]; expected them in the section of {own}")
    if not re.search(rf"^## \[{own}\] - \d{{4}}-\d\d-\d\d$", changelog, re.MULTILINE):
        raise ReleaseError(f"{CHANGELOG} has no line '## [{own}] - YYYY-MM-DD'; run scripts/release.py prepare")
    return _section(own, changelog)


class ReleaseError(Exception):
    """The tree is not in the expected state."""


def _section(heading: str, changelog: str) -> str:
    found = re.search(rf"^## \[{re.escape(heading)}\][^\n]*\n(.*?)(?=^## \[|\Z)", changelog, re.MULTILINE | re.DOTALL)
    return found[1].strip() if found else ""


def _numbered(line: str, number: str) -> str:
    return line.format("".join(f"{int(part):02x}" for part in f"{number}.0".split(".")), number)


def _pattern(line: str) -> str:
    return re.escape(line).replace(r"\{\}", "{}").format(r"[0-9a-f]{8}", _VERSION)


def _only(pattern: str, text: str, name: str) -> str:
    found = re.findall(pattern, text)
    if len(found) != 1:
        raise ReleaseError(f"{name} has {len(found)} lines like {pattern}; expected one")
    return str(found[0])


def _with(new: str, pattern: str, text: str, name: str) -> str:
    return text.replace(_only(pattern, text, name), new)


def main(arguments: list[str]) -> int:
    """Run the command line; return its exit code."""
    try:
        match arguments:
            case ["prepare", number]:
                prepare(number, datetime.datetime.now(datetime.UTC).date())
            case ["notes", tag]:
                sys.stdout.write(notes(tag) + "\n")
            case _:
                sys.stderr.write(f"{__doc__}\n")
                return 2
    except ReleaseError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
