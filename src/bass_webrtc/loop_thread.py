"""The loop thread: an asyncio loop on a thread of its own, and objects that start and stop on one.

    with Server(...)       .result()  ─┐
                                       ├─► concurrent Future ◄─ coroutine on the loop thread (ICE, DTLS, RTCP, HTTP)
    async with aio.Server  await      ─┘

Each operation is implemented once, as a coroutine that runs on the loop thread and settles a
``concurrent.futures.Future``. A synchronous caller waits for the future; a coroutine awaits it on its own loop,
without a thread or polling. A caller's loop that blocks therefore does not delay any peer (docs/decisions.md).
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import errno
import math
import selectors
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Generic, Literal, Self, TypeVar

from . import host_process
from .bass import current_device, select_device
from .core import name_thread
from .errors import ClosedError
from .host_process import ProcessLock, after_fork_in_child, start_thread

Result = TypeVar("Result")
Run = TypeVar("Run")

_EXECUTOR_SHUTDOWN_S = 1.0
"""How long the end of the loop waits for its executor, in which a name lookup without an answer may block."""

_SELECT_SOCKETS = 512
"""How many sockets ``select`` can watch on Windows: CPython's FD_SETSIZE."""

WATCHED_SOCKETS = _SELECT_SOCKETS if sys.platform == "win32" else None
"""How many sockets one loop can watch; None: as many as there are descriptors."""

_INTERRUPTIBLE_S = 0.1 if sys.platform == "win32" else None
"""How long a thread may wait at once. On Windows, Ctrl-C does not interrupt a wait."""


class SelectSelector(selectors.SelectSelector):
    """Refuses a socket that ``select`` has no room for. asyncio's loop would end with a ``ValueError`` instead.

    Args:
        limit: How many sockets ``select`` can watch.
    """

    def __init__(self, limit: int) -> None:
        super().__init__()
        self._limit = limit

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        """Watch a socket.

        Raises:
            OSError: EMFILE: too many are watched.
        """
        if len(self.get_map()) >= self._limit:
            raise OSError(errno.EMFILE, f"the loop watches {self._limit} sockets, which is the limit of select()")
        return super().register(fileobj, events, data)


class SelectLoop(asyncio.SelectorEventLoop):
    """The loop on Windows. asyncio's default there, the proactor, cannot watch the core's sockets.

    Its clock is the core's, the performance counter; ``time.monotonic`` has steps of 15.6 ms before Python 3.13.
    """

    def __init__(self, limit: int = _SELECT_SOCKETS) -> None:
        super().__init__(SelectSelector(limit))
        # Timers that are due within this time run at once. asyncio takes the resolution of time.monotonic.
        self._clock_resolution = time.get_clock_info("perf_counter").resolution

    def time(self) -> float:
        """Return the time of ``time.perf_counter``."""
        return time.perf_counter()


def new_event_loop() -> asyncio.SelectorEventLoop:
    """Create a loop that can watch sockets, and whose clock is the core's.

    It is asyncio's own, whatever loop the program's policy makes: that may be one of a GUI, for its main thread only.
    """
    return SelectLoop() if sys.platform == "win32" else asyncio.SelectorEventLoop()


