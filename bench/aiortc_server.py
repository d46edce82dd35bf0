"""The baseline: unmodified aiortc as a WHEP server that sends pre-encoded packets.

The comparison is in aiortc's favour: no encoding (aiortc would encode once per peer), one ticker for all peers instead
of one sleep each, and only audio. Otherwise it is aiortc as its users run it.

    python -m bench.aiortc_server [ADDRESS [BUSY_THREADS]]      prints the port, serves until standard input closes
"""

from __future__ import annotations

import asyncio
import contextlib
import fractions
import sys
import threading
from typing import Any

import av
import numpy as np
from aiohttp import web
from aiortc import MediaStreamTrack, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError

FRAME_SAMPLES = 960
FRAME_S = 0.02
_TIME_BASE = fractions.Fraction(1, 48_000)


def encode_tone(left_hz: int, right_hz: int, bitrate_bps: int = 128_000) -> list[bytes]:
    """Encode one second of a stereo sine as 50 Opus packets that can be repeated."""
    encoder = av.CodecContext.create("libopus", "w")
    encoder.sample_rate, encoder.layout, encoder.format = 48_000, "stereo", "flt"
    encoder.bit_rate = bitrate_bps
    encoder.open()
    packets: list[bytes] = []
    for number in range(150):
        time = (np.arange(FRAME_SAMPLES) + number * FRAME_SAMPLES) / 48_000
        sines = np.stack([np.sin(2 * np.pi * hz * time) for hz in (left_hz, right_hz)], axis=1)
        frame = av.AudioFrame.from_ndarray((0.25 * sines).astype(np.float32).reshape(1, -1), "flt", "stereo")
        frame.sample_rate, frame.pts, frame.time_base = 48_000, number * FRAME_SAMPLES, _TIME_BASE
        packets += [bytes(packet) for packet in encoder.encode(frame)]
    return packets[75:125]


class Ticker:
    """Passes every track the same packet at the same time, at absolute deadlines."""

    def __init__(self, packets: list[bytes]) -> None:
        self._packets = packets
        self._next: asyncio.Future[tuple[int, bytes]] = asyncio.get_running_loop().create_future()

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        start, number = loop.time(), 0
        while True:
            number += 1
            await asyncio.sleep(max(0.0, start + number * FRAME_S - loop.time()))
            due, self._next = self._next, loop.create_future()
            due.set_result((number, self._packets[number % len(self._packets)]))

    async def next(self) -> tuple[int, bytes]:
        return await asyncio.shield(self._next)


class EncodedTrack(MediaStreamTrack):
    """A track of encoded packets, which aiortc sends unchanged."""

    kind = "audio"

    def __init__(self, ticker: Ticker) -> None:
        super().__init__()
        self._ticker = ticker

    async def recv(self) -> Any:
        if self.readyState != "live":
            raise MediaStreamError
        number, payload = await self._ticker.next()
        packet = av.Packet(payload)
        packet.pts, packet.time_base = number * FRAME_SAMPLES, _TIME_BASE
        return packet


class WhepServer:
    """The minimum of WHEP that a player needs: POST and DELETE."""

    def __init__(self, ticker: Ticker) -> None:
        self._ticker = ticker
        self._peers: dict[str, RTCPeerConnection] = {}

    def application(self) -> web.Application:
        application = web.Application()
        application.router.add_post("/whep", self._post)
        application.router.add_delete("/whep/{peer}", self._delete)
        application.router.add_options("/{any:.*}", self._options)
        application.on_response_prepare.append(self._allow_every_page)
        application.on_shutdown.append(self._close)
        return application

    async def _post(self, request: web.Request) -> web.Response:
        connection = RTCPeerConnection()
        connection.addTrack(EncodedTrack(self._ticker))
        await connection.setRemoteDescription(RTCSessionDescription(await request.text(), "offer"))
        await connection.setLocalDescription(await connection.createAnswer())
        name = str(id(connection))
        self._peers[name] = connection
        headers = {"Location": f"/whep/{name}"}
        answer = connection.localDescription.sdp
        return web.Response(status=201, text=answer, content_type="application/sdp", headers=headers)

    async def _delete(self, request: web.Request) -> web.Response:
        await self._peers.pop(request.match_info["peer"]).close()
        return web.Response()

    async def _options(self, request: web.Request) -> web.Response:
        return web.Response(status=204)

    async def _allow_every_page(self, request: web.Request, response: web.StreamResponse) -> None:
        response.headers["Access-Control-Allow-Origin"] = "*"
        response.headers["Access-Control-Allow-Methods"] = "POST, DELETE, OPTIONS"
        response.headers["Access-Control-Allow-Headers"] = "content-type"
        response.headers["Access-Control-Expose-Headers"] = "Location"

    async def _close(self, application: web.Application) -> None:
        await asyncio.gather(*(connection.close() for connection in self._peers.values()))


async def serve(address: str = "127.0.0.1", busy_threads: str = "0") -> None:
    """Serve until standard input closes, with this many busy threads of pure Python."""
    for _ in range(int(busy_threads)):
        threading.Thread(target=_work, daemon=True).start()
    ticker = Ticker(encode_tone(440, 880))
    ticking = asyncio.create_task(ticker.run())
    runner = web.AppRunner(WhepServer(ticker).application())
    await runner.setup()
    site = web.TCPSite(runner, address, 0)
    await site.start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    ticking.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await ticking
    await runner.cleanup()


def _work() -> None:
    while True:
        sum(number * number for number in range(2_000))


if __name__ == "__main__":
    asyncio.run(serve(*sys.argv[1:]))
