"""Our DTLS certificate, the OpenSSL context of all sessions, and the choice of the peer fingerprints to verify.

Any thread may make a certificate and its connections; use each connection from one thread at a time.
"""

from __future__ import annotations

import datetime
import functools
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from OpenSSL import SSL, crypto

from .sdp import Fingerprint

_DTLS_1_2 = 0xFEFD
# "MUST support TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256" (RFC 8827, 6.5), so every peer does. The RSA suite is for
# peers with an RSA certificate. RecordReader supports only these two.
_CIPHERS = b"ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256"

_HASHES: dict[str, hashes.HashAlgorithm] = {
    "sha-256": hashes.SHA256(),
    "sha-384": hashes.SHA384(),
    "sha-512": hashes.SHA512(),
}
"""Fingerprint hashes, most preferred first. SHA-1 and MD5 are excluded: collisions make them unsafe."""

USABLE_HASHES = tuple(_HASHES)

Verifier = Callable[[crypto.X509], bool]
"""Type of the connection's application data: returns whether the certificate is the signaled one."""


@dataclass(frozen=True, slots=True)
class SrtpProfile:
    """An SRTP protection profile (RFC 5764, 4.1.2; RFC 7714, 14.2)."""

    number: int
    name: bytes
    """Name used by OpenSSL."""
    key_bytes: int
    salt_bytes: int


_SIGNATURE_ALGORITHMS = (
    b"ECDSA+SHA256:ECDSA+SHA384:ECDSA+SHA512:ed25519:RSA-PSS+SHA256:RSA+SHA256:RSA+SHA384:RSA+SHA512"
)
"""Those of certificates in use, instead of OpenSSL's 20. A path that is not validated gets only three times as many
bytes as came from there: with this list, one check of Firefox allows its answer, our ClientHello and our own check."""

SRTP_PROFILES = (
    SrtpProfile(7, b"SRTP_AEAD_AES_128_GCM", 16, 12),
    SrtpProfile(1, b"SRTP_AES128_CM_SHA1_80", 16, 14),
)
"""Most preferred first."""


class Certificate:
    """Our key pair and its self-signed certificate. The private key exists in memory only.

    Attributes:
        fingerprint: SHA-256 fingerprint for the session description.
    """

    __slots__ = ("_certificate", "_private_key", "fingerprint")

    def __init__(self, certificate: x509.Certificate, private_key: ec.EllipticCurvePrivateKey) -> None:
        """
        Args:
            certificate: X.509 certificate of ``private_key``.
            private_key: Key of the certificate; every peer must support P-256 (RFC 8827, 6.5).
        """
        self.fingerprint = fingerprint_of(certificate, "sha-256")
        self._certificate = certificate
        self._private_key = private_key

    def new_connection(self, verifier: Verifier) -> SSL.Connection:
        """Return an OpenSSL connection with this certificate.

        Args:
            verifier: Returns whether the peer's certificate is the signaled one.
        """
        connection = SSL.Connection(_context())
        connection.use_certificate(self._certificate)
        connection.use_privatekey(self._private_key)
        connection.set_app_data(verifier)
        return connection

    @classmethod
    def generate(cls) -> Certificate:
        """Generate an ECDSA P-256 key and its certificate."""
        private_key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "bass-webrtc")])
        builder = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(private_key.public_key())
            .serial_number(x509.random_serial_number())
            # Peers compare only the fingerprint, so the validity needs no clock and reveals none.
            .not_valid_before(datetime.datetime(2000, 1, 1))
            .not_valid_after(datetime.datetime(9999, 12, 31, 23, 59, 59))
        )
        return cls(builder.sign(private_key, hashes.SHA256()), private_key)


def usable_fingerprints(fingerprints: Sequence[Fingerprint]) -> tuple[Fingerprint, ...]:
    """Return the fingerprints of the most preferred hash offered; any of them may match (RFC 8122, 5.1).

    If the result is empty, the peer must be refused.
    """
    for algorithm in _HASHES:
        chosen = tuple(fingerprint for fingerprint in fingerprints if fingerprint.algorithm == algorithm)
        if chosen:
            return chosen
    return ()


def is_signaled(certificate: bytes, fingerprints: Sequence[Fingerprint]) -> bool:
    """Return whether a certificate (DER) has one of the ``usable_fingerprints``."""
    algorithm = fingerprints[0].algorithm
    digest = hashlib.new(algorithm.replace("-", ""), certificate).digest()
    return Fingerprint(algorithm, digest.hex(":").upper()) in fingerprints


def fingerprint_of(certificate: x509.Certificate, algorithm: str) -> Fingerprint:
    """Return the fingerprint of a certificate (RFC 8122, 5); ``algorithm`` is one of ``USABLE_HASHES``."""
    return Fingerprint(algorithm, certificate.fingerprint(_HASHES[algorithm]).hex(":").upper())


def _verify(connection: SSL.Connection, certificate: crypto.X509, error: int, depth: int, preverified: int) -> bool:
    """Verify one certificate of the chain for OpenSSL. Only the peer's own is checked; the issuer does not matter.

    The check runs during the handshake, so that no keys exist for a peer with the wrong certificate.
    """
    verifier: Verifier = connection.get_app_data()
    return depth > 0 or verifier(certificate)


@functools.cache
def _context() -> SSL.Context:
    """Return the context of all connections. It has no keys and keeps no sessions: making one takes 0.2 ms."""
    context = SSL.Context(SSL.DTLS_METHOD)
    context.set_min_proto_version(_DTLS_1_2)
    # DTLS 1.3 would need another RecordReader; peers that support it fall back to 1.2.
    context.set_max_proto_version(_DTLS_1_2)
    context.set_cipher_list(_CIPHERS)
    context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, _verify)
    context.set_tlsext_use_srtp(b":".join(profile.name for profile in SRTP_PROFILES))
    # DtlsSession has checked the cookie before OpenSSL does.
    context.set_cookie_verify_callback(lambda _connection, _cookie: True)
    # A resumed session would skip the certificate check.
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    context.set_options(SSL.OP_NO_TICKET | SSL.OP_NO_RENEGOTIATION | SSL.OP_NO_QUERY_MTU)
    context.set_mode(SSL.MODE_RELEASE_BUFFERS)
    # pyOpenSSL has no method for this. Without it, our first flight is 24 bytes longer.
    set_algorithms = getattr(getattr(SSL, "_lib", None), "SSL_CTX_set1_sigalgs_list", None)
    if set_algorithms is not None:
        set_algorithms(context._context, _SIGNATURE_ALGORITHMS)
    return context
