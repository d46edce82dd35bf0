"""DTLS sessions against each other and against plain OpenSSL, over a link in virtual time."""

from __future__ import annotations

import datetime
import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import given, settings
from hypothesis import strategies as st
from OpenSSL import SSL

from bass_webrtc.errors import DtlsError
from bass_webrtc.rtc.dtls import (
    Certificate,
    Closed,
    Connected,
    DtlsEvent,
    DtlsRole,
    DtlsSession,
    Failed,
    SrtpKeys,
)
from bass_webrtc.rtc.dtls_certificate import fingerprint_of
from bass_webrtc.rtc.dtls_records import ALERT, HANDSHAKE, AlertReader, Record, pack, records
from bass_webrtc.rtc.sdp import Fingerprint

OURS = Certificate.generate()
THEIRS = Certificate.generate()
WRONG = Fingerprint("sha-256", ":".join(["00"] * 32))
WRONG_CERTIFICATE = "the peer's certificate is not the one that was signaled"
ROLES: tuple[DtlsRole, DtlsRole] = ("client", "server")


@dataclass
class Link:
    """Two sessions and a network between them that loses, doubles and reorders, in virtual time."""

    client: DtlsSession
    server: DtlsSession
    rng: random.Random = field(default_factory=lambda: random.Random(0))
    loss: float = 0.0
    jitter_s: float = 0.0
    duplicates: float = 0.0
    drop: Callable[[bool, int], bool] = lambda to_server, number: False
    """Drops a certain datagram: direction, and its number in that direction."""
    now_s: float = 0.0
    sent: dict[bool, list[bytes]] = field(default_factory=lambda: {False: [], True: []})
    events: dict[bool, list[DtlsEvent]] = field(default_factory=lambda: {False: [], True: []})
    _flying: list[tuple[float, int, bool, bytes]] = field(default_factory=list)
    _count: int = 0

    def run(self, until_s: float = 40.0) -> Link:
        """Goes on until nothing is on its way and nobody waits for anything."""
        if self.now_s == 0.0:
            self.server.start(0.0)
            self.client.start(0.0)
        self._collect()
        while (next_s := self._next_s()) is not None and next_s <= until_s:
            self.now_s = max(self.now_s, next_s)
            self._deliver()
            for session in (self.client, self.server):
                session.handle_timeout(self.now_s)
            self._collect()
        return self

    def _next_s(self) -> float | None:
        times = [self.client.timeout_s(), self.server.timeout_s(), *(flight[0] for flight in self._flying[:1])]
        return min((time for time in times if time is not None), default=None)

    def _deliver(self) -> None:
        while self._flying and self._flying[0][0] <= self.now_s:
            _, _, to_server, data = heapq.heappop(self._flying)
            (self.server if to_server else self.client).receive(data, self.now_s)

    def _collect(self) -> None:
        for to_server, session in ((True, self.client), (False, self.server)):
            self.events[to_server] += session.events()
            for data in session.to_send():
                self.sent[to_server].append(data)
                self._send(to_server, data)

    def _send(self, to_server: bool, data: bytes) -> None:
        if self.drop(to_server, len(self.sent[to_server]) - 1) or self.rng.random() < self.loss:
            return
        for _ in range(2 if self.rng.random() < self.duplicates else 1):
            self._count += 1
            arrival_s = self.now_s + 0.01 + self.rng.random() * self.jitter_s
            heapq.heappush(self._flying, (arrival_s, self._count, to_server, data))

    def keys(self) -> tuple[SrtpKeys, SrtpKeys]:
        """Both connected, once, and with keys that fit."""
        [client], [server] = self.events[True], self.events[False]
        assert isinstance(client, Connected)
        assert isinstance(server, Connected)
        assert client.keys.local_key == server.keys.remote_key
        assert client.keys.remote_key == server.keys.local_key
        assert client.keys.local_key != client.keys.remote_key
        assert client.keys.profile == server.keys.profile
        return client.keys, server.keys


def link(mtu: int = 1200, **network: object) -> Link:
    client = DtlsSession(OURS, "client", [THEIRS.fingerprint], mtu=mtu)
    server = DtlsSession(THEIRS, "server", [OURS.fingerprint], mtu=mtu)
    return Link(client, server, **network)  # type: ignore[arg-type]


