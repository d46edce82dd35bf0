"""Client and server of this package together, in strict mode as well."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import offers
import pytest
from client_servers import A, B, C

from bass_webrtc.errors import SignalingError
from bass_webrtc.rtc.sdp import IceCredentials
from bass_webrtc.signaling.client.rules import Answer
from bass_webrtc.signaling.client.session import SignalingSession
from bass_webrtc.signaling.client.settings import ClientSettings
from bass_webrtc.signaling.ice_servers import ice_server_link
from bass_webrtc.signaling.server.auth import TokenPolicy
from bass_webrtc.signaling.server.endpoint import Endpoint, EndpointSettings
from bass_webrtc.signaling.server.http_server import HttpServer, HttpSettings
from support.conformance import covers
from support.signaling import ANSWER, FakeSessions

NEW_ICE = IceCredentials.generate()


@contextlib.asynccontextmanager
async def own_server(sessions: FakeSessions, **settings: Any) -> AsyncIterator[str]:
    endpoint = Endpoint("player", EndpointSettings("/whep", **settings), sessions)
    server = HttpServer(HttpSettings(port=0), [endpoint])
    await server.start()
    try:
        yield f"http://127.0.0.1:{server.port}/whep"
    finally:
        await server.stop()


@covers("CL3", "CL10", "CL11", "WS20", "WS27")
async def test_whole_session() -> None:
    """With a token on every request and all preconditions checked."""
    sessions = FakeSessions()
    policy = {"tokens": TokenPolicy("t0ken"), "require_token_on_sessions": True, "strict": True}
    link = ice_server_link("turn:t.example:3478", "u", "c")
    async with own_server(sessions, **policy, ice_links=lambda: (link,)) as url:
        async with SignalingSession("player", ClientSettings(url, "t0ken")) as session:
            assert [server.url for server in await session.ask_ice_servers()] == ["turn:t.example:3478"]
            answer = await session.post(offers.CHROME_RECVONLY)
            await session.trickle([A], end_of_candidates=False)
            remote = sessions.made[0]
            assert [candidate.port for candidate in remote.candidates] == [A.port]
            fragment = await session.restart(NEW_ICE, [B])
            await session.trickle([C], end_of_candidates=True)
        assert remote.closed
    assert isinstance(answer, Answer)
    assert answer.sdp == ANSWER
    assert [server.credential for server in answer.ice_servers] == ["c"]
    assert fragment.ice is not None
    assert remote.remote_ice == NEW_ICE
    assert [candidate.port for candidate in remote.candidates] == [B.port, C.port]
    assert remote.is_complete


@covers("CL11", "CL12")
async def test_wrong_token_is_refused() -> None:
    sessions = FakeSessions()
    async with own_server(sessions, tokens=TokenPolicy("t0ken")) as url:
        with pytest.raises(SignalingError) as caught:
            await SignalingSession("player", ClientSettings(url, "wr0ng")).post(offers.CHROME_RECVONLY)
    assert (caught.value.status, caught.value.detail) == (401, "The token is not valid.")
    assert not sessions.made
