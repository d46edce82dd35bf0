"""A WHEP server that asks its player to connect elsewhere (CL23), and everything that can go wrong with that."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import aiohttp
import numpy as np
import pytest
from client_servers import SDP, Last, Seen, Server, response, serving
from hypothesis import given
from hypothesis import strategies as st

import bass_webrtc as bw
from bass_webrtc.bass import find_bass
from bass_webrtc.signaling.client.events import (
    MAX_EVENT_BYTES,
    EventReader,
    find_reconnect_events,
    read_reconnect,
)
from support.client_peers import wait_until
from support.conformance import covers
from support.publisher_recorder import Recorder, assert_tones_soon

RELATION = "urn:ietf:params:whep:ext:core:server-sent-events"


# -- what is read


@pytest.mark.parametrize(
    ("link", "expected"),
    [
        (f'</e>; rel="{RELATION}"; events="active,inactive,reconnect"', "/e"),
        (f'<stun:a.example>; rel="ice-server", <https://a.example/e?a,b>; rel="{RELATION}"', "https://a.example/e?a,b"),
        (f"</e>; rel={RELATION.upper()}", "/e"),
        (f'</e>; rel="{RELATION}"; events="active,viewercount"', None),
        ('</e>; rel="urn:ietf:params:whep:ext:core:layer"', None),
        (f'/e; rel="{RELATION}"', None),
        ("", None),
    ],
)
def test_where_events_are_offered(link: str, expected: str | None) -> None:
    assert find_reconnect_events([link]) == expected


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("size", [1, 3, 1000])
def test_an_event_stream_is_taken_apart_wherever_it_is_cut(end: str, size: int) -> None:
    text = ": hello||event: active|data: {}||data:a|data:b|id: 4||event: reconnect|data: ü||event: none||".replace(
        "|", end
    )
    data = text.encode()
    reader = EventReader()
    events = [event for at in range(0, len(data), size) for event in reader.feed(data[at : at + size])]
    assert events == [("active", "{}"), ("", "a\nb"), ("reconnect", "ü")]


@pytest.mark.parametrize("data", [b"data: " + b"x" * MAX_EVENT_BYTES, b"data: x\n" * MAX_EVENT_BYTES])
def test_an_event_without_end_is_too_large(data: bytes) -> None:
    with pytest.raises(ValueError, match="larger"):
        EventReader().feed(data)


@covers("SE70")
@given(st.lists(st.binary()), st.text())
def test_anything_can_be_read(chunks: list[bytes], text: str) -> None:
    reader = EventReader()
    for chunk in chunks:
        for event in reader.feed(chunk):
            read_reconnect(*event)
    read_reconnect("reconnect", text)
    find_reconnect_events([text])


def test_only_a_url_is_followed() -> None:
    assert read_reconnect("reconnect", '{"url": "/whep2"}') == "/whep2"
    for data in ("", "{}", "[]", "null", '{"url": 1}', "[" * 5000):
        assert read_reconnect("reconnect", data) is None
    assert read_reconnect("active", '{"url": "/whep2"}') is None


# -- what is done


class Mover:
    """A WHEP server with events in front of ours. It says what it is told to when ``gate`` is open."""

    def __init__(self, server: bw.Server) -> None:
        self._url = server.url.rstrip("/")
        self.gate = asyncio.Event()
        self.subscription = response(201, ("Location", "/events/1"))
        self.event = b""

    async def __call__(self, seen: Seen) -> bytes:
        if seen.target == "/events":
            return self.subscription
        if seen.method == "GET":
            await self.gate.wait()
            head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
            return Last(head + self.event)
        async with aiohttp.ClientSession() as http:
            if seen.method == "DELETE":
                async with http.delete(self._url + seen.target) as gone:
                    return response(gone.status)
            headers = {"Content-Type": "application/sdp"}
            async with http.post(f"{self._url}/whep", data=seen.body, headers=headers) as answer:
                link = ("Link", f'</events>; rel="{RELATION}"; events="reconnect"')
                location = ("Location", answer.headers["Location"])
                return response(201, SDP, location, link, body=await answer.read())

    def say(self, url: str) -> None:
        self.event = f"event: reconnect\ndata: {json.dumps({'url': url})}\n\n".encode()


@pytest.fixture
def servers() -> Iterator[tuple[bw.Server, bw.Server]]:
    """Where the player is first, and where it is moved to."""
    config = bw.ServerConfig(http_port=0, udp_port=0)
    with bw.Server(bw.Tone(440.0, 880.0), config) as first, bw.Server(bw.Tone(500.0, 700.0), config) as second:
        first.start()
        second.start()
        yield first, second


@asynccontextmanager
async def pulling(server: bw.Server) -> AsyncIterator[tuple[Mover, Server, bw.aio.WhepClient]]:
    mover = Mover(server)
    async with serving(mover) as front, bw.aio.WhepClient(front.url.replace("whip", "whep")) as client:
        await client.start()
        assert await client.wait_connected(20.0)
        yield mover, front, client


@covers("CL23")
async def test_a_player_connects_elsewhere_before_it_leaves(servers: tuple[bw.Server, bw.Server]) -> None:
    """A POST there, DELETE of the old one; the stream is the same, and does not fall silent."""
    find_bass().try_call("BASS_Init", 0, 48_000, 0, None, None)
    first, second = servers
    async with pulling(first) as (mover, front, client):
        stream = client.stream
        assert stream
        with Recorder(client.read) as heard:
            await asyncio.to_thread(assert_tones_soon, heard, 440.0, 880.0)
            mover.say(f"{second.url}whep")
            mover.gate.set()
            await asyncio.to_thread(wait_until, lambda: first.peers == () and second.peers != ())
            assert client.connected
            loudness = np.abs(heard.last(1.0)).reshape(-1, 4800).max(axis=1)
            assert loudness.min() > 0.05
            await asyncio.to_thread(assert_tones_soon, heard, 500.0, 700.0)
        assert client.stream == stream
        assert client.connected
        (subscription,) = [seen for seen in front.requests if seen.target == "/events"]
        assert (subscription.method, json.loads(subscription.body)) == ("POST", ["reconnect"])
    await asyncio.to_thread(wait_until, lambda: second.peers == ())
    assert front.methods() == ["POST", "POST", "GET", "DELETE"]


async def test_a_server_that_ends_the_session_at_once_has_moved_it(servers: tuple[bw.Server, bw.Server]) -> None:
    """The former one may be gone before the new one is there."""
    first, second = servers
    async with pulling(first) as (mover, front, client):

        def admit(_: bw.PeerRequest) -> bool:
            first.stop()
            return True

        second.admit = admit
        mover.say(f"{second.url}whep")
        mover.gate.set()
        await asyncio.to_thread(wait_until, lambda: any(peer.state == "connected" for peer in second.peers))
        await asyncio.sleep(0.4)
        assert client.connected
        assert front.methods().count("POST") == 2


@covers("SE66")
@pytest.mark.parametrize(
    "url", ["ftp://a.example/", "https://[", "http://127.0.0.1:1/whep", "{second}nothing"], ids=lambda url: url[:9]
)
async def test_a_player_that_cannot_go_there_stays(url: str, servers: tuple[bw.Server, bw.Server]) -> None:
    """The URL is followed as a redirect is, or not at all; and nothing is lost."""
    first, second = servers
    async with pulling(first) as (mover, _, client):
        (peer,) = first.peers
        mover.say(url.format(second=second.url))
        mover.gate.set()
        await asyncio.sleep(0.4)
        assert client.connected
        assert first.peers == (peer,)
        assert second.peers == ()


@pytest.mark.parametrize(
    ("subscription", "event"),
    [
        (response(404), b""),
        (response(400), b""),
        (response(201), b""),
        (response(201, ("Location", "ftp://a.example/")), b""),
        (response(201, ("Location", "/events/1")), b"event: reconnect\ndata: " + b"x" * 2 * MAX_EVENT_BYTES),
        (response(201, ("Location", "/events/1")), b"\xff\x00\n\n"),
    ],
)
async def test_events_that_cannot_be_had_do_not_matter(
    subscription: bytes, event: bytes, servers: tuple[bw.Server, bw.Server]
) -> None:
    first, _ = servers
    async with pulling(first) as (mover, front, client):
        mover.subscription, mover.event = subscription, event
        mover.gate.set()
        await asyncio.sleep(0.4)
        assert client.connected
        assert len(first.peers) == 1
        assert front.methods().count("POST") == 2
