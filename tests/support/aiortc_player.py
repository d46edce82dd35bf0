"""aiortc as a WHEP player: a complete WebRTC stack, independent of this project and of browsers."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from urllib.parse import urljoin

import aiohttp
import av
import numpy as np
from aiortc import RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack
from numpy.typing import NDArray


@dataclass(frozen=True)
class Heard:
    """The result of playing an endpoint."""

    samples: NDArray[np.float32]
    """Of shape [frames, 2] at 48 kHz."""
    answer: str
    delete_status: int


async def listen(url: str, seconds: float, timeout_s: float = 20.0) -> Heard:
    """Play for so many seconds and end the session with DELETE; raise ``TimeoutError`` if too little arrives."""
    connection = RTCPeerConnection()
    tracks: asyncio.Queue[MediaStreamTrack] = asyncio.Queue()
    connection.on("track", tracks.put_nowait)
    connection.addTransceiver("audio", direction="recvonly")
    try:
        async with asyncio.timeout(timeout_s + seconds), aiohttp.ClientSession() as http:
            await connection.setLocalDescription(await connection.createOffer())
            headers = {"Content-Type": "application/sdp"}
            offer = connection.localDescription.sdp
            async with http.post(url, data=offer.encode(), headers=headers) as response:
                answer = await response.text()
                assert response.status == 201, f"{response.status}: {answer}"
                session = urljoin(str(response.url), response.headers["Location"])
            await connection.setRemoteDescription(RTCSessionDescription(answer, "answer"))
            samples = await _record(await tracks.get(), round(48_000 * seconds))
            async with http.delete(session) as response:
                return Heard(samples, answer, response.status)
    finally:
        await connection.close()


async def _record(track: MediaStreamTrack, frames: int) -> NDArray[np.float32]:
    blocks: list[NDArray[np.float32]] = []
    with contextlib.suppress(MediaStreamError):
        while sum(map(len, blocks)) < frames:
            frame = await track.recv()
            assert isinstance(frame, av.AudioFrame)
            assert (frame.format.name, frame.layout.name, frame.sample_rate) == ("s16", "stereo", 48_000)
            blocks.append(frame.to_ndarray().reshape(-1, 2).astype(np.float32) / np.float32(32_768))
    return np.concatenate(blocks)[:frames]
