"""The loop thread: results, errors, lifecycles, and that nothing is left behind."""

from __future__ import annotations

import asyncio
import errno
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from unittest.mock import Mock

import pytest

from bass_webrtc import loop_thread
from bass_webrtc.errors import ClosedError
from bass_webrtc.loop_thread import (
    AsyncLifecycle,
    BlockingLifecycle,
    Lifecycle,
    LoopThread,
    SelectLoop,
    wait,
    wait_for_event,
)
from support.patience import PROCESS_S


async def _thread_name() -> str:
    return threading.current_thread().name


async def _fail() -> None:
    raise ValueError("inside")


async def _wait_forever(began: threading.Event, ended: threading.Event | None = None) -> None:
    began.set()
    try:
        await asyncio.Event().wait()
    finally:
        if ended is not None:
            ended.set()


@pytest.fixture
def no_threads_left() -> Iterator[None]:
    before = threading.active_count()
    yield
    deadline_s = time.monotonic() + 5.0
    while threading.active_count() > before:
        assert time.monotonic() < deadline_s
        time.sleep(0.01)


def test_run_returns_the_result_or_raises_the_exception() -> None:
    loop = LoopThread("a loop")
    assert loop.run(_thread_name()) == "a loop"
    with pytest.raises(ValueError, match="inside"):
        loop.run(_fail())
    loop.stop()


def test_stop_cancels_tasks_and_ends_the_thread() -> None:
    before = threading.active_count()
    loop = LoopThread("a loop")
    began, ended = threading.Event(), threading.Event()
    call = loop.submit(_wait_forever(began, ended))
    assert began.wait(5.0)
    loop.stop()
    loop.stop()
    assert ended.is_set()
    assert threading.active_count() == before
    with pytest.raises(ClosedError, match="stopped"):
        call.result(0)


def test_cancelled_future_cancels_the_coroutine() -> None:
    loop = LoopThread("a loop")
    began, ended = threading.Event(), threading.Event()
    call = loop.submit(_wait_forever(began, ended))
    assert began.wait(5.0)
    with pytest.raises(TimeoutError):
        wait(call, 0.01)
    assert ended.wait(5.0)
    loop.stop()


def test_call_soon_does_nothing_after_stop() -> None:
    loop = LoopThread("a loop")
    called = threading.Event()
    loop.call_soon(called.set)
    assert called.wait(5)
    loop.stop()
    loop.call_soon(pytest.fail, "the loop has ended")


def test_call_after_stop_raises_closed_error() -> None:
    loop = LoopThread("a loop")
    loop.stop()
    with pytest.raises(ClosedError, match="stopped"):
        loop.run(_thread_name())


def test_calls_that_race_with_stop_always_end() -> None:
    """Each has a result or a ``ClosedError``; none waits forever."""
    for _ in range(50):
        loop = LoopThread("a loop")
        with ThreadPoolExecutor() as threads:
            calls = [threads.submit(lambda loop=loop: loop.submit(_thread_name())) for _ in range(8)]  # type: ignore[misc]
            loop.stop()
            for call in calls:
                error = call.result(5.0).exception(5.0)
                assert error is None or isinstance(error, ClosedError)


@pytest.mark.usefixtures("no_threads_left")
def test_stop_does_not_wait_for_a_blocked_name_lookup() -> None:
    loop = LoopThread("a loop")
    began, answered = threading.Event(), threading.Event()

    def look_up() -> None:
        began.set()
        answered.wait(30.0)

    async def ask() -> None:
        await asyncio.get_running_loop().run_in_executor(None, look_up)

    call = loop.submit(ask())
    assert began.wait(5.0)
    start_s = time.monotonic()
    loop.stop()
    assert time.monotonic() - start_s < 5.0
    with pytest.raises(ClosedError, match="stopped"):
        call.result(5.0)
    answered.set()


# The loop of Windows, which works everywhere


def test_more_sockets_than_select_can_watch_do_not_end_the_loop() -> None:
    async def watch_too_many() -> tuple[int | None, bytes]:
        loop = asyncio.get_running_loop()
        pairs = [socket.socketpair() for _ in range(8)]
        try:
            for number in range(7):  # The loop itself watches one.
                loop.add_reader(pairs[number][0], lambda: None)
            with pytest.raises(OSError, match="8 sockets") as refused:
                loop.add_reader(pairs[7][0], lambda: None)
            loop.add_writer(pairs[0][0], lambda: None)  # It is watched already.
            await asyncio.sleep(0.01)
            loop.remove_reader(pairs[1][0])
            pairs[7][0].setblocking(False)
            pairs[7][1].send(b"heard")
            return refused.value.errno, await loop.sock_recv(pairs[7][0], 100)
        finally:
            for one in pairs[0] + sum(pairs[1:], ()):
                loop.remove_reader(one)
                loop.remove_writer(one)
                one.close()

    with asyncio.Runner(loop_factory=lambda: SelectLoop(8)) as runner:
        assert runner.run(watch_too_many()) == (errno.EMFILE, b"heard")


