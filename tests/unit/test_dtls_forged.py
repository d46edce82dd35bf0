"""Forged records in a handshake: the peer is plain OpenSSL, the forger sends from its address (RFC 6347, 4.1.2.7)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cache
from itertools import count, pairwise

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from dtls_ends import OURS, ROLES, OpenSslPeer, link, openssl_context, opposite
from hypothesis import given, settings
from hypothesis import strategies as st
from OpenSSL import SSL

from bass_webrtc.rtc import dtls_flight
from bass_webrtc.rtc.dtls import Connected, DtlsEvent, DtlsRole, DtlsSession, Failed
from bass_webrtc.rtc.dtls_flight import (
    CERTIFICATE_REQUEST,
    CLIENT_HELLO,
    FLIGHT_OF_CLIENT,
    FLIGHT_OF_SERVER,
    HELLO_VERIFY_REQUEST,
    SERVER_HELLO,
    SERVER_HELLO_DONE,
    Message,
    PeerFlight,
    client_is_signed,
    fragments,
    hello_verify_request,
)
from bass_webrtc.rtc.dtls_records import ALERT, APPLICATION_DATA, CHANGE_CIPHER_SPEC, HANDSHAKE, HEADER_BYTES, records
from support.conformance import covers

CONTEXT, FINGERPRINT = openssl_context()


numbers = count(1000)


def record(content_type: int, fragment: bytes, *, epoch: int = 0, version: bytes = b"\xfe\xfd") -> bytes:
    """Return a record with a new number, so that it does not look like a replay."""
    header = bytes((content_type,)) + version + epoch.to_bytes(2) + next(numbers).to_bytes(6)
    return header + len(fragment).to_bytes(2) + fragment


def handshake(message: Message) -> bytes:
    return record(HANDSHAKE, message.encoded)


def fragment(kind: int, sequence: int, length: int, offset: int, data: bytes, size: int | None = None) -> bytes:
    """Return a handshake record whose lengths need not be consistent."""
    size = len(data) if size is None else size
    header = bytes((kind,)) + length.to_bytes(3) + sequence.to_bytes(2) + offset.to_bytes(3) + size.to_bytes(3)
    return record(HANDSHAKE, header + data)


def alerts() -> list[bytes]:
    plain = [record(ALERT, bytes((level, description))) for level in (1, 2) for description in (0, 10, 20, 40, 42, 70)]
    odd = [record(ALERT, data) for data in (b"", b"\x02", b"\x02\x28\x02\x28", bytes(40))]
    return plain + odd


def records_of_epoch_0() -> list[bytes]:
    return [
        *(record(CHANGE_CIPHER_SPEC, data) for data in (b"\x01", b"\x02", b"", b"\x01\x01")),
        *(record(APPLICATION_DATA, data) for data in (b"", b"hello", bytes(1200))),
        *(record(HANDSHAKE, data) for data in (b"", b"\x01", bytes(11), b"\xff" * 200)),
        *(record(HANDSHAKE, bytes(12), version=version) for version in (b"\xfe\xff", b"\x03\x03", b"\xfe\xfc")),
    ]


def records_of_other_epochs() -> list[bytes]:
    kinds = (CHANGE_CIPHER_SPEC, ALERT, HANDSHAKE, APPLICATION_DATA)
    sizes = (0, 2, 24, 26, 48, 300)
    return [record(kind, b"x" * size, epoch=epoch) for kind in kinds for size in sizes for epoch in (1, 2, 65535)]


def messages_of_every_kind() -> list[bytes]:
    bodies = (b"", b"\x00\x00\x00", b"\xfe\xfd" + bytes(40), b"\xff" * 90)
    kinds = (0, *FLIGHT_OF_CLIENT, *FLIGHT_OF_SERVER, 4, 20, 22, 255)
    return [
        handshake(Message(kind, sequence, body)) for kind in kinds for sequence in (*range(7), 65535) for body in bodies
    ]


def inconsistent_fragments() -> list[bytes]:
    kinds = (CLIENT_HELLO, *FLIGHT_OF_CLIENT, *FLIGHT_OF_SERVER, HELLO_VERIFY_REQUEST)
    return [
        made
        for kind in kinds
        for sequence in range(6)
        for made in (
            fragment(kind, sequence, (1 << 24) - 1, 0, bytes(20)),
            fragment(kind, sequence, 10, 8, bytes(20)),
            fragment(kind, sequence, 300, 0, bytes(20), size=200),
            fragment(kind, sequence, 300, (1 << 24) - 10, bytes(20)),
            fragment(kind, sequence, 300, 50, b"z" * 20),
            fragment(kind, sequence, 300, 50, b""),
        )
    ]


@cache
def other_handshake() -> dict[bool, list[bytes]]:
    """Return the records of epoch 0 of another complete handshake, from its server and from its client."""
    connection = link().run()
    return {
        from_client: [one.data for data in datagrams for one in records(data) if one.epoch == 0]
        for from_client, datagrams in connection.sent.items()
    }


def messages_of_another_client() -> list[bytes]:
    return other_handshake()[True][1:]


def messages_of_another_server() -> list[bytes]:
    return other_handshake()[False]


FORGED: list[Callable[[], list[bytes]]] = [
    alerts,
    records_of_epoch_0,
    records_of_other_epochs,
    messages_of_every_kind,
    inconsistent_fragments,
    messages_of_another_client,
    messages_of_another_server,
]


class Handshake:
    """A handshake with plain OpenSSL, datagram by datagram, without delay."""

    def __init__(self, role: DtlsRole, *, split: bool = False, repeat: bool = False) -> None:
        self.session = DtlsSession(OURS, role, [FINGERPRINT])
        self.peer = OpenSslPeer(CONTEXT, opposite(role))
        self.events: list[DtlsEvent] = []
        self.sent: list[bytes] = []
        self._split = split
        self._repeat = repeat

    def run(self, attack: Callable[[int], list[bytes]], now_s: float = 0.0) -> Handshake:
        """Run it; ``attack`` returns what arrives before each datagram of the peer, by its number."""
        self.session.start(now_s)
        arrived = 0
        for _ in range(8):
            for data in attack(arrived):
                self.session.receive(data, now_s)
            sent = self.session.to_send()
            self.sent += sent
            for data in self._datagrams(self.peer.step(sent)):
                for forged in attack(arrived):
                    self.session.receive(forged, now_s)
                self.session.receive(data, now_s)
                arrived += 1
        self.events += self.session.events()
        return self

    def _datagrams(self, sent: list[bytes]) -> Iterator[bytes]:
        for data in sent * (2 if self._repeat else 1):
            yield from ([one.data for one in records(data)] if self._split else [data])

    @property
    def is_connected(self) -> bool:
        return [type(event) for event in self.events] == [Connected] and self.peer.done and not self.peer.error


def at_stage(stage: int, sent: list[bytes]) -> Callable[[int], list[bytes]]:
    """Return an attack before one datagram of the peer."""
    return lambda at: sent if at == stage else []


class TestForgedRecords:
    @covers("SE43")
    @pytest.mark.parametrize("split", [False, True])
    @pytest.mark.parametrize("role", ROLES)
    @pytest.mark.parametrize("forged", FORGED)
    def test_handshake_completes_whatever_is_forged_at_any_stage(
        self, forged: Callable[[], list[bytes]], role: DtlsRole, split: bool
    ) -> None:
        """Before each datagram of the peer: a whole flight, or each message in a datagram of its own, and repeated."""
        for stage in range(7 if split else 2):
            sent = forged() if role == "client" or stage > 0 else [one for one in forged() if not is_hello(one)]
            if forged is messages_of_another_server and role == "client" and split and stage == 3:
                continue  # CertificateRequest and ServerHelloDone just before the server's: nothing tells them apart.
            assert Handshake(role, split=split, repeat=split).run(at_stage(stage, sent)).is_connected

    @covers("SE43")
    @pytest.mark.parametrize("role", ROLES)
    def test_handshake_completes_in_a_constant_stream_of_forged_records(self, role: DtlsRole) -> None:
        """All kinds before each datagram of the peer."""
        everything = [one for forged in FORGED for one in forged()]
        assert Handshake(role).run(lambda at: everything if at > 0 or role == "client" else []).is_connected

    @covers("SE43")
    @pytest.mark.parametrize("role", ROLES)
    def test_handshake_completes_on_time_despite_a_forged_alert(self, role: DtlsRole) -> None:
        """The wait that follows an alert has no effect on a handshake that progresses."""
        connected = Handshake(role).run(lambda at: alerts())
        connected.session.handle_timeout(2.5)
        assert connected.is_connected
        assert connected.session.events() == []

    @covers("SE43")
    @settings(max_examples=150, deadline=None)
    @given(st.data(), st.sampled_from(ROLES), st.integers(0, 6))
    def test_changed_copies_of_the_peers_records_do_no_harm(
        self, data: st.DataObject, role: DtlsRole, stage: int
    ) -> None:
        """Of another handshake, as an attacker makes them who sees only that. The peer sends its flight twice."""
        template = other_handshake()[role == "server"]
        forged = bytearray(data.draw(st.sampled_from(template[1 if role == "server" else 0 :])))
        for _ in range(data.draw(st.integers(0, 3))):
            forged[data.draw(st.integers(0, len(forged) - 1))] = data.draw(st.integers(0, 255))
        if role == "server" and is_hello(bytes(forged)):
            return
        assert Handshake(role, split=True, repeat=True).run(at_stage(stage, [bytes(forged)])).is_connected

    @covers("SE43")
    def test_changed_copies_of_the_clients_own_flight_do_no_harm(self) -> None:
        """Even by an attacker who sees the flight and is faster, in any byte."""
        for at in range(0, 500, 7):
            session, peer = DtlsSession(OURS, "server", [FINGERPRINT]), OpenSslPeer(CONTEXT, "client")
            session.start(0.0)
            [hello] = peer.step([])
            session.receive(hello, 0.0)
            [flight] = peer.step(session.to_send())
            if at < len(flight):
                session.receive(flight[:at] + bytes((flight[at] ^ 0x55,)) + flight[at + 1 :], 0.0)
            session.receive(flight, 0.0)
            assert [type(event) for event in session.events()] == [Connected]

    @covers("SE43")
    @pytest.mark.parametrize("role", ROLES)
    def test_ignored_records_are_counted(self, role: DtlsRole) -> None:
        """Nothing is counted in a handshake without an attack, even if datagrams are repeated."""
        assert Handshake(role, split=True, repeat=True).run(lambda at: []).session.ignored == 0
        assert Handshake(role).run(at_stage(1 if role == "server" else 0, alerts())).session.ignored >= len(alerts())

    @covers("SE43")
    @pytest.mark.parametrize("role", ROLES)
    def test_records_after_the_handshake_do_nothing(self, role: DtlsRole) -> None:
        session = Handshake(role).run(lambda at: []).session
        for forged in FORGED:
            for data in forged():
                session.receive(data, 1.0)
        session.receive(other_handshake()[True][0], 2.0)
        assert session.to_send() == []
        assert session.events() == []


class TestHellos:
    @covers("SE41")
    def test_unusable_client_hellos_do_not_spoil_the_handshake(self) -> None:
        """Before the client's own, and each with a reason of its own for OpenSSL to refuse it."""
        hello = other_handshake()[True][0]
        body = hello[25:]
        wrong = [b"\xfe\xff" + body[2:], body[:34], body[:35], body[:60], body[:-3], body[:34] + b"\xff" + body[35:]]
        wrong += [
            body[:36] + b"\x00\x02\x00\x05\x01\x00",
            body[:36] + b"\x00\x02\xc0\x2b\x01\x00\x00\x04\x00\x0a\x00\x09",
        ]
        forged = [handshake(Message(CLIENT_HELLO, sequence, one)) for sequence in (0, 1) for one in wrong]
        assert Handshake("server").run(lambda at: forged).is_connected

    @covers("SE41")
    def test_flood_of_client_hellos_gets_few_short_answers(self) -> None:
        """And the client that was there first connects."""
        hello = other_handshake()[True][0]
        flood = [hello[:27] + number.to_bytes(32) + hello[59:] for number in range(1000)]
        done = Handshake("server").run(at_stage(1, flood))
        assert done.is_connected
        extra = [one for data in done.sent for one in records(data) if one.fragment[:1] == b"\x03"]
        assert sum(len(one.data) for one in extra) < 100

    @covers("SE41")
    def test_client_whose_hello_comes_after_a_forged_one_connects_with_a_cookie(self) -> None:
        """It got no answer to the forged one: it had not started yet."""
        session, peer = DtlsSession(OURS, "server", [FINGERPRINT]), OpenSslPeer(CONTEXT, "client")
        session.start(0.0)
        session.receive(other_handshake()[True][0], 0.0)
        assert len(session.to_send()) == 1
        now_s = 0.1
        for _ in range(6):
            for data in peer.step(session.to_send()):
                session.receive(data, now_s)
            now_s += 0.01
        assert [type(event) for event in session.events()] == [Connected]
        assert peer.done

    @covers("SE41")
    def test_client_hello_with_a_wrong_cookie_is_ignored(self) -> None:
        session = DtlsSession(OURS, "server", [FINGERPRINT])
        session.start(0.0)
        hello = other_handshake()[True][0]
        session.receive(hello, 0.0)
        session.receive(hello[:30] + b"other" + hello[35:], 0.1)
        session.to_send()
        body = hello[25:]
        for cookie in (b"", bytes(16), b"x" * 16):
            forged = body[:35] + bytes((len(cookie),)) + cookie + body[36:]
            session.receive(handshake(Message(CLIENT_HELLO, 1, forged)), 5.0)
        assert session.to_send() == []

    @covers("SE41")
    def test_client_connects_to_a_server_that_asks_for_a_cookie(self) -> None:
        server = ServerWithCookie()
        session = DtlsSession(OURS, "client", [server.fingerprint])
        session.start(0.0)
        now_s = 0.0
        for _ in range(8):
            for data in server.step(session.to_send()):
                session.receive(data, now_s)
            now_s += 0.05
            session.handle_timeout(now_s)
        assert [type(event) for event in session.events()] == [Connected]

    @covers("SE7")
    @pytest.mark.parametrize("order", [(0, 1, 3, 2, 4), (4, 3, 2, 1, 0), (3, 4, 0, 1, 2), (2, 0, 4, 1, 3)])
    def test_reordered_flight_of_a_server_is_accepted_before_it_is_repeated(self, order: tuple[int, ...]) -> None:
        """When our own retransmission would be due: a CertificateRequest that comes first may be forged."""
        session, peer = DtlsSession(OURS, "client", [FINGERPRINT]), OpenSslPeer(CONTEXT, "server")
        session.start(0.0)
        flight = [one.data for data in peer.step(session.to_send()) for one in records(data)]
        for place in order:
            session.receive(flight[place], 0.01)
        session.handle_timeout(0.1)
        for data in peer.step(session.to_send()):
            session.receive(data, 0.1)
        assert [type(event) for event in session.events()] == [Connected]

    @covers("SE43")
    @pytest.mark.parametrize("place", range(6))
    def test_forged_certificate_request_is_not_taken_for_the_servers(self, place: int) -> None:
        """Well-formed, at any place among the server's messages: of two, the one is taken that the server repeats."""
        [forged] = [one for one in messages_of_another_server() if one[HEADER_BYTES] == CERTIFICATE_REQUEST]
        session, peer = DtlsSession(OURS, "client", [FINGERPRINT]), OpenSslPeer(CONTEXT, "server")
        session.start(0.0)
        flight = [one.data for data in peer.step(session.to_send()) for one in records(data)]
        for data in (*flight[:place], forged, *flight[place:]):
            session.receive(data, 0.01)
        for data in flight:
            session.receive(data, 0.05)
        for data in peer.step(session.to_send()):
            session.receive(data, 0.1)
        assert [type(event) for event in session.events()] == [Connected]

    @covers("SE7")
    def test_server_that_requests_no_certificate_is_accepted_after_100_ms(self) -> None:
        """FFmpeg does not. Until then, its ServerHelloDone might be forged."""
        context, fingerprint = openssl_context()
        context.set_verify(SSL.VERIFY_NONE, lambda *_: True)
        session, peer = DtlsSession(OURS, "client", [fingerprint]), OpenSslPeer(context, "server")
        session.start(0.0)
        for data in peer.step(session.to_send()):
            session.receive(data, 0.01)
        assert session.to_send() == []
        session.handle_timeout(0.1)
        for data in peer.step(session.to_send()):
            session.receive(data, 0.1)
        assert [type(event) for event in session.events()] == [Connected]

    @covers("SE43")
    def test_forged_end_of_the_flight_does_not_suppress_our_certificate(self) -> None:
        """An early ServerHelloDone, between the server's datagrams."""
        forged = handshake(Message(SERVER_HELLO_DONE, 3, b""))
        assert Handshake("client", split=True).run(lambda at: [forged]).is_connected

    @covers("SE41")
    def test_forged_hello_verify_request_does_not_divert_the_client(self) -> None:
        """A second ClientHello would be out of order for a server that has answered the first."""
        forged = handshake(hello_verify_request(b"cookie"))
        done = Handshake("client").run(lambda at: [forged])
        assert done.is_connected
        assert len(done.sent) == 2


