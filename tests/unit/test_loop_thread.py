"""The loop on a thread of its own: results, errors, and nothing left behind."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from bass_webrtc.errors import ClosedError
from bass_webrtc.loop_thread import LoopThread


async def _thread_name() -> str:
    return threading.current_thread().name


async def _fail() -> None:
    raise ValueError("inside")


def test_coroutines_run_there_and_their_results_come_here() -> None:
    loop = LoopThread("a loop")
    assert loop.run(_thread_name()) == "a loop"
    with pytest.raises(ValueError, match="inside"):
        loop.run(_fail())
    loop.stop()


def test_stop_cancels_what_still_runs_and_ends_the_thread() -> None:
    before = threading.active_count()
    loop = LoopThread("a loop")
    ended = threading.Event()

    async def wait_forever() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async def begin() -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(wait_forever())
        await asyncio.sleep(0)
        return task

    task = loop.run(begin())
    loop.stop()
    assert ended.is_set()
    assert task.cancelled()
    assert threading.active_count() == before


def test_call_soon_runs_there_and_after_stop_does_nothing() -> None:
    loop = LoopThread("a loop")
    called = threading.Event()
    loop.call_soon(called.set)
    assert called.wait(5)
    loop.stop()
    loop.call_soon(pytest.fail, "the loop has ended")


def test_what_comes_too_late_is_told_that_it_was_stopped() -> None:
    loop = LoopThread("a loop")
    began = threading.Event()

    async def wait_for_ever() -> None:
        began.set()
        await asyncio.Event().wait()

    with ThreadPoolExecutor() as threads:
        waiting = threads.submit(lambda: loop.run(wait_for_ever()))
        assert began.wait(5.0)
        loop.stop()
        with pytest.raises(ClosedError, match="stopped"):
            waiting.result(5.0)
    with pytest.raises(ClosedError, match="stopped"):
        loop.run(_thread_name())


def test_stop_does_not_wait_for_a_name_that_is_looked_up_for_ever() -> None:
    before = threading.active_count()
    loop = LoopThread("a loop")
    began, answered = threading.Event(), threading.Event()

    def look_up() -> None:
        began.set()
        answered.wait(30.0)

    async def ask() -> None:
        await asyncio.get_running_loop().run_in_executor(None, look_up)

    with ThreadPoolExecutor() as threads:
        asking = threads.submit(lambda: loop.run(ask()))
        assert began.wait(5.0)
        start_s = time.monotonic()
        loop.stop()
        assert time.monotonic() - start_s < 5.0
        with pytest.raises(ClosedError, match="stopped"):
            asking.result(5.0)
    answered.set()
    deadline_s = time.monotonic() + 5.0
    while threading.active_count() > before:
        assert time.monotonic() < deadline_s
        time.sleep(0.01)
