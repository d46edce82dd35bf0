"""A server between ``start`` and ``stop``: its engine, loop thread, peers and HTTP port.

Everything is opened in order and closed in reverse order; a ``ServerRun`` exists only while all of it is open.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

from ..bass import InputStream, current_device, error_name
from ..config import IceServerAddress, ServerConfig
from ..core import ChannelUse, Engine
from ..errors import ClosedError, ConfigError
from ..events import EventDispatcher
from ..loop_thread import LoopThread
from ..peer.host import EngineHost
from ..peer.mux import UdpMux
from ..recording import Recording, Recordings
from ..signaling.server.http_server import HttpServer
from ..signaling.server.invites import Invites
from ..signaling.server.sessions import Admit
from ..sources import Source
from ..stats import ChannelStats, PeerStats, ServerStats, talks
from ..version import __version__
from .calls import ServerCalls, record_programme
from .channel import ChannelBase
from .channels import RunningChannel, ServerChannels, close_sources, lateness, open_sources
from .health import Faults, watch
from .http import make_endpoints, make_http_server, make_site
from .peers import ServerPeers

_PRIVATE = 0o700
"""Mode of the folder of recordings: they have what was said in private."""


class ServerRun:
    """A running server. ``open`` and ``close`` run on the loop thread.

    Attributes:
        loop: The loop thread.
        engine: The audio path.
        channels: The channels.
        peers: The peers.
        calls: The calls; None: there are none.
        http: The HTTP port; None with callback signaling.
        udp_port: The UDP port of all peers; 0 with full ICE, where each peer has ports of its own.
        input_stream: The mix of all publishers.
    """

    def __init__(
        self,
        loop: LoopThread,
        host: EngineHost,
        channels: ServerChannels,
        peers: ServerPeers,
        calls: ServerCalls | None,
        recordings: Recordings,
        http: HttpServer | None,
        input_stream: InputStream,
        events: EventDispatcher,
        *,
        udp_port: int,
        closing: AsyncExitStack,
    ) -> None:
        """Call ``open`` instead; ``closing`` closes everything."""
        self.loop = loop
        self.engine = host.engine
        self.peers = peers
        self.calls = calls
        self.http = http
        self._recordings = recordings
        self.input_stream = input_stream
        self.udp_port = udp_port
        self.channels = channels
        self._host = host
        self._events = events
        self._closing = closing
        self._closings: dict[ChannelBase, asyncio.Task[None]] = {}

    @classmethod
    async def open(
        cls,
        loop: LoopThread,
        handles: Sequence[ChannelBase],
        config: ServerConfig,
        ice_servers: Sequence[IceServerAddress],
        events: EventDispatcher,
        admit: Admit,
        invites: Invites,
        call_numbers: Iterator[int],
        for_callers: Mapping[ChannelUse, Source],
    ) -> ServerRun:
        """Open everything, or nothing.

        Args:
            loop: The loop thread, on which nothing else runs.
            handles: The channels, the server's own first. Their sources are opened, and closed with the server.
            config: Settings.
            ice_servers: Those of ``config``.
            events: Delivers events to the program.
            admit: Decides on each WHIP and WHEP request.
            invites: With which guests may call.
            call_numbers: Of calls, each once.
            for_callers: What callers hear besides: the producers' microphone, and what plays while they wait.

        Raises:
            BassWebRtcError: A source or a port cannot be opened.
        """
        faults = Faults(events)
        asyncio.get_running_loop().set_exception_handler(faults.handle)
        async with AsyncExitStack() as stack:
            sources = await open_sources(handles)
            stack.callback(close_sources, sources)  # Those that no channel has.
            channels = ServerChannels.open(config, events, handles[0], sources.popleft())
            stack.callback(channels.close)
            engine = channels.engine
            host = EngineHost(engine, config.max_peers)
            stack.callback(host.close)
            for handle in handles[1:]:
                channels.adopt(handle, sources.popleft())
            stack.push_async_callback(loop.cancel_tasks)
            mux = _open_mux(host, config) if config.signaling_mode != "callback" and not ice_servers else None
            peers = ServerPeers(host, mux, loop, config, tuple(ice_servers), events, channels)
            recordings = _open_recordings(engine, config, loop, faults)
            stack.push_async_callback(_close_recordings, recordings)
            calls = None
            if config.calls is not None:
                calls = ServerCalls(peers, loop, config, events, invites, recordings, call_numbers)
            host.start()
            stack.callback(host.stop)
            channels.start(host)
            for use, source in for_callers.items():
                await channels.set_for_callers(use, source, current_device())
            stack.push_async_callback(peers.end_all, "the server stops")
            if config.record_programme is not None:
                programme = record_programme(recordings, channels.main, config.record_programme, config)
                if calls is not None:
                    calls.programme = programme

            async def collect() -> ServerStats:
                return _snapshot(host, peers, calls, http, await peers.stats_in_steps())

            if calls is not None:
                stack.callback(calls.close)
                stack.callback(asyncio.create_task(calls.count_listeners()).cancel)
            http = _make_http(config, peers, calls, admit, collect, ice_lite=mux is not None)
            if http is not None:
                stack.push_async_callback(http.stop)
                await http.start()
            stack.callback(asyncio.create_task(watch(engine, channels.keep_pace, faults)).cancel)
            input_stream = InputStream(*engine.playout.mix_procedure, decode=config.decode_stream)
            stack.callback(input_stream.close)
            udp_port = mux.port if mux is not None else 0
            return cls(
                loop,
                host,
                channels,
                peers,
                calls,
                recordings,
                http,
                input_stream,
                events,
                udp_port=udp_port,
                closing=stack.pop_all(),
            )

    def set_default_bitrate(self, bitrate_kbps: int) -> None:
        """Change the bitrate of later channels that have none of their own, and of what callers hear."""
        self.channels.set_defaults(bitrate_kbps=bitrate_kbps)
        if self.calls is not None:
            self.calls.set_bitrate(bitrate_kbps)

    def set_default_complexity(self, complexity: int) -> None:
        """Change the complexity likewise."""
        self.channels.set_defaults(complexity=complexity)
        if self.calls is not None:
            self.calls.set_complexity(complexity)

    async def close(self) -> None:
        """End all connections and close everything."""
        await self._closing.aclose()

    async def close_channel(self, handle: ChannelBase, reason: str) -> None:
        """Disconnect the listeners of a channel and remove it. Goes on if the caller is cancelled.

        Waits for a close that is in progress. Does nothing if it was closed before.
        """
        if handle not in self._closings:
            try:
                channel = self.channels.take(handle)
            except ClosedError:
                return
            self._closings[handle] = task = asyncio.create_task(self._remove_channel(channel, reason))
            task.add_done_callback(lambda _: self._closings.pop(handle))
        await asyncio.shield(self._closings[handle])

    async def _remove_channel(self, channel: RunningChannel, reason: str) -> None:
        await self.peers.end_listeners(channel, reason)
        await self.channels.remove(channel)
        self._events.emit("channel_closed", channel.handle, reason)

    async def record_channel(self, handle: ChannelBase, path: str | os.PathLike[str], rotate_s: float) -> Recording:
        """Begin to record a channel.

        Raises:
            ClosedError: It was closed.
        """
        return self._recordings.record_channel(self.channels.of(handle).number, path, handle.name, rotate_s=rotate_s)

    def stats(self) -> ServerStats:
        """Return a snapshot. Any thread."""
        peer_stats = tuple(peer.stats() for peer in self.peers.all)
        return _snapshot(self._host, self.peers, self.calls, self.http, peer_stats)

    def channel_stats(self, handle: ChannelBase) -> ChannelStats:
        """Return a snapshot of one channel. Any thread.

        Raises:
            ClosedError: It was closed.
        """
        channel = self.channels.of(handle)
        return channel.stats(self.peers.listeners()[channel])


def _open_mux(host: EngineHost, config: ServerConfig) -> UdpMux:
    return UdpMux(host, config.udp_port, config.public_ips, announce_local=config.announce_local_addresses)


def _open_recordings(engine: Engine, config: ServerConfig, loop: LoopThread, faults: Faults) -> Recordings:
    def report(recording: Recording, error: OSError) -> None:
        loop.call_soon(faults.report, f"the recording {str(recording.path or '')!r} has ended: {error}", error)

    if config.record_calls is not None:
        try:
            Path(config.record_calls).mkdir(_PRIVATE, parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"record_calls {str(config.record_calls)!r} cannot be made: {error.strerror}") from error
    return Recordings(engine, f"bass-webrtc {__version__}", report)


async def _close_recordings(recordings: Recordings) -> None:
    """Wait for the files; the loop does other work meanwhile, but for the interpreter's exit, when no thread starts."""
    try:
        await asyncio.to_thread(recordings.close)
    except RuntimeError:
        recordings.close()


