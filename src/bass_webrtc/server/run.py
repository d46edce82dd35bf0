"""A server between ``start`` and ``stop``: the engine, the loop thread, the peers and the HTTP port."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from ..bass import InputStream
from ..config import IceServerAddress, ServerConfig
from ..core import Engine
from ..events import EventDispatcher
from ..loop_thread import LoopThread
from ..peer.connection import Connection
from ..peer.mux import UdpMux
from ..signaling.server.endpoint import Endpoint
from ..signaling.server.http_server import HttpServer
from ..signaling.server.sessions import Admit
from ..sources import OpenSource, Source, open_for_core
from ..stats import ServerStats
from .health import Faults, watch
from .http import make_endpoints, make_http_server
from .peers import ServerPeers
from .stats_snapshot import is_healthy, snapshot


class ServerRun:
    """What exists between ``start`` and ``stop``."""

    def __init__(
        self,
        source: OpenSource,
        config: ServerConfig,
        ice_servers: Sequence[IceServerAddress],
        events: EventDispatcher,
        admit: Admit,
    ) -> None:
        self.http: HttpServer | None = None
        self._admit = admit
        self._source = source
        self._config = config
        self._events = events
        self._ice_servers = tuple(ice_servers)
        self._endpoints: list[Endpoint] = []
        self.engine = Engine(config, source.handle)
        self.input_stream = InputStream(*self.engine.playout.mix_procedure, decode=config.decode_stream)
        self._faults = Faults(events)
        self._watching: asyncio.Task[None] | None = None
        self.loop = LoopThread("bass-webrtc loop", self._faults.handle)

    @classmethod
    def open(
        cls,
        source: Source,
        config: ServerConfig,
        ice_servers: Sequence[IceServerAddress],
        events: EventDispatcher,
        admit: Admit,
    ) -> ServerRun:
        """Opens everything, or nothing."""
        opened = open_for_core(source)
        try:
            run = cls(opened, config, ice_servers, events, admit)
        except BaseException:
            opened.close()
            raise
        events.start()
        try:
            run.loop.run(run._start())
        except BaseException:
            run.close()
            raise
        return run

    async def _start(self) -> None:
        config = self._config
        needs_port = config.signaling_mode != "callback" and not self._ice_servers
        port = config.udp_port if needs_port else None
        self.mux = UdpMux(
            self.engine,
            port,
            config.max_peers,
            config.public_ips,
            announces_own=config.announce_local_addresses,
        )
        has_source = self._source.handle is not None
        self.peers = ServerPeers(
            self.mux, self.loop, config, self._ice_servers, self._events, self._forget, has_source=has_source
        )
        if config.signaling_mode != "callback":
            self._endpoints = make_endpoints(config, self.peers, self._admit, ice_lite=not self._ice_servers)
            self.http = make_http_server(config, self._endpoints, self.stats, self._is_healthy)
        self.engine.start()
        self.mux.start(lambda: self._events.emit("source_ended"))
        self._watching = asyncio.create_task(watch(self.engine, self._is_healthy, self._faults))
        if self.http is not None:
            await self.http.start()

    def close(self) -> None:
        """Closes what is open, in the order in which nobody misses anything."""
        self.input_stream.close()
        self.loop.run(self._stop())
        self.loop.stop()
        self.engine.close()
        mux = getattr(self, "mux", None)
        if mux is not None:
            self.peers.close()
            mux.close()
        self._source.close()
        self._events.stop()

    async def _stop(self) -> None:
        """Also after a start that failed half way."""
        if self._watching is not None:
            self._watching.cancel()
        if self.http is not None:
            await self.http.stop()
        if hasattr(self, "mux"):
            await self.peers.end_all("the server stops")
            self.mux.stop()

    def _forget(self, connection: Connection) -> None:
        for endpoint in self._endpoints:
            endpoint.forget(connection)

    # -- statistics: any thread

    def stats(self) -> ServerStats:
        """A snapshot."""
        return snapshot(self.engine, tuple(peer.stats() for peer in self.peers.all), self.mux.srtcp_errors)

    def _is_healthy(self) -> bool:
        return is_healthy(self.engine, self._config.frame_ms)
