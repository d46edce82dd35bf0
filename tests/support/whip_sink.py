"""The receiving side of a WHIP endpoint for tests of the page: answers an offer and measures the audio."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
from numpy.typing import NDArray

FULL_SCALE = 32768


class WhipSink:
    """Answers offers with aiortc, on the loop that calls ``answer``."""

    def __init__(self) -> None:
        self.frames = 0
        self.peak = 0.0
        """Peak of the last decoded frame; 1.0 is full scale."""
        self.offer = ""
        self._connections: list[Any] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def answer(self, offer: str) -> str:
        """Return the answer to an offer, allowing stereo as our server does."""
        from aiortc import RTCPeerConnection, RTCSessionDescription

        self.offer = offer
        connection = RTCPeerConnection()
        self._connections.append(connection)
        connection.on("track", self._listen)
        await connection.setRemoteDescription(RTCSessionDescription(offer, "offer"))
        await connection.setLocalDescription(await connection.createAnswer())
        rtpmap = "a=rtpmap:111 opus/48000/2\r\n"
        sdp: str = connection.localDescription.sdp
        return sdp.replace(rtpmap, rtpmap + "a=fmtp:111 stereo=1;useinbandfec=1\r\n")

    async def close(self) -> None:
        for connection in self._connections:
            await connection.close()

    def _listen(self, track: Any) -> None:
        task = asyncio.get_running_loop().create_task(self._measure(track))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _measure(self, track: Any) -> None:
        from aiortc.mediastreams import MediaStreamError

        while True:
            try:
                frame = await track.recv()
            except MediaStreamError:
                return
            samples: NDArray[np.int16] = frame.to_ndarray()
            self.frames += 1
            self.peak = float(np.abs(samples.astype(np.int32)).max()) / FULL_SCALE
