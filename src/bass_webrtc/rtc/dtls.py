"""DTLS-SRTP of one peer: handshake, certificate check, SRTP keys, close (RFC 6347, RFC 5764, RFC 8122, RFC 8827).

                start          handshake done, certificate verified            close_notify, close()
    (new) ─────────────► handshaking ─────────────────────────────► connected ─────────────────────► closed
                             │ wrong certificate, no common profile, alert, timeout
                             └────────────────────────────────────► closed

Uses pyOpenSSL with memory BIOs. The OpenSSL connection exists during the handshake only: the records that may be
sent afterwards (a retransmission of our last flight, close_notify) are prepared in advance, and ``AlertReader``
decrypts the alerts that may still arrive. This makes renegotiation impossible and saves 90 kB of memory per peer.

Sans-I/O: call from one thread at a time; ``now_s`` is any monotonic clock, in seconds. After every call, send the
datagrams from ``to_send`` and process ``events``; call ``handle_timeout`` at the time given by ``timeout_s``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from cryptography import x509
from OpenSSL import SSL

from ..errors import DtlsError
from .dtls_certificate import (
    SRTP_PROFILES,
    USABLE_HASHES,
    Certificate,
    SrtpProfile,
    fingerprint_of,
    usable_fingerprints,
)
from .dtls_records import (
    APPLICATION_DATA,
    HANDSHAKE,
    AlertReader,
    Record,
    as_bad_certificate,
    pack,
    records,
    renumbered,
)
from .sdp import Fingerprint

DtlsRole = Literal["client", "server"]

_RESEND_S = (0.1, 0.2, 0.4, 0.4, 0.8)
"""Retransmission intervals of an unanswered flight; the last one repeats. OpenSSL would first retransmit after 1 s,
too late for a listener; its own retransmission falls due at the fourth of ours."""

_LAST_FLIGHT_PAUSE_S = 0.05
"""Minimum time between retransmissions of the last flight, however often the peer retransmits its own."""

_WRONG_CERTIFICATE = "the peer's certificate does not match the signaled fingerprint"

__all__ = ["Certificate", "Closed", "Connected", "DtlsEvent", "DtlsRole", "DtlsSession", "Failed", "SrtpKeys"]


@dataclass(frozen=True, slots=True)
class SrtpKeys:
    """SRTP keys and protection profile from the handshake."""

    profile: int
    """1: AES128_CM_SHA1_80, 7: AEAD_AES_128_GCM."""
    local_key: bytes = field(repr=False)
    """Master key and master salt for the packets we send: 16 + 14 bytes, or 16 + 12 with GCM."""
    remote_key: bytes = field(repr=False)
    """The same for the packets the peer sends."""


@dataclass(frozen=True, slots=True)
class Connected:
    """The handshake completed and the peer's certificate matches its session description."""

    keys: SrtpKeys


@dataclass(frozen=True, slots=True)
class Failed:
    """The handshake failed, or the peer has the wrong certificate. The session is over."""

    reason: str


@dataclass(frozen=True, slots=True)
class Closed:
    """The peer ended the session (close_notify or a fatal alert)."""


DtlsEvent = Connected | Failed | Closed


