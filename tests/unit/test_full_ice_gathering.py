"""Gathering by the full ICE agent, on loopback, in virtual time."""

from __future__ import annotations

import asyncio
import socket
import struct

import pytest
from ice_ends import End

from bass_webrtc.config import StunServer, TurnServer
from support import stun
from support.conformance import covers
from support.ice_peer import HOST
from support.usage import own_descriptors
from support.virtual_time import in_virtual_time


class StunService(asyncio.DatagramProtocol):
    """A STUN server that maps every client to one address, after a delay or not at all."""

    def __init__(self, delay_s: float, mapped: tuple[str, int] | None, losses: int) -> None:
        self.delay_s = delay_s
        self.mapped = mapped
        self.losses = losses

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self.transport = transport
        self.server = StunServer(*transport.get_extra_info("sockname"))

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        if self.losses:
            self.losses -= 1
            return
        request = stun.decode(data)
        answer = stun.success(request, "", *(self.mapped or addr))
        asyncio.get_running_loop().call_later(self.delay_s, self.transport.sendto, answer, addr)


async def stun_service(
    delay_s: float = 0.0, mapped: tuple[str, int] | None = ("192.0.2.7", 4242), losses: int = 0
) -> StunService:
    loop = asyncio.get_running_loop()
    return (await loop.create_datagram_endpoint(lambda: StunService(delay_s, mapped, losses), local_addr=(HOST, 0)))[1]


@in_virtual_time
async def test_stun_server_gives_server_reflexive_candidate() -> None:
    service = await stun_service()
    end = End(servers=[service.server])
    host, reflexive = await end.ice.gather()
    assert (host.type, host.host) == ("host", HOST)
    assert (reflexive.type, reflexive.host, reflexive.port) == ("srflx", "192.0.2.7", 4242)
    assert (reflexive.related_host, reflexive.related_port) == (HOST, host.port)
    assert host.priority > reflexive.priority
    await end.ice.close()
    service.transport.close()


@in_virtual_time
async def test_redundant_candidates_are_dropped() -> None:
    """RFC 8445, 5.1.3: without a NAT, and if two servers return the same address."""
    outside = [await stun_service(), await stun_service()]
    inside = await stun_service(mapped=None)
    end = End(servers=[one.server for one in (*outside, inside)])
    assert [candidate.type for candidate in await end.ice.gather()] == ["host", "srflx"]
    await end.ice.close()
    for service in (*outside, inside):
        service.transport.close()


@in_virtual_time
async def test_gathering_waits_half_a_second_for_dead_server_and_uses_late_one() -> None:
    prompt, late = await stun_service(), await stun_service(2.0, ("192.0.2.8", 4242))
    with socket.socket(type=socket.SOCK_DGRAM) as dead:
        dead.bind((HOST, 0))
        end = End(servers=[StunServer(*dead.getsockname()), late.server, prompt.server])
        started_s = asyncio.get_running_loop().time()
        assert [candidate.type for candidate in await end.ice.gather()] == ["host", "srflx"]
        assert asyncio.get_running_loop().time() - started_s == pytest.approx(0.5, abs=0.01)
        await asyncio.sleep(15)
        assert [candidate.host for candidate in end.late] == ["192.0.2.8"]
        assert list(end.ice.failures.values()) == ["does not answer"]
    await end.ice.close()
    prompt.transport.close()
    late.transport.close()


@in_virtual_time
async def test_lost_request_is_retransmitted() -> None:
    service = await stun_service(losses=1)
    end = End(servers=[service.server])
    assert [candidate.type for candidate in await end.ice.gather()] == ["host", "srflx"]
    await end.ice.close()
    service.transport.close()


@covers("CL5")
@in_virtual_time
async def test_servers_added_later_are_queried_too() -> None:
    service = await stun_service()
    end = End()
    await end.ice.gather()
    await end.ice.add_servers([service.server])
    assert [candidate.type for candidate in end.late] == ["srflx"]
    await end.ice.restart()
    assert [candidate.type for candidate in end.ice.candidates] == ["host", "srflx"]
    await end.ice.close()
    service.transport.close()


@covers("SE31")
@in_virtual_time
async def test_relay_only_without_relay_opens_no_socket() -> None:
    service = await stun_service()
    files = own_descriptors()
    end = End(servers=[service.server], relay_only=True)
    assert await end.ice.gather() == ()
    assert own_descriptors() == files
    await end.ice.close()
    service.transport.close()


@pytest.mark.parametrize(("number", "words"), [(403, "Forbidden"), (300, "Try Alternate")])
@in_virtual_time
async def test_refusing_turn_server_is_reported_with_reason(number: int, words: str) -> None:
    """Also one that redirects to another server (RFC 8489, 10), which is left out (docs/internals/left-out.md)."""

    class Refusing(asyncio.DatagramProtocol):
        def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
            self.transport = transport

        def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
            code = struct.pack("!HBB", 0, number // 100, number % 100) + words.encode()
            kind = struct.unpack_from("!H", data)[0] | 0x0110
            error = stun.Message(kind, stun.decode(data).transaction_id, [(stun.ERROR_CODE, code)])
            self.transport.sendto(error.encode(None), addr)

    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(Refusing, local_addr=(HOST, 0))
    end = End(servers=[TurnServer(HOST, transport.get_extra_info("sockname")[1], "me", "the secret one")])
    assert [candidate.type for candidate in await end.ice.gather()] == ["host"]
    assert f"{number} - {words}" in str(end.ice.failures)
    assert "secret" not in str(end.ice.failures)
    await end.ice.close()
    transport.close()
