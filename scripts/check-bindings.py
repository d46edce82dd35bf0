"""Says every difference between bass_webrtc.h and its declarations for C# and Pascal; code 1 if there is one.

check-bindings.py [HEADER CSHARP PASCAL]

header, C#, Pascal ─► one Interface each: names, values, types as they are written ─► TYPES ─► differences
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[1]
HEADER = ROOT / "src/bass_webrtc/capi/bass_webrtc.h"
CSHARP = ROOT / "examples/csharp/BassWebRtc.cs"
PASCAL = ROOT / "examples/pascal/bass_webrtc.pas"

# What C# and Pascal write for a type of C, each column in any of its ways. BOOL: an int that is 1 or 0.
TYPES = """
    uint8_t                   | byte                                            | Byte
    uint16_t                  | ushort                                          | Word
    uint32_t                  | uint                                            | Cardinal
    uint64_t                  | ulong                                           | UInt64
    int64_t                   | long                                            | Int64
    double                    | double                                          | Double
    int                       | int                                             | Integer
    BOOL                      | bool                                            | LongBool
    void                      | void                                            | void
    void*                     | IntPtr                                          | Pointer
    const char*               | [MarshalAs(UnmanagedType.LPUTF8Str)] string     | PAnsiChar
    char*                     | [Out] byte[]                                    | PAnsiChar
    const char* result        | IntPtr                                          | PAnsiChar
    char[64]                  | [MarshalAs(UnmanagedType.ByValTStr, SizeConst = 64)] string | array[0..63] of AnsiChar
    uint32_t*                 | out uint                                        | PCardinal
    const float*              | [In] float[]                                    | PSingle
    float*                    | [Out] float[]                                   | PSingle
    const WebRtcConfigFFI*    | ref WebRtcConfigFFI or IntPtr                   | ^WebRtcConfigFFI
    const SignalingCallbacks* | ref SignalingCallbacks or IntPtr                | ^SignalingCallbacks
    WebRtcStatsFFI*           | out WebRtcStatsFFI                              | var WebRtcStatsFFI
    WebRtcPeerStatsFFI*       | out WebRtcPeerStatsFFI                          | var WebRtcPeerStatsFFI
"""
SYSTEM_CALL = "stdcall on Windows, cdecl elsewhere"
NATURAL = "natural alignment"
NAME = re.compile(r"\b(?:BASS_WEBRTC|PEER_STATE)_\w+")
NO_CONSTANTS = {"BASS_WEBRTC_H", "BASS_WEBRTC_CALL"}


@dataclass(frozen=True)
class Slot:
    """A parameter, a field or a result."""

    name: str
    type: str

    def __str__(self) -> str:
        return f"{self.name} of type {self.type}"


@dataclass(frozen=True)
class Entry:
    """A function, a callback or a structure: calling convention and result with parameters, or alignment and fields."""

    manner: str
    slots: tuple[Slot, ...]


@dataclass
class Interface:
    """What a file declares."""

    mentioned: set[str]
    """All names of ours in the code, understood or not."""
    constants: dict[str, int] = field(default_factory=dict)
    entries: dict[str, list[Entry]] = field(default_factory=dict)
    """Overloads have one name."""

    @property
    def names(self) -> set[str]:
        """What was understood."""
        return {*self.constants, *self.entries}

    def add(self, name: str, manner: str, slots: Iterable[Slot]) -> None:
        self.entries.setdefault(name, []).append(Entry(manner, tuple(slots)))

    def add_enumerators(self, body: str) -> None:
        value = -1
        for name, given in find(r"(\w+)(?:\s*=\s*(\w+))?", body):
            value = int(given, 0) if given else value + 1
            self.constants[name] = value


def find(pattern: str, code: str) -> list[tuple[str, ...]]:
    """The groups of all matches; ``.`` is any character, ``^`` begins a line."""
    return [match.groups("") for match in re.finditer(pattern, code, re.DOTALL | re.MULTILINE)]


def statements(body: str) -> list[str]:
    """What stands before each semicolon, on one line each."""
    return [" ".join(statement.split()) for statement in body.split(";")[:-1]]


def typed(declaration: str, aliases: Mapping[str, str]) -> Slot:
    """C and C# write the type first, and C the size of an array last."""
    words = " ".join(declaration.replace("*", "* ").split()).replace(" *", "*")
    spelled, _, name = words.rpartition(" ")
    name, bracket, size = name.partition("[")
    return Slot(name, aliases.get(spelled, spelled) + bracket + size)


