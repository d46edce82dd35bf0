"""aioice's sockets and TURN clients, with their faults worked around.

    what aioice 0.13 does                                             what happens here instead
    ───────────────────────────────────────────────────────────────   ─────────────────────────────────────────────
    queues data from any address, without limit                       ``packet_received`` gets data and its source
    raises struct.error on a short attribute                          dropped, counted
    parses STUN without checking the magic cookie                     ``rtc.stun`` parses it first
    answers 400 and 401 to any sender                                 ``accepts_request`` decides; no answer otherwise
    sends relayed data with a task per packet                         ``send_now``, immediately and in order
    holds data back while a TURN channel is refreshed                 refreshed in the background
    refreshes a channel after 500 s; its permission lasts 300 s       after 240 s (RFC 8656, 9 and 12)
    waits 63 s for a dead TURN server when closing                    1 s
    refreshes an allocation of 0 s without any pause                  less than 6 s is refused; at most 600 s counts
    uses any address that a server reports                            ``is_usable_address`` decides
    takes quadratic time for many short messages over TCP             linear; a message over 4 KiB ends the connection
    lets unsent data pile up while TCP is blocked                     dropped, counted; small system buffer, too

The faults of its check list are worked around in ``agent.py``.
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
from aioice.turn import TurnClientMixin, TurnClientTcpProtocol, TurnClientUdpProtocol, is_channel_data

from ...config import TurnServer
from ...rtc import stun
from ...rtc.candidate import is_usable_address
from .addresses import format_address

Address = tuple[str, int]

_FIRST_BYTES_OF_STUN = range(4)  # RFC 7983, 7.
_STUN_HEADER_BYTES = 20
_TURN_HEADER_BYTES = 4
_MAX_UNSENT_BYTES = 1 << 14
"""One second of audio at 128 kbit/s. Data that waits longer arrives too late to be played."""
_ALLOCATION_LIFETIME_S = 600
_MIN_LIFETIME_S = 6
_MAX_TURN_MESSAGE_BYTES = 1 << 12
"""Relayed datagrams have at most 1,500 bytes, other messages of a server a few hundred."""
_FIRST_BYTE_AFTER_CHANNELS = 0x80
_CHANNEL_REFRESH_S = 240
_REFRESH_RETRY_S = 10
_DELETE_TIMEOUT_S = 1.0


@dataclass(slots=True)
class IceCounters:
    """Dropped datagrams."""

    unsent: int = 0
    """Outgoing datagrams: no pair was selected, or too much data was waiting already."""
    unvalidated: int = 0
    """Datagrams from addresses that the peer has not validated with a check."""
    unauthenticated: int = 0
    """STUN requests for another agent, or without the right password."""
    malformed: int = 0
    """Datagrams that start like STUN but are not valid STUN."""


class Receiver(Protocol):
    """The agent, as an ``IceSocket`` sees it."""

    counters: IceCounters

    def accepts_request(self, request: stun.Message, source: Address, local: IceSocket) -> bool:
        """Return whether to process a binding request."""

    def may_send_check(self, remote: Address, local: IceSocket) -> bool:
        """Return whether a check may be sent to this address now, and count it if so."""

    def packet_received(self, data: bytes, source: Address, local: IceSocket) -> None:
        """Handle a datagram that is not STUN, from any source."""


class IceSocket(StunProtocol):
    """The base of a local candidate: a UDP socket of this host, or an allocation on a TURN server.

    Attributes:
        relay: The TURN client of an allocation, otherwise None.
    """

    def __init__(self, connection: Connection, agent: Receiver, relay: SteadyTurn | None = None) -> None:
        """
        Args:
            connection: The agent as aioice's type.
            agent: The same agent as a ``Receiver``.
            relay: The TURN client of an allocation.
        """
        super().__init__(connection)
        self._agent = agent
        self.relay = relay

    def datagram_received(self, data: bytes | str, addr: tuple[object, ...]) -> None:
        """Dispatch by the first byte (RFC 7983); never raises, whatever arrives."""
        host, port = addr[:2]
        assert isinstance(data, bytes)
        assert isinstance(host, str)
        assert isinstance(port, int)
        if not data:
            return  # aiortc closes its session on an empty datagram.
        if data[0] not in _FIRST_BYTES_OF_STUN:
            self._agent.packet_received(data, (host, port), self)
        elif self._is_acceptable(data, (host, port)):
            try:
                super().datagram_received(data, addr)
            except struct.error:
                self._agent.counters.malformed += 1

    def send_stun(self, message: aioice_stun.Message, addr: Address) -> None:
        """Send a message, unless it is a check and the agent has sent too many."""
        is_check = message.message_class == aioice_stun.Class.REQUEST and "USERNAME" in message.attributes
        if not is_check or self._agent.may_send_check(addr, self):
            super().send_stun(message, addr)

    def send(self, data: bytes, destination: Address) -> bool:
        """Send immediately; return False if the datagram was dropped: too much data waits, or the socket is closed."""
        if self.relay is not None:
            return self.relay.send_now(data, destination)
        if self.transport.is_closing() or self.unsent_bytes > _MAX_UNSENT_BYTES:
            return False
        self.transport.sendto(data, destination)
        return True

    @property
    def unsent_bytes(self) -> int:
        """Number of bytes that the system has not accepted yet."""
        return _unsent_bytes(self.transport)

    @property
    def descriptor(self) -> int | None:
        """File descriptor of the UDP socket; None for an allocation."""
        sock = None if self.relay is not None else self.transport.get_extra_info("socket")
        return sock.fileno() if sock is not None else None

    def _is_acceptable(self, data: bytes, source: Address) -> bool:
        try:
            message = stun.Message.parse(data)
        except stun.StunError:
            self._agent.counters.malformed += 1
            return False
        if message.kind == stun.BINDING_REQUEST:
            return self._agent.accepts_request(message, source, self)
        return message.kind in (stun.BINDING_SUCCESS, stun.BINDING_ERROR)


class SteadyTurn(TurnClientMixin):
    """Base of both TURN clients below, with the improvements over aioice's."""

    transport: asyncio.Transport | asyncio.DatagramTransport

    def __init__(self, server: TurnServer) -> None:
        """
        Args:
            server: The TURN server and the credentials for it.
        """
        address = (server.host, server.port)
        super().__init__(address, server.username, server.credential, _ALLOCATION_LIFETIME_S, _CHANNEL_REFRESH_S)
        self._refreshing: asyncio.Task[None] | None = None

    def datagram_received(self, data: bytes | str, addr: Address) -> None:
        """Handle a message of the server; malformed ones are ignored."""
        assert isinstance(data, bytes)
        if not data or len(data) > _MAX_TURN_MESSAGE_BYTES or not (is_channel_data(data) or _is_stun(data)):
            return
        with contextlib.suppress(struct.error):
            super().datagram_received(data, addr)

    async def request(self, request: aioice_stun.Message) -> tuple[aioice_stun.Message, Address]:
        """Send a request and return the response.

        Raises:
            ConnectionError: The response has a lifetime or an address that cannot be right.
        """
        response, source = await super().request(request)
        lifetime_s = response.attributes.get("LIFETIME")
        if lifetime_s is not None and request.attributes.get("LIFETIME") != 0:
            if lifetime_s < _MIN_LIFETIME_S:
                raise ConnectionError(f"it grants an allocation for {lifetime_s} s; expected {_MIN_LIFETIME_S} or more")
            response.attributes["LIFETIME"] = min(lifetime_s, _ALLOCATION_LIFETIME_S)
        for name in ("XOR-RELAYED-ADDRESS", "XOR-MAPPED-ADDRESS"):
            check_reported(response.attributes.get(name))
        return response, source

    def send_now(self, data: bytes, peer: Address) -> bool:
        """Send to a peer through its channel, which a check has bound; return False if the datagram was dropped."""
        channel = self.peer_to_channel.get(peer)
        if channel is None or self.transport.is_closing() or _unsent_bytes(self.transport) > _MAX_UNSENT_BYTES:
            return False
        self._send(struct.pack("!HH", channel, len(data)) + data)
        if time.time() >= self.channel_refresh_at[channel]:
            self._refresh_channel(channel, peer)
        return True

    async def send_data(self, data: bytes, addr: Address) -> None:
        """Send to a peer, after binding a channel if there is none."""
        if addr in self.peer_to_channel:
            self.send_now(data, addr)
        else:
            await super().send_data(data, addr)

    async def delete(self) -> None:
        """Delete the allocation; waits at most 1 s for the server."""
        if self._refreshing is not None:
            self._refreshing.cancel()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_DELETE_TIMEOUT_S):
                await super().delete()

    def _refresh_channel(self, channel: int, peer: Address) -> None:
        self.channel_refresh_at[channel] = time.time() + _REFRESH_RETRY_S
        self._refreshing = asyncio.create_task(self._rebind_channel(channel, peer))

    async def _rebind_channel(self, channel: int, peer: Address) -> None:
        # If this keeps failing, the peer no longer receives anything and the session ends when consent expires.
        with contextlib.suppress(aioice_stun.TransactionError):
            await self.channel_bind(channel, peer)
            self.channel_refresh_at[channel] = time.time() + self.channel_refresh_time


