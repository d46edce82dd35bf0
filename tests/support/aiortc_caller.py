"""aiortc in a call: sends a tone, records what it receives, offers or answers."""

from __future__ import annotations

import asyncio
import fractions
from collections.abc import Sequence

import av
import numpy as np
from aiortc import RTCConfiguration, RTCIceServer, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamTrack
from aiortc.sdp import candidate_from_sdp
from numpy.typing import NDArray

from . import tones

_FRAME_SAMPLES = 960


class ToneTrack(MediaStreamTrack):
    """A tone for each channel, in real time."""

    kind = "audio"

    def __init__(self, left_hz: float, right_hz: float) -> None:
        super().__init__()
        # A whole number of periods.
        self._samples = np.stack([tones.sine(hz, 1.0) for hz in (left_hz, right_hz)], axis=1)
        self._sent = 0
        self._start_s = 0.0

    async def recv(self) -> av.AudioFrame:
        """Return the next 20 ms."""
        now_s = asyncio.get_running_loop().time()
        self._start_s = self._start_s or now_s
        await asyncio.sleep(self._start_s + self._sent / 48_000 - now_s)
        at = self._sent % len(self._samples)
        pcm = (self._samples[at : at + _FRAME_SAMPLES] * 32_767).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(pcm.reshape(1, -1), format="s16", layout="stereo")
        frame.sample_rate, frame.pts, frame.time_base = 48_000, self._sent, fractions.Fraction(1, 48_000)
        self._sent += _FRAME_SAMPLES
        return frame


class Caller:
    """One end of a call, in both directions. An async context manager.

    Args:
        hz: Frequency of its tone on the left channel.
        ice_servers: aiortc uses the first STUN and the first TURN server.
        right_hz: On the right; the same by default.
    """

    def __init__(self, hz: float, ice_servers: Sequence[RTCIceServer] = (), right_hz: float | None = None) -> None:
        self._connection = RTCPeerConnection(RTCConfiguration(iceServers=list(ice_servers)))
        self._tracks: asyncio.Queue[MediaStreamTrack] = asyncio.Queue()
        self._connection.on("track", self._tracks.put_nowait)
        self._tone = ToneTrack(hz, hz if right_hz is None else right_hz)
        self._track: MediaStreamTrack | None = None

    async def offer(self) -> str:
        """Return its offer with all candidates."""
        self._connection.addTrack(self._tone)
        await self._connection.setLocalDescription(await self._connection.createOffer())
        return str(self._connection.localDescription.sdp)

    async def take_answer(self, sdp: str) -> None:
        """Apply the answer to that offer."""
        await self._connection.setRemoteDescription(RTCSessionDescription(sdp, "answer"))

    async def answer(self, offer: str) -> str:
        """Return its answer to an offer, with all candidates."""
        await self._connection.setRemoteDescription(RTCSessionDescription(offer, "offer"))
        self._connection.addTrack(self._tone)
        await self._connection.setLocalDescription(await self._connection.createAnswer())
        return str(self._connection.localDescription.sdp)

    async def take_candidate(self, text: str, mid: str | None, index: int) -> None:
        """Add a candidate that the other side trickled; empty for end-of-candidates."""
        candidate = candidate_from_sdp(text.removeprefix("candidate:")) if text else None
        if candidate is not None:
            candidate.sdpMid, candidate.sdpMLineIndex = mid, index
        await self._connection.addIceCandidate(candidate)

    @property
    def state(self) -> str:
        """Of its connection."""
        return str(self._connection.connectionState)

    async def hear(self, seconds: float, timeout_s: float = 20.0) -> NDArray[np.float32]:
        """Return what it receives for so many seconds, after the first second: float32 [frames, 2]."""
        blocks: list[NDArray[np.float32]] = []
        async with asyncio.timeout(timeout_s + seconds):
            self._track = self._track or await self._tracks.get()
            while sum(map(len, blocks)) < 48_000 * (1.0 + seconds):
                frame = await self._track.recv()
                assert isinstance(frame, av.AudioFrame)
                blocks.append(frame.to_ndarray().reshape(-1, 2).astype(np.float32) / np.float32(32_768))
        return np.concatenate(blocks)[48_000:]

    async def __aenter__(self) -> Caller:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._connection.close()
