"""The DTLS handshake: certificate verification, negotiated parameters, lossy networks, memory."""

from __future__ import annotations

import random
import weakref

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from dtls_ends import (
    OURS,
    ROLES,
    THEIRS,
    WRONG,
    WRONG_CERTIFICATE,
    Link,
    OpenSslPeer,
    alerts_in,
    exchange,
    link,
    openssl_context,
    opposite,
    rsa_key,
)
from OpenSSL import SSL

from bass_webrtc.errors import DtlsError
from bass_webrtc.rtc.dtls import Certificate, Connected, DtlsRole, DtlsSession, Failed
from bass_webrtc.rtc.dtls_certificate import Verifier, fingerprint_of
from bass_webrtc.rtc.dtls_records import records
from bass_webrtc.rtc.sdp import Fingerprint
from support.conformance import covers
from support.retained import retained_bytes


class TestHandshake:
    def test_two_sessions_agree_on_gcm_keys(self) -> None:
        keys, _ = link().run().keys()
        assert keys.profile == 7
        assert len(keys.local_key) == len(keys.remote_key) == 16 + 12

    def test_completes_after_four_flights_without_retransmission_delay(self) -> None:
        connection = link().run()
        assert connection.now_s == pytest.approx(0.04)
        assert len(connection.sent[True]) == len(connection.sent[False]) == 2

    def test_repr_of_keys_hides_them(self) -> None:
        keys, _ = link().run().keys()
        assert "key=" not in repr(keys)

    def test_datagrams_before_start_are_dropped(self) -> None:
        client, server = link().client, link().server
        client.start(0.0)
        [hello] = client.to_send()
        server.receive(hello, 0.0)
        assert server.to_send() == []
        assert server.timeout_s() is None
        server.start(0.0)
        server.receive(hello, 0.1)
        assert server.to_send() != []

    @covers("SE8")
    def test_certificates_differ_and_are_p256(self) -> None:
        """Each call generates a new key pair."""
        assert OURS.fingerprint != THEIRS.fingerprint
        assert OURS.fingerprint.algorithm == "sha-256"
        assert len(OURS.fingerprint.value) == 32 * 3 - 1