class LoopThread:
    """An asyncio loop on a daemon thread. Any thread, except where a method says otherwise.

    Attributes:
        ended: Done when the loop is closed and the thread is about to exit.
    """

    def __init__(self, name: str) -> None:
        """Start the thread.

        Args:
            name: Name of the thread, as debuggers show it.

        Raises:
            BassWebRtcError: The program has patched threads or sockets.
        """
        host_process.check_patches()
        host_process.reserve_standard_descriptors()
        self.ended: Future[None] = Future()
        self._guard = ProcessLock()  # Of the two below, and of scheduling on a loop that may be closed.
        self._accepts = True
        self._ending = False
        self._loop = new_event_loop()
        self._executor = ThreadPoolExecutor(
            thread_name_prefix=f"{name} helper", initializer=name_thread, initargs=("bw-helper",)
        )
        self._loop.set_default_executor(self._executor)
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        _loops.add(self)
        try:
            start_thread(self._thread)
        except RuntimeError:  # The system has no thread left.
            _loops.discard(self)
            self._loop.close()
            raise

    def submit(self, coroutine: Coroutine[Any, Any, Result]) -> Future[Result]:
        """Start a coroutine on the loop. Never blocks.

        Returns:
            A future with the coroutine's result or exception, or with ``ClosedError`` if the loop is stopped first.
            Cancelling it cancels the coroutine.
        """
        future: Future[Result] = Future()

        def begin() -> None:
            task = self._loop.create_task(coroutine)
            task.add_done_callback(lambda done: _settle(future, done))
            future.add_done_callback(lambda done: self.call_soon(task.cancel) if done.cancelled() else None)

        try:
            with self._guard:
                if self._accepts:
                    self._loop.call_soon_threadsafe(begin)
                    return future
        except ClosedError as error:  # In a forked child.
            future.set_exception(error)
        else:
            future.set_exception(ClosedError("it was stopped; call start first"))
        coroutine.close()
        return future

    def run(self, coroutine: Coroutine[Any, Any, Result]) -> Result:
        """Run a coroutine on the loop and wait for its result. Any thread but the loop thread.

        Raises:
            ClosedError: The loop was stopped first.
        """
        assert threading.current_thread() is not self._thread, "the loop thread would wait for itself"
        return wait(self.submit(coroutine))

    def call_soon(self, function: Callable[..., object], *arguments: object) -> None:
        """Schedule a function on the loop. Never blocks; does nothing once the loop is stopping."""
        with self._guard:
            if self._accepts:
                self._loop.call_soon_threadsafe(function, *arguments)

    async def cancel_tasks(self) -> None:
        """Refuse further calls, cancel every task but the current one and wait for them. Loop thread."""
        with self._guard:
            self._accepts = False
        await asyncio.sleep(0)  # Tasks of calls that were accepted before begin.
        while tasks := asyncio.all_tasks() - {asyncio.current_task()}:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def end(self) -> Future[None]:
        """Stop the loop: cancel its tasks and let the thread exit. Idempotent; never blocks. Returns ``ended``."""
        with self._guard:
            if not self._ending:
                self._ending = True
                self._loop.call_soon_threadsafe(self._loop.stop)
        return self.ended

    def join(self) -> None:
        """Wait for the thread, which is ending. Any thread but the loop thread."""
        self._thread.join()

    def stop(self) -> None:
        """Stop the loop and wait for the thread. Idempotent. Any thread but the loop thread."""
        self.end()
        self.join()

    def descriptors(self) -> list[int]:
        """The descriptors that the loop watches, and its own."""
        selector: selectors.BaseSelector = self._loop._selector  # type: ignore[attr-defined]
        own = getattr(selector, "fileno", None)  # select and poll have none.
        return [*selector.get_map(), *(() if own is None else (own(),))]

    def _run(self) -> None:
        name_thread("bw-loop")
        try:
            self._loop.run_forever()
            self._loop.run_until_complete(self.cancel_tasks())
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
            self._shut_executor_down()
        finally:
            with self._guard:
                self._accepts = False
                _loops.discard(self)
                self._loop.close()
            self.ended.set_result(None)

    def _shut_executor_down(self) -> None:
        """Wait for a limited time; before Python 3.12 asyncio sets no limit, and getaddrinfo may take 30 s."""
        ending = threading.Thread(target=self._executor.shutdown, name="executor shutdown", daemon=True)
        ending.start()
        ending.join(_EXECUTOR_SHUTDOWN_S)


def wait(future: Future[Result], timeout_s: float | None = None) -> Result:
    """Wait for a future; cancel it if the wait ends otherwise, by timeout or ``KeyboardInterrupt``.

    Raises:
        TimeoutError: There was no result within ``timeout_s`` seconds.
    """
    try:
        for part_s in _parts(timeout_s):
            with contextlib.suppress(TimeoutError):
                return future.result(part_s)
            if future.done():
                break
        return future.result(0)
    finally:
        future.cancel()


def wait_for_event(event: threading.Event, timeout_s: float | None = None) -> bool:
    """Wait like ``event.wait``, such that Ctrl-C interrupts it on Windows, too."""
    return any(event.wait(part_s) for part_s in _parts(timeout_s))


def _parts(timeout_s: float | None) -> Iterator[float | None]:
    """Divide a wait into parts that are short enough for Ctrl-C."""
    if _INTERRUPTIBLE_S is None:
        yield timeout_s
        return
    end_s = math.inf if timeout_s is None else time.perf_counter() + timeout_s
    while (left_s := end_s - time.perf_counter()) > _INTERRUPTIBLE_S:
        yield _INTERRUPTIBLE_S
    yield max(0.0, left_s)


def _settle(future: Future[Result], task: asyncio.Task[Result]) -> None:
    error = ClosedError("it was stopped before the call finished") if task.cancelled() else task.exception()
    if not future.set_running_or_notify_cancel():  # The caller has cancelled it.
        return
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(task.result())


