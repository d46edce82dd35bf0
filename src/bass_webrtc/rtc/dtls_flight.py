"""The peer's handshake messages, authenticated before OpenSSL sees them (RFC 6347, 4.2; RFC 5246, 7.4).

In epoch 0 anyone who can send from the peer's address can send any record, and OpenSSL ends a handshake at the first
wrong one. So the messages are put together here, and OpenSSL gets a flight only when it is complete and signed with the
key of the signaled certificate:

    from a client:  Certificate, ClientKeyExchange, CertificateVerify (signs all messages so far)
    from a server:  ServerHello, Certificate, ServerKeyExchange (signs both randoms and the key), CertificateRequest,
                    ServerHelloDone

For each place in a flight several variants are kept, so a forged message does not displace the peer's. Sans-I/O, no
clock; use from one thread at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import product
from typing import NamedTuple, cast

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from OpenSSL import crypto

CLIENT_HELLO = 1
SERVER_HELLO = 2
HELLO_VERIFY_REQUEST = 3
CERTIFICATE = 11
SERVER_KEY_EXCHANGE = 12
CERTIFICATE_REQUEST = 13
SERVER_HELLO_DONE = 14
CERTIFICATE_VERIFY = 15
CLIENT_KEY_EXCHANGE = 16

FLIGHT_OF_CLIENT = (CERTIFICATE, CLIENT_KEY_EXCHANGE, CERTIFICATE_VERIFY)
FLIGHT_OF_SERVER = (SERVER_HELLO, CERTIFICATE, SERVER_KEY_EXCHANGE, CERTIFICATE_REQUEST, SERVER_HELLO_DONE)
_SIGNED = 3
"""The first three messages of both flights are checked by a signature. The others do not come before them."""

_HEADER_BYTES = 12
_MAX_MESSAGE_BYTES = 4096
_MAX_CERTIFICATE_BYTES = 8192
_PARTIAL_MESSAGES = 3
"""Incomplete messages kept for each sequence number."""
_VARIANTS = 3
"""Complete messages kept for each place in a flight: the newest."""
_VERIFIED_AT_ONCE = 3
"""Signatures verified in one call of ``authentic``, the newest messages first. A peer may sign wrongly on purpose: with
all 27 combinations, one datagram took 245 ms (RSA with 16384 bits) or 40 ms (P-521)."""
_MAX_RSA_BITS = 4096
_MAX_RSA_EXPONENT_BITS = 64
"""Larger keys take up to 9 ms for each verification, those within both limits 2 ms."""

_HASHES = {3: hashes.SHA224(), 4: hashes.SHA256(), 5: hashes.SHA384(), 6: hashes.SHA512()}
_PSS_HASHES = {0x0804: hashes.SHA256(), 0x0805: hashes.SHA384(), 0x0806: hashes.SHA512()}
_RANDOM_BYTES = 32
_NAMED_CURVE = 3


class Fragment(NamedTuple):
    """A part of a handshake message."""

    kind: int
    length: int
    """Of the whole message."""
    sequence: int
    offset: int
    data: bytes


class Message(NamedTuple):
    """A whole handshake message."""

    kind: int
    sequence: int
    body: bytes

    @property
    def encoded(self) -> bytes:
        """The message in one fragment, as it is sent, hashed and signed (RFC 6347, 4.2.6)."""
        length = len(self.body).to_bytes(3)
        return bytes((self.kind,)) + length + self.sequence.to_bytes(2) + bytes(3) + length + self.body


class ClientHello(NamedTuple):
    """What a server must know of a ClientHello before OpenSSL parses it."""

    random: bytes
    cookie: bytes

    @classmethod
    def parse(cls, body: bytes) -> ClientHello | None:
        """Return its fields; None if it is too short (RFC 6347, 4.2.1: version, random, session id, cookie, ...)."""
        cookie_at = 35 + body[34] + 1 if len(body) > 34 else 0
        if not cookie_at or len(body) < cookie_at or len(body) < cookie_at + body[cookie_at - 1]:
            return None
        return cls(body[2:34], body[cookie_at : cookie_at + body[cookie_at - 1]])


def fragments(data: bytes) -> Iterator[Fragment]:
    """Yield the fragments in a handshake record, up to the first malformed one."""
    at = 0
    while at + _HEADER_BYTES <= len(data):
        length, offset, size = (int.from_bytes(data[at + first : at + first + 3]) for first in (1, 6, 9))
        end = at + _HEADER_BYTES + size
        if end > len(data) or offset + size > length or (size == 0) != (length == 0):
            return
        yield Fragment(data[at], length, int.from_bytes(data[at + 4 : at + 6]), offset, data[at + _HEADER_BYTES : end])
        at = end


def hello_verify_request(cookie: bytes) -> Message:
    """Return a HelloVerifyRequest. Its version "SHOULD" be that of DTLS 1.0 (RFC 6347, 4.2.1)."""
    return Message(HELLO_VERIFY_REQUEST, 0, b"\xfe\xff" + bytes((len(cookie),)) + cookie)


def is_hello_verify_request(message: Message) -> bool:
    """Return whether its lengths are consistent."""
    return message.kind == HELLO_VERIFY_REQUEST and len(message.body) > 2 and len(message.body) == 3 + message.body[2]


class Reassembly:
    """Puts fragments together, in bounded memory.

    A newer fragment replaces the bytes of an older one: after a forged fragment, the peer's own complete its message.
    """

    __slots__ = ("_partial",)

    def __init__(self) -> None:
        self._partial: dict[int, dict[tuple[int, int], tuple[bytearray, bytearray]]] = {}

    def add(self, fragment: Fragment) -> Message | None:
        """Add a fragment whose kind and sequence number the caller expects; return the message if it is complete."""
        kind, length, sequence, offset, data = fragment
        if length > (_MAX_CERTIFICATE_BYTES if kind == CERTIFICATE else _MAX_MESSAGE_BYTES):
            return None
        if len(data) == length:
            return Message(kind, sequence, data)
        partial = self._partial.setdefault(sequence, {})
        if (kind, length) not in partial:
            if len(partial) == _PARTIAL_MESSAGES:
                del partial[next(iter(partial))]
            partial[kind, length] = bytearray(length), bytearray(length)
        body, present = partial[kind, length]
        body[offset : offset + len(data)] = data
        present[offset : offset + len(data)] = b"\x01" * len(data)
        return None if 0 in present else Message(kind, sequence, bytes(body))


class _Variant:
    __slots__ = ("first_seen", "is_refused", "last_seen", "message")

    def __init__(self, message: Message, number: int, *, is_refused: bool) -> None:
        """``is_refused``: it is a certificate, and not the signaled one."""
        self.message = message
        self.is_refused = is_refused
        self.first_seen = self.last_seen = number


class PeerFlight:
    """Collects the peer's next flight until it is complete and authentic."""

    __slots__ = (
        "_early_end",
        "_is_expected",
        "_is_signed",
        "_judged",
        "_kinds",
        "_number",
        "_signed",
        "_variants",
        "first_sequence",
    )

    def __init__(
        self,
        kinds: Sequence[int],
        first_sequence: int,
        is_expected: Callable[[bytes], bool],
        is_signed: Callable[[Sequence[Message], PublicKeyTypes], bool],
    ) -> None:
        """
        Args:
            kinds: ``FLIGHT_OF_CLIENT`` or ``FLIGHT_OF_SERVER``.
            first_sequence: Sequence number of the first message.
            is_expected: Returns whether a certificate (DER) is the signaled one.
            is_signed: Returns whether the first three messages are signed with the certificate's key.
        """
        self._kinds = kinds
        self.first_sequence = first_sequence
        self._is_expected = is_expected
        self._is_signed = is_signed
        self._number = 0
        self._variants: list[list[_Variant]] = [[] for _ in kinds]
        self._signed: list[_Variant] = []
        self._early_end: Message | None = None
        self._judged: dict[tuple[int, ...], bool] = {}

    def expects(self, fragment: Fragment) -> bool:
        """Return whether a message of this kind has this sequence number in the flight."""
        place = fragment.sequence - self.first_sequence
        is_early_end = place == _SIGNED and fragment.kind == SERVER_HELLO_DONE and len(self._kinds) > _SIGNED
        return is_early_end or (0 <= place < len(self._kinds) and self._kinds[place] == fragment.kind)

    def add(self, message: Message) -> None:
        """Add a message that the flight expects."""
        if not _is_well_formed(message.kind, message.body):
            return
        is_refused = message.kind == CERTIFICATE and not self._is_expected(leaf_of(message))
        if is_refused and self.has_certificate:
            return
        self._number += 1
        place = message.sequence - self.first_sequence
        if self._kinds[place] != message.kind:
            self._early_end = message
            return
        variants = self._variants[place]
        for variant in variants:
            if variant.message == message:
                variant.last_seen = self._number
                return
        variants.append(_Variant(message, self._number, is_refused=is_refused))
        if len(variants) > _VARIANTS:
            del variants[0]

    def authentic(self, *, in_order: bool = True) -> list[Message] | None:
        """Return the flight; None if messages are missing or none of the variants is authentic.

        Nothing signs CertificateRequest before the end of the handshake. So one that comes after the signed messages is
        taken, which a sender that does not see the peer's datagrams can hardly hit; of several, one that is repeated.

        Args:
            in_order: False: also accept a CertificateRequest that came before the signed messages, and a server that
                sends none, such as FFmpeg.
        """
        self._signed = self._signed or self._find_signed()
        if not self._signed:
            return None
        after = self._signed[-1].first_seen if in_order else 0
        following = [_choose(variants, after) for variants in self._variants[_SIGNED:]]
        messages = [one.message for one in (*self._signed, *following) if one is not None]
        if self._early_end is not None and not in_order and not self._variants[_SIGNED]:
            return [*messages[:_SIGNED], self._early_end]
        return messages if len(messages) == len(self._kinds) else None

    @property
    def has_certificate(self) -> bool:
        """Whether the signaled certificate has arrived."""
        return any(not variant.is_refused for variant in self._variants[self._kinds.index(CERTIFICATE)])

    @property
    def is_refused(self) -> bool:
        """Whether messages have arrived that OpenSSL would refuse: a wrong certificate, or a wrong signature."""
        before_key = self._variants[: self._kinds.index(CERTIFICATE) + 1]
        is_wrong_certificate = all(before_key) and not self.has_certificate
        return not self._signed and (is_wrong_certificate or all(self._variants[:_SIGNED]))

    def newest(self) -> list[Message]:
        """Return the newest variant of each message, up to the first missing one."""
        messages = []
        for variants in self._variants:
            if not variants:
                break
            messages.append(variants[-1].message)
        return messages

    def _find_signed(self) -> list[_Variant]:
        """Return the first three messages if they are signed, the newest variants first; else an empty list."""
        verified = 0
        for chosen in product(*(reversed(variants) for variants in self._variants[:_SIGNED])):
            key = tuple(one.first_seen for one in chosen)
            if key not in self._judged:
                if verified == _VERIFIED_AT_ONCE:
                    break
                verified += 1
                self._judged[key] = not any(one.is_refused for one in chosen) and self._judge(chosen)
            if self._judged[key]:
                return list(chosen)
        if len(self._judged) > 10 * _VARIANTS**_SIGNED:
            self._judged.clear()
        return []

    def _judge(self, chosen: Iterable[_Variant]) -> bool:
        messages = [one.message for one in chosen]
        try:
            return self._is_signed(messages, public_key_of(leaf_of(messages[self._kinds.index(CERTIFICATE)])))
        except (ValueError, UnsupportedAlgorithm, crypto.Error):
            return False


