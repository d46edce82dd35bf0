"""SDP parsing, as far as WebRTC needs it (RFC 8866, RFC 9429): tolerant, and in linear time.

This module only splits a description into sections and attributes. ``remote_audio.py`` interprets the audio section;
``negotiation.py`` decides which descriptions are usable.

There are two errors because HTTP has two status codes for them: ``SdpError`` for a malformed description (400), and
``UnusableSdpError`` for a well-formed one that we cannot use (422).
"""

from __future__ import annotations

import re
import secrets
from base64 import b64encode
from collections import ChainMap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from ..errors import SdpError

Scope = ChainMap[str, list[str]]
"""Attributes of several levels, nearest first."""

MAX_LINES = 2000
MAX_SECTIONS = 128
MAX_FORMATS = 256
"""Of a section. The three are several times what the largest offers of browsers have. They bound the time that one
description takes: without them 128 KiB cost 100 ms on the loop thread, during which everyone else waits."""

_TOKEN = re.compile(r"[!#-'*+\-.0-9A-Z^-~]+")  # RFC 8866, section 9.
_PORT = re.compile(r"[0-9]{1,5}(?:/[0-9]{1,5})?")
_PRINTABLE = re.compile(r"[!-~]+")
# RFC 8839, 5.4 does not allow "=#_-", but deployed agents send them and libwebrtc accepts them.
_ICE_CHARS = re.compile(r"[A-Za-z0-9+/=#_-]+")
_FINGERPRINT = re.compile(r"([!-~]{1,32}) +((?:[0-9A-Fa-f]{2}:?)+)")


class UnusableSdpError(SdpError):
    """The description is well formed, but unusable: no Opus, wrong direction, no fingerprint … (HTTP 422)."""


@dataclass(frozen=True, slots=True)
class IceCredentials:
    """User name fragment and password of one ICE agent for one ICE session (RFC 8445, 5.3)."""

    ufrag: str
    password: str = field(repr=False)

    @classmethod
    def generate(cls) -> IceCredentials:
        """Generate random credentials of 8 and 24 characters: 48 and 144 bits (RFC 8839, 5.4 requires 24 and 128).

        Base64 without padding has exactly the characters that RFC 8839 allows.
        """
        text = b64encode(secrets.token_bytes(6 + 18)).decode()
        return cls(text[:8], text[8:])

    @classmethod
    def from_scope(cls, scope: Scope) -> IceCredentials | None:
        """Read ``a=ice-ufrag`` and ``a=ice-pwd``.

        Returns:
            The credentials, or None if both attributes are missing.

        Raises:
            SdpError: Only one is present, or one has characters that are not allowed.
            UnusableSdpError: One has a length that RFC 8839, 5.4 forbids.
        """
        ufrag, password = first(scope, "ice-ufrag"), first(scope, "ice-pwd")
        if ufrag is None and password is None:
            return None
        if ufrag is None or password is None:
            raise SdpError("one of a=ice-ufrag and a=ice-pwd is missing; both are required (RFC 8839, 5.4)")
        if not _ICE_CHARS.fullmatch(ufrag) or not _ICE_CHARS.fullmatch(password):
            raise SdpError("a=ice-ufrag or a=ice-pwd has characters that are not ice-chars (RFC 8839, 5.4)")
        if not 4 <= len(ufrag) <= 256:
            raise UnusableSdpError(f"a=ice-ufrag has {len(ufrag)} characters; expected 4 to 256 (RFC 8839, 5.4)")
        if not 22 <= len(password) <= 256:
            raise UnusableSdpError(f"a=ice-pwd has {len(password)} characters; expected 22 to 256 (RFC 8839, 5.4)")
        return cls(ufrag, password)


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """Fingerprint of a DTLS certificate (RFC 8122, 5)."""

    algorithm: str
    """Hash name in lower case, for example ``"sha-256"``."""
    value: str
    """Upper-case hexadecimal bytes separated by colons."""

    @classmethod
    def parse(cls, text: str) -> Fingerprint:
        """Parse the value of an ``a=fingerprint`` line; case and colons do not matter.

        Raises:
            SdpError: The value is not a hash name followed by hexadecimal bytes.
        """
        match = _FINGERPRINT.fullmatch(text)
        if match is None:
            raise SdpError(f"malformed a=fingerprint: {shorten(text)}")
        digest = match[2].replace(":", "").upper()
        return cls(match[1].lower(), ":".join(digest[i : i + 2] for i in range(0, len(digest), 2)))

    def to_sdp(self) -> str:
        """Return the value of an ``a=fingerprint`` line."""
        return f"{self.algorithm} {self.value}"


@dataclass(frozen=True, slots=True)
class Section:
    """The a= and b= lines of the session level or of one media section."""

    attributes: dict[str, list[str]] = field(default_factory=dict)
    """Values of the ``a=`` lines by name, in order; "" for a flag such as ``a=rtcp-mux``."""
    bandwidths: list[str] = field(default_factory=list)
    """Values of the ``b=`` lines."""

    def add(self, line_type: str, value: str) -> None:
        """Add one line; types other than a= and b= are ignored, and so are attributes with NUL or CR (RFC 8866, 9).

        Such a line spoils itself, not the description.
        """
        if line_type == "a" and not has_forbidden_characters(value):
            name, _, attribute = value.partition(":")
            self.attributes.setdefault(name, []).append(attribute)
        elif line_type == "b":
            self.bandwidths.append(value)


