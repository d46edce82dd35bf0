"""Every failure of a client's request as one ``SignalingError``, in which no token and no secret URL is shown."""

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
"""Of an error's body; the rest is not read."""
_MAX_DETAIL_CHARACTERS = 200
_MIN_SECRET_CHARACTERS = 4
"""Shorter parts of a URL are words such as ``id``."""
_UNPRINTABLE = re.compile(r"[\s\x00-\x1f\x7f-\x9f]+")
_REFUSED = {401: "a valid token is needed", 403: "the token gives no right to do this", 404: "there is nothing here"}
_HIDDEN = "…"


@dataclass(frozen=True, slots=True)
class Reply:
    """A response and where it came from."""

    status: int
    headers: Headers = field(repr=False)
    body: bytes = field(repr=False)
    url: Url
    """After redirects."""
    is_token_withheld: bool = False
    """There is a token, and the request went without it, because it went to another origin."""


class ErrorMaker:
    """Writes errors that may be logged.

    Args:
        secrets: What must not be shown wherever it comes up: the token, for instance.
        wall_s: Seconds since 1970.
    """

    def __init__(self, secrets: Iterable[str], wall_s: Callable[[], float] = time.time) -> None:
        self._secrets = {secret for secret in secrets if secret}
        self._wall_s = wall_s

    def hide(self, url: Url, *, shortest: int = 20) -> None:
        """From now on, show neither the query of a URL nor the segments of its path that look like a secret.

        Args:
            url: One that the user gave, or that of a session.
            shortest: How many characters a segment has at least to be hidden.
        """
        path, _, query = url.text[len(url.origin) :].partition("?")
        parts = [segment for segment in path.split("/") if len(segment) >= shortest]
        parts += [part for part in (query, *re.split(r"[&=]", query)) if len(part) >= _MIN_SECRET_CHARACTERS]
        self._secrets.update(parts, map(unquote, parts))

    def make(self, status: int, url: Url, detail: str, retry_after_s: float | None = None) -> SignalingError:
        """An error of our own words; ``status`` is 0 without a response."""
        return SignalingError(status, url.shown, self._shown(detail), retry_after_s)

    def refusal(self, reply: Reply) -> SignalingError:
        """The error that a response stands for."""
        detail = self._shown(_detail(reply)) or _REFUSED.get(reply.status, "the server refused")
        if reply.is_token_withheld and reply.status in (401, 403):
            detail = f"the token was not sent, since this is another origin than that of the URL given: {detail}"
        headers = reply.headers
        retry_after_s = parse_retry_after(headers.get("Retry-After"), headers.get("Date"), self._wall_s())
        return self.make(reply.status, reply.url, detail, retry_after_s)

    def _shown(self, text: str) -> str:
        """One printable line, shortened, without secrets. They go first: a shortened one would not be found."""
        for secret in sorted(self._secrets, key=len, reverse=True):
            text = text.replace(secret, _HIDDEN)
        text = _UNPRINTABLE.sub(" ", text).strip()
        return text if len(text) <= _MAX_DETAIL_CHARACTERS else f"{text[: _MAX_DETAIL_CHARACTERS - 1]}{_HIDDEN}"


def _detail(reply: Reply) -> str:
    """What the server says for people: a problem document (RFC 9457), other JSON, or plain text. No web pages."""
    text = reply.body[:MAX_DETAIL_BYTES].decode(errors="replace")
    media_type = (reply.headers.get("Content-Type") or "").partition(";")[0].strip().lower()
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
