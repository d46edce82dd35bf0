"""The desk's HTTP API, sans-I/O: what a producer's page or program sees of the calls and does with them.

    /api/calls   /api/calls/ID   /api/desk   /api/invites   /api/invites/ID   /api/events   /api/openapi.json

    request ─► path, method ─► own page? ─► token ─► body ─► CallBook, Invites ─► JSON

``openapi.json`` describes all of it, and bodies are checked against it. A refused request has changed nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import json
import math
import re
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any, Protocol
from urllib.parse import unquote

from ...config import public_origin
from ...errors import BassWebRtcError, ConfigError
from ...stats import CallState, CallStats, DeskStats
from ...version import __version__
from ..messages import Fields, Refused, Request, Response
from .auth import TokenPolicy
from .cors import Cors
from .desk_documents import call_document, desk_document, invite_document, levels_document
from .desk_events import DeskEvents
from .invites import Invites, clean_name, invite_url
from .json_body import JSON, read_object

_OPENAPI = "/api/openapi.json"
_DOCUMENT: Mapping[str, Any] = json.loads((files(__package__) / "openapi.json").read_text(encoding="utf-8"))
_SCHEMAS: Mapping[str, Any] = _DOCUMENT["components"]["schemas"]
_MAX_INVITES_PER_MINUTE = 30
_NUMBER = re.compile(r"[0-9]{1,18}")
_NO_STORE = ("Cache-Control", "no-store")
_EVENT_STREAM: Fields = (
    ("Content-Type", "text/event-stream"),
    _NO_STORE,
    ("X-Accel-Buffering", "no"),  # nginx would collect events until its buffer is full.
)
_HUNG_UP = "the producer hung up"


@dataclass(frozen=True, slots=True)
class CallChanges:
    """What to change of a call. None: it stays as it is."""

    state: CallState | None = None
    gain: float | None = None
    """Factor of what the others hear of the caller, 0 to 4."""
    muted: bool | None = None
    talkback: bool | None = None
    return_gain: float | None = None
    """Factor of what the caller hears, 0 to 4."""
    name: str | None = None
    """Made by ``clean_name``."""
    recording: bool | None = None


class CallBook(Protocol):
    """The calls of a server, as the desk sees them. Called on the loop thread only."""

    invites: Invites

    def calls(self) -> Sequence[CallStats]:
        """Return the calls that are connected, the oldest first."""

    def call(self, call_id: int) -> CallStats:
        """Return one of them.

        Raises:
            KeyError: There is no such call: 404.
        """

    def change(self, call_id: int, changes: CallChanges) -> None:
        """Change a call: all that is asked for, or nothing.

        Raises:
            KeyError: There is no such call: 404.
            ConfigError: A value cannot be used: 422.
            BassWebRtcError: It is not possible at present: 409.
        """

    def hang_up(self, call_id: int, reason: str) -> None:
        """End a call.

        Raises:
            KeyError: There is no such call: 404.
        """

    def desk(self) -> DeskStats:
        """Return what a producer sees besides the calls."""

    def record_programme(self, recording: bool) -> None:
        """Start or stop the recording of the programme.

        Raises:
            BassWebRtcError: It is not possible: 409.
        """

    def levels(self) -> tuple[float, Mapping[int, float]]:
        """Return the levels of the programme, and of each call by its id, in dBFS; -127 is silence."""

    def watch(self, changed: Callable[[], None]) -> Callable[[], None]:
        """Call a function on the loop thread after each change; return a function that ends that."""


@dataclass(frozen=True, slots=True)
class DeskSettings:
    """Settings of the desk's API."""

    token: str = field(repr=False)
    """Required from every client."""
    public_url: str = ""
    """URL of the root of the server for guests and producers; empty: unknown."""


_Route = Callable[[Request, str], Response]
"""Takes the request, and what follows the path of a collection."""


