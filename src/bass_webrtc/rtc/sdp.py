"""Session descriptions, as far as WebRTC needs them (RFC 8866, RFC 9429): read tolerantly, in linear time.

Here a description is only taken apart into sections and attributes. What they mean for the one audio section
that we use is in ``remote_audio.py``; which descriptions are refused is in ``negotiation.py``.

Two errors, because HTTP has two status codes for them (conformance.md, 1.1): ``SdpError`` is a description that
is malformed (400), ``UnusableSdpError`` one that is well formed and still of no use to us (422).
"""

from __future__ import annotations

import re
import secrets
import string
from collections import ChainMap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from ..errors import SdpError

Scope = ChainMap[str, list[str]]
"""Attributes of several levels, nearest first."""

_LINE_TYPES = frozenset("vosiuepcbtrzkam")
_TOKEN = re.compile(r"[!#-'*+\-.0-9A-Z^-~]+")  # RFC 8866, section 9.
_PORT = re.compile(r"[0-9]{1,5}(?:/[0-9]{1,5})?")
_PRINTABLE = re.compile(r"[!-~]+")
# Without "=#_-" in RFC 8839, 5.4; deployed agents send them, and libwebrtc takes them.
_ICE_CHARS = re.compile(r"[A-Za-z0-9+/=#_-]+")
_ICE_ALPHABET = string.ascii_letters + string.digits
_FINGERPRINT = re.compile(r"([!-~]{1,32}) +((?:[0-9A-Fa-f]{2}:?)+)")


class UnusableSdpError(SdpError):
    """A description is well formed, but we cannot use it: no Opus, wrong direction, no fingerprint … (HTTP 422)."""


@dataclass(frozen=True, slots=True)
class IceCredentials:
    """User name fragment and password of one ICE agent for one ICE session (RFC 8445, 5.3)."""

    ufrag: str
    password: str = field(repr=False)

    @classmethod
    def generate(cls) -> IceCredentials:
        """New random credentials: 8 and 24 characters, 47 and 142 bits (RFC 8839, 5.4 asks for 24 and 128)."""
        text = "".join(secrets.choice(_ICE_ALPHABET) for _ in range(8 + 24))
        return cls(text[:8], text[8:])

    @classmethod
    def from_scope(cls, scope: Scope) -> IceCredentials | None:
        """Read ``a=ice-ufrag`` and ``a=ice-pwd``.

        Returns:
            The credentials, or None when there are none at all.

        Raises:
            SdpError: One of the two is missing, or has characters that no agent uses.
            UnusableSdpError: One has a length that RFC 8839, 5.4 forbids.
        """
        ufrag, password = first(scope, "ice-ufrag"), first(scope, "ice-pwd")
        if ufrag is None and password is None:
            return None
        if ufrag is None or password is None:
            raise SdpError("one of a=ice-ufrag and a=ice-pwd is missing; both are needed (RFC 8839, 5.4)")
        if not _ICE_CHARS.fullmatch(ufrag) or not _ICE_CHARS.fullmatch(password):
            raise SdpError("a=ice-ufrag or a=ice-pwd has characters that are not ice-chars (RFC 8839, 5.4)")
        if not 4 <= len(ufrag) <= 256:
            raise UnusableSdpError(f"a=ice-ufrag has {len(ufrag)} characters; 4 to 256 are allowed (RFC 8839, 5.4)")
        if not 22 <= len(password) <= 256:
            raise UnusableSdpError(f"a=ice-pwd has {len(password)} characters; 22 to 256 are allowed (RFC 8839, 5.4)")
        return cls(ufrag, password)


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """Hash of a DTLS certificate (RFC 8122, 5)."""

    algorithm: str
    """Name of the hash in lower case, for example ``"sha-256"``."""
    value: str
    """Upper-case hexadecimal bytes with colons between them."""

    @classmethod
    def parse(cls, text: str) -> Fingerprint:
        """Read the value of an ``a=fingerprint`` line; case and colons do not matter.

        Raises:
            SdpError: It is not a hash name and hexadecimal bytes.
        """
        match = _FINGERPRINT.fullmatch(text)
        if match is None:
            raise SdpError(f"malformed a=fingerprint: {shorten(text)}")
        digest = match[2].replace(":", "").upper()
        return cls(match[1].lower(), ":".join(digest[i : i + 2] for i in range(0, len(digest), 2)))

    def to_sdp(self) -> str:
        """The value of an ``a=fingerprint`` line."""
        return f"{self.algorithm} {self.value}"


@dataclass(frozen=True, slots=True)
class Section:
    """The lines of the session level, or of one media section, that may matter to us."""

    attributes: dict[str, list[str]] = field(default_factory=dict)
    """Values of the ``a=`` lines by name, in order; "" for a flag such as ``a=rtcp-mux``."""
    bandwidths: list[str] = field(default_factory=list)
    """Values of the ``b=`` lines."""

    def add(self, line_type: str, value: str) -> None:
        """Take one more line; types that do not matter to us are passed over."""
        if line_type == "a":
            name, _, attribute = value.partition(":")
            self.attributes.setdefault(name, []).append(attribute)
        elif line_type == "b":
            self.bandwidths.append(value)