class TurnOverUdp(SteadyTurn, TurnClientUdpProtocol):
    """TURN over UDP."""

    transport: asyncio.DatagramTransport


class TurnOverTcp(SteadyTurn, TurnClientTcpProtocol):
    """TURN over TCP, and over TLS after ``start_tls``."""

    transport: asyncio.Transport

    def __init__(self, server: TurnServer) -> None:
        super().__init__(server)
        self._received = bytearray()

    def data_received(self, data: bytes) -> None:
        """Split the stream into messages (RFC 8656, 12.4 and 12.5); one that is too long ends the connection."""
        received = self._received
        received += data
        address = self.transport.get_extra_info("peername")
        at = 0
        while len(received) - at >= _TURN_HEADER_BYTES:
            length = int.from_bytes(received[at + 2 : at + 4])
            is_stun = received[at] in _FIRST_BYTES_OF_STUN
            end = at + length + (_STUN_HEADER_BYTES if is_stun else _TURN_HEADER_BYTES + -length % 4)
            if received[at] >= _FIRST_BYTE_AFTER_CHANNELS or end - at > _MAX_TURN_MESSAGE_BYTES:
                self.transport.abort()
                return
            if end > len(received):
                break
            self.datagram_received(bytes(received[at:end]), address)
            at = end
        del received[:at]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Limit the send buffer of the system: by default it holds minutes of audio."""
        super().connection_made(transport)
        sock = transport.get_extra_info("socket")
        with contextlib.suppress(OSError):  # macOS raises here if the server has already closed the connection.
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _MAX_UNSENT_BYTES)

    async def start_tls(self, context: ssl.SSLContext, host: str) -> None:
        """Switch to TLS; call it before anything is sent.

        Args:
            context: Trusts the server.
            host: Name that the certificate must match.

        Raises:
            OSError: The certificate is not trusted or is for another host, or the server does not speak TLS.
        """
        # The 64 KiB that asyncio would buffer below TLS do not appear in ``get_write_buffer_size``.
        self.transport.set_write_buffer_limits(high=0)
        loop = asyncio.get_running_loop()
        over_tls = await loop.start_tls(self.transport, self, context, server_hostname=host)
        if over_tls is None:
            raise ConnectionResetError("the connection was lost during the TLS handshake")
        self.transport = over_tls


def check_reported(address: Address | None) -> None:
    """Check an address that a STUN or TURN server reports, if there is one.

    Raises:
        ConnectionError: No peer can be reached there.
    """
    if address is not None and not is_usable_address(*address):
        raise ConnectionError(f"it reports the address {format_address(*address)}, where no peer can be reached")


def _is_stun(data: bytes) -> bool:
    try:
        stun.Message.parse(data)
    except stun.StunError:
        return False
    return True


def _unsent_bytes(transport: asyncio.Transport | asyncio.DatagramTransport) -> int:
    # Datagram transports have this method as well, but typeshed does not know it.
    size: int = transport.get_write_buffer_size()  # type: ignore[union-attr]
    return size
