"""Compare the C# and Pascal declarations with bass_webrtc.h; print each difference and exit with 1 if there is one.

check-bindings.py [HEADER CSHARP PASCAL]

header, C#, Pascal ─► one Interface each: names, values, types as they are written ─► TYPES ─► differences
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bass_webrtc.capi.header import HEADER, Slot, enumerators, parse_header, slot, slots

ROOT = Path(__file__).parents[1]
CSHARP = ROOT / "examples/csharp/BassWebRtc.cs"
PASCAL = ROOT / "examples/pascal/bass_webrtc.pas"

# How C# and Pascal write each C type; alternatives are separated by "or". BOOL: an int that is 1 or 0.
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
    WebRtcCallStatsFFI*       | out WebRtcCallStatsFFI                          | var WebRtcCallStatsFFI
    const WebRtcCallStatsFFI* | ref WebRtcCallStatsFFI                          | ^WebRtcCallStatsFFI
    const CallCallbacks*      | ref CallCallbacks or IntPtr                     | ^CallCallbacks
    char[256]    | [MarshalAs(UnmanagedType.ByValArray, SizeConst = 256)] byte[] | array[0..255] of AnsiChar
"""
BASS_TYPES = {"DWORD": "uint32_t", "HSTREAM": "uint32_t"}
SYSTEM_CALL = "stdcall on Windows, cdecl elsewhere"
NATURAL = "natural alignment"
NAME = re.compile(r"\b(?:BASS_WEBRTC|PEER_STATE)_\w+")


@dataclass(frozen=True)
class Entry:
    """A function, a callback or a structure.

    Attributes:
        convention: The calling convention, or the alignment of a structure.
        slots: The result and the parameters, or the fields.
    """

    convention: str
    slots: tuple[Slot, ...]


@dataclass
class Interface:
    """What a file declares.

    Attributes:
        mentioned: Every name of the library in the code, whether its declaration was understood or not.
        constants: Values by name.
        entries: Declarations by name; overloads share one.
    """

    mentioned: set[str]
    constants: dict[str, int] = field(default_factory=dict)
    entries: dict[str, list[Entry]] = field(default_factory=dict)

    @property
    def names(self) -> set[str]:
        """The names whose declarations were understood."""
        return {*self.constants, *self.entries}

    def add(self, name: str, convention: str, slots: Iterable[Slot]) -> None:
        """Add a declaration."""
        self.entries.setdefault(name, []).append(Entry(convention, tuple(slots)))


def find(pattern: str, code: str) -> list[tuple[str, ...]]:
    """The groups of all matches; ``.`` matches any character, ``^`` the start of a line."""
    return [match.groups("") for match in re.finditer(pattern, code, re.DOTALL | re.MULTILINE)]


def statements(body: str) -> list[str]:
    """The text before each semicolon, on one line each."""
    return [" ".join(statement.split()) for statement in body.split(";")[:-1]]


def renamed(found: Iterable[Slot], aliases: Mapping[str, str]) -> list[Slot]:
    """The same slots, with the types that aliases stand for."""
    return [Slot(one.name, aliases.get(one.type, one.type)) for one in found]


def callback_name(type_name: str) -> str:
    """``on_sdp``, the field whose type is ``OnSdp`` in C# and ``TOnSdp`` in Pascal."""
    return re.sub(r"(?<!^)([A-Z])", r"_\1", type_name.removeprefix("T")).lower()


def read_header(text: str) -> Interface:
    """The interface of bass_webrtc.h."""
    header = parse_header(text)
    found = Interface(set(header.names), header.constants)
    for function in header.functions.values():
        result = Slot("result", "BOOL" if function.is_truth else function.result)
        found.add(function.name, SYSTEM_CALL, renamed((result, *function.parameters), BASS_TYPES))
    for callback in header.callbacks.values():
        found.add(callback.name, "cdecl", (Slot("result", callback.result), *callback.parameters))
    for name, fields in header.structures.items():
        found.add(name, NATURAL, fields)
    return found


