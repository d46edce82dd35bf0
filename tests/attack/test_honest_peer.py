"""The measure of all attacks: beside no attack the honest peer is unharmed, and it notices a stalled server."""

from __future__ import annotations

import os
import signal
import time

from support.attacks import BOUND, MAX_WAIT_MS, HonestPeer, Measured
from support.reruns import measures_waits
from support.server_process import ServerProcess

pytestmark = measures_waits


def test_honest_peer_is_unharmed_without_an_attack(measured: Measured) -> None:
    with ServerProcess() as server, HonestPeer(server.url) as honest:
        honest.begin()
        time.sleep(2)
        figures = honest.end()
    measured("none", BOUND, figures)
    figures.assert_unharmed()


def test_honest_peer_notices_a_stalled_server() -> None:
    with ServerProcess() as server, HonestPeer(server.url) as honest:
        honest.begin()
        time.sleep(0.5)
        os.kill(server.pid, signal.SIGSTOP)
        time.sleep(0.5)
        os.kill(server.pid, signal.SIGCONT)
        time.sleep(0.5)
        figures = honest.end()
    assert figures.longest_check_ms > MAX_WAIT_MS
    assert figures.longest_request_ms > MAX_WAIT_MS
