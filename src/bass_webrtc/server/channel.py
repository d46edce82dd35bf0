"""``Channel``: the program's handle of one named programme of a server."""

from __future__ import annotations

import os
from concurrent.futures import Future
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..bass import current_device
from ..config import MAIN, ChannelConfig
from ..errors import ClosedError, ConfigError
from ..loop_thread import wait
from ..recording import Recording
from ..sources import Source, check_source
from ..stats import ChannelStats
from .peer import check_text

if TYPE_CHECKING:
    from .server import ServerBase

_MAX_FADE_MS = 60_000
CLOSED = "the channel was closed"


def check_fade_ms(fade_ms: int) -> None:
    """Check the length of a cross-fade.

    Raises:
        ConfigError: It is not a whole number of milliseconds, 0 to 60,000.
    """
    is_number = isinstance(fade_ms, int) and not isinstance(fade_ms, bool)
    if not (is_number and 0 <= fade_ms <= _MAX_FADE_MS):
        raise ConfigError(f"fade_ms is {fade_ms!r}; expected a whole number, 0 to {_MAX_FADE_MS}")


class ChannelBase:
    """What ``bass_webrtc.Channel`` and ``bass_webrtc.aio.Channel`` share.

    Attributes:
        name: Its name on the server: ``"main"``, or that of ``add_channel``.
        config: Its own settings; those of ``"main"`` are the server's.
        source: What it plays, or plays from the next ``start`` of the server on.
    """

    def __init__(self, server: ServerBase[Any], name: str, source: Source, config: ChannelConfig) -> None:
        """Call ``Server.add_channel`` instead."""
        self.name = name
        self.config = config
        self.source = source
        self._server = server

    @property
    def listeners(self) -> int:
        """Number of connected peers that hear it."""
        return self._server._channel_listeners(self)

    def stats(self) -> ChannelStats:
        """Return a snapshot of its statistics; after the server's ``stop``, the last one."""
        return self._server._channel_stats(self)

    def set_bitrate(self, bitrate_kbps: int) -> None:
        """Change the bitrate of its first encoding, from the next frame on and for later starts. Never waits.

        Args:
            bitrate_kbps: 6 to 510, and above that of the second encoding.

        Raises:
            ConfigError: ``bitrate_kbps`` is out of range.
            ClosedError: The channel was closed.
        """
        self._check_open()
        if self.name == MAIN:
            self._server.set_bitrate(bitrate_kbps)
            return
        _, *others = self.config.bitrates_kbps or self._server.config.bitrates_kbps
        config = replace(self.config, bitrates_kbps=(bitrate_kbps, *others))
        self._server._check_bitrate(self, bitrate_kbps)
        self.config = config
        self._server._apply_bitrate(self, bitrate_kbps)

    def _record(self, path: str | os.PathLike[str], rotate_s: float) -> Future[Recording]:
        self._check_open()
        return self._server._submit(lambda run: run.record_channel(self, path, rotate_s))

    def _set_source(self, source: Source, fade_ms: int) -> Future[None]:
        check_source(source)
        check_fade_ms(fade_ms)
        self._check_open()
        return self._server._set_channel_source(self, source, fade_ms, current_device())

    def _close(self, reason: str) -> Future[None]:
        check_text(reason, "the reason")
        if self.name == MAIN:
            raise ConfigError(f"channel {MAIN!r} cannot be closed; give it another source, or stop the server")
        return self._server._close_channel(self, reason)

    def _check_open(self) -> None:
        if self._server.channels.get(self.name) is not self:
            raise ClosedError(f"channel {self.name!r} was closed")

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r}>"


class Channel(ChannelBase):
    """A named programme of a server: a source, its encodings and its listeners. All members: any thread.

    Attributes:
        name: Its name on the server: ``"main"``, or that of ``add_channel``.
        config: Its own settings; those of ``"main"`` are the server's.
        source: What it plays, or plays from the next ``start`` of the server on.
    """

    def set_source(self, source: Source, fade_ms: int = 500) -> None:
        """Play another source, cross-faded; the listeners stay connected. Returns when only the new one is played.

        A second call during a fade waits for its end; if several wait, the last one's source is played, however long
        each takes to open. The former source is closed; a BASS handle or ``PcmSource`` may be used otherwise when this
        returns.

        Args:
            source: As of ``Server``. None: silence, and nobody else may listen.
            fade_ms: Length of the cross-fade in ms, 0 to 60,000. A former source that has ended is not faded.

        Raises:
            BassWebRtcError: The source cannot be opened. The former one is played on.
            ConfigError: An argument is wrong.
            ClosedError: The channel was closed, or the server stopped meanwhile.
        """
        wait(self._set_source(source, fade_ms))

    def record(self, path: str | os.PathLike[str], rotate_s: float = 0.0) -> Recording:
        """Record the channel as it is sent, in its first encoding, also without listeners. Waits some milliseconds; the
        file is written by another thread.

        An Ogg Opus file, without encoding again, which is valid even if the program is killed. Its time is to one frame
        the same as in other recordings of the server.

        Args:
            path: ``{name}``, ``{date}`` and ``{time}`` are replaced. A file that exists is not overwritten: the new one
                is numbered.
            rotate_s: Length of each file in seconds, at least 1; 0: there is one.

        Raises:
            ConfigError: ``rotate_s`` is too short.
            ClosedError: The channel was closed, or the server is not running.
        """
        return wait(self._record(path, rotate_s))

    def close(self, reason: str = CLOSED) -> None:
        """Disconnect its listeners, remove it and close its source. Idempotent. Waits for all of that.

        Args:
            reason: Told by the event ``peer_disconnected`` of each listener, and by ``channel_closed``.

        Raises:
            ConfigError: It is ``"main"``.
            ClosedError: The server was stopped meanwhile.
        """
        wait(self._close(reason))
