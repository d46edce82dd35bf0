"""The server's side of a WHIP session or a call for tests of the pages: answers an offer and measures the audio."""

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
        self._add_tracks(connection)
        await connection.setLocalDescription(await connection.createAnswer())
        rtpmap = "a=rtpmap:111 opus/48000/2\r\n"
        sdp: str = connection.localDescription.sdp
        return sdp.replace(rtpmap, rtpmap + "a=fmtp:111 stereo=1;useinbandfec=1\r\n")

    def _add_tracks(self, connection: Any) -> None:
        """Add what to send, if anything."""

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


class CallSink(WhipSink):
    """Sends a tone in addition."""

    TONE_HZ = 440.0
    LEVEL_DBFS = -12.0

    def _add_tracks(self, connection: Any) -> None:
        connection.addTrack(_tone(self.TONE_HZ, self.LEVEL_DBFS))

    async def lose(self) -> None:
        """Stop answering, as when the network is cut: nothing tells the browser."""
        for connection in self._connections:
            await connection.getTransceivers()[0].receiver.transport.transport.stop()


def _tone(hz: float, level_dbfs: float) -> Any:
    from aiortc import AudioStreamTrack
    from av import AudioFrame

    class ToneTrack(AudioStreamTrack):
        """Silence of aiortc, which is sent in time, with a tone."""

        async def recv(self) -> Any:
            silence: Any = await super().recv()
            count, rate_hz = silence.samples, silence.sample_rate
            time_s = (silence.pts + np.arange(count)) / rate_hz
            amplitude = FULL_SCALE * 10 ** (level_dbfs / 20)
            samples = (amplitude * np.sin(2 * np.pi * hz * time_s)).astype(np.int16)
            frame = AudioFrame.from_ndarray(np.repeat(samples, 2)[np.newaxis], format="s16", layout="stereo")
            frame.pts, frame.sample_rate, frame.time_base = silence.pts, rate_hz, silence.time_base
            return frame

    return ToneTrack()
