"""The two programs of unattended.py. Each answers JSON commands and watches for silence.

    python -m support.unattended_worker host http://127.0.0.1:9000/live.wav 10.79.0.1 10.80.0.2 5
    python -m support.unattended_worker clients http://10.79.0.1:8080/radio/ 20 5

``host`` serves the source to players and hears its publishers; ``clients`` runs players and publishers. Each prints a
line when it is ready. Commands: ``resources``, ``silences`` (the longest one of each sound since the last call, in
seconds) and, for the host, ``fork``.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

import bass_webrtc as bw

from .child import serve_commands
from .server_worker import resources
from .tones import tone_dbfs

PROGRAMME_HZ = 440.0
"""What the source plays."""
PUBLISHER_LEVEL_DBFS = -20.0
HTTP_PORT = 8080
_BLOCK_FRAMES = 4_800
_BLOCK_S = 0.1
_AUDIBLE_DBFS = -40.0
_CHILD_TIMEOUT_S = 5.0

Read = Callable[[int], NDArray[np.float32]]


def publisher_hz(number: int) -> float:
    """The tone of one publisher, far enough from the others to be told apart in 100 ms."""
    return 600.0 + 100.0 * number


class Listening:
    """Reads sounds in real time and remembers how long each was not heard.

    Args:
        sounds: By name, what reads it and the tones in it.
    """

    def __init__(self, sounds: Mapping[str, tuple[Read, list[float]]]) -> None:
        self._sounds = sounds
        now_s = time.monotonic()
        self._heard_s = {name: now_s for name in self._names()}
        self._longest_s = dict.fromkeys(self._heard_s, 0.0)
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _names(self) -> Iterator[str]:
        for name, (_, tones) in self._sounds.items():
            yield from (f"{name} {hz:.0f} Hz" for hz in tones)

    def _run(self) -> None:
        due_s = time.monotonic()
        while not self._stop.wait(max(0.0, due_s - time.monotonic())):
            due_s += _BLOCK_S
            for name, (read, tones) in self._sounds.items():
                left = read(_BLOCK_FRAMES)[:, 0]
                heard = {f"{name} {hz:.0f} Hz": tone_dbfs(left, hz) > _AUDIBLE_DBFS for hz in tones}
                self._note(heard)

    def _note(self, heard: dict[str, bool]) -> None:
        now_s = time.monotonic()
        with self._lock:
            for name, is_heard in heard.items():
                self._longest_s[name] = max(self._longest_s[name], now_s - self._heard_s[name])
                if is_heard:
                    self._heard_s[name] = now_s

    def silences(self) -> dict[str, float]:
        """Return the longest silence of each sound since the last call, in seconds."""
        with self._lock:
            longest_s, self._longest_s = self._longest_s, dict.fromkeys(self._longest_s, 0.0)
        return longest_s

    def close(self) -> None:
        self._stop.set()
        self._thread.join()


def fork() -> dict[str, Any]:
    """Fork, start a program and exit in the child, as hosts do; return its exit status, or -1 if it hangs."""
    child = os.fork()
    if child == 0:
        sys.exit(subprocess.run([sys.executable, "-c", ""], check=False).returncode)
    deadline_s = time.monotonic() + _CHILD_TIMEOUT_S
    while time.monotonic() < deadline_s:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return {"status": os.waitstatus_to_exitcode(status)}
        time.sleep(0.02)
    os.kill(child, 9)
    os.waitpid(child, 0)
    return {"status": -1}


def run_host(source_url: str, address: str, proxy: str, publishers: int) -> None:
    config = bw.ServerConfig(
        http_host="0.0.0.0",
        http_port=HTTP_PORT,
        udp_port=0,
        max_peers=100,
        max_peers_per_address=100,
        trusted_proxies=(proxy,),
        allowed_hosts=(address,),
    )
    with bw.Server(bw.BassFile(source_url), config) as server:
        server.start()
        tones = [publisher_hz(number) for number in range(publishers)]
        with contextlib.closing(Listening({"the host hears": (server.read_input, tones)})) as listening:
            answer(resources=resources, silences=listening.silences, fork=fork)


def run_clients(url: str, players: int, publishers: int) -> None:
    with contextlib.ExitStack() as stack:
        pulls = [stack.enter_context(bw.WhepClient(url + "whep")) for _ in range(players)]
        tones = [bw.Tone(publisher_hz(number), level_dbfs=PUBLISHER_LEVEL_DBFS) for number in range(publishers)]
        pushes = [stack.enter_context(bw.WhipClient(tone, url + "whip")) for tone in tones]
        for client in (*pulls, *pushes):
            client.start()
            if not client.wait_connected(20.0):
                raise RuntimeError(f"not connected: {client.last_error}")
        sounds = {f"player {number} hears": (pull.read, [PROGRAMME_HZ]) for number, pull in enumerate(pulls)}
        with contextlib.closing(Listening(sounds)) as listening:
            answer(resources=resources, silences=listening.silences)


def answer(**handlers: Callable[..., dict[str, Any]]) -> None:
    print("ready", flush=True)  # noqa: T201 - what the parent process waits for
    serve_commands(sys.stdin, handlers)


def main() -> None:
    role, *arguments = sys.argv[1:]
    if role == "host":
        source_url, address, proxy, publishers = arguments
        run_host(source_url, address, proxy, int(publishers))
    else:
        url, players, publishers = arguments
        run_clients(url, int(players), int(publishers))


if __name__ == "__main__":
    main()