class TestFingerprints:
    @covers("SE1")
    @pytest.mark.parametrize("role", ROLES)
    def test_peer_with_wrong_certificate_gets_bad_certificate_alert_and_no_keys(self, role: DtlsRole) -> None:
        session = DtlsSession(OURS, role, [WRONG])
        peer_role = opposite(role)
        peer = DtlsSession(THEIRS, peer_role, [OURS.fingerprint])
        connection = Link(session, peer) if role == "client" else Link(peer, session)
        connection.run()
        mine = role == "client"
        assert connection.events[mine] == [Failed(WRONG_CERTIFICATE)]
        assert alerts_in(connection.sent[mine]) == [(2, 42)]
        [theirs] = connection.events[not mine]
        assert isinstance(theirs, Failed)
        assert "bad certificate" in theirs.reason

    @covers("SE2")
    @pytest.mark.parametrize("role", ROLES)
    def test_no_keys_before_certificate_is_verified(self, role: DtlsRole) -> None:
        """Wherever the link fails, keys exist only if the handshake completed."""
        for cut in range(5):
            connection = link(drop=lambda to_server, number, cut=cut: number >= cut and to_server == (role == "server"))
            connection.run(until_s=5.0)
            mine = connection.events[role == "client"]
            assert all(isinstance(event, Connected) for event in mine)
            assert bool(mine) == (cut >= 2)

    @covers("SE2")
    def test_client_without_certificate_fails(self) -> None:
        context, fingerprint = openssl_context(with_certificate=False)
        session = DtlsSession(OURS, "server", [fingerprint])
        [event] = exchange(session, peer := OpenSslPeer(context, "client"))
        assert isinstance(event, Failed)
        assert "did not return a certificate" in event.reason
        assert "handshake failure" in peer.error

    @covers("SE2")
    def test_certificate_is_verified_again_before_keys_are_exported(self) -> None:
        """Even if OpenSSL accepted it."""

        class TrustingCertificate(Certificate):
            def new_connection(self, verifier: Verifier) -> SSL.Connection:
                connection = super().new_connection(verifier)
                connection.set_verify(SSL.VERIFY_PEER, lambda *_: True)
                return connection

        context, _ = openssl_context()
        session = DtlsSession(TrustingCertificate.generate(), "client", [WRONG])
        assert exchange(session, OpenSslPeer(context, "server")) == [Failed(WRONG_CERTIFICATE)]

    @covers("SE3")
    def test_any_fingerprint_of_preferred_hash_may_match(self) -> None:
        """A peer with several certificates signals a fingerprint for each."""
        client = DtlsSession(OURS, "client", [WRONG, THEIRS.fingerprint, WRONG])
        Link(client, DtlsSession(THEIRS, "server", [OURS.fingerprint])).run().keys()

    @covers("SE3")
    @pytest.mark.parametrize("algorithm", ["sha-256", "sha-384", "sha-512"])
    def test_each_accepted_hash_works(self, algorithm: str) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        context, _ = openssl_context(key)
        certificate = OpenSslPeer(context, "server").ssl.get_certificate()
        assert certificate is not None
        fingerprint = fingerprint_of(certificate.to_cryptography(), algorithm)
        [event] = exchange(DtlsSession(OURS, "client", [fingerprint]), OpenSslPeer(context, "server"))
        assert isinstance(event, Connected)

    @covers("SE3")
    def test_match_of_less_preferred_hash_is_not_sufficient(self) -> None:
        context, _ = openssl_context()
        certificate = OpenSslPeer(context, "server").ssl.get_certificate()
        assert certificate is not None
        less_preferred = fingerprint_of(certificate.to_cryptography(), "sha-512")
        session = DtlsSession(OURS, "client", [less_preferred, WRONG])
        assert exchange(session, OpenSslPeer(context, "server")) == [Failed(WRONG_CERTIFICATE)]

    @covers("SE3")
    @pytest.mark.parametrize("algorithms", [(), ("md5",), ("sha-1", "md2")])
    def test_weak_or_missing_hashes_are_refused(self, algorithms: tuple[str, ...]) -> None:
        with pytest.raises(DtlsError, match="no usable fingerprint"):
            DtlsSession(OURS, "client", [Fingerprint(algorithm, "00:11") for algorithm in algorithms])


