"""Malformed and hostile input over real sockets while a listener plays: its audio must not break.

Each case ends in a status code or a counter. Parsers have unit tests of their own; these tests cover the whole server.
"""

from __future__ import annotations

import http.client
import os
import socket
import struct
import time
import urllib.parse
from collections.abc import Iterator
from pathlib import Path

import pytest
from OpenSSL import SSL

import bass_webrtc as bw
from support import http_asking, stun, usage
from support.conformance import covers
from support.driving import connect, drive
from support.farm import PlayerFarm
from support.player import Certificate, Player
from support.reruns import real_time_audio

pytestmark = real_time_audio

GOOD_OFFER = Player(Certificate()).offer("127.0.0.1", 9)


class Scene:
    """A server with one listener, whose audio must not break."""

    def __init__(self, server: bw.Server, farm: PlayerFarm) -> None:
        self.server = server
        self.whep_url = f"{server.url}whep"
        self.udp_address = ("127.0.0.1", server.udp_port)
        self.farm = farm

    def request(
        self, method: str, path: str = "/whep", body: bytes | str = b"", content_type: str | None = "application/sdp"
    ) -> tuple[int, dict[str, str]]:
        """Return the status and header fields of the response."""
        connection = http.client.HTTPConnection("127.0.0.1", urllib.parse.urlsplit(self.server.url).port, timeout=10)
        try:
            connection.request(
                method,
                path if path.startswith("/") else f"/{path}",  # A Location is relative.
                body,
                {} if content_type is None else {"Content-Type": content_type},
            )
            response = connection.getresponse()
            response.read()
            return response.status, dict(response.getheaders())
        finally:
            connection.close()


@pytest.fixture(scope="module")
def stage() -> Iterator[Scene]:
    config = bw.ServerConfig(http_port=0, udp_port=0, max_peers=10, max_peers_per_address=10)
    with bw.Server(bw.Tone(440.0, 880.0), config) as server:
        server.start()
        with PlayerFarm() as farm:
            farm.connect(f"{server.url}whep")
            yield Scene(server, farm)


@pytest.fixture
def scene(stage: Scene) -> Iterator[Scene]:
    """Check the listener's packets at the end of each test."""
    stage.farm.reset()
    start_s = time.monotonic()
    yield stage
    time.sleep(0.2)
    report = stage.farm.report()
    assert report.states == {"connected": 1}
    assert report.missing == [0]
    assert report.duplicates == 0
    assert report.packets[0] >= 50 * (time.monotonic() - start_s) - 10
    # Generous, because the listener's process may wait for a processor on a busy machine.
    assert report.longest_gap_ms[0] < 1000.0


# -- HTTP


@covers("ES1", "ES5", "WS7", "SD4", "SD5", "SE60")
@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"hello", 400),
        (os.urandom(4000), 400),
        (b"\xff\xfe" + GOOD_OFFER.encode("utf-16-le"), 400),
        (GOOD_OFFER.replace("opus/48000/2", "PCMU/8000"), 422),
        (GOOD_OFFER.replace("a=recvonly", "a=sendonly"), 422),
        (GOOD_OFFER.replace("a=recvonly", "a=inactive"), 422),
        (GOOD_OFFER.replace("a=fingerprint", "a=x-fingerprint"), 422),
        (GOOD_OFFER.replace("a=ice-", "a=x-ice-"), 422),
        (GOOD_OFFER.replace("a=ice-ufrag", "a=x-ice-ufrag"), 400),
        (GOOD_OFFER.replace("a=rtcp-mux", "a=x-rtcp-mux"), 422),
        (GOOD_OFFER.replace("m=audio", "m=video"), 422),
        (GOOD_OFFER.replace("SAVPF 111", "SAVPF x"), 422),
        (GOOD_OFFER + "a=x:" + "x" * 131_072 + "\r\n", 413),
    ],
    ids=["empty", "hello", "noise", "UTF-16", "no Opus", "sendonly", "inactive",
         "no fingerprint", "no ICE", "half of ICE", "no rtcp-mux", "no audio", "bad payload type", "too long"],
)  # fmt: skip
def test_bad_offer_gets_its_status_code(scene: Scene, body: bytes | str, status: int) -> None:
    before = len(scene.server.peers)
    assert scene.request("POST", body=body)[0] == status
    assert len(scene.server.peers) == before


