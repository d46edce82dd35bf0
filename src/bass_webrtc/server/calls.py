"""The calls of a running server: guests who hear the programme and each other, and their producers.

    POST /call ───────────────► Guests ────┐
    POST /desk/audio ─────────► Producers ─┼─► ServerPeers ─► a connection ─► Engine.add_call ─► "call" event
    add_peer, create_offer ────────────────┘
    the program, the desk ─► Call ─► Engine.set_call

Implements ``CallBook`` for the desk. Loop thread, unless stated otherwise.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from ..config import MAIN, ServerConfig
from ..core import CallSettings, Engine
from ..errors import BassWebRtcError, ClosedError, PeerLimitError
from ..events import EventDispatcher
from ..loop_thread import LoopThread
from ..peer.host import CLOSED_BY_PEER, CLOSED_BY_PROGRAM, REMOVED_BY_PROGRAM, Connection
from ..recording import Recording, Recordings
from ..rtc.negotiation import Offer
from ..signaling.messages import Request
from ..signaling.server.desk import CallChanges
from ..signaling.server.invites import Invite, Invites, clean_name, invite_secret
from ..signaling.server.limits import client_network
from ..signaling.server.sessions import Session
from ..stats import CallStats, DeskStats, Kind
from .call import Call
from .channels import RunningChannel, SendingChannel
from .peers import ServerPeers

_MAX_PRODUCERS = 8
_FADE_S = 0.05
"""From the end of a call until its connection ends."""
_HISTORY_MINUTES, _FINE_MINUTES, _COARSE_MINUTES = 24 * 60, 60, 10
"""The history has every minute of the last hour, and every tenth before: desks get it with each event."""
_DEFAULT_NAME = "Caller"
_ENDED = (CLOSED_BY_PEER, CLOSED_BY_PROGRAM, REMOVED_BY_PROGRAM)
"""Reasons of connections that one side has ended, and not the network."""


@dataclass(frozen=True, slots=True)
class _Admitted:
    """What is known of a call besides its handle."""

    call: Call
    invite: Invite | None


class ServerCalls:
    """The calls between a server's ``start`` and ``stop``.

    Attributes:
        engine: The audio path.
        invites: The invites of the server.
        guests: Creates the sessions of ``/call``.
        producers: Creates the sessions of ``/desk/audio``.
        programme: The last recording of the programme; None if there was none.
    """

    def __init__(
        self,
        peers: ServerPeers,
        loop: LoopThread,
        config: ServerConfig,
        events: EventDispatcher,
        invites: Invites,
        recordings: Recordings,
        numbers: Iterator[int],
    ) -> None:
        """
        Args:
            peers: Creates the connections.
            loop: The loop thread that this object lives on.
            config: The server's settings; ``calls`` is the state of new callers.
            events: Delivers events to the program.
            invites: The invites of the server.
            recordings: Records the callers and the programme.
            numbers: Of calls, each once.
        """
        self.engine: Engine = peers.channels.engine
        self.invites = invites
        self.guests = _Guests(self)
        self.producers = _Producers(self)
        self._peers = peers
        self._loop = loop
        self._config = config
        self._events = events
        self._recordings = recordings
        self.programme: Recording | None = None
        self._numbers = numbers
        self._heard: dict[Connection, SendingChannel] = {}
        """What each caller and producer hears."""
        self._calls: dict[Connection, _Admitted] = {}
        self._connected: dict[int, Call] = {}
        self._producers: set[Connection] = set()
        self._watchers: list[Callable[[], None]] = []
        self._peak_listeners = 0
        self._history: tuple[tuple[int, int], ...] = ()
        if config.call_requires_invite:
            invites.require()
        invites.on_revoked = self._invite_revoked
        peers.adopt_caller = self.adopt
        peers.on_connected(self._peer_connected)
        peers.on_closed(self._peer_closed)

    def close(self) -> None:
        """Forget the invites' callback: the server stops."""
        self.invites.on_revoked = None

    @property
    def connected(self) -> tuple[Call, ...]:
        """The calls that are connected, the oldest first. Any thread."""
        return tuple(self._connected.values())

    # -- connecting

    def check_room(self, request: Request) -> None:
        """Check that there may be another caller.

        Raises:
            PeerLimitError: There are ``max_calls``, or ``max_peers`` peers.
        """
        self._check_limit(client_network(request.remote))
        self._peers.check_room(request)

    def _check_limit(self, network: str) -> None:
        """Keep one network from taking all lines, unless ``max_peers_per_address`` says that all come from one."""
        limit = self._config.max_calls
        if len(self._calls) >= limit:
            raise PeerLimitError(f"{limit} callers are connected, which is the limit (max_calls)")
        share = limit if self._config.max_peers_per_address == self._config.max_peers else (limit + 1) // 2
        held = sum(self._peers.network_of(connection) == network for connection in self._calls)
        if network and held >= share:
            raise PeerLimitError(f"{held} callers from your address are connected, which is the limit")

    async def create(self, offer: Offer, request: Request, name: str, invite: Invite | None) -> Session:
        """Answer the offer of a guest."""
        connection = await self._peers.create("sendrecv", offer, request)
        self.adopt(connection, name, invite)
        return connection

    def adopt(self, connection: Connection, name: str = "", invite: Invite | None = None) -> None:
        """Make a peer that is about to connect a caller.

        Raises:
            PeerLimitError: There are ``max_calls``; the connection is ended.
        """
        state = self._config.calls
        assert state is not None, "made for a server with calls"
        settings = CallSettings(state)
        self._connect(connection, settings, lambda: self._check_limit(self._peers.network_of(connection)))
        number = next(self._numbers)
        peer = self._peers.peer_of(connection)
        invite_id = "" if invite is None else invite.id
        call = Call(number, name or f"{_DEFAULT_NAME} {number}", settings, peer, self, invite=invite_id)
        self._calls[connection] = _Admitted(call, invite)

    def check_producers(self, request: Request) -> None:
        """Check that there may be another producer.

        Raises:
            PeerLimitError: There are too many.
        """
        self._check_producers()
        self._peers.check_room(request)

    def _check_producers(self) -> None:
        if len(self._producers) >= _MAX_PRODUCERS:
            raise PeerLimitError(f"{_MAX_PRODUCERS} producers are connected, which is the limit")

    async def create_producer(self, offer: Offer, request: Request) -> Session:
        """Answer the offer of a producer."""
        connection = await self._peers.create("sendrecv", offer, request)
        self._connect(connection, CallSettings("producer"), self._check_producers)
        self._producers.add(connection)
        return connection

    def _connect(self, connection: Connection, settings: CallSettings, check: Callable[[], None]) -> None:
        """Let a peer hear what is made for it; end it where that is not possible: others may have come meanwhile."""
        encodings = replace(self._peers.channels.defaults, application="lowdelay")
        try:
            check()
            number = self.engine.add_call(connection.id, encodings, settings)
        except BassWebRtcError as error:
            connection.end(str(error))
            raise
        self._heard[connection] = SendingChannel(MAIN, number, encodings, self.engine)
        connection.set_channel(self._heard[connection])

    def _peer_connected(self, connection: Connection) -> None:
        admitted = self._calls.get(connection)
        if admitted is None:
            self._listeners()  # For the peak.
            self._notify()
            return
        call, invite = admitted.call, admitted.invite
        if invite is not None and not self.invites.connected(invite):
            connection.end("the invite was revoked")
            return
        self._connected[call.id] = call
        self._events.emit("call", call)
        if self._config.record_calls is not None:
            try:
                self._record_to_folder(call)
            except BassWebRtcError as error:  # The call goes on.
                context = {"message": f"call {call.id} cannot be recorded", "exception": error}
                asyncio.get_running_loop().call_exception_handler(context)
        self._notify()

    def _peer_closed(self, connection: Connection) -> None:
        self._producers.discard(connection)
        self._heard.pop(connection, None)
        admitted = self._calls.pop(connection, None)
        if admitted is None:
            self._notify()
            return
        call, invite = admitted.call, admitted.invite
        call.end()
        was_connected = self._connected.pop(call.id, None) is not None
        if invite is not None:
            if was_connected:
                is_ended = bool(call.end_reason) or connection.close_reason in _ENDED
                self.invites.released(invite, is_lost=not is_ended)
            else:
                self.invites.failed(invite)
        if was_connected:
            self._events.emit("call_ended", call, connection.close_reason)
        self._notify()

    def _invite_revoked(self, invite: Invite) -> None:
        """End the calls of an invite. Any thread."""
        self._loop.call_soon(self._end_invited, invite.id)

    def _end_invited(self, invite_id: str) -> None:
        for connection, admitted in tuple(self._calls.items()):
            if admitted.call.invite == invite_id:
                self._end_later(admitted.call, connection, "the invite was revoked")

    # -- what handles ask for: any thread

    def call_changed(self, call: Call) -> None:
        """Report a change to the program and to the desks."""
        self._events.emit("call_changed", call)
        self._loop.call_soon(self._notify)

    def end_call(self, call: Call, reason: str) -> None:
        """End a call, once it has faded out."""
        self._loop.call_soon(self._end, call, reason)

    def record_call(self, call: Call, path: str | os.PathLike[str], rotate_s: float) -> Future[Recording]:
        """Begin to record a call."""

        async def record() -> Recording:
            if call.id not in self._connected:
                raise ClosedError(f"call {call.id} has ended")
            recording = self._record(call, path, rotate_s)
            self.call_changed(call)
            return recording

        return self._loop.submit(record())

    def _record_to_folder(self, call: Call) -> Recording:
        return self._record(call, self._template("{name}"), self._config.record_rotate_s)

    def _record(self, call: Call, path: str | os.PathLike[str], rotate_s: float) -> Recording:
        recording = self._recordings.record_peer(call.peer.id, path, call.name, rotate_s=rotate_s)
        call.recordings.append(recording)
        return recording

    def _template(self, name: str) -> Path:
        """Return the path of a new recording in the folder for them.

        Raises:
            BassWebRtcError: There is none.
        """
        folder = self._config.record_calls
        if folder is None:
            raise BassWebRtcError("nothing can be recorded here; set record_calls to a folder")
        return Path(folder) / f"{{date}} {{time}} {name}.opus"

    def call_stats(self, call: Call) -> CallStats:
        """Return a snapshot."""
        peer = call.peer.stats()
        return CallStats(
            id=call.id,
            name=call.name,
            state=call.state,
            gain=call.gain,
            muted=call.muted,
            talkback=call.talkback,
            return_gain=call.return_gain,
            level_dbfs=peer.audio_level_dbfs,
            duration_s=peer.connected_s,
            recording=any(recording.is_active for recording in call.recordings),
            invite=call.invite,
            bitrate_kbps=peer.bitrate_kbps,
            peer=peer,
        )

    def _end(self, call: Call, reason: str) -> None:
        for connection, admitted in self._calls.items():
            if admitted.call is call:
                self._end_later(call, connection, reason)
                return

    def _end_later(self, call: Call, connection: Connection, reason: str) -> None:
        call.fade_out(reason)
        asyncio.get_running_loop().call_later(_FADE_S, connection.end, reason)

    def set_bitrate(self, bitrate_kbps: int) -> None:
        """Change the bitrate of what callers hear, which is in the settings of new ones already."""
        for channel in self._heard.values():
            channel.set_bitrate(bitrate_kbps)

    def set_complexity(self, complexity: int) -> None:
        """Change the complexity of the encoders for callers likewise."""
        for channel in self._heard.values():
            self.engine.set_complexity(complexity, channel.number)

    # -- what guests see

    def describe(self, session: object) -> Mapping[str, Any] | None:
        """Return what a guest may know of its call: name, state, the place in the queue of those who wait, and why it
        is ending."""
        admitted = self._calls.get(session)  # type: ignore[call-overload]  # The sessions are connections.
        if admitted is None:
            return None
        call: Call = admitted.call
        waiting = [one.id for one in self.connected if one.state == "waiting"]
        return {
            "name": call.name,
            "state": call.state,
            "position": waiting.index(call.id) + 1 if call.id in waiting else None,
        } | ({"reason": call.end_reason} if call.end_reason else {})

    def ending(self, session: object) -> str:
        """Return why the call of a guest has ended, for the guest."""
        return session.close_reason  # type: ignore[attr-defined, no-any-return]  # The sessions are connections.

    # -- what the desk sees

    def calls(self) -> Sequence[CallStats]:
        """Return the calls that are connected, the oldest first."""
        return [call.stats() for call in self.connected]

    def call(self, call_id: int) -> CallStats:
        """Return one of them; see ``CallBook``."""
        return self._connected[call_id].stats()

    def change(self, call_id: int, changes: CallChanges) -> None:
        """Change a call; see ``CallBook``."""
        call = self._connected[call_id]
        call.check_open()
        active = [recording for recording in call.recordings if recording.is_active]
        begun = None
        if changes.recording and not active:
            begun = self._record_to_folder(call)
        try:
            call.change(
                name=changes.name,
                state=changes.state,
                gain=changes.gain,
                return_gain=changes.return_gain,
                muted=changes.muted,
                talkback=changes.talkback,
            )
        except BassWebRtcError:
            if begun is not None:
                begun.stop()
            raise
        for recording in active if changes.recording is False else ():
            recording.stop()

    def hang_up(self, call_id: int, reason: str) -> None:
        """End a call; see ``CallBook``."""
        self._connected[call_id].hang_up(reason)

    def desk(self) -> DeskStats:
        """Return what a producer sees besides the calls."""
        listeners = self._listeners()
        state = self._config.calls
        assert state is not None, "made for a server with calls"
        return DeskStats(
            programme_dbfs=self.engine.calls_stats().programme_dbfs,
            producer_connected=any(one.state == "connected" for one in self._producers),
            listeners=listeners,
            peak_listeners=self._peak_listeners,
            history=self._history,
            initial_state=state,
            invite_required=self.invites.required,
            recording=_is_active(self.programme),
            can_record=self._config.record_calls is not None,
        )

    def record_programme(self, recording: bool) -> None:
        """Start or stop the recording of the programme; see ``CallBook``."""
        if recording and not _is_active(self.programme):
            template = self._config.record_programme or self._template("programme")
            self.programme = record_programme(self._recordings, self._peers.channels.main, template, self._config)
        elif not recording and self.programme is not None:
            self.programme.stop()
        self._notify()

    def levels(self) -> tuple[float, Mapping[int, float]]:
        """Return the levels of the programme and of each call, in dBFS."""
        playout = self.engine.playout
        callers = {call.id: playout.receiver_stats(call.peer.id).audio_level_dbfs for call in self.connected}
        return self.engine.calls_stats().programme_dbfs, callers

    def watch(self, changed: Callable[[], None]) -> Callable[[], None]:
        """Call a function after each change; return a function that ends that."""
        self._watchers.append(changed)
        return lambda: self._watchers.remove(changed)

    def _notify(self) -> None:
        for changed in tuple(self._watchers):
            changed()

    def _listeners(self) -> int:
        heard = self._peers.listeners()
        listeners = sum(heard[channel] for channel in self._peers.channels)
        self._peak_listeners = max(self._peak_listeners, listeners)
        return listeners

    async def count_listeners(self) -> None:
        """Note the number of listeners every minute, until cancelled."""
        counted: deque[tuple[int, int]] = deque(maxlen=_HISTORY_MINUTES)
        while True:
            counted.append((round(time.time()), self._listeners()))
            minutes = list(counted)
            self._history = (*minutes[:-_FINE_MINUTES][::_COARSE_MINUTES], *minutes[-_FINE_MINUTES:])
            await asyncio.sleep(60)


