"""Gathering of local candidates (RFC 8445, 5.1.1).

    each address of this host ──────────────► a UDP socket               host candidate
        └── queries each STUN server ───────► its public address         server-reflexive candidate, same socket
    each TURN server, over UDP, TCP or TLS ─► an allocation on it        relayed candidate

All servers are queried in parallel, so a dead one only costs its own candidate. A late response is still used: its
candidate is paired as soon as it is known.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import ipaddress
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TypeVar, cast

import aioice
from aioice import stun as aioice_stun
from aioice.candidate import candidate_foundation
from aioice.turn import TurnTransport

from ...config import IceServerAddress, StunServer, TurnServer
from .addresses import open_sockets
from .aioice_faults import Address, IceSocket, SteadyTurn, TurnOverTcp, TurnOverUdp, check_reported

SERVER_TIMEOUT_S = 10.0
"""How long a query may take in the background. TLS to a distant server takes six round trips."""

_RETRANSMIT_S = 0.2
_TYPE_PREFERENCES = {"host": 126, "srflx": 100, "relay": 0}  # RFC 8445, 5.1.2.2.
_RELAY_PREFERENCES = {"udp": 40_000, "tcp": 30_000, "tls": 20_000}
"""UDP before TCP, whose retransmissions delay audio; TLS last."""
_HIDDEN = {4: ("0.0.0.0", 9), 6: ("::", 9)}  # RFC 8839, 5.1.

Found = tuple[aioice.Candidate, IceSocket]
Query = Callable[[], Awaitable[Found | None]]
Client = TypeVar("Client", TurnOverTcp, TurnOverUdp)


class Gatherer:
    """Gathers the candidates of one agent.

    Attributes:
        failures: Server to the reason why it gave no candidate.
    """

    def __init__(
        self,
        new_socket: Callable[[SteadyTurn | None], IceSocket],
        on_found: Callable[[aioice.Candidate, IceSocket], None],
        *,
        on_done: Callable[[], None],
        allows_server: Callable[[str, str], bool] = lambda host, address: True,
        public_ips: Sequence[str] = (),
        tls_context: ssl.SSLContext | None = None,
        hide_related: bool = False,
    ) -> None:
        """
        Args:
            new_socket: Creates an ``IceSocket`` of the agent: for a UDP socket, or for the allocation of a TURN client.
            on_found: Called once for each candidate, at any time until ``close``.
            on_done: Called whenever the last outstanding query has ended.
            allows_server: Whether a server with this host may be queried at this address.
            public_ips: Addresses that a 1:1 NAT in front of this machine forwards to it, ports unchanged.
            tls_context: For ``turns:``; by default the certificate authorities of the system are trusted.
            hide_related: Replace the related address of candidates by 0.0.0.0 or :: (RFC 8827, 6.4).
        """
        self.failures: dict[str, str] = {}
        self._new_socket = new_socket
        self._on_found = on_found
        self._on_done = on_done
        self._allows_server = allows_server
        self._public_ips = tuple(public_ips)
        self._tls_context = tls_context
        self._hide_related = hide_related
        self._bases: list[IceSocket] = []
        self._known: set[tuple[str, int, int]] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def open_hosts(self, hosts: Sequence[str]) -> None:
        """Bind a UDP socket to each address; one that no longer exists is skipped."""
        loop = asyncio.get_running_loop()
        for number, host in enumerate(hosts):
            for sock in open_sockets([host], 0):
                _, base = await loop.create_datagram_endpoint(functools.partial(self._new_socket, None), sock=sock)
                address = sock.getsockname()[:2]
                base.local_candidate = _candidate("host", address, 65_535 - number, address[0])
                self._bases.append(base)
                self._report(base.local_candidate, base)
                for public in self._public_ips:
                    if (":" in public) == (":" in address[0]):
                        mapped = (public, address[1])
                        related = self._related(address)
                        self._report(_candidate("srflx", mapped, 65_535 - number, address[0], related), base)

    async def query(self, servers: Iterable[IceServerAddress], timeout_s: float) -> None:
        """Query all servers in parallel and wait for them, at most for ``timeout_s``."""
        tasks = [self._start(str(server), query) for server in servers for query in self._queries(server)]
        if tasks:
            await asyncio.wait(tasks, timeout=timeout_s)

    async def close(self) -> None:
        """Cancel outstanding queries."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _queries(self, server: IceServerAddress) -> list[Query]:
        """Return the queries for a server. A TURN server over UDP is also used as a STUN server, as browsers do."""
        queries: list[Query] = []
        if isinstance(server, StunServer) or server.transport == "udp":
            queries += [functools.partial(self._reflect, server, base) for base in self._bases]
        if isinstance(server, TurnServer):
            queries.append(functools.partial(self._allocate, server))
        return queries

    def _start(self, server_name: str, query: Query) -> asyncio.Task[None]:
        task = asyncio.create_task(self._run(server_name, query))
        self._tasks.add(task)
        task.add_done_callback(self._finished)
        return task

    @property
    def is_done(self) -> bool:
        """Whether no query is outstanding."""
        return not self._tasks

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if self.is_done:
            self._on_done()

    async def _run(self, server_name: str, query: Query) -> None:
        try:
            async with asyncio.timeout(SERVER_TIMEOUT_S):
                found = await query()
        except TimeoutError:
            self.failures[server_name] = "does not answer"
        except (OSError, aioice_stun.TransactionError) as error:
            self.failures[server_name] = str(error) or type(error).__name__
        else:
            if found is not None:
                self._report(*found)

    def _report(self, candidate: aioice.Candidate, local: IceSocket) -> None:
        """Report a candidate unless it is redundant: same address and same base (RFC 8445, 5.1.3)."""
        key = (candidate.host, candidate.port, local.id)
        if key not in self._known:
            self._known.add(key)
            self._on_found(candidate, local)

    def _related(self, related: Address) -> Address:
        """Return the related address to announce with a candidate."""
        return _HIDDEN[ipaddress.ip_address(related[0]).version] if self._hide_related else related

    async def _reflect(self, server: IceServerAddress, base: IceSocket) -> Found | None:
        """Query a STUN server for the public address of a local socket (RFC 8489, 2)."""
        own = base.local_candidate
        addresses: list[Address] = []
        with contextlib.suppress(socket.gaierror):
            addresses = await self._resolve(server, socket.AF_INET6 if ":" in own.host else socket.AF_INET)
        if not addresses:
            return None  # The server has no address of this family.
        address = addresses[0]
        request = aioice_stun.Message(aioice_stun.Method.BINDING, aioice_stun.Class.REQUEST)
        # aioice retransmits after 500 ms: too late for an SDP answer that cannot be followed by trickled candidates.
        retransmission = asyncio.get_running_loop().call_later(_RETRANSMIT_S, base.send_stun, request, address)
        try:
            response, _ = await base.request(request, address)
        finally:
            retransmission.cancel()
        mapped = response.attributes.get("XOR-MAPPED-ADDRESS")
        if mapped is None:
            raise ConnectionError("its response has no XOR-MAPPED-ADDRESS")
        check_reported(mapped)
        preference = (own.priority >> 8) & 0xFFFF
        return _candidate("srflx", mapped, preference, own.host, self._related((own.host, own.port))), base

    async def _allocate(self, server: TurnServer) -> Found:
        """Request an allocation from a TURN server (RFC 8656, 7)."""
        client = await self._connect(server)
        local = self._new_socket(client)
        relay = TurnTransport(cast(TurnOverUdp, client))
        try:
            await relay._connect(local)
        except BaseException:
            client.transport.close()
            raise
        address, related = relay.get_extra_info("sockname"), self._related(relay.get_extra_info("related_address"))
        preference = _RELAY_PREFERENCES["tls" if server.tls else server.transport]
        local.local_candidate = _candidate("relay", address, preference, address[0], related)
        return local.local_candidate, local

    async def _connect(self, server: TurnServer) -> SteadyTurn:
        if server.transport == "udp":
            return await self._open(server, _open_udp)
        over_tcp = await self._open(server, _open_tcp)
        if server.tls:
            try:
                await over_tcp.start_tls(await self._context(), server.host)
            except BaseException:
                over_tcp.transport.close()
                raise
        return over_tcp

    async def _open(self, server: TurnServer, connect: Callable[[TurnServer, Address], Awaitable[Client]]) -> Client:
        """Connect to the first address of a server that can be connected to."""
        failure = OSError("the name has no address")
        for address in await self._resolve(server, socket.AF_UNSPEC):
            try:
                return await connect(server, address)
            except OSError as error:
                failure = error
        raise failure

    async def _resolve(self, server: IceServerAddress, family: socket.AddressFamily) -> list[Address]:
        """Return the addresses of a server that may be queried.

        Raises:
            OSError: The name cannot be resolved, or none of its addresses may be queried.
        """
        if _is_ip(server.host):  # Needs no lookup in a thread.
            is_of_family = family in (socket.AF_UNSPEC, socket.AF_INET6 if ":" in server.host else socket.AF_INET)
            found = [(server.host, server.port)] if is_of_family else []
        else:
            loop = asyncio.get_running_loop()
            infos = await loop.getaddrinfo(server.host, server.port, family=family, type=socket.SOCK_DGRAM)
            found = [(str(address[0]), server.port) for *_, address in infos]
        allowed = [address for address in found if self._allows_server(server.host, address[0])]
        if found and not allowed:
            raise ConnectionError("it is in a private network, to which the server of the session may not lead")
        return allowed

    async def _context(self) -> ssl.SSLContext:
        if self._tls_context is None:
            # Loading the certificate authorities takes 20 ms or more.
            loop = asyncio.get_running_loop()
            self._tls_context = await loop.run_in_executor(None, ssl.create_default_context)
        return self._tls_context


async def _open_udp(server: TurnServer, address: Address) -> TurnOverUdp:
    loop = asyncio.get_running_loop()
    _, client = await loop.create_datagram_endpoint(lambda: TurnOverUdp(server), remote_addr=address)
    return client


async def _open_tcp(server: TurnServer, address: Address) -> TurnOverTcp:
    loop = asyncio.get_running_loop()
    _, client = await loop.create_connection(lambda: TurnOverTcp(server), *address)
    return client


def _is_ip(host: str) -> bool:
    with contextlib.suppress(ValueError):
        return bool(ipaddress.ip_address(host))
    return False


def _candidate(
    kind: str, address: Address, local_preference: int, base_host: str, related: Address | None = None
) -> aioice.Candidate:
    """Build a candidate with a priority of RFC 8445, 5.1.2.1, distinct for each host candidate, unlike aioice's."""
    priority = (_TYPE_PREFERENCES[kind] << 24) + (local_preference << 8) + 255
    related_host, related_port = related or (None, None)
    foundation = candidate_foundation(kind, "udp", base_host)
    return aioice.Candidate(foundation, 1, "udp", priority, *address, kind, related_host, related_port)
