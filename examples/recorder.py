"""Record each publisher to its own WAV file, named by date and time.

python examples/recorder.py
"""

from __future__ import annotations

import threading
import time
import wave

import numpy as np

import bass_webrtc as bw

BLOCK_FRAMES = 960
BLOCK_S = BLOCK_FRAMES / 48_000


def record(peer: bw.Peer) -> None:
    """Read 20 ms every 20 ms, at absolute deadlines, until the publisher disconnects."""
    name = time.strftime(f"call-%Y%m%d-%H%M%S-{peer.id}.wav")
    with wave.open(name, "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(48_000)
        start_s, blocks = time.monotonic(), 0
        while peer.state == "connected":
            time.sleep(max(0.0, start_s + blocks * BLOCK_S - time.monotonic()))
            samples = np.clip(peer.read(BLOCK_FRAMES), -1, 1)
            file.writeframes((samples * 32_767).astype("<i2").tobytes())
            blocks += 1
    print(f"{name}: {blocks * BLOCK_S:.0f} s\n", end="")  # One write, because other threads print, too.


def answer(peer: bw.Peer) -> None:
    """Start a thread, because event callbacks must return quickly."""
    if peer.kind == "publisher":
        threading.Thread(target=record, args=(peer,)).start()


with bw.Server(None) as server:  # None: no source, so browsers can only talk.
    server.on("peer_connected", answer)
    server.start()
    input(f"Open {server.url} to talk. Press Return to quit.\n")
