"""A media server in the test process: players receive what a publisher sends."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import bass_webrtc as bw

BLOCK_FRAMES = 480


@contextmanager
def echo(**settings: str) -> Iterator[str]:
    """Run the media server and yield its URL."""
    source = bw.PcmSource()
    stop = threading.Event()

    def carry(server: bw.Server) -> None:
        start_s, blocks = time.monotonic(), 0
        while not stop.wait(max(0.0, start_s + (blocks - 5) / 100 - time.monotonic())):
            source.write(server.read_input(BLOCK_FRAMES))
            blocks += 1

    with bw.Server(source, bw.ServerConfig(http_port=0, udp_port=0, **settings)) as server:  # type: ignore[arg-type]
        server.start()
        thread = threading.Thread(target=carry, args=(server,))
        thread.start()
        yield server.url
        stop.set()
        thread.join()