_Kind = Literal["start", "stop", "close"]


@dataclass(eq=False)
class _Operation:
    kind: _Kind
    caller: threading.Thread
    device: int | None
    """The BASS device of a start's caller, which BASS keeps per thread: the source is opened on it."""
    done: Future[None] = field(default_factory=Future)
    ending: LoopThread | None = None
    """The loop thread that ends with the operation."""
    waits_for_stop: bool = False
    """Whether a stop or close was unfinished when the operation was queued."""


class Lifecycle(ABC, Generic[Run]):
    """What ``start``, ``stop`` and ``close`` do, for ``BlockingLifecycle`` and ``AsyncLifecycle``. Any thread.

    Operations are queued, so they exclude one another. Each start makes a loop thread, which lives until stop has
    finished. Whatever runs when the interpreter exits is closed then.
    """

    def __init__(self, thread_name: str, what: str) -> None:
        """
        Args:
            thread_name: Name of the loop threads.
            what: Noun for error messages, for example ``"server"``.
        """
        self._open_run: Run | None = None
        self._is_parents = False
        self._loop: LoopThread | None = None
        self._thread_name = thread_name
        self._what = what
        self._closed = False
        self._guard = threading.Lock()  # Of the three below.
        self._operations: deque[_Operation] = deque()
        self._current: _Operation | None = None
        self._busy = False

    @abstractmethod
    async def _open(self, loop: LoopThread) -> Run:
        """Open everything, or raise and leave nothing open. Loop thread; may block, because nothing else runs yet."""

    @abstractmethod
    async def _shut(self, run: Run, caller: threading.Thread) -> None:
        """Close everything that ``_open`` opened. Loop thread.

        Args:
            run: What ``_open`` returned.
            caller: The thread that asked for it. It may be waiting, so it must not be waited for.
        """

    def _stopping(self, run: Run) -> None:
        """Called on the loop thread before ``_shut``, while other threads still see ``run``."""

    def _is_event_thread(self) -> bool:
        """Whether the calling thread is one that ``_shut`` waits for unless it is the caller."""
        return False

    @property
    def _run(self) -> Run | None:
        """What ``_open`` returned; None when not running.

        Raises:
            ClosedError: It runs in the parent process.
        """
        if self._is_parents:
            raise host_process.parents_error()
        return self._open_run

    def _forget(self) -> None:
        """In a forked child: leave to the parent what it has started."""
        self._is_parents = True
        self._guard = threading.Lock()  # A thread that the child has not may hold the other one.
        self._operations.clear()
        self._current = None
        self._busy = False

    def _request(self, kind: _Kind) -> _Operation:
        """Queue an operation; its ``done`` is settled when it has finished. Never blocks.

        In a forked child nothing of the parent's is left to stop or close, which a ``with`` block does there, too.

        Raises:
            ClosedError: A start, in a child of the process that runs it.
        """
        device = current_device() if kind == "start" else None
        operation = _Operation(kind, threading.current_thread(), device)
        if kind != "start":
            operation.done.set_running_or_notify_cancel()  # It cannot be cancelled: nothing is left half closed.
        if self._is_parents:
            if kind == "start":
                raise host_process.parents_error()
            operation.done.set_result(None)
            return operation
        with self._guard:
            ahead = (*self._operations, *((self._current,) if self._current is not None else ()))
            operation.waits_for_stop = any(one.kind != "start" and not one.done.done() for one in ahead)
            self._operations.append(operation)
            is_first, self._busy = not self._busy, True
        if is_first:
            self._next()
        return operation

    def _perform(self, kind: _Kind) -> None:
        """Do an operation and wait for it, and for the loop thread if it ends. Any thread but the loop thread.

        The event thread does not wait while another thread is in stop or close, which waits for the event thread.
        """
        operation = self._request(kind)
        if operation.waits_for_stop and self._is_event_thread():
            if kind == "start" and operation.done.cancel():
                raise ClosedError(f"another thread is stopping the {self._what}; call start when it has finished")
            return
        try:
            wait(operation.done)
        finally:
            if operation.ending is not None:
                operation.ending.join()

    def _next(self) -> None:
        """Begin the next operation that has something to do. The caller's thread, or the end of a loop thread."""
        while True:
            with self._guard:
                self._current = None
                if not self._operations:
                    self._busy = False
                    return
                operation = self._current = self._operations.popleft()
            if operation.done.cancelled():
                continue
            if operation.kind == "close":
                self._closed = True
            elif operation.kind == "start" and self._closed:
                _settle_operation(operation.done, ClosedError(f"the {self._what} was closed; create a new one"))
                continue
            if (operation.kind == "start") == (self._open_run is not None):
                _settle_operation(operation.done)
                continue
            try:
                if operation.kind == "start":
                    _unclosed.add(self)
                    self._loop = LoopThread(self._thread_name)
                    self._loop.submit(self._start(self._loop, operation))
                elif self._loop is not None and self._open_run is not None:
                    self._loop.submit(self._stop(self._loop, self._open_run, operation))
                return
            except BaseException as error:  # For example, no thread or file descriptor is left.
                _unclosed.discard(self)
                _settle_operation(operation.done, error)

    async def _start(self, loop: LoopThread, operation: _Operation) -> None:
        done, task, opening = operation.done, asyncio.current_task(), True
        assert task is not None

        def cancel() -> None:
            if opening:
                task.cancel()

        done.add_done_callback(lambda future: loop.call_soon(cancel) if future.cancelled() else None)
        try:
            select_device(operation.device)
            run = await self._open(loop)
        except BaseException as error:
            self._end(loop, operation, error)
            return
        opening = False
        if not done.set_running_or_notify_cancel():  # Cancelled at the last moment.
            try:
                await self._shut(run, operation.caller)
            finally:
                self._end(loop, operation)
            return
        self._open_run = run
        done.set_result(None)
        self._next()

    async def _stop(self, loop: LoopThread, run: Run, operation: _Operation) -> None:
        failed: BaseException | None = None
        try:
            try:
                self._stopping(run)
            finally:
                self._open_run = None
                await self._shut(run, operation.caller)
        except BaseException as error:
            failed = error
        self._end(loop, operation, failed)

    def _end(self, loop: LoopThread, operation: _Operation, error: BaseException | None = None) -> None:
        """Let the loop thread exit; when it has, settle the operation and begin the next one."""
        operation.ending = loop

        def ended(_: Future[None]) -> None:
            _unclosed.discard(self)
            self._loop = None
            _settle_operation(operation.done, error)
            self._next()

        loop.end().add_done_callback(ended)


