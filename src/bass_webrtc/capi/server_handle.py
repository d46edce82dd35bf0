"""What a server's handle stands for: its settings, and between Start and Stop a ``Server``."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Protocol

from ..bass import open_source
from ..config import ServerConfig
from ..remote_peer import Peer
from ..server import Server
from ..sources import PcmSource, Source
from . import errors
from .errors import CapiError

SOURCE_NONE = 0
SOURCE_PCM = 0xFFFFFFFF

_on_callback = threading.local()


@contextmanager
def on_callback() -> Iterator[None]:
    """The calling thread is in a callback of the program: it must not wait for whoever waits for it."""
    _on_callback.now = True
    try:
        yield
    finally:
        _on_callback.now = False


def open_c_source(channel: int, sample_rate: int, channels: int) -> Source:
    """What ``source_channel`` means. A BASS channel is looked at now, so that a mistake shows where it was made."""
    if channel == SOURCE_NONE:
        return None
    if channel == SOURCE_PCM:
        return PcmSource(sample_rate, channels)
    open_source(channel)
    return channel


class Listener(Protocol):
    """Is told what happens, on the events' thread."""

    def peer_state(self, peer: int, state: str) -> None:
        """A peer has another state."""


class ServerHandle:
    """A server of a C program. Any thread.

    Attributes:
        source: What it sends.
        listener: Who is told what happens.
    """

    what = "a server"

    def __init__(
        self,
        source: Source,
        config: ServerConfig,
        attach: Callable[[Server], None],
        detach: Callable[[], None],
    ) -> None:
        """
        Args:
            source: As ``open_c_source`` gives it.
            config: Its settings; ``change`` replaces them.
            attach: Called when a server runs.
            detach: Called before it ends.
        """
        self.source = source
        self.listener: Listener | None = None
        self._config = config
        self._attach = attach
        self._detach = detach
        self._lock = threading.Lock()  # start, stop and change exclude one another.
        self._server: Server | None = None
        self._freed = False

    @property
    def server(self) -> Server:
        """The one that runs.

        Raises:
            CapiError: None does.
        """
        server = self._server
        if server is None:
            raise CapiError(errors.START, "the server does not run: call BASS_WEBRTC_Start first")
        return server

    def peer(self, number: int) -> Peer:
        """One of those who are connected, or about to be.

        Raises:
            CapiError: There is no such peer.
        """
        for peer in self.server.peers:
            if peer.id == number:
                return peer
        raise CapiError(errors.NOTAVAIL, f"there is no peer {number}, or not any more")

    def change(self, **settings: object) -> None:
        """Sets fields of ``ServerConfig``, before it is started."""
        with self._exclusively():
            if self._server is not None:
                raise CapiError(errors.ALREADY, "the server runs already; this comes before BASS_WEBRTC_Start")
            self._config = replace(self._config, **settings)  # type: ignore[arg-type]

    def set_bitrate(self, bitrate_kbps: int) -> None:
        """Also while it runs."""
        with self._exclusively():
            self._config = replace(self._config, bitrate_kbps=bitrate_kbps)
            if self._server is not None:
                self._server.set_bitrate(bitrate_kbps)

    def start(self) -> None:
        """Nothing if it runs."""
        with self._exclusively():
            if self._server is None:
                self._server = self._open()
        if self._freed:
            self.stop()

    def stop(self) -> None:
        """Nothing if it does not run."""
        with self._exclusively():
            server, self._server = self._server, None
            if server is not None:
                self._detach()
                server.close()

    def close(self) -> None:
        """Stops it for good. Where another thread is just starting or stopping it, that one sees to it."""
        self._freed = True
        with suppress(CapiError):  # BUSY
            self.stop()

    def _open(self) -> Server:
        server = Server(self.source, self._config)
        server.on("peer_state", self._tell_state)
        try:
            server.start()
        except BaseException:
            server.close()
            raise
        self._attach(server)
        return server

    @contextmanager
    def _exclusively(self) -> Iterator[None]:
        """Stop waits for the callback that runs, so a callback does not wait for Stop."""
        if not self._lock.acquire(blocking=not getattr(_on_callback, "now", False)):
            raise CapiError(errors.BUSY, "another thread is just starting or stopping it")
        try:
            yield
        finally:
            self._lock.release()

    def _tell_state(self, peer: Peer, state: str) -> None:
        if (listener := self.listener) is not None:
            with on_callback():
                listener.peer_state(peer.id, state)
