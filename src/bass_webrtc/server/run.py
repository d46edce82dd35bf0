"""A server between ``start`` and ``stop``: its engine, loop thread, peers and HTTP port.

Everything is opened in order and closed in reverse order; a ``ServerRun`` exists only while all of it is open.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace

from ..bass import InputStream, error_name
from ..config import IceServerAddress, ServerConfig
from ..core import Engine
from ..events import EventDispatcher
from ..loop_thread import LoopThread
from ..peer.host import EngineHost
from ..peer.mux import UdpMux
from ..signaling.server.http_server import HttpServer
from ..signaling.server.sessions import Admit
from ..source_watch import SourceWatch
from ..sources import OpenSource
from ..stats import Lateness, PeerStats, ServerStats, talks
from .health import Faults, is_healthy, watch
from .http import make_endpoints, make_http_server
from .peers import ServerPeers


class ServerRun:
    """A running server. ``open`` and ``close`` run on the loop thread.

    Attributes:
        loop: The loop thread.
        engine: The audio path.
        source_watch: Watches the source.
        peers: The peers.
        http: The HTTP port; None with callback signaling.
        udp_port: The UDP port of all peers; 0 with full ICE, where each peer has ports of its own.
        input_stream: The mix of all publishers.
    """

    def __init__(
        self,
        loop: LoopThread,
        host: EngineHost,
        watch: SourceWatch,
        peers: ServerPeers,
        http: HttpServer | None,
        input_stream: InputStream,
        *,
        udp_port: int,
        closing: AsyncExitStack,
    ) -> None:
        """Call ``open`` instead; ``closing`` closes everything."""
        self.loop = loop
        self.engine = host.engine
        self.peers = peers
        self.http = http
        self.input_stream = input_stream
        self.udp_port = udp_port
        self._host = host
        self.source_watch = watch
        self._closing = closing

    @classmethod
    async def open(
        cls,
        loop: LoopThread,
        source: OpenSource,
        config: ServerConfig,
        ice_servers: Sequence[IceServerAddress],
        events: EventDispatcher,
        admit: Admit,
    ) -> ServerRun:
        """Open everything, or nothing.

        Args:
            loop: The loop thread, on which nothing else runs.
            source: What to send, opened by the caller. Closed with the server.
            config: Settings.
            ice_servers: Those of ``config``.
            events: Delivers events to the program.
            admit: Decides on each WHIP and WHEP request.

        Raises:
            BassWebRtcError: A port cannot be opened. The source is closed then.
        """
        faults = Faults(events)
        asyncio.get_running_loop().set_exception_handler(faults.handle)
        async with AsyncExitStack() as stack:
            on_ended = functools.partial(events.emit, "source_ended")
            source_watch = SourceWatch.with_engine(config, config.max_peers, source, on_ended)
            stack.callback(source_watch.close)
            engine = source_watch.engine
            host = EngineHost(engine, config.max_peers, source_watch.ended, source_watch.replaced)
            stack.callback(host.close)
            stack.push_async_callback(loop.cancel_tasks)
            mux = _open_mux(host, config) if config.signaling_mode != "callback" and not ice_servers else None
            has_source = source.handle is not None
            peers = ServerPeers(host, mux, loop, config, tuple(ice_servers), events, has_source=has_source)
            healthy = functools.partial(is_healthy, engine, config.frame_ms)
            host.start()
            stack.callback(host.stop)
            source_watch.start()
            stack.push_async_callback(peers.end_all, "the server stops")

            async def collect() -> ServerStats:
                return _snapshot(host, source_watch, peers, http, await peers.stats_in_steps())

            http = _make_http(config, peers, admit, collect, healthy, ice_lite=mux is not None)
            if http is not None:
                stack.push_async_callback(http.stop)
                await http.start()
            stack.callback(asyncio.create_task(watch(engine, healthy, faults)).cancel)
            input_stream = InputStream(*engine.playout.mix_procedure, decode=config.decode_stream)
            stack.callback(input_stream.close)
            udp_port = mux.port if mux is not None else 0
            return cls(loop, host, source_watch, peers, http, input_stream, udp_port=udp_port, closing=stack.pop_all())

    async def close(self) -> None:
        """End all connections and close everything."""
        await self._closing.aclose()

    def stats(self) -> ServerStats:
        """Return a snapshot. Any thread."""
        peer_stats = tuple(peer.stats() for peer in self.peers.all)
        return _snapshot(self._host, self.source_watch, self.peers, self.http, peer_stats)


def _open_mux(host: EngineHost, config: ServerConfig) -> UdpMux:
    return UdpMux(host, config.udp_port, config.public_ips, announce_local=config.announce_local_addresses)


def _make_http(
    config: ServerConfig,
    peers: ServerPeers,
    admit: Admit,
    stats: Callable[[], Awaitable[ServerStats]],
    healthy: Callable[[], bool],
    *,
    ice_lite: bool,
) -> HttpServer | None:
    if config.signaling_mode == "callback":
        return None
    endpoints = make_endpoints(config, peers, admit, ice_lite=ice_lite)
    for endpoint in endpoints:
        peers.on_closed(endpoint.forget)
    return make_http_server(config, endpoints, stats, healthy)


def _snapshot(
    host: EngineHost,
    source_watch: SourceWatch,
    peers: ServerPeers,
    http: HttpServer | None,
    peer_stats: tuple[PeerStats, ...],
) -> ServerStats:
    stats = replace(
        snapshot(host.engine, peer_stats, host.replayed_checks),
        peers_refused=peers.refused,
        source_reopenings=source_watch.reopenings,
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
        send_lateness_us=_lateness(engine.lateness_us()),
        realtime_priority=bool(counters.realtime_priority),
        replayed_checks=replayed_checks,
        peers=peers,
    )


def _lateness(lateness_us: list[int]) -> Lateness:
    if not lateness_us:
        return Lateness()
    ordered = sorted(lateness_us)
    p50, p99 = (ordered[int((len(ordered) - 1) * share)] for share in (0.5, 0.99))
    return Lateness(p50, p99, ordered[-1])
