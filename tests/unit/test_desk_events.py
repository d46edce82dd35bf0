"""Server-sent events of the desk: what they contain, how soon they follow a change, and how many there can be."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace
from typing import Any

import pytest

from bass_webrtc.signaling.server import desk_events
from bass_webrtc.signaling.server.desk import CallChanges
from bass_webrtc.signaling.server.http_connection import Timeouts
from bass_webrtc.signaling.server.http_server import HttpSettings
from support.desk_ends import BEARER, PATIENCE_S, Events, FakeCallBook, desk_end


def gain_of(data: Any, number: int = 3) -> Any:
    return next((call["gain"] for call in data["calls"] if call["id"] == number), None)


async def settled(end: Any, watchers: int) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while len(end.book.watchers) != watchers:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_stream_begins_with_the_state_that_requests_return() -> None:
    async with desk_end() as end, end.events() as events:
        assert events.headers["Content-Type"] == "text/event-stream"
        assert events.headers["Cache-Control"] == "no-store"
        assert events.headers["X-Accel-Buffering"] == "no"
        name, data = await events.next()
        assert name == "desk"
        assert data == {
            "calls": (await end.ask("GET", "/api/calls"))[1],
            "invites": (await end.ask("GET", "/api/invites"))[1],
            "desk": (await end.ask("GET", "/api/desk"))[1],
        }


async def test_levels_follow_ten_times_per_second_and_the_state_every_second() -> None:
    """Counted, not timed: a second has ten levels however slow the machine is."""
    async with desk_end() as end, end.events() as events:
        names = [(await events.next())[0] for _ in range(25)]
        assert names[0] == "desk"
        assert 1 <= names[1:].count("desk") <= 4
        _name, levels = await events.next("levels")
        assert levels == {"programme": -18.2, "calls": {"3": -23.1, "4": None}}
        end.book.now[3] = replace(end.book.now[3], duration_s=99.0)  # Without a call of the watcher.
        assert await events.until(lambda data: data["calls"][0]["seconds"] == 99.0) <= 2


async def test_two_desks_see_the_same_change_within_300_ms() -> None:
    """Measured in levels, of which the server sends one in 100 ms, so that a slow machine does not matter.

    The level of the programme tells which levels the server has sent after the change.
    """
    async with desk_end() as end, end.events() as first, end.events() as second:
        for gain in (0.5, 0.25, 0.125):
            for events in (first, second):
                await events.next("levels")
            end.book.state = replace(end.book.state, programme_dbfs=-gain * 8)
            end.book.change(3, CallChanges(gain=gain))
            seen = [await levels_before(events, gain) for events in (first, second)]
            assert max(seen) <= 3, seen


async def levels_before(events: Events, gain: float) -> int:
    """Return how many levels that were measured after a change arrive before the state with the change."""
    count = 0
    while True:
        name, data = await events.next()
        if name == "desk" and gain_of(data) == gain:
            return count
        count += name == "levels" and data["programme"] == -gain * 8


async def test_hundred_changes_in_a_burst_are_few_events_of_which_the_last_has_all() -> None:
    async with desk_end() as end, end.events() as events:
        await events.next("desk")
        for number in range(100):
            end.book.change(3, CallChanges(gain=number / 100))
        assert await events.until(lambda data: gain_of(data) == 0.99) <= 2
        for number in range(100):
            end.book.change(4, CallChanges(gain=number / 100))
            await asyncio.sleep(0)
        assert await events.until(lambda data: gain_of(data, 4) == 0.99) <= 20


async def test_invites_of_the_program_are_seen_without_a_change_of_a_call() -> None:
    async with desk_end() as end, end.events() as events:
        await events.next("desk")
        made = await asyncio.to_thread(end.book.invites.create, "Anna")
        await events.until(lambda data: [one["id"] for one in data["invites"]] == [made.id])
        end.book.invites.revoke(made.id)
        await events.until(lambda data: not data["invites"])


async def test_secret_of_an_invite_is_in_no_event() -> None:
    async with desk_end() as end, end.events() as events:
        made = end.book.invites.create("Anna")
        await events.until(lambda data: data["invites"])
        assert made.secret not in events.text


async def test_nothing_runs_without_streams() -> None:
    async with desk_end() as end:
        async with end.events() as first, end.events() as second:
            await first.next("levels")
            await second.next("levels")
            assert len(end.book.watchers) == 1
        await settled(end, 0)
        async with end.events() as events:
            assert [(await events.next())[0] for _ in range(2)] == ["desk", "levels"]


async def test_seventeenth_stream_is_refused() -> None:
    async with desk_end() as end, contextlib.AsyncExitStack() as stack:
        for _ in range(desk_events.MAX_STREAMS):
            await stack.enter_async_context(end.events())
        refused = await end.respond("GET", "/api/events", None, BEARER)
        assert (refused.status, refused.headers["Retry-After"]) == (503, "5")
        assert refused.body["detail"] == "16 desks follow the events already, as many as possible."
        await stack.aclose()
        await settled(end, 0)
        async with end.events() as events:
            assert (await events.next())[0] == "desk"


async def test_desk_that_does_not_read_gets_the_latest_state_only() -> None:
    """Without a bound, each stream would keep 100 kB per second for a client that does not read."""
    events = desk_events.DeskEvents(lambda: {"state": 0}, dict, lambda _: lambda: None, lambda: 0)
    stream = events.stream()
    assert await anext(stream) == b'event: desk\ndata: {"state":0}\n\n'
    for number in range(1000):
        events._send("desk", number)
        events._send("levels", number)
    latest = await anext(stream)
    assert sorted(latest.decode().split("\n\n")) == ["", "event: desk\ndata: 999", "event: levels\ndata: 999"]
    await stream.aclose()


async def test_client_that_does_not_read_is_dropped() -> None:
    book = FakeCallBook()
    book.state = replace(book.state, history=((1_790_000_000, 3),) * 20_000)
    http = HttpSettings(port=0, timeouts=Timeouts(write_s=0.3))
    async with desk_end(book, http=http) as end:
        _reader, writer = await asyncio.open_connection("127.0.0.1", end.server.port, limit=1000)
        fields = f"Host: localhost\r\nAuthorization: {BEARER['Authorization']}\r\n\r\n"
        writer.write(f"GET /api/events HTTP/1.1\r\n{fields}".encode())
        await settled(end, 1)
        async with asyncio.timeout(PATIENCE_S):
            while end.server.open_connections:
                book.changed()
                await asyncio.sleep(0.02)
        await settled(end, 0)
        writer.close()


async def test_comment_keeps_a_stream_alive_that_has_no_events(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desk_events, "_KEEP_ALIVE_S", 0.02)
    events = desk_events.DeskEvents(dict, dict, lambda _: lambda: None, lambda: 0)
    monkeypatch.setattr(events, "_tick", lambda: None)
    stream = events.stream()
    await anext(stream)
    assert [await anext(stream) for _ in range(2)] == [b": keep-alive\n\n"] * 2
    await stream.aclose()


async def test_error_of_the_program_does_not_end_the_stream() -> None:
    problems: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: problems.append(context))
    async with desk_end() as end, end.events() as events:
        await events.next("desk")
        levels, end.book.levels = end.book.levels, lambda: (0.0, None)  # type: ignore[method-assign,assignment,return-value]
        async with asyncio.timeout(PATIENCE_S):
            while not problems:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        end.book.levels = levels  # type: ignore[method-assign]
        assert (await events.next("levels"))[1]["programme"] == -18.2


async def test_stop_of_the_server_ends_streams_completely() -> None:
    async with desk_end() as end, end.events() as events:
        await events.next("desk")
        await end.server.stop()
        assert not end.book.watchers
        async with asyncio.timeout(PATIENCE_S):
            await events.rest()
