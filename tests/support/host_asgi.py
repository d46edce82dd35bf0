"""An ASGI application under uvicorn, whose lifespan runs a server; prints ``passed`` at its end. Argument: the loop."""

from __future__ import annotations

import asyncio
import signal
import sys
import urllib.request
from collections.abc import Awaitable, Callable
from typing import Any

import uvicorn

import bass_webrtc as bw

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    """The lifespan opens a server, and a page says how many peers it has."""
    if scope["type"] != "lifespan":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": str(len(station.peers)).encode()})
        return
    await receive()
    async with station:
        await station.start()
        await send({"type": "lifespan.startup.complete"})
        await receive()
    await send({"type": "lifespan.shutdown.complete"})


async def visit(server: uvicorn.Server) -> None:
    """Play, ask the application, and end uvicorn as Ctrl-C does."""
    while not server.started:  # noqa: ASYNC110  It has no event.
        await asyncio.sleep(0.01)
    async with bw.aio.WhepClient(f"{station.url}whep") as player:
        await player.start()
        assert await player.wait_connected(20.0)
        host, port = server.servers[0].sockets[0].getsockname()
        answer = await asyncio.to_thread(urllib.request.urlopen, f"http://{host}:{port}/")
        assert answer.read() == b"1"
    signal.raise_signal(signal.SIGINT)


async def main(server: uvicorn.Server) -> None:
    """Serve until the visitor ends it."""
    visitor = asyncio.create_task(visit(server))
    await server._serve()
    await visitor


station = bw.aio.Server(bw.Tone(), bw.ServerConfig(http_port=0, udp_port=0))

if __name__ == "__main__":
    config = uvicorn.Config(app, port=0, loop=sys.argv[1], lifespan="on", log_level="warning")
    uvicorn_server = uvicorn.Server(config)
    with uvicorn_server.capture_signals(), asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
        signal.signal(signal.SIGINT, uvicorn_server.handle_exit)
        runner.run(main(uvicorn_server))
        uvicorn_server._captured_signals.clear()
    assert uvicorn_server.should_exit
    sys.stdout.write("passed\n")