def test_clock_of_the_loop_is_that_of_the_core(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where ``time.monotonic`` is another clock, with steps of 15.6 ms."""
    other_s = time.perf_counter() + 1000.0
    clock_info = time.get_clock_info

    def other_info(name: str) -> object:
        return SimpleNamespace(resolution=0.0156) if name == "monotonic" else clock_info(name)  # type: ignore[arg-type]

    async def times() -> list[float]:
        loop = asyncio.get_running_loop()
        before_s = time.perf_counter()
        fired: asyncio.Future[float] = loop.create_future()
        loop.call_at(before_s + 0.01, lambda: fired.set_result(time.perf_counter()))
        now_s = loop.time()
        await asyncio.sleep(0)  # A loop that has something to do looks at once for timers that are due.
        return [before_s, now_s, before_s + 0.01 - 1e-6, await fired]

    monkeypatch.setattr(time, "monotonic", lambda: other_s)
    monkeypatch.setattr(time, "get_clock_info", other_info)
    with asyncio.Runner(loop_factory=SelectLoop) as runner:
        found = runner.run(times())
    assert found == sorted(found)


# Waits that Ctrl-C interrupts on Windows


@pytest.fixture
def parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits take place in parts of 10 ms, as they do in parts of 100 ms on Windows."""
    monkeypatch.setattr(loop_thread, "_INTERRUPTIBLE_S", 0.01)


@pytest.mark.usefixtures("parts")
def test_wait_in_parts_ends_with_the_result_the_error_or_the_timeout() -> None:
    loop = LoopThread("a loop")
    assert wait(loop.submit(asyncio.sleep(0.05, "slept"))) == "slept"
    assert wait(loop.submit(asyncio.sleep(0.05, "slept")), 5.0) == "slept"
    with pytest.raises(ValueError, match="inside"):
        loop.run(_fail())
    for timeout_s in (0.0, 0.005, 0.035):
        started_s = time.perf_counter()
        with pytest.raises(TimeoutError):
            wait(loop.submit(asyncio.sleep(30)), timeout_s)
        assert time.perf_counter() - started_s >= timeout_s - 0.001
    loop.stop()


@pytest.mark.usefixtures("parts")
def test_timeout_error_of_the_call_ends_an_endless_wait() -> None:
    async def time_out() -> None:
        raise TimeoutError("of the call")

    loop = LoopThread("a loop")
    with pytest.raises(TimeoutError, match="of the call"):
        loop.run(time_out())
    loop.stop()


@pytest.mark.usefixtures("parts")
def test_no_part_of_a_wait_for_an_event_is_long() -> None:
    event, waits = Mock(), list[float]()
    event.wait = lambda timeout_s: waits.append(timeout_s) or len(waits) == 5  # type: ignore[func-returns-value]
    assert wait_for_event(event)
    assert waits == [0.01] * 5
    real = threading.Event()
    assert not wait_for_event(real, 0.0)
    assert not wait_for_event(real, 0.025)
    real.set()
    assert wait_for_event(real, 0.0)


class _Recorder(Lifecycle[LoopThread]):
    """Records what is opened and shut; ``opening`` runs while it is opened."""

    def __init__(self, opening: Callable[[], object] = lambda: None) -> None:
        super().__init__("a lifecycle", "recorder")
        self.log: list[str] = []
        self.opening = opening

    async def _open(self, loop: LoopThread) -> LoopThread:
        self.log.append("open")
        try:
            self.opening()
            await asyncio.sleep(0.01)
        except BaseException:
            await self._end_tasks(loop)
            raise
        return loop

    async def _shut(self, run: LoopThread, caller: threading.Thread) -> None:
        await self._end_tasks(run)
        self.log.append("shut")

    async def _end_tasks(self, loop: LoopThread) -> None:
        await asyncio.sleep(0.01)
        await loop.cancel_tasks()


class Blocking(_Recorder, BlockingLifecycle[LoopThread]):
    pass


class Async(_Recorder, AsyncLifecycle[LoopThread]):
    pass


def test_source_opens_on_the_callers_bass_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """BASS keeps the current device per thread, and the loop thread is another one."""
    selected: list[tuple[threading.Thread, int | None]] = []
    devices = {threading.current_thread(): 3}
    monkeypatch.setattr(loop_thread, "current_device", lambda: devices.get(threading.current_thread()))
    monkeypatch.setattr(loop_thread, "select_device", lambda one: selected.append((threading.current_thread(), one)))
    with Blocking() as one:
        one.start()
        ((thread, device),) = selected
        assert (device, thread is threading.current_thread()) == (3, False)


def test_start_stop_and_close_are_idempotent() -> None:
    before = threading.active_count()
    with Blocking() as one:
        one.stop()
        one.start()
        one.start()
        assert threading.active_count() == before + 1
        one.stop()
        one.stop()
        assert threading.active_count() == before
        one.start()
    one.close()
    assert one.log == ["open", "shut"] * 2
    assert threading.active_count() == before
    with pytest.raises(ClosedError, match="recorder was closed"):
        one.start()


@pytest.mark.usefixtures("no_threads_left")
def test_operations_of_many_threads_exclude_one_another() -> None:
    one = Blocking()
    with ThreadPoolExecutor(8) as threads:
        calls = [threads.submit(one.start if number % 2 else one.stop) for number in range(40)]
        for call in calls:
            call.result(10.0)
    one.close()
    assert one.log == ["open", "shut"] * (len(one.log) // 2)


@pytest.mark.usefixtures("no_threads_left")
def test_stop_waits_for_a_start_that_blocks() -> None:
    began, goes_on = threading.Event(), threading.Event()

    def block() -> None:
        began.set()
        goes_on.wait(5.0)

    one = Blocking(block)
    with ThreadPoolExecutor() as threads:
        starting = threads.submit(one.start)
        assert began.wait(5.0)
        stopping = threads.submit(one.stop)
        assert not stopping.done()
        goes_on.set()
        starting.result(5.0)
        stopping.result(5.0)
    assert one.log == ["open", "shut"]


@pytest.mark.usefixtures("no_threads_left")
def test_failed_start_raises_and_may_be_repeated() -> None:
    one = Blocking(lambda: 1 // 0)
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            one.start()
    one.opening = lambda: None
    one.start()
    one.close()
    assert one.log == ["open", "open", "open", "shut"]


@pytest.mark.usefixtures("no_threads_left")
def test_start_without_resources_raises_and_may_be_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    one = Blocking()
    for error in (OSError(24, "too many open files"), RuntimeError("can't start new thread")):
        with monkeypatch.context() as patch:
            patch.setattr(loop_thread, "LoopThread", Mock(side_effect=error))
            with pytest.raises(type(error)):
                one.start()
    one.start()
    one.close()
    assert one.log == ["open", "shut"]


@pytest.mark.usefixtures("no_threads_left")
def test_failed_stop_raises_and_releases_everything() -> None:
    class Failing(Blocking):
        def _stopping(self, _run: LoopThread) -> None:
            raise ValueError("no statistics")

    one = Failing()
    one.start()
    with pytest.raises(ValueError, match="no statistics"):
        one.stop()
    one.close()
    assert one.log == ["open", "shut"]


@pytest.mark.usefixtures("no_threads_left")
async def test_start_cancelled_after_its_last_await_is_undone() -> None:
    class Opened(Async):
        async def _open(self, loop: LoopThread) -> LoopThread:
            self.opening()
            return loop

    began, goes_on = threading.Event(), threading.Event()

    def block() -> None:
        began.set()
        goes_on.wait(5.0)

    one = Opened(block)
    starting = asyncio.create_task(one.start())
    await asyncio.to_thread(began.wait, 5.0)
    starting.cancel()
    await asyncio.wait([starting])
    goes_on.set()
    await asyncio.wait_for(one.stop(), 5.0)
    one.opening = lambda: None
    await one.start()
    await one.close()
    assert one.log == ["shut", "shut"]


@pytest.mark.usefixtures("no_threads_left")
async def test_blocking_start_does_not_block_the_callers_loop() -> None:
    goes_on = threading.Event()
    async with Async(lambda: goes_on.wait(5.0)) as one:
        starting = asyncio.create_task(one.start())
        await asyncio.sleep(0.01)
        assert not starting.done()
        goes_on.set()
        await starting
    assert one.log == ["open", "shut"]


@pytest.mark.usefixtures("no_threads_left")
async def test_cancelled_start_is_undone_and_cancelled_stop_finishes() -> None:
    goes_on = threading.Event()
    one = Async(lambda: goes_on.wait(5.0))
    starting = asyncio.create_task(one.start())
    await asyncio.sleep(0.01)
    starting.cancel()
    goes_on.set()
    await asyncio.wait([starting])
    await one.stop()
    assert one.log == ["open"]
    await one.start()
    stopping = asyncio.create_task(one.stop())
    await asyncio.sleep(0)
    stopping.cancel()
    await one.close()
    assert one.log == ["open", "open", "shut"]


def test_interpreter_exit_closes_what_is_running() -> None:
    assert _output_of("Printer().start()\nPrinter()\n") == "shut\n"


def test_exit_of_a_forked_child_does_not_wait_for_the_parents_threads() -> None:
    program = (
        "import os, signal\n"
        "Printer().start()\n"
        "child = os.fork()\n"
        "if child: print(os.waitpid(child, 0)[1])\n"
        "else: signal.alarm(10)\n"
    )
    assert _output_of(program) == "0\nshut\n"


def _output_of(program: str) -> str:
    printer = (
        "import test_loop_thread as t\n"
        "class Printer(t.Blocking):\n"
        "    async def _shut(self, run, caller): print('shut')\n"
    )
    command = [sys.executable, "-c", f"import sys; sys.path[:0] = {sys.path!r}\n{printer}{program}"]
    ended = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=PROCESS_S, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")
    return ended.stdout
