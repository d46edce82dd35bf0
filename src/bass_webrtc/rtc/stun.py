"""STUN messages as ICE uses them: parse, authenticate, build (RFC 8489, RFC 8445).

    0x0001 length cookie | transaction id (12) | type length value… | MESSAGE-INTEGRITY | FINGERPRINT

Sans-I/O. Everything here may be called from any thread. ``Message.parse`` raises ``StunError`` for bytes that
are not a usable message and nothing else; it is linear in the length of the datagram.
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
"""A binding request carries about eight; more than this is refused before it costs time."""

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
_UNDERSTOOD = frozenset(
    {USERNAME, MESSAGE_INTEGRITY, ERROR_CODE, UNKNOWN_ATTRIBUTES, XOR_MAPPED_ADDRESS, PRIORITY, USE_CANDIDATE}
)
_FIRST_OPTIONAL = 0x8000

_header = Struct("!HH4s12s")
_attribute = Struct("!HH")
_u16 = Struct("!H")
_u32 = Struct("!I")


class StunError(IceError):
    """These bytes are not a STUN message, or not one that ICE can use."""


@dataclass(frozen=True, slots=True)
class Message:
    """A STUN message that was received, its FINGERPRINT checked, its sender not yet known to be who it says."""

    kind: int
    """``BINDING_REQUEST`` and so on: class and method in one number."""
    transaction_id: bytes
    attributes: dict[int, bytes]
    """Values without padding. Of attributes that come twice the first counts (RFC 8489, 14)."""
    has_fingerprint: bool
    integrity_at: int
    """Where MESSAGE-INTEGRITY starts in ``data``; 0 when there is none."""
    data: bytes

    @classmethod
    def parse(cls, data: bytes) -> Message:
        """Reads one datagram.

        Args:
            data: The whole datagram.

        Raises:
            StunError: No STUN, lengths that do not fit, more than ``MAX_ATTRIBUTES``, or a wrong FINGERPRINT.
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
        raise StunError("too many attributes")

    def is_authentic(self, password: bytes) -> bool:
        """Whether MESSAGE-INTEGRITY is there and was made with this password (RFC 8489, 9.1.3 and 14.5)."""
        if not self.integrity_at:
            return False
        covered = self.data[: self.integrity_at]
        expected = _integrity(covered, password)
        return hmac.compare_digest(expected, self.attributes[MESSAGE_INTEGRITY])

    def unknown_required(self) -> tuple[int, ...]:
        """The comprehension-required attributes that nobody here understands (RFC 8489, 6.3.1)."""
        return tuple(kind for kind in self.attributes if kind < _FIRST_OPTIONAL and kind not in _UNDERSTOOD)


def peek_username(data: bytes) -> str | None:
    """The receiver's user name fragment in a binding request, read before anything is checked.

    For finding the peer that a datagram from an unknown address is meant for; nothing is proved by it.

    Args:
        data: Any datagram.

    Returns:
        What stands before the colon of USERNAME, or None when this is no binding request that has one.
    """
    try:
        kind, _ = _parse_header(data)
        if kind != BINDING_REQUEST:
            return None
        at, end = HEADER_BYTES, len(data)
        for _ in range(MAX_ATTRIBUTES):
            attribute, value, at = _parse_attribute(data, at, end)
            if attribute == USERNAME:
                local, colon, _remote = value.partition(b":")
                return local.decode("ascii") if colon else None
    except (StunError, UnicodeDecodeError):
        return None
    return None


def build(kind: int, transaction_id: bytes, attributes: Iterable[tuple[int, bytes]], password: bytes) -> bytes:
    """One message, with MESSAGE-INTEGRITY and FINGERPRINT at its end.

    Args:
        kind: ``BINDING_SUCCESS`` and so on.
        transaction_id: 12 bytes.
        attributes: Types and values in their order; padding is added here.
        password: Key of MESSAGE-INTEGRITY: of short-term credentials, as ICE has them (RFC 8489, 9.1.1).
    """
    parts = [_header.pack(kind, 0, _COOKIE, transaction_id)]
    for attribute, value in attributes:
        parts += (_attribute.pack(attribute, len(value)), value, bytes(-len(value) % 4))
    covered = b"".join(parts)
    integrity = _integrity(covered, password)
    signed = covered + _attribute.pack(MESSAGE_INTEGRITY, _INTEGRITY_BYTES) + integrity
    signed = _with_length(signed, len(signed) - HEADER_BYTES + 8)
    return signed + _attribute.pack(FINGERPRINT, 4) + _u32.pack(_fingerprint(signed))


