"""Third-party web publishers over HTTP: how each of them opens, trickles and ends a session."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

import aiohttp
import offers

from bass_webrtc.signaling.ice_servers import ice_server_link
from bass_webrtc.signaling.server.auth import TokenPolicy
from bass_webrtc.signaling.server.endpoint import Endpoint, EndpointSettings
from bass_webrtc.signaling.server.http_server import HttpServer, HttpSettings
from support.signaling import FakeSession, FakeSessions

ORIGIN = {"Origin": "https://radio.example"}
SDP = {"Content-Type": "application/sdp", **ORIGIN}
FRAGMENT = {"Content-Type": "application/trickle-ice-sdpfrag", **ORIGIN}
TURN = ice_server_link("turn:turn.example:3478?transport=udp", "1700000000:ann", "c2VjcmV0")


@contextlib.asynccontextmanager
async def endpoint(token: str | None = None) -> AsyncIterator[tuple[aiohttp.ClientSession, FakeSessions]]:
    """Run a WHIP endpoint that allows ``ORIGIN``, with an HTTP client connected to it."""
    sessions = FakeSessions()
    settings = EndpointSettings(
        "/whip", TokenPolicy(token), allow_origins=(ORIGIN["Origin"],), ice_links=lambda: (TURN,)
    )
    server = HttpServer(HttpSettings(port=0), [Endpoint("publisher", settings, sessions)])
    await server.start()
    try:
        async with aiohttp.ClientSession(server.url) as client:
            yield client, sessions
    finally:
        await server.stop()


async def assert_preflight_succeeds(client: aiohttp.ClientSession, path: str, method: str, fields: str) -> None:
    """Assert that the preflight for such a cross-origin request succeeds (the Fetch standard, 4.8)."""
    preflight = {"Access-Control-Request-Method": method, "Access-Control-Request-Headers": fields}
    async with client.options(path, headers=ORIGIN | preflight) as response:
        assert response.status == 204
        assert response.headers["Access-Control-Allow-Origin"] == ORIGIN["Origin"]
        assert method in response.headers["Access-Control-Allow-Methods"].split(", ")
        allowed = response.headers["Access-Control-Allow-Headers"].lower().split(", ")
        assert set(fields.split(",")) <= set(allowed)


async def open_session(
    client: aiohttp.ClientSession, offer: str, headers: dict[str, str]
) -> tuple[str, aiohttp.ClientResponse]:
    await assert_preflight_succeeds(client, "/whip", "POST", "authorization,content-type")
    async with client.post("/whip", data=offer.encode(), headers=headers) as response:
        assert response.status == 201
        assert (await response.text()).startswith("v=0")
        return response.headers["Location"], response


async def end_session(client: aiohttp.ClientSession, location: str, session: FakeSession) -> None:
    """Delete the session without a token, as all these publishers do."""
    await assert_preflight_succeeds(client, location, "DELETE", "authorization")
    async with client.delete(location, headers=ORIGIN) as response:
        assert response.status == 200
    assert session.closed


def ports(session: FakeSession) -> list[int]:
    return [candidate.port for candidate in session.candidates]


async def test_mediamtx_page_can_publish() -> None:
    """MediaMTX reads Link from OPTIONS with a strict regular expression, and trickles with ``If-Match: *``."""
    async with endpoint() as (client, sessions):
        async with client.options("/whip", headers=ORIGIN) as response:
            assert response.status == 204
            for link in response.headers["Link"].split(", "):
                assert link.startswith("<turn:")
                assert '; rel="ice-server"; username="1700000000:ann"; credential="c2VjcmV0"' in link
                assert link.endswith('; credential-type="password"')
        location, _ = await open_session(client, offers.MEDIAMTX_PUBLISHER, SDP)
        (session,) = sessions.made
        await assert_preflight_succeeds(client, location, "PATCH", "content-type,if-match")
        headers = FRAGMENT | {"If-Match": "*"}
        async with client.patch(location, data=offers.MEDIAMTX_FRAGMENT.encode(), headers=headers) as response:
            assert (response.status, await response.read()) == (204, b"")
        assert ports(session) == [61764]
        assert not session.is_complete
        await end_session(client, location, session)


async def test_eyevinn_publisher_can_publish() -> None:
    """Eyevinn sends its token in OPTIONS, POST and PATCH, and the entity tag in ETag instead of If-Match."""
    token = {"Authorization": "Bearer sesame"}
    async with endpoint("sesame") as (client, sessions):
        await assert_preflight_succeeds(client, "/whip", "OPTIONS", "authorization")
        async with client.options("/whip", headers=ORIGIN | token) as response:
            assert response.status == 204
            assert response.headers["Link"] == TURN
        location, created = await open_session(client, offers.EYEVINN_PUBLISHER, SDP | token)
        (session,) = sessions.made
        tag = created.headers["ETag"]
        assert "ETag" in created.headers["Access-Control-Expose-Headers"].split(", ")
        await assert_preflight_succeeds(client, location, "PATCH", "authorization,content-type,etag")
        headers = FRAGMENT | token | {"ETag": tag}
        async with client.patch(location, data=offers.TRICKLE_FRAGMENT.encode(), headers=headers) as response:
            assert response.status == 204
        assert ports(session) == [61764, 61765, 9]
        await end_session(client, location, session)


async def test_eyevinn_publisher_can_publish_without_token() -> None:
    """Eyevinn sends the token "undefined" to a server that requires none."""
    async with endpoint() as (client, sessions):
        location, _ = await open_session(client, offers.EYEVINN_PUBLISHER, SDP | {"Authorization": "Bearer undefined"})
        await end_session(client, location, sessions.made[0])


async def test_medooze_publisher_can_publish() -> None:
    """Medooze does not check for 201 and ignores the ETag: its PATCH has no If-Match, and it fails on 428."""
    async with endpoint("sesame") as (client, sessions):
        location, _ = await open_session(client, offers.MEDOOZE_PUBLISHER, SDP | {"Authorization": "Bearer sesame"})
        (session,) = sessions.made
        await assert_preflight_succeeds(client, location, "PATCH", "content-type")
        async with client.patch(location, data=offers.MEDOOZE_FRAGMENT.encode(), headers=FRAGMENT) as response:
            assert (response.status, await response.read()) == (204, b"")
        assert ports(session) == [61764]
        await end_session(client, location, session)
