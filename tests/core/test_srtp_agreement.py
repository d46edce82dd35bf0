"""The core's SRTP and libsrtp2 write the same packets and accept the same ones."""

from __future__ import annotations

import ctypes
import struct
import subprocess
from collections.abc import Callable, Iterator

import pylibsrtp
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pylibsrtp import Policy, Session

from bass_webrtc.core import build_core
from support.core_programs import FOLDER, WARNINGS, own_compiler

PROFILES = {"AEAD_AES_128_GCM": 7, "AES128_CM_SHA1_80": 1}
MASTER = bytes(range(3, 33))
WINDOW_PACKETS = 1024
RTCP_WINDOW_PACKETS = 128
"""That of libsrtp2; the core's is longer."""

SSRC = 0x11223344
TRAILER = bytes(32)


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    """The functions of ``srtp_check.c``."""
    binary = tmp_path_factory.mktemp("srtp") / "srtp_check.so"
    core = [build_core.HERE / name for name in ("srtp.c", "srtp_receiver.c", "rtp_parse.c", "hmac.c")]
    flags = [*WARNINGS, "-O1", "-g", "-fPIC", "-shared", *build_core.pkg_config("--cflags"), f"-I{build_core.HERE}"]
    sources = [str(FOLDER / "srtp_check.c"), *map(str, core)]
    subprocess.run([own_compiler(), *flags, *sources, "-o", str(binary), *build_core.link_flags()], check=True)
    loaded = ctypes.CDLL(str(binary))
    loaded.open_endpoint.restype = ctypes.c_void_p
    return loaded


class Ours:
    """The core's side."""

    def __init__(self, library: ctypes.CDLL, profile: int) -> None:
        self._library = library
        self._pointer = ctypes.c_void_p(library.open_endpoint(profile, MASTER))

    def close(self) -> None:
        self._library.close_endpoint(self._pointer)

    def _call(self, function: str, data: bytes, *arguments: object) -> bytes | None:
        buffer = ctypes.create_string_buffer(data + TRAILER, len(data) + len(TRAILER))
        length = getattr(self._library, function)(self._pointer, buffer, len(data), *arguments)
        return buffer.raw[:length] if length >= 0 else None

    def protect(self, packet: bytes, index: int) -> bytes:
        protected = self._call("protect_rtp", packet, ctypes.c_uint64(index))
        assert protected is not None
        return protected

    def protect_rtcp(self, packet: bytes, index: int) -> bytes:
        protected = self._call("protect_rtcp", packet, index)
        assert protected is not None
        return protected

    def unprotect(self, packet: bytes) -> bytes | None:
        return self._call("receive_rtp", packet)

    def unprotect_rtcp(self, packet: bytes) -> bytes | None:
        return self._call("receive_rtcp", packet)


@pytest.fixture(scope="module", params=list(PROFILES.values()), ids=list(PROFILES))
def open_ours(library: ctypes.CDLL, request: pytest.FixtureRequest) -> Iterator[Callable[[], Ours]]:
    """Opens the core's side for one profile; the function's attribute ``profile`` is its number."""
    opened: list[Ours] = []

    def open_one() -> Ours:
        opened.append(Ours(library, request.param))
        return opened[-1]

    open_one.profile = request.param  # type: ignore[attr-defined]
    yield open_one
    for one in opened:
        one.close()


def open_theirs(open_ours: Callable[[], Ours], direction: int) -> Session:
    policy = Policy(MASTER, direction, srtp_profile=open_ours.profile)  # type: ignore[attr-defined]
    policy.window_size = WINDOW_PACKETS
    return Session(policy)


def accepted(unprotect: Callable[[bytes], bytes], packet: bytes) -> bytes | None:
    """What libsrtp2 makes of a packet; None: it refuses it."""
    try:
        return unprotect(packet)
    except pylibsrtp.Error:
        return None