class OpenSslPeer:
    """A peer that is nothing but OpenSSL."""

    def __init__(self, context: SSL.Context, role: DtlsRole, mtu: int = 1200) -> None:
        self.ssl = SSL.Connection(context)
        self.ssl.set_ciphertext_mtu(mtu)
        if role == "client":
            self.ssl.set_connect_state()
        else:
            self.ssl.set_accept_state()
        self.done = False
        self.error = ""

    def step(self, received: list[bytes]) -> list[bytes]:
        for data in received:
            self.ssl.bio_write(data)
        try:
            if self.done:
                self.ssl.recv(2000)
            else:
                self.ssl.do_handshake()
                self.done = True
        except SSL.WantReadError:
            pass
        except SSL.ZeroReturnError:
            self.error = "close_notify"
        except SSL.Error as error:
            self.error = error.args[0][-1][-1] if error.args[0] else self.error
        try:
            return pack([record.data for record in records(self.ssl.bio_read(65536))], 1200)
        except SSL.WantReadError:
            return []


def converse(session: DtlsSession, peer: OpenSslPeer, rounds: int = 12) -> list[DtlsEvent]:
    """Hands datagrams over until both are silent; a lossless link without time."""
    session.start(0.0)
    for _ in range(rounds):
        for data in peer.step(session.to_send()):
            session.receive(data, 0.0)
    return session.events()


def openssl_context(
    key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | None = None,
    *,
    profiles: bytes = b"SRTP_AES128_CM_SHA1_80",
    ciphers: bytes = b"ALL:eNULL:@SECLEVEL=0",
    with_certificate: bool = True,
) -> tuple[SSL.Context, Fingerprint]:
    key = key or ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "WebRTC")])
    now = datetime.datetime(2025, 1, 1)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now)
        .not_valid_after(now + datetime.timedelta(days=30))
        .sign(key, hashes.SHA256())
    )
    context = SSL.Context(SSL.DTLS_METHOD)
    context.set_cipher_list(ciphers)
    context.set_verify(SSL.VERIFY_PEER, lambda *_: True)
    context.set_options(SSL.OP_NO_QUERY_MTU)
    if with_certificate:
        context.use_certificate(certificate)
        context.use_privatekey(key)
    if profiles:
        context.set_tlsext_use_srtp(profiles)
    return context, fingerprint_of(certificate, "sha-256")


@cache
def rsa_key(bits: int) -> rsa.RSAPrivateKey:
    """Slow to make."""
    return rsa.generate_private_key(65537, bits)


def other(role: DtlsRole) -> DtlsRole:
    return "server" if role == "client" else "client"


def alerts_in(datagrams: list[bytes]) -> list[tuple[int, int]]:
    """Level and description of the plain-text alerts."""
    found = (record for data in datagrams for record in records(data))
    return [(r.fragment[0], r.fragment[1]) for r in found if r.content_type == ALERT and r.epoch == 0]


class TestHandshake:
    def test_two_of_ours_agree_on_gcm_keys(self) -> None:
        keys, _ = link().run().keys()
        assert keys.profile == 7
        assert len(keys.local_key) == len(keys.remote_key) == 16 + 12

    def test_is_over_after_four_flights_without_a_pause(self) -> None:
        connection = link().run()
        assert connection.now_s == pytest.approx(0.04)
        assert len(connection.sent[True]) == len(connection.sent[False]) == 2

    def test_keys_are_not_in_the_representation(self) -> None:
        keys, _ = link().run().keys()
        assert "key=" not in repr(keys)

    def test_datagrams_before_the_start_are_dropped(self) -> None:
        client, server = link().client, link().server
        client.start(0.0)
        [hello] = client.to_send()
        server.receive(hello, 0.0)
        assert server.to_send() == []
        assert server.timeout_s() is None
        server.start(0.0)
        server.receive(hello, 0.1)
        assert server.to_send() != []

    def test_certificates_differ_and_are_p256(self) -> None:
        """SE8: every call makes a new key pair."""
        assert OURS.fingerprint != THEIRS.fingerprint
        assert OURS.fingerprint.algorithm == "sha-256"
        assert len(OURS.fingerprint.value) == 32 * 3 - 1


