"""Connections of a client to addresses that its server may not lead to are not made, also not by way of a name.

Loopback addresses stand for the networks: 127.0.0.1 is public here, 127.0.0.3 private, 127.0.0.4 this machine.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator
from typing import Any

import pytest
from client_servers import (
    OFFER,
    SDP,
    A,
    answering,
    created,
    failure,
    posted,
    response,
    serving,
    session_at,
)

from bass_webrtc.errors import SignalingError
from bass_webrtc.rtc import reach
from bass_webrtc.signaling.client.backoff import is_worth_retrying
from bass_webrtc.signaling.client.session import SignalingSession
from bass_webrtc.signaling.client.settings import ClientSettings
from support.conformance import covers

SCOPES = {
    "127.0.0.1": reach.Scope.PUBLIC,
    "127.0.0.3": reach.Scope.PRIVATE,
    "127.0.0.5": reach.Scope.PRIVATE,
    "127.0.0.4": reach.Scope.LOOPBACK,
}
OPTION = "--allow-private"


class Names(dict[str, list[str]]):
    """Addresses of host names ending in .example."""

    def resolve(self, host: Any, port: Any, *arguments: Any, **more: Any) -> list[Any]:
        found: list[Any] = []
        for address in self.get(host, [host]):
            found += self._lookup(address, port, *arguments, **more)
        return found

    _lookup = staticmethod(socket.getaddrinfo)


@pytest.fixture(autouse=True)
def networks(monkeypatch: pytest.MonkeyPatch) -> None:
    classify = reach.scope_of
    monkeypatch.setattr(reach, "scope_of", lambda address: SCOPES.get(str(address)) or classify(address))


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Names:
    names = Names()
    monkeypatch.setattr(socket, "getaddrinfo", names.resolve)
    return names


class Internal:
    """A service that nothing may connect to."""

    def __init__(self, host: str, port: int) -> None:
        self.host, self.port = host, port
        self.connections = 0

    @property
    def origin(self) -> str:
        return f"http://{self.host}:{self.port}"


@contextlib.asynccontextmanager
async def internal(host: str = "127.0.0.3", port: int = 0) -> AsyncIterator[Internal]:
    def connected(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        service.connections += 1
        writer.write(created())
        writer.close()

    async with await asyncio.start_server(connected, host, port) as listener:
        service = Internal(*listener.sockets[0].getsockname())
        yield service


@covers("SE66")
@pytest.mark.parametrize("host", ["127.0.0.3", "127.0.0.4", "internal.example"])
async def test_redirect_of_a_public_server_into_a_private_network_is_an_error(host: str, names: Names) -> None:
    """It is not worth retrying, and says what helps. Nothing connects to the internal service."""
    names["internal.example"] = ["127.0.0.3"]
    async with internal("127.0.0.4" if host == "127.0.0.4" else "127.0.0.3") as service:
        script = answering(POST=response(307, ("Location", f"http://{host}:{service.port}/admin")))
        error, server = await failure(script)
        assert service.connections == 0
    assert server.methods() == ["POST"]
    assert error.status == 307
    assert "private network" in error.detail
    assert OPTION in error.detail
    assert not is_worth_retrying(error, "player")


@covers("SE66")
async def test_location_in_a_private_network_is_not_used(caplog: pytest.LogCaptureFixture) -> None:
    """The session continues without it, and the log says so."""
    async with internal() as service:
        async with posted(answering(POST=created(("Location", f"{service.origin}/s")))) as (server, session):
            await session.trickle([A])
        assert service.connections == 0
    assert server.methods() == ["POST"]
    assert OPTION in caplog.text


@covers("SE66", "CL8")
async def test_location_that_resolves_to_a_private_network_is_not_used(
    names: Names, caplog: pytest.LogCaptureFixture
) -> None:
    """The session continues without it, as without trickle and DELETE, and the log says so."""
    names["media.example"] = ["127.0.0.3"]
    async with internal() as service:
        script = answering(POST=created(("Location", f"http://media.example:{service.port}/s")))
        async with posted(script) as (server, session):
            await session.trickle([A])
        assert service.connections == 0
    assert server.methods() == ["POST"]
    assert "could not delete" in caplog.text
    assert OPTION in caplog.text


@covers("SE66")
async def test_redirects_of_patch_and_delete_are_checked(caplog: pytest.LogCaptureFixture) -> None:
    async with internal() as service:
        away = response(308, ("Location", f"{service.origin}/x"))
        async with posted(answering(POST=created(), PATCH=away, DELETE=away)) as (server, session):
            await session.trickle([A])
            assert not await session.delete()
        assert service.connections == 0
    assert server.methods() == ["POST", "PATCH", "DELETE"]
    assert OPTION in caplog.text


@covers("SE66", "CL23")
async def test_reconnect_event_and_its_subscription_are_checked(names: Names) -> None:
    """The event stream of a Link may not be in a private network, nor its Location, nor the URL in the event."""
    relation = 'rel="urn:ietf:params:whep:ext:core:server-sent-events"'
    names["media.example"] = ["127.0.0.3"]
    async with internal() as service:
        for url in (f"{service.origin}/e", f"http://media.example:{service.port}/e"):
            link = ("Link", f"<{url}>; {relation}")
            async with serving(answering(POST=response(201, SDP, link, body="v=0"))) as server:
                session = session_at(server, "player")
                await session.post(OFFER)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(session.next_session(), 0.3)
                await session.delete()
        assert service.connections == 0


@covers("SE66")
async def test_successor_in_a_private_network_is_refused(names: Names) -> None:
    names["media.example"] = ["127.0.0.3"]
    async with internal() as service, posted(answering(POST=created())) as (_, session):
        with pytest.raises(SignalingError, match=r"reconnect: .*private network"):
            session.successor(f"{service.origin}/whep")
        with pytest.raises(SignalingError, match=OPTION):
            await session.successor(f"http://media.example:{service.port}/whep").post(OFFER)
        assert service.connections == 0


@covers("SE66")
async def test_other_addresses_of_a_name_are_used(names: Names) -> None:
    """A name may have a private address besides a public one."""
    async with serving(answering(POST=created())) as other, internal("127.0.0.3", other.port) as service:
        names["both.example"] = ["127.0.0.3", "127.0.0.1"]
        script = answering(POST=response(307, ("Location", f"http://both.example:{other.port}/whip")))
        async with posted(script):
            pass
        assert service.connections == 0
    assert other.methods() == ["POST", "DELETE"]


@covers("SE66")
async def test_private_networks_can_be_allowed() -> None:
    async with internal() as service:
        script = answering(POST=response(307, ("Location", f"{service.origin}/whip")))
        async with posted(script, forbid_private=False, delete_timeout_s=0.1):
            pass
        assert service.connections > 0


@covers("SE66")
async def test_reset_of_the_first_connection_does_not_disable_the_check() -> None:
    """The response is sent before the request arrives, and the connection is reset."""

    def connected(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(response(307, ("Location", f"{service.origin}/x")))
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    async with internal() as service, await asyncio.start_server(connected, "127.0.0.1", 0) as listener:
        settings = ClientSettings(f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}/whip")
        for _ in range(20):
            with pytest.raises(SignalingError):
                await SignalingSession("publisher", settings).post(OFFER)
        assert service.connections == 0


# The name of the server itself


def client_at(name: str, port: int, **settings: Any) -> ClientSettings:
    return ClientSettings(f"http://{name}:{port}/whip", request_timeout_s=5.0, delete_timeout_s=1.0, **settings)


@covers("SE66")
async def test_name_of_a_public_server_cannot_lead_into_a_private_network_later(names: Names) -> None:
    """DNS rebinding: neither in the same session nor in the next one. It may be temporary, as behind a captive portal,
    so it is worth retrying."""
    async with serving(answering(POST=created())) as server, internal("127.0.0.3", server.port) as service:
        settings = client_at("home.example", server.port)
        names["home.example"] = ["127.0.0.1"]
        async with SignalingSession("publisher", settings) as session:
            await session.post(OFFER)
            names["home.example"] = ["127.0.0.3"]
            await session.reconnect()
            assert not await session.delete()
        with pytest.raises(SignalingError, match=OPTION) as caught:
            await SignalingSession("publisher", settings).post(OFFER)
        assert is_worth_retrying(caught.value, "publisher")
        names["home.example"] = ["127.0.0.1"]
        async with SignalingSession("publisher", settings) as session:
            await session.post(OFFER)
        assert service.connections == 0
    assert server.methods() == ["POST", "POST", "DELETE"]


@covers("SE66")
async def test_name_of_a_private_server_may_lead_to_another_private_address(names: Names) -> None:
    """Such as after a move to another network. It still does not lead to this machine."""

    async def post(settings: ClientSettings, port: int, address: str) -> int:
        async with internal(address, port) as service:
            names["home.example"] = [address]
            with contextlib.suppress(SignalingError):
                await SignalingSession("publisher", settings).post(OFFER)
            return service.connections

    async with internal("127.0.0.9") as reserved:
        port = reserved.port
    settings = client_at("home.example", port)
    assert await post(settings, port, "127.0.0.3") > 0
    assert await post(settings, port, "127.0.0.5") > 0
    assert await post(settings, port, "127.0.0.4") == 0


@covers("SE66")
async def test_failed_connection_decides_nothing(names: Names) -> None:
    """The home is the address that was connected to, not those that were tried."""
    async with serving(answering(POST=created())) as server:
        settings = client_at("home.example", server.port)
        names["home.example"] = ["127.0.0.3", "127.0.0.1"]  # Nothing listens on the first one.
        async with SignalingSession("publisher", settings) as session:
            await session.post(OFFER)
        assert str(settings.home.address) == "127.0.0.1"


async def test_normal_session_beside_the_checks(names: Names) -> None:
    """A server at a public address that redirects to another port, path and public name."""
    names["other.example"] = ["127.0.0.1"]
    async with serving(answering(POST=created())) as other:
        script = answering(POST=response(307, ("Location", f"http://other.example:{other.port}/whip")))
        async with posted(script) as (_, session):
            await session.trickle([A])
    assert other.methods() == ["POST", "PATCH", "DELETE"]
