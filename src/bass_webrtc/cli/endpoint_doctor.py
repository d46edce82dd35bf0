"""Examines a WHIP or WHEP endpoint as a client would use it, step by step. ``bass-webrtc doctor URL`` prints it.

    DNS ─► TCP ─► TLS ─► OPTIONS ─► POST ─► ICE ─► DTLS ─► packets ─► DELETE

Each step needs the one before it, so the first error ends the examination, except for DELETE, which follows every POST.
"""

from __future__ import annotations

import asyncio
import functools
import socket
import ssl
from collections.abc import Callable, Iterator
from typing import Literal

from ..client.run import Attempt, ice_settings, usable_servers
from ..config import StreamConfig
from ..core import Engine
from ..errors import BassWebRtcError, ConfigError, SignalingError
from ..loop_thread import LoopThread
from ..peer.host import EngineHost
from ..rtc.candidate import is_loopback
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
_PACKETS_TIMEOUT_S = 10.0
"""A round trip needs our first sender report, after up to 3.1 s, and the server's next report, up to 6.2 s later (RFC
3550, 6.3.1: 2.5 s and 5 s, times 1.5, divided by 1.21828)."""
_POLL_INTERVAL_S = 0.02
_ENOUGH_PACKETS = 25
_QUIET_DBFS = -90.0
"""Level of the tone that is published: inaudible, but not digital silence."""

