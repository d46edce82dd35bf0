"""``WhipClient`` sends a source to a WHIP server; ``WhepClient`` receives the audio of a WHEP server.

``run.py`` has how they connect and reconnect. ``WhipClientBase`` and ``WhepClientBase`` hold everything but the
methods that wait, which ``BlockingClient`` and ``bass_webrtc.aio`` add. All public members are thread-safe.
"""

from __future__ import annotations

import ssl
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING

from ..bass import InputStream, error_name
from ..config import IceServer, ReceiveEnhancement, StreamConfig, usable_ice_servers
from ..core import Engine, fill_with_silence, read_array
from ..errors import BassWebRtcError, ConfigError
from ..host_process import parents_error
from ..loop_thread import BlockingLifecycle, Lifecycle, LoopThread, wait
from ..signaling.client.settings import ClientSettings
from ..sources import PcmSource, Source, SourceState, check_source, open_for_core
from ..stats import Kind, PeerStats
from .run import ClientPlan, ClientRun

if TYPE_CHECKING:
    import numpy as np
    from _typeshed import WriteableBuffer
    from numpy.typing import NDArray


class _Progress:
    """Whether a client is connected, may become so or has given up: the ``RunObserver`` of its run. Any thread."""

    def __init__(self) -> None:
        self.connected = False
        self.last_error: BassWebRtcError | None = None
        self._guard = threading.Lock()  # Of all attributes.
        self._running = False
        self._error: BassWebRtcError | None = None
        self._waiting: list[Future[bool]] = []

    def set_running(self, running: bool) -> None:
        """The client was started or stopped."""
        with self._guard:
            if running and not self._running:
                self._error = self.last_error = None
            self._running = running
        self._notify()

    def set_connected(self, connected: bool) -> None:
        """See ``RunObserver``."""
        with self._guard:
            self.connected = connected
            if connected:
                self.last_error = None
        self._notify()

    def attempt_failed(self, error: BassWebRtcError) -> None:
        """See ``RunObserver``."""
        self.last_error = error

    def give_up(self, error: BassWebRtcError) -> None:
        """See ``RunObserver``."""
        with self._guard:
            self._error = self.last_error = error
        self._notify()

    def decided(self) -> Future[bool]:
        """A future with True when the client is connected, False when it is not running, or the error that ended it."""
        future: Future[bool] = Future()
        with self._guard:
            self._waiting = [one for one in self._waiting if not one.cancelled()]
            self._waiting.append(future)
        self._notify()
        return future

    def _notify(self) -> None:
        with self._guard:
            connected, error = self.connected, self._error
            if not connected and error is None and self._running:
                return
            waiting, self._waiting = self._waiting, []
        for future in waiting:
            if not future.set_running_or_notify_cancel():
                continue
            if error is not None and not connected:
                future.set_exception(error)
            else:
                future.set_result(connected)


class ClientBase(Lifecycle[ClientRun]):
    """What all clients share."""

    def __init__(
        self,
        own_kind: Kind,
        source: Source,
        settings: ClientSettings,
        config: StreamConfig,
        ice_servers: Sequence[IceServer],
        reconnect: bool,
    ) -> None:
        super().__init__("bass-webrtc client", "client")
        settings.endpoint  # noqa: B018  Raises if the URL is wrong.
        servers = usable_ice_servers(IceServer.read_all(ice_servers))
        self._plan = ClientPlan(own_kind, settings, config, servers, reconnect)
        self._source = source
        self._progress = _Progress()

    async def _open(self, loop: LoopThread) -> ClientRun:
        self._progress.set_running(True)
        try:
            run = await ClientRun.open(loop, self._plan, open_for_core(self._source), self._progress)
        except BaseException:
            self._progress.set_running(False)
            raise
        self._engine_opened(run.engine)
        return run

    async def _shut(self, run: ClientRun, _caller: threading.Thread) -> None:
        try:
            self._engine_closing()
            await run.close()
        finally:
            self._progress.set_running(False)

    def _forget(self) -> None:
        super()._forget()
        self._progress = _Progress()
        self._progress.give_up(parents_error())
        if isinstance(self._source, PcmSource):
            self._source._forget()

    def _engine_opened(self, engine: Engine) -> None:
        """Called when the engine runs."""

    def _engine_closing(self) -> None:
        """Called before the engine is closed. Nothing may play from it afterwards."""

    @property
    def connected(self) -> bool:
        """Whether the connection is up, so that audio can flow."""
        return self._progress.connected

    @property
    def last_error(self) -> BassWebRtcError | None:
        """Why the last attempt failed or its connection ended; None before the first one and while connected."""
        return self._progress.last_error

    @property
    def running(self) -> bool:
        """Whether the client was started and not stopped since. It may still be connecting."""
        return self._run is not None

    def stats(self) -> PeerStats:
        """Return a snapshot of the connection's statistics; an empty one if there is no connection."""
        run = self._run
        return run.stats() if run is not None else PeerStats(0, self._plan.remote_kind, "closed", 0.0)


