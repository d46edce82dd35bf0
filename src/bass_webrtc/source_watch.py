"""The source of a channel: exchanges it, and opens it again when it was lost (the URL of a station, an input).

    sending thread ── ended, with BASS's error code ──► SourceWatch ──► event, log, statistics
                                                          │  waits, longer and longer
    sending thread ◄── the new source, between two frames ─┴─◄─ a thread that opens it, since BASS blocks meanwhile
                                                          ▲
    the program ── another source, cross-faded ───────────┘

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

from .bass import ERROR_ENDED, ERROR_HANDLE, ERROR_TIMEOUT, error_name
from .config import StreamConfig
from .core import Engine, name_thread
from .errors import BassError, BassWebRtcError, ClosedError
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
    """Watches the source of one channel. Loop thread, except for the properties and ``close``.

    Attributes:
        engine: Reads the source.
        channel: Number of the channel.
    """

    def __init__(
        self,
        engine: Engine,
        source: OpenSource,
        on_ended: Callable[[SourceEnd], object] = lambda _: None,
        channel: int = 0,
    ) -> None:
        """
        Args:
            engine: Reads the source.
            source: The source; ``close`` closes it.
            on_ended: Called at each end.
            channel: Number of the channel.
        """
        self.engine = engine
        self.channel = channel
        self._source = source
        self._others: list[OpenSource] = []
        """Sources that wait to be played, and the one that fades out."""
        self._turns = self._newest_turn = 0
        self._on_ended = on_ended
        self._reopenings = 0
        self._is_final = False
        self._lost = asyncio.Event()
        self._exchanges = asyncio.Lock()
        self._replaced = asyncio.Event()
        self._removed = asyncio.Event()
        self._is_fading = self._is_closing = False
        self._ended_in_fade = False
        self._log = LimitedLog(_log)
        self._task: asyncio.Task[None] | None = None
        self._replacements: set[asyncio.Task[None]] = set()

    @classmethod
    def with_engine(
        cls,
        config: StreamConfig,
        max_peers: int,
        source: OpenSource,
        on_ended: Callable[[SourceEnd], object] = lambda _: None,
        fan_out_threads: int | None = None,
    ) -> SourceWatch:
        """Create the engine that reads a source, and the watch of both; nothing runs yet.

        Raises:
            BassWebRtcError: The engine cannot be created. The source is closed then.
        """
        try:
            engine = Engine(config, max_peers, source.handle, fan_out_threads)
        except BaseException:
            source.close()
            raise
        return cls(engine, source, on_ended)

    @property
    def has_source(self) -> bool:
        """Whether there is something to play, though it may have ended. Any thread."""
        return self._source.handle is not None

    @property
    def reopenings(self) -> int:
        """How often the source was opened again. Any thread."""
        return self._reopenings

    @property
    def state(self) -> SourceState:
        """Whether, why and how often the source has ended. Any thread."""
        counters = self.engine.channel_counters(self.channel)
        has_ended = self._is_final and bool(counters.source_ended)
        return SourceState(has_ended, counters.source_error, counters.source_ends)

    def start(self) -> None:
        """Begin to watch, once the engine runs."""
        if self._source.open_again is not None:
            self._task = asyncio.create_task(self._watch())
            self._task.add_done_callback(_report_bug)

    def close(self) -> None:
        """Close the source. Any thread, once the engine is closed or the channel removed."""
        self._stop()
        others, self._others = self._others, []
        for source in (*others, self._source):
            source.close()

    def stop(self) -> None:
        """Stop to watch and to exchange the source: its channel is about to be removed."""
        self._is_closing = True
        self._stop()

    def _stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            self._task = None

    # -- events of the engine

    def ended(self, code: int) -> None:
        """Report an end, and bring the source back if that is possible."""
        if self._is_fading:  # Which of the two it was is known at the end.
            self._ended_in_fade = True
            return
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
        """The sending thread has released the former source."""
        self._is_fading = False
        self._replaced.set()
        counters = self.engine.channel_counters(self.channel) if self._ended_in_fade else None
        self._ended_in_fade = False
        if counters is not None and counters.source_ended:
            self.ended(counters.source_error)

    def removed(self) -> None:
        """The channel is gone: its sources may be closed."""
        self._is_closing = True
        self._removed.set()
        self._replaced.set()

    async def wait_removed(self) -> None:
        """Wait for ``removed``."""
        await self._removed.wait()

    # -- another source

    def take_turn(self) -> int:
        """Return the turn of a source that is about to be opened, for ``set_source``."""
        self._turns += 1
        return self._turns

    async def set_source(
        self, source: OpenSource, fade_ms: int, turn: int, on_played: Callable[[], object] = lambda: None
    ) -> None:
        """Play another source and close the former one after the cross-fade.

        Waits for a fade that is in progress. If there is a source with a later turn by then, this one is closed.

        Args:
            source: The source. Closed if it is not played.
            fade_ms: Length of the cross-fade, 0 to 60,000.
            turn: From ``take_turn``: a source may take longer to open than later ones.
            on_played: Called at the end of the fade; not if the source is not played.

        Raises:
            ClosedError: The channel was closed meanwhile.
        """
        self._newest_turn = max(self._newest_turn, turn)
        self._others.append(source)
        task = asyncio.create_task(self._replace(source, fade_ms, turn, on_played))
        self._replacements.add(task)
        task.add_done_callback(self._replacements.discard)
        await asyncio.shield(task)  # The core finishes the fade, whether the caller waits or not.

    async def _replace(self, source: OpenSource, fade_ms: int, turn: int, on_played: Callable[[], object]) -> None:
        async with self._exchanges:
            if turn < self._newest_turn and not self._is_closing:
                await self._discard(source)
                return
            try:
                former = self._begin_fade(source, fade_ms)
            except BassWebRtcError:
                await self._discard(source)
                raise
            await self._taken()
            on_played()
            self.start()
            await self._discard(former)

    async def _discard(self, source: OpenSource) -> None:
        if source in self._others:  # Otherwise ``close`` was faster.
            self._others.remove(source)
            await asyncio.to_thread(source.close)

    def _begin_fade(self, source: OpenSource, fade_ms: int) -> OpenSource:
        """Return the former source, which fades out."""
        if self._is_closing:
            raise ClosedError("the channel was closed")
        self._hand_over(source, ERROR_ENDED, fade_ms)
        self._stop()
        self._lost.clear()
        former, self._source = self._source, source
        self._others[self._others.index(source)] = former
        self._is_final, self._is_fading = False, True
        return former

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
        async with self._exchanges:
            self._hand_over(source, error, 0)
            await self._taken()

    def _hand_over(self, source: OpenSource | None, error: int, fade_ms: int) -> None:
        self._replaced.clear()
        handle = source.handle if source is not None else None
        self.engine.set_source(handle, error, channel=self.channel, fade_ms=fade_ms)

    async def _taken(self) -> None:
        await self._replaced.wait()
        if self._is_closing:
            raise ClosedError("the channel was closed")

    async def _open(self) -> None:
        former = self._source
        open_again = former.open_again
        assert open_again is not None

        def reopen() -> OpenSource:
            former.close()  # First: a station may count connections, and a device may allow one.
            return open_again()

        self._source = await open_on_thread(reopen)


async def open_on_thread(open_source: Callable[[], OpenSource]) -> OpenSource:
    """Open a source on a thread of its own, which nothing waits for after a cancellation: BASS may block for seconds.

    Args:
        open_source: Opens it. What it opens after a cancellation is closed.

    Raises:
        BassWebRtcError: The system has no thread left, or ``open_source`` has raised it.
    """
    done: Future[OpenSource] = Future()
    thread = threading.Thread(target=_open_into, args=(done, open_source), name="bass-webrtc source", daemon=True)
    try:
        start_thread(thread)
    except RuntimeError as error:
        raise BassWebRtcError(str(error)) from error
    try:
        return await asyncio.wrap_future(done)
    except asyncio.CancelledError:
        if not done.cancel() and done.exception() is None:
            done.result().close()
        raise


def _open_into(done: Future[OpenSource], open_source: Callable[[], OpenSource]) -> None:
    name_thread("bw-source")
    try:
        opened = open_source()
    except Exception as error:
        with contextlib.suppress(InvalidStateError):  # Cancelled.
            done.set_exception(error)
        return
    try:
        done.set_result(opened)
    except InvalidStateError:
        opened.close()


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
