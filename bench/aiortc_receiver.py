"""The baseline: unmodified aiortc as a WHIP server that decodes received audio and discards it.

It neither plays nor mixes, unlike bass-webrtc: this is in aiortc's favour.

    python -m bench.aiortc_receiver ADDRESS      prints the endpoint's URL, serves until standard input closes
"""

from __future__ import annotations

import asyncio
import contextlib
import sys

from aiohttp import web
from aiortc import MediaStreamTrack, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError


class WhipServer:
    """The minimum of WHIP that a publisher needs: POST and DELETE."""

    def __init__(self) -> None:
        self.frames = 0
        """Decoded frames of all peers."""
        self._peers: dict[str, RTCPeerConnection] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def application(self) -> web.Application:
        application = web.Application()
        application.router.add_post("/whip", self._post)
        application.router.add_get("/frames", self._get_frames)
        application.router.add_delete("/whip/{peer}", self._delete)
        application.on_shutdown.append(self._close)
        return application

    async def _post(self, request: web.Request) -> web.Response:
        connection = RTCPeerConnection()
        connection.on("track", self._listen)
        await connection.setRemoteDescription(RTCSessionDescription(await request.text(), "offer"))
        await connection.setLocalDescription(await connection.createAnswer())
        name = str(id(connection))
        self._peers[name] = connection
        answer = connection.localDescription.sdp
        headers = {"Location": f"/whip/{name}"}
        return web.Response(status=201, text=answer, content_type="application/sdp", headers=headers)

    async def _delete(self, request: web.Request) -> web.Response:
        await self._peers.pop(request.match_info["peer"]).close()
        return web.Response()

    async def _get_frames(self, request: web.Request) -> web.Response:
        return web.Response(text=str(self.frames))

    def _listen(self, track: MediaStreamTrack) -> None:
        task = asyncio.get_running_loop().create_task(self._decode(track))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _decode(self, track: MediaStreamTrack) -> None:
        with contextlib.suppress(MediaStreamError):
            while True:
                await track.recv()
                self.frames += 1

    async def _close(self, application: web.Application) -> None:
        await asyncio.gather(*(connection.close() for connection in self._peers.values()))


async def serve(address: str) -> None:
    """Serve until standard input closes."""
    runner = web.AppRunner(WhipServer().application())
    await runner.setup()
    await web.TCPSite(runner, address, 0).start()
    print(f"http://{address}:{runner.addresses[0][1]}/whip", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(serve(*sys.argv[1:]))