@covers("SD5", "SE70")
def test_truncated_offer_is_refused_and_leaves_no_session(scene: Scene) -> None:
    """Truncate a valid offer at many lengths; 201 is allowed only once every required line is present."""
    before = len(scene.server.peers)
    last_needed = GOOD_OFFER.index("a=rtcp-mux")
    for length in range(0, last_needed, 7):
        assert scene.request("POST", body=GOOD_OFFER[:length])[0] in (400, 422), GOOD_OFFER[:length][-40:]
    assert len(scene.server.peers) == before


@covers("SE65")
@pytest.mark.parametrize(
    ("method", "path", "content_type", "status"),
    [
        ("POST", "/whep", "text/plain", 415),
        ("POST", "/whep", None, 415),
        ("PUT", "/whep", "application/sdp", 405),
        ("DELETE", "/whep", None, 405),
        ("DELETE", "/whep/nobody", None, 404),
        ("PATCH", "/whep/nobody", "application/trickle-ice-sdpfrag", 404),
        ("GET", "/../../etc/passwd", None, 404),
        ("GET", "/%2e%2e/%2e%2e/etc/passwd", None, 404),
        ("POST", "/whip", "application/sdp", 422),
        ("POST", "/whap", "application/sdp", 404),
        ("BREW", "/whep", None, 501),
    ],
)
def test_wrong_request_gets_its_status_code(
    scene: Scene, method: str, path: str, content_type: str | None, status: int
) -> None:
    """A recvonly offer is not accepted by WHIP."""
    assert scene.request(method, path, GOOD_OFFER, content_type)[0] == status


@covers("SE61")
def test_flood_of_offers_ends_in_503_and_slots_are_freed(scene: Scene, farm: PlayerFarm) -> None:
    """Sessions without ICE checks take only free slots; DELETE frees them."""
    sessions = []
    for _ in range(12):
        status, headers = scene.request("POST", body=GOOD_OFFER)
        if status == 201:
            sessions.append(headers["Location"])
    assert status == 503
    assert int(headers["Retry-After"]) > 0
    assert len(sessions) == 9
    for session in sessions:
        assert scene.request("DELETE", urllib.parse.urlsplit(session).path, content_type=None)[0] == 200
    deadline_s = time.monotonic() + 2.0
    while len(scene.server.peers) > 1 and time.monotonic() < deadline_s:
        time.sleep(0.01)
    farm.connect(scene.whep_url)
    assert farm.disconnect() == {"200": 1}


@covers("WS13", "SE61")
def test_session_without_checks_is_removed_after_ten_seconds() -> None:
    """Its session is gone. A connected listener is not affected."""
    reasons: list[str] = []
    config = bw.ServerConfig(http_port=0, udp_port=0, max_peers=2, max_peers_per_address=2)
    with bw.Server(bw.Tone(), config) as server:
        server.start()
        server.on("peer_disconnected", lambda peer, reason: reasons.append(reason))
        listener = Player(Certificate())
        connect(listener, f"{server.url}whep")
        start_s, made = time.monotonic(), http_asking.post(server.url)
        assert http_asking.post(server.url).status == 503
        assert drive([listener], lambda: len(server.peers) == 1, 12.0)
        assert time.monotonic() - start_s > 9.5
        assert drive([listener], lambda: bool(reasons), 1.0)
        assert http_asking.ask(server.url, "DELETE", made.headers["Location"]).status == 200
        assert drive([listener], lambda: http_asking.post(server.url).status == 201, 1.0)
    assert reasons[0] == "no ICE check came within 10 s"
    assert listener.counters.missing == 0


# -- datagrams


@pytest.fixture
def unknown_socket() -> Iterator[socket.socket]:
    """A socket unknown to the server."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as unknown_socket:
        unknown_socket.bind(("127.0.0.1", 0))
        unknown_socket.settimeout(0.3)
        yield unknown_socket


@covers("SE40")
@pytest.mark.parametrize("size", [0, 1, 65_507])
@pytest.mark.parametrize("when", ["before", "during", "after"])
def test_datagrams_of_odd_sizes_are_harmless_at_any_time(
    scene: Scene, unknown_socket: socket.socket, size: int, when: str
) -> None:
    """Send them before, during and after a player's handshake, from another port and from its own."""
    junk = bytes([22]) * size
    player = Player(Certificate())
    player.post(scene.whep_url, time.monotonic())
    if when == "before":
        _send_all(unknown_socket, player, junk, scene)
    drive([player], lambda: player.state == ("handshake" if when == "during" else "connected"))
    if when != "before":
        _send_all(unknown_socket, player, junk, scene)
    assert drive([player], lambda: player.counters.packets > 10), player.reason
    assert player.counters.missing == 0
    assert player.delete() == 200


