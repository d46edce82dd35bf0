"""A lightweight WHEP player: completes ICE and DTLS, then counts packets without decoding them.

    POST ─► ICE check (USE-CANDIDATE) ─► DTLS ─► count RTP by sequence number, check consent, report by RTCP

Hundreds of them fit into one thread (farm_worker.py). It is a full agent, independent of the product's code:
STUN from stun.py here, DTLS from pyOpenSSL, SRTCP from pylibsrtp.
"""

from __future__ import annotations

import contextlib
import http.client
import math
import random
import secrets
import socket
import struct
import urllib.parse
from collections.abc import Callable, Sequence

from cryptography.hazmat.primitives import hashes
from OpenSSL import SSL
from pylibsrtp import Policy, Session

from . import stun
from .player_parts import Answer, Certificate, Counters

__all__ = ["Answer", "Certificate", "Counters", "Player"]

_CHECK_INTERVAL_S = (0.02, 0.05, 0.1, 0.2, 0.4, 0.8)
_CONSENT_INTERVAL_S = 5.0
_REPORT_INTERVAL_S = 5.0
_SENDER_REPORT = 200
_MTU = 1200
_PROFILES = {
    b"SRTP_AES128_CM_SHA1_80": (Policy.SRTP_PROFILE_AES128_CM_SHA1_80, 14),
    b"SRTP_AEAD_AES_128_GCM": (Policy.SRTP_PROFILE_AEAD_AES_128_GCM, 12),
}


