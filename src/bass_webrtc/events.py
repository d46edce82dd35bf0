"""Events: user callbacks, run one after the other on a thread of their own, never on an audio thread or the loop."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from .errors import ConfigError

Result = TypeVar("Result")
Callback = Callable[..., object]

_log = logging.getLogger(__name__)


class EventDispatcher:
    """Names, their callbacks, and the thread that calls them. Any thread."""

    def __init__(self, names: tuple[str, ...]) -> None:
        """
        Args:
            names: The events there are.
        """
        self._callbacks: dict[str, list[Callback]] = {name: [] for name in names}
        self._calls: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def on(self, event: str, callback: Callback) -> Callable[[], None]:
        """Calls ``callback`` at each ``event``; an exception in it is logged.

        Returns:
            A function that ends this; calling it twice does no harm.

        Raises:
            ConfigError: There is no such event, or the callback cannot be called.
        """
        if event not in self._callbacks:
            raise ConfigError(f"there is no event {event!r}; expected one of {', '.join(self._callbacks)}")
        if not callable(callback):
            raise ConfigError(f"{callback!r} cannot be called; expected a function")
        self._callbacks[event].append(callback)

        def unsubscribe() -> None:
            if callback in self._callbacks[event]:
                self._callbacks[event].remove(callback)

        return unsubscribe

    def emit(self, event: str, *arguments: object) -> None:
        """Has the callbacks called, soon, on the dispatcher's thread. Never blocks."""
        for callback in tuple(self._callbacks[event]):
            self._calls.put(lambda callback=callback: _call_safely(event, callback, arguments))  # type: ignore[misc]

    def call(self, function: Callable[..., Result], *arguments: object) -> Future[Result]:
        """Calls a function of the user on the dispatcher's thread and gives its result."""
        future: Future[Result] = Future()

        def run() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                future.set_result(function(*arguments))
            except Exception as error:
                future.set_exception(error)

        self._calls.put(run)
        return future

    def start(self) -> None:
        """Starts the thread."""
        self._thread = threading.Thread(target=self._run, name="bass-webrtc events", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Lets the calls that are waiting finish and ends the thread. From a callback it does not wait for itself."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        self._calls.put(None)
        if thread is not threading.current_thread():
            thread.join()

    def _run(self) -> None:
        while (call := self._calls.get()) is not None:
            call()


def _call_safely(event: str, callback: Callback, arguments: tuple[Any, ...]) -> None:
    try:
        callback(*arguments)
    except Exception:
        _log.exception("the callback %r of event %r failed", callback, event)
