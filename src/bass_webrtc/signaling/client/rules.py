"""How a WHIP or WHEP client interprets responses (RFC 9725; draft-ietf-wish-whep-03). Sans-I/O.

    POST   201 answer | 406 counter-offer (WHEP) | otherwise SignalingError
    PATCH  trickle: 2xx, refusals are logged     restart: 200 with fragment and new entity tag | SignalingError
    DELETE 200, 202, 204, 404, 410: the session has ended

Other status codes count as the x00 of their class (RFC 9725, 4.1).
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field

from ...config import IceServer
from ...errors import SdpError
from ...rtc.sdp_fragment import IceFragment, parse_fragment
from ..ice_servers import parse_ice_servers
from ..messages import SDP, SDP_FRAGMENT, Fields, Headers, parse_parameters
from .backoff import seconds_until
from .errors import ErrorMaker, Reply
from .urls import Trust, Url

logger = logging.getLogger(__name__)

GONE = frozenset({200, 202, 204, 404, 410})
"""Responses to DELETE after which the session has ended; servers differ in which one they send."""
COUNTER_OFFER_VALID_S = 30.0
"""Default without ``valid-until`` (WHEP, "406 Not Acceptable")."""
_LONGEST_VALID_S = 3600.0

ANY_ICE_SESSION = "*"
"""``If-Match`` of an ICE restart (RFC 9725, 4.3.3)."""
ANY_ICE_SESSION_QUOTED = '"*"'
"""The same, as written in Figure 4 of RFC 9725 and required by Janus."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The server accepted the offer."""

    sdp: str = field(repr=False)
    session_url: str | None = field(repr=False)
    """A secret. None if the server gave none; then trickle, ICE restart and DELETE are impossible."""
    ice_servers: tuple[IceServer, ...]
    """From ``Link`` fields. Servers configured by the user take precedence (RFC 9725, 4.6)."""
    entity_tag: str | None


@dataclass(frozen=True, slots=True)
class CounterOffer:
    """The server did not accept the offer and makes one itself (WHEP)."""

    sdp: str = field(repr=False)
    session_url: str = field(repr=False)
    """A secret."""
    ice_servers: tuple[IceServer, ...]
    valid_for_s: float
    """Seconds after its arrival within which it may be answered."""


def creates_session(status: int, headers: Headers) -> bool:
    """Return whether a response to POST created a session, judged by its status and header alone."""
    return 200 <= status < 300 or (status == 406 and headers.media_type == SDP)


def read_location(headers: Headers, url: Url, trust: Trust) -> Url | None:
    """Return the session URL, resolved against the URL after redirects; None if the server gave none.

    Raises:
        UnsafeUrlError: The URL must not be used.
    """
    locations = [value for value in headers.all("Location") if value.strip()]
    return trust.resolve(locations[0], url) if locations else None


def read_answer_response(reply: Reply, session: Url | None, errors: ErrorMaker) -> Answer:
    """Interpret the response to POST.

    Raises:
        SignalingError: The server refused, or the response cannot be used.
    """
    if not 200 <= reply.status < 300:
        raise errors.refusal(reply)
    sdp = _sdp_of(reply, errors)
    # 200 with a session URL is accepted, as in GStreamer. go2rtc sends 201 without Location, and works.
    if reply.status != 201 and session is None and "Location" not in reply.headers:
        raise errors.make(reply.status, reply.url, "the response has no session URL; expected 201 with Location")
    return Answer(sdp, None if session is None else session.text, _ice_servers(reply), entity_tag(reply.headers))


def read_counter_offer(reply: Reply, session: Url | None, errors: ErrorMaker, wall_s: float) -> CounterOffer:
    """Interpret a 406 response to a player's POST.

    Raises:
        SignalingError: It has no description or no URL for the answer, so it is a refusal; or it has expired.
    """
    if reply.headers.media_type != SDP or session is None:
        raise errors.refusal(reply)
    _, parameters = parse_parameters(reply.headers.all("Content-Type")[0])
    valid_s = seconds_until(parameters.get("valid-until", ""), reply.headers.get("Date"), wall_s)
    valid_s = COUNTER_OFFER_VALID_S if valid_s is None else min(valid_s, _LONGEST_VALID_S)
    if valid_s <= 0:
        raise errors.make(reply.status, reply.url, "the counter-offer had expired on arrival")
    return CounterOffer(_sdp_of(reply, errors), session.text, _ice_servers(reply), valid_s)


def read_restart(reply: Reply, mid: str | None, errors: ErrorMaker) -> IceFragment:
    """Interpret the 2xx response to an ICE restart.

    Raises:
        SignalingError: It cannot be used; the old ICE session continues (RFC 9725, 4.3.3).
    """
    media_type = reply.headers.media_type
    if media_type not in (SDP_FRAGMENT, ""):
        detail = f"the response to an ICE restart is {media_type[:60]}; expected {SDP_FRAGMENT}"
        raise errors.make(reply.status, reply.url, detail)
    try:
        fragment = parse_fragment(reply.body, mid=mid, is_patch=False)
    except SdpError as error:
        raise errors.make(reply.status, reply.url, f"the response to an ICE restart is malformed: {error}") from None
    if fragment.ice is None:
        raise errors.make(reply.status, reply.url, "the response to an ICE restart has no credentials")
    return fragment


def entity_tag(headers: Headers) -> str | None:
    """Return the tag of the ICE session unchanged: quoted, unquoted (LiveKit), ``*`` (MediaMTX) or weak."""
    values = headers.all("ETag")
    return (values[0].strip() or None) if values else None


def condition(tag: str | None) -> Fields:
    """Return the ``If-Match`` field for a tag; no field for None."""
    return () if tag is None else (("If-Match", tag),)


def _ice_servers(reply: Reply) -> tuple[IceServer, ...]:
    return parse_ice_servers(reply.headers.all("Link"))


def _sdp_of(reply: Reply, errors: ErrorMaker) -> str:
    media_type = reply.headers.media_type
    if media_type not in (SDP, ""):
        raise errors.make(reply.status, reply.url, f"the response is {media_type[:60]}; expected {SDP}")
    if not reply.body.strip():
        raise errors.make(
            reply.status, reply.url, "the response has no session description; a proxy may have dropped it"
        )
    if not media_type:
        logger.warning("%s sent a session description without Content-Type", reply.url.shown)
    try:
        return reply.body.decode()
    except UnicodeDecodeError:
        raise errors.make(reply.status, reply.url, "the session description is not UTF-8") from None
