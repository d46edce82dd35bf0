"""How a client notices that its path is gone, sooner than consent does after 30 s, and looks for another one.

our address is gone ──► ICE restart by PATCH ──► the media goes on, the session is the same
no sign of life     ─┘              └── refused, or in vain: begin anew
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass

from .errors import BassWebRtcError, SignalingError
from .peer.full_connection import FullConnection
from .peer.sockets import local_addresses
from .signaling.http_client import SignalingSession

_CONNECT_TIMEOUT_S = 45.0
"""For ICE and DTLS together; ICE alone waits 39.5 s (RFC 8863)."""
_LOOK_EVERY_S = 0.5
_LOOKS_UNTIL_LOST = 4
"""So often in a row no sign of life, though it was asked for: the server is gone. Looks are counted and not seconds,
so that an interpreter that stood still accuses nobody."""
_LOOKS_UNTIL_SILENT = 6
"""A stream that was flowing and stops for so long is begun anew: DTX and silence send packets more often."""
_RESTART_TIMEOUT_S = 3.0
"""For all tries of an ICE restart together; then a new session is the better idea."""
_RESTART_AGAIN_S = 0.25
"""A host that has just lost its address may have no other for a moment."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Loss:
    """Why there is no connection any more."""

    reason: str
    is_of_path: bool = False
    """The server may still be there: another path is worth a try."""


async def watch(connection: FullConnection, ended: asyncio.Future[str]) -> Loss:
    """Waits for the end of a connection.

    Args:
        connection: Connected, or about to be.
        ended: Its own word for it.
    """
    loop = asyncio.get_running_loop()
    give_up_s = loop.time() + _CONNECT_TIMEOUT_S
    life, packets, lifeless, silent = 0, 0, 0, 0
    while True:
        await asyncio.wait({ended}, timeout=_LOOK_EVERY_S)
        if ended.done():
            return Loss(ended.result())
        if connection.state != "connected":
            if loop.time() > give_up_s:
                return Loss(f"it was not connected within {_CONNECT_TIMEOUT_S:.0f} s")
            continue
        if connection.local_host and connection.local_host not in local_addresses():
            return Loss(f"our address {connection.local_host} is gone", is_of_path=True)
        before, life = life, connection.signs_of_life
        lifeless = lifeless + 1 if life == before else 0
        if lifeless == _LOOKS_UNTIL_LOST:
            return Loss("the server does not answer any more", is_of_path=True)
        if lifeless:
            connection.ask()
        before, packets = packets, connection.stats().packets_received
        silent = silent + 1 if packets and packets == before else 0
        if silent == _LOOKS_UNTIL_SILENT:
            return Loss(f"nothing has come for {_LOOKS_UNTIL_SILENT * _LOOK_EVERY_S:.0f} s")


async def find_path(session: SignalingSession, connection: FullConnection, ended: asyncio.Future[str]) -> bool:
    """Looks for another path for the running session (RFC 9725, 4.3.3).

    A server that refuses is not asked twice; one that cannot be reached is, for a few seconds.

    Args:
        session: At the server.
        connection: The one whose path is gone. Its media goes on.
        ended: Its own word for its end.

    Returns:
        Whether there is one. If not, only a new session helps.
    """
    if not session.can_restart:
        return False
    try:
        async with asyncio.timeout(_RESTART_TIMEOUT_S):
            await session.reconnect()
            while not ended.done():
                try:
                    await connection.restart(session.restart)
                    return not ended.done()
                except SignalingError as error:
                    if error.status:
                        raise
                    _log.debug("no ICE restart yet: %s", error)
                await asyncio.sleep(_RESTART_AGAIN_S)
    except (BassWebRtcError, OSError, TimeoutError) as error:
        _log.info("no ICE restart: %s", error or f"no path within {_RESTART_TIMEOUT_S:.0f} s")
    return False
