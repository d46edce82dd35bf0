"""The object behind the handle of a server: its settings and, between Start and Stop, a ``Server``."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from typing import Any, Protocol

from ..bass import open_source
from ..config import MAIN, IceServer, ServerConfig, check_channel_name
from ..core import ChannelUse, max_channels
from ..errors import ClosedError
from ..host_process import masked_signals
from ..server.call import Call
from ..server.channel import check_fade_ms
from ..server.peer import Peer
from ..server.server import Server
from ..signaling.server.invites import Invite
from ..sources import PcmSource, Source, SourceState
from ..stats import CallState, CallStats, Kind
from . import errors
from .errors import CapiError
from .structures import CALL_EVENTS

_SETTERS: dict[ChannelUse, Callable[[Server, Source], None]] = {
    "talkback": Server.set_talkback,
    "hold": Server.set_hold,
}

SOURCE_NONE = 0
SOURCE_PCM = 0xFFFFFFFF

_this_thread = threading.local()


@contextmanager
def in_callback() -> Iterator[None]:
    """Run a callback of the host: the calling thread must not wait for a thread that waits for it, and is one of the
    library's, which no handler of the host's signals may use."""
    _this_thread.is_in_callback = True
    try:
        with masked_signals():
            yield
    finally:
        _this_thread.is_in_callback = False


def open_c_source(channel: int, sample_rate: int, channels: int) -> Source:
    """The source that ``source_channel`` stands for.

    A BASS channel is checked here, so that the call that passes a wrong one fails, and not a later one.
    """
    if channel == SOURCE_NONE:
        return None
    if channel == SOURCE_PCM:
        return PcmSource(sample_rate, channels)
    open_source(channel)
    return channel


class Listener(Protocol):
    """Receives the events of a server, on the event thread."""

    def peer_state(self, peer: int, state: str) -> None:
        """The state of a peer has changed."""

    def sdp(self, peer: int, kind: str, sdp: str) -> None:
        """The server has made an offer or an answer."""

    def ice_candidate(self, peer: int, candidate: str, sdp_mid: str | None, sdp_mline_index: int | None) -> None:
        """The server has found a local candidate."""


class CallListener(Protocol):
    """Receives the events of the calls of a server, on the event thread."""

    def call(self, event: str, call: CallStats, reason: str) -> None:
        """A call has begun, changed or ended: one of ``structures.CALL_EVENTS``."""


class ServerHandle:
    """A server of a C program. Any thread.

    Attributes:
        listener: Receives its events; None for none.
        call_listener: Receives the events of its calls; None for none.
    """

    description = "a server"

    def __init__(
        self,
        source: Source,
        config: ServerConfig,
        attach: Callable[[Server], None],
        detach: Callable[[], None],
    ) -> None:
        """
        Args:
            source: Of the channel ``main``, as ``open_c_source`` returns it.
            config: The settings; ``change`` replaces them.
            attach: Called after a server has started.
            detach: Called before a server stops.
        """
        self._sources: dict[str, Source] = {MAIN: source}
        """The source of each channel while the server is not running; its own channels know theirs."""
        self.listener: Listener | None = None
        self.call_listener: CallListener | None = None
        self._for_callers: dict[ChannelUse, Source] = {}
        self._config = config
        self._attach = attach
        self._detach = detach
        self._lock = threading.Lock()  # Only one thread starts, stops or changes the server at a time.
        self._server: Server | None = None
        self._freed = False
        self._ending_normally: weakref.WeakSet[Peer] = weakref.WeakSet()
        """Peers whose end is not a failure: they were connected, or the program removed them."""

    @property
    def source(self) -> Source:
        """The source of the channel ``main``."""
        server = self._server
        return server.channels[MAIN].source if server is not None else self._sources[MAIN]

    @property
    def server(self) -> Server:
        """The running server.

        Raises:
            CapiError: It is not running.
        """
        server = self._server
        if server is None:
            raise CapiError(errors.START, "the server is not running: call BASS_WEBRTC_Start first")
        return server

    def source_state(self) -> SourceState:
        """The state of the source; that of one that has not ended while the server is not running."""
        server = self._server
        return server.source_state if server is not None else SourceState()

    def peer(self, number: int) -> Peer:
        """A peer that is connected or connecting.

        Raises:
            CapiError: There is no such peer.
        """
        for peer in self.server.peers:
            if peer.id == number:
                return peer
        raise CapiError(errors.NOTAVAIL, f"there is no peer {number}: it never connected, or it has left")

    # -- channels

    def add_channel(self, name: str, source: Source) -> None:
        """Add a channel, before Start or while running."""
        check_channel_name(name)
        with self._exclusively():
            if name in self._sources:
                raise CapiError(errors.ALREADY, f"the server has a channel {name!r} already; choose another name")
            if len(self._sources) == max_channels():
                raise CapiError(errors.ILLPARAM, f"the server has {max_channels()} channels, which is the limit")
            if self._server is not None:
                self._server.add_channel(name, source)
            self._sources[name] = source

    def set_channel_source(self, name: str, source: Source, fade_ms: int) -> None:
        """Exchange the source of a channel, before Start or while running; wait for the end of the cross-fade."""
        check_fade_ms(fade_ms)
        with self._exclusively():
            self._check_has_channel(name)
            if self._server is None:
                self._sources[name] = source
                return
            channel = self._server.channels[name]
        with _closed_is_unavailable():  # Without the lock: Stop does not wait for the cross-fade.
            channel.set_source(source, fade_ms)

    def remove_channel(self, name: str) -> None:
        """Remove a channel, before Start or while running."""
        with self._exclusively():
            self._check_has_channel(name)
            if name == MAIN:
                raise CapiError(errors.ILLPARAM, f"the channel {MAIN!r} cannot be removed")
            if self._server is not None:
                self._server.channels[name].close()
            del self._sources[name]

    def listeners(self, name: str) -> int:
        """How many peers hear a channel."""
        self._check_has_channel(name)
        server = self._server
        channel = server.channels.get(name) if server is not None else None
        return channel.listeners if channel is not None else 0

    def _check_has_channel(self, name: str) -> None:
        if name not in self._sources:
            names = ", ".join(self._sources)
            raise CapiError(errors.NOTAVAIL, f"the server has no channel {name!r}; expected one of {names}")

    # -- calls

    def set_calls(self, state: CallState | None, max_calls: int, requires_invite: bool) -> None:
        """Let guests call, or not, before Start. Without calls there is no desk."""
        without: dict[str, Any] = {} if state is not None else {"desk_token": None, "record_calls": None}
        self.change(calls=state, max_calls=max_calls, call_requires_invite=requires_invite, **without)

    def set_desk_token(self, token: str | None) -> None:
        """Set the bearer token of the producers, before Start."""
        with self._before_start():
            self._check_has_calls()
            self._config = replace(self._config, desk_token=token)

    def set_recordings(self, calls_folder: str | None, programme_file: str | None, rotate_s: int) -> None:
        """Record calls and the programme, before Start."""
        with self._before_start():
            if calls_folder is not None:
                self._check_has_calls()
            self._config = replace(
                self._config, record_calls=calls_folder, record_programme=programme_file, record_rotate_s=rotate_s
            )

    def set_talkback(self, source: Source) -> None:
        """Set the producers' microphone, before Start or while running."""
        self._set_for_callers("talkback", source)

    def set_hold(self, source: Source) -> None:
        """Set what callers hear who wait, before Start or while running."""
        self._set_for_callers("hold", source)

    def _set_for_callers(self, use: ChannelUse, source: Source) -> None:
        with self._exclusively():
            self._check_has_calls()
            if self._server is not None:
                with _closed_is_unavailable():
                    _SETTERS[use](self._server, source)
            self._for_callers[use] = source

    def create_invite(self, name: str, uses: int, expires_s: int) -> Invite:
        """Make an invite with its link."""
        self._check_has_calls()
        server = self.server
        if not server.url:
            raise CapiError(
                errors.NOTAVAIL,
                "the server has no HTTP server that a link could lead to: its signaling mode is "
                "BASS_WEBRTC_SIGNALING_CALLBACK",
            )
        return server.invite(name, uses=uses, expires_s=expires_s)

    def revoke_invite(self, invite_id: str) -> None:
        """End an invite and the calls that were made with it."""
        server = self.server
        for invite in server.invites:
            if invite.id == invite_id:
                server.revoke_invite(invite)
                return
        raise CapiError(errors.NOTAVAIL, f"there is no invite {invite_id!r}: it was never made, or it has ended")

    def next_call(self, number: int) -> int:
        """The lowest number of a connected call above this one; 0 if there is none."""
        return min((call.id for call in self.server.calls if call.id > number), default=0)

    def call(self, number: int) -> Call:
        """A call that is connected.

        Raises:
            CapiError: There is no such call.
        """
        for call in self.server.calls:
            if call.id == number:
                return call
        raise CapiError(errors.NOTAVAIL, f"there is no call {number}: it never connected, or it has ended")

    def open_call(self, number: int) -> Call:
        """A call that can be changed.

        Raises:
            CapiError: There is no such call, or it has ended.
        """
        call = self.call(number)
        if call.state == "ended":
            raise CapiError(errors.NOTAVAIL, f"call {number} has ended")
        return call

    def change_call(self, number: int, **changes: Any) -> None:
        """Change a call; the arguments are those of ``Call.change``."""
        call = self.open_call(number)
        with _closed_is_unavailable():
            call.change(**changes)

    def _check_has_calls(self) -> None:
        if self._config.calls is None:
            raise CapiError(
                errors.NOTAVAIL, "the server has no calls: call BASS_WEBRTC_SetCalls before BASS_WEBRTC_Start"
            )

    # -- callback signaling

    def add_peer(self, offer_sdp: str) -> tuple[int, str]:
        """Answer an offer; the peer's number, and the answer."""
        with _closed_is_unavailable():
            peer, answer = self.server.add_peer(offer_sdp)
        return peer.id, answer

    def create_offer(self, kind: Kind) -> tuple[int, str]:
        """Make an offer; the number of the peer that will answer, and the offer."""
        with _closed_is_unavailable():
            peer, offer = self.server.create_offer(kind)
        return peer.id, offer

    def set_answer(self, number: int, answer_sdp: str) -> None:
        """Set a peer's answer to the server's offer."""
        with _closed_is_unavailable():
            self.peer(number).set_answer(answer_sdp)

    def add_ice_candidate(self, number: int, candidate: str) -> None:
        """Add a candidate of a peer; an empty one ends the list."""
        with _closed_is_unavailable():
            self.peer(number).add_ice_candidate(candidate)

    def remove_peer(self, number: int) -> None:
        """Disconnect a peer."""
        peer = self.peer(number)
        self._ending_normally.add(peer)
        with _closed_is_unavailable():
            self.server.remove_peer(number)

    # -- settings

    def change(self, **settings: object) -> None:
        """Set fields of ``ServerConfig``, before Start."""
        with self._before_start():
            self._config = replace(self._config, **settings)  # type: ignore[arg-type]

    def add_ice_servers(self, servers: tuple[IceServer, ...]) -> None:
        """Add STUN or TURN servers, before Start."""
        with self._before_start():
            self._config = replace(self._config, ice_servers=(*self._config.ice_servers, *servers))

    def set_bitrate(self, bitrate_kbps: int) -> None:
        """Set the bitrate, before Start or while running."""
        with self._exclusively():
            self._config = replace(self._config, bitrate_kbps=bitrate_kbps)
            if self._server is not None:
                self._server.set_bitrate(bitrate_kbps)

    def start(self) -> None:
        """Start the server. Does nothing if it is running."""
        with self._exclusively():
            if self._server is None:
                self._server = self._open()
        if self._freed:
            self.stop()

    def stop(self) -> None:
        """Stop the server. Does nothing if it is not running."""
        with self._exclusively():
            server, self._server = self._server, None
            if server is not None:
                self._ending_normally.update(server.peers)
                self._detach()
                try:
                    server.close()
                finally:
                    self._sources = {name: channel.source for name, channel in server.channels.items()}

    def close(self) -> None:
        """Stop the server for good. If another thread is starting or stopping it, that thread finishes the job."""
        self._freed = True
        with suppress(CapiError):  # BUSY
            self.stop()

    def _open(self) -> Server:
        server = Server(self._sources[MAIN], self._config)
        for name, source in self._sources.items():
            if name != MAIN:
                server.add_channel(name, source)
        if self._config.calls is not None:
            for use, source in self._for_callers.items():
                _SETTERS[use](server, source)
        for event in CALL_EVENTS:
            server.on(event, partial(self._on_call, event))
        server.on("peer_state", self._on_peer_state)
        server.on("sdp", lambda peer, *details: self._notify(lambda listener: listener.sdp(peer.id, *details)))
        server.on(
            "ice_candidate",
            lambda peer, *details: self._notify(lambda listener: listener.ice_candidate(peer.id, *details)),
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
                raise CapiError(errors.ALREADY, "the server is running; make this call before BASS_WEBRTC_Start")
            yield

    @contextmanager
    def _exclusively(self) -> Iterator[None]:
        """Hold the lock. In a callback it is not waited for but fails with BUSY, since Stop waits for the callback."""
        if not self._lock.acquire(blocking=not getattr(_this_thread, "is_in_callback", False)):
            raise CapiError(errors.BUSY, "another thread is starting or stopping the server; try again later")
        try:
            yield
        finally:
            self._lock.release()

    def _on_call(self, event: str, call: Call, reason: str = "") -> None:
        if (listener := self.call_listener) is not None:
            with in_callback():
                listener.call(event, call.stats(), reason)

    def _on_peer_state(self, peer: Peer, state: str) -> None:
        if state == "connected":
            self._ending_normally.add(peer)
        if state == "closed" and peer not in self._ending_normally:
            self._notify(lambda listener: listener.peer_state(peer.id, "failed"))
        self._notify(lambda listener: listener.peer_state(peer.id, state))

    def _notify(self, call: Callable[[Listener], None]) -> None:
        if (listener := self.listener) is not None:
            with in_callback():
                call(listener)


@contextmanager
def _closed_is_unavailable() -> Iterator[None]:
    """The peer left, or another thread stopped the server, during the call: not a wrong handle, but NOTAVAIL."""
    try:
        yield
    except ClosedError as error:
        raise CapiError(errors.NOTAVAIL, str(error)) from None
