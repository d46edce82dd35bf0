"""HTTP messages as plain values, and the parsing of header fields that server and client share."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncGenerator, Iterable, Iterator
from dataclasses import dataclass, field, replace
from http import HTTPStatus

Fields = tuple[tuple[str, str], ...]
"""Header fields of a response, in order; a name may occur more than once."""

SDP = "application/sdp"
SDP_FRAGMENT = "application/trickle-ice-sdpfrag"
PROBLEM = "application/problem+json"

MAX_LINK_CHARACTERS = 65_536
MAX_LINKS = 100
"""Links taken from the ``Link`` fields of one response."""
MAX_PARAMETERS = 32
"""Parameters taken from one link or header field."""
_TOKEN = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*["\\]?|<[^>]*>?|[,;]', re.DOTALL)
"""A quoted string or angle brackets, perhaps without their end, or a separator. No text fails to match on the way, so
nothing is matched twice."""

_TITLES = {413: "Content Too Large", 422: "Unprocessable Content"}
"""Reason phrases of RFC 9110; the ``http`` module of Python before 3.13 has older ones."""


class Headers:
    """Header fields of a request or response: case-insensitive names, all values kept (RFC 9110, 5.1 to 5.3)."""

    __slots__ = ("_values",)

    def __init__(self, fields: Iterable[tuple[str, str]] = ()) -> None:
        self._values: dict[str, list[str]] = {}
        for name, value in fields:
            self._values.setdefault(name.lower(), []).append(value)

    def all(self, name: str) -> tuple[str, ...]:
        """Return every value of the field, one for each field line."""
        return tuple(self._values.get(name.lower(), ()))

    def get(self, name: str) -> str | None:
        """Return the field's value, with several lines joined by a comma; None if the field is absent."""
        values = self._values.get(name.lower())
        return None if values is None else ", ".join(values)

    @property
    def media_type(self) -> str:
        """Type in ``Content-Type``, in lower case, without parameters (RFC 9110, 8.3.1); empty if there is none."""
        return next(iter(self.all("Content-Type")), "").partition(";")[0].strip().lower()

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.lower() in self._values

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)


@dataclass(frozen=True, slots=True)
class Forwarded:
    """What the client sent to a reverse proxy, which changed it. Empty: unknown, or no trusted proxy."""

    prefix: str = ""
    """Beginning of the path that the proxy removed, such as ``"/radio"``."""
    host: str = ""
    """``Host`` field."""


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request with its body. Its ``repr`` omits path, fields and body, because they can contain secrets."""

    method: str
    path: str = field(repr=False)
    """As sent, without the query; not percent-decoded."""
    headers: Headers = field(default_factory=Headers, repr=False)
    body: bytes = field(default=b"", repr=False)
    remote: str = ""
    """IP address of the client."""
    local: str = ""
    """IP address of this server on which the request arrived; behind a proxy, the address the proxy connected to."""
    query: str = field(default="", repr=False)
    """Text after the question mark."""
    forwarded: Forwarded = field(default_factory=Forwarded, repr=False)
    """What a trusted proxy says about the request that it received."""


@dataclass(frozen=True, slots=True)
class Response:
    """One HTTP response."""

    status: int
    headers: Fields = ()
    body: bytes = b""
    detail: str = ""
    """Why the request was refused."""
    parts: AsyncGenerator[bytes, None] | None = field(default=None, repr=False)
    """Yields the body instead, for as long as the client reads it; closed when the client or the server leaves. Never
    started for HEAD. A slow client is asked for the next part only once it has been sent the last one."""

    def with_fields(self, fields: Fields) -> Response:
        """Return a copy with additional header fields."""
        return replace(self, headers=self.headers + fields) if fields else self

    def header(self, name: str) -> str | None:
        """Return the first value of a header field; None if the field is absent."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)


