"""DTLS 1.2 records: parsing, making, packing into datagrams, and decrypting without OpenSSL (RFC 6347, 4.1).

    type | version 0xFEFD | epoch (2) | sequence (6) | length (2) | fragment

After the handshake an OpenSSL connection holds about 90 kB of memory per peer, and its only remaining use is to
decrypt one alert, close_notify, and to recognize the peer's Finished. ``RecordReader`` does that with 20 bytes of keys.
It only decrypts: all records that we send are encrypted by OpenSSL, so no nonce can be reused here.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterator, Sequence
from struct import Struct
from typing import NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

CHANGE_CIPHER_SPEC = 20
ALERT = 21
HANDSHAKE = 22
APPLICATION_DATA = 23
_CONTENT_TYPES = frozenset({CHANGE_CIPHER_SPEC, ALERT, HANDSHAKE, APPLICATION_DATA})

ALERT_CLOSE_NOTIFY = 0
ALERT_BAD_CERTIFICATE = 42
_FATAL = 2

HEADER_BYTES = 13
_header = Struct("!BHH6sH")
_DTLS_1_2 = 0xFEFD
_DTLS_MAJOR = 0xFE  # DTLS 1.0 is 0xFEFF, 1.2 is 0xFEFD; the first hello may carry either.
_KEY_BYTES, _SALT_BYTES, _NONCE_BYTES, _TAG_BYTES = 16, 4, 8, 16


class Record(NamedTuple):
    """One record of a datagram."""

    content_type: int
    epoch: int
    fragment: bytes
    """The bytes after the header: plaintext in epoch 0, encrypted afterwards."""
    data: bytes
    """The whole record."""


def records(data: bytes) -> Iterator[Record]:
    """Yield the well-formed DTLS records at the start of ``data``, up to the first malformed one.

    Accepts any bytes: "invalid records SHOULD be silently discarded" (RFC 6347, 4.1.2.7).
    """
    at = 0
    while at + HEADER_BYTES <= len(data):
        content_type, version, epoch, _sequence, length = _header.unpack_from(data, at)
        end = at + HEADER_BYTES + length
        if content_type not in _CONTENT_TYPES or version >> 8 != _DTLS_MAJOR or end > len(data):
            return
        yield Record(content_type, epoch, data[at + HEADER_BYTES : end], data[at:end])
        at = end


def plain_record(content_type: int, number: int, fragment: bytes) -> bytes:
    """Return a record of epoch 0."""
    return _header.pack(content_type, _DTLS_1_2, 0, number.to_bytes(6), len(fragment)) + fragment


def ends_handshake(record: Record) -> bool:
    """Return whether the record is a plaintext fatal alert or close_notify. Anyone can forge it."""
    level, description = record.fragment if len(record.fragment) == 2 else (0, 255)
    return record.content_type == ALERT and (level == _FATAL or description == ALERT_CLOSE_NOTIFY)


def pack(parts: Sequence[bytes], mtu: int) -> list[bytes]:
    """Pack records into as few datagrams as possible, in order. Only a single record may exceed ``mtu`` bytes."""
    datagrams: list[bytes] = []
    for part in parts:
        if datagrams and len(datagrams[-1]) + len(part) <= mtu:
            datagrams[-1] += part
        else:
            datagrams.append(part)
    return datagrams


class RecordReader:
    """Decrypts the records of one direction of TLS_ECDHE_*_WITH_AES_128_GCM_SHA256 (RFC 5288)."""

    __slots__ = ("_key", "_salt")

    def __init__(self, master_secret: bytes, client_random: bytes, server_random: bytes, *, from_client: bool) -> None:
        """
        Args:
            master_secret: 48 bytes.
            client_random: 32 bytes of the ClientHello.
            server_random: 32 bytes of the ServerHello.
            from_client: Whether the records come from the client.
        """
        # The key block is: client key, server key, client salt, server salt (RFC 5246, 6.3).
        seed = b"key expansion" + server_random + client_random
        block = _expand(master_secret, seed, 2 * (_KEY_BYTES + _SALT_BYTES))
        key_at = 0 if from_client else _KEY_BYTES
        salt_at = 2 * _KEY_BYTES + (0 if from_client else _SALT_BYTES)
        self._key = block[key_at : key_at + _KEY_BYTES]
        self._salt = block[salt_at : salt_at + _SALT_BYTES]

    def ends_session(self, record: Record) -> bool:
        """Return whether this is an authentic close_notify or fatal alert; both end the session (RFC 5246, 7.2)."""
        alert = self._open(record) if record.content_type == ALERT else b""
        return len(alert) == 2 and (alert[0] == _FATAL or alert[1] == ALERT_CLOSE_NOTIFY)

    def is_finished(self, record: Record) -> bool:
        """Return whether this is an authentic handshake message: the peer's Finished, perhaps retransmitted."""
        return record.content_type == HANDSHAKE and self._open(record) != b""

    def _open(self, record: Record) -> bytes:
        """Return the plaintext; empty if the record is not authentic."""
        length = len(record.fragment) - _NONCE_BYTES - _TAG_BYTES
        if record.epoch != 1 or length < 0:
            return b""
        nonce = self._salt + record.fragment[:_NONCE_BYTES]
        # Epoch and sequence, type, version, length of the plaintext (RFC 5246, 6.2.3.3; RFC 6347, 4.1.2.1).
        covered = record.data[3:11] + record.data[:3] + length.to_bytes(2)
        try:
            return AESGCM(self._key).decrypt(nonce, record.fragment[_NONCE_BYTES:], covered)
        except InvalidTag:
            return b""


def as_bad_certificate(record: Record) -> Record:
    """Turn an alert into bad_certificate, as RFC 8122, 6.2 requires; OpenSSL sends unknown_ca.

    Other records are returned unchanged. Certificates are refused in epoch 0, where alerts are plaintext.
    """
    if record.content_type == ALERT and record.epoch == 0:
        return record._replace(data=record.data[:-1] + bytes((ALERT_BAD_CERTIFICATE,)))
    return record


def renumbered(record: Record, number: int) -> bytes:
    """Return the bytes of an epoch 0 record with another record number."""
    return record.data[:5] + number.to_bytes(6) + record.data[11:]


def _expand(secret: bytes, seed: bytes, length: int) -> bytes:
    """Compute P_SHA256, the pseudorandom function of TLS 1.2 (RFC 5246, 5)."""
    expanded, chained = b"", seed
    while len(expanded) < length:
        chained = hmac.digest(secret, chained, "sha256")
        expanded += hmac.digest(secret, chained + seed, "sha256")
    return expanded[:length]
