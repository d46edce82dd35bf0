"""The DTLS handshake: who is believed, what is agreed on, and networks that lose it."""

from __future__ import annotations

import random

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
    converse,
    link,
    openssl_context,
    other,
    rsa_key,
)
from OpenSSL import SSL

from bass_webrtc.errors import DtlsError
from bass_webrtc.rtc.dtls import Certificate, Connected, DtlsRole, DtlsSession, Failed
from bass_webrtc.rtc.dtls_certificate import fingerprint_of
from bass_webrtc.rtc.dtls_records import records
from bass_webrtc.rtc.sdp import Fingerprint
from support.conformance import covers


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

    @covers("SE8")
    def test_certificates_differ_and_are_p256(self) -> None:
        """Every call makes a new key pair."""
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
        with pytest.raises(DtlsError, match="no usable fingerprint"):
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
        assert event == Failed("no common SRTP protection profile; expected AEAD_AES_128_GCM or AES128_CM_SHA1_80")
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


def test_openssl_is_let_go_after_the_handshake() -> None:
    """Its memory is most of what a peer costs."""
    before = len(SSL.Connection._reverse_mapping)
    connection = link().run()
    connection.keys()
    assert len(SSL.Connection._reverse_mapping) == before
