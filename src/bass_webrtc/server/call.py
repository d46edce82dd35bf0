"""``Call``: the program's handle of one caller: who hears it, what it hears."""

from __future__ import annotations

import os
from concurrent.futures import Future
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol, get_args

from ..core import CallSettings, Engine, read_array
from ..errors import ClosedError, ConfigError
from ..host_process import ProcessLock
from ..loop_thread import wait
from ..recording import Recording
from ..signaling.server.invites import clean_name
from ..stats import CallState, CallStats
from .peer import Peer, check_text

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MAX_GAIN = 4.0
"""Upper limit of ``Call.gain`` and ``Call.return_gain``, +12 dB."""
HUNG_UP = "the call was ended by the producer"


class CallKeeper(Protocol):
    """Keeps the calls of a running server. Any thread."""

    @property
    def engine(self) -> Engine:
        """The audio path."""

    def call_changed(self, call: Call) -> None:
        """Report a change to the program and to the desks."""

    def end_call(self, call: Call, reason: str) -> None:
        """End a call, once it has faded out."""

    def record_call(self, call: Call, path: str | os.PathLike[str], rotate_s: float) -> Future[Recording]:
        """Begin to record a call."""

    def call_stats(self, call: Call) -> CallStats:
        """Return a snapshot."""


