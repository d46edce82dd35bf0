"""The same objects for asyncio: every call that blocks has an awaitable twin of the same name.

    async with bw.aio.Server(bw.Tone()) as server:
        await server.start()

Callbacks of ``on`` still run on the thread of the events; ``loop.call_soon_threadsafe`` brings them to the loop.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from .client import clients
from .config import IceServer, ServerConfig
from .errors import BassWebRtcError
from .events import Callback
from .server import server as blocking
from .server.peer import Peer
from .signaling.server.sessions import PeerRequest
from .sources import Source
from .stats import Kind, PeerStats, ServerStats

_LOOK_EVERY_S = 0.02


class Server:
    """``bass_webrtc.Server`` with ``start``, ``stop`` and ``close`` to be awaited."""

    def __init__(self, source: Source, config: ServerConfig | None = None) -> None:
        """See ``bass_webrtc.Server``."""
        self._server = blocking.Server(source, config)

    async def start(self) -> None:
        """Opens the source and the ports and sends; returns when the HTTP port answers."""
        await asyncio.to_thread(self._server.start)

    async def stop(self) -> None:
        """Says goodbye to all peers and closes the ports. ``start`` may follow. Idempotent."""
        await asyncio.to_thread(self._server.stop)

    async def close(self) -> None:
        """Stops for good. Idempotent."""
        await asyncio.to_thread(self._server.close)

    @property
    def config(self) -> ServerConfig:
        """The settings."""
        return self._server.config

    @property
    def admit(self) -> Callable[[PeerRequest], bool | str] | None:
        """Asked before anybody connects, on the thread of the events."""
        return self._server.admit

    @admit.setter
    def admit(self, admit: Callable[[PeerRequest], bool | str] | None) -> None:
        self._server.admit = admit

    @property
    def url(self) -> str:
        """Where the page is; empty while it does not run."""
        return self._server.url

    @property
    def udp_port(self) -> int:
        """The UDP port of all peers; 0 while it does not run."""
        return self._server.udp_port

    @property
    def peers(self) -> tuple[Peer, ...]:
        """Who is connected, or about to be."""
        return self._server.peers

    async def add_peer(self, offer_sdp: str) -> tuple[Peer, str]:
        """Answers an offer that the program brought; see ``bass_webrtc.Server.add_peer``."""
        return await asyncio.to_thread(self._server.add_peer, offer_sdp)

    async def create_offer(self, kind: Kind = "sendrecv") -> tuple[Peer, str]:
        """Makes an offer for the program to bring to a peer; see ``bass_webrtc.Server.create_offer``.

        The peer's ``set_answer`` and ``add_ice_candidate`` never wait, so they are called as they are.
        """
        return await asyncio.to_thread(self._server.create_offer, kind)

    async def remove_peer(self, peer_id: int) -> None:
        """Says goodbye to a peer; see ``bass_webrtc.Server.remove_peer``."""
        await asyncio.to_thread(self._server.remove_peer, peer_id)

    @property
    def input_stream(self) -> int:
        """HSTREAM: the mix of all publishers; see ``bass_webrtc.Server.input_stream``."""
        return self._server.input_stream

    def read_input(self, frames: int) -> NDArray[np.float32]:
        """The next samples of the mix; never waits. See ``bass_webrtc.Server.read_input``."""
        return self._server.read_input(frames)

    def set_bitrate(self, bitrate_kbps: int) -> None:
        """Changes the bitrate of the Opus stream; never waits. See ``bass_webrtc.Server.set_bitrate``."""
        self._server.set_bitrate(bitrate_kbps)

    def set_complexity(self, complexity: int) -> None:
        """Changes what the Opus encoder spends; never waits. See ``bass_webrtc.Server.set_complexity``."""
        self._server.set_complexity(complexity)

    @property
    def engine_address(self) -> int:
        """Of the core's ``bw_engine``, for C code that reads statistics; see ``bass_webrtc.Server.engine_address``."""
        return self._server.engine_address

    def stats(self) -> ServerStats:
        """A snapshot; the last one after ``stop``."""
        return self._server.stats()

    def on(self, event: str, callback: Callback) -> Callable[[], None]:
        """Calls ``callback`` at each ``event``; see ``bass_webrtc.Server.on``."""
        return self._server.on(event, callback)

    async def __aenter__(self) -> Server:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


