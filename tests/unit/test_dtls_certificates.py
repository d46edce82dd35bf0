"""Odd certificates of peers: the fingerprint decides, the handshake needs only the public key (RFC 8122, 5)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import partial

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from dtls_ends import OURS, ROLES, OpenSslPeer, exchange, openssl_context, opposite, rsa_key
from OpenSSL import crypto

from bass_webrtc.rtc.dtls import Connected, DtlsRole, DtlsSession, Failed
from bass_webrtc.rtc.sdp import Fingerprint
from support.conformance import covers

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # crypto.X509 in OpenSSL's own peer

Key = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey

INTEGER, BIT_STRING, OCTET_STRING, OID, PRINTABLE, UTC_TIME, SEQUENCE, SET = 2, 3, 4, 6, 19, 23, 0x30, 0x31
ECDSA_SHA256, ED25519, RSA_SHA256 = (
    bytes.fromhex(oid) for oid in ("06082a8648ce3d040302", "06032b6570", "06092a864886f70d01010b0500")
)


def der(tag: int, *parts: bytes) -> bytes:
    body = b"".join(parts)
    size = len(body).to_bytes((len(body).bit_length() + 7) // 8)
    return bytes((tag,)) + (bytes((len(body),)) if len(body) < 128 else bytes((0x80 | len(size),)) + size) + body


def name(common_name: bytes) -> bytes:
    return der(SEQUENCE, der(SET, der(SEQUENCE, der(OID, b"\x55\x04\x03"), der(PRINTABLE, common_name))))


def validity(first: bytes, last: bytes) -> bytes:
    return der(SEQUENCE, der(UTC_TIME, first), der(UTC_TIME, last))


def version(number: int) -> bytes:
    """Return the field's encoding; 2 stands for X.509 v3."""
    return der(0xA0, der(INTEGER, bytes((number,))))


def extension(oid: bytes, value: bytes, *, critical: bool) -> bytes:
    return der(SEQUENCE, der(OID, oid), b"\x01\x01\xff" if critical else b"", der(OCTET_STRING, value))


UNKNOWN = b"\x2b\x06\x01\x04\x01\x83\xbf\x30\x01"


def certificate_of(
    key: Key,
    *,
    version: bytes = version(2),
    serial: bytes = b"\x01",
    issuer: bytes = name(b"WebRTC"),
    subject: bytes = name(b"WebRTC"),
    validity: bytes = validity(b"250101000000Z", b"491231235959Z"),
    extensions: bytes = b"",
    sign: Callable[[bytes], bytes] | None = None,
) -> bytes:
    """Return a certificate (DER) with the given fields, encoded by the caller."""
    public_key = key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    algorithm = _algorithm_of(key)
    fields = [version, der(INTEGER, serial), der(SEQUENCE, algorithm), issuer, validity, subject, public_key]
    if extensions:
        fields.append(der(0xA3, der(SEQUENCE, extensions)))
    body = der(SEQUENCE, *fields)
    return der(SEQUENCE, body, der(SEQUENCE, algorithm), der(BIT_STRING, b"\x00" + (sign or partial(_sign, key))(body)))


def _algorithm_of(key: Key) -> bytes:
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return ECDSA_SHA256
    return ED25519 if isinstance(key, ed25519.Ed25519PrivateKey) else RSA_SHA256


def _sign(key: Key, data: bytes) -> bytes:
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return key.sign(data, ec.ECDSA(hashes.SHA256()))
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return key.sign(data)
    return key.sign(data, padding.PKCS1v15(), hashes.SHA256())