class TestFingerprints:
    @pytest.mark.parametrize("role", ROLES)
    def test_a_stranger_gets_bad_certificate_and_no_keys_SE1(self, role: DtlsRole) -> None:
        session = DtlsSession(OURS, role, [WRONG])
        peer_role = other(role)
        peer = DtlsSession(THEIRS, peer_role, [OURS.fingerprint])
        connection = Link(session, peer) if role == "client" else Link(peer, session)
        connection.run()
        mine = role == "client"
        assert connection.events[mine] == [Failed(WRONG_CERTIFICATE)]
        assert alerts_in(connection.sent[mine]) == [(2, 42)]
        [theirs] = connection.events[not mine]
        assert isinstance(theirs, Failed)
        assert "bad certificate" in theirs.reason

    @pytest.mark.parametrize("role", ROLES)
    def test_no_keys_before_the_certificate_was_checked_SE2(self, role: DtlsRole) -> None:
        """Wherever the handshake is cut off, there are keys only when everything was said."""
        for cut in range(5):
            connection = link(drop=lambda to_server, number, cut=cut: number >= cut and to_server == (role == "server"))
            connection.run(until_s=5.0)
            mine = connection.events[role == "client"]
            assert all(isinstance(event, Connected) for event in mine)
            assert bool(mine) == (cut >= 2)

    def test_a_client_without_certificate_fails_SE2(self) -> None:
        context, fingerprint = openssl_context(with_certificate=False)
        session = DtlsSession(OURS, "server", [fingerprint])
        [event] = converse(session, peer := OpenSslPeer(context, "client"))
        assert isinstance(event, Failed)
        assert "did not return a certificate" in event.reason
        assert "handshake failure" in peer.error

    def test_the_certificate_is_checked_again_before_keys_are_handed_out_SE2(self) -> None:
        """Even if OpenSSL was content with it."""
        trusting = Certificate.generate()
        trusting.context, _ = openssl_context()
        context, _ = openssl_context()
        session = DtlsSession(trusting, "client", [WRONG])
        assert converse(session, OpenSslPeer(context, "server")) == [Failed(WRONG_CERTIFICATE)]

    def test_any_of_the_preferred_hash_may_match_SE3(self) -> None:
        """A peer with several certificates names them all."""
        client = DtlsSession(OURS, "client", [WRONG, THEIRS.fingerprint, WRONG])
        Link(client, DtlsSession(THEIRS, "server", [OURS.fingerprint])).run().keys()

    @pytest.mark.parametrize("algorithm", ["sha-256", "sha-384", "sha-512"])
    def test_each_strong_hash_works_SE3(self, algorithm: str) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        context, _ = openssl_context(key)
        certificate = OpenSslPeer(context, "server").ssl.get_certificate()
        assert certificate is not None
        fingerprint = fingerprint_of(certificate.to_cryptography(), algorithm)
        [event] = converse(DtlsSession(OURS, "client", [fingerprint]), OpenSslPeer(context, "server"))
        assert isinstance(event, Connected)

    def test_a_match_of_a_less_preferred_hash_is_not_enough_SE3(self) -> None:
        context, _ = openssl_context()
        certificate = OpenSslPeer(context, "server").ssl.get_certificate()
        assert certificate is not None
        less_preferred = fingerprint_of(certificate.to_cryptography(), "sha-512")
        session = DtlsSession(OURS, "client", [less_preferred, WRONG])
        assert converse(session, OpenSslPeer(context, "server")) == [Failed(WRONG_CERTIFICATE)]

    @pytest.mark.parametrize("algorithms", [(), ("md5",), ("sha-1", "md2")])
    def test_weak_hashes_or_none_are_refused_SE3(self, algorithms: tuple[str, ...]) -> None:
        with pytest.raises(DtlsError, match="cannot be used"):
            DtlsSession(OURS, "client", [Fingerprint(algorithm, "00:11") for algorithm in algorithms])


