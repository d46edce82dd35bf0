"""Examines a WHIP or WHEP endpoint as a client would use it, step by step. ``bass-webrtc doctor URL`` prints it.

    DNS ─► TCP ─► TLS ─► OPTIONS ─► POST ─► ICE ─► DTLS ─► packets ─► DELETE

Each step needs the one before it, so the first error is the last step but for DELETE, which comes after every POST.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable, Iterator
from typing import Literal

from ..client.run import hosts_for, usable_servers
from ..config import ServerConfig
from ..core import Engine, NewSsrc, PeerRemoved
from ..errors import BassWebRtcError, ConfigError, SignalingError
from ..loop_thread import LoopThread
from ..peer.bridge import Bridge
from ..peer.full import FullConnection
from ..peer.full_settings import Callbacks, IceSettings
from ..rtc.candidate import Candidate, is_loopback
from ..rtc.dtls import Certificate
from ..signaling.client.rules import CounterOffer
from ..signaling.client.session import SignalingSession
from ..signaling.client.settings import ClientSettings
from ..signaling.client.urls import Url
from ..sources import Tone, open_for_core
from ..stats import PeerStats
from .doctor import Finding

Protocol = Literal["whip", "whep"]

_TCP_TIMEOUT_S = 5.0
_ICE_TIMEOUT_S = 15.0
_DTLS_TIMEOUT_S = 10.0
_PACKETS_TIMEOUT_S = 8.0
"""A server's first receiver report comes after up to 7.5 s (RFC 3550, 6.2: 5 s, times 1.5)."""
_LOOK_EVERY_S = 0.02
_ENOUGH_PACKETS = 25
_QUIET_DBFS = -90.0
"""What is published meanwhile: there, and not heard."""

_POST_ADVICE = {
    401: "Pass the token with --token",
    403: "Check the token and its permissions; some servers answer this to a second publisher",
    404: "Check the path of the URL; on many servers it contains the stream name",
    405: "This URL does not accept offers; check its path",
    406: "The server rejects this kind of offer; check its log",
    409: "Another publisher is connected already, or (WHEP) none is",
    415: "This is not a WHIP or WHEP endpoint; check the path of the URL",
    422: "The server does not accept Opus, or requires video; check its settings",
    429: "Wait before trying again",
    503: "The server is full or overloaded; try again later",
}
_ICE_ADVICE = (
    "Packets do not get through. Open the server's UDP ports, have it announce an address reachable from here, "
    "or configure a TURN server on it"
)
_DTLS_SLOW_ADVICE = "ICE checks pass but larger packets may not: look for a tunnel on the path with a smaller MTU"
_DTLS_ENDED_ADVICE = "Check the server's log; if it shows no error, a middlebox may have answered instead of the server"


def examine_endpoint(url: str, token: str | None = None, protocol: Protocol | None = None) -> Iterator[Finding]:
    """Looks at an endpoint; a session of a few seconds begins there and is deleted.

    Args:
        url: Of the endpoint.
        token: Bearer token.
        protocol: What it speaks; by default what the URL's path says.

    Returns:
        The findings, each as soon as it is known. It takes half a minute at most; the caller's thread does the work.

    Raises:
        ConfigError: The URL or the token cannot be used, or the URL does not say what it speaks.
    """
    settings = ClientSettings(url, token)
    chosen = protocol or _protocol_of(url)
    return _examine(settings, chosen)


def _protocol_of(url: str) -> Protocol:
    path = url.partition("://")[2].partition("/")[2].lower()
    found: list[Protocol] = [one for one in ("whip", "whep") if one in path]
    if len(found) != 1:
        raise ConfigError(
            f"cannot tell the protocol of {url!r}; expected 'whip' or 'whep' in its path; pass --protocol"
        )
    return found[0]


def _examine(settings: ClientSettings, protocol: Protocol) -> Iterator[Finding]:
    endpoint = settings.endpoint
    steps: list[Callable[[Url], Finding]] = [_resolve, _reach, _secure]
    for step in steps:
        finding = step(endpoint)
        yield finding
        if finding.level == "error":
            return
    loop = LoopThread("bass-webrtc doctor")
    visit = _Visit(settings, protocol)
    try:
        for asynchronous_step in (visit.options, visit.post, visit.ice, visit.dtls, visit.packets):
            finding = loop.run(asynchronous_step())
            yield finding
            if finding.level == "error":
                break
        if visit.has_session:
            yield loop.run(visit.delete())
    finally:
        loop.run(visit.close())
        loop.stop()
        visit.release()


