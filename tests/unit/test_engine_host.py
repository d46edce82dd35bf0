"""The engine host: slots, and dispatch of engine events."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest

from bass_webrtc.core import (
    ChannelRemoved,
    Datagram,
    Engine,
    EngineEvent,
    Limited,
    PeerCounters,
    PeerRemoved,
    ProbeSent,
    RtcpReceived,
    SourceEnded,
    SourceReplaced,
)
from bass_webrtc.errors import PeerLimitError
from bass_webrtc.peer.host import EngineHost


class FakeEngine:
    """Reports the events that a test queues."""

    def __init__(self) -> None:
        self._waiting, self._wake = socket.socketpair()
        self.event_descriptor = self._waiting.fileno()
        self._events: list[EngineEvent] = []
        self.removed: list[int] = []
        self.calls: list[str] = []

    def report(self, *events: EngineEvent) -> None:
        self._events += events
        self._wake.send(b"!")

    def events(self) -> Iterator[EngineEvent]:
        self._waiting.recv(100)
        try:
            while self._events:
                yield self._events.pop(0)
        finally:
            if self._events:
                self._wake.send(b"!")

    def start(self) -> None:
        self.calls.append("start")

    def remove_peer(self, slot: int) -> None:
        self.removed.append(slot)

    def add_socket(self, descriptor: int) -> int:
        self.calls.append(f"add_socket {descriptor}")
        return 0

    def peer_counters(self, slot: int) -> PeerCounters:
        return PeerCounters(datagrams_limited=70 + slot)

    def close(self) -> None:
        self.calls.append("close")

    def close_sockets(self) -> None:
        self._waiting.close()
        self._wake.close()


class Channel:
    """Remembers what the host reports."""

    def __init__(self) -> None:
        self.reported: list[object] = []

    def ended(self, code: int) -> None:
        self.reported.append(code)

    def replaced(self) -> None:
        self.reported.append("replaced")

    def removed(self) -> None:
        self.reported.append("removed")


class Owner:
    """Records what the host reports to the owner of a slot."""

    def __init__(self) -> None:
        self.rtcp: list[bytes] = []
        self.releases = self.probes = 0

    def receive_rtcp(self, packet: bytes, now_s: float) -> None:
        self.rtcp.append(packet)

    def probe_sent(self) -> None:
        self.probes += 1

    def released(self) -> None:
        self.releases += 1


@pytest.fixture
def engine() -> Iterator[FakeEngine]:
    engine = FakeEngine()
    yield engine
    engine.close_sockets()


@pytest.fixture
async def host(engine: FakeEngine) -> AsyncIterator[EngineHost]:
    host = EngineHost(cast(Engine, engine), 2)
    host.start()
    yield host
    host.stop()


async def test_slot_is_reused_after_its_release(host: EngineHost, engine: FakeEngine) -> None:
    first, second, third = Owner(), Owner(), Owner()
    assert (host.take_slot(first), host.take_slot(second)) == (0, 1)
    with pytest.raises(PeerLimitError, match="max_peers"):
        host.take_slot(third)
    host.release_slot(0)
    assert engine.removed == [0]
    waiting = asyncio.create_task(host.wait_for_free_slot())
    await asyncio.sleep(0)
    assert not waiting.done()
    engine.report(PeerRemoved(0))
    await waiting
    assert (first.releases, second.releases) == (1, 0)
    assert host.take_slot(third) == 0


async def test_number_of_a_peer_that_left_is_not_used_at_once(engine: FakeEngine) -> None:
    """Logs and programs may still name it."""
    host = EngineHost(cast(Engine, engine), 3)
    host.start()
    taken = []
    for _ in range(4):
        taken.append(slot := host.take_slot(Owner()))
        host.release_slot(slot)
        engine.report(PeerRemoved(slot))
        await asyncio.sleep(0.01)
    assert taken == [0, 1, 2, 0]
    host.stop()


async def test_wait_until_released_waits_for_all_slots(host: EngineHost, engine: FakeEngine) -> None:
    await host.wait_until_released(10.0)
    host.take_slot(Owner())
    host.take_slot(Owner())
    waiting = asyncio.create_task(host.wait_until_released(10.0))
    engine.report(PeerRemoved(1))
    await asyncio.sleep(0.01)
    assert not waiting.done()
    engine.report(PeerRemoved(0))
    await waiting


async def test_wait_until_released_times_out(host: EngineHost) -> None:
    host.take_slot(Owner())
    await host.wait_until_released(0.01)


async def test_events_reach_owner_and_handlers(engine: FakeEngine) -> None:
    host = EngineHost(cast(Engine, engine), 2)
    host.start()
    main, other = Channel(), Channel()
    host.observe_channel(0, main)
    host.observe_channel(3, other)
    datagrams: list[Datagram] = []
    host.set_datagram_handler(datagrams.append)
    owner = Owner()
    slot = host.take_slot(owner)
    datagram = Datagram(0, 0, "192.0.2.1", 5000, 0.0, b"\0")
    engine.report(RtcpReceived(slot, 0.0, b"report"), datagram, SourceEnded(0, 45), SourceReplaced(0))
    engine.report(SourceEnded(3, 40), ChannelRemoved(3), ProbeSent(slot))
    await asyncio.sleep(0.01)
    assert (owner.rtcp, owner.probes, datagrams) == ([b"report"], 1, [datagram])
    assert (main.reported, other.reported) == ([45, "replaced"], [40, "removed"])
    host.stop()


async def test_failing_event_does_not_affect_the_next_ones(host: EngineHost, engine: FakeEngine) -> None:
    reported: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))

    def fail(_: Datagram) -> None:
        raise ValueError("one bad datagram")

    host.set_datagram_handler(fail)
    owner = Owner()
    slot = host.take_slot(owner)
    engine.report(Datagram(0, 0, "192.0.2.1", 5000, 0.0, b"\0"), RtcpReceived(slot, 0.0, b"report"))
    await asyncio.sleep(0.01)
    assert owner.rtcp == [b"report"]
    assert [str(context["exception"]) for context in reported] == ["one bad datagram"]


async def test_many_events_leave_time_for_other_work(
    host: EngineHost, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each takes 2 ms here; after 5 ms the loop does something else."""
    handled: list[Datagram] = []
    clock = SimpleNamespace(perf_counter=lambda: 0.002 * len(handled))
    monkeypatch.setattr("bass_webrtc.peer.host.time", clock)
    host.set_datagram_handler(handled.append)
    engine.report(*[Datagram(0, 0, "192.0.2.1", 5000, 0.0, b"\0")] * 10)
    seen = [0]
    while seen[-1] < 10:
        await asyncio.sleep(0)
        seen.append(len(handled))
    assert sorted(set(seen)) == [0, 3, 6, 9, 10]


async def test_limited_peer_is_logged(host: EngineHost, engine: FakeEngine, caplog: pytest.LogCaptureFixture) -> None:
    engine.report(Limited(3, "STUN"))
    await asyncio.sleep(0.01)
    assert caplog.messages == ["limited: peer 3 sends too much STUN; 73 datagrams dropped"]


async def test_sockets_are_closed_after_the_engine(host: EngineHost, engine: FakeEngine) -> None:
    sock = socket.socket(type=socket.SOCK_DGRAM)
    number = sock.fileno()
    assert host.add_socket(sock) == 0
    host.stop()
    host.close()
    assert engine.calls == ["start", f"add_socket {number}", "close"]
    assert sock.fileno() == -1
