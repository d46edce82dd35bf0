"""When a client considers its server lost: soon, but not because it is distant or silent."""

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
from bass_webrtc.peer.ice.full_ice import FullIce, IceSettings
from bass_webrtc.rtc.candidate import CandidatePolicy
from bass_webrtc.signaling.client.session import SignalingSession
from support.ice_peer import HOST, IcePeer
from support.ice_recorder import IceRecorder
from support.virtual_time import VirtualLoop, in_virtual_time


class Push:
    """A connection that receives nothing from its server but the responses to its checks.

    Attributes:
        ice: Connected to ``server``.
    """

    state = "connected"
    local_host = ""

    def __init__(self, ice: FullIce, server: IcePeer) -> None:
        self.ice = ice
        self.server = server
        self.packets = 0
        self.checks = 0

    @property
    def activity(self) -> int:
        return self.ice.consent_responses + self.packets

    @property
    def round_trip_s(self) -> float | None:
        return self.ice.round_trip_s

    def send_check(self) -> None:
        self.checks += 1
        self.ice.send_check()

    def stats(self) -> SimpleNamespace:
        return SimpleNamespace(packets_received=self.packets)

    async def request_restart(self, exchange: Callable[[], Awaitable[None]]) -> None:
        await exchange()

    def begin(self) -> asyncio.Task[Loss]:
        """Watch it until the task is cancelled."""
        ended = asyncio.get_running_loop().create_future()
        return asyncio.create_task(watch(cast(FullConnection, self), ended))


@asynccontextmanager
async def pushing() -> AsyncIterator[Push]:
    settings = IceSettings(hosts=(HOST,), policy=CandidatePolicy(allow_loopback=True))
    ice = FullIce(settings, IceRecorder(), controlling=False)
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
    """Return how long the detection takes from now."""
    loop = asyncio.get_running_loop()
    start_s = loop.time()
    loss = await asyncio.wait_for(watching, 20.0)
    assert loss.is_of_path
    return loop.time() - start_s


async def assert_stays(watching: asyncio.Task[Loss], seconds: float) -> None:
    await asyncio.wait({watching}, timeout=seconds)
    assert not watching.done(), watching.result()


class Refusing:
    """A session at a server that does not support ICE restarts."""

    can_restart = True

    async def reconnect(self) -> None: ...

    async def restart(self) -> None:
        raise SignalingError(405, "", "ICE restarts are not supported")


async def finds_path(push: Push) -> bool:
    ended = asyncio.get_running_loop().create_future()
    return await find_path(cast(SignalingSession, Refusing()), cast(FullConnection, push), ended)


@pytest.mark.parametrize("phase_s", [0.0, 0.1, 0.2, 0.24])
@in_virtual_time
async def test_vanished_server_is_detected_after_a_second(phase_s: float) -> None:
    """A client can then be back within two seconds of a killed server, whenever it was killed."""
    async with pushing() as push:
        push.server.delay_s = 0.02
        watching = push.begin()
        await assert_stays(watching, 5.0 + phase_s)
        push.server.answers = False
        assert 0.9 < await lost_after_s(watching) <= 1.26


@in_virtual_time
async def test_silent_server_is_not_lost() -> None:
    async with pushing() as push:
        await assert_stays(push.begin(), 600.0)


@pytest.mark.parametrize("round_trip_s", [0.3, 1.5, 3.0])
@in_virtual_time
async def test_distant_server_is_not_lost_and_detected_later(round_trip_s: float) -> None:
    """Also at the beginning, when the round trip is unknown."""
    async with pushing() as push:
        push.server.delay_s = round_trip_s
        watching = push.begin()
        await assert_stays(watching, 120.0)
        push.server.answers = False
        assert await lost_after_s(watching) <= 1.4 + 2 * round_trip_s  # Responses are still in flight.


@in_virtual_time
async def test_lost_checks_do_not_mean_lost_server() -> None:
    """One in ten is lost in each direction."""
    chance = random.Random(4)
    async with pushing() as push:
        watching = push.begin()
        for _ in range(2_000):
            push.server.answers = chance.random() < 0.8
            await assert_stays(watching, 0.05)


@in_virtual_time
async def test_received_packets_replace_checks() -> None:
    """A player sends one check, for the round trip, and later detects a stream that stops."""
    async with pushing() as push:
        watching = push.begin()
        for _ in range(500):
            push.packets += 1
            await assert_stays(watching, 0.02)
        assert push.checks == 1
        await assert_stays(watching, 2.7)
        loss = await asyncio.wait_for(watching, 1.0)
        assert loss == Loss("no packet for 3 s", is_of_path=True)


@in_virtual_time
async def test_stream_on_hold_keeps_its_session() -> None:
    """The server answers checks but sends nothing, for a minute: one ICE restart is tried, and refused."""
    async with pushing() as push:
        push.server.delay_s = 0.02
        watching = push.begin()
        for _ in range(50):
            push.packets += 1
            await assert_stays(watching, 0.02)
        loss = await asyncio.wait_for(watching, 5.0)
        assert loss.is_of_path
        assert await finds_path(push)
        watching = push.begin()
        await assert_stays(watching, 60.0)
        push.packets += 1  # The stream continues, and stops again.
        assert (await asyncio.wait_for(watching, 5.0)).is_of_path


@in_virtual_time
async def test_stalled_interpreter_does_not_drop_connection() -> None:
    async with pushing() as push:
        push.server.delay_s = 0.02
        watching = push.begin()
        loop = cast(VirtualLoop, asyncio.get_running_loop())
        for later_s in (1.0, 2.01, 3.1, 4.2):
            loop.call_later(later_s, loop.jump, 5.0)
        await assert_stays(watching, 60.0)


@pytest.mark.parametrize("round_trip_s", [0.02, 1.5])
@in_virtual_time
async def test_former_path_is_used_again_if_restart_is_refused(round_trip_s: float) -> None:
    """The network may have been down for a second; on some servers a new publisher disconnects all listeners."""
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
