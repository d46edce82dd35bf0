"""A faulty or malicious STUN or TURN server costs its own candidate and nothing else. On loopback, in virtual time."""

from __future__ import annotations

import asyncio
import struct
from collections import Counter
from collections.abc import Callable

import pytest
from ice_ends import End

from bass_webrtc.config import TurnServer
from bass_webrtc.peer.ice.aioice_faults import TurnOverTcp
from bass_webrtc.rtc.candidate import is_usable_address
from support import stun
from support.ice_peer import HOST
from support.virtual_time import in_virtual_time

BINDING, ALLOCATE, REFRESH, CHANNEL_BIND = 0x0001, 0x0003, 0x0004, 0x0009
LIFETIME, REALM, NONCE, RELAYED = 0x000D, 0x0014, 0x0015, 0x0016
SUCCESS, ERROR = 0x0100, 0x0110
SERVER = TurnServer(HOST, 3478, "user", "secret")


class TurnService(asyncio.DatagramProtocol):
    """A TURN server that grants everything, with whatever values the test chooses.

    Attributes:
        lifetime_s: Granted to allocations and refreshes.
        relayed: The address that it reports for an allocation.
        error: Code of the response to all requests; 0 for success.
        requests: Number of requests by method.
    """

    def __init__(self) -> None:
        self.lifetime_s = 600
        self.relayed = ("192.0.2.9", 50_000)
        self.error = 0
        self.requests: Counter[int] = Counter()

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self.transport = transport
        host, port = transport.get_extra_info("sockname")
        self.server = TurnServer(host, port, "user", "secret")

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        request = stun.decode(data)
        self.requests[request.kind] += 1
        if request.kind == BINDING:
            self.transport.sendto(stun.success(request, None, *addr), addr)
            return
        attributes = [(LIFETIME, struct.pack("!I", self.lifetime_s))]
        if self.error:
            code = struct.pack("!HBB", 0, self.error // 100, self.error % 100)
            attributes = [(stun.ERROR_CODE, code), (REALM, b"realm"), (NONCE, b"nonce")]
        elif request.kind == ALLOCATE:
            attributes += [
                (RELAYED, address(request, *self.relayed)),
                (stun.XOR_MAPPED_ADDRESS, address(request, *addr)),
            ]
        kind = request.kind | (ERROR if self.error else SUCCESS)
        self.transport.sendto(stun.Message(kind, request.transaction_id, attributes).encode(None), addr)


def address(request: stun.Message, host: str, port: int) -> bytes:
    """The value of an XOR address."""
    mapped = stun.decode(stun.success(request, None, host, port))
    return dict(mapped.attributes)[stun.XOR_MAPPED_ADDRESS]


async def turn_service() -> TurnService:
    loop = asyncio.get_running_loop()
    return (await loop.create_datagram_endpoint(TurnService, local_addr=(HOST, 0)))[1]


@pytest.mark.parametrize("lifetime_s", [0, 1, 5])
@in_virtual_time
async def test_allocation_for_a_few_seconds_is_refused(lifetime_s: int) -> None:
    """aioice would refresh it without a pause: 8,683 times in 3 s."""
    service = await turn_service()
    service.lifetime_s = lifetime_s
    end = End(servers=[service.server])
    await end.ice.gather()
    await asyncio.sleep(60)
    assert [candidate.type for candidate in end.ice.candidates] == ["host"]
    assert f"grants an allocation for {lifetime_s} s" in end.ice.failures[str(service.server)]
    assert service.requests[ALLOCATE] == 1
    assert service.requests[REFRESH] == 0
    await end.ice.close()
    service.transport.close()


@in_virtual_time
async def test_refresh_for_zero_seconds_ends_the_allocation() -> None:
    service = await turn_service()
    end = End(servers=[service.server])
    await end.ice.gather()
    service.lifetime_s = 0
    await asyncio.sleep(3600)
    assert service.requests[REFRESH] == 1
    await end.ice.close()
    service.transport.close()


@pytest.mark.parametrize(("lifetime_s", "refreshes"), [(6, 200), (600, 2), (0xFFFFFFFF, 2)])
@in_virtual_time
async def test_refreshes_are_between_5_and_500_seconds_apart(lifetime_s: int, refreshes: int) -> None:
    service = await turn_service()
    service.lifetime_s = lifetime_s
    end = End(servers=[service.server])
    await end.ice.gather()
    await asyncio.sleep(1001)
    assert service.requests[REFRESH] == refreshes
    await end.ice.close()
    service.transport.close()


@pytest.mark.parametrize("error", [401, 438])
@in_virtual_time
async def test_request_for_credentials_is_answered_once(error: int) -> None:
    """A server that refuses every nonce gets one more request, not an endless sequence."""
    service = await turn_service()
    service.error = error
    end = End(servers=[service.server])
    await end.ice.gather()
    await asyncio.sleep(60)
    assert service.requests[ALLOCATE] <= 2
    await end.ice.close()
    service.transport.close()


@in_virtual_time
async def test_refused_channel_is_requested_rarely() -> None:
    """A server that grants the allocation and then refuses all channels: checks are few, and so are its requests."""
    service = await turn_service()
    end, other = End(servers=[service.server]), End(controlling=False)
    await end.ice.gather()
    await other.ice.gather()
    service.error = 438
    end.ice.set_remote(other.ice.credentials, other.ice.candidates, ice_lite=False)
    connecting = asyncio.create_task(end.ice.connect())
    await asyncio.sleep(60)
    assert service.requests[CHANNEL_BIND] <= 20
    await end.ice.close()
    await other.ice.close()
    await asyncio.gather(connecting, return_exceptions=True)
    service.transport.close()


@pytest.mark.parametrize(
    "relayed", [("0.0.0.0", 5000), ("224.0.0.1", 5000), ("255.255.255.255", 5000), ("192.0.2.1", 0)]
)
@in_virtual_time
async def test_relayed_address_that_cannot_be_right_is_not_announced(relayed: tuple[str, int]) -> None:
    service = await turn_service()
    service.relayed = relayed
    end = End(servers=[service.server])
    await end.ice.gather()
    assert [candidate.type for candidate in end.ice.candidates] == ["host"]
    assert "where no peer can be reached" in end.ice.failures[str(service.server)]
    await end.ice.close()
    service.transport.close()


@pytest.mark.parametrize(
    ("host", "usable"),
    [
        ("192.0.2.1", True),
        ("10.0.0.1", True),
        ("127.0.0.1", True),
        ("::1", True),
        ("2001:db8::1", True),
        ("0.0.0.0", False),
        ("0.1.2.3", False),
        ("239.1.2.3", False),
        ("255.255.255.255", False),
        ("::", False),
        ("ff02::fb", False),
    ],
)
def test_usable_addresses_are_unicast(host: str, usable: bool) -> None:
    assert is_usable_address(host, 1) is usable
    assert not is_usable_address(host, 0)


# -- TCP


class Stream(asyncio.Transport):
    """The connection of a TURN client, without a network."""

    def __init__(self) -> None:
        super().__init__()
        self.aborted = False

    def get_extra_info(self, name: str, default: object = None) -> object:
        return (HOST, 3478) if name == "peername" else default

    def abort(self) -> None:
        self.aborted = True


class Collector(TurnOverTcp):
    """A TURN client that keeps the messages it receives."""

    def __init__(self) -> None:
        super().__init__(SERVER)
        self.stream = self.transport = Stream()
        self.messages: list[bytes] = []

    def datagram_received(self, data: bytes | str, addr: tuple[str, int]) -> None:
        assert isinstance(data, bytes)
        self.messages.append(data)


CHANNEL_DATA = struct.pack("!HH5s3x", 0x4000, 5, b"audio")
INDICATION = stun.Message(0x0017).encode(None)


@pytest.mark.parametrize("size", [1, 3, 7, 1000])
def test_stream_is_split_into_messages(size: int) -> None:
    client = Collector()
    stream = (CHANNEL_DATA + INDICATION) * 3
    for at in range(0, len(stream), size):
        client.data_received(stream[at : at + size])
    assert client.messages == [CHANNEL_DATA, INDICATION] * 3
    assert not client.stream.aborted


@pytest.mark.parametrize(
    "beginning",
    [
        struct.pack("!HH", 0x4000, 0xFFFF),
        struct.pack("!HHI", 0x0017, 0xFFFC, 0x2112A442),
        b"HTTP/1.1 400",
        b"\x80\x00\x00\x00",
    ],
    ids=["channel-data", "STUN", "HTTP", "RTP"],
)
def test_message_that_is_too_long_or_no_turn_ends_the_connection(beginning: bytes) -> None:
    """Otherwise a length that never completes would hold 64 kB per connection."""
    client = Collector()
    client.data_received(beginning)
    assert client.stream.aborted
    assert client.messages == []


def test_short_messages_cost_linear_time() -> None:
    """aioice copies the rest of the buffer for each; here each byte is copied twice."""
    client = Collector()
    client.data_received(struct.pack("!HH", 0x4000, 0) * 65_536)
    assert len(client.messages) == 65_536


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x00",
        bytes(65_507),
        struct.pack("!HH", 0x4000, 65_000) + bytes(65_000),
        struct.pack("!HHI12s", 0x0103, 40_000, 0x2112A442, bytes(12)) + struct.pack("!HH", 0x8022, 0) * 10_000,
        struct.pack("!HHI12s", 0x0103, 8, 0x2112A442, bytes(12)) + struct.pack("!HHI", RELAYED, 4, 1),
    ],
    ids=["empty", "short", "long", "long-channel-data", "many-attributes", "short-address"],
)
def test_malformed_messages_are_ignored(data: bytes) -> None:
    client = TurnOverTcp(SERVER)
    parse: Callable[[bytes, tuple[str, int]], None] = client.datagram_received
    parse(data, (HOST, 3478))
