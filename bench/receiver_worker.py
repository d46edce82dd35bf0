"""A receiving ``Server`` in a process of its own; BASS's "no sound" device plays what publishers send.

    python -m bench.receiver_worker '{"max_peers": 20}' mix|own

Prints the WHIP endpoint's URL when ready, then answers JSON commands, one per line: ``record`` (start recording the
device's mix, or each publisher's own stream), ``stop`` (returns files with the recordings), ``receivers`` (counters of
each publisher; the longest call of the mix's STREAMPROC since the last time), ``stats`` and ``busy``.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

import bass_webrtc as bw
from bass_webrtc.bass import InputStream, find_bass
from support.child import serve_commands
from support.server_worker import BusyThreads

from .mix_probe import MixProbe, TimedProcedure, device_mix
from .realtime import reset_priority

_NO_SOUND = 0
_SAMPLE_RATE_HZ = 48_000
_LIFE_S = 1200.0


class Receiver:
    """The server, its playback, and recordings of it."""

    def __init__(self, server: bw.Server, own: bool, folder: Path) -> None:
        self._server = server
        self._own = own
        self._folder = folder
        self._probes: list[MixProbe] = []
        self._bass = find_bass()
        self._bass.call("BASS_Init", _NO_SOUND, _SAMPLE_RATE_HZ, 0, None, None)
        # The playout itself: PeerStats lacks some counters, and the STREAMPROC must be timed.
        self._playout = server._run.engine.playout  # type: ignore[union-attr]
        procedure, user = self._playout.mix_procedure
        self._timed = TimedProcedure(procedure, user, _LIFE_S)
        self._timed_calls = 0
        if not own:
            self._mix = device_mix()
            self._stream = InputStream(*self._timed.address, decode=False)
            self._bass.call("BASS_ChannelPlay", self._stream.handle, False)

    def close(self) -> None:
        """Stop playing, before the playout is freed."""
        if not self._own:
            self._stream.close()

    def play(self) -> dict[str, Any]:
        """Play every publisher on its own stream."""
        for peer in self._server.peers:
            self._bass.call("BASS_ChannelPlay", peer.input_stream, False)
        return {}

    def record(self, seconds: float) -> dict[str, Any]:
        channels = [peer.input_stream for peer in self._server.peers] if self._own else [self._mix]
        self._probes = [MixProbe(seconds) for _ in channels]
        for probe, channel in zip(self._probes, channels, strict=True):
            probe.attach(channel)
        return {}

    def stop(self) -> dict[str, Any]:
        """Stop recording; return the files in the order of the publishers' numbers."""
        files = []
        for number, probe in enumerate(self._probes):
            recording = probe.detach()
            path = self._folder / f"{number}.npz"
            np.savez(path, **vars(recording))
            files.append(str(path))
        return {"files": files}

    def receivers(self) -> dict[str, Any]:
        time_s, calls = time.monotonic(), self._timed.calls
        peers = [asdict(self._playout.receiver_stats(peer.id)) for peer in self._server.peers]
        answer = {"time_s": time_s, "peers": peers, "calls": calls}
        if calls > self._timed_calls:
            answer["wall_us"], answer["cpu_us"] = self._timed.longest_us(self._timed_calls)
        self._timed_calls = calls
        return answer

    def drop(self) -> dict[str, Any]:
        """Disconnect all publishers."""
        for peer in self._server.peers:
            peer.close()
        while self._server.peers:
            time.sleep(0.01)
        return {}


def main() -> None:
    config, own = json.loads(sys.argv[1]), sys.argv[2] == "own"
    busy = BusyThreads()

    def set_busy(threads: int) -> dict[str, Any]:
        # New threads inherit the priority of the thread that starts them.
        reset_priority()
        return busy.set(threads)

    places = config.get("max_peers", 5)  # All publishers have the same address.
    settings = bw.ServerConfig(**{"http_port": 0, "udp_port": 0, "max_peers_per_address": places, **config})
    with bw.Server(None, settings) as server, tempfile.TemporaryDirectory(prefix="bw-bench-") as folder:
        server.start()
        receiver = Receiver(server, own, Path(folder))
        print(server.url + "whip", flush=True)
        handlers: dict[str, Callable[..., dict[str, Any]]] = {
            "stats": lambda: server.stats().as_dict(),
            "busy": set_busy,
            "play": receiver.play,
            "record": receiver.record,
            "stop": receiver.stop,
            "receivers": receiver.receivers,
            "drop": receiver.drop,
        }
        serve_commands(sys.stdin, handlers)
        busy.set(0)
        receiver.close()


if __name__ == "__main__":
    main()
