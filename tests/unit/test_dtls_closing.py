"""The end of a DTLS session, and what does not end it."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from dtls_ends import OURS, ROLES, OpenSslPeer, converse, link, openssl_context, other

from bass_webrtc.rtc.dtls import Closed, Connected, DtlsRole, DtlsSession
from bass_webrtc.rtc.dtls_records import HANDSHAKE, AlertReader, records


def sealed_alert(reader: AlertReader, level: int, description: int, *, number: int) -> bytes:
    """An alert as the peer would send it, with the key of the session (RFC 5288, 3; RFC 6347, 4.1.2.1)."""
    epoch_and_number = (1).to_bytes(2) + number.to_bytes(6)
    covered = epoch_and_number + b"\x15\xfe\xfd" + (2).to_bytes(2)
    sealed = AESGCM(reader._key).encrypt(reader._salt + epoch_and_number, bytes((level, description)), covered)
    fragment = epoch_and_number + sealed
    return b"\x15\xfe\xfd" + epoch_and_number + len(fragment).to_bytes(2) + fragment


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
    def test_an_authentic_fatal_alert_ends_the_session_at_once_SE22(self, role: DtlsRole) -> None:
        """RFC 7675, 5.2; a warning that says nothing of the end does not, nor does one that comes late."""
        connection = link().run()
        connection.keys()
        session = connection.client if role == "client" else connection.server
        reader = session._alerts
        assert reader is not None
        session.receive(sealed_alert(reader, 1, 41, number=7), 1.0)
        assert session.events() == []
        session.receive(sealed_alert(reader, 2, 40, number=8), 1.0)
        assert session.events() == [Closed()]
        session.receive(sealed_alert(reader, 2, 40, number=9), 1.0)
        session.handle_timeout(60.0)
        assert session.events() == []
        assert session.timeout_s() is None

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
