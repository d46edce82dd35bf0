"""Test helpers for the full ICE agent: agents on loopback, connected to each other or to a STUN peer."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from bass_webrtc.config import IceServerAddress
from bass_webrtc.peer.ice.full_ice import FullIce, SelectedPair
from bass_webrtc.rtc.candidate import Candidate, CandidatePolicy
from support.ice_peer import HOST, IcePeer

LOOPBACK = CandidatePolicy(allow_loopback=True)
A_PACKET = b"\x80 a packet"


@dataclass
class End:
    """An agent and the events it reported."""

    controlling: bool = True
    servers: Sequence[IceServerAddress] = ()
    hosts: Sequence[str] = (HOST,)
    data: list[bytes] = field(default_factory=list)
    pairs: list[SelectedPair] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    late: list[Candidate] = field(default_factory=list)
    relay_only: bool = False
    patience_s: float = 39.5

    def __post_init__(self) -> None:
        self.ice = FullIce(
            self.servers,
            controlling=self.controlling,
            on_data=self.data.append,
            on_selected=self.pairs.append,
            on_lost=self.lost.append,
            on_candidate=self.late.append,
            relay_only=self.relay_only,
            hosts=self.hosts,
            patience_s=self.patience_s,
            policy=LOOPBACK,
        )

    @property
    def port(self) -> int:
        """Port of the first candidate."""
        return self.ice.candidates[0].port


@asynccontextmanager
async def two_ends(*, controlling: tuple[bool, bool] = (True, False)) -> AsyncIterator[tuple[End, End]]:
    """Run two agents with each other's credentials and candidates."""
    a, b = End(controlling[0]), End(controlling[1])
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
    *, controlling: bool = False, tell: bool = True, patience_s: float = 39.5
) -> AsyncIterator[tuple[End, IcePeer]]:
    """Run an agent and a peer made of STUN messages; ``tell``: give the agent the peer's candidate."""
    end = End(controlling, patience_s=patience_s)
    await end.ice.gather()
    peer = await IcePeer.open(end.ice.credentials)
    end.ice.set_remote(peer.credentials, [peer.candidate] if tell else [], ice_lite=False)
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


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))