class TestParameters:
    @pytest.mark.parametrize("role", ROLES)
    @pytest.mark.parametrize(
        ("offered", "profile"),
        [
            (b"SRTP_AEAD_AES_128_GCM", 7),
            (b"SRTP_AES128_CM_SHA1_80", 1),
            (b"SRTP_AES128_CM_SHA1_80:SRTP_AES128_CM_SHA1_32", 1),
        ],
    )
    def test_agrees_on_the_only_common_profile_SE5(self, role: DtlsRole, offered: bytes, profile: int) -> None:
        context, fingerprint = openssl_context(profiles=offered)
        [event] = converse(DtlsSession(OURS, role, [fingerprint]), peer := OpenSslPeer(context, other(role)))
        assert isinstance(event, Connected)
        assert event.keys.profile == profile
        # OpenSSL's own export, in the order of RFC 5764, 4.2.
        salt = 12 if profile == 7 else 14
        block = peer.ssl.export_keying_material(b"EXTRACTOR-dtls_srtp", 2 * (16 + salt))
        client = block[:16] + block[32 : 32 + salt]
        server = block[16:32] + block[32 + salt :]
        assert event.keys.local_key == (client if role == "client" else server)
        assert event.keys.remote_key == (server if role == "client" else client)

    def test_prefers_gcm_when_the_peer_lists_it_last_SE5(self) -> None:
        """Chrome's order."""
        context, fingerprint = openssl_context(profiles=b"SRTP_AES128_CM_SHA1_80:SRTP_AEAD_AES_128_GCM")
        [event] = converse(DtlsSession(OURS, "server", [fingerprint]), OpenSslPeer(context, "client"))
        assert isinstance(event, Connected)
        assert event.keys.profile == 7

    @pytest.mark.parametrize("role", ROLES)
    @pytest.mark.parametrize("offered", [b"", b"SRTP_AES128_CM_SHA1_32", b"SRTP_AEAD_AES_256_GCM"])
    def test_fails_without_a_common_profile_SE5(self, role: DtlsRole, offered: bytes) -> None:
        context, fingerprint = openssl_context(profiles=offered)
        [event] = converse(DtlsSession(OURS, role, [fingerprint]), peer := OpenSslPeer(context, other(role)))
        assert event == Failed("the peer offers no SRTP protection profile that we support")
        assert peer.error == "close_notify"

    @pytest.mark.parametrize("role", ROLES)
    def test_uses_the_cipher_every_peer_has_SE4(self, role: DtlsRole) -> None:
        context, fingerprint = openssl_context()
        converse(DtlsSession(OURS, role, [fingerprint]), peer := OpenSslPeer(context, other(role)))
        assert peer.ssl.get_cipher_name() == "ECDHE-ECDSA-AES128-GCM-SHA256"
        assert peer.ssl.get_protocol_version_name() == "DTLSv1.2"

    @pytest.mark.parametrize("role", ROLES)
    def test_exchanges_keys_over_p256_SE4(self, role: DtlsRole) -> None:
        """The curve that every peer must have (RFC 8827, 6.5), with a peer that has no other."""
        context, fingerprint = openssl_context()
        context.set_tmp_ecdh(ec.SECP256R1())
        [event] = converse(DtlsSession(OURS, role, [fingerprint]), peer := OpenSslPeer(context, other(role)))
        assert isinstance(event, Connected)
        assert peer.ssl.get_group_name() == "secp256r1"

    @pytest.mark.parametrize("role", ROLES)
    @pytest.mark.parametrize("ciphers", [b"eNULL:@SECLEVEL=0", b"ECDHE-ECDSA-AES128-SHA", b"aNULL:@SECLEVEL=0"])
    def test_refuses_weaker_ciphers_SE4(self, role: DtlsRole, ciphers: bytes) -> None:
        context, fingerprint = openssl_context(ciphers=ciphers)
        [event] = converse(DtlsSession(OURS, role, [fingerprint]), OpenSslPeer(context, other(role)))
        assert isinstance(event, Failed)

    def test_refuses_dtls_1_0_SE4(self) -> None:
        client, server = link().client, link().server
        client.start(0.0)
        [hello] = client.to_send()
        assert hello[25:27] == b"\xfe\xfd"
        server.start(0.0)
        server.receive(hello[:25] + b"\xfe\xff" + hello[27:], 0.0)
        [event] = server.events()
        assert isinstance(event, Failed)
        assert alerts_in(server.to_send()) == [(2, 70)]  # protocol_version

    @pytest.mark.parametrize("role", ROLES)
    @pytest.mark.parametrize("bits", [2048, 4096])
    def test_takes_peers_with_rsa_certificates_SE6(self, role: DtlsRole, bits: int) -> None:
        context, fingerprint = openssl_context(rsa_key(bits))
        [event] = converse(DtlsSession(OURS, role, [fingerprint]), OpenSslPeer(context, other(role)))
        assert isinstance(event, Connected)


