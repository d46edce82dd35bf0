"""However a client ends, it leaves no session on the server and no resources in its process."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TypeAlias

import pytest

import bass_webrtc as bw
from support.client_peers import ClientProcess, connect
from support.conformance import covers
from support.patience import wait_until
from support.server_process import ServerProcess

CYCLES = 500
WARM_UP_CYCLES = 200
GONE_WITHIN_S = 3.0
KINDS = ["push", "pull"]

Program: TypeAlias = "subprocess.Popen[str]"


@pytest.fixture
def server() -> Iterator[bw.Server]:
    with bw.Server(bw.Tone(), bw.ServerConfig(http_port=0, udp_port=0)) as server:
        server.start()
        yield server


def make(kind: str, server: bw.Server) -> bw.WhipClient | bw.WhepClient:
    return bw.WhipClient(bw.Tone(), f"{server.url}whip") if kind == "push" else bw.WhepClient(f"{server.url}whep")


@contextmanager
def running(server: bw.Server, *command: str) -> Iterator[Program]:
    """A program that is connected to the server."""
    program = subprocess.Popen(
        [sys.executable, *command], stdin=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8"
    )
    try:
        wait_until(lambda: any(peer.state == "connected" for peer in server.peers), 30.0)
        yield program
    finally:
        program.kill()
        program.communicate()


def assert_gone(server: bw.Server) -> None:
    wait_until(lambda: server.peers == (), GONE_WITHIN_S)


@pytest.mark.parametrize("kind", KINDS)
def test_stop_ends_the_session_and_start_makes_another(server: bw.Server, kind: str) -> None:
    client = make(kind, server)
    for _ in range(2):
        connect(client)
        client.stop()
        client.stop()
        assert not client.connected
        assert client.stats().state == "closed"
        assert_gone(server)
    client.close()
    client.close()
    with pytest.raises(bw.ClosedError):
        client.start()
    assert not client.wait_connected()


def test_stop_while_connecting_leaves_no_session(server: bw.Server) -> None:
    for _ in range(5):
        with bw.WhepClient(f"{server.url}whep") as client:
            client.start()
    assert_gone(server)


def test_exception_in_with_block_ends_the_session(server: bw.Server) -> None:
    with pytest.raises(ZeroDivisionError), make("push", server) as client:  # noqa: PT012
        connect(client)
        raise ZeroDivisionError
    assert_gone(server)


async def test_cancelled_task_ends_the_session(server: bw.Server) -> None:
    async def pull() -> None:
        async with bw.aio.WhepClient(f"{server.url}whep") as client:
            await client.start()
            assert await client.wait_connected(20.0)
            assert client.connected
            await asyncio.Event().wait()

    loop, there = asyncio.get_running_loop(), asyncio.Event()
    server.on("peer_connected", lambda _: loop.call_soon_threadsafe(there.set))
    task = asyncio.create_task(pull())
    await asyncio.wait_for(there.wait(), 20.0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert_gone(server)


async def test_wait_connected_in_asyncio_times_out(server: bw.Server) -> None:
    async with bw.aio.WhipClient(bw.Tone(), "http://127.0.0.1:1/whip") as client:
        assert not await client.wait_connected()
        await client.start()
        assert not await client.wait_connected(0.2)
    async with bw.aio.WhipClient(bw.Tone(), f"{server.url}nowhere") as lost:
        await lost.start()
        with pytest.raises(bw.SignalingError):
            await lost.wait_connected()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("kind", KINDS)
def test_signal_to_the_command_ends_the_session(server: bw.Server, kind: str, number: signal.Signals) -> None:
    arguments = ["tone", f"{server.url}whip"] if kind == "push" else [f"{server.url}whep", "--output-device", "none"]
    with running(server, "-m", "bass_webrtc", kind, *arguments) as program:
        program.send_signal(number)
        _, errors = program.communicate(timeout=15)
        assert program.returncode == 0
        assert errors in ("", f"{kind}ing\n")
    assert_gone(server)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_interpreter_exit_ends_the_session(server: bw.Server, host: str) -> None:
    """At exit no thread can be started for a name lookup."""
    url = server.url.replace("127.0.0.1", host)
    program = f"import bass_webrtc as bw; c = bw.WhipClient(bw.Tone(), '{url}whip'); c.start(); input()"
    with running(server, "-c", program) as process:
        # Longer than the keep-alive time, so that DELETE needs a new connection.
        wait_until(lambda: server.peers[0].stats().connected_s > 4.0)
        _, errors = process.communicate("\n", timeout=15)
        assert (process.returncode, errors) == (0, "")
    assert_gone(server)


@pytest.mark.parametrize("ice_servers", [(), (bw.IceServer("stun:127.0.0.1:9"),)], ids=["ICE-lite", "full ICE"])
def test_killed_clients_are_removed_after_thirty_seconds(ice_servers: tuple[bw.IceServer, ...]) -> None:
    """A killed client sends nothing: consent expires (RFC 7675, 5.1)."""
    config = bw.ServerConfig(http_port=0, udp_port=0, ice_servers=ice_servers)
    with bw.Server(bw.Tone(), config) as server, ExitStack() as stack:
        server.start()
        urls = {"push": ["tone", f"{server.url}whip"], "pull": [f"{server.url}whep", "--output-device", "none"]}
        programs = []
        for kind, arguments in urls.items():
            programs.append(stack.enter_context(running(server, "-m", "bass_webrtc", kind, *arguments)))
            wait_until(lambda: sum(peer.state == "connected" for peer in server.peers) == len(programs), 30.0)
        for program in programs:
            program.kill()
        waited_s = wait_until(lambda: "publisher" not in {peer.kind for peer in server.peers}, 33.0)
        assert waited_s > 10.0
        wait_until(lambda: server.peers == (), 33.0 - waited_s)


@covers("SE61")
@pytest.mark.timeout(240)
@pytest.mark.parametrize("kind", KINDS)
def test_five_hundred_starts_and_stops_leak_nothing(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads, descriptors and tasks return to their counts before, memory to within 2 MB."""
    # Each start makes new threads, which glibc assigns to one of several arenas. Each of them grows to its own maximum.
    monkeypatch.setenv("MALLOC_ARENA_MAX", "1")
    path = "whip" if kind == "push" else "whep"
    with ServerProcess() as server, ClientProcess(kind, server.url + path) as client:
        # The first connections fill caches, free lists and allocator arenas.
        client.cycle(WARM_UP_CYCLES)
        before = client.ask("resources")
        client.cycle(CYCLES)
        wait_until(lambda: client.ask("resources")["descriptors"] == before["descriptors"], 5.0)
        after = client.ask("resources")
        assert after["threads"] == before["threads"]
        assert after["tasks"] == before["tasks"]
        assert after["memory_kb"] - before["memory_kb"] < 2_000
        assert server.stats()["active_peers"] == 1