def rtp(
    sequence: int, csrcs: int = 0, extension: bytes | None = None, payload: bytes = b"payload", ssrc: int = SSRC
) -> bytes:
    head = struct.pack("!BBHII", 0x80 | (extension is not None) << 4 | csrcs, 111, sequence & 0xFFFF, 7, ssrc)
    words = b"" if extension is None else struct.pack("!HH", 0xBEDE, len(extension) // 4) + extension
    return head + bytes(range(4 * csrcs)) + words + payload


def rtcp(payload: bytes, ssrc: int = SSRC) -> bytes:
    return struct.pack("!BBHI", 0x81, 201, 1 + len(payload) // 4, ssrc) + payload


WORDS = st.binary(max_size=40).map(lambda data: data[: len(data) & ~3])


@given(
    first=st.integers(0, 0x7FFF) | st.just(0x7FFF),
    csrcs=st.integers(0, 15),
    extension=st.none() | WORDS,
    payloads=st.lists(st.binary(max_size=300), min_size=1, max_size=5),
)
def test_both_write_the_same_rtp(
    open_ours: Callable[[], Ours], first: int, csrcs: int, extension: bytes | None, payloads: list[bytes]
) -> None:
    """Across the wrap of the sequence number, too."""
    ours, theirs = open_ours(), open_theirs(open_ours, Policy.SSRC_ANY_OUTBOUND)
    for step, payload in enumerate(payloads):
        index = first + 20000 * step
        plain = rtp(index, csrcs, extension, payload)
        assert ours.protect(plain, index) == theirs.protect(plain)


@given(st.lists(WORDS, min_size=1, max_size=5))
def test_both_write_the_same_rtcp(open_ours: Callable[[], Ours], payloads: list[bytes]) -> None:
    """The first index of libsrtp2 is 1."""
    ours, theirs = open_ours(), open_theirs(open_ours, Policy.SSRC_ANY_OUTBOUND)
    for index, payload in enumerate(payloads, 1):
        assert ours.protect_rtcp(rtcp(payload), index) == theirs.protect_rtcp(rtcp(payload))


STEPS = (
    st.integers(-5, 20)
    | st.integers(-WINDOW_PACKETS - 3, WINDOW_PACKETS + 3)
    | st.sampled_from([0, -WINDOW_PACKETS, 1 - WINDOW_PACKETS, 32766, 32767, 32768, 32769, -32767, -32768, -32769])
    | st.integers(-70000, 70000)
)
DAMAGES = st.none() | st.tuples(st.integers(0, 100), st.integers(0, 255)) | st.integers(1, 60)
"""Of a packet: none, a byte that is changed, or how many bytes are cut off."""


def damaged(packet: bytes, damage: tuple[int, int] | int | None) -> bytes:
    if damage is None:
        return packet
    if isinstance(damage, int):
        return packet[:-damage]
    at, value = damage[0] % len(packet), damage[1]
    return packet[:at] + bytes([value]) + packet[at + 1 :]


@given(
    first=st.integers(0, 0xFFFF) | st.sampled_from([0, 0x7FFF, 0x8000, 0x8001, 0xFFFF]),
    steps=st.lists(st.tuples(STEPS, st.sampled_from([SSRC] * 4 + [0]), DAMAGES), min_size=1, max_size=60),
    csrcs=st.sampled_from([0, 0, 0, 2]),
    extension=st.none() | WORDS,
)
def test_both_accept_the_same_rtp(
    open_ours: Callable[[], Ours],
    first: int,
    steps: list[tuple[int, int, tuple[int, int] | int | None]],
    csrcs: int,
    extension: bytes | None,
) -> None:
    """Steps of both signs from one index to the next: packets are late, repeated, lost or ambiguous."""
    ours, theirs = open_ours(), open_theirs(open_ours, Policy.SSRC_ANY_INBOUND)
    index = first
    for step, ssrc, damage in steps:
        packet = damaged(ours.protect(rtp(index, csrcs, extension, ssrc=ssrc), index), damage)
        assert ours.unprotect(packet) == accepted(theirs.unprotect, packet)
        index = max(0, index + step)


@given(
    first=st.integers(0, 2**31 - 1) | st.integers(0, 300),
    steps=st.lists(st.tuples(st.integers(-5, 9) | st.integers(-150, 3000), DAMAGES), min_size=1, max_size=60),
)
def test_both_accept_the_same_rtcp(
    open_ours: Callable[[], Ours], first: int, steps: list[tuple[int, tuple[int, int] | int | None]]
) -> None:
    ours, theirs = open_ours(), open_theirs(open_ours, Policy.SSRC_ANY_INBOUND)
    index = highest = first
    for step, damage in steps:
        packet = damaged(ours.protect_rtcp(rtcp(b"report  "), index), damage)
        assert ours.unprotect_rtcp(packet) == accepted(theirs.unprotect_rtcp, packet)
        highest = max(highest, index)
        index = min(max(0, index + step, highest - RTCP_WINDOW_PACKETS + 1), 2**31 - 1)


def test_a_sent_stream_of_theirs_is_received_in_any_order(open_ours: Callable[[], Ours]) -> None:
    """Three wraps, in blocks that arrive in reverse order."""
    ours, theirs = open_ours(), open_theirs(open_ours, Policy.SSRC_ANY_OUTBOUND)
    for start in range(65000, 3 * 65536 + 1000, 500):
        plain = [rtp(index) for index in range(start, start + 500)]
        for packet, expected in reversed(list(zip(map(theirs.protect, plain), plain, strict=True))):
            assert ours.unprotect(packet) == expected
            assert ours.unprotect(packet) is None


@given(st.binary(max_size=60))
def test_neither_accepts_arbitrary_bytes(open_ours: Callable[[], Ours], data: bytes) -> None:
    ours, theirs = open_ours(), open_theirs(open_ours, Policy.SSRC_ANY_INBOUND)
    assert ours.unprotect(data) is None
    assert ours.unprotect_rtcp(data) is None
    assert accepted(theirs.unprotect, data) is None
    assert accepted(theirs.unprotect_rtcp, data) is None
