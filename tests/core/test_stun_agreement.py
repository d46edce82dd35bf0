"""The network thread and ``rtc/ice_lite.py`` accept the same checks, and answer them alike."""

from __future__ import annotations

import ctypes
import hmac
import ipaddress
import struct
import subprocess
import zlib
from collections.abc import Callable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bass_webrtc.core import build_core
from bass_webrtc.rtc import stun
from bass_webrtc.rtc.ice_lite import IceLite
from bass_webrtc.rtc.ice_lite import Path as NetworkPath
from bass_webrtc.rtc.sdp import IceCredentials
from support.core_programs import FOLDER, WARNINGS, own_compiler

UFRAG, PASSWORD = "ours", "a password of 22 bytes"
REMOTE = IceCredentials("theirs", "their password, 22 bytes")

Attribute = tuple[int, bytes]


@pytest.fixture(scope="module")
def core(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    """The functions of ``stun_check.c``."""
    library = tmp_path_factory.mktemp("stun") / "stun_check.so"
    core = [build_core.HERE / name for name in ("ice.c", "stun.c", "hmac.c", "addresses.c")]
    flags = [*WARNINGS, "-O1", "-g", "-fPIC", "-shared", *build_core.pkg_config("--cflags"), f"-I{build_core.HERE}"]
    sources = [str(FOLDER / "stun_check.c"), *map(str, core)]
    command = [own_compiler(), *flags, *sources, "-o", str(library), *build_core.link_flags()]
    subprocess.run(command, check=True)
    return ctypes.CDLL(str(library))


@pytest.fixture(scope="module")
def accepts(core: ctypes.CDLL) -> Callable[[bytes], bool]:
    """The core's decision about one datagram."""
    return lambda data: bool(core.accepts_check(data, len(data), UFRAG.encode(), PASSWORD.encode()))


@pytest.fixture(scope="module")
def answers(core: ctypes.CDLL) -> Callable[[bytes, NetworkPath], bytes]:
    """The core's response on a settled path; empty where the loop thread decides."""

    def answer(data: bytes, path: NetworkPath) -> bytes:
        ip, response = ipaddress.ip_address(path.host).packed, ctypes.create_string_buffer(100)
        credentials = UFRAG.encode(), PASSWORD.encode()
        length = core.answer_check(data, len(data), *credentials, ip, len(ip), path.port, response)
        return response.raw[:length]

    return answer


def agent_accepts(data: bytes) -> bool:
    """The agent's decision: it answers each authentic request, be it with an error."""
    agent = IceLite(IceCredentials(UFRAG, PASSWORD), REMOTE, now_s=0.0)
    agent.receive(data, NetworkPath(0, "192.0.2.1", 5000), 0.0)
    return any(answer[:1] == b"\x01" for answer, _ in agent.to_send())


def attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("!HH", kind, len(value)) + value + bytes(-len(value) % 4)


def message(
    kind: int, before: list[Attribute], password: str, after: list[Attribute], fingerprint: bool, last: list[Attribute]
) -> bytes:
    """Assemble a message whose MESSAGE-INTEGRITY and FINGERPRINT are right for their position."""

    def head(length: int) -> bytes:
        return struct.pack("!HHI", kind, length, 0x2112A442) + b"transaction "

    body = b"".join(attribute(*one) for one in before)
    if password:
        covered = head(len(body) + 24) + body
        body += attribute(stun.MESSAGE_INTEGRITY, hmac.digest(password.encode(), covered, "sha1"))
    body += b"".join(attribute(*one) for one in after)
    if fingerprint:
        crc = zlib.crc32(head(len(body) + 8) + body) ^ 0x5354554E
        body += attribute(stun.FINGERPRINT, struct.pack("!I", crc))
    body += b"".join(attribute(*one) for one in last)
    return head(len(body)) + body


KINDS = st.sampled_from([stun.BINDING_REQUEST] * 5 + [stun.BINDING_INDICATION, stun.BINDING_SUCCESS, 0x0003])
USERNAMES = st.sampled_from([b"ours:theirs", b"ours:", b"ours", b"our:theirs", b"", b":", b"ours:a:b", b"\xffours:"])
ATTRIBUTES = st.one_of(
    st.tuples(st.just(stun.USERNAME), USERNAMES),
    st.tuples(st.sampled_from([0x0008, 0x0024, 0x0025, 0x8022, 0x8028, 0x8029, 0x802A]), st.binary(max_size=24)),
    st.tuples(st.integers(0, 0xFFFF), st.binary(max_size=10)),
)
CHECK = (stun.USERNAME, b"ours:theirs")
SOFTWARE = (0x8022, b"")


@given(
    kind=KINDS,
    before=st.lists(ATTRIBUTES, max_size=4).flatmap(
        lambda some: st.sampled_from([some, [CHECK, *some], [*some, CHECK]])
    ),
    password=st.sampled_from([PASSWORD] * 4 + ["", "wrong"]),
    after=st.lists(ATTRIBUTES, max_size=2),
    fingerprint=st.booleans() | st.just(True),
    last=st.just([]) | st.lists(ATTRIBUTES, max_size=1),
    changes=st.just([]) | st.lists(st.tuples(st.integers(0, 150), st.integers(0, 255)), max_size=2),
    cut=st.just(0) | st.integers(0, 40),
)
@example(stun.BINDING_REQUEST, [CHECK], PASSWORD, [], True, [], [], 0)
@example(stun.BINDING_REQUEST, [], PASSWORD, [CHECK], True, [], [], 0)
@example(stun.BINDING_REQUEST, [CHECK, *[SOFTWARE] * 60], PASSWORD, [], True, [], [], 0)
@example(stun.BINDING_REQUEST, [CHECK, *[SOFTWARE] * 61], PASSWORD, [], True, [], [], 0)
@example(stun.BINDING_REQUEST, [CHECK], PASSWORD, [(stun.MESSAGE_INTEGRITY, bytes(20))], True, [], [], 0)
@example(stun.BINDING_REQUEST, [CHECK], PASSWORD, [], True, [SOFTWARE], [], 0)
def test_network_thread_and_agent_accept_the_same_checks(
    accepts: Callable[[bytes], bool],
    kind: int,
    before: list[Attribute],
    password: str,
    after: list[Attribute],
    fingerprint: bool,
    last: list[Attribute],
    changes: list[tuple[int, int]],
    cut: int,
) -> None:
    data = bytearray(message(kind, before, password, after, fingerprint, last))
    for at, value in changes:
        data[at % len(data)] = value
    datagram = bytes(data[: len(data) - cut])
    assert accepts(datagram) == agent_accepts(datagram)


def test_both_accept_a_check(accepts: Callable[[bytes], bool]) -> None:
    data = message(stun.BINDING_REQUEST, [CHECK], PASSWORD, [], fingerprint=True, last=[])
    assert accepts(data)
    assert agent_accepts(data)


@given(st.binary(max_size=60))
def test_neither_accepts_arbitrary_bytes(accepts: Callable[[bytes], bool], data: bytes) -> None:
    assert not accepts(data)
    assert not agent_accepts(data)


@given(
    attributes=st.lists(ATTRIBUTES, max_size=4),
    after=st.lists(ATTRIBUTES, max_size=1),
    path=st.builds(NetworkPath, st.just(0), st.ip_addresses().map(str), st.integers(1, 65535)),
)
def test_network_thread_answers_with_success_where_the_agent_does(
    answers: Callable[[bytes, NetworkPath], bytes],
    attributes: list[Attribute],
    after: list[Attribute],
    path: NetworkPath,
) -> None:
    """And leaves all others to it: those that need an error response."""
    data = message(stun.BINDING_REQUEST, [CHECK, *attributes], PASSWORD, after, fingerprint=True, last=[])
    agent = IceLite(IceCredentials(UFRAG, PASSWORD), REMOTE, now_s=0.0)
    agent.receive(data, path, 0.0)
    expected = [answer for answer, _ in agent.to_send() if answer[:2] == b"\x01\x01"]
    assert answers(data, path) == b"".join(expected)
