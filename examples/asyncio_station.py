"""An asyncio program: blocking calls are coroutines in bass_webrtc.aio, everything else is the same.

python examples/asyncio_station.py
"""

from __future__ import annotations

import asyncio
import contextlib

import bass_webrtc as bw


async def main() -> None:
    """Serve a tone and print statistics every ten seconds."""
    async with bw.aio.Server(bw.Tone()) as server:
        await server.start()
        print(f"Open {server.url} and press Listen. Press Ctrl-C to quit.")
        while True:
            await asyncio.sleep(10)
            stats = server.stats()
            print(f"{stats.active_peers} peers, {stats.frames_sent} frames sent, {stats.late_frames} of them late")


with contextlib.suppress(KeyboardInterrupt):
    asyncio.run(main())
