"""Our own candidates: where the peer may reach us (RFC 8445, 5.1.1).

    each address of this host ──────────────► a UDP socket               host candidate
        └── asks each STUN server ──────────► our address outside        server-reflexive candidate, same socket
    each TURN server, over UDP, TCP or TLS ─► an allocation on it        relayed candidate

All servers are asked at the same time, so a dead one costs nothing but its own candidate. Who answers late is still
used: its candidate is paired as soon as it is there.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import ipaddress
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import cast

import aioice
from aioice import stun as aioice_stun
from aioice.candidate import candidate_foundation
from aioice.turn import TurnTransport

from ...config import IceServerAddress, StunServer, TurnServer
from ..sockets import open_sockets
from .aioice_faults import Address, IceSocket, SteadyTurn, TurnOverTcp, TurnOverUdp

LATE_S = 10.0
"""How long an answer is waited for in the background. TLS to a far server takes six round trips."""

_REPEAT_S = 0.2
_TYPE_PREFERENCES = {"host": 126, "srflx": 100, "relay": 0}  # RFC 8445, 5.1.2.2.
_RELAY_PREFERENCES = {"udp": 40_000, "tcp": 30_000, "tls": 20_000}
"""UDP all the way before TCP, whose retransmissions delay audio; TLS last."""
_HIDDEN = {4: ("0.0.0.0", 9), 6: ("::", 9)}  # RFC 8839, 5.1.

Found = tuple[aioice.Candidate, IceSocket]
Work = Callable[[], Awaitable[Found | None]]


class Gatherer:
    """Finds the candidates of one agent.

    Attributes:
        failures: Server → why it gave no candidate, in words.
    """

    def __init__(
        self,
        new_socket: Callable[[SteadyTurn | None], IceSocket],
        on_found: Callable[[aioice.Candidate, IceSocket], None],
        *,
        on_done: Callable[[], None],
        public_ips: Sequence[str] = (),
        tls_context: ssl.SSLContext | None = None,
        hide_related: bool = False,
    ) -> None:
        """
        Args:
            new_socket: Makes an ``IceSocket`` of the agent: for a UDP socket, or for the allocation of a TURN client.
            on_found: Called once for each candidate, at any time until ``close``.
            on_done: Called each time when the last server that was asked has answered, or will not.
            public_ips: Addresses that a 1:1 NAT in front of this machine hands on to it, ports unchanged.
            tls_context: For ``turns:``; by default the system's certificate authorities count.
            hide_related: No candidate tells our own address beside its own (RFC 8827, 6.4).
        """
        self.failures: dict[str, str] = {}
        self._new_socket = new_socket
        self._on_found = on_found
        self._on_done = on_done
        self._public_ips = tuple(public_ips)
        self._tls_context = tls_context
        self._hide_related = hide_related
        self._bases: list[IceSocket] = []
        self._known: set[tuple[str, int, int]] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def open_hosts(self, hosts: Sequence[str]) -> None:
        """Binds a UDP socket to each address; one that has just gone is left out."""
        loop = asyncio.get_running_loop()
        for number, host in enumerate(hosts):
            for one in open_sockets([host], 0):
                _, base = await loop.create_datagram_endpoint(functools.partial(self._new_socket, None), sock=one)
                address = one.getsockname()[:2]
                base.local_candidate = _candidate("host", address, 65_535 - number, address[0])
                self._bases.append(base)
                self._report(base.local_candidate, base)
                for public in self._public_ips:
                    if (":" in public) == (":" in address[0]):
                        mapped = (public, address[1])
                        related = self._shown(address)
                        self._report(_candidate("srflx", mapped, 65_535 - number, address[0], related), base)

    async def ask(self, servers: Iterable[IceServerAddress], timeout_s: float) -> None:
        """Asks all servers at once and waits until they answered, but not longer than ``timeout_s``."""
        tasks = [self._start(str(server), work) for server in servers for work in self._works(server)]
        if tasks:
            await asyncio.wait(tasks, timeout=timeout_s)

    async def close(self) -> None:
        """Stops asking."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _works(self, server: IceServerAddress) -> list[Work]:
        """What to ask a server. A TURN server over UDP answers STUN as well, so it is asked both, as browsers do."""
        works: list[Work] = []
        if isinstance(server, StunServer) or server.transport == "udp":
            works += [functools.partial(self._reflect, server, base) for base in self._bases]
        if isinstance(server, TurnServer):
            works.append(functools.partial(self._allocate, server))
        return works

    def _start(self, name: str, work: Work) -> asyncio.Task[None]:
        task = asyncio.create_task(self._run(name, work))
        self._tasks.add(task)
        task.add_done_callback(self._finished)
        return task

    @property
    def is_done(self) -> bool:
        """Whether nobody is waited for."""
        return not self._tasks

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if self.is_done:
            self._on_done()

    async def _run(self, name: str, work: Work) -> None:
        try:
            async with asyncio.timeout(LATE_S):
                found = await work()
        except TimeoutError:
            self.failures[name] = "does not answer"
        except (OSError, aioice_stun.TransactionError) as error:
            self.failures[name] = str(error) or type(error).__name__
        else:
            if found is not None:
                self._report(*found)

    def _report(self, candidate: aioice.Candidate, local: IceSocket) -> None:
        """Passes on what is not redundant: the same address with the same base is (RFC 8445, 5.1.3)."""
        key = (candidate.host, candidate.port, local.id)
        if key not in self._known:
            self._known.add(key)
            self._on_found(candidate, local)

    def _shown(self, related: Address) -> Address:
        """What is told of where a candidate comes from."""
        return _HIDDEN[ipaddress.ip_address(related[0]).version] if self._hide_related else related

    async def _reflect(self, server: IceServerAddress, base: IceSocket) -> Found | None:
        """Asks how a socket of ours looks from outside (RFC 8489, 2)."""
        own = base.local_candidate
        address = await _resolve(server, socket.AF_INET6 if ":" in own.host else socket.AF_INET)
        if address is None:
            return None  # It has no address of this family.
        request = aioice_stun.Message(aioice_stun.Method.BINDING, aioice_stun.Class.REQUEST)
        # aioice repeats it after 500 ms, when an answer that cannot be trickled has gone out already.
        again = asyncio.get_running_loop().call_later(_REPEAT_S, base.send_stun, request, address)
        try:
            response, _ = await base.request(request, address)
        finally:
            again.cancel()
        mapped = response.attributes.get("XOR-MAPPED-ADDRESS")
        if mapped is None:
            raise ConnectionError("its answer names no address")
        preference = (own.priority >> 8) & 0xFFFF
        return _candidate("srflx", mapped, preference, own.host, self._shown((own.host, own.port))), base

    async def _allocate(self, server: TurnServer) -> Found:
        """Asks a TURN server to relay for us (RFC 8656, 7)."""
        client = await self._connect(server)
        local = self._new_socket(client)
        relay = TurnTransport(cast(TurnOverUdp, client))
        try:
            await relay._connect(local)
        except BaseException:
            client.transport.close()
            raise
        address, related = relay.get_extra_info("sockname"), self._shown(relay.get_extra_info("related_address"))
        preference = _RELAY_PREFERENCES["tls" if server.tls else server.transport]
        local.local_candidate = _candidate("relay", address, preference, address[0], related)
        return local.local_candidate, local

    async def _connect(self, server: TurnServer) -> SteadyTurn:
        loop = asyncio.get_running_loop()
        address = (server.host, server.port)
        if server.transport == "udp":
            _, over_udp = await loop.create_datagram_endpoint(lambda: TurnOverUdp(server), remote_addr=address)
            return over_udp
        _, over_tcp = await loop.create_connection(lambda: TurnOverTcp(server), *address)
        if server.tls:
            try:
                await over_tcp.start_tls(await self._context(), server.host)
            except BaseException:
                over_tcp.transport.close()
                raise
        return over_tcp

    async def _context(self) -> ssl.SSLContext:
        if self._tls_context is None:
            # Reading the certificate authorities takes 20 ms and more.
            loop = asyncio.get_running_loop()
            self._tls_context = await loop.run_in_executor(None, ssl.create_default_context)
        return self._tls_context


async def _resolve(server: IceServerAddress, family: socket.AddressFamily) -> Address | None:
    with contextlib.suppress(ValueError):  # An address needs no thread to look it up.
        is_ipv6 = ipaddress.ip_address(server.host).version == 6
        return (server.host, server.port) if is_ipv6 == (family == socket.AF_INET6) else None
    loop = asyncio.get_running_loop()
    with contextlib.suppress(socket.gaierror):
        for *_, address in await loop.getaddrinfo(server.host, server.port, family=family, type=socket.SOCK_DGRAM):
            return str(address[0]), server.port
    return None


def _candidate(
    kind: str, address: Address, local_preference: int, base_host: str, related: Address | None = None
) -> aioice.Candidate:
    """Priorities of RFC 8445, 5.1.2.1; unlike aioice's no two host candidates have the same."""
    priority = (_TYPE_PREFERENCES[kind] << 24) + (local_preference << 8) + 255
    related_host, related_port = related or (None, None)
    foundation = candidate_foundation(kind, "udp", base_host)
    return aioice.Candidate(foundation, 1, "udp", priority, *address, kind, related_host, related_port)