@dataclass(frozen=True, slots=True)
class MediaSection(Section):
    """One ``m=`` line and the lines that belong to it."""

    index: int = 0
    kind: str = "audio"
    """``"audio"``, ``"video"``, ``"application"`` …"""
    port: int = 0
    protocol: str = ""
    """Protocol as written, for example ``"UDP/TLS/RTP/SAVPF"``."""
    formats: tuple[str, ...] = ()
    """Payload types, in order of preference."""

    @property
    def mid(self) -> str | None:
        """The section's identification tag (RFC 5888), or None."""
        return first(self.attributes, "mid") or None

    @property
    def is_bundle_only(self) -> bool:
        """Whether the section is offered within a bundle although its port is 0 (RFC 9143, 6)."""
        return self.port == 0 and "bundle-only" in self.attributes

    @property
    def is_offered(self) -> bool:
        """Whether the section is offered, that is, neither stopped nor rejected."""
        return self.port != 0 or self.is_bundle_only


@dataclass(frozen=True, slots=True)
class SessionDescription:
    """A parsed session description."""

    session: Section
    media: tuple[MediaSection, ...]

    @classmethod
    def parse(cls, data: bytes | str) -> SessionDescription:
        """Parse a description. Lines may end with LF alone; unknown attributes are kept and ignored.

        As in Chromium, the number in the ``v=`` line does not matter.

        Args:
            data: The description; bytes are UTF-8.

        Raises:
            SdpError: The description is malformed (RFC 8866, 5).
        """
        session = Section()
        media: list[MediaSection] = []
        lines = read_lines(data)
        if next(lines, ("", ""))[0] != "v":
            raise SdpError("the session description does not start with v=0 (RFC 8866, 5.1)")
        for line_type, value in lines:
            if line_type == "m":
                if len(media) == MAX_SECTIONS:
                    raise SdpError(f"the session description has more than {MAX_SECTIONS} media sections")
                media.append(_parse_media_line(value, index=len(media)))
            else:
                (media[-1] if media else session).add(line_type, value)
        _check_mids(media)
        return cls(session, tuple(media))

    def bundle_of(self, section: MediaSection) -> tuple[str, ...]:
        """Return the mids of the section's BUNDLE group (RFC 9143); empty if it is in none."""
        for group in self.session.attributes.get("group", ()):
            semantics, _, mids = group.partition(" ")
            if semantics == "BUNDLE" and section.mid in mids.split():
                return tuple(mids.split())
        return ()

    def tagged_of(self, section: MediaSection) -> MediaSection | None:
        """Return the first section of the section's bundle, whose transport the bundle uses (RFC 9143, 7), or None."""
        bundle = self.bundle_of(section)
        return next((other for other in self.media if bundle and other.mid == bundle[0]), None)

    def transport_scope(self, section: MediaSection) -> Scope:
        """Return the levels that hold the transport attributes of a section, nearest first.

        A bundled section may take them from the first section of its bundle (RFC 9143, 7.1.3).
        """
        tagged = self.tagged_of(section)
        shared = [tagged.attributes] if tagged is not None and tagged is not section else []
        return ChainMap(section.attributes, *shared, self.session.attributes)


def first(attributes: Mapping[str, list[str]], name: str) -> str | None:
    """Return the value of the first attribute of that name, or None."""
    values = attributes.get(name)
    return values[0] if values else None


def read_lines(data: bytes | str) -> Iterator[tuple[str, str]]:
    """Yield (type letter, value) of each line of a description or fragment, without empty lines and trailing blanks.

    Unknown types are included.

    Raises:
        SdpError: The data is not UTF-8, has more than MAX_LINES lines, or a line is not of the form ``x=…`` (RFC 8866,
            5).
    """
    for number, raw in enumerate(_decode(data).split("\n", MAX_LINES + 1), start=1):
        if number > MAX_LINES:
            raise SdpError(f"the session description has more than {MAX_LINES} lines")
        line = raw.rstrip(" \t\r")
        if not line:
            continue
        if line[1:2] != "=" or not "a" <= line[0] <= "z":
            raise SdpError(f"line {number} is not an SDP line: {shorten(line)}")
        yield line[0], line[2:]


def has_forbidden_characters(value: str) -> bool:
    """Return whether the value of a line has NUL or CR, which no line may have (RFC 8866, 9)."""
    return "\0" in value or "\r" in value


def shorten(text: str) -> str:
    """Return untrusted text escaped and shortened for an error message."""
    return ascii(text if len(text) <= 60 else text[:60] + "…")


def _decode(data: bytes | str) -> str:
    if isinstance(data, str):
        return data.removeprefix("\ufeff")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise SdpError(f"the session description is not UTF-8 at byte {error.start}") from None


def _parse_media_line(value: str, index: int) -> MediaSection:
    fields = value.split(" ", MAX_FORMATS + 3)
    if len(fields) == MAX_FORMATS + 4:
        raise SdpError(f"an m= line has more than {MAX_FORMATS} formats: {shorten(value)}")
    if len(fields) < 4 or not all(map(_PRINTABLE.fullmatch, fields)) or not _PORT.fullmatch(fields[1]):
        raise SdpError(f"malformed m= line: {shorten(value)}")
    port = int(fields[1].partition("/")[0])
    if port > 65_535:
        raise SdpError(f"an m= line has port {port}; expected at most 65535")
    return MediaSection(index=index, kind=fields[0], port=port, protocol=fields[2], formats=tuple(fields[3:]))


def _check_mids(media: list[MediaSection]) -> None:
    mids = [section.mid for section in media if section.mid is not None]
    if len(set(mids)) != len(mids) or not all(map(_TOKEN.fullmatch, mids)):
        raise SdpError(
            "an a=mid is malformed, or two media sections share one; expected a unique token each (RFC 5888, 4)"
        )
