"""``WhipClient`` and ``WhepClient`` against our own server: audio and send timing."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from bench.report import quantile

import bass_webrtc as bw
from bass_webrtc.bass import find_bass
from support.child import Child
from support.client_peers import ClientProcess, connect
from support.patience import wait_until
from support.publisher_recorder import Recorder, Samples, assert_tones_soon
from support.reruns import real_time_audio
from support.server_process import ServerProcess

pytestmark = real_time_audio

ANY_PORTS = bw.ServerConfig(http_port=0, udp_port=0, decode_stream=True, max_peers_per_address=5)


@pytest.fixture
def server() -> Iterator[bw.Server]:
    with bw.Server(bw.Tone(440.0, 880.0), ANY_PORTS) as server:
        server.start()
        yield server


@pytest.fixture
def bass() -> None:
    """BASS on device 0, which needs no hardware."""
    find_bass().try_call("BASS_Init", 0, 48_000, 0, None, None)


def assert_hears(read: Callable[[int], Samples], left_hz: float, right_hz: float) -> None:
    """Wait some seconds: each jitter buffer first settles at its delay, which changes the pitch by up to 0.5 %."""
    with Recorder(read) as recorder:
        assert_tones_soon(recorder, left_hz, right_hz, attempts=12)


def test_push_keeps_channels_and_level(server: bw.Server) -> None:
    with bw.WhipClient(bw.Tone(500.0, 700.0), f"{server.url}whip") as client:
        connect(client)
        assert_hears(server.read_input, 500.0, 700.0)
        assert client.stats().packets_sent > 40
        assert client.stats().kind == "player"
    wait_until(lambda: server.peers == (), 2.0)


def test_pull_keeps_channels_and_level(server: bw.Server) -> None:
    with bw.WhepClient(f"{server.url}whep") as client:
        connect(client)
        assert_hears(client.read, 440.0, 880.0)
        assert client.stats().packets_lost == 0
        assert client.stats().kind == "publisher"
    wait_until(lambda: server.peers == (), 2.0)


@pytest.mark.usefixtures("bass")
def test_tone_survives_a_chain_of_three_servers(server: bw.Server) -> None:
    """tone ─► server ─► pull ─► second server ─► pull ─► third server ─► pull, by BASS handles: no Python between."""
    with bw.WhepClient(f"{server.url}whep", decode_stream=True) as to_second:
        connect(to_second)
        with (
            bw.Server(to_second.stream, ANY_PORTS) as second,
            bw.WhepClient(f"{_started(second)}whep", decode_stream=True) as to_third,
        ):
            connect(to_third)
            with (
                bw.Server(to_third.stream, ANY_PORTS) as third,
                bw.WhepClient(f"{_started(third)}whep") as listener,
            ):
                connect(listener)
                assert_hears(listener.read, 440.0, 880.0)


@pytest.mark.usefixtures("bass")
def test_pushed_audio_can_be_pushed_on(server: bw.Server) -> None:
    """tone ─► push ─► server ─► its input stream ─► push ─► second server ─► the same ─► third server."""
    with ExitStack() as stack:
        second, third = (stack.enter_context(bw.Server(None, ANY_PORTS)) for _ in range(2))

        def push(source: bw.Tone | int, target: bw.Server) -> None:
            target.start()
            connect(stack.enter_context(bw.WhipClient(source, f"{target.url}whip")))

        push(bw.Tone(500.0, 700.0), server)
        push(server.input_stream, second)
        push(second.input_stream, third)
        assert_hears(third.read_input, 500.0, 700.0)


@pytest.mark.alone
@pytest.mark.parametrize("threads", [1, 4])
def test_push_is_on_time_beside_busy_python_threads(threads: int) -> None:
    """As in bench/timing.py: no frame missing, and 99 % less than 2 ms late, excluding stalls of the machine."""
    with (
        ServerProcess() as server,
        ClientProcess("push", f"{server.url}whip") as client,
        Child("bench.machine_clock") as clock,
    ):
        client.ask("busy", threads=threads)
        client.ask("cycle", times=1)  # Lateness is measured from the start, so the threads must be busy before.
        wait_until(lambda: any(peer["packets_received"] > 10 for peer in server.stats()["peers"]))
        clock.ask("reset")
        (before,) = server.stats()["peers"]
        time.sleep(5.0)
        (after,) = server.stats()["peers"]
        sending, machine_us = client.ask("sending"), clock.ask("report")
        client.ask("busy", threads=0)
        assert after["packets_received"] - before["packets_received"] >= 245
        assert after["packets_lost"] == 0
        assert after["concealed_samples"] == before["concealed_samples"]
        assert sending["frames_skipped"] == 0
        assert quantile(sending["lateness_us"], 0.99) < 2_000 + machine_us["p99"]


def _started(server: bw.Server) -> str:
    server.start()
    return server.url