class Player:
    """One player. Its owner calls ``handle_readable`` and ``handle_timeout``; only ``post`` blocks."""

    def __init__(
        self,
        certificate: Certificate,
        *,
        setup: str = "actpass",
        fingerprint: str | None = None,
        payload_types: str = "111",
        more_lines: tuple[str, ...] = (),
    ) -> None:
        """Create a player with this certificate.

        Args:
            certificate: May be shared with other players.
            setup: The offer's DTLS role: ``"actpass"``, ``"active"`` or ``"passive"``.
            fingerprint: Fingerprint in the offer instead of the certificate's own.
            payload_types: Of the offer's audio section.
            more_lines: Further lines of that section.
        """
        self.counters = Counters()
        self.state = "new"
        """``"new"``, ``"checking"``, ``"handshake"``, ``"connected"``, ``"failed"``, ``"closed"`` or ``"listening"``
        (without a connection)."""
        self.reason = ""
        self.status = 0
        self.retry_after_s = 0.0
        self.posted_s = 0.0
        self.first_packet_s = 0.0
        self.due_s = 0.0
        self.source = ""
        """Local address that it connects from; empty: the system chooses."""
        self.socket: socket.socket | None = None
        self.tx: Session | None = None
        self.answer: Answer
        self.session_url = ""
        self.etag = ""
        self.media_ssrc = 0
        self.profile = b""
        self.ssrc = secrets.randbits(32)
        self.on_rtp: Callable[[bytes], None] | None = None
        """Called with each RTP packet, still encrypted."""
        self.on_rtcp: Callable[[bytes], None] | None = None
        """Called with each compound RTCP packet, decrypted."""
        self.keeps_consent = True
        """Whether it sends consent checks (RFC 7675)."""
        self.reports = True
        """Whether it sends receiver reports."""
        self.loses: Callable[[], bool] = lambda: False
        """Called for each datagram in both directions: whether the network loses it."""
        self._setup = setup
        self._fingerprint = fingerprint or certificate.fingerprint
        self._payload_types = payload_types
        self._more_lines = more_lines
        self._ufrag, self._password = secrets.token_hex(4), secrets.token_hex(12)
        self._checks = 0
        self._dtls = SSL.Connection(certificate.context, None)
        self._check_s = self._report_s = 0.0
        self._reported_lost = self._reported_highest = 0
        self._sender_report: tuple[int, float] | None = None
        """Middle 32 bits of the NTP time of the last sender report, and when it arrived."""

    def offer(self, host: str, port: int) -> str:
        lines = (
            "v=0",
            f"o=- {secrets.randbits(62)} 2 IN IP4 127.0.0.1",
            "s=-",
            "t=0 0",
            "a=group:BUNDLE 0",
            f"m=audio 9 UDP/TLS/RTP/SAVPF {self._payload_types}",
            "c=IN IP4 0.0.0.0",
            f"a=ice-ufrag:{self._ufrag}",
            f"a=ice-pwd:{self._password}",
            "a=ice-options:trickle",
            f"a=fingerprint:sha-256 {self._fingerprint}",
            f"a=setup:{self._setup}",
            "a=mid:0",
            "a=recvonly",
            "a=rtcp-mux",
            "a=rtpmap:111 opus/48000/2",
            "a=fmtp:111 minptime=10;useinbandfec=1;stereo=1",
            *self._more_lines,
            f"a=candidate:1 1 udp 2130706431 {host} {port} typ host",
        )
        return "\r\n".join((*lines, ""))

    def post(self, url: str, now_s: float, token: str | None = None) -> bool:
        """POST to the endpoint, blocking; True for 201. The owner then calls the handlers."""
        self.request(url, now_s, token)
        return self.read_response(now_s)

    def request(self, url: str, now_s: float, token: str | None = None) -> int:
        """Send the POST; return the descriptor of its connection, which is readable when the response is there."""
        self.posted_s, self._url = now_s, url
        self._connection = self._connect(url)
        try:
            self._connection.connect()
            self.socket = _udp_socket(self._connection.sock.getsockname()[0])
            headers = {"Content-Type": "application/sdp"} | ({"Authorization": f"Bearer {token}"} if token else {})
            self._connection.request(
                "POST", urllib.parse.urlsplit(url).path, self.offer(*self.socket.getsockname()[:2]), headers
            )
        except BaseException:
            self._connection.close()
            raise
        return int(self._connection.sock.fileno())

    def _connect(self, url: str) -> http.client.HTTPConnection:
        parts = urllib.parse.urlsplit(url)
        source = (self.source, 0) if self.source else None
        return http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=20, source_address=source)

    def read_response(self, now_s: float) -> bool:
        """Read the response, blocking; True for 201. The owner then calls the handlers."""
        assert self.socket is not None
        with contextlib.closing(self._connection) as connection:
            server_host = connection.sock.getpeername()[0]
            response = connection.getresponse()
            body = response.read().decode()
        self.status = response.status
        self.retry_after_s = float(response.headers.get("Retry-After", 0))
        if response.status != 201:
            self._fail(f"HTTP {response.status}: {body[:200]}")
            return False
        self.session_url = urllib.parse.urljoin(self._url, response.headers["Location"])
        self.etag = response.headers.get("ETag", "")
        self.answer = Answer.read(body)
        self.socket.connect(self._server_address(server_host))
        self.state, self.due_s = "checking", now_s
        return True

    def _server_address(self, host: str) -> tuple[str, int]:
        """Return the candidate with the HTTP server's address; on loopback its port, whatever was announced."""
        reachable = [candidate for candidate in self.answer.candidates if candidate[0] == host]
        address, port = (reachable or self.answer.candidates)[0]
        return host if host.startswith("127.") else address, port

    def listen(self, host: str, port: int) -> tuple[str, int]:
        """Receive RTP from this address without ICE, DTLS and RTCP; return the own address."""
        self.socket = _udp_socket(self.source)
        self.socket.connect((host, port))
        self.state, self.due_s = "listening", math.inf
        own: tuple[str, int] = self.socket.getsockname()
        return own

    def handle_timeout(self, now_s: float) -> None:
        """Call it when ``due_s`` has come."""
        if self.state == "checking":
            self._check()
            self.due_s = now_s + _CHECK_INTERVAL_S[min(self._checks, len(_CHECK_INTERVAL_S)) - 1]
            if self._checks > 15:
                self._fail("no answer to ICE checks")
        elif self.state == "handshake":
            self._dtls.DTLSv1_handle_timeout()
            self._flush()
            self.due_s = now_s + 0.25
        elif self.state == "connected":
            self._keep_connected(now_s)

    def _keep_connected(self, now_s: float) -> None:
        """Check (RFC 7675, 5.1) and report (RFC 3550, 6.2) at times of their own, as browsers do."""
        if now_s >= self._check_s:
            self._check_s = now_s + _CONSENT_INTERVAL_S * random.uniform(0.8, 1.2)
            if self.keeps_consent:
                self._check()
        if now_s >= self._report_s:
            self._report_s = now_s + _REPORT_INTERVAL_S * random.uniform(0.5, 1.5)
            if self.reports:
                self.send_report(now_s=now_s)
        self.due_s = min(self._check_s, self._report_s)

    def handle_readable(self, now_s: float) -> None:
        """Receive one datagram from the socket."""
        assert self.socket is not None
        try:
            data = self.socket.recv(2048)
        except (BlockingIOError, ConnectionRefusedError):
            return
        if not self.loses():
            self.handle_datagram(data, now_s)

    def handle_datagram(self, data: bytes, now_s: float) -> None:
        """Process one datagram that the owner received."""
        first = data[0] if data else 255
        if 128 <= first < 192:
            self._media(data, now_s)
        elif 20 <= first < 64:
            self._handshake_datagram(data, now_s)
        elif first < 4:
            self._stun(data, now_s)

    def _media(self, data: bytes, now_s: float) -> None:
        if 192 <= data[1] < 224:
            if self.tx is not None:
                self._rtcp(self._rtcp_rx.unprotect_rtcp(data), now_s)
            return
        if not self.first_packet_s:
            self.first_packet_s = now_s
            self.media_ssrc = int.from_bytes(data[8:12], "big")
        self.counters.count(data[2] << 8 | data[3], len(data), now_s)
        if self.on_rtp is not None:
            self.on_rtp(data)

    def _rtcp(self, packet: bytes, now_s: float) -> None:
        if packet[1] == _SENDER_REPORT:
            self._sender_report = int.from_bytes(packet[10:14], "big"), now_s
        if self.on_rtcp is not None:
            self.on_rtcp(packet)

    def check(self) -> bytes:
        """Return an ICE check with a new transaction id."""
        return stun.check(f"{self.answer.ufrag}:{self._ufrag}", self.answer.password)

    def _check(self) -> None:
        self._checks += 1
        self._send(self.check())

    def _stun(self, data: bytes, now_s: float) -> None:
        message = stun.decode(data)
        if message.kind == stun.BINDING_REQUEST and stun.is_authentic(data, self._password):
            assert self.socket is not None
            self._send(stun.success(message, self._password, *self.socket.getpeername()[:2]))
        elif message.kind == stun.BINDING_SUCCESS and self.state == "checking":
            assert stun.is_authentic(data, self.answer.password), "an ICE response that is not authentic"
            self.state, self.due_s = "handshake", now_s + 0.25
            # Our role follows from the answer (RFC 8842): "passive" waits for us.
            if self.answer.setup == "passive":
                self._dtls.set_connect_state()
                self._step(now_s)
            else:
                self._dtls.set_accept_state()

    def _handshake_datagram(self, data: bytes, now_s: float) -> None:
        if self.state == "checking":
            return
        self._dtls.bio_write(data)
        if self.state == "handshake":
            self._step(now_s)
        else:
            # This also answers a retransmission of the server's last flight.
            self._read_alerts()
            self._flush()

    def _step(self, now_s: float) -> None:
        try:
            self._dtls.do_handshake()
        except SSL.WantReadError:
            pass
        except SSL.Error as error:
            self._fail(f"DTLS: {error}")
        else:
            self._secured(now_s)
        self._flush()

    def _read_alerts(self) -> None:
        try:
            self._dtls.recv(1500)
        except SSL.ZeroReturnError:
            self.state, self.reason = "closed", "close_notify"
        except SSL.WantReadError:
            pass
        except SSL.Error as error:
            self._fail(f"DTLS: {error}")

    def _secured(self, now_s: float) -> None:
        certificate = self._dtls.get_peer_certificate(as_cryptography=True)
        assert certificate is not None
        if certificate.fingerprint(hashes.SHA256()).hex(":").upper() not in self.answer.fingerprints:
            return self._fail("the server's certificate is not the one of its answer")
        self.profile = self._dtls.get_selected_srtp_profile()
        if not self.profile:
            return self._fail("no SRTP profile")
        number, salt = _PROFILES[self.profile]
        keys = self._dtls.export_keying_material(b"EXTRACTOR-dtls_srtp", 2 * (16 + salt))
        client, server = (
            keys[:16] + keys[32 : 32 + salt],
            keys[16:32] + keys[32 + salt :],
        )
        ours, theirs = (client, server) if self.answer.setup == "passive" else (server, client)
        self.tx = Session(Policy(ours, Policy.SSRC_ANY_OUTBOUND, srtp_profile=number))
        self._rx_policy = Policy(theirs, Policy.SSRC_ANY_INBOUND, srtp_profile=number)
        self._rtcp_rx = Session(self._rx_policy)
        self._check_s, self._report_s = now_s + random.uniform(0, 5), now_s + random.uniform(0, 5)
        self.state, self.due_s = "connected", min(self._check_s, self._report_s)
        return None

    def send_report(self, fraction_lost: float = 0.0, feedback: bytes = b"", now_s: float = 0.0) -> bytes:
        """Send ``protect_report`` and return the datagram."""
        datagram = self.protect_report(fraction_lost, feedback, now_s)
        self._send(datagram)
        return datagram

    def protect_report(self, fraction_lost: float = 0.0, feedback: bytes = b"", now_s: float = 0.0) -> bytes:
        """Return a receiver report with an SDES CNAME (RFC 3550, 6.4.2), followed by other packets, as SRTCP.

        Args:
            fraction_lost: 0 to 1, of the packets since the last report; the sum follows from it.
            feedback: The other packets.
            now_s: Current time, from which the delay since the last sender report follows; 0 leaves that out.
        """
        assert self.tx is not None
        highest = max(0, self.counters.highest)
        self._reported_lost += round(fraction_lost * max(0, highest - self._reported_highest))
        self._reported_highest = highest
        lost = round(256 * fraction_lost) << 24 | self._reported_lost
        last_sr, arrived_s = self._sender_report if self._sender_report is not None and now_s else (0, now_s)
        times = last_sr, round(65536 * (now_s - arrived_s))
        block = struct.pack("!IIIIII", self.media_ssrc, lost, highest, 0, *times)
        report = struct.pack("!BBHI", 0x81, 201, 7, self.ssrc) + block
        cname = struct.pack("!BBHIBB6s", 0x81, 202, 4, self.ssrc, 1, 6, b"player") + bytes(4)
        datagram: bytes = self.tx.protect_rtcp(report + cname + feedback)
        return datagram

    def decrypt(self, packets: Sequence[bytes]) -> list[bytes]:
        """Decrypt RTP packets; raise ``pylibsrtp.Error`` for an unauthentic or repeated one."""
        session = Session(self._rx_policy)
        return [session.unprotect(packet) for packet in packets]

    def close_dtls(self) -> None:
        """Send close_notify."""
        self._dtls.shutdown()
        self._flush()

    def move(self, host: str) -> None:
        """Continue from a new port, as after a NAT rebinding; the caller closes the old socket."""
        assert self.socket is not None
        server = self.socket.getpeername()
        self.socket = _udp_socket(host)
        self.socket.connect(server)
        self._check()

    def restart(self) -> int:
        """Request an ICE restart (RFC 9725, 4.3.3) by PATCH, blocking; return the status.

        After a 200 the next checks carry the new credentials.
        """
        self._ufrag, self._password = secrets.token_hex(4), secrets.token_hex(12)
        status, headers, body = self.patch(f"a=ice-ufrag:{self._ufrag}\r\na=ice-pwd:{self._password}\r\n", self.etag)
        if status == 200:
            self.etag = headers["ETag"]
            self.answer = self.answer.restarted(body)
        return status

    def trickle(self, candidate: str) -> int:
        """Trickle one candidate by PATCH, blocking; return the status."""
        lines = (f"a=ice-ufrag:{self._ufrag}", f"a=ice-pwd:{self._password}", "m=audio 9 UDP/TLS/RTP/SAVPF 0")
        fragment = "\r\n".join((*lines, "a=mid:0", f"a={candidate}", "a=end-of-candidates", ""))
        return self.patch(fragment, self.etag)[0]

    def patch(self, fragment: str, etag: str) -> tuple[int, http.client.HTTPMessage, str]:
        """PATCH the session, blocking; return status, header fields and body."""
        parts = urllib.parse.urlsplit(self.session_url)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=20)
        try:
            headers = {"Content-Type": "application/trickle-ice-sdpfrag", "If-Match": etag}
            connection.request("PATCH", parts.path, fragment, headers)
            response = connection.getresponse()
            return response.status, response.headers, response.read().decode()
        finally:
            connection.close()

    def send(self, datagram: bytes) -> None:
        """Send any datagram from the player's address."""
        self._send(datagram)

    def _send(self, datagram: bytes) -> None:
        assert self.socket is not None
        if self.loses():
            return
        with contextlib.suppress(BlockingIOError, ConnectionRefusedError):
            self.socket.send(datagram)

    def _flush(self) -> None:
        while True:
            try:
                records = self._dtls.bio_read(65_536)
            except SSL.WantReadError:
                return
            for datagram in _datagrams(records):
                self._send(datagram)

    def _fail(self, reason: str) -> None:
        self.state, self.reason = "failed", reason

    def delete(self, token: str | None = None) -> int:
        """DELETE the session, blocking, and close; return the status."""
        connection = self._connect(self.session_url)
        try:
            connection.request(
                "DELETE",
                urllib.parse.urlsplit(self.session_url).path,
                headers={"Authorization": f"Bearer {token}"} if token else {},
            )
            return connection.getresponse().status
        finally:
            connection.close()
            self.vanish()

    def vanish(self) -> None:
        """Close without a message."""
        if self.socket is not None:
            self.socket.close()
            self.socket = None
        self.state = "closed"


def _udp_socket(host: str) -> socket.socket:
    found = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
    found.bind((host, 0))
    found.setblocking(False)
    return found


def _datagrams(records: bytes) -> list[bytes]:
    """Put DTLS records (13-byte header with the length in its last two bytes) into few datagrams, as browsers do."""
    found: list[bytes] = []
    while records:
        size = 13 + int.from_bytes(records[11:13], "big")
        if found and len(found[-1]) + size <= _MTU:
            found[-1] += records[:size]
        else:
            found.append(records[:size])
        records = records[size:]
    return found
