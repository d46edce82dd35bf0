"""Parse ``bass_webrtc.h``, the only place where the C interface is written down.

bass_webrtc.h ─► Header ─┬─► dispatch.py: the plumbing of each exported function, generated when the library is built
                         └─► scripts/check-bindings.py: the C# and Pascal declarations are checked against it
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

HEADER = Path(__file__).parent / "bass_webrtc.h"

NUMBER_RESULTS = frozenset(
    {
        "BASS_WEBRTC_AddPeer",
        "BASS_WEBRTC_AddPeerEx",
        "BASS_WEBRTC_CreateOffer",
        "BASS_WEBRTC_PushPcm",
        "BASS_WEBRTC_ReadPcm",
    }
)
"""Functions whose ``int`` is a peer's number or a number of frames: -1 on failure. Every other ``int`` of a function
that takes a handle is 1 (TRUE) or 0 (FALSE). C has one type for both, so they are listed here; a test compares the
list with the manual."""

_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
_CONSTANT = re.compile(r"^#define (\w+) (-?\d\w*)", re.MULTILINE)
_ENUM = re.compile(r"^enum \{(.*?)\}", re.MULTILINE | re.DOTALL)
_ENUMERATOR = re.compile(r"(\w+)(?:\s*=\s*(\w+))?")
_FUNCTION = re.compile(r"^(\w[^;{}]*?)BASS_WEBRTC_CALL (\w+)\((.*?)\);", re.MULTILINE | re.DOTALL)
_STRUCTURE = re.compile(r"^typedef struct \{(.*?)^\} (\w+);", re.MULTILINE | re.DOTALL)
_CALLBACK = re.compile(r"(\w+) \(\*(\w+)\)\((.*?)\);", re.DOTALL)
_CAPITAL = re.compile(r"(?<!^)([A-Z])")


@dataclass(frozen=True, slots=True)
class Slot:
    """A parameter of a function, or a field of a structure.

    Attributes:
        name: Its name.
        type: Its type as C has it, such as ``const char*`` or ``char[64]``.
    """

    name: str
    type: str

    def __str__(self) -> str:
        return f"{self.name} of type {self.type}"


@dataclass(frozen=True, slots=True)
class Function:
    """An exported function, or a callback of the host.

    Attributes:
        name: As in the header.
        result: The type of its result.
        parameters: In order; empty for ``(void)``.
    """

    name: str
    result: str
    parameters: tuple[Slot, ...]

    @property
    def makes_handle(self) -> bool:
        """Whether it makes a handle, so that it may be the first call of a process."""
        return self.result == "void*"

    @property
    def takes_handle(self) -> bool:
        """Whether its first parameter is a handle."""
        return self.parameters[:1] == (Slot("handle", "void*"),)

    @property
    def is_truth(self) -> bool:
        """Whether its ``int`` is TRUE or FALSE."""
        return self.result == "int" and self.takes_handle and self.name not in NUMBER_RESULTS

    @property
    def failure(self) -> int:
        """What it returns on failure; 0 is also NULL and the stream that is none."""
        return -1 if self.name in NUMBER_RESULTS else 0

    @property
    def handler(self) -> str:
        """The method of ``capi.Library`` that implements it: ``add_peer_ex`` for ``BASS_WEBRTC_AddPeerEx``."""
        return _CAPITAL.sub(r"_\1", self.name.removeprefix("BASS_WEBRTC_")).lower()


@dataclass(frozen=True, slots=True)
class Header:
    """Everything that ``bass_webrtc.h`` declares.

    Attributes:
        constants: Values of the numeric ``#define`` lines and enumerators.
        functions: The exported functions, by name.
        callbacks: The host's callbacks, by the name of their field in ``SignalingCallbacks``.
        structures: Fields of each structure. A callback field has the type ``callback_`` followed by its name.
        types: The structures and enumerations as C, without comments: what cffi reads.
        names: Every ``BASS_WEBRTC_`` and ``PEER_STATE_`` name in the code, whether it was understood or not.
    """

    constants: dict[str, int]
    functions: dict[str, Function]
    callbacks: dict[str, Function]
    structures: dict[str, tuple[Slot, ...]]
    types: str
    names: frozenset[str]


def parse_header(text: str) -> Header:
    """Parse the text of ``bass_webrtc.h``."""
    code = _COMMENT.sub("", text)
    constants = {name: int(value, 0) for name, value in _CONSTANT.findall(code)}
    for body in _ENUM.findall(code):
        constants.update(enumerators(body))
    callbacks: dict[str, Function] = {}
    structures: dict[str, tuple[Slot, ...]] = {}
    for body, name in _STRUCTURE.findall(code):
        callbacks.update((found.name, found) for found in _functions(_CALLBACK, body))
        fields = _CALLBACK.sub(r"callback_\2 \2;", body)
        structures[name] = tuple(slot(one) for one in fields.split(";")[:-1])
    return Header(
        constants,
        {found.name: found for found in _functions(_FUNCTION, code)},
        callbacks,
        structures,
        "\n".join(found[0] for found in _STRUCTURE.finditer(code)),
        frozenset(re.findall(r"\b(?:BASS_WEBRTC|PEER_STATE)_\w+", code)) - {"BASS_WEBRTC_H", "BASS_WEBRTC_CALL"},
    )


def enumerators(body: str) -> Iterator[tuple[str, int]]:
    """Names and values of an enumeration, from the text between its braces; C and C# count alike."""
    value = -1
    for name, given in _ENUMERATOR.findall(body):
        value = int(given, 0) if given else value + 1
        yield name, value


def slot(declaration: str) -> Slot:
    """Parse a declaration of C or C#, such as ``const char *name`` or ``char name[64]``."""
    words = " ".join(declaration.replace("*", "* ").split()).replace(" *", "*")
    spelled, _, name = words.rpartition(" ")
    name, bracket, size = name.partition("[")
    return Slot(name, spelled + bracket + size)


def slots(parameters: str) -> tuple[Slot, ...]:
    """Parse the parameters between the parentheses of a declaration of C or C#."""
    return tuple(slot(one) for one in parameters.split(",") if one.strip() not in ("", "void"))


def _functions(pattern: re.Pattern[str], code: str) -> Iterator[Function]:
    for result, name, parameters in pattern.findall(code):
        yield Function(name, slot(f"{result} result").type, slots(parameters))