class Refused(Exception):
    """The request gets an error response. Raised and caught inside this package.

    Args:
        status: HTTP status code, 400 to 599.
        detail: One sentence for the user of the client, without internals (SE68).
        headers: Additional header fields of the response.
    """

    def __init__(self, status: int, detail: str, headers: Fields = ()) -> None:
        super().__init__(f"{status}: {detail}")
        self.status = status
        self.detail = detail
        self.headers = headers

    def response(self) -> Response:
        """Return the error response with a problem document as its body (RFC 9457, 3)."""
        document = {
            "title": _TITLES.get(self.status) or _reason_phrase(self.status),
            "status": self.status,
            "detail": self.detail,
            "error": self.detail,  # Extension member (RFC 9457, 3.2): MediaMTX's players show this one.
        }
        body = json.dumps(document).encode()
        fields = (("Content-Type", PROBLEM), ("Cache-Control", "no-store"), *self.headers)
        return Response(self.status, fields, body, self.detail)


def media_type(request: Request) -> str:
    """Return the media type of the body in lower case, without parameters (RFC 9110, 8.3.1).

    Empty if the ``Content-Type`` field is missing or repeated.
    """
    values = request.headers.all("Content-Type")
    return values[0].partition(";")[0].strip().lower() if len(values) == 1 else ""


def parse_links(values: Iterable[str]) -> Iterator[tuple[str, dict[str, str]]]:
    """Parse ``Link`` fields (RFC 8288, 3). Never raises.

    Args:
        values: The fields, each of which may contain several links joined by commas.

    Yields:
        Target and parameters of each link, as ``parse_parameters`` returns them; at most MAX_LINKS. Fields after the
        first MAX_LINK_CHARACTERS are ignored.
    """
    size = found = 0
    for value in values:
        size += len(value)
        if size > MAX_LINK_CHARACTERS:
            return
        for entry in filter(None, split_outside_quotes(value, ",")):
            found += 1
            if found > MAX_LINKS:
                return
            yield parse_parameters(entry)


def split_host(text: str) -> tuple[str, str]:
    """Split ``host[:port]`` of a ``Host`` field, an origin or a URL. Never raises.

    Returns:
        The host in lower case, without the brackets of an IPv6 address and without the dot at the end of a name; and
        the port, empty for 80 and 443, which browsers omit.
    """
    text = text.strip().lower()
    if text.startswith("["):
        host, _, port = text[1:].partition("]")
        port = port.removeprefix(":")
    else:
        host, _, port = text.partition(":")
    return host.removesuffix("."), "" if port in ("80", "443") else port


def parse_parameters(text: str) -> tuple[str, dict[str, str]]:
    """Parse ``value; name=value; name="quoted value"``, as in ``Link`` and ``Content-Type``. Never raises.

    Returns:
        The text before the first semicolon, and at most MAX_PARAMETERS parameters. Names are in lower case; if a name
        is repeated, the first value counts.
    """
    value, *parts = split_outside_quotes(text, ";")
    parameters: dict[str, str] = {}
    for part in parts[:MAX_PARAMETERS]:
        name, _, parameter = part.partition("=")
        parameters.setdefault(name.strip().lower(), _unquoted(parameter.strip()))
    return value.strip(), parameters


def split_outside_quotes(text: str, separator: str) -> list[str]:
    """Split at a comma or semicolon, except inside ``"quoted strings"`` and ``<angle brackets>``. Takes linear time."""
    parts: list[str] = []
    begin = 0
    for match in _TOKEN.finditer(text):
        if match[0] == separator:
            parts.append(text[begin : match.start()])
            begin = match.end()
    return [*parts, text[begin:]]


def _unquoted(text: str) -> str:
    """Return the value of a quoted string, or a token unchanged (RFC 9110, 5.6.4)."""
    if len(text) < 2 or not (text.startswith('"') and text.endswith('"')):
        return text
    return re.sub(r"\\(.)", r"\1", text[1:-1])


def _reason_phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Error"
