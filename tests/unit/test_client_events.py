"""A player follows the ``reconnect`` event of a WHEP server (CL23), and survives everything that can go wrong."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager

import aiohttp
import numpy as np
import pytest
from client_servers import SDP, Last, Seen, Server, answering, response, serving
from hypothesis import given
from hypothesis import strategies as st

import bass_webrtc as bw
from bass_webrtc.bass import find_bass
from bass_webrtc.errors import SignalingError
from bass_webrtc.signaling.client import events
from bass_webrtc.signaling.client.errors import ErrorMaker
from bass_webrtc.signaling.client.events import (
    EVENT_STREAM,
    MAX_EVENT_BYTES,
    MAX_STREAM_BYTES,
    EventReader,
    find_reconnect_events,
    read_reconnect,
)
from bass_webrtc.signaling.client.fetch import Fetcher
from bass_webrtc.signaling.client.settings import ClientSettings
from support.conformance import covers
from support.patience import wait_until
from support.publisher_recorder import Recorder, assert_tones_soon

SUBSCRIBED = response(201, ("Location", "/events/1"))
RELATION = "urn:ietf:params:whep:ext:core:server-sent-events"


# -- parsing


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
def test_reconnect_events_are_found_in_link_fields(link: str, expected: str | None) -> None:
    assert find_reconnect_events([link]) == expected


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("size", [1, 3, 1000])
def test_event_stream_is_parsed_independently_of_chunking(end: str, size: int) -> None:
    text = ": hello||event: active|data: {}||data:a|data:b|id: 4||event: reconnect|data: ü||event: none||".replace(
        "|", end
    )
    data = text.encode()
    reader = EventReader()
    events = [event for at in range(0, len(data), size) for event in reader.feed(data[at : at + size])]
    assert events == [("active", "{}"), ("", "a\nb"), ("reconnect", "ü")]


@pytest.mark.parametrize("data", [b"data: " + b"x" * MAX_EVENT_BYTES, b"data: x\n" * MAX_EVENT_BYTES])
def test_unterminated_event_is_too_large(data: bytes) -> None:
    with pytest.raises(ValueError, match="larger"):
        EventReader().feed(data)


@covers("SE70")
@given(st.lists(st.binary()), st.text())
def test_any_bytes_can_be_parsed(chunks: list[bytes], text: str) -> None:
    reader = EventReader()
    for chunk in chunks:
        for event in reader.feed(chunk):
            read_reconnect(*event)
    read_reconnect("reconnect", text)
    find_reconnect_events([text])


def test_only_a_url_in_a_reconnect_event_is_used() -> None:
    assert read_reconnect("reconnect", '{"url": "/whep2"}') == "/whep2"
    for data in ("", "{}", "[]", "null", '{"url": 1}', "[" * 5000):
        assert read_reconnect("reconnect", data) is None
    assert read_reconnect("active", '{"url": "/whep2"}') is None


# -- the stream


async def stream_of(*replies: bytes, timeout_s: float = 5.0) -> tuple[str, int]:
    """Wait for the URL of a reconnect event at a server that answers GET with these bytes; and the number of GETs."""
    script = answering(GET=list(replies))
    async with serving(script) as server:
        settings = ClientSettings(server.url)
        errors = ErrorMaker(())
        fetcher = Fetcher(settings.trust(), None, errors)
        try:
            url = await events._read_events(fetcher, settings.endpoint, timeout_s)
        finally:
            await fetcher.close()
        return url, len(server.requests)


STREAM_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
MOVE = STREAM_HEAD + b'event: reconnect\ndata: {"url": "/whep2"}\n\n'


@covers("SE66")
@pytest.mark.parametrize("line", [b"\n", b":\n\n", b"event: active\ndata: {}\n\n", b"data:x\n\n"])
async def test_stream_of_many_events_is_left_for_a_while(line: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """A MB of events takes the loop 0.4 s, and a server could send a hundred of them a second."""
    monkeypatch.setattr(events, "_RESUBSCRIBE_S", 0.0)
    parsed = 0
    feed = EventReader.feed

    def counting(reader: EventReader, data: bytes) -> list[tuple[str, str]]:
        nonlocal parsed
        parsed += len(data)
        return feed(reader, data)

    monkeypatch.setattr(EventReader, "feed", counting)
    flood = Last(STREAM_HEAD + line * (4_000_000 // len(line)))
    assert await stream_of(flood, Last(MOVE)) == ("/whep2", 2)
    assert parsed < 3 * MAX_STREAM_BYTES


@covers("SE66")
async def test_header_of_a_stream_has_a_time_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "_RESUBSCRIBE_S", 0.0)
    with pytest.raises(SignalingError, match="5 times in a row"):
        await stream_of(b"HTTP/1.1 103 Early Hints\r\n\r\n", timeout_s=0.05)


async def test_stream_itself_has_no_time_limit() -> None:
    async with serving(answering(GET=STREAM_HEAD)) as server:
        settings = ClientSettings(server.url)
        fetcher = Fetcher(settings.trust(), None, ErrorMaker(()))
        async with aclosing(fetcher.stream(settings.endpoint, EVENT_STREAM, 0.1)) as chunks:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(anext(chunks), 0.3)
        await fetcher.close()


# -- reconnecting


class EventProxy:
    """A proxy in front of a server that adds an event stream. The stream starts when ``gate`` is set."""

    def __init__(self, server: bw.Server, subscription: bytes) -> None:
        self._url = server.url.rstrip("/")
        self.gate = asyncio.Event()
        self._subscription = subscription
        self.event = b""

    async def __call__(self, seen: Seen) -> bytes:
        if seen.target == "/events":
            return self._subscription
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

    def set_event(self, url: str) -> None:
        self.event = f"event: reconnect\ndata: {json.dumps({'url': url})}\n\n".encode()


@pytest.fixture
def servers() -> Iterator[tuple[bw.Server, bw.Server]]:
    """The server that the player connects to first, and the one it is sent to."""
    config = bw.ServerConfig(http_port=0, udp_port=0)
    with bw.Server(bw.Tone(440.0, 880.0), config) as first, bw.Server(bw.Tone(500.0, 700.0), config) as second:
        first.start()
        second.start()
        yield first, second


@asynccontextmanager
async def pulling(
    server: bw.Server, subscription: bytes = SUBSCRIBED
) -> AsyncIterator[tuple[EventProxy, Server, bw.aio.WhepClient]]:
    proxy = EventProxy(server, subscription)
    async with serving(proxy) as front, bw.aio.WhepClient(front.url.replace("whip", "whep")) as client:
        await client.start()
        assert await client.wait_connected(20.0)
        yield proxy, front, client


@covers("CL23")
async def test_player_connects_to_the_new_server_before_it_leaves_the_old_one(
    servers: tuple[bw.Server, bw.Server],
) -> None:
    """POST to the new server, then DELETE at the old one. The stream stays the same and is never silent."""
    find_bass().try_call("BASS_Init", 0, 48_000, 0, None, None)
    first, second = servers
    async with pulling(first) as (proxy, front, client):
        stream = client.stream
        assert stream
        with Recorder(client.read) as recorder:
            await asyncio.to_thread(assert_tones_soon, recorder, 440.0, 880.0)
            proxy.set_event(f"{second.url}whep")
            proxy.gate.set()
            await asyncio.to_thread(wait_until, lambda: first.peers == () and second.peers != ())
            assert client.connected
            loudness = np.abs(recorder.last(1.0)).reshape(-1, 4800).max(axis=1)
            assert loudness.min() > 0.05
            await asyncio.to_thread(assert_tones_soon, recorder, 500.0, 700.0)
        assert client.stream == stream
        assert client.connected
        (subscription,) = [seen for seen in front.requests if seen.target == "/events"]
        assert (subscription.method, json.loads(subscription.body)) == ("POST", ["reconnect"])
    await asyncio.to_thread(wait_until, lambda: second.peers == ())
    assert front.methods() == ["POST", "POST", "GET", "DELETE"]


async def test_player_moves_even_if_the_old_server_stops_first(servers: tuple[bw.Server, bw.Server]) -> None:
    first, second = servers
    async with pulling(first) as (proxy, front, client):

        def admit(_: bw.PeerRequest) -> bool:
            first.stop()
            return True

        second.admit = admit
        proxy.set_event(f"{second.url}whep")
        proxy.gate.set()
        await asyncio.to_thread(wait_until, lambda: any(peer.state == "connected" for peer in second.peers))
        await asyncio.to_thread(wait_until, lambda: "DELETE" in front.methods())
        assert client.connected
        assert front.methods().count("POST") == 2


@covers("SE66")
@pytest.mark.parametrize(
    "url", ["ftp://a.example/", "https://[", "http://127.0.0.1:1/whep", "{second}nothing"], ids=lambda url: url[:9]
)
async def test_player_stays_if_it_cannot_connect_to_the_new_url(
    url: str, servers: tuple[bw.Server, bw.Server], caplog: pytest.LogCaptureFixture
) -> None:
    """The URL is checked like a redirect."""
    caplog.set_level(logging.INFO)
    first, second = servers
    async with pulling(first) as (proxy, _, client):
        (peer,) = first.peers
        proxy.set_event(url.format(second=second.url))
        proxy.gate.set()
        await asyncio.to_thread(wait_until, lambda: "bass_webrtc.client.run" in [one.name for one in caplog.records])
        assert client.connected
        assert first.peers == (peer,)
        assert second.peers == ()


@pytest.mark.parametrize(
    ("subscription", "event", "gives_up"),
    [
        (response(404), b"", True),
        (response(400), b"", True),
        (response(201), b"", True),
        (response(201, ("Location", "ftp://a.example/")), b"", True),
        (SUBSCRIBED, b"event: reconnect\ndata: " + b"x" * 2 * MAX_EVENT_BYTES, True),
        (SUBSCRIBED, b"\xff\x00\n\n", False),
    ],
)
async def test_session_continues_without_events(
    subscription: bytes,
    event: bytes,
    gives_up: bool,
    servers: tuple[bw.Server, bw.Server],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    first, _ = servers
    async with pulling(first, subscription) as (proxy, front, client):
        proxy.event = event
        proxy.gate.set()
        if gives_up:
            await asyncio.to_thread(wait_until, lambda: events.logger.name in [one.name for one in caplog.records])
        else:
            await asyncio.to_thread(wait_until, lambda: "GET" in front.methods())
        assert client.connected
        assert len(first.peers) == 1
        assert front.methods().count("POST") == 2
