"""Names of our threads, as ``top`` and debuggers show them."""

from __future__ import annotations

import os
import sys
import threading

import pytest

import bass_webrtc as bw
from support import usage
from support.patience import wait_until


def _names() -> dict[int, str]:
    """The names of this process's threads, by their number."""
    return {thread: status["Name"] for thread, status in usage.thread_statuses(os.getpid()).items()}


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
def test_every_thread_of_ours_has_a_short_name_of_its_own() -> None:
    before = _names()
    config = bw.ServerConfig(http_port=0, udp_port=0)
    with bw.Server(bw.Tone(), config) as server:
        server.start()
        with bw.WhipClient(bw.Tone(), f"{server.url}whip") as client:
            client.start()
            assert client.wait_connected(20.0)

            def ours() -> list[str]:
                return sorted(name for task, name in _names().items() if task not in before)

            expected = sorted([*["bw-send", "bw-net", "bw-loop"] * 2, "bw-events"])
            wait_until(lambda: [name for name in ours() if name != "bw-helper"] == expected)
    assert _names()[os.getpid()] == before[os.getpid()], "a thread of the program was renamed"
    assert threading.current_thread().name == "MainThread"