def _resolve(endpoint: Url) -> Finding:
    try:
        found = socket.getaddrinfo(endpoint.host, endpoint.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        return Finding(
            "DNS", "error", f"{endpoint.host}: {error}", "Check the host name in the URL and your DNS resolver"
        )
    return Finding("DNS", "ok", f"{endpoint.host}: {', '.join(dict.fromkeys(str(one[4][0]) for one in found))}")


def _reach(endpoint: Url) -> Finding:
    addresses = dict.fromkeys(
        str(one[4][0]) for one in socket.getaddrinfo(endpoint.host, endpoint.port, type=socket.SOCK_STREAM)
    )
    reached, failed = [], []
    for address in addresses:
        try:
            socket.create_connection((address, endpoint.port), _TCP_TIMEOUT_S).close()
            reached.append(address)
        except OSError as error:
            failed.append(f"{address}: {error}")
    if not reached:
        advice = f"Check that the server runs and that no firewall blocks TCP port {endpoint.port}"
        return Finding("TCP", "error", "; ".join(failed), advice)
    detail = f"port {endpoint.port} open on {', '.join(reached)}"
    if failed:
        advice = "Clients that try these addresses first are delayed; remove them from DNS or make them reachable"
        return Finding("TCP", "warning", "; ".join((detail, *failed)), advice)
    return Finding("TCP", "ok", detail)


def _secure(endpoint: Url) -> Finding:
    if endpoint.scheme == "http":
        if is_loopback(endpoint.host):
            return Finding("TLS", "ok", "none; not needed on this machine")
        advice = "Use https: browsers require it for the microphone, and over http tokens can be intercepted"
        return Finding("TLS", "warning", "none", advice)
    context = ssl.create_default_context()
    try:
        with (
            socket.create_connection((endpoint.host, endpoint.port), _TCP_TIMEOUT_S) as tcp,
            context.wrap_socket(tcp, server_hostname=endpoint.host) as tls,
        ):
            certificate = tls.getpeercert() or {}
            return Finding("TLS", "ok", f"{tls.version()}, certificate valid until {certificate.get('notAfter')}")
    except ssl.SSLCertVerificationError as error:
        advice = "Install a certificate for this host name from an authority that this machine trusts"
        return Finding("TLS", "error", error.verify_message, advice)
    except OSError as error:
        return Finding("TLS", "error", str(error), "Check that this port speaks HTTPS; try http:// or another port")


class _Visit:
    """One session at the endpoint. The methods that look are coroutines of the loop."""

    def __init__(self, settings: ClientSettings, protocol: Protocol) -> None:
        self._settings = settings
        self._kind: Literal["publisher", "player"] = "publisher" if protocol == "whip" else "player"
        self._config = ServerConfig(max_peers=1)
        self._source = open_for_core(Tone(level_dbfs=_QUIET_DBFS) if protocol == "whip" else None)
        self._engine = Engine(self._config, self._source.handle)
        self._bridge: Bridge | None = None
        self._connection: FullConnection | None = None
        self._session: SignalingSession | None = None
        self._trickles: set[asyncio.Task[None]] = set()
        self._ended: str | None = None
        self.has_session = False

    async def options(self) -> Finding:
        try:
            async with SignalingSession(self._kind, self._settings) as session:
                servers = await session.ask_ice_servers()
        except SignalingError as error:
            advice = "Native clients do not need it, but pages of other origins cannot connect"
            return Finding("OPTIONS", "warning", str(error), advice)
        told = ", ".join(server.url for server in servers)
        return Finding("OPTIONS", "ok", f"ICE servers: {told}" if told else "no ICE servers")

    async def post(self) -> Finding:
        loop = asyncio.get_running_loop()
        self._engine.start()
        self._bridge = Bridge(self._engine)
        loop.add_reader(self._engine.event_descriptor, self._take_events)
        session = self._session = SignalingSession(self._kind, self._settings)
        connection = self._connection = FullConnection(
            self._engine,
            self._bridge,
            0,
            "player" if self._kind == "publisher" else "publisher",
            Certificate.generate(),
            self._config,
            Callbacks(connected=_nothing, ended=self._end, candidate=self._trickle),
            IceSettings(hosts=hosts_for(self._settings.endpoint.host)),
        )
        try:
            answer = await session.post(await connection.make_offer())
            self.has_session = True
            if isinstance(answer, CounterOffer):
                await session.answer(connection.answer_offer(answer.sdp))
            else:
                connection.take_answer(answer.sdp)
            if answer.ice_servers:
                await connection.add_servers(usable_servers(answer.ice_servers))
        except BassWebRtcError as error:
            status = error.status if isinstance(error, SignalingError) else 0
            return Finding("POST", "error", str(error), _POST_ADVICE.get(status, "Check the server's log"))
        return Finding("POST", "ok", "a counter-offer" if isinstance(answer, CounterOffer) else "an answer")

    async def ice(self) -> Finding:
        if not await self._wait_for(lambda stats: stats.remote_address != "", _ICE_TIMEOUT_S):
            return Finding("ICE", "error", self._ended or f"no path found within {_ICE_TIMEOUT_S:.0f} s", _ICE_ADVICE)
        stats = self._stats()
        return Finding("ICE", "ok", f"{stats.local_address} to {stats.remote_address}")

    async def dtls(self) -> Finding:
        if not await self._wait_for(lambda stats: stats.state == "connected", _DTLS_TIMEOUT_S):
            if self._ended is not None:
                return Finding("DTLS", "error", self._ended, _DTLS_ENDED_ADVICE)
            return Finding("DTLS", "error", f"handshake not complete after {_DTLS_TIMEOUT_S:.0f} s", _DTLS_SLOW_ADVICE)
        return Finding("DTLS", "ok", self._stats().srtp_profile)

    async def packets(self) -> Finding:
        if self._kind == "player":
            if await self._wait_for(lambda stats: stats.packets_received >= _ENOUGH_PACKETS, _PACKETS_TIMEOUT_S):
                stats = self._stats()
                return Finding("packets", "ok", f"{stats.packets_received} received, {stats.packets_lost} lost")
            advice = "The connection works but the server sends nothing; check that a publisher is connected"
            detail = self._ended or f"{self._stats().packets_received} received in {_PACKETS_TIMEOUT_S:.0f} s"
            return Finding("packets", "error", detail, advice)
        if await self._wait_for(lambda stats: stats.round_trip_time_ms is not None, _PACKETS_TIMEOUT_S):
            stats = self._stats()
            lost = f"{100 * stats.fraction_lost:.0f} % lost"
            return Finding(
                "packets", "ok", f"{stats.packets_sent} sent, {lost}, round trip {stats.round_trip_time_ms:.0f} ms"
            )
        advice = "The connection works but the server sends no receiver reports; check whether it gets the audio"
        return Finding(
            "packets",
            "error" if self._ended else "warning",
            self._ended or f"no receiver report within {_PACKETS_TIMEOUT_S:.0f} s",
            advice,
        )

    async def delete(self) -> Finding:
        assert self._session is not None
        if await self._session.delete():
            return Finding("DELETE", "ok", "session ended")
        advice = "The server will keep the session until it times out"
        return Finding("DELETE", "warning", "the server did not end the session", advice)

    async def close(self) -> None:
        for task in self._trickles:
            task.cancel()
        if self._session is not None:
            await self._session.delete()
        if self._connection is not None:
            await self._connection.close()
        if self._bridge is not None:
            asyncio.get_running_loop().remove_reader(self._engine.event_descriptor)

    def release(self) -> None:
        """After the loop has ended."""
        self._engine.close()
        if self._bridge is not None:
            self._bridge.close()
        self._source.close()

    async def _wait_for(self, holds: Callable[[PeerStats], bool], timeout_s: float) -> bool:
        give_up_s = asyncio.get_running_loop().time() + timeout_s
        while not holds(self._stats()):
            if self._ended is not None or asyncio.get_running_loop().time() > give_up_s:
                return False
            await asyncio.sleep(_LOOK_EVERY_S)
        return True

    def _stats(self) -> PeerStats:
        assert self._connection is not None
        return self._connection.stats()

    def _end(self, reason: str) -> None:
        self._ended = reason

    def _trickle(self, candidate: Candidate) -> None:
        assert self._session is not None
        task = asyncio.create_task(self._session.trickle([candidate]))
        self._trickles.add(task)
        task.add_done_callback(self._trickles.discard)

    def _take_events(self) -> None:
        assert self._connection is not None
        for event in self._engine.events():
            if isinstance(event, PeerRemoved):
                self._connection.released()
            elif isinstance(event, NewSsrc):
                self._connection.accept_ssrc(event.ssrc)


def _nothing() -> None:
    """``_wait_for`` looks at the state."""