def _choose(variants: Sequence[_Variant], after: int) -> _Variant | None:
    """Return the only variant seen after the signed messages, or the first that was seen again; else None."""
    following = [variant for variant in variants if variant.last_seen > after]
    if len(following) > 1:
        following = [variant for variant in following if variant.last_seen > variant.first_seen]
    return following[0] if following else None


def leaf_of(message: Message) -> bytes:
    """Return the peer's own certificate (DER) in a Certificate message; empty if there is none (RFC 5246, 7.4.2)."""
    return message.body[6 : 6 + int.from_bytes(message.body[3:6])]


def public_key_of(certificate: bytes) -> PublicKeyTypes:
    """Return the public key in a certificate (DER).

    The fingerprint vouches for all the other fields. ``x509.load_der_x509_certificate`` would refuse some certificates
    in use for them: libdatachannel up to 0.22, as in OBS, writes the version as 1, which means X.509 v2.

    Raises:
        crypto.Error: OpenSSL cannot parse the certificate or its key.
        ValueError: The parameters of the key are invalid.
        UnsupportedAlgorithm: The kind of key is not supported.
    """
    key = crypto.load_certificate(crypto.FILETYPE_ASN1, certificate).get_pubkey().to_cryptography_key()
    return cast(PublicKeyTypes, key)  # The declared type includes private keys.


