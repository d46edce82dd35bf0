"""STUN messages for ICE: parsing, authentication, building (RFC 8489, RFC 8445).

    0x0001 length cookie | transaction id (12) | type length value… | MESSAGE-INTEGRITY | FINGERPRINT

Sans-I/O; all functions may be called from any thread. ``Message.parse`` raises only ``StunError``, whatever the bytes
are, and takes time linear in the length of the datagram.
"""

from __future__ import annotations

import hmac
import ipaddress
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from struct import Struct

from ..errors import IceError

BINDING_REQUEST = 0x0001
BINDING_INDICATION = 0x0011
BINDING_SUCCESS = 0x0101
BINDING_ERROR = 0x0111

USERNAME = 0x0006
MESSAGE_INTEGRITY = 0x0008
ERROR_CODE = 0x0009
UNKNOWN_ATTRIBUTES = 0x000A
XOR_MAPPED_ADDRESS = 0x0020
PRIORITY = 0x0024
USE_CANDIDATE = 0x0025
FINGERPRINT = 0x8028
ICE_CONTROLLED = 0x8029
ICE_CONTROLLING = 0x802A

HEADER_BYTES = 20
MAX_ATTRIBUTES = 64
"""Messages with this many attributes are rejected early to bound the cost; a binding request has about eight."""

_COOKIE = b"\x21\x12\xa4\x42"
_INTEGRITY_BYTES = 20
_FINGERPRINT_XOR = 0x5354554E
_FAMILIES = {4: b"\x00\x01", 16: b"\x00\x02"}
_FIXED_LENGTHS = {
    MESSAGE_INTEGRITY: _INTEGRITY_BYTES,
    FINGERPRINT: 4,
    PRIORITY: 4,
    ICE_CONTROLLED: 8,
    ICE_CONTROLLING: 8,
}
_SUPPORTED = frozenset(
    {USERNAME, MESSAGE_INTEGRITY, ERROR_CODE, UNKNOWN_ATTRIBUTES, XOR_MAPPED_ADDRESS, PRIORITY, USE_CANDIDATE}
)
_FIRST_OPTIONAL = 0x8000
_PEER_REFLEXIVE_PRIORITY = (110 << 24 | 65_535 << 8 | 255).to_bytes(4)  # RFC 8445, 5.1.2.1, component 1.

_header = Struct("!HH4s12s")
_attribute = Struct("!HH")
_u16 = Struct("!H")
_u32 = Struct("!I")


class StunError(IceError):
    """The datagram is not a STUN message that ICE can use."""


@dataclass(frozen=True, slots=True)
class Message:
    """A received STUN message. Its FINGERPRINT has been checked, its sender not yet authenticated."""

    kind: int
    """Message type (class and method), for example ``BINDING_REQUEST``."""
    transaction_id: bytes
    attributes: dict[int, bytes]
    """Values without padding. If an attribute occurs twice, the first is used (RFC 8489, 14)."""
    has_fingerprint: bool
    integrity_at: int
    """Offset of MESSAGE-INTEGRITY in ``data``; 0 if there is none."""
    data: bytes

    @classmethod
    def parse(cls, data: bytes) -> Message:
        """Parse one datagram.

        Args:
            data: The whole datagram.

        Raises:
            StunError: Not STUN, inconsistent lengths, ``MAX_ATTRIBUTES`` or more, or a wrong FINGERPRINT.
        """
        kind, transaction_id = _parse_header(data)
        attributes: dict[int, bytes] = {}
        integrity_at = 0
        at, end = HEADER_BYTES, len(data)
        for _ in range(MAX_ATTRIBUTES):
            if at == end:
                return cls(kind, transaction_id, attributes, FINGERPRINT in attributes, integrity_at, data)
            attribute, value, following = _parse_attribute(data, at, end)
            if attribute == FINGERPRINT:
                _check_fingerprint(data, at, value)
            elif integrity_at:
                # "agents MUST ignore all other attributes that follow MESSAGE-INTEGRITY" (RFC 8489, 14.5).
                at = following
                continue
            elif attribute == MESSAGE_INTEGRITY:
                integrity_at = at
            attributes.setdefault(attribute, value)
            at = following
        raise StunError(f"too many attributes; expected fewer than {MAX_ATTRIBUTES}")

    def is_authentic(self, password: bytes) -> bool:
        """Return whether the message has a MESSAGE-INTEGRITY made with this password (RFC 8489, 9.1.3 and 14.5)."""
        if not self.integrity_at:
            return False
        covered = self.data[: self.integrity_at]
        expected = _integrity(covered, password)
        return hmac.compare_digest(expected, self.attributes[MESSAGE_INTEGRITY])

    def unknown_required(self) -> tuple[int, ...]:
        """Return the comprehension-required attributes that we do not support (RFC 8489, 6.3.1)."""
        return tuple(kind for kind in self.attributes if kind < _FIRST_OPTIONAL and kind not in _SUPPORTED)