class TestNetwork:
    """SE7."""

    @pytest.mark.parametrize("mtu", [1200, 300])
    @pytest.mark.parametrize("seed", range(12))
    def test_completes_over_a_link_that_loses_doubles_and_reorders(self, seed: int, mtu: int) -> None:
        connection = link(mtu, rng=random.Random(seed), loss=0.3, jitter_s=0.2, duplicates=0.2)
        connection.run().keys()
        assert connection.now_s < 30.0

    @pytest.mark.parametrize("to_server", [True, False])
    @pytest.mark.parametrize("number", [0, 1])
    def test_one_lost_flight_costs_100_ms(self, to_server: bool, number: int) -> None:
        """Also the last one, which only the peer's repetition tells us to repeat."""
        connection = link(drop=lambda direction, count: (direction, count) == (to_server, number))
        connection.run().keys()
        assert 0.1 < connection.now_s < 0.2

    def test_pauses_between_repetitions_grow(self) -> None:
        client = link().client
        client.start(0.0)
        times: list[float] = []
        while (now_s := client.timeout_s()) is not None and len(times) < 7:
            times.append(round(now_s, 6))
            client.handle_timeout(now_s)
        assert times == [0.1, 0.3, 0.7, 1.1, 1.9, 2.7, 3.5]
        assert len({data[:5] + data[11:] for data in client.to_send()}) == 1

    def test_record_numbers_are_never_used_twice(self) -> None:
        """Else the peer would take a repetition for a replay: "retransmitted with a new record sequence number"."""
        connection = link(rng=random.Random(3), loss=0.4).run()
        connection.keys()
        assert sum(map(len, connection.sent.values())) > 4
        for datagrams in connection.sent.values():
            plain = [record for data in datagrams for record in records(data) if record.epoch == 0]
            numbers = [record.data[5:11] for record in plain]
            assert numbers == sorted(set(numbers))

    def test_openssl_bears_a_flight_that_comes_again(self) -> None:
        """What the repetition relies on: more than one copy does no harm."""
        for role in ROLES:
            context, fingerprint = openssl_context()
            session, peer = DtlsSession(OURS, role, [fingerprint]), OpenSslPeer(context, other(role))
            session.start(0.0)
            for _ in range(6):
                for data in peer.step([data for data in session.to_send() for _ in range(3)]):
                    session.receive(data, 0.0)
            assert not peer.error
            [event] = session.events()
            assert isinstance(event, Connected)

    def test_gives_up_after_the_timeout(self) -> None:
        connection = link(drop=lambda to_server, number: not to_server)
        connection.run()
        assert connection.now_s == 30.0
        assert connection.events[True] == [Failed("the handshake timed out")]
        assert connection.events[False] == [Failed("the handshake timed out")]
        assert connection.client.timeout_s() is None
        assert connection.client.to_send() == []

    @pytest.mark.parametrize("mtu", [256, 300, 600, 1200])
    def test_no_datagram_is_longer_than_the_mtu(self, mtu: int) -> None:
        connection = link(mtu).run()
        connection.keys()
        sent = [len(data) for datagrams in connection.sent.values() for data in datagrams]
        assert max(sent) <= mtu
        assert mtu > 600 or len(sent) > 4

    @pytest.mark.parametrize("role", ROLES)
    def test_takes_flights_in_small_fragments(self, role: DtlsRole) -> None:
        """An RSA certificate of 4096 bits in records of 256 bytes, each in a datagram of its own."""
        context, fingerprint = openssl_context(rsa_key(4096))
        session, peer = DtlsSession(OURS, role, [fingerprint]), OpenSslPeer(context, other(role), mtu=256)
        session.start(0.0)
        seen = 0
        for _ in range(12):
            for data in peer.step(session.to_send()):
                for record in records(data):
                    seen += 1
                    session.receive(record.data, 0.0)
        assert seen > 8
        [event] = session.events()
        assert isinstance(event, Connected)

    def test_a_client_does_not_answer_the_last_flight_when_it_comes_again(self) -> None:
        """Or the two would repeat themselves for ever."""
        connection = link().run()
        connection.keys()
        connection.client.receive(connection.sent[False][-1], 1.0)
        assert connection.client.to_send() == []

    def test_the_last_flight_is_not_an_amplifier(self) -> None:
        """Records that look like a handshake make the server repeat itself at most every 50 ms, and not for ever."""
        connection = link().run()
        server = connection.server
        asked = connection.sent[True][-1]
        repeated = 0
        for tick in range(6_000):
            server.receive(asked, 0.1 + tick / 100)
            repeated += len(server.to_send())
        assert 300 < repeated <= 600


