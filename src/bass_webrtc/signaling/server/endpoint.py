"""The rules of WHIP (RFC 9725) and WHEP (draft-ietf-wish-whep-03): a request in, a response out.

    OPTIONS ── any URL        what is allowed, for whom
    POST    ── the endpoint   limits ► token ► admit ► type ► SDP ► create       201 Location, ETag, answer
    PATCH   ── a session      limits ► (token) ► found ► type ► fragment ► If-Match ► trickle 204 | restart 200
    DELETE  ── a session      limits ► (token) ► found ► close                   200

One class serves both protocols: they differ in who sends audio, which ``rtc`` checks, and in what GET says.
Refusals are ``Refused`` exceptions with the status of the table in RFC order; the body is always a problem document.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field, replace
from typing import Any

from ...errors import BassWebRtcError, ClosedError, PeerLimitError, SdpError, SignalingError
from ...rtc.negotiation import Offer, read_offer
from ...rtc.sdp import UnusableSdpError
from ...rtc.sdp_fragment import IceFragment, parse_fragment
from ...stats import Kind
from ..messages import SDP, SDP_FRAGMENT, Fields, Refused, Request, Response, media_type
from .auth import TokenPolicy
from .cors import Cors, is_preflight
from .limits import Limits, MethodLimiter
from .preconditions import IfMatch
from .sessions import Admit, Entry, PeerRequest, Sessions, SessionTable, no_such_session

KNOWN_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"})
_ENDPOINT_METHODS = "OPTIONS, GET, HEAD, POST"
_SESSION_METHODS = "OPTIONS, GET, HEAD, PATCH, DELETE"
_NO_STORE = ("Cache-Control", "no-store")
_ACCEPT_POST = ("Accept-Post", SDP)
_ACCEPT_PATCH = ("Accept-Patch", SDP_FRAGMENT)


@dataclass(frozen=True, slots=True)
class EndpointSettings:
    """Settings of one endpoint."""

    path: str
    """Where it is mounted, such as ``"/whep"``."""
    tokens: TokenPolicy = field(default_factory=TokenPolicy)
    require_token_on_sessions: bool = False
    """Ask for the token on PATCH and DELETE, too."""
    strict: bool = False
    """428 for a PATCH without If-Match even when its credentials say which ICE session it means; and strict offers."""
    ice_lite: bool = True
    """Whether our side is ICE-lite; then an ICE-lite offer is refused (422)."""
    allow_origins: tuple[str, ...] = ()
    """Web origins that may use it; ``("*",)`` is any."""
    ice_links: Callable[[], tuple[str, ...]] = field(default=tuple, repr=False)
    """Called for each visitor: values of ``Link`` fields, made by ``visitor_links``."""
    limits: Limits = field(default_factory=Limits)
    max_candidates: int = 100
    """Remote candidates taken per ICE session (RFC 8445, 6.1.2.5); more are dropped in silence."""
    retry_after_s: int = 5
    """When to come back after 409 and 503."""


class Endpoint:
    """One WHEP (``kind="player"``) or WHIP (``kind="publisher"``) endpoint. Used on one event loop.

    Args:
        kind: Who comes here.
        settings: Its settings.
        sessions: Makes the sessions.
        admit: Asked after the token and before anything of the body is looked at; None admits everybody.
    """

    def __init__(self, kind: Kind, settings: EndpointSettings, sessions: Sessions, admit: Admit | None = None) -> None:
        self.kind = kind
        self.cors = Cors(settings.allow_origins)
        self._settings = settings
        self._sessions = sessions
        self._admit = admit
        self._limiter = MethodLimiter(settings.limits)
        self._table = SessionTable(settings.max_candidates)
        self._handlers: dict[str, Callable[[Request, Entry], Coroutine[Any, Any, Response]]] = {
            "PATCH": self._patch,
            "DELETE": self._delete,
        }

    def __len__(self) -> int:
        """How many sessions have a URL here."""
        return len(self._table)

    def serves(self, path: str) -> bool:
        """Whether a path belongs to this endpoint or to a session of it."""
        return path == self._settings.path or path.startswith(self._settings.path + "/")

    def forget(self, session: object) -> None:
        """A session ended by itself: its URL answers 404 from now on. Unknown sessions are ignored."""
        self._table.forget(session)

    async def respond(self, request: Request, now_s: float) -> Response:
        """Answer one request; never raises.

        Args:
            request: Its path is one that ``serves`` says yes to.
            now_s: Monotonic time, for the rate limits.
        """
        try:
            response = await self._dispatch(request, now_s)
        except Refused as refusal:
            response = refusal.response()
        except Exception as error:
            response = self._mistake(error).response()
        return response.plus(self.cors.fields(request))

    async def _dispatch(self, request: Request, now_s: float) -> Response:
        if request.method not in KNOWN_METHODS:
            raise Refused(501, "This method is not known here.")
        secret = request.path[len(self._settings.path) :].removeprefix("/")
        if request.method == "OPTIONS":
            return self._options(request, is_session=bool(secret))
        _require_allowed(request.method, _SESSION_METHODS if secret else _ENDPOINT_METHODS)
        self._limiter.check(request.method, request.remote, now_s)
        if not secret:
            return await self._post(request) if request.method == "POST" else self._describe()
        if self._settings.require_token_on_sessions:
            self._settings.tokens.check(request)
        entry = self._table.find(secret)
        handler = self._handlers.get(request.method)
        return Response(204, (_NO_STORE,)) if handler is None else await handler(request, entry)

    # The endpoint's own URL

    def _options(self, request: Request, *, is_session: bool) -> Response:
        """Never asks for a token and never looks for the session: browsers send neither token nor body ahead."""
        fields: Fields = (("Allow", _SESSION_METHODS if is_session else _ENDPOINT_METHODS), _ACCEPT_POST)
        fields += (_ACCEPT_PATCH,) if is_session else ()
        if not is_session and not is_preflight(request) and self._is_authorised(request):
            fields += self._links()  # WHIP 4.6: not in a preflight; and credentials for nobody without the token.
        return Response(204, (*fields, _NO_STORE, *self.cors.preflight_fields(request)))

    def _describe(self) -> Response:
        """GET and HEAD. WHIP 4.1: 2xx without content. WHEP, "URL Discoverability": with the type it speaks."""
        if self.kind == "publisher":
            return Response(204, (_ACCEPT_POST, _NO_STORE))
        return Response(200, (("Content-Type", SDP), _ACCEPT_POST, _NO_STORE))

    async def _post(self, request: Request) -> Response:
        self._settings.tokens.check(request)
        await self._ask_admit(request)
        _require_type(request, SDP, _ACCEPT_POST)
        try:
            offer = self._read_offer(request)
            session = await self._sessions.create(self.kind, offer, request)
        except BassWebRtcError as error:
            raise self._refusal(error) from None
        if session.closed:
            raise Refused(503, "The session ended before it began.", self._retry_after())
        entry = self._table.add(session, offer.audio.mid)
        location = f"{self._settings.path}/{entry.secret}"  # Without a query: OBS and MediaMTX cut it off.
        fields: Fields = (
            ("Content-Type", SDP),
            ("Location", location),
            ("ETag", entry.entity_tag),
            _ACCEPT_PATCH,
            _NO_STORE,
        )
        return Response(201, (*fields, *self._links()), session.answer_sdp.encode())

    def _read_offer(self, request: Request) -> Offer:
        settings = self._settings
        role = "any" if self.kind == "sendrecv" else self.kind
        return read_offer(request.body, role=role, strict=settings.strict, local_ice_lite=settings.ice_lite)

    async def _ask_admit(self, request: Request) -> None:
        if self._admit is None:
            return
        headers = {name: request.headers.get(name) or "" for name in request.headers}
        token = self._settings.tokens.presented(request)
        verdict = await self._admit(PeerRequest(request.remote, self.kind, headers, token))
        if isinstance(verdict, str) or not verdict:
            raise Refused(403, verdict or "You may not connect here.")

    # A session's URL

    async def _patch(self, request: Request, entry: Entry) -> Response:
        _require_type(request, SDP_FRAGMENT, _ACCEPT_PATCH)
        try:
            fragment = parse_fragment(request.body, mid=entry.mid)
        except SdpError as error:
            raise self._refusal(error) from None
        async with entry.lock:
            if entry.ended:
                raise no_such_session()
            is_restart = self._is_restart(fragment, entry)
            self._check_precondition(request, fragment, entry)
            fragment = self._capped(fragment, entry, is_restart=is_restart)
            return await self._restart(fragment, entry) if is_restart else self._trickle(fragment, entry)

    def _is_restart(self, fragment: IceFragment, entry: Entry) -> bool:
        """Changed credentials decide, not If-Match (WHIP 4.3.3)."""
        try:
            return fragment.is_restart(entry.session.remote_ice)
        except SdpError as error:
            raise self._refusal(error) from None

    def _check_precondition(self, request: Request, fragment: IceFragment, entry: Entry) -> None:
        """After everything else about the request is known to be right (RFC 9110, 13.2.1)."""
        condition = IfMatch.parse(request.headers.all("If-Match"))
        if condition is None:
            # medooze, by an author of the drafts, sends its first candidates without If-Match.
            if self._settings.strict or fragment.ice is None or fragment.ice != entry.session.remote_ice:
                raise Refused(428, "If-Match with the session's entity tag is needed.")
        elif not condition.holds(entry.entity_tag):
            raise Refused(412, "If-Match names an ICE session that is not the running one.")

    def _capped(self, fragment: IceFragment, entry: Entry, *, is_restart: bool) -> IceFragment:
        room = self._settings.max_candidates if is_restart else entry.candidates_left
        return replace(fragment, candidates=fragment.candidates[:room])

    def _trickle(self, fragment: IceFragment, entry: Entry) -> Response:
        """WHIP 4.3.2: 204, no body and no ETag."""
        entry.candidates_left -= len(fragment.candidates)
        entry.session.add_candidates(fragment.candidates)
        if fragment.end_of_candidates:
            entry.session.end_of_candidates()
        return Response(204, (_NO_STORE,))

    async def _restart(self, fragment: IceFragment, entry: Entry) -> Response:
        """WHIP 4.3.3: 200, the new ICE session's description and its tag; on failure the old one lives on."""
        try:
            answer = await entry.session.restart(fragment)
        except ClosedError:
            raise no_such_session() from None
        except BassWebRtcError as error:
            raise self._refusal(error) from None
        if entry.ended:
            raise no_such_session()
        self._table.restarted(entry, len(fragment.candidates))
        fields: Fields = (("Content-Type", SDP_FRAGMENT), ("ETag", entry.entity_tag), _NO_STORE)
        return Response(200, fields, answer.encode())

    async def _delete(self, request: Request, entry: Entry) -> Response:
        """WHIP 4.2. If-Match is ignored (4.3.1). The URL is gone at once, whatever is still being worked on."""
        self._table.forget(entry.session)
        async with entry.lock:
            await entry.session.close()
        return Response(200, (_NO_STORE,))

    # Both

    def _links(self) -> Fields:
        return tuple(("Link", link) for link in self._settings.ice_links())

    def _retry_after(self) -> Fields:
        return (("Retry-After", str(self._settings.retry_after_s)),)

    def _is_authorised(self, request: Request) -> bool:
        try:
            self._settings.tokens.check(request)
        except Refused:
            return False
        return True

    def _refusal(self, error: BassWebRtcError) -> Refused:
        """The status of an error that a session, or the reading of a description, raised."""
        retry_after = self._retry_after()
        match error:
            case UnusableSdpError():
                return Refused(422, str(error))
            case SdpError():
                return Refused(400, str(error))
            case PeerLimitError() | ClosedError():
                return Refused(503, str(error), retry_after)
            case SignalingError() if 400 <= error.status <= 599:
                return Refused(error.status, error.detail, retry_after if error.status in (409, 429, 503) else ())
        return self._mistake(error)

    def _mistake(self, error: Exception) -> Refused:
        """Not the client's fault: it is told nothing, and the loop's owner everything."""
        context = {"message": f"a request to {self._settings.path} failed", "exception": error}
        asyncio.get_running_loop().call_exception_handler(context)
        return Refused(500, "The server made a mistake.")


def _require_allowed(method: str, allowed: str) -> None:
    if method not in allowed.split(", "):
        raise Refused(405, f"{method} is not allowed here.", (("Allow", allowed),))


def _require_type(request: Request, expected: str, accept: tuple[str, str]) -> None:
    if media_type(request) != expected:
        raise Refused(415, f"Content-Type must be {expected}.", (accept,))
    if (request.headers.get("Content-Encoding") or "identity").strip().lower() != "identity":
        raise Refused(415, "The body must not be compressed.", (accept, ("Accept-Encoding", "identity")))
