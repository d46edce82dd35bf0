"""Test helpers: DTLS sessions connected to each other over a link in virtual time, or to plain OpenSSL."""

from __future__ import annotations

import datetime
import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from OpenSSL import SSL

from bass_webrtc.rtc.dtls import Certificate, Connected, DtlsEvent, DtlsRole, DtlsSession, SrtpKeys
from bass_webrtc.rtc.dtls_certificate import fingerprint_of
from bass_webrtc.rtc.dtls_records import ALERT, pack, records
from bass_webrtc.rtc.sdp import Fingerprint

OURS = Certificate.generate()
THEIRS = Certificate.generate()
WRONG = Fingerprint("sha-256", ":".join(["00"] * 32))
WRONG_CERTIFICATE = "the peer's certificate does not match the signaled fingerprint"
ROLES: tuple[DtlsRole, DtlsRole] = ("client", "server")


@dataclass
class Link:
    """Two sessions and a network between them that loses, duplicates and reorders datagrams, in virtual time."""

    client: DtlsSession
    server: DtlsSession
    rng: random.Random = field(default_factory=lambda: random.Random(0))
    loss: float = 0.0
    jitter_s: float = 0.0
    duplicates: float = 0.0
    drop: Callable[[bool, int], bool] = lambda to_server, number: False
    """Returns whether to drop a datagram, given its direction and its number in that direction."""
    now_s: float = 0.0
    sent: dict[bool, list[bytes]] = field(default_factory=lambda: {False: [], True: []})
    events: dict[bool, list[DtlsEvent]] = field(default_factory=lambda: {False: [], True: []})
    _in_flight: list[tuple[float, int, bool, bytes]] = field(default_factory=list)
    _count: int = 0

    def run(self, until_s: float = 40.0) -> Link:
        """Run until no datagram is in flight and no timer is set, or until ``until_s``."""
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
        times = [self.client.timeout_s(), self.server.timeout_s(), *(flight[0] for flight in self._in_flight[:1])]
        return min((time for time in times if time is not None), default=None)

    def _deliver(self) -> None:
        while self._in_flight and self._in_flight[0][0] <= self.now_s:
            _, _, to_server, data = heapq.heappop(self._in_flight)
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
            heapq.heappush(self._in_flight, (arrival_s, self._count, to_server, data))

    def keys(self) -> tuple[SrtpKeys, SrtpKeys]:
        """Assert that both ends connected once with matching keys, and return the keys of client and server."""
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
    """A peer made of plain OpenSSL."""

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
        return self.sent()

    def sent(self) -> list[bytes]:
        """Return the datagrams to send."""
        try:
            return pack([record.data for record in records(self.ssl.bio_read(65536))], 1200)
        except SSL.WantReadError:
            return []


def exchange(session: DtlsSession, peer: OpenSslPeer, rounds: int = 12) -> list[DtlsEvent]:
    """Pass datagrams in both directions for some rounds, without loss or delay, and return the session's events.

    Then wait for 3 s, in which the session believes what would end its handshake.
    """
    session.start(0.0)
    for now_s in (0.0, 3.0):
        session.handle_timeout(now_s)
        for _ in range(rounds):
            for data in peer.step(session.to_send()):
                session.receive(data, now_s)
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
    """Return an RSA key; cached because generation is slow."""
    return rsa.generate_private_key(65537, bits)


def opposite(role: DtlsRole) -> DtlsRole:
    return "server" if role == "client" else "client"


def alerts_in(datagrams: list[bytes]) -> list[tuple[int, int]]:
    """Return level and description of the plaintext alerts."""
    found = (record for data in datagrams for record in records(data))
    return [(r.fragment[0], r.fragment[1]) for r in found if r.content_type == ALERT and r.epoch == 0]
