"""A program that forks while a server and clients run; prints ``passed`` at its end. ``uvloop``: from such a loop.

The child must not use, hold or end what the parent has, and its own exit must be an ordinary one.
"""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import bass_webrtc as bw

from . import media

ANY_PORT = bw.ServerConfig(http_port=0, udp_port=0)
EXIT_S = 5.0
"""Far more than an exit takes, and far less than one that waits for a thread."""


def in_child(function: Callable[[], None]) -> None:
    """Run a function in a forked child, which exits as programs do, and assert that it ends well and soon."""
    child = os.fork()
    if child == 0:
        function()
        sys.exit(0)  # With atexit handlers, unlike os._exit.
    wait_for(child)


def wait_for(child: int, code: int = 0) -> None:
    """Assert that a child ends soon, and with which exit code."""
    deadline_s = time.monotonic() + EXIT_S
    while (ended := os.waitpid(child, os.WNOHANG)) == (0, 0):
        if time.monotonic() > deadline_s:
            os.kill(child, 9)
            os.waitpid(child, 0)
            raise AssertionError("the child hangs")
        time.sleep(0.01)
    assert os.waitstatus_to_exitcode(ended[1]) == code, ended


def raises_closed(function: Callable[[], object]) -> None:
    """Assert that a call in the child raises an error that says why."""
    with pytest.raises(bw.ClosedError, match="parent process"):
        function()


def connect(server: bw.Server) -> bw.WhepClient:
    """A client that is connected."""
    client = bw.WhepClient(f"{server.url}whep")
    client.start()
    assert client.wait_connected(20.0)
    return client


def try_everything(server: bw.Server, client: bw.WhepClient, source: bw.PcmSource, peer: bw.Peer) -> None:
    """Call the parent's objects in a child."""
    for call in (
        server.start,
        server.stats,
        server.create_offer,
        lambda: server.add_peer("v=0"),
        lambda: server.remove_peer(0),
        lambda: server.set_bitrate(64),
        lambda: server.url,
        lambda: server.peers,
        lambda: server.input_stream,
        lambda: server.read_input(10),
        client.start,
        client.stats,
        lambda: client.wait_connected(),
        lambda: client.stream,
        lambda: client.read(10),
        peer.stats,
        peer.close,
        lambda: source.write([[0.0, 0.0]]),
        lambda: source.space,
    ):
        raises_closed(call)
    raises_closed(lambda: asyncio.run(bw.aio.WhepClient.wait_connected(client)))  # type: ignore[arg-type]
    assert not client.connected
    # What releases is an end without an error.
    with server, client:
        pass
    server.stop()
    client.stop()


def work_in_child() -> None:
    """Use the library in a child as in any process."""
    with bw.Server(bw.Tone(), ANY_PORT) as server:
        server.start()
        with connect(server) as client:
            assert client.connected


def assert_free(*addresses: tuple[int, int]) -> None:
    """Assert that nobody holds these ports: kinds of sockets, and numbers."""
    for kind, port in addresses:
        with socket.socket(socket.AF_INET, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, kind == socket.SOCK_STREAM)
            probe.bind(("127.0.0.1", port))


@contextlib.contextmanager
def living_child() -> Iterator[None]:
    """A forked child that lives through the block."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(writer)
        os.read(reader, 1)
        sys.exit(0)
    os.close(reader)
    yield
    os.close(writer)
    wait_for(child)


def fork_in_callback(server: bw.Server) -> None:
    """A callback forks the process, and returns in the child, too; another starts a program, and ends it."""
    children: list[int] = []
    programs: list[int] = []
    done = threading.Event()

    def fork(_: bw.Peer) -> None:
        child = os.fork()
        if child:
            children.append(child)

    def start_program(_: bw.Peer) -> None:
        with subprocess.Popen(["sleep", "60"]) as program:
            program.terminate()
            programs.append(program.wait(EXIT_S))
        done.set()

    unsubscribe = [server.on("peer_connected", one) for one in (fork, start_program)]
    with connect(server):
        assert done.wait(20.0)
    for one in unsubscribe:
        one()
    wait_for(children[0])
    assert programs == [-15], programs


def fork_beside_bass() -> None:
    """BASS's own destructor waits for ever for threads that a forked child has not."""
    with tempfile.TemporaryDirectory() as folder:
        path = media.write_tone(Path(folder, "tone.wav"))
        with bw.Server(bw.BassFile(path, loop=True), ANY_PORT) as server:
            server.start()
            child = os.fork()
            if child == 0:
                sys.exit(3)
            wait_for(child, code=3)


def main() -> None:
    """Fork in all ways."""
    source = bw.PcmSource()
    unused = bw.Server(bw.Tone(), ANY_PORT)
    server = bw.Server(source, ANY_PORT)
    server.start()
    full_ice = bw.Server(bw.Tone(), bw.ServerConfig(http_port=0, ice_servers=(bw.IceServer("stun:127.0.0.1:9"),)))
    full_ice.start()
    client, other = connect(server), connect(full_ice)
    (peer,) = server.peers

    in_child(lambda: try_everything(server, client, source, peer))
    in_child(work_in_child)

    def start_unused() -> None:
        with unused:
            unused.start()
            connect(unused).close()

    in_child(start_unused)
    for process in (
        multiprocessing.get_context("fork").Process(target=work_in_child),
        multiprocessing.get_context("spawn").Process(target=work_in_child),
        multiprocessing.get_context("forkserver").Process(target=work_in_child),
    ):
        process.start()
        process.join(6 * EXIT_S)
        assert process.exitcode == 0, (process, process.exitcode)

    fork_beside_bass()
    fork_in_callback(server)
    assert client.connected, "a child has ended the parent's session"
    assert other.connected, "a child has ended the parent's session"

    ports = [
        (int(socket.SOCK_STREAM), int(server.url.split(":")[2].strip("/"))),
        (int(socket.SOCK_DGRAM), server.udp_port),
    ]
    with living_child():
        server.stop()
        assert_free(*ports)
        deadline_s = time.monotonic() + 5.0
        while client.connected:  # close_notify came from the parent.
            assert time.monotonic() < deadline_s
            time.sleep(0.01)
    for one in (client, other, full_ice):
        one.close()
    sys.stdout.write("passed\n")


async def main_in_uvloop() -> None:
    """Fork from a callback of a running uvloop, which asyncio's policy makes."""
    import uvloop

    assert isinstance(asyncio.get_running_loop(), uvloop.Loop)
    async with bw.aio.Server(bw.Tone(), ANY_PORT) as server:
        await server.start()
        async with bw.aio.WhepClient(f"{server.url}whep") as client:
            await client.start()
            assert await client.wait_connected(20.0)
            child = os.fork()
            if child == 0:
                sys.exit(0)
            await asyncio.to_thread(wait_for, child)
            assert client.connected
    sys.stdout.write("passed\n")


def run_uvloop() -> Any:
    """Make uvloop the program's loop, as servers do."""
    import uvloop

    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    asyncio.run(main_in_uvloop())


if __name__ == "__main__":
    run_uvloop() if sys.argv[1:] == ["uvloop"] else main()
