"""Clients that lose their server or their address reconnect, and keep their stream handle."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest

import bass_webrtc as bw
from bass_webrtc.bass import find_bass
from support import netns
from support.client_peers import ClientProcess, KillableServer, connect, free_port
from support.conformance import covers
from support.patience import wait_until
from support.publisher_recorder import Recorder, assert_tones, is_silent, steady_hz
from support.reruns import rerun

BACK_WITHIN_S = 2.0
PHASES = 4
"""A client probes four times a second, so the moment of the kill matters."""

pytestmark = rerun("measures reconnect times against the clock while another test file runs beside it", times=1)


@pytest.fixture
def server() -> Iterator[KillableServer]:
    """A server whose successor process is already started."""
    with KillableServer() as server:
        server.warm_up()
        yield server


@covers("CL12")
@pytest.mark.parametrize("down_s", [0.0, 4.0, 9.0])
def test_pull_recovers_two_seconds_after_killed_server_returns(server: KillableServer, down_s: float) -> None:
    """The stream keeps its BASS handle, with silence in between."""
    find_bass().try_call("BASS_Init", 0, 48_000, 0, None, None)
    with bw.WhepClient(f"{server.url}whep") as client:
        connect(client)
        stream = client.stream
        assert stream
        with Recorder(client.read) as heard:
            heard.wait_for_sound()
            server.kill()
            time.sleep(down_s)
            if down_s:
                assert is_silent(heard.last(0.5))
                assert not client.connected
            server.start()
            returned_s = time.monotonic()
            wait_until(lambda: server.peers() and client.connected)
            assert time.monotonic() - returned_s < BACK_WITHIN_S
            heard.wait_for_sound()
            heard.take(0.5)
            assert_tones(heard.take(2.0), 440.0, 880.0)
        assert client.stream == stream


@pytest.mark.parametrize("down_s", [0.0, 4.0, 9.0])
def test_push_recovers_two_seconds_after_killed_server_returns(server: KillableServer, down_s: float) -> None:
    with bw.WhipClient(bw.Tone(), f"{server.url}whip") as client:
        connect(client)
        time.sleep(3.0)  # A client that is rejected at once backs off.
        server.kill()
        time.sleep(down_s)
        server.start()
        returned_s = time.monotonic()
        wait_until(lambda: _packets_received(server) > 10)
        assert time.monotonic() - returned_s < BACK_WITHIN_S


@pytest.mark.parametrize("phase", range(PHASES))
def test_push_reconnects_to_a_server_that_returned_at_once(server: KillableServer, phase: int) -> None:
    """It detects the loss in time, whatever the phase of its probes."""
    with bw.WhipClient(bw.Tone(), f"{server.url}whip") as client:
        connect(client)
        time.sleep(3.0 + phase * 0.25 / PHASES)
        killed_s = time.monotonic()
        server.kill()
        server.start()
        wait_until(lambda: _packets_received(server) > 10)
        assert time.monotonic() - killed_s < BACK_WITHIN_S


@pytest.mark.parametrize("down_s", [4.0, 8.0])
def test_push_recovers_two_seconds_after_its_host_returns(hosts: tuple[netns.Host, netns.Host], down_s: float) -> None:
    """A rebooting host drops SYNs, and TCP repeats them after 1, 3, 7 and 15 s."""
    at_server, at_client = hosts
    with KillableServer(at_server, http_host="10.77.0.1") as server:
        with at_client.entered():
            client = bw.WhipClient(bw.Tone(), f"{server.url}whip")
            connect(client)
        try:
            _lose_in_silence(at_server, at_client)
            server.warm_up()
            at_server.ip("link", "set", "wire0", "down")
            server.kill()
            server.start()
            time.sleep(down_s)
            at_server.ip("link", "set", "wire0", "up")
            returned_s = time.monotonic()
            wait_until(lambda: _packets_received(server) > 10, 20.0)
            assert time.monotonic() - returned_s < BACK_WITHIN_S
        finally:
            client.close()


def _lose_in_silence(server: netns.Host, client: netns.Host) -> None:
    """While the server's link is down, packets are dropped without an ICMP error, as behind routers."""
    (link,) = json.loads(server.ip("-json", "link", "show", "wire0"))
    client.ip("neighbour", "replace", "10.77.0.1", "lladdr", link["address"], "dev", "wire0", "nud", "permanent")
    # Since Linux 6.5 the first SYNs are one second apart.
    client.run(["sysctl", "-q", "-w", "net.ipv4.tcp_syn_linear_timeouts=0"], check=False, stderr=subprocess.DEVNULL)


def _packets_received(server: KillableServer) -> int:
    return max((peer["packets_received"] for peer in server.peers()), default=0)