class TestDoubt:
    """What would end a handshake ends it after 2 s, if it is genuine."""

    @covers("SE43")
    @pytest.mark.parametrize("role", ROLES)
    def test_alert_of_a_peer_that_gives_up_ends_the_handshake_after_2_s(self, role: DtlsRole) -> None:
        session = DtlsSession(OURS, role, [FINGERPRINT])
        session.start(0.0)
        if role == "server":
            session.receive(other_handshake()[True][0], 0.9)
        session.receive(record(ALERT, b"\x02\x28"), 1.0)
        assert session.events() == []
        session.handle_timeout(2.9)
        assert session.events() == []
        session.handle_timeout(3.0)
        [event] = session.events()
        assert isinstance(event, Failed)
        assert "handshake failure" in event.reason

    @covers("SE43")
    def test_alert_before_the_client_hello_is_never_believed(self) -> None:
        """A client that has not started cannot give up."""
        session = DtlsSession(OURS, "server", [FINGERPRINT])
        session.start(0.0)
        for data in alerts():
            session.receive(data, 0.1)
        assert session.timeout_s() == 30.0

    @covers("SE43")
    def test_alert_is_not_believed_if_the_peer_continues(self) -> None:
        """A client that repeats its ClientHello has not given up."""
        session, peer = DtlsSession(OURS, "server", [FINGERPRINT]), OpenSslPeer(CONTEXT, "client")
        session.start(0.0)
        [hello] = peer.step([])
        session.receive(hello, 0.0)
        session.receive(record(ALERT, b"\x02\x28"), 0.1)
        session.receive(hello, 1.0)
        session.handle_timeout(2.5)
        assert session.events() == []
        for data in peer.step(session.to_send()):
            session.receive(data, 2.6)
        assert [type(event) for event in session.events()] == [Connected]

    @covers("SE43")
    def test_forged_certificate_does_not_shorten_the_wait_for_the_peers(self) -> None:
        """The peer's flight is lost at first and comes a second later."""
        session, peer = DtlsSession(OURS, "server", [FINGERPRINT]), OpenSslPeer(CONTEXT, "client")
        session.start(0.0)
        for data in peer.step([]):
            session.receive(data, 0.0)
        flight = peer.step(session.to_send())
        for data in messages_of_another_client():
            session.receive(data, 0.1)
        for data in flight:
            session.receive(data, 1.5)
        session.handle_timeout(2.2)
        assert [type(event) for event in session.events()] == [Connected]


