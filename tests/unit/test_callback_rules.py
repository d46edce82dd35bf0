"""Rules and errors of signaling by the program: kinds and directions, limits, and invalid calls."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import bass_webrtc as bw
from bass_webrtc.stats import Kind
from support.conformance import covers
from support.patience import wait_until
from support.usage import own_sockets

CALLBACK = bw.ServerConfig(signaling_mode="callback", max_peers=2)


@pytest.fixture
def server() -> Iterator[bw.Server]:
    with bw.Server(bw.Tone(), CALLBACK) as server:
        server.start()
        yield server


@pytest.fixture
def mute() -> Iterator[bw.Server]:
    """A server without a source."""
    with bw.Server(None, CALLBACK) as server:
        server.start()
        yield server


@pytest.fixture
def other() -> Iterator[bw.Server]:
    with bw.Server(bw.Tone(), CALLBACK) as server:
        server.start()
        yield server


def direction(sdp: str) -> str:
    found = re.search(r"a=(sendrecv|sendonly|recvonly|inactive)\r", sdp)
    assert found is not None
    return found[1]


def test_callback_server_opens_no_port_and_has_no_url() -> None:
    before = _open_ports()
    with bw.Server(bw.Tone(), CALLBACK) as server:
        server.start()
        assert _open_ports() == before
        assert server.url == ""
        assert server.udp_port == 0


def _open_ports() -> set[tuple[int, int]]:
    """Type and port of the IP sockets of this process that anybody can send to: those that are not connected."""
    found = set()
    for one in own_sockets():
        if one.family in (socket.AF_INET, socket.AF_INET6):
            try:
                one.getpeername()
            except OSError:
                found.add((int(one.type), one.getsockname()[1]))
    return found


@pytest.mark.parametrize(
    ("kind", "offered", "answered", "other_kind"),
    [
        ("sendrecv", "sendrecv", "sendrecv", "sendrecv"),
        ("player", "sendonly", "recvonly", "publisher"),
        ("publisher", "recvonly", "sendonly", "player"),
    ],
)
def test_kind_determines_directions(
    kind: Kind, offered: str, answered: str, other_kind: str, server: bw.Server, other: bw.Server
) -> None:
    peer, offer = server.create_offer(kind)
    assert (peer.kind, direction(offer)) == (kind, offered)
    peer_there, answer = other.add_peer(offer)
    assert (peer_there.kind, direction(answer)) == (other_kind, answered)
    assert server.peers == (peer,)


def test_server_without_source_treats_sendrecv_as_publisher(server: bw.Server, mute: bw.Server) -> None:
    peer, offer = server.create_offer()
    peer_there, answer = mute.add_peer(offer)
    assert (peer_there.kind, direction(answer)) == ("publisher", "recvonly")
    peer.set_answer(answer)
    wait_until(lambda: peer.kind == "player")
    other_peer, other_offer = mute.create_offer()
    assert (other_peer.kind, direction(other_offer)) == ("publisher", "recvonly")


def test_server_without_source_refuses_players(server: bw.Server, mute: bw.Server) -> None:
    with pytest.raises(bw.ConfigError, match="nothing to play"):
        mute.create_offer("player")
    _, offer = server.create_offer("publisher")
    with pytest.raises(bw.SdpError, match="nothing to play"):
        mute.add_peer(offer)
    assert mute.peers == ()


def test_unknown_kind_is_refused(server: bw.Server) -> None:
    with pytest.raises(bw.ConfigError, match="'listener'; expected one of"):
        server.create_offer("listener")  # type: ignore[arg-type]


@pytest.mark.parametrize("sdp", ["", "v=0", "\0\xff" * 100, "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n"])
def test_malformed_offer_takes_no_slot(sdp: str, server: bw.Server) -> None:
    with pytest.raises(bw.SdpError):
        server.add_peer(sdp)
    assert server.peers == ()


def test_low_bitrate_limit_is_accepted_in_offer_and_answer(server: bw.Server, other: bw.Server) -> None:
    _, offer = other.create_offer()
    limited, _ = server.add_peer(offer.replace("useinbandfec=1", "maxaveragebitrate=32000"))
    peer, offer = server.create_offer()
    _, answer = other.add_peer(offer)
    peer.set_answer(answer.replace("useinbandfec=1", "maxaveragebitrate=32000"))
    assert limited.stats().exceeded_limits == "the peer allows at most 32000 bit/s; this server sends 128000"


def test_max_peers_is_enforced(server: bw.Server) -> None:
    for _ in range(2):
        server.create_offer()
    with pytest.raises(bw.PeerLimitError, match="max_peers"):
        server.create_offer()
    server.remove_peer(0)
    wait_until(lambda: _can_offer(server))


def _can_offer(server: bw.Server) -> bool:
    try:
        return server.create_offer()[0].id == 0
    except bw.PeerLimitError:
        return False


def test_answer_is_accepted_once_and_only_for_local_offer(server: bw.Server, other: bw.Server) -> None:
    peer, offer = server.create_offer()
    peer_there, answer = other.add_peer(offer)
    with pytest.raises(bw.SdpError):
        peer.set_answer("v=0")
    peer.set_answer(answer)
    with pytest.raises(bw.ConfigError, match="applied already"):
        peer.set_answer(answer)
    with pytest.raises(bw.ConfigError, match="sent the offer itself"):
        peer_there.set_answer(answer)


def test_malformed_candidates_are_refused_and_unusable_ones_ignored(server: bw.Server) -> None:
    peer, _ = server.create_offer()
    with pytest.raises(bw.SdpError, match="candidate"):
        peer.add_ice_candidate("candidate:rubbish", "0", 0)
    for useless in (
        "candidate:1 1 udp 2130706431 4f1b4c7e.local 5000 typ host",
        "candidate:1 1 tcp 2130706431 192.0.2.77 9 typ host tcptype active",
        "candidate:1 1 udp 2130706431 127.0.0.1 22 typ host",
    ):
        peer.add_ice_candidate(useless, "0", 0)
    peer.add_ice_candidate("", "0", 0)
    peer.add_ice_candidate(None)
    assert peer.state == "new"


@pytest.mark.parametrize("wrong", [None, b"v=0", {"type": "offer", "sdp": "v=0"}], ids=type)
def test_arguments_that_are_not_text_are_refused(wrong: Any, server: bw.Server) -> None:
    peer, _ = server.create_offer()
    calls: list[Callable[[], object]] = [lambda: server.add_peer(wrong), lambda: peer.set_answer(wrong)]
    if wrong is not None:
        calls.append(lambda: peer.add_ice_candidate(wrong))
    for call in calls:
        with pytest.raises(bw.ConfigError, match="expected a string"):
            call()
    assert server.peers == (peer,)


@covers("WS11")
def test_ice_lite_peer_is_answered(server: bw.Server, other: bw.Server) -> None:
    """The server has full ICE, so it takes the controlling role (RFC 8445, 6.1.1)."""
    _, offer = other.create_offer()
    peer, answer = server.add_peer(offer.replace("a=group", "a=ice-lite\r\na=group"))
    assert (peer.state, "a=ice-lite" in answer) == ("connecting", False)


def test_removed_peer_is_closed_with_reason(server: bw.Server) -> None:
    reasons: list[str] = []
    server.on("peer_disconnected", lambda _peer, reason: reasons.append(reason))
    peer, offer = server.create_offer()
    server.remove_peer(peer.id)
    assert server.peers == ()
    calls: list[Callable[[], object]] = [lambda: peer.set_answer(offer), lambda: peer.add_ice_candidate("")]
    for call in calls:
        with pytest.raises(bw.ClosedError, match="removed by the program"):
            call()
    with pytest.raises(bw.ConfigError, match="no peer 0"):
        server.remove_peer(peer.id)
    wait_until(lambda: reasons == ["removed by the program"])


def test_stopped_server_refuses_signaling_calls() -> None:
    server = bw.Server(bw.Tone(), CALLBACK)
    calls: list[Callable[[], object]] = [
        lambda: server.add_peer("v=0"),
        lambda: server.create_offer(),
        lambda: server.remove_peer(0),
    ]
    for call in calls:
        with pytest.raises(bw.ClosedError, match="call start first"):
            call()
    server.start()
    peer, _ = server.create_offer()
    server.stop()
    assert peer.state == "closed"
    with pytest.raises(bw.ClosedError, match="the server stops"):
        peer.add_ice_candidate("")
    server.start()
    assert server.create_offer()[0].id == 0
    server.close()


@pytest.mark.parametrize("operation", ["stop", "close", "start"])
def test_stop_in_callback_does_not_deadlock_with_stop_of_another_thread(operation: str) -> None:
    """The other thread waits for the callback, so the callback must not wait for the other thread."""
    returned: list[str] = []
    server = bw.Server(None, CALLBACK)

    def call_again(_peer: bw.Peer, _reason: str) -> None:
        try:
            getattr(server, operation)()
        except bw.ClosedError as error:
            returned.append(str(error))
        else:
            returned.append("")

    server.on("peer_disconnected", call_again)
    server.start()
    server.create_offer("publisher")
    stopping = threading.Thread(target=server.stop, daemon=True)
    stopping.start()
    stopping.join(10.0)
    assert not stopping.is_alive()
    refusal = "another thread is stopping the server; call start when it has finished"
    assert returned == [refusal if operation == "start" else ""]
    server.close()
    with pytest.raises(bw.ClosedError, match="closed"):
        server.start()


def test_sdp_event_carries_description(server: bw.Server, other: bw.Server) -> None:
    emitted: list[tuple[object, ...]] = []
    for one in (server, other):
        one.on("sdp", lambda *arguments: emitted.append(arguments))
    peer, offer = server.create_offer()
    peer_there, answer = other.add_peer(offer)
    wait_until(lambda: len(emitted) == 2)
    assert emitted == [(peer, "offer", offer), (peer_there, "answer", answer)]


async def test_asyncio_api_has_same_calls() -> None:
    async with bw.aio.Server(bw.Tone(), CALLBACK) as first, bw.aio.Server(bw.Tone(), CALLBACK) as second:
        await first.start()
        await second.start()
        peer, offer = await first.create_offer("player")
        _, answer = await second.add_peer(offer)
        peer.set_answer(answer)
        await first.remove_peer(peer.id)
        assert first.peers == ()


def test_ice_servers_are_validated_on_construction() -> None:
    with pytest.raises(bw.ConfigError, match="cannot be used"):
        bw.Server(bw.Tone(), bw.ServerConfig(ice_servers=(bw.IceServer("http://192.0.2.1"),)))
    with pytest.raises(bw.ConfigError, match="username and a credential"):
        bw.Server(bw.Tone(), bw.ServerConfig(ice_servers=(bw.IceServer("turn:192.0.2.1"),)))
    with pytest.raises(bw.ConfigError, match="IceServer objects"):
        bw.ServerConfig(ice_servers=(5,))  # type: ignore[arg-type]
    with pytest.raises(bw.ConfigError, match="a TURN server among"):
        bw.ServerConfig(ice_servers=(bw.IceServer("stun:192.0.2.1"),), ice_relay_only=True)


def test_public_ips_are_announced_as_server_reflexive_candidates() -> None:
    config = bw.ServerConfig(signaling_mode="callback", public_ips=("203.0.113.9",))
    with bw.Server(bw.Tone(), config) as server:
        server.start()
        _, offer = server.create_offer()
    assert re.search(r"203\.0\.113\.9 (\d+) typ srflx raddr \S+ rport \1\r", offer)