class _Client:
    """What both clients share."""

    def __init__(self, client: clients.WhipClient | clients.WhepClient) -> None:
        self._client = client

    async def start(self) -> None:
        """Opens the source and begins to connect; ``wait_connected`` waits for it. Nothing if it runs already."""
        await asyncio.to_thread(self._client.start)

    async def stop(self) -> None:
        """Ends the session at the server and lets go of everything. ``start`` may follow. Idempotent."""
        await asyncio.to_thread(self._client.stop)

    async def close(self) -> None:
        """Stops for good. Idempotent."""
        await asyncio.to_thread(self._client.close)

    @property
    def connected(self) -> bool:
        """Whether audio flows, or could."""
        return self._client.connected

    @property
    def running(self) -> bool:
        """Whether it was started, and not stopped since."""
        return self._client.running

    @property
    def last_error(self) -> BassWebRtcError | None:
        """Why the newest attempt failed; None before the first one, and while connected."""
        return self._client.last_error

    async def wait_connected(self, timeout_s: float | None = None) -> bool:
        """Waits until it is connected; False when the time is up. See ``bass_webrtc.WhipClient.wait_connected``."""
        loop = asyncio.get_running_loop()
        deadline_s = None if timeout_s is None else loop.time() + timeout_s
        # Asked again and again, and not on a thread: one that waits for ever could not be cancelled.
        while not self._client.wait_connected(0.0):
            if not self._client.running or (deadline_s is not None and loop.time() >= deadline_s):
                return False
            await asyncio.sleep(_LOOK_EVERY_S)
        return True

    def stats(self) -> PeerStats:
        """A snapshot of the connection; an empty one while there is none."""
        return self._client.stats()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


class WhipClient(_Client):
    """``bass_webrtc.WhipClient`` with ``start``, ``wait_connected``, ``stop`` and ``close`` to be awaited."""

    _client: clients.WhipClient

    def __init__(
        self,
        source: Source,
        url: str,
        token: str | None = None,
        bitrate_kbps: int = 128,
        ice_servers: Sequence[IceServer] = (),
        reconnect: bool = True,
        *,
        trusted_origins: Sequence[str] = (),
        forbid_private: bool = False,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """See ``bass_webrtc.WhipClient``."""
        super().__init__(
            clients.WhipClient(
                source,
                url,
                token,
                bitrate_kbps,
                ice_servers,
                reconnect,
                trusted_origins=trusted_origins,
                forbid_private=forbid_private,
                tls=tls,
            )
        )

    @property
    def source_ended(self) -> bool:
        """Whether the source has played to its end; silence is sent since then."""
        return self._client.source_ended


class WhepClient(_Client):
    """``bass_webrtc.WhepClient`` with ``start``, ``wait_connected``, ``stop`` and ``close`` to be awaited."""

    _client: clients.WhepClient

    def __init__(
        self,
        url: str,
        token: str | None = None,
        buffer_ms: int = 100,
        decode_stream: bool = False,
        ice_servers: Sequence[IceServer] = (),
        reconnect: bool = True,
        *,
        trusted_origins: Sequence[str] = (),
        forbid_private: bool = False,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """See ``bass_webrtc.WhepClient``."""
        super().__init__(
            clients.WhepClient(
                url,
                token,
                buffer_ms,
                decode_stream,
                ice_servers,
                reconnect,
                trusted_origins=trusted_origins,
                forbid_private=forbid_private,
                tls=tls,
            )
        )

    @property
    def stream(self) -> int:
        """HSTREAM; see ``bass_webrtc.WhepClient.stream``."""
        return self._client.stream

    def read(self, frames: int) -> NDArray[np.float32]:
        """The next samples; never waits. See ``bass_webrtc.WhepClient.read``."""
        return self._client.read(frames)