class TestBounds:
    @covers("SE43")
    @pytest.mark.parametrize("role", ROLES)
    def test_flood_of_fragments_leaves_memory_bounded_and_the_handshake_whole(self, role: DtlsRole) -> None:
        kinds = (CLIENT_HELLO, *FLIGHT_OF_CLIENT, SERVER_HELLO, CERTIFICATE_REQUEST, SERVER_HELLO_DONE)
        flood = [
            fragment(kind, sequence, length, 1, bytes(50))
            for kind in kinds
            for sequence in range(6)
            for length in (100, 2000, 4000, 8000, 65_000, 1 << 20, (1 << 24) - 1)
        ]
        done = Handshake(role).run(at_stage(1, flood))
        assert done.is_connected

        session = DtlsSession(OURS, role, [FINGERPRINT])
        session.start(0.0)
        if role == "server":
            session.receive(other_handshake()[True][0], 0.0)
        for data in flood:
            session.receive(data, 0.0)
        kept = [part for messages in session._incoming._partial.values() for part in messages.values()]
        assert 0 < sum(len(body) + len(present) for body, present in kept) < 200_000

    @covers("SE43")
    def test_unanswered_flight_is_sent_nine_times(self) -> None:
        for role in ROLES:
            session = DtlsSession(OURS, role, [FINGERPRINT])
            session.start(0.0)
            if role == "server":
                session.receive(other_handshake()[True][0], 0.0)
            sent = len(session.to_send())
            while (now_s := session.timeout_s()) is not None:
                session.handle_timeout(now_s)
                sent += len(session.to_send())
            assert sent == 9

    @covers("SE43")
    def test_repeated_client_hello_is_no_amplifier(self) -> None:
        """10,000 copies in 30 s cause ten more flights."""
        session = DtlsSession(OURS, "server", [FINGERPRINT])
        session.start(0.0)
        for tick in range(10_000):
            session.receive(other_handshake()[True][0], tick * 0.003)
        assert len(session.to_send()) <= 11


