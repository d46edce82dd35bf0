"""A typical user program in a separate process: plays incoming audio on the default sound card with BASS.

    python -m support.publisher_desk '{"max_peers": 5}'

A process, because BASS finds the sound card through the environment. The argument holds ``ServerConfig`` fields. Prints
the server's URL when it is ready, then answers JSON commands.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from typing import Any

import bass_webrtc as bw
from bass_webrtc.bass import find_bass

from .child import Child, serve_commands
from .pulse import PulseServer
from .server_worker import BusyThreads


class Desk:
    """The parent's side: the mix is played on ``sound_card``."""

    def __init__(self, sound_card: PulseServer, **config: Any) -> None:
        before = {name: os.environ.get(name) for name in sound_card.environment}
        os.environ.update(sound_card.environment)
        try:
            self._child = Child("support.publisher_desk", json.dumps(config))
        finally:
            for name, value in before.items():
                os.environ.pop(name) if value is None else os.environ.__setitem__(name, value)
        self.whip_url = f"{self._child.read_line()}whip"

    def stats(self) -> dict[str, Any]:
        """``ServerStats`` as a dict."""
        return self._child.ask("stats")

    def set_busy_threads(self, threads: int) -> None:
        """Run pure Python in so many threads of the program from now on."""
        self._child.ask("busy", threads=threads)

    def close(self) -> None:
        self._child.close()

    def __enter__(self) -> Desk:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def main() -> None:
    # Other load on the machine is not under test; the busy threads have the same priority as BASS's threads.
    with contextlib.suppress(PermissionError):
        os.nice(-10)
    library = find_bass()
    library.call("BASS_Init", -1, 48_000, 0, None, None)
    busy = BusyThreads()
    config = json.loads(sys.argv[1])
    config = {"http_port": 0, "udp_port": 0, "max_peers_per_address": config.get("max_peers", 5), **config}
    with bw.Server(None, bw.ServerConfig(**config)) as server:
        server.start()
        library.call("BASS_ChannelPlay", server.input_stream, False)
        sys.stdout.write(f"{server.url}\n")
        sys.stdout.flush()
        serve_commands(sys.stdin, {"stats": lambda: server.stats().as_dict(), "busy": busy.set})
        busy.set(0)


if __name__ == "__main__":
    main()