P256 = ec.generate_private_key(ec.SECP256R1())
ODD = {
    "version 2, as libdatachannel writes it": certificate_of(P256, version=version(1)),
    "version 4": certificate_of(P256, version=version(3)),
    "version 256": certificate_of(P256, version=der(0xA0, der(INTEGER, b"\x00\xff"))),
    "negative version": certificate_of(P256, version=der(0xA0, der(INTEGER, b"\xff"))),
    "version 1": certificate_of(P256, version=b""),
    "version 1 with extensions": certificate_of(P256, version=b"", extensions=extension(UNKNOWN, b"", critical=False)),
    "serial number 0": certificate_of(P256, serial=b"\x00"),
    "negative serial number": certificate_of(P256, serial=b"\x80"),
    "serial number of 40 bytes": certificate_of(P256, serial=b"\x7f" * 40),
    "expired": certificate_of(P256, validity=validity(b"000101000000Z", b"000102000000Z")),
    "not yet valid": certificate_of(P256, validity=validity(b"480101000000Z", b"490101000000Z")),
    "ends before it begins": certificate_of(P256, validity=validity(b"480101000000Z", b"000101000000Z")),
    "dates that do not exist": certificate_of(P256, validity=validity(b"259999000000Z", b"not a date!!!")),
    "empty subject": certificate_of(P256, issuer=der(SEQUENCE), subject=der(SEQUENCE)),
    "subject that is no text": certificate_of(P256, subject=name(b"\xff\xfe\x00")),
    "other issuer": certificate_of(P256, issuer=name(b"somebody else")),
    "unknown extension": certificate_of(P256, extensions=extension(UNKNOWN, b"\x05\x00", critical=False)),
    "unknown critical extension": certificate_of(P256, extensions=extension(UNKNOWN, b"\x05\x00", critical=True)),
    "extension twice": certificate_of(P256, extensions=2 * extension(UNKNOWN, b"\x05\x00", critical=False)),
    "wrong signature": certificate_of(P256, sign=lambda _data: b"\x30\x06\x02\x01\x01\x02\x01\x01"),
    "empty signature": certificate_of(P256, sign=lambda _data: b""),
}


def peer_with(certificate: bytes, key: Key, role: DtlsRole) -> tuple[OpenSslPeer, Fingerprint]:
    context, _ = openssl_context(with_certificate=False)
    context.use_certificate(crypto.load_certificate(crypto.FILETYPE_ASN1, certificate))
    context.use_privatekey(key)
    return OpenSslPeer(context, role), Fingerprint("sha-256", hashlib.sha256(certificate).digest().hex(":").upper())


@covers("SE1")
@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("certificate", [pytest.param(data, id=label) for label, data in ODD.items()])
def test_peer_with_odd_certificate_connects(certificate: bytes, role: DtlsRole) -> None:
    peer, fingerprint = peer_with(certificate, P256, opposite(role))
    [event] = exchange(DtlsSession(OURS, role, [fingerprint]), peer)
    assert isinstance(event, Connected)


@covers("SE6")
@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize(
    "make_key",
    [
        pytest.param(lambda: ec.generate_private_key(ec.SECP384R1()), id="P-384"),
        pytest.param(lambda: ec.generate_private_key(ec.SECP521R1()), id="P-521"),
        pytest.param(ed25519.Ed25519PrivateKey.generate, id="Ed25519"),
        pytest.param(lambda: rsa_key(2048), id="RSA 2048"),
    ],
)
def test_odd_certificate_may_have_any_usual_key(make_key: Callable[[], Key], role: DtlsRole) -> None:
    key = make_key()
    if isinstance(key, ed25519.Ed25519PrivateKey) and role == "client":
        return  # OpenSSL has no such server before DTLS 1.3.
    peer, fingerprint = peer_with(certificate_of(key, version=version(1)), key, opposite(role))
    [event] = exchange(DtlsSession(OURS, role, [fingerprint]), peer)
    assert isinstance(event, Connected)


@covers("SE6")
@pytest.mark.parametrize("role", ROLES)
def test_small_rsa_key_is_left_to_openssl(role: DtlsRole) -> None:
    """OpenSSL's security level, which the administrator of a system may set, decides: it refuses or connects."""
    key = rsa_key(1024)
    peer, fingerprint = peer_with(certificate_of(key), key, opposite(role))
    [event] = exchange(DtlsSession(OURS, role, [fingerprint]), peer)
    assert isinstance(event, Connected) or (isinstance(event, Failed) and "too small" in event.reason)


@covers("SE1")
@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("signaled", ODD)
def test_other_certificate_of_the_same_key_is_refused(signaled: str, role: DtlsRole) -> None:
    """The fingerprint is that of the whole certificate, not of its key."""
    peer, _ = peer_with(certificate_of(P256), P256, opposite(role))
    fingerprint = Fingerprint("sha-256", hashlib.sha256(ODD[signaled]).digest().hex(":").upper())
    [event] = exchange(DtlsSession(OURS, role, [fingerprint]), peer)
    assert isinstance(event, Failed)
