"""The channels of a running server: a source, its encodings and a sending thread each, on one engine.

    add ──► open the source (thread) ──► Engine.add_channel ──► SourceWatch ──► listeners
    close ─► no new listeners ─► the listeners end ─► Engine.remove_channel ─► ChannelRemoved ─► close the source

``ServerChannels`` opens, finds and removes them; ``ServerPeers`` connects their listeners.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from ..bass import current_device, error_name, select_device
from ..config import MAIN, ServerConfig
from ..core import ChannelSettings, ChannelUse, Engine
from ..errors import BassWebRtcError, ClosedError, ConfigError
from ..events import EventDispatcher
from ..peer.host import EngineHost
from ..source_watch import SourceWatch, open_on_thread
from ..sources import OpenSource, Source, SourceEnd, open_for_core
from ..stats import ChannelStats, Lateness
from .channel import ChannelBase

_BEHIND_S = 1.0
_MAX_EXPECTED_LOSS_PERCENT = 30


class SendingChannel:
    """What peers are sent; implements ``SentChannel``. Also what one caller hears.

    Attributes:
        name: Name of the channel that it is, or is made from.
        number: Its number in the engine.
        bitrates_bps: Bitrates of its encodings, the highest first.
    """

    def __init__(self, name: str, number: int, settings: ChannelSettings, engine: Engine) -> None:
        """
        Args:
            name: Name of the channel.
            number: Its number in the engine.
            settings: Its encodings.
            engine: The audio path.
        """
        self.name = name
        self.number = number
        self.bitrates_bps = settings.bitrates_bps
        self._engine = engine
        self._expected_loss_percent = [0] * len(self.bitrates_bps)

    def set_bitrate(self, bitrate_kbps: int) -> None:
        """Change the bitrate of the first encoding, which the limits in later descriptions are compared with."""
        self.bitrates_bps = (bitrate_kbps * 1000, *self.bitrates_bps[1:])
        self._engine.set_bitrate(bitrate_kbps * 1000, self.number)

    def expect_loss(self, encoding: int, fractions_lost: list[float]) -> None:
        """Tell an encoder the mean loss of its listeners.

        Args:
            encoding: The encoding.
            fractions_lost: What its listeners have reported, 0 to 1 each.
        """
        mean = sum(fractions_lost) / len(fractions_lost) if fractions_lost else 0.0
        percent = min(round(100 * mean), _MAX_EXPECTED_LOSS_PERCENT)
        if percent != self._expected_loss_percent[encoding]:
            self._expected_loss_percent[encoding] = percent
            self._engine.set_expected_loss(percent, self.number, encoding)


class RunningChannel(SendingChannel):
    """One channel between its opening and its removal.

    Attributes:
        name: Its name.
        number: Its number in the engine.
        bitrates_bps: Bitrates of its encodings, the highest first.
        handle: What the program knows it by.
        watch: Its source.
    """

    def __init__(self, handle: ChannelBase, watch: SourceWatch, settings: ChannelSettings, frame_ms: int) -> None:
        """
        Args:
            handle: What the program knows it by.
            watch: Its source.
            settings: Its encodings.
            frame_ms: Duration of an Opus frame.
        """
        super().__init__(handle.name, watch.channel, settings, watch.engine)
        self.handle = handle
        self.watch = watch
        self._frame_ms = frame_ms
        self._opened_s = self._engine.running_s(time.perf_counter())

    @property
    def has_source(self) -> bool:
        """Whether there is something to play. Any thread."""
        return self.watch.has_source

    def check_bitrate(self, bitrate_kbps: int) -> None:
        """Check a bitrate of the first encoding: the others are those of the start. Any thread.

        Raises:
            ConfigError: It is not above that of the second encoding.
        """
        for second_bps in self.bitrates_bps[1:2]:
            if bitrate_kbps * 1000 <= second_bps:
                wrong = f"bitrate_kbps is {bitrate_kbps}, and channel {self.name!r} has a second encoding"
                raise ConfigError(f"{wrong}; expected more than its {second_bps // 1000}, which stays until the stop")

    def set_bitrate(self, bitrate_kbps: int) -> None:
        """Change the bitrate of the first encoding, which the limits in later descriptions are compared with.

        Raises:
            ConfigError: It is not above that of the second encoding.
        """
        self.check_bitrate(bitrate_kbps)
        super().set_bitrate(bitrate_kbps)

    def keeps_pace(self) -> bool:
        """Return whether its sending thread is less than a second behind the clock. Any thread."""
        counters = self._engine.channel_counters(self.number)
        sent_s = (counters.frames_sent + counters.frames_skipped) * self._frame_ms / 1000
        return sent_s > self._engine.running_s(time.perf_counter()) - self._opened_s - _BEHIND_S

    def stats(self, listeners: int) -> ChannelStats:
        """Return a snapshot. Any thread."""
        counters = self._engine.channel_counters(self.number)
        return ChannelStats(
            name=self.name,
            bitrates_kbps=tuple(bps // 1000 for bps in self.bitrates_bps),
            listeners=listeners,
            packets_sent=counters.packets_sent,
            bytes_sent=counters.bytes_sent,
            frames_sent=counters.frames_sent,
            late_frames=counters.late_frames,
            frames_skipped=counters.frames_skipped,
            encode_errors=counters.encode_errors,
            send_drops=counters.send_drops,
            source_underruns=counters.source_underruns,
            source_ended=bool(counters.source_ended),
            source_ends=counters.source_ends,
            source_reopenings=self.watch.reopenings,
            source_error=error_name(counters.source_error) if counters.source_ends else "",
            send_lateness_us=lateness(self._engine.lateness_us(self.number)),
        )


class ServerChannels:
    """The channels between a server's ``start`` and ``stop``. Loop thread, unless stated otherwise.

    Attributes:
        engine: The audio path.
    """

    def __init__(self, engine: Engine, config: ServerConfig, events: EventDispatcher) -> None:
        """Call ``open`` instead."""
        self.engine = engine
        self._config = config
        self._events = events
        self._host: EngineHost | None = None
        self._running: dict[str, RunningChannel] = {}
        self._closing: set[RunningChannel] = set()
        self._for_callers: dict[ChannelUse, SourceWatch] = {}
        """Channels without name and listeners, by what callers hear them as."""
        self._for_callers_guard = asyncio.Lock()

    @classmethod
    def open(
        cls, config: ServerConfig, events: EventDispatcher, main: ChannelBase, source: OpenSource
    ) -> ServerChannels:
        """Create the engine that reads the source of the first channel; nothing runs yet.

        Args:
            config: Settings of the server.
            events: Delivers events to the program.
            main: The first channel.
            source: Its source; closed if that fails.

        Raises:
            BassWebRtcError: The engine cannot be opened.
        """
        watch = SourceWatch.with_engine(
            config,
            config.max_peers,
            source,
            functools.partial(_report_end, events, main.name),
            config.fan_out_threads,
        )
        channels = cls(watch.engine, config, events)
        channels._keep(main, watch, ChannelSettings.of(config))
        return channels

    def start(self, host: EngineHost) -> None:
        """Begin to watch the sources: the engine runs."""
        self._host = host
        for channel in self:
            self._watch(channel)

    def close(self) -> None:
        """Close all sources. Once the engine is closed."""
        for channel in (*self._running.values(), *self._closing):
            channel.watch.close()
        for watch in self._for_callers.values():
            watch.close()

    # -- the channels: any thread

    def __iter__(self) -> Iterator[RunningChannel]:
        return iter(tuple(self._running.values()))

    @property
    def names(self) -> tuple[str, ...]:
        """The names, in order."""
        return tuple(self._running)

    @property
    def main(self) -> RunningChannel:
        """The server's own channel."""
        return self._running[MAIN]

    def find(self, name: str) -> RunningChannel:
        """Return a channel.

        Raises:
            ConfigError: There is no such channel.
        """
        found = self._running.get(name) if isinstance(name, str) else None
        if found is None:
            raise ConfigError(f"there is no channel {name!r}; expected one of {', '.join(self.names)}")
        return found

    def of(self, handle: ChannelBase) -> RunningChannel:
        """Return the channel that the program knows by this handle.

        Raises:
            ClosedError: It was closed.
        """
        found = self._running.get(handle.name)
        if found is None or found.handle is not handle:
            raise ClosedError(f"channel {handle.name!r} was closed")
        return found

    def keep_pace(self) -> bool:
        """Return whether every sending thread is less than a second behind the clock."""
        return all(channel.keeps_pace() for channel in self)

    # -- adding and removing

    async def add(self, handle: ChannelBase, device: int | None) -> None:
        """Open a channel's source and start its sending thread.

        Args:
            handle: What the program knows it by.
            device: The BASS device to open it on.

        Raises:
            BassWebRtcError: The source or the channel cannot be opened.
        """
        self.adopt(handle, await _open_for(handle, device))

    def adopt(self, handle: ChannelBase, source: OpenSource) -> None:
        """Add a channel whose source is open; it is closed if that fails."""
        settings = ChannelSettings.of(self._config, handle.config)
        try:
            number = self.engine.add_channel(settings, source.handle)
        except BaseException:
            source.close()
            raise
        on_ended = functools.partial(_report_end, self._events, handle.name)
        channel = self._keep(handle, SourceWatch(self.engine, source, on_ended, number), settings)
        if self._host is not None:
            self._watch(channel)

    def _keep(self, handle: ChannelBase, watch: SourceWatch, settings: ChannelSettings) -> RunningChannel:
        channel = self._running[handle.name] = RunningChannel(handle, watch, settings, self._config.frame_ms)
        return channel

    def _watch(self, channel: RunningChannel) -> None:
        assert self._host is not None
        self._host.observe_channel(channel.number, channel.watch)
        channel.watch.start()

    def take(self, handle: ChannelBase) -> RunningChannel:
        """Return a channel that is about to be removed. From now on nobody finds it."""
        channel = self.of(handle)
        del self._running[handle.name]
        self._closing.add(channel)
        channel.watch.stop()
        return channel

    async def remove(self, channel: RunningChannel) -> None:
        """Stop the sending thread of a channel that has no listeners, and close its source."""
        self.engine.remove_channel(channel.number)
        await channel.watch.wait_removed()
        self._closing.discard(channel)
        await asyncio.to_thread(channel.watch.close)

    # -- changes

    @property
    def defaults(self) -> ChannelSettings:
        """The present settings of the server, for what has none of its own."""
        return ChannelSettings.of(self._config)

    def set_defaults(self, **changes: Any) -> None:
        """Change settings of the server that channels without their own get when they are added."""
        self._config = replace(self._config, **changes)

    async def set_source(self, handle: ChannelBase, source: Source, fade_ms: int, device: int | None) -> None:
        """Open another source and cross-fade to it; see ``Channel.set_source``."""
        watch = self.of(handle).watch
        turn = watch.take_turn()
        opened = await _open(source, device)
        await watch.set_source(opened, fade_ms, turn, functools.partial(setattr, handle, "source", source))

    async def set_for_callers(self, use: ChannelUse, source: Source, device: int | None) -> None:
        """Open what callers hear as the producers' microphone or while they wait; see ``Server.set_talkback``."""
        async with self._for_callers_guard:
            opened = await _open(source, device)
            watch = self._for_callers.get(use)
            if watch is None:
                watch = self._for_callers[use] = self._open_for_callers(opened)
            else:
                await watch.set_source(opened, 0, watch.take_turn())
            self.engine.set_use(watch.channel, "plain" if source is None else use)

    def _open_for_callers(self, opened: OpenSource) -> SourceWatch:
        assert self._host is not None, "called between start and close"
        try:
            number = self.engine.add_channel(self.defaults, opened.handle)
        except BaseException:
            opened.close()
            raise
        watch = SourceWatch(self.engine, opened, functools.partial(_report_end, self._events, ""), number)
        self._host.observe_channel(number, watch)
        watch.start()
        return watch

    def set_bitrate(self, handle: ChannelBase, bitrate_kbps: int) -> None:
        """Change the bitrate of a channel's first encoding; ignored if it was closed meanwhile."""
        with contextlib.suppress(ClosedError):
            self.of(handle).set_bitrate(bitrate_kbps)

    def set_complexity(self, handle: ChannelBase, complexity: int) -> None:
        """Change the complexity of a channel's encoders; ignored if it was closed meanwhile."""
        with contextlib.suppress(ClosedError):
            self.engine.set_complexity(complexity, self.of(handle).number)


