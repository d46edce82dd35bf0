"""Detects within about a second that a client's path is lost (consent takes 30 s), and looks for another one.

the local address is gone ──► ICE restart by PATCH ──► media continues in the same session
no sign of life ────────────┤            └── refused or failed: begin a new session, unless the former path works
the stream has stopped ─────┘

A server that answers checks but sends no packets keeps its session: its publisher may be on hold.
"""

from __future__ import annotations

import asyncio
import logging
import math
from dataclasses import dataclass

from ..errors import BassWebRtcError, SignalingError
from ..peer.full import FullConnection
from ..peer.ice.addresses import has_address
from ..signaling.client.session import SignalingSession

_CONNECT_TIMEOUT_S = 45.0
"""For ICE and DTLS together; ICE alone may take 39.5 s (RFC 8863)."""
_PROBE_INTERVAL_S = 0.25
_FAST_PROBE_INTERVAL_S = 0.125
"""After a probe without activity: a single lost check must not decide."""
_PROBES_UNTIL_LOST = 6
"""The server is lost after so many probes in a row without activity, although each one sent a check, and one more for
each interval that the round trip takes: about a second if the server is near. We count probes, not seconds, so a
stalled interpreter is not mistaken for a dead server."""
_UNKNOWN_ROUND_TRIP_S = 3.0
"""Assumed before the first response."""
_ADDRESS_PROBE_INTERVAL = 2
"""In probes. Listing the addresses of the system takes a millisecond."""
_PROBES_UNTIL_SILENT = 12
"""A stream that stops for so long, although the server answers, gets one ICE restart: the path may be broken in one
direction. DTX and silence send packets more often.
"""
_RESTART_TIMEOUT_S = 3.0
"""For all attempts at an ICE restart together; after that, a new session is faster."""
_MIN_RESPONSE_S = 0.05
"""The shortest time allowed for a response, however near the server is: its processor may be busy."""
_RESTART_RETRY_S = 0.25
"""A host that has just lost its address may have no other for a moment."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Loss:
    """Why a connection is considered lost."""

    reason: str
    is_of_path: bool = False
    """The server may still be reachable: worth looking for another path."""


async def watch(connection: FullConnection, ended: asyncio.Future[str]) -> Loss:
    """Wait until a connection is lost.

    Args:
        connection: Connected or connecting.
        ended: Gets the reason when the connection ends by itself.
    """
    loop = asyncio.get_running_loop()
    give_up_s = loop.time() + _CONNECT_TIMEOUT_S
    monitor = _Monitor(connection)
    while True:
        await asyncio.wait({ended}, timeout=monitor.next_probe_s)
        if ended.done():
            return Loss(ended.result())
        if connection.state == "connected":
            loss = monitor.probe()
            if loss is not None:
                return loss
        elif loop.time() > give_up_s:
            return Loss(f"not connected within {_CONNECT_TIMEOUT_S:.0f} s")


class _Monitor:
    """Probes a connected connection.

    Attributes:
        next_probe_s: Time until the next probe.
    """

    def __init__(self, connection: FullConnection) -> None:
        self._connection = connection
        self._probes, self._activity = 0, 0
        self._packets, self._has_flowed = connection.stats().packets_received, False
        self._inactive_probes, self._silent_probes = 0, 0
        self.next_probe_s = _PROBE_INTERVAL_S

    def probe(self) -> Loss | None:
        """Look for activity since the last probe, and cause some; return the loss, if any."""
        connection = self._connection
        if self._probes % _ADDRESS_PROBE_INTERVAL == 0 and _is_address_gone(connection):
            return Loss(f"the local address {connection.local_host} is gone", is_of_path=True)
        self._probes += 1
        before, self._activity = self._activity, connection.activity
        self._inactive_probes = self._inactive_probes + 1 if self._activity == before else 0
        if self._inactive_probes >= _PROBES_UNTIL_LOST + self._probes_per_round_trip():
            return Loss("the server does not answer any more", is_of_path=True)
        self.next_probe_s = _FAST_PROBE_INTERVAL_S if self._inactive_probes else _PROBE_INTERVAL_S
        packets_before, self._packets = self._packets, connection.stats().packets_received
        is_flowing = self._packets != packets_before
        self._has_flowed = self._has_flowed or is_flowing
        if not is_flowing or connection.round_trip_s is None:  # Incoming packets are activity enough.
            connection.send_check()
        if is_flowing or not self._has_flowed:
            self._silent_probes = 0
        elif not self._inactive_probes:
            self._silent_probes += 1
        if self._silent_probes == _PROBES_UNTIL_SILENT:
            return Loss(f"no packet for {_PROBES_UNTIL_SILENT * _PROBE_INTERVAL_S:.0f} s", is_of_path=True)
        return None

    def _probes_per_round_trip(self) -> int:
        """Return how many probes take place before the response to the first one can have arrived."""
        known_s = self._connection.round_trip_s
        return math.ceil((_UNKNOWN_ROUND_TRIP_S if known_s is None else known_s) / _FAST_PROBE_INTERVAL_S)


def _is_address_gone(connection: FullConnection) -> bool:
    return bool(connection.local_host) and not has_address(connection.local_host)


async def find_path(session: SignalingSession, connection: FullConnection, ended: asyncio.Future[str]) -> bool:
    """Find another path for a running session (RFC 9725, 4.3.3).

    A refused ICE restart is not repeated; if the server cannot be reached, it is retried for a few seconds.

    Args:
        session: The HTTP side.
        connection: The connection whose path is lost. Its media continues.
        ended: Gets the reason when the connection ends by itself.

    Returns:
        Whether there is a path, perhaps the former one. If not, only a new session helps.
    """
    found = session.can_restart and await _restart(session, connection, ended)
    return (found or await _is_answering(connection)) and not ended.done()


async def _restart(session: SignalingSession, connection: FullConnection, ended: asyncio.Future[str]) -> bool:
    try:
        async with asyncio.timeout(_RESTART_TIMEOUT_S):
            await session.reconnect()
            while not ended.done():
                try:
                    await connection.request_restart(session.restart)
                    return True
                except SignalingError as error:
                    if error.status:
                        raise
                    _log.debug("the ICE restart failed, trying again: %s", error)
                await asyncio.sleep(_RESTART_RETRY_S)
    except (BassWebRtcError, OSError, TimeoutError) as error:
        _log.info("the ICE restart failed: %s", str(error) or f"no path within {_RESTART_TIMEOUT_S:.0f} s")
    return False


async def _is_answering(connection: FullConnection) -> bool:
    """Return whether the former path works again: many outages last a second, and many servers do not restart ICE."""
    if _is_address_gone(connection):
        return False
    activity = connection.activity
    connection.send_check()
    await asyncio.sleep(max(_MIN_RESPONSE_S, 2.0 * (connection.round_trip_s or 0.0)))
    return connection.activity != activity