class ServerWithCookie:
    """A plain OpenSSL server that asks for a cookie, as Pion does."""

    def __init__(self) -> None:
        context, self.fingerprint = openssl_context()
        context.set_cookie_generate_callback(lambda _connection: b"c" * 20)
        context.set_cookie_verify_callback(lambda _connection, _cookie: True)
        self._peer = OpenSslPeer(context, "server")
        self._is_listening = True

    def step(self, received: list[bytes]) -> list[bytes]:
        if self._is_listening:
            for data in received:
                self._peer.ssl.bio_write(data)
            try:
                self._peer.ssl.DTLSv1_listen()
                self._is_listening = False
            except SSL.Error:
                return self._peer.sent()
            return self._peer.step([])
        return self._peer.step(received)


def is_hello(data: bytes) -> bool:
    """Return whether a record contains a ClientHello."""
    return any(part.kind == CLIENT_HELLO for one in records(data) for part in fragments(one.fragment))


class TestCostOfSignatures:
    def test_wrongly_signed_variants_cost_three_verifications_per_datagram(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(dtls_flight, "public_key_of", lambda _der: None)
        leaf = b"the signaled certificate"
        verified: list[bytes] = []

        def is_signed(messages: Sequence[Message], _key: PublicKeyTypes) -> bool:
            verified.append(messages[-1].body)
            return False

        flight = PeerFlight(FLIGHT_OF_CLIENT, 1, lambda der: der == leaf, is_signed)
        costs = []
        for number in range(20):
            entries = len(leaf).to_bytes(3) + leaf + bytes((0, 0, 1, number))
            flight.add(Message(FLIGHT_OF_CLIENT[0], 1, len(entries).to_bytes(3) + entries))
            flight.add(Message(FLIGHT_OF_CLIENT[1], 2, bytes((1, number))))
            flight.add(Message(FLIGHT_OF_CLIENT[2], 3, bytes((4, 3, 0, 1, number))))
            before = len(verified)
            assert flight.authentic() is None
            assert verified[before][-1] == number, "the newest messages come first"
            costs.append(len(verified) - before)

        assert max(costs) == 3

    @pytest.mark.parametrize(
        ("bits", "exponent"),
        [pytest.param(8192, 65537, id="long key"), pytest.param(2048, (1 << 2000) + 1, id="long exponent")],
    )
    def test_rsa_keys_whose_verification_takes_long_are_refused(self, bits: int, exponent: int) -> None:
        class SlowKey:
            key_size = bits

            def public_numbers(self) -> rsa.RSAPublicNumbers:
                return rsa.RSAPublicNumbers(exponent, (1 << bits) - 1)

            def verify(self, *_arguments: object) -> None:
                raise AssertionError("verified")

        rsa.RSAPublicKey.register(SlowKey)
        signature = Message(FLIGHT_OF_CLIENT[2], 3, bytes((4, 1, 0, 1, 7)))

        assert not client_is_signed(b"", [signature], SlowKey())  # type: ignore[arg-type]


def test_helpers_cover_every_place_of_a_flight() -> None:
    """The other handshake has every message once, in order."""
    for from_client, kinds in ((True, (CLIENT_HELLO, *FLIGHT_OF_CLIENT)), (False, FLIGHT_OF_SERVER)):
        plain = [one for data in other_handshake()[from_client] for one in records(data)]
        found = [part for one in plain if one.content_type == HANDSHAKE for part in fragments(one.fragment)]
        assert [part.kind for part in found] == list(kinds)
        assert all(second.sequence == first.sequence + 1 for first, second in pairwise(found))
