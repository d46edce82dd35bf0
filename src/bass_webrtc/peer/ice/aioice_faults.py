"""aioice's sockets and TURN clients, with their faults worked around.

    what aioice 0.13 does                                             what happens here instead
    ───────────────────────────────────────────────────────────────   ─────────────────────────────────────────────
    hands data from any address to the receiver, in an endless queue  ``packet_received`` says where it came from
    raises struct.error on a short attribute                          dropped, counted
    reads STUN without looking at its magic cookie                    ``rtc.stun`` reads it first
    answers 400 and 401 to anybody                                    ``admits`` decides; strangers get no answer
    sends relayed data by a task per packet                           ``send_now``, at once and in order
    holds data back while a TURN channel is refreshed                 refreshed beside the data
    refreshes a channel after 500 s, its permission lasts 300 s       after 240 s (RFC 8656, 9 and 12)
    waits 63 s for a dead TURN server at the end                      1 s
    lets unsent data pile up while TCP stands still                   dropped, counted; the system takes little, too

The faults of its check list are ``ice_agent.py``'s business.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
import time
from dataclasses import dataclass
from typing import Protocol

from aioice import stun as aioice_stun
from aioice.ice import Connection, StunProtocol
from aioice.turn import TurnClientMixin, TurnClientTcpProtocol, TurnClientUdpProtocol

from ...config import TurnServer
from ...rtc import stun

Address = tuple[str, int]

_FIRST_BYTES_OF_STUN = range(4)  # RFC 7983, 7.
_MAX_UNSENT_BYTES = 1 << 14
"""Of one second's audio at 128 kbit/s. What waits longer than that comes too late to be heard."""
_ALLOCATION_LIFETIME_S = 600
_CHANNEL_REFRESH_S = 240
_REFRESH_RETRY_S = 10
_GOODBYE_S = 1.0


@dataclass(slots=True)
class IceCounters:
    """What was dropped."""

    unsent: int = 0
    """Datagrams of ours: there was no pair, or too much was waiting already."""
    stray: int = 0
    """Datagrams from addresses that no check of the peer has validated."""
    unauthenticated: int = 0
    """STUN requests that were not made for us, or not with our password."""
    malformed: int = 0
    """Datagrams that look like STUN and are none."""


class Receiver(Protocol):
    """What an ``IceSocket`` asks of its agent."""

    counters: IceCounters

    def admits(self, request: stun.Message, source: Address, local: IceSocket) -> bool:
        """Whether a binding request is to be processed."""

    def packet_received(self, data: bytes, source: Address, local: IceSocket) -> None:
        """Take a datagram that is not STUN, from anybody."""


class IceSocket(StunProtocol):
    """A local candidate: a UDP socket of this host, or an allocation on a TURN server.

    Attributes:
        relay: The TURN client, for an allocation.
    """

    def __init__(self, connection: Connection, agent: Receiver, relay: SteadyTurn | None = None) -> None:
        """
        Args:
            connection: The agent as aioice sees it.
            agent: The same agent as we see it.
            relay: For an allocation.
        """
        super().__init__(connection)
        self._agent = agent
        self.relay = relay

    def datagram_received(self, data: bytes | str, addr: tuple[object, ...]) -> None:
        """Sorts by the first byte; never raises, whatever arrives."""
        host, port = addr[:2]
        assert isinstance(data, bytes)
        assert isinstance(host, str)
        assert isinstance(port, int)
        if not data:
            return  # aiortc closes its session on an empty datagram.
        if data[0] not in _FIRST_BYTES_OF_STUN:
            self._agent.packet_received(data, (host, port), self)
        elif self._is_usable(data, (host, port)):
            try:
                super().datagram_received(data, addr)
            except struct.error:
                self._agent.counters.malformed += 1

    def send(self, data: bytes, destination: Address) -> bool:
        """Sends at once; False when it was dropped because too much waits already, or the way is gone."""
        if self.relay is not None:
            return self.relay.send_now(data, destination)
        if self.transport.is_closing() or self.unsent_bytes > _MAX_UNSENT_BYTES:
            return False
        self.transport.sendto(data, destination)
        return True

    @property
    def unsent_bytes(self) -> int:
        """What waits for the system to take it."""
        return _unsent_bytes(self.transport)

    @property
    def descriptor(self) -> int | None:
        """The UDP socket's file descriptor; None for an allocation."""
        own = None if self.relay is not None else self.transport.get_extra_info("socket")
        return own.fileno() if own is not None else None

    def _is_usable(self, data: bytes, source: Address) -> bool:
        try:
            message = stun.Message.parse(data)
        except stun.StunError:
            self._agent.counters.malformed += 1
            return False
        if message.kind == stun.BINDING_REQUEST:
            return self._agent.admits(message, source, self)
        return message.kind in (stun.BINDING_SUCCESS, stun.BINDING_ERROR)


