"""Who may have one of the server's places: no address can take all of them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any, cast

import offers
import pytest

from bass_webrtc.config import ServerConfig
from bass_webrtc.errors import ConfigError, PeerLimitError, SignalingError
from bass_webrtc.peer.host import Connection, EngineHost
from bass_webrtc.rtc.negotiation import read_offer
from bass_webrtc.server import peers as server_peers
from bass_webrtc.server.channels import ServerChannels
from bass_webrtc.server.peers import ServerPeers
from bass_webrtc.signaling.messages import Request
from bass_webrtc.signaling.server.limits import client_network
from support.conformance import covers

A, B, C, LOCAL = "192.0.2.7", "2001:db8::7", "198.51.100.7", "127.0.0.1"


class FakeEvents:
    pending = 0

    def emit(self, *arguments: object) -> None:
        pass


class FakeConnection:
    """A connection of a WHIP or WHEP peer."""

    id = 0
    kind = "player"
    closed = False
    closing = None
    close_reason = ""

    def __init__(self, state: str = "new") -> None:
        self.state = state


class FakePeer:
    def changed(self) -> None:
        pass


class FakeHost:
    """Has no free slot until one is released.

    Args:
        release: What happens until then.
    """

    def __init__(self, release: Callable[[], Awaitable[None]]) -> None:
        self._release = release
        self.has_free_slot = False

    async def next_release(self) -> None:
        await self._release()
        self.has_free_slot = True


class FakeChannels:
    def __init__(self, *names: str) -> None:
        self.names = list(names)

    def find(self, name: str) -> SimpleNamespace:
        if name not in self.names:
            raise ConfigError(f"there is no channel {name!r}")
        return SimpleNamespace(name=name, has_source=True)


class Scene:
    def __init__(self, host: FakeHost | None = None, channels: FakeChannels | None = None, **config: Any) -> None:
        self.events = FakeEvents()
        unused = cast(Any, None)
        self.peers = ServerPeers(
            cast(EngineHost, host),
            None,
            unused,
            ServerConfig(**config),
            (),
            cast(Any, self.events),
            cast(ServerChannels, channels),
        )

    def connect(self, address: str, state: str = "new") -> str:
        """Return "ok", or the status of the refusal."""
        request = Request("POST", "/whep", remote=address)
        try:
            self.peers.check_room(request)
        except PeerLimitError:
            return "full"
        except SignalingError as error:
            return str(error.status)
        self.add(FakeConnection(state), address)
        return "ok"

    def add(self, connection: FakeConnection, address: str = "") -> None:
        found = cast(Connection, connection)
        self.peers._peers[found] = cast(Any, FakePeer())
        if address:
            self.peers._note_network(found, client_network(address))

    def end_first(self) -> None:
        connection = cast(Any, next(iter(self.peers._peers)))
        connection.state, connection.closed = "closed", True
        self.peers.state_changed(connection)


@covers("SE61")
@pytest.mark.parametrize("state", ["new", "connected"])
def test_one_address_gets_half_and_the_last_place_is_left_for_a_third(state: str) -> None:
    scene = Scene(max_peers=5)
    assert [scene.connect(A, state) for _ in range(4)] == ["ok", "ok", "ok", "429"]
    assert [scene.connect("::1", state) for _ in range(2)] == ["ok", "429"]
    assert scene.connect(C, state) == "ok"
    assert scene.connect("203.0.113.1", state) == "full"
    assert scene.peers.refused == 3


@pytest.mark.parametrize(
    ("max_peers", "per_address", "accepted"),
    [
        (1, None, 1),
        (2, None, 1),
        (3, None, 2),
        (10, None, 5),
        (10, 1, 1),
        (10, 9, 9),
        (10, 10, 10),
        (100, 99, 90),
        (100, 100, 100),
    ],
)
@pytest.mark.parametrize("address", [A, LOCAL, "::1"])
def test_number_of_places_of_one_address(max_peers: int, per_address: int | None, accepted: int, address: str) -> None:
    """Loopback is an address like any other. The last tenth is for others, unless one address may have all."""
    scene = Scene(max_peers=max_peers, max_peers_per_address=per_address)
    assert [scene.connect(address) for _ in range(max_peers + 1)].count("ok") == accepted


def test_addresses_of_one_ipv6_network_share_their_places() -> None:
    scene = Scene(max_peers=4)
    assert [scene.connect(f"2001:db8::{number}") for number in range(3)] == ["ok", "ok", "429"]


def test_place_is_free_again_when_the_peer_has_gone() -> None:
    scene = Scene(max_peers=2)
    assert [scene.connect(A), scene.connect(A)] == ["ok", "429"]
    scene.end_first()
    assert scene.connect(A) == "ok"


def test_peers_that_the_program_signals_count_for_all_but_for_no_address() -> None:
    scene = Scene(max_peers=4)
    for _ in range(3):
        scene.add(FakeConnection())
    assert [scene.connect(A), scene.connect(A)] == ["ok", "full"]


def test_peers_wait_for_a_program_whose_callbacks_take_too_long() -> None:
    """Each peer adds events, so their queue would grow without end."""
    scene = Scene()
    scene.events.pending = 2000
    assert scene.connect(A) == "503"


def test_refusals_are_logged_once_per_second(caplog: pytest.LogCaptureFixture) -> None:
    scene = Scene(max_peers=1)
    with caplog.at_level(logging.WARNING):
        for _ in range(10):
            scene.connect(A)
    assert caplog.messages == ["refused: max_peers (1) peers are connected or connecting"]


async def test_channel_closed_while_a_peer_waits_for_a_slot_is_not_heard() -> None:
    """Its number in the engine may be that of another channel by then."""
    channels = FakeChannels("main", "jazz")

    async def close_channel() -> None:
        channels.names.remove("jazz")

    scene = Scene(FakeHost(close_channel), channels)
    with pytest.raises(SignalingError, match="no channel 'jazz'") as refused:
        await scene.peers.create("player", read_offer(offers.CHROME_RECVONLY), Request("POST", "/whep/jazz"), "jazz")
    assert refused.value.status == 404


async def test_peer_that_gets_no_slot_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    async def never() -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(server_peers, "_RELEASE_TIMEOUT_S", 0.01)
    scene = Scene(FakeHost(never), FakeChannels("main"))
    async with asyncio.timeout(10):
        with pytest.raises(PeerLimitError, match="still in use; try again"):
            await scene.peers.create("player", read_offer(offers.CHROME_RECVONLY), Request("POST", "/whep"))
    assert scene.peers.refused == 1
