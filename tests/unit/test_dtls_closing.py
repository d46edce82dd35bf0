"""Closing a DTLS session: close_notify, fatal alerts, and messages that must not close it."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from dtls_ends import OURS, ROLES, OpenSslPeer, exchange, link, openssl_context, opposite

from bass_webrtc.rtc.dtls import Closed, Connected, DtlsRole, DtlsSession
from bass_webrtc.rtc.dtls_records import HANDSHAKE, RecordReader, records
from support.conformance import covers


def sealed_alert(reader: RecordReader, level: int, description: int, *, number: int) -> bytes:
    """Return an alert encrypted with the session key, as the peer would send it (RFC 5288, 3; RFC 6347, 4.1.2.1)."""
    epoch_and_number = (1).to_bytes(2) + number.to_bytes(6)
    covered = epoch_and_number + b"\x15\xfe\xfd" + (2).to_bytes(2)
    sealed = AESGCM(reader._key).encrypt(reader._salt + epoch_and_number, bytes((level, description)), covered)
    fragment = epoch_and_number + sealed
    return b"\x15\xfe\xfd" + epoch_and_number + len(fragment).to_bytes(2) + fragment


class TestClosing:
    @covers("WS54")
    def test_close_notifies_peer_which_answers(self) -> None:
        connection = link().run()
        connection.keys()
        connection.client.close()
        connection.run()
        assert connection.events[False][1:] == [Closed()]
        assert connection.events[True][1:] == []
        assert len(connection.sent[True]) == len(connection.sent[False]) == 3

    @covers("WS55")
    @pytest.mark.parametrize("role", ROLES)
    def test_close_notify_works_with_openssl_in_both_directions(self, role: DtlsRole) -> None:
        for closing in ("session", "openssl"):
            context, fingerprint = openssl_context()
            session, peer = DtlsSession(OURS, role, [fingerprint]), OpenSslPeer(context, opposite(role))
            exchange(session, peer)
            if closing == "session":
                session.close()
            else:
                peer.ssl.shutdown()
            for _ in range(3):
                for data in peer.step(session.to_send()):
                    session.receive(data, 1.0)
            assert peer.error == "close_notify"
            assert session.events() == ([] if closing == "session" else [Closed()])

    def test_second_close_sends_nothing(self) -> None:
        connection = link().run()
        connection.client.close()
        connection.client.close()
        assert len(connection.client.to_send()) == 1

    def test_close_during_handshake_sends_nothing(self) -> None:
        connection = link()
        connection.client.start(0.0)
        connection.client.to_send()
        connection.client.close()
        connection.client.handle_timeout(50.0)
        connection.client.start(50.0)
        assert connection.client.to_send() == []
        assert connection.client.events() == []
        assert connection.client.timeout_s() is None

    def test_close_notify_in_datagram_of_last_flight_is_processed(self) -> None:
        connection = link(drop=lambda to_server, number: not to_server and number == 1)
        connection.run(until_s=0.05)
        last_flight = connection.sent[False][-1]
        connection.server.close()
        [close_notify] = connection.server.to_send()
        connection.client.receive(last_flight + close_notify, 0.06)
        assert [type(event) for event in connection.client.events()] == [Connected, Closed]

    @covers("SE22")
    def test_forged_alerts_are_ignored(self) -> None:
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

    @covers("SE22")
    @pytest.mark.parametrize("role", ROLES)
    def test_authentic_fatal_alert_ends_session_at_once(self, role: DtlsRole) -> None:
        """RFC 7675, 5.2. Other warnings do not end it, and alerts after the end are ignored."""
        connection = link().run()
        connection.keys()
        session = connection.client if role == "client" else connection.server
        reader = session._reader
        assert reader is not None
        session.receive(sealed_alert(reader, 1, 41, number=7), 1.0)
        assert session.events() == []
        session.receive(sealed_alert(reader, 2, 40, number=8), 1.0)
        assert session.events() == [Closed()]
        session.receive(sealed_alert(reader, 2, 40, number=9), 1.0)
        session.handle_timeout(60.0)
        assert session.events() == []
        assert session.timeout_s() is None

    @covers("SE7")
    @pytest.mark.parametrize("role", ROLES)
    def test_renegotiation_is_refused(self, role: DtlsRole) -> None:
        """The session neither answers nor reports an event, and continues."""
        context, fingerprint = openssl_context()
        session, peer = DtlsSession(OURS, role, [fingerprint]), OpenSslPeer(context, opposite(role))
        exchange(session, peer)
        peer.ssl.renegotiate()
        peer.done = False
        hello_request = peer.step([])
        assert [record.content_type for data in hello_request for record in records(data)] == [HANDSHAKE]
        for data in hello_request:
            session.receive(data, 60.0)
        assert session.to_send() == []
        assert session.events() == []