class SteadyTurn(TurnClientMixin):
    """What both TURN clients below do better than aioice's."""

    transport: asyncio.Transport | asyncio.DatagramTransport

    def __init__(self, server: TurnServer) -> None:
        """
        Args:
            server: What to log in to.
        """
        address = (server.host, server.port)
        super().__init__(address, server.username, server.credential, _ALLOCATION_LIFETIME_S, _CHANNEL_REFRESH_S)
        self._refreshing: asyncio.Task[None] | None = None

    def datagram_received(self, data: bytes | str, addr: Address) -> None:
        """A message of the server that is malformed is no message."""
        with contextlib.suppress(struct.error):
            super().datagram_received(data, addr)

    def send_now(self, data: bytes, peer: Address) -> bool:
        """Sends to a peer that a channel is bound to, which a check has done; False when it was dropped."""
        channel = self.peer_to_channel.get(peer)
        if channel is None or self.transport.is_closing() or _unsent_bytes(self.transport) > _MAX_UNSENT_BYTES:
            return False
        self._send(struct.pack("!HH", channel, len(data)) + data)
        if time.time() >= self.channel_refresh_at[channel]:
            self._refresh_channel(channel, peer)
        return True

    async def send_data(self, data: bytes, addr: Address) -> None:
        """Sends, and binds a channel first if need be."""
        if addr in self.peer_to_channel:
            self.send_now(data, addr)
        else:
            await super().send_data(data, addr)

    async def delete(self) -> None:
        """Gives the allocation back; does not wait long for a server that does not answer."""
        if self._refreshing is not None:
            self._refreshing.cancel()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_GOODBYE_S):
                await super().delete()

    def _refresh_channel(self, channel: int, peer: Address) -> None:
        self.channel_refresh_at[channel] = time.time() + _REFRESH_RETRY_S
        self._refreshing = asyncio.create_task(self._bind_again(channel, peer))

    async def _bind_again(self, channel: int, peer: Address) -> None:
        # If this keeps failing the peer hears nothing any more, and consent ends the session.
        with contextlib.suppress(aioice_stun.TransactionError):
            await self.channel_bind(channel, peer)
            self.channel_refresh_at[channel] = time.time() + self.channel_refresh_time


class TurnOverUdp(SteadyTurn, TurnClientUdpProtocol):
    """TURN over UDP."""

    transport: asyncio.DatagramTransport


class TurnOverTcp(SteadyTurn, TurnClientTcpProtocol):
    """TURN over TCP, and over TLS after ``start_tls``."""

    transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The system must not hold back more than we do: without a limit it takes minutes of audio."""
        super().connection_made(transport)
        own = transport.get_extra_info("socket")
        with contextlib.suppress(OSError):  # The server has hung up already; macOS says so here.
            own.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _MAX_UNSENT_BYTES)

    async def start_tls(self, context: ssl.SSLContext, host: str) -> None:
        """Before anything is sent.

        Args:
            context: Trusts the server.
            host: What its certificate must be for.

        Raises:
            OSError: It is not for this host, or nobody signed it; or the server does not speak TLS.
        """
        # What asyncio would keep beneath TLS, 64 KiB, is in no ``get_write_buffer_size``.
        self.transport.set_write_buffer_limits(high=0)
        loop = asyncio.get_running_loop()
        over_tls = await loop.start_tls(self.transport, self, context, server_hostname=host)
        if over_tls is None:
            raise ConnectionResetError("the connection was lost during the handshake")
        self.transport = over_tls


def _unsent_bytes(transport: asyncio.Transport | asyncio.DatagramTransport) -> int:
    # Datagram transports have it as well, but typeshed does not know.
    size: int = transport.get_write_buffer_size()  # type: ignore[union-attr]
    return size