def lateness(lateness_us: list[int]) -> Lateness:
    """Return the quantiles of what ``Engine.lateness_us`` returns."""
    if not lateness_us:
        return Lateness()
    ordered = sorted(lateness_us)
    p50, p99 = (ordered[int((len(ordered) - 1) * share)] for share in (0.5, 0.99))
    return Lateness(p50, p99, ordered[-1])


def _report_end(events: EventDispatcher, name: str, end: SourceEnd) -> None:
    events.emit("source_ended", replace(end, channel=name))


async def open_sources(handles: Sequence[ChannelBase]) -> deque[OpenSource]:
    """Open the sources of channels at the same time, on the BASS device of the calling thread: all, or none.

    Ten stations that do not answer then cost the time-out of one.

    Raises:
        BassWebRtcError: A source cannot be opened.
    """
    device = current_device()
    openings = [asyncio.create_task(_open_for(handle, device)) for handle in handles]
    try:
        await asyncio.wait(openings)  # Also after an error: nothing may be left open.
        return deque([opening.result() for opening in openings])
    except BaseException:
        for opening in openings:
            opening.cancel()
        for opened in await asyncio.gather(*openings, return_exceptions=True):
            if not isinstance(opened, BaseException):
                opened.close()
        raise


def close_sources(sources: deque[OpenSource]) -> None:
    """Close sources and remove them."""
    while sources:
        sources.popleft().close()


async def _open_for(handle: ChannelBase, device: int | None) -> OpenSource:
    """Open a channel's source. An error says which channel it is: a start opens those of all channels."""
    try:
        return await _open(handle.source, device)
    except BassWebRtcError as error:
        if handle.name != MAIN:
            error.args = (f"channel {handle.name!r}: {error}",)
        raise


async def _open(source: Source, device: int | None) -> OpenSource:
    def open_source() -> OpenSource:
        select_device(device)
        return open_for_core(source)

    return await open_on_thread(open_source)
