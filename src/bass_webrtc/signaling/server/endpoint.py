"""WHIP (RFC 9725) and WHEP (draft-ietf-wish-whep-03) endpoints, sans-I/O: a request in, a response out.

    OPTIONS ── any URL        allowed methods, CORS, ICE servers
    POST    ── the endpoint, or a channel below it
                              token ► room ► admit ► type ► SDP ► create          201 Location, ETag, answer
    PATCH   ── a session      (token) ► find ► type ► fragment ► If-Match ► trickle 204 | restart 200
    DELETE  ── a session      (token) ► find ► close                            200

One class serves both protocols, and calls, whose peers do both on one connection. They differ in who sends audio, which
``rtc`` checks, and in the response to GET.
Refusals are ``Refused`` exceptions, checked in the order above; their body is always a problem document.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Collection, Coroutine, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import unquote

from ...config import MAIN, public_origin
from ...errors import BassWebRtcError, ClosedError, PeerLimitError, SdpError, SignalingError
from ...rtc.negotiation import Offer, read_offer
from ...rtc.sdp import UnusableSdpError
from ...rtc.sdp_fragment import IceFragment, parse_fragment
from ...stats import Kind
from ..messages import SDP, SDP_FRAGMENT, Fields, Refused, Request, Response, media_type, split_host
from .auth import TokenPolicy
from .cors import Cors, is_foreign_page, is_preflight
from .limits import client_network
from .sessions import Admit, Entry, IfMatch, PeerRequest, Session, Sessions, SessionTable, no_such_session

KNOWN_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"})
_ENDPOINT_METHODS = "OPTIONS, GET, HEAD, POST"
_SESSION_METHODS = "OPTIONS, GET, HEAD, PATCH, DELETE"
_MAX_ADMISSIONS = 100
"""Requests that wait for ``admit`` at the same time; half of them from one network."""
_MAX_PATCHES = 16
"""Requests that wait for one session at the same time."""
_NO_STORE = ("Cache-Control", "no-store")
_WARN_CODE = 299
"""Miscellaneous warning about the response itself (RFC 7234, 5.5.7; obsolete, but the only field for it)."""
_ACCEPT_POST = ("Accept-Post", SDP)
_ACCEPT_PATCH = ("Accept-Patch", SDP_FRAGMENT)


@dataclass(frozen=True, slots=True)
class EndpointSettings:
    """Settings of one endpoint."""

    path: str
    """URL path of the endpoint, such as ``"/whep"``."""
    tokens: TokenPolicy = field(default_factory=TokenPolicy)
    public_url: str = ""
    """URL of the root of the server for clients that use this host; empty: unknown."""
    require_token_on_sessions: bool = False
    """Require the token on PATCH and DELETE as well."""
    strict: bool = False
    """Answer a PATCH without If-Match with 428 even if its credentials identify the ICE session, and refuse offers with
    sections besides the audio."""
    ice_lite: bool = True
    """Whether this server is ICE-lite; if so, an ICE-lite offer is refused (422)."""
    allow_origins: tuple[str, ...] = ()
    """Web origins that may use the endpoint; ``("*",)`` allows any."""
    ice_links: Callable[[], tuple[str, ...]] = field(default=tuple, repr=False)
    """Called for each client; returns values of ``Link`` fields, made by ``ice_server_links``."""
    max_candidates: int = 100
    """Remote candidates accepted per ICE session (RFC 8445, 6.1.2.5); more are silently dropped."""
    retry_after_s: int = 5
    """``Retry-After`` of 409 and 503 responses."""
    page: Callable[[Request], Response] | None = field(default=None, repr=False)
    """Answers GET and HEAD of the endpoint; None: without content."""
    describe: Callable[[Session], Mapping[str, Any] | None] | None = field(default=None, repr=False)
    """Returns what GET of a session answers as JSON; None: without content."""
    ending: Callable[[Session], str] | None = field(default=None, repr=False)
    """Returns why a session has ended, for GET of its URL within a minute: 410 with that reason; None: 404."""
    channels: Callable[[], Collection[str]] = field(default=tuple, repr=False)
    """Returns the names of the channels that can be heard here, each at ``path`` and a slash before its name."""


class Endpoint:
    """One WHEP (``kind="player"``) or WHIP (``kind="publisher"``) endpoint. Used on one event loop.

    Args:
        kind: What the peers that connect here do; ``"sendrecv"`` for callers.
        settings: Settings of the endpoint.
        sessions: Creates the sessions.
        admit: Decides whether a peer may connect. Called after the token check and before the body is read; None
            admits every peer.
    """

    def __init__(self, kind: Kind, settings: EndpointSettings, sessions: Sessions, admit: Admit | None = None) -> None:
        self.kind = kind
        self.cors = Cors(settings.allow_origins)
        self._settings = settings
        self._public_origin = public_origin(settings.public_url) if settings.public_url else ""
        self._sessions = sessions
        self._admit = admit
        self._admissions: Counter[str] = Counter()
        self._table = SessionTable(settings.max_candidates, settings.ending)
        self._handlers: dict[str, Callable[[Request, Entry], Coroutine[Any, Any, Response]]] = {
            "PATCH": self._patch,
            "DELETE": self._delete,
        }

    def __len__(self) -> int:
        """Number of sessions that have a URL here."""
        return len(self._table)

    def serves(self, path: str) -> bool:
        """Return whether a path belongs to this endpoint, or to one of its channels or sessions."""
        return path == self._settings.path or path.startswith(self._settings.path + "/")

    def forget(self, session: object) -> None:
        """Remove a session that has ended by itself. Unknown sessions are ignored.

        Its URL answers 404 from now on, and within a minute 200 to one DELETE, and 410 to GET if there is a reason that
        clients are told.
        """
        self._table.ended(session)

    async def respond(self, request: Request) -> Response:
        """Answer one request. Never raises.

        Args:
            request: A request whose path ``serves`` accepts.
        """
        try:
            response = await self._dispatch(request)
        except Refused as refusal:
            response = refusal.response()
        except Exception as error:
            response = self._internal_error(error).response()
        return response.with_fields(self.cors.fields(request))

    async def _dispatch(self, request: Request) -> Response:
        if request.method not in KNOWN_METHODS:
            raise Refused(501, "The method is not supported.")
        secret = unquote(request.path[len(self._settings.path) :].removeprefix("/"))
        channels = self._settings.channels()
        # Without the token, the address of a channel must not differ from that of a session.
        is_channel = secret in channels and (request.method == "POST" or self._is_authorised(request))
        is_session = bool(secret) and not is_channel
        if request.method == "OPTIONS":
            return self._options(request, is_session=is_session)
        if request.method == "POST" and is_session and channels and secret not in self._table:
            self._settings.tokens.check(request)
            raise Refused(404, f"There is no channel of this name; expected one of {', '.join(channels)}")
        _require_allowed(request.method, _SESSION_METHODS if is_session else _ENDPOINT_METHODS)
        if not is_session:
            return await self._post(request, secret or MAIN) if request.method == "POST" else self._describe(request)
        if self._settings.require_token_on_sessions:
            self._settings.tokens.check(request)
        try:
            entry = self._table.find(secret)
        except Refused:
            # Clients that close DTLS first send DELETE for a session that has ended; OBS and browsers report a 404.
            if request.method == "DELETE" and self._table.take_ended(secret):
                return Response(200, (_NO_STORE,))
            if request.method in ("GET", "HEAD") and (reason := self._table.reason(secret)):
                raise Refused(410, reason, (_NO_STORE,)) from None
            raise
        handler = self._handlers.get(request.method)
        return self._describe_session(entry) if handler is None else await handler(request, entry)

    # The endpoint URL

    def _options(self, request: Request, *, is_session: bool) -> Response:
        """Neither checks the token nor looks up the session: browsers send no token in a preflight."""
        fields: Fields = (("Allow", _SESSION_METHODS if is_session else _ENDPOINT_METHODS), _ACCEPT_POST)
        fields += (_ACCEPT_PATCH,) if is_session else ()
        if not is_session and not is_preflight(request) and self._is_authorised(request):
            # Not in a preflight (RFC 9725, 4.6), and TURN credentials only for clients with the token.
            fields += self._links()
        return Response(204, (*fields, _NO_STORE, *self.cors.preflight_fields(request)))

    def _describe(self, request: Request) -> Response:
        """Answer GET and HEAD: 2xx without content (RFC 9725, 4.1); WHEP adds the type ("URL Discoverability")."""
        if self._settings.page is not None:
            return self._settings.page(request)
        if self.kind == "publisher":
            return Response(204, (_ACCEPT_POST, _NO_STORE))
        return Response(200, (("Content-Type", SDP), _ACCEPT_POST, _NO_STORE))

    async def _post(self, request: Request, channel: str) -> Response:
        self._settings.tokens.check(request)
        try:
            self._sessions.check_room(request)
        except BassWebRtcError as error:
            raise self._refusal(error) from None
        await self._check_admission(request, channel if self.kind != "publisher" else "")
        _require_type(request, SDP, _ACCEPT_POST)
        _require_body(request, "a session description")
        try:
            offer = self._read_offer(request)
            session = await self._sessions.create(self.kind, offer, request, channel)
        except BassWebRtcError as error:
            raise self._refusal(error) from None
        if session.closed:
            raise Refused(503, "The session ended while it was being created.", self._retry_after())
        entry = self._table.add(session, offer.audio.mid)
        fields: Fields = (
            ("Content-Type", SDP),
            ("Location", self._location(request, entry.secret)),
            ("ETag", entry.entity_tag),
            _ACCEPT_PATCH,
            _NO_STORE,
            *(("Warning", f'{_WARN_CODE} bass-webrtc "{limit}"') for limit in session.exceeded_limits),
        )
        return Response(201, (*fields, *self._links()), session.answer_sdp.encode())

    def _location(self, request: Request, secret: str) -> str:
        """Return the URL of a session, as the client reaches it: without a query, which OBS and MediaMTX cut off.

        A proxy may have removed a prefix of the path. If this server is not told which, it answers with a reference
        relative to the URL that the client used (RFC 3986, 5.2.3). OBS reads that as an absolute path, and Eyevinn's
        player as relative to its page, which may be on another site.
        """
        settings, prefix = self._settings, request.forwarded.prefix
        host = request.forwarded.host or request.headers.get("Host") or ""
        if settings.public_url and split_host(host) == split_host(self._public_origin.partition("://")[2]):
            return f"{settings.public_url.rstrip('/')}{settings.path}/{secret}"
        if prefix or (is_foreign_page(request) and not self._is_public_page(request)):
            return f"{prefix}{settings.path}/{secret}"
        is_endpoint = request.path == settings.path
        return f"{settings.path.rpartition('/')[2]}/{secret}" if is_endpoint else secret

    def _is_public_page(self, request: Request) -> bool:
        """Return whether a page at ``public_url`` sends the request; the proxy may have replaced Host."""
        return bool(self._public_origin) and (request.headers.get("Origin") or "").lower() == self._public_origin

    def _read_offer(self, request: Request) -> Offer:
        settings = self._settings
        return read_offer(request.body, role=self.kind, strict=settings.strict, local_ice_lite=settings.ice_lite)

    async def _check_admission(self, request: Request, channel: str) -> None:
        if self._admit is None:
            return
        network = client_network(request.remote)
        if self._admissions[network] >= _MAX_ADMISSIONS // 2 or self._admissions.total() >= _MAX_ADMISSIONS:
            raise Refused(503, "Too many requests are waiting to be admitted.", self._retry_after())
        headers = {name: request.headers.get(name) or "" for name in request.headers}
        token = self._settings.tokens.presented(request)
        self._admissions[network] += 1
        try:
            verdict = await self._admit(PeerRequest(request.remote, self.kind, headers, token, channel))
        finally:
            self._admissions[network] -= 1
            self._admissions += Counter()  # Forgets networks without requests.
        if isinstance(verdict, str) or not verdict:
            raise Refused(403, verdict or "You may not connect here.")

    # Session URLs

    def _describe_session(self, entry: Entry) -> Response:
        description = self._settings.describe(entry.session) if self._settings.describe is not None else None
        if description is None:
            return Response(204, (_NO_STORE,))
        return Response(200, (("Content-Type", "application/json"), _NO_STORE), json.dumps(description).encode())

    async def _patch(self, request: Request, entry: Entry) -> Response:
        _require_type(request, SDP_FRAGMENT, _ACCEPT_PATCH)
        _require_body(request, "a fragment")
        try:
            fragment = parse_fragment(request.body, mid=entry.mid)
        except SdpError as error:
            raise self._refusal(error) from None
        if entry.patches >= _MAX_PATCHES:
            raise Refused(429, "Too many requests of this session are in progress.", self._retry_after())
        entry.patches += 1
        try:
            async with entry.lock:
                return await self._apply(request, fragment, entry)
        finally:
            entry.patches -= 1

    async def _apply(self, request: Request, fragment: IceFragment, entry: Entry) -> Response:
        if entry.ended:
            raise no_such_session()
        is_restart = self._is_restart(fragment, entry)
        self._check_precondition(request, fragment, entry)
        fragment = self._limit_candidates(fragment, entry, is_restart=is_restart)
        return await self._restart(request, fragment, entry) if is_restart else self._trickle(fragment, entry)

    def _is_restart(self, fragment: IceFragment, entry: Entry) -> bool:
        """Changed credentials make a PATCH a restart, not If-Match (RFC 9725, 4.3.3)."""
        try:
            return fragment.is_restart(entry.session.remote_ice)
        except SdpError as error:
            raise self._refusal(error) from None

    def _check_precondition(self, request: Request, fragment: IceFragment, entry: Entry) -> None:
        """Check If-Match, after all other checks of the request (RFC 9110, 13.2.1)."""
        condition = IfMatch.parse(request.headers.all("If-Match"))
        if condition is None:
            # medooze, whose author also edits the drafts, sends its first candidates without If-Match.
            if self._settings.strict or fragment.ice is None or fragment.ice != entry.session.remote_ice:
                raise Refused(428, "If-Match with the session's entity tag is required.")
        elif not condition.holds(entry.entity_tag):
            raise Refused(412, "If-Match does not name the current ICE session.")

    def _limit_candidates(self, fragment: IceFragment, entry: Entry, *, is_restart: bool) -> IceFragment:
        limit = self._settings.max_candidates if is_restart else entry.candidates_left
        return replace(fragment, candidates=fragment.candidates[:limit])

    def _trickle(self, fragment: IceFragment, entry: Entry) -> Response:
        """RFC 9725, 4.3.2: 204, no body and no ETag."""
        entry.candidates_left -= len(fragment.candidates)
        entry.session.add_candidates(fragment.candidates)
        if fragment.end_of_candidates:
            entry.session.end_of_candidates()
        return Response(204, (_NO_STORE,))

    async def _restart(self, request: Request, fragment: IceFragment, entry: Entry) -> Response:
        """RFC 9725, 4.3.3: 200, the new ICE session's description and tag; on failure the old ICE session continues."""
        try:
            answer = await entry.session.restart(fragment, request.local, request.remote)
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
        """RFC 9725, 4.2. If-Match is ignored (4.3.1). The URL is gone at once, even while a PATCH is in progress."""
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
        """Map an error of a session or of a parser to an HTTP status."""
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
        return self._internal_error(error)

    def _internal_error(self, error: Exception) -> Refused:
        """Report an unexpected error to the loop's exception handler; the client gets no details."""
        context = {"message": f"a request to {self._settings.path} failed", "exception": error}
        asyncio.get_running_loop().call_exception_handler(context)
        return Refused(500, "Internal server error.")


def _require_allowed(method: str, allowed: str) -> None:
    if method not in allowed.split(", "):
        raise Refused(405, f"{method} is not allowed here.", (("Allow", allowed),))


def _require_body(request: Request, expected: str) -> None:
    if not request.body.strip():
        hint = "If the client sent one, a proxy has dropped Transfer-Encoding and so the body."
        raise Refused(400, f"The body is empty; expected {expected}. {hint}")


def _require_type(request: Request, expected: str, accept: tuple[str, str]) -> None:
    if media_type(request) != expected:
        raise Refused(415, f"Content-Type must be {expected}.", (accept,))
    if (request.headers.get("Content-Encoding") or "identity").strip().lower() != "identity":
        raise Refused(415, "The body must not be compressed.", (accept, ("Accept-Encoding", "identity")))