def _send_all(unknown_socket: socket.socket, player: Player, junk: bytes, scene: Scene) -> None:
    for _ in range(3):
        unknown_socket.sendto(junk, scene.udp_address)
        player.send(junk)


@covers("SE42", "OP18")
def test_twenty_thousand_junk_datagrams_are_counted_and_dropped(scene: Scene, unknown_socket: socket.socket) -> None:
    """Memory does not grow, every datagram is counted as dropped, and none is answered."""
    memory_kb, dropped = usage.memory_kb(os.getpid()), _dropped(scene)
    kinds = [
        os.urandom(200),
        b"",
        bytes([22]) + bytes(100),
        bytes([128, 111]) + bytes(160),
        bytes([128, 200]) + bytes(60),
    ]
    kinds += [stun.check("nobody:you", "password of nobody at all"), bytes([2]) + bytes(19), bytes([70]) * 1500]
    for number in range(20_000):
        unknown_socket.sendto(kinds[number % len(kinds)], scene.udp_address)
        if number % 100 == 99:
            # Paced, because the socket buffer is not under test.
            time.sleep(0.002)
    time.sleep(0.3)
    assert _dropped(scene) - dropped > 10_000
    assert usage.memory_kb(os.getpid()) - memory_kb < 2_000
    with pytest.raises(TimeoutError):
        unknown_socket.recv(2048)


def _dropped(scene: Scene) -> int:
    stats = scene.server.stats()
    return stats.datagrams_dropped + stats.events_dropped


@covers("SE41")
def test_client_hello_from_unvalidated_address_is_dropped(scene: Scene, unknown_socket: socket.socket) -> None:
    """DTLS from an address without a successful check is dropped; the real handshake completes."""
    player = Player(Certificate(), setup="active")
    player.post(scene.whep_url, time.monotonic())
    hello = SSL.Connection(Certificate().context, None)
    hello.set_connect_state()
    with pytest.raises(SSL.WantReadError):
        hello.do_handshake()
    client_hello = hello.bio_read(65_536)
    unknown_socket.sendto(client_hello, scene.udp_address)
    drive([player], lambda: player.state == "handshake")
    unknown_socket.sendto(client_hello, scene.udp_address)
    assert drive([player], lambda: player.counters.packets > 10), player.reason
    with pytest.raises(TimeoutError):
        unknown_socket.recv(2048)
    assert player.delete() == 200


@covers("SE1", "SE2")
@pytest.mark.parametrize("setup", ["active", "passive"])
def test_unsignaled_certificate_ends_only_its_own_session(scene: Scene, setup: str) -> None:
    """In both DTLS roles: no media flows, and the slot is freed."""
    impostor = Player(Certificate(), setup=setup, fingerprint=":".join(["AB"] * 32))
    assert impostor.post(scene.whep_url, time.monotonic())
    assert drive([impostor], lambda: impostor.state in ("failed", "closed"))
    assert drive([impostor], lambda: len(scene.server.peers) == 1, 2.0)
    assert impostor.counters.packets == 0
    impostor.vanish()


def test_rtp_and_rtcp_from_unvalidated_address_are_dropped(scene: Scene, unknown_socket: socket.socket) -> None:
    """Media from an address without a successful check is counted and dropped (RFC 7983)."""
    before = scene.server.stats()
    for _ in range(20):
        unknown_socket.sendto(struct.pack("!BBHII", 128, 111, 1, 2, 3) + bytes(100), scene.udp_address)
        unknown_socket.sendto(struct.pack("!BBHI", 129, 201, 7, 3) + bytes(40), scene.udp_address)
    time.sleep(0.2)
    after = scene.server.stats()
    assert after.datagrams_dropped - before.datagrams_dropped == 40
    assert after.packets_received == before.packets_received


@covers("SE24", "SE25")
@pytest.mark.parametrize("size", range(0, 28, 4))
def test_truncated_stun_is_not_answered(scene: Scene, unknown_socket: socket.socket, size: int) -> None:
    """A truncated check, and one whose length field is too large."""
    check = stun.check("user:name", "some password that nobody has")
    unknown_socket.sendto(check[:size], scene.udp_address)
    unknown_socket.sendto(check[:2] + b"\xff\xfc" + check[4:], scene.udp_address)
    with pytest.raises(TimeoutError):
        unknown_socket.recv(2048)


