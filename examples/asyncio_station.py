"""In an asyncio program: what blocks is awaited, the rest is the same.

python examples/asyncio_station.py
"""

from __future__ import annotations

import asyncio
import contextlib

import bass_webrtc as bw


async def main() -> None:
    """Plays a tone and says every ten seconds how it goes."""
    async with bw.aio.Server(bw.Tone()) as server:
        await server.start()
        print(f"Open {server.url} and press play. Ctrl-C ends it.")
        while True:
            await asyncio.sleep(10)
            stats = server.stats()
            print(f"{stats.active_peers} listen, {stats.frames_sent} frames sent, {stats.late_frames} of them late")


with contextlib.suppress(KeyboardInterrupt):
    asyncio.run(main())