def _make_http(
    config: ServerConfig,
    peers: ServerPeers,
    calls: ServerCalls | None,
    admit: Admit,
    stats: Callable[[], Awaitable[ServerStats]],
    *,
    ice_lite: bool,
) -> HttpServer | None:
    if config.signaling_mode == "callback":
        return None
    site = make_site(config, peers, stats)
    endpoints = make_endpoints(config, peers, calls, site, admit, ice_lite=ice_lite)
    for endpoint in endpoints:
        peers.on_closed(endpoint.forget)
    return make_http_server(config, endpoints, site, calls)


def _snapshot(
    host: EngineHost,
    peers: ServerPeers,
    calls: ServerCalls | None,
    http: HttpServer | None,
    peer_stats: tuple[PeerStats, ...],
) -> ServerStats:
    channel_stats = peers.channel_stats()
    mixing = host.engine.calls_stats()
    stats = replace(
        snapshot(host.engine, peer_stats, host.replayed_checks),
        calls=len(calls.connected) if calls is not None else 0,
        call_mix_max_us=mixing.mix_max_ns // 1000,
        call_frames_dropped=mixing.frames_dropped,
        peers_refused=peers.refused,
        source_reopenings=sum(channel.source_reopenings for channel in channel_stats),
        channels=channel_stats,
    )
    if http is None:
        return stats
    return replace(
        stats,
        requests_limited=http.requests_limited,
        http_connections=http.open_connections,
        http_connections_refused=http.refused_connections,
    )


