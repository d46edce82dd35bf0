"""What a WHIP or WHEP client makes of responses (RFC 9725; draft-ietf-wish-whep-03). Sans-I/O.

    POST   201 answer | 406 counter-offer (WHEP) | anything else: SignalingError
    PATCH  trickle: 2xx, or the refusal is logged     restart: 200 fragment, a new entity tag | SignalingError
    DELETE 200, 202, 204, 404, 410: it is gone

Other status codes count as the x00 of their class (WHIP 4.1).
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field

from ...config import IceServer
from ...errors import SdpError
from ...rtc.sdp_fragment import IceFragment, parse_fragment
from ..messages import SDP, SDP_FRAGMENT, Fields, Headers
from .backoff import seconds_until
from .errors import ErrorMaker, Reply
from .links import parse_ice_servers, parse_parameters
from .redirects import Trust
from .urls import Url

logger = logging.getLogger(__name__)

GONE = frozenset({200, 202, 204, 404, 410})
"""Responses to DELETE after which there is no session; servers differ in which they send."""
COUNTER_OFFER_VALID_S = 30.0
"""Without a ``valid-until`` (WHEP, "406 Not Acceptable")."""
_LONGEST_VALID_S = 3600.0

ANY_ICE_SESSION = "*"
"""``If-Match`` of an ICE restart (WHIP 4.3.3)."""
ANY_ICE_SESSION_QUOTED = '"*"'
"""The same as in WHIP's Figure 4, which is what Janus wants."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The server took the offer."""

    sdp: str = field(repr=False)
    session_url: str | None = field(repr=False)
    """A secret. None: the server gave none, so there is no trickle, no ICE restart and no DELETE."""
    ice_servers: tuple[IceServer, ...]
    """From ``Link`` fields; servers that the user configured come first, or instead of these (WHIP 4.6)."""
    entity_tag: str | None


@dataclass(frozen=True, slots=True)
class CounterOffer:
    """The server did not take the offer, and makes one of its own (WHEP)."""

    sdp: str = field(repr=False)
    session_url: str = field(repr=False)
    """A secret."""
    ice_servers: tuple[IceServer, ...]
    valid_for_s: float
    """How long it may be answered, from its arrival."""


def owes_delete(status: int, headers: Headers) -> bool:
    """Whether a response to POST made a session, going by its status line and header alone."""
    return 200 <= status < 300 or (status == 406 and _type(headers) == SDP)


def read_location(headers: Headers, url: Url, trust: Trust) -> Url | None:
    """The session's URL, resolved against that of the request which was answered in the end; None without one.

    Raises:
        UnsafeUrlError: It is not to be used.
    """
    locations = [value for value in headers.all("Location") if value.strip()]
    return trust.resolve(locations[0], url) if locations else None


def read_answer_response(reply: Reply, session: Url | None, errors: ErrorMaker) -> Answer:
    """Read the response to POST.

    Raises:
        SignalingError: It is a refusal, or of no use.
    """
    if not 200 <= reply.status < 300:
        raise errors.refusal(reply)
    sdp = _sdp_of(reply, errors)
    # GStreamer takes 200 like that, too. 201 without Location is go2rtc, and it plays.
    if reply.status != 201 and session is None:
        raise errors.make(reply.status, reply.url, "the response is not 201 Created and gives no session URL")
    return Answer(sdp, None if session is None else session.text, _ice_servers(reply), entity_tag(reply.headers))


def read_counter_offer(reply: Reply, session: Url | None, errors: ErrorMaker, wall_s: float) -> CounterOffer:
    """Read a 406 to a player's POST.

    Raises:
        SignalingError: It has no description, or no URL to send the answer to: a refusal like any other.
    """
    if _type(reply.headers) != SDP or session is None:
        raise errors.refusal(reply)
    _, parameters = parse_parameters(reply.headers.get("Content-Type") or "")
    valid_s = seconds_until(parameters.get("valid-until", ""), reply.headers.get("Date"), wall_s)
    valid_s = COUNTER_OFFER_VALID_S if valid_s is None else min(valid_s, _LONGEST_VALID_S)
    if valid_s <= 0:
        raise errors.make(reply.status, reply.url, "the counter-offer had expired when it came")
    return CounterOffer(_sdp_of(reply, errors), session.text, _ice_servers(reply), valid_s)


def read_restart(reply: Reply, mid: str | None, errors: ErrorMaker) -> IceFragment:
    """Read the 2xx response to an ICE restart.

    Raises:
        SignalingError: It is of no use; the old ICE session lives on (WHIP 4.3.3).
    """
    if _type(reply.headers) not in (SDP_FRAGMENT, ""):
        raise errors.make(reply.status, reply.url, f"the response to an ICE restart is not {SDP_FRAGMENT}")
    try:
        fragment = parse_fragment(reply.body, mid=mid)
    except SdpError as error:
        raise errors.make(reply.status, reply.url, f"the response to an ICE restart cannot be read: {error}") from None
    if fragment.ice is None:
        raise errors.make(reply.status, reply.url, "the response to an ICE restart has no credentials")
    return fragment


def entity_tag(headers: Headers) -> str | None:
    """The tag of the ICE session, exactly as it came: quoted, unquoted (LiveKit), ``*`` (MediaMTX), weak."""
    values = headers.all("ETag")
    return (values[0].strip() or None) if values else None


def condition(tag: str | None) -> Fields:
    """``If-Match`` with a tag; nothing without one."""
    return () if tag is None else (("If-Match", tag),)


def _ice_servers(reply: Reply) -> tuple[IceServer, ...]:
    return parse_ice_servers(reply.headers.all("Link"))


def _sdp_of(reply: Reply, errors: ErrorMaker) -> str:
    media_type = _type(reply.headers)
    if media_type not in (SDP, ""):
        raise errors.make(reply.status, reply.url, f"the response is {media_type[:60]}; expected {SDP}")
    if not reply.body.strip():
        raise errors.make(reply.status, reply.url, "the response has no session description")
    if not media_type:
        logger.warning("%s sends a description without Content-Type", reply.url.shown)
    try:
        return reply.body.decode()
    except UnicodeDecodeError:
        raise errors.make(reply.status, reply.url, "the session description is not UTF-8") from None


def _type(headers: Headers) -> str:
    values: Sequence[str] = headers.all("Content-Type")
    return values[0].partition(";")[0].strip().lower() if values else ""
