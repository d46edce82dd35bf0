"""When a lost source is opened again, and what becomes of one that does not come back."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast

import pytest

from bass_webrtc import source_watch
from bass_webrtc.core import ChannelCounters, Engine, SourceHandle
from bass_webrtc.errors import BassError, ClosedError
from bass_webrtc.source_watch import SourceWatch, next_wait_s
from bass_webrtc.sources import OpenSource, SourceEnd

LOST = BassError(2, "BASS_ERROR_FILEOPEN", "BASS_StreamCreateURL", "check http://u:secret@h")


@dataclass
class FakeEngine:
    """Reports at once that it has taken a source, and after a fade when the test says so."""

    watch: SourceWatch | None = None
    sources: list[SourceHandle | None] = field(default_factory=list)
    source_ended: int = 1

    def set_source(self, source: SourceHandle | None, error: int = 0, *, channel: int, fade_ms: int) -> None:
        assert self.watch is not None
        assert channel == 0
        self.sources.append(source)
        if fade_ms == 0:
            self.watch.replaced()
        if source is None:
            self.watch.ended(error)

    def channel_counters(self, channel: int) -> ChannelCounters:
        assert channel == 0
        return ChannelCounters(source_ended=self.source_ended, source_error=45, source_ends=1)


def make(
    open_again: Callable[[], OpenSource] | None, complete: bool = False, position: Callable[[], int] = lambda: -1
) -> tuple[SourceWatch, FakeEngine, list[SourceEnd], list[str]]:
    engine, ends, closed = FakeEngine(), list[SourceEnd](), list[str]()
    source = OpenSource(
        SourceHandle.tone(440.0, 440.0, -12.0),
        lambda: closed.append("former"),
        open_again=open_again,
        is_complete=lambda: complete,
        position=position,
    )
    engine.watch = SourceWatch(cast(Engine, engine), source, ends.append)
    return engine.watch, engine, ends, closed


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110  What is waited for sets no event.
            await asyncio.sleep(0.001)


def test_waits_grow_with_the_time_since_the_loss_up_to_a_limit() -> None:
    assert [next_wait_s(lost_for_s) for lost_for_s in (0.0, 0.5, 4.0, 40.0, 120.0, 1e6)] == [0.25, 0.25, 1, 10, 30, 30]
    total_s, attempts = 0.0, 0
    while total_s < 3600.0:
        total_s += next_wait_s(total_s)
        attempts += 1
    assert attempts < 150, "an hour of attempts is a load for nobody"


@pytest.mark.parametrize(
    ("can_return", "code", "complete", "reopens"),
    [
        (True, 45, False, True),
        (True, 40, False, True),
        (True, 5, False, False),  # BASS_Free
        (True, 45, True, False),  # a whole file
        (False, 45, False, False),  # the program's own channel
    ],
)
async def test_reason_decides_whether_a_source_is_opened_again(
    can_return: bool, code: int, complete: bool, reopens: bool
) -> None:
    watch, _, ends, _ = make((lambda: pytest.fail("not started")) if can_return else None, complete)
    watch.ended(code)
    assert [(end.code, end.reopens) for end in ends] == [(code, reopens)]
    assert watch.state.has_ended is not reopens


async def test_failed_attempts_are_logged_once_and_the_source_is_taken(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(source_watch, "FIRST_WAIT_S", 0.001)
    monkeypatch.setattr(source_watch, "WAIT_SHARE", 0.0)
    returned = OpenSource(SourceHandle.tone(880.0, 880.0, -12.0), lambda: closed.append("returned"))
    failures = [LOST] * 3

    def open_again() -> OpenSource:
        if failures:
            raise failures.pop()
        return returned

    watch, engine, _, closed = make(open_again)
    watch.start()
    watch.ended(45)
    await until(lambda: watch.reopenings == 1)
    watch.close()
    assert engine.sources == [returned.handle]
    assert closed == ["former"] * 4 + ["returned"]
    assert sum("cannot be opened: BASS_ERROR_FILEOPEN" in line for line in caplog.messages) == 1
    assert not any("secret" in line for line in caplog.messages)


async def test_machine_without_a_free_thread_opens_the_source_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source_watch, "FIRST_WAIT_S", 0.001)
    start, failures = threading.Thread.start, [RuntimeError("can't start new thread")] * 2

    def start_or_fail(thread: threading.Thread) -> None:
        if thread.name == "bass-webrtc source" and failures:
            raise failures.pop()
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", start_or_fail)
    watch, *_ = make(lambda: OpenSource(None, lambda: None))
    watch.start()
    watch.ended(45)
    await until(lambda: watch.reopenings == 1)
    watch.close()


async def test_source_that_stands_still_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source_watch, "CHECK_S", 0.001)
    positions = iter([*range(100), *[100] * 1000])
    watch, engine, ends, _ = make(lambda: pytest.fail("too early"), position=lambda: next(positions))
    monkeypatch.setattr(source_watch, "FIRST_WAIT_S", 60.0)
    monkeypatch.setattr(source_watch, "MAX_WAIT_S", 60.0)
    watch.start()
    await until(lambda: bool(ends))
    assert next(positions) == 100
    assert engine.sources == [None]
    assert ends == [SourceEnd(40, "BASS_ERROR_TIMEOUT", reopens=True)]
    watch.close()


async def test_source_opened_after_the_stop_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source_watch, "FIRST_WAIT_S", 0.001)
    opening, stopped, closed_late = threading.Event(), threading.Event(), threading.Event()

    def open_again() -> OpenSource:
        opening.set()
        assert stopped.wait(10)
        return OpenSource(None, closed_late.set)

    watch, engine, _, _ = make(open_again)
    watch.start()
    watch.ended(45)
    assert await asyncio.to_thread(opening.wait, 10)
    watch.close()
    stopped.set()
    assert await asyncio.to_thread(closed_late.wait, 10)
    assert engine.sources == []


async def test_bug_in_opening_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source_watch, "FIRST_WAIT_S", 0.001)
    reported: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context["exception"]))

    def open_again() -> OpenSource:
        raise ZeroDivisionError

    watch, *_ = make(open_again)
    watch.start()
    watch.ended(45)
    await until(lambda: bool(reported))
    assert isinstance(reported[0], ZeroDivisionError)
    watch.close()


def another(name: str, closed: list[str]) -> OpenSource:
    return OpenSource(SourceHandle.tone(880.0, 880.0, -12.0), lambda: closed.append(name))


async def exchange(watch: SourceWatch, source: OpenSource, fade_ms: int) -> None:
    await watch.set_source(source, fade_ms, watch.take_turn())


@pytest.mark.parametrize("is_new_one", [False, True])
async def test_end_during_a_fade_counts_if_it_is_that_of_the_new_source(is_new_one: bool) -> None:
    watch, engine, ends, closed = make(None)
    fading = asyncio.create_task(exchange(watch, another("new", closed), 500))
    await until(lambda: len(engine.sources) == 1)
    watch.ended(45)
    assert ends == []
    engine.source_ended = is_new_one
    watch.replaced()
    await fading
    assert [end.code for end in ends] == [45] * is_new_one
    assert watch.state.has_ended is is_new_one
    assert closed == ["former"]
    watch.close()
    assert closed == ["former", "new"]


async def test_sources_that_wait_for_a_fade_are_closed_but_for_the_last() -> None:
    watch, engine, _, closed = make(None)
    calls = []
    for name in ("first", "second", "third"):
        calls.append(asyncio.create_task(exchange(watch, another(name, closed), 500)))
        await asyncio.sleep(0.001)
    assert (len(engine.sources), closed) == (1, [])
    watch.replaced()
    await until(lambda: len(engine.sources) == 2)
    watch.replaced()
    await asyncio.gather(*calls)
    assert closed == ["former", "second", "first"]
    watch.close()
    assert closed == ["former", "second", "first", "third"]


async def test_source_that_took_longer_to_open_than_a_later_one_is_closed() -> None:
    watch, engine, _, closed = make(None)
    earlier, later = watch.take_turn(), watch.take_turn()
    played: list[str] = []
    await watch.set_source(another("later", closed), 0, later, lambda: played.append("later"))
    await watch.set_source(another("earlier", closed), 0, earlier, lambda: played.append("earlier"))
    assert (len(engine.sources), closed, played) == (1, ["former", "earlier"], ["later"])
    watch.close()


async def test_removed_channel_closes_what_plays_fades_and_waits() -> None:
    watch, engine, _, closed = make(None)
    calls = []
    for name in ("fading", "waiting", "newest"):
        calls.append(asyncio.create_task(exchange(watch, another(name, closed), 500)))
        await until(lambda: len(engine.sources) == 1)
    watch.stop()
    assert closed == []
    watch.removed()
    await watch.wait_removed()
    results = await asyncio.gather(*calls, return_exceptions=True)
    watch.close()
    assert {type(result) for result in results} == {ClosedError}
    assert sorted(closed) == ["fading", "former", "newest", "waiting"], "each once"


async def test_fade_goes_on_when_its_caller_is_cancelled() -> None:
    watch, engine, _, closed = make(None)
    call = asyncio.create_task(exchange(watch, another("new", closed), 500))
    await until(lambda: len(engine.sources) == 1)
    call.cancel()
    await asyncio.gather(call, return_exceptions=True)
    assert closed == []
    watch.replaced()
    await until(lambda: closed == ["former"])
    watch.close()


async def test_lost_source_is_not_opened_again_after_another_one_was_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source_watch, "FIRST_WAIT_S", 0.01)
    opening, proceed = threading.Event(), threading.Event()

    def open_again() -> OpenSource:
        opening.set()
        assert proceed.wait(10)
        return another("late", closed)

    watch, engine, _, closed = make(open_again)
    watch.start()
    watch.ended(45)
    assert await asyncio.to_thread(opening.wait, 10)
    await exchange(watch, another("new", closed), 0)
    proceed.set()
    await until(lambda: "late" in closed)
    assert (len(engine.sources), watch.reopenings) == (1, 0)
    watch.close()
    assert set(closed) == {"former", "late", "new"}
