"""``WhipClient`` pushes a source to a server that others run; ``WhepClient`` pulls one.

How they connect, and connect again, is in ``client_run.py``. The public methods may be called from any thread.
"""

from __future__ import annotations

import ssl
import threading
from collections.abc import Sequence
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from .. import exit_closing
from ..bass import InputStream
from ..config import CHANNELS, IceServer, ServerConfig, parse_ice_server
from ..core import Engine
from ..errors import BassWebRtcError, ClosedError, ConfigError
from ..loop_thread import LoopThread
from ..signaling.client.settings import ClientSettings
from ..sources import Source, check_source, open_for_core
from ..stats import Kind, PeerStats
from .run import MAX_PEERS, ClientPlan, ClientRun


class _Progress:
    """How far a client is, for whoever waits for it. Any thread."""

    def __init__(self) -> None:
        self.connected = threading.Event()
        self._changed = threading.Condition()
        self._runs = False
        self._error: BassWebRtcError | None = None
        self.last_error: BassWebRtcError | None = None

    def set_running(self, runs: bool) -> None:
        """It was started or stopped."""
        with self._changed:
            if runs and not self._runs:
                self._error = self.last_error = None
            self._runs = runs
            self._changed.notify_all()

    def set_connected(self, connected: bool) -> None:
        """What ``ClientRun`` tells its observer."""
        with self._changed:
            (self.connected.set if connected else self.connected.clear)()
            if connected:
                self.last_error = None
            self._changed.notify_all()

    def attempt_failed(self, error: BassWebRtcError) -> None:
        """What ``ClientRun`` tells its observer."""
        self.last_error = error

    def give_up(self, error: BassWebRtcError) -> None:
        """What ``ClientRun`` tells its observer."""
        with self._changed:
            self._error = self.last_error = error
            self._changed.notify_all()

    def wait(self, timeout_s: float | None) -> bool:
        """Until it is connected, or there is no hope."""
        with self._changed:
            self._changed.wait_for(self._is_decided, timeout_s)
            if not self.connected.is_set() and self._error is not None:
                raise self._error
            return self.connected.is_set()

    def _is_decided(self) -> bool:
        return self.connected.is_set() or self._error is not None or not self._runs


class _Client:
    """What both clients share."""

    def __init__(
        self,
        own_kind: Kind,
        source: Source,
        settings: ClientSettings,
        config: ServerConfig,
        ice_servers: Sequence[IceServer],
        reconnect: bool,
    ) -> None:
        settings.endpoint  # noqa: B018  Raises for a URL that is none.
        servers = [parse_ice_server(one.url, one.username, one.credential) for one in ice_servers]
        self._plan = ClientPlan(own_kind, settings, config, servers, reconnect)
        self._source = source
        self._lock = threading.Lock()  # start, stop and close exclude one another.
        self._run: ClientRun | None = None
        self._closed = False
        self._progress = _Progress()
        exit_closing.register(self)

    def start(self) -> None:
        """Opens the source and begins to connect; ``wait_connected`` waits for it. Nothing if it runs already.

        Raises:
            BassWebRtcError: The source cannot be opened. Nothing is left open.
            ClosedError: ``close`` was called.
        """
        with self._lock:
            if self._closed:
                raise ClosedError("the client was closed; make a new one")
            if self._run is None:
                self._progress.set_running(True)
                try:
                    self._run = self._open()
                finally:
                    self._progress.set_running(self._run is not None)

    def stop(self) -> None:
        """Ends the session at the server and lets go of everything. ``start`` may follow. Idempotent.

        A server that does not answer is waited for, for a few seconds.
        """
        with self._lock:
            run, self._run = self._run, None
            if run is not None:
                self._engine_closing()
                run.loop.run(run.close())
                run.loop.stop()
                self._progress.set_running(False)

    def close(self) -> None:
        """Stops for good. Idempotent."""
        self.stop()
        self._closed = True
        exit_closing.unregister(self)

    @property
    def connected(self) -> bool:
        """Whether audio flows, or could."""
        return self._progress.connected.is_set()

    @property
    def last_error(self) -> BassWebRtcError | None:
        """Why the newest attempt failed, or its connection ended; None before the first one, and while connected."""
        return self._progress.last_error

    @property
    def running(self) -> bool:
        """Whether it was started, and not stopped since."""
        return self._run is not None

    def wait_connected(self, timeout_s: float | None = None) -> bool:
        """Waits until it is connected.

        Args:
            timeout_s: How long at most; None waits as long as there is hope.

        Returns:
            False when the time is up, or it does not run.

        Raises:
            BassWebRtcError: It cannot be connected, and trying again would not help.
        """
        return self._progress.wait(timeout_s)

    def stats(self) -> PeerStats:
        """A snapshot of the connection; an empty one while there is none."""
        run = self._run
        return run.stats() if run is not None else PeerStats(0, self._plan.remote_kind, "closed", 0.0)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _open(self) -> ClientRun:
        """Opens everything, or nothing."""
        source = open_for_core(self._source)
        loop = LoopThread("bass-webrtc client")
        try:
            run = loop.run(ClientRun.open(loop, self._plan, source, self._progress))
        except BaseException:
            loop.stop()
            raise
        self._engine_opened(run.engine)
        return run

    def _engine_opened(self, engine: Engine) -> None:
        """The engine is there; streams may be made of it."""

    def _engine_closing(self) -> None:
        """The engine goes; nothing may play it any more."""


