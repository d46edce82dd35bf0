"""Callers hear the programme and each other, never themselves: aiortc calls our server."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator

import aiohttp
import numpy as np
import pytest

import bass_webrtc as bw
from support import netns, tones
from support.aiortc_caller import Caller
from support.callers import read
from support.patience import wait_until
from support.reruns import real_time_audio

pytestmark = real_time_audio

PROGRAMME_HZ = 440.0
CALLERS_HZ = (600.0, 700.0, 800.0)
WAITING_HZ = 1000.0
LEVEL_DBFS = -24.0
"""Four tones together stay below the limiter."""
PROGRAMME = bw.Tone(hz=PROGRAMME_HZ, right_hz=PROGRAMME_HZ, level_dbfs=LEVEL_DBFS)


@pytest.fixture
def server(hosts: tuple[netns.Host, netns.Host]) -> Iterator[bw.Server]:
    """A server whose callers begin on air, on the first host."""
    config = bw.ServerConfig(
        http_host="10.77.0.1", http_port=0, udp_port=0, calls="on_air", max_peers=10, max_peers_per_address=10
    )
    with hosts[0].entered():
        server = bw.Server(PROGRAMME, config)
        server.start()
    with server:
        yield server


@contextlib.asynccontextmanager
async def calling(server: bw.Server, hz: float, query: str = "") -> AsyncIterator[Caller]:
    """A caller with this tone, connected by ``POST /call``."""
    async with Caller(hz) as caller, aiohttp.ClientSession() as http:
        headers = {"Content-Type": "application/sdp"}
        async with http.post(f"{server.url}call{query}", data=await caller.offer(), headers=headers) as response:
            assert response.status == 201, await response.text()
            await caller.take_answer(await response.text())
            location = response.headers["Location"]
        await asyncio.to_thread(wait_until, lambda: caller.state == "connected")
        yield caller
        async with http.delete(f"{server.url}{location}") as response:
            assert response.status == 200


def test_callers_hear_all_but_themselves(server: bw.Server, hosts: tuple[netns.Host, netns.Host]) -> None:
    """Programme and the two others at their level, itself at least 60 dB below; the mix has all three."""
    waiting: list[bw.Call] = []

    def wait(call: bw.Call) -> None:
        if call.name == "Waiting":
            call.state = "waiting"
            waiting.append(call)

    server.on("call", wait)

    async def run() -> None:
        async with contextlib.AsyncExitStack() as stack:
            silent = await stack.enter_async_context(calling(server, WAITING_HZ, "?name=Waiting"))
            callers = [await stack.enter_async_context(calling(server, hz)) for hz in CALLERS_HZ]
            heard = await asyncio.gather(*(one.hear(4.0) for one in (*callers, silent)))
            mix = await asyncio.to_thread(read, server, 3.0)
            (held,) = waiting
            alone = await asyncio.to_thread(read, held, 2.0)
        for own_hz, samples in zip((*CALLERS_HZ, None), heard, strict=True):
            left = samples[:, 0]
            others = [hz for hz in (PROGRAMME_HZ, *CALLERS_HZ) if hz != own_hz]
            for hz in others:
                assert tones.tone_dbfs(left, hz) == pytest.approx(-12.0 if hz != PROGRAMME_HZ else LEVEL_DBFS, abs=1.5)
            if own_hz is not None:
                assert steady_dbfs(left, own_hz) < -72.0
            assert steady_dbfs(left, WAITING_HZ) < -72.0
        for hz in CALLERS_HZ:
            assert tones.tone_dbfs(mix[:, 0], hz) == pytest.approx(-12.0, abs=1.5)
        assert steady_dbfs(mix[:, 0], WAITING_HZ) < -72.0
        assert tones.tone_dbfs(alone[:, 0], WAITING_HZ) == pytest.approx(-12.0, abs=1.5)

    with hosts[1].entered():
        asyncio.run(run())


def steady_dbfs(samples: tones.Samples, hz: float) -> float:
    """Return the level of a steady tone over all samples: coding noise of the other tones is lower there."""
    window = np.hanning(len(samples))
    carrier = np.exp(-2j * np.pi * hz * np.arange(len(samples)) / tones.SAMPLE_RATE_HZ)
    return float(20 * np.log10(2 * np.abs((samples * window) @ carrier) / window.sum() + 1e-9))
