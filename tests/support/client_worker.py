"""A client in a separate process, so that its threads, descriptors and load can be measured.

    python -m support.client_worker push http://127.0.0.1:8080/whip

Prints a line when it is connected, then answers JSON commands: ``busy`` (so many threads run pure Python), ``cycle``
(stop and start so many times; ``waits_ms`` from start to connected), ``sending`` (how punctually) and ``resources``.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

import bass_webrtc as bw

from .child import serve_commands
from .server_worker import BusyThreads, resources


def main() -> None:
    kind, url = sys.argv[1:3]
    client = bw.WhipClient(bw.Tone(500.0, 700.0), url) if kind == "push" else bw.WhepClient(url)
    busy = BusyThreads()

    def start() -> None:
        client.start()
        assert client.wait_connected(20.0), "not connected"

    def cycle(times: int) -> dict[str, Any]:
        waits_ms = []
        for _ in range(times):
            client.stop()
            start_s = time.monotonic()
            start()
            waits_ms.append((time.monotonic() - start_s) * 1000)
        return {"waits_ms": waits_ms}

    def sending() -> dict[str, Any]:
        run = client._run  # The public API does not expose this.
        assert run is not None
        return {"lateness_us": run.engine.lateness_us(), "frames_skipped": run.engine.stats().frames_skipped}

    with client:
        start()
        print("connected", flush=True)  # noqa: T201 - what the parent process waits for
        handlers: dict[str, Callable[..., dict[str, Any]]] = {
            "resources": resources,
            "busy": busy.set,
            "cycle": cycle,
            "sending": sending,
        }
        serve_commands(sys.stdin, handlers)
        busy.set(0)


if __name__ == "__main__":
    main()