def build(kind: int, transaction_id: bytes, attributes: Iterable[tuple[int, bytes]], password: bytes) -> bytes:
    """Build a message that ends with MESSAGE-INTEGRITY and FINGERPRINT.

    Args:
        kind: Message type, for example ``BINDING_SUCCESS``.
        transaction_id: 12 bytes.
        attributes: Types and values in order; padding is added here.
        password: Key of MESSAGE-INTEGRITY: a short-term credential, as ICE uses them (RFC 8489, 9.1.1).
    """
    parts = [_header.pack(kind, 0, _COOKIE, transaction_id)]
    for attribute, value in attributes:
        parts += (_attribute.pack(attribute, len(value)), value, bytes(-len(value) % 4))
    covered = b"".join(parts)
    integrity = _integrity(covered, password)
    signed = covered + _attribute.pack(MESSAGE_INTEGRITY, _INTEGRITY_BYTES) + integrity
    signed = _with_length(signed, len(signed) - HEADER_BYTES + 8)
    return signed + _attribute.pack(FINGERPRINT, 4) + _u32.pack(_fingerprint(signed))


def build_check(transaction_id: bytes, username: bytes, password: bytes) -> bytes:
    """Build a connectivity check of a controlled agent (RFC 8445, 7.2.2).

    The tie-breaker is 0, so a peer that believes that it is controlled, too, takes the other role (7.3.1.1).

    Args:
        transaction_id: 12 random bytes.
        username: The receiver's and our user name fragment, separated by a colon.
        password: The receiver's password.
    """
    attributes = ((USERNAME, username), (PRIORITY, _PEER_REFLEXIVE_PRIORITY), (ICE_CONTROLLED, bytes(8)))
    return build(BINDING_REQUEST, transaction_id, attributes, password)


def build_success(request: Message, host: str, port: int, password: bytes) -> bytes:
    """Build the success response to a binding request, with the request's source address (RFC 8489, 14.2).

    Args:
        request: The request to answer.
        host: IPv4 or IPv6 source address of the request; a scope (``%2``) is ignored.
        port: UDP source port of the request.
        password: The password the request was signed with.
    """
    address = xor_mapped_address(host, port, request.transaction_id)
    return build(BINDING_SUCCESS, request.transaction_id, ((XOR_MAPPED_ADDRESS, address),), password)


def build_error(request: Message, code: int, reason: str, password: bytes, unknown: Iterable[int] = ()) -> bytes:
    """Build an error response (RFC 8489, 14.8); ``unknown`` fills UNKNOWN-ATTRIBUTES (14.9)."""
    attributes = [(ERROR_CODE, bytes((0, 0, code // 100, code % 100)) + reason.encode())]
    listed = b"".join(_u16.pack(attribute) for attribute in unknown)
    if listed:
        attributes.append((UNKNOWN_ATTRIBUTES, listed))
    return build(BINDING_ERROR, request.transaction_id, attributes, password)


def xor_mapped_address(host: str, port: int, transaction_id: bytes) -> bytes:
    """Return the value of XOR-MAPPED-ADDRESS (RFC 8489, 14.2); the XOR keeps NATs from rewriting the address."""
    address = _packed(host)
    mask = _COOKIE + transaction_id
    hidden = int.from_bytes(address) ^ int.from_bytes(mask[: len(address)])
    return _FAMILIES[len(address)] + _u16.pack(port ^ 0x2112) + hidden.to_bytes(len(address))


def _parse_header(data: bytes) -> tuple[int, bytes]:
    if len(data) < HEADER_BYTES:
        raise StunError(f"the datagram has {len(data)} bytes; expected at least {HEADER_BYTES}")
    kind, length, cookie, transaction_id = _header.unpack_from(data)
    if kind >= 0x4000 or cookie != _COOKIE:
        raise StunError("the datagram is not STUN: wrong type bits or magic cookie")
    if length % 4 or length != len(data) - HEADER_BYTES:
        raise StunError(f"the length field is {length}; expected {len(data) - HEADER_BYTES}, a multiple of 4")
    return kind, transaction_id


def _parse_attribute(data: bytes, at: int, end: int) -> tuple[int, bytes, int]:
    """Return the type, the value, and the offset of the next attribute."""
    if end - at < 4:
        raise StunError("an attribute header is cut short")
    attribute, length = _attribute.unpack_from(data, at)
    following = at + 4 + ((length + 3) & ~3)
    if following > end:
        raise StunError(f"attribute 0x{attribute:04X} has {length} bytes, more than the message")
    if _FIXED_LENGTHS.get(attribute, length) != length:
        raise StunError(f"attribute 0x{attribute:04X} has {length} bytes; expected {_FIXED_LENGTHS[attribute]}")
    return attribute, data[at + 4 : at + 4 + length], following


def _check_fingerprint(data: bytes, at: int, value: bytes) -> None:
    # "it MUST be the last attribute in the message" (RFC 8489, 14.7).
    if at + 8 != len(data) or _u32.unpack(value)[0] != _fingerprint(data[:at]):
        raise StunError("FINGERPRINT is wrong or not the last attribute")


def _fingerprint(covered: bytes) -> int:
    return zlib.crc32(covered) ^ _FINGERPRINT_XOR


def _integrity(covered: bytes, password: bytes) -> bytes:
    """Compute the HMAC over the message, with a length as if it ended with MESSAGE-INTEGRITY (RFC 8489, 14.5)."""
    length = len(covered) - HEADER_BYTES + 4 + _INTEGRITY_BYTES
    return hmac.digest(password, _with_length(covered, length), "sha1")


def _with_length(message: bytes, length: int) -> bytes:
    return message[:2] + _u16.pack(length) + message[4:]


@lru_cache(maxsize=1024)
def _packed(host: str) -> bytes:
    return ipaddress.ip_address(host).packed
