"""How a client notices that its path is gone, sooner than consent does after 30 s, and looks for another one.

our address is gone ──► ICE restart by PATCH ──► the media goes on, the session is the same
no sign of life     ─┘              └── refused, or in vain: begin anew
"""

from __future__ import annotations

import asyncio
import logging
import math
from dataclasses import dataclass

from ..errors import BassWebRtcError, SignalingError
from ..peer.full import FullConnection
from ..peer.sockets import local_addresses
from ..signaling.client.session import SignalingSession

_CONNECT_TIMEOUT_S = 45.0
"""For ICE and DTLS together; ICE alone waits 39.5 s (RFC 8863)."""
_LOOK_EVERY_S = 0.25
_LOOK_AGAIN_S = 0.125
"""After a look that found nothing: a single check that was lost shall not decide."""
_LOOKS_UNTIL_LOST = 6
"""So often in a row no sign of life, though each look asked for one, and once more for each that a round trip takes:
the server is gone; where it is near that is a second. Looks are counted and not seconds, so that an interpreter that
stood still accuses nobody."""
_UNKNOWN_ROUND_TRIP_S = 3.0
"""What an answer is given before the first one came."""
_ADDRESS_EVERY_LOOKS = 2
"""The system takes a millisecond to list its addresses."""
_LOOKS_UNTIL_SILENT = 12
"""A stream that was flowing and stops for so long, while the server is there, is begun anew: DTX and silence send
packets more often."""
_RESTART_TIMEOUT_S = 3.0
"""For all tries of an ICE restart together; then a new session is the better idea."""
_ANSWER_S = 0.05
"""What an answer has at least, however near the server is: its processor may be busy."""
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
    pulse = _Pulse(connection)
    while True:
        await asyncio.wait({ended}, timeout=pulse.next_look_s)
        if ended.done():
            return Loss(ended.result())
        if connection.state == "connected":
            loss = pulse.look()
            if loss is not None:
                return loss
        elif loop.time() > give_up_s:
            return Loss(f"it was not connected within {_CONNECT_TIMEOUT_S:.0f} s")


class _Pulse:
    """Looks for signs of life of a connected connection, and asks for them.

    Attributes:
        next_look_s: When to look again.
    """

    def __init__(self, connection: FullConnection) -> None:
        self._connection = connection
        self._looks, self._life, self._packets = 0, 0, 0
        self._lifeless, self._silent = 0, 0
        self.next_look_s = _LOOK_EVERY_S

    def look(self) -> Loss | None:
        """Returns what has been lost, if anything."""
        connection = self._connection
        if self._looks % _ADDRESS_EVERY_LOOKS == 0 and _is_address_gone(connection):
            return Loss(f"our address {connection.local_host} is gone", is_of_path=True)
        self._looks += 1
        before, self._life = self._life, connection.signs_of_life
        self._lifeless = self._lifeless + 1 if self._life == before else 0
        if self._lifeless >= _LOOKS_UNTIL_LOST + self._looks_of_round_trip():
            return Loss("the server does not answer any more", is_of_path=True)
        self.next_look_s = _LOOK_AGAIN_S if self._lifeless else _LOOK_EVERY_S
        packets_before, self._packets = self._packets, connection.stats().packets_received
        flows = self._packets != packets_before
        if not flows or connection.round_trip_s is None:  # Packets that flow are signs enough.
            connection.ask()
        if flows or not self._packets:
            self._silent = 0
        elif not self._lifeless:
            self._silent += 1
        if self._silent == _LOOKS_UNTIL_SILENT:
            return Loss(f"nothing has come for {_LOOKS_UNTIL_SILENT * _LOOK_EVERY_S:.0f} s")
        return None

    def _looks_of_round_trip(self) -> int:
        """How many looks pass until the answer to the first one can be there."""
        known_s = self._connection.round_trip_s
        return math.ceil((_UNKNOWN_ROUND_TRIP_S if known_s is None else known_s) / _LOOK_AGAIN_S)


def _is_address_gone(connection: FullConnection) -> bool:
    return bool(connection.local_host) and connection.local_host not in local_addresses()


async def find_path(session: SignalingSession, connection: FullConnection, ended: asyncio.Future[str]) -> bool:
    """Looks for another path for the running session (RFC 9725, 4.3.3).

    A server that refuses is not asked twice; one that cannot be reached is, for a few seconds.

    Args:
        session: At the server.
        connection: The one whose path is gone. Its media goes on.
        ended: Its own word for its end.

    Returns:
        Whether there is one, if only the former one again. If not, only a new session helps.
    """
    found = session.can_restart and await _restart(session, connection, ended)
    return (found or await _has_come_back(connection)) and not ended.done()


async def _restart(session: SignalingSession, connection: FullConnection, ended: asyncio.Future[str]) -> bool:
    try:
        async with asyncio.timeout(_RESTART_TIMEOUT_S):
            await session.reconnect()
            while not ended.done():
                try:
                    await connection.restart(session.restart)
                    return True
                except SignalingError as error:
                    if error.status:
                        raise
                    _log.debug("no ICE restart yet: %s", error)
                await asyncio.sleep(_RESTART_AGAIN_S)
    except (BassWebRtcError, OSError, TimeoutError) as error:
        _log.info("no ICE restart: %s", error or f"no path within {_RESTART_TIMEOUT_S:.0f} s")
    return False


async def _has_come_back(connection: FullConnection) -> bool:
    """Whether the former path works again: a second of silence is often the network's, and many know no restart."""
    if _is_address_gone(connection):
        return False
    life = connection.signs_of_life
    connection.ask()
    await asyncio.sleep(max(_ANSWER_S, 2.0 * (connection.round_trip_s or 0.0)))
    return connection.signs_of_life != life
