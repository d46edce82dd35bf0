"""STUN for test peers (RFC 8489, RFC 8445): just what an ICE check needs.

Written independently of the product, so that one mistake cannot hide on both sides of a test.
"""

from __future__ import annotations

import binascii
import hashlib
import hmac
import ipaddress
import secrets
import struct
from dataclasses import dataclass, field

MAGIC_COOKIE = 0x2112A442

BINDING_REQUEST = 0x0001
BINDING_SUCCESS = 0x0101
BINDING_ERROR = 0x0111

USERNAME = 0x0006
MESSAGE_INTEGRITY = 0x0008
ERROR_CODE = 0x0009
XOR_MAPPED_ADDRESS = 0x0020
PRIORITY = 0x0024
USE_CANDIDATE = 0x0025
FINGERPRINT = 0x8028
ICE_CONTROLLED = 0x8029
ICE_CONTROLLING = 0x802A

_FINGERPRINT_XOR = 0x5354554E


@dataclass
class Message:
    """A STUN message; ``encode`` adds MESSAGE-INTEGRITY and FINGERPRINT."""

    kind: int
    transaction_id: bytes = field(default_factory=lambda: secrets.token_bytes(12))
    attributes: list[tuple[int, bytes]] = field(default_factory=list)

    def encode(self, password: str | None, *, fingerprint: bool = True) -> bytes:
        """The datagram, authenticated with the password unless it is None."""
        body = b"".join(_attribute(kind, value) for kind, value in self.attributes)
        if password is not None:
            covered = self._header(len(body) + 24) + body
            body += _attribute(MESSAGE_INTEGRITY, hmac.digest(password.encode(), covered, hashlib.sha1))
        if fingerprint:
            crc = binascii.crc32(self._header(len(body) + 8) + body) ^ _FINGERPRINT_XOR
            body += _attribute(FINGERPRINT, struct.pack("!I", crc))
        return self._header(len(body)) + body

    def _header(self, length: int) -> bytes:
        return struct.pack("!HHI12s", self.kind, length, MAGIC_COOKIE, self.transaction_id)


def decode(data: bytes) -> Message:
    """Parse a well-formed datagram; raise ``ValueError`` or ``struct.error`` for others."""
    kind, length, cookie, transaction_id = struct.unpack_from("!HHI12s", data)
    if cookie != MAGIC_COOKIE or length != len(data) - 20:
        raise ValueError("no STUN message")
    message, offset = Message(kind, transaction_id), 20
    while offset < len(data):
        attribute, size = struct.unpack_from("!HH", data, offset)
        message.attributes.append((attribute, data[offset + 4 : offset + 4 + size]))
        offset += 4 + (size + 3) // 4 * 4
    return message


def is_authentic(data: bytes, password: str) -> bool:
    """Return whether MESSAGE-INTEGRITY is present and correct."""
    offset = 20
    while offset + 4 <= len(data):
        attribute, size = struct.unpack_from("!HH", data, offset)
        if attribute == MESSAGE_INTEGRITY:
            covered = data[:2] + struct.pack("!H", offset + 4) + data[4:offset]
            return hmac.compare_digest(
                data[offset + 4 : offset + 24], hmac.digest(password.encode(), covered, hashlib.sha1)
            )
        offset += 4 + (size + 3) // 4 * 4
    return False


def check(username: str, password: str, *, use_candidate: bool = True) -> bytes:
    """Return the connectivity check of a controlling full agent (RFC 8445, 7.1)."""
    attributes = [
        (USERNAME, username.encode()),
        (PRIORITY, struct.pack("!I", 1_853_824_767)),
        (ICE_CONTROLLING, secrets.token_bytes(8)),
    ]
    if use_candidate:
        attributes.append((USE_CANDIDATE, b""))
    return Message(BINDING_REQUEST, attributes=attributes).encode(password)


def success(request: Message, password: str | None, host: str, port: int) -> bytes:
    """Return the success response to a check from this address."""
    address = ipaddress.ip_address(host).packed
    key = struct.pack("!I", MAGIC_COOKIE) + request.transaction_id
    mapped = struct.pack("!BBH", 0, 1 if len(address) == 4 else 2, port ^ (MAGIC_COOKIE >> 16))
    mapped += bytes(one ^ other for one, other in zip(address, key, strict=False))
    return Message(BINDING_SUCCESS, request.transaction_id, [(XOR_MAPPED_ADDRESS, mapped)]).encode(password)


def _attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("!HH", kind, len(value)) + value + bytes(-len(value) % 4)
