"""START HERE: ``Server``, where the audio path (C) and the control plane (Python) meet.

    source ─► Engine (core: a channel encodes once, sends to all) ─────────────────► browsers
    BASS   ◄─ Playout (core: jitter buffers, mix) ◄──────────────────────────────────┘  │
                 ▲ keys, addresses                                                      │
    HTTP ─► Endpoints (WHIP, WHEP) ─► ServerPeers ─► LiteConnection ◄─ UdpMux ◄── STUN, DTLS, RTCP
    the program (add_peer …) ────────────┘     └───► FullConnection ◄── aioice ◄─────────┘

A server has one channel, ``"main"``, and those of ``add_channel`` (``channels.py``).

``ServerBase`` holds everything that never waits, and the operations that may wait, as coroutines on the loop thread.
``Server`` waits for those; ``bass_webrtc.aio.Server`` awaits them. The public methods may be called from any thread.
"""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from ..bass import current_device
from ..config import MAIN, ChannelConfig, ServerConfig, check_channel_name, usable_ice_servers
from ..core import ChannelUse, fill_with_silence, max_channels, read_array
from ..errors import ClosedError, ConfigError
from ..events import Callback, EventDispatcher, needs_argument, without_arguments
from ..loop_thread import BlockingLifecycle, Lifecycle, LoopThread, wait
from ..signaling.server.invites import Invite, Invites, invite_url
from ..signaling.server.sessions import PeerRequest
from ..sources import PcmSource, Source, SourceState, check_source
from ..stats import ChannelStats, Kind, ServerStats
from .call import Call
from .channel import Channel, ChannelBase
from .peer import Peer, check_text
from .run import ServerRun

if TYPE_CHECKING:
    import numpy as np
    from _typeshed import WriteableBuffer
    from numpy.typing import NDArray

Result = TypeVar("Result")
AnyChannel = TypeVar("AnyChannel", bound=ChannelBase)

_EVENTS = (
    "peer_connected",
    "peer_disconnected",
    "peer_state",
    "channel_added",
    "channel_closed",
    "call",
    "call_changed",
    "call_ended",
    "source_ended",
    "error",
    "sdp",
    "ice_candidate",
)


