"""Channels of a running server: who hears what, cross-fades, moves, closing, and sources that fail."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import pytest

import bass_webrtc as bw
from support import tones
from support.farm import PlayerFarm
from support.patience import wait_until
from support.reruns import real_time_audio

CONFIG = bw.ServerConfig(http_port=0, udp_port=0, max_peers=100, max_peers_per_address=100, complexity=0)
BLOCK = 480


@contextmanager
def serving(config: bw.ServerConfig = CONFIG) -> Iterator[bw.Server]:
    with bw.Server(bw.Tone(440.0), config) as server:
        server.start()
        yield server


@contextmanager
def listening(*urls: str) -> Iterator[list[bw.WhepClient]]:
    """Connected listeners, one for each URL."""
    with ExitStack() as stack:
        clients = [stack.enter_context(bw.WhepClient(url, reconnect=False)) for url in urls]
        for client in clients:
            client.start()
        for client in clients:
            assert client.wait_connected(10)
        yield clients


def record(clients: Sequence[bw.WhepClient], seconds: float) -> list[tones.Samples]:
    """Return what each hears from now on, in real time."""
    blocks: list[list[tones.Samples]] = [[] for _ in clients]
    start_s = time.perf_counter()
    for number in range(round(seconds * tones.SAMPLE_RATE_HZ / BLOCK)):
        for heard, client in zip(blocks, clients, strict=True):
            heard.append(client.read(BLOCK)[:, 0])
        time.sleep(max(0.0, start_s + (number + 1) * BLOCK / tones.SAMPLE_RATE_HZ - time.perf_counter()))
    return [np.concatenate(heard) for heard in blocks]


def heard_hz(*clients: bw.WhepClient) -> list[int]:
    """Return the tone that each hears, to 5 Hz, once what was sent before has been played."""
    return [5 * round(tones.frequency_hz(heard[-tones.SAMPLE_RATE_HZ // 2 :]) / 5) for heard in record(clients, 1.0)]


@real_time_audio
def test_twenty_channels_with_a_few_listeners_each_are_heard_without_a_gap(farm: PlayerFarm) -> None:
    with serving() as server:
        hz = {f"tone-{number}": 300 + 50 * number for number in range(19)}
        for name, tone_hz in hz.items():
            server.add_channel(name, bw.Tone(float(tone_hz)))
        for name in hz:
            farm.connect(f"{server.url}whep/{name}", 3)
        farm.connect(server.url + "whep", 3)
        with listening(server.url + "whep", *(f"{server.url}whep/{name}" for name in hz)) as clients:
            farm.reset()
            assert heard_hz(*clients) == [440, *hz.values()]
            report, stats = farm.report(), server.stats()
    assert report.missing == [0] * 60
    assert report.duplicates == 0
    assert min(report.packets) > 40
    assert [(channel.name, channel.listeners) for channel in stats.channels] == [(name, 4) for name in ("main", *hz)]
    assert 0.9 < sum(channel.packets_sent for channel in stats.channels) / stats.packets_sent <= 1.0
    assert {peer.channel for peer in stats.peers} == {"main", *hz}


@real_time_audio
def test_channels_come_and_go_while_others_listen(farm: PlayerFarm) -> None:
    with serving() as server:
        farm.connect(server.url + "whep", 10)
        farm.reset()
        for number in range(100):
            channel = server.add_channel("guest", bw.Tone(880.0), bw.ChannelConfig(bitrates_kbps=(64, 32)))
            if number % 10 == 0:
                farm.connect(server.url + "whep/guest")
            channel.close("next one")
        wait_until(lambda: len(server.peers) == 10)
        report, stats = farm.report(), server.stats()
    assert report.missing[:10] == [0] * 10
    assert report.states == {"connected": 10, "closed": 10}
    assert [channel.name for channel in stats.channels] == ["main"]
    assert (stats.send_drops, stats.events_dropped, stats.frames_skipped) == (0, 0, 0)


@real_time_audio
def test_source_is_cross_faded_without_a_gap(farm: PlayerFarm) -> None:
    with serving() as server:
        jazz = server.add_channel("jazz", bw.Tone(600.0))
        farm.connect(server.url + "whep/jazz")
        with listening(server.url + "whep/jazz", server.url + "whep") as clients:
            assert heard_hz(*clients) == [600, 440]
            farm.reset()
            fading = threading.Timer(0.5, jazz.set_source, args=(bw.Tone(900.0), 300))
            fading.start()
            during, _ = record(clients, 1.5)
            fading.join()
            levels = [tones.rms_dbfs(block) for block in np.split(during, 75)][15:]
            assert min(levels) > tones.rms_dbfs(tones.sine(600.0, 0.1)) - 6
            assert heard_hz(*clients) == [900, 440]
            assert farm.report().missing == [0]
        assert jazz.source == bw.Tone(900.0)


def test_last_of_the_sources_that_wait_for_a_fade_is_played() -> None:
    with serving() as server, listening(server.url + "whep") as clients:
        main = server.channels["main"]
        skipped = bw.PcmSource()
        for call in [main._set_source(source, 1000) for source in (bw.Tone(600.0), skipped, bw.Tone(900.0))]:
            call.result(10)
        assert main.source == bw.Tone(900.0)
        assert heard_hz(*clients) == [900]
        with bw.Server(skipped, CONFIG) as other:
            other.start()  # It was given back, unplayed.


def test_source_that_cannot_be_opened_leaves_the_former_one() -> None:
    with serving() as server, listening(server.url + "whep") as clients:
        main = server.channels["main"]
        with pytest.raises(bw.ConfigError, match="no-such-file"):
            main.set_source(bw.BassFile("no-such-file.mp3"))
        assert main.source == bw.Tone(440.0)
        assert heard_hz(*clients) == [440]


def test_channel_without_a_source_is_refused_and_can_get_one() -> None:
    with serving() as server:
        later = server.add_channel("later", None)
        with pytest.raises(bw.ConfigError, match="nothing to play"):
            server.create_offer("player", "later")
        later.set_source(bw.Tone(700.0))
        with listening(server.url + "whep/later") as clients:
            assert heard_hz(*clients) == [700]


def test_listeners_of_a_closed_channel_are_told_why() -> None:
    with serving() as server:
        gone: list[tuple[str, str]] = []
        channels: list[tuple[str, ...]] = []
        server.on("peer_disconnected", lambda peer, reason: gone.append((peer.channel, reason)))
        server.on("channel_added", lambda channel: channels.append((server.channels[channel.name].name,)))
        server.on("channel_closed", lambda channel, reason: channels.append((channel.name, reason)))
        jazz = server.add_channel("jazz", bw.Tone(600.0))
        with listening(server.url + "whep/jazz", server.url + "whep/jazz", server.url + "whep") as clients:
            wait_until(lambda: jazz.listeners == 2)
            jazz.close("the jazz programme is over")
            assert list(server.channels) == ["main"]
            wait_until(lambda: channels == [("jazz",), ("jazz", "the jazz programme is over")])
            assert gone == [("jazz", "the jazz programme is over")] * 2
            assert heard_hz(clients[2]) == [440]
        jazz.close()
        with pytest.raises(bw.ClosedError, match="'jazz' was closed"):
            jazz.set_source(bw.Tone())
        assert jazz.listeners == 0


@real_time_audio
def test_listener_moves_between_channels_in_one_rtp_stream(farm: PlayerFarm) -> None:
    with serving() as server:
        server.add_channel("jazz", bw.Tone(600.0), bw.ChannelConfig(bitrates_kbps=(64, 24)))
        farm.connect(server.url + "whep")
        with listening(server.url + "whep") as clients:
            farm.reset()
            for name, hz in (("jazz", 600), ("main", 440), ("jazz", 600)):
                for peer in server.peers:
                    peer.set_channel(name)
                assert heard_hz(*clients) == [hz]
                assert [peer.channel for peer in server.peers] == [name] * 2
            report, stats = farm.report(), server.stats()
    assert (report.missing, report.duplicates) == ([0], 0)
    assert {peer.bitrate_kbps for peer in stats.peers} == {64}
    assert [channel.listeners for channel in stats.channels] == [0, 2]


def test_closing_the_channel_that_listeners_have_left_does_not_end_them() -> None:
    with serving() as server:
        jazz = server.add_channel("jazz", bw.Tone(600.0))
        with listening(server.url + "whep/jazz") as clients:
            server.peers[0].set_channel("main")
            jazz.close()
            assert heard_hz(*clients) == [440]


def test_moves_that_make_no_sense_are_refused() -> None:
    with serving() as server, bw.WhipClient(bw.Tone(), server.url + "whip") as publisher:
        publisher.start()
        assert publisher.wait_connected(10)
        (peer,) = server.peers
        assert peer.channel == ""
        with pytest.raises(bw.ConfigError, match=r"no channel 'jazz'; expected one of main"):
            peer.set_channel("jazz")
        with pytest.raises(bw.ConfigError, match="publisher"):
            peer.set_channel("main")


def test_peers_that_the_program_signals_choose_a_channel() -> None:
    with serving() as server, bw.Server(None, CONFIG) as other:
        other.start()
        server.add_channel("jazz", bw.Tone(600.0))
        sender, offer = server.create_offer("player", "jazz")
        receiver, answer = other.add_peer(offer)
        sender.set_answer(answer)
        wait_until(lambda: receiver.state == sender.state == "connected")
        assert (sender.channel, server.channels["jazz"].listeners) == ("jazz", 1)
        with pytest.raises(bw.ConfigError, match=r"no channel 'pop'; expected one of main, jazz"):
            server.add_peer(offer, "pop")
        with pytest.raises(bw.ConfigError, match=r"no channel 'pop'; expected one of main, jazz"):
            server.create_offer("player", "pop")


def test_channels_are_opened_again_at_the_next_start() -> None:
    with bw.Server(bw.Tone(440.0), CONFIG) as server:
        jazz = server.add_channel("jazz", bw.Tone(600.0))
        server.add_channel("gone", bw.Tone(700.0)).close()
        for hz in (600, 900):
            server.start()
            with listening(server.url + "whep/jazz") as clients:
                assert heard_hz(*clients) == [hz]
            server.stop()
            assert jazz.stats().frames_sent > 0
            jazz.set_source(bw.Tone(900.0))
        assert list(server.channels) == ["main", "jazz"]


def test_start_fails_without_a_trace_if_a_source_cannot_be_opened() -> None:
    written = bw.PcmSource()
    with bw.Server(written, CONFIG) as server:
        lost = server.add_channel("lost", bw.BassFile("no-such-file.mp3"))
        for _ in range(2):
            with pytest.raises(bw.ConfigError, match="no-such-file"):
                server.start()
        lost.close()
        server.start()


async def test_channels_with_coroutines() -> None:
    async with bw.aio.Server(bw.Tone(440.0), CONFIG) as server:
        await server.start()
        jazz = await server.add_channel("jazz", bw.Tone(600.0))
        fades = [asyncio.create_task(jazz.set_source(bw.Tone(hz), 200)) for hz in (700.0, 800.0, 900.0)]
        await asyncio.gather(*fades)
        assert jazz.source == bw.Tone(900.0)
        endless = asyncio.create_task(jazz.set_source(bw.Tone(500.0), 60_000))
        await asyncio.sleep(0.1)
        endless.cancel()
        await server.channels["jazz"].close()  # In the middle of the fade.
        with pytest.raises(bw.ClosedError):
            await jazz.set_source(bw.Tone())
        await server.add_channel("jazz", bw.Tone(600.0))


def test_stop_during_a_fade_and_while_channels_are_added() -> None:
    for _ in range(5):
        with serving() as server, ThreadPoolExecutor() as pool:
            calls: list[Future[Any]] = [pool.submit(server.channels["main"].set_source, bw.PcmSource(), 60_000)]
            calls += [pool.submit(server.add_channel, f"tone-{number}", bw.Tone()) for number in range(3)]
            server.stop()
            assert {type(call.exception(10)) for call in calls} <= {type(None), bw.ClosedError}
            server.start()
            assert [one.name for one in server.stats().channels] == list(server.channels)
