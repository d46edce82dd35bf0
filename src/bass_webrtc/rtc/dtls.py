"""DTLS-SRTP of one peer: handshake, certificate check, SRTP keys, close (RFC 6347, RFC 5764, RFC 8122, RFC 8827).

                start          handshake done, certificate verified            close_notify, close()
    (new) ─────────────► handshaking ─────────────────────────────► connected ─────────────────────► closed
                             │ wrong certificate, no common profile, alert, timeout
                             └────────────────────────────────────► closed

Uses pyOpenSSL with memory BIOs. The OpenSSL connection exists during the handshake only: the records that may be
sent afterwards (a retransmission of our last flight, close_notify) are prepared in advance, and ``RecordReader``
decrypts the alerts that may still arrive. This makes renegotiation impossible and saves 90 kB of memory per peer.

Anyone who can send from the peer's address can forge records of epoch 0, and OpenSSL ends a handshake at the first
wrong one. So OpenSSL gets nothing from the network but

    ClientHello     as a server: the first one that it accepts, tried with a connection of its own; one that differs
                    is asked for a cookie (HelloVerifyRequest) and replaces the first if it returns with it
    the next flight when it is complete and signed with the signaled certificate's key (``PeerFlight``)
    epoch 1         after that, with a ChangeCipherSpec of ours; OpenSSL drops what does not decrypt

A plaintext alert, a wrong certificate and a wrong signature are believed only if the handshake makes no progress for
2 s; then OpenSSL gets them and ends the handshake with its alert and reason. Two attacks remain: a ClientHello that is
forged before the peer's own arrives, since a cookie for every peer would cost a round trip; and, by an attacker who
sees the handshake and is faster than the server, a changed copy of ServerHello or CertificateRequest. Then the
handshake fails, and the peer connects again.

Sans-I/O: call from one thread at a time; ``now_s`` is any monotonic clock, in seconds. After every call, send the
datagrams from ``to_send`` and process ``events``; call ``handle_timeout`` at the time given by ``timeout_s``.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import Literal

from OpenSSL import SSL, crypto

from ..errors import DtlsError
from .dtls_certificate import (
    SRTP_PROFILES,
    USABLE_HASHES,
    Certificate,
    SrtpProfile,
    is_signaled,
    usable_fingerprints,
)
from .dtls_flight import (
    CLIENT_HELLO,
    FLIGHT_OF_CLIENT,
    FLIGHT_OF_SERVER,
    HELLO_VERIFY_REQUEST,
    ClientHello,
    Fragment,
    Message,
    PeerFlight,
    Reassembly,
    client_is_signed,
    fragments,
    hello_verify_request,
    is_hello_verify_request,
    server_is_signed,
    transcript_of,
)
from .dtls_records import (
    ALERT,
    CHANGE_CIPHER_SPEC,
    HANDSHAKE,
    Record,
    RecordReader,
    as_bad_certificate,
    ends_handshake,
    pack,
    plain_record,
    records,
    renumbered,
)
from .sdp import Fingerprint

DtlsRole = Literal["client", "server"]

_FIRST_RESEND_S = 0.1
"""First retransmission of an unanswered flight; the interval doubles, so an address that answers nothing gets a flight
nine times in 30 s. OpenSSL would first retransmit after 1 s, too late for a listener; its own retransmission falls due
at the fourth of ours."""

_AUTHENTIC_RESEND_S = 0.8
"""Longest retransmission interval once the peer's flight is authentic."""

_FIRST_REPEAT_S = 0.05
"""First interval of what a received record causes at once; it doubles, too, because some of these records can be forged
or replayed: a repeated flight, a HelloVerifyRequest."""

_DOUBT_S = 2.0
"""Time for the handshake to progress after a message that would end it but is not authentic."""

_COOKIE_BYTES = 16

_MAX_RECORDS = 32
"""Records read from one datagram."""

_MAX_FED_BYTES = 8192
"""Passed to OpenSSL at once; it reads a memory BIO like a socket, at most 16 kB at a time."""