def _settle_operation(done: Future[None], error: BaseException | None = None) -> None:
    if done.cancelled() or not (done.running() or done.set_running_or_notify_cancel()):
        return
    if error is None:
        done.set_result(None)
    else:
        done.set_exception(error)


class BlockingLifecycle(Lifecycle[Run]):
    """``start``, ``stop`` and ``close`` that wait, and a context manager."""

    def start(self) -> None:
        """Start; do nothing if it runs already.

        Raises:
            BassWebRtcError: It cannot start; the message says why. Nothing is left open.
            ClosedError: ``close`` was called before.
        """
        self._perform("start")

    def stop(self) -> None:
        """Stop and release everything; ``start`` may follow. Idempotent."""
        self._perform("stop")

    def close(self) -> None:
        """Stop for good. Idempotent."""
        self._perform("close")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class AsyncLifecycle(Lifecycle[Run]):
    """``start``, ``stop`` and ``close`` as coroutines, and an asynchronous context manager.

    Cancelling ``start`` undoes it. Cancelling ``stop`` or ``close`` does not interrupt them: they finish on the loop
    thread.
    """

    async def start(self) -> None:
        """Start; do nothing if it runs already.

        Raises:
            BassWebRtcError: It cannot start; the message says why. Nothing is left open.
            ClosedError: ``close`` was called before.
        """
        await asyncio.wrap_future(self._request("start").done)

    async def stop(self) -> None:
        """Stop and release everything; ``start`` may follow. Idempotent."""
        await asyncio.wrap_future(self._request("stop").done)

    async def close(self) -> None:
        """Stop for good. Idempotent."""
        await asyncio.wrap_future(self._request("close").done)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


_unclosed: set[Lifecycle[Any]] = set()
"""Everything that has started and not stopped."""

_loops: set[LoopThread] = set()
"""The loop threads whose loops are open."""


@after_fork_in_child
def _forget_all() -> None:
    """Leave everything to the parent: a forked child has no loop threads, so that its exit must not wait for them."""
    for one in _unclosed:
        one._forget()
    _unclosed.clear()
    for loop in _loops:
        host_process.release(loop.descriptors())
    _loops.clear()


@atexit.register
def _close_all() -> None:
    """Close at the interpreter's exit what the program left open, so that remote peers learn of it at once."""
    for one in tuple(_unclosed):
        one._perform("close")
