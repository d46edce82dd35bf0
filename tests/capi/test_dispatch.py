"""``header.py`` and ``dispatch.py``: the functions of ``bass_webrtc.h`` and their implementations match one to one."""

from __future__ import annotations

import inspect
import re

import pytest

from bass_webrtc.capi import build_capi, dispatch
from bass_webrtc.capi.capi import Library
from bass_webrtc.capi.header import HEADER, NUMBER_RESULTS, Function, parse_header
from bass_webrtc.errors import BassWebRtcError

TEXT = HEADER.read_text(encoding="utf-8")
HEADER_FOUND = parse_header(TEXT)
GENERATED = {function.handler: function for function in dispatch.generated_functions(HEADER_FOUND)}
METHODS = {name: method for name, method in vars(Library).items() if not name.startswith("_")}


def defined(code: str) -> list[str]:
    """The exported functions that C code defines."""
    return re.findall(r"BASS_WEBRTC_CALL (BASS_WEBRTC_\w+)\([^;{]*\) \{", code)


def test_each_function_has_exactly_one_implementation() -> None:
    written = [name for path in build_capi.HERE.glob("*.c") for name in defined(path.read_text(encoding="utf-8"))]
    generated = [function.name for function in GENERATED.values()]
    assert sorted([*written, *generated]) == sorted(HEADER_FOUND.functions)
    assert sorted(written) == sorted(dispatch.WRITTEN_IN_C)


def test_each_generated_function_has_exactly_one_method() -> None:
    assert sorted(METHODS) == sorted([*GENERATED, dispatch.CLOSE_ALL])


@pytest.mark.parametrize("handler", GENERATED)
def test_method_has_the_parameters_of_its_function(handler: str) -> None:
    parameters = [name.lstrip("_") for name in inspect.signature(METHODS[handler]).parameters][1:]
    assert parameters == [slot.name for slot in GENERATED[handler].parameters]
    assert GENERATED[handler].name in (METHODS[handler].__doc__ or "")


def test_dispatch_source_defines_the_generated_functions() -> None:
    assert defined(dispatch.dispatch_source(HEADER_FOUND)) == [function.name for function in GENERATED.values()]


def test_stub_has_each_function() -> None:
    names = list(HEADER_FOUND.functions)
    source = dispatch.stub_source(HEADER_FOUND)
    assert defined(source) == names
    assert re.findall(r'bw_find_function\(library, "(\w+)", &real\.(\w+)\)', source) == [(name, name) for name in names]
    assert dispatch.module_definition(HEADER_FOUND, "a.dll").split() == ["LIBRARY", "a.dll", "EXPORTS", *names]


def test_stub_fails_as_the_manual_says() -> None:
    failures = dict(re.findall(r"real\.(\w+)\(.*\) : (.*);", dispatch.stub_source(HEADER_FOUND)))
    assert failures == {
        **{function.name: str(function.failure) for function in HEADER_FOUND.functions.values()},
        **{function.name: "NULL" for function in HEADER_FOUND.functions.values() if function.makes_handle},
        **dispatch.STUB_FAILURES,
    }


def test_number_results_are_those_of_the_manual() -> None:
    """The manual says which functions return -1 on failure."""
    manual = dict(re.findall(r"/\*((?:(?!\*/).)*)\*/\s*[\w *]+BASS_WEBRTC_CALL (\w+)\(", TEXT, re.DOTALL))
    assert {name for text, name in manual.items() if re.search(r"or -1 on\s+(\* +)?failure", text)} == NUMBER_RESULTS
    assert sorted(manual.values()) == sorted(HEADER_FOUND.functions)


def test_function_without_a_handle_cannot_be_generated() -> None:
    text = TEXT.replace("BASS_WEBRTC_Stop(void *handle)", "BASS_WEBRTC_Stop(int server)")
    with pytest.raises(BassWebRtcError, match=r"BASS_WEBRTC_Stop neither returns a void \* nor takes a void \*handle"):
        dispatch.generated_functions(parse_header(text))


@pytest.mark.parametrize(
    ("name", "handler", "makes", "takes", "is_truth", "failure"),
    [
        ("BASS_WEBRTC_Create", "create", True, False, False, 0),
        ("BASS_WEBRTC_AddPeerEx", "add_peer_ex", False, True, False, -1),
        ("BASS_WEBRTC_WhipIsConnected", "whip_is_connected", False, True, True, 0),
        ("BASS_WEBRTC_GetInputStream", "get_input_stream", False, True, False, 0),
        ("BASS_WEBRTC_ErrorGetCode", "error_get_code", False, False, False, 0),
    ],
)
def test_properties_follow_from_the_signature(
    name: str, handler: str, makes: bool, takes: bool, is_truth: bool, failure: int
) -> None:
    found: Function = HEADER_FOUND.functions[name]
    assert (found.handler, found.makes_handle, found.takes_handle) == (handler, makes, takes)
    assert (found.is_truth, found.failure) == (is_truth, failure)