def snapshot(engine: Engine, peers: tuple[PeerStats, ...], replayed_checks: int = 0) -> ServerStats:
    """Return the statistics of a server. Any thread.

    Args:
        engine: The audio path.
        peers: The statistics of all peers.
        replayed_checks: Number of replayed ICE checks.
    """
    counters = engine.stats()
    playout = engine.playout.stats()
    receivers = [peer for peer in peers if talks(peer.kind)]
    return ServerStats(
        active_peers=sum(peer.state == "connected" for peer in peers),
        packets_sent=counters.packets_sent,
        packets_received=counters.packets_received,
        bytes_sent=counters.bytes_sent,
        bytes_received=counters.bytes_received,
        frames_sent=counters.frames_sent,
        late_frames=counters.late_frames,
        frames_skipped=counters.frames_skipped,
        encode_errors=counters.encode_errors,
        source_underruns=counters.source_underruns,
        source_ended=bool(counters.source_ended),
        source_ends=counters.source_ends,
        source_error=error_name(counters.source_error) if counters.source_ends else "",
        decode_errors=sum(receiver.decode_errors for receiver in receivers),
        input_buffer_ms=max((receiver.jitter_buffer_ms for receiver in receivers), default=0.0),
        input_is_buffering=any(receiver.is_buffering for receiver in receivers),
        enhanced_publishers=sum(receiver.is_enhanced for receiver in receivers),
        enhanced_samples=sum(receiver.enhanced_samples for receiver in receivers),
        playout_max_us=playout.callback_max_ns // 1000,
        playout_blocked=playout.blocked,
        clipped_samples=playout.clipped_samples,
        send_drops=counters.send_drops,
        datagrams_dropped=counters.datagrams_dropped,
        datagrams_limited=counters.datagrams_limited,
        srtp_errors=counters.srtp_errors,
        events_dropped=counters.events_dropped,
        send_lateness_us=lateness(engine.lateness_us()),
        realtime_priority=bool(counters.realtime_priority),
        replayed_checks=replayed_checks,
        peers=peers,
    )