def build_success(request: Message, host: str, port: int, password: bytes) -> bytes:
    """The answer to a binding request: where it came from (RFC 8489, 14.2).

    Args:
        request: What is answered.
        host: IPv4 or IPv6 address the request came from; a scope (``%2``) is left out.
        port: UDP port the request came from.
        password: The one the request was signed with.
    """
    address = xor_mapped_address(host, port, request.transaction_id)
    return build(BINDING_SUCCESS, request.transaction_id, ((XOR_MAPPED_ADDRESS, address),), password)


def build_error(request: Message, code: int, reason: str, password: bytes, unknown: Iterable[int] = ()) -> bytes:
    """An error response (RFC 8489, 14.8); ``unknown`` fills UNKNOWN-ATTRIBUTES (14.9)."""
    attributes = [(ERROR_CODE, bytes((0, 0, code // 100, code % 100)) + reason.encode())]
    listed = b"".join(_u16.pack(attribute) for attribute in unknown)
    if listed:
        attributes.append((UNKNOWN_ATTRIBUTES, listed))
    return build(BINDING_ERROR, request.transaction_id, attributes, password)


def xor_mapped_address(host: str, port: int, transaction_id: bytes) -> bytes:
    """Value of XOR-MAPPED-ADDRESS (RFC 8489, 14.2): the address, hidden from meddling NATs by an XOR."""
    address = _packed(host)
    mask = _COOKIE + transaction_id
    hidden = int.from_bytes(address) ^ int.from_bytes(mask[: len(address)])
    return _FAMILIES[len(address)] + _u16.pack(port ^ 0x2112) + hidden.to_bytes(len(address))


def _parse_header(data: bytes) -> tuple[int, bytes]:
    if len(data) < HEADER_BYTES:
        raise StunError("shorter than a STUN header")
    kind, length, cookie, transaction_id = _header.unpack_from(data)
    if kind >= 0x4000 or cookie != _COOKIE:
        raise StunError("not STUN")
    if length % 4 or length != len(data) - HEADER_BYTES:
        raise StunError("the length field does not fit the datagram")
    return kind, transaction_id


def _parse_attribute(data: bytes, at: int, end: int) -> tuple[int, bytes, int]:
    """Type, value and where the next attribute starts."""
    if end - at < 4:
        raise StunError("no attribute where one is expected")
    attribute, length = _attribute.unpack_from(data, at)
    following = at + 4 + ((length + 3) & ~3)
    if following > end:
        raise StunError("an attribute is longer than the message")
    if _FIXED_LENGTHS.get(attribute, length) != length:
        raise StunError("an attribute has the wrong length")
    return attribute, data[at + 4 : at + 4 + length], following


def _check_fingerprint(data: bytes, at: int, value: bytes) -> None:
    # "it MUST be the last attribute in the message" (RFC 8489, 14.7).
    if at + 8 != len(data) or _u32.unpack(value)[0] != _fingerprint(data[:at]):
        raise StunError("FINGERPRINT is wrong")


def _fingerprint(covered: bytes) -> int:
    return zlib.crc32(covered) ^ _FINGERPRINT_XOR


def _integrity(covered: bytes, password: bytes) -> bytes:
    """HMAC over the message so far, its length field set as if MESSAGE-INTEGRITY were the end (RFC 8489, 14.5)."""
    length = len(covered) - HEADER_BYTES + 4 + _INTEGRITY_BYTES
    return hmac.digest(password, _with_length(covered, length), "sha1")


def _with_length(message: bytes, length: int) -> bytes:
    return message[:2] + _u16.pack(length) + message[4:]


@lru_cache(maxsize=1024)
def _packed(host: str) -> bytes:
    return ipaddress.ip_address(host).packed
