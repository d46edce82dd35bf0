"""Fake sessions, and helpers for requests to an endpoint."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from bass_webrtc.errors import ClosedError
from bass_webrtc.rtc.candidate import Candidate
from bass_webrtc.rtc.negotiation import Offer
from bass_webrtc.rtc.sdp import IceCredentials
from bass_webrtc.rtc.sdp_fragment import IceFragment, build_fragment
from bass_webrtc.signaling.messages import Headers, Request, Response
from bass_webrtc.signaling.server.endpoint import Endpoint
from bass_webrtc.stats import Kind

ANSWER = "v=0\r\n"
CLIENT = "192.0.2.7"


class FakeSession:
    """A session that records its calls. ``gate`` holds a restart until it is set; ``failure`` makes it fail."""

    def __init__(self, offer: Offer) -> None:
        self.offer = offer
        self.answer_sdp = ANSWER
        self.remote_ice = offer.audio.ice
        self.exceeded_limits: tuple[str, ...] = ()
        self.closed = False
        self.candidates: list[Candidate] = []
        self.is_complete = False
        self.gate: asyncio.Event | None = None
        self.restarting = asyncio.Event()
        self.failure: Exception | None = None

    def add_candidates(self, candidates: tuple[Candidate, ...]) -> None:
        assert not self.closed
        self.candidates += candidates

    def end_of_candidates(self) -> None:
        self.is_complete = True

    async def restart(self, fragment: IceFragment, local: str = "", remote: str = "") -> str:
        self.restarting.set()
        if self.gate is not None:
            await self.gate.wait()
        self.restarting.clear()
        if self.failure is not None:
            raise self.failure
        if self.closed:
            raise ClosedError("the session was closed")
        assert fragment.ice is not None
        self.remote_ice = fragment.ice
        self.candidates = list(fragment.candidates)
        return build_fragment(IceCredentials.generate(), ())

    async def close(self) -> None:
        assert not self.closed, "closed twice"
        assert not self.restarting.is_set(), "closed in the middle of a restart"
        self.closed = True


class FakeSessions:
    """Creates fake sessions. ``failure`` makes it refuse, ``full`` already before the offer is parsed."""

    def __init__(self) -> None:
        self.made: list[FakeSession] = []
        self.asked: list[tuple[Kind, Request]] = []
        self.channels: list[str] = []
        self.failure: Exception | None = None
        self.full: Exception | None = None

    def check_room(self, request: Request) -> None:
        if self.full is not None:
            raise self.full

    async def create(self, kind: Kind, offer: Offer, request: Request, channel: str = "main") -> FakeSession:
        self.asked.append((kind, request))
        self.channels.append(channel)
        if self.failure is not None:
            raise self.failure
        self.made.append(FakeSession(offer))
        return self.made[-1]


async def ask(
    endpoint: Endpoint,
    method: str,
    path: str = "/whep",
    body: str | bytes = b"",
    *,
    headers: Mapping[str, str] | None = None,
    remote: str = CLIENT,
    query: str = "",
) -> Response:
    """Send one request to an endpoint; ``path`` may be a Location."""
    path = path if path.startswith("/") else f"/{path}"
    data = body.encode() if isinstance(body, str) else body
    request = Request(method, path, Headers((headers or {}).items()), data, remote, query=query)
    return await endpoint.respond(request)


async def post(endpoint: Endpoint, offer: str | bytes, path: str = "/whep", **headers: str) -> Response:
    """POST an offer; underscores in the names of header fields are hyphens."""
    fields = {"Content-Type": "application/sdp"} | {name.replace("_", "-"): value for name, value in headers.items()}
    return await ask(endpoint, "POST", path, offer, headers=fields)


async def patch(endpoint: Endpoint, location: str, fragment: str | bytes, if_match: str | None = None) -> Response:
    """PATCH a fragment to a session."""
    headers = {"Content-Type": "application/trickle-ice-sdpfrag"}
    if if_match is not None:
        headers["If-Match"] = if_match
    return await ask(endpoint, "PATCH", location, fragment, headers=headers)


def header(response: Response, name: str) -> str:
    """Return a header field that must exist."""
    value = response.header(name)
    assert value is not None, f"{name} is missing: {response}"
    return value
