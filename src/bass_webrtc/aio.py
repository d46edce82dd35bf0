"""``Server``, ``WhipClient`` and ``WhepClient`` for asyncio: every method that may wait is a coroutine.

    async with bw.aio.Server(bw.Tone()) as server:
        await server.start()

All other members are those of the classes of the same name in ``bass_webrtc``. ICE, DTLS, RTCP and HTTP run on a loop
thread of the library, so they are not delayed when the program's own event loop blocks. Callbacks of ``on`` run on the
event thread; use ``loop.call_soon_threadsafe`` to get to a loop.
"""

from __future__ import annotations

import asyncio
import os

from .client.clients import ClientBase, WhepClientBase, WhipClientBase
from .client.run import ClientRun
from .config import MAIN, ChannelConfig
from .loop_thread import AsyncLifecycle
from .recording import Recording
from .server.channel import CLOSED, ChannelBase
from .server.peer import Peer
from .server.run import ServerRun
from .server.server import ServerBase
from .sources import Source
from .stats import Kind


class Channel(ChannelBase):
    """``bass_webrtc.Channel`` for asyncio."""

    async def set_source(self, source: Source, fade_ms: int = 500) -> None:
        """Play another source, cross-faded; see ``bass_webrtc.Channel.set_source``.

        Cancelling it does not stop a fade that has begun.
        """
        await asyncio.wrap_future(self._set_source(source, fade_ms))

    async def record(self, path: str | os.PathLike[str], rotate_s: float = 0.0) -> Recording:
        """Record the channel as it is sent; see ``bass_webrtc.Channel.record``."""
        return await asyncio.wrap_future(self._record(path, rotate_s))

    async def close(self, reason: str = CLOSED) -> None:
        """Disconnect the listeners and remove the channel; see ``bass_webrtc.Channel.close``."""
        await asyncio.wrap_future(self._close(reason))


class Server(ServerBase[Channel], AsyncLifecycle[ServerRun]):
    """``bass_webrtc.Server`` for asyncio; an asynchronous context manager."""

    _make_channel = Channel

    async def add_channel(self, name: str, source: Source, config: ChannelConfig | None = None) -> Channel:
        """Add a channel; see ``bass_webrtc.Server.add_channel``."""
        return await asyncio.wrap_future(self._add_channel(name, source, config))

    async def set_talkback(self, source: Source) -> None:
        """Set the producers' microphone; see ``bass_webrtc.Server.set_talkback``."""
        await asyncio.wrap_future(self._set_for_callers("talkback", source))

    async def set_hold(self, source: Source) -> None:
        """Set what callers hear who wait; see ``bass_webrtc.Server.set_hold``."""
        await asyncio.wrap_future(self._set_for_callers("hold", source))

    async def add_peer(self, offer_sdp: str, channel: str = MAIN) -> tuple[Peer, str]:
        """Answer an offer that the program received; see ``bass_webrtc.Server.add_peer``."""
        return await asyncio.wrap_future(self._add_peer(offer_sdp, channel))

    async def create_offer(self, kind: Kind = "sendrecv", channel: str = MAIN) -> tuple[Peer, str]:
        """Create an offer for the program to send to a peer; see ``bass_webrtc.Server.create_offer``.

        The peer's ``set_answer`` and ``add_ice_candidate`` never wait, so they are ordinary methods.
        """
        return await asyncio.wrap_future(self._create_offer(kind, channel))

    async def remove_peer(self, peer_id: int) -> None:
        """Disconnect a peer; see ``bass_webrtc.Server.remove_peer``."""
        await asyncio.wrap_future(self._remove_peer(peer_id))


class _Client(ClientBase, AsyncLifecycle[ClientRun]):
    async def wait_connected(self, timeout_s: float | None = None) -> bool:
        """Wait until the client is connected; see ``bass_webrtc.WhipClient.wait_connected``."""
        decided = self._progress.decided()
        if decided.done():
            return decided.result()
        try:
            return await asyncio.wait_for(asyncio.wrap_future(decided), timeout_s)
        except TimeoutError:
            return False


class WhipClient(WhipClientBase, _Client):
    """``bass_webrtc.WhipClient`` for asyncio; an asynchronous context manager."""


class WhepClient(WhepClientBase, _Client):
    """``bass_webrtc.WhepClient`` for asyncio; an asynchronous context manager."""