class TestClosing:
    def test_close_tells_the_peer_which_answers_WS54(self) -> None:
        connection = link().run()
        connection.keys()
        connection.client.close()
        connection.run()
        assert connection.events[False][1:] == [Closed()]
        assert connection.events[True][1:] == []
        assert len(connection.sent[True]) == len(connection.sent[False]) == 3

    @pytest.mark.parametrize("role", ROLES)
    def test_openssl_understands_our_close_and_we_understand_openssls_WS55(self, role: DtlsRole) -> None:
        for closing in ("we", "they"):
            context, fingerprint = openssl_context()
            session, peer = DtlsSession(OURS, role, [fingerprint]), OpenSslPeer(context, other(role))
            converse(session, peer)
            if closing == "we":
                session.close()
            else:
                peer.ssl.shutdown()
            for _ in range(3):
                for data in peer.step(session.to_send()):
                    session.receive(data, 1.0)
            assert peer.error == "close_notify"
            assert session.events() == ([] if closing == "we" else [Closed()])

    def test_close_twice_says_it_once(self) -> None:
        connection = link().run()
        connection.client.close()
        connection.client.close()
        assert len(connection.client.to_send()) == 1

    def test_close_before_the_handshake_is_done_is_silent(self) -> None:
        connection = link()
        connection.client.start(0.0)
        connection.client.to_send()
        connection.client.close()
        connection.client.handle_timeout(50.0)
        connection.client.start(50.0)
        assert connection.client.to_send() == []
        assert connection.client.events() == []
        assert connection.client.timeout_s() is None

    def test_close_notify_in_the_datagram_of_the_last_flight_is_seen(self) -> None:
        connection = link(drop=lambda to_server, number: not to_server and number == 1)
        connection.run(until_s=0.05)
        last_flight = connection.sent[False][-1]
        connection.server.close()
        [close_notify] = connection.server.to_send()
        connection.client.receive(last_flight + close_notify, 0.06)
        assert [type(event) for event in connection.client.events()] == [Connected, Closed]

    def test_forged_alerts_end_nothing_SE22(self) -> None:
        connection = link().run()
        connection.client.close()
        [genuine] = connection.client.to_send()
        forged = [genuine[:at] + bytes((genuine[at] ^ 1,)) + genuine[at + 1 :] for at in range(len(genuine))]
        plain = b"\x15\xfe\xfd" + bytes(8) + b"\x00\x02\x02\x28"
        for data in [*forged, plain, genuine[:-1], genuine[:13]]:
            connection.server.receive(data, 1.0)
        assert connection.server.events() == []
        connection.server.receive(genuine, 1.0)
        assert connection.server.events() == [Closed()]

    @pytest.mark.parametrize("role", ROLES)
    def test_renegotiation_is_refused_SE7(self, role: DtlsRole) -> None:
        """Nothing is left that could: neither an answer nor an event, and the session goes on."""
        context, fingerprint = openssl_context()
        session, peer = DtlsSession(OURS, role, [fingerprint]), OpenSslPeer(context, other(role))
        converse(session, peer)
        peer.ssl.renegotiate()
        peer.done = False
        asked = peer.step([])
        assert [record.content_type for data in asked for record in records(data)] == [HANDSHAKE]
        for data in asked:
            session.receive(data, 60.0)
        assert session.to_send() == []
        assert session.events() == []


