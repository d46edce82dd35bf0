"""What a server's handle stands for: its settings, and between Start and Stop a ``Server``."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Protocol

from ..bass import open_source
from ..config import IceServer, ServerConfig, parse_ice_server
from ..errors import ClosedError
from ..server.peer import Peer
from ..server.server import Server
from ..sources import PcmSource, Source
from ..stats import Kind
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

    def sdp(self, peer: int, kind: str, sdp: str) -> None:
        """An offer or answer of ours."""

    def ice_candidate(self, peer: int, candidate: str, sdp_mid: str | None, sdp_mline_index: int | None) -> None:
        """A candidate of ours."""


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
        self._no_failures: weakref.WeakSet[Peer] = weakref.WeakSet()
        """Whose end is none: they were connected, or the program sends them away."""

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

    # -- callback signaling

    def add_peer(self, offer_sdp: str) -> tuple[int, str]:
        """A number for the peer, and our answer."""
        with _peer_may_be_gone():
            peer, answer = self.server.add_peer(offer_sdp)
        return peer.id, answer

    def create_offer(self, kind: Kind) -> tuple[int, str]:
        """A number for a peer to come, and our offer."""
        with _peer_may_be_gone():
            peer, offer = self.server.create_offer(kind)
        return peer.id, offer

    def set_answer(self, number: int, answer_sdp: str) -> None:
        """The peer's answer to our offer."""
        with _peer_may_be_gone():
            self.peer(number).set_answer(answer_sdp)

    def add_ice_candidate(self, number: int, candidate: str) -> None:
        """A candidate of the peer; empty when there are no more."""
        with _peer_may_be_gone():
            self.peer(number).add_ice_candidate(candidate)

    def remove_peer(self, number: int) -> None:
        """Says goodbye to it."""
        peer = self.peer(number)
        self._no_failures.add(peer)
        with _peer_may_be_gone():
            self.server.remove_peer(number)

    # -- settings

    def change(self, **settings: object) -> None:
        """Sets fields of ``ServerConfig``, before it is started."""
        with self._before_start():
            self._config = replace(self._config, **settings)  # type: ignore[arg-type]

    def add_ice_server(self, server: IceServer) -> None:
        """One more STUN or TURN server, before it is started."""
        parse_ice_server(server.url, server.username, server.credential)
        with self._before_start():
            self._config = replace(self._config, ice_servers=(*self._config.ice_servers, server))

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
                self._no_failures.update(server.peers)
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
        server.on("sdp", lambda peer, *said: self._tell(lambda listener: listener.sdp(peer.id, *said)))
        server.on(
            "ice_candidate", lambda peer, *said: self._tell(lambda listener: listener.ice_candidate(peer.id, *said))
        )
        try:
            server.start()
        except BaseException:
            server.close()
            raise
        self._attach(server)
        return server

    @contextmanager
    def _before_start(self) -> Iterator[None]:
        with self._exclusively():
            if self._server is not None:
                raise CapiError(errors.ALREADY, "the server runs already; this comes before BASS_WEBRTC_Start")
            yield

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
        if state == "connected":
            self._no_failures.add(peer)
        if state == "closed" and peer not in self._no_failures:
            self._tell(lambda listener: listener.peer_state(peer.id, "failed"))
        self._tell(lambda listener: listener.peer_state(peer.id, state))

    def _tell(self, what: Callable[[Listener], None]) -> None:
        if (listener := self.listener) is not None:
            with on_callback():
                what(listener)


@contextmanager
def _peer_may_be_gone() -> Iterator[None]:
    """It left, or another thread stopped the server, while it was looked at."""
    try:
        yield
    except ClosedError as error:
        raise CapiError(errors.NOTAVAIL, str(error)) from None