class Desk:
    """Answers the requests of producers. Used on one event loop.

    Args:
        settings: Settings of the API.
        book: The calls and invites.
        clock: Monotonic time in seconds.

    Raises:
        ConfigError: ``public_url`` is not a URL, or the token is empty.
    """

    def __init__(self, settings: DeskSettings, book: CallBook, clock: Callable[[], float] = time.perf_counter) -> None:
        if not settings.token:
            raise ConfigError("desk_token is empty; expected a secret of the producers")
        self.cors = Cors((public_origin(settings.public_url),) if settings.public_url else ())
        self._tokens = TokenPolicy(settings.token)
        self._public_url = settings.public_url
        self._book = book
        self._clock = clock
        self._invited_s: deque[float] = deque(maxlen=_MAX_INVITES_PER_MINUTE)
        self._events = DeskEvents(self._state, self._levels, book.watch, lambda: book.invites.version)
        self._openapi = _openapi(settings.public_url)
        self._routes: dict[str, dict[str, _Route]] = {
            "/api/calls": {"GET": self._list_calls},
            "/api/calls/": {"PATCH": self._change_call, "DELETE": self._hang_up},
            "/api/desk": {"GET": self._get_desk, "PATCH": self._change_desk},
            "/api/events": {"GET": self._stream_events},
            "/api/invites": {"GET": self._list_invites, "POST": self._invite},
            "/api/invites/": {"DELETE": self._revoke},
            _OPENAPI: {"GET": self._describe},
        }

    def serves(self, path: str) -> bool:
        """Return whether a path belongs to the API."""
        return path in self._routes or _collection(path) in self._routes

    async def respond(self, request: Request) -> Response:
        """Answer one request. Never raises.

        Args:
            request: A request whose path ``serves`` accepts.
        """
        try:
            response = self._dispatch(request)
        except Refused as refusal:
            response = refusal.response()
        except Exception as error:
            context = {"message": "a request to the desk failed", "exception": error}
            asyncio.get_running_loop().call_exception_handler(context)
            response = Refused(500, "Internal server error.").response()
        return response.with_fields(self.cors.fields(request))

    def _dispatch(self, request: Request) -> Response:
        path = request.path if request.path in self._routes else _collection(request.path)
        routes = self._routes[path]
        allowed = ("OPTIONS", *(("GET", "HEAD") if "GET" in routes else ()), *(one for one in routes if one != "GET"))
        if request.method == "OPTIONS":
            return Response(204, (("Allow", ", ".join(allowed)), _NO_STORE, *self.cors.preflight_fields(request)))
        if request.method not in allowed:
            raise Refused(405, f"{request.method} is not allowed here.", (("Allow", ", ".join(allowed)),))
        if path != _OPENAPI:
            _check_own_page(request)
            self._tokens.check(request)
        route = routes["GET" if request.method == "HEAD" else request.method]
        return route(request, unquote(request.path.removeprefix(path)))

    # Calls

    def _list_calls(self, _request: Request, _item: str) -> Response:
        return _data([call_document(call) for call in self._book.calls()])

    def _change_call(self, request: Request, item: str) -> Response:
        call = self._find(item)
        members = read_object(request, _SCHEMAS["CallChanges"])
        if "name" in members:
            members["name"] = clean_name(members["name"])
        changes = CallChanges(**members)
        with _refusing("This call has ended."):
            self._book.change(call.id, changes)
        return _data(call_document(self._find(item)))

    def _hang_up(self, _request: Request, item: str) -> Response:
        call = self._find(item)
        with _refusing("This call has ended."):
            self._book.hang_up(call.id, _HUNG_UP)
        return Response(204, (_NO_STORE,))

    def _find(self, item: str) -> CallStats:
        try:
            return self._book.call(int(item) if _NUMBER.fullmatch(item) else -1)
        except KeyError:
            raise Refused(404, "There is no call with this number, or it has ended.") from None

    # The programme and the server

    def _get_desk(self, _request: Request, _item: str) -> Response:
        return _data(desk_document(self._book.desk()))

    def _change_desk(self, request: Request, item: str) -> Response:
        recording = read_object(request, _SCHEMAS["DeskChanges"])["recording"]
        with _refusing():
            self._book.record_programme(recording)
        return self._get_desk(request, item)

    def _stream_events(self, _request: Request, _item: str) -> Response:
        self._events.check_room()
        return Response(200, _EVENT_STREAM, parts=self._events.stream())

    def _state(self) -> dict[str, Any]:
        return {
            "calls": [call_document(call) for call in self._book.calls()],
            "invites": [invite_document(invite) for invite in self._book.invites.all()],
            "desk": desk_document(self._book.desk()),
        }

    def _levels(self) -> dict[str, Any]:
        return levels_document(*self._book.levels())

    def _describe(self, _request: Request, _item: str) -> Response:
        return Response(200, (("Content-Type", JSON), ("Cache-Control", "no-cache")), self._openapi)

    # Invites

    def _list_invites(self, _request: Request, _item: str) -> Response:
        return _data([invite_document(invite) for invite in self._book.invites.all()])

    def _invite(self, request: Request, _item: str) -> Response:
        members = read_object(request, _SCHEMAS["NewInvite"])
        now_s = self._clock()
        if len(self._invited_s) == _MAX_INVITES_PER_MINUTE and now_s - self._invited_s[0] < 60:
            detail = f"{_MAX_INVITES_PER_MINUTE} invites were made within a minute, as many as possible."
            wait_s = max(1, math.ceil(self._invited_s[0] + 60 - now_s))
            raise Refused(429, detail, (("Retry-After", str(wait_s)),))
        with _refusing():
            invite = self._book.invites.create(**members)
        self._invited_s.append(now_s)
        url = invite_url(invite.secret, self._public_url or request.forwarded.prefix)
        return _data({**invite_document(invite), "url": url}, 201)

    def _revoke(self, _request: Request, item: str) -> Response:
        with _refusing("There is no invite with this id, or it has ended."):
            self._book.invites.revoke(item)
        return Response(204, (_NO_STORE,))


def _check_own_page(request: Request) -> None:
    """Check that no page of another origin sends the request, not even by a link, which ``Cors`` allows.

    Raises:
        Refused: 403.
    """
    if request.headers.get("Sec-Fetch-Site") in ("cross-site", "same-site"):
        raise Refused(403, "Pages of other origins may not use the desk.")


@contextlib.contextmanager
def _refusing(missing: str = "") -> Iterator[None]:
    """Turn errors of the program into refusals.

    Args:
        missing: Detail of 404.
    """
    try:
        yield
    except KeyError:
        raise Refused(404, missing) from None
    except ConfigError as error:
        raise Refused(422, str(error)) from None
    except BassWebRtcError as error:
        raise Refused(409, str(error)) from None


def _collection(path: str) -> str:
    """Return the path up to the third slash, such as ``/api/calls/``."""
    return "/".join(path.split("/", 3)[:3]) + "/"


def _data(value: Any, status: int = 200) -> Response:
    return Response(status, (("Content-Type", JSON), _NO_STORE), json.dumps(value, allow_nan=False).encode())


def _openapi(public_url: str) -> bytes:
    """Return the document with the version of the package."""
    document: Any = copy.deepcopy(_DOCUMENT)
    document["info"]["version"] = __version__
    document["servers"] = [{"url": public_url.rstrip("/") or "/"}]
    return json.dumps(document).encode()