def signature(result: str, parameters: str, aliases: Mapping[str, str]) -> list[Slot]:
    """Of C and C#: the result, and what it takes."""
    taken = [one for one in parameters.split(",") if one not in ("", "void")]
    return [typed(one, aliases) for one in (f"{result} result", *taken)]


def callback_name(type_name: str) -> str:
    """``OnSdp`` and ``TOnSdp`` are the types of the field ``on_sdp``."""
    return re.sub(r"(?<!^)([A-Z])", r"_\1", type_name.removeprefix("T")).lower()


def read_header(text: str) -> Interface:
    """The comment above a function says whether its int is a BOOL."""
    says = {name: said for said, name in find(r"Returns: +(\S+ \w+)(?:(?!\*/).)*?\*/[^(]*?(\w+)\(", text)}
    code = re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)
    found = Interface(set(NAME.findall(code)) - NO_CONSTANTS)
    for name, value in find(r"^#define (\w+) (-?\d\w*)", code):
        found.constants[name] = int(value, 0)
    for (body,) in find(r"^enum \{(.*?)\}", code):
        found.add_enumerators(body)
    aliases = {"DWORD": "uint32_t", "HSTREAM": "uint32_t"}
    for result, name, parameters in find(r"^(\w[^;]*?)BASS_WEBRTC_CALL (\w+)\((.*?)\);", code):
        said = says.get(name, "").removeprefix("as ")
        is_truth = result == "int " and says.get(said, said).startswith("1")
        found.add(name, SYSTEM_CALL, signature("BOOL" if is_truth else result, parameters, aliases))
    for body, name in find(r"^typedef struct \{(.*?)\} (\w+);", code):
        for result, callback, parameters in find(r"(\w+) \(\*(\w+)\)\((.*?)\);", body):
            found.add(callback, "cdecl", signature(result, parameters, aliases))
        fields = re.sub(r"\w+ \(\*(\w+)\)\(.*?\);", r"callback_\1 \1;", body, flags=re.DOTALL)
        found.add(name, NATURAL, [typed(one, aliases) for one in statements(fields)])
    return found


def read_csharp(text: str) -> Interface:
    """DllImport calls as the system does, unless it is told otherwise."""
    code = re.sub(r"//[^\n]*", "", text)
    found = Interface(set(NAME.findall(code)))
    for name, value in find(r"public const u?int (\w+) = (-?\w+);", code):
        found.constants[name] = int(value, 0)
    aliases = {}
    for name, underlying, body in find(r"public enum (\w+) : (\w+)\s*\{(.*?)\}", code):
        aliases[name] = underlying
        found.add_enumerators(body)
    pattern = r"\[UnmanagedFunctionPointer\(CallingConvention\.(\w+)\)\]\s*public delegate (\w+) (\w+)\((.*?)\);"
    for convention, result, name, parameters in find(pattern, code):
        found.add(callback_name(name), convention.lower(), signature(result, parameters, aliases))
        aliases[name] = f"callback_{callback_name(name)}"
    pattern = r"\[DllImport\(([^\]]*)\)\]\s*public static extern (\w+) (\w+)\((.*?)\);"
    for how, result, name, parameters in find(pattern, code):
        found.add(name, SYSTEM_CALL if how == "Library" else how, signature(result, parameters, aliases))
    for layout, name, body in find(r"\[StructLayout\(([^\]]*)\)\]\s*public struct (\w+)\s*\{(.*?)\}", code):
        fields = [typed(one.replace("public ", ""), aliases) for one in statements(body)]
        found.add(name, NATURAL if layout == "LayoutKind.Sequential" else layout, fields)
    return found


