"""Test helpers for the full ICE agent: agents on loopback, connected to each other or to a STUN peer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from bass_webrtc.config import IceServerAddress
from bass_webrtc.peer.ice.full_ice import FullIce, IceSettings, SocketBudget
from bass_webrtc.rtc.candidate import CandidatePolicy
from support.ice_peer import HOST, IcePeer
from support.ice_recorder import IceRecorder

LOOPBACK = CandidatePolicy(allow_loopback=True)
A_PACKET = b"\x80 a packet"


class End(IceRecorder):
    """An agent and the events it reported."""

    def __init__(
        self,
        controlling: bool = True,
        servers: Sequence[IceServerAddress] = (),
        hosts: Sequence[str] = (HOST,),
        *,
        relay_only: bool = False,
        connect_timeout_s: float = 39.5,
        budget: SocketBudget | None = None,
    ) -> None:
        super().__init__()
        settings = IceSettings(
            servers=tuple(servers),
            relay_only=relay_only,
            hosts=tuple(hosts),
            policy=LOOPBACK,
            connect_timeout_s=connect_timeout_s,
        )
        self.ice = FullIce(settings, self, budget, controlling=controlling)

    @property
    def port(self) -> int:
        """Port of the first candidate."""
        return self.ice.candidates[0].port


@asynccontextmanager
async def two_ends(
    *, controlling: tuple[bool, bool] = (True, False), budget: SocketBudget | None = None
) -> AsyncIterator[tuple[End, End]]:
    """Run two agents with each other's credentials and candidates; ``budget``: of the first one."""
    a, b = End(controlling[0], budget=budget), End(controlling[1])
    await a.ice.gather()
    await b.ice.gather()
    introduce(a, b)
    yield a, b
    await a.ice.close()
    await b.ice.close()


def introduce(a: End, b: End) -> None:
    a.ice.set_remote(b.ice.credentials, b.ice.candidates, ice_lite=False)
    b.ice.set_remote(a.ice.credentials, a.ice.candidates, ice_lite=False)


@asynccontextmanager
async def end_and_peer(
    *, controlling: bool = False, signal_candidate: bool = True, connect_timeout_s: float = 39.5
) -> AsyncIterator[tuple[End, IcePeer]]:
    """Run an agent and a peer made of STUN messages; ``signal_candidate``: give the agent the peer's candidate."""
    end = End(controlling, connect_timeout_s=connect_timeout_s)
    await end.ice.gather()
    peer = await IcePeer.open(end.ice.credentials)
    end.ice.set_remote(peer.credentials, [peer.candidate] if signal_candidate else [], ice_lite=False)
    yield end, peer
    await end.ice.close()
    peer.transport.close()


async def connect(end: End, peer: IcePeer) -> None:
    """Connect the agent to a peer that nominates the pair once it has received the agent's check."""
    peer.checked.clear()
    connecting = asyncio.create_task(end.ice.connect())
    async with asyncio.timeout(5.0):
        await peer.checked.wait()
    peer.nominate(end.port)
    await connecting