class Call:
    """One caller: hears the channel ``"main"`` with all others on air, never itself. All members: any thread.

    Every change of state, gain, mute and talkback takes 10 ms, without a click.

    Attributes:
        id: Number of the call; no other call of the server has or had it.
        peer: Its connection.
        invite: ``Invite.id``; empty if the caller came without an invite.
        recordings: All recordings of the call so far.
        end_reason: Why it was ended by ``hang_up``; empty before.
    """

    def __init__(
        self, call_id: int, name: str, settings: CallSettings, peer: Peer, keeper: CallKeeper, *, invite: str = ""
    ) -> None:
        """Callers connect with ``POST /call`` or ``Server.add_peer``."""
        self.id = call_id
        self.peer = peer
        self.invite = invite
        self._name = name
        self._settings = settings
        self._keeper = keeper
        self._guard = ProcessLock()
        self._is_over = False
        self.recordings: list[Recording] = []
        self.end_reason = ""

    @property
    def name(self) -> str:
        """Name of the caller, at most 60 characters: of the invite, of the caller's own choice, or set here."""
        return self._name

    @name.setter
    def name(self, name: str) -> None:
        self.change(name=name)

    @property
    def state(self) -> CallState:
        """Who hears the caller, and what it hears:

        - ``"waiting"``: it hears the programme, or what ``Server.set_hold`` says, and is not on air. Its
          ``input_stream`` can be listened to.
        - ``"on_air"``: the listeners of ``"main"`` hear it, the other callers and ``Server.input_stream``.
        - ``"private"``: it hears the producers alone, and they alone hear it.
        - ``"ended"``: it has left. Cannot be set: use ``hang_up``.

        Raises:
            ConfigError: Set to another value.
            ClosedError: Set after the end, like everything below.
        """
        state = self._settings.state
        assert state != "producer", "the program has no handle of a producer"
        return state

    @state.setter
    def state(self, state: CallState) -> None:
        self.change(state=state)

    @property
    def gain(self) -> float:
        """Fader: the factor of what everybody hears of the caller, 0 to 4; 1 by default.

        Raises:
            ConfigError: Set to a value out of range.
        """
        return self._settings.gain

    @gain.setter
    def gain(self, gain: float) -> None:
        self.change(gain=gain)

    @property
    def return_gain(self) -> float:
        """The factor of what the caller hears, 0 to 4; 1 by default.

        Raises:
            ConfigError: Set to a value out of range.
        """
        return self._settings.return_gain

    @return_gain.setter
    def return_gain(self, gain: float) -> None:
        self.change(return_gain=gain)

    @property
    def muted(self) -> bool:
        """Whether the caller is not heard on air, whatever its state. Producers still hear it in private."""
        return self._settings.muted

    @muted.setter
    def muted(self, muted: bool) -> None:
        self.change(muted=muted)

    @property
    def talkback(self) -> bool:
        """Whether the caller hears the producers, in addition to what its state gives. They hear it, unless it is on
        air."""
        return self._settings.talkback

    @talkback.setter
    def talkback(self, talkback: bool) -> None:
        self.change(talkback=talkback)

    def change(
        self,
        *,
        name: str | None = None,
        state: CallState | None = None,
        gain: float | None = None,
        return_gain: float | None = None,
        muted: bool | None = None,
        talkback: bool | None = None,
    ) -> None:
        """Change several of the above at once; None leaves a value as it is.

        Raises:
            ConfigError: A value is wrong. Nothing has changed.
            ClosedError: The call has ended.
        """
        changes: dict[str, Any] = {}
        if state is not None:
            if state not in get_args(CallState) or state == "ended":
                raise ConfigError(f'state is {state!r}; expected "waiting", "on_air" or "private"')
            changes["state"] = state
        for what, factor in (("gain", gain), ("return_gain", return_gain)):
            if factor is not None:
                changes[what] = _checked_gain(what, factor)
        for what, value in (("muted", muted), ("talkback", talkback)):
            if value is not None:
                changes[what] = bool(value)
        if name is not None:
            check_text(name, "the name")
        with self._guard:
            self.check_open()
            self._name = self._name if name is None else clean_name(name)
            self._apply(**changes)
        self._keeper.call_changed(self)

    def hang_up(self, reason: str = HUNG_UP) -> None:
        """End the call, without waiting; the event ``call_ended`` follows. Does nothing after the end.

        Args:
            reason: Told by the event, and to the guest.
        """
        check_text(reason, "the reason")
        self.fade_out(reason)
        self._keeper.end_call(self, reason)

    @property
    def input_stream(self) -> int:
        """HSTREAM with the audio of this caller alone, whatever its state, gain and mute: 48 kHz, stereo, float.

        Its audio stays in ``Server.input_stream`` while it is on air. Freed when the call ends; 0 after that, and until
        the program has called BASS_Init.
        """
        return self.peer.any_input_stream()

    def read(self, frames: int) -> NDArray[np.float32]:
        """Read the audio of this caller alone without BASS, whatever its state, gain and mute. Never waits.

        Args:
            frames: Number of frames at 48 kHz. Read at the pace of a clock.

        Returns:
            float32 ``[frames, 2]``, full scale 1.0; silence where no audio has arrived.
        """
        return read_array(self.peer.read_any_into, frames)

    def record(self, path: str | os.PathLike[str], rotate_s: float = 0.0) -> Recording:
        """Record the caller as it is received, whatever its state, gain and mute, until its end. Waits some
        milliseconds; the file is written by another thread.

        An Ogg Opus file, without encoding again: what was lost or late is silent or concealed by players, and all else
        keeps its time, to one frame the same as in other recordings of the server. It is valid even if the program is
        killed.

        Args:
            path: ``{name}``, ``{date}`` and ``{time}`` are replaced. A file that exists is not overwritten: the new one
                is numbered.
            rotate_s: Length of each file in seconds, at least 1; 0: there is one.

        Raises:
            ConfigError: ``rotate_s`` is too short.
            ClosedError: The call has ended.
        """
        self.check_open()
        return wait(self._keeper.record_call(self, path, rotate_s))

    def stats(self) -> CallStats:
        """Return a snapshot."""
        return self._keeper.call_stats(self)

    def fade_out(self, reason: str) -> None:
        """Begin to end the call."""
        with self._guard:
            if not self._is_over:
                self.end_reason = self.end_reason or reason
                self._apply(state="ended")

    def end(self) -> None:
        """Note that the connection has ended: its slot may be that of another peer from now on."""
        with self._guard:
            self._is_over = True
            self._settings = replace(self._settings, state="ended")

    def _apply(self, **changes: Any) -> None:
        self._settings = replace(self._settings, **changes)
        self._keeper.engine.set_call(self.peer.id, self._settings)

    def check_open(self) -> None:
        """Check that the call has not ended.

        Raises:
            ClosedError: It has.
        """
        if self._settings.state == "ended":
            raise ClosedError(f"call {self.id} has ended")

    def __repr__(self) -> str:
        return f"<Call {self.id}: {self.name!r}, {self.state}>"


def _checked_gain(what: str, gain: float) -> float:
    is_number = isinstance(gain, (int, float)) and not isinstance(gain, bool)
    if not (is_number and 0 <= gain <= MAX_GAIN):
        raise ConfigError(f"{what} is {gain!r}; expected 0 to {MAX_GAIN:g}")
    return float(gain)
