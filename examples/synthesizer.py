"""Serve audio that the program generates: a siren, written to a PcmSource in real time.

The source buffers half a second. ``write`` accepts what fits and never blocks, so the program must pace itself.

python examples/synthesizer.py
"""

from __future__ import annotations

import threading

import numpy as np

import bass_webrtc as bw

BLOCK_S = 0.05


def play(source: bw.PcmSource, stop: threading.Event) -> None:
    """Keep the source full until ``stop`` is set."""
    phase = second = 0.0
    frames = int(BLOCK_S * source.sample_rate)
    while not stop.wait(BLOCK_S / 2):
        while source.space >= frames and not stop.is_set():
            hz = 600 + 300 * np.sin(2 * np.pi * 0.25 * (second + np.arange(frames) / source.sample_rate))
            phases = phase + np.cumsum(2 * np.pi * hz / source.sample_rate)
            source.write(0.2 * np.stack([np.sin(phases), np.cos(phases)], axis=1))
            phase, second = phases[-1] % (2 * np.pi), second + BLOCK_S


source = bw.PcmSource(sample_rate=48_000, channels=2)
stop = threading.Event()
player = threading.Thread(target=play, args=(source, stop))
player.start()
with bw.Server(source) as server:
    server.start()
    input(f"Open {server.url} and press Listen. Press Return to quit.\n")
stop.set()
player.join()