def test_source_stays_in_real_time_while_its_server_is_down() -> None:
    """Samples written during the outage are not heard after it: the tone is the current one."""
    config = bw.ServerConfig(http_port=free_port(), udp_port=free_port())
    source = bw.PcmSource()
    with (
        bw.Server(None, config) as server,
        bw.WhipClient(source, f"http://127.0.0.1:{config.http_port}/whip") as client,
        _Staircase(source) as staircase,
    ):
        server.start()
        connect(client)
        server.stop()
        wait_until(lambda: not client.connected)
        time.sleep(2.5)
        server.start()
        wait_until(lambda: client.connected, BACK_WITHIN_S)
        with Recorder(server.read_input) as heard:
            heard.wait_for_sound()
            heard.take(1.0)
            hz_now = staircase.hz
            wait_until(lambda: staircase.hz != hz_now)
            hz = staircase.hz
            heard.take(0.5)
            assert steady_hz(heard.take(0.3)[:, 0], hz) == pytest.approx(hz, abs=3.0)
        assert staircase.refused == 0


class _Staircase:
    """Write a tone that rises by 30 Hz each second, in real time."""

    def __init__(self, source: bw.PcmSource) -> None:
        self.hz = 500.0
        self.refused = 0
        self._source = source
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        start_s, written, phase = time.monotonic(), 0, 0.0
        while not self._stop.wait(0.01):
            due = round((time.monotonic() - start_s + 0.1) * 48_000) - written
            self.hz = 500.0 + 30.0 * int(time.monotonic() - start_s)
            phases = phase + 2 * np.pi * self.hz / 48_000 * np.arange(1, due + 1)
            tone = 0.2 * np.sin(phases)
            self.refused += due - self._source.write(np.stack([tone, tone], axis=1))
            phase, written = float(phases[-1]) if due else phase, written + due

    def __enter__(self) -> _Staircase:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()


@pytest.mark.parametrize("kind", ["push", "pull"])
def test_lost_connections_leak_nothing(kind: str) -> None:
    """Connections ended by the server free their sockets, descriptors and tasks."""
    config = bw.ServerConfig(http_port=free_port(), udp_port=free_port())
    with bw.Server(bw.Tone(), config) as server:

        def is_back() -> bool:
            return any(peer.state == "connected" for peer in server.peers)

        server.start()
        with ClientProcess(kind, f"{server.url}{'whip' if kind == 'push' else 'whep'}") as client:

            def lose(times: int) -> dict[str, int]:
                for _ in range(times):
                    time.sleep(3.1)  # A shorter session is followed by a longer wait.
                    server.stop()
                    server.start()
                    wait_until(is_back)
                time.sleep(1.0)  # Until lingering sockets are closed.
                return client.ask("resources")

            before, after = lose(1), lose(3)
            assert after["descriptors"] <= before["descriptors"]
            assert after["threads"] <= before["threads"]
            assert after["tasks"] <= before["tasks"]


@covers("CL9")
def test_pull_recovers_from_a_new_address_within_five_seconds(hosts: tuple[netns.Host, netns.Host]) -> None:
    """The link goes down and returns with another address; session and stream stay the same."""
    find_bass().try_call("BASS_Init", 0, 48_000, 0, None, None)
    at_server, at_client = hosts
    with KillableServer(at_server, http_host="10.77.0.1") as server:
        with at_client.entered():
            client = bw.WhepClient(f"{server.url}whep")
            connect(client)
        try:
            stream = client.stream
            (before,) = server.peers()
            with Recorder(client.read) as heard:
                heard.wait_for_sound()
                start_s = _move(at_client)
                wait_until(lambda: client.stats().local_address.startswith("10.77.0.3:") and client.connected, 20.0)
                heard.wait_for_sound()
                assert time.monotonic() - start_s < 5.0
                heard.take(0.5)
                assert_tones(heard.take(2.0), 440.0, 880.0)
            assert client.stream == stream
            assert [peer["id"] for peer in server.peers()] == [before["id"]]
        finally:
            client.close()


@covers("CL9")
def test_push_recovers_from_a_new_address_within_five_seconds(hosts: tuple[netns.Host, netns.Host]) -> None:
    """By an ICE restart: the publisher on the server stays the same."""
    at_server, at_client = hosts
    with KillableServer(at_server, http_host="10.77.0.1") as server:
        with at_client.entered():
            client = bw.WhipClient(bw.Tone(), f"{server.url}whip")
            connect(client)
        try:
            (before,) = server.peers()
            start_s = _move(at_client)
            wait_until(lambda: server.peers()[0]["remote_address"].startswith("10.77.0.3:"), 20.0)
            packets = server.peers()[0]["packets_received"]
            wait_until(lambda: server.peers()[0]["packets_received"] > packets + 10)
            assert time.monotonic() - start_s < 5.0
            assert [peer["id"] for peer in server.peers()] == [before["id"]]
        finally:
            client.close()


def _move(host: netns.Host) -> float:
    """Replace the peer's address with another one; return the time."""
    host.ip("link", "set", "wire0", "down")
    host.ip("address", "flush", "dev", "wire0")
    host.ip("address", "add", "10.77.0.3/24", "dev", "wire0")
    host.ip("link", "set", "wire0", "up")
    return time.monotonic()
