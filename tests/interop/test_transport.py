"""ICE, DTLS and SRTP against an independent peer: roles, profiles, certificates, consent, teardown."""

from __future__ import annotations

import contextlib
import itertools
import random
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

import bass_webrtc as bw
from bass_webrtc.peer.lite import LiteConnection
from support import stun
from support.conformance import covers
from support.driving import connect, drive
from support.player import Certificate, Counters, Player
from support.reruns import real_time_audio

pytestmark = real_time_audio


@pytest.fixture
def server() -> Iterator[bw.Server]:
    config = bw.ServerConfig(http_port=0, udp_port=0, max_peers_per_address=5)
    with bw.Server(bw.Tone(440.0, 880.0), config) as server:
        server.start()
        yield server


@pytest.fixture(scope="module")
def certificate() -> Certificate:
    return Certificate()


@covers("WS8")
@pytest.mark.parametrize("setup", ["actpass", "active", "passive"])
def test_each_dtls_role_connects(server: bw.Server, certificate: Certificate, setup: str) -> None:
    """The answer takes the complementary role, and the handshake runs in that direction."""
    player = Player(certificate, setup=setup)
    connect(player, f"{server.url}whep")
    assert player.answer.setup == {"actpass": "active", "active": "passive", "passive": "active"}[setup]
    assert player.delete() == 200


@covers("SE5")
@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        (b"SRTP_AES128_CM_SHA1_80", "SRTP_AES128_CM_HMAC_SHA1_80"),
        (b"SRTP_AEAD_AES_128_GCM", "SRTP_AEAD_AES_128_GCM"),
        (b"SRTP_AES128_CM_SHA1_80:SRTP_AEAD_AES_128_GCM", "SRTP_AEAD_AES_128_GCM"),
    ],
)
@pytest.mark.parametrize("setup", ["active", "passive"])
def test_best_common_srtp_profile_is_chosen(server: bw.Server, offered: bytes, chosen: str, setup: str) -> None:
    """AEAD is preferred when our server chooses; libsrtp decrypts each profile."""
    player = Player(Certificate(offered), setup=setup)
    packets: list[bytes] = []
    player.on_rtp = packets.append
    connect(player, f"{server.url}whep")
    assert drive([player], lambda: server.peers[0].state == "connected")
    # As DTLS server the player chooses, and OpenSSL prefers its own order.
    if setup == "active" or b":" not in offered:
        assert server.stats().peers[0].srtp_profile == chosen
    drive([player], lambda: len(packets) > 10)
    assert {packet[1] & 0x7F for packet in player.decrypt(packets[:10])} == {111}


@covers("SE5")
def test_no_common_srtp_profile_fails_the_connection(server: bw.Server) -> None:
    """Nothing is sent unencrypted."""
    player = Player(Certificate(b"SRTP_AES128_CM_SHA1_32"), setup="active")
    assert player.post(f"{server.url}whep", time.monotonic())
    assert drive([player], lambda: not server.peers, 10.0)
    assert player.reason in ("no SRTP profile", "close_notify")
    assert player.counters.packets == 0


@covers("SE1", "SE2")
@pytest.mark.parametrize("setup", ["active", "passive"])
def test_wrong_fingerprint_gets_an_alert_and_no_media(server: bw.Server, certificate: Certificate, setup: str) -> None:
    """The certificate differs from the offer's fingerprint."""
    player = Player(certificate, setup=setup, fingerprint=":".join(["AB"] * 32))
    reasons: list[str] = []
    server.on("peer_disconnected", lambda peer, reason: reasons.append(reason))
    assert player.post(f"{server.url}whep", time.monotonic())
    drive([player], lambda: player.state in ("failed", "closed"), 5.0)
    assert "alert" in player.reason or player.reason == "close_notify"
    drive([player], lambda: bool(reasons), 5.0)
    assert "does not match the signaled fingerprint" in reasons[0]
    drive([player], lambda: False, 0.3)
    assert player.counters.packets == 0
    assert server.peers == ()


@covers("SE23", "SE24")
def test_no_media_before_an_authenticated_check(server: bw.Server, certificate: Certificate) -> None:
    """Checks with a wrong password get no success response, and nothing else is sent."""
    player = Player(certificate)
    assert player.post(f"{server.url}whep", time.monotonic())
    assert player.socket is not None
    player.socket.settimeout(0.5)
    player.send(stun.check(f"{player.answer.ufrag}:x", "a wrong password of some length"))
    replies = receive_all(player.socket)
    assert [stun.decode(reply).kind for reply in replies] in ([], [stun.BINDING_ERROR])
    player.vanish()


