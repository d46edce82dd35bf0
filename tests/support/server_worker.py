"""A ``Server`` in a separate process for measurements: the players of farm.py connect, the parent reads figures.

    python -m support.server_worker '{"max_peers": 50}' '{"hz": 440.0, "right_hz": 880.0}'

The arguments are the fields of ``ServerConfig`` and of ``Tone``; with a third one, ``warm``, it prints a line when it
has imported everything, and listens on command. Prints the server's URL when it is ready, then answers JSON commands:
``stats``, ``resources``, ``channels`` (add so many, each with a tone of its own), ``busy`` (so many threads run pure
Python, as a busy host program does) and ``hold`` (the interpreter's lock is held for so many seconds in one C call).
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import json
import os
import sys
import threading
from collections.abc import Callable
from typing import Any

import bass_webrtc as bw

from . import usage
from .child import serve_commands


class BusyThreads:
    """Threads that never release the GIL voluntarily."""

    def __init__(self) -> None:
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []

    def set(self, threads: int) -> dict[str, Any]:
        self._stop.set()
        for thread in self._threads:
            thread.join()
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._work, args=(self._stop,), daemon=True) for _ in range(threads)]
        for thread in self._threads:
            thread.start()
        return {"threads": threads}

    def _work(self, stop: threading.Event) -> None:
        while not stop.is_set():
            sum(number * number for number in range(2_000))


def resources() -> dict[str, Any]:
    """Threads, open descriptors, unfinished asyncio tasks and resident memory (kB) of this process."""
    gc.collect()
    loops = [found for found in gc.get_objects() if isinstance(found, asyncio.AbstractEventLoop)]
    pid = os.getpid()
    return {
        "threads": usage.threads(pid),
        "descriptors": usage.descriptors(pid),
        "tasks": sum(len(asyncio.all_tasks(loop)) for loop in loops if not loop.is_closed()),
        "memory_kb": usage.memory_kb(pid),
    }


def add_channels(server: bw.Server, count: int) -> dict[str, Any]:
    """Add channels; return their names."""
    tones = {f"tone-{number}": bw.Tone(300.0 + 50.0 * number) for number in range(count)}
    return {"names": [server.add_channel(name, tone).name for name, tone in tones.items()]}


def hold_the_interpreter(seconds: int) -> dict[str, Any]:
    """Hold the GIL in one long C call, as a badly written extension does: no Python runs meanwhile."""
    ctypes.PyDLL(None).sleep(seconds)
    return {}


def main() -> None:
    config, tone = (json.loads(argument) for argument in sys.argv[1:3])
    gc.freeze()  # As the commands and the C library do.
    busy = BusyThreads()
    if sys.argv[3:] == ["warm"]:
        print("warm", flush=True)  # noqa: T201 - what the parent process waits for
        sys.stdin.readline()
    # The peers of a test have one address.
    defaults = {"http_port": 0, "udp_port": 0, "max_peers_per_address": config.get("max_peers", 5)}
    with bw.Server(bw.Tone(**tone), bw.ServerConfig(**defaults | config)) as server:
        server.start()
        print(server.url, flush=True)  # noqa: T201 - what the parent process waits for
        handlers: dict[str, Callable[..., dict[str, Any]]] = {
            "stats": lambda: server.stats().as_dict(),
            "resources": resources,
            "channels": lambda count: add_channels(server, count),
            "busy": busy.set,
            "hold": hold_the_interpreter,
        }
        serve_commands(sys.stdin, handlers)
        busy.set(0)


if __name__ == "__main__":
    main()