def _is_well_formed(kind: int, body: bytes) -> bool:
    """Return whether the lengths in a message are consistent, so that garbage does not replace the peer's messages."""
    if kind == SERVER_HELLO:  # version (2), random (32), session id, cipher suite (2), compression (1), extensions
        return len(body) >= 38 + body[34] if len(body) > 34 else False
    if kind == CERTIFICATE:
        return len(body) >= 3 and int.from_bytes(body[:3]) == len(body) - 3
    if kind == CLIENT_KEY_EXCHANGE:
        return len(body) > 1 and body[0] == len(body) - 1
    if kind == CERTIFICATE_VERIFY:
        return _is_signature_field(body)
    if kind == SERVER_KEY_EXCHANGE:
        return len(body) > 4 and body[0] == _NAMED_CURVE and _is_signature_field(body[4 + body[3] :])
    if kind == CERTIFICATE_REQUEST:  # types, signature algorithms, names
        algorithms_at = 1 + body[0] if body else 1
        names_at = algorithms_at + 2 + int.from_bytes(body[algorithms_at : algorithms_at + 2])
        end = names_at + 2 + int.from_bytes(body[names_at : names_at + 2])
        return 1 < algorithms_at < names_at - 2 and end == len(body)
    return not body


def _is_signature_field(field: bytes) -> bool:
    """Return whether its length is consistent: algorithm (2), length (2), signature (RFC 5246, 4.7)."""
    return len(field) > 4 and int.from_bytes(field[2:4]) == len(field) - 4


