"""Events: callbacks run in order on one thread, and their errors are logged."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import pytest

from bass_webrtc.errors import ConfigError
from bass_webrtc.events import EventDispatcher, needs_argument, without_arguments


def finish(dispatcher: EventDispatcher) -> None:
    """Wait for the pending calls and the end of the event thread; on that thread, only request it."""
    asyncio.run(dispatcher.finish(threading.current_thread()))


@pytest.fixture
def dispatcher() -> EventDispatcher:
    dispatcher = EventDispatcher(("happened", "else"))
    dispatcher.start()
    return dispatcher


def test_callbacks_run_in_order_on_one_other_thread(dispatcher: EventDispatcher) -> None:
    seen: list[tuple[int, str, int | None]] = []
    dispatcher.on("happened", lambda number, word: seen.append((number, word, threading.current_thread().ident)))
    for number in range(100):
        dispatcher.emit("happened", number, "word")
    finish(dispatcher)
    assert [number for number, _, _ in seen] == list(range(100))
    threads = {thread for _, _, thread in seen}
    assert len(threads) == 1
    assert threading.current_thread().ident not in threads


def test_exception_in_a_callback_is_logged_and_the_next_callback_runs(
    dispatcher: EventDispatcher, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[str] = []

    def broken() -> None:
        raise ValueError("user error")

    dispatcher.on("happened", broken)
    dispatcher.on("happened", lambda: seen.append("second"))
    dispatcher.emit("happened")
    finish(dispatcher)
    assert seen == ["second"]
    assert "user error" in caplog.text


def test_unsubscribe_stops_the_calls_and_is_idempotent(dispatcher: EventDispatcher) -> None:
    seen: list[int] = []
    unsubscribe = dispatcher.on("happened", seen.append)
    dispatcher.emit("happened", 1)
    unsubscribe()
    unsubscribe()
    dispatcher.emit("happened", 2)
    finish(dispatcher)
    assert seen == [1]


def test_unknown_event_and_non_callable_are_refused(dispatcher: EventDispatcher) -> None:
    with pytest.raises(ConfigError, match=r"unknown event .hapened.; expected one of happened, else"):
        dispatcher.on("hapened", print)
    with pytest.raises(ConfigError, match="expected a function"):
        dispatcher.on("happened", 5)  # type: ignore[arg-type]
    finish(dispatcher)


def test_call_returns_the_result_or_raises_the_exception(dispatcher: EventDispatcher) -> None:
    def broken() -> None:
        raise ValueError("user error")

    assert dispatcher.call(lambda a, b: a + b, 1, 2).result(5) == 3
    with pytest.raises(ValueError, match="user error"):
        dispatcher.call(broken).result(5)
    finish(dispatcher)


def test_finish_in_a_callback_does_not_deadlock(dispatcher: EventDispatcher) -> None:
    stopped = threading.Event()

    def stop() -> None:
        finish(dispatcher)
        stopped.set()

    dispatcher.on("happened", stop)
    dispatcher.emit("happened")
    assert stopped.wait(5)


def test_finish_is_idempotent_and_works_without_start(dispatcher: EventDispatcher) -> None:
    finish(dispatcher)
    finish(dispatcher)
    finish(EventDispatcher(()))


async def test_finish_makes_the_pending_calls_and_does_not_block_the_loop(dispatcher: EventDispatcher) -> None:
    loop, asked, answered = asyncio.get_running_loop(), asyncio.Event(), threading.Event()
    seen: list[bool] = []

    def callback() -> None:
        loop.call_soon_threadsafe(asked.set)
        seen.append(answered.wait(5))

    dispatcher.on("happened", callback)
    dispatcher.emit("happened")
    finishing = asyncio.create_task(dispatcher.finish())
    await asyncio.wait_for(asked.wait(), 5)
    answered.set()
    await asyncio.wait_for(finishing, 5)
    assert seen == [True]


@pytest.mark.parametrize(
    ("callback", "needed"),
    [
        (lambda: None, False),
        (lambda end: end, True),
        (lambda *ends: ends, True),
        (lambda end=None: end, False),
        (lambda *, end=None: end, False),
        (threading.Event().set, False),
        (threading.Semaphore().release, False),  # Its optional argument is a number.
        ([].append, True),
        (dict, False),  # Python knows no signature of it.
    ],
)
def test_callback_of_an_earlier_version_is_told_from_one_with_an_argument(
    callback: Callable[..., object], needed: bool
) -> None:
    assert needs_argument(callback) == needed


def test_callback_without_arguments_can_be_called_with_some() -> None:
    called: list[str] = []
    without_arguments(lambda: called.append("called"))("end")
    assert called == ["called"]
