"""Parts of the lightweight player: its certificate, the parsed answer, and its counters."""

from __future__ import annotations

import datetime
from dataclasses import dataclass, replace

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from OpenSSL import SSL


class Certificate:
    """A self-signed certificate and a DTLS context that uses it; players may share one."""

    def __init__(self, profiles: bytes = b"SRTP_AEAD_AES_128_GCM:SRTP_AES128_CM_SHA1_80") -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "player")])
        day = datetime.timedelta(days=1)
        now = datetime.datetime.now(datetime.UTC)
        builder = x509.CertificateBuilder(
            name, name, key.public_key(), x509.random_serial_number(), now - day, now + day
        )
        certificate = builder.sign(key, hashes.SHA256())
        self.fingerprint = certificate.fingerprint(hashes.SHA256()).hex(":").upper()
        self.context = SSL.Context(SSL.DTLS_METHOD)
        self.context.use_certificate(certificate)
        self.context.use_privatekey(key)
        self.context.set_tlsext_use_srtp(profiles)
        self.context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, lambda *_: True)


@dataclass
class Answer:
    """The fields of the SDP answer that a player needs."""

    ufrag: str
    password: str
    setup: str
    fingerprints: set[str]
    candidates: list[tuple[str, int]]

    @classmethod
    def read(cls, sdp: str) -> Answer:
        values: dict[str, list[str]] = {}
        for line in sdp.splitlines():
            name, _, value = line.removeprefix("a=").partition(":")
            values.setdefault(name, []).append(value)
        fields = [candidate.split() for candidate in values.get("candidate", [])]
        return cls(
            values["ice-ufrag"][0],
            values["ice-pwd"][0],
            values["setup"][0],
            {value.split()[1].upper() for value in values["fingerprint"] if value.startswith("sha-256 ")},
            [(field[4], int(field[5])) for field in fields if field[2].lower() == "udp"],
        )

    def restarted(self, fragment: str) -> Answer:
        """Return the same with the credentials of an ICE restart."""
        values = dict(line.removeprefix("a=").split(":", 1) for line in fragment.splitlines() if ":" in line)
        return replace(self, ufrag=values["ice-ufrag"], password=values["ice-pwd"])


class Counters:
    """Packets received since the last reset. Sequence numbers show what is missing."""

    def __init__(self) -> None:
        self.packets = 0
        self.octets = 0
        self.first_sequence = -1
        self.highest = -1
        self.duplicates = 0
        self.last_arrival_s = 0.0
        self.longest_gap_s = 0.0

    def count(self, sequence: int, size: int, now_s: float) -> None:
        if self.packets == 0:
            self.first_sequence = self.highest = sequence
        else:
            step = (sequence - self.highest + 0x8000 & 0xFFFF) - 0x8000
            if step > 0:
                self.highest += step
            elif step == 0:
                self.duplicates += 1
            self.longest_gap_s = max(self.longest_gap_s, now_s - self.last_arrival_s)
        self.packets += 1
        self.octets += size
        self.last_arrival_s = now_s

    @property
    def missing(self) -> int:
        """Frames missing between the first and the last."""
        return self.highest - self.first_sequence + 1 - (self.packets - self.duplicates) if self.packets else 0