class TestJunk:
    JUNK = (
        b"",
        b"\x16",
        b"\x16\xfe\xfd",
        bytes(65507),
        b"\x16\xfe\xfd" + bytes(8) + b"\xff\xff" + bytes(100),
        b"\x80\x60" + bytes(40),
        b"\x17\xfe\xfd" + bytes(8) + b"\x00\x04abcd",
    )

    def test_harms_nobody_before_during_and_after_the_handshake_SE40(self) -> None:
        connection = link()
        server = connection.server
        for data in self.JUNK:
            server.receive(data, 0.0)
        server.start(0.0)
        for data in self.JUNK:
            server.receive(data, 0.0)
        connection.client.start(0.0)
        for data in connection.client.to_send():
            server.receive(data, 0.0)
        for data in self.JUNK:
            server.receive(data, 0.0)
        connection.now_s = 0.001
        connection.run().keys()
        for data in self.JUNK:
            server.receive(data, 1.0)
        assert server.events() == []
        assert server.to_send() == []

    def test_a_second_client_hello_changes_nothing_SE41(self) -> None:
        connection = link()
        server = connection.server
        server.start(0.0)
        connection.client.start(0.0)
        for data in connection.client.to_send():
            server.receive(data, 0.0)
        stranger = link().client
        stranger.start(0.0)
        [hello] = stranger.to_send()
        server.receive(hello, 0.0)
        connection.now_s = 0.001
        connection.run().keys()
        server.receive(hello, 1.0)
        assert server.events() == []

    @settings(max_examples=60, deadline=None)
    @given(st.lists(st.binary(max_size=300), max_size=4), st.booleans())
    def test_any_bytes_raise_nothing_SE70(self, datagrams: list[bytes], as_client: bool) -> None:
        session = link().client if as_client else link().server
        session.start(0.0)
        for data in datagrams:
            session.receive(data, 0.0)
        session.to_send()

    @settings(max_examples=60, deadline=None)
    @given(st.sampled_from([20, 21, 22, 23]), st.integers(0, 1), st.binary(max_size=200), st.booleans())
    def test_any_record_raises_nothing_SE70(self, kind: int, epoch: int, fragment: bytes, as_client: bool) -> None:
        """A peer may break its own handshake; it gets an event, never an exception."""
        session = link().client if as_client else link().server
        session.start(0.0)
        header = bytes((kind, 0xFE, 0xFD, 0, epoch)) + bytes(6) + len(fragment).to_bytes(2)
        session.receive(header + fragment, 0.0)
        assert all(isinstance(event, Failed) for event in session.events())


class TestRecords:
    @given(st.binary(max_size=400))
    def test_any_bytes_are_taken_apart_SE70(self, data: bytes) -> None:
        taken = b"".join(record.data for record in records(data))
        assert data.startswith(taken)

    @given(st.lists(st.tuples(st.sampled_from([20, 21, 22, 23]), st.binary(max_size=60)), max_size=6))
    def test_records_come_out_as_they_were_put_in(self, parts: list[tuple[int, bytes]]) -> None:
        made = [bytes((kind, 0xFE, 0xFD)) + bytes(8) + len(body).to_bytes(2) + body for kind, body in parts]
        found = list(records(b"".join(made)))
        assert [(record.content_type, record.fragment) for record in found] == parts

    @given(st.lists(st.integers(1, 100), max_size=30))
    def test_packing_keeps_order_and_mtu(self, sizes: list[int]) -> None:
        parts = [bytes((number,)) * size for number, size in enumerate(sizes)]
        packed = pack(parts, 100)
        assert b"".join(packed) == b"".join(parts)
        assert all(len(datagram) <= 100 for datagram in packed)

    @given(st.binary(max_size=100), st.integers(0, 2))
    def test_the_alert_reader_believes_nobody_without_the_key_SE70(self, fragment: bytes, epoch: int) -> None:
        reader = AlertReader(bytes(48), bytes(32), bytes(32), from_client=True)
        header = b"\x15\xfe\xfd" + epoch.to_bytes(2) + bytes(6) + len(fragment).to_bytes(2)
        assert not reader.ends_session(Record(ALERT, epoch, fragment, header + fragment))


def test_openssl_is_let_go_after_the_handshake() -> None:
    """Its memory is most of what a peer costs."""
    before = len(SSL.Connection._reverse_mapping)
    connection = link().run()
    connection.keys()
    assert len(SSL.Connection._reverse_mapping) == before
