"""ICE servers and candidates that a server names: which of them a client sends to."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest

from bass_webrtc.client.run import ice_settings, usable_servers
from bass_webrtc.config import IceServer, StunServer
from bass_webrtc.peer.ice.full_ice import FullIce, IceSettings
from bass_webrtc.rtc.candidate import Candidate
from bass_webrtc.signaling.client.settings import ClientSettings
from support.conformance import covers
from support.ice_recorder import IceRecorder

ICE_SERVERS = ("stun:{0}", "turn:{0}", "turn:{0}?transport=tcp", "turns:{0}")


class Internal(asyncio.DatagramProtocol):
    """Counts the datagrams and connections that arrive at a UDP and TCP port."""

    def __init__(self) -> None:
        self.arrivals = 0
        self.address = ""

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.arrivals += 1

    def connected(self, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.arrivals += 1
        writer.close()


@contextlib.asynccontextmanager
async def internal(host: str = "127.0.0.3") -> AsyncIterator[Internal]:
    service = Internal()
    async with await asyncio.start_server(service.connected, host, 0) as listener:
        port = listener.sockets[0].getsockname()[1]
        transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: service, local_addr=(host, port)
        )
        service.address = f"{host}:{port}"
        yield service
        transport.close()


def settings_at(home: str, forbid_private: bool | None = None, *configured: StunServer) -> IceSettings:
    """Return the ICE settings of a client that has reached its server at ``home``."""
    client = ClientSettings("http://home.example/whip", forbid_private=forbid_private)
    client.home.reached(home)
    settings = ice_settings("127.0.0.1", configured, client.trust())
    return IceSettings(
        settings.servers, allows_server=settings.allows_server, hosts=("127.0.0.1",), policy=settings.policy
    )


async def query(settings: IceSettings, address: str) -> None:
    """Query every kind of server at an address, as if they were named in an answer."""
    ice = FullIce(settings, IceRecorder(), controlling=True)
    await ice.gather()
    servers = [IceServer(url.format(address), "user", "credential") for url in ICE_SERVERS]
    await ice.add_servers(usable_servers(servers))
    await ice.close()


@covers("SE66", "CL5")
@pytest.mark.parametrize("by_name", [False, True])
async def test_ice_servers_in_a_private_network_are_not_queried(
    by_name: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither by UDP nor by TCP, and the log says why."""
    caplog.set_level(logging.INFO)
    lookup = socket.getaddrinfo

    def resolve(host: Any, *arguments: Any, **more: Any) -> Any:
        return lookup("127.0.0.3" if host == "turn.example" else host, *arguments, **more)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    async with internal() as service:
        address = service.address.replace("127.0.0.3", "turn.example") if by_name else service.address
        for home in ("8.8.8.8", "192.168.1.5", "127.0.0.2"):
            await query(settings_at(home), address)
        assert service.arrivals == 0
        assert "--allow-private" in caplog.text
        await query(settings_at("8.8.8.8", forbid_private=False), address)
        assert service.arrivals >= len(ICE_SERVERS)


@pytest.mark.parametrize("home", ["127.0.0.3", "::ffff:127.0.0.3"])
async def test_ice_servers_at_the_address_of_the_server_are_queried(home: str) -> None:
    """The common case: a TURN server beside the media server."""
    async with internal() as service:
        await query(settings_at(home), service.address)
        assert service.arrivals >= len(ICE_SERVERS)


async def test_configured_ice_servers_may_be_anywhere() -> None:
    """They are the user's own."""
    async with internal() as service:
        host, _, port = service.address.partition(":")
        ice = FullIce(settings_at("8.8.8.8", None, StunServer(host, int(port))), IceRecorder(), controlling=True)
        await ice.gather()
        assert service.arrivals > 0
        await ice.close()


@covers("SE66")
def test_candidates_on_this_machine_need_a_server_on_it() -> None:
    candidates = [
        Candidate("1", 1, "udp", 1, host, 4000, "host") for host in ("127.0.0.1", "::1", "10.0.0.1", "8.8.4.4")
    ]

    def allowed(settings: IceSettings) -> list[str]:
        return [candidate.host for candidate in candidates if settings.policy.allows(candidate)]

    assert allowed(settings_at("8.8.8.8")) == ["10.0.0.1", "8.8.4.4"]
    assert allowed(settings_at("10.0.0.2")) == ["10.0.0.1", "8.8.4.4"]
    assert allowed(settings_at("127.0.0.1")) == ["127.0.0.1", "::1", "10.0.0.1", "8.8.4.4"]
    assert allowed(settings_at("8.8.8.8", forbid_private=False)) == ["127.0.0.1", "::1", "10.0.0.1", "8.8.4.4"]
