"""A ``Server`` in a separate process, so that its CPU time and memory can be measured."""

from __future__ import annotations

import json
from typing import Any

from .child import Child
from .netns import Host


class ServerProcess:
    """Serve a tone, 440 Hz left and 880 Hz right, on free ports. ``config`` has fields of ``ServerConfig``."""

    def __init__(self, host: Host | None = None, **config: Any) -> None:
        tone = {"hz": 440.0, "right_hz": 880.0}
        self._child = Child("support.server_worker", json.dumps(config), json.dumps(tone), host=host)
        self.url = self._child.read_line()
        """URL of the page, ending in a slash."""
        self.whep_url, self.whip_url = self.url + "whep", self.url + "whip"
        self.pid = self._child.pid

    def stats(self) -> dict[str, Any]:
        """``ServerStats`` as a dict."""
        return self._child.ask("stats")

    def resources(self) -> dict[str, int]:
        """``threads``, ``descriptors``, ``tasks`` (of asyncio) and ``memory_kb`` (resident)."""
        return self._child.ask("resources")

    def add_channels(self, count: int) -> list[str]:
        """Add so many channels, each with a tone of its own; return their names."""
        names: list[str] = self._child.ask("channels", count=count)["names"]
        return names

    def set_busy_threads(self, threads: int) -> None:
        """Run pure Python in so many threads of the server's process from now on."""
        self._child.ask("busy", threads=threads)

    def hold_the_interpreter(self, seconds: int) -> None:
        """Hold the GIL of the server's process in one C call for so many seconds; return after it."""
        self._child.ask("hold", seconds=seconds)

    def close(self) -> None:
        self._child.close()

    def __enter__(self) -> ServerProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