_MAX_SEALED_RECORDS = 4
"""Encrypted records kept until the flight before them is complete: the newest."""

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
    """One DTLS association. Pass it only datagrams from a path that ICE has validated.

    Attributes:
        ignored: Number of records and messages ignored during the handshake that did not belong there.
    """

    __slots__ = (
        "_alert",
        "_certificate",
        "_certificate_refused",
        "_close_notify",
        "_connection",
        "_cookie",
        "_deadline_s",
        "_doubt_s",
        "_events",
        "_expected",
        "_flight",
        "_handshake_timeout_s",
        "_has_changed_cipher",
        "_hello",
        "_incoming",
        "_is_authentic",
        "_is_client",
        "_mtu",
        "_next_number",
        "_next_number_in",
        "_out",
        "_peer_flight",
        "_reader",
        "_refused_hello",
        "_repeats",
        "_resend_s",
        "_resends",
        "_sealed",
        "_verify_request",
        "_verify_requests",
        "ignored",
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
        self._certificate: Certificate | None = certificate
        self._connection: SSL.Connection | None = self._new_connection()
        self._reader: RecordReader | None = None
        self._close_notify: list[bytes] = []
        self._certificate_refused = False
        self._flight: list[Record] = []
        self._next_number = 0
        self._resends = 0
        self._repeats = _Backoff(0.0)
        self._resend_s: float | None = None
        self._deadline_s: float | None = None
        self._out: list[bytes] = []
        self._events: list[DtlsEvent] = []
        self.ignored = 0
        # What the peer has sent, during the handshake:
        self._next_number_in = 0
        self._incoming = Reassembly()
        self._hello: Message | None = None
        self._refused_hello: Message | None = None
        self._cookie = b""
        self._verify_request: Message | None = None
        self._verify_requests = _Backoff(0.0)
        self._peer_flight: PeerFlight | None = None
        self._is_authentic = False
        self._has_changed_cipher = False
        self._sealed: list[bytes] = []
        self._alert: Record | None = None
        self._doubt_s: float | None = None

    def start(self, now_s: float) -> None:
        """Start the handshake; a client sends its first flight.

        Datagrams received earlier were dropped; the peer retransmits them.
        """
        if self._connection is not None:
            self._deadline_s = now_s + self._handshake_timeout_s
            self._handshake(self._connection, now_s)
            if self._is_client:
                self._expect_server(first_sequence=0)

    def receive(self, datagram: bytes, now_s: float) -> None:
        """Process one datagram from the peer. Never raises, whatever the bytes are."""
        if self._deadline_s is None:
            return
        received = list(islice(records(datagram), _MAX_RECORDS))
        if self._connection is not None:
            for record in received:
                self._sort(record, now_s)
            self._advance(now_s)
        elif self._reader is not None and any(map(self._reader.is_finished, received)):
            self._repeat_last_flight(now_s)
        if self._reader is not None and any(map(self._reader.ends_session, received)):
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
        elif self._doubt_s is not None and now_s >= self._doubt_s:
            self._believe(now_s)
        elif self._resend_s is not None and now_s >= self._resend_s:
            self._retransmit_flight(self._connection, now_s)

    def timeout_s(self) -> float | None:
        """Return when ``handle_timeout`` is due, on the clock of ``now_s``; None if it is not needed."""
        if self._connection is None or self._deadline_s is None:
            return None
        due = (self._deadline_s, self._doubt_s, self._resend_s)
        return min(time_s for time_s in due if time_s is not None)

    def close(self) -> None:
        """End the session, with close_notify if the handshake completed. Idempotent."""
        self._out += self._close_notify
        self._close_notify = []
        self._reader = None
        self._end_handshake()

    # -- Records of the peer during the handshake

    def _sort(self, record: Record, now_s: float) -> None:
        """Keep what a record can contribute to the handshake; ignore all others (RFC 6347, 4.1.2.7)."""
        if record.epoch == 1 and record.content_type in (ALERT, HANDSHAKE):
            self._sealed = [*self._sealed[1 - _MAX_SEALED_RECORDS :], record.data]
        elif record.epoch == 0 and record.content_type == HANDSHAKE:
            for fragment in fragments(record.fragment):
                if not self._sort_fragment(fragment, now_s):
                    self.ignored += 1
                    break
        elif record.content_type != CHANGE_CIPHER_SPEC:
            self.ignored += 1
            if record.epoch == 0 and ends_handshake(record) and self._can_give_up:
                self._alert = self._alert or record
                self._doubt(now_s)

    @property
    def _can_give_up(self) -> bool:
        """Whether a genuine alert is possible: a client sends its ClientHello first."""
        return self._is_client or self._hello is not None

    def _sort_fragment(self, fragment: Fragment, now_s: float) -> bool:
        """Keep a fragment of a message that the peer can send now; return whether it is one."""
        if self._peer_flight is not None and self._peer_flight.expects(fragment):
            self._alert = None  # A peer that sends its flight has not given up.
            message = None if self._is_authentic else self._incoming.add(fragment)
            if message is not None:
                self._peer_flight.add(message)
        elif fragment.kind == CLIENT_HELLO and not self._is_client and fragment.sequence <= 1:
            message = self._incoming.add(fragment)
            if message is not None:
                self._receive_hello(message, now_s)
        elif fragment.kind == HELLO_VERIFY_REQUEST and self._is_client and fragment.sequence == 0:
            message = self._incoming.add(fragment)
            if message is not None and self._verify_request is None and is_hello_verify_request(message):
                self._verify_request = message
        else:
            return False
        return True

    def _receive_hello(self, message: Message, now_s: float) -> None:
        """Handle a ClientHello: answer the first, ask for a cookie before another one replaces it."""
        hello = ClientHello.parse(message.body)
        if hello is None or self._is_authentic:
            return
        if message == self._hello:
            self._alert = None
            self._repeat_flight(now_s)
        elif self._hello is None and message.sequence == 0:
            self._try_hello(message, now_s)
        elif self._hello is not None and self._hello.sequence == 0:
            if message.sequence == 0:
                self.ignored += 1
                self._send_verify_request(now_s)
            elif self._cookie and secrets.compare_digest(hello.cookie, self._cookie):
                self._try_hello(message, now_s)

    def _try_hello(self, message: Message, now_s: float) -> None:
        """Answer a ClientHello with a new OpenSSL connection, unless OpenSSL refuses it."""
        connection = self._new_connection()
        connection.bio_write(plain_record(HANDSHAKE, 0, message.encoded))
        try:
            if message.sequence > 0:
                connection.DTLSv1_listen()  # Makes OpenSSL continue with this sequence number.
            connection.do_handshake()
        except SSL.WantReadError:
            pass
        except SSL.Error:
            connection.set_app_data(None)
            self._refused_hello = message
            self._doubt(now_s)
            return
        self._release()
        self._connection = connection
        self._hello = message
        self._next_number_in = 1
        self._believe_nothing()
        self._send_flight(connection, now_s)
        transcript = message.encoded + transcript_of(record.fragment for record in self._flight)
        self._peer_flight = PeerFlight(
            FLIGHT_OF_CLIENT, message.sequence + 1, self._is_signaled, partial(client_is_signed, transcript)
        )

    def _send_verify_request(self, now_s: float) -> None:
        """Ask for a cookie. It is sent to the peer's address, so a client that returns it is there."""
        if self._verify_requests.permits(now_s):
            self._cookie = self._cookie or secrets.token_bytes(_COOKIE_BYTES)
            request = hello_verify_request(self._cookie).encoded
            self._out.append(plain_record(HANDSHAKE, self._next_number, request))
            self._next_number += 1
            # A client that follows would take our flight for messages out of order. One that repeats its ClientHello
            # gets it again.
            self._resend_s = None

    def _expect_server(self, first_sequence: int) -> None:
        """Expect the server's flight after our ClientHello."""
        hello = ClientHello.parse(next(fragments(self._flight[0].fragment)).data)
        assert hello is not None
        self._peer_flight = PeerFlight(
            FLIGHT_OF_SERVER, first_sequence, self._is_signaled, partial(server_is_signed, hello.random)
        )

    def _advance(self, now_s: float, *, in_order: bool = True) -> None:
        """Pass what is authentic to OpenSSL."""
        if self._peer_flight is not None and not self._is_authentic:
            messages = self._peer_flight.authentic(in_order=in_order)
            if messages is not None:
                self._is_authentic = True
                self._believe_nothing()
                self._feed_messages(messages, now_s)
            elif self._peer_flight.is_refused:
                self._doubt(now_s)
        if self._is_authentic and self._sealed:
            sealed, self._sealed = self._sealed, []
            if not self._has_changed_cipher:
                self._has_changed_cipher = True
                sealed.insert(0, plain_record(CHANGE_CIPHER_SPEC, self._next_number_in, b"\x01"))
            self._feed(sealed, now_s)

    def _feed_messages(self, messages: Iterable[Message], now_s: float) -> None:
        made = []
        for message in messages:
            made.append(plain_record(HANDSHAKE, self._next_number_in, message.encoded))
            self._next_number_in += 1
        self._feed(made, now_s)

    def _feed(self, received: Sequence[bytes], now_s: float) -> None:
        """Pass records to OpenSSL until the handshake is over."""
        for data in pack(received, _MAX_FED_BYTES):
            if self._connection is not None:
                self._connection.bio_write(data)
                self._handshake(self._connection, now_s)

    def _doubt(self, now_s: float) -> None:
        if self._doubt_s is None:
            self._doubt_s = now_s + _DOUBT_S

    def _believe_nothing(self) -> None:
        """Forget what would have ended the handshake: it has progressed."""
        self._alert = self._refused_hello = self._doubt_s = None

    def _believe(self, now_s: float) -> None:
        """Pass what OpenSSL will refuse: the handshake has not progressed, so it probably comes from the peer."""
        self._doubt_s = None
        if self._alert is not None:
            self._feed([renumbered(self._alert, self._next_number_in)], now_s)
        elif self._refused_hello is not None:
            self._feed_messages([self._refused_hello], now_s)
        elif self._peer_flight is not None and not self._is_authentic and self._peer_flight.is_refused:
            self._feed_messages(self._peer_flight.newest(), now_s)
            if self._connection is not None:
                self._fail(_WRONG_CERTIFICATE)

    # -- OpenSSL

    def _new_connection(self) -> SSL.Connection:
        assert self._certificate is not None, "the handshake has ended"
        connection = self._certificate.new_connection(self._is_expected)
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
            self._transmit_flight()
            self._resends = 0
            self._repeats = _Backoff(now_s + _FIRST_REPEAT_S)
            self._resend_s = now_s + _FIRST_RESEND_S

    def _transmit_flight(self) -> None:
        """Queue the flight under new record numbers; otherwise the peer would drop it as a replay.

        Record numbers are not authenticated in epoch 0, so we assign all of them here. The only record of epoch 1,
        Finished, keeps its number: a peer that already has it drops the copy and misses nothing.
        """
        numbered = []
        for record in self._flight:
            numbered.append(renumbered(record, self._next_number) if record.epoch == 0 else record.data)
            self._next_number += 1
        self._out += pack(numbered, self._mtu)

    def _retransmit_flight(self, connection: SSL.Connection, now_s: float) -> None:
        """Retransmit the flight (RFC 6347, 4.2.4), unless what has arrived lets the handshake continue without.

        If the peer's final flight was lost, the peer answers only a newly encrypted Finished, not a copy of ours. So
        once OpenSSL's own retransmission timer has expired, OpenSSL's retransmission is sent instead.
        """
        if self._is_client and not self._is_authentic and self._continues_otherwise(now_s):
            return
        try:
            connection.DTLSv1_handle_timeout()
        except SSL.Error as error:
            self._fail(_reason(error))
            return
        self._flight = _drain(connection) or self._flight
        self._transmit_flight()
        self._resends += 1
        interval_s = _FIRST_RESEND_S * 2**self._resends
        self._resend_s = now_s + (min(interval_s, _AUTHENTIC_RESEND_S) if self._is_authentic else interval_s)

    def _continues_otherwise(self, now_s: float) -> bool:
        """Accept what a forger could have sent before the server, now that the server's own had time to arrive."""
        self._advance(now_s, in_order=False)
        if self._is_authentic:
            return True
        request, flight = self._verify_request, self._peer_flight
        if request is None or flight is None or flight.first_sequence > 0 or flight.has_certificate:
            return False
        self._feed_messages([request], now_s)
        if self._connection is not None:
            self._expect_server(first_sequence=1)
        return True

    def _repeat_flight(self, now_s: float) -> None:
        """Retransmit our flight at once: the peer repeats its own, so ours was lost (RFC 6347, 4.2.4)."""
        if self._repeats.permits(now_s):
            self._transmit_flight()

    def _repeat_last_flight(self, now_s: float) -> None:
        assert self._deadline_s is not None
        if not self._is_client and now_s < self._deadline_s:
            self._repeat_flight(now_s)

    def _finish(self, connection: SSL.Connection) -> None:
        """Complete the handshake: check the certificate again, export the keys, free the OpenSSL connection."""
        certificate = connection.get_peer_certificate()
        profile = _selected_profile(connection)
        self._close_notify = _close_notify(connection)
        if certificate is None or not self._is_expected(certificate):
            self._fail(_WRONG_CERTIFICATE)
        elif profile is None:
            self._fail("no common SRTP protection profile; expected AEAD_AES_128_GCM or AES128_CM_SHA1_80")
        else:
            self._reader = _record_reader(connection, from_client=not self._is_client)
            self._events.append(Connected(_srtp_keys(connection, profile, self._is_client)))
            self._end_handshake()

    def _is_expected(self, certificate: crypto.X509) -> bool:
        """Return whether the certificate matches a fingerprint of the preferred hash (RFC 8122, 5.1)."""
        is_expected = self._is_signaled(crypto.dump_certificate(crypto.FILETYPE_ASN1, certificate))
        self._certificate_refused = not is_expected
        return is_expected

    def _is_signaled(self, certificate: bytes) -> bool:
        return is_signaled(certificate, self._expected)

    def _fail(self, reason: str) -> None:
        self.close()
        self._events.append(Failed(reason))

    def _end_handshake(self) -> None:
        """Free everything of OpenSSL, and what only a handshake needs."""
        self._release()
        self._certificate = None
        if self._is_client:  # The peer has our last flight: it has sent its Finished.
            self._flight = []

    def _release(self) -> None:
        """Free the OpenSSL connection and what the peer has sent."""
        if self._connection is not None:
            self._connection.set_app_data(None)
            self._connection = None
        self._peer_flight = self._hello = self._refused_hello = self._verify_request = None
        self._incoming = Reassembly()


class _Backoff:
    """Permits an action at intervals that double."""

    __slots__ = ("_interval_s", "_next_s")

    def __init__(self, first_s: float) -> None:
        self._next_s = first_s
        self._interval_s = _FIRST_REPEAT_S

    def permits(self, now_s: float) -> bool:
        if now_s < self._next_s:
            return False
        self._next_s = now_s + self._interval_s
        self._interval_s *= 2
        return True


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


def _record_reader(connection: SSL.Connection, *, from_client: bool) -> RecordReader:
    master_secret = connection.master_key()
    client_random, server_random = connection.client_random(), connection.server_random()
    assert master_secret is not None
    assert client_random is not None
    assert server_random is not None
    return RecordReader(master_secret, client_random, server_random, from_client=from_client)


def _reason(error: SSL.Error) -> str:
    """Return a failure reason that ends with OpenSSL's own error text."""
    errors = error.args[0] if error.args and isinstance(error.args[0], list) else []
    return f"the handshake failed: {errors[-1][-1]}" if errors else "the handshake failed"
