"""An echo: incoming audio is sent back to all listeners. Use headphones.

python examples/echo.py
"""

from __future__ import annotations

import threading
import time

import bass_webrtc as bw

BLOCK_FRAMES = 480
BLOCK_S = BLOCK_FRAMES / 48_000
SPARE_BLOCKS = 5  # Delay of the echo, and how late the thread may wake.


def echo(server: bw.Server, source: bw.PcmSource, stop: threading.Event) -> None:
    """Copy 10 ms of audio every 10 ms, at absolute deadlines, so that it does not drift."""
    start_s, blocks = time.monotonic(), 0
    while not stop.wait(max(0.0, start_s + (blocks - SPARE_BLOCKS) * BLOCK_S - time.monotonic())):
        source.write(server.read_input(BLOCK_FRAMES))
        blocks += 1


source = bw.PcmSource()
stop = threading.Event()
with bw.Server(source) as server:
    server.start()
    thread = threading.Thread(target=echo, args=(server, source, stop))
    thread.start()
    input(f"Open {server.url} to talk and listen. Press Return to quit.\n")
    stop.set()
    thread.join()