def client_is_signed(transcript: bytes, messages: Sequence[Message], key: PublicKeyTypes) -> bool:
    """Return whether CertificateVerify signs all messages before it (RFC 5246, 7.4.8).

    Args:
        transcript: ClientHello and the server's flight.
        messages: Certificate, ClientKeyExchange, CertificateVerify.
        key: Public key of the client's certificate.
    """
    signed, verify = messages[:-1], messages[-1]
    return _verify(key, verify.body, transcript + b"".join(message.encoded for message in signed))


def server_is_signed(client_random: bytes, messages: Sequence[Message], key: PublicKeyTypes) -> bool:
    """Return whether ServerKeyExchange signs the randoms and the ECDHE key (RFC 8422, 5.4).

    Args:
        client_random: Of our ClientHello.
        messages: ServerHello, Certificate, ServerKeyExchange.
        key: Public key of the server's certificate.
    """
    hello, _certificate, exchange = messages
    # curve type (1), named curve (2), length of the point (1), point, signature
    end = 4 + exchange.body[3]
    server_random = hello.body[2 : 2 + _RANDOM_BYTES]
    return _verify(key, exchange.body[end:], client_random + server_random + exchange.body[:end])


def transcript_of(records: Iterable[bytes]) -> bytes:
    """Return the messages in our own handshake records as they are hashed: each in one fragment."""
    bodies: dict[tuple[int, int], bytes] = {}
    for record in records:
        for fragment in fragments(record):
            key = fragment.sequence, fragment.kind
            bodies[key] = bodies.get(key, b"") + fragment.data
    return b"".join(Message(kind, sequence, body).encoded for (sequence, kind), body in bodies.items())


def _verify(key: PublicKeyTypes, field: bytes, data: bytes) -> bool:
    """Verify a well-formed signature field; its algorithms are those of RFC 8446, 4.2.3."""
    scheme, signature = int.from_bytes(field[:2]), field[4:]
    if isinstance(key, rsa.RSAPublicKey) and not _is_fast(key):
        return False
    algorithm = _PSS_HASHES.get(scheme) or _HASHES.get(scheme >> 8)
    try:
        if isinstance(key, (ed25519.Ed25519PublicKey, ed448.Ed448PublicKey)):
            key.verify(signature, data)
        elif algorithm is None:
            return False
        elif isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(signature, data, ec.ECDSA(algorithm))
        elif isinstance(key, rsa.RSAPublicKey) and scheme in _PSS_HASHES:
            key.verify(signature, data, padding.PSS(padding.MGF1(algorithm), algorithm.digest_size), algorithm)
        elif isinstance(key, rsa.RSAPublicKey):
            key.verify(signature, data, padding.PKCS1v15(), algorithm)
        else:
            return False
    except InvalidSignature:
        return False
    return True


def _is_fast(key: rsa.RSAPublicKey) -> bool:
    exponent_bits = key.public_numbers().e.bit_length()
    return key.key_size <= _MAX_RSA_BITS and exponent_bits <= _MAX_RSA_EXPONENT_BITS