@dataclass(frozen=True, slots=True)
class MediaSection(Section):
    """One ``m=`` line and what follows it."""

    index: int = 0
    kind: str = "audio"
    """``"audio"``, ``"video"``, ``"application"`` …"""
    port: int = 0
    protocol: str = ""
    """For example ``"UDP/TLS/RTP/SAVPF"``, as written."""
    formats: tuple[str, ...] = ()
    """Payload types, in order of preference."""

    @property
    def mid(self) -> str | None:
        """The section's identification (RFC 5888), or None."""
        return first(self.attributes, "mid")

    @property
    def is_bundle_only(self) -> bool:
        """Whether the section has port 0 and is wanted all the same, in a bundle (RFC 9143, 6)."""
        return self.port == 0 and "bundle-only" in self.attributes

    @property
    def is_offered(self) -> bool:
        """Whether the section is wanted: neither stopped nor refused."""
        return self.port != 0 or self.is_bundle_only


@dataclass(frozen=True, slots=True)
class SessionDescription:
    """A session description, taken apart."""

    session: Section
    media: tuple[MediaSection, ...]

    @classmethod
    def parse(cls, data: bytes | str) -> SessionDescription:
        """Take a description apart. Lines may end with LF alone; unknown attributes are kept and never looked at.

        Args:
            data: The description; bytes are UTF-8.

        Raises:
            SdpError: It is malformed (RFC 8866, 5).
        """
        session = Section()
        media: list[MediaSection] = []
        lines = read_lines(data)
        if next(lines, None) != ("v", "0"):
            raise SdpError("a session description starts with v=0 (RFC 8866, 5.1)")
        for line_type, value in lines:
            if line_type == "m":
                media.append(_parse_media_line(value, index=len(media)))
            else:
                (media[-1] if media else session).add(line_type, value)
        _check_mids(media)
        return cls(session, tuple(media))

    def bundle_of(self, section: MediaSection) -> tuple[str, ...]:
        """The mids of the BUNDLE group that the section is in (RFC 9143), or nothing."""
        for group in self.session.attributes.get("group", ()):
            semantics, _, mids = group.partition(" ")
            if semantics == "BUNDLE" and section.mid in mids.split():
                return tuple(mids.split())
        return ()

    def tagged_of(self, section: MediaSection) -> MediaSection | None:
        """The first section of the section's bundle, whose transport the bundle uses (RFC 9143, 7), or None."""
        bundle = self.bundle_of(section)
        return next((other for other in self.media if bundle and other.mid == bundle[0]), None)

    def transport_scope(self, section: MediaSection) -> Scope:
        """Where the transport attributes of a section are found, nearest first.

        A bundled section may leave them to the first section of its bundle (RFC 9143, 7.1.3).
        """
        tagged = self.tagged_of(section)
        shared = [tagged.attributes] if tagged is not None and tagged is not section else []
        return ChainMap(section.attributes, *shared, self.session.attributes)


def first(attributes: Mapping[str, list[str]], name: str) -> str | None:
    """The value of the first attribute of that name, or None."""
    values = attributes.get(name)
    return values[0] if values else None


def read_lines(data: bytes | str) -> Iterator[tuple[str, str]]:
    """Split a description or a fragment into (type letter, value), without empty lines and trailing blanks.

    Raises:
        SdpError: Not UTF-8, or a line that is none (RFC 8866, 5: a type that is not known ends the parsing).
    """
    for number, raw in enumerate(_decode(data).split("\n"), start=1):
        line = raw.rstrip(" \t\r")
        if not line:
            continue
        if line[1:2] != "=" or line[0] not in _LINE_TYPES or "\0" in line or "\r" in line:
            raise SdpError(f"line {number} is not a line of SDP: {shorten(line)}")
        yield line[0], line[2:]


def shorten(text: str) -> str:
    """Text from outside, safe and short enough for an error message."""
    return ascii(text if len(text) <= 60 else text[:60] + "…")


def _decode(data: bytes | str) -> str:
    if isinstance(data, str):
        return data.removeprefix("\ufeff")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise SdpError(f"the session description is not UTF-8: byte {error.start}") from None


def _parse_media_line(value: str, index: int) -> MediaSection:
    fields = value.split(" ")
    if len(fields) < 4 or not all(map(_PRINTABLE.fullmatch, fields)) or not _PORT.fullmatch(fields[1]):
        raise SdpError(f"malformed m= line: {shorten(value)}")
    port = int(fields[1].partition("/")[0])
    if port > 65_535:
        raise SdpError(f"an m= line has port {port}; 65535 is the highest")
    return MediaSection(index=index, kind=fields[0], port=port, protocol=fields[2], formats=tuple(fields[3:]))


def _check_mids(media: list[MediaSection]) -> None:
    mids = [section.mid for section in media if section.mid is not None]
    if len(set(mids)) != len(mids) or not all(map(_TOKEN.fullmatch, mids)):
        raise SdpError("an a=mid is malformed, or two media sections have the same (RFC 5888, 4)")