class WhipClientBase(ClientBase):
    """What ``bass_webrtc.WhipClient`` and ``bass_webrtc.aio.WhipClient`` share."""

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
        forbid_private: bool | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """
        Args:
            source: What to send: a BASS handle, ``BassFile``, ``Tone`` or ``PcmSource``.
            url: URL of the WHIP endpoint.
            token: Bearer token to send; None sends none.
            bitrate_kbps: Bitrate of the Opus stream, 6 to 510.
            ice_servers: STUN and TURN servers; if empty, those that the server names in its answer.
            reconnect: Connect again when the connection ends or an attempt fails.
            trusted_origins: Origins (``"https://media.example"``) that receive the token, too, after a redirect.
            forbid_private: Where the server may send this client, by redirects, session URLs and ICE servers. None: a
                server with a public address to public addresses only, another one also into private networks, but not
                to this machine. True: to public addresses and its own host only. False: anywhere.
            tls: TLS settings, for example with your own certificate authority; None uses the system's authorities.

        Raises:
            ConfigError: An argument is wrong.
        """
        check_source(source)
        if source is None:
            raise ConfigError("source is None; expected something to send, such as a BASS handle or a BassFile")
        settings = ClientSettings(url, token, tuple(trusted_origins), forbid_private, tls)
        super().__init__("publisher", source, settings, StreamConfig(bitrate_kbps=bitrate_kbps), ice_servers, reconnect)

    @property
    def source_state(self) -> SourceState:
        """Whether, why and how often the source has ended; as before the first end when not running."""
        run = self._run
        return run.source_watch.state if run is not None else SourceState()

    @property
    def source_ended(self) -> bool:
        """Whether the source has played to its end, after which silence is sent. False when not running, and while a
        URL or an input that was lost is opened again."""
        return self.source_state.has_ended

    @property
    def source_error(self) -> str:
        """Name of BASS's error code of the source's last end, such as ``"BASS_ERROR_ENDED"``; empty before."""
        state = self.source_state
        return error_name(state.error) if state.ends else ""


class WhepClientBase(ClientBase):
    """What ``bass_webrtc.WhepClient`` and ``bass_webrtc.aio.WhepClient`` share."""

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
        forbid_private: bool | None = None,
        tls: ssl.SSLContext | None = None,
        receive_enhancement: ReceiveEnhancement = "auto",
    ) -> None:
        """
        Args:
            url: URL of the WHEP endpoint.
            token: Bearer token to send; None sends none.
            buffer_ms: Upper limit of the jitter buffer's initial delay, 10 to 1000 ms. The delay then adapts.
            decode_stream: Make ``stream`` a decoding channel (BASS_STREAM_DECODE), for a mixer.
            ice_servers: STUN and TURN servers; if empty, those that the server names in its answer.
            reconnect: Connect again when the connection ends or an attempt fails.
            trusted_origins: Origins (``"https://media.example"``) that receive the token, too, after a redirect.
            forbid_private: Where the server may send this client, by redirects, session URLs and ICE servers. None: a
                server with a public address to public addresses only, another one also into private networks, but not
                to this machine. True: to public addresses and its own host only. False: anywhere.
            tls: TLS settings, for example with your own certificate authority; None uses the system's authorities.
            receive_enhancement: Enhance received speech: ``"auto"``, ``"on"`` or ``"off"``; see ``ServerConfig``.

        Raises:
            ConfigError: An argument is wrong.
        """
        settings = ClientSettings(url, token, tuple(trusted_origins), forbid_private, tls)
        config = StreamConfig(buffer_ms=buffer_ms, decode_stream=decode_stream, receive_enhancement=receive_enhancement)
        super().__init__("player", None, settings, config, ice_servers, reconnect)
        self._stream: InputStream | None = None

    @property
    def stream(self) -> int:
        """HSTREAM with the received audio: 48 kHz, stereo, float. Play it, or add it to a mixer.

        The handle stays the same across reconnects, with silence in between. 0 until the program has called BASS_Init,
        and before ``start``; ``stop`` frees it.
        """
        stream = self._stream if self.running else None
        return stream.handle if stream is not None else 0

    def read(self, frames: int) -> NDArray[np.float32]:
        """Read the received audio without BASS. Never waits.

        Args:
            frames: Number of frames at 48 kHz. Read at the pace of a clock; short blocks have less delay.

        Returns:
            float32 ``[frames, 2]``, full scale 1.0; silence where no audio has arrived.
        """
        return read_array(self._read_into, frames)

    def _read_into(self, block: WriteableBuffer) -> None:
        """Do what ``read`` does, without NumPy: fill a C-contiguous buffer of float32 ``[frames, 2]``."""
        run = self._run
        if run is not None:
            run.engine.playout.read_mix(block)
        else:
            fill_with_silence(block)

    def _engine_opened(self, engine: Engine) -> None:
        self._stream = InputStream(*engine.playout.mix_procedure, decode=self._plan.config.decode_stream)

    def _engine_closing(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.close()


class BlockingClient(ClientBase, BlockingLifecycle[ClientRun]):
    """What a client's methods do that wait."""

    def start(self) -> None:
        """Open the source and begin to connect, without waiting for the connection; see ``wait_connected``.

        Does nothing if the client is already running.

        Raises:
            BassWebRtcError: The source cannot be opened. Nothing is left open.
            ClosedError: ``close`` was called before.
        """
        super().start()

    def stop(self) -> None:
        """End the session at the server and release everything; ``start`` may follow. Idempotent.

        Waits a few seconds for a server that does not answer.
        """
        super().stop()

    def wait_connected(self, timeout_s: float | None = None) -> bool:
        """Wait until the client is connected.

        Args:
            timeout_s: Maximum wait in seconds; None waits as long as the client keeps trying.

        Returns:
            True when connected. False after ``timeout_s``, or if the client is not running.

        Raises:
            BassWebRtcError: The client has given up, because trying again would not help.
        """
        try:
            return wait(self._progress.decided(), timeout_s)
        except TimeoutError:
            return False


class WhipClient(WhipClientBase, BlockingClient):
    """Sends a source to a WHIP server (RFC 9725).

    A context manager that closes the client on exit. All members may be used from any thread.
    """


class WhepClient(WhepClientBase, BlockingClient):
    """Receives the audio of a WHEP server.

    A context manager that closes the client on exit. All members may be used from any thread.
    """