class DtlsSession:
    """One DTLS association. Pass it only datagrams from a path that ICE has validated."""

    __slots__ = (
        "_alerts",
        "_certificate_refused",
        "_close_notify",
        "_connection",
        "_deadline_s",
        "_events",
        "_expected",
        "_flight",
        "_flight_sent_s",
        "_handshake_timeout_s",
        "_is_client",
        "_mtu",
        "_next_number",
        "_out",
        "_resend_s",
        "_resends",
    )

    def __init__(
        self,
        certificate: Certificate,
        role: DtlsRole,
        fingerprints: Sequence[Fingerprint],
        *,
        handshake_timeout_s: float = 30.0,
        mtu: int = 1200,
    ) -> None:
        """
        Args:
            certificate: Our certificate.
            role: ``"client"`` (``a=setup:active``) sends the first flight.
            fingerprints: The peer's fingerprints, from its session description.
            handshake_timeout_s: Time allowed from ``start`` to the end of the handshake, in seconds.
            mtu: Size of the longest datagram to send, in bytes.

        Raises:
            DtlsError: No fingerprint has a supported hash.
        """
        self._expected = usable_fingerprints(fingerprints)
        if not self._expected:
            offered = ", ".join(fingerprint.algorithm for fingerprint in fingerprints) or "none"
            raise DtlsError(f"no usable fingerprint: the peer offers {offered}; expected {' or '.join(USABLE_HASHES)}")
        self._is_client = role == "client"
        self._mtu = mtu
        self._handshake_timeout_s = handshake_timeout_s
        self._connection: SSL.Connection | None = self._new_connection(certificate.context)
        self._alerts: AlertReader | None = None
        self._close_notify: list[bytes] = []
        self._certificate_refused = False
        self._flight: list[Record] = []
        self._next_number = 0
        self._flight_sent_s = 0.0
        self._resends = 0
        self._resend_s: float | None = None
        self._deadline_s: float | None = None
        self._out: list[bytes] = []
        self._events: list[DtlsEvent] = []

    def start(self, now_s: float) -> None:
        """Start the handshake; a client sends its first flight.

        Datagrams received earlier were dropped; the peer retransmits them.
        """
        if self._connection is not None:
            self._deadline_s = now_s + self._handshake_timeout_s
            self._handshake(self._connection, now_s)

    def receive(self, datagram: bytes, now_s: float) -> None:
        """Process one datagram from the peer. Never raises, whatever the bytes are."""
        received = [record for record in records(datagram) if record.content_type != APPLICATION_DATA]
        if not received or self._deadline_s is None:
            return
        if self._connection is not None:
            self._connection.bio_write(b"".join(record.data for record in received))
            self._handshake(self._connection, now_s)
        elif self._alerts is not None and any(record.content_type == HANDSHAKE for record in received):
            self._retransmit_last_flight(now_s)
        if self._alerts is not None and any(map(self._alerts.ends_session, received)):
            # "The other party MUST respond with a close_notify alert of its own" (RFC 5246, 7.2.1).
            self.close()
            self._events.append(Closed())

    def to_send(self) -> list[bytes]:
        """Return and clear the datagrams to send."""
        out, self._out = self._out, []
        return out

    def events(self) -> list[DtlsEvent]:
        """Return and clear the events since the last call, in order."""
        events, self._events = self._events, []
        return events

    def handle_timeout(self, now_s: float) -> None:
        """Retransmit an unanswered flight, or give up. Call at ``timeout_s``; calls at other times are harmless."""
        if self._connection is None or self._deadline_s is None:
            return
        if now_s >= self._deadline_s:
            self._fail(f"the handshake timed out after {self._handshake_timeout_s:g} s")
        elif self._resend_s is not None and now_s >= self._resend_s:
            self._retransmit_flight(self._connection, now_s)

    def timeout_s(self) -> float | None:
        """Return when ``handle_timeout`` is due, on the clock of ``now_s``; None if it is not needed."""
        if self._connection is None or self._deadline_s is None:
            return None
        return self._deadline_s if self._resend_s is None else min(self._resend_s, self._deadline_s)

    def close(self) -> None:
        """End the session, with close_notify if the handshake completed. Idempotent."""
        self._out += self._close_notify
        self._close_notify = []
        self._alerts = None
        self._release()

    def _new_connection(self, context: SSL.Context) -> SSL.Connection:
        connection = SSL.Connection(context)
        connection.set_app_data(self._is_expected)
        connection.set_ciphertext_mtu(self._mtu)
        if self._is_client:
            connection.set_connect_state()
        else:
            connection.set_accept_state()
        return connection

    def _handshake(self, connection: SSL.Connection, now_s: float) -> None:
        """Continue the handshake with the records received so far."""
        try:
            connection.do_handshake()
        except SSL.WantReadError:
            self._send_flight(connection, now_s)
        except SSL.Error as error:
            self._send_flight(connection, now_s)
            self._fail(_WRONG_CERTIFICATE if self._certificate_refused else _reason(error))
        else:
            self._send_flight(connection, now_s)
            self._finish(connection)

    def _send_flight(self, connection: SSL.Connection, now_s: float) -> None:
        """Send the records written by OpenSSL, if any; new records mean that the peer answered our last flight."""
        written = _drain(connection)
        if written:
            self._flight = [as_bad_certificate(record) for record in written] if self._certificate_refused else written
            self._transmit_flight(now_s)
            self._resends = 0
            self._resend_s = now_s + _RESEND_S[0]

    def _transmit_flight(self, now_s: float) -> None:
        """Queue the flight under new record numbers; otherwise the peer would drop it as a replay.

        Record numbers are not authenticated in epoch 0, so we assign all of them here. The only record of epoch 1,
        Finished, keeps its number: a peer that already has it drops the copy and misses nothing.
        """
        self._flight_sent_s = now_s
        numbered = []
        for record in self._flight:
            numbered.append(renumbered(record, self._next_number) if record.epoch == 0 else record.data)
            self._next_number += 1
        self._out += pack(numbered, self._mtu)

    def _retransmit_flight(self, connection: SSL.Connection, now_s: float) -> None:
        """Retransmit the flight (RFC 6347, 4.2.4).

        If the peer's final flight was lost, the peer answers only a newly encrypted Finished, not a copy of ours. So
        once OpenSSL's own retransmission timer has expired, OpenSSL's retransmission is sent instead.
        """
        try:
            connection.DTLSv1_handle_timeout()
        except SSL.Error as error:
            self._fail(_reason(error))
            return
        self._flight = _drain(connection) or self._flight
        self._transmit_flight(now_s)
        self._resends += 1
        self._resend_s = now_s + _RESEND_S[min(self._resends, len(_RESEND_S) - 1)]

    def _retransmit_last_flight(self, now_s: float) -> None:
        """Retransmit our last flight: the peer repeats its own, so ours was lost (RFC 6347, 4.2.4)."""
        assert self._deadline_s is not None
        if not self._is_client and self._flight_sent_s + _LAST_FLIGHT_PAUSE_S <= now_s < self._deadline_s:
            self._transmit_flight(now_s)

    def _finish(self, connection: SSL.Connection) -> None:
        """Complete the handshake: check the certificate again, export the keys, free the OpenSSL connection."""
        certificate = connection.get_peer_certificate(as_cryptography=True)
        profile = _selected_profile(connection)
        self._close_notify = _close_notify(connection)
        if certificate is None or not self._is_expected(certificate):
            self._fail(_WRONG_CERTIFICATE)
        elif profile is None:
            self._fail("no common SRTP protection profile; expected AEAD_AES_128_GCM or AES128_CM_SHA1_80")
        else:
            self._alerts = _alert_reader(connection, from_client=not self._is_client)
            self._events.append(Connected(_srtp_keys(connection, profile, self._is_client)))
            self._release()

    def _is_expected(self, certificate: x509.Certificate) -> bool:
        """Return whether the certificate matches a fingerprint of the preferred hash (RFC 8122, 5.1)."""
        is_expected = fingerprint_of(certificate, self._expected[0].algorithm) in self._expected
        self._certificate_refused = not is_expected
        return is_expected

    def _fail(self, reason: str) -> None:
        self.close()
        self._events.append(Failed(reason))

    def _release(self) -> None:
        """Free the OpenSSL connection."""
        if self._connection is not None:
            self._connection.set_app_data(None)
            self._connection = None