class TestParameters:
    @covers("SE5")
    @pytest.mark.parametrize("role", ROLES)
    @pytest.mark.parametrize(
        ("offered", "profile"),
        [
            (b"SRTP_AEAD_AES_128_GCM", 7),
            (b"SRTP_AES128_CM_SHA1_80", 1),
            (b"SRTP_AES128_CM_SHA1_80:SRTP_AES128_CM_SHA1_32", 1),
        ],
    )
    def test_agrees_on_only_common_profile(self, role: DtlsRole, offered: bytes, profile: int) -> None:
        context, fingerprint = openssl_context(profiles=offered)
        [event] = exchange(DtlsSession(OURS, role, [fingerprint]), peer := OpenSslPeer(context, opposite(role)))
        assert isinstance(event, Connected)
        assert event.keys.profile == profile
        # Keys exported by OpenSSL, in the order of RFC 5764, 4.2.
        salt = 12 if profile == 7 else 14
        block = peer.ssl.export_keying_material(b"EXTRACTOR-dtls_srtp", 2 * (16 + salt))
        client = block[:16] + block[32 : 32 + salt]
        server = block[16:32] + block[32 + salt :]
        assert event.keys.local_key == (client if role == "client" else server)
        assert event.keys.remote_key == (server if role == "client" else client)

    @covers("SE5")
    def test_prefers_gcm_when_peer_lists_it_last(self) -> None:
        """Chrome lists it last."""
        context, fingerprint = openssl_context(profiles=b"SRTP_AES128_CM_SHA1_80:SRTP_AEAD_AES_128_GCM")
        [event] = exchange(DtlsSession(OURS, "server", [fingerprint]), OpenSslPeer(context, "client"))
        assert isinstance(event, Connected)
        assert event.keys.profile == 7

    @covers("SE5")
    @pytest.mark.parametrize("role", ROLES)
    @pytest.mark.parametrize("offered", [b"", b"SRTP_AES128_CM_SHA1_32", b"SRTP_AEAD_AES_256_GCM"])
    def test_fails_without_common_profile(self, role: DtlsRole, offered: bytes) -> None:
        context, fingerprint = openssl_context(profiles=offered)
        [event] = exchange(DtlsSession(OURS, role, [fingerprint]), peer := OpenSslPeer(context, opposite(role)))
        assert event == Failed("no common SRTP protection profile; expected AEAD_AES_128_GCM or AES128_CM_SHA1_80")
        assert peer.error == "close_notify"

    @covers("SE4")
    @pytest.mark.parametrize("role", ROLES)
    def test_uses_mandatory_cipher(self, role: DtlsRole) -> None:
        context, fingerprint = openssl_context()
        exchange(DtlsSession(OURS, role, [fingerprint]), peer := OpenSslPeer(context, opposite(role)))
        assert peer.ssl.get_cipher_name() == "ECDHE-ECDSA-AES128-GCM-SHA256"
        assert peer.ssl.get_protocol_version_name() == "DTLSv1.2"

    @covers("SE4")
    @pytest.mark.parametrize("role", ROLES)
    def test_exchanges_keys_over_p256(self, role: DtlsRole) -> None:
        """P-256 is mandatory (RFC 8827, 6.5); this peer supports no other curve."""
        context, fingerprint = openssl_context()
        context.set_tmp_ecdh(ec.SECP256R1())
        [event] = exchange(DtlsSession(OURS, role, [fingerprint]), peer := OpenSslPeer(context, opposite(role)))
        assert isinstance(event, Connected)
        assert peer.ssl.get_group_name() == "secp256r1"

    @covers("SE4")
    @pytest.mark.parametrize("role", ROLES)
    @pytest.mark.parametrize("ciphers", [b"eNULL:@SECLEVEL=0", b"ECDHE-ECDSA-AES128-SHA", b"aNULL:@SECLEVEL=0"])
    def test_refuses_weaker_ciphers(self, role: DtlsRole, ciphers: bytes) -> None:
        context, fingerprint = openssl_context(ciphers=ciphers)
        [event] = exchange(DtlsSession(OURS, role, [fingerprint]), OpenSslPeer(context, opposite(role)))
        assert isinstance(event, Failed)

    @covers("SE4")
    def test_refuses_dtls_1_0(self) -> None:
        client, server = link().client, link().server
        client.start(0.0)
        [hello] = client.to_send()
        assert hello[25:27] == b"\xfe\xfd"
        server.start(0.0)
        server.receive(hello[:25] + b"\xfe\xff" + hello[27:], 0.0)
        server.handle_timeout(2.0)
        [event] = server.events()
        assert isinstance(event, Failed)
        assert alerts_in(server.to_send()) == [(2, 70)]  # protocol_version

    @covers("SE6")
    @pytest.mark.parametrize("role", ROLES)
    @pytest.mark.parametrize("bits", [2048, 4096])
    def test_accepts_peers_with_rsa_certificates(self, role: DtlsRole, bits: int) -> None:
        context, fingerprint = openssl_context(rsa_key(bits))
        [event] = exchange(DtlsSession(OURS, role, [fingerprint]), OpenSslPeer(context, opposite(role)))
        assert isinstance(event, Connected)