class ServerBase(Lifecycle[ServerRun], Generic[AnyChannel]):
    """What ``bass_webrtc.Server`` and ``bass_webrtc.aio.Server`` share.

    Attributes:
        config: The settings. A new value applies from the next ``start``.
        admit: ``callable(PeerRequest) -> bool | str``, called before a peer that connects over HTTP is accepted. False
            refuses it with 403; so does a string, which is the reason sent with it. Runs on the event thread, so a slow
            one delays events and new peers. None (default) accepts every peer.
    """

    _make_channel: Callable[[ServerBase[AnyChannel], str, Source, ChannelConfig], AnyChannel]

    def __init__(self, source: Source, config: ServerConfig | None = None) -> None:
        """
        Args:
            source: What the channel "main" plays: a BASS handle, ``BassFile``, ``BassInput``, ``Tone``, ``PcmSource``,
                or None for nothing.
            config: Settings; ``ServerConfig()`` by default.

        Raises:
            ConfigError: ``source`` is of another type, or the URL of an ICE server cannot be used.
        """
        super().__init__("bass-webrtc loop", "server")
        check_source(source)
        self.config = config or ServerConfig()
        self._ice_servers = usable_ice_servers(self.config.ice_servers)
        self.admit: Callable[[PeerRequest], bool | str] | None = None
        self._channels = {MAIN: type(self)._make_channel(self, MAIN, source, ChannelConfig())}
        self._opening_names: set[str] = set()
        self._opened: tuple[LoopThread, asyncio.Future[ServerRun]] | None = None
        self._channels_guard = threading.Lock()  # Of the three above.
        self._invites = Invites()
        self._call_numbers = itertools.count(1)
        self._for_callers: dict[ChannelUse, Source] = {}
        self._events = EventDispatcher(_EVENTS)
        self._last_stats = ServerStats()

    # -- operations, on the loop thread

    async def _open(self, loop: LoopThread) -> ServerRun:
        self._events.start()
        opened = asyncio.get_running_loop().create_future()
        with self._channels_guard:
            self._opened = loop, opened
            channels = tuple(self._channels.values())
        try:
            run = await ServerRun.open(
                loop,
                channels,
                self.config,
                self._ice_servers,
                self._events,
                self._admit,
                self._invites,
                self._call_numbers,
                dict(self._for_callers),
            )
        except BaseException:
            self._end_changes()
            opened.cancel()
            await self._events.finish()
            raise
        opened.set_result(run)
        return run

    def _stopping(self, run: ServerRun) -> None:
        self._last_stats = run.stats()

    def _is_event_thread(self) -> bool:
        return self._events.is_event_thread()

    async def _shut(self, run: ServerRun, caller: threading.Thread) -> None:
        self._end_changes()
        await run.close()
        await self._events.finish(caller)

    def _forget(self) -> None:
        super()._forget()
        self._channels_guard = threading.Lock()  # A thread that the child has not may hold the other one.
        self._invites.forget_threads()
        for channel in self._channels.values():
            if isinstance(channel.source, PcmSource):
                channel.source._forget()

    async def _admit(self, request: PeerRequest) -> bool | str:
        admit = self.admit
        if admit is None:
            return True
        return await asyncio.wrap_future(self._events.call(admit, request))

    def _add_peer(self, offer_sdp: str, channel: str) -> Future[tuple[Peer, str]]:
        check_text(offer_sdp, "the offer")
        return self._submit(lambda run: run.peers.add(offer_sdp, channel))

    def _create_offer(self, kind: Kind, channel: str) -> Future[tuple[Peer, str]]:
        return self._submit(lambda run: run.peers.offer(kind, channel))

    def _remove_peer(self, peer_id: int) -> Future[None]:
        return self._submit(lambda run: run.peers.remove(peer_id))

    def _submit(self, call: Callable[[ServerRun], Coroutine[Any, Any, Result]]) -> Future[Result]:
        run = self._run
        if run is None:
            raise ClosedError("the server is not running; call start first")
        return run.loop.submit(call(run))

    # -- changes of the channels: kept while stopped, made at once while running, and after a start that is in progress

    def _add_channel(self, name: str, source: Source, config: ChannelConfig | None) -> Future[AnyChannel]:
        check_channel_name(name)
        check_source(source)
        if not isinstance(config, ChannelConfig | None):
            raise ConfigError(f"config is a {type(config).__name__}; expected a ChannelConfig or None")
        channel = type(self)._make_channel(self, name, source, config or ChannelConfig())
        with self._channels_guard:
            names = (*self._channels, *self._opening_names)
            if name in names:
                raise ConfigError(f"there is a channel {name!r} already; expected none of {', '.join(names)}")
            if len(names) == max_channels():
                raise ConfigError(f"there are {len(names)} channels, which is the limit")
            if self._opened is None:
                self._channels[name] = channel
                return _done(channel)
            self._opening_names.add(name)
        device = current_device()
        try:
            added = self._change(lambda run: self._add_to(run, channel, device))
        except ClosedError:
            self._opening_names.discard(name)
            raise
        added.add_done_callback(lambda _: self._opening_names.discard(name))  # It may never have begun.
        return added

    async def _add_to(self, run: ServerRun, channel: AnyChannel, device: int | None) -> AnyChannel:
        try:
            await run.channels.add(channel, device)
            with self._channels_guard:
                self._channels[channel.name] = channel
            self._events.emit("channel_added", channel)
            return channel
        finally:  # Before the caller learns of it, who may try again.
            self._opening_names.discard(channel.name)

    def _close_channel(self, channel: ChannelBase, reason: str) -> Future[None]:
        with self._channels_guard:
            if self._channels.get(channel.name) is channel:
                del self._channels[channel.name]
            if self._opened is None:
                return _done(None)
        return self._change(lambda run: run.close_channel(channel, reason))

    def _set_channel_source(
        self, channel: ChannelBase, source: Source, fade_ms: int, device: int | None
    ) -> Future[None]:
        with self._channels_guard:
            if self._opened is None:
                channel.source = source
                return _done(None)
        return self._change(lambda run: run.channels.set_source(channel, source, fade_ms, device))

    def _set_for_callers(self, use: ChannelUse, source: Source) -> Future[None]:
        check_source(source)
        if self.config.calls is None:
            raise ConfigError("the server has no calls, whose callers could hear it; set calls")
        device = current_device()
        with self._channels_guard:
            if self._opened is None:
                self._for_callers[use] = source
                return _done(None)

        async def change(run: ServerRun) -> None:
            await run.channels.set_for_callers(use, source, device)
            self._for_callers[use] = source

        return self._change(change)

    def _change(self, call: Callable[[ServerRun], Coroutine[Any, Any, Result]]) -> Future[Result]:
        opened = self._opened
        if opened is None:
            raise ClosedError("the server was stopped meanwhile")
        loop, run = opened

        async def change() -> Result:
            return await call(await asyncio.shield(run))

        return loop.submit(change())

    def _end_changes(self) -> None:
        with self._channels_guard:
            self._opened = None

    def _check_bitrate(self, channel: ChannelBase, bitrate_kbps: int) -> None:
        run = self._run
        if run is not None:
            with suppress(ClosedError):  # Meanwhile.
                run.channels.of(channel).check_bitrate(bitrate_kbps)

    def _apply_bitrate(self, channel: ChannelBase, bitrate_kbps: int) -> None:
        self._apply(lambda run: run.channels.set_bitrate(channel, bitrate_kbps))

    def _apply_complexity(self, channel: ChannelBase, complexity: int) -> None:
        self._apply(lambda run: run.channels.set_complexity(channel, complexity))

    def _apply(self, change: Callable[[ServerRun], object]) -> None:
        """Make a change without waiting for it. While the server is stopped, do nothing: the next start makes it."""

        async def call(run: ServerRun) -> None:
            run.loop.call_soon(change, run)  # The loop reports an error.

        with suppress(ClosedError):
            self._change(call)

    def _channel_stats(self, channel: ChannelBase) -> ChannelStats:
        run = self._run
        if run is not None:
            try:
                return run.channel_stats(channel)
            except ClosedError:
                return ChannelStats(channel.name)
        last = (one for one in self._last_stats.channels if one.name == channel.name)
        return next(last, ChannelStats(channel.name))

    def _channel_listeners(self, channel: ChannelBase) -> int:
        run = self._run
        if run is not None:
            with suppress(ClosedError):
                return run.peers.listeners()[run.channels.of(channel)]
        return 0

    # -- state

    @property
    def url(self) -> str:
        """URL of the page, for example ``"http://127.0.0.1:8080/"``; empty when not running or without HTTP."""
        run = self._run
        return run.http.url if run is not None and run.http is not None else ""

    @property
    def udp_port(self) -> int:
        """UDP port shared by all peers; 0 when not running, and with full ICE, where each peer has its own ports."""
        run = self._run
        return run.udp_port if run is not None else 0

    @property
    def peers(self) -> tuple[Peer, ...]:
        """All peers that are connected or connecting."""
        run = self._run
        return run.peers.all if run is not None else ()

    @property
    def channels(self) -> Mapping[str, AnyChannel]:
        """The channels by their names, in the order of ``add_channel``, ``"main"`` first: as they are now."""
        return MappingProxyType(dict(self._channels))

    @property
    def calls(self) -> tuple[Call, ...]:
        """The callers that are connected, the oldest first; see ``ServerConfig.calls``."""
        run = self._run
        return run.calls.connected if run is not None and run.calls is not None else ()

    def invite(self, name: str = "", *, uses: int = 1, expires_s: int = 86_400) -> Invite:
        """Make a link with which a guest may call. From now on, nobody may call without one.

        It is valid for this object, whether or not the server is running. Two calls with it at the same time are
        refused unless ``uses`` allows two.

        Args:
            name: Name of the guest, at most 60 characters; empty lets the guest choose one.
            uses: Number of calls, 1 to 1000. One that does not connect is not counted.
            expires_s: For how long a call can begin, in seconds: 60 to 2592000 (30 days).

        Returns:
            The invite; its ``url`` is the link. It begins with ``public_url``, or else with ``url`` while the server is
            running.

        Raises:
            ConfigError: An argument is out of range, or ``ServerConfig.calls`` is None.
        """
        check_text(name, "the name")
        if self.config.calls is None:
            raise ConfigError("the server has no calls to invite to; set calls")
        made = self._invites.create(name, uses, expires_s)
        return replace(made, url=invite_url(made.secret, self.config.public_url or self.url))

    @property
    def invites(self) -> tuple[Invite, ...]:
        """The invites that can be used or are in use, without their links."""
        return self._invites.all()

    def revoke_invite(self, invite: Invite) -> None:
        """End an invite and the calls that were made with it, without waiting. Ignored if it has ended."""
        with suppress(KeyError):
            self._invites.revoke(invite.id)

    @property
    def engine_address(self) -> int:
        """Address of the core's ``bw_engine``, for C code that reads statistics. Valid until ``stop``; 0 when not
        running."""
        run = self._run
        return run.engine.address if run is not None else 0

    def stats(self) -> ServerStats:
        """Return a snapshot of the statistics; after ``stop``, the last one."""
        run = self._run
        return run.stats() if run is not None else self._last_stats

    @property
    def source_state(self) -> SourceState:
        """Whether, why and how often the source of ``"main"`` has ended; as before the first end when not running."""
        run = self._run
        return run.channels.main.watch.state if run is not None else SourceState()

    # -- audio

    @property
    def input_stream(self) -> int:
        """HSTREAM with the mix of all publishers: 48 kHz, stereo, float. Play it, or add it to a mixer.

        0 until the program has called BASS_Init, and while the server is not running. ``stop`` frees it.
        """
        run = self._run
        return run.input_stream.handle if run is not None else 0

    def read_input(self, frames: int) -> NDArray[np.float32]:
        """Read the mix of all publishers without BASS. Never waits.

        Args:
            frames: Number of frames at 48 kHz. Read at the pace of a clock; short blocks have less delay.

        Returns:
            float32 ``[frames, 2]``, full scale 1.0; silence where no audio has arrived.
        """
        return read_array(self._read_input_into, frames)

    def _read_input_into(self, block: WriteableBuffer) -> None:
        """Do what ``read_input`` does, without NumPy: fill a C-contiguous buffer of float32 ``[frames, 2]``."""
        run = self._run
        if run is not None:
            run.engine.playout.read_mix(block)
        else:
            fill_with_silence(block)

    def set_bitrate(self, bitrate_kbps: int) -> None:
        """Change the bitrate of the first encoding of ``"main"`` and of all channels without bitrates of their own.

        From the next frame on and for later starts. Never waits.

        Args:
            bitrate_kbps: 6 to 510, and above ``fallback_bitrates_kbps``.

        Raises:
            ConfigError: ``bitrate_kbps`` is out of range.
        """
        config = replace(self.config, bitrate_kbps=bitrate_kbps)
        channels = [channel for channel in self.channels.values() if channel.config.bitrates_kbps is None]
        for channel in channels:
            self._check_bitrate(channel, bitrate_kbps)
        self.config = config
        self._apply(lambda run: run.set_default_bitrate(bitrate_kbps))
        for channel in channels:
            self._apply_bitrate(channel, bitrate_kbps)

    def set_complexity(self, complexity: int) -> None:
        """Change the complexity of the Opus encoders, but for channels with their own, from the next frame on and for
        later starts. Never waits.

        Args:
            complexity: 0 (least CPU time) to 10 (best quality).

        Raises:
            ConfigError: ``complexity`` is out of range.
        """
        self.config = replace(self.config, complexity=complexity)
        self._apply(lambda run: run.set_default_complexity(complexity))
        for channel in self.channels.values():
            if channel.config.complexity is None:
                self._apply_complexity(channel, complexity)

    # -- events

    def on(self, event: str, callback: Callback) -> Callable[[], None]:
        """Call ``callback`` at every ``event``, on the event thread. An exception that it raises is logged.

        =====================  ===========================  =====================================================
        Event                  Arguments                    When
        =====================  ===========================  =====================================================
        ``peer_connected``     peer                         Audio can flow.
        ``peer_disconnected``  peer, reason                 The connection has ended.
        ``peer_state``         peer, state                  ``peer.state`` has changed.
        ``channel_added``      channel                      A channel was added while the server runs.
        ``channel_closed``     channel, reason              A channel was closed while the server runs.
        ``call``               call                         A caller is connected; see ``ServerConfig.calls``.
        ``call_changed``       call                         The program or a desk has changed a call.
        ``call_ended``         call, reason                 A caller has left.
        ``source_ended``       end                          A source has ended: a ``SourceEnd`` has channel and reason.
        ``error``              error                        Something failed; the server keeps running. At most once an
                                                            hour for each kind of fault.
        ``sdp``                peer, type, sdp              ``add_peer`` returns an ``"answer"``, or
                                                            ``create_offer`` an ``"offer"``.
        ``ice_candidate``      peer, candidate, sdp_mid,    A candidate was found after ``sdp``; ``""`` means that
                               sdp_mline_index              no more will follow.
        =====================  ===========================  =====================================================

        The ``error`` is a ``BassWebRtcError``, whose ``__cause__`` is the exception that led to it, if there was one.
        ``sdp`` and ``ice_candidate`` are for peers that the program signals itself. A callback for ``source_ended``
        that has no required parameter is called without ``end``.

        Args:
            event: One of the above.
            callback: Called with these arguments.

        Returns:
            A function that cancels the subscription.

        Raises:
            ConfigError: The event does not exist, or the callback is not callable.
        """
        if event == "source_ended" and callable(callback) and not needs_argument(callback):
            callback = without_arguments(callback)
        return self._events.on(event, callback)