def record_programme(
    recordings: Recordings, channel: RunningChannel, path: str | Path, config: ServerConfig
) -> Recording:
    """Begin to record the first channel."""
    return recordings.record_channel(channel.number, path, "Programme", rotate_s=config.record_rotate_s)


def _is_active(recording: Recording | None) -> bool:
    return recording is not None and recording.is_active


class _Guests:
    """Creates the sessions of ``/call``; implements ``Sessions``."""

    def __init__(self, calls: ServerCalls) -> None:
        self._calls = calls

    def check_room(self, request: Request) -> None:
        self._calls.check_room(request)

    async def create(self, kind: Kind, offer: Offer, request: Request, channel: str = MAIN) -> Session:
        query = parse_qs(request.query)
        secret = invite_secret(request)
        invites = self._calls.invites
        invite = invites.admit(secret) if secret is not None else None
        name = invite.name if invite is not None and invite.name else clean_name(query.get("name", [""])[0])
        try:
            return await self._calls.create(offer, request, name, invite)
        except BaseException:
            if invite is not None:
                invites.failed(invite)
            raise


class _Producers:
    """Creates the sessions of ``/desk/audio``; implements ``Sessions``."""

    def __init__(self, calls: ServerCalls) -> None:
        self._calls = calls

    def check_room(self, request: Request) -> None:
        self._calls.check_producers(request)

    async def create(self, kind: Kind, offer: Offer, request: Request, channel: str = MAIN) -> Session:
        return await self._calls.create_producer(offer, request)