class WhipClient(_Client):
    """Pushes a source to a WHIP server (RFC 9725). A context manager."""

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
        """
        Args:
            source: As of ``Server``; not None.
            url: Of the endpoint.
            token: Bearer token; None sends none.
            bitrate_kbps: Of the Opus stream, 6 to 510.
            ice_servers: STUN and TURN; those of the server's answer are used where there are none.
            reconnect: Begin again when the connection ends or cannot be made yet.
            trusted_origins: Origins (``"https://media.example"``) that get the token, too, when redirected to.
            forbid_private: Let the server not lead us into private networks, for programs whose users choose the URL.
            tls: Which certificates are believed over HTTPS, for an authority of one's own; None: those the system does.

        Raises:
            ConfigError: One of them is wrong.
        """
        check_source(source)
        if source is None:
            raise ConfigError("a WhipClient needs something to send; None is no source here")
        settings = ClientSettings(url, token, tuple(trusted_origins), forbid_private, tls)
        config = ServerConfig(bitrate_kbps=bitrate_kbps, max_peers=MAX_PEERS)
        super().__init__("publisher", source, settings, config, ice_servers, reconnect)

    @property
    def source_ended(self) -> bool:
        """Whether the source has played to its end; silence is sent since then. False while it does not run."""
        run = self._run
        return run is not None and bool(run.engine.stats().source_ended)


class WhepClient(_Client):
    """Pulls a stream from a WHEP server. A context manager."""

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
        """
        Args:
            url: Of the endpoint.
            token: Bearer token; None sends none.
            buffer_ms: Upper bound for the delay with which the jitter buffer begins, 10 to 1000; it adapts.
            decode_stream: Make ``stream`` a decoding channel, for mixers.
            ice_servers: STUN and TURN; those of the server's answer are used where there are none.
            reconnect: Begin again when the connection ends or cannot be made yet.
            trusted_origins: Origins (``"https://media.example"``) that get the token, too, when redirected to.
            forbid_private: Let the server not lead us into private networks, for programs whose users choose the URL.
            tls: Which certificates are believed over HTTPS, for an authority of one's own; None: those the system does.

        Raises:
            ConfigError: One of them is wrong.
        """
        settings = ClientSettings(url, token, tuple(trusted_origins), forbid_private, tls)
        config = ServerConfig(buffer_ms=buffer_ms, decode_stream=decode_stream, max_peers=MAX_PEERS)
        super().__init__("player", None, settings, config, ice_servers, reconnect)
        self._stream: InputStream | None = None

    @property
    def stream(self) -> int:
        """HSTREAM, 48 kHz stereo float; the same over reconnects, with silence between. The program plays it.

        0 until the program has called BASS_Init, and before ``start``; it is freed by ``stop``.
        """
        stream = self._stream
        return stream.handle if stream is not None else 0

    def read(self, frames: int) -> NDArray[np.float32]:
        """The next samples, for programs without BASS.

        Args:
            frames: How many, at 48 kHz. Read at the pace of a clock; a short block has less delay.

        Returns:
            float32 ``[frames, 2]``; silence where nothing came.
        """
        run = self._run
        return run.engine.playout.read_mix(frames) if run is not None else np.zeros((frames, CHANNELS), np.float32)

    def _engine_opened(self, engine: Engine) -> None:
        self._stream = InputStream(*engine.playout.mix_procedure, decode=self._plan.config.decode_stream)

    def _engine_closing(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.close()