def pascal_slots(text: str, aliases: Mapping[str, str]) -> Iterator[Slot]:
    """Of ``a, b: Cardinal; var c: Word``."""
    for group in filter(None, statements(text + ";")):
        names, _, spelled = group.partition(": ")
        way = "var " if names.startswith("var ") else ""
        for name in names.removeprefix(way).split(", "):
            yield Slot(name, way + aliases.get(spelled, spelled))


def read_pascal(text: str) -> Interface:
    code = re.sub(r"\{[^$][^}]*\}|//[^\n]*", "", text)
    found = Interface(set(NAME.findall(code)))
    for name, value in find(r"^ +(\w+) = (-?\d+|\$[0-9A-F]+);", code):
        found.constants[name] = int(value.replace("$", "0x"), 0)
    aliases = {name: target for name, target in find(r"^ +(\w+) = (\^?[A-Z]\w+);", code)}
    for name, parameters, convention in find(r"(\w+) = procedure\(([^)]*)\);(?: (\w+);)?", code):
        found.add(callback_name(name), convention, [Slot("result", "void"), *pascal_slots(parameters, aliases)])
        aliases[name] = f"callback_{callback_name(name)}"
    pattern = r"^function (\w+)(?:\(([^)]*)\))?: (\w+);\s*([^;]*?);? external BassWebRtcLibrary;"
    for name, parameters, result, how in find(pattern, code):
        is_systems = how == "{$IFDEF MSWINDOWS}stdcall{$ELSE}cdecl{$ENDIF}"
        found.add(name, SYSTEM_CALL if is_systems else how, pascal_slots(f"result: {result}; {parameters}", aliases))
    is_natural = "{$IFDEF FPC}{$PACKRECORDS C}{$ELSE}{$ALIGN 8}{$ENDIF}" in code
    for name, packed, body in find(r"(\w+) = (packed )?record(.*?)\bend;", code):
        found.add(name, NATURAL if is_natural and not packed else "another alignment", pascal_slots(body, aliases))
    return found


def entry_differences(name: str, wanted: Entry, given: Entry, ways: Mapping[str, str]) -> Iterator[str]:
    """``ways``: what the language writes for a type of C."""
    if given.manner != wanted.manner:
        yield f"{name} has {given.manner or 'no convention'}; the header: {wanted.manner}"
    if len(given.slots) != len(wanted.slots):
        yield f"{name} has {', '.join(map(str, given.slots))}; the header: {', '.join(map(str, wanted.slots))}"
        return
    for ours, theirs in zip(given.slots, wanted.slots, strict=True):
        written = ways.get(f"{theirs.type} {theirs.name}") or ways.get(theirs.type, theirs.type)
        if ours.name != theirs.name or ours.type not in written.split(" or "):
            yield f"{name} has {ours}; the header: {theirs}"


def differences(header: Interface, binding: Interface, ways: Mapping[str, str]) -> Iterator[str]:
    for name in sorted(header.names - binding.names):
        yield f"{name} is missing, or cannot be read"
    for name in sorted((binding.names | binding.mentioned) - header.names):
        yield f"{name} is not in the header"
    for name, value in header.constants.items():
        if binding.constants.get(name, value) != value:
            yield f"{name} is {binding.constants[name]}; the header: {value}"
    for name, (wanted,) in header.entries.items():
        for given in binding.entries.get(name, []):
            yield from entry_differences(name, wanted, given, ways)


def main(header_path: Path = HEADER, csharp_path: Path = CSHARP, pascal_path: Path = PASCAL) -> str | None:
    """The differences, one a line; nothing when there are none."""
    header = read_header(header_path.read_text())
    found = [f"{header_path.name}: {name} cannot be read" for name in sorted(header.mentioned - header.names)]
    rows = [[cell.strip() for cell in line.split(" | ")] for line in TYPES.strip().splitlines()]
    for path, read, column in ((csharp_path, read_csharp, 1), (pascal_path, read_pascal, 2)):
        ways = {row[0]: row[column] for row in rows}
        found += (f"{path.name}: {one}" for one in differences(header, read(path.read_text()), ways))
    return "\n".join(found) or None


if __name__ == "__main__":
    sys.exit(main(*map(Path, sys.argv[1:])))
