"""Callbacks: one thread, in order, errors logged, ends clean."""

from __future__ import annotations

import threading

import pytest

from bass_webrtc.errors import ConfigError
from bass_webrtc.events import EventDispatcher


@pytest.fixture
def dispatcher() -> EventDispatcher:
    dispatcher = EventDispatcher(("happened", "else"))
    dispatcher.start()
    return dispatcher


def test_callbacks_get_the_arguments_in_order_on_one_thread_of_ours(dispatcher: EventDispatcher) -> None:
    seen: list[tuple[int, str, int | None]] = []
    dispatcher.on("happened", lambda number, word: seen.append((number, word, threading.current_thread().ident)))
    for number in range(100):
        dispatcher.emit("happened", number, "word")
    dispatcher.stop()
    assert [number for number, _, _ in seen] == list(range(100))
    threads = {thread for _, _, thread in seen}
    assert len(threads) == 1
    assert threading.current_thread().ident not in threads


def test_an_exception_in_a_callback_is_logged_and_the_next_one_is_called(
    dispatcher: EventDispatcher, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[str] = []

    def broken() -> None:
        raise ValueError("of the user")

    dispatcher.on("happened", broken)
    dispatcher.on("happened", lambda: seen.append("second"))
    dispatcher.emit("happened")
    dispatcher.stop()
    assert seen == ["second"]
    assert "of the user" in caplog.text


def test_unsubscribing_ends_the_calls_and_may_be_repeated(dispatcher: EventDispatcher) -> None:
    seen: list[int] = []
    unsubscribe = dispatcher.on("happened", seen.append)
    dispatcher.emit("happened", 1)
    unsubscribe()
    unsubscribe()
    dispatcher.emit("happened", 2)
    dispatcher.stop()
    assert seen == [1]


def test_an_unknown_event_and_what_cannot_be_called_are_said_so(dispatcher: EventDispatcher) -> None:
    with pytest.raises(ConfigError, match="no event 'hapened'; expected one of happened, else"):
        dispatcher.on("hapened", print)
    with pytest.raises(ConfigError, match="cannot be called"):
        dispatcher.on("happened", 5)  # type: ignore[arg-type]
    dispatcher.stop()


def test_a_call_gives_its_result_or_its_exception(dispatcher: EventDispatcher) -> None:
    def broken() -> None:
        raise ValueError("of the user")

    assert dispatcher.call(lambda a, b: a + b, 1, 2).result(5) == 3
    with pytest.raises(ValueError, match="of the user"):
        dispatcher.call(broken).result(5)
    dispatcher.stop()


def test_stop_from_a_callback_does_not_wait_for_itself(dispatcher: EventDispatcher) -> None:
    stopped = threading.Event()

    def stop() -> None:
        dispatcher.stop()
        stopped.set()

    dispatcher.on("happened", stop)
    dispatcher.emit("happened")
    assert stopped.wait(5)


def test_stop_twice_and_without_start_do_no_harm(dispatcher: EventDispatcher) -> None:
    dispatcher.stop()
    dispatcher.stop()
    EventDispatcher(()).stop()
