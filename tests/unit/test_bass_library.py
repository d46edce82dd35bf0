"""BASS functions, bound with BASS's own type widths."""

from __future__ import annotations

import ctypes
import re
import threading

import pytest

from bass_webrtc.bass import BassLibrary, find_bass, kept_error_code
from bass_webrtc.bass.error_names import error_name
from bass_webrtc.bass.library import FAILED_DWORD, text_argument, text_result
from bass_webrtc.errors import BassError

NO_HANDLE = 0x12345678


@pytest.fixture(scope="module")
def bass() -> BassLibrary:
    return find_bass()


def test_version_is_read(bass: BassLibrary) -> None:
    assert re.fullmatch(r"2\.4\.\d+\.\d+", bass.version)
    assert bass.path.is_file()


def test_error_of_failed_call_has_name_code_and_hint(bass: BassLibrary) -> None:
    with pytest.raises(BassError, match=r"BASS_StreamFree failed: BASS_ERROR_HANDLE \(5\); free it once") as caught:
        bass.call("BASS_StreamFree", NO_HANDLE, hint="free it once")
    assert (caught.value.code, caught.value.name, caught.value.call) == (5, "BASS_ERROR_HANDLE", "BASS_StreamFree")


def test_minus_one_is_failure_for_functions_that_return_counts(bass: BassLibrary) -> None:
    assert bass.try_call("BASS_ChannelGetData", NO_HANDLE, None, 0) == FAILED_DWORD
    with pytest.raises(BassError, match="BASS_ERROR_HANDLE"):
        bass.call("BASS_ChannelGetData", NO_HANDLE, None, 0)


def test_handle_with_highest_bit_is_passed_unchanged(bass: BassLibrary) -> None:
    """Wrappers that declare DWORD as c_ulong or int fail this."""
    assert bass.try_call("BASS_ChannelStop", 0xFFFFFFFF) == 0
    assert bass.last_error_code() == 5


def test_error_codes_are_kept_per_thread(bass: BassLibrary) -> None:
    bass.try_call("BASS_StreamFree", NO_HANDLE)
    codes: list[int] = []
    thread = threading.Thread(target=lambda: codes.append(bass.last_error_code()))
    thread.start()
    thread.join()
    assert codes == [0]
    assert bass.last_error_code() == 5


def test_function_address_can_be_called_from_c(bass: BassLibrary) -> None:
    get_version = ctypes.CFUNCTYPE(ctypes.c_uint32)(bass.address_of("BASS_GetVersion"))
    assert ".".join(str(byte) for byte in get_version().to_bytes(4, "big")) == bass.version


@pytest.mark.parametrize(
    ("code", "name"),
    [
        (0, "BASS_OK"),
        (5, "BASS_ERROR_HANDLE"),
        (41, "BASS_ERROR_FILEFORM"),
        (45, "BASS_ERROR_ENDED"),
        (-1, "BASS_ERROR_UNKNOWN"),
        (2000, "BASS_ERROR_2000"),
    ],
)
def test_error_names_match_bass_h(code: int, name: str) -> None:
    assert error_name(code) == name


@pytest.mark.parametrize("text", ["Lied ä ♪.mp3", "odd \udcff byte"])
def test_paths_are_encoded_like_the_file_system(text: str) -> None:
    argument = text_argument(text)
    assert argument == text or argument == text.encode("utf-8", "surrogateescape")


@pytest.mark.parametrize(("given", "text"), [("Gerät".encode(), "Gerät"), (None, ""), (b"", "")])
def test_names_from_bass_are_decoded_as_utf_8(given: bytes | None, text: str) -> None:
    assert text_result(given) == text


def test_names_in_a_code_page_do_not_raise() -> None:
    assert text_result(b"Ger\xe4t").startswith("Ger")


def test_kept_error_code_restores_code_of_thread(bass: BassLibrary) -> None:
    bass.try_call("BASS_StreamFree", NO_HANDLE)
    with kept_error_code():
        bass.try_call("BASS_GetVersion")
        bass.set_last_error_code(0)
        assert bass.last_error_code() == 0
    assert bass.last_error_code() == 5
