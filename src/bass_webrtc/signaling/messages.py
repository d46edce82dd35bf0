"""HTTP messages as plain values: what the rules read and what they answer with."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from http import HTTPStatus

Fields = tuple[tuple[str, str], ...]
"""Header fields of a response, in order; a name may occur more than once."""

SDP = "application/sdp"
SDP_FRAGMENT = "application/trickle-ice-sdpfrag"
PROBLEM = "application/problem+json"

_TITLES = {413: "Content Too Large", 422: "Unprocessable Content"}
"""Names of RFC 9110 that came after the ones Python's ``http`` module has."""


class Headers:
    """Header fields of a request: names in any case, every value kept (RFC 9110, 5.1 to 5.3)."""

    __slots__ = ("_values",)

    def __init__(self, fields: Iterable[tuple[str, str]] = ()) -> None:
        self._values: dict[str, list[str]] = {}
        for name, value in fields:
            self._values.setdefault(name.lower(), []).append(value)

    def all(self, name: str) -> tuple[str, ...]:
        """Every value of the field, one for each line that had it."""
        return tuple(self._values.get(name.lower(), ()))

    def get(self, name: str) -> str | None:
        """The field's value, several lines joined by a comma; None without the field."""
        values = self._values.get(name.lower())
        return None if values is None else ", ".join(values)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.lower() in self._values

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request, its body read. Its ``repr`` shows no secret: paths, fields and bodies carry some."""

    method: str
    path: str = field(repr=False)
    """As it was sent, without the query; percent-encoding is left alone."""
    headers: Headers = field(default_factory=Headers, repr=False)
    body: bytes = field(default=b"", repr=False)
    remote: str = ""
    """IP address of the client."""
    local: str = ""
    """IP address of ours that the client asked; of the proxy's side, when one is between."""
    query: str = field(default="", repr=False)
    """What stood after the question mark."""


@dataclass(frozen=True, slots=True)
class Response:
    """One HTTP response."""

    status: int
    headers: Fields = ()
    body: bytes = b""

    def plus(self, fields: Fields) -> Response:
        """The same response with more header fields."""
        return replace(self, headers=self.headers + fields) if fields else self

    def header(self, name: str) -> str | None:
        """The first value of a header field; None without the field."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)


class Refused(Exception):
    """A request that gets an error response; raised and caught inside of this package.

    Args:
        status: HTTP status code, 400 to 599.
        detail: One sentence for the person at the other end. No internals (conformance label SE68).
        headers: More header fields of the response.
    """

    def __init__(self, status: int, detail: str, headers: Fields = ()) -> None:
        super().__init__(f"{status}: {detail}")
        self.status = status
        self.detail = detail
        self.headers = headers

    def response(self) -> Response:
        """The error response, with a problem document as its body (RFC 9457, 3)."""
        document = {
            "title": _TITLES.get(self.status) or _phrase(self.status),
            "status": self.status,
            "detail": self.detail,
            "error": self.detail,  # An extension member (RFC 9457, 3.2): where MediaMTX's players look.
        }
        body = json.dumps(document).encode()
        return Response(self.status, (("Content-Type", PROBLEM), ("Cache-Control", "no-store"), *self.headers), body)


def media_type(request: Request) -> str:
    """The type of the request's body in lower case, without parameters (RFC 9110, 8.3.1); empty when unclear."""
    values = request.headers.all("Content-Type")
    return values[0].partition(";")[0].strip().lower() if len(values) == 1 else ""


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Error"
