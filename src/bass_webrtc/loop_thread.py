"""An asyncio loop on a thread of its own, for a synchronous API on top of it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import CancelledError, ThreadPoolExecutor
from typing import Any, TypeVar

from .errors import ClosedError

Result = TypeVar("Result")
FaultHandler = Callable[[asyncio.AbstractEventLoop, dict[str, Any]], object]

_HELPERS_S = 1.0
"""How long the end waits for helper threads: one may be looking up a name that nobody answers for."""


class LoopThread:
    """Runs coroutines for callers on other threads."""

    def __init__(self, name: str, on_fault: FaultHandler | None = None) -> None:
        """Starts the thread.

        Args:
            name: Of the thread.
            on_fault: Called there for an exception that nobody waits for; None logs it.
        """
        self._loop = asyncio.new_event_loop()
        self._loop.set_exception_handler(on_fault)
        self._helpers = ThreadPoolExecutor(thread_name_prefix=f"{name} helper")
        self._loop.set_default_executor(self._helpers)
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def run(self, coroutine: Coroutine[Any, Any, Result]) -> Result:
        """Runs a coroutine on the loop and waits for its result, or raises what it raised. Not from the loop.

        Raises:
            ClosedError: The loop was stopped before there was a result.
        """
        assert threading.current_thread() is not self._thread, "the loop would wait for itself"
        try:
            return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()
        except CancelledError:
            raise ClosedError("it was stopped meanwhile") from None
        except RuntimeError:
            if not self._loop.is_closed():
                raise
            coroutine.close()
            raise ClosedError("it was stopped") from None

    def call_soon(self, function: Callable[..., object], *arguments: object) -> None:
        """Calls a function on the loop, soon. Never blocks; nothing happens after ``stop``."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(function, *arguments)

    def stop(self) -> None:
        """Ends the loop's remaining tasks and the thread. Not from the loop."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
            while tasks := asyncio.all_tasks(self._loop):  # Callers may have brought more meanwhile.
                for task in tasks:
                    task.cancel()
                self._loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
            self._end_helpers()
        finally:
            self._loop.close()

    def _end_helpers(self) -> None:
        """asyncio's own way has no limit before Python 3.12, and the system looks for a name for half a minute."""
        ending = threading.Thread(target=self._helpers.shutdown, name="helpers' end", daemon=True)
        ending.start()
        ending.join(_HELPERS_S)
