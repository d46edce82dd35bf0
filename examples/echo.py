"""An echo: what browsers say comes back to all of them. Wear headphones.

python examples/echo.py
"""

from __future__ import annotations

import threading
import time

import bass_webrtc as bw

BLOCK_FRAMES = 480
BLOCK_S = BLOCK_FRAMES / 48_000
SPARE_BLOCKS = 5  # The delay of the echo, and how late the thread may come.


def echo(server: bw.Server, source: bw.PcmSource, stop: threading.Event) -> None:
    """Reads 10 ms each 10 ms and writes them on, at deadlines that do not drift."""
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
    input(f"Open {server.url} to talk and listen. Return ends it.\n")
    stop.set()
    thread.join()
