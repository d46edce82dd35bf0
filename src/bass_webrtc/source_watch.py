"""Opens a source again that was lost: the URL of a station, an input of the sound card.

    sender thread ── ended, with BASS's error code ──► SourceWatch ──► event, log, statistics
                                                          │  waits, longer and longer
    sender thread ◄── the new source, between two frames ─┴─◄─ a thread that opens it, since BASS blocks meanwhile

A source of the program's own is only reported: the core plays it again when it has audio again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import threading
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError

from .bass import ERROR_HANDLE, ERROR_TIMEOUT, error_name
from .config import StreamConfig
from .core import Engine, name_thread
from .errors import BassError, BassWebRtcError
from .host_process import start_thread
from .limited_log import LimitedLog
from .sources import OpenSource, SourceEnd, SourceState

CHECK_S = 1.0
SILENT_CHECKS = 5
"""A source that delivers nothing for so many checks is lost. Checks are counted, not seconds, so that a process that
was stopped blames no source."""
FIRST_WAIT_S = 0.25
MAX_WAIT_S = 30.0
WAIT_SHARE = 0.25
"""A wait as a share of the time since the loss: a source is back at most that much later than it could be."""
SETTLED_S = 10.0
"""A source that is lost again sooner has not returned: the waits grow on."""

_log = logging.getLogger(__name__)


def next_wait_s(lost_for_s: float, max_wait_s: float = MAX_WAIT_S) -> float:
    """Return how long to wait before the next attempt, without the random part.

    Args:
        lost_for_s: Seconds since the loss.
        max_wait_s: Longest wait.
    """
    return min(max(FIRST_WAIT_S, WAIT_SHARE * lost_for_s), max_wait_s)


class SourceWatch:
    """Watches one source of a server or client. Loop thread, except for the properties and ``close``.

    Attributes:
        engine: Reads the source.
    """

    def __init__(
        self, engine: Engine, source: OpenSource, on_ended: Callable[[SourceEnd], object] = lambda _: None
    ) -> None:
        """
        Args:
            engine: Reads the source.
            source: The source; ``close`` closes it.
            on_ended: Called at each end.
        """
        self.engine = engine
        self._source = source
        self._on_ended = on_ended
        self._guard = threading.Lock()  # Of the next one, and of exchanging the source.
        self._closed = False
        self._reopenings = 0
        self._is_final = False
        self._lost = asyncio.Event()
        self._replaced = asyncio.Event()
        self._log = LimitedLog(_log)
        self._task: asyncio.Task[None] | None = None

    @classmethod
    def with_engine(
        cls,
        config: StreamConfig,
        max_peers: int,
        source: OpenSource,
        on_ended: Callable[[SourceEnd], object] = lambda _: None,
    ) -> SourceWatch:
        """Create the engine that reads a source, and the watch of both; nothing runs yet.

        Raises:
            BassWebRtcError: The engine cannot be created. The source is closed then.
        """
        try:
            engine = Engine(config, max_peers, source.handle)
        except BaseException:
            source.close()
            raise
        return cls(engine, source, on_ended)

    @property
    def reopenings(self) -> int:
        """How often the source was opened again. Any thread."""
        return self._reopenings

    @property
    def state(self) -> SourceState:
        """Whether, why and how often the source has ended. Any thread."""
        counters = self.engine.stats()
        has_ended = self._is_final and bool(counters.source_ended)
        return SourceState(has_ended, counters.source_error, counters.source_ends)

    def start(self) -> None:
        """Begin to watch, once the engine runs."""
        if self._source.open_again is not None:
            self._task = asyncio.create_task(self._watch())
            self._task.add_done_callback(_report_bug)

    def close(self) -> None:
        """Close the source. Any thread, once the engine is closed."""
        if self._task is not None:
            self._task.cancel()
        with self._guard:
            self._closed = True
        self._source.close()

    # -- events of the engine

    def ended(self, code: int) -> None:
        """Report an end, and bring the source back if that is possible."""
        source = self._source
        # BASS_ERROR_HANDLE: the program called BASS_Free. To initialise BASS again is not up to this package.
        reopens = source.open_again is not None and code != ERROR_HANDLE and not source.is_complete()
        self._is_final = not reopens
        if reopens:
            self._log.warning(f"{source.name}: lost: {error_name(code)}; opening it again", _now_s())
            self._lost.set()
        else:
            _log.info("%s: ended: %s", source.name, error_name(code))
        self._on_ended(SourceEnd(code, error_name(code), reopens))

    def replaced(self) -> None:
        """The sender thread has released the former source."""
        self._replaced.set()

    # -- a source that can be opened again

    async def _watch(self) -> None:
        since_s = returned_s = -SETTLED_S
        while True:
            await self._wait_for_loss()
            if _now_s() - returned_s >= SETTLED_S:
                since_s = _now_s()
            await self._bring_back(since_s)
            returned_s = _now_s()

    async def _wait_for_loss(self) -> None:
        position, silent_checks = -1, 0
        while not await _is_set_within(self._lost, CHECK_S):
            before, position = position, self._source.position()
            silent_checks = silent_checks + 1 if position == before and not self._is_final else 0
            if silent_checks == SILENT_CHECKS:  # Connected, but nothing arrives.
                await self._set_source(None, ERROR_TIMEOUT)  # An end, which ``ended`` reports.
        self._lost.clear()

    async def _bring_back(self, since_s: float) -> None:
        lost_s = _now_s()
        reported = False
        while True:
            await asyncio.sleep(
                next_wait_s(_now_s() - since_s, self._source.max_wait_s) * random.uniform(1 - WAIT_SHARE, 1)
            )
            try:
                await self._open()
            except BassWebRtcError as error:
                if not reported:
                    # Its text has the URL, which may contain a password.
                    reason = error.name if isinstance(error, BassError) else error
                    _log.warning("%s: cannot be opened: %s; trying again", self._source.name, reason)
                    reported = True
                continue
            await self._set_source(self._source, 0)
            self._reopenings += 1
            _log.info("%s: returned after %.1f s", self._source.name, _now_s() - lost_s)
            return

    async def _set_source(self, source: OpenSource | None, error: int) -> None:
        self._replaced.clear()
        self.engine.set_source(source.handle if source is not None else None, error)
        await self._replaced.wait()

    async def _open(self) -> None:
        """Open the source on a thread of its own, which ``close`` does not wait for: BASS may block for seconds."""
        done: Future[None] = Future()
        try:
            start_thread(threading.Thread(target=self._reopen, args=(done,), name="bass-webrtc source", daemon=True))
        except RuntimeError as error:  # The system has no thread left: perhaps next time.
            raise BassWebRtcError(str(error)) from error
        await asyncio.wrap_future(done)

    def _reopen(self, done: Future[None]) -> None:
        name_thread("bw-source")
        former = self._source
        assert former.open_again is not None
        try:
            former.close()  # First: a station may count connections, and a device may allow one.
            opened = former.open_again()
        except Exception as error:
            with contextlib.suppress(InvalidStateError):  # Cancelled: the server has stopped.
                done.set_exception(error)
            return
        with self._guard:
            if not self._closed:
                self._source = opened
        if self._source is not opened:
            opened.close()
        with contextlib.suppress(InvalidStateError):
            done.set_result(None)


async def _is_set_within(event: asyncio.Event, seconds: float) -> bool:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            return await event.wait()
    return False


def _report_bug(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        context = {"message": "the source is not watched any more", "exception": error}
        task.get_loop().call_exception_handler(context)


def _now_s() -> float:
    return asyncio.get_running_loop().time()
