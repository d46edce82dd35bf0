"""Turns failures of requests into ``SignalingError``, without showing tokens or secret URLs."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from urllib.parse import unquote

from ...errors import SignalingError
from ..messages import Headers
from .backoff import parse_retry_after
from .urls import Url

MAX_DETAIL_BYTES = 4096
"""Bytes of an error's body that are read."""
_MAX_DETAIL_CHARACTERS = 200
_MIN_SECRET_CHARACTERS = 4
"""Shorter parts of a URL are ordinary words such as ``id``."""
_UNPRINTABLE = re.compile(r"[\s\x00-\x1f\x7f-\x9f]+")
_DEFAULT_DETAILS = {
    401: "a valid token is required",
    403: "the token does not permit this request",
    404: "the server has no such URL",
}
_HIDDEN = "…"


@dataclass(frozen=True, slots=True)
class Reply:
    """A response and the URL it came from."""

    status: int
    headers: Headers = field(repr=False)
    body: bytes = field(repr=False)
    url: Url
    """After redirects."""
    is_token_withheld: bool = False
    """The token was not sent, because the request went to another origin than the one it is for."""


class ErrorMaker:
    """Makes errors that are safe to log.

    Args:
        secrets: Texts that must not be shown, such as the token.
        wall_s: Returns the time in seconds since 1970.
    """

    def __init__(self, secrets: Iterable[str], wall_s: Callable[[], float] = time.time) -> None:
        self._secrets = {secret for secret in secrets if secret}
        self._wall_s = wall_s

    def hide(self, url: Url, *, shortest: int = 20) -> None:
        """Hide the query of a URL and the long segments of its path from now on.

        Args:
            url: A URL given by the user, or that of a session.
            shortest: Minimum number of characters of a segment to be hidden.
        """
        path, _, query = url.text[len(url.origin) :].partition("?")
        parts = [segment for segment in path.split("/") if len(segment) >= shortest]
        parts += [part for part in (query, *re.split(r"[&=]", query)) if len(part) >= _MIN_SECRET_CHARACTERS]
        self._secrets.update(parts, map(unquote, parts))

    def make(self, status: int, url: Url, detail: str, retry_after_s: float | None = None) -> SignalingError:
        """Make an error with our own text; ``status`` is 0 if there was no response."""
        return SignalingError(status, url.shown, self._shown(detail), retry_after_s)

    def refusal(self, reply: Reply) -> SignalingError:
        """Make the error for a response that is a refusal."""
        detail = self._shown(_detail(reply)) or _DEFAULT_DETAILS.get(reply.status, "the server refused")
        if reply.is_token_withheld and reply.status in (401, 403):
            detail = f"the token was not sent, because this is not the origin of the configured URL: {detail}"
        headers = reply.headers
        retry_after_s = parse_retry_after(headers.get("Retry-After"), headers.get("Date"), self._wall_s())
        return self.make(reply.status, reply.url, detail, retry_after_s)

    def _shown(self, text: str) -> str:
        """Return one printable line without secrets. They are removed first: a truncated one would not be found."""
        for secret in sorted(self._secrets, key=len, reverse=True):
            text = text.replace(secret, _HIDDEN)
        text = _UNPRINTABLE.sub(" ", text).strip()
        return text if len(text) <= _MAX_DETAIL_CHARACTERS else f"{text[: _MAX_DETAIL_CHARACTERS - 1]}{_HIDDEN}"


def _detail(reply: Reply) -> str:
    """Return the server's message: from a problem document (RFC 9457), other JSON or plain text, not from HTML."""
    text = reply.body[:MAX_DETAIL_BYTES].decode(errors="replace")
    media_type = reply.headers.media_type
    if media_type.endswith("json"):
        return _json_detail(text)
    return text if media_type in ("text/plain", "") else ""


def _json_detail(text: str) -> str:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return ""
    if not isinstance(document, dict):
        return ""
    values = (document.get(name) for name in ("detail", "error", "message", "title"))
    return next((value for value in values if isinstance(value, str) and value.strip()), "")
