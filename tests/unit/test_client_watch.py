"""When a client takes its server for lost: soon, but not because it is far away or has nothing to say."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import cast

import pytest

from bass_webrtc.client.watch import Loss, find_path, watch
from bass_webrtc.errors import SignalingError
from bass_webrtc.peer.full import FullConnection
from bass_webrtc.peer.ice.full_ice import FullIce
from bass_webrtc.rtc.candidate import CandidatePolicy
from bass_webrtc.signaling.client.session import SignalingSession
from support.ice_peer import HOST, IcePeer
from support.virtual_time import VirtualLoop, in_virtual_time


class Push:
    """A connection that hears nothing of its server but the answers to its checks.

    Attributes:
        ice: Connected with ``server``.
    """

    state = "connected"
    local_host = ""

    def __init__(self, ice: FullIce, server: IcePeer) -> None:
        self.ice = ice
        self.server = server
        self.packets = 0
        self.asked = 0

    @property
    def signs_of_life(self) -> int:
        return self.ice.answers + self.packets

    @property
    def round_trip_s(self) -> float | None:
        return self.ice.round_trip_s

    def ask(self) -> None:
        self.asked += 1
        self.ice.ask()

    def stats(self) -> SimpleNamespace:
        return SimpleNamespace(packets_received=self.packets)

    async def restart(self, exchange: Callable[[], Awaitable[None]]) -> None:
        await exchange()

    def begin(self) -> asyncio.Task[Loss]:
        """Watches it, until the task is cancelled."""
        ended = asyncio.get_running_loop().create_future()
        return asyncio.create_task(watch(cast(FullConnection, self), ended))


@asynccontextmanager
async def pushing() -> AsyncIterator[Push]:
    ice = FullIce(controlling=False, on_data=lambda _: None, hosts=[HOST], policy=CandidatePolicy(allow_loopback=True))
    (candidate,) = await ice.gather()
    server = await IcePeer.open(ice.credentials)
    ice.set_remote(server.credentials, [server.candidate], ice_lite=False)
    connecting = asyncio.create_task(ice.connect())
    await asyncio.sleep(0.1)
    server.nominate(candidate.port)
    await connecting
    yield Push(ice, server)
    await ice.close()
    server.transport.close()


async def lost_after_s(watching: asyncio.Task[Loss]) -> float:
    """How long it takes from now."""
    loop = asyncio.get_running_loop()
    start_s = loop.time()
    loss = await asyncio.wait_for(watching, 20.0)
    assert loss.is_of_path
    return loop.time() - start_s


async def assert_stays(watching: asyncio.Task[Loss], seconds: float) -> None:
    await asyncio.wait({watching}, timeout=seconds)
    assert not watching.done(), watching.result()


class Refusing:
    """A session at a server that knows no ICE restart."""

    can_restart = True

    async def reconnect(self) -> None: ...

    async def restart(self) -> None:
        raise SignalingError(405, "", "no restarts here")


async def finds_path(push: Push) -> bool:
    ended = asyncio.get_running_loop().create_future()
    return await find_path(cast(SignalingSession, Refusing()), cast(FullConnection, push), ended)


@pytest.mark.parametrize("phase_s", [0.0, 0.1, 0.2, 0.24])
@in_virtual_time
async def test_a_server_that_vanishes_is_missed_after_a_second(phase_s: float) -> None:
    """So that a client is back two seconds after its killed server, whenever it was killed."""
    async with pushing() as push:
        push.server.delay_s = 0.02
        watching = push.begin()
        await assert_stays(watching, 5.0 + phase_s)
        push.server.answers = False
        assert 0.9 < await lost_after_s(watching) <= 1.26


@in_virtual_time
async def test_a_server_that_has_nothing_to_say_stays() -> None:
    async with pushing() as push:
        await assert_stays(push.begin(), 600.0)


@pytest.mark.parametrize("round_trip_s", [0.3, 1.5, 3.0])
@in_virtual_time
async def test_a_server_far_away_stays_and_is_missed_later(round_trip_s: float) -> None:
    """Also at the beginning, when nobody knows yet how far."""
    async with pushing() as push:
        push.server.delay_s = round_trip_s
        watching = push.begin()
        await assert_stays(watching, 120.0)
        push.server.answers = False
        assert await lost_after_s(watching) <= 1.4 + 2 * round_trip_s  # Answers are under way still.


@in_virtual_time
async def test_lost_checks_are_no_lost_server() -> None:
    """One in ten on each way."""
    chance = random.Random(4)
    async with pushing() as push:
        watching = push.begin()
        for _ in range(2_000):
            push.server.answers = chance.random() < 0.8
            await assert_stays(watching, 0.05)


@in_virtual_time
async def test_packets_that_flow_are_signs_enough() -> None:
    """A pull asks once, for the round trip; and goes on when its server says only that it is there."""
    async with pushing() as push:
        watching = push.begin()
        for _ in range(500):
            push.packets += 1
            await assert_stays(watching, 0.02)
        assert push.asked == 1
        await assert_stays(watching, 2.7)
        loss = await asyncio.wait_for(watching, 1.0)
        assert loss == Loss("nothing has come for 3 s")


@in_virtual_time
async def test_an_interpreter_that_stood_still_accuses_nobody() -> None:
    async with pushing() as push:
        push.server.delay_s = 0.02
        watching = push.begin()
        loop = cast(VirtualLoop, asyncio.get_running_loop())
        for later_s in (1.0, 2.01, 3.1, 4.2):
            loop.call_later(later_s, loop.jump, 5.0)
        await assert_stays(watching, 60.0)


@pytest.mark.parametrize("round_trip_s", [0.02, 1.5])
@in_virtual_time
async def test_where_no_restart_can_be_had_the_former_path_will_do_if_it_is_back(round_trip_s: float) -> None:
    """A second without a sign of life may have been the network's; a new publisher throws out all listeners of some."""
    async with pushing() as push:
        push.server.delay_s = round_trip_s
        watching = push.begin()
        await assert_stays(watching, 10.0)
        push.server.answers = False
        await lost_after_s(watching)
        push.server.answers = True
        assert await finds_path(push)
        push.server.answers = False
        await asyncio.sleep(round_trip_s)
        assert not await finds_path(push)