_POST_ADVICE = {
    401: "Pass the token with --token, or a user name and password in the URL: https://USER:PASSWORD@HOST/…",
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


def examine_endpoint(
    url: str,
    token: str | None = None,
    protocol: Protocol | None = None,
    *,
    trusted_origins: tuple[str, ...] = (),
    forbid_private: bool | None = None,
    tls: ssl.SSLContext | None = None,
) -> Iterator[Finding]:
    """Examine an endpoint with a session of a few seconds, which is deleted at the end.

    Args:
        url: URL of the endpoint.
        token: Bearer token.
        protocol: Protocol of the endpoint; None takes it from the path of the URL.
        trusted_origins: As of ``WhipClient``, like the next two.
        forbid_private: Where the server may lead.
        tls: Which certificates are trusted.

    Returns:
        The findings, each as soon as it is known. Takes at most half a minute, on the caller's thread.

    Raises:
        ConfigError: The URL or the token cannot be used, or the path does not name the protocol.
    """
    settings = ClientSettings(url, token, trusted_origins, forbid_private, tls)
    chosen = protocol or _protocol_of(url)
    return _examine(settings, chosen)


def unusable_packets(stats: PeerStats) -> str:
    """Return what is known about packets that could not be played, to be appended; empty if there are none."""
    found = ""
    if stats.packets_not_negotiated:
        found += f"; {stats.packets_not_negotiated} of payload types that were not negotiated"
    if stats.sequence_restarts:
        found += "; sequence numbers began anew under the same keys, refused as replays (RFC 3711, 3.3.2)"
    if stats.srtp_errors:
        found += f"; {stats.srtp_errors} not authentic or replayed"
    return found


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
    steps: list[Callable[[Url], Finding]] = [_resolve, _reach, functools.partial(_secure, context=settings.tls)]
    for step in steps:
        finding = step(endpoint)
        yield finding
        if finding.level == "error":
            return
    loop = LoopThread("bass-webrtc doctor")
    trial = _Trial(settings, protocol)
    try:
        for asynchronous_step in (trial.options, trial.post, trial.ice, trial.dtls, trial.packets):
            finding = loop.run(asynchronous_step())
            yield finding
            if finding.level == "error":
                break
        if trial.has_session:
            yield loop.run(trial.delete())
    finally:
        loop.run(trial.stop())
        loop.stop()
        trial.close()


def _resolve(endpoint: Url) -> Finding:
    try:
        found = _addresses(endpoint)
    except (OSError, UnicodeError) as error:
        return Finding(
            "DNS", "error", f"{endpoint.host}: {error}", "Check the host name in the URL and your DNS resolver"
        )
    return Finding("DNS", "ok", f"{endpoint.host}: {', '.join(found)}")


def _addresses(endpoint: Url) -> list[str]:
    """Return the addresses of a host; an IPv6 link-local one keeps its zone."""
    infos = socket.getaddrinfo(endpoint.host, endpoint.port, type=socket.SOCK_STREAM)
    zone = "".join(endpoint.host.partition("%")[1:])
    return list(dict.fromkeys(str(name[0]).partition("%")[0] + zone for *_, name in infos))


def _reach(endpoint: Url) -> Finding:
    reached, failed = [], []
    for address in _addresses(endpoint):
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


def _secure(endpoint: Url, context: ssl.SSLContext | None) -> Finding:
    if endpoint.scheme == "http":
        if is_loopback(endpoint.host):
            return Finding("TLS", "ok", "none; not needed on this machine")
        advice = "Use https: browsers require it for the microphone, and over http tokens can be intercepted"
        return Finding("TLS", "warning", "none", advice)
    context = context or ssl.create_default_context()
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


class _Trial:
    """A trial session at the endpoint. Each step is a coroutine on the loop.

    Attributes:
        has_session: Whether the server has created a session.
    """

    def __init__(self, settings: ClientSettings, protocol: Protocol) -> None:
        self._settings = settings
        self._kind: Literal["publisher", "player"] = "publisher" if protocol == "whip" else "player"
        self._config = StreamConfig()
        self._source = open_for_core(Tone(level_dbfs=_QUIET_DBFS) if protocol == "whip" else None)
        self._host = EngineHost(Engine(self._config, 1, self._source.handle), 1)
        self._attempt: Attempt | None = None
        self.has_session = False

    async def options(self) -> Finding:
        """Request the list of ICE servers."""
        try:
            async with SignalingSession(self._kind, self._settings) as session:
                servers = await session.ask_ice_servers()
        except SignalingError as error:
            advice = "Native clients do not need it, but pages of other origins cannot connect"
            return Finding("OPTIONS", "warning", str(error), advice)
        urls = ", ".join(server.url for server in servers)
        return Finding("OPTIONS", "ok", f"ICE servers: {urls}" if urls else "no ICE servers")

    async def post(self) -> Finding:
        """Post an offer and accept the answer."""
        self._host.start()
        attempt = self._attempt = Attempt(
            SignalingSession(self._kind, self._settings),
            self._host,
            "player" if self._kind == "publisher" else "publisher",
            self._config,
            ice_settings(self._settings.endpoint.host, trust=self._settings.trust()),
        )
        try:
            answer = await attempt.post()
            self.has_session = True
            await attempt.accept(answer)
            if answer.ice_servers:
                await attempt.connection.add_servers(usable_servers(answer.ice_servers))
        except BassWebRtcError as error:
            status = error.status if isinstance(error, SignalingError) else 0
            return Finding("POST", "error", str(error), _POST_ADVICE.get(status, "Check the server's log"))
        return Finding("POST", "ok", "a counter-offer" if isinstance(answer, CounterOffer) else "an answer")

    async def ice(self) -> Finding:
        """Wait for a selected pair."""
        if not await self._wait_for(lambda stats: stats.remote_address != "", _ICE_TIMEOUT_S):
            detail = self._end_reason or f"no path found within {_ICE_TIMEOUT_S:.0f} s"
            return Finding("ICE", "error", detail, _ICE_ADVICE)
        stats = self._stats()
        return Finding("ICE", "ok", f"{stats.local_address} to {stats.remote_address}")

    async def dtls(self) -> Finding:
        """Wait for the end of the handshake."""
        if not await self._wait_for(lambda stats: stats.state == "connected", _DTLS_TIMEOUT_S):
            if self._end_reason is not None:
                return Finding("DTLS", "error", self._end_reason, _DTLS_ENDED_ADVICE)
            return Finding("DTLS", "error", f"handshake not complete after {_DTLS_TIMEOUT_S:.0f} s", _DTLS_SLOW_ADVICE)
        return Finding("DTLS", "ok", self._stats().srtp_profile)

    async def packets(self) -> Finding:
        """Wait for audio from the server, or for its receiver report on the audio sent."""
        return await (self._received() if self._kind == "player" else self._sent())

    async def _received(self) -> Finding:
        if await self._wait_for(lambda stats: stats.packets_received >= _ENOUGH_PACKETS, _PACKETS_TIMEOUT_S):
            stats = self._stats()
            return Finding(
                "packets",
                "ok",
                f"{stats.packets_received} received, {stats.packets_lost} lost{unusable_packets(stats)}",
            )
        stats = self._stats()
        received = f"{stats.packets_received} received in {_PACKETS_TIMEOUT_S:.0f} s{unusable_packets(stats)}"
        detail = self._end_reason or received
        return Finding(
            "packets",
            "error",
            detail,
            "The connection works but the server sends nothing; check that a publisher is connected",
        )

    async def _sent(self) -> Finding:
        if await self._wait_for(lambda stats: stats.round_trip_time_ms is not None, _PACKETS_TIMEOUT_S):
            stats = self._stats()
            lost = f"{100 * stats.fraction_lost:.0f} % lost"
            detail = f"{stats.packets_sent} sent, {lost}, round trip {stats.round_trip_time_ms:.0f} ms"
            return Finding("packets", "ok", detail)
        return Finding(
            "packets",
            "error" if self._end_reason else "warning",
            self._end_reason or f"no receiver report within {_PACKETS_TIMEOUT_S:.0f} s",
            "The connection works but the server sends no receiver reports; check whether it gets the audio",
        )

    async def delete(self) -> Finding:
        """Delete the session."""
        assert self._attempt is not None
        if await self._attempt.session.delete():
            return Finding("DELETE", "ok", "session ended")
        advice = "The server will keep the session until it times out"
        return Finding("DELETE", "warning", "the server did not end the session", advice)

    async def stop(self) -> None:
        """End the session, on the loop."""
        if self._attempt is not None:
            await self._attempt.close()
        self._host.stop()

    def close(self) -> None:
        """Close everything, after the loop has ended."""
        self._host.close()
        self._source.close()

    async def _wait_for(self, holds: Callable[[PeerStats], bool], timeout_s: float) -> bool:
        give_up_s = asyncio.get_running_loop().time() + timeout_s
        while not holds(self._stats()):
            if self._end_reason is not None or asyncio.get_running_loop().time() > give_up_s:
                return False
            await asyncio.sleep(_POLL_INTERVAL_S)
        return True

    def _stats(self) -> PeerStats:
        assert self._attempt is not None
        return self._attempt.connection.stats()

    @property
    def _end_reason(self) -> str | None:
        """Why the connection ended; None before."""
        assert self._attempt is not None
        return self._attempt.ended.result() if self._attempt.ended.done() else None