def read_csharp(text: str) -> Interface:
    """The interface of BassWebRtc.cs. DllImport has the system's calling convention unless it names another."""
    code = re.sub(r"//[^\n]*", "", text)
    found = Interface(set(NAME.findall(code)))
    for name, value in find(r"public const u?int (\w+) = (-?\w+);", code):
        found.constants[name] = int(value, 0)
    aliases = {}
    for name, underlying, body in find(r"public enum (\w+) : (\w+)\s*\{(.*?)\}", code):
        aliases[name] = underlying
        found.constants.update(enumerators(body))

    def signature(result: str, parameters: str) -> list[Slot]:
        return renamed((Slot("result", result), *slots(parameters)), aliases)

    pattern = r"\[UnmanagedFunctionPointer\(CallingConvention\.(\w+)\)\]\s*public delegate (\w+) (\w+)\((.*?)\);"
    for convention, result, name, parameters in find(pattern, code):
        found.add(callback_name(name), convention.lower(), signature(result, parameters))
        aliases[name] = f"callback_{callback_name(name)}"
    pattern = r"\[DllImport\(([^\]]*)\)\]\s*public static extern (\w+) (\w+)\((.*?)\);"
    for how, result, name, parameters in find(pattern, code):
        found.add(name, SYSTEM_CALL if how == "Library" else how, signature(result, parameters))
    for layout, name, body in find(r"\[StructLayout\(([^\]]*)\)\]\s*public struct (\w+)\s*\{(.*?)\}", code):
        fields = [slot(one.replace("public ", "")) for one in statements(body)]
        found.add(name, NATURAL if layout == "LayoutKind.Sequential" else layout, renamed(fields, aliases))
    return found


def pascal_slots(text: str, aliases: Mapping[str, str]) -> Iterator[Slot]:
    """Parse a list of parameters or fields such as ``a, b: Cardinal; var c: Word``."""
    for group in filter(None, statements(text + ";")):
        names, _, spelled = group.partition(": ")
        prefix = "var " if names.startswith("var ") else ""
        for name in names.removeprefix(prefix).split(", "):
            yield Slot(name, prefix + aliases.get(spelled, spelled))


def read_pascal(text: str) -> Interface:
    """The interface of bass_webrtc.pas."""
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
        is_system_call = how == "{$IFDEF MSWINDOWS}stdcall{$ELSE}cdecl{$ENDIF}"
        convention = SYSTEM_CALL if is_system_call else how
        found.add(name, convention, pascal_slots(f"result: {result}; {parameters}", aliases))
    is_natural = "{$IFDEF FPC}{$PACKRECORDS C}{$ELSE}{$ALIGN 8}{$ENDIF}" in code
    for name, packed, body in find(r"(\w+) = (packed )?record(.*?)\bend;", code):
        found.add(name, NATURAL if is_natural and not packed else "another alignment", pascal_slots(body, aliases))
    return found


def entry_differences(name: str, wanted: Entry, given: Entry, spellings: Mapping[str, str]) -> Iterator[str]:
    """How a declaration differs from the header's.

    Args:
        name: Of the declaration.
        wanted: The header's.
        given: The binding's.
        spellings: How the binding's language writes each C type.
    """
    if given.convention != wanted.convention:
        yield f"{name} has {given.convention or 'no convention'}; the header: {wanted.convention}"
    if len(given.slots) != len(wanted.slots):
        yield f"{name} has {', '.join(map(str, given.slots))}; the header: {', '.join(map(str, wanted.slots))}"
        return
    for ours, theirs in zip(given.slots, wanted.slots, strict=True):
        written = spellings.get(f"{theirs.type} {theirs.name}") or spellings.get(theirs.type, theirs.type)
        if ours.name != theirs.name or ours.type not in written.split(" or "):
            yield f"{name} has {ours}; the header: {theirs}"


def differences(header: Interface, binding: Interface, spellings: Mapping[str, str]) -> Iterator[str]:
    """How a binding differs from the header."""
    for name in sorted(header.names - binding.names):
        yield f"{name} is missing, or cannot be parsed"
    for name in sorted((binding.names | binding.mentioned) - header.names):
        yield f"{name} is not in the header"
    for name, value in header.constants.items():
        if binding.constants.get(name, value) != value:
            yield f"{name} is {binding.constants[name]}; the header: {value}"
    for name, (wanted,) in header.entries.items():
        for given in binding.entries.get(name, []):
            yield from entry_differences(name, wanted, given, spellings)


def main(header_path: Path = HEADER, csharp_path: Path = CSHARP, pascal_path: Path = PASCAL) -> str | None:
    """The differences, one per line; None if there are none."""
    header = read_header(header_path.read_text(encoding="utf-8"))
    found = [f"{header_path.name}: {name} cannot be parsed" for name in sorted(header.mentioned - header.names)]
    rows = [[cell.strip() for cell in line.split(" | ")] for line in TYPES.strip().splitlines()]
    for path, read, column in ((csharp_path, read_csharp, 1), (pascal_path, read_pascal, 2)):
        spellings = {row[0]: row[column] for row in rows}
        found += (
            f"{path.name}: {one}" for one in differences(header, read(path.read_text(encoding="utf-8")), spellings)
        )
    return "\n".join(found) or None


if __name__ == "__main__":
    sys.exit(main(*map(Path, sys.argv[1:])))
