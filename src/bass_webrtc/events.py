"""Events: user callbacks, called one after the other on the event thread, never on an audio or loop thread."""

from __future__ import annotations

import asyncio
import functools
import inspect
import logging
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from .core import name_thread
from .errors import ConfigError
from .host_process import fork_count, masked_signals, signal_mask, start_thread

Result = TypeVar("Result")
Callback = Callable[..., object]

_log = logging.getLogger(__name__)


class EventDispatcher:
    """The events of one object, the callbacks subscribed to them, and the event thread that calls these. Any thread."""

    def __init__(self, names: tuple[str, ...]) -> None:
        """
        Args:
            names: The events that exist.
        """
        self._callbacks: dict[str, list[Callback]] = {name: [] for name in names}
        self._program_mask = signal_mask()
        self._calls: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._newest_thread: threading.Thread | None = None
        self._ended: Future[None] = Future()

    @property
    def pending(self) -> int:
        """Number of calls that wait for the event thread."""
        return self._calls.qsize()

    def on(self, event: str, callback: Callback) -> Callable[[], None]:
        """Call ``callback`` at every ``event``. An exception that it raises is logged.

        Returns:
            A function that cancels the subscription. Calling it again does nothing.

        Raises:
            ConfigError: The event does not exist, or the callback is not callable.
        """
        if event not in self._callbacks:
            raise ConfigError(f"unknown event {event!r}; expected one of {', '.join(self._callbacks)}")
        if not callable(callback):
            raise ConfigError(f"callback is {callback!r}; expected a function")
        self._callbacks[event].append(callback)

        def unsubscribe() -> None:
            if callback in self._callbacks[event]:
                self._callbacks[event].remove(callback)

        return unsubscribe

    def emit(self, event: str, *arguments: object) -> None:
        """Schedule the callbacks of an event on the event thread. Never blocks."""
        for callback in tuple(self._callbacks[event]):
            self._calls.put(lambda callback=callback: _call_safely(event, callback, arguments))  # type: ignore[misc]

    def call(self, function: Callable[..., Result], *arguments: object) -> Future[Result]:
        """Call a user function on the event thread. Returns a future with its result or exception."""
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
        """Start the event thread."""
        self._ended = Future()
        thread = threading.Thread(target=self._run, args=(self._ended,), name="bass-webrtc events", daemon=True)
        start_thread(thread)
        self._thread = self._newest_thread = thread

    async def finish(self, caller: threading.Thread | None = None) -> None:
        """Make the pending calls, then end the event thread and wait for it, without blocking the running loop.

        Args:
            caller: A thread that is waiting for this. If it is the event thread, do not wait for that.
        """
        thread, ended = self._end(), self._ended
        if thread is not None and thread is not caller:
            await asyncio.wrap_future(ended)
            thread.join()  # It has nothing more to do.

    def is_event_thread(self) -> bool:
        """Whether the calling thread is the event thread, which may be ending."""
        return threading.current_thread() is self._newest_thread

    def _end(self) -> threading.Thread | None:
        thread, self._thread = self._thread, None
        if thread is not None:
            self._calls.put(None)
        return thread

    def _run(self, ended: Future[None]) -> None:
        name_thread("bw-events")
        forks = fork_count()
        while (call := self._calls.get()) is not None:
            # A process that the program starts in a callback inherits the signals that are blocked.
            with masked_signals(self._program_mask):
                call()
            if fork_count() != forks:  # The callback has forked this process, and returns in the child, too.
                return
        ended.set_result(None)


def needs_argument(callback: Callback) -> bool:
    """Return whether a function has a required positional parameter, or takes any number of them."""
    try:
        parameters = inspect.signature(callback).parameters.values()
    except ValueError:  # Some built-in functions have none.
        return False
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return any(
        one.kind is inspect.Parameter.VAR_POSITIONAL or (one.kind in positional and one.default is one.empty)
        for one in parameters
    )


def without_arguments(callback: Callback) -> Callback:
    """Return a function that ignores its arguments, for events that had none in earlier versions."""

    @functools.wraps(callback)
    def call(*_: object) -> object:
        return callback()

    return call


def _call_safely(event: str, callback: Callback, arguments: tuple[Any, ...]) -> None:
    try:
        callback(*arguments)
    except Exception:
        _log.exception("callback %r of event %r failed", callback, event)