@covers("SE24")
def test_response_to_unauthenticated_check_is_not_longer_than_the_check(
    scene: Scene, unknown_socket: socket.socket
) -> None:
    """The server is no amplifier: a valid user name with a wrong password, from a forged address."""
    player = Player(Certificate())
    player.post(scene.whep_url, time.monotonic())
    for message in (
        stun.check(f"{player.answer.ufrag}:you", "wrong password wrong password"),
        stun.Message(stun.BINDING_REQUEST).encode(None),
        stun.Message(stun.BINDING_REQUEST, attributes=[(stun.USERNAME, f"{player.answer.ufrag}:x".encode())]).encode(
            None
        ),
    ):
        unknown_socket.sendto(message, scene.udp_address)
        try:
            assert len(unknown_socket.recv(2048)) <= len(message)
        except TimeoutError:
            continue
    assert drive([player], lambda: player.counters.packets > 0), "the real player still gets in"
    assert player.delete() == 200


@covers("SE9")
def test_replayed_and_modified_srtcp_is_counted_and_ignored(scene: Scene) -> None:
    """An SRTCP packet is accepted once, and never with any bit changed."""
    player = Player(Certificate())
    connect(player, scene.whep_url)
    datagram = player.send_report(fraction_lost=0.0)
    before = scene.server.stats().srtp_errors
    for _ in range(20):
        player.send(datagram)
    fresh = player.protect_report()
    for index in range(8, len(fresh)):
        tampered = bytearray(fresh)
        tampered[index] ^= 0x10
        player.send(bytes(tampered))
    assert drive([player], lambda: scene.server.stats().srtp_errors - before >= 20 + len(fresh) - 8, 5.0)
    assert scene.server.stats().srtp_errors - before == 20 + len(fresh) - 8
    assert drive([player], lambda: player.counters.packets > 20)
    assert player.counters.missing == 0
    assert player.delete() == 200


@covers("RT5")
def test_malformed_authentic_rtcp_is_ignored(scene: Scene) -> None:
    """Unknown types, and lengths and counts past the end, in authentic packets."""
    player = Player(Certificate())
    connect(player, scene.whep_url)
    for nonsense in (
        struct.pack("!BBH", 0x80, 210, 0xFFFF),
        struct.pack("!BBHI", 0x9F, 200, 1, 1),
        struct.pack("!BBHI", 0x9F, 203, 1, 1),
        struct.pack("!BBHII", 0x81, 205, 2, 1, 1),
        struct.pack("!BBHI", 0x8F, 206, 1, 1),
        struct.pack("!BBHI", 0x80, 207, 1, 1),
        b"\x80\xcc\x00\x00",
        os.urandom(64),
    ):
        player.send_report(feedback=nonsense)
    assert drive([player], lambda: player.counters.packets > 30)
    assert player.counters.missing == 0
    assert player.delete() == 200


# -- mistakes of the program


def test_port_in_use_raises_port_in_use_error(scene: Scene) -> None:
    """For HTTP and UDP; nothing stays open."""
    before = _threads_and_descriptors()
    taken_tcp = urllib.parse.urlsplit(scene.server.url).port or 0
    for config in (
        bw.ServerConfig(http_port=taken_tcp, udp_port=0),
        bw.ServerConfig(http_port=0, udp_port=scene.server.udp_port),
    ):
        taken = config.http_port or config.udp_port
        with bw.Server(bw.Tone(), config) as second, pytest.raises(bw.PortInUseError, match=str(taken)):
            second.start()
    # A joined thread stays in /proc for a moment.
    deadline_s = time.monotonic() + 2.0
    while _threads_and_descriptors() != before and time.monotonic() < deadline_s:
        time.sleep(0.01)
    assert _threads_and_descriptors() == before


def _threads_and_descriptors() -> tuple[int, int]:
    return usage.threads(os.getpid()), usage.descriptors(os.getpid())


def test_missing_file_is_named_in_the_error(tmp_path: Path) -> None:
    """The error names the file."""
    source = bw.BassFile(str(tmp_path / "missing.mp3"))
    with (
        bw.Server(source, bw.ServerConfig(http_port=0, udp_port=0)) as server,
        pytest.raises(bw.ConfigError, match=r"missing\.mp3"),
    ):
        server.start()


def test_file_without_audio_is_named_in_the_error(tmp_path: Path) -> None:
    """The error names the file and carries the BASS error code."""
    text = tmp_path / "text.mp3"
    text.write_text("no music " * 1000, encoding="utf-8")
    with (
        bw.Server(bw.BassFile(str(text)), bw.ServerConfig(http_port=0, udp_port=0)) as server,
        pytest.raises(bw.BassError, match=r"text\.mp3") as caught,
    ):
        server.start()
    assert caught.value.name == "BASS_ERROR_FILEFORM"