def test_checks_of_connected_player_do_not_reach_the_loop(
    server: bw.Server, certificate: Certificate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The network thread answers them; after a restart the first one reaches the loop again."""
    seen: list[bytes] = []
    kinds: list[int] = []

    class Listener(Player):
        def _stun(self, data: bytes, now_s: float) -> None:
            kinds.append(stun.decode(data).kind)
            super()._stun(data, now_s)

    receive = LiteConnection.receive

    def note(connection: LiteConnection, data: bytes, *rest: Any) -> None:
        seen.append(data)
        receive(connection, data, *rest)

    player = Listener(certificate)
    connect(player, f"{server.url}whep")
    drive([player], lambda: stun.BINDING_REQUEST in kinds, 5.0)  # After a second, the server checks the path again.
    drive([player], lambda: False, 0.2)
    monkeypatch.setattr(LiteConnection, "receive", note)
    kinds.clear()
    for _ in range(10):
        player.send(player.check())
    assert drive([player], lambda: kinds.count(stun.BINDING_SUCCESS) == 10)
    assert [data for data in seen if stun.decode(data).kind == stun.BINDING_REQUEST] == []
    assert player.restart() == 200
    player.send(player.check())
    assert drive([player], lambda: kinds.count(stun.BINDING_SUCCESS) == 11)
    assert drive([player], lambda: stun.BINDING_REQUEST in [stun.decode(data).kind for data in seen])


@covers("WS55")
def test_close_notify_ends_the_session(server: bw.Server, certificate: Certificate) -> None:
    """A DTLS close by the peer removes the session; its DELETE, if it comes, gets 200."""
    player = Player(certificate)
    connect(player, f"{server.url}whep")
    player.close_dtls()
    assert drive([player], lambda: not server.peers, 5.0)
    assert [delete_status(player.session_url) for _ in range(2)] == [200, 404]


@covers("WS54", "WS56", "RT6")
def test_delete_sends_bye_and_close_notify(server: bw.Server, certificate: Certificate) -> None:
    """BYE and close_notify reach the player, then nothing; a second DELETE gets 404."""
    player = Player(certificate)
    rtcp: list[bytes] = []
    player.on_rtcp = rtcp.append
    connect(player, f"{server.url}whep")
    assert delete_status(player.session_url) == 200
    assert drive([player], lambda: player.state == "closed", 5.0)
    assert player.reason == "close_notify"
    assert any(203 in packet_types(compound) for compound in rtcp)
    packets = player.counters.packets
    drive([player], lambda: False, 0.2)
    assert player.counters.packets == packets
    assert delete_status(player.session_url) == 404


@covers("WS54")
def test_stop_closes_every_session(server: bw.Server, certificate: Certificate) -> None:
    """A stopping server sends BYE and close_notify, and can start again."""
    players = [Player(certificate) for _ in range(3)]
    for player in players:
        connect(player, f"{server.url}whep")
    server.stop()
    assert drive(players, lambda: all(player.state == "closed" for player in players), 5.0)
    server.start()
    again = Player(certificate)
    connect(again, f"{server.url}whep")
    again.vanish()


def test_player_can_move_to_another_port(server: bw.Server, certificate: Certificate) -> None:
    """A check with USE-CANDIDATE from a new address (a NAT rebinding) moves the stream (RFC 8445, 7.3.1.3)."""
    player = Player(certificate)
    connect(player, f"{server.url}whep")
    first = player.socket
    assert first is not None
    player.move(first.getsockname()[0])
    player.counters = Counters()
    assert drive([player], lambda: player.counters.packets > 25, 5.0)
    assert player.counters.missing == 0
    first.close()
    assert player.delete() == 200


@covers("WS23", "WS24", "WS26", "WS28")
def test_ice_restart_moves_audio_without_a_gap(server: bw.Server, certificate: Certificate) -> None:
    """The old path is used until a check with the new credentials succeeds."""
    player = Player(certificate)
    connect(player, f"{server.url}whep")
    old_socket, old_etag, old_answer = player.socket, player.etag, player.answer
    assert old_socket is not None
    player.counters = Counters()
    assert player.restart() == 200
    assert player.etag not in ("", old_etag)
    assert (player.answer.ufrag, player.answer.password) != (old_answer.ufrag, old_answer.password)
    assert drive([player], lambda: player.counters.packets > 10), "no audio on the old path"
    player.move(old_socket.getsockname()[0])
    packets = player.counters.packets
    assert drive([player], lambda: player.counters.packets > packets + 20), "no audio on the new path"
    # Packets in flight to the old port when the path moved.
    old_socket.settimeout(0.1)
    old_packets = len(receive_all(old_socket))
    assert player.counters.missing <= old_packets
    old_socket.close()
    assert player.patch("a=ice-ufrag:1234\r\na=ice-pwd:1234567890123456789012\r\n", old_etag)[0] == 412
    assert player.delete() == 200


@covers("WS29", "WS31")
@pytest.mark.parametrize(
    "candidate",
    [
        "candidate:1 1 udp 2130706431 127.0.0.1 50000 typ host",
        "candidate:1 1 tcp 2130706431 127.0.0.1 9 typ host tcptype active",
        "candidate:1 1 udp 2130706431 a3c5b2f4-0000-4000-8000-000000000000.local 50000 typ host",
        "candidate:1 1 udp 2130706431 player.example 50000 typ host",
        "candidate:1 1 udp 2130706431 2001:db8::1 50000 typ host",
    ],
)
def test_trickled_candidates_of_every_kind_are_accepted(
    server: bw.Server, certificate: Certificate, candidate: str
) -> None:
    """204, and the audio continues; unusable candidates are ignored."""
    player = Player(certificate)
    connect(player, f"{server.url}whep")
    player.counters = Counters()
    assert player.trickle(candidate) == 204
    assert player.trickle(candidate) == 204
    assert drive([player], lambda: player.counters.packets > 5)
    assert player.counters.missing == 0
    assert player.delete() == 200


def test_ipv6_works(certificate: Certificate) -> None:
    """There is one socket for each local address: a check to ::1 is answered from ::1."""
    config = bw.ServerConfig(http_host="::1", http_port=0, udp_port=0)
    with bw.Server(bw.Tone(440.0, 880.0), config) as server:
        server.start()
        player = Player(certificate)
        connect(player, f"{server.url}whep")
        assert drive([player], lambda: server.peers[0].state == "connected")
        assert server.peers[0].remote_address.startswith("[::1]:")
        assert player.delete() == 200


def test_public_ips_are_announced(certificate: Certificate) -> None:
    """Behind 1:1 NAT, the public address is among the candidates, with the one UDP port."""
    config = bw.ServerConfig(http_port=0, udp_port=0, public_ips=("203.0.113.7",))
    with bw.Server(bw.Tone(), config) as server:
        server.start()
        player = Player(certificate)
        connect(player, f"{server.url}whep")
        assert ("203.0.113.7", server.udp_port) in player.answer.candidates
        assert player.delete() == 200


@covers("SE7")
@pytest.mark.parametrize("setup", ["active", "passive"])
@pytest.mark.parametrize("lost", range(8))
def test_lost_datagram_delays_the_handshake_by_less_than_two_seconds(
    server: bw.Server, certificate: Certificate, setup: str, lost: int
) -> None:
    """Whichever of the first datagrams is lost in either direction, audio flows within 2 s."""
    player = Player(certificate, setup=setup)
    numbers = itertools.count()
    player.loses = lambda: next(numbers) == lost
    start_s = time.monotonic()
    connect(player, f"{server.url}whep")
    assert time.monotonic() - start_s < 2.0
    assert player.delete() == 200


@covers("SE7")
@pytest.mark.parametrize("setup", ["active", "passive"])
def test_connects_with_a_fifth_of_all_datagrams_lost(server: bw.Server, certificate: Certificate, setup: str) -> None:
    """Retransmission completes the handshake over a bad radio link."""
    dice = random.Random(setup)
    player = Player(certificate, setup=setup)
    player.loses = lambda: dice.random() < 0.2
    connect(player, f"{server.url}whep", timeout_s=20.0)
    player.vanish()


def test_two_servers_run_in_one_process(certificate: Certificate) -> None:
    """Two sources, each server with its own ports and threads."""
    config = bw.ServerConfig(http_port=0, udp_port=0)
    with bw.Server(bw.Tone(440.0), config) as first, bw.Server(bw.Tone(880.0), config) as second:
        first.start()
        second.start()
        players = [Player(certificate), Player(certificate)]
        for player, server in zip(players, (first, second), strict=True):
            connect(player, f"{server.url}whep")
        first.close()
        counters = players[1].counters
        packets = counters.packets
        assert drive(players, lambda: counters.packets > packets + 20)
        assert counters.missing == 0
        assert players[0].reason == "close_notify"


def receive_all(receiver: socket.socket) -> list[bytes]:
    """Receive datagrams until none arrives within the socket's timeout."""
    datagrams = []
    with contextlib.suppress(TimeoutError):
        while True:
            datagrams.append(receiver.recv(2048))
    return datagrams


def delete_status(url: str) -> int:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, method="DELETE"), timeout=10) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        return error.code


def packet_types(compound: bytes) -> list[int]:
    """Return the RTCP packet types of a compound packet."""
    types, offset = [], 0
    while offset + 4 <= len(compound):
        types.append(compound[offset + 1])
        offset += 4 * (1 + int.from_bytes(compound[offset + 2 : offset + 4], "big"))
    return types
