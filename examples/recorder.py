"""A recorder: each caller in a WAV file of its own, called by the time of the call.

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
    """Reads 20 ms each 20 ms, at deadlines that do not drift, until the caller is gone."""
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
    print(f"{name}: {blocks * BLOCK_S:.0f} s")


def answer(peer: bw.Peer) -> None:
    """An event's callback returns at once, so the work has a thread of its own."""
    if peer.kind == "publisher":
        threading.Thread(target=record, args=(peer,)).start()


with bw.Server(None) as server:  # None: nothing to hear here, only to talk.
    server.on("peer_connected", answer)
    server.start()
    input(f"Open {server.url} to talk. Return ends it.\n")