def _done(result: Result) -> Future[Result]:
    done: Future[Result] = Future()
    done.set_result(result)
    return done


class Server(ServerBase[Channel], BlockingLifecycle[ServerRun]):
    """Sends audio to browsers and other WebRTC players, and receives the audio of publishers.

    A context manager that closes the server on exit. A server that is still running when the interpreter exits is
    closed then. All members may be used from any thread.

    Attributes:
        config: The settings. A new value applies from the next ``start``.
        admit: ``callable(PeerRequest) -> bool | str``, called before a peer that connects over HTTP is accepted. False
            refuses it with 403; so does a string, which is the reason sent with it. Runs on the event thread, so a slow
            one delays events and new peers. None (default) accepts every peer.
    """

    _make_channel = Channel

    def start(self) -> None:
        """Open the sources and the ports and start to send; do nothing if the server is already running.

        Returns when the HTTP port answers. With callback signaling no port is opened: each peer gets its own ports.

        Raises:
            BassWebRtcError: The server cannot start; the message says why and what to do. Nothing is left open.
            ClosedError: ``close`` was called before.
        """
        super().start()

    def stop(self) -> None:
        """Disconnect all peers and close the ports; ``start`` may follow. Idempotent.

        Waits for the callbacks that are pending. In a callback, returns at once if another thread is stopping the
        server already.
        """
        super().stop()

    def add_channel(self, name: str, source: Source, config: ChannelConfig | None = None) -> Channel:
        """Add a channel: another source, which listeners hear at ``/whep/NAME``. It stays until its ``close``.

        Waits until the source is open. On a server that is not running, ``start`` opens it.

        Args:
            name: 1 to 64 of the characters ``A-Z a-z 0-9 . _ -``, not beginning with a dot.
            source: What it plays, as of ``Server``.
            config: What it has of its own; ``ChannelConfig()`` by default.

        Raises:
            ConfigError: A channel has this name already, or an argument is wrong.
            BassWebRtcError: The source cannot be opened.
            ClosedError: The server was stopped meanwhile.
        """
        return wait(self._add_channel(name, source, config))

    def set_talkback(self, source: Source) -> None:
        """Set the producers' microphone: callers hear it who are in ``"private"`` or have ``talkback``, nobody else.

        Waits until the source is open. On a server that is not running, ``start`` opens it. Producers at the desk have
        microphones of their own besides.

        Args:
            source: As of ``Server``, usually a ``BassInput`` or a recording channel of BASS. None: none.

        Raises:
            ConfigError: ``source`` is of another type, or ``ServerConfig.calls`` is None.
            BassWebRtcError: The source cannot be opened. The former one stays.
            ClosedError: The server was stopped meanwhile.
        """
        wait(self._set_for_callers("talkback", source))

    def set_hold(self, source: Source) -> None:
        """Set what callers hear who are ``"waiting"``, instead of the programme.

        Waits until the source is open. On a server that is not running, ``start`` opens it.

        Args:
            source: As of ``Server``. None: they hear the programme.

        Raises:
            ConfigError: ``source`` is of another type, or ``ServerConfig.calls`` is None.
            BassWebRtcError: The source cannot be opened. The former one stays.
            ClosedError: The server was stopped meanwhile.
        """
        wait(self._set_for_callers("hold", source))

    def add_peer(self, offer_sdp: str, channel: str = MAIN) -> tuple[Peer, str]:
        """Answer an offer that the program received. Waits at most half a second, for STUN and TURN servers.

        Works in every ``signaling_mode``. The peer always uses full ICE; ``admit`` is not called.

        Args:
            offer_sdp: SDP of a peer that wants to receive (recvonly), to send (sendonly) or both (sendrecv).
            channel: Name of the channel that it hears.

        Returns:
            The peer and the SDP answer for it. Its kind is ``"player"``, ``"publisher"`` or ``"sendrecv"``; a server
            without a source accepts sendrecv as a publisher. Candidates found later come as ``ice_candidate`` events.

        Raises:
            SdpError: The offer is malformed or cannot be accepted.
            ConfigError: The offer is not a string, or there is no such channel.
            PeerLimitError: ``max_peers`` are connected already.
            ClosedError: The server is not running, or was stopped meanwhile.
        """
        return wait(self._add_peer(offer_sdp, channel))

    def create_offer(self, kind: Kind = "sendrecv", channel: str = MAIN) -> tuple[Peer, str]:
        """Create an offer for the program to send to a peer. Waits at most half a second, as ``add_peer``.

        The peer counts towards ``max_peers`` until its connection ends, or ``remove_peer`` gives up waiting for an
        answer.

        Args:
            kind: What the peer will do: ``"player"`` receives (the offer is sendonly), ``"publisher"`` sends
                (recvonly), ``"sendrecv"`` does both, or what its answer leaves of it. A server without a source
                turns ``"sendrecv"`` into ``"publisher"``.
            channel: Name of the channel that it hears.

        Returns:
            The peer, whose ``set_answer`` takes the answer, and the SDP offer.

        Raises:
            ConfigError: ``kind`` is unknown, or is ``"player"`` and the channel has no source; or there is no such
                channel.
            PeerLimitError: ``max_peers`` are connected already.
            ClosedError: The server is not running, or was stopped meanwhile.
        """
        return wait(self._create_offer(kind, channel))

    def remove_peer(self, peer_id: int) -> None:
        """Disconnect a peer, however it was signaled, and remove it from ``peers``.

        Args:
            peer_id: ``Peer.id``.

        Raises:
            ConfigError: There is no such peer.
            ClosedError: The server is not running.
        """
        wait(self._remove_peer(peer_id))