class TestNetwork:
    @covers("SE7")
    @pytest.mark.parametrize("mtu", [1200, 300])
    @pytest.mark.parametrize("seed", range(12))
    def test_completes_over_link_that_loses_duplicates_and_reorders(self, seed: int, mtu: int) -> None:
        connection = link(mtu, rng=random.Random(seed), loss=0.3, jitter_s=0.2, duplicates=0.2)
        connection.run().keys()
        assert connection.now_s < 30.0

    @covers("SE7")
    @pytest.mark.parametrize("to_server", [True, False])
    @pytest.mark.parametrize("number", [0, 1])
    def test_one_lost_flight_costs_100_ms(self, to_server: bool, number: int) -> None:
        """Also the last flight, which we retransmit only when the peer retransmits its own."""
        connection = link(drop=lambda direction, count: (direction, count) == (to_server, number))
        connection.run().keys()
        assert 0.1 < connection.now_s < 0.2

    @covers("SE7")
    def test_retransmission_intervals_grow(self) -> None:
        client = link().client
        client.start(0.0)
        times: list[float] = []
        while (now_s := client.timeout_s()) is not None and len(times) < 7:
            times.append(round(now_s, 6))
            client.handle_timeout(now_s)
        assert times == [0.1, 0.3, 0.7, 1.5, 3.1, 6.3, 12.7]
        assert len({data[:5] + data[11:] for data in client.to_send()}) == 1

    @covers("SE7")
    def test_record_numbers_are_never_reused(self) -> None:
        """Otherwise the peer would drop a retransmission as a replay (RFC 6347, 4.2.2)."""
        connection = link(rng=random.Random(3), loss=0.4).run()
        connection.keys()
        assert sum(map(len, connection.sent.values())) > 4
        for datagrams in connection.sent.values():
            plain = [record for data in datagrams for record in records(data) if record.epoch == 0]
            numbers = [record.data[5:11] for record in plain]
            assert numbers == sorted(set(numbers))

    @covers("SE7")
    def test_openssl_tolerates_repeated_flights(self) -> None:
        """Our retransmissions rely on this: several copies of a flight do no harm."""
        for role in ROLES:
            context, fingerprint = openssl_context()
            session, peer = DtlsSession(OURS, role, [fingerprint]), OpenSslPeer(context, opposite(role))
            session.start(0.0)
            for _ in range(6):
                for data in peer.step([data for data in session.to_send() for _ in range(3)]):
                    session.receive(data, 0.0)
            assert not peer.error
            [event] = session.events()
            assert isinstance(event, Connected)

    @covers("SE7")
    def test_gives_up_after_timeout(self) -> None:
        connection = link(drop=lambda to_server, number: not to_server)
        connection.run()
        assert connection.now_s == 30.0
        assert connection.events[True] == [Failed("the handshake timed out after 30 s")]
        assert connection.events[False] == [Failed("the handshake timed out after 30 s")]
        assert connection.client.timeout_s() is None
        assert connection.client.to_send() == []

    @covers("SE7")
    @pytest.mark.parametrize("mtu", [256, 300, 600, 1200])
    def test_no_datagram_exceeds_mtu(self, mtu: int) -> None:
        connection = link(mtu).run()
        connection.keys()
        sent = [len(data) for datagrams in connection.sent.values() for data in datagrams]
        assert max(sent) <= mtu
        assert mtu > 600 or len(sent) > 4

    @covers("SE7")
    @pytest.mark.parametrize("role", ROLES)
    def test_accepts_flights_in_small_fragments(self, role: DtlsRole) -> None:
        """A 4096-bit RSA certificate in records of 256 bytes, each in its own datagram."""
        context, fingerprint = openssl_context(rsa_key(4096))
        session, peer = DtlsSession(OURS, role, [fingerprint]), OpenSslPeer(context, opposite(role), mtu=256)
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

    @covers("SE7")
    def test_client_does_not_answer_repeated_last_flight(self) -> None:
        """Otherwise the two ends would retransmit forever."""
        connection = link().run()
        connection.keys()
        connection.client.receive(connection.sent[False][-1], 1.0)
        assert connection.client.to_send() == []

    @covers("SE7")
    def test_last_flight_is_not_an_amplifier(self) -> None:
        """A replayed Finished triggers ten retransmissions, at growing intervals, and a forged one triggers none."""
        connection = link().run()
        server = connection.server
        last_client_flight = connection.sent[True][-1]
        forged = last_client_flight[:-1] + bytes((last_client_flight[-1] ^ 1,))
        for tick in range(6_000):
            server.receive(forged, 0.1 + tick / 100)
        assert server.to_send() == []
        for tick in range(6_000):
            server.receive(last_client_flight, 0.1 + tick / 100)
        assert 5 <= len(server.to_send()) <= 10


def test_openssl_connections_are_freed_after_handshake() -> None:
    """An OpenSSL connection takes most of the memory of a peer, so it must go without waiting for the collector."""
    connection = link()
    ends = [connection.client._connection, connection.server._connection]
    openssl_connections = [weakref.ref(end) for end in ends if end is not None]
    assert len(openssl_connections) == 2
    del ends
    connection.run().keys()
    assert [reference() for reference in openssl_connections] == [None, None]


def test_client_keeps_neither_flight_after_handshake() -> None:
    """Both together have about 1.7 kB; a server must be able to repeat its last one."""
    connection = link()
    connection.run().keys()
    assert retained_bytes(connection.client) < 2000
