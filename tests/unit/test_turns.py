"""Requests take turns: networks one after the other, and of a network first the connection that asks least."""

from __future__ import annotations

import asyncio

from bass_webrtc.signaling.server.turns import Turns


class Scene:
    """Requests that record when they were handled."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.turns = Turns(lambda: self.now_s)
        self.order: list[str] = []
        self.tasks: list[asyncio.Task[None]] = []

    def request(self, name: str, network: str, connection: int, work: int = 1) -> asyncio.Task[None]:
        async def handle() -> None:
            await self.turns.take(network, connection, work)
            self.order.append(name)

        self.tasks.append(asyncio.create_task(handle()))
        return self.tasks[-1]

    async def iterations(self, count: int) -> None:
        for _ in range(count):
            await asyncio.sleep(0)

    async def all(self) -> list[str]:
        await asyncio.gather(*self.tasks)
        return self.order


async def test_single_request_does_not_wait() -> None:
    scene = Scene()
    scene.request("only", "a", 1)
    await scene.iterations(1)
    assert scene.order == ["only"]


async def test_another_network_does_not_wait_for_a_flood() -> None:
    scene = Scene()
    for number in range(500):
        scene.request("flood", "a", number)
    await scene.iterations(1)
    scene.request("other", "b", 1000)
    assert (await scene.all()).index("other") < 20


async def test_quiet_connection_of_the_same_network_does_not_wait_for_a_flood() -> None:
    """Behind a reverse proxy that is not trusted, and on this machine, all clients are one network."""
    scene = Scene()
    for _ in range(5):
        for connection in range(100):
            scene.request("flood", "a", connection)
    await scene.iterations(100)
    before = len(scene.order)
    assert before < 500
    scene.request("other", "a", 1000)
    assert (await scene.all()).index("other") < before + 20


async def test_large_request_has_an_iteration_of_the_loop_alone() -> None:
    scene = Scene()
    for number in range(10):
        scene.request("large", "a", number, work=20)
    handled = []
    for _ in range(30):
        before = len(scene.order)
        await scene.iterations(1)
        handled.append(len(scene.order) - before)
    assert sum(handled) == 10
    assert max(handled) == 1


async def test_client_that_has_gone_does_not_stop_the_turns() -> None:
    scene = Scene()
    for number in range(10):
        scene.request(f"{number}", "a", number)
    await scene.iterations(1)
    for task in scene.tasks[5:8]:
        task.cancel()
    await asyncio.gather(*scene.tasks, return_exceptions=True)
    assert sorted(scene.order) == ["0", "1", "2", "3", "4", "8", "9"]


async def test_memory_of_connections_is_bounded() -> None:
    scene = Scene()
    for connection in range(10_000):
        await scene.turns.take("a", connection)
    assert len(scene.turns._levels_s) <= 4096


async def test_connections_are_forgotten_once_they_count_as_new() -> None:
    """Otherwise each listener's closed HTTP connection would hold 300 bytes."""
    scene = Scene()
    for connection in range(100):
        scene.now_s += 0.5
        await scene.request("one", "a", connection)
    assert len(scene.turns._levels_s) <= 3
