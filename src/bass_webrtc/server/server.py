"""START HERE: ``Server``, the one place where the audio path (C) and the control plane (Python) meet.

    source ─► Engine (core: encode once, send to all) ─────────────────────────────► browsers
    BASS   ◄─ Playout (core: jitter buffers, mix) ◄──────────────────────────────────┘  │
                 ▲ keys, addresses                                                      │
    HTTP ─► Endpoints (WHIP, WHEP) ─► ServerPeers ─► LiteConnection ◄─ UdpMux ◄── STUN, DTLS, RTCP
    the program (add_peer …) ────────────┘     └───► FullPeer (any NAT) ◄─ aioice ◄──────┘

The public methods may be called from any thread. Everything else lives on the loop thread.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from dataclasses import replace
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from .. import exit_closing
from ..config import CHANNELS, ServerConfig, parse_ice_server
from ..errors import ClosedError
from ..events import Callback, EventDispatcher
from ..loop_thread import LoopThread
from ..signaling.server.sessions import PeerRequest
from ..sources import Source, check_source, open_for_core
from ..stats import Kind, ServerStats
from .peer import Peer, check_text
from .run import ServerRun

_EVENTS = ("peer_connected", "peer_disconnected", "peer_state", "source_ended", "error", "sdp", "ice_candidate")


class Server:
    """Sends one source to browsers and other WebRTC players, and gives the program what publishers send.

    A context manager: leaving it closes. What is still open at the interpreter's exit is closed then.

    Attributes:
        config: The settings.
        admit: ``callable(PeerRequest) -> bool | str``, asked before anybody connects; a string is the reason that is
            sent with 403. It runs on the events' thread, so a slow one delays events and newcomers. None: everybody.
    """

    def __init__(self, source: Source, config: ServerConfig | None = None) -> None:
        """
        Args:
            source: A BASS handle, ``BassFile``, ``Tone``, ``PcmSource``, or None for nothing to send.
            config: Settings; ``ServerConfig()`` by default.

        Raises:
            ConfigError: The source is none of these, or an ICE server's URL cannot be used.
        """
        check_source(source)
        self.config = config or ServerConfig()
        self._ice_servers = [parse_ice_server(one.url, one.username, one.credential) for one in self.config.ice_servers]
        self.admit: Callable[[PeerRequest], bool | str] | None = None
        self._source = source
        self._events = EventDispatcher(_EVENTS)
        self._lock = threading.Lock()  # start, stop and close exclude one another.
        self._run: ServerRun | None = None
        self._last_stats = ServerStats()
        self._closed = False
        exit_closing.register(self)

    def start(self) -> None:
        """Opens the source and the ports and sends; returns when the HTTP port answers. Nothing if it runs already.

        With callback signaling no port is opened: peers get ports of their own when they come.

        Raises:
            BassWebRtcError: It cannot; the message says why and what to do. Nothing is left open.
            ClosedError: ``close`` was called.
        """
        with self._lock:
            if self._closed:
                raise ClosedError("the server was closed; make a new one")
            if self._run is None:
                self._run = self._open()

    def _open(self) -> ServerRun:
        source = open_for_core(self._source)
        loop = LoopThread("bass-webrtc loop")
        self._events.start()
        try:
            return loop.run(ServerRun.open(loop, source, self.config, self._ice_servers, self._events, self._admit))
        except BaseException:
            loop.stop()
            self._events.stop()
            raise

    def stop(self) -> None:
        """Says goodbye to all peers and closes the ports. ``start`` may follow. Idempotent."""
        with self._lock:
            run, self._run = self._run, None
            if run is not None:
                self._last_stats = run.stats()
                run.loop.run(run.close())
                run.loop.stop()
                self._events.stop()

    def close(self) -> None:
        """Stops for good. Idempotent."""
        self.stop()
        self._closed = True
        exit_closing.unregister(self)

    @property
    def url(self) -> str:
        """Where the page is, for example ``"http://127.0.0.1:8080/"``; empty while it does not run, or has none."""
        run = self._run
        return run.http.url if run is not None and run.http is not None else ""

    @property
    def udp_port(self) -> int:
        """The UDP port of all peers; 0 while it does not run, and with full ICE, where each peer has its own."""
        run = self._run
        return run.udp_port if run is not None else 0

    # -- signaling by the program

    def add_peer(self, offer_sdp: str) -> tuple[Peer, str]:
        """Answers an offer that the program brought; half a second at most, for STUN and TURN servers.

        It may be called in every ``signaling_mode``; such a peer has full ICE always. ``admit`` is not asked.

        Args:
            offer_sdp: Of a peer that wants to hear us (recvonly), to be heard (sendonly), or both (sendrecv).

        Returns:
            The peer: a ``"player"``, ``"publisher"`` or ``"sendrecv"``. A server without a source takes sendrecv as a
            publisher. And the answer for it. Candidates that are found later come as ``ice_candidate``.

        Raises:
            SdpError: The offer cannot be read, or not answered.
            ConfigError: It is no text.
            PeerLimitError: There are ``max_peers`` already.
            ClosedError: The server does not run, or was stopped meanwhile.
        """
        check_text(offer_sdp, "the offer")
        run = self._running()
        return run.loop.run(run.peers.add(offer_sdp))

    def create_offer(self, kind: Kind = "sendrecv") -> tuple[Peer, str]:
        """Makes an offer for the program to bring to a peer; half a second at most, as ``add_peer``.

        The number of the peer is taken until its connection ends, or ``remove_peer`` gives up waiting for an answer.

        Args:
            kind: What the peer is to do: ``"player"``, it hears us (our offer is sendonly); ``"publisher"``, we hear it
                (recvonly); ``"sendrecv"``, both, or what its answer leaves of it. A server without a source makes
                that a publisher.

        Returns:
            The peer, which wants ``set_answer``, and the offer.

        Raises:
            ConfigError: There is no such kind, or nothing to play for a player.
            PeerLimitError: There are ``max_peers`` already.
            ClosedError: The server does not run, or was stopped meanwhile.
        """
        run = self._running()
        return run.loop.run(run.peers.offer(kind))

    def remove_peer(self, peer_id: int) -> None:
        """Says goodbye to a peer, however it was signaled; it is none of ``peers`` any more.

        Raises:
            ConfigError: There is no such peer.
            ClosedError: The server does not run.
        """
        run = self._running()
        run.loop.run(run.peers.remove(peer_id))

    async def _admit(self, request: PeerRequest) -> bool | str:
        admit = self.admit
        return True if admit is None else await asyncio.wrap_future(self._events.call(admit, request))

    def _running(self) -> ServerRun:
        run = self._run
        if run is None:
            raise ClosedError("the server does not run; call start first")
        return run

    # -- sound and events

    @property
    def engine_address(self) -> int:
        """Of the core's ``bw_engine``, for C code that reads statistics, until ``stop``; 0 while it does not run."""
        run = self._run
        return run.engine.address if run is not None else 0

    @property
    def peers(self) -> tuple[Peer, ...]:
        """Who is connected, or about to be."""
        run = self._run
        return run.peers.all if run is not None else ()

    @property
    def input_stream(self) -> int:
        """HSTREAM: the mix of all publishers, 48 kHz stereo float. The program plays it, or gives it to a mixer.

        0 until the program has called BASS_Init, and while the server does not run; it is freed by ``stop``.
        """
        run = self._run
        return run.input_stream.handle if run is not None else 0

    def read_input(self, frames: int) -> NDArray[np.float32]:
        """The next samples of the mix of all publishers, for programs without BASS.

        Args:
            frames: How many, at 48 kHz. Read at the pace of a clock; a short block has less delay.

        Returns:
            float32 ``[frames, 2]``; silence where nothing came.
        """
        run = self._run
        return run.engine.playout.read_mix(frames) if run is not None else np.zeros((frames, CHANNELS), np.float32)

    def set_bitrate(self, bitrate_kbps: int) -> None:
        """Changes the bitrate of the Opus stream, from the next frame on, and for the next ``start``.

        Args:
            bitrate_kbps: 6 to 510.

        Raises:
            ConfigError: It is not.
        """
        self.config = replace(self.config, bitrate_kbps=bitrate_kbps)
        run = self._run
        if run is not None:
            run.loop.call_soon(run.engine.set_bitrate, bitrate_kbps * 1000)

    def set_complexity(self, complexity: int) -> None:
        """Changes what the Opus encoder spends, from the next frame on, and for the next ``start``.

        Args:
            complexity: 0 (fast) to 10 (best).

        Raises:
            ConfigError: It is not.
        """
        self.config = replace(self.config, complexity=complexity)
        run = self._run
        if run is not None:
            run.loop.call_soon(run.engine.set_complexity, complexity)

    def stats(self) -> ServerStats:
        """A snapshot; the last one after ``stop``."""
        run = self._run
        return run.stats() if run is not None else self._last_stats

    def on(self, event: str, callback: Callback) -> Callable[[], None]:
        """Calls ``callback`` at each ``event``, on one thread of ours; an exception in it is logged.

        Args:
            event: ``"peer_connected"`` (peer), ``"peer_disconnected"`` (peer, reason), ``"peer_state"`` (peer, state),
                ``"source_ended"`` (), ``"error"`` (error): the server goes on, but something in it failed by itself;
                a ``BassWebRtcError``, whose ``__cause__`` is the exception if there was one, once an hour for each
                kind at most. Of peers that the program signals: ``"sdp"`` (peer, type, sdp), what ``add_peer`` and
                ``create_offer`` return, ``"answer"`` or ``"offer"``; after it ``"ice_candidate"`` (peer, candidate,
                sdp_mid, sdp_mline_index), one that was found later, or ``""`` for no more.
            callback: Called with the arguments in brackets.

        Returns:
            A function that ends this.

        Raises:
            ConfigError: There is no such event.
        """
        return self._events.on(event, callback)

    def __enter__(self) -> Server:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