def _drain(connection: SSL.Connection) -> list[Record]:
    """Return the records written by OpenSSL; the memory BIO does not preserve datagram boundaries."""
    written = b""
    try:
        while True:
            written += connection.bio_read(65536)
    except SSL.WantReadError:
        return list(records(written))


def _close_notify(connection: SSL.Connection) -> list[bytes]:
    """Return the encrypted close_notify; made now because the OpenSSL connection is freed after the handshake."""
    connection.shutdown()
    return [record.data for record in _drain(connection)]


def _selected_profile(connection: SSL.Connection) -> SrtpProfile | None:
    selected = connection.get_selected_srtp_profile()
    return next((profile for profile in SRTP_PROFILES if profile.name == selected), None)


def _srtp_keys(connection: SSL.Connection, profile: SrtpProfile, is_client: bool) -> SrtpKeys:
    """Export the SRTP keys. Order: client key, server key, client salt, server salt (RFC 5764, 4.2)."""
    key, salt = profile.key_bytes, profile.salt_bytes
    block = connection.export_keying_material(b"EXTRACTOR-dtls_srtp", 2 * (key + salt))
    client = block[:key] + block[2 * key : 2 * key + salt]
    server = block[key : 2 * key] + block[2 * key + salt :]
    return SrtpKeys(profile.number, client, server) if is_client else SrtpKeys(profile.number, server, client)


def _alert_reader(connection: SSL.Connection, *, from_client: bool) -> AlertReader:
    master_secret = connection.master_key()
    client_random, server_random = connection.client_random(), connection.server_random()
    assert master_secret is not None
    assert client_random is not None
    assert server_random is not None
    return AlertReader(master_secret, client_random, server_random, from_client=from_client)


def _reason(error: SSL.Error) -> str:
    """Return a failure reason that ends with OpenSSL's own error text."""
    errors = error.args[0] if error.args and isinstance(error.args[0], list) else []
    return f"the handshake failed: {errors[-1][-1]}" if errors else "the handshake failed"
